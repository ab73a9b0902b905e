//! A language model on candle: GGUF in, logits out.
//!
//! Comes in: the verified files of a model. Goes out: a [`CandleModel`] whose weights are shared by all sequences.
//! Always holds: each sequence has a cache of its own; weights are those of the pinned file, requantized at most.
//! Not here: fetching (see [`crate::models`]), sampling, prompts. Read on in `weights`, which packs them for
//! [`super::engine`], and in [`requantize`], for machines that the engine is not written for.

mod requantize;
mod vocabulary;
#[cfg(target_arch = "x86_64")]
mod weights;

use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::sync::Arc;

use candle_core::quantized::gguf_file;
use candle_core::{Device, Tensor};
use candle_transformers::models::quantized_llama::{MAX_SEQ_LEN, ModelWeights};

use super::chat_template::ChatTemplate;
#[cfg(target_arch = "x86_64")]
use super::engine::{Batcher, Reading};
use super::{Error, LanguageModel, Message, PromptTime, Sequence};
#[cfg(target_arch = "x86_64")]
use crate::compute::Crew;
use crate::models::{AnswerStyle, InstalledLanguageModel};
use crate::worker::{Cancel, ComputeGate, Work};
use vocabulary::Vocabulary;

/// The architectures that are supported, as `general.architecture` names them.
pub const SUPPORTED_ARCHITECTURES: [&str; 3] = ["llama", "qwen2", "qwen3"];
/// Those of them that candle's own decoder computes.
const PORTABLE_ARCHITECTURES: [&str; 1] = ["llama"];

/// A language model in memory.
pub struct CandleModel {
    model_id: String,
    model_hash: String,
    context_tokens: usize,
    answer_style: AnswerStyle,
    vocabulary: Vocabulary,
    chat_template: ChatTemplate,
    weights: Weights,
    gate: Arc<ComputeGate>,
}

/// Who computes.
enum Weights {
    #[cfg(target_arch = "x86_64")]
    Engine(Arc<Batcher>),
    // Never fed itself: clones share its weights and begin with an empty cache.
    Candle(Box<ModelWeights>),
}

impl CandleModel {
    /// Loads a model that computes on so many threads, one step at a time behind `gate`: on kernels of our own where this
    /// machine and the model allow it.
    pub fn open(installed: &InstalledLanguageModel, threads: usize, gate: Arc<ComputeGate>) -> Result<Self, Error> {
        Self::load(installed, Some(threads), gate)
    }

    /// Loads a model as on machines that our own kernels are not written for.
    ///
    /// Candle computes then, on a pool that the process shares, sized by candle's own rules; weights that candle has no
    /// fast kernels for are requantized, and the result is kept beside the model.
    pub fn open_portable(installed: &InstalledLanguageModel, gate: Arc<ComputeGate>) -> Result<Self, Error> {
        Self::load(installed, None, gate)
    }

