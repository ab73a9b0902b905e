//! A language model on candle: GGUF in, logits out.
//!
//! Comes in: the verified files of a model. Goes out: a [`CandleModel`] whose weights are shared by all sequences.
//! Always holds: each sequence has a cache of its own; weights are those of the pinned file, requantized at most.
//! Not here: fetching (see [`crate::models`]), sampling, prompts. Read on in [`requantize`].

mod requantize;
mod vocabulary;

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use candle_core::quantized::gguf_file;
use candle_core::{Device, Tensor};
use candle_transformers::models::quantized_llama::{MAX_SEQ_LEN, ModelWeights};

use super::chat_template::ChatTemplate;
use super::{Error, LanguageModel, Message, Sequence};
use crate::models::{AnswerStyle, InstalledLanguageModel};
use vocabulary::Vocabulary;

/// The architectures that are supported, as `general.architecture` names them.
pub const SUPPORTED_ARCHITECTURES: [&str; 1] = ["llama"];

/// A language model in memory.
pub struct CandleModel {
    model_id: String,
    model_hash: String,
    context_tokens: usize,
    answer_style: AnswerStyle,
    vocabulary: Vocabulary,
    chat_template: ChatTemplate,
    // Never fed itself: clones share its weights and begin with an empty cache.
    weights: ModelWeights,
}

impl CandleModel {
    /// Loads a model. Weights that candle has no fast kernels for are requantized; the result is kept beside the model.
    ///
    /// `threads` is what the caller means to spend. candle's kernels share one pool for the whole process, sized by its
    /// own rules when it is first used, so a difference is only logged.
    pub fn open(installed: &InstalledLanguageModel, threads: usize) -> Result<Self, Error> {
        let pool = candle_core::utils::get_num_threads();
        if pool != threads {
            tracing::debug!(pool, threads, "the language model computes on candle's own pool");
        }
        let mut source = open_source(&installed.gguf)?;
        let content = gguf_file::Content::read(&mut source)
            .map_err(|e| refused(&installed.gguf, format!("not a GGUF file: {e}")))?;
        check_architecture(&installed.gguf, &content)?;
        let vocabulary = Vocabulary::read(&content).map_err(|e| refused(&installed.gguf, e.to_string()))?;
        let chat_template = ChatTemplate::parse(
            text_of(&content, "tokenizer.chat_template"),
            vocabulary.text_of(vocabulary.bos()),
            vocabulary.text_of(vocabulary.eos()),
        )
        .map_err(|e| refused(&installed.gguf, format!("its chat template cannot be read: {e}")))?;
        let trained = number_of(&content, "llama.context_length").unwrap_or(MAX_SEQ_LEN);
        let context_tokens = installed
            .context_tokens
            .unwrap_or(trained)
            .min(trained)
            .min(MAX_SEQ_LEN);
        let weights = requantize::load(installed, content, &mut source)
            .map_err(|e| refused(&installed.gguf, format!("its weights cannot be read: {e}")))?;
        Ok(Self {
            model_id: installed.model_id.clone(),
            model_hash: installed.sha256.clone(),
            context_tokens,
            answer_style: installed.answer_style,
            vocabulary,
            chat_template,
            weights,
        })
    }
}

impl LanguageModel for CandleModel {
    fn model_id(&self) -> &str {
        &self.model_id
    }

    fn model_hash(&self) -> &str {
        &self.model_hash
    }

    fn context_tokens(&self) -> usize {
        self.context_tokens
    }

    fn answer_style(&self) -> AnswerStyle {
        self.answer_style
    }

    fn render(&self, messages: &[Message]) -> Result<String, Error> {
        self.chat_template
            .render(messages)
            .map_err(|e| Error::Inference(e.into()))
    }

    fn encode(&self, text: &str) -> Result<Vec<u32>, Error> {
        self.vocabulary.encode(text).map_err(Error::Inference)
    }

    fn token_bytes(&self, token: u32) -> Vec<u8> {
        self.vocabulary.bytes_of(token).to_vec()
    }

    fn is_end(&self, token: u32) -> bool {
        self.vocabulary.is_end(token)
    }

    fn start(&self) -> Result<Box<dyn Sequence>, Error> {
        Ok(Box::new(CandleSequence {
            weights: self.weights.clone(),
            position: 0,
            context_tokens: self.context_tokens,
        }))
    }
}

struct CandleSequence {
    weights: ModelWeights,
    position: usize,
    context_tokens: usize,
}

impl Sequence for CandleSequence {
    fn feed(&mut self, tokens: &[u32]) -> Result<Vec<f32>, Error> {
        if tokens.is_empty() || tokens.len() > self.context_tokens - self.position {
            let room = self.context_tokens - self.position;
            return Err(Error::Inference(
                format!("a step reads 1 to {room} tokens here, it was given {}", tokens.len()).into(),
            ));
        }
        let (weights, position) = (&mut self.weights, self.position);
        let logits = Device::Cpu
            .with_context(|| {
                let input = Tensor::new(tokens, &Device::Cpu)?.unsqueeze(0)?;
                weights.forward(&input, position)?.flatten_all()?.to_vec1::<f32>()
            })
            .map_err(|e| Error::Inference(e.into()))?;
        self.position += tokens.len();
        Ok(logits)
    }

    fn fork(&self) -> Option<Box<dyn Sequence>> {
        // The tensors of the cache are shared: reading on makes new ones.
        Some(Box::new(Self {
            weights: self.weights.clone(),
            position: self.position,
            context_tokens: self.context_tokens,
        }))
    }
}

fn open_source(path: &Path) -> Result<BufReader<File>, Error> {
    File::open(path)
        .map(BufReader::new)
        .map_err(|e| refused(path, format!("cannot open it: {e}")))
}

fn check_architecture(path: &Path, content: &gguf_file::Content) -> Result<(), Error> {
    let architecture = text_of(content, "general.architecture").unwrap_or("(none)");
    if SUPPORTED_ARCHITECTURES.contains(&architecture) {
        return Ok(());
    }
    Err(refused(
        path,
        format!(
            "architecture {architecture} is not supported; supported: {}",
            SUPPORTED_ARCHITECTURES.join(", ")
        ),
    ))
}

fn refused(path: &Path, reason: impl Into<String>) -> Error {
    Error::Model {
        file: path.display().to_string(),
        reason: reason.into(),
    }
}

fn text_of<'a>(content: &'a gguf_file::Content, key: &str) -> Option<&'a str> {
    content.metadata.get(key)?.to_string().ok().map(String::as_str)
}

/// Returns a whole number of the metadata, whatever width it is stored in.
fn number_of(content: &gguf_file::Content, key: &str) -> Option<usize> {
    let value = content.metadata.get(key)?;
    value
        .to_u32()
        .map(u64::from)
        .or_else(|_| value.to_u64())
        .ok()
        .and_then(|number| usize::try_from(number).ok())
}

#[cfg(test)]
mod tests;
