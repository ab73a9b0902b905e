//! A language model that says what it is told, for tests of everything around one.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use sha2::{Digest, Sha256};

use super::{ConstraintVocabulary, Error, LanguageModel, Message, Role, Sequence};
use crate::worker::Cancel;

/// Ends an answer.
const END: u32 = 0;
/// Begins an answer: the last token of a prompt.
const BEGIN: u32 = 1;
/// Any word of a prompt; the model does not read them.
const WORD: u32 = 2;
/// The first piece of the replies.
const FIRST_PIECE: u32 = 3;
/// Written where the assistant begins to speak.
const BEGIN_TEXT: &str = "\n<assistant>";
/// Bytes of a piece at most, so that words and characters are cut now and then.
const PIECE_BYTES: usize = 7;
/// Window when none is given.
const CONTEXT_TOKENS: usize = 4_096;

/// Gives its replies in turn, one per sequence, whatever it is asked. A word is about one token.
#[derive(Debug)]
pub struct ScriptedModel {
    // The pieces of all replies, and the tokens of each.
    pieces: Vec<Vec<u8>>,
    replies: Arc<Vec<Vec<u32>>>,
    next: AtomicUsize,
    context_tokens: usize,
    hash: String,
}

impl ScriptedModel {
    /// Returns a model of these replies; without any it ends each answer at once.
    pub fn new<I>(replies: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        let mut pieces = Vec::new();
        let mut hash = Sha256::new();
        let mut tokens_of = |reply: String| {
            hash.update(reply.as_bytes());
            let start = pieces.len();
            pieces.extend(
                reply
                    .split_inclusive(' ')
                    .flat_map(|word| word.as_bytes().chunks(PIECE_BYTES))
                    .map(<[u8]>::to_vec),
            );
            (start..pieces.len())
                .map(|at| FIRST_PIECE + at as u32)
                .collect::<Vec<u32>>()
        };
        let replies = replies.into_iter().map(|reply| tokens_of(reply.into())).collect();
        Self {
            pieces,
            replies: Arc::new(replies),
            next: AtomicUsize::new(0),
            context_tokens: CONTEXT_TOKENS,
            hash: hexadecimal(&hash.finalize()),
        }
    }

    /// Returns the same model with another context window.
    #[must_use]
    pub fn with_context_tokens(mut self, context_tokens: usize) -> Self {
        self.context_tokens = context_tokens;
        self
    }
}

impl LanguageModel for ScriptedModel {
    fn model_id(&self) -> &'static str {
        "groundwork.scripted"
    }

    fn model_hash(&self) -> &str {
        &self.hash
    }

    fn context_tokens(&self) -> usize {
        self.context_tokens
    }

    fn render(&self, messages: &[Message]) -> Result<String, Error> {
        let mut text = String::new();
        for message in messages {
            let role = match message.role {
                Role::System => "system",
                Role::User => "user",
                Role::Assistant => "assistant",
            };
            text.extend(["<", role, "> ", message.content.as_str(), "\n"]);
        }
        Ok(text + BEGIN_TEXT)
    }

    fn encode(&self, text: &str) -> Result<Vec<u32>, Error> {
        let (body, begins) = text.strip_suffix(BEGIN_TEXT).map_or((text, false), |body| (body, true));
        let mut tokens: Vec<u32> = body.split_whitespace().map(|_| WORD).collect();
        tokens.extend(begins.then_some(BEGIN));
        Ok(tokens)
    }

    fn token_bytes(&self, token: u32) -> Vec<u8> {
        let piece = token
            .checked_sub(FIRST_PIECE)
            .and_then(|at| self.pieces.get(at as usize));
        piece.cloned().unwrap_or_default()
    }

    fn constraint_vocabulary(&self) -> Option<Arc<ConstraintVocabulary>> {
        let tokens = FIRST_PIECE as usize + self.pieces.len();
        ConstraintVocabulary::new(tokens, &[END], |token| self.token_bytes(token)).map(Arc::new)
    }

    fn is_end(&self, token: u32) -> bool {
        token == END
    }

    fn start(&self) -> Result<Box<dyn Sequence>, Error> {
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        Ok(Box::new(ScriptedSequence {
            replies: Arc::clone(&self.replies),
            reply: turn.checked_rem(self.replies.len()).unwrap_or(0),
            said: None,
            vocabulary: FIRST_PIECE as usize + self.pieces.len(),
        }))
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    let digit = |value: u8| char::from_digit(u32::from(value), 16).unwrap_or('0');
    bytes
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)])
        .collect()
}

struct ScriptedSequence {
    replies: Arc<Vec<Vec<u32>>>,
    reply: usize,
    // Pieces said so far; nothing while the prompt is read.
    said: Option<usize>,
    vocabulary: usize,
}

impl Sequence for ScriptedSequence {
    fn feed(&mut self, tokens: &[u32], cancel: &Cancel) -> Result<Vec<f32>, Error> {
        cancel.check()?;
        for token in tokens {
            self.said = match (self.said, *token) {
                (_, BEGIN) => Some(0),
                (said, _) => said.map(|count| count + 1),
            };
        }
        let next = self
            .said
            .and_then(|said| self.replies.get(self.reply)?.get(said).copied());
        let mut logits = vec![0.0; self.vocabulary];
        logits[next.unwrap_or(END) as usize] = 100.0;
        Ok(logits)
    }
}
