//! Embeddings on kernels of our own.
//!
//! Comes in: the weights of a BERT encoder. Goes out: an [`Embedder`] whose vectors depend on their texts alone.
//! Always holds: the compute gate is held for one batch at a time.
//! Not here: machines without AVX-512 and other encoders (see [`super::FastEmbedder`]).

mod encoder;

use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;

use super::tokenizer::EncoderTokenizer;
use super::{Embedder, Embedding, Error, Purpose, TokenCoverage, TokenVectors, read, unusable};
use crate::compute::{Crew, vector};
use crate::models::{EncoderConfig, EncoderWeights, InstalledEncoder, Pooling, Precision};
use crate::worker::{Cancel, ComputeGate, Work};
use encoder::Encoder;

/// Tokens of a batch at most, unless one text has more: a query that waits for the gate waits some ten milliseconds.
const MAX_BATCH_TOKENS: usize = 1_024;
/// Tokens that one thread computes together at most, unless one text has more: their buffers stay in its second cache.
const GROUP_TOKENS: usize = 128;

/// A BERT encoder in memory.
pub struct BertEmbedder {
    model_id: String,
    max_tokens: usize,
    dimensions: usize,
    pooling: Pooling,
    tokenizer: EncoderTokenizer,
    encoder: Encoder,
    crew: Crew,
    /// What a thread computes with whose crew works on other texts.
    alone: Crew,
    gate: Arc<ComputeGate>,
}

impl std::fmt::Debug for BertEmbedder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BertEmbedder")
            .field("model_id", &self.model_id)
            .finish_non_exhaustive()
    }
}

impl BertEmbedder {
    /// Loads an encoder that computes on `threads` threads, one batch at a time behind `gate`. Returns nothing where it
    /// cannot compute this encoder on this machine, or not at the precision that is asked for.
    pub fn open(files: &InstalledEncoder, threads: usize, gate: Arc<ComputeGate>) -> Result<Option<Self>, Error> {
        let Some(source) = files
            .source
            .as_ref()
            .filter(|source| source.precision == Precision::Int8)
        else {
            return Ok(None);
        };
        let config = EncoderConfig::parse(&read(&source.config)?).map_err(|e| unusable(&source.config, e))?;
        if !Encoder::fits(&config) {
            return Ok(None);
        }
        let json = read(&files.tokenizer)?;
        let tokenizer = EncoderTokenizer::open(files, &json).map_err(|e| unusable(&files.tokenizer, e))?;
        Ok(Some(Self {
            model_id: files.model_id.clone(),
            max_tokens: files.max_tokens,
            dimensions: files.dimensions,
            pooling: source.pooling,
            tokenizer,
            encoder: build(&config, &source.weights)?,
            crew: Crew::new(threads),
            alone: Crew::new(1),
            gate,
        }))
    }

    /// Fails unless the model has all tokens.
    fn check(&self, ids: &[u32]) -> Result<(), Error> {
        let vocabulary = self.encoder.vocabulary();
        match ids.iter().find(|id| **id as usize >= vocabulary) {
            None => Ok(()),
            Some(id) => {
                let reason = format!("the tokenizer gave token {id}, the model has {vocabulary}");
                Err(Error::Inference(reason.into()))
            }
        }
    }

    /// Returns the tokens of all texts.
    fn tokenize(&self, texts: &[&str], purpose: Purpose) -> Result<Vec<Vec<u32>>, Error> {
        let ids: Vec<Mutex<Result<Vec<u32>, Error>>> = texts.iter().map(|_| Mutex::new(Ok(Vec::new()))).collect();
        self.crew.run(texts.len(), &|at| {
            *ids[at].lock() = self.tokenizer.ids(texts[at], purpose);
        });
        let ids = ids.into_iter().map(|ids| {
            let ids = ids.into_inner()?;
            self.check(&ids)?;
            Ok(ids)
        });
        ids.collect()
    }

