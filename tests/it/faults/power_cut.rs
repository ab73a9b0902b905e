//! A power cut: what was written and not synced is gone.
//!
//! A killed process leaves what it wrote in the system's memory, so that killing tells nothing of missing syncs. Here
//! every sync of the server waits until the test has copied what it made durable; a cut brings back those copies alone.

use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use parking_lot::Mutex;

use super::shim::Shim;
use super::{Gap, Site, sorted_out};
use crate::support::extent::{Extent, announce};
use crate::support::ledger::Ledger;
use crate::support::server::{Server, run};
use crate::support::writer;

/// How often the test looks whether a sync waits for it.
const LOOK_INTERVAL: Duration = Duration::from_micros(50);

const KNOWN_GAPS: &[Gap] = &[];

/// What a file system keeps of names, over a power cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Names {
    /// Those of a directory that was synced, as it was then: all that POSIX promises.
    OfSyncedDirectories,
    /// All names up to the latest sync of any file, as journals of metadata do.
    UpToAnySync,
}

/// A file for as long as it is there: numbers of deleted ones are used again.
type FileId = (u64, Option<SystemTime>);

/// What is in a directory under one name.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Named {
    Directory,
    File(FileId),
}

/// What a power cut leaves.
#[derive(Debug, Clone)]
struct Durable {
    names: Names,
    /// By the path below the data directory.
    entries: BTreeMap<PathBuf, Named>,
    /// Contents of files at their latest sync.
    contents: BTreeMap<FileId, Vec<u8>>,
}

fn id_of(metadata: &Metadata) -> FileId {
    (metadata.ino(), metadata.created().ok())
}

impl Durable {
    fn new(names: Names) -> Self {
        Self {
            names,
            entries: BTreeMap::new(),
            contents: BTreeMap::new(),
        }
    }

    /// Takes note that a file or directory was synced.
    fn synced(&mut self, root: &Path, path: &Path) {
        // Gone again already: then nobody will look for it.
        let Ok(metadata) = fs::metadata(path) else { return };
        if metadata.is_file()
            && let Ok(content) = fs::read(path)
        {
            self.contents.insert(id_of(&metadata), content);
        }
        match self.names {
            Names::UpToAnySync => {
                self.entries.clear();
                self.enter(root, root, true);
            }
            Names::OfSyncedDirectories if metadata.is_dir() => {
                let directory = path.strip_prefix(root).expect("it lies below");
                self.entries.retain(|known, _| known.parent() != Some(directory));
                self.enter(root, path, false);
            }
            Names::OfSyncedDirectories => {}
        }
    }

    /// Enters what is in a directory.
    fn enter(&mut self, root: &Path, directory: &Path, is_deep: bool) {
        // Files come and go meanwhile; what cannot be found was not there.
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            let path = entry.path();
            let Ok(metadata) = entry.metadata() else { continue };
            let relative = path.strip_prefix(root).expect("it lies below").to_owned();
            if metadata.is_dir() {
                self.entries.insert(relative, Named::Directory);
                if is_deep {
                    self.enter(root, &path, true);
                }
            } else {
                self.entries.insert(relative, Named::File(id_of(&metadata)));
            }
        }
    }

    /// Makes a directory of what is left after a cut. A file that was never synced is empty.
    fn bring_back(&self, root: &Path) {
        fs::create_dir_all(root).expect("a directory");
        // Parents come before what is in them; what lies in a directory that is gone is gone.
        for (path, named) in &self.entries {
            let path = root.join(path);
            if !path.parent().is_some_and(Path::is_dir) {
                continue;
            }
            match named {
                Named::Directory => fs::create_dir(&path).expect("a directory"),
                Named::File(id) => {
                    let content = self.contents.get(id).map_or(&[][..], Vec::as_slice);
                    fs::write(&path, content).expect("a file");
                }
            }
        }
    }
}

/// One step of the life before a cut.
#[derive(Debug, Clone, Copy)]
enum Step {
    Create,
    Put(&'static [&'static str]),
    Delete(&'static [&'static str]),
}

const STEPS: &[Step] = &[
    Step::Create,
    Step::Put(&["a1", "a2", "a3"]),
    Step::Put(&["big1"]),
    Step::Put(&["a1", "a2"]),
    Step::Delete(&["a2", "a3"]),
    Step::Put(&["a3", "b1"]),
];
/// Times that the steps after the first are done in all; later ones see the log of the records begin anew.
const SAMPLE_ROUNDS: usize = 1;
const ALL_ROUNDS: usize = 12;
/// A sample has a cut after one in this many syncs, beside those after each step.
const SYNCS_A_CUT: usize = 9;

