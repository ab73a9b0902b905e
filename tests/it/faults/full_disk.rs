//! A disk that fills up in the middle of an ingestion, and has room again while the server runs.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use parking_lot::Mutex;

use super::shim::Shim;
use super::{Gap, Site, fault_of_refusal, last_error, sorted_out};
use crate::support::extent::{Extent, announce};
use crate::support::ledger::{Finding, Ledger};
use crate::support::server::{Launch, Server, run};
use crate::support::writer;

/// Bytes that are left for the ingestion. A small document takes some ten thousand in all files together.
const SAMPLE_ROOMS: &[u64] = &[0, 3_000, 9_000, 30_000, 100_000, 250_000];
const ALL_ROOMS: &[u64] = &[
    0, 1, 100, 1_000, 2_000, 3_000, 4_096, 5_000, 6_000, 7_000, 8_000, 9_000, 10_000, 12_000, 14_000, 16_000, 18_000,
    20_000, 25_000, 30_000, 35_000, 40_000, 50_000, 60_000, 80_000, 100_000, 130_000, 170_000, 250_000, 400_000,
];
/// Bytes that are left on a disk of its own.
const DISK_ROOMS: &[u64] = &[0, 20_000, 200_000];
const DISK_BYTES: u64 = 6 << 20;
/// Streams that are sent until the disk is full; there is no room for as many.
const STREAMS: usize = 60;

const KNOWN_GAPS: &[Gap] = &[];

/// What the ingestions into full disks came to.
#[derive(Default)]
struct Told {
    refusals: BTreeMap<String, usize>,
    acknowledged: usize,
    /// What refused starts said, with how many did.
    refused_starts: BTreeMap<String, usize>,
    wrong: Vec<String>,
}

impl Told {
    fn note(&mut self, when: &str, finding: Finding) {
        match finding {
            Finding::Refused(refusal) => {
                let fault = fault_of_refusal(&refusal);
                let is_about_room = matches!(refusal.code, tonic::Code::ResourceExhausted | tonic::Code::Unavailable);
                if let Some(fault) = fault {
                    self.wrong.push(format!("{when}: {fault}"));
                } else if !is_about_room {
                    self.wrong.push(format!(
                        "{when}: a full disk gives {:?} {}: {}",
                        refusal.code, refusal.reason, refusal.message
                    ));
                }
                *self
                    .refusals
                    .entry(format!("{:?} {}", refusal.code, refusal.reason))
                    .or_default() += 1;
            }
            Finding::Wrong(wrong) => self.wrong.push(format!("{when}: {wrong}")),
        }
    }

    /// Says what came of it all, and fails for what is wrong.
    fn close(self, what: &str, cases: usize) {
        let Self {
            refusals,
            acknowledged,
            refused_starts,
            wrong,
        } = self;
        let (known, wrong) = sorted_out(what, KNOWN_GAPS, wrong);
        announce(&format!(
            "{what}: {cases} full disks, {acknowledged} writes acknowledged, refused {refusals:?}, \
             refused starts {refused_starts:?}, {} acknowledged writes lost or other wrongs, {known} known gaps",
            wrong.len()
        ));
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
}

/// How a disk gets full and has room again.
trait Disk {
    /// Leaves room for this many bytes.
    fn fill(&mut self, room: u64);
    /// Gives room again.
    fn empty(&mut self);
}

impl Disk for Shim {
    fn fill(&mut self, room: u64) {
        self.limit(Some(room));
    }

