//! Every sync, rename and write of a short life of a knowledge base fails once.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use super::shim::{Extent as FaultExtent, Kind, Shim};
use super::{Gap, Site, fault_of_refusal, last_error, sorted_out};
use crate::support::extent::{Extent, announce};
use crate::support::ledger::{Finding, Ledger};
use crate::support::server::{NotStarted, Server, run};
use crate::support::writer;

const SEED: u64 = 20_260_823;
/// Attempts of one write: a call that fails once may take the write with it, but not the next one.
const ATTEMPTS: usize = 3;

/// How many calls of each kind a sample makes fail, and how.
const SAMPLES: &[(Kind, FaultExtent, usize)] = &[
    (Kind::Fsync, FaultExtent::Once, 8),
    (Kind::Fdatasync, FaultExtent::Once, 10),
    (Kind::Rename, FaultExtent::Once, 6),
    (Kind::Truncate, FaultExtent::Once, 2),
    (Kind::Create, FaultExtent::Once, 4),
    (Kind::Unlink, FaultExtent::Once, 3),
    (Kind::Write, FaultExtent::Once, 8),
    (Kind::Write, FaultExtent::OnceHalfDone, 5),
];

const KNOWN_GAPS: &[Gap] = &[];

/// One write of the life.
enum Write {
    Put(&'static [&'static str]),
    Delete(&'static [&'static str]),
}

/// Two runs of a server, each with these writes. Documents come, are replaced, go, and come again.
const LIVES: [&[Write]; 2] = [
    &[
        Write::Put(&["a1", "a2", "a3"]),
        Write::Put(&["big1"]),
        Write::Put(&["a1", "a2"]),
        Write::Delete(&["a2", "a3"]),
        Write::Put(&["a3", "b1", "b2"]),
    ],
    &[
        Write::Put(&["b1", "c1", "c2"]),
        Write::Delete(&["a1", "b2"]),
        Write::Put(&["big1"]),
    ],
];

/// How the life ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Killed,
    Asked,
}

/// What one life came to.
#[derive(Default)]
struct Told {
    refusals: usize,
    refused_starts: usize,
    /// What must not be.
    wrong: Vec<String>,
}

impl Told {
    fn note(&mut self, wrong: String) {
        self.wrong.push(wrong);
    }

    /// Counts a refusal, and notes what is wrong with it.
    fn note_refusal(&mut self, what: &str, finding: Finding) {
        match finding {
            Finding::Refused(refusal) => {
                self.refusals += 1;
                let fault = fault_of_refusal(&refusal);
                self.wrong.extend(fault.map(|fault| format!("{what}: {fault}")));
            }
            Finding::Wrong(wrong) => self.note(format!("{what}: {wrong}")),
        }
    }
}

