//! The wire, with the generated client against the real program.

use std::time::{Duration, Instant};

use groundwork::service::pb::ingest_documents_request::Payload;
use groundwork::service::pb::inline_document::Content;
use groundwork::service::pb::retrieve_and_generate_stream_response::Event;
use groundwork::service::pb::{
    BatchRetrieveQuery, BatchRetrieveRequest, DocumentEnd, DocumentOutcome, DocumentStatus, FusionMethod,
    GenerationConfiguration, GetDocumentRequest, InferenceConfiguration, InlineDocument, NearDuplicateConfiguration,
    RetrievalConfiguration, RetrievalQuery, RetrievalResult, RetrieveAndGenerateStreamRequest, RetrieveRequest,
    VectorSearchConfiguration,
};
use tonic::{Code, Request};
use tonic_types::StatusExt as _;

use crate::support::server::{Server, run};
use crate::support::wire::{header, ingest, inline, message, server, start};

fn retrieve(text: &str, number_of_results: u32) -> RetrieveRequest {
    RetrieveRequest {
        knowledge_base_id: "kb".to_owned(),
        retrieval_query: Some(RetrievalQuery { text: text.to_owned() }),
        retrieval_configuration: Some(RetrievalConfiguration {
            vector_search_configuration: Some(VectorSearchConfiguration {
                number_of_results,
                ..VectorSearchConfiguration::default()
            }),
        }),
        ..RetrieveRequest::default()
    }
}

fn ask(text: &str, max_tokens: u32) -> RetrieveAndGenerateStreamRequest {
    RetrieveAndGenerateStreamRequest {
        knowledge_base_id: "kb".to_owned(),
        input: Some(RetrievalQuery { text: text.to_owned() }),
        generation_configuration: Some(GenerationConfiguration {
            inference_configuration: Some(InferenceConfiguration {
                max_tokens: Some(max_tokens),
                ..InferenceConfiguration::default()
            }),
            ..GenerationConfiguration::default()
        }),
        ..RetrieveAndGenerateStreamRequest::default()
    }
}

#[test]
fn documents_in_parts_pass_the_message_limit() {
    run(async {
        let (_home, server) = server().await;
        let line = "The quarry yields slate and the slate is split by hand.\n";
        let size = 5 << 20;
        let content = line.repeat(size / line.len() / 64);
        let padding = " ".repeat(size - content.len());
        let bytes = format!("{content}{padding}").into_bytes();
        let mut messages = vec![start(), message(Payload::DocumentStart(header("large")))];
        messages.extend(
            bytes
                .chunks(1 << 20)
                .map(|part| message(Payload::DocumentPart(part.to_vec()))),
        );
        messages.push(message(Payload::DocumentEnd(DocumentEnd {})));
        messages.push(inline("small", "Slate roofs last a century."));
        let (outcomes, summary) = ingest(&server, messages).await.expect("the stream ends well");
        let statuses: Vec<_> = outcomes.iter().map(DocumentOutcome::status).collect();
        assert_eq!(
            statuses,
            [DocumentStatus::Indexed, DocumentStatus::Indexed],
            "{outcomes:?}"
        );
        assert_eq!(summary.expect("a summary").number_of_new_documents_indexed, 2);
    });
}

#[test]
fn documents_that_cannot_be_are_answered_one_by_one() {
    run(async {
        let (_home, server) = server().await;
        let nameless = message(Payload::Document(InlineDocument {
            header: Some(header("")),
            content: Some(Content::Text("No id.".to_owned())),
        }));
        let contentless = message(Payload::Document(InlineDocument {
            header: Some(header("hollow")),
            content: None,
        }));
        let messages = vec![start(), nameless, contentless, inline("good", "A good document.")];
        let (outcomes, summary) = ingest(&server, messages).await.expect("the stream ends well");
        let failed = DocumentStatus::Failed;
        let statuses: Vec<_> = outcomes.iter().map(DocumentOutcome::status).collect();
        assert_eq!(statuses, [failed, failed, DocumentStatus::Indexed], "{outcomes:?}");
        assert!(outcomes[0].status_reason.contains("id") && !outcomes[1].status_reason.is_empty());
        assert_eq!(summary.expect("a summary").number_of_documents_failed, 2);
    });
}

