//! Results that are known already: the same to the last field, and never told where they are no longer true.

use std::time::Duration;

use groundwork::document::DocumentId;
use groundwork::document::access::{AccessList, UserContext};
use groundwork::document::metadata::{AttributeType, MetadataValue};
use groundwork::document::schema::{DeclaredAttribute, MetadataSchema};
use groundwork::index::Epoch;
use groundwork::knowledge_base::{
    AsOf, ErasureQuery, Groundwork, KnowledgeBaseChange, ProvidedModels, ReadAt, Retention, Retrieval, Selection,
    Settings,
};
use groundwork::retrieve::{Filter, Options, Query, Recency, SearchType};
use groundwork::worker::Cancel;

use crate::support::{DIMENSIONS, ids, ingest, named, scripted, settings, text, with_base};

fn at(epoch: u64) -> ReadAt {
    ReadAt {
        as_of: Some(AsOf::Epoch(Epoch(epoch))),
        ..ReadAt::default()
    }
}

fn retrieve(groundwork: &Groundwork, query: &Query, at: ReadAt) -> Retrieval {
    groundwork
        .retrieve("kb", query, at, &Cancel::new())
        .expect("the search works")
}

/// Asks twice: the first answer is new, the second one known, and both say the same.
#[track_caller]
fn check(groundwork: &Groundwork, query: &Query, at: ReadAt, found: &[&str]) {
    let first = retrieve(groundwork, query, at);
    let second = retrieve(groundwork, query, at);
    assert_eq!(
        (first.is_cached, second.is_cached),
        (false, true),
        "{query:?} at {at:?}"
    );
    assert_eq!(ids(&first.hits), found);
    let same = Retrieval {
        is_cached: true,
        times: second.times,
        ..first
    };
    assert_eq!(second, same);
    assert_eq!(second.times.embed + second.times.rerank, Duration::ZERO);
}

/// A knowledge base with two notes, the first of which was written twice.
fn notes() -> (tempfile::TempDir, Groundwork) {
    let (home, groundwork) = with_base(&[]);
    ingest(&groundwork, vec![text("a", "The ferry leaves at eight.")]);
    ingest(
        &groundwork,
        vec![text("a", "The ferry leaves at nine."), text("b", "A ferry.")],
    );
    (home, groundwork)
}

#[test]
fn known_results_are_those_of_the_search() {
    let (_home, groundwork) = notes();
    for search_type in [SearchType::Hybrid, SearchType::Keyword, SearchType::Semantic] {
        for (explain, highlight) in [(false, false), (false, true), (true, false)] {
            let query = Query {
                search_type,
                explain,
                options: Options {
                    highlight,
                    ..Options::default()
                },
                ..Query::new("ferry")
            };
            check(&groundwork, &query, ReadAt::default(), &["a", "b"]);
        }
    }
    let ferry = Query::new("ferry");
    check(&groundwork, &ferry, at(1), &["a"]);
    // The published epoch by its number is the same read.
    assert!(
        !retrieve(
            &groundwork,
            &Query {
                limit: 4,
                ..ferry.clone()
            },
            at(2)
        )
        .is_cached
    );
    assert!(
        retrieve(
            &groundwork,
            &Query {
                limit: 4,
                ..ferry.clone()
            },
            ReadAt::default()
        )
        .is_cached
    );
    let exact = Query { exact: true, ..ferry };
    check(&groundwork, &exact, ReadAt::default(), &["a", "b"]);
}

#[test]
fn batches_share_results_with_single_queries() {
    let (_home, groundwork) = notes();
    let (ferry, nine) = (Query::new("ferry"), Query::new("nine"));
    let single = retrieve(&groundwork, &ferry, ReadAt::default());
    let batch = |queries: &[&Query]| {
        let queries = queries.iter().map(|query| Ok((*query).clone())).collect();
        let batch = groundwork.batch_retrieve("kb", queries, ReadAt::default(), &Cancel::new());
        let results = batch.expect("it works").results.into_iter();
        results
            .map(|found| found.map_err(|error| error.message))
            .collect::<Vec<_>>()
    };
    let found = batch(&[&nine, &Query::new(" "), &ferry]);
    let known = |at: usize| found[at].as_ref().map(|found| found.is_cached);
    assert_eq!((known(0), known(2)), (Ok(false), Ok(true)));
    assert!(found[1].is_err(), "one that is refused is refused again");
    assert_eq!(found[2].as_ref().map(|found| &found.hits), Ok(&single.hits));
    let again = retrieve(&groundwork, &nine, ReadAt::default());
    assert!(again.is_cached);
    assert_eq!(found[0].as_ref().map(|found| &found.hits), Ok(&again.hits));
}

