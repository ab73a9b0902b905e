//! [Late interaction](https://doi.org/10.1145/3397271.3401075): every token of the query looks for its best match among
//! the tokens of a passage.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use super::max_sim::{best_matches, weighted_mean};
use super::{Error, KeptTokens, Passage, Reranker};
use crate::embed::{Embedder, Purpose, TokenVectors};
use crate::index::{TermsSnapshot, inverse_document_frequency};
use crate::worker::Cancel;

/// How much each token of a query counts: the rarer, the more.
#[derive(Debug, Clone, Copy)]
pub enum TokenWeights<'a> {
    /// By how many chunks of the keyword index hold the word that the token is a part of.
    Words(&'a TermsSnapshot),
    /// By how many of the passages hold the token.
    Passages,
}

/// Scores passages by the mean over the tokens of the query, weighted by how rare they are, of the largest cosine to a
/// token of the passage.
pub struct LateInteraction<'a> {
    /// Makes the vectors of tokens.
    pub embedder: &'a dyn Embedder,
    /// How much each token counts.
    pub weights: TokenWeights<'a>,
    /// Where vectors of chunks are kept.
    pub kept: Option<KeptTokens<'a>>,
}

impl fmt::Debug for LateInteraction<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LateInteraction")
            .field("embedder", &self.embedder.model_id())
            .field("weights", &self.weights)
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
        let mut matches = Vec::with_capacity(passages.len());
        let mut holders = vec![0; vectors.len()];
        for passage in passages {
            cancel.check()?;
            let tokens = self.tokens(passage, cancel)?;
            matches.push(best_matches(&vectors, &tokens));
            let ids: HashSet<u32> = tokens.tokens().iter().map(|token| token.id).collect();
            for (count, token) in holders.iter_mut().zip(asked.tokens()) {
                *count += u64::from(ids.contains(&token.id));
            }
        }
        let weights: Vec<f64> = match self.weights {
            TokenWeights::Words(terms) => {
                let places: Vec<_> = asked.tokens().iter().map(|token| token.place.clone()).collect();
                terms.rarities(query, &places)?
            }
            TokenWeights::Passages => {
                let count = passages.len() as u64;
                let holders = holders.into_iter();
                holders
                    .map(|holding| inverse_document_frequency(count, holding))
                    .collect()
            }
        };
        Ok(matches.iter().map(|best| weighted_mean(best, &weights)).collect())
    }
}