#[test]
fn refusals_carry_details_for_programs() {
    run(async {
        let (_home, server) = server().await;
        let mut client = server.retrieval().await;
        let status = client
            .retrieve(retrieve("slate", 5000))
            .await
            .expect_err("too many results");
        assert_eq!(status.code(), Code::InvalidArgument);
        let violations = status.get_details_bad_request().expect("a BadRequest").field_violations;
        assert!(violations[0].field.ends_with("number_of_results"), "{violations:?}");
        assert!(violations[0].description.contains("5000"), "{violations:?}");
        let info = status.get_details_error_info().expect("an ErrorInfo");
        assert_eq!(info.domain, "groundwork");
        let mut elsewhere = retrieve("slate", 5);
        elsewhere.knowledge_base_id = "nowhere".to_owned();
        let status = client.retrieve(elsewhere).await.expect_err("no such knowledge base");
        assert_eq!(status.code(), Code::NotFound);
        assert_eq!(
            status
                .get_details_resource_info()
                .expect("a ResourceInfo")
                .resource_name,
            "nowhere"
        );
    });
}

#[test]
fn request_ids_are_echoed_and_made() {
    run(async {
        let (_home, server) = server().await;
        let mut client = server.retrieval().await;
        let mut request = Request::new(retrieve("slate", 5));
        request
            .metadata_mut()
            .insert("x-request-id", "mine-1".parse().expect("ASCII"));
        let response = client.retrieve(request).await.expect("it works");
        assert_eq!(response.metadata().get("x-request-id").expect("an id"), "mine-1");
        let response = client.retrieve(retrieve("slate", 5)).await.expect("it works");
        assert!(!response.metadata().get("x-request-id").expect("an id").is_empty());
    });
}

#[test]
fn deadlines_end_calls_promptly() {
    run(async {
        let (_home, server) = server().await;
        // Reading this much takes the model many times as long as the call may last.
        let facts = "The slate quarry opened in 1824. The slate is split by hand into roof tiles. ".repeat(100);
        ingest(&server, vec![start(), inline("a", &facts)])
            .await
            .expect("it works");
        let mut client = server.retrieval().await;
        let mut request = Request::new(ask("When did the slate quarry open?", 2000));
        request.set_timeout(Duration::from_millis(20));
        let begun = Instant::now();
        let status = match client.retrieve_and_generate_stream(request).await {
            Err(status) => status,
            Ok(response) => {
                let mut stream = response.into_inner();
                loop {
                    match stream.message().await {
                        Ok(Some(_)) => {}
                        Ok(None) => panic!("the answer ended before its deadline"),
                        Err(status) => break status,
                    }
                }
            }
        };
        // The client library itself may say CANCELLED when its own timer fires first.
        assert!(
            matches!(status.code(), Code::DeadlineExceeded | Code::Cancelled),
            "{status:?}"
        );
        assert!(begun.elapsed() < Duration::from_secs(10));
    });
}