    fn empty(&mut self) {
        self.limit(None);
    }
}

#[test]
fn full_disk_refuses_writes_until_room() {
    let rooms = Extent::wanted().choose(SAMPLE_ROOMS, ALL_ROOMS);
    let mut told = Told::default();
    for room in rooms {
        let site = Site::new();
        let mut shim = Shim::new(&site.data_dir, &site.control);
        let mut launch = with_backups(&site);
        launch.environment.extend(shim.environment());
        fill_and_empty(&launch, &mut shim, *room, &mut told);
        told.wrong.extend(site.panic());
    }
    told.close("full disk", rooms.len());
}

#[test]
fn real_full_disk_refuses_writes() {
    let mut told = Told::default();
    for room in DISK_ROOMS {
        let site = Site::new();
        let Some(mut disk) = RealDisk::mount(&site.data_dir) else {
            announce("full disk: skipped with a real one, this user may not mount a tmpfs");
            return;
        };
        fill_and_empty(&with_backups(&site), &mut disk, *room, &mut told);
        told.wrong.extend(site.panic());
    }
    told.close("real full disk", DISK_ROOMS.len());
}

/// A server whose backups go to another disk.
fn with_backups(site: &Site) -> Launch {
    let directory = site.data_dir.with_file_name("backups");
    std::fs::create_dir_all(&directory).expect("a directory");
    let mut launch = site.launch();
    launch
        .environment
        .push(("GROUNDWORK_BACKUP_DIR", directory.into_os_string()));
    launch
}

/// Fills the disk under a server, asks for reads and writes, gives room again, and looks for what was acknowledged.
fn fill_and_empty(launch: &Launch, disk: &mut dyn Disk, room: u64, told: &mut Told) {
    let when = |what: &str| format!("with {room} bytes left, {what}");
    let ledger = Mutex::new(Ledger::new("log"));
    let server = launch.start().expect("the server starts while there is room");
    let first = ["a1", "a2", "a3", "big1"].map(str::to_owned);
    run(async {
        writer::create(&server, &ledger).await.expect("there is room");
        writer::put(&server, &ledger, &first, Duration::ZERO)
            .await
            .expect("there is room");
        disk.fill(room);
        let is_full = ingest_until_full(&server, &ledger, told, &when("ingesting")).await;
        if !is_full {
            told.wrong.push(when("all streams are taken"));
        }
        // Nothing else is taken either, and reading goes on.
        if let Err(finding) = writer::put(&server, &ledger, &first[..2], Duration::ZERO).await {
            told.note(&when("replacing"), finding);
        }
        if let Err(finding) = writer::delete(&server, &ledger, &first[1..3]).await {
            told.note(&when("deleting"), finding);
        }
        if let Err(finding) = Ledger::look(&ledger, &server).await {
            told.wrong.push(format!("{}: {finding}", when("reading")));
        }
        read_only_work(&server, &ledger, told, &when).await;
        disk.empty();
        for id in ["a2", "later"] {
            if let Err(finding) = writer::put(&server, &ledger, &[id.to_owned()], Duration::ZERO).await {
                told.wrong
                    .push(format!("{}: {finding}", when("writing once there is room again")));
            }
        }
        if let Err(finding) = Ledger::look(&ledger, &server).await {
            told.wrong
                .push(format!("{}: {finding}", when("reading once there is room again")));
        }
        // The end comes on a full disk.
        disk.fill(room);
        ingest_until_full(&server, &ledger, told, &when("ingesting again")).await;
    });
    server.kill();
    start_on_full_disk(launch, &ledger, told, &when("a start"));
    disk.empty();
    match launch.start() {
        Ok(server) => run(async {
            if let Err(finding) = Ledger::look(&ledger, &server).await {
                told.wrong
                    .push(format!("{}: {finding}", when("reading after a start with room")));
            }
        }),
        Err(_) => told.wrong.push(when("the server does not start with room")),
    }
    told.acknowledged += ledger.lock().acknowledgements();
}

/// What changes no knowledge base goes on: a check, and a backup to another disk.
async fn read_only_work(server: &Server, ledger: &Mutex<Ledger>, told: &mut Told, when: &dyn Fn(&str) -> String) {
    match writer::check(server, ledger).await {
        Ok(found) => {
            let strange = found
                .iter()
                .find(|finding| !finding.description.contains("writes are stopped"));
            told.wrong
                .extend(strange.map(|it| format!("{}: {it:?}", when("checking"))));
        }
        Err(finding) => told.wrong.push(format!("{}: {finding}", when("checking"))),
    }
    if let Err(finding) = writer::back_up(server, ledger, "elsewhere.tar").await {
        told.wrong.push(format!("{}: {finding}", when("backing up")));
    }
}

/// Ingests until a write is refused; returns whether one was. Reads go on after it.
async fn ingest_until_full(server: &Server, ledger: &Mutex<Ledger>, told: &mut Told, when: &str) -> bool {
    for stream in 0..STREAMS {
        let kind = if stream % 4 == 3 { "big" } else { "d" };
        let ids: Vec<String> = (0..3).map(|at| format!("{kind}{stream}-{at}")).collect();
        let written = writer::put(server, ledger, &ids, Duration::ZERO).await;
        if let Err(finding) = written {
            told.note(when, finding);
            if let Err(finding) = Ledger::look(ledger, server).await {
                told.wrong.push(format!("reading {when}: {finding}"));
            }
            return true;
        }
    }
    false
}

/// A server on a full disk either shows what is there, or says which file it cannot write.
fn start_on_full_disk(launch: &Launch, ledger: &Mutex<Ledger>, told: &mut Told, when: &str) {
    if let Ok(server) = launch.start() {
        if let Err(finding) = run(Ledger::look(ledger, &server)) {
            told.note(when, finding);
        }
        return;
    }
    let stderr = std::fs::read_to_string(&launch.stderr).unwrap_or_default();
    let last = last_error(&stderr);
    let data_dir = launch.data_dir.to_string_lossy();
    if !last.contains(&*data_dir) {
        told.wrong.push(format!("{when} is refused with `{last}`"));
    }
    let text = last.replace(&*data_dir, "DATA");
    *told.refused_starts.entry(text).or_default() += 1;
}

/// A small disk of its own, with a file on it that takes what is to be taken.
struct RealDisk {
    mounted_at: PathBuf,
}

impl RealDisk {
    fn mount(at: &Path) -> Option<Self> {
        std::fs::create_dir_all(at).expect("a directory");
        let size = format!("size={DISK_BYTES}");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", size.as_str(), "tmpfs"])
            .arg(at)
            .stderr(Stdio::null())
            .status();
        mounted.is_ok_and(|status| status.success()).then(|| Self {
            mounted_at: at.to_owned(),
        })
    }

    fn ballast(&self) -> PathBuf {
        self.mounted_at.join("ballast")
    }
}

impl Disk for RealDisk {
    fn fill(&mut self, room: u64) {
        let mut ballast = File::create(self.ballast()).expect("a file");
        let page = [0_u8; 4096];
        let mut length = 0;
        while let Ok(written) = ballast.write(&page) {
            length += written as u64;
        }
        ballast
            .set_len(length.saturating_sub(room))
            .expect("a file can be made shorter");
    }

    fn empty(&mut self) {
        std::fs::remove_file(self.ballast()).expect("it is there");
    }
}

impl Drop for RealDisk {
    fn drop(&mut self) {
        // What is left mounted goes with the machine.
        let _ = Command::new("umount").arg("-l").arg(&self.mounted_at).status();
    }
}
