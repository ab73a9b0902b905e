//! Reranking by late interaction: in searches, explained, and of texts that the caller brings.

use std::sync::Arc;

use groundwork::document::DocumentId;
use groundwork::embed::{self, Embedder, Embedding, HashingEmbedder, Purpose, TokenVectors};
use groundwork::knowledge_base::{
    Error, ErrorKind, Groundwork, MissingQuestion, MissingStage, ProvidedModels, ReadAt, RerankQuestion, Retrieval,
    SuggestedChange,
};
use groundwork::retrieve::{Options, Query, Rerank, SearchType};
use groundwork::service::pb;
use groundwork::worker::Cancel;
use tonic::Code;

use crate::support::server::run;
use crate::support::wire::{inline, server, start};
use crate::support::{DIMENSIONS, ingest, named, scripted, settings, text, with_base};

/// An embedder whose tokens are words as they are written, each with the hashed vector of itself.
struct Words(HashingEmbedder);

impl Embedder for Words {
    fn model_id(&self) -> &'static str {
        "words"
    }

    fn dimensions(&self) -> usize {
        self.0.dimensions()
    }

    fn max_tokens(&self) -> usize {
        self.0.max_tokens()
    }

    fn count_tokens(&self, text: &str) -> usize {
        self.0.count_tokens(text)
    }

    fn embed(&self, texts: &[&str], purpose: Purpose, cancel: &Cancel) -> Result<Vec<Embedding>, embed::Error> {
        self.0.embed(texts, purpose, cancel)
    }

    fn token_vectors(&self, text: &str, purpose: Purpose, cancel: &Cancel) -> Result<TokenVectors, embed::Error> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let vectors = self.embed(&words, purpose, cancel)?;
        let ranks = (0..words.len() as u32).collect();
        let values: Vec<f32> = vectors.into_iter().flat_map(Embedding::into_vec).collect();
        TokenVectors::normalized(ranks, self.dimensions(), &values)
    }
}

/// Opens a knowledge base whose best hit by keywords is not the best by words as they are written.
fn lighthouses() -> (tempfile::TempDir, Groundwork) {
    let home = tempfile::tempdir().expect("a temporary directory");
    let mut settings = settings(home.path());
    "words".clone_into(&mut settings.embedding_model_id);
    let provided = ProvidedModels {
        embedders: vec![Arc::new(Words(HashingEmbedder::new(DIMENSIONS)))],
        language_models: vec![scripted(&[])],
    };
    let groundwork = Groundwork::open_with(settings, provided).expect("the data directory opens");
    groundwork
        .create_knowledge_base(&named("kb"))
        .expect("a knowledge base");
    let mut documents = vec![
        text("forms", "lighthouse lighthouse lighthouse harbour"),
        text(
            "written",
            "two lighthouses stand where the old harbour was before the sea took all of its walls and boats",
        ),
        text("boats", "all boats of the harbour"),
    ];
    documents.extend((0..5).map(|at| text(&format!("filler-{at}"), &format!("bread number {at} needs flour"))));
    ingest(&groundwork, documents);
    (home, groundwork)
}

fn query(limit: usize, rerank: Option<Rerank>) -> Query {
    Query {
        limit,
        search_type: SearchType::Keyword,
        explain: true,
        options: Options {
            rerank,
            ..Options::default()
        },
        ..Query::new("lighthouses harbour")
    }
}

fn retrieve(groundwork: &Groundwork, query: &Query) -> Retrieval {
    groundwork
        .retrieve("kb", query, ReadAt::default(), &Cancel::new())
        .expect("the search works")
}

fn documents(found: &Retrieval) -> Vec<&str> {
    found.hits.iter().map(|hit| hit.document_id.as_str()).collect()
}

