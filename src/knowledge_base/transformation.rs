//! What a language model makes of a question before the search: a filter, and parts or a rewrite.

use std::time::{Duration, Instant};

use super::base::Base;
use super::scheduler::Wanted;
use super::{Error, Groundwork, ImplicitFilter, Missing, StageTimes};
use crate::document::schema::DeclaredAttribute;
use crate::embed::{Embedding, Purpose, TokenCoverage};
use crate::generate::{self, FilterQuestion, LanguageModel, RejectedClause};
use crate::index::AttributeIndex;
use crate::retrieve::filter::Known;
use crate::retrieve::query::{FILTER, IMPLICIT_FILTER, QUERY_TRANSFORMATION};
use crate::retrieve::{
    Filter, FilterOutcome, ImplicitFilterOptions, Query, QueryTransformation, SearchType, TransformationKind,
};
use crate::store::{BaseRecord, Lease};
use crate::worker::Cancel;

/// How conditions of the caller's filter are named.
const OWN: &str = "filter";
/// How they are named in a filter that was joined with a derived one.
const OWN_OF_BOTH: &str = "filter.and_all.filters[0]";
/// How conditions of the derived filter are named there.
const DERIVED_OF_BOTH: &str = "filter.and_all.filters[1]";
/// How conditions of a derived filter are named to the caller.
const DERIVED: &str = "implicit_filter.filter";

/// Bytes of what a model reads beside a question that it judges at most.
const JUDGED_BYTES: usize = 4_096;

/// What a language model is asked for: texts to search for.
type Ask<'a> = &'a dyn Fn(&dyn LanguageModel) -> Result<Vec<String>, generate::Error>;

/// A query as it is put to the indexes, and what was made of it.
pub(super) struct Transformed {
    pub(super) query: Query,
    pub(super) implicit_filter: Option<ImplicitFilter>,
    /// What is searched for beside the query's own words.
    pub(super) parts: Vec<Part>,
    /// Whether the caller gave a filter too.
    has_own_filter: bool,
}

/// A part of a question.
pub(super) struct Part {
    pub(super) text: String,
    /// There where vectors are compared.
    pub(super) embedded: Option<(Embedding, Option<TokenCoverage>)>,
}

impl Transformed {
    /// Returns the parts as they were searched for.
    pub(super) fn texts(&self) -> Vec<String> {
        self.parts.iter().map(|part| part.text.clone()).collect()
    }

    /// Returns whether the filter of the query joins the caller's with a derived one.
    pub(super) fn joins_filters(&self) -> bool {
        self.has_own_filter && self.is_restricted()
    }

    fn is_restricted(&self) -> bool {
        let derived = self.implicit_filter.as_ref();
        derived.is_some_and(|derived| derived.filter.is_some())
    }

    /// Names the conditions of the filter in what is told of them as the caller knows them.
    pub(super) fn rename<'a>(&self, outcomes: impl Iterator<Item = &'a mut Vec<FilterOutcome>>) {
        if self.is_restricted() {
            outcomes
                .flatten()
                .for_each(|outcome| outcome.path = self.renamed(&outcome.path));
        }
    }

    /// Returns the path of a condition as the caller knows it.
    fn renamed(&self, path: &str) -> String {
        let both = [(OWN_OF_BOTH, OWN), (DERIVED_OF_BOTH, DERIVED)];
        let parts = if self.has_own_filter {
            both.as_slice()
        } else {
            &[(OWN, DERIVED)]
        };
        let known = parts
            .iter()
            .find_map(|(from, to)| path.strip_prefix(from).map(|rest| format!("{to}{rest}")));
        known.unwrap_or_else(|| path.to_owned())
    }

    /// Tells of a document what the caller can change: a condition that was derived cannot be left out by itself.
    pub(super) fn rename_missing(&self, missing: &mut Missing) {
        if !self.is_restricted() {
            return;
        }
        let before: Vec<String> = missing.filter.iter().map(|outcome| outcome.path.clone()).collect();
        self.rename(std::iter::once(&mut missing.filter));
        // The longer first: some are the beginnings of others.
        for (path, outcome) in before.iter().zip(&missing.filter).rev() {
            missing.reason = missing.reason.replace(path.as_str(), &outcome.path);
        }
        let search = FILTER.strip_suffix(OWN).unwrap_or(FILTER);
        for suggestion in &mut missing.suggestions {
            let Some(path) = suggestion
                .field
                .strip_prefix(search)
                .filter(|path| path.starts_with(OWN))
            else {
                continue;
            };
            let (path, renamed) = (path.to_owned(), self.renamed(path));
            if renamed.starts_with(DERIVED) {
                let known = IMPLICIT_FILTER.strip_prefix(search).unwrap_or(IMPLICIT_FILTER);
                suggestion.text = format!("leave out {known}");
                suggestion.field = format!("{search}{known}");
            } else {
                suggestion.text = suggestion.text.replace(&path, &renamed);
                suggestion.field = format!("{search}{renamed}");
            }
        }
        missing.suggestions.dedup_by(|left, right| left.field == right.field);
    }
}

