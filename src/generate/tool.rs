//! Tools that a model may call, its calls, and what came of them.

use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// Begins a call in the text of a model.
pub(super) const CALL_MARK: &str = "<tool_call>";
/// Ends a call in the text of a model.
pub(super) const CALL_END: &str = "</tool_call>";

/// Bytes of a hash that tell calls apart.
const ID_BYTES: usize = 12;

/// A tool that a model may call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tool {
    /// What it is called: 1 to 64 letters, digits, hyphens and underscores.
    pub name: String,
    /// What it does; may be empty.
    pub description: String,
    /// JSON Schema of its input, an object.
    pub schema: Value,
}

/// Whether a model calls tools.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum ToolChoice {
    /// As it likes.
    #[default]
    Auto,
    /// It calls one at least.
    Any,
    /// It calls this one, once.
    Tool(String),
}

/// A call of a tool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolUse {
    /// Its id in the conversation.
    pub id: String,
    /// The tool.
    pub name: String,
    /// What the tool is given, an object.
    pub input: Value,
}

/// What came of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolResult {
    /// Id of the call.
    pub tool_use_id: String,
    /// What the tool returned.
    pub content: String,
    /// Whether it failed.
    pub is_error: bool,
}

/// Returns the id of a call, by its place in the message: the same prompt and seed give the same one.
pub(super) fn tool_use_id(prompt: &[u32], seed: u64, place: usize) -> String {
    let mut hash = Sha256::new();
    for token in prompt {
        hash.update(token.to_le_bytes());
    }
    hash.update(seed.to_le_bytes());
    hash.update((place as u64).to_le_bytes());
    let digest = hash.finalize();
    let digits = digest[..ID_BYTES].iter().map(|byte| format!("{byte:02x}"));
    format!("tooluse_{}", digits.collect::<String>())
}
