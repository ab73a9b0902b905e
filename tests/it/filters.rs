//! Metadata filters hold in both legs, and never lose a result that exists.

use groundwork::document::Date;
use groundwork::document::metadata::{AttributeType, MetadataValue};
use groundwork::document::schema::{DeclaredAttribute, MetadataSchema};
use groundwork::index::{TermsMode, VectorsMode};
use groundwork::knowledge_base::{
    AsOf, DocumentStatus, ErrorKind, Groundwork, KnowledgeBaseChange, NewDocument, ReadAt, Selection,
};
use groundwork::retrieve::query::FILTER;
use groundwork::retrieve::{Filter, Query, SearchType};
use groundwork::worker::Cancel;

use crate::support::{ids, ingest, open, text, with_base};

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

fn date(day: &str) -> MetadataValue {
    MetadataValue::Date(Date::parse_day(day).expect("a day"))
}

/// Searches all legs; each gives the same ids, or refuses with the same reason.
fn outcome(groundwork: &Groundwork, filter: &Filter, at: ReadAt) -> Result<Vec<String>, String> {
    let found = |search_type| {
        let query = Query {
            search_type,
            limit: 100,
            filter: Some(filter.clone()),
            ..Query::new("harbour")
        };
        let retrieval = groundwork.retrieve("kb", &query, at, &Cancel::new());
        retrieval.map(|retrieval| ids(&retrieval.hits)).map_err(|error| {
            assert_eq!(error.kind, ErrorKind::InvalidRequest);
            assert_eq!(error.violations[0].field, FILTER);
            error.violations[0].description.clone()
        })
    };
    let [keyword, semantic, hybrid] = [SearchType::Keyword, SearchType::Semantic, SearchType::Hybrid].map(found);
    assert_eq!(keyword, semantic);
    assert_eq!(keyword, hybrid);
    keyword
}

fn year(id: &str, year: f64, built: &str) -> NewDocument {
    with_metadata(
        id,
        "A harbour.",
        &[("year", MetadataValue::Number(year)), ("built", date(built))],
    )
}

#[test]
fn ranges_and_dates_are_found() {
    let (_home, groundwork) = with_base(&[]);
    ingest(
        &groundwork,
        vec![
            year("a", 1900.0, "1900-01-01"),
            year("b", 1950.0, "1950-06-30"),
            year("c", 2000.0, "2000-12-31"),
            text("d", "A harbour without attributes."),
        ],
    );
    let number = MetadataValue::Number;
    let of = |make: fn(String, MetadataValue) -> Filter, key: &str, value| make(key.to_owned(), value);
    check(
        &groundwork,
        &of(Filter::GreaterThan, "year", number(1900.0)),
        &["b", "c"],
    );
    check(
        &groundwork,
        &of(Filter::LessThanOrEquals, "built", date("1950-06-30")),
        &["a", "b"],
    );
    let between = Filter::AndAll(vec![
        of(Filter::GreaterThanOrEquals, "built", date("1950-01-01")),
        of(Filter::LessThan, "built", date("2000-12-31")),
    ]);
    check(&groundwork, &between, &["b"]);
    let years = MetadataValue::NumberList(vec![1900.0, 2000.0]);
    check(&groundwork, &of(Filter::In, "year", years.clone()), &["a", "c"]);
    check(&groundwork, &of(Filter::NotIn, "year", years), &["b", "d"]);
    check(&groundwork, &Filter::Exists("year".to_owned()), &["a", "b", "c"]);
    let lacks = Filter::Not(Box::new(Filter::Exists("year".to_owned())));
    check(&groundwork, &lacks, &["d"]);
}

#[test]
fn what_nobody_knows_is_refused() {
    let (_home, groundwork) = with_base(&[]);
    let now = ReadAt::default();
    let town = equals("town", string("Kiel"));
    assert_eq!(
        outcome(&groundwork, &town, now),
        Ok(vec![]),
        "an empty knowledge base knows nothing"
    );
    ingest(&groundwork, vec![year("a", 1900.0, "1900-01-01")]);
    let unknown = "no document has the attribute `town`; the nearest that is known: `year`, `built`";
    assert_eq!(outcome(&groundwork, &town, now), Err(unknown.to_owned()));
    let clash = "`year` is a number, which equals does not compare with a string";
    assert_eq!(
        outcome(&groundwork, &equals("year", string("1900")), now),
        Err(clash.to_owned())
    );
    let selection = Selection::Filter(Filter::NotEquals("yaer".to_owned(), MetadataValue::Number(1.0)));
    let refused = groundwork
        .delete_documents("kb", &selection, true)
        .expect_err("a slip would delete everything");
    assert_eq!(
        (refused.kind, refused.violations[0].field.as_str()),
        (ErrorKind::InvalidRequest, "filter")
    );
    // What the last document of its kind had is known for as long as an epoch remembers it.
    let id = groundwork::document::DocumentId::parse("a").expect("an id");
    groundwork
        .delete_documents("kb", &Selection::Ids(vec![id]), false)
        .expect("it is deleted");
    let of_1900 = equals("year", MetadataValue::Number(1900.0));
    assert_eq!(outcome(&groundwork, &of_1900, now), Ok(vec![]));
    let before = ReadAt {
        as_of: Some(AsOf::Epoch(groundwork::index::Epoch(1))),
        ..now
    };
    assert_eq!(outcome(&groundwork, &of_1900, before), Ok(vec!["a".to_owned()]));
}

