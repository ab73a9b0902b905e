//! Clauses that a question may ask for: each rests on words of the question, and each value stands there or in the index.

use std::ops::Range;

use super::Attribute;
use super::negation;
use super::period::{Period, periods, year};
use super::question::{Question, words};
use super::relation::{Relation, is_range, relation};
use crate::document::Date;
use crate::document::metadata::AttributeType;

/// Clauses that are judged at most.
pub(super) const MAX_CANDIDATES: usize = 16;
/// Words between a number and the name of what it counts at most.
const MAX_DISTANCE: usize = 3;
/// Words before a value that seldom stand before a mere subject.
const LINKS: &[&str] = &[
    "by", "in", "from", "of", "for", "tagged", "within", "during", "under", "only",
];

/// What documents are called; a value before such a word says which of them are looked for.
pub(super) const DOCUMENTS: &[&str] = &[
    "article",
    "bulletin",
    "document",
    "doc",
    "entry",
    "entries",
    "file",
    "guide",
    "handbook",
    "invoice",
    "letter",
    "manual",
    "memo",
    "minutes",
    "note",
    "page",
    "paper",
    "policy",
    "policies",
    "post",
    "presentation",
    "record",
    "report",
    "review",
    "specification",
    "summary",
    "summaries",
    "text",
    "ticket",
    "tutorial",
];
/// What authors do.
pub(super) const WRITING: &[&str] = &[
    "author",
    "authored",
    "document",
    "documented",
    "draft",
    "drafted",
    "post",
    "posted",
    "publish",
    "published",
    "write",
    "wrote",
    "written",
];

/// What an attribute is compared with.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    /// Strings of the index that say the same, such as in upper case and in lower case.
    Strings(Vec<String>),
    Number(f64),
    Boolean(bool),
    /// First instant, and the first one after it.
    Period(Date, Date),
}

/// How plainly the words say that a clause is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Cue {
    /// The value is named.
    Bare,
    /// After a word that links it to what is looked for.
    Linked,
    /// It is compared with, or ruled out.
    Compared,
    /// The attribute is named beside it.
    Named,
}

/// A clause that a question may ask for.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Candidate {
    /// Place of the attribute among those that may be restricted.
    pub(super) attribute: usize,
    pub(super) relation: Relation,
    pub(super) value: Value,
    /// Words of the question that it rests on.
    pub(super) words: Range<usize>,
    pub(super) cue: Cue,
    /// Words that negate it, so that it cannot be relied on.
    pub(super) negation: Option<Range<usize>>,
}

/// Looks values up: those of an attribute, a string or a list of them, that pass a test.
pub(super) type Lookup<'a> = dyn FnMut(&str, &dyn Fn(&str) -> bool) -> Vec<String> + 'a;

/// Returns the clauses that a question may ask for, in the order of its words.
pub(super) fn candidates(question: &Question<'_>, attributes: &[Attribute], lookup: &mut Lookup<'_>) -> Vec<Candidate> {
    let periods = periods(question);
    let mut found = Vec::new();
    for (at, attribute) in attributes.iter().enumerate() {
        let of = Of {
            question,
            at,
            names: names(&attribute.key),
            about: about(attribute),
        };
        match attribute.kind {
            AttributeType::String | AttributeType::StringList => of.strings(&attribute.key, lookup, &mut found),
            AttributeType::Number | AttributeType::NumberList => of.numbers(&mut found),
            AttributeType::Boolean => of.booleans(&mut found),
            AttributeType::Date => of.dates(&periods, &mut found),
        }
    }
    found.sort_by_key(|candidate| (candidate.words.start, candidate.attribute));
    reach_over_lists(question, &mut found);
    found.truncate(MAX_CANDIDATES);
    found
}

