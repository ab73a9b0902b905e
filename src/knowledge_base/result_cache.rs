//! Results of searches that were made already, for the same query of the same caller at the same epoch.
//!
//! Comes in: a checked query and a lease of the epoch, so that a result is told only where the epoch may be read. Goes
//! out: the hits as they were.
//! Always holds: what depends on the clock is not kept; nothing is kept of what was erased, or of a knowledge base that
//! was removed; another caller, another option or another declaration of attributes is another entry.

use std::sync::Arc;

use super::{
    Certificate, FoundHits, Groundwork, ImplicitFilter, ReadAt, Remainder, Retrieval, RetrievalPlan, SearchedPlace,
};
use super::{ErasedPlace, StageTimes};
use crate::cache::{Cache, Closed, Part};
use crate::document::metadata::MetadataValue;
use crate::index::Epoch;
use crate::retrieve::{Explanation, Hit, Query};
use crate::store::{BaseRecord, Wanted};

/// Name of this place among those that an erasure removes from and looks into.
const PLACE: &str = "results";

/// Results of all knowledge bases within one bound of bytes.
pub(super) type ResultCache = Cache<ResultKey, Arc<KeptResult>>;

/// What a result depends on, beside the knowledge base.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct ResultKey {
    pub(super) epoch: Epoch,
    /// The query with its caller and all options, and when what is declared last changed.
    asked: Arc<str>,
}

/// What a search gave.
#[derive(Debug)]
pub(super) struct KeptResult {
    found: FoundHits,
    chunk_count: usize,
    plan: RetrievalPlan,
}

impl KeptResult {
    /// Returns the result as one of a call that took so long.
    pub(super) fn retrieval(&self, epoch: Epoch, times: StageTimes) -> Retrieval {
        let found = self.found();
        Retrieval {
            hits: found.hits,
            epoch,
            chunk_count: self.chunk_count,
            times,
            plan: self.plan,
            is_cached: true,
            implicit_filter: found.implicit_filter,
            transformed_queries: found.transformed_queries,
        }
    }

    pub(super) fn found(&self) -> FoundHits {
        FoundHits {
            is_cached: true,
            ..self.found.clone()
        }
    }
}

/// Where the result of one query is kept.
#[derive(Debug)]
pub(super) struct Slot<'a> {
    cache: &'a ResultCache,
    part: Part<'a, ResultKey, Arc<KeptResult>>,
    key: ResultKey,
}

impl<'a> Slot<'a> {
    /// Returns the place of a query's result; nothing where none is kept: without room, and where scores fade with the
    /// time that passes.
    pub(super) fn of(
        cache: &'a ResultCache,
        record: &BaseRecord,
        query: &Query,
        at: ReadAt,
        epoch: Epoch,
    ) -> Option<Self> {
        let ages = query.options.recency.is_some() && at.as_of.is_none();
        if !cache.is_on() || ages {
            return None;
        }
        // What is declared decides what is refused.
        let asked = format!("{:?}{query:?}", record.updated_at).into();
        Some(Self {
            cache,
            part: cache.of(&record.id),
            key: ResultKey { epoch, asked },
        })
    }

    pub(super) fn get(&self) -> Option<Arc<KeptResult>> {
        self.part.get(&self.key)
    }

    /// Keeps what a search found, if there is room for as much.
    pub(super) fn keep(&self, found: &FoundHits, chunk_count: usize, plan: RetrievalPlan) {
        let parts = found
            .transformed_queries
            .iter()
            .map(|part| size_of::<String>() + part.len());
        let own = self.key.asked.len() + size_of::<(ResultKey, KeptResult)>() + parts.sum::<usize>();
        let derived = found.implicit_filter.as_ref().map_or(0, derived_bytes);
        let bytes = own + derived + found.hits.iter().map(bytes).sum::<usize>();
        if self.cache.fits(bytes) {
            let kept = Arc::new(KeptResult {
                found: found.clone(),
                chunk_count,
                plan,
            });
            self.part.keep(&self.key, &kept, bytes);
        }
    }
}

/// Keeps nothing of a knowledge base while documents are erased.
#[derive(Debug)]
pub(super) struct Erasing<'a> {
    _closed: Option<Closed<'a, ResultKey, Arc<KeptResult>>>,
    place: ErasedPlace,
}

impl<'a> Erasing<'a> {
    /// Drops all results of a knowledge base: any of them may hold words of the documents. A dry run only counts them.
    pub(super) fn begin(cache: &'a ResultCache, knowledge_base: &str, dry_run: bool) -> Self {
        let closed = (!dry_run).then(|| cache.close(knowledge_base));
        let mut count = closed.as_ref().map_or(0, Closed::dropped) as u64;
        if dry_run {
            cache.each(knowledge_base, |_, _| count += 1);
        }
        Self {
            _closed: closed,
            place: ErasedPlace { place: PLACE, count },
        }
    }

