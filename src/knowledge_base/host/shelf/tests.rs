//! Tests of models that come and go.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use super::*;
use crate::generate::{Error as GenerateError, Message, ScriptedModel, Sequence};
use crate::knowledge_base::ErrorKind;

/// Longer than any test takes.
const LONG: Duration = Duration::from_mins(10);

/// A model that takes so much, and tells who else is there.
struct Heavy {
    inner: ScriptedModel,
    bytes: u64,
    held: Arc<AtomicU64>,
}

impl Drop for Heavy {
    fn drop(&mut self) {
        self.held.fetch_sub(self.bytes, Ordering::SeqCst);
    }
}

impl LanguageModel for Heavy {
    fn model_id(&self) -> &'static str {
        "heavy"
    }
    fn model_hash(&self) -> &str {
        self.inner.model_hash()
    }
    fn context_tokens(&self) -> usize {
        self.inner.context_tokens()
    }
    fn render(&self, messages: &[Message]) -> Result<String, GenerateError> {
        self.inner.render(messages)
    }
    fn encode(&self, text: &str) -> Result<Vec<u32>, GenerateError> {
        self.inner.encode(text)
    }
    fn token_bytes(&self, token: u32) -> Vec<u8> {
        self.inner.token_bytes(token)
    }
    fn is_end(&self, token: u32) -> bool {
        self.inner.is_end(token)
    }
    fn start(&self) -> Result<Box<dyn Sequence>, GenerateError> {
        self.inner.start()
    }
    fn memory_bytes(&self) -> u64 {
        self.bytes
    }
}

/// A shelf for models whose memory is watched.
struct Watched {
    shelf: Shelf,
    held: Arc<AtomicU64>,
    most: AtomicU64,
    loads: AtomicUsize,
    left: Mutex<usize>,
}

impl Watched {
    fn new(budget: u64) -> Self {
        Self::waiting(budget, Duration::ZERO)
    }

    /// One that waits so long for those in use.
    fn waiting(budget: u64, patience: Duration) -> Self {
        Self {
            shelf: Shelf {
                patience,
                ..Shelf::new(budget, std::iter::empty())
            },
            held: Arc::default(),
            most: AtomicU64::new(0),
            loads: AtomicUsize::new(0),
            left: Mutex::new(0),
        }
    }

    /// Loads a model that was said to take so much, and takes so much.
    fn load(&self, id: &str, predicted: u64, bytes: u64) -> Result<Model, Error> {
        self.load_for(&Cancel::new(), id, predicted, bytes)
    }

    fn load_for(&self, cancel: &Cancel, id: &str, predicted: u64, bytes: u64) -> Result<Model, Error> {
        self.shelf
            .get_or_load(Modality::Text, id, cancel, &|_| *self.left.lock() += 1, || {
                let load = || {
                    self.loads.fetch_add(1, Ordering::SeqCst);
                    let held = self.held.fetch_add(bytes, Ordering::SeqCst) + bytes;
                    self.most.fetch_max(held, Ordering::SeqCst);
                    std::thread::yield_now();
                    Ok(Model::Language(Arc::new(Heavy {
                        inner: ScriptedModel::new(["yes"]),
                        bytes,
                        held: Arc::clone(&self.held),
                    })))
                };
                Ok((predicted, load))
            })
    }

    fn is_loaded(&self, id: &str) -> bool {
        self.shelf.described(Modality::Text, id).is_some()
    }
}

#[test]
fn the_least_recently_used_leaves_for_the_third() {
    let watched = Watched::new(100);
    for id in ["a", "b", "a"] {
        watched.load(id, 40, 40).expect("it fits");
    }
    watched.load("c", 40, 40).expect("one leaves");
    assert_eq!(["a", "b", "c"].map(|id| watched.is_loaded(id)), [true, false, true]);
    assert_eq!((*watched.left.lock(), watched.held.load(Ordering::SeqCst)), (1, 80));
    watched.load("b", 40, 40).expect("it comes back");
    assert_eq!(["a", "b", "c"].map(|id| watched.is_loaded(id)), [false, true, true]);
    assert_eq!(watched.loads.load(Ordering::SeqCst), 4);
    assert_eq!(watched.shelf.memory(), (100, 80));
}