impl Groundwork {
    /// Makes of a checked query what it asks to have made of it.
    pub(super) fn transform(
        &self,
        record: &BaseRecord,
        base: &Base,
        query: &Query,
        lease: &Lease<'_>,
        times: &mut StageTimes,
        cancel: &Cancel,
    ) -> Result<Transformed, Error> {
        let mut transformed = Transformed {
            query: query.clone(),
            implicit_filter: None,
            parts: Vec::new(),
            has_own_filter: query.filter.is_some(),
        };
        if let Some(options) = &query.options.implicit_filter {
            let started = Instant::now();
            let (derived, waited) = self.derive_filter(record, base, query, options, lease, cancel)?;
            times.queue += waited;
            times.transform += started.elapsed().saturating_sub(waited);
            let own = query.filter.clone();
            transformed.query.filter = joined(own.into_iter().chain(derived.filter.clone()).collect());
            transformed.implicit_filter = Some(derived);
        }
        if let Some(options) = &query.options.transformation {
            let started = Instant::now();
            let (texts, waited) = self.texts_beside(query, options, cancel)?;
            times.queue += waited;
            times.transform += started.elapsed().saturating_sub(waited);
            let started = Instant::now();
            transformed.parts = self.parts(record, query, texts, cancel)?;
            times.embed += started.elapsed();
        }
        Ok(transformed)
    }

    /// Returns what is searched for beside a question, and how long it waited for the model.
    fn texts_beside(
        &self,
        query: &Query,
        options: &QueryTransformation,
        cancel: &Cancel,
    ) -> Result<(Vec<String>, Duration), Error> {
        let model_id = match options.model_id.as_str() {
            "" => &self.settings.language_model_id,
            id => id,
        };
        self.models
            .check_language_model(model_id)
            .map_err(|error| error.in_field(&format!("{QUERY_TRANSFORMATION}.model_id")))?;
        let question = &query.text;
        let with_model = |ask: Ask<'_>| {
            let waiting = Instant::now();
            let slot = self.answers.enter(self.judgement(model_id, question), cancel)?;
            let waited = waiting.elapsed();
            let model = self.models.language_model(model_id, cancel);
            let model = model.map_err(|error| slot.fail(error))?;
            let texts = ask(&*model).map_err(|error| slot.fail(error))?;
            slot.finish(None);
            Ok((texts, waited))
        };
        match options.kind {
            TransformationKind::Decomposition => {
                let parts = generate::parts(question);
                if parts.is_empty() {
                    return Ok((parts, Duration::ZERO));
                }
                with_model(&|model| {
                    let objects = generate::sees_one_part(model, question, &self.prefixes, cancel)?;
                    Ok(if objects { Vec::new() } else { parts.clone() })
                })
            }
            TransformationKind::Rewriting => {
                let Some(draft) = generate::Draft::of(question) else {
                    return Ok((Vec::new(), Duration::ZERO));
                };
                if !draft.is_long() {
                    return Ok((draft.into_text().into_iter().collect(), Duration::ZERO));
                }
                with_model(&|model| {
                    let chosen = draft.clone().choose(model, &self.prefixes, cancel)?;
                    Ok(chosen.into_text().into_iter().collect())
                })
            }
        }
    }

    /// Returns what a model takes that is asked for words it would go on with.
    fn judgement<'a>(&self, model_id: &'a str, question: &str) -> Wanted<'a> {
        Wanted {
            model_id,
            prompt_bytes: question.len() + JUDGED_BYTES,
            max_tokens: 1,
            context_tokens: self.models.context_tokens(model_id),
        }
    }

    /// Embeds the parts where the query wants vectors.
    fn parts(
        &self,
        record: &BaseRecord,
        query: &Query,
        texts: Vec<String>,
        cancel: &Cancel,
    ) -> Result<Vec<Part>, Error> {
        let without = |text| Part { text, embedded: None };
        if texts.is_empty() || query.search_type == SearchType::Keyword {
            return Ok(texts.into_iter().map(without).collect());
        }
        let embedder = self.models.embedder(&record.embedding_model_id, cancel)?;
        let asked: Vec<&str> = texts.iter().map(String::as_str).collect();
        let embeddings = embedder.embed(&asked, Purpose::Query, cancel)?;
        let parts = texts.into_iter().zip(embeddings).map(|(text, embedding)| Part {
            embedded: Some((embedding, embedder.coverage(&text))),
            text,
        });
        Ok(parts.collect())
    }

    /// Returns what is derived, and how long it waited for the model.
    fn derive_filter(
        &self,
        record: &BaseRecord,
        base: &Base,
        query: &Query,
        options: &ImplicitFilterOptions,
        lease: &Lease<'_>,
        cancel: &Cancel,
    ) -> Result<(ImplicitFilter, Duration), Error> {
        let model_id = match options.model_id.as_str() {
            "" => &self.settings.language_model_id,
            id => id,
        };
        self.models
            .check_language_model(model_id)
            .map_err(|error| error.in_field(&format!("{IMPLICIT_FILTER}.model_id")))?;
        let attributes = attributes(record, options)?;
        let mut asked = named(record, base, query, &attributes, lease)?;
        let mut derived = ImplicitFilter::default();
        if asked.is_empty() {
            derived.rejected = asked.into_rejected();
            return Ok((derived, Duration::ZERO));
        }
        let waiting = Instant::now();
        let slot = self.answers.enter(self.judgement(model_id, &query.text), cancel)?;
        let waited = waiting.elapsed();
        let model = self.models.language_model(model_id, cancel);
        let model = model.map_err(|error| slot.fail(error))?;
        let judged = asked.judge(&*model, &self.prefixes, cancel);
        judged.map_err(|error| slot.fail(error))?;
        slot.finish(None);
        drop(slot);
        model_id.clone_into(&mut derived.model_id);
        derived.input_tokens = asked.input_tokens();
        derived.filter = asked.filter();
        derived.rejected = asked.into_rejected();
        // Each clause was checked by itself; what they are together is within the limits of all filters too.
        if let Some(filter) = &derived.filter
            && let Err(reason) = filter.check()
        {
            derived.rejected.push(RejectedClause {
                text: format!("{filter:?}"),
                reason,
            });
            derived.filter = None;
        }
        Ok((derived, waited))
    }
}

