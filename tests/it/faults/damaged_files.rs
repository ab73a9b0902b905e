//! Files of a populated data directory that are cut, flipped or gone when the server starts.
//!
//! The records and the catalog either open whole or are refused with the file's name and what to do, and then a copy of
//! the file put back, a database with its log, is all it takes. What is derived from the records is made again.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tonic::Code;

use super::{Gap, Site, copy_directory, files_below, last_error, sorted_out};
use crate::support::extent::{Extent, announce};
use crate::support::ledger::{Finding, Ledger, Refusal, Seen, content};
use crate::support::server::run;
use crate::support::writer;

const SEED: u64 = 20_260_824;
/// Bits that are flipped in each file at places drawn by chance, beside its first and last byte.
const SAMPLE_FLIPS: usize = 1;
const ALL_FLIPS: usize = 40;
/// The same for files that hold the truth.
const SAMPLE_FLIPS_OF_TRUTH: usize = 8;
const ALL_FLIPS_OF_TRUTH: usize = 400;
/// Largest difference of a cosine that is no other vector.
const COSINE_TOLERANCE: f64 = 1e-3;

/// Words of which a message holds one when it says what to do.
const REMEDIES: &[&str] = &["restore", "backup", "rebuild", "put back", "copy", "repair", "salvage"];

const KNOWN_GAPS: &[Gap] = &[];

/// What is done to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Damage {
    Emptied,
    Halved,
    LastByteCut,
    /// One bit of the byte at this place.
    BitFlipped(u64),
    Deleted,
}

/// What a file is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    /// The catalog and the records, with their logs.
    Truth,
    /// Made again from the records at any time.
    Derived,
}

/// A file or directory of the data directory, by its path in it, and what is done to it.
struct Case {
    target: PathBuf,
    damage: Damage,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}", self.target.display(), self.damage)
    }
}

/// How a case ended.
#[derive(Debug)]
enum Outcome {
    Served,
    Refused,
    Wrong(String),
}

/// A populated data directory, and what is in it.
struct Original {
    site: Site,
    ledger: Ledger,
    seen: Seen,
}

impl Original {
    /// Makes a data directory; its server ends in order, or is killed and leaves its logs behind.
    fn make(is_closed: bool) -> Self {
        let site = Site::new();
        let server = site.launch().start().expect("a new data directory opens");
        let ledger = Mutex::new(Ledger::new("log"));
        let ids = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>();
        let seen = run(async {
            let put = async |documents: &[&str]| {
                let written = writer::put(&server, &ledger, &ids(documents), Duration::ZERO).await;
                written.expect("nothing fails yet");
            };
            writer::create(&server, &ledger).await.expect("nothing fails yet");
            put(&["a1", "a2", "a3", "big1", "big2"]).await;
            put(&["a1", "big2"]).await;
            let deleted = writer::delete(&server, &ledger, &ids(&["a2", "a3"])).await;
            deleted.expect("nothing fails yet");
            put(&["a3", "b1", "b2", "b3"]).await;
            Ledger::settle(&ledger, &server).await.expect("it is whole")
        });
        if is_closed {
            assert!(server.terminate(), "it ends well");
        } else {
            server.kill();
        }
        Self {
            site,
            ledger: ledger.into_inner(),
            seen,
        }
    }

    /// Lists its files by their paths in it. For a sample one of each kind, the largest.
    fn files(&self, extent: Extent) -> Vec<PathBuf> {
        let root = &self.site.data_dir;
        let all = files_below(root);
        let relative = |path: &PathBuf| path.strip_prefix(root).expect("it lies below").to_owned();
        if extent == Extent::All {
            return all.iter().map(relative).collect();
        }
        let mut kinds: BTreeMap<(String, String), (u64, PathBuf)> = BTreeMap::new();
        for path in &all {
            let name = |path: Option<&std::ffi::OsStr>| path.unwrap_or_default().to_string_lossy().into_owned();
            let kind = match path.extension() {
                // Tantivy's segments have random names.
                Some(extension) if name(path.file_stem()).len() == 32 => name(Some(extension)),
                _ => name(path.file_name()),
            };
            let kind = (name(path.parent().and_then(Path::file_name)), kind);
            let length = length_of(path);
            let largest = kinds.entry(kind).or_insert_with(|| (length, relative(path)));
            if length > largest.0 {
                *largest = (length, relative(path));
            }
        }
        kinds.into_values().map(|(_, path)| path).collect()
    }
}

fn length_of(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |found| found.len())
}

fn role_of(target: &Path) -> Role {
    let is_derived = |part: &std::ffi::OsStr| part == "terms" || part == "vectors";
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    if target.iter().any(is_derived) || name.ends_with("-shm") || name.ends_with(".lock") {
        Role::Derived
    } else {
        Role::Truth
    }
}

