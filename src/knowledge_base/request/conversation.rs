//! Conversations with a language model, and what made a message of it.

use std::time::Duration;

use crate::generate::{Inference, Role, Shape, Spent, StopReason, ToolResult, ToolUse, Tools};
use crate::worker::ServiceTier;

/// A piece of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Block {
    /// Text.
    Text(String),
    /// A document.
    Document {
        /// Name that the conversation can refer to it by.
        name: String,
        /// Its text.
        text: String,
    },
    /// A call of a tool, by the assistant.
    ToolUse(ToolUse),
    /// What came of a call, told by the user.
    ToolResult(ToolResult),
    /// Holds what the model has read up to here for so long.
    CachePoint(Duration),
}

/// What one side says before the other does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turn {
    /// Who speaks: the user or the assistant.
    pub role: Role,
    /// What is said.
    pub content: Vec<Block>,
}

/// A conversation whose next message is wanted.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Conversation {
    /// A language model; empty takes the server's.
    pub model_id: String,
    /// Rules, before all else: texts and cache points.
    pub system: Vec<Block>,
    /// What was said so far. The user begins and has the last word.
    pub turns: Vec<Turn>,
    /// How tokens are drawn.
    pub inference: Inference,
    /// How soon the message is wanted.
    pub service_tier: ServiceTier,
    /// Tools that the model may call.
    pub tools: Tools,
    /// What the message must be, unless the model calls tools.
    pub shape: Option<Shape>,
}

/// A text that a language model is to go on with.
#[derive(Debug, Clone, PartialEq)]
pub struct Completion {
    /// A language model; empty takes the server's.
    pub model_id: String,
    /// The text, which the model reads as it is; special tokens are recognised in it.
    pub prompt: String,
    /// How soon the text is wanted.
    pub service_tier: ServiceTier,
    /// How tokens are drawn.
    pub inference: Inference,
}

/// What a message took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConverseUsage {
    /// Tokens and the time of the model.
    pub spent: Spent,
    /// Waiting for a turn.
    pub queue: Duration,
    /// The whole call so far.
    pub total: Duration,
    /// The model.
    pub model_id: String,
    /// SHA-256 of its file.
    pub model_hash: String,
}

/// One event of a message in the making.
#[derive(Debug, Clone, PartialEq)]
pub enum ConversationEvent {
    /// What the model says.
    Model(crate::generate::ConverseEvent),
    /// The message ends before its time, and this is what was used. The error follows.
    Interrupted(ConverseUsage),
}

/// How a message ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConverseSummary {
    /// How it ended.
    pub stop_reason: StopReason,
    /// The stop sequence that came, if one did.
    pub stop_sequence: Option<String>,
    /// Seed of the draws.
    pub seed: u64,
    /// What it took.
    pub usage: ConverseUsage,
}

/// What is counted.
#[derive(Debug, Clone, PartialEq)]
pub enum Counted {
    /// A text by itself.
    Text(String),
    /// A conversation as the model would read it; neither its model nor how tokens are drawn counts.
    Conversation(Box<Conversation>),
}