#[test]
fn used_and_pinned_models_stay() {
    let watched = Watched::new(100);
    let used = watched.load("used", 40, 40).expect("it fits");
    watched.load("pinned", 40, 40).expect("it fits");
    watched.shelf.pin(Modality::Text, "pinned");
    let check = |held: &str| {
        let error = watched.load("new", 40, 40).map(drop).expect_err("there is no room");
        assert_eq!(error.reason, "MODEL_MEMORY_EXHAUSTED");
        assert!(error.message.contains(held), "{error}");
    };
    check("`used` 1 MiB (in use)");
    check("`pinned` 1 MiB (pinned)");
    // Taken out, it counts until its last user ends.
    assert!(watched.shelf.take(Modality::Text, "used").is_some());
    check("`used` 1 MiB (in use)");
    assert_eq!(watched.shelf.memory().1, 80);
    drop(used);
    watched.load("new", 40, 40).expect("now there is room");
    // Taking a pinned one out unpins it.
    drop(watched.shelf.take(Modality::Text, "pinned"));
    watched.load("pinned", 40, 40).expect("it fits");
    watched.load("other", 40, 40).expect("one leaves");
    watched.load("another", 40, 40).expect("one leaves");
    assert!(!watched.is_loaded("pinned"));
}

#[test]
fn model_larger_than_was_predicted_makes_more_room_or_goes() {
    let watched = Watched::new(100);
    watched.load("a", 40, 40).expect("it fits");
    watched.load("b", 30, 70).expect("the other leaves");
    assert_eq!(["a", "b"].map(|id| watched.is_loaded(id)), [false, true]);
    let error = watched
        .load("c", 20, 120)
        .map(drop)
        .expect_err("it is larger than all there is");
    assert_eq!(error.reason, "MODEL_MEMORY_EXHAUSTED");
    assert!(!watched.is_loaded("c"));
    let (_, held) = watched.shelf.memory();
    assert_eq!(
        held,
        watched.held.load(Ordering::SeqCst),
        "what was set aside for it is given back"
    );
    watched.load("c", 20, 20).expect("it can be tried again");
}

#[test]
fn failed_loads_leave_nothing_behind() {
    let watched = Watched::new(100);
    let failing = watched
        .shelf
        .get_or_load(Modality::Text, "broken", &Cancel::new(), &|_| {}, || {
            Ok((60, || Err(Error::invalid("model", "is broken"))))
        });
    assert!(failing.is_err());
    assert_eq!(watched.shelf.memory().1, 0);
    watched.load("whole", 60, 60).expect("it fits");
}

#[test]
fn models_that_are_loaded_together_take_turns_and_do_not_overshoot() {
    let watched = Watched::waiting(100, LONG);
    std::thread::scope(|scope| {
        for thread in 0..6_usize {
            let watched = &watched;
            scope.spawn(move || {
                for turn in 0..60_usize {
                    let id = ["a", "b", "c", "d"][(thread + turn) % 4];
                    watched.load(id, 40, 40).map(drop).expect("others end soon");
                }
            });
        }
    });
    assert!(watched.most.load(Ordering::SeqCst) <= 100);
    assert_eq!(watched.shelf.memory().1, watched.held.load(Ordering::SeqCst));
    assert!(watched.loads.load(Ordering::SeqCst) > 0);
    watched.load("last", 100, 100).expect("nobody uses the others");
}

#[test]
fn waiting_ends_with_the_wish_and_where_there_is_no_hope() {
    let watched = Watched::waiting(100, LONG);
    let used = watched.load("used", 60, 60).expect("it fits");
    let cancel = Cancel::new();
    cancel.cancel();
    let load = || watched.load_for(&cancel, "new", 60, 60).map(drop);
    assert_eq!(load().expect_err("nobody wants it").kind, ErrorKind::Cancelled);
    // A pinned model stays when its users end.
    watched.shelf.pin(Modality::Text, "used");
    assert_eq!(load().expect_err("no room").reason, "MODEL_MEMORY_EXHAUSTED");
    assert_eq!(watched.shelf.memory().1, 60, "nothing is left set aside");
    drop(used);
}

#[test]
fn those_who_ask_together_share_one_load() {
    let watched = Watched::new(100);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| watched.load("one", 60, 60).map(drop).expect("it fits"));
        }
    });
    assert_eq!(watched.loads.load(Ordering::SeqCst), 1);
}