#[test]
fn damaged_files_are_refused_or_made_again() {
    let started = Instant::now();
    let extent = Extent::wanted();
    let mut random = StdRng::seed_from_u64(SEED);
    let closed = Original::make(true);
    let killed = Original::make(false);
    let mut cases = Vec::new();
    for file in closed.files(extent) {
        cases.extend(damages(&closed, file, extent, &mut random).map(|case| (&closed, case)));
    }
    for file in killed.files(extent) {
        let name = file.to_string_lossy();
        if name.ends_with("-wal") || name.ends_with("-shm") {
            cases.extend(damages(&killed, file, extent, &mut random).map(|case| (&killed, case)));
        }
    }
    cases.extend(flips_of_texts(&closed).map(|case| (&closed, case)));
    cases.extend(deleted_directories(&closed).map(|case| (&closed, case)));
    let (mut served, mut refused, mut known) = (0, 0, 0);
    let mut wrong = Vec::new();
    for (original, case) in &cases {
        match try_case(original, case) {
            Outcome::Served => served += 1,
            Outcome::Refused => refused += 1,
            Outcome::Wrong(what) => {
                let report = vec![format!("{case}: {what}")];
                let (known_here, wrong_here) = sorted_out("damaged files", KNOWN_GAPS, report);
                known += known_here;
                wrong.extend(wrong_here);
            }
        }
    }
    announce(&format!(
        "damaged files: {} cases with seed {SEED}, {served} served whole, {refused} refused with file and remedy, \
         {} lost or wrong, {known} known gaps, {:.0} s",
        cases.len(),
        wrong.len(),
        started.elapsed().as_secs_f64()
    ));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Returns the cases of a file.
fn damages(
    original: &Original,
    file: PathBuf,
    extent: Extent,
    random: &mut StdRng,
) -> impl Iterator<Item = Case> + use<> {
    let length = length_of(&original.site.data_dir.join(&file));
    let mut damages = vec![Damage::Deleted];
    if length > 0 {
        damages.extend([Damage::Emptied, Damage::Halved, Damage::LastByteCut]);
        damages.extend([Damage::BitFlipped(0), Damage::BitFlipped(length - 1)]);
        let flips = match role_of(&file) {
            Role::Truth => extent.choose(SAMPLE_FLIPS_OF_TRUTH, ALL_FLIPS_OF_TRUTH),
            Role::Derived => extent.choose(SAMPLE_FLIPS, ALL_FLIPS),
        };
        damages.extend((0..flips).map(|_| Damage::BitFlipped(random.random_range(0..length))));
    }
    damages.sort();
    damages.dedup();
    damages.into_iter().map(move |damage| Case {
        target: file.clone(),
        damage,
    })
}

/// Flips a bit in the middle of each text that the records hold, at its first place in the file.
fn flips_of_texts(original: &Original) -> impl Iterator<Item = Case> {
    let root = &original.site.data_dir;
    let mut stores = files_below(root);
    stores.retain(|path| path.file_name().is_some_and(|name| name == "store.sqlite"));
    let store = stores.pop().expect("there is a record of truth");
    let bytes = fs::read(&store).expect("it can be read");
    let target = store.strip_prefix(root).expect("it lies below").to_owned();
    let places: Vec<usize> = ["a1", "big1", "b2"]
        .iter()
        .filter_map(|id| {
            let text = content(id, original.ledger.last_version(id));
            let start = &text.as_bytes()[..text.len().min(40)];
            bytes.windows(start.len()).position(|window| window == start)
        })
        .collect();
    places.into_iter().map(move |place| Case {
        target: target.clone(),
        damage: Damage::BitFlipped(place as u64 + 20),
    })
}

/// Deletes each directory below the data directory.
fn deleted_directories(original: &Original) -> impl Iterator<Item = Case> + use<> {
    let root = &original.site.data_dir;
    let mut directories: Vec<PathBuf> = files_below(root)
        .iter()
        .flat_map(|file| file.ancestors().skip(1).map(Path::to_owned).collect::<Vec<_>>())
        .filter_map(|directory| directory.strip_prefix(root).ok().map(Path::to_owned))
        .filter(|directory| directory.iter().next().is_some())
        .collect();
    directories.sort();
    directories.dedup();
    directories.into_iter().map(|target| Case {
        target,
        damage: Damage::Deleted,
    })
}

/// Damages a copy, and starts and uses a server on it.
fn try_case(original: &Original, case: &Case) -> Outcome {
    let site = Site::new();
    copy_directory(&original.site.data_dir, &site.data_dir);
    damage(&site.data_dir.join(&case.target), case.damage);
    let outcome = match use_server(&site, original) {
        Ok(()) => Outcome::Served,
        Err(Finding::Wrong(what)) => Outcome::Wrong(what),
        Err(Finding::Refused(refusal)) if refusal.code == Code::NotFound => Outcome::Wrong(gone(&site)),
        Err(Finding::Refused(refusal)) => match fault_of(&refusal, case) {
            Some(fault) => Outcome::Wrong(fault),
            None => put_back(&site, original, case),
        },
    };
    match site.panic() {
        Some(panic) => Outcome::Wrong(panic),
        None => outcome,
    }
}

/// Says how thoroughly a knowledge base is gone.
fn gone(site: &Site) -> String {
    let files = files_below(&site.data_dir);
    let has_records = files
        .iter()
        .any(|file| file.file_name().is_some_and(|name| name == "store.sqlite"));
    let files = if has_records {
        "still there"
    } else {
        "deleted from the disk"
    };
    format!("the knowledge base is silently gone, its files are {files}")
}

fn damage(path: &Path, damage: Damage) {
    let length = length_of(path);
    let file = || {
        fs::OpenOptions::new()
            .write(true)
            .open(path)
            .expect("it can be written")
    };
    let done = match damage {
        Damage::Emptied => file().set_len(0),
        Damage::Halved => file().set_len(length / 2),
        Damage::LastByteCut => file().set_len(length - 1),
        Damage::BitFlipped(at) => {
            let mut bytes = fs::read(path).expect("it can be read");
            bytes[usize::try_from(at).expect("it is in the file")] ^= 1 << (at % 8);
            fs::write(path, bytes)
        }
        Damage::Deleted if path.is_dir() => fs::remove_dir_all(path),
        Damage::Deleted => fs::remove_file(path),
    };
    done.expect("the damage can be done");
}

/// Starts a server and reads and writes, unless it refuses.
fn use_server(site: &Site, original: &Original) -> Result<(), Finding> {
    let server = site.launch().start().map_err(|not_started| {
        let told = site.told();
        if not_started.status.code() != Some(1) {
            return Finding::Wrong(format!("the server ends with {}: {told}", not_started.status));
        }
        Finding::Refused(Refusal {
            code: Code::Ok,
            reason: "NOT_STARTED".to_owned(),
            message: last_error(&told).to_owned(),
        })
    })?;
    let ledger = Mutex::new(original.ledger.clone());
    run(async {
        let seen = Ledger::look(&ledger, &server).await?;
        compare(&seen, &original.seen)?;
        writer::put(&server, &ledger, &["later".to_owned()], Duration::ZERO).await?;
        Ledger::look(&ledger, &server).await.map(drop)
    })
}

/// Compares what cannot be told from the texts.
fn compare(seen: &Seen, expected: &Seen) -> Result<(), Finding> {
    if seen.epoch != expected.epoch {
        let (epoch, expected) = (seen.epoch, expected.epoch);
        return Err(Finding::Wrong(format!("it is at epoch {epoch} instead of {expected}")));
    }
    for (id, document) in &expected.documents {
        if seen.documents.get(id) != Some(document) {
            let shown = seen.documents.get(id);
            return Err(Finding::Wrong(format!("{id} is silently described as {shown:?}")));
        }
    }
    for ((id, text), cosine) in &expected.similarities {
        let found = seen.similarities.get(&(id.clone(), text.clone()));
        if found.is_none_or(|found| (found - cosine).abs() > COSINE_TOLERANCE) {
            return Err(Finding::Wrong(format!(
                "a vector of {id} silently differs: {found:?} instead of {cosine}"
            )));
        }
    }
    Ok(())
}

/// Says what is wrong with refusing this case in these words, if anything is.
fn fault_of(refusal: &Refusal, case: &Case) -> Option<String> {
    let Refusal { code, reason, message } = refusal;
    if role_of(&case.target) == Role::Derived {
        return Some(format!(
            "what is derived must be made again, not refused: {reason}: {message}"
        ));
    }
    if !matches!(code, Code::Ok | Code::DataLoss | Code::FailedPrecondition) {
        return Some(format!("damage gives {code:?} {reason}: {message}"));
    }
    // The log of a database counts as the database.
    let name = case.target.file_name().unwrap_or_default().to_string_lossy();
    let name = name.trim_end_matches("-wal").trim_end_matches("-shm");
    if !message.contains(name) {
        return Some(format!("the refusal does not name the file: {message}"));
    }
    let says_what_to_do = REMEDIES.iter().any(|remedy| message.to_lowercase().contains(remedy));
    (!says_what_to_do).then(|| format!("the refusal says nothing of what to do: {message}"))
}

/// Puts a copy of what was damaged in its place; all must be there again. What was written to the log of a database while
/// it was damaged goes: it may hold a damaged page.
fn put_back(site: &Site, original: &Original, case: &Case) -> Outcome {
    let (from, to) = (
        original.site.data_dir.join(&case.target),
        site.data_dir.join(&case.target),
    );
    if from.is_dir() {
        copy_directory(&from, &to);
    } else {
        if let Some(directory) = to.parent() {
            fs::create_dir_all(directory).expect("a directory");
        }
        fs::copy(&from, &to).expect("a copy");
    }
    if to.extension().is_some_and(|extension| extension == "sqlite") {
        for suffix in ["-wal", "-shm"] {
            let beside = |path: &Path| PathBuf::from(format!("{}{suffix}", path.display()));
            if beside(&from).exists() {
                fs::copy(beside(&from), beside(&to)).expect("a copy");
            } else if beside(&to).exists() {
                fs::remove_file(beside(&to)).expect("it can be removed");
            }
        }
    }
    match use_server(site, original) {
        Ok(()) => Outcome::Refused,
        Err(finding) => Outcome::Wrong(format!("refused, and with the file put back: {finding}")),
    }
}