    fn load(installed: &InstalledLanguageModel, threads: Option<usize>, gate: Arc<ComputeGate>) -> Result<Self, Error> {
        let mut source = open_source(&installed.gguf)?;
        let content = gguf_file::Content::read(&mut source)
            .map_err(|e| refused(&installed.gguf, format!("not a GGUF file: {e}")))?;
        let architecture = architecture(&installed.gguf, &content)?;
        let vocabulary = Vocabulary::read(&content).map_err(|e| refused(&installed.gguf, e.to_string()))?;
        let chat_template = ChatTemplate::parse(
            text_of(&content, "tokenizer.chat_template"),
            vocabulary.text_of(vocabulary.bos()),
            vocabulary.text_of(vocabulary.eos()),
        )
        .map_err(|e| refused(&installed.gguf, format!("its chat template cannot be read: {e}")))?;
        let trained = number_of(&content, &format!("{architecture}.context_length")).unwrap_or(MAX_SEQ_LEN);
        let unreadable = |e: candle_core::Error| refused(&installed.gguf, format!("its weights cannot be read: {e}"));
        let weights = Weights::load(installed, architecture, content, &mut source, threads, &gate);
        let weights = weights.map_err(unreadable)?;
        let context_tokens = installed.context_tokens.unwrap_or(trained).min(trained);
        let context_tokens = context_tokens.min(weights.most_tokens());
        Ok(Self {
            model_id: installed.model_id.clone(),
            model_hash: installed.sha256.clone(),
            context_tokens,
            answer_style: installed.answer_style,
            vocabulary,
            chat_template,
            weights,
            gate,
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
        Ok(match &self.weights {
            #[cfg(target_arch = "x86_64")]
            Weights::Engine(batcher) => self.sequence(batcher.begin()),
            Weights::Candle(weights) => Box::new(CandleSequence {
                weights: ModelWeights::clone(weights),
                position: 0,
                context_tokens: self.context_tokens,
                gate: Arc::clone(&self.gate),
            }),
        })
    }

    #[cfg(target_arch = "x86_64")]
    fn start_with(&self, prompt: &[u32], time: PromptTime) -> Result<(Box<dyn Sequence>, usize), Error> {
        let Weights::Engine(batcher) = &self.weights else {
            return Ok((self.start()?, 0));
        };
        let reading = batcher.begin_with(prompt, time);
        let known = reading.tokens();
        Ok((self.sequence(reading), known))
    }

    #[cfg(target_arch = "x86_64")]
    fn prompt_time(&self) -> PromptTime {
        match &self.weights {
            Weights::Engine(batcher) => batcher.prompt_time(),
            Weights::Candle(_) => PromptTime::default(),
        }
    }

    #[cfg(target_arch = "x86_64")]
    fn forget_prompts(&self) {
        if let Weights::Engine(batcher) = &self.weights {
            batcher.forget();
        }
    }
}

#[cfg(target_arch = "x86_64")]
impl CandleModel {
    fn sequence(&self, reading: Reading) -> Box<dyn Sequence> {
        Box::new(EngineSequence {
            reading,
            context_tokens: self.context_tokens,
        })
    }
}

impl Weights {
    fn load(
        installed: &InstalledLanguageModel,
        architecture: &str,
        content: gguf_file::Content,
        source: &mut BufReader<File>,
        threads: Option<usize>,
        gate: &Arc<ComputeGate>,
    ) -> candle_core::Result<Self> {
        #[cfg(target_arch = "x86_64")]
        if let Some(threads) = threads.filter(|_| weights::fits(architecture, &content)) {
            let decoder = weights::load(architecture, &content, source)?;
            let batcher = Batcher::new(decoder, Crew::new(threads), Arc::clone(gate));
            return Ok(Self::Engine(Arc::new(batcher)));
        }
        if !PORTABLE_ARCHITECTURES.contains(&architecture) {
            candle_core::bail!("models of the architecture {architecture} need a processor with AVX-512 and VNNI");
        }
        if let Some(threads) = threads {
            let pool = candle_core::utils::get_num_threads();
            tracing::debug!(pool, threads, "the language model computes on candle's own pool");
        }
        requantize::load(installed, content, source).map(|weights| Self::Candle(Box::new(weights)))
    }

    /// Returns how many tokens a sequence may have, whatever the model was trained for.
    fn most_tokens(&self) -> usize {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Engine(_) => usize::MAX,
            Self::Candle(_) => MAX_SEQ_LEN,
        }
    }
}

#[cfg(target_arch = "x86_64")]
struct EngineSequence {
    reading: Reading,
    context_tokens: usize,
}

#[cfg(target_arch = "x86_64")]
impl Sequence for EngineSequence {
    fn feed(&mut self, tokens: &[u32], cancel: &Cancel) -> Result<Vec<f32>, Error> {
        check_room(tokens, self.context_tokens - self.reading.tokens())?;
        self.reading.read(tokens, cancel)
    }

    fn keep(&self) {
        self.reading.keep();
    }

    fn fork(&self) -> Option<Box<dyn Sequence>> {
        Some(Box::new(Self {
            reading: self.reading.fork()?,
            context_tokens: self.context_tokens,
        }))
    }
}

fn check_room(tokens: &[u32], room: usize) -> Result<(), Error> {
    if tokens.is_empty() || tokens.len() > room {
        let given = tokens.len();
        return Err(Error::Inference(
            format!("a step reads 1 to {room} tokens here, it was given {given}").into(),
        ));
    }
    Ok(())
}

struct CandleSequence {
    weights: ModelWeights,
    position: usize,
    context_tokens: usize,
    gate: Arc<ComputeGate>,
}

impl Sequence for CandleSequence {
    fn feed(&mut self, tokens: &[u32], cancel: &Cancel) -> Result<Vec<f32>, Error> {
        check_room(tokens, self.context_tokens - self.position)?;
        cancel.check()?;
        let _turn = self.gate.enter(Work::Generation);
        // The wait for the gate may have been long.
        cancel.check()?;
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
            gate: Arc::clone(&self.gate),
        }))
    }
}

fn open_source(path: &Path) -> Result<BufReader<File>, Error> {
    File::open(path)
        .map(BufReader::new)
        .map_err(|e| refused(path, format!("cannot open it: {e}")))
}

fn architecture(path: &Path, content: &gguf_file::Content) -> Result<&'static str, Error> {
    let architecture = text_of(content, "general.architecture").unwrap_or("(none)");
    let supported = SUPPORTED_ARCHITECTURES
        .into_iter()
        .find(|supported| *supported == architecture);
    supported.ok_or_else(|| {
        let supported = SUPPORTED_ARCHITECTURES.join(", ");
        refused(
            path,
            format!("architecture {architecture} is not supported; supported: {supported}"),
        )
    })
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