/// What a cut at one instant leaves, and what a client knows then.
struct Cut {
    when: String,
    ledger: Ledger,
    left: Durable,
}

#[test]
fn power_cut_loses_nothing_acknowledged() {
    let started = Instant::now();
    let rounds = Extent::wanted().choose(SAMPLE_ROUNDS, ALL_ROUNDS);
    let share = Extent::wanted().choose(SYNCS_A_CUT, 1);
    let (mut cuts, mut reports, mut syncs) = (0, Vec::new(), 0);
    for names in [Names::OfSyncedDirectories, Names::UpToAnySync] {
        let (made, syncs_here) = live(names, rounds, share);
        syncs += syncs_here;
        cuts += made.len();
        for cut in made {
            let (when, outcome) = (cut.when.clone(), look(cut));
            reports.extend(outcome.err().map(|what| format!("{names:?}, cut {when}: {what}")));
        }
    }
    let (known, wrong) = sorted_out("power cut", KNOWN_GAPS, reports);
    announce(&format!(
        "power cut: {cuts} cuts over {syncs} syncs, {} acknowledged writes lost or other wrongs, {known} known gaps, {:.0} s",
        wrong.len(),
        started.elapsed().as_secs_f64()
    ));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Runs a server through all steps, and returns cuts after each step and after each of so many syncs, and the number of
/// syncs.
fn live(names: Names, rounds: usize, share: usize) -> (Vec<Cut>, usize) {
    let site = Site::new();
    fs::create_dir(&site.data_dir).expect("a directory");
    let shim = Shim::new(&site.data_dir, &site.control);
    shim.watch(true);
    let durable = Mutex::new(Durable::new(names));
    let ledger = Mutex::new(Ledger::new("log"));
    let cuts = Mutex::new(Vec::new());
    let (is_created, is_over) = (AtomicBool::new(false), AtomicBool::new(false));
    // What was acknowledged by now must be durable by now, so that the ledger is read first.
    let make_cut = |when: String, known: Ledger| {
        let left = durable.lock().clone();
        cuts.lock().push(Cut {
            when,
            ledger: known,
            left,
        });
    };
    let syncs = std::thread::scope(|scope| {
        let watching = scope.spawn(|| {
            let mut syncs = 0;
            while !is_over.load(Ordering::SeqCst) {
                let taken = shim.take_sync(|path| {
                    let known = ledger.lock().clone();
                    durable.lock().synced(&site.data_dir, path);
                    if is_created.load(Ordering::SeqCst) && syncs % share == 0 {
                        make_cut(format!("at sync {syncs}, of {}", path.display()), known);
                    }
                });
                if taken {
                    syncs += 1;
                } else {
                    std::thread::sleep(LOOK_INTERVAL);
                }
            }
            syncs
        });
        let mut launch = site.launch();
        launch.environment = shim.environment();
        let server = launch.start().expect("a new data directory opens");
        for (number, step) in std::iter::repeat_n(STEPS, rounds).flatten().enumerate() {
            perform(&server, &ledger, *step);
            is_created.store(true, Ordering::SeqCst);
            let known = ledger.lock().clone();
            make_cut(format!("after step {number}, {step:?}"), known);
        }
        shim.watch(false);
        server.kill();
        is_over.store(true, Ordering::SeqCst);
        watching.join().expect("watching ends")
    });
    (cuts.into_inner(), syncs)
}

fn perform(server: &Server, ledger: &Mutex<Ledger>, step: Step) {
    let ids = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>();
    let done = run(async {
        match step {
            Step::Create => writer::create(server, ledger).await,
            Step::Put(documents) => writer::put(server, ledger, &ids(documents), Duration::ZERO).await,
            Step::Delete(documents) => writer::delete(server, ledger, &ids(documents)).await,
        }
    });
    done.expect("nothing fails");
}

/// Starts a server on what a cut left, and looks for what was acknowledged.
fn look(cut: Cut) -> Result<(), String> {
    let site = Site::new();
    cut.left.bring_back(&site.data_dir);
    let Ok(server) = site.launch().start() else {
        return Err(format!("the server does not start: {}", site.told()));
    };
    let mut ledger = cut.ledger;
    run(ledger.verify(&server)).map_err(|finding| finding.to_string())?;
    site.panic().map_or(Ok(()), Err)
}