/// Returns the attributes that may be restricted.
fn attributes(record: &BaseRecord, options: &ImplicitFilterOptions) -> Result<Vec<DeclaredAttribute>, Error> {
    let declared = &record.metadata_schema.attributes;
    match (options.attributes.is_empty(), declared.is_empty()) {
        (false, _) => Ok(options.attributes.clone()),
        (true, false) => Ok(declared.clone()),
        (true, true) => Err(Error::invalid(
            format!("{IMPLICIT_FILTER}.metadata_attributes"),
            "none are named, and the knowledge base declares none: name at least one, or declare them",
        )),
    }
}

/// Returns the clauses that the question may ask for, with those left out that the documents cannot answer. Values are
/// those of documents that the epoch sees and the caller may find.
fn named<'a>(
    record: &BaseRecord,
    base: &Base,
    query: &'a Query,
    attributes: &'a [DeclaredAttribute],
    lease: &Lease<'_>,
) -> Result<FilterQuestion<'a>, Error> {
    let store = &base.store;
    // Read before the snapshot, which keeps writers waiting.
    store.with_attributes(|_| ())?;
    let snapshot = store.snapshot(lease);
    let caller = query.caller.as_ref();
    let restricts = store.restricts_access();
    Ok(store.with_attributes(|index: &AttributeIndex| {
        let admitted = restricts.then(|| index.admitted(caller)).flatten();
        let within = admitted.as_ref();
        let mut asked = FilterQuestion::read(&query.text, attributes, &mut |key, passes| {
            index.named_strings(key, within, passes, |first| snapshot.contains(first))
        });
        let known = Known {
            index,
            schema: &record.metadata_schema,
            within,
        };
        asked.check(|filter| {
            filter.check()?;
            filter.check_known(&known).map_err(|unfit| unfit.to_string())
        });
        asked
    })?)
}

fn joined(mut filters: Vec<Filter>) -> Option<Filter> {
    match filters.len() {
        0 | 1 => filters.pop(),
        _ => Some(Filter::AndAll(filters)),
    }
}
