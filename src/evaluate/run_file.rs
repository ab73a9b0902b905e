//! TREC run files: `query-id Q0 document-id rank score tag`, parted by white space.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Write};
use std::path::Path;

use super::lines::Lines;
use super::{Error, Problem, Ranking, Retrieved, Run};

const FORM: &str = "the six fields of a run: query-id Q0 document-id rank score tag";
const DOCUMENT: &str = "document-id";
const SCORE: &str = "score";

impl Run {
    /// Reads a run file, of any program. As in `trec_eval`, scores decide the order, and ranks have no meaning.
    pub fn read(path: &Path) -> Result<Self, Error> {
        Self::parse(Lines::open(path)?)
    }

    pub(super) fn parse(mut lines: Lines) -> Result<Self, Error> {
        let mut queries: BTreeMap<String, HashMap<String, f64>> = BTreeMap::new();
        while let Some(line) = lines.next()? {
            let (query, document, score) = entry(&line).map_err(|problem| lines.wrong(problem))?;
            let documents = queries.entry(query.to_owned()).or_default();
            if documents.insert(document.to_owned(), score).is_some() {
                return Err(lines.wrong(Problem::Repeated {
                    field: DOCUMENT,
                    value: document.to_owned(),
                }));
            }
        }
        if queries.is_empty() {
            return Err(lines.nothing("rankings"));
        }
        let mut run = Self::default();
        for (query, documents) in queries {
            let documents = documents.into_iter();
            let documents = documents.map(|(document_id, score)| Retrieved { document_id, score });
            run.insert(query, Ranking::new(documents.collect()));
        }
        Ok(run)
    }

    /// Writes a run file, ranks counted from 1. Ids must be words: see [`check_word`].
    pub fn write(&self, tag: &str, target: &mut dyn Write) -> io::Result<()> {
        for (query, ranking) in self.rankings() {
            for (at, Retrieved { document_id, score }) in ranking.documents().iter().enumerate() {
                writeln!(target, "{query} Q0 {document_id} {} {score} {tag}", at + 1)?;
            }
        }
        Ok(())
    }
}

/// Fails when an id cannot stand in a run file, where white space parts the fields.
pub fn check_word(id: &str) -> Result<(), Error> {
    let parts = |c: char| c.is_ascii_whitespace() || c.is_control();
    if id.is_empty() || id.contains(parts) {
        return Err(Error::NoWord { value: id.to_owned() });
    }
    Ok(())
}

fn entry(line: &str) -> Result<(&str, &str, f64), Problem> {
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    let [query, _, document, _, score, _, ..] = fields[..] else {
        return Err(Problem::Fields {
            expected: FORM,
            found: fields.len(),
        });
    };
    let number = score.parse().ok().filter(|number: &f64| number.is_finite());
    let number = number.ok_or_else(|| Problem::NotANumber {
        field: SCORE,
        expected: "a finite number",
        found: score.to_owned(),
    })?;
    Ok((query, document, number))
}
