//! Candidates to hits: the stages after fusion, with what each of them needs to know.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::base::Base;
use super::live_recall::LiveRecall;
use super::reranking::{self, Reranking};
use super::transformation::Part;
use super::{Error, ReadAt, RetrievalPlan, context};
use crate::document::ByteSpan;
use crate::index::{Accepted, ChunkId, ChunkSet, Epoch, TermsSnapshot};
use crate::retrieve::filter::Known;
use crate::retrieve::options::{MAX_LISTED_DEEPER, Options};
use crate::retrieve::query::FILTER;
use crate::retrieve::stage::{self, Facts, Line, Staged};
use crate::retrieve::{
    self, Candidates, EmbeddedQuery, Explanation, Filter, FoldedHit, Hit, Legs, LegsWork, Query, TransformationKind,
};
use crate::store::{BaseRecord, ChunkRecord, Lease, Snapshot};

/// How many times as many candidates each leg lists when too few results were left.
const DEEPER: usize = 4;

/// A query on its way through one epoch of a knowledge base.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) record: &'a BaseRecord,
    pub(super) base: &'a Base,
    pub(super) query: &'a Query,
    pub(super) embedded: Option<EmbeddedQuery<'a>>,
    /// What is searched for beside the query's own words.
    pub(super) parts: &'a [Part],
    pub(super) lease: &'a Lease<'a>,
    pub(super) at: ReadAt,
    /// When ages are counted from, unless the past is asked about.
    pub(super) now: SystemTime,
    /// There where the query wants it.
    pub(super) reranking: Option<Reranking<'a>>,
    /// There where walks are measured.
    pub(super) live_recall: Option<&'a LiveRecall>,
}

/// What became of the candidates.
pub(super) struct Searched {
    pub(super) line: Line,
    /// What is known of the candidates, as far as a stage needed it.
    pub(super) facts: Facts,
    /// Candidates that were fused.
    pub(super) candidate_count: usize,
    /// Candidates that each leg was asked for.
    pub(super) listed: usize,
    /// Weight of the dense leg.
    pub(super) dense_weight: f64,
    pub(super) epoch: Epoch,
    /// How long reranking took.
    pub(super) reranked_in: Duration,
    pub(super) plan: RetrievalPlan,
}

/// A set of chunks, and whether it was known already.
type Chosen = (Arc<ChunkSet>, bool);

/// Which chunks may be found at an epoch: all that it sees, or those that the caller may see and that pass the filter.
pub(super) struct Findable {
    chosen: Option<Chosen>,
    /// Chunks that the caller may find, whatever the filter.
    visible: usize,
}

impl Findable {
    pub(super) fn of(asked: Asked<'_>) -> Result<Self, Error> {
        let store = &asked.base.store;
        let restricts = store.restricts_access();
        if restricts || asked.query.filter.is_some() {
            // Read before the snapshot, which keeps writers waiting.
            store.with_attributes(|_| ())?;
        }
        check_scoring(asked)?;
        let snapshot = store.snapshot(asked.lease);
        let admitted = restricts.then(|| admitted(asked, &snapshot)).transpose()?;
        let chosen = match &asked.query.filter {
            Some(filter) => Some(filtered(asked, &snapshot, filter)?),
            None => admitted.clone(),
        };
        Ok(Self {
            chosen,
            visible: admitted.map_or_else(|| snapshot.chunk_count(), |(set, _)| set.len()),
        })
    }

    /// Calls `work` with the legs, and with the chunks that may be found.
    pub(super) fn with<T>(&self, asked: Asked<'_>, work: impl FnOnce(&Legs<'_>, Accepted<'_>) -> T) -> T {
        let snapshot = asked.base.store.snapshot(asked.lease);
        let legs = Legs {
            terms: snapshot.terms(),
            vectors: snapshot.vectors(),
        };
        match &self.chosen {
            Some((set, _)) => work(&legs, Accepted::Set(set)),
            None => work(&legs, Accepted::Test(&|id| snapshot.contains(id), self.visible)),
        }
    }