/// Negates the values that follow in a list of which the first is negated.
fn reach_over_lists(question: &Question<'_>, found: &mut [Candidate]) {
    for at in 0..found.len() {
        let (before, from) = found.split_at_mut(at);
        let candidate = &mut from[0];
        let previous = before.iter().rev().find(|it| it.attribute == candidate.attribute);
        let previous = previous.filter(|it| negation::is_listed(question, &it.words, &candidate.words));
        if candidate.relation != Relation::IsNot
            && candidate.negation.is_none()
            && let Some(previous) = previous
        {
            let is_negated = previous.negation.is_some() || previous.relation == Relation::IsNot;
            candidate.negation = is_negated.then(|| {
                let cue = negation::of_value(question, &previous.words);
                let cue = cue.filter(|cue| !cue.is_empty());
                previous.negation.clone().or(cue).unwrap_or(previous.words.clone())
            });
        }
    }
}

/// Returns the words of an attribute's name, without those that only say that it is a truth value.
fn names(key: &str) -> Vec<String> {
    let mut spaced = String::new();
    let mut before = ' ';
    for character in key.chars() {
        if character.is_uppercase() && before.is_lowercase() {
            spaced.push(' ');
        }
        spaced.push(character);
        before = character;
    }
    let mut names: Vec<String> = words(&spaced).into_iter().map(|word| word.folded).collect();
    if names.len() > 1 && matches!(names[0].as_str(), "is" | "has") {
        names.remove(0);
    }
    names
}

/// Returns the words that name or describe what an attribute says.
fn about(attribute: &Attribute) -> Vec<String> {
    let described = words(&attribute.description).into_iter().map(|word| word.folded);
    let mut about = names(&attribute.key);
    about.extend(described.filter(|word| !Question::is_slight(word)));
    about
}

/// Returns no words before a value.
fn unsaid(place: &Range<usize>) -> Range<usize> {
    place.start..place.start
}

/// Clauses of one attribute.
struct Of<'a> {
    question: &'a Question<'a>,
    at: usize,
    names: Vec<String>,
    about: Vec<String>,
}

