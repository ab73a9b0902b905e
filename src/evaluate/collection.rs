//! A test collection in BEIR's form: documents, queries, judgments.
//!
//! Comes in: a directory with `queries.jsonl`, `qrels.tsv` and mostly `corpus.jsonl`. Goes out: documents one at a time, so that
//! a corpus may be larger than memory; queries and judgments as a whole.
//! Always holds: ids are unique, and every judged query has its words.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::lines::Lines;
use super::{Error, Judgments, Problem};
use crate::document::DocumentId;

const CORPUS: &str = "corpus.jsonl";
const QUERIES: &str = "queries.jsonl";
const QRELS: &str = "qrels.tsv";
const ID: &str = "_id";
const TITLE: &str = "title";
const TEXT: &str = "text";

/// A document of the corpus.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CorpusDocument {
    /// Its id: one that a knowledge base takes.
    pub id: String,
    /// Its title; empty when it has none.
    pub title: String,
    /// Its text; may be empty.
    pub text: String,
}

impl CorpusDocument {
    /// Returns whether it holds no words at all.
    pub fn is_blank(&self) -> bool {
        self.title.trim().is_empty() && self.text.trim().is_empty()
    }
}

/// A query that was judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestQuery {
    /// Its id.
    pub id: String,
    /// Its words.
    pub text: String,
}

/// What a corpus holds, found by reading it once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CorpusSummary {
    /// Ids of all documents.
    pub ids: HashSet<String>,
    /// Documents without any words, which no search can find.
    pub blank: usize,
}

/// Where the files of a collection are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Collection {
    corpus: PathBuf,
    queries: PathBuf,
    qrels: PathBuf,
}

impl Collection {
    /// Returns the collection in `directory`. Other files of queries and judgments are looked for there first, then
    /// where their paths lead.
    pub fn at(directory: &Path, queries: Option<&Path>, qrels: Option<&Path>) -> Self {
        let file = |named: Option<&Path>, usual: &str| match named {
            Some(named) if !directory.join(named).is_file() => named.to_owned(),
            Some(named) => directory.join(named),
            None => directory.join(usual),
        };
        Self {
            corpus: directory.join(CORPUS),
            queries: file(queries, QUERIES),
            qrels: file(qrels, QRELS),
        }
    }

    /// Returns whether it has a corpus. One without can be asked of documents that came another way.
    pub fn has_corpus(&self) -> bool {
        self.corpus.is_file()
    }

    /// Opens the corpus from its beginning.
    pub fn documents(&self) -> Result<Documents, Error> {
        Ok(Documents(Lines::open(&self.corpus)?))
    }

    /// Reads the whole corpus once; fails on the first document that is wrong or comes twice.
    pub fn check_corpus(&self) -> Result<CorpusSummary, Error> {
        summarize(self.documents()?)
    }

    /// Reads judgments and the queries that were judged, ordered by id.
    pub fn judged_queries(&self) -> Result<(Judgments, Vec<TestQuery>), Error> {
        let mut texts = texts(Lines::open(&self.queries)?)?;
        let judgments = Judgments::parse(Lines::open(&self.qrels)?, |query| {
            let is_known = texts.contains_key(query);
            (!is_known).then(|| Problem::UnknownQuery {
                field: "query-id",
                value: query.to_owned(),
                queries: self.queries.clone(),
            })
        })?;
        let ids = judgments.queries().map(|(id, _)| id);
        let queries = ids.filter_map(|id| texts.remove_entry(id));
        let queries = queries.map(|(id, text)| TestQuery { id, text }).collect();
        Ok((judgments, queries))
    }
}

/// The documents of a corpus, in the order of the file.
pub struct Documents(Lines);

impl Documents {
    #[cfg(test)]
    pub(super) fn over(lines: Lines) -> Self {
        Self(lines)
    }
}

impl Iterator for Documents {
    type Item = Result<CorpusDocument, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let lines = &mut self.0;
        match lines.next() {
            Ok(None) => None,
            Ok(Some(line)) => Some(document(&line).map_err(|problem| lines.wrong(problem))),
            Err(error) => Some(Err(error)),
        }
    }
}

pub(super) fn summarize(mut documents: Documents) -> Result<CorpusSummary, Error> {
    let mut summary = CorpusSummary::default();
    while let Some(document) = documents.next().transpose()? {
        summary.blank += usize::from(document.is_blank());
        if let Some(value) = summary.ids.replace(document.id) {
            return Err(documents.0.wrong(Problem::Repeated { field: ID, value }));
        }
    }
    if summary.ids.is_empty() {
        return Err(documents.0.nothing("documents"));
    }
    Ok(summary)
}

pub(super) fn texts(mut lines: Lines) -> Result<HashMap<String, String>, Error> {
    let mut texts = HashMap::new();
    while let Some(line) = lines.next()? {
        let query = query(&line).map_err(|problem| lines.wrong(problem))?;
        if texts.insert(query.id.clone(), query.text).is_some() {
            let value = query.id;
            return Err(lines.wrong(Problem::Repeated { field: ID, value }));
        }
    }
    Ok(texts)
}

fn document(line: &str) -> Result<CorpusDocument, Problem> {
    let mut fields = object(line)?;
    let id = required(&mut fields, ID)?;
    if let Err(source) = DocumentId::parse(id.as_str()) {
        return Err(Problem::DocumentId { field: ID, source });
    }
    Ok(CorpusDocument {
        id,
        title: optional(&mut fields, TITLE)?.unwrap_or_default(),
        text: required(&mut fields, TEXT)?,
    })
}

fn query(line: &str) -> Result<TestQuery, Problem> {
    let mut fields = object(line)?;
    let id = required(&mut fields, ID)?;
    let text = required(&mut fields, TEXT)?;
    for (field, value) in [(ID, &id), (TEXT, &text)] {
        if value.trim().is_empty() {
            return Err(Problem::Empty { field });
        }
    }
    Ok(TestQuery { id, text })
}

fn object(line: &str) -> Result<Map<String, Value>, Problem> {
    serde_json::from_str(line).map_err(|error| Problem::NotAnObject {
        reason: error.to_string(),
    })
}

fn required(fields: &mut Map<String, Value>, field: &'static str) -> Result<String, Problem> {
    optional(fields, field)?.ok_or(Problem::Missing { field })
}

fn optional(fields: &mut Map<String, Value>, field: &'static str) -> Result<Option<String>, Problem> {
    match fields.remove(field) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(other) => Err(Problem::NotAString {
            field,
            found: other.to_string(),
        }),
    }
}
