//! Embeddings on ONNX Runtime, through fastembed. The only place that names fastembed and ort.
//!
//! Comes in: the files of an encoder. Goes out: an [`Embedder`].
//! Always holds: the compute gate is held for one batch at a time; one library of ONNX Runtime serves the process.
//! Not here: how the graph came to be.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use fastembed::{InitOptionsUserDefined, SingleBatchOutput, TextEmbedding, TokenizerFiles, UserDefinedEmbeddingModel};
use ort::environment::Environment;
use parking_lot::Mutex;
use tokenizers::Tokenizer;

use super::tokenizer::EncoderTokenizer;
use super::{Embedder, Embedding, Error, Purpose, TokenCoverage, TokenVectors, batch, read, unusable};
use crate::models::{InstalledEncoder, Pooling};
use crate::worker::{Cancel, ComputeGate, Work};

/// Tokens of a batch at most, padding included: large enough for full speed, small enough that a query which waits
/// for the gate waits a fraction of a second.
const MAX_BATCH_TOKENS: usize = 4_096;

/// How graphs name the vectors of tokens: those that are written here, and those that come from elsewhere.
const TOKEN_OUTPUTS: [&str; 2] = ["token_embeddings", "last_hidden_state"];

/// The one library of ONNX Runtime that this process has loaded.
static RUNTIME: Mutex<Option<(PathBuf, Environment)>> = Mutex::new(None);

/// An encoder in memory.
pub struct FastEmbedder {
    files: InstalledEncoder,
    session: Mutex<TextEmbedding>,
    /// Counts: the session's own tokenizer truncates.
    tokenizer: EncoderTokenizer,
    gate: Arc<ComputeGate>,
}

impl std::fmt::Debug for FastEmbedder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FastEmbedder")
            .field("files", &self.files)
            .finish_non_exhaustive()
    }
}

impl FastEmbedder {
    /// Loads an encoder that computes on `threads` threads, one batch at a time behind `gate`.
    /// 0 threads takes one for each core.
    pub fn open(files: InstalledEncoder, threads: usize, gate: Arc<ComputeGate>) -> Result<Self, Error> {
        let environment = runtime(&files.runtime_library)?;
        let tokenizer_json = read(&files.tokenizer)?;
        let tokenizer =
            EncoderTokenizer::open(&files, &tokenizer_json).map_err(|source| unusable(&files.tokenizer, source))?;
        let mut model = UserDefinedEmbeddingModel::new(
            read(&files.onnx)?,
            tokenizer_files(tokenizer.inner(), tokenizer_json, files.max_tokens),
        );
        if let Some(pooling) = files.pooling {
            model = model.with_pooling(match pooling {
                Pooling::Mean => fastembed::Pooling::Mean,
                Pooling::Cls => fastembed::Pooling::Cls,
            });
        }
        let session = TextEmbedding::try_new_from_user_defined(model, options(environment, threads, files.max_tokens))
            .map_err(|source| unusable(&files.onnx, source))?;
        Ok(Self {
            files,
            session: Mutex::new(session),
            tokenizer,
            gate,
        })
    }

    fn no_token_vectors(&self) -> Error {
        let model_id = self.files.model_id.clone();
        match self.files.pooling {
            Some(_) => Error::NoTokenVectors { model_id },
            // Graphs that pool by themselves are written by us, and now with the vectors of tokens.
            None => Error::EarlierGraph {
                model_id,
                file: self.files.onnx.display().to_string(),
            },
        }
    }

    /// Runs the model over one text, so that its vectors do not depend on others in the batch.
    fn last_layer(&self, text: &str, work: Work) -> Result<SingleBatchOutput, Error> {
        let _cores = self.gate.enter(work);
        let output = self.session.lock().transform([text], Some(1));
        let output = output
            .map_err(|source| Error::Inference(source.into()))?
            .into_raw()
            .pop();
        output.ok_or(Error::NotAVector)
    }

    fn embed_batch(&self, texts: &[&str], work: Work) -> Result<Vec<Vec<f32>>, Error> {
        let _cores = self.gate.enter(work);
        self.session
            .lock()
            .embed(texts, Some(texts.len()))
            .map_err(|source| Error::Inference(source.into()))
    }
}

impl Embedder for FastEmbedder {
    fn model_id(&self) -> &str {
        &self.files.model_id
    }

    fn dimensions(&self) -> usize {
        self.files.dimensions
    }

    fn max_tokens(&self) -> usize {
        self.files.max_tokens
    }

    /// What ONNX Runtime makes of the graph, it does not tell: as large as its file.
    fn memory_bytes(&self) -> u64 {
        std::fs::metadata(&self.files.onnx).map_or(0, |metadata| metadata.len())
    }

    fn count_tokens(&self, text: &str) -> usize {
        self.tokenizer.count(text)
    }

    fn count_input_tokens(&self, text: &str, purpose: Purpose) -> Result<usize, Error> {
        self.tokenizer.count_input(text, purpose)
    }

    fn coverage(&self, text: &str) -> Option<TokenCoverage> {
        self.tokenizer.coverage(text)
    }

