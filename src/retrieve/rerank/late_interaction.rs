//! [Late interaction](https://doi.org/10.1145/3397271.3401075): every token of the query looks for its best match among
//! the tokens of a passage.

use std::fmt;
use std::sync::Arc;

use super::max_sim::{best_matches, weighted_mean};
use super::{Error, KeptTokens, Passage, Reranker};
use crate::embed::{Embedder, Purpose, TokenVectors};
use crate::worker::Cancel;

/// Scores passages by the mean over the tokens of the query, weighted by how rare they are, of the largest cosine to a
/// token of the passage.
///
/// How rare a token is its place in the model's vocabulary tells, which lists common tokens first: by Zipf's
/// law the logarithm of the place is that of the inverse frequency, up to a constant. On training queries that was better than counting in how many chunks a word or a token stands.
pub struct LateInteraction<'a> {
    /// Makes the vectors of tokens.
    pub embedder: &'a dyn Embedder,
    /// Where vectors of chunks are kept.
    pub kept: Option<KeptTokens<'a>>,
}

impl fmt::Debug for LateInteraction<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LateInteraction")
            .field("embedder", &self.embedder.model_id())
            .finish_non_exhaustive()
    }
}

impl LateInteraction<'_> {
    /// Returns the tokens of a passage, from what is kept if they are there.
    fn tokens(&self, passage: &Passage<'_>, cancel: &Cancel) -> Result<Arc<TokenVectors>, Error> {
        let kept = self.kept.as_ref().zip(passage.chunk_id);
        if let Some((kept, chunk_id)) = kept
            && let Some(tokens) = kept.get(&chunk_id)
        {
            return Ok(tokens);
        }
        let tokens = self.embedder.token_vectors(&passage.text, Purpose::Passage, cancel)?;
        let tokens = Arc::new(tokens);
        if let Some((kept, chunk_id)) = kept {
            kept.keep(&chunk_id, &tokens, tokens.bytes());
        }
        Ok(tokens)
    }
}

impl Reranker for LateInteraction<'_> {
    fn score(&self, query: &str, passages: &[Passage<'_>], cancel: &Cancel) -> Result<Vec<f64>, Error> {
        let asked = self.embedder.token_vectors(query, Purpose::Query, cancel)?;
        let vectors = asked.widened();
        let weights: Vec<f64> = asked.ranks().iter().map(|rank| rarity(*rank)).collect();
        let mut scores = Vec::with_capacity(passages.len());
        for passage in passages {
            cancel.check()?;
            let tokens = self.tokens(passage, cancel)?;
            scores.push(weighted_mean(&best_matches(&vectors, &tokens), &weights));
        }
        Ok(scores)
    }
}

/// Returns how much a token counts that has this place in the vocabulary.
fn rarity(rank: u32) -> f64 {
    (f64::from(rank) + 2.0).ln()
}
