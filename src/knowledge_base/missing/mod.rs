//! Why a document is not among the results of a query, and what would bring it in.
//!
//! Comes in: a query and a document. Goes out: the stage that lost it, exact ranks, and changes of the request.
//! Always holds: the query runs as a search does; changes are suggested only after a search with all of them found the
//! document.
//! Not here: the stages themselves (see [`crate::retrieve::stage`]).

mod fate;
mod reason;
mod remedy;

use std::time::SystemTime;

use super::base::Base;
use super::reranking::Reranking;
use super::results::{self, Asked, Findable};
use super::transformation::Part;
use super::{Error, ExactLeg, Groundwork, Missing, MissingQuestion, MissingStage, StageTimes, Suggestion};
use crate::document::DocumentId;
use crate::document::access::UserContext;
use crate::document::metadata::Metadata;
use crate::embed::{Embedding, Purpose, TokenCoverage};
use crate::index::{ChunkId, PassageScore};
use crate::retrieve::{self, EmbeddedQuery, Leg, Query, SearchType};
use crate::store::{BaseRecord, DocumentStatus, Lease, RevisionInfo};
use crate::worker::Cancel;
use fate::Fate;
use remedy::Way;

/// Changes that are tried one after the other at most in each way: there are not more stages.
const MAX_CHANGES: usize = 10;

impl Groundwork {
    /// Tells why a document is not among the results of a query. Scores every chunk that may be found.
    pub fn explain_missing(
        &self,
        knowledge_base: &str,
        question: &MissingQuestion,
        cancel: &Cancel,
    ) -> Result<Missing, Error> {
        let query = question.query.clone().check()?;
        let (record, base) = self.base(knowledge_base)?;
        let lease = base.lease(question.at, cancel)?;
        let id = &question.document_id;
        let caller = query.caller.as_ref();
        let Some(revision) = base.store.revision(id, &lease)? else {
            return unseen(&base, id, caller, &lease);
        };
        if !revision.access.admits(caller) {
            return Ok(report(MissingStage::NoSuchDocument, reason::unknown(id, None), &lease));
        }
        let chunks = base.store.chunks_of(revision.revision_id)?;
        let subject = match question.chunk_id {
            Some(chunk_id) if !chunks.contains(&chunk_id) => {
                let reason = format!("{chunk_id} is no chunk of `{id}` at epoch {}", lease.epoch());
                return Err(Error::invalid("chunk_id", reason));
            }
            Some(chunk_id) => vec![chunk_id],
            None => chunks,
        };
        if subject.is_empty() {
            let reason = "it has no chunks: no text was found in it".to_owned();
            return Ok(report(MissingStage::NoChunks, reason, &lease));
        }
        let transformed = self.transform(&record, &base, &query, &lease, &mut StageTimes::default(), cancel)?;
        let query = &transformed.query;
        let embedded = match self.embed_query(&record, query, cancel) {
            // A search by keywords needs none; it only helps to say what else would find the document.
            Err(error) if query.search_type == SearchType::Keyword => {
                cancel.check()?;
                tracing::debug!(error = %error.with_causes(), "the dense leg is left out of an explanation");
                None
            }
            embedded => embedded?,
        };
        let embedded = embedded.as_ref().map(|(embedding, coverage)| EmbeddedQuery {
            vector: embedding.as_slice(),
            coverage: *coverage,
        });
        let embedder = query
            .options
            .rerank
            .is_some()
            .then(|| self.models.embedder(&record.embedding_model_id, cancel));
        let embedder = embedder.transpose()?;
        let search = Search {
            reranking: embedder.as_deref().map(|embedder| self.reranking(embedder, cancel)),
            record: &record,
            base: &base,
            embedded,
            lease: &lease,
            question,
            revision: &revision,
            subject: &subject,
            parts: &transformed.parts,
            is_joined: transformed.joins_filters(),
            now: SystemTime::now(),
        };
        let mut missing = search.explain(query, cancel)?;
        transformed.rename_missing(&mut missing);
        missing.implicit_filter = transformed.implicit_filter;
        Ok(missing)
    }

    fn embed_query(
        &self,
        record: &BaseRecord,
        query: &Query,
        cancel: &Cancel,
    ) -> Result<Option<(Embedding, Option<TokenCoverage>)>, Error> {
        let embedder = self.models.embedder(&record.embedding_model_id, cancel)?;
        let embedding = embedder.embed(&[&query.text], Purpose::Query, cancel)?.pop();
        Ok(embedding.map(|embedding| (embedding, embedder.coverage(&query.text))))
    }
}

