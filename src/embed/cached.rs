//! Query embeddings that are remembered.
//!
//! Comes in: an embedder. Goes out: the same, which embeds a query that it knows in no time.
//! Always holds: a query is embedded alone, so that its vector depends neither on the queries beside it nor on whether it
//! was remembered; what is remembered takes at most [`MAX_BYTES`].

use std::sync::Arc;

use parking_lot::Mutex;

use super::{Embedder, Embedding, Error, Purpose, TokenCoverage, TokenVectors};
use crate::cache::Bounded;
use crate::worker::Cancel;

/// Bytes of remembered vectors and texts at most.
const MAX_BYTES: usize = 8 << 20;
/// Longer queries are not remembered: they are seldom asked twice.
const MAX_TEXT_BYTES: usize = 1_024;

type Remembered = (Embedding, Option<TokenCoverage>);

/// An embedder that remembers the queries asked last.
pub struct CachedEmbedder {
    inner: Arc<dyn Embedder>,
    queries: Mutex<Bounded<String, Remembered>>,
}

impl std::fmt::Debug for CachedEmbedder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CachedEmbedder")
            .field("model_id", &self.inner.model_id())
            .finish_non_exhaustive()
    }
}

impl CachedEmbedder {
    /// Remembers the queries that `inner` embeds.
    pub fn new(inner: Arc<dyn Embedder>) -> Self {
        Self {
            inner,
            queries: Mutex::new(Bounded::new(MAX_BYTES)),
        }
    }

    fn query(&self, text: &str, cancel: &Cancel) -> Result<Embedding, Error> {
        if let Some((embedding, _)) = self.queries.lock().get(text) {
            return Ok(embedding.clone());
        }
        let embedding = self.inner.embed(&[text], Purpose::Query, cancel)?.pop();
        let embedding = embedding.ok_or(Error::NotAVector)?;
        if text.len() <= MAX_TEXT_BYTES {
            let remembered = (embedding.clone(), self.inner.coverage(text));
            let bytes = text.len() + size_of_val(embedding.as_slice()) + size_of::<(String, Remembered)>();
            self.queries.lock().put(text.to_owned(), remembered, bytes);
        }
        Ok(embedding)
    }
}

impl Embedder for CachedEmbedder {
    fn model_id(&self) -> &str {
        self.inner.model_id()
    }

    fn dimensions(&self) -> usize {
        self.inner.dimensions()
    }

    fn max_tokens(&self) -> usize {
        self.inner.max_tokens()
    }

    fn memory_bytes(&self) -> u64 {
        self.inner.memory_bytes() + self.queries.lock().bytes() as u64
    }

    fn count_tokens(&self, text: &str) -> usize {
        self.inner.count_tokens(text)
    }

    fn count_input_tokens(&self, text: &str, purpose: Purpose) -> Result<usize, Error> {
        self.inner.count_input_tokens(text, purpose)
    }

    fn coverage(&self, text: &str) -> Option<TokenCoverage> {
        if let Some((_, coverage)) = self.queries.lock().peek(text) {
            return *coverage;
        }
        self.inner.coverage(text)
    }

    fn embed(&self, texts: &[&str], purpose: Purpose, cancel: &Cancel) -> Result<Vec<Embedding>, Error> {
        cancel.check()?;
        match purpose {
            Purpose::Passage => self.inner.embed(texts, purpose, cancel),
            Purpose::Query => texts.iter().map(|text| self.query(text, cancel)).collect(),
        }
    }

    fn token_vectors(&self, text: &str, purpose: Purpose, cancel: &Cancel) -> Result<TokenVectors, Error> {
        self.inner.token_vectors(text, purpose, cancel)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::embed::HashingEmbedder;

    /// Counts the texts that it embeds.
    struct Counting(HashingEmbedder, AtomicUsize);

    impl Embedder for Counting {
        fn model_id(&self) -> &'static str {
            "counting"
        }

        fn dimensions(&self) -> usize {
            self.0.dimensions()
        }

        fn max_tokens(&self) -> usize {
            self.0.max_tokens()
        }

        fn count_tokens(&self, text: &str) -> usize {
            self.0.count_tokens(text)
        }

        fn embed(&self, texts: &[&str], purpose: Purpose, cancel: &Cancel) -> Result<Vec<Embedding>, Error> {
            self.1.fetch_add(texts.len(), Ordering::SeqCst);
            assert!(purpose == Purpose::Passage || texts.len() == 1, "queries come alone");
            self.0.embed(texts, purpose, cancel)
        }
    }

    #[test]
    fn known_queries_are_not_embedded_again() {
        let counting = Arc::new(Counting(HashingEmbedder::new(8), AtomicUsize::new(0)));
        let cached = CachedEmbedder::new(counting.clone());
        let check = |texts: &[&str], purpose, embedded: usize| {
            let before = counting.1.load(Ordering::SeqCst);
            let found = cached.embed(texts, purpose, &Cancel::new()).expect("embedded");
            let expected = counting.0.embed(texts, purpose, &Cancel::new()).expect("embedded");
            assert_eq!(found, expected);
            assert_eq!(counting.1.load(Ordering::SeqCst) - before, embedded, "{texts:?}");
        };
        check(&["red fox", "dog"], Purpose::Query, 2);
        check(&["dog", "cat", "red fox"], Purpose::Query, 1);
        check(&["dog"], Purpose::Passage, 1);
        check(&["dog"], Purpose::Passage, 1);
        let long = "fox ".repeat(MAX_TEXT_BYTES);
        check(&[&long], Purpose::Query, 1);
        check(&[&long], Purpose::Query, 1);
        let cancel = Cancel::new();
        cancel.cancel();
        assert!(cached.embed(&["dog"], Purpose::Query, &cancel).is_err());
    }
}
