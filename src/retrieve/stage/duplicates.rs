//! Passages that say nearly the same, folded.
//!
//! Passages are compared by their words and not by their vectors: a vector hardly changes when one number or name does,
//! and to hide a passage that differs in a fact is worse than to show one twice. Texts are equal to the degree that their
//! runs of three words are (Jaccard); a passage with other numbers is another passage.

use std::collections::{BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use super::{Facts, Folded, Line, Loss, Texts};

/// Words of a run.
const RUN_WORDS: usize = 3;

/// A passage as it is compared.
struct Passage {
    runs: BTreeSet<u64>,
    /// Words with digits in them, in order.
    numbers: Vec<String>,
}

impl Passage {
    fn of(text: &str) -> Self {
        let lower = text.to_lowercase();
        let words: Vec<&str> = lower
            .split(|c: char| !c.is_alphanumeric())
            .filter(|word| !word.is_empty())
            .collect();
        // A text that is shorter than a run is one.
        let runs = words.windows(RUN_WORDS.min(words.len()).max(1)).map(|run| {
            let mut hasher = DefaultHasher::new();
            run.hash(&mut hasher);
            hasher.finish()
        });
        let mut numbers: Vec<String> = words
            .iter()
            .filter(|word| word.chars().any(char::is_numeric))
            .map(|word| (*word).to_owned())
            .collect();
        numbers.sort_unstable();
        Self {
            runs: runs.collect(),
            numbers,
        }
    }
}

/// Folds each candidate into the best one of another document that it is at least `least_similarity` similar to. Texts are
/// found by chunk; one without a text is left as it is.
pub fn fold(line: &mut Line, least_similarity: f64, texts: &Texts, facts: &Facts) {
    // Of what is kept: its passage and document, and the runs by the places that hold them.
    let mut passages: Vec<(Passage, Option<u64>)> = Vec::new();
    let mut places: HashMap<u64, Vec<usize>> = HashMap::new();
    line.sift(|kept, staged| {
        let chunk_id = staged.chunk_id();
        let passage = Passage::of(texts.get(&chunk_id).map_or("", String::as_str));
        let document = facts.get(&chunk_id).map(|facts| facts.revision_id);
        let mut shared: HashMap<usize, usize> = HashMap::new();
        for place in passage.runs.iter().filter_map(|run| places.get(run)).flatten() {
            *shared.entry(*place).or_insert(0) += 1;
        }
        let similar = shared
            .into_iter()
            .filter_map(|(place, shared)| {
                let (other, of_document) = &passages[place];
                let is_other = document.is_none() || document != *of_document;
                let union = passage.runs.len() + other.runs.len() - shared;
                let similarity = shared as f64 / union as f64;
                let is_similar = is_other && similarity >= least_similarity && other.numbers == passage.numbers;
                is_similar.then_some((place, similarity))
            })
            .min_by_key(|(place, _)| *place);
        if let Some((place, similarity)) = similar {
            let into = &mut kept[place];
            into.folded.push(Folded {
                chunk_id,
                score: staged.score,
                similarity,
            });
            return Some(Loss::DuplicateOf(into.chunk_id()));
        }
        for run in &passage.runs {
            places.entry(*run).or_default().push(passages.len());
        }
        passages.push((passage, document));
        None
    });
}
