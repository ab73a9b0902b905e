//! Judgments of relevance (qrels), in BEIR's form or TREC's.
//!
//! BEIR: tab-separated `query-id`, `corpus-id`, `score` under a line of these names. TREC: four fields parted by white
//! space, the second of no meaning, without a head.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use super::lines::Lines;
use super::{Error, Problem};

const FORM: &str = "query-id, corpus-id and score parted by tabs, or the four fields of TREC";
const QUERY: &str = "query-id";
const DOCUMENT: &str = "corpus-id";
const SCORE: &str = "score";

/// Grades of the judged documents of one query, by document id. A document is relevant when its grade is above 0.
pub type Grades = HashMap<String, i64>;

/// All judgments of a collection.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Judgments(BTreeMap<String, Grades>);

impl Judgments {
    /// Reads a file of judgments. Fails when it holds none.
    pub fn read(path: &Path) -> Result<Self, Error> {
        Self::parse(Lines::open(path)?, |_| None)
    }

    /// Reads them, each line only if `refuse` finds nothing wrong with its query.
    pub(super) fn parse(mut lines: Lines, refuse: impl Fn(&str) -> Option<Problem>) -> Result<Self, Error> {
        let mut judgments = Self::default();
        let mut is_first = true;
        while let Some(line) = lines.next()? {
            let is_head = std::mem::take(&mut is_first) && is_head(&line);
            if is_head {
                continue;
            }
            let (query, document, grade) = judgment(&line).map_err(|problem| lines.wrong(problem))?;
            if let Some(problem) = refuse(query) {
                return Err(lines.wrong(problem));
            }
            let grades = judgments.0.entry(query.to_owned()).or_default();
            if grades.insert(document.to_owned(), grade).is_some() {
                return Err(lines.wrong(Problem::Repeated {
                    field: DOCUMENT,
                    value: document.to_owned(),
                }));
            }
        }
        if judgments.0.is_empty() {
            return Err(lines.nothing("judgments"));
        }
        Ok(judgments)
    }

    /// Returns the judged queries with their grades, ordered by id.
    pub fn queries(&self) -> impl ExactSizeIterator<Item = (&str, &Grades)> {
        self.0.iter().map(|(query, grades)| (query.as_str(), grades))
    }

    /// Returns whether any document was judged for this query.
    pub fn contains(&self, query: &str) -> bool {
        self.0.contains_key(query)
    }
}

/// A first line that names its fields, and is therefore no judgment.
fn is_head(line: &str) -> bool {
    let fields: Vec<&str> = line.split('\t').collect();
    matches!(fields[..], [_, _, score] if score.trim().parse::<f64>().is_err())
}

fn judgment(line: &str) -> Result<(&str, &str, i64), Problem> {
    let by_tabs: Vec<&str> = line.split('\t').map(str::trim).collect();
    if let [query, document, score] = by_tabs[..] {
        return Ok((filled(QUERY, query)?, filled(DOCUMENT, document)?, grade(score)?));
    }
    let by_blanks: Vec<&str> = line.split_ascii_whitespace().collect();
    match by_blanks[..] {
        [query, _, document, score] => Ok((query, document, grade(score)?)),
        _ => Err(Problem::Fields {
            expected: FORM,
            found: by_tabs.len().max(by_blanks.len()),
        }),
    }
}

fn filled<'a>(field: &'static str, value: &'a str) -> Result<&'a str, Problem> {
    if value.is_empty() {
        return Err(Problem::Empty { field });
    }
    Ok(value)
}

fn grade(text: &str) -> Result<i64, Problem> {
    text.parse().map_err(|_| Problem::NotANumber {
        field: SCORE,
        expected: "a whole number",
        found: text.to_owned(),
    })
}
