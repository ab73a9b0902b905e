//! Threads that share the work of one step.
//!
//! Work is claimed piece by piece: a thread that the machine keeps from running holds up the others only with the piece
//! that it has begun, and when it comes late it finds the work done. A thread without work waits some ten microseconds
//! before it sleeps, so that the next piece of a step finds it awake.
#![expect(
    unsafe_code,
    reason = "work that borrows from its caller is handed to threads that live longer"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread::JoinHandle;

use parking_lot::{Condvar, Mutex};

/// Turns of a wait before a thread sleeps: about 50 microseconds.
const PATIENCE: u32 = 4_000;

/// What is done with each piece, by its number.
type Work<'a> = dyn Fn(usize) + Sync + 'a;

/// Threads that work for whoever calls [`Crew::run`], which works with them.
pub(crate) struct Crew {
    shared: Arc<Shared>,
    /// Held by the caller whose work is done.
    turn: Mutex<()>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    /// Goes up with every piece of work that is called out.
    round: AtomicU64,
    /// The work that may be joined.
    open: Mutex<Option<Open>>,
    wake: Condvar,
    sleeping: AtomicUsize,
    /// The next piece to be claimed.
    next: AtomicUsize,
    /// Threads that joined the open work and did not leave it yet.
    inside: AtomicUsize,
    /// Whether a caller sleeps until the last of them leaves.
    is_awaited: AtomicBool,
    all_left: Condvar,
    has_failed: AtomicBool,
    is_over: AtomicBool,
}

#[derive(Clone, Copy)]
struct Open {
    work: *const Work<'static>,
    pieces: usize,
}

// SAFETY: the work is `Sync`, and `Crew::run` keeps it alive until no thread is inside.
unsafe impl Send for Open {}

impl Crew {
    /// Starts a crew that computes on so many threads, the caller's included.
    pub(crate) fn new(threads: usize) -> Self {
        let shared = Arc::new(Shared::default());
        let threads = (1..threads).filter_map(|at| {
            let shared = Arc::clone(&shared);
            let thread = std::thread::Builder::new().name(format!("compute-{at}"));
            // Whoever calls works too: with fewer threads it takes longer.
            thread.spawn(move || shared.serve()).ok()
        });
        Self {
            threads: threads.collect(),
            shared,
            turn: Mutex::new(()),
        }
    }

    /// Returns on how many threads it computes.
    pub(crate) fn threads(&self) -> usize {
        self.threads.len() + 1
    }

    /// Does all pieces of work, each once, in any order and on any thread.
    pub(crate) fn run(&self, pieces: usize, work: &Work<'_>) {
        if self.threads.is_empty() || pieces < 2 {
            (0..pieces).for_each(work);
            return;
        }
        let _turn = self.turn.lock();
        let shared = &*self.shared;
        #[expect(clippy::transmute_ptr_to_ptr, reason = "a cast cannot change the lifetime")]
        // SAFETY: only the lifetime changes, and `Closing` waits for all who use it before this function is left.
        let work = unsafe { std::mem::transmute::<*const Work<'_>, *const Work<'static>>(std::ptr::from_ref(work)) };
        let open = Open { work, pieces };
        shared.next.store(0, Ordering::Relaxed);
        shared.has_failed.store(false, Ordering::Relaxed);
        *shared.open.lock() = Some(open);
        shared.round.fetch_add(1, Ordering::SeqCst);
        if shared.sleeping.load(Ordering::SeqCst) > 0 {
            let _open = shared.open.lock();
            shared.wake.notify_all();
        }
        let closing = Closing(shared);
        shared.take(open);
        drop(closing);
        assert!(
            !shared.has_failed.load(Ordering::Relaxed),
            "a thread that computes with others failed"
        );
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::SeqCst);
        self.shared.round.fetch_add(1, Ordering::SeqCst);
        {
            let _open = self.shared.open.lock();
            self.shared.wake.notify_all();
        }
        for thread in self.threads.drain(..) {
            // A thread that failed has been reported to whose work it was.
            let _ = thread.join();
        }
    }
}