    fn plan(&self, work: LegsWork) -> RetrievalPlan {
        let chosen = self.chosen.as_ref();
        RetrievalPlan {
            visible_chunks: self.visible,
            accepted_chunks: chosen.map_or(self.visible, |(set, _)| set.len()),
            is_cached: chosen.is_some_and(|(_, was_known)| *was_known),
            work,
        }
    }
}

/// Fails when boosts or recency ask for what no document can answer: every score would be scaled as if none did.
fn check_scoring(asked: Asked<'_>) -> Result<(), Error> {
    let options = &asked.query.options;
    if !options.changes_scores() {
        return Ok(());
    }
    asked.base.store.with_attributes(|index| {
        let admitted = index.admitted(asked.query.caller.as_ref());
        let known = Known {
            index,
            schema: &asked.record.metadata_schema,
            within: admitted.as_ref(),
        };
        let search = FILTER.strip_suffix("filter").unwrap_or(FILTER);
        for (at, boost) in options.boosts.iter().enumerate() {
            let unfit = boost.filter.check_known(&known);
            unfit.map_err(|unfit| Error::invalid(format!("{search}boosts[{at}].filter"), unfit.to_string()))?;
        }
        if let Some(recency) = &options.recency {
            let unfit = known.check_dated(&recency.attribute_key);
            unfit.map_err(|unfit| Error::invalid(format!("{search}recency.attribute_key"), unfit.to_string()))?;
        }
        Ok(())
    })?
}

/// Returns the chunks that the caller may find.
fn admitted(asked: Asked<'_>, snapshot: &Snapshot<'_>) -> Result<Chosen, Error> {
    let caller = asked.query.caller.as_ref();
    snapshot.choose(&format!("{caller:?}"), |index| {
        Ok(index.admitted(caller).unwrap_or_else(|| index.all()))
    })
}

/// Returns the chunks that the caller may find and that pass the filter.
fn filtered(asked: Asked<'_>, snapshot: &Snapshot<'_>, filter: &Filter) -> Result<Chosen, Error> {
    let caller = asked.query.caller.as_ref();
    // What is declared decides what is refused.
    let declared = asked.record.updated_at;
    snapshot.choose(&format!("{caller:?}{declared:?}{filter:?}"), |index| {
        let admitted = index.admitted(caller);
        let known = Known {
            index,
            schema: &asked.record.metadata_schema,
            within: admitted.as_ref(),
        };
        filter
            .check_known(&known)
            .map_err(|unfit| Error::invalid(FILTER, unfit.to_string()))?;
        let mut rows = filter.rows(index);
        if let Some(admitted) = &admitted {
            rows.and(admitted);
        }
        Ok(rows)
    })
}

/// Puts a query to both legs and takes what they find through all stages. While stages that drop candidates leave too
/// few results, the legs list deeper, unless the caller said how deep.
pub(super) fn search(asked: Asked<'_>, findable: &Findable) -> Result<Searched, Error> {
    let (query, options) = (asked.query, &asked.query.options);
    let mut listed = retrieve::listed(query);
    let mut reranked_in = Duration::ZERO;
    loop {
        let found = findable.with(asked, |legs, accepted| candidates(asked, legs, accepted, listed))?;
        let (dense_weight, work) = (found.dense_weight, found.work);
        if let Some(recall) = asked.live_recall {
            let within = findable.chosen.as_ref().map(|(set, _)| set);
            recall.note(asked, within, (&found.fused, work.vectors), listed);
        }
        let may_go_deeper = options.drops()
            && options.candidates_per_leg.is_none()
            && found.may_go_deeper
            && listed < MAX_LISTED_DEEPER;
        let candidate_count = found.fused.len();
        let mut line = Line::new(found.fused);
        reranked_in += reranking::rerank(asked, &mut line)?;
        let facts = run_stages(asked, &mut line)?;
        let is_short = line.kept.len() < query.limit;
        // What is listed deeper scores lower still.
        let is_at_threshold = line.lost.iter().any(|lost| lost.loss == stage::Loss::BelowThreshold);
        if is_short && may_go_deeper && !is_at_threshold {
            listed = (listed * DEEPER).min(MAX_LISTED_DEEPER);
            continue;
        }
        return Ok(Searched {
            line,
            facts,
            candidate_count,
            listed,
            dense_weight,
            epoch: asked.lease.epoch(),
            reranked_in,
            plan: findable.plan(work),
        });
    }
}