/// Explains a document that the epoch does not see.
fn unseen(base: &Base, id: &DocumentId, caller: Option<&UserContext>, lease: &Lease<'_>) -> Result<Missing, Error> {
    let revisions = base.store.revisions(id, u64::MAX, usize::MAX)?;
    // Of what was for others only, nothing is told.
    let hidden: Vec<u64> = revisions
        .iter()
        .filter(|revision| !revision.access.admits(caller))
        .map(|revision| revision.revision_id)
        .collect();
    let visible = base.store.sightings(id, &hidden)?;
    if visible.is_empty() && !hidden.is_empty() {
        return Ok(report(MissingStage::NoSuchDocument, reason::unknown(id, None), lease));
    }
    if visible.is_empty() {
        let attempt = base.store.document(id, lease, false)?;
        let failed = attempt.filter(|attempt| attempt.status == DocumentStatus::Failed);
        let reason = reason::unknown(id, failed.map(|attempt| attempt.reason).as_deref());
        return Ok(report(MissingStage::NoSuchDocument, reason, lease));
    }
    Ok(Missing {
        suggestions: remedy::other_epoch(&visible, lease.epoch(), base.store.oldest_epoch()),
        reason: reason::not_visible(lease.epoch(), &visible),
        visible,
        ..report(MissingStage::NotVisible, String::new(), lease)
    })
}

/// Returns a report of a document that no search was made for.
fn report(stage: MissingStage, reason: String, lease: &Lease<'_>) -> Missing {
    Missing {
        stage,
        reason,
        chunk_id: None,
        rank: None,
        legs: Vec::new(),
        fused_rank: None,
        rerank: None,
        score: 0.0,
        place_before_cut: None,
        other: None,
        filter: Vec::new(),
        visible: Vec::new(),
        suggestions: Vec::new(),
        epoch: lease.epoch(),
        implicit_filter: None,
    }
}

/// What is looked for, and where.
struct Search<'a> {
    reranking: Option<Reranking<'a>>,
    record: &'a BaseRecord,
    base: &'a Base,
    embedded: Option<EmbeddedQuery<'a>>,
    lease: &'a Lease<'a>,
    question: &'a MissingQuestion,
    revision: &'a RevisionInfo,
    parts: &'a [Part],
    /// The chunks that are missed: one found is enough.
    subject: &'a [ChunkId],
    /// Whether the filter joins the caller's with a derived one.
    is_joined: bool,
    /// One for all searches, so that scores do not fade from one to the next.
    now: SystemTime,
}

