//! Tests of query.

use super::*;
use crate::document::metadata::MetadataValue;
use crate::retrieve::filter::MAX_FILTER_DEPTH;

fn equals(key: &str) -> Filter {
    Filter::Equals(key.to_owned(), MetadataValue::Boolean(true))
}

fn nested(depth: usize) -> Filter {
    (1..depth).fold(equals("key"), |inner, _| Filter::AndAll(vec![inner, equals("key")]))
}

fn with_filter(filter: Filter) -> Query {
    Query {
        filter: Some(filter),
        ..Query::new("words")
    }
}

#[track_caller]
fn check(query: Query, refused: Option<(&str, &str)>) {
    match (query.check(), refused) {
        (Ok(_), None) => {}
        (Err(error), Some((field, reason))) => {
            assert!(error.field.ends_with(field), "{}", error.field);
            assert!(error.reason.contains(reason), "{}", error.reason);
        }
        (found, _) => panic!("{found:?} instead of {refused:?}"),
    }
}

#[test]
fn queries_within_limits_are_taken() {
    check(Query::new("a"), None);
    check(Query::new("é".repeat(MAX_QUERY_CHARS)), None);
    for limit in [1, MAX_RESULTS] {
        check(
            Query {
                limit,
                ..Query::new("a")
            },
            None,
        );
    }
    for dense_weight in [0.0, 1.0] {
        check(
            Query {
                dense_weight: Some(dense_weight),
                ..Query::new("a")
            },
            None,
        );
    }
    let score_threshold = Some(-1.0);
    check(
        Query {
            score_threshold,
            ..Query::new("a")
        },
        None,
    );
    check(with_filter(nested(MAX_FILTER_DEPTH)), None);
}

#[test]
fn queries_beyond_limits_name_the_field() {
    check(Query::new(""), Some(("retrieval_query.text", "no words")));
    check(Query::new(" \n\t\u{a0}"), Some(("retrieval_query.text", "no words")));
    check(
        Query::new("a".repeat(MAX_QUERY_CHARS + 1)),
        Some((".text", "this one has 20001")),
    );
    for limit in [0, MAX_RESULTS + 1] {
        check(
            Query {
                limit,
                ..Query::new("a")
            },
            Some((".number_of_results", "1 to 1000")),
        );
    }
    for dense_weight in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
        check(
            Query {
                dense_weight: Some(dense_weight),
                ..Query::new("a")
            },
            Some((".dense_weight", "0 to 1")),
        );
    }
    let score_threshold = Some(f64::NAN);
    check(
        Query {
            score_threshold,
            ..Query::new("a")
        },
        Some((".score_threshold", "finite")),
    );
}

#[test]
fn filters_beyond_limits_name_the_field() {
    check(
        with_filter(nested(MAX_FILTER_DEPTH + 1)),
        Some((".filter", "at most 8 deep")),
    );
    check(with_filter(Filter::AndAll(vec![])), Some((".filter", "has 0")));
}