#[test]
fn each_failing_call_loses_nothing_acknowledged() {
    let started = Instant::now();
    let extent = Extent::wanted();
    let mut random = StdRng::seed_from_u64(SEED);
    let counted = {
        let site = Site::new();
        let shim = Shim::new(&site.data_dir, &site.control);
        let told = live(&site, &shim, End::Asked);
        assert!(
            told.wrong.is_empty() && told.refusals == 0,
            "without a fault: {:?}",
            told.wrong
        );
        Kind::ALL.map(|kind| shim.count(kind))
    };
    announce(&format!(
        "faults: a life makes {:?} calls {counted:?}, seed {SEED}",
        Kind::ALL
    ));
    let (mut injected, mut refusals, mut refused_starts) = (0, 0, 0);
    let (mut wrong, mut known) = (Vec::new(), 0);
    for &(kind, fault, sample) in SAMPLES {
        let count = counted[kind as usize];
        assert!(count > 0, "no {kind:?} is seen: the shim does not reach it");
        for at in chosen(&mut random, count, extent.choose(sample, usize::MAX)) {
            let site = Site::new();
            let shim = Shim::new(&site.data_dir, &site.control);
            shim.fail(kind, at, fault);
            // The last calls come with an end in order.
            let end = if random.random_ratio(1, 3) || at * 10 > count * 9 {
                End::Asked
            } else {
                End::Killed
            };
            let told = live(&site, &shim, end);
            injected += usize::from(shim.failed() > 0);
            refusals += told.refusals;
            refused_starts += told.refused_starts;
            let path = shim.failed_path();
            let report = |what| format!("{kind:?} {at} of {count} ({fault:?}) on {path}, {end:?}: {what}");
            let (known_here, wrong_here) =
                sorted_out("faults", KNOWN_GAPS, told.wrong.into_iter().map(report).collect());
            known += known_here;
            wrong.extend(wrong_here);
        }
        if extent == Extent::All {
            announce(&format!(
                "faults: {kind:?} ({fault:?}) is through, {injected} calls failed so far"
            ));
        }
    }
    announce(&format!(
        "faults: {injected} calls failed once, {refusals} refused writes, {refused_starts} refused starts, \
         {} acknowledged writes lost or other wrongs, {known} known gaps, {:.0} s",
        wrong.len(),
        started.elapsed().as_secs_f64()
    ));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn broken_disk_serves_reads_until_mended() {
    let kinds = [Kind::Fsync, Kind::Fdatasync, Kind::Write, Kind::Rename];
    let mut told = Told::default();
    for kind in kinds {
        let site = Site::new();
        let shim = Shim::new(&site.data_dir, &site.control);
        let ledger = Mutex::new(Ledger::new("log"));
        let server = start(&site, &shim, &mut told).expect("nothing fails yet");
        run(async {
            let put = async |ids: &[&str]| {
                let ids: Vec<String> = ids.iter().map(|id| (*id).to_owned()).collect();
                writer::put(&server, &ledger, &ids, Duration::ZERO).await
            };
            writer::create(&server, &ledger).await.expect("nothing fails yet");
            put(&["a1", "a2", "big1"]).await.expect("nothing fails yet");
            shim.fail(kind, shim.count(kind) + 1, FaultExtent::FromThenOn);
            for ids in [&["a1"], &["b1"], &["a2"]] {
                if let Err(finding) = put(ids).await {
                    told.note_refusal(&format!("{kind:?} fails all the time"), finding);
                }
                // Readers see the last published epoch, whole.
                let seen = Ledger::look(&ledger, &server).await;
                if let Err(finding) = seen {
                    told.note(format!("reading while {kind:?} fails: {finding}"));
                }
            }
            shim.mend();
            let write = async || put(&["a1", "c1"]).await;
            attempt(&mut told, "writing to the mended disk", write).await;
            let seen = Ledger::look(&ledger, &server).await;
            if let Err(finding) = seen {
                told.note(format!("reading from the mended disk, {kind:?} failed: {finding}"));
            }
        });
        server.kill();
        look(&site, &ledger, &mut told);
        told.wrong.extend(site.panic());
    }
    let (known, wrong) = sorted_out("faults", KNOWN_GAPS, told.wrong);
    announce(&format!(
        "faults: {} kinds of calls failed all the time, {} refused writes, {} acknowledged writes lost or other wrongs, \
         {known} known gaps",
        kinds.len(),
        told.refusals,
        wrong.len()
    ));
    assert!(
        told.refusals >= kinds.len(),
        "only {} writes were refused",
        told.refusals
    );
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Returns numbers of calls, the first and the last among them.
fn chosen(random: &mut StdRng, count: u64, wanted: usize) -> BTreeSet<u64> {
    if wanted as u64 >= count {
        return (1..=count).collect();
    }
    let mut chosen = BTreeSet::from([1, count]);
    while chosen.len() < wanted {
        chosen.insert(random.random_range(1..=count));
    }
    chosen
}

/// Lives both lives with the shim, then looks without it.
fn live(site: &Site, shim: &Shim, end: End) -> Told {
    let mut told = Told::default();
    let ledger = Mutex::new(Ledger::new("log"));
    for (number, writes) in LIVES.iter().enumerate() {
        let Some(server) = start(site, shim, &mut told) else {
            return told;
        };
        run(async {
            if number == 0 {
                let wanted = async || writer::create(&server, &ledger).await;
                attempt(&mut told, "creating", wanted).await;
            }
            for write in *writes {
                let (what, ids) = match write {
                    Write::Put(ids) => ("ingesting", ids),
                    Write::Delete(ids) => ("deleting", ids),
                };
                let ids: Vec<String> = ids.iter().map(|id| (*id).to_owned()).collect();
                let wanted = async || match write {
                    Write::Put(_) => writer::put(&server, &ledger, &ids, Duration::ZERO).await,
                    Write::Delete(_) => writer::delete(&server, &ledger, &ids).await,
                };
                attempt(&mut told, what, wanted).await;
                // Reads go on, and show what was acknowledged.
                if let Err(finding) = Ledger::look(&ledger, &server).await {
                    told.wrong.push(format!("reading after {what} {ids:?}: {finding}"));
                }
            }
        });
        let is_last = number + 1 == LIVES.len();
        if is_last && end == End::Asked {
            server.terminate();
        } else {
            server.kill();
        }
    }
    look(site, &ledger, &mut told);
    if let Some(panic) = site.panic() {
        told.wrong.push(panic);
    }
    told
}

/// Starts a server with the shim; the second attempt must succeed, since a call fails once.
fn start(site: &Site, shim: &Shim, told: &mut Told) -> Option<Server> {
    let mut launch = site.launch();
    launch.environment = shim.environment();
    for _ in 0..2 {
        match launch.start() {
            Ok(server) => return Some(server),
            Err(NotStarted { status }) => {
                told.refused_starts += 1;
                let stderr = site.told();
                let last = last_error(&stderr);
                if status.code() != Some(1) || !last.contains(&*site.data_dir.to_string_lossy()) {
                    told.wrong
                        .push(format!("a refused start ends with {status} and says `{last}`"));
                }
            }
        }
    }
    told.wrong
        .push(format!("the server does not start again: {}", site.told()));
    None
}

/// Makes a write, again when it is refused.
async fn attempt(told: &mut Told, what: &str, write: impl AsyncFn() -> Result<(), Finding>) {
    for _ in 0..ATTEMPTS {
        match write().await {
            Ok(()) => return,
            Err(finding) => {
                let is_over = matches!(finding, Finding::Wrong(_));
                told.note_refusal(what, finding);
                if is_over {
                    return;
                }
            }
        }
    }
    told.wrong
        .push(format!("{what} is still refused after {ATTEMPTS} attempts"));
}

/// Checks what is there with a server without faults, and that it can be written to.
fn look(site: &Site, ledger: &Mutex<Ledger>, told: &mut Told) {
    let Ok(server) = site.launch().start() else {
        told.wrong
            .push(format!("the server does not start without the fault: {}", site.told()));
        return;
    };
    run(async {
        if let Err(finding) = Ledger::look(ledger, &server).await {
            told.wrong.push(format!("after the last start: {finding}"));
            return;
        }
        let written = writer::put(&server, ledger, &["last".to_owned()], Duration::ZERO).await;
        let seen = Ledger::look(ledger, &server).await;
        for finding in [written.err(), seen.err()].into_iter().flatten() {
            told.wrong.push(format!("a write after the last start: {finding}"));
        }
    });
}