#[test]
fn documents_are_held_to_the_schema() {
    let (home, groundwork) = with_base(&[]);
    let declared = |is_strict| MetadataSchema {
        attributes: vec![DeclaredAttribute {
            key: "year".to_owned(),
            kind: AttributeType::Number,
            description: "when it was built".to_owned(),
        }],
        is_strict,
    };
    let declare = |schema: MetadataSchema| {
        let change = KnowledgeBaseChange {
            metadata_schema: Some(schema.clone()),
            ..KnowledgeBaseChange::default()
        };
        let changed = groundwork.update_knowledge_base("kb", change).expect("it is declared");
        assert_eq!(changed.metadata_schema, schema);
    };
    declare(declared(false));
    let now = ReadAt::default();
    assert_eq!(
        outcome(&groundwork, &equals("year", MetadataValue::Number(1.0)), now),
        Ok(vec![])
    );
    let (outcomes, _) = ingest(
        &groundwork,
        vec![
            with_metadata("a", "A harbour.", &[("year", string("1900"))]),
            with_metadata("b", "A harbour.", &[("town", string("Kiel"))]),
        ],
    );
    assert_eq!(outcomes[0].status, DocumentStatus::Failed);
    assert_eq!(
        outcomes[0].reason,
        "metadata `year` is declared as number, the document has a string"
    );
    assert_eq!(outcomes[1].status, DocumentStatus::Indexed);
    let clash = outcome(&groundwork, &equals("year", string("1900")), now).expect_err("it is declared");
    assert!(clash.contains("`year` is a number"), "{clash}");
    declare(declared(true));
    let (outcomes, _) = ingest(
        &groundwork,
        vec![with_metadata("c", "A harbour.", &[("town", string("Kiel"))])],
    );
    assert!(
        outcomes[0].reason.contains("takes declared attributes only"),
        "{}",
        outcomes[0].reason
    );
    // What is declared outlives the process, and its removal too.
    drop(groundwork);
    let groundwork = open(home.path());
    let info = groundwork
        .knowledge_base("kb", now, &Cancel::new())
        .expect("it is there");
    assert_eq!(info.metadata_schema, declared(true));
    let twice = MetadataSchema {
        attributes: [declared(false).attributes, declared(false).attributes].concat(),
        is_strict: false,
    };
    let refused = groundwork.update_knowledge_base(
        "kb",
        KnowledgeBaseChange {
            metadata_schema: Some(twice),
            ..KnowledgeBaseChange::default()
        },
    );
    assert_eq!(
        refused.expect_err("a key stands twice").violations[0].field,
        "metadata_schema"
    );
}

#[test]
fn plans_tell_how_it_was_searched() {
    let (_home, groundwork) = with_base(&[]);
    let documents = (0..300).map(|at| {
        let shelf = if at % 100 == 7 { "rare" } else { "common" };
        with_metadata(
            &format!("doc-{at:03}"),
            &format!("Harbour entry {at}."),
            &[("shelf", string(shelf))],
        )
    });
    ingest(&groundwork, documents.collect());
    // Another limit is another result, within the same set.
    let limited = |filter, exact, limit| {
        let query = Query {
            filter,
            exact,
            limit,
            ..Query::new("harbour entry")
        };
        let retrieval = groundwork.retrieve("kb", &query, ReadAt::default(), &Cancel::new());
        retrieval.expect("the search works").plan
    };
    let plan = |filter, exact| limited(filter, exact, 5);
    let rare = || Some(equals("shelf", string("rare")));
    let first = plan(rare(), false);
    assert_eq!(
        (first.visible_chunks, first.accepted_chunks, first.is_cached),
        (300, 3, false)
    );
    assert_eq!(
        (first.work.vectors.mode, first.work.vectors.visited),
        (VectorsMode::ExactScan, 3)
    );
    assert_eq!(
        (
            first.work.terms.mode,
            first.work.terms.visited,
            first.work.terms.candidates
        ),
        (TermsMode::AcceptedChunks, 3, 3)
    );
    let again = limited(rare(), false, 4);
    assert!(again.is_cached);
    assert_eq!(again.work, first.work);
    let unfiltered = plan(None, true);
    assert_eq!((unfiltered.accepted_chunks, unfiltered.is_cached), (300, false));
    assert_eq!(unfiltered.work.vectors.mode, VectorsMode::ExactScan);
    assert_eq!(unfiltered.work.vectors.candidates, 300);
    assert_eq!(unfiltered.work.terms.mode, TermsMode::Postings);
    // A new epoch is searched anew.
    ingest(
        &groundwork,
        vec![with_metadata("new", "Harbour entry.", &[("shelf", string("rare"))])],
    );
    let later = plan(rare(), false);
    assert_eq!((later.accepted_chunks, later.is_cached), (4, false));
}