impl Search<'_> {
    fn metadata(&self) -> &Metadata {
        &self.revision.metadata
    }

    fn asked<'b>(&'b self, query: &'b Query) -> Asked<'b> {
        Asked {
            record: self.record,
            base: self.base,
            query,
            embedded: self.embedded,
            parts: self.parts,
            lease: self.lease,
            at: self.question.at,
            now: self.now,
            reranking: self.reranking,
            // Nobody asked these for their results.
            live_recall: None,
        }
    }

    fn explain(&self, query: &Query, cancel: &Cancel) -> Result<Missing, Error> {
        let fate = self.fate(query)?;
        cancel.check()?;
        let other = match fate.other {
            Some(chunk_id) => self
                .base
                .store
                .facts(&[chunk_id])?
                .remove(&chunk_id)
                .map(|facts| (chunk_id, facts.document_id.clone())),
            None => None,
        };
        let filter = query.filter.as_ref();
        Ok(Missing {
            reason: reason::of(query, &fate, other.as_ref()),
            suggestions: self.changes(query, &fate, cancel)?,
            chunk_id: fate.chunk_id,
            rank: fate.rank,
            fused_rank: fate.fused_rank,
            rerank: fate.rerank,
            score: fate.score,
            place_before_cut: fate.place_before_cut,
            other,
            filter: filter.map_or_else(Vec::new, |filter| retrieve::outcomes(filter, self.metadata())),
            legs: fate.legs,
            ..report(fate.stage, String::new(), self.lease)
        })
    }

    /// Runs the query and returns what became of the document.
    fn fate(&self, query: &Query) -> Result<Fate, Error> {
        if let Some(filter) = &query.filter
            && !filter.accepts(self.metadata())
        {
            let mut fate = Fate::at(MissingStage::FilteredOut);
            fate.obstacles = retrieve::obstacles(filter, self.metadata());
            return Ok(fate);
        }
        let asked = self.asked(query);
        let findable = Findable::of(asked)?;
        let searched = results::search(asked, &findable)?;
        let mut fate = match Fate::of(&searched.line, self.subject, query.limit) {
            Some(fate) => fate,
            None => Fate {
                chunk_id: self.best_chunk(query)?,
                ..Fate::at(MissingStage::NotListed)
            },
        };
        if let Some(chunk_id) = fate.chunk_id {
            fate.legs = self.legs(asked, &findable, chunk_id, &searched)?;
        }
        if fate.stage == MissingStage::NotListed {
            fate.stage = fate::unlisted(&fate.legs);
        }
        Ok(fate)
    }

    /// Returns the missed chunk that fits the query best, for those that no leg listed.
    fn best_chunk(&self, query: &Query) -> Result<Option<ChunkId>, Error> {
        let snapshot = self.base.store.snapshot(self.lease);
        let bm25: Vec<f32> = if query.search_type == SearchType::Semantic {
            vec![0.0; self.subject.len()]
        } else {
            let passages = snapshot.terms().passages(&query.text, self.subject)?.into_iter();
            passages.map(PassageScore::total).collect()
        };
        let cosine = match self.embedded {
            Some(embedded) => snapshot.vectors().score(embedded.vector, self.subject)?,
            None => vec![None; self.subject.len()],
        };
        let best_bm25 = bm25.iter().copied().fold(f32::MIN_POSITIVE, f32::max);
        let weight = retrieve::dense_weight(query, self.embedded);
        let scores = bm25.iter().zip(cosine).map(|(bm25, cosine)| {
            weight * f64::from(cosine.unwrap_or_default()) + (1.0 - weight) * f64::from(bm25 / best_bm25)
        });
        let scored = self.subject.iter().zip(scores);
        Ok(scored
            .reduce(|best, next| if next.1 > best.1 { next } else { best })
            .map(|(id, _)| *id))
    }

    /// Returns how a chunk stands exactly in the legs that took part.
    fn legs(
        &self,
        asked: Asked<'_>,
        findable: &Findable,
        chunk_id: ChunkId,
        searched: &results::Searched,
    ) -> Result<Vec<ExactLeg>, Error> {
        let query = asked.query;
        let candidate = fate::candidate(&searched.line, chunk_id);
        let (dense, keyword) = findable.with(asked, |legs, accepted| -> Result<_, crate::index::Error> {
            let accept = |chunk_id| accepted.contains(chunk_id);
            let dense = match self.embedded {
                Some(embedded) if query.search_type != SearchType::Keyword => {
                    Some(legs.vectors.rank(embedded.vector, chunk_id, &accept)?)
                }
                _ => None,
            };
            let keyword = match query.search_type {
                SearchType::Semantic => None,
                _ => Some(legs.terms.rank(&query.text, chunk_id, &accept)?),
            };
            Ok((dense, keyword))
        })?;
        let is_listed = |score: Option<retrieve::LegScore>| score.is_some_and(|score| score.rank.is_some());
        let dense = dense.map(|exact| (Leg::Dense, exact, is_listed(candidate.and_then(|it| it.cosine))));
        let keyword = keyword.map(|exact| (Leg::Keyword, exact, is_listed(candidate.and_then(|it| it.bm25))));
        let legs = [dense, keyword].into_iter().flatten();
        Ok(legs
            .map(|(leg, exact, is_listed)| ExactLeg {
                leg,
                exact,
                is_listed,
                candidates: searched.listed,
            })
            .collect())
    }

    /// Changes the query until it finds the document, and returns the changes; none when that cannot be.
    fn changes(&self, query: &Query, fate: &Fate, cancel: &Cancel) -> Result<Vec<Suggestion>, Error> {
        for way in Way::ALL {
            let (changes, may_differ) = self.changes_in(way, query, fate, cancel)?;
            if let Some(changes) = changes {
                return Ok(remedy::settled(query, changes));
            }
            if !may_differ {
                break;
            }
        }
        Ok(Vec::new())
    }

    /// Returns the changes if they find the document, and whether another way may make others.
    fn changes_in(
        &self,
        way: Way,
        query: &Query,
        fate: &Fate,
        cancel: &Cancel,
    ) -> Result<(Option<Vec<Suggestion>>, bool), Error> {
        let mut suggestions: Vec<Suggestion> = Vec::new();
        let mut may_differ = false;
        let (mut query, mut fate) = (query.clone(), fate.clone());
        for _ in 0..MAX_CHANGES {
            if fate.stage == MissingStage::Found {
                return Ok((Some(suggestions), may_differ));
            }
            may_differ |= Way::matters(fate.stage);
            let remedy = remedy::remedy(&query, &fate, self.metadata(), self.is_joined, way);
            let Some((changed, changes)) = remedy else { break };
            for change in changes {
                // A later change of the same field goes farther.
                suggestions.retain(|earlier| earlier.field != change.field);
                suggestions.push(change);
            }
            cancel.check()?;
            query = changed;
            if query.search_type != SearchType::Keyword && self.embedded.is_none() {
                break;
            }
            fate = self.fate(&query)?;
        }
        Ok((None, may_differ))
    }
}
