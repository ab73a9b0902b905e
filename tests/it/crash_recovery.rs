//! A server killed at any instant of a mixed load opens again on a whole epoch, with every acknowledged write.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};

use crate::support::extent::{Extent, announce};
use crate::support::ledger::{Finding, Ledger};
use crate::support::server::{Launch, Server, run};
use crate::support::writer;

const SEED: u64 = 20_260_822;
const SAMPLE_KILLS: usize = 50;
const ALL_KILLS: usize = 300;
/// One kill in this many comes while the server starts.
const KILLS_A_START: usize = 5;
/// Longest life of a server under load, and of one that is killed while it starts.
const LONGEST_LOAD_MS: u64 = 600;
const LONGEST_START_MS: u64 = 450;
/// Documents of the first writer that are kept; more are deleted.
const KEPT_DOCUMENTS: usize = 120;
/// Documents of the second writer, which are replaced time and again.
const REPLACED_DOCUMENTS: usize = 8;

/// What a client does to the knowledge base. Each of those that run at once has documents of its own.
#[derive(Debug, Clone, Copy)]
enum Operation {
    /// Adds new documents in one stream, some of them big.
    Add,
    /// Replaces some of always the same documents, slowly, so that one stream makes several commits.
    Replace,
    /// Adds a pair of documents and deletes both in one call; the next time they come again.
    AddAndDelete,
    /// Adds a pair of documents and erases both; the next time they come again.
    AddAndErase,
    /// Deletes documents of earlier rounds in one call, when there are many.
    ThinOut,
    /// Removes what no retained epoch sees.
    Vacuum,
    /// Takes a backup.
    BackUp,
}

/// What runs at once, each in turns.
const LOAD: &[&[Operation]] = &[
    &[Operation::Add, Operation::ThinOut],
    &[Operation::Replace],
    &[Operation::AddAndDelete, Operation::AddAndErase],
    &[Operation::Vacuum, Operation::BackUp],
];

/// One round under load.
struct Round<'a> {
    number: usize,
    server: &'a Server,
    ledger: &'a Mutex<Ledger>,
    /// Documents that were there for certain when the round began.
    earlier: Vec<String>,
    is_killed: AtomicBool,
}

impl Round<'_> {
    /// Does one operation; `turn` counts those of its client.
    async fn perform(&self, operation: Operation, turn: usize, random: &mut StdRng) -> Result<(), Finding> {
        let Self { server, ledger, .. } = self;
        let round = self.number;
        match operation {
            Operation::Add => {
                let kind = if random.random_ratio(1, 6) { "big" } else { "n" };
                let count = random.random_range(1..=5);
                let ids: Vec<String> = (0..count).map(|at| format!("{kind}{round}-{turn}-{at}")).collect();
                writer::put(server, ledger, &ids, Duration::ZERO).await
            }
            Operation::Replace => {
                let first = random.random_range(0..REPLACED_DOCUMENTS);
                let ids: Vec<String> = (0..4)
                    .map(|at| format!("r{}", (first + at) % REPLACED_DOCUMENTS))
                    .collect();
                writer::put(server, ledger, &ids, Duration::from_millis(random.random_range(0..80))).await
            }
            Operation::AddAndDelete => {
                let pair = random.random_range(0..3);
                let ids = ["left", "right"].map(|side| format!("{side}{pair}"));
                writer::put(server, ledger, &ids, Duration::ZERO).await?;
                writer::delete(server, ledger, &ids).await
            }
            Operation::AddAndErase => {
                let pair = random.random_range(0..3);
                let ids = ["dark", "bright"].map(|side| format!("{side}{pair}"));
                writer::put(server, ledger, &ids, Duration::ZERO).await?;
                writer::erase(server, ledger, &ids).await
            }
            Operation::Vacuum => {
                tokio::time::sleep(Duration::from_millis(random.random_range(0..60))).await;
                writer::vacuum(server, ledger).await
            }
            Operation::BackUp => writer::back_up(server, ledger, "").await,
            Operation::ThinOut => {
                if self.earlier.len() <= KEPT_DOCUMENTS {
                    return Ok(());
                }
                let present = self.ledger.lock().present();
                let still: Vec<String> = self.earlier.iter().filter(|id| present.contains(id)).cloned().collect();
                let ids: Vec<String> = still.choose_multiple(random, 12).cloned().collect();
                if ids.is_empty() {
                    return Ok(());
                }
                writer::delete(server, ledger, &ids).await
            }
        }
    }

    /// Does the operations of one client in turns until the server is gone.
    async fn client(&self, operations: &[Operation], mut random: StdRng) {
        for turn in 0.. {
            let operation = operations[turn % operations.len()];
            if let Err(finding) = self.perform(operation, turn, &mut random).await {
                let is_killed = self.is_killed.load(Ordering::SeqCst);
                assert!(is_killed, "{operation:?} of round {}: {finding}", self.number);
                return;
            }
        }
    }
}

