//! Chatty questions, rewritten before the search.

use groundwork::document::DocumentId;
use groundwork::knowledge_base::{Groundwork, MissingQuestion, MissingStage, ReadAt, Retrieval};
use groundwork::retrieve::{Options, Query, QueryTransformation, TransformationKind};
use groundwork::worker::Cancel;

use crate::golden_questions::{handbook, judgments};
use crate::support::{ingest, text, with_base};

fn query(words: &str, limit: usize, is_rewritten: bool) -> Query {
    Query {
        limit,
        options: Options {
            transformation: is_rewritten.then(|| QueryTransformation::new(TransformationKind::Rewriting)),
            ..Options::default()
        },
        ..Query::new(words)
    }
}

fn retrieve(groundwork: &Groundwork, base: &str, query: &Query) -> Retrieval {
    groundwork
        .retrieve(base, query, ReadAt::default(), &Cancel::new())
        .expect("the search works")
}

const CHATTY: &str =
    "Hello, my cat is ill again. Could somebody please tell me how white bread is baked slowly? Thanks a lot!";

#[test]
fn rewrites_are_searched_for_beside_the_question() {
    let (_home, groundwork) = with_base(&[]);
    ingest(
        &groundwork,
        vec![
            text("cat", "the cat is ill and somebody says hello"),
            text("bread", "flour is baked slowly until bread comes out"),
        ],
    );
    let found = retrieve(&groundwork, "kb", &query(CHATTY, 2, true));
    assert_eq!(found.transformed_queries, ["how white bread is baked slowly"]);
    assert_eq!(found.hits.len(), 2, "the question takes part");
    let batched = groundwork
        .batch_retrieve(
            "kb",
            vec![Ok(query(CHATTY, 2, true))],
            ReadAt::default(),
            &Cancel::new(),
        )
        .expect("it works");
    assert_eq!(batched.results[0].as_ref().expect("it is valid").hits, found.hits);
    let question = MissingQuestion {
        query: query(CHATTY, 2, true),
        document_id: DocumentId::parse("bread").expect("an id"),
        chunk_id: None,
        at: ReadAt::default(),
    };
    let missing = groundwork.explain_missing("kb", &question, &Cancel::new());
    assert_eq!(missing.expect("it is explained").stage, MissingStage::Found);
    let plain = retrieve(&groundwork, "kb", &query("how is bread baked", 2, false));
    let short = retrieve(&groundwork, "kb", &query("how is bread baked", 2, true));
    assert_eq!((plain.hits, Vec::new()), (short.hits, short.transformed_queries));
}

#[test]
fn rewriting_loses_no_more_than_it_gains() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let groundwork = handbook(home.path());
    let judged = judgments();
    let mut told = Vec::new();
    let (mut gained, mut lost) = (0, 0);
    for line in include_str!("rewriting/questions.tsv").lines() {
        let [set, id, words] = line.split('\t').collect::<Vec<_>>()[..] else {
            panic!("three fields: {line}");
        };
        let mut is_found = |is_rewritten: bool| {
            let found = retrieve(&groundwork, "handbook", &query(words, 5, is_rewritten));
            let place = found
                .hits
                .iter()
                .position(|hit| judged[id].contains(hit.document_id.as_str()));
            told.push(format!("{set} {place:?} {words} {:?}", found.transformed_queries));
            place.is_some()
        };
        match (is_found(false), is_found(true)) {
            (false, true) => gained += 1,
            (true, false) => lost += 1,
            _ => {}
        }
    }
    assert!(gained >= lost, "{gained} gained, {lost} lost: {told:#?}");
}
