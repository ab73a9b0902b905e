//! A server killed at any instant of an ingestion opens again on a whole epoch, with every acknowledged document.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use groundwork::service::pb::ingest_documents_request::Payload;
use groundwork::service::pb::inline_document::Content;
use groundwork::service::pb::{
    CreateKnowledgeBaseRequest, DocumentHeader, DocumentStatus, GetDocumentRequest, IngestDocumentsRequest,
    IngestStart, InlineDocument, ListDocumentsRequest, RetrievalConfiguration, RetrievalQuery, RetrieveRequest,
    SearchType, VectorSearchConfiguration, ingest_documents_response,
};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use crate::support::server::{Server, run};

const KILLS: usize = 50;
/// Documents that a round offers: more than are taken before the kill.
const DOCUMENTS_A_ROUND: usize = 60;
/// One in this many documents replaces an earlier one.
const REPLACEMENT_SHARE: u32 = 4;

/// What must be there: the last acknowledged version of each document, and those that were sent after it.
#[derive(Default)]
struct Expected {
    acknowledged: BTreeMap<String, u32>,
    sent: BTreeMap<String, u32>,
}

fn content(id: &str, version: u32) -> String {
    format!("Logbook {id} in its version{version} tells of the voyage.")
}

fn request(payload: Payload) -> IngestDocumentsRequest {
    IngestDocumentsRequest { payload: Some(payload) }
}

#[test]
fn killed_ingestion_opens_on_a_whole_epoch() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let mut random = StdRng::seed_from_u64(20_260_822);
    let mut expected = Expected::default();
    let server = Server::start(home.path());
    run(async {
        let request = CreateKnowledgeBaseRequest {
            name: "log".to_owned(),
            ..CreateKnowledgeBaseRequest::default()
        };
        server
            .knowledge_bases()
            .await
            .create_knowledge_base(request)
            .await
            .expect("it is new");
    });
    server.kill();
    let mut kills_with_acknowledgements = 0;
    for round in 0..KILLS {
        let server = Server::start(home.path());
        run(verify(&server, &expected));
        let before = expected.acknowledged.clone();
        let delay = Duration::from_millis(random.random_range(0..700));
        let documents = plan(&mut random, &expected, round);
        run(ingest_for(&server, documents, delay, &mut expected));
        server.kill();
        kills_with_acknowledgements += usize::from(before != expected.acknowledged);
    }
    assert!(
        kills_with_acknowledgements > KILLS / 4,
        "only {kills_with_acknowledgements} of {KILLS} kills came after an acknowledgement: the test tests little"
    );
    let server = Server::start(home.path());
    run(verify(&server, &expected));
}

/// Ids and versions of the documents of a round: new ones, and new versions of earlier ones.
fn plan(random: &mut StdRng, expected: &Expected, round: usize) -> Vec<(String, u32)> {
    let earlier: Vec<String> = expected.sent.keys().cloned().collect();
    let mut documents = Vec::new();
    for at in 0..DOCUMENTS_A_ROUND {
        let replaces = !earlier.is_empty() && random.random_ratio(1, REPLACEMENT_SHARE);
        let id = if replaces {
            earlier[random.random_range(0..earlier.len())].clone()
        } else {
            format!("r{round:02}d{at:02}")
        };
        let version = expected.sent.get(&id).map_or(1, |version| version + 1);
        if !documents.iter().any(|(known, _)| *known == id) {
            documents.push((id, version));
        }
    }
    documents
}