#[test]
fn reranking_orders_by_the_closer_look() {
    let (_home, groundwork) = lighthouses();
    let plain = retrieve(&groundwork, &query(3, None));
    assert_eq!(documents(&plain)[0], "forms");
    let reranked = retrieve(&groundwork, &query(3, Some(Rerank::default())));
    assert_eq!(documents(&reranked)[0], "written");
    assert!(reranked.times.rerank > std::time::Duration::ZERO);
    for search_type in [SearchType::Hybrid, SearchType::Semantic, SearchType::Keyword] {
        for count in [None, Some(1), Some(2), Some(100)] {
            let query = Query {
                search_type,
                ..query(3, Some(Rerank { count, weight: 0.7 }))
            };
            let found = retrieve(&groundwork, &query);
            assert_eq!(found.hits.len(), 3);
            assert!(found.hits.is_sorted_by(|left, right| left.score >= right.score));
            for (place, hit) in (1..).zip(&found.hits) {
                let explanation = hit.explanation.as_ref().expect("it was asked for");
                let effect = explanation.rerank.expect("it was reranked");
                assert_eq!((effect.place, effect.place_before), (place, explanation.fused_rank));
                assert!((effect.score - hit.score).abs() < 1e-12);
                let looked_at = effect.place_before as usize <= count.unwrap_or(10);
                assert_eq!(effect.relevance.is_some(), looked_at);
            }
            // The second time vectors of tokens are there already.
            let again = retrieve(&groundwork, &query);
            assert_eq!(found.hits, again.hits);
        }
    }
}

#[test]
fn document_that_reranking_moved_out_is_told() {
    let (_home, groundwork) = lighthouses();
    let question = MissingQuestion {
        query: query(1, Some(Rerank::default())),
        document_id: DocumentId::parse("forms").expect("it is valid"),
        chunk_id: None,
        at: ReadAt::default(),
    };
    let missing = groundwork.explain_missing("kb", &question, &Cancel::new());
    let missing = missing.expect("it can be explained");
    assert_eq!(missing.stage, MissingStage::Reranked, "{missing:?}");
    assert!(missing.reason.contains("from place 1 to place"), "{}", missing.reason);
    let effect = missing.rerank.expect("it was reranked");
    assert!(effect.place_before == 1 && effect.place > 1);
    let [suggestion] = &missing.suggestions[..] else {
        panic!("one change is enough: {missing:?}");
    };
    assert!(suggestion.field.ends_with(".reranking_configuration"));
    assert_eq!(suggestion.change, SuggestedChange::Remove);
}

#[track_caller]
fn check_refused<T: std::fmt::Debug>(result: Result<T, Error>, kind: ErrorKind, part: &str) {
    let error = result.expect_err("it cannot be");
    assert!(error.kind == kind && error.message.contains(part), "{error:?}");
}

#[test]
fn model_without_token_vectors_is_named() {
    let (_home, groundwork) = with_base(&[]);
    let kind = ErrorKind::FailedPrecondition;
    let reranked = query(3, Some(Rerank::default()));
    let found = groundwork.retrieve("kb", &reranked, ReadAt::default(), &Cancel::new());
    check_refused(found, kind, "`hashing`");
    let question = RerankQuestion {
        query: "words".to_owned(),
        sources: vec!["words".to_owned()],
        limit: None,
        model_id: String::new(),
    };
    check_refused(groundwork.rerank(&question, &Cancel::new()), kind, "`hashing`");
}

#[test]
fn texts_beyond_the_limits_are_refused() {
    #[track_caller]
    fn check(groundwork: &Groundwork, query: &str, sources: Vec<String>, limit: Option<usize>, part: &str) {
        let question = RerankQuestion {
            query: query.to_owned(),
            sources,
            limit,
            model_id: String::new(),
        };
        let refused = groundwork.rerank(&question, &Cancel::new());
        check_refused(refused, ErrorKind::InvalidRequest, part);
    }
    let (_home, groundwork) = lighthouses();
    let one = || vec!["one".to_owned()];
    check(&groundwork, " ", one(), None, "no words");
    check(&groundwork, &"x".repeat(20_001), one(), None, "20001");
    check(&groundwork, "x", Vec::new(), None, "not 0");
    check(&groundwork, "x", vec![String::new(); 1_001], None, "not 1001");
    check(&groundwork, "x", vec!["x".repeat(32_001)], None, "32001");
    check(&groundwork, "x", vec!["x".repeat(31_000); 140], None, "4340000");
    check(&groundwork, "x", one(), Some(0), "not 0");
}

