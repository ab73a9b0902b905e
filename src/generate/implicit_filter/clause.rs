//! Accepted clauses to one filter.

use std::ops::Range;

use super::Attribute;
use super::candidate::{Candidate, Value};
use super::question::Question;
use super::relation::Relation;
use crate::document::metadata::{AttributeType, MetadataValue};
use crate::retrieve::Filter;

/// Returns a clause as people read it, such as `year >= 2020`.
pub(super) fn text(candidate: &Candidate, attribute: &Attribute, question: &Question<'_>) -> String {
    let sign = match (attribute.kind, candidate.relation) {
        (AttributeType::StringList | AttributeType::NumberList, Relation::Is) => "~=",
        (_, relation) => relation.sign(),
    };
    let value = match &candidate.value {
        Value::Strings(strings) => strings.join(", "),
        Value::Number(number) => number.to_string(),
        Value::Boolean(truth) => truth.to_string(),
        Value::Period(..) => question.written(&candidate.words).to_owned(),
    };
    format!("{} {sign} {value}", attribute.key)
}

/// Returns the filter of clauses that all hold; nothing when there are none.
pub(super) fn filter(candidates: &[&Candidate], attributes: &[Attribute], question: &Question<'_>) -> Option<Filter> {
    let mut all = Vec::new();
    for (at, attribute) in attributes.iter().enumerate() {
        let of: Vec<&Candidate> = candidates.iter().filter(|it| it.attribute == at).copied().collect();
        all.extend(of_attribute(&of, attribute, question));
    }
    join(all, Filter::AndAll)
}

fn join(mut filters: Vec<Filter>, joined: fn(Vec<Filter>) -> Filter) -> Option<Filter> {
    match filters.len() {
        0 | 1 => filters.pop(),
        _ => Some(joined(filters)),
    }
}

/// Returns the filters of the clauses of one attribute.
fn of_attribute(candidates: &[&Candidate], attribute: &Attribute, question: &Question<'_>) -> Vec<Filter> {
    let with = |wanted: fn(Relation) -> bool| candidates.iter().copied().filter(move |it| wanted(it.relation));
    let equal: Vec<&Candidate> = with(|relation| relation == Relation::Is).collect();
    let unequal: Vec<&Candidate> = with(|relation| relation == Relation::IsNot).collect();
    let mut filters = Vec::new();
    filters.extend(equals(&equal, attribute, question));
    filters.extend(
        unequal
            .iter()
            .filter_map(|candidate| one_of(&[candidate], &attribute.key))
            .map(negated),
    );
    let lower = with(|relation| matches!(relation, Relation::AtLeast | Relation::Above))
        .max_by(|left, right| later_bound(left, right));
    let upper = with(|relation| matches!(relation, Relation::AtMost | Relation::Below))
        .min_by(|left, right| later_bound(left, right));
    let bounds: Vec<Filter> = [lower, upper]
        .into_iter()
        .flatten()
        .filter_map(|candidate| bound(candidate, &attribute.key))
        .collect();
    match (lower, upper) {
        // `before 2010 or after 2020`: no value is both.
        (Some(lower), Some(upper)) if later_bound(lower, upper).is_gt() => {
            filters.extend(join(bounds, Filter::OrAll));
        }
        _ => filters.extend(bounds),
    }
    filters
}

fn later_bound(left: &Candidate, right: &Candidate) -> std::cmp::Ordering {
    match (&left.value, &right.value) {
        (Value::Number(left), Value::Number(right)) => left.total_cmp(right),
        (Value::Period(left, _), Value::Period(right, _)) => left.cmp(right),
        _ => std::cmp::Ordering::Equal,
    }
}

