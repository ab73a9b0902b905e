//! What reading ahead saves: the same texts written with it and without, in turns.
//!
//! `cargo bench -- ahead`: answers in free words to questions about the handbook, and conversations that repeat, correct or
//! shorten a document.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use groundwork::generate::{
    AnswerStyle, Asking, CandleModel, ConverseEvent, Dialogue, Error, Inference, LanguageModel, Message, PromptTime,
    Role, Sequence, converse,
};
use groundwork::knowledge_base::{Groundwork, ProvidedModels, Question, ReadAt};
use groundwork::retrieve::Query;
use groundwork::worker::{Cancel, ComputeGate, ServiceTier};

use crate::{decoder, handbook, report};

const QUESTIONS: usize = 20;
const TASKS: [&str; 3] = [
    "Repeat this text word for word.",
    "Correct the spelling of this text and change nothing else.",
    "Summarise this text in three sentences.",
];

pub(crate) fn run() {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let installed = decoder::installed(None);
    let model = CandleModel::open(&installed, threads, Arc::new(ComputeGate::default())).expect("the model opens");
    let model: Arc<dyn LanguageModel> = Arc::new(model);
    let plain: Arc<dyn LanguageModel> = Arc::new(Plain(Arc::clone(&model)));
    println!("\nahead: each text written with it and without, in turns");
    let homes = [(); 2].map(|()| tempfile::tempdir().expect("a temporary directory"));
    let (with, without) = (answering(&model, homes[0].path()), answering(&plain, homes[1].path()));
    let questions = handbook::questions();
    let questions = questions.iter().step_by(questions.len() / QUESTIONS).take(QUESTIONS);
    let mut rates = Rates::default();
    for question in questions {
        rates.add(answer(&with, &question.text), answer(&without, &question.text));
    }
    rates.report("answers in free words");
    let documents = handbook::documents("");
    for task in TASKS {
        let mut rates = Rates::default();
        for document in documents.iter().step_by(documents.len() / 5).take(5) {
            let text: String = String::from_utf8_lossy(&document.bytes).chars().take(1_200).collect();
            rates.add(written(&*model, task, &text), written(&*plain, task, &text));
        }
        rates.report(task);
    }
}

/// A text, its tokens, and the time after the first of them.
type Written = (String, u64, Duration);

#[derive(Default)]
struct Rates {
    with: (u64, Duration),
    without: (u64, Duration),
}

impl Rates {
    fn add(&mut self, with: Written, without: Written) {
        assert_eq!(with.0, without.0, "reading ahead changes nothing");
        let add = |sum: &mut (u64, Duration), written: Written| {
            sum.0 += written.1.saturating_sub(1);
            sum.1 += written.2;
        };
        add(&mut self.with, with);
        add(&mut self.without, without);
    }

    fn report(&self, what: &str) {
        let rate = |(tokens, time): (u64, Duration)| tokens as f64 / time.as_secs_f64();
        report(&format!("ahead, {what}"), rate(self.with), "tokens/s");
        report("  without", rate(self.without), "tokens/s");
        report("  times that", rate(self.with) / rate(self.without), "");
    }
}

fn answering(model: &Arc<dyn LanguageModel>, home: &Path) -> Groundwork {
    let mut settings = handbook::settings(home);
    model.model_id().clone_into(&mut settings.language_model_id);
    let provided = ProvidedModels {
        language_models: vec![Arc::clone(model)],
        ..ProvidedModels::default()
    };
    let groundwork = Groundwork::open_with(settings, provided).expect("it opens");
    handbook::ingest(&groundwork, "handbook", handbook::documents(""));
    groundwork
}

fn answer(groundwork: &Groundwork, text: &str) -> Written {
    let question = Question {
        query: Query::new(text.to_owned()),
        model_id: String::new(),
        inference: Inference {
            max_tokens: 96,
            style: Some(AnswerStyle::Free),
            ..Inference::default()
        },
        at: ReadAt::default(),
        service_tier: ServiceTier::default(),
    };
    let mut written = String::new();
    let summary = groundwork.answer("handbook", &question, &Cancel::new(), &mut |event| {
        if let groundwork::generate::AnswerEvent::Text(piece) = event {
            written.push_str(&piece);
        }
        Ok(())
    });
    let summary = summary.expect("an answer").generation;
    (written, summary.output_tokens, summary.decode)
}

fn written(model: &dyn LanguageModel, task: &str, text: &str) -> Written {
    let dialogue = Dialogue::from(vec![Message {
        role: Role::User,
        content: format!("{task}\n\n{text}"),
    }]);
    let inference = Inference {
        max_tokens: 160,
        ..Inference::default()
    };
    let mut written = String::new();
    let conversed = converse(
        model,
        Asking::Dialogue(&dialogue),
        &inference,
        &Cancel::new(),
        &mut |event| {
            if let ConverseEvent::Piece { text, .. } = event {
                written.push_str(&text);
            }
            Ok(())
        },
    );
    let spent = conversed.expect("a message").spent;
    (written, spent.output_tokens, spent.decode)
}

/// A model that never reads ahead.
struct Plain(Arc<dyn LanguageModel>);

impl LanguageModel for Plain {
    fn model_id(&self) -> &str {
        self.0.model_id()
    }
    fn model_hash(&self) -> &str {
        self.0.model_hash()
    }
    fn context_tokens(&self) -> usize {
        self.0.context_tokens()
    }
    fn render(&self, messages: &[Message]) -> Result<String, Error> {
        self.0.render(messages)
    }
    fn encode(&self, text: &str) -> Result<Vec<u32>, Error> {
        self.0.encode(text)
    }
    fn token_bytes(&self, token: u32) -> Vec<u8> {
        self.0.token_bytes(token)
    }
    fn answer_style(&self) -> AnswerStyle {
        self.0.answer_style()
    }
    fn is_end(&self, token: u32) -> bool {
        self.0.is_end(token)
    }
    fn start(&self) -> Result<Box<dyn Sequence>, Error> {
        Ok(Box::new(PlainSequence(self.0.start()?)))
    }
    fn start_with(&self, prompt: &[u32], time: PromptTime) -> Result<(Box<dyn Sequence>, usize), Error> {
        let (sequence, known) = self.0.start_with(prompt, time)?;
        Ok((Box::new(PlainSequence(sequence)), known))
    }
    fn prompt_time(&self) -> PromptTime {
        self.0.prompt_time()
    }
}

struct PlainSequence(Box<dyn Sequence>);

impl Sequence for PlainSequence {
    fn feed(&mut self, tokens: &[u32], cancel: &Cancel) -> Result<Vec<f32>, Error> {
        self.0.feed(tokens, cancel)
    }
    fn keep(&self, tokens: usize, held: Duration) -> bool {
        self.0.keep(tokens, held)
    }
}