#[test]
fn writes_make_the_next_read_new() {
    let (_home, groundwork) = notes();
    let ferry = Query::new("ferry");
    check(&groundwork, &ferry, ReadAt::default(), &["a", "b"]);
    ingest(&groundwork, vec![text("c", "A third ferry.")]);
    check(&groundwork, &ferry, ReadAt::default(), &["a", "b", "c"]);
    let gone = Selection::Ids(vec![DocumentId::parse("a").expect("an id")]);
    groundwork.delete_documents("kb", &gone, false).expect("it is there");
    check(&groundwork, &ferry, ReadAt::default(), &["b", "c"]);
    assert_eq!(ids(&retrieve(&groundwork, &ferry, at(3)).hits), ["a", "b", "c"]);
}

#[test]
fn other_callers_have_results_of_their_own() {
    let (_home, groundwork) = notes();
    let mut secret = text("secret", "The ferry of the pilots.");
    secret.access = AccessList {
        allow_groups: vec!["pilots".to_owned()],
        ..AccessList::default()
    };
    ingest(&groundwork, vec![secret]);
    let by = |user_id: &str, groups: &[&str]| Query {
        caller: Some(UserContext {
            user_id: user_id.to_owned(),
            groups: groups.iter().map(|group| (*group).to_owned()).collect(),
        }),
        ..Query::new("ferry")
    };
    let now = ReadAt::default();
    check(&groundwork, &by("ann", &["pilots"]), now, &["a", "b", "secret"]);
    check(&groundwork, &by("ann", &[]), now, &["a", "b"]);
    check(&groundwork, &by("ann", &["cooks"]), now, &["a", "b"]);
    check(&groundwork, &by("bob", &["pilots"]), now, &["a", "b", "secret"]);
    check(&groundwork, &Query::new("ferry"), now, &["a", "b"]);
}

#[test]
fn other_declarations_ask_again() {
    let (_home, groundwork) = notes();
    let mut with_topic = text("c", "The third one.");
    with_topic.metadata = [("topic".to_owned(), MetadataValue::String("tide".to_owned()))].into();
    ingest(&groundwork, vec![with_topic]);
    let query = Query {
        filter: Some(Filter::Exists("season".to_owned())),
        ..Query::new("ferry")
    };
    let asked = || groundwork.retrieve("kb", &query, ReadAt::default(), &Cancel::new());
    let declare = |keys: &[&str]| {
        let attribute = |key: &&str| DeclaredAttribute {
            key: (*key).to_owned(),
            kind: AttributeType::String,
            description: String::new(),
        };
        let change = KnowledgeBaseChange {
            metadata_schema: Some(MetadataSchema {
                attributes: keys.iter().map(attribute).collect(),
                is_strict: false,
            }),
            ..KnowledgeBaseChange::default()
        };
        groundwork.update_knowledge_base("kb", change).expect("it fits");
    };
    declare(&["season"]);
    check(&groundwork, &query, ReadAt::default(), &[]);
    declare(&[]);
    assert!(asked().is_err(), "the attribute is neither declared nor there");
}

#[test]
fn scores_that_fade_are_made_anew() {
    let (_home, groundwork) = with_base(&[]);
    let mut dated = text("a", "The ferry leaves at eight.");
    let written = MetadataValue::String("2026-05-06".to_owned());
    dated.metadata.insert("written".to_owned(), written);
    ingest(&groundwork, vec![dated]);
    ingest(&groundwork, vec![text("b", "A ferry.")]);
    let query = Query {
        options: Options {
            recency: Some(Recency {
                attribute_key: "written".to_owned(),
                half_life: Duration::from_secs(1),
                floor: 0.5,
            }),
            ..Options::default()
        },
        ..Query::new("ferry")
    };
    for _ in 0..2 {
        assert!(!retrieve(&groundwork, &query, ReadAt::default()).is_cached);
    }
    // Ages in the past stand still.
    check(&groundwork, &query, at(1), &["a"]);
}