#[test]
fn streamed_answers_come_in_order_and_abandoned_ones_free_their_slot() {
    run(async {
        let (_home, server) = server().await;
        let fact = "The slate quarry opened in 1824. The slate is split by hand into roof tiles.";
        ingest(&server, vec![start(), inline("a", fact)])
            .await
            .expect("it works");
        // More answers are abandoned than slots and queue could hold.
        for _ in 0..12 {
            let mut client = server.retrieval().await;
            let request = ask("Tell me about the slate quarry.", 1000);
            let mut stream = client
                .retrieve_and_generate_stream(request)
                .await
                .expect("it starts")
                .into_inner();
            let first = stream.message().await.expect("an event").expect("an event");
            assert!(matches!(first.event, Some(Event::References(_))), "{first:?}");
        }
        let mut client = server.retrieval().await;
        let request = ask("When did the slate quarry open?", 60);
        let mut stream = client
            .retrieve_and_generate_stream(request)
            .await
            .expect("it starts")
            .into_inner();
        let mut kinds = Vec::new();
        while let Some(response) = stream.message().await.expect("no error") {
            kinds.push(match response.event.expect("an event") {
                Event::References(_) => 'r',
                Event::Output(_) => 't',
                Event::Citation(_) => 'c',
                Event::Summary(_) => 's',
            });
        }
        let order: String = kinds.iter().collect();
        assert!(order.starts_with('r') && order.ends_with('s'), "{order}");
        assert_eq!(order.matches('s').count(), 1);
        assert!(order.contains('t'), "{order}");
    });
}

#[test]
fn explanations_and_batches_travel_over_the_wire() {
    run(async {
        let (_home, server) = server().await;
        let messages = vec![
            start(),
            inline("a", "The slate quarry."),
            inline("b", "Slate roofs last a century."),
        ];
        ingest(&server, messages).await.expect("it works");
        let mut client = server.retrieval().await;
        let mut request = retrieve("slate quarry", 2);
        request.explain = true;
        let search = request
            .retrieval_configuration
            .as_mut()
            .and_then(|it| it.vector_search_configuration.as_mut());
        let search = search.expect("it is set");
        search.fusion = FusionMethod::ReciprocalRank.into();
        search.near_duplicates = Some(NearDuplicateConfiguration::default());
        let found = client.retrieve(request.clone()).await.expect("it works").into_inner();
        assert_eq!(found.retrieval_results.len(), 2);
        for result in &found.retrieval_results {
            let explanation = result.explanation.as_ref().expect("it was asked for");
            assert_eq!(explanation.fusion(), FusionMethod::ReciprocalRank);
            let sum: f64 = explanation.legs.iter().map(|leg| leg.contribution).sum();
            assert!((sum - result.score).abs() < 1e-12);
            assert!(!result.highlights.is_empty(), "{result:?}");
        }
        let query = |text: &str| BatchRetrieveQuery {
            retrieval_query: Some(RetrievalQuery { text: text.to_owned() }),
            retrieval_configuration: request.retrieval_configuration.clone(),
            explain: true,
        };
        let batch = BatchRetrieveRequest {
            knowledge_base_id: "kb".to_owned(),
            queries: vec![query(""), query("slate quarry")],
            ..BatchRetrieveRequest::default()
        };
        let batch = client.batch_retrieve(batch).await.expect("one good query").into_inner();
        assert_eq!(
            batch.results[0].error.as_ref().map(|error| error.code),
            Some(Code::InvalidArgument as i32)
        );
        let ids = |results: &[RetrievalResult]| results.iter().map(|it| it.chunk_id.clone()).collect::<Vec<_>>();
        assert_eq!(ids(&batch.results[1].retrieval_results), ids(&found.retrieval_results));
        let none = client.batch_retrieve(BatchRetrieveRequest {
            knowledge_base_id: "kb".to_owned(),
            ..BatchRetrieveRequest::default()
        });
        assert_eq!(none.await.expect_err("it is empty").code(), Code::InvalidArgument);
    });
}

#[test]
fn acknowledged_documents_outlive_a_graceful_end() {
    run(async {
        let (home, server) = server().await;
        ingest(&server, vec![start(), inline("a", "Alpha.")])
            .await
            .expect("it works");
        assert!(server.terminate(), "it ends with success");
        let server = Server::start(home.path());
        let request = GetDocumentRequest {
            knowledge_base_id: "kb".to_owned(),
            document_id: "a".to_owned(),
            include_text: true,
            ..GetDocumentRequest::default()
        };
        let found = server
            .documents()
            .await
            .get_document(request)
            .await
            .expect("it is there")
            .into_inner();
        assert_eq!(found.text, "Alpha.");
    });
}
