//! Hits to an answer.
//!
//! Comes in: a question and its hits. Goes out: [`AnswerEvent`]s: references, text, citations, a summary.
//! Always holds: a citation names a passage that was offered, and its source span is found in that passage.
//! Not here: searching, storage, the wire.

mod answer;
mod attribution;
mod candle;
mod chat_template;
mod citation;
mod context;
mod decline;
mod decode;
mod decompose;
#[cfg(target_arch = "x86_64")]
mod engine;
#[cfg(test)]
mod fixture;
mod grounding;
mod implicit_filter;
mod judge;
mod prompt;
mod quote;
mod rank;
mod relevance;
mod rewrite;
mod sampler;
mod scripted;
mod sentence;
mod stop;
mod text;
mod words;

use std::time::Duration;

use crate::document::ByteSpan;
pub use crate::models::AnswerStyle;
use crate::retrieve::Hit;
use crate::worker::{Cancel, Stopped};
pub use answer::{Asked, answer, answer_nothing};
pub use candle::{CandleModel, SUPPORTED_ARCHITECTURES};
pub use decompose::{MAX_PARTS, parts, sees_one_part};
pub use implicit_filter::{FilterQuestion, RejectedClause};
pub use judge::PrefixCache;
pub use relevance::{MIN_COSINE, MIN_COVERAGE, MIN_COVERAGE_ALONE, no_answer_text, relevance};
pub use rewrite::Draft;
pub use scripted::ScriptedModel;

/// How tokens are drawn. Valid once built.
#[derive(Debug, Clone, PartialEq)]
pub struct Inference {
    /// 0 takes the likeliest token. 0 to 2.
    pub temperature: f64,
    /// Above 0, up to 1.
    pub top_p: f64,
    /// Tokens to produce at most, 1 to 4096.
    pub max_tokens: usize,
    /// Texts that end the answer.
    pub stop_sequences: Vec<String>,
    /// Seed of the draws.
    pub seed: u64,
    /// How the answer is worded; nothing takes the model's own style, or free words above temperature 0.
    pub style: Option<AnswerStyle>,
}

impl Default for Inference {
    fn default() -> Self {
        Self {
            temperature: 0.0,
            top_p: 1.0,
            max_tokens: 256,
            stop_sequences: Vec::new(),
            seed: 0,
            style: None,
        }
    }
}

/// Why generation failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The caller wants no more.
    #[error(transparent)]
    Stopped(#[from] Stopped),
    /// The model's file cannot be used.
    #[error("cannot use the language model {file}: {reason}")]
    Model {
        /// Path of the file.
        file: String,
        /// What is wrong with it, and what would be right.
        reason: String,
    },
    /// The question alone does not fit the model's context window.
    #[error("the question takes {tokens} tokens, the model's context window leaves {room} for it")]
    QuestionTooLong {
        /// Tokens of the question.
        tokens: usize,
        /// Tokens that are left for it.
        room: usize,
    },
    /// The model failed on these tokens.
    #[error("the language model failed")]
    Inference(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// A message of a chat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// What is said.
    pub content: String,
}

/// Who speaks in a chat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The rules of the conversation.
    System,
    /// The caller.
    User,
    /// The model.
    Assistant,
}

/// A language model that is in memory: tokens in, logits out.
pub trait LanguageModel: Send + Sync {
    /// Returns its id in the catalog.
    fn model_id(&self) -> &str;
    /// Returns the SHA-256 of its file, in lowercase hexadecimal.
    fn model_hash(&self) -> &str;
    /// Returns how many tokens a sequence may have.
    fn context_tokens(&self) -> usize;
    /// Renders a chat as the model was trained to read it, ending where the assistant begins to speak.
    fn render(&self, messages: &[Message]) -> Result<String, Error>;
    /// Turns text into tokens; special tokens are recognised in it.
    fn encode(&self, text: &str) -> Result<Vec<u32>, Error>;
    /// Turns tokens into bytes, which may end inside a character. Special tokens give nothing.
    fn token_bytes(&self, token: u32) -> Vec<u8>;
    /// Returns how its answers are worded unless the caller says otherwise.
    fn answer_style(&self) -> AnswerStyle {
        AnswerStyle::Free
    }
    /// Returns whether the token ends an answer.
    fn is_end(&self, token: u32) -> bool;
    /// Begins an empty sequence with a cache of its own.
    fn start(&self) -> Result<Box<dyn Sequence>, Error>;
    /// Begins a sequence that has read the first tokens of a prompt, as many as other sequences left behind but never all,
    /// and tells how many. It leaves something behind only if nothing was forgotten since `time`.
    fn start_with(&self, _prompt: &[u32], _time: PromptTime) -> Result<(Box<dyn Sequence>, usize), Error> {
        Ok((self.start()?, 0))
    }
    /// Returns the time to be given to [`LanguageModel::start_with`], taken before a prompt's texts are looked up.
    fn prompt_time(&self) -> PromptTime {
        PromptTime::default()
    }
    /// Gives up what sequences left behind, those too that are still being read: an erasure asks for it.
    fn forget_prompts(&self) {}
}

