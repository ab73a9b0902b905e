//! Metadata filters hold in both legs, and never lose a result that exists.

use groundwork::document::metadata::MetadataValue;
use groundwork::knowledge_base::{Groundwork, NewDocument, ReadAt};
use groundwork::retrieve::{Filter, Query, SearchType};
use groundwork::worker::Cancel;

use crate::support::{ids, ingest, text, with_base};

fn with_metadata(id: &str, content: &str, pairs: &[(&str, MetadataValue)]) -> NewDocument {
    let mut document = text(id, content);
    document.metadata = pairs
        .iter()
        .map(|(key, value)| ((*key).to_owned(), value.clone()))
        .collect();
    document
}

fn string(value: &str) -> MetadataValue {
    MetadataValue::String(value.to_owned())
}

fn equals(key: &str, value: MetadataValue) -> Filter {
    Filter::Equals(key.to_owned(), value)
}

fn check(groundwork: &Groundwork, filter: &Filter, expected: &[&str]) {
    for leg in [SearchType::Keyword, SearchType::Semantic, SearchType::Hybrid] {
        let mut query = Query::new("harbour".to_owned());
        query.search_type = leg;
        query.limit = 100;
        query.filter = Some(filter.clone());
        let retrieval = groundwork
            .retrieve("kb", &query, ReadAt::default(), &Cancel::new())
            .expect("the search works");
        assert_eq!(ids(&retrieval.hits), expected, "{leg:?} {filter:?}");
    }
}

#[test]
fn filters_hold_in_both_legs() {
    let (_home, groundwork) = with_base(&[]);
    let list = MetadataValue::StringList(vec!["red".to_owned(), "blue".to_owned()]);
    ingest(
        &groundwork,
        vec![
            with_metadata(
                "a",
                "The old harbour.",
                &[("town", string("Kiel")), ("year", MetadataValue::Number(1900.0))],
            ),
            with_metadata(
                "b",
                "The new harbour.",
                &[("town", string("Bremen")), ("colours", list)],
            ),
            with_metadata("c", "No harbour at all.", &[("open", MetadataValue::Boolean(true))]),
        ],
    );
    check(&groundwork, &equals("town", string("Kiel")), &["a"]);
    check(&groundwork, &equals("year", MetadataValue::Number(1900.0)), &["a"]);
    check(&groundwork, &equals("open", MetadataValue::Boolean(true)), &["c"]);
    check(&groundwork, &equals("colours", string("blue")), &["b"]);
    check(&groundwork, &equals("town", string("Rostock")), &[]);
    check(
        &groundwork,
        &Filter::NotEquals("town".to_owned(), string("Kiel")),
        &["b", "c"],
    );
    let either = Filter::OrAll(vec![
        equals("town", string("Kiel")),
        equals("open", MetadataValue::Boolean(true)),
    ]);
    check(&groundwork, &either, &["a", "c"]);
    let both = Filter::AndAll(vec![equals("town", string("Bremen")), equals("colours", string("red"))]);
    check(&groundwork, &both, &["b"]);
}

#[test]
fn a_rare_attribute_is_found_among_many() {
    let (_home, groundwork) = with_base(&[]);
    let documents = (0..3_000).map(|at| {
        let shelf = if at % 1_000 == 7 { "rare" } else { "common" };
        with_metadata(
            &format!("doc-{at:04}"),
            &format!("Harbour entry {at}."),
            &[("shelf", string(shelf))],
        )
    });
    ingest(&groundwork, documents.collect());
    check(
        &groundwork,
        &equals("shelf", string("rare")),
        &["doc-0007", "doc-1007", "doc-2007"],
    );
}
