//! What a meter lets through: all of it.

use super::super::{Bounds, Scheduler, Wanted};
use super::*;
use crate::generate::ScriptedModel;

/// A model whose answers are none of the defaults, and that notes what it is told.
#[derive(Default)]
struct Odd(Arc<Mutex<Vec<&'static str>>>);

struct OddSequence(Arc<Mutex<Vec<&'static str>>>);

impl LanguageModel for Odd {
    fn model_id(&self) -> &'static str {
        "odd"
    }

    fn model_hash(&self) -> &'static str {
        "hash"
    }

    fn file(&self) -> Option<&Path> {
        Some(Path::new("file"))
    }

    fn context_tokens(&self) -> usize {
        11
    }

    fn render(&self, _messages: &[Message]) -> Result<String, Error> {
        Ok("rendered".to_owned())
    }

    fn render_with_tools(&self, _messages: &Value, _tools: &Value) -> Result<Option<String>, Error> {
        Ok(Some("with tools".to_owned()))
    }

    fn constraint_vocabulary(&self) -> Option<Arc<ConstraintVocabulary>> {
        ScriptedModel::new(["one two"]).constraint_vocabulary()
    }

    fn encode(&self, _text: &str) -> Result<Vec<u32>, Error> {
        Ok(vec![5])
    }

    fn token_bytes(&self, _token: u32) -> Vec<u8> {
        vec![9]
    }

    fn answer_style(&self) -> AnswerStyle {
        AnswerStyle::Quoted
    }

    fn is_end(&self, _token: u32) -> bool {
        true
    }

    fn memory_bytes(&self) -> u64 {
        3
    }

    fn start(&self) -> Result<Box<dyn Sequence>, Error> {
        Ok(Box::new(OddSequence(Arc::clone(&self.0))))
    }

    fn start_with(&self, _prompt: &[u32], time: PromptTime) -> Result<(Box<dyn Sequence>, usize), Error> {
        assert_eq!(time, self.prompt_time());
        Ok((self.start()?, 2))
    }

    fn prompt_time(&self) -> PromptTime {
        PromptTime(Some(4))
    }

    fn forget_prompts(&self) {
        self.0.lock().push("forget_prompts");
    }
}

impl Sequence for OddSequence {
    fn feed(&mut self, _tokens: &[u32], _cancel: &Cancel) -> Result<Vec<f32>, Error> {
        Ok(vec![1.0])
    }

    fn feed_each(&mut self, _tokens: &[u32], _cancel: &Cancel) -> Result<Vec<Vec<f32>>, Error> {
        Ok(vec![vec![2.0]])
    }

    fn room_ahead(&self) -> usize {
        6
    }

    fn rewind(&mut self, _tokens: usize) {
        self.0.lock().push("rewind");
    }

    fn keep(&self, _tokens: usize, _held: Duration) -> bool {
        self.0.lock().push("keep");
        true
    }

    fn fork(&self) -> Option<Box<dyn Sequence>> {
        self.0.lock().push("fork");
        Some(Box::new(Self(Arc::clone(&self.0))))
    }
}

fn check_sequence(mut sequence: Box<dyn Sequence>) {
    let cancel = Cancel::new();
    assert_eq!(sequence.feed(&[1, 2], &cancel).expect("it is read"), [1.0]);
    assert_eq!(sequence.feed_each(&[1, 2], &cancel).expect("it is read"), [[2.0]]);
    assert_eq!(sequence.room_ahead(), 6);
    sequence.rewind(1);
    assert!(sequence.keep(1, Duration::ZERO));
    assert!(sequence.fork().is_some());
}

#[test]
fn every_method_reaches_the_model() {
    let bounds = Bounds {
        slots: 1,
        max_waiting: 0,
        max_waiting_per_tenant: 0,
        max_tokens: 1_000,
    };
    let scheduler = Scheduler::bounded(bounds);
    let wanted = Wanted {
        model_id: "odd",
        prompt_bytes: 1,
        max_tokens: 1,
        context_tokens: 100,
    };
    let slot = scheduler.enter(wanted, &Cancel::new()).expect("it is free");
    let odd = Odd::default();
    let metered = slot.metered(&odd);
    assert_eq!((metered.model_id(), metered.model_hash()), ("odd", "hash"));
    assert_eq!(
        (metered.file(), metered.context_tokens()),
        (Some(Path::new("file")), 11)
    );
    assert_eq!(metered.render(&[]).expect("a text"), "rendered");
    let with_tools = metered.render_with_tools(&Value::Null, &Value::Null);
    assert_eq!(with_tools.expect("a text").as_deref(), Some("with tools"));
    assert!(metered.constraint_vocabulary().is_some());
    assert_eq!(
        (metered.encode("").expect("tokens"), metered.token_bytes(0)),
        (vec![5], vec![9])
    );
    assert_eq!((metered.answer_style(), metered.is_end(0)), (AnswerStyle::Quoted, true));
    assert_eq!(
        (metered.memory_bytes(), metered.prompt_time()),
        (3, PromptTime(Some(4)))
    );
    metered.forget_prompts();
    check_sequence(metered.start().expect("a sequence"));
    let (sequence, known) = metered
        .start_with(&[1, 2, 3], metered.prompt_time())
        .expect("a sequence");
    assert_eq!(known, 2);
    check_sequence(sequence);
    let told = ["rewind", "keep", "fork"];
    assert_eq!(*odd.0.lock(), [&["forget_prompts"][..], &told, &told].concat());
    slot.finish(None);
}