/// How often a model had forgotten its prompts; nothing keeps nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PromptTime(pub(crate) Option<u64>);

/// A sequence that a model has read so far.
pub trait Sequence: Send {
    /// Waits for its turn, reads more tokens, and returns the logits after the last: one for each token of the vocabulary.
    /// Looks at `cancel` before it begins.
    fn feed(&mut self, tokens: &[u32], cancel: &Cancel) -> Result<Vec<f32>, Error>;
    /// Leaves what it has read behind for others that begin alike, where that can be kept.
    fn keep(&self) {}
    /// Returns another sequence that has read the same; nothing where that must be read again.
    fn fork(&self) -> Option<Box<dyn Sequence>> {
        None
    }
}

/// How an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopReason {
    /// The model ended it.
    EndTurn,
    /// The limit of tokens was reached.
    MaxTokens,
    /// A stop sequence came.
    StopSequence,
    /// There is no answer: no model was called, or what it said is not one.
    NoAnswer,
    /// The context window was full.
    ContextWindowExceeded,
}

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoAnswerReason {
    /// The knowledge base is empty.
    EmptyKnowledgeBase,
    /// Nothing passes filter and threshold.
    NoResults,
    /// Nothing retrieved is relevant enough.
    NotRelevant,
    /// The model said that the passages do not hold the answer.
    ModelDeclined,
    /// Nothing that the model wrote is supported by a passage.
    NotSupported,
}

/// Who tied a sentence to its source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CitationOrigin {
    /// The model wrote the mark, and the source supports the sentence.
    Model,
    /// The source that supports the sentence best was found afterwards.
    Attributed,
}

/// Ties a sentence of the answer to a sentence of a passage.
#[derive(Debug, Clone, PartialEq)]
pub struct Citation {
    /// Number of the passage, from 1.
    pub reference_number: u32,
    /// Range of the sentence in the answer's text, its mark included.
    pub answer_span: ByteSpan,
    /// The sentence with its mark.
    pub answer_text: String,
    /// Range of the supporting sentence in the text of the passage's document.
    pub source_span: ByteSpan,
    /// The supporting sentence.
    pub source_text: String,
    /// Weighted share of the sentence's content words that the source holds, 0 to 1.
    pub support: f64,
    /// Who tied them.
    pub origin: CitationOrigin,
}

/// A passage that is offered to the model.
#[derive(Debug, Clone, PartialEq)]
pub struct Reference {
    /// Its number in the prompt, from 1.
    pub number: u32,
    /// The hit.
    pub hit: Hit,
}

/// What made an answer.
#[derive(Debug, Clone, PartialEq)]
pub struct GenerationSummary {
    /// How it ended.
    pub stop_reason: StopReason,
    /// Why there is no answer, if so.
    pub no_answer_reason: Option<NoAnswerReason>,
    /// Tokens of the prompt.
    pub input_tokens: u64,
    /// Tokens produced.
    pub output_tokens: u64,
    /// Reading the prompt.
    pub prefill: Duration,
    /// Producing tokens after the first.
    pub decode: Duration,
    /// From the start of generation to the first token.
    pub time_to_first_token: Option<Duration>,
}

/// One event of an answer in the making.
#[derive(Debug, Clone, PartialEq)]
pub enum AnswerEvent {
    /// The passages that the model is offered. First, once.
    References(Vec<Reference>),
    /// The next piece of text.
    Text(String),
    /// A citation of a sentence that is complete.
    Citation(Citation),
}

/// Where events go. Returning an error ends the generation.
pub type Sink<'a> = dyn FnMut(AnswerEvent) -> Result<(), Stopped> + 'a;