/// Returns what the legs list for the query and for its parts.
fn candidates(
    asked: Asked<'_>,
    legs: &Legs<'_>,
    accepted: Accepted<'_>,
    listed: usize,
) -> Result<Candidates, crate::index::Error> {
    let whole = retrieve::candidates(legs, asked.query, asked.embedded, accepted, listed)?;
    let of_part = |part: &Part| {
        let query = Query {
            text: part.text.clone(),
            ..asked.query.clone()
        };
        let embedded = part.embedded.as_ref().map(|(embedding, coverage)| EmbeddedQuery {
            vector: embedding.as_slice(),
            coverage: *coverage,
        });
        retrieve::candidates(legs, &query, embedded, accepted, listed)
    };
    let transformation = asked.query.options.transformation.as_ref();
    let is_rewrite = transformation.is_some_and(|it| it.kind == TransformationKind::Rewriting);
    match asked.parts {
        [] => Ok(whole),
        [rewrite] if is_rewrite => Ok(retrieve::averaged(whole, of_part(rewrite)?)),
        parts => Ok(retrieve::united(
            whole,
            parts.iter().map(of_part).collect::<Result<_, _>>()?,
        )),
    }
}

/// Takes the candidates through the stages after reranking, in their order.
fn run_stages(asked: Asked<'_>, line: &mut Line) -> Result<Facts, Error> {
    let (query, options) = (asked.query, &asked.query.options);
    let store = &asked.base.store;
    let facts = if options.changes_scores() || options.drops() {
        store.facts(&line.chunk_ids())?
    } else {
        Facts::new()
    };
    if !options.boosts.is_empty() {
        stage::boost(line, &options.boosts, &facts);
    }
    if let Some(recency) = &options.recency {
        stage::fade(line, recency, &facts, now(asked)?);
    }
    if let Some(threshold) = query.score_threshold {
        stage::leave_out_low(line, threshold);
    }
    if let Some(similarity) = options.near_duplicates {
        let texts = store.chunks(&line.chunk_ids())?.into_iter();
        let texts: stage::Texts = texts.map(|record| (record.chunk_id, record.text)).collect();
        stage::fold(line, similarity, &texts, &facts);
    }
    if let Some(max_chunks) = options.chunks_per_document {
        stage::group(line, max_chunks, &facts);
    }
    if let Some(lambda) = options.diversity {
        let mut pool = line.chunk_ids();
        pool.truncate(stage::pool_size(query.limit));
        let vectors = store.snapshot(asked.lease).vectors().vectors_of(&pool);
        let vectors = pool.into_iter().zip(vectors);
        let vectors: stage::UnitVectors = vectors.filter_map(|(id, vector)| Some((id, vector?))).collect();
        stage::diversify(line, lambda, query.limit, &vectors);
    } else {
        stage::cut(line, query.limit);
    }
    Ok(facts)
}

/// Returns when ages are counted from: the past is ranked as it was then.
fn now(asked: Asked<'_>) -> Result<SystemTime, Error> {
    let epoch = asked.lease.epoch();
    if asked.at.as_of.is_none() {
        return Ok(asked.now);
    }
    let told = asked.base.store.epochs(Epoch(epoch.0 + 1), 1, false)?;
    let told = told.into_iter().find(|info| info.epoch == epoch);
    Ok(told.map_or(asked.now, |info| info.committed_at))
}

