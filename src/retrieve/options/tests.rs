//! Tests of options.

use super::*;
use crate::document::metadata::MetadataValue;
use crate::retrieve::Query;

#[track_caller]
fn check(options: Options, refused: Option<(&str, &str)>) {
    let query = Query {
        options,
        ..Query::new("words")
    };
    match (query.check(), refused) {
        (Ok(_), None) => {}
        (Err(error), Some((field, reason))) => {
            assert_eq!(error.field, format!("{SEARCH}.{field}"));
            assert!(error.reason.contains(reason), "{}", error.reason);
        }
        (found, _) => panic!("{found:?} instead of {refused:?}"),
    }
}

fn expansion(extent: Extent, max_bytes: usize) -> Options {
    Options {
        expansion: Some(Expansion { extent, max_bytes }),
        ..Options::default()
    }
}

fn boosts(filter: Filter, factor: f64, count: usize) -> Options {
    let boosts = vec![Boost { filter, factor }; count];
    Options {
        boosts,
        ..Options::default()
    }
}

fn recency(attribute_key: &str, half_life: Duration, floor: f64) -> Options {
    let recency = Some(Recency {
        attribute_key: attribute_key.to_owned(),
        half_life,
        floor,
    });
    Options {
        recency,
        ..Options::default()
    }
}

fn filter() -> Filter {
    Filter::Equals("draft".to_owned(), MetadataValue::Boolean(true))
}

#[test]
fn options_within_limits_are_taken() {
    check(Options::default(), None);
    for count in [1, MAX_CANDIDATES_PER_LEG] {
        let candidates_per_leg = Some(count);
        check(
            Options {
                candidates_per_leg,
                ..Options::default()
            },
            None,
        );
    }
    for share in [0.0, 1.0] {
        let diversity = Some(share);
        check(
            Options {
                diversity,
                ..Options::default()
            },
            None,
        );
        check(recency("date", Duration::from_nanos(1), share), None);
    }
    check(expansion(Extent::Neighbors(MAX_NEIGHBORS), MIN_CONTEXT_BYTES), None);
    check(expansion(Extent::Section, MAX_CONTEXT_BYTES), None);
    check(boosts(filter(), MAX_BOOST_FACTOR, MAX_BOOSTS), None);
    check(boosts(filter(), 0.001, 1), None);
}

#[test]
fn options_beyond_limits_name_the_field() {
    for count in [0, MAX_CANDIDATES_PER_LEG + 1] {
        let options = Options {
            candidates_per_leg: Some(count),
            ..Options::default()
        };
        check(options, Some(("candidates_per_leg", "1 to 1000")));
    }
    for lambda in [-0.1, 1.1, f64::NAN] {
        let options = Options {
            diversity: Some(lambda),
            ..Options::default()
        };
        check(options, Some(("diversity.lambda", "0 to 1")));
    }
    for count in [0, MAX_CHUNKS_PER_DOCUMENT + 1] {
        let options = Options {
            chunks_per_document: Some(count),
            ..Options::default()
        };
        check(options, Some(("grouping.max_chunks_per_document", "1 to 100")));
    }
    for similarity in [0.0, 1.1, f64::NAN] {
        let options = Options {
            near_duplicates: Some(similarity),
            ..Options::default()
        };
        check(options, Some(("near_duplicates.similarity", "above 0")));
    }
    let neighbors = expansion(Extent::Neighbors(MAX_NEIGHBORS + 1), DEFAULT_CONTEXT_BYTES);
    check(neighbors, Some(("context_expansion.neighbors", "not 9")));
    for bytes in [MIN_CONTEXT_BYTES - 1, MAX_CONTEXT_BYTES + 1] {
        let field = "context_expansion.max_bytes";
        check(expansion(Extent::Section, bytes), Some((field, "256 to 65536")));
    }
    check(boosts(filter(), 1.0, MAX_BOOSTS + 1), Some(("boosts", "there are 33")));
    for factor in [0.0, -1.0, f64::NAN, f64::INFINITY, MAX_BOOST_FACTOR + 1.0] {
        check(boosts(filter(), factor, 2), Some(("boosts[0].factor", "above 0")));
    }
    check(
        boosts(Filter::OrAll(vec![filter()]), 1.0, 1),
        Some(("boosts[0].filter", "at least two")),
    );
    check(
        recency("", Duration::from_secs(1), 0.5),
        Some(("recency.attribute_key", "1 to 100")),
    );
    check(
        recency("date", Duration::ZERO, 0.5),
        Some(("recency.half_life", "above 0")),
    );
    check(
        recency("date", Duration::from_secs(1), 1.5),
        Some(("recency.floor", "0 to 1")),
    );
}
