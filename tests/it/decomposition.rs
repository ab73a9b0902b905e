//! Questions that ask for several things, taken apart before the search.

use groundwork::document::DocumentId;
use groundwork::knowledge_base::{
    BatchRetrieval, ErrorKind, Groundwork, MissingQuestion, MissingStage, ReadAt, Retrieval,
};
use groundwork::retrieve::{Options, Query, QueryTransformation, SearchType, TransformationKind};
use groundwork::service::pb;
use groundwork::worker::Cancel;
use tonic::Code;

use crate::golden_questions::{handbook, judgments};
use crate::support::server::run;
use crate::support::wire::{inline, server, start};
use crate::support::{ingest, text, with_base};

fn query(words: &str, limit: usize, is_apart: bool) -> Query {
    Query {
        limit,
        options: Options {
            transformation: is_apart.then(|| QueryTransformation::new(TransformationKind::Decomposition)),
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

const COMPOUND: &str = "Where do lighthouses stand and how is bread baked?";

/// A knowledge base where many documents are about lighthouses and one is about bread.
fn lighthouses() -> (tempfile::TempDir, Groundwork) {
    let (home, groundwork) = with_base(&[]);
    let mut documents: Vec<_> = (0..8)
        .map(|at| {
            text(
                &format!("light-{at}"),
                &format!("lighthouses stand where ships pass, place {at}"),
            )
        })
        .collect();
    documents.push(text(
        "bread",
        "flour is baked slowly in the oven until bread comes out of it at dawn",
    ));
    ingest(&groundwork, documents);
    (home, groundwork)
}

#[test]
fn each_part_is_among_the_first() {
    let (_home, groundwork) = lighthouses();
    for leg in [SearchType::Keyword, SearchType::Semantic, SearchType::Hybrid] {
        let mut query = query(COMPOUND, 3, true);
        query.search_type = leg;
        let found = retrieve(&groundwork, "kb", &query);
        assert_eq!(
            found.transformed_queries,
            ["Where do lighthouses stand", "how is bread baked"]
        );
        let has = |beginning: &str| {
            found
                .hits
                .iter()
                .any(|hit| hit.document_id.as_str().starts_with(beginning))
        };
        assert!(has("bread") && has("light"), "{leg:?}");
        assert!(
            found.hits.is_sorted_by(|left, right| left.score >= right.score),
            "scores fall"
        );
    }
}

#[test]
fn explanations_tell_what_uniting_parts_added() {
    let (_home, groundwork) = lighthouses();
    let mut query = query(COMPOUND, 9, true);
    query.explain = true;
    let found = retrieve(&groundwork, "kb", &query);
    let explanations: Vec<_> = found.hits.iter().filter_map(|hit| hit.explanation.as_ref()).collect();
    assert_eq!(explanations.len(), found.hits.len());
    for it in &explanations {
        let of_legs: f64 = it.legs.iter().map(|part| part.contribution).sum();
        let sum = of_legs + it.transformation.unwrap_or_default();
        assert!((sum - it.fused_score).abs() < 1e-8, "{sum} {}", it.fused_score);
    }
    assert!(explanations.iter().any(|it| it.transformation.is_some()));
    // The terms are those of what the chunk was found for, the question or a part.
    for (hit, it) in found.hits.iter().zip(&explanations) {
        let of_terms: f64 = it.terms.iter().map(|term| term.score).sum();
        let raw = hit.bm25.expect("both legs took part").raw;
        assert!((of_terms - raw).abs() < 1e-5, "{of_terms} {raw}");
    }
}

#[test]
fn one_question_is_searched_for_as_it_is() {
    let (_home, groundwork) = lighthouses();
    let plain = retrieve(&groundwork, "kb", &query("where do lighthouses stand", 5, false));
    let found = retrieve(&groundwork, "kb", &query("where do lighthouses stand", 5, true));
    assert_eq!(
        (plain.hits, plain.transformed_queries),
        (found.hits, found.transformed_queries)
    );
}

#[test]
fn batches_and_explanations_take_questions_apart_too() {
    let (_home, groundwork) = lighthouses();
    let one = retrieve(&groundwork, "kb", &query(COMPOUND, 2, true));
    let BatchRetrieval { results, .. } = groundwork
        .batch_retrieve(
            "kb",
            vec![Ok(query(COMPOUND, 2, true)), Ok(query(COMPOUND, 2, false))],
            ReadAt::default(),
            &Cancel::new(),
        )
        .expect("it works");
    let batched = results[0].as_ref().expect("it is valid");
    assert_eq!(
        (&batched.hits, &batched.transformed_queries),
        (&one.hits, &one.transformed_queries)
    );
    assert!(results[1].as_ref().expect("it is valid").transformed_queries.is_empty());
    let missing = groundwork
        .explain_missing(
            "kb",
            &MissingQuestion {
                query: query(COMPOUND, 2, true),
                document_id: DocumentId::parse("bread").expect("an id"),
                chunk_id: None,
                at: ReadAt::default(),
            },
            &Cancel::new(),
        )
        .expect("it is explained");
    assert_eq!(missing.stage, MissingStage::Found, "{}", missing.reason);
}

#[test]
fn unknown_models_are_refused() {
    let (_home, groundwork) = lighthouses();
    let mut query = query(COMPOUND, 2, true);
    query.options.transformation = Some(QueryTransformation {
        model_id: "nothing".to_owned(),
        ..QueryTransformation::new(TransformationKind::Decomposition)
    });
    let error = groundwork
        .retrieve("kb", &query, ReadAt::default(), &Cancel::new())
        .expect_err("there is no such model");
    assert_eq!(error.kind, ErrorKind::NotFound);
}

#[test]
fn parts_travel_over_the_wire() {
    run(async {
        let (_home, server) = server().await;
        let messages = vec![start(), inline("a", "lighthouses stand"), inline("b", "bread is baked")];
        crate::support::wire::ingest(&server, messages)
            .await
            .expect("it is ingested");
        let request = |kind: pb::QueryTransformationType| pb::RetrieveRequest {
            knowledge_base_id: "kb".to_owned(),
            retrieval_query: Some(pb::RetrievalQuery {
                text: COMPOUND.to_owned(),
            }),
            retrieval_configuration: Some(pb::RetrievalConfiguration {
                vector_search_configuration: Some(pb::VectorSearchConfiguration {
                    query_transformation_configuration: Some(pb::QueryTransformationConfiguration {
                        r#type: kind.into(),
                        model_id: String::new(),
                    }),
                    ..pb::VectorSearchConfiguration::default()
                }),
            }),
            ..pb::RetrieveRequest::default()
        };
        let mut client = server.retrieval().await;
        let refused = client.retrieve(request(pb::QueryTransformationType::Unspecified)).await;
        assert_eq!(
            refused.map(|_| ()).map_err(|status| status.code()),
            Err(Code::InvalidArgument)
        );
    });
}

/// Questions of our own that join two of the handbook's, by the ids of those.
const JOINED: [(&str, &str, &str); 20] = [
    (
        "q001",
        "q003",
        "How large are chunks by default and which port does the server listen on?",
    ),
    (
        "q005",
        "q059",
        "What is the largest file I can ingest, and which file types can be read?",
    ),
    (
        "q008",
        "q010",
        "How many dimensions does a vector have and which language model writes the answers?",
    ),
    (
        "q012",
        "q020",
        "What share of the score comes from the vectors, and what is the maximum number of hits?",
    ),
    (
        "q022",
        "q025",
        "How deep can filters be nested? How many attributes can a document have?",
    ),
    (
        "q030",
        "q032",
        "What number does the first commit get and how many documents can I delete at once?",
    ),
    (
        "q035",
        "q038",
        "Which status do unchanged files get, and what exit code comes after Ctrl-C?",
    ),
    (
        "q042",
        "q043",
        "Which environment variable names the folder of the models and how many answers may wait in the queue?",
    ),
    (
        "q044",
        "q054",
        "How do I work on a host without internet, and are the stored files encrypted?",
    ),
    (
        "q047",
        "q050",
        "Under which licence are the models and which database holds the data?",
    ),
    (
        "q051",
        "q055",
        "May the data lie on an NFS share? How do callers authenticate?",
    ),
    (
        "q057",
        "q060",
        "Can the service read scanned paper and can Prometheus scrape metrics?",
    ),
    (
        "q028",
        "q029",
        "How does a search see what was just written, and how do I query the state of last week?",
    ),
    (
        "q045",
        "q003",
        "In which order are the places of weights tried, and on which port does the service listen?",
    ),
    (
        "q014",
        "q036",
        "With which parameters is the graph built and what does the ingest command return when some files fail?",
    ),
    (
        "q009",
        "q021",
        "How many tokens does the embedding model read and how long may a question be?",
    ),
    (
        "q018",
        "q040",
        "How do I search for exact words only, and how do I see where a setting comes from?",
    ),
    (
        "q046",
        "q049",
        "What happens when a weights file was tampered with, and are acknowledged documents lost after kill -9?",
    ),
    (
        "q026",
        "q033",
        "How many members may a list attribute have, and what does an empty id list do in a deletion?",
    ),
    (
        "q013",
        "q002",
        "Which k1 and b does the ranking use and how much do neighbouring chunks overlap?",
    ),
];

#[test]
fn both_documents_of_joined_questions_are_found_more_often() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let groundwork = handbook(home.path());
    let judged = judgments();
    let mut told = Vec::new();
    let mut both_found = |is_apart: bool| {
        let found = JOINED.iter().filter(|(first, second, words)| {
            let found = retrieve(&groundwork, "handbook", &query(words, 5, is_apart));
            let has = |id: &str| {
                found
                    .hits
                    .iter()
                    .any(|hit| judged[id].contains(hit.document_id.as_str()))
            };
            let are_both = has(first) && has(second);
            told.push(format!("{is_apart} {are_both} {words} {:?}", found.transformed_queries));
            are_both
        });
        found.count()
    };
    let (whole, apart) = (both_found(false), both_found(true));
    assert!(
        apart > whole && apart >= 17,
        "{whole} of 20 as they are, {apart} taken apart: {told:#?}"
    );
}