/// Lets no one else join, and waits for those inside, whatever happens to the caller.
struct Closing<'a>(&'a Shared);

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        let shared = self.0;
        *shared.open.lock() = None;
        for _ in 0..PATIENCE {
            if shared.inside.load(Ordering::Acquire) == 0 {
                return;
            }
            std::hint::spin_loop();
        }
        // The machine keeps one of them from running: turning on would take the core that it waits for.
        shared.is_awaited.store(true, Ordering::SeqCst);
        let mut open = shared.open.lock();
        while shared.inside.load(Ordering::SeqCst) > 0 {
            shared.all_left.wait(&mut open);
        }
        shared.is_awaited.store(false, Ordering::SeqCst);
    }
}

/// Counts a thread out, whatever happens to it.
struct Leaving<'a>(&'a Shared);

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.has_failed.store(true, Ordering::Relaxed);
        }
        let shared = self.0;
        if shared.inside.fetch_sub(1, Ordering::SeqCst) == 1 && shared.is_awaited.load(Ordering::SeqCst) {
            let _open = shared.open.lock();
            shared.all_left.notify_all();
        }
    }
}

impl Shared {
    fn take(&self, open: Open) {
        loop {
            let piece = self.next.fetch_add(1, Ordering::Relaxed);
            if piece >= open.pieces {
                return;
            }
            // SAFETY: who is here is the caller or is counted in `inside`, so the work is alive.
            unsafe { (*open.work)(piece) };
        }
    }

    fn serve(&self) {
        let mut seen = 0;
        while !self.is_over.load(Ordering::Relaxed) {
            self.await_round(&mut seen);
            let joined = {
                let open = self.open.lock();
                // Under the lock, so that closing sees it.
                self.inside.fetch_add(usize::from(open.is_some()), Ordering::Relaxed);
                *open
            };
            if let Some(open) = joined {
                let _leaving = Leaving(self);
                self.take(open);
            }
        }
    }

    fn await_round(&self, seen: &mut u64) {
        for _ in 0..PATIENCE {
            if self.has_round_after(seen) {
                return;
            }
            std::hint::spin_loop();
        }
        let mut open = self.open.lock();
        self.sleeping.fetch_add(1, Ordering::SeqCst);
        while !self.has_round_after(seen) {
            self.wake.wait(&mut open);
        }
        self.sleeping.fetch_sub(1, Ordering::SeqCst);
    }

    fn has_round_after(&self, seen: &mut u64) -> bool {
        let round = self.round.load(Ordering::SeqCst);
        let is_new = round != *seen;
        *seen = round;
        is_new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_piece_is_done_once() {
        for threads in [1, 2, 5] {
            let crew = Crew::new(threads);
            for pieces in [0, 1, 2, 7, 1_000] {
                let done: Vec<AtomicUsize> = (0..pieces).map(|_| AtomicUsize::new(0)).collect();
                crew.run(pieces, &|piece| {
                    done[piece].fetch_add(1, Ordering::Relaxed);
                });
                assert!(
                    done.iter().all(|times| times.load(Ordering::Relaxed) == 1),
                    "{threads} {pieces}"
                );
            }
        }
    }

    #[test]
    fn callers_take_turns() {
        let crew = Crew::new(3);
        let done = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        crew.run(5, &|_| {
                            done.fetch_add(1, Ordering::Relaxed);
                        });
                    }
                });
            }
        });
        assert_eq!(done.into_inner(), 4 * 200 * 5);
    }

    #[test]
    fn failures_reach_the_caller_alone() {
        let crew = Crew::new(2);
        for failing in 0..8 {
            let failed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                crew.run(8, &|piece| assert_ne!(piece, failing, "this one fails"));
            }));
            assert!(failed.is_err());
        }
        let done = AtomicUsize::new(0);
        crew.run(9, &|_| {
            done.fetch_add(1, Ordering::Relaxed);
        });
        assert_eq!(done.into_inner(), 9);
    }
}