    /// Returns how many results went.
    pub(super) fn place(&self) -> ErasedPlace {
        self.place
    }
}

impl Groundwork {
    /// Looks for what is left of a document in results that are kept.
    pub(super) fn search_results(&self, knowledge_base: &str, wanted: &Wanted<'_>, certificate: &mut Certificate) {
        let mut searched = SearchedPlace {
            place: PLACE,
            entries: 0,
            bytes: 0,
        };
        let mut found = Vec::new();
        self.results.each(knowledge_base, |_, kept| {
            for hit in &kept.found.hits {
                searched.bytes += bytes(hit) as u64;
                let remainders = remainders(hit, wanted).map(|(description, also_in)| Remainder {
                    place: PLACE,
                    path: String::new(),
                    offset: searched.entries,
                    description: description.to_owned(),
                    also_in,
                });
                found.extend(remainders);
            }
            searched.entries += 1;
        });
        certificate.searched.push(searched);
        let room = crate::store::MAX_REMAINDERS.saturating_sub(certificate.remainders.len());
        certificate.remainders.extend(found.into_iter().take(room));
    }
}

/// Tells what a hit holds of what is looked for, and which other document explains it.
fn remainders<'a>(hit: &Hit, wanted: &Wanted<'a>) -> impl Iterator<Item = (&'static str, Option<String>)> + use<'a> {
    let is_wanted = |id| wanted.document_id.is_some_and(|wanted| wanted == id);
    let is_hit = is_wanted(&hit.document_id) || hit.folded.iter().any(|folded| is_wanted(&folded.document_id));
    let has_content = wanted.content_hash.is_some_and(|hash| hash == hit.content_hash);
    let holds_phrase = wanted.phrases.iter().any(|phrase| {
        let mut holds = false;
        each_text(hit, &mut |text| holds |= text.contains(phrase.as_str()));
        holds
    });
    let is_other = !is_hit && !has_content && (wanted.document_id.is_some() || wanted.content_hash.is_some());
    let other = is_other.then(|| hit.document_id.to_string());
    let found = [
        is_hit.then_some(("the document is in a result that is kept", None)),
        has_content.then_some(("the content is in a result that is kept", None)),
        holds_phrase.then_some(("a phrase of the caller", other)),
    ];
    found.into_iter().flatten()
}

/// Returns about how many bytes what was derived from a question takes: its conditions as they are written, twice.
fn derived_bytes(derived: &ImplicitFilter) -> usize {
    let rejected = derived.rejected.iter();
    let rejected: usize = rejected.map(|clause| clause.text.len() + clause.reason.len()).sum();
    2 * format!("{:?}", derived.filter).len() + derived.model_id.len() + rejected
}

/// Returns the bytes that a hit takes.
fn bytes(hit: &Hit) -> usize {
    let mut bytes = size_of::<Hit>();
    each_text(hit, &mut |text| bytes += size_of::<String>() + text.len());
    // A node of a map has room for eleven entries and is at least half full.
    bytes += 2 * hit.metadata.len() * size_of::<(String, MetadataValue)>();
    let numbers = |value: &MetadataValue| match value {
        MetadataValue::NumberList(numbers) => size_of_val(numbers.as_slice()),
        _ => 0,
    };
    bytes += hit.metadata.values().map(numbers).sum::<usize>();
    bytes += size_of_val(hit.folded.as_slice()) + size_of_val(hit.highlights.as_slice());
    bytes + hit.explanation.as_deref().map_or(0, explanation_bytes)
}

fn explanation_bytes(explanation: &Explanation) -> usize {
    let terms = explanation.terms.iter().map(|part| part.term.len());
    let paths = explanation.filter.iter().map(|outcome| outcome.path.len());
    let texts: usize = terms.chain(paths).sum();
    size_of_val(explanation)
        + texts
        + size_of_val(explanation.legs.as_slice())
        + size_of_val(explanation.terms.as_slice())
        + size_of_val(explanation.boosts.as_slice())
        + size_of_val(explanation.filter.as_slice())
}

/// Calls `each` with all that a hit says of its document in words.
fn each_text(hit: &Hit, each: &mut dyn FnMut(&str)) {
    each(hit.document_id.as_str());
    each(&hit.content_hash);
    each(&hit.source_name);
    each(&hit.text);
    hit.title.iter().for_each(|title| each(title));
    hit.heading_path.iter().for_each(|heading| each(heading));
    hit.context.iter().for_each(|context| each(&context.text));
    hit.folded.iter().for_each(|folded| each(folded.document_id.as_str()));
    for (key, value) in &hit.metadata {
        each(key);
        match value {
            MetadataValue::String(text) => each(text),
            MetadataValue::StringList(texts) => texts.iter().for_each(|text| each(text)),
            MetadataValue::NumberList(_)
            | MetadataValue::Number(_)
            | MetadataValue::Boolean(_)
            | MetadataValue::Date(_) => {}
        }
    }
}
