//! Hits to an answer.
//!
//! Comes in: a question and its hits. Goes out: [`AnswerEvent`]s: references, text, citations, a summary.
//! Always holds: a citation names a passage that was offered, and its source span is found in that passage.
//! Not here: searching, storage, the wire.

mod answer;
mod attribution;
mod call_reader;
mod candle;
mod chat_template;
mod citation;
mod constraint;
mod context;
mod converse;
mod decline;
mod decode;
mod decompose;
mod dialogue;
#[cfg(target_arch = "x86_64")]
mod engine;
#[cfg(test)]
mod fixture;
mod grounding;
mod implicit_filter;
mod json_text;
mod judge;
mod logprob;
mod lookup;
mod mark;
mod penalty;
mod prompt;
mod quote;
mod rank;
mod relevance;
mod repeated_call;
mod rewrite;
mod sampler;
mod scripted;
mod sentence;
mod stop;
mod text;
mod tool;
mod transformer;
mod words;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::document::ByteSpan;
pub use crate::models::AnswerStyle;
use crate::retrieve::Hit;
use crate::worker::{Cancel, Stopped};
pub use answer::{Asked, answer, answer_nothing};
pub use candle::{CandleModel, SUPPORTED_ARCHITECTURES};
pub use constraint::{ConstraintPart, ConstraintVocabulary, MAX_SCHEMA_BYTES, SchemaError, Shape, parse_schema};
pub use converse::{Asking, ConverseEvent, Conversed, Interrupted, Spent, converse};
pub use decompose::{MAX_PARTS, parts, sees_one_part};
pub use dialogue::{Dialogue, Part, Speech, Tools, conversation_tokens};
pub use implicit_filter::{FilterQuestion, RejectedClause};
pub use judge::PrefixCache;
pub use logprob::{ChosenToken, TokenLogprob};
pub use relevance::{MIN_COSINE, MIN_COVERAGE, MIN_COVERAGE_ALONE, no_answer_text, relevance};
pub use rewrite::Draft;
pub use scripted::ScriptedModel;
pub use tool::{Tool, ToolChoice, ToolResult, ToolUse};

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
    /// Draws from so many of the likeliest tokens; 0 from all. To 1000.
    pub top_k: usize,
    /// Leaves out tokens less likely than this share of the likeliest one. 0 to 1.
    pub min_p: f64,
    /// Makes tokens that were read or written already less likely, or more below 1. Above 0, up to 2.
    pub repetition_penalty: f64,
    /// Taken from the logit of each token that was written already. -2 to 2.
    pub presence_penalty: f64,
    /// Taken from the logit of a token as often as it was written already. -2 to 2.
    pub frequency_penalty: f64,
    /// Added to the logits of tokens, by their ids. -100 to 100.
    pub logit_bias: Vec<(u32, f64)>,
    /// How many of the likeliest tokens to tell for each place, with what the model gave each of them; nothing tells none,
    /// not even the chosen one. To 20.
    pub logprobs: Option<usize>,
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
            top_k: 0,
            min_p: 0.0,
            repetition_penalty: 1.0,
            presence_penalty: 0.0,
            frequency_penalty: 0.0,
            logit_bias: Vec::new(),
            logprobs: None,
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
    /// The model's file cannot be used, or what was read from it gives no numbers.
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
    /// The conversation alone does not fit the model's context window.
    #[error("the conversation takes {tokens} tokens, the model's context window has {window}: leave some of it out")]
    ConversationTooLong {
        /// Tokens of the conversation.
        tokens: usize,
        /// Tokens that the window has.
        window: usize,
    },
    /// There is not one token to go on from.
    #[error("there is nothing to read: give some text")]
    NothingToRead,
    /// The model's chat template has no form for these messages.
    #[error("the model's chat template refuses these messages: {reason}")]
    MessagesRefused {
        /// What it says.
        reason: String,
    },
    /// A bias is for a token that the model does not have.
    #[error("there is no token {token}: the model has the tokens 0 to {last}")]
    UnknownToken {
        /// The token.
        token: u32,
        /// The model's last token.
        last: usize,
    },
    /// What a message must be cannot be asked for.
    #[error("{reason}")]
    Constraint {
        /// Who asks for it.
        part: ConstraintPart,
        /// What is wrong with it.
        reason: String,
    },
    /// The model failed on these tokens.
    #[error("the language model failed")]
    Inference(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl Error {
    /// Says that what a model computes with its weights are no numbers.
    fn no_numbers(model: &dyn LanguageModel) -> Self {
        let id = model.model_id();
        let file = model
            .file()
            .map_or_else(|| id.to_owned(), |path| path.display().to_string());
        Self::Model {
            file,
            reason: format!("the logits of `{id}` are not numbers: its weights are damaged"),
        }
    }
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
    /// Returns the file or directory that its weights were read from; nothing where there is none.
    fn file(&self) -> Option<&Path> {
        None
    }
    /// Returns how many tokens a sequence may have.
    fn context_tokens(&self) -> usize;
    /// Renders a chat as the model was trained to read it, ending where the assistant begins to speak.
    fn render(&self, messages: &[Message]) -> Result<String, Error>;
    /// Renders a chat with tools, both as chat templates know them; nothing where the model's template has no form for tools,
    /// or another than calls between `<tool_call>` marks.
    fn render_with_tools(
        &self,
        _messages: &serde_json::Value,
        _tools: &serde_json::Value,
    ) -> Result<Option<String>, Error> {
        Ok(None)
    }
    /// Returns its tokens as constraints see them; nothing where what it writes cannot be constrained.
    fn constraint_vocabulary(&self) -> Option<Arc<ConstraintVocabulary>> {
        None
    }
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
    /// Returns how many bytes it takes in memory: weights, vocabulary, what its sequences have read and what they left
    /// behind; 0 where that is not worth counting.
    fn memory_bytes(&self) -> u64 {
        0
    }
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
    /// Reads more tokens as [`Sequence::feed`] does, and returns the logits after each of them.
    fn feed_each(&mut self, tokens: &[u32], cancel: &Cancel) -> Result<Vec<Vec<f32>>, Error> {
        tokens.iter().map(|token| self.feed(&[*token], cancel)).collect()
    }
    /// Returns how many tokens can be read together with the next one for little more than that takes; 0 where they
    /// could not be [taken back](Sequence::rewind), or would take the time of others.
    fn room_ahead(&self) -> usize {
        0
    }
    /// Takes the last tokens back that were read, where there was [room ahead](Sequence::room_ahead) for them.
    fn rewind(&mut self, _tokens: usize) {}
    /// Leaves the first tokens that it has read behind for others that begin alike, and returns whether that can be kept.
    /// Until `held` is over they go after what is not held; with zero they are not.
    fn keep(&self, _tokens: usize, _held: Duration) -> bool {
        false
    }
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
    /// The model calls tools.
    ToolUse,
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
    /// Those of them that had been read for an earlier prompt.
    pub cached_tokens: u64,
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