/// Returns the filter of values that an attribute equals. A document has one value, so that several are alternatives; a
/// list has them all, unless the question says `or`.
fn equals(candidates: &[&Candidate], attribute: &Attribute, question: &Question<'_>) -> Option<Filter> {
    let is_list = matches!(attribute.kind, AttributeType::StringList | AttributeType::NumberList);
    let are_alternatives = candidates
        .windows(2)
        .any(|pair| says_or(question, &(pair[0].words.end..pair[1].words.start)));
    if is_list && !are_alternatives {
        let members = candidates
            .iter()
            .filter_map(|candidate| one_of(&[candidate], &attribute.key));
        return join(members.collect(), Filter::AndAll);
    }
    one_of(candidates, &attribute.key)
}

fn says_or(question: &Question<'_>, between: &Range<usize>) -> bool {
    let words = question.words.get(between.clone()).unwrap_or_default();
    words.iter().any(|word| word.folded == "or")
}

/// Returns the filter of documents whose attribute is one of these values.
fn one_of(candidates: &[&Candidate], key: &str) -> Option<Filter> {
    let mut strings: Vec<String> = Vec::new();
    let mut numbers: Vec<f64> = Vec::new();
    let mut others = Vec::new();
    for candidate in candidates {
        match &candidate.value {
            Value::Strings(values) => strings.extend(values.iter().cloned()),
            Value::Number(number) => numbers.push(*number),
            Value::Boolean(truth) => others.push(Filter::Equals(key.to_owned(), MetadataValue::Boolean(*truth))),
            Value::Period(start, end) => others.push(Filter::AndAll(vec![
                Filter::GreaterThanOrEquals(key.to_owned(), MetadataValue::Date(*start)),
                Filter::LessThan(key.to_owned(), MetadataValue::Date(*end)),
            ])),
        }
    }
    strings.sort();
    strings.dedup();
    numbers.sort_by(f64::total_cmp);
    numbers.dedup();
    let value = match (strings.len(), numbers.len()) {
        (0, 0) => None,
        (1, _) => strings
            .pop()
            .map(|string| Filter::Equals(key.to_owned(), MetadataValue::String(string))),
        (0, 1) => numbers
            .pop()
            .map(|number| Filter::Equals(key.to_owned(), MetadataValue::Number(number))),
        (0, _) => Some(Filter::In(key.to_owned(), MetadataValue::NumberList(numbers))),
        _ => Some(Filter::In(key.to_owned(), MetadataValue::StringList(strings))),
    };
    others.extend(value);
    join(others, Filter::OrAll)
}

fn negated(filter: Filter) -> Filter {
    match filter {
        Filter::Equals(key, value) => Filter::NotEquals(key, value),
        Filter::In(key, value) => Filter::NotIn(key, value),
        filter => Filter::Not(Box::new(filter)),
    }
}

/// Returns the filter of values beyond a bound. Of a period, what is after it begins where it ends.
fn bound(candidate: &Candidate, key: &str) -> Option<Filter> {
    type Made = fn(String, MetadataValue) -> Filter;
    let (made, value): (Made, MetadataValue) = match (candidate.relation, &candidate.value) {
        (Relation::AtLeast, Value::Number(number)) => (Filter::GreaterThanOrEquals, MetadataValue::Number(*number)),
        (Relation::Above, Value::Number(number)) => (Filter::GreaterThan, MetadataValue::Number(*number)),
        (Relation::AtMost, Value::Number(number)) => (Filter::LessThanOrEquals, MetadataValue::Number(*number)),
        (Relation::Below, Value::Number(number)) => (Filter::LessThan, MetadataValue::Number(*number)),
        (Relation::AtLeast, Value::Period(start, _)) => (Filter::GreaterThanOrEquals, MetadataValue::Date(*start)),
        (Relation::Above, Value::Period(_, end)) => (Filter::GreaterThanOrEquals, MetadataValue::Date(*end)),
        (Relation::AtMost, Value::Period(_, end)) => (Filter::LessThan, MetadataValue::Date(*end)),
        (Relation::Below, Value::Period(start, _)) => (Filter::LessThan, MetadataValue::Date(*start)),
        _ => return None,
    };
    Some(made(key.to_owned(), value))
}
