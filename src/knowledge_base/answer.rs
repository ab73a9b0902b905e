//! Searching, and answering from what is found.

use std::time::{Duration, Instant, SystemTime};

use super::base::Base;
use super::reranking::Reranking;
use super::result_cache::Slot;
use super::scheduler::Wanted;
use super::transformation::Transformed;
use super::{
    AnswerSummary, BatchRetrieval, Error, FoundHits, Groundwork, MAX_BATCH_QUERIES, Question, ReadAt, Retrieval,
    RetrievalPlan, StageTimes, context, results,
};
use crate::document::DocumentId;
use crate::embed::{Embedder, Embedding, Purpose, TokenCoverage};
use crate::generate::{self, AnswerEvent, Asked, GenerationSummary, NoAnswerReason, PromptTime, Reference, Sink};
use crate::index::Epoch;
use crate::retrieve::{EmbeddedQuery, Hit, Query, SearchType};
use crate::store::BaseRecord;
use crate::worker::Cancel;

/// Bytes of what a model reads beside the question at most.
const PROMPT_BYTES: usize = 2_048;

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
        let slot = Slot::of(&self.results, record, query, at, lease.epoch());
        if let Some(kept) = slot.as_ref().and_then(Slot::get) {
            times.total = started.elapsed();
            times.search = times.total.saturating_sub(times.queue);
            return Ok(kept.retrieval(lease.epoch(), times));
        }
        let transformed = self.transform(record, base, query, &lease, &mut times, cancel)?;
        let query = &transformed.query;
        let needs_embedder = needs_embedding(query) || query.options.rerank.is_some();
        let embedder = needs_embedder.then(|| self.models.embedder(&record.embedding_model_id, cancel));
        let embedder = embedder.transpose()?;
        let embedded = match &embedder {
            Some(embedder) if needs_embedding(query) => {
                let embed_started = Instant::now();
                let embedding = embedder.embed(&[&query.text], Purpose::Query, cancel)?.pop();
                times.embed += embed_started.elapsed();
                embedding.map(|embedding| (embedding, embedder.coverage(&query.text)))
            }
            _ => None,
        };
        cancel.check()?;
        let search_started = Instant::now();
        let asked = results::Asked {
            record,
            base,
            query,
            embedded: embedded.as_ref().map(as_asked),
            parts: &transformed.parts,
            lease: &lease,
            at,
            now: SystemTime::now(),
            reranking: embedder.as_deref().map(|embedder| self.reranking(embedder, cancel)),
            live_recall: self.live_recall.as_ref(),
        };
        let Found {
            hits: found,
            epoch,
            chunk_count,
            reranked_in,
            plan,
        } = search(asked, &transformed)?;
        if let Some(slot) = slot {
            slot.keep(&found, chunk_count, plan);
        }
        times.rerank = reranked_in;
        times.search = search_started.elapsed().saturating_sub(times.rerank);
        times.total = started.elapsed();
        Ok(Retrieval {
            hits: found.hits,
            epoch,
            chunk_count,
            times,
            plan,
            is_cached: false,
            implicit_filter: found.implicit_filter,
            transformed_queries: found.transformed_queries,
        })
    }

    /// Puts several queries to one epoch of a knowledge base; one that is refused fails
    /// alone.
    pub fn batch_retrieve(
        &self,
        knowledge_base: &str,
        queries: Vec<Result<Query, Error>>,
        at: ReadAt,
        cancel: &Cancel,
    ) -> Result<BatchRetrieval, Error> {
        check_batch(queries.len())?;
        let started = Instant::now();
        let (record, base) = self.base(knowledge_base)?;
        let lease = base.lease(at, cancel)?;
        let mut times = StageTimes {
            queue: started.elapsed(),
            ..StageTimes::default()
        };
        let mut look_up = |query: Query| {
            let query = query.check()?;
            let slot = Slot::of(&self.results, &record, &query, at, lease.epoch());
            if let Some(kept) = slot.as_ref().and_then(Slot::get) {
                return Ok(Looked::Known(kept.found()));
            }
            let transformed = self.transform(&record, &base, &query, &lease, &mut times, cancel)?;
            Ok(Looked::New(Box::new(transformed), slot))
        };
        let queries = queries.into_iter().map(|query| query.and_then(&mut look_up));
        let queries: Vec<Result<Looked<'_>, Error>> = queries.collect();
        cancel.check()?;
        let embed_started = Instant::now();
        let mut embeddings = self.embed_queries(&record, &queries, cancel)?.into_iter();
        let reranks = new(&queries).any(|query| query.options.rerank.is_some());
        let embedder = reranks.then(|| self.models.embedder(&record.embedding_model_id, cancel));
        let embedder = embedder.transpose()?;
        times.embed += embed_started.elapsed();
        let search_started = Instant::now();
        let mut results = Vec::with_capacity(queries.len());
        for query in queries {
            cancel.check()?;
            results.push(query.and_then(|looked| {
                let (transformed, slot) = match looked {
                    Looked::Known(found) => return Ok(found),
                    Looked::New(transformed, slot) => (transformed, slot),
                };
                let query = &transformed.query;
                let embedded = needs_embedding(query).then(|| embeddings.next()).flatten();
                let asked = results::Asked {
                    record: &record,
                    base: &base,
                    query,
                    embedded: embedded.as_ref().map(as_asked),
                    parts: &transformed.parts,
                    lease: &lease,
                    at,
                    now: SystemTime::now(),
                    reranking: embedder.as_deref().map(|embedder| self.reranking(embedder, cancel)),
                    live_recall: self.live_recall.as_ref(),
                };
                let searched = search(asked, &transformed)?;
                if let Some(slot) = slot {
                    slot.keep(&searched.hits, searched.chunk_count, searched.plan);
                }
                times.rerank += searched.reranked_in;
                Ok(searched.hits)
            }));
        }
        times.search = search_started.elapsed().saturating_sub(times.rerank);
        times.total = started.elapsed();
        Ok(BatchRetrieval {
            results,
            epoch: lease.epoch(),
            times,
        })
    }

    pub(super) fn reranking<'a>(&'a self, embedder: &'a dyn Embedder, cancel: &'a Cancel) -> Reranking<'a> {
        Reranking {
            embedder,
            cache: &self.tokens,
            cancel,
        }
    }

    /// Embeds the queries that need it, in their order.
    fn embed_queries(
        &self,
        record: &BaseRecord,
        queries: &[Result<Looked<'_>, Error>],
        cancel: &Cancel,
    ) -> Result<Vec<Embedded>, Error> {
        let asking = new(queries).filter(|query| needs_embedding(query));
        let texts: Vec<&str> = asking.map(|query| query.text.as_str()).collect();
        if texts.is_empty() {
            return Ok(Vec::new());
        }
        let embedder = self.models.embedder(&record.embedding_model_id, cancel)?;
        let embeddings = embedder.embed(&texts, Purpose::Query, cancel)?;
        let covered = embeddings.into_iter().zip(texts);
        Ok(covered
            .map(|(embedding, text)| (embedding, embedder.coverage(text)))
            .collect())
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
        let cancel = &cancel.with_tier(question.service_tier);
        let model_id = match question.model_id.as_str() {
            "" => &self.settings.language_model_id,
            id => id,
        };
        self.models
            .check_language_model(model_id)
            .map_err(|error| error.in_field("generation_configuration.model_id"))?;
        // Before anything is looked up: what is erased meanwhile must not stay behind in the model.
        let prompt_time = self.models.prompt_time(model_id);
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
            let offered = Offered {
                model_id,
                prompt_time,
                record: &record,
                query: &query,
                hits: retrieval.hits,
            };
            let (generation, model_hash) = self.generate(question, offered, &mut times, cancel, sink)?;
            (generation, Some((model_id.to_owned(), model_hash)))
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
            implicit_filter: retrieval.implicit_filter,
            transformed_queries: retrieval.transformed_queries,
        })
    }

    /// Lets a language model answer from what was found; tells the hash of the model too.
    fn generate(
        &self,
        question: &Question,
        offered: Offered<'_>,
        times: &mut StageTimes,
        cancel: &Cancel,
        sink: &mut Sink<'_>,
    ) -> Result<(GenerationSummary, String), Error> {
        let waiting = Instant::now();
        let wanted = Wanted {
            model_id: offered.model_id,
            prompt_bytes: offered.query.text.len() + PROMPT_BYTES,
            max_tokens: question.inference.max_tokens,
            context_tokens: self.models.context_tokens(offered.model_id),
        };
        let slot = self.answers.enter(wanted, cancel)?;
        let failed = |error: Error| slot.fail(error);
        let model = self.models.language_model(offered.model_id, cancel).map_err(failed)?;
        times.queue += waiting.elapsed();
        let embedder = self
            .models
            .embedder(&offered.record.embedding_model_id, cancel)
            .map_err(failed)?;
        let asked = Asked {
            question: &offered.query.text,
            hits: context::without_covered(offered.hits),
            inference: &question.inference,
            prompt_time: offered.prompt_time,
            embedder: Some(&*embedder),
        };
        let generation = generate::answer(&slot.metered(&*model), asked, cancel, sink);
        let generation = generation.map_err(|error| slot.fail(error))?;
        slot.finish(Some(generation.output_tokens));
        Ok((generation, model.model_hash().to_owned()))
    }
}