impl Of<'_> {
    /// Makes a clause of a value and how it is compared with, which the words `said` before it say.
    fn candidate(&self, (relation, said): (Relation, Range<usize>), value: Value, words: Range<usize>) -> Candidate {
        let cue = if self.is_named_beside(&words) {
            Cue::Named
        } else if relation != Relation::Is {
            Cue::Compared
        } else if self.is_linked(&words) {
            Cue::Linked
        } else {
            Cue::Bare
        };
        Candidate {
            attribute: self.at,
            relation,
            value,
            negation: negation::beside(self.question, &words, &said),
            words,
            cue,
        }
    }

    /// Returns whether the words around these say that documents of this kind are looked for.
    fn is_linked(&self, words: &Range<usize>) -> bool {
        let question = self.question;
        let follows_link = LINKS.iter().any(|link| {
            question.ends_with(words.start, link) || question.ends_with(words.start, &format!("{link} the"))
        });
        let word = |at: usize| question.words.get(at);
        let is_document = |at: usize| word(at).is_some_and(|word| DOCUMENTS.iter().any(|it| word.is(it)));
        // `Atlas or Beacon documents`
        let is_joined = word(words.end).is_some_and(|word| matches!(word.folded.as_str(), "or" | "and"));
        let writes = word(words.end).is_some_and(|word| WRITING.contains(&word.folded.as_str()));
        follows_link || writes || is_document(words.end) || (is_joined && is_document(words.end + 2))
    }

    /// Returns whether the attribute's name stands directly before or after these words, slight words apart.
    fn is_named_beside(&self, words: &Range<usize>) -> bool {
        let all = &self.question.words;
        let is_name = |at: usize| self.names.iter().any(|name| all[at].is(name));
        let is_between = |at: &usize| Question::is_slight(&all[*at].folded) && !is_name(*at);
        let before = (0..words.start).rev().find(|at| !is_between(at));
        let after = (words.end..all.len()).next();
        before.is_some_and(is_name) || after.is_some_and(is_name)
    }

    fn strings(&self, key: &str, lookup: &mut Lookup<'_>, found: &mut Vec<Candidate>) {
        let values = lookup(key, &|value| !self.question.places_of(value).is_empty());
        let mut places: Vec<(Range<usize>, Vec<String>)> = Vec::new();
        for value in values {
            for place in self.question.places_of(&value) {
                match places.iter_mut().find(|(known, _)| *known == place) {
                    Some((_, values)) => values.push(value.clone()),
                    None => places.push((place, vec![value.clone()])),
                }
            }
        }
        for (place, values) in &places {
            let is_part = places
                .iter()
                .any(|(other, _)| other.len() > place.len() && other.start <= place.start && other.end >= place.end);
            if is_part || !(self.question.is_telling(place) || self.is_named_beside(place)) {
                continue;
            }
            let relation = match negation::of_value(self.question, place) {
                Some(cue) => (Relation::IsNot, cue),
                None => (Relation::Is, unsaid(place)),
            };
            let mut values = values.clone();
            values.sort();
            values.dedup();
            found.push(self.candidate(relation, Value::Strings(values), place.clone()));
        }
    }

    fn numbers(&self, found: &mut Vec<Candidate>) {
        let is_of_years = self.about.iter().any(|word| word == "year" || word == "years");
        let all = self.question.words.iter().enumerate();
        let numbers = all.filter_map(|(at, word)| {
            let is_meant = if is_of_years {
                year(&word.folded).is_some()
            } else {
                self.is_about(at)
            };
            let before = self.question.text[..word.place.start].strip_suffix('-');
            let is_negative = before.is_some_and(|before| before.is_empty() || before.ends_with(char::is_whitespace));
            let number = word.number().filter(|_| is_meant)?;
            Some((at..at + 1, Value::Number(if is_negative { -number } else { number })))
        });
        self.compared(&numbers.collect::<Vec<_>>(), found);
    }

    /// Returns whether what a number counts is named near it.
    fn is_about(&self, number: usize) -> bool {
        let near = number.saturating_sub(MAX_DISTANCE)..(number + MAX_DISTANCE + 1).min(self.question.words.len());
        self.question.words[near]
            .iter()
            .any(|word| self.about.iter().any(|about| word.is(about)))
    }

    fn dates(&self, periods: &[Period], found: &mut Vec<Candidate>) {
        let dates = periods
            .iter()
            .map(|period| (period.words.clone(), Value::Period(period.start, period.end)));
        self.compared(&dates.collect::<Vec<_>>(), found);
    }

    /// Adds a clause for each value, by how the question compares with it.
    fn compared(&self, values: &[(Range<usize>, Value)], found: &mut Vec<Candidate>) {
        let mut is_end = false;
        for (at, (place, value)) in values.iter().enumerate() {
            let is_start = !is_end
                && values
                    .get(at + 1)
                    .is_some_and(|(next, _)| is_range(self.question, place, next));
            let relation = if is_start {
                (Relation::AtLeast, unsaid(place))
            } else if is_end {
                (Relation::AtMost, unsaid(place))
            } else {
                relation(self.question, place, &self.names)
            };
            is_end = is_start;
            found.push(self.candidate(relation, value.clone(), place.clone()));
        }
    }

    fn booleans(&self, found: &mut Vec<Candidate>) {
        // What the first place says holds for all.
        for place in self.question.places_of_words(&self.names).into_iter().take(1) {
            let cue = negation::of_value(self.question, &place);
            let is_wanted = cue.is_none();
            let said = cue.unwrap_or_else(|| unsaid(&place));
            let mut candidate = self.candidate((Relation::Is, said), Value::Boolean(is_wanted), place);
            // Its name is all that there is of it.
            if !is_wanted {
                candidate.cue = Cue::Compared;
            } else if candidate.cue == Cue::Named {
                candidate.cue = Cue::Bare;
            }
            found.push(candidate);
        }
    }
}
