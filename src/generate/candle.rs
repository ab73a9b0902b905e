//! A language model on candle: GGUF or safetensors in, logits out.
//!
//! Comes in: the verified files of a model. Goes out: a [`CandleModel`] whose weights are shared by all sequences.
//! Always holds: each sequence has a cache of its own; weights are those of the pinned file, requantized at most.
//! Not here: fetching (see [`crate::models`]), sampling, prompts. Read on in `weights`, which packs them for
//! [`super::engine`], and in [`requantize`], for machines that the engine is not written for.

mod blueprint;
mod checkpoint;
mod gguf;
#[cfg(target_arch = "x86_64")]
mod packed;
mod portable;
mod requantize;
mod shard;
mod unreadable;
mod vocabulary;
mod weights;

use std::fs::File;
use std::io::{BufReader, Cursor, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use candle_core::Device;
use candle_core::quantized::gguf_file;

use super::chat_template::ChatTemplate;
#[cfg(target_arch = "x86_64")]
use super::engine::{Batcher, Reading};
use super::{ConstraintVocabulary, Error, LanguageModel, Message, PromptTime, Sequence};
#[cfg(target_arch = "x86_64")]
use crate::compute::Crew;
use crate::models::{AnswerStyle, InstalledLanguageModel, LanguageModelSource};
use crate::worker::{Cancel, ComputeGate, Work};
pub use blueprint::SUPPORTED_ARCHITECTURES;
use blueprint::{Architecture, Blueprint};
use checkpoint::Checkpoint;
use gguf::GgufFile;
use portable::{Mover, Portable, Read};
use vocabulary::Vocabulary;
use weights::Source;

/// A language model in memory.
pub struct CandleModel {
    model_id: String,
    model_hash: String,
    file: PathBuf,
    context_tokens: usize,
    answer_style: AnswerStyle,
    vocabulary: Vocabulary,
    chat_template: ChatTemplate,
    /// Made when it is first needed.
    constraint_vocabulary: OnceLock<Option<Arc<ConstraintVocabulary>>>,
    weights: Weights,
    /// Bytes of the files whose weights candle computes with.
    file_bytes: u64,
    gate: Arc<ComputeGate>,
}

/// Who computes.
enum Weights {
    #[cfg(target_arch = "x86_64")]
    Engine(Arc<Batcher>),
    Portable(Arc<Portable>),
}

impl CandleModel {
    /// Loads a model that computes on so many threads, one step at a time behind `gate`: on kernels of our own where this
    /// machine and the model allow it.
    pub fn open(installed: &InstalledLanguageModel, threads: usize, gate: Arc<ComputeGate>) -> Result<Self, Error> {
        Self::load(installed, Some(threads), gate)
    }

    /// Loads a model as on machines that our own kernels are not written for.
    ///
    /// Candle computes then: on a GPU that the program was built for, or on a pool that the process shares, sized by
    /// candle's own rules. Weights that candle has no fast kernels for are requantized, and the result is kept beside the
    /// model if it is a GGUF file.
    pub fn open_portable(installed: &InstalledLanguageModel, gate: Arc<ComputeGate>) -> Result<Self, Error> {
        Self::load(installed, None, gate)
    }

    fn load(installed: &InstalledLanguageModel, threads: Option<usize>, gate: Arc<ComputeGate>) -> Result<Self, Error> {
        let path = installed.source.path();
        match &installed.source {
            LanguageModelSource::Gguf(gguf) => {
                let mut source = open_source(gguf)?;
                let content = content(gguf, &mut source)?;
                let (name, architecture) = architecture(gguf, &content)?;
                let is_phi = architecture == Architecture::Phi3;
                let vocabulary = Vocabulary::read(&content, is_phi);
                let vocabulary = vocabulary.map_err(|error| refused(path, first_line(&error.to_string())))?;
                let mut file = GgufFile {
                    content: &content,
                    source: &mut source,
                };
                let blueprint = file.blueprint(name, architecture);
                let blueprint = blueprint.map_err(|error| refused(path, reason_of(&error)))?;
                let template = text_of(&content, "tokenizer.chat_template").map(str::to_owned);
                let described = Described::new(installed, blueprint, vocabulary, template.as_deref())?;
                let device = portable::device();
                if described.fits_engine(threads, &device) {
                    return described.load(installed, &mut file, (threads, device), gate);
                }
                let fast = if architecture == Architecture::Llama && device.is_cpu() {
                    requantize::load(installed, gguf).map_err(|error| refused(path, reason_of(&error)))?
                } else {
                    None
                };
                let Some(fast) = fast else {
                    return described.load(installed, &mut file, (threads, device), gate);
                };
                let mut source = Cursor::new(fast);
                let content = gguf_file::Content::read(&mut source);
                let content = content.map_err(|error| refused(path, reason_of(&error)))?;
                let mut file = GgufFile {
                    content: &content,
                    source: &mut source,
                };
                let blueprint = file.blueprint(name, architecture);
                let blueprint = blueprint.map_err(|error| refused(path, reason_of(&error)))?;
                let described = Described { blueprint, ..described };
                described.load(installed, &mut file, (threads, device), gate)
            }
            LanguageModelSource::Safetensors { directory, weights } => {
                let refused = |reason: String| refused(directory, reason);
                let mut checkpoint = Checkpoint::open(directory, weights).map_err(refused)?;
                let blueprint = checkpoint.blueprint().map_err(refused)?;
                let conversation = checkpoint.conversation().map_err(refused)?;
                let vocabulary = Vocabulary::open(&checkpoint.tokenizer(), &conversation);
                let vocabulary = vocabulary
                    .map_err(|error| refused(format!("tokenizer.json: {}", first_line(&error.to_string()))))?;
                let template = conversation.chat_template.as_deref();
                let described = Described::new(installed, blueprint, vocabulary, template)?;
                described.load(installed, &mut checkpoint, (threads, portable::device()), gate)
            }
        }
    }
}

/// What is known of a model before its weights are read.
struct Described {
    blueprint: Blueprint,
    context_tokens: usize,
    vocabulary: Vocabulary,
    chat_template: ChatTemplate,
}

impl Described {
    fn new(
        installed: &InstalledLanguageModel,
        blueprint: Blueprint,
        vocabulary: Vocabulary,
        template: Option<&str>,
    ) -> Result<Self, Error> {
        let chat_template = ChatTemplate::parse(
            template,
            vocabulary.text_of(vocabulary.bos()),
            vocabulary.text_of(vocabulary.eos()),
        );
        let chat_template = chat_template.map_err(|error| {
            let reason = format!("its chat template cannot be read: {error}");
            refused(installed.source.path(), reason)
        })?;
        let trained = blueprint.context_tokens;
        Ok(Self {
            context_tokens: installed.context_tokens.unwrap_or(trained).min(trained),
            blueprint,
            vocabulary,
            chat_template,
        })
    }

    /// Returns whether our own kernels compute the model, on so many threads.
    fn fits_engine(&self, threads: Option<usize>, device: &Device) -> bool {
        #[cfg(target_arch = "x86_64")]
        let fits = packed::fits(self.blueprint.shape);
        #[cfg(not(target_arch = "x86_64"))]
        let fits = false;
        fits && threads.is_some() && device.is_cpu()
    }

    /// Reads the weights.
    fn load<S: Source>(
        self,
        installed: &InstalledLanguageModel,
        source: &mut S,
        (threads, device): (Option<usize>, Device),
        gate: Arc<ComputeGate>,
    ) -> Result<CandleModel, Error> {
        let weights = self.weights(source, threads, device, &gate);
        let weights = weights.map_err(|error| refused(installed.source.path(), reason_of(&error)))?;
        Ok(CandleModel {
            model_id: installed.model_id.clone(),
            model_hash: installed.sha256.clone(),
            file: installed.source.path().to_owned(),
            context_tokens: self.context_tokens,
            answer_style: installed.answer_style,
            vocabulary: self.vocabulary,
            chat_template: self.chat_template,
            constraint_vocabulary: OnceLock::new(),
            weights,
            file_bytes: file_bytes(installed),
            gate,
        })
    }

    fn weights<S: Source>(
        &self,
        source: &mut S,
        threads: Option<usize>,
        device: Device,
        gate: &Arc<ComputeGate>,
    ) -> candle_core::Result<Weights> {
        let (blueprint, context_tokens) = (&self.blueprint, self.context_tokens);
        #[cfg(target_arch = "x86_64")]
        if let Some(threads) = threads.filter(|_| self.fits_engine(threads, &device)) {
            let decoder = weights::load(blueprint, context_tokens, source, &packed::Packer)?;
            let batcher = Batcher::new(decoder, Crew::new(threads), Arc::clone(gate));
            return Ok(Weights::Engine(Arc::new(batcher)));
        }
        if let Some(threads) = threads.filter(|_| device.is_cpu()) {
            let pool = candle_core::utils::get_num_threads();
            tracing::debug!(pool, threads, "the language model computes on candle's own pool");
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = gate;
        let mover = Mover { device };
        let transformer = weights::load(blueprint, context_tokens, source, &mover)?;
        let device = mover.device;
        Ok(Weights::Portable(Arc::new(Portable { transformer, device })))
    }
}

impl LanguageModel for CandleModel {
    fn model_id(&self) -> &str {
        &self.model_id
    }

    fn model_hash(&self) -> &str {
        &self.model_hash
    }

    fn file(&self) -> Option<&Path> {
        Some(&self.file)
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

    fn render_with_tools(
        &self,
        messages: &serde_json::Value,
        tools: &serde_json::Value,
    ) -> Result<Option<String>, Error> {
        let rendered = self
            .chat_template
            .has_tools()
            .then(|| self.chat_template.render_with_tools(messages, tools));
        rendered.transpose().map_err(|e| Error::Inference(e.into()))
    }

    fn constraint_vocabulary(&self) -> Option<Arc<ConstraintVocabulary>> {
        let vocabulary = &self.vocabulary;
        let made = self.constraint_vocabulary.get_or_init(|| {
            let bytes_of = |token| vocabulary.bytes_of(token).to_vec();
            ConstraintVocabulary::new(vocabulary.len(), vocabulary.ends(), bytes_of).map(Arc::new)
        });
        made.clone()
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

    fn memory_bytes(&self) -> u64 {
        let weights = match &self.weights {
            #[cfg(target_arch = "x86_64")]
            Weights::Engine(batcher) => batcher.memory_bytes() as u64,
            // Candle does not tell; it holds what the file holds.
            Weights::Portable(_) => self.file_bytes,
        };
        weights + self.vocabulary.memory_bytes() as u64
    }

    fn start(&self) -> Result<Box<dyn Sequence>, Error> {
        Ok(match &self.weights {
            #[cfg(target_arch = "x86_64")]
            Weights::Engine(batcher) => self.sequence(batcher.begin()),
            Weights::Portable(model) => Box::new(PortableSequence {
                model: Arc::clone(model),
                read: model.begin(),
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
            Weights::Portable(_) => PromptTime::default(),
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

#[cfg(target_arch = "x86_64")]
struct EngineSequence {
    reading: Reading,
    context_tokens: usize,
}

#[cfg(target_arch = "x86_64")]
impl Sequence for EngineSequence {
    fn feed(&mut self, tokens: &[u32], cancel: &Cancel) -> Result<Vec<f32>, Error> {
        check_room(tokens, self.context_tokens - self.reading.tokens())?;
        let mut logits = self.reading.read(tokens, 1, cancel)?;
        Ok(logits.pop().unwrap_or_default())
    }

    fn feed_each(&mut self, tokens: &[u32], cancel: &Cancel) -> Result<Vec<Vec<f32>>, Error> {
        check_room(tokens, self.context_tokens - self.reading.tokens())?;
        self.reading.read(tokens, tokens.len(), cancel)
    }

    fn room_ahead(&self) -> usize {
        let room = self.context_tokens - self.reading.tokens();
        self.reading.room_ahead().min(room.saturating_sub(1))
    }

    fn rewind(&mut self, tokens: usize) {
        self.reading.rewind(tokens);
    }

    fn keep(&self, tokens: usize, held: Duration) -> bool {
        self.reading.keep(tokens, held)
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

struct PortableSequence {
    model: Arc<Portable>,
    read: Read,
    context_tokens: usize,
    gate: Arc<ComputeGate>,
}

impl Sequence for PortableSequence {
    fn feed(&mut self, tokens: &[u32], cancel: &Cancel) -> Result<Vec<f32>, Error> {
        check_room(tokens, self.context_tokens - self.read.tokens())?;
        cancel.check()?;
        let _turn = self.gate.enter(Work::Generation);
        // The wait for the gate may have been long.
        cancel.check()?;
        let (model, read) = (&self.model, &mut self.read);
        let logits = model.device.with_context(|| model.step(read, tokens));
        logits.map_err(|error| Error::Inference(error.into()))
    }

    fn fork(&self) -> Option<Box<dyn Sequence>> {
        Some(Box::new(Self {
            model: Arc::clone(&self.model),
            read: self.read.clone(),
            context_tokens: self.context_tokens,
            gate: Arc::clone(&self.gate),
        }))
    }
}

/// Returns the size of the files whose weights candle computes with: the one made from the fetched one, where there is one.
fn file_bytes(installed: &InstalledLanguageModel) -> u64 {
    let kept = match &installed.source {
        LanguageModelSource::Gguf(gguf) => requantize::kept_path(installed, gguf).metadata().ok(),
        LanguageModelSource::Safetensors { .. } => None,
    };
    kept.map_or_else(|| installed.source.weight_bytes(), |kept| kept.len())
}

fn open_source(path: &Path) -> Result<BufReader<File>, Error> {
    File::open(path)
        .map(BufReader::new)
        .map_err(|e| refused(path, format!("cannot open it: {e}")))
}

/// Reads the header of a GGUF file, and checks that the file holds all tensors that it names.
fn content(path: &Path, source: &mut BufReader<File>) -> Result<gguf_file::Content, Error> {
    let read = |source: &mut BufReader<File>| {
        if let Some(reason) = unreadable::reason(source) {
            return Err(reason);
        }
        let failed = |error: &dyn std::fmt::Display| first_line(&error.to_string());
        let bytes = source.seek(SeekFrom::End(0)).map_err(|error| failed(&error))?;
        source.rewind().map_err(|error| failed(&error))?;
        let content = gguf_file::Content::read(source);
        let content = content.map_err(|error| format!("not a GGUF file, or a damaged one: {}", failed(&error)))?;
        gguf::check_tensors(&content, bytes)?;
        Ok(content)
    };
    read(source).map_err(|reason| refused(path, reason))
}

/// Returns the architecture of a file, with its name.
fn architecture<'a>(path: &Path, content: &'a gguf_file::Content) -> Result<(&'a str, Architecture), Error> {
    let name = text_of(content, "general.architecture").unwrap_or("(none)");
    let architecture = Architecture::of_name(name).ok_or_else(|| {
        let supported = SUPPORTED_ARCHITECTURES.join(", ");
        refused(
            path,
            format!("architecture {name} is not supported; supported: {supported}"),
        )
    })?;
    Ok((name, architecture))
}

/// Returns why candle failed; without the backtrace that may follow in its texts.
fn reason_of(error: &candle_core::Error) -> String {
    first_line(&error.to_string())
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
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