    /// Embeds texts, given as tokens, all at once.
    fn embed_batch(&self, texts: &[Vec<u32>], work: Work) -> Vec<Vec<f32>> {
        let texts: Vec<&[u32]> = texts.iter().map(Vec::as_slice).collect();
        let groups = split(&texts, GROUP_TOKENS);
        let _cores = self.gate.enter(work);
        if groups.len() < self.crew.threads() {
            let each = groups.into_iter().flat_map(|group| self.pooled(&self.crew, group));
            return each.collect();
        }
        let out: Vec<Mutex<Vec<Vec<f32>>>> = groups.iter().map(|_| Mutex::default()).collect();
        self.crew.run(groups.len(), &|at| {
            *out[at].lock() = self.pooled(&self.alone, groups[at]);
        });
        out.into_iter().flat_map(Mutex::into_inner).collect()
    }

    /// Returns one vector for each text, of any length but of the right direction.
    fn pooled(&self, crew: &Crew, texts: &[&[u32]]) -> Vec<Vec<f32>> {
        let rows = self.encoder.pass(crew, texts);
        let mut next = 0;
        let pool = |text: &&[u32]| {
            let first = next;
            next += text.len();
            let of_text = match self.pooling {
                Pooling::Cls => first..next.min(first + 1),
                Pooling::Mean => first..next,
            };
            // The sum over the tokens has the direction of their mean.
            let mut sum = vec![0.0; rows.width()];
            for row in of_text {
                vector::add(&mut sum, rows.row(row));
            }
            sum
        };
        texts.iter().map(pool).collect()
    }
}

impl Embedder for BertEmbedder {
    fn model_id(&self) -> &str {
        &self.model_id
    }

    fn dimensions(&self) -> usize {
        self.dimensions
    }

    fn max_tokens(&self) -> usize {
        self.max_tokens
    }

    fn memory_bytes(&self) -> u64 {
        self.encoder.bytes() as u64
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
        let ids = self.tokenize(texts, purpose)?;
        let mut embeddings = Vec::with_capacity(texts.len());
        for batch in split(&ids, MAX_BATCH_TOKENS) {
            cancel.check()?;
            for vector in self.embed_batch(batch, purpose.embedding_work()) {
                embeddings.push(Embedding::normalized(vector)?);
            }
        }
        Ok(embeddings)
    }

    fn token_vectors(&self, text: &str, purpose: Purpose, cancel: &Cancel) -> Result<TokenVectors, Error> {
        cancel.check()?;
        let tokens = self.tokenizer.tokens(text, purpose)?;
        self.check(&tokens.ids)?;
        let rows = {
            let _cores = self.gate.enter(purpose.token_work());
            self.encoder.pass(&self.crew, &[&tokens.ids])
        };
        let own = tokens.before..tokens.before + tokens.ranks.len();
        let values: Vec<f32> = own.flat_map(|row| rows.row(row)).copied().collect();
        TokenVectors::normalized(tokens.ranks, self.dimensions, &values)
    }
}

fn build(config: &EncoderConfig, path: &Path) -> Result<Encoder, Error> {
    let bytes = read(path)?;
    let weights = EncoderWeights::parse(&bytes).map_err(|e| unusable(path, e))?;
    Encoder::build(config, &weights).map_err(|e| unusable(path, e))
}

/// Cuts texts into runs of at most so many tokens; a text that has more is a run of its own.
fn split<T: AsRef<[u32]>>(texts: &[T], tokens: usize) -> Vec<&[T]> {
    let mut runs = Vec::new();
    let (mut start, mut len) = (0, 0);
    for (at, text) in texts.iter().enumerate() {
        let more = text.as_ref().len();
        if at > start && len + more > tokens {
            runs.push(&texts[start..at]);
            (start, len) = (at, 0);
        }
        len += more;
    }
    if start < texts.len() {
        runs.push(&texts[start..]);
    }
    runs
}
