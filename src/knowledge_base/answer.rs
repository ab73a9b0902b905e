//! Searching, and answering from what is found.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use super::base::Base;
use super::{AnswerSummary, Error, Groundwork, Question, ReadAt, Retrieval, RetrievalPlan, StageTimes};
use crate::document::DocumentId;
use crate::embed::Purpose;
use crate::generate::{self, AnswerEvent, Asked, NoAnswerReason, Reference, Sink};
use crate::index::{Accepted, ChunkId, ChunkSet, Epoch};
use crate::retrieve::filter::Known;
use crate::retrieve::query::FILTER;
use crate::retrieve::{self, Candidate, EmbeddedQuery, Filter, Hit, Legs, Query, SearchType};
use crate::store::{BaseRecord, ChunkRecord, Lease, Snapshot};
use crate::worker::Cancel;

impl Groundwork {
    /// Finds the chunks that fit a query best.
    pub fn retrieve(
        &self,
        knowledge_base: &str,
        query: &Query,
        at: ReadAt,
        cancel: &Cancel,
    ) -> Result<Retrieval, Error> {
        let query = query.clone().check()?;
        let (record, base) = self.base(knowledge_base)?;
        self.retrieve_from(&record, &base, &query, at, cancel)
    }

    /// Puts a checked query to an open knowledge base.
    fn retrieve_from(
        &self,
        record: &BaseRecord,
        base: &Base,
        query: &Query,
        at: ReadAt,
        cancel: &Cancel,
    ) -> Result<Retrieval, Error> {
        let started = Instant::now();
        let lease = base.lease(at, cancel)?;
        let mut times = StageTimes {
            queue: started.elapsed(),
            ..StageTimes::default()
        };
        let embedded = if query.search_type == SearchType::Keyword {
            None
        } else {
            let embedder = self.models.embedder(&record.embedding_model_id)?;
            let embed_started = Instant::now();
            let embedding = embedder.embed(&[&query.text], Purpose::Query, cancel)?.pop();
            times.embed = embed_started.elapsed();
            embedding.map(|embedding| (embedding, embedder.coverage(&query.text)))
        };
        cancel.check()?;
        let search_started = Instant::now();
        let embedded = embedded.as_ref().map(|(embedding, coverage)| EmbeddedQuery {
            vector: embedding.as_slice(),
            coverage: *coverage,
        });
        let found = search(record, base, query, embedded, &lease)?;
        let hits = hits(base, found.candidates)?;
        times.search = search_started.elapsed();
        times.total = started.elapsed();
        Ok(Retrieval {
            hits,
            epoch: found.epoch,
            chunk_count: found.chunk_count,
            times,
            plan: found.plan,
        })
    }

    /// Answers a question; events go to `sink` as they come.
    pub fn answer(
        &self,
        knowledge_base: &str,
        question: &Question,
        cancel: &Cancel,
        sink: &mut Sink<'_>,
    ) -> Result<AnswerSummary, Error> {
        let started = Instant::now();
        let model_id = match question.model_id.as_str() {
            "" => &self.settings.language_model_id,
            id => id,
        };
        self.models
            .check_language_model(model_id)
            .map_err(|error| error.in_field("generation_configuration.model_id"))?;
        let (record, base) = self.base(knowledge_base)?;
        let in_input = |error: Error| error.renamed("retrieval_query.text", "input.text");
        let query = question
            .query
            .clone()
            .check()
            .map_err(|invalid| in_input(invalid.into()))?;
        let retrieval = self.retrieve_from(&record, &base, &query, question.at, cancel)?;
        let mut sources = Sources::default();
        let sink: &mut Sink<'_> = &mut |event| {
            sources.note(&event);
            sink(event)
        };
        let mut times = retrieval.times;
        let (generation, model) = if let Some(reason) = no_answer_reason(&query, &retrieval) {
            (generate::answer_nothing(reason, sink)?, None)
        } else {
            let waiting = Instant::now();
            let _slot = self.answers.enter(cancel)?;
            let model = self.models.language_model(model_id)?;
            times.queue += waiting.elapsed();
            let embedder = self.models.embedder(&record.embedding_model_id)?;
            let generation = generate::answer(
                &*model,
                Asked {
                    question: &query.text,
                    hits: retrieval.hits,
                    inference: &question.inference,
                    embedder: Some(&*embedder),
                },
                &self.gate,
                cancel,
                sink,
            )?;
            let hash = model.model_hash().to_owned();
            (generation, Some((model_id.to_owned(), hash)))
        };
        times.total = started.elapsed();
        let current_epoch = base.store.epoch();
        // Who asks about the past knows that the documents have changed since.
        let outdated_references = if question.at.as_of.is_none() && current_epoch > retrieval.epoch {
            sources.outdated(&base)?
        } else {
            Vec::new()
        };
        Ok(AnswerSummary {
            generation,
            epoch: retrieval.epoch,
            model,
            seed: question.inference.seed,
            times,
            current_epoch,
            outdated_references,
        })
    }
}

/// The revisions that an answer rests on, by the numbers of its references.
#[derive(Default)]
struct Sources(Vec<(u32, DocumentId, u64)>);

