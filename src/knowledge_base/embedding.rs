//! Embedding texts that the caller brings.
//!
//! Always holds: a text that is too long is refused or marked, never cut in silence; one that fails takes no other with it.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use super::{EmbedOptions, Embedded, EmbeddedText, Error, Groundwork, StageTimes, Truncation};
use crate::embed::{Embedder, Embedding};
use crate::worker::Cancel;

/// Most texts of a call, or of a batch of a stream.
pub const MAX_EMBED_TEXTS: usize = 512;
/// Bytes of these texts at most, all together.
pub const MAX_EMBED_BYTES: usize = 2 << 20;

/// What callers who can choose a [`Truncation`] may do about a text that is too long, beside shortening it.
pub const TRUNCATION_HINT: &str = ", or ask for truncation END";

/// An embedding model that embeds as one caller wants it.
pub struct TextEmbedder {
    options: EmbedOptions,
    model_id: String,
    dimensions: usize,
    embedder: Arc<dyn Embedder>,
}

impl fmt::Debug for TextEmbedder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TextEmbedder")
            .field("model_id", &self.model_id)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

impl Groundwork {
    /// Returns an embedder of texts, loading its model if need be. `path` is where the options stand in the request.
    pub fn text_embedder(&self, options: &EmbedOptions, path: &str, cancel: &Cancel) -> Result<TextEmbedder, Error> {
        let model_id = match options.model_id.as_str() {
            "" => &self.settings.embedding_model_id,
            id => id,
        };
        let embedder = self.models.embedder(model_id, cancel);
        let embedder = embedder.map_err(|error| error.in_field(&format!("{path}.model_id")))?;
        let all = embedder.dimensions();
        let dimensions = options.dimensions.unwrap_or(all);
        if !(1..=all).contains(&dimensions) {
            let reason = format!("must be 1 to {all}, the dimensions of `{model_id}`, is {dimensions}");
            return Err(Error::invalid(format!("{path}.dimensions"), reason));
        }
        Ok(TextEmbedder {
            options: options.clone(),
            model_id: model_id.to_owned(),
            dimensions,
            embedder,
        })
    }
}

impl TextEmbedder {
    /// Returns the model's id.
    pub fn model_id(&self) -> &str {
        &self.model_id
    }

    /// Returns how many components each vector has.
    pub fn dimensions(&self) -> usize {
        self.dimensions
    }

    /// Embeds texts. The first that cannot be embedded fails all.
    pub fn embed(&self, texts: &[String], cancel: &Cancel) -> Result<Embedded<EmbeddedText>, Error> {
        let started = Instant::now();
        check_batch(texts)?;
        let input_tokens = self.measure_each(texts, cancel)?;
        let input_tokens = input_tokens.into_iter().collect::<Result<Vec<_>, _>>()?;
        let asked: Vec<&str> = texts.iter().map(String::as_str).collect();
        let embeddings = self.embedder.embed(&asked, self.options.purpose, cancel)?;
        let results = embeddings.into_iter().zip(input_tokens);
        let results = results.map(|(embedding, tokens)| self.finish(embedding, tokens));
        Ok(Embedded {
            results: results.collect::<Result<_, _>>()?,
            times: since(started),
        })
    }

    /// Embeds texts; one that cannot be embedded fails alone. Fails as a whole where the batch is too large, or the caller
    /// wants no more.
    pub fn embed_each(
        &self,
        texts: &[String],
        cancel: &Cancel,
    ) -> Result<Embedded<Result<EmbeddedText, Error>>, Error> {
        let started = Instant::now();
        check_batch(texts)?;
        let measured = self.measure_each(texts, cancel)?;
        let good = texts.iter().zip(&measured).filter(|(_, tokens)| tokens.is_ok());
        let good: Vec<&str> = good.map(|(text, _)| text.as_str()).collect();
        let mut embeddings = self.embed_apart(&good, cancel)?.into_iter();
        let results = measured.into_iter().map(|tokens| {
            let tokens = tokens?;
            let embedding = embeddings.next().unwrap_or(Err(crate::embed::Error::NotAVector))?;
            self.finish(embedding, tokens)
        });
        Ok(Embedded {
            results: results.collect(),
            times: since(started),
        })
    }

    /// Embeds texts together, and where that fails one by one. Fails where the caller wants no more.
    fn embed_apart(
        &self,
        texts: &[&str],
        cancel: &Cancel,
    ) -> Result<Vec<Result<Embedding, crate::embed::Error>>, Error> {
        if texts.is_empty() {
            return Ok(Vec::new());
        }
        if let Ok(embeddings) = self.embedder.embed(texts, self.options.purpose, cancel) {
            return Ok(embeddings.into_iter().map(Ok).collect());
        }
        let mut apart = Vec::with_capacity(texts.len());
        for text in texts {
            cancel.check()?;
            let alone = self.embedder.embed(&[text], self.options.purpose, cancel);
            cancel.check()?;
            apart.push(alone.and_then(|mut alone| alone.pop().ok_or(crate::embed::Error::NotAVector)));
        }
        Ok(apart)
    }

    /// Counts the tokens of each text, or says why it cannot be embedded.
    fn measure_each(&self, texts: &[String], cancel: &Cancel) -> Result<Vec<Result<usize, Error>>, Error> {
        let mut measured = Vec::with_capacity(texts.len());
        for (at, text) in texts.iter().enumerate() {
            cancel.check()?;
            measured.push(self.measure(at, text));
        }
        Ok(measured)
    }

    fn measure(&self, at: usize, text: &str) -> Result<usize, Error> {
        let field = || format!("texts[{at}]");
        if text.trim().is_empty() {
            return Err(Error::invalid(field(), "is blank: there is nothing to embed"));
        }
        let tokens = self.embedder.count_input_tokens(text, self.options.purpose)?;
        let limit = self.embedder.max_tokens();
        if tokens > limit && self.options.truncation == Truncation::None {
            let reason = format!(
                "has {tokens} tokens, `{}` reads {limit} at most: shorten the text{TRUNCATION_HINT}",
                self.model_id
            );
            return Err(Error::invalid(field(), reason));
        }
        Ok(tokens)
    }

    /// Cuts a vector as the caller wants it.
    fn finish(&self, embedding: Embedding, tokens: usize) -> Result<EmbeddedText, Error> {
        let is_whole = self.dimensions == embedding.as_slice().len();
        let values = if is_whole {
            embedding.into_vec()
        } else if self.options.normalize {
            embedding.shortened(self.dimensions)?.into_vec()
        } else {
            let mut values = embedding.into_vec();
            values.truncate(self.dimensions);
            values
        };
        let limit = self.embedder.max_tokens();
        Ok(EmbeddedText {
            values,
            input_tokens: tokens.min(limit),
            is_truncated: tokens > limit,
        })
    }
}

fn since(started: Instant) -> StageTimes {
    let total = started.elapsed();
    StageTimes {
        embed: total,
        total,
        ..StageTimes::default()
    }
}

fn check_batch(texts: &[String]) -> Result<(), Error> {
    let count = texts.len();
    if !(1..=MAX_EMBED_TEXTS).contains(&count) {
        let reason = format!("1 to {MAX_EMBED_TEXTS} texts can be embedded together, not {count}");
        return Err(Error::invalid("texts", reason));
    }
    let bytes: usize = texts.iter().map(String::len).sum();
    if bytes > MAX_EMBED_BYTES {
        let reason = format!("all texts together have at most {MAX_EMBED_BYTES} bytes, these have {bytes}");
        return Err(Error::invalid("texts", reason));
    }
    Ok(())
}