fn rerank_request(queries: &[&str], sources: &[&str], number_of_results: u32) -> pb::RerankRequest {
    let document = |text: &&str| pb::RerankTextDocument {
        text: (*text).to_owned(),
    };
    let query = |text| pb::RerankQuery {
        text_query: Some(document(text)),
    };
    let source = |text| pb::RerankSource {
        text_document: Some(document(text)),
    };
    pb::RerankRequest {
        queries: queries.iter().map(query).collect(),
        sources: sources.iter().map(source).collect(),
        number_of_results,
        model_id: String::new(),
    }
}

const TEXTS: [&str; 3] = [
    "Bread needs flour, water, salt and time.",
    "The lighthouse on the northern cape is forty metres tall.",
    "The harbour wall was built in 1871.",
];

#[test]
fn texts_are_reranked_over_the_wire() {
    run(async {
        let (_home, server) = server().await;
        let mut client = server.retrieval().await;
        let request = rerank_request(&["how high is the lighthouse"], &TEXTS, 0);
        let response = client.rerank(request).await.expect("it works").into_inner();
        assert_eq!(response.model_id, "all-minilm-l6-v2");
        let scores: Vec<f64> = response.results.iter().map(|result| result.relevance_score).collect();
        assert_eq!((response.results.len(), response.results[0].index), (3, 1));
        assert!(
            scores.is_sorted_by(|left, right| left >= right) && scores[0] <= 1.0,
            "{scores:?}"
        );
        let request = rerank_request(&["bread"], &TEXTS, 1);
        let response = client.rerank(request).await.expect("it works").into_inner();
        assert_eq!((response.results.len(), response.results[0].index), (1, 0));
        for queries in [&[][..], &["one", "two"]] {
            let refused = client.rerank(rerank_request(queries, &TEXTS, 0)).await;
            assert_eq!(refused.expect_err("one is asked for").code(), Code::InvalidArgument);
        }
        let mut unknown = rerank_request(&["bread"], &TEXTS, 0);
        unknown.model_id = "nobody".to_owned();
        let refused = client.rerank(unknown).await.expect_err("there is none");
        assert_eq!(refused.code(), Code::NotFound);
    });
}

#[test]
fn searches_are_reranked_over_the_wire() {
    run(async {
        let (_home, server) = server().await;
        let mut messages = vec![start()];
        messages.extend((0..).zip(TEXTS).map(|(at, text)| inline(&format!("d{at}"), text)));
        crate::support::wire::ingest(&server, messages)
            .await
            .expect("they are taken");
        let request = |reranking_configuration| pb::RetrieveRequest {
            knowledge_base_id: "kb".to_owned(),
            retrieval_query: Some(pb::RetrievalQuery {
                text: "how high is the lighthouse".to_owned(),
            }),
            retrieval_configuration: Some(pb::RetrievalConfiguration {
                vector_search_configuration: Some(pb::VectorSearchConfiguration {
                    reranking_configuration,
                    ..pb::VectorSearchConfiguration::default()
                }),
            }),
            explain: true,
            ..pb::RetrieveRequest::default()
        };
        let mut client = server.retrieval().await;
        let plain = client.retrieve(request(None)).await.expect("it works").into_inner();
        assert_eq!(plain.metrics.expect("they are told").rerank_micros, 0);
        let wanted = pb::RerankingConfiguration {
            number_of_reranked_results: 2,
            ..pb::RerankingConfiguration::default()
        };
        let found = client
            .retrieve(request(Some(wanted)))
            .await
            .expect("it works")
            .into_inner();
        assert!(found.metrics.expect("they are told").rerank_micros > 0);
        let results = &found.retrieval_results;
        assert_eq!((results.len(), results[0].document_id.as_str()), (3, "d1"));
        assert!(results.is_sorted_by(|left, right| left.score >= right.score));
        let effect = |at: usize| results[at].explanation.as_ref().and_then(|it| it.rerank);
        let first = effect(0).expect("it was reranked");
        assert!(first.relevance.is_some_and(|relevance| relevance > 0.3), "{first:?}");
        assert_eq!(effect(2).expect("it is told").relevance, None);
    });
}
