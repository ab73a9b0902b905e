//! How a question compares: the words before and after a number or a date.

use std::ops::Range;

use super::negation;
use super::question::Question;

/// How a value restricts an attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Relation {
    /// Equal to it.
    Is,
    /// Not equal to it.
    IsNot,
    /// It, or above.
    AtLeast,
    /// Above it.
    Above,
    /// It, or below.
    AtMost,
    /// Below it.
    Below,
}

impl Relation {
    /// Returns its sign, as clauses are written.
    pub(super) fn sign(self) -> &'static str {
        match self {
            Self::Is => "=",
            Self::IsNot => "!=",
            Self::AtLeast => ">=",
            Self::Above => ">",
            Self::AtMost => "<=",
            Self::Below => "<",
        }
    }
}

/// Phrases before a value; of two that end alike the longer stands first.
const BEFORE: &[(&str, Relation)] = &[
    ("no earlier than", Relation::AtLeast),
    ("not earlier than", Relation::AtLeast),
    ("no older than", Relation::AtLeast),
    ("not older than", Relation::AtLeast),
    ("no less than", Relation::AtLeast),
    ("not less than", Relation::AtLeast),
    ("no fewer than", Relation::AtLeast),
    ("no lower than", Relation::AtLeast),
    ("not below", Relation::AtLeast),
    ("not under", Relation::AtLeast),
    ("not before", Relation::AtLeast),
    ("at least", Relation::AtLeast),
    ("starting", Relation::AtLeast),
    ("beginning", Relation::AtLeast),
    ("since", Relation::AtLeast),
    ("minimum", Relation::AtLeast),
    ("as of", Relation::AtLeast),
    ("no later than", Relation::AtMost),
    ("not later than", Relation::AtMost),
    ("no newer than", Relation::AtMost),
    ("not newer than", Relation::AtMost),
    ("no more than", Relation::AtMost),
    ("not more than", Relation::AtMost),
    ("no higher than", Relation::AtMost),
    ("not above", Relation::AtMost),
    ("not over", Relation::AtMost),
    ("not after", Relation::AtMost),
    ("at most", Relation::AtMost),
    ("up to", Relation::AtMost),
    ("until", Relation::AtMost),
    ("till", Relation::AtMost),
    ("maximum", Relation::AtMost),
    ("more than", Relation::Above),
    ("greater than", Relation::Above),
    ("higher than", Relation::Above),
    ("larger than", Relation::Above),
    ("later than", Relation::Above),
    ("newer than", Relation::Above),
    ("after", Relation::Above),
    ("above", Relation::Above),
    ("over", Relation::Above),
    ("exceeding", Relation::Above),
    ("beyond", Relation::Above),
    ("less than", Relation::Below),
    ("fewer than", Relation::Below),
    ("lower than", Relation::Below),
    ("smaller than", Relation::Below),
    ("earlier than", Relation::Below),
    ("older than", Relation::Below),
    ("prior to", Relation::Below),
    ("before", Relation::Below),
    ("below", Relation::Below),
    ("under", Relation::Below),
];
/// Phrases after a value.
const AFTER: &[(&str, Relation)] = &[
    ("onwards", Relation::AtLeast),
    ("onward", Relation::AtLeast),
    ("and onwards", Relation::AtLeast),
    ("or later", Relation::AtLeast),
    ("and later", Relation::AtLeast),
    ("or newer", Relation::AtLeast),
    ("and newer", Relation::AtLeast),
    ("or after", Relation::AtLeast),
    ("and after", Relation::AtLeast),
    ("or above", Relation::AtLeast),
    ("and above", Relation::AtLeast),
    ("or more", Relation::AtLeast),
    ("or higher", Relation::AtLeast),
    ("and higher", Relation::AtLeast),
    ("or greater", Relation::AtLeast),
    ("or earlier", Relation::AtMost),
    ("and earlier", Relation::AtMost),
    ("or older", Relation::AtMost),
    ("and older", Relation::AtMost),
    ("or before", Relation::AtMost),
    ("and before", Relation::AtMost),
    ("or below", Relation::AtMost),
    ("and below", Relation::AtMost),
    ("or less", Relation::AtMost),
    ("or lower", Relation::AtMost),
    ("and lower", Relation::AtMost),
    ("or fewer", Relation::AtMost),
];
/// Words that can stand between a phrase and what it belongs to.
const BETWEEN: &[&str] = &[
    "the", "a", "an", "of", "in", "from", "by", "is", "year", "than", "any", "with", "are", "as",
];
/// Words between a phrase and what it belongs to at most.
const MAX_BETWEEN: usize = 3;

/// Returns how a question compares with the value that these words name, [`Relation::Is`] where nothing is said, and the
/// words before it that say so.
pub(super) fn relation(question: &Question<'_>, words: &Range<usize>, names: &[String]) -> (Relation, Range<usize>) {
    let unsaid = words.start..words.start;
    // `2019 or after 2021` speaks of what comes next.
    let leads_on = |phrase: &str| {
        let next = question.words.get(words.end + phrase.split(' ').count());
        next.is_some_and(|word| word.number().is_some())
    };
    let is_after = |phrase: &str| question.begins_with(words.end, phrase) && !leads_on(phrase);
    if let Some((_, relation)) = AFTER.iter().find(|(phrase, _)| is_after(phrase)) {
        return (*relation, unsaid);
    }
    let mut before = words.start;
    for _ in 0..=MAX_BETWEEN {
        if let Some((phrase, relation)) = BEFORE.iter().find(|(phrase, _)| question.ends_with(before, phrase)) {
            return (*relation, before - phrase.split(' ').count()..before);
        }
        match before.checked_sub(1).map(|at| &question.words[at]) {
            Some(word) if BETWEEN.contains(&word.folded.as_str()) || names.iter().any(|name| word.is(name)) => {
                before -= 1;
            }
            _ => break,
        }
    }
    let sign = question.text[..question.words[words.start].place.start].trim_end();
    let of_sign = [
        (">=", Relation::AtLeast),
        ("<=", Relation::AtMost),
        (">", Relation::Above),
        ("<", Relation::Below),
    ];
    let found = of_sign.into_iter().find(|(it, _)| sign.ends_with(it));
    if let Some((_, relation)) = found.filter(|_| !sign.ends_with("<>")) {
        return (relation, unsaid);
    }
    match negation::of_value(question, words) {
        Some(cue) => (Relation::IsNot, cue),
        None => (Relation::Is, unsaid),
    }
}

/// Returns whether two values, one after the other, are the ends of a range.
pub(super) fn is_range(question: &Question<'_>, first: &Range<usize>, second: &Range<usize>) -> bool {
    let between = &question.words[first.end..second.start.max(first.end)];
    match between {
        [] => matches!(question.between(first.end - 1, second.start).trim(), "-" | "–" | "—"),
        [word] => match word.folded.as_str() {
            "to" | "until" | "till" | "through" => true,
            "and" => question.ends_with(first.start, "between") || question.ends_with(first.start, "between the years"),
            _ => false,
        },
        _ => false,
    }
}