/// Sends documents and gathers acknowledgements until the time is over.
async fn ingest_for(server: &Server, documents: Vec<(String, u32)>, time: Duration, expected: &mut Expected) {
    let (sender, receiver) = tokio::sync::mpsc::channel(4);
    let versions: BTreeMap<String, u32> = documents.iter().cloned().collect();
    let mut client = server.documents().await;
    let sending = async {
        let start = IngestStart {
            knowledge_base_id: "log".to_owned(),
            ..IngestStart::default()
        };
        let _ = sender.send(request(Payload::Start(start))).await;
        let mut sent = Vec::new();
        for (id, version) in documents {
            let document = InlineDocument {
                header: Some(DocumentHeader {
                    document_id: id.clone(),
                    mime_type: "text/plain".to_owned(),
                    ..DocumentHeader::default()
                }),
                content: Some(Content::Text(content(&id, version))),
            };
            sent.push((id, version));
            if sender.send(request(Payload::Document(document))).await.is_err() {
                break;
            }
            // A slow writer makes for several commits, so that kills fall between them.
            tokio::time::sleep(Duration::from_millis(8)).await;
        }
        expected.sent.extend(sent);
        std::future::pending::<()>().await;
    };
    let mut acknowledged = Vec::new();
    let receiving = async {
        let stream = tokio_stream::wrappers::ReceiverStream::new(receiver);
        let mut outcomes = client
            .ingest_documents(stream)
            .await
            .expect("the stream opens")
            .into_inner();
        while let Ok(Some(message)) = outcomes.message().await {
            if let Some(ingest_documents_response::Payload::Outcome(outcome)) = message.payload {
                assert_eq!(outcome.status(), DocumentStatus::Indexed, "{}", outcome.status_reason);
                acknowledged.push(outcome.document_id);
            }
        }
    };
    // What was sent counts even when the time is over in the middle of a send.
    let _ = tokio::time::timeout(time, async { tokio::join!(sending, receiving) }).await;
    for (id, version) in &versions {
        expected.sent.insert(id.clone(), *version);
    }
    for id in acknowledged {
        let version = versions[&id];
        expected.acknowledged.insert(id, version);
    }
}

/// Checks that store and both legs agree, and that nothing acknowledged is lost.
async fn verify(server: &Server, expected: &Expected) {
    let listed = list(server).await;
    for id in expected.acknowledged.keys() {
        assert!(listed.contains(id), "{id} was acknowledged and is gone");
    }
    let by_keyword = search(server, "logbook voyage", SearchType::Keyword).await;
    let by_vector = search(server, "logbook voyage", SearchType::Semantic).await;
    let ids = |hits: &BTreeMap<String, Vec<String>>| hits.keys().cloned().collect::<BTreeSet<_>>();
    assert_eq!(ids(&by_keyword), listed, "keyword leg and store disagree");
    assert_eq!(ids(&by_vector), listed, "dense leg and store disagree");
    assert_eq!(by_keyword, by_vector, "the legs show other texts");
    let mut documents = server.documents().await;
    for (id, texts) in &by_keyword {
        assert_eq!(texts.len(), 1, "{id} shows an old and a new version");
        let acknowledged = expected.acknowledged.get(id).copied().unwrap_or(0);
        let sent = expected.sent[id];
        assert!(
            (acknowledged.max(1)..=sent).any(|version| texts[0] == content(id, version)),
            "{id} shows `{}`, acknowledged is version {acknowledged}, sent version {sent}",
            texts[0]
        );
    }
    // The store's own word for a few.
    for id in listed.iter().take(3) {
        let request = GetDocumentRequest {
            knowledge_base_id: "log".to_owned(),
            document_id: id.clone(),
            include_text: true,
            ..GetDocumentRequest::default()
        };
        let found = documents
            .get_document(request)
            .await
            .expect("it is listed")
            .into_inner();
        assert_eq!(vec![found.text], by_keyword[id]);
    }
}

async fn list(server: &Server) -> BTreeSet<String> {
    let mut client = server.documents().await;
    let mut ids = BTreeSet::new();
    let mut page_token = String::new();
    loop {
        let request = ListDocumentsRequest {
            knowledge_base_id: "log".to_owned(),
            page_size: 1000,
            page_token,
            ..ListDocumentsRequest::default()
        };
        let page = client.list_documents(request).await.expect("a page").into_inner();
        ids.extend(page.documents.into_iter().map(|document| document.document_id));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return ids;
        }
    }
}

/// All hits of a query: texts by document.
async fn search(server: &Server, text: &str, search_type: SearchType) -> BTreeMap<String, Vec<String>> {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let request = RetrieveRequest {
        knowledge_base_id: "log".to_owned(),
        retrieval_query: Some(RetrievalQuery { text: text.to_owned() }),
        retrieval_configuration: Some(RetrievalConfiguration {
            vector_search_configuration: Some(VectorSearchConfiguration {
                number_of_results: 1000,
                override_search_type: search_type.into(),
                ..VectorSearchConfiguration::default()
            }),
        }),
        ..RetrieveRequest::default()
    };
    let response = server
        .retrieval()
        .await
        .retrieve(request)
        .await
        .expect("the search works")
        .into_inner();
    assert!(
        response.retrieval_results.len() < 1000,
        "more documents than a search can show"
    );
    for result in response.retrieval_results {
        let text = result.content.expect("a hit has content").text;
        found.entry(result.document_id).or_default().push(text);
    }
    found
}