    fn embed(&self, texts: &[&str], purpose: Purpose, cancel: &Cancel) -> Result<Vec<Embedding>, Error> {
        cancel.check()?;
        let prefix = self.tokenizer.prefix(purpose);
        let prefixed: Vec<String>;
        let texts: Vec<&str> = if prefix.is_empty() {
            texts.to_vec()
        } else {
            prefixed = texts.iter().map(|text| format!("{prefix}{text}")).collect();
            prefixed.iter().map(String::as_str).collect()
        };
        let lengths = texts
            .iter()
            .map(|text| self.tokenizer.length(text))
            .collect::<Result<Vec<_>, _>>()?;
        let mut embeddings: Vec<Option<Embedding>> = vec![None; texts.len()];
        for positions in batch::plan(&lengths, MAX_BATCH_TOKENS) {
            cancel.check()?;
            let batch: Vec<&str> = positions.iter().map(|&position| texts[position]).collect();
            let vectors = self.embed_batch(&batch, purpose.embedding_work())?;
            for (position, values) in positions.into_iter().zip(vectors) {
                if values.len() != self.files.dimensions {
                    return Err(Error::Dimensions {
                        expected: self.files.dimensions,
                        found: values.len(),
                    });
                }
                embeddings[position] = Some(Embedding::normalized(values)?);
            }
        }
        embeddings
            .into_iter()
            .collect::<Option<Vec<_>>>()
            .ok_or(Error::NotAVector)
    }

    fn token_vectors(&self, text: &str, purpose: Purpose, cancel: &Cancel) -> Result<TokenVectors, Error> {
        cancel.check()?;
        let prefixed = format!("{}{text}", self.tokenizer.prefix(purpose));
        let tokens = self.tokenizer.tokens(text, purpose)?;
        let output = self.last_layer(&prefixed, purpose.token_work())?;
        let (shape, values) = token_output(&output).ok_or_else(|| self.no_token_vectors())?;
        let [width, dimensions] = shape;
        let end = tokens.before + tokens.ranks.len();
        if end > width {
            let reason = format!("the model gave {width} vectors for {end} tokens");
            return Err(Error::Inference(reason.into()));
        }
        let values = &values[tokens.before * dimensions..end * dimensions];
        TokenVectors::normalized(tokens.ranks, dimensions, values)
    }
}

/// Finds the vectors of the tokens of one text: how many of how many dimensions, and their numbers.
fn token_output(output: &SingleBatchOutput) -> Option<([usize; 2], &[f32])> {
    let named = output
        .outputs
        .iter()
        .filter(|(name, _)| TOKEN_OUTPUTS.contains(&name.as_str()));
    let only = output.outputs.iter().filter(|_| output.outputs.len() == 1);
    named.chain(only).find_map(|(_, value)| {
        let (shape, values) = value.try_extract_tensor::<f32>().ok()?;
        let [1, width, dimensions] = shape[..] else { return None };
        let [width, dimensions] = [usize::try_from(width).ok()?, usize::try_from(dimensions).ok()?];
        (width * dimensions == values.len()).then_some(([width, dimensions], values))
    })
}

/// Loads ONNX Runtime, or returns what is loaded already if it is the same library.
fn runtime(library: &Path) -> Result<Environment, Error> {
    let failed = |reason: String| Error::Runtime {
        library: library.display().to_string(),
        reason,
    };
    let path = library.canonicalize().map_err(|source| failed(source.to_string()))?;
    let mut loaded = RUNTIME.lock();
    if let Some((first, environment)) = loaded.as_ref() {
        if *first == path {
            return Ok(environment.clone());
        }
        return Err(failed(format!(
            "this process has loaded {} already and can hold only one",
            first.display()
        )));
    }
    let environment = ort::init_from(&path)
        .map_err(|source| failed(source.to_string()))?
        .with_name("groundwork")
        .with_telemetry(false)
        .build()
        .map_err(|source| failed(source.to_string()))?;
    *loaded = Some((path, environment.clone()));
    Ok(environment)
}

fn options(environment: Environment, threads: usize, max_tokens: usize) -> InitOptionsUserDefined {
    let options = InitOptionsUserDefined::new()
        .with_environment(environment)
        .with_max_length(max_tokens)
        // The arena would keep the memory of the largest batch for ever.
        .with_execution_providers(vec![ort::ep::CPU::default().with_arena_allocator(false).build()])
        // Threads that spin between operations would take the cores from the language model.
        .with_session_config("session.intra_op.allow_spinning", "0")
        // Without VNNI instructions, products of int8 weights saturate unless this asks for the exact kernels.
        .with_session_config("session.x64quantprecision", "1");
    if threads == 0 {
        options
    } else {
        options.with_intra_threads(threads)
    }
}

/// Makes up the files beside `tokenizer.json` that fastembed asks for; all they say is in there as well.
fn tokenizer_files(tokenizer: &Tokenizer, tokenizer_json: Vec<u8>, max_tokens: usize) -> TokenizerFiles {
    let pad_token = ["[PAD]", "<pad>"]
        .into_iter()
        .find(|token| tokenizer.token_to_id(token).is_some())
        .unwrap_or("[PAD]");
    let pad_id = tokenizer.token_to_id(pad_token).unwrap_or(0);
    let bytes = |value: serde_json::Value| value.to_string().into_bytes();
    TokenizerFiles {
        tokenizer_file: tokenizer_json,
        config_file: bytes(serde_json::json!({ "pad_token_id": pad_id })),
        special_tokens_map_file: bytes(serde_json::json!({})),
        tokenizer_config_file: bytes(serde_json::json!({ "model_max_length": max_tokens, "pad_token": pad_token })),
    }
}