/// What a language model is to answer from.
struct Offered<'a> {
    model_id: &'a str,
    /// The model's time from before anything was looked up.
    prompt_time: PromptTime,
    record: &'a BaseRecord,
    query: &'a Query,
    hits: Vec<Hit>,
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

/// What a search found, and how.
struct Found {
    hits: FoundHits,
    epoch: Epoch,
    /// Chunks that the caller may find, whatever the filter.
    chunk_count: usize,
    /// How long reranking took.
    reranked_in: Duration,
    plan: RetrievalPlan,
}

fn search(asked: results::Asked<'_>, transformed: &Transformed) -> Result<Found, Error> {
    let mut searched = results::search(asked, &results::Findable::of(asked)?)?;
    let mut hits = results::hits(asked, &mut searched)?;
    let explanations = hits.iter_mut().filter_map(|hit| hit.explanation.as_deref_mut());
    transformed.rename(explanations.map(|explanation| &mut explanation.filter));
    Ok(Found {
        hits: FoundHits {
            hits,
            is_cached: false,
            implicit_filter: transformed.implicit_filter.clone(),
            transformed_queries: transformed.texts(),
        },
        epoch: searched.epoch,
        chunk_count: searched.plan.visible_chunks,
        reranked_in: searched.reranked_in,
        plan: searched.plan,
    })
}

/// A checked query of a batch: its result is known, or it is to be searched for and kept.
enum Looked<'a> {
    Known(FoundHits),
    New(Box<Transformed>, Option<Slot<'a>>),
}

/// Returns the queries whose results are not known.
fn new<'a>(queries: &'a [Result<Looked<'_>, Error>]) -> impl Iterator<Item = &'a Query> {
    queries.iter().flatten().filter_map(|looked| match looked {
        Looked::Known(_) => None,
        Looked::New(transformed, _) => Some(&transformed.query),
    })
}

/// An embedded query with how it falls into tokens.
type Embedded = (Embedding, Option<TokenCoverage>);

fn as_asked((embedding, coverage): &Embedded) -> EmbeddedQuery<'_> {
    EmbeddedQuery {
        vector: embedding.as_slice(),
        coverage: *coverage,
    }
}

fn needs_embedding(query: &Query) -> bool {
    query.search_type != SearchType::Keyword
}

fn check_batch(count: usize) -> Result<(), Error> {
    if (1..=MAX_BATCH_QUERIES).contains(&count) {
        return Ok(());
    }
    let reason = format!("a batch has 1 to {MAX_BATCH_QUERIES} queries, this one has {count}");
    Err(Error::invalid("queries", reason))
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