/// Adds to each result what a hit shows of its chunk and document, and what was asked for beside.
pub(super) fn hits(asked: Asked<'_>, searched: &mut Searched) -> Result<Vec<Hit>, Error> {
    let kept = std::mem::take(&mut searched.line.kept);
    let ids: Vec<ChunkId> = kept.iter().map(Staged::chunk_id).collect();
    let mut records: HashMap<ChunkId, ChunkRecord> = asked
        .base
        .store
        .chunks(&ids)?
        .into_iter()
        .map(|record| (record.chunk_id, record))
        .collect();
    let with_records = kept.into_iter().filter_map(|staged| {
        let record = records.remove(&staged.chunk_id())?;
        Some((staged, record))
    });
    let mut hits = Vec::with_capacity(ids.len());
    let mut explanations = Vec::new();
    for (rank, (staged, record)) in (1..).zip(with_records) {
        if asked.query.explain {
            let mut explanation = Explanation::new(
                asked.query,
                searched.dense_weight,
                &staged,
                rank,
                searched.candidate_count as u32,
            );
            let filter = asked.query.filter.as_ref();
            explanation.filter = filter.map_or_else(Vec::new, |filter| retrieve::outcomes(filter, &record.metadata));
            explanations.push(explanation);
        }
        hits.push(hit(record, &staged, &searched.facts));
    }
    let Options {
        expansion, highlight, ..
    } = asked.query.options;
    if highlight || asked.query.explain {
        let terms = asked.base.store.snapshot(asked.lease).terms().clone();
        for hit in &mut hits {
            let places = terms.highlights(&asked.query.text, &hit.text).into_iter();
            let start = hit.span.start;
            hit.highlights = places
                .map(|at| ByteSpan::new(start + at.start, start + at.end))
                .collect();
        }
        explain_terms(asked, &terms, &hits, &mut explanations)?;
    }
    for (hit, explanation) in hits.iter_mut().zip(explanations) {
        hit.explanation = Some(Box::new(explanation));
    }
    if let Some(expansion) = expansion {
        context::expand(asked.base, &mut hits, expansion)?;
    }
    Ok(hits)
}

fn explain_terms(
    asked: Asked<'_>,
    terms: &TermsSnapshot,
    hits: &[Hit],
    explanations: &mut [Explanation],
) -> Result<(), Error> {
    let with_terms = hits.iter().any(|hit| hit.bm25.is_some());
    if explanations.is_empty() || !with_terms {
        return Ok(());
    }
    let ids: Vec<ChunkId> = hits.iter().map(|hit| hit.chunk_id).collect();
    // A chunk that was found for a part of the question has the scores of that part: the terms are those that add up to
    // what the leg gave.
    let mut nearest = vec![f64::INFINITY; hits.len()];
    let wordings = asked.parts.iter().map(|part| part.text.as_str());
    for wording in std::iter::once(asked.query.text.as_str()).chain(wordings) {
        let of_wording = terms.asked(wording)?.explain(&ids)?.into_iter().zip(hits);
        for ((of_hit, hit), (explanation, nearest)) in of_wording.zip(explanations.iter_mut().zip(&mut nearest)) {
            let sum: f64 = of_hit.iter().map(|part| part.score).sum();
            let gap = (sum - hit.bm25.map_or(0.0, |leg| leg.raw)).abs();
            if gap < *nearest {
                (explanation.terms, *nearest) = (of_hit, gap);
            }
        }
    }
    Ok(())
}

fn hit(record: ChunkRecord, staged: &Staged, facts: &Facts) -> Hit {
    let folded = staged.folded.iter().filter_map(|folded| {
        let facts = facts.get(&folded.chunk_id).map(Arc::as_ref)?;
        Some(FoldedHit {
            chunk_id: folded.chunk_id,
            document_id: facts.document_id.clone(),
            score: folded.score,
            similarity: folded.similarity,
        })
    });
    Hit {
        folded: folded.collect(),
        chunk_id: record.chunk_id,
        revision_id: record.revision_id,
        document_id: record.document_id,
        content_hash: record.content_hash,
        title: record.title,
        source_name: record.source_name,
        heading_path: record.heading_path,
        page: record.page,
        span: record.span,
        code_point_start: record.code_point_start,
        text: record.text,
        metadata: record.metadata,
        score: staged.score,
        bm25: staged.candidate.bm25,
        cosine: staged.candidate.cosine,
        context: None,
        highlights: Vec::new(),
        explanation: None,
    }
}
