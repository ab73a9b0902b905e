//! A question and its passages to the tokens that a model reads.

use minijinja::{Environment, context};

use super::context::{Excerpt, MAX_CONTEXT_TOKENS, choose};
use super::grounding::Grounding;
use super::rank::Ranked;
use super::{Error, Inference, LanguageModel, Message, Reference, Role};
use crate::retrieve::Hit;

const SYSTEM: &str = include_str!("prompts/system.md");
const QUESTION: &str = include_str!("prompts/question.md");
/// Tokens that are kept free for passages, however long the question is.
const MIN_CONTEXT_TOKENS: usize = 64;
/// Beginnings of the special tokens of the chat formats we know, and of the marks of calls and what came of them.
pub(super) const SPECIAL_STARTS: [&str; 11] = [
    "<|",
    "<s>",
    "</s>",
    "[INST]",
    "[/INST]",
    "<tool_call",
    "</tool_call",
    "<tool_response",
    "</tool_response",
    "<tools",
    "</tools",
];

/// What a model is asked.
#[derive(Debug)]
pub(super) struct Prompt {
    pub(super) tokens: Vec<u32>,
    /// The passages that it offers.
    pub(super) references: Vec<Reference>,
    /// The words that it offers.
    pub(super) grounding: Grounding,
}

impl Prompt {
    /// Builds the prompt for a question, with as much of the hits as fits.
    pub(super) fn build(
        model: &dyn LanguageModel,
        question: &str,
        hits: &[Hit],
        ranked: &[Ranked],
        inference: &Inference,
    ) -> Result<Self, Error> {
        // A caller may allow more tokens than the window has; half of it is left to read.
        let reserved = inference.max_tokens.min(model.context_tokens() / 2);
        let window = model.context_tokens() - reserved;
        let frame = model.encode(&render(model, "", &[])?)?.len() + MIN_CONTEXT_TOKENS;
        let question = question.trim();
        let question_tokens = model.encode(&defused(question))?.len();
        let room = window.saturating_sub(frame);
        if question_tokens > room {
            return Err(Error::QuestionTooLong {
                tokens: question_tokens,
                room,
            });
        }
        let mut budget = MAX_CONTEXT_TOKENS.min(room - question_tokens + MIN_CONTEXT_TOKENS);
        loop {
            let count = |text: &str| Ok(model.encode(&defused(text))?.len());
            let excerpts = choose(ranked, hits, budget, &count)?;
            let tokens = model.encode(&render(model, question, &excerpts)?)?;
            // Tokens of parts do not add up exactly, so that the whole is what counts.
            if tokens.len() <= window || budget == 0 {
                let mut grounding = Grounding::default();
                for text in excerpts.iter().map(|excerpt| excerpt.text.as_str()).chain([question]) {
                    // As inside a sentence, where most words stand.
                    grounding.read(&model.encode(&defused(&format!(" {text}")))?);
                }
                let references = excerpts.into_iter().map(|excerpt| excerpt.reference).collect();
                return Ok(Self {
                    tokens,
                    references,
                    grounding,
                });
            }
            budget = budget.saturating_sub(tokens.len() - window);
        }
    }
}

fn render(model: &dyn LanguageModel, question: &str, excerpts: &[Excerpt]) -> Result<String, Error> {
    let passages: Vec<_> = excerpts
        .iter()
        .map(|excerpt| context! { number => excerpt.reference.number, text => defused(&excerpt.text) })
        .collect();
    let question = Environment::new()
        .render_str(QUESTION, context! { passages, question => defused(question) })
        .map_err(|error| Error::Inference(error.into()))?;
    model.render(&[
        Message {
            role: Role::System,
            content: SYSTEM.trim().to_owned(),
        },
        Message {
            role: Role::User,
            content: question.trim().to_owned(),
        },
    ])
}

/// Breaks up what a tokenizer would take for a special token: a passage must not speak in another role.
pub(super) fn defused(text: &str) -> String {
    let mut text = text.to_owned();
    for start in SPECIAL_STARTS {
        if text.contains(start) {
            let (first, rest) = start.split_at(1);
            text = text.replace(start, &format!("{first} {rest}"));
        }
    }
    text
}

#[cfg(test)]
mod tests;