#[test]
fn erased_words_are_not_kept() {
    let (_home, groundwork) = notes();
    let secret = "Hieronymus Quartz takes the ferry.";
    ingest(&groundwork, vec![text("letter-4711", secret)]);
    let ferry = Query::new("ferry");
    check(&groundwork, &ferry, ReadAt::default(), &["a", "b", "letter-4711"]);
    let selection = Selection::Ids(vec![DocumentId::parse("letter-4711").expect("an id")]);
    let erase = |dry_run| {
        let erased = groundwork.erase_documents("kb", &selection, dry_run, false, &Cancel::new(), &mut |_| {});
        let places = erased.expect("it works").places.into_iter();
        let mut results = places.filter(|place| place.place == "results");
        results.next().expect("results are a place").count
    };
    let verify = |phrase: &str| {
        let query = ErasureQuery {
            document_id: Some(DocumentId::parse("letter-4711").expect("an id")),
            phrases: vec![phrase.to_owned()],
            ..ErasureQuery::default()
        };
        let certificate = groundwork.verify_erasure("kb", &query, &Cancel::new(), &mut |_| {});
        let certificate = certificate.expect("it searches");
        let searched = certificate.searched.iter().find(|searched| searched.place == "results");
        let left = certificate.remainders.iter();
        let left = left
            .filter(|left| left.place == "results")
            .map(|left| left.also_in.clone());
        (
            searched.expect("results are searched").entries,
            left.collect::<Vec<_>>(),
        )
    };
    // The document, and the phrase in it.
    assert_eq!(verify("Hieronymus Quartz"), (1, vec![None, None]));
    assert_eq!(erase(true), 1, "a dry run counts");
    assert!(retrieve(&groundwork, &ferry, ReadAt::default()).is_cached);
    assert_eq!(erase(false), 1);
    assert_eq!(verify("Hieronymus Quartz"), (0, vec![]));
    check(&groundwork, &ferry, ReadAt::default(), &["a", "b"]);
    check(&groundwork, &ferry, at(3), &["a", "b"]);
    // What another document says stays known, and is explained.
    let explained = vec![Some("a".to_owned()), Some("a".to_owned())];
    assert_eq!(verify("leaves at nine"), (2, explained));
}

#[test]
fn epochs_that_are_gone_are_refused() {
    let (_home, groundwork) = notes();
    let ferry = Query::new("ferry");
    check(&groundwork, &ferry, at(1), &["a"]);
    let change = KnowledgeBaseChange {
        retention: Some(Retention {
            epochs: Some(1),
            age: None,
        }),
        ..KnowledgeBaseChange::default()
    };
    groundwork.update_knowledge_base("kb", change).expect("it fits");
    groundwork
        .vacuum("kb", &Cancel::new(), &mut |_| {})
        .expect("it vacuums");
    let refused = groundwork.retrieve("kb", &ferry, at(1), &Cancel::new());
    assert_eq!(refused.expect_err("it is not kept").reason, "EPOCH_NOT_RETAINED");
}

#[test]
fn removed_knowledge_bases_take_their_results_along() {
    let (_home, groundwork) = notes();
    let ferry = Query::new("ferry");
    check(&groundwork, &ferry, ReadAt::default(), &["a", "b"]);
    groundwork.delete_knowledge_base("kb").expect("it is there");
    groundwork
        .create_knowledge_base(&named("kb"))
        .expect("the name is free");
    ingest(&groundwork, vec![text("x", "Another ferry.")]);
    ingest(&groundwork, vec![text("y", "Another ferry.")]);
    check(&groundwork, &ferry, ReadAt::default(), &["x", "y"]);
}

#[test]
fn no_room_keeps_no_results() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let provided = ProvidedModels {
        embedders: vec![std::sync::Arc::new(groundwork::embed::HashingEmbedder::new(DIMENSIONS))],
        language_models: vec![scripted(&[])],
    };
    let without = Settings {
        result_cache_bytes: 0,
        ..settings(home.path())
    };
    let groundwork = Groundwork::open_with(without, provided).expect("it opens");
    groundwork
        .create_knowledge_base(&named("kb"))
        .expect("a knowledge base");
    ingest(&groundwork, vec![text("a", "The ferry.")]);
    for _ in 0..2 {
        assert!(!retrieve(&groundwork, &Query::new("ferry"), ReadAt::default()).is_cached);
    }
}