impl Sources {
    fn note(&mut self, event: &AnswerEvent) {
        if let AnswerEvent::References(references) = event {
            let source = |reference: &Reference| {
                let hit = &reference.hit;
                (reference.number, hit.document_id.clone(), hit.revision_id)
            };
            self.0 = references.iter().map(source).collect();
        }
    }

    /// Returns the numbers of those that were replaced or deleted since.
    fn outdated(&self, base: &Base) -> Result<Vec<u32>, Error> {
        let indexed = base.store.indexed_revisions(self.0.iter().map(|(_, id, _)| id))?;
        let is_outdated = |id: &DocumentId, revision_id: u64| indexed.get(id) != Some(&revision_id);
        let outdated = self
            .0
            .iter()
            .filter(|(_, id, revision_id)| is_outdated(id, *revision_id));
        Ok(outdated.map(|(number, _, _)| *number).collect())
    }
}

/// Decides before any model is called whether there is something to answer from.
fn no_answer_reason(query: &Query, retrieval: &Retrieval) -> Option<NoAnswerReason> {
    if !retrieval.hits.is_empty() {
        return generate::relevance(&query.text, &retrieval.hits).err();
    }
    Some(if retrieval.chunk_count == 0 {
        NoAnswerReason::EmptyKnowledgeBase
    } else {
        NoAnswerReason::NoResults
    })
}

/// What a search found, and how.
struct Found {
    candidates: Vec<Candidate>,
    epoch: Epoch,
    /// Chunks that the caller may find, whatever the filter.
    chunk_count: usize,
    plan: RetrievalPlan,
}

fn search(
    record: &BaseRecord,
    base: &Base,
    query: &Query,
    embedded: Option<EmbeddedQuery<'_>>,
    lease: &Lease<'_>,
) -> Result<Found, Error> {
    let restricts = base.store.restricts_access();
    if restricts || query.filter.is_some() {
        // Read before the snapshot, which keeps writers waiting.
        base.store.with_attributes(|_| ())?;
    }
    let snapshot = base.store.snapshot(lease);
    let legs = Legs {
        terms: snapshot.terms(),
        vectors: snapshot.vectors(),
    };
    let choice = Choice {
        record,
        query,
        snapshot: &snapshot,
    };
    let admitted = if restricts { Some(choice.admitted()?) } else { None };
    let chosen = match &query.filter {
        Some(filter) => Some(choice.filtered(filter)?),
        None => admitted.clone(),
    };
    let chunk_count = admitted.map_or_else(|| snapshot.chunk_count(), |(set, _)| set.len());
    let is_visible = |chunk_id| snapshot.contains(chunk_id);
    let accepted = match &chosen {
        Some((set, _)) => Accepted::Set(set),
        None => Accepted::Test(&is_visible, chunk_count),
    };
    let (candidates, work) = retrieve::search(&legs, query, embedded, accepted)?;
    let plan = RetrievalPlan {
        visible_chunks: chunk_count,
        accepted_chunks: accepted.len(),
        is_cached: chosen.as_ref().is_some_and(|(_, was_known)| *was_known),
        work,
    };
    Ok(Found {
        candidates,
        epoch: snapshot.epoch(),
        chunk_count,
        plan,
    })
}

/// What a search chooses chunks by.
struct Choice<'a> {
    record: &'a BaseRecord,
    query: &'a Query,
    snapshot: &'a Snapshot<'a>,
}

/// A set of chunks, and whether it was known already.
type Chosen = (Arc<ChunkSet>, bool);

impl Choice<'_> {
    /// Returns the chunks that the caller may find.
    fn admitted(&self) -> Result<Chosen, Error> {
        let caller = self.query.caller.as_ref();
        self.snapshot.choose(&format!("{caller:?}"), |index| {
            Ok(index.admitted(caller).unwrap_or_else(|| index.all()))
        })
    }

    /// Returns the chunks that the caller may find and that pass the filter.
    fn filtered(&self, filter: &Filter) -> Result<Chosen, Error> {
        let caller = self.query.caller.as_ref();
        // What is declared decides what is refused.
        let declared = self.record.updated_at;
        self.snapshot
            .choose(&format!("{caller:?}{declared:?}{filter:?}"), |index| {
                let admitted = index.admitted(caller);
                let known = Known {
                    index,
                    schema: &self.record.metadata_schema,
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
}

/// Adds to each candidate what a hit shows of its chunk and document.
fn hits(base: &Base, candidates: Vec<Candidate>) -> Result<Vec<Hit>, Error> {
    let ids: Vec<ChunkId> = candidates.iter().map(|candidate| candidate.chunk_id).collect();
    let mut records: HashMap<ChunkId, ChunkRecord> = base
        .store
        .chunks(&ids)?
        .into_iter()
        .map(|record| (record.chunk_id, record))
        .collect();
    let hit = |candidate: Candidate| {
        let record = records.remove(&candidate.chunk_id)?;
        Some(Hit {
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
            score: candidate.score,
            bm25: candidate.bm25,
            cosine: candidate.cosine,
        })
    };
    Ok(candidates.into_iter().filter_map(hit).collect())
}