#[test]
fn killed_load_opens_on_a_whole_epoch() {
    let started = Instant::now();
    let kills = Extent::wanted().choose(SAMPLE_KILLS, ALL_KILLS);
    let home = tempfile::tempdir().expect("a temporary directory");
    let launch = Launch::new(&home.path().join("data"), &home.path().join("stderr"));
    let mut random = StdRng::seed_from_u64(SEED);
    let ledger = Mutex::new(Ledger::new("log"));
    let server = start(&launch);
    run(writer::create(&server, &ledger)).expect("it is new");
    server.kill();
    let (mut kills_with_acknowledgements, mut kills_in_doubt) = (0, 0);
    for number in 0..kills {
        if number % KILLS_A_START == KILLS_A_START - 1 {
            let mut child = launch.spawn();
            std::thread::sleep(Duration::from_millis(random.random_range(0..LONGEST_START_MS)));
            child.kill().expect("the process can be killed");
            child.wait().expect("the process ends");
            continue;
        }
        let server = start(&launch);
        let seen = run(Ledger::settle(&ledger, &server));
        let before = seen.unwrap_or_else(|finding| panic!("round {number}: {finding}")).epoch;
        let life = Duration::from_millis(random.random_range(0..LONGEST_LOAD_MS));
        run(load(number, &server, &ledger, life, &mut random));
        let ledger = ledger.lock();
        kills_with_acknowledgements += usize::from(ledger.epoch() > before);
        kills_in_doubt += usize::from(ledger.in_doubt() > 0);
    }
    let server = start(&launch);
    run(Ledger::settle(&ledger, &server)).unwrap_or_else(|finding| panic!("at last: {finding}"));
    drop(server);
    let told = std::fs::read_to_string(&launch.stderr).expect("stderr was kept");
    assert!(!told.contains("panicked at"), "a server panicked: {told}");
    announce(&format!(
        "crash: {kills} kills with seed {SEED}, {kills_with_acknowledgements} after an acknowledgement, \
         {kills_in_doubt} with a write in doubt, {} writes acknowledged, 0 lost, {:.0} s",
        ledger.lock().acknowledgements(),
        started.elapsed().as_secs_f64()
    ));
    assert!(
        kills_with_acknowledgements > kills / 4 && kills_in_doubt > kills / 4,
        "the test tests little: of {kills} kills {kills_with_acknowledgements} came after an acknowledgement, \
         {kills_in_doubt} in the middle of a write"
    );
}

fn start(launch: &Launch) -> Server {
    launch.start().unwrap_or_else(|_| {
        let told = std::fs::read_to_string(&launch.stderr).unwrap_or_default();
        panic!("the server does not start: {told}")
    })
}

/// Runs all clients until the server, after this time, is killed under them.
async fn load(number: usize, server: &Server, ledger: &Mutex<Ledger>, life: Duration, random: &mut StdRng) {
    let mut earlier = ledger.lock().present();
    earlier.retain(|id| id.starts_with("big") || id.starts_with('n'));
    let round = Round {
        number,
        server,
        ledger,
        earlier,
        is_killed: AtomicBool::new(false),
    };
    let mut clients: Vec<_> = LOAD
        .iter()
        .map(|operations| Box::pin(round.client(operations, StdRng::seed_from_u64(random.random()))))
        .collect();
    let clients = async {
        std::future::poll_fn(|context| {
            clients.retain_mut(|client| client.as_mut().poll(context).is_pending());
            if clients.is_empty() {
                std::task::Poll::Ready(())
            } else {
                std::task::Poll::Pending
            }
        })
        .await;
    };
    let killing = async {
        tokio::time::sleep(life).await;
        round.is_killed.store(true, Ordering::SeqCst);
        server.kill_now();
    };
    tokio::join!(clients, killing);
}
