//! Epochs, revisions, contents, erasure and upkeep on the wire, with the generated client against the real program.

use groundwork::service::pb::retrieval_filter::Condition;
use groundwork::service::pb::{
    CheckKnowledgeBaseRequest, CheckSummary, CreateKnowledgeBaseRequest, DeleteDocumentsRequest,
    DiffKnowledgeBaseRequest, DifferenceKind, DifferenceSummary, DocumentDifference, DocumentStatus, Epoch,
    EraseDocumentsRequest, ErasureCertificate, ErasureSummary, FilterAttribute, GetDocumentContentRequest,
    GetDocumentContentResponse, GetDocumentRequest, GetKnowledgeBaseRequest, IngestDocumentsRequest, IngestStart,
    ListDocumentsRequest, ListEpochsRequest, ListRevisionsRequest, MetadataValue, OriginalContent, PinEpochRequest,
    RetentionConfiguration, RetrievalFilter, RetrievalQuery, RetrieveRequest, RollbackKnowledgeBaseRequest,
    UnpinEpochRequest, UpdateKnowledgeBaseRequest, VacuumKnowledgeBaseRequest, VacuumSummary, VerifyErasureRequest,
    check_knowledge_base_response, diff_knowledge_base_response, erase_documents_response, ingest_documents_request,
    metadata_value, vacuum_knowledge_base_response, verify_erasure_response,
};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::support::server::{Server, run};
use crate::support::wire::{header, ingest, inline, message, server, start};

const KB: &str = "kb";
const NINE: &str = "The ferry leaves at nine.";
const ELEVEN: &str = "The ferry leaves at eleven.";

fn kb() -> String {
    KB.to_owned()
}

/// Ingests these texts in one stream.
async fn put(server: &Server, documents: &[(&str, &str)]) {
    let messages = documents.iter().map(|(id, text)| inline(id, text));
    let (outcomes, _) = ingest(server, std::iter::once(start()).chain(messages).collect())
        .await
        .expect("the stream ends well");
    assert!(
        outcomes
            .iter()
            .all(|outcome| outcome.status() == DocumentStatus::Indexed),
        "{outcomes:?}"
    );
}

/// A server whose `kb` has three epochs: a ferry at nine, at eleven with a second document, and without that one.
async fn with_history() -> (tempfile::TempDir, Server) {
    let (home, server) = server().await;
    put(&server, &[("ferry", NINE)]).await;
    put(&server, &[("ferry", ELEVEN), ("tide", "High water comes twice a day.")]).await;
    let delete = DeleteDocumentsRequest {
        knowledge_base_id: kb(),
        document_ids: vec!["tide".to_owned()],
        ..DeleteDocumentsRequest::default()
    };
    let deleted = server.documents().await.delete_documents(delete).await;
    let deleted = deleted.expect("it works").into_inner();
    assert_eq!((deleted.epoch, deleted.deleted_document_count), (3, 1));
    assert!(deleted.deleted_chunk_count > 0);
    (home, server)
}

/// Checks the code and the reason of a refusal.
#[track_caller]
fn refused<T: std::fmt::Debug>(result: Result<T, Status>, code: Code, reason: &str) -> Status {
    let status = result.expect_err(reason);
    let details = status.get_error_details();
    let found = details.error_info().map(|info| info.reason.clone()).unwrap_or_default();
    assert_eq!((status.code(), found.as_str()), (code, reason), "{status:?}");
    status
}

/// Checks that a refusal names these fields.
#[track_caller]
fn refused_fields<T: std::fmt::Debug>(result: Result<T, Status>, fields: &[&str]) {
    let status = refused(result, Code::InvalidArgument, "INVALID_FIELD");
    let details = status.get_error_details();
    let violations = details.bad_request().map(|it| it.field_violations.clone());
    let found: Vec<String> = violations
        .unwrap_or_default()
        .into_iter()
        .map(|violation| violation.field)
        .collect();
    assert_eq!(found, fields);
}

async fn epochs(server: &Server, pinned_only: bool) -> Vec<Epoch> {
    let mut client = server.knowledge_bases().await;
    let mut all = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = ListEpochsRequest {
            knowledge_base_id: kb(),
            pinned_only,
            page_size: 2,
            page_token,
        };
        let page = client.list_epochs(request).await.expect("it works").into_inner();
        all.extend(page.epochs);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return all;
        }
    }
}

async fn found_at(server: &Server, request: RetrieveRequest) -> Result<Vec<String>, Status> {
    let request = RetrieveRequest {
        knowledge_base_id: kb(),
        retrieval_query: Some(RetrievalQuery {
            text: "when does the ferry leave".to_owned(),
        }),
        ..request
    };
    let found = server.retrieval().await.retrieve(request).await?.into_inner();
    let text = |result: groundwork::service::pb::RetrievalResult| result.content.map(|content| content.text);
    Ok(found.retrieval_results.into_iter().filter_map(text).collect())
}

#[test]
fn epochs_are_listed_newest_first_and_read_by_number_and_time() {
    run(async {
        let (_home, server) = with_history().await;
        let listed = epochs(&server, false).await;
        let numbers: Vec<u64> = listed
            .iter()
            .map(|epoch| epoch.epoch)
            .filter(|epoch| *epoch > 0)
            .collect();
        assert_eq!(numbers, [3, 2, 1]);
        let counts: Vec<u64> = listed.iter().take(3).map(|epoch| epoch.document_count).collect();
        assert_eq!(counts, [1, 2, 1]);
        assert_eq!(listed[0].cause, "delete");
        let at = |as_of_epoch| RetrieveRequest {
            as_of_epoch,
            ..RetrieveRequest::default()
        };
        assert_eq!(found_at(&server, at(1)).await.expect("it works"), [NINE]);
        let at_time = RetrieveRequest {
            as_of_time: listed[1].committed_at,
            ..RetrieveRequest::default()
        };
        let then = found_at(&server, at_time.clone()).await.expect("it works");
        assert_eq!(then.len(), 2, "{then:?}");
        refused(
            found_at(&server, at(99)).await,
            Code::FailedPrecondition,
            "EPOCH_NOT_PUBLISHED",
        );
        let both = RetrieveRequest {
            as_of_epoch: 1,
            ..at_time
        };
        refused_fields(found_at(&server, both).await, &["as_of_epoch", "as_of_time"]);
    });
}

#[test]
fn documents_and_counts_are_those_of_the_epoch() {
    run(async {
        let (_home, server) = with_history().await;
        let mut documents = server.documents().await;
        let get = GetDocumentRequest {
            knowledge_base_id: kb(),
            document_id: "ferry".to_owned(),
            include_text: true,
            as_of_epoch: 1,
            ..GetDocumentRequest::default()
        };
        let then = documents.get_document(get).await.expect("it was there").into_inner();
        assert_eq!((then.text.as_str(), then.epoch), (NINE, 1));
        let list = |as_of_epoch| ListDocumentsRequest {
            knowledge_base_id: kb(),
            as_of_epoch,
            ..ListDocumentsRequest::default()
        };
        let page = documents.list_documents(list(2)).await.expect("it works").into_inner();
        let ids: Vec<&str> = page.documents.iter().map(|it| it.document_id.as_str()).collect();
        assert_eq!((ids, page.epoch), (vec!["ferry", "tide"], 2));
        let describe = |as_of_epoch| GetKnowledgeBaseRequest {
            knowledge_base_id: kb(),
            as_of_epoch,
            min_epoch: 1,
            ..GetKnowledgeBaseRequest::default()
        };
        let mut knowledge_bases = server.knowledge_bases().await;
        for (as_of_epoch, documents) in [(0, 1), (2, 2), (1, 1)] {
            let described = knowledge_bases.get_knowledge_base(describe(as_of_epoch)).await;
            let described = described.expect("it is there").into_inner().knowledge_base;
            let described = described.expect("a description");
            assert_eq!(described.document_count, documents, "as of {as_of_epoch}");
            assert!(described.storage_statistics.expect("it is asked for").store_bytes > 0);
        }
    });
}

#[test]
fn pins_name_epochs_until_they_are_removed() {
    run(async {
        let (_home, server) = with_history().await;
        let mut client = server.knowledge_bases().await;
        let pin = |name: &str, epoch| PinEpochRequest {
            knowledge_base_id: kb(),
            pin_name: name.to_owned(),
            epoch,
        };
        let unpin = |name: &str| UnpinEpochRequest {
            knowledge_base_id: kb(),
            pin_name: name.to_owned(),
        };
        let pinned = client
            .pin_epoch(pin("spring", 1))
            .await
            .expect("it is new")
            .into_inner();
        assert_eq!(
            pinned.epoch.map(|epoch| epoch.pin_names),
            Some(vec!["spring".to_owned()])
        );
        client
            .pin_epoch(pin("spring", 1))
            .await
            .expect("it stands for the same");
        let newest = client.pin_epoch(pin("now", 0)).await.expect("it is new").into_inner();
        assert_eq!(newest.epoch.map(|epoch| epoch.epoch), Some(3));
        refused(
            client.pin_epoch(pin("spring", 2)).await,
            Code::AlreadyExists,
            "PIN_NAME_TAKEN",
        );
        refused(
            client.pin_epoch(pin("later", 9)).await,
            Code::FailedPrecondition,
            "EPOCH_NOT_PUBLISHED",
        );
        refused_fields(client.pin_epoch(pin("no/name", 1)).await, &["pin_name"]);
        let numbers: Vec<u64> = epochs(&server, true).await.iter().map(|epoch| epoch.epoch).collect();
        assert_eq!(numbers, [3, 1]);
        let removed = client.unpin_epoch(unpin("spring")).await.expect("it is there");
        assert_eq!(removed.into_inner().epoch, 1);
        refused(client.unpin_epoch(unpin("spring")).await, Code::NotFound, "NOT_FOUND");
    });
}

async fn differences(
    server: &Server,
    request: DiffKnowledgeBaseRequest,
) -> (Vec<DocumentDifference>, DifferenceSummary) {
    use diff_knowledge_base_response::Payload;
    let request = DiffKnowledgeBaseRequest {
        knowledge_base_id: kb(),
        ..request
    };
    let mut client = server.knowledge_bases().await;
    let mut messages = client
        .diff_knowledge_base(request)
        .await
        .expect("it begins")
        .into_inner();
    let mut differences = Vec::new();
    loop {
        let message = messages
            .message()
            .await
            .expect("it goes on")
            .expect("a summary ends it");
        match message.payload {
            Some(Payload::Difference(difference)) => differences.push(difference),
            Some(Payload::Summary(summary)) => {
                assert!(messages.message().await.expect("it ends well").is_none());
                return (differences, summary);
            }
            None => panic!("an empty message"),
        }
    }
}

#[test]
fn differences_stream_by_document_with_totals() {
    run(async {
        let (_home, server) = with_history().await;
        let request = DiffKnowledgeBaseRequest {
            from_epoch: 1,
            to_epoch: 2,
            include_chunks: true,
            ..DiffKnowledgeBaseRequest::default()
        };
        let (found, summary) = differences(&server, request.clone()).await;
        let kinds: Vec<_> = found.iter().map(|it| (it.document_id.as_str(), it.kind())).collect();
        assert_eq!(
            kinds,
            [("ferry", DifferenceKind::Changed), ("tide", DifferenceKind::Added)]
        );
        let mut texts: Vec<_> = found[0].chunks.iter().map(|it| (it.kind(), it.text.as_str())).collect();
        texts.sort_by_key(|(kind, _)| *kind);
        assert_eq!(
            texts,
            [(DifferenceKind::Added, ELEVEN), (DifferenceKind::Removed, NINE)]
        );
        assert_eq!((summary.added_document_count, summary.changed_document_count), (1, 1));
        let paged = DiffKnowledgeBaseRequest {
            page_size: 1,
            include_chunks: false,
            ..request
        };
        let (first, summary) = differences(&server, paged.clone()).await;
        assert_eq!((first.len(), first[0].chunks.len()), (1, 0));
        assert_eq!((first[0].added_chunk_count, first[0].removed_chunk_count), (1, 1));
        assert_eq!(
            (summary.added_document_count, summary.changed_document_count),
            (0, 1),
            "of the page"
        );
        let rest = DiffKnowledgeBaseRequest {
            page_token: summary.next_page_token,
            ..paged
        };
        let (second, summary) = differences(&server, rest).await;
        assert_eq!(second[0].document_id, "tide");
        assert!(summary.next_page_token.is_empty(), "{summary:?}");
        assert_eq!(
            (summary.added_document_count, summary.changed_document_count),
            (1, 0),
            "of the page"
        );
        let (removed, summary) = differences(
            &server,
            DiffKnowledgeBaseRequest {
                from_epoch: 2,
                ..DiffKnowledgeBaseRequest::default()
            },
        )
        .await;
        assert_eq!(removed[0].kind(), DifferenceKind::Removed);
        assert_eq!((summary.from_epoch, summary.to_epoch), (2, 3));
    });
}

#[test]
fn rollback_brings_earlier_documents_back() {
    run(async {
        let (_home, server) = with_history().await;
        let mut client = server.knowledge_bases().await;
        let to = |to_epoch, name: &str, dry_run| RollbackKnowledgeBaseRequest {
            knowledge_base_id: kb(),
            to_epoch,
            to_pin_name: name.to_owned(),
            dry_run,
        };
        let would = client
            .rollback_knowledge_base(to(Some(2), "", true))
            .await
            .expect("it could");
        assert_eq!(would.into_inner().restored_document_count, 1);
        let now = RetrieveRequest::default;
        assert_eq!(found_at(&server, now()).await.expect("it works"), [ELEVEN]);
        let pin = PinEpochRequest {
            knowledge_base_id: kb(),
            pin_name: "nine".to_owned(),
            epoch: 1,
        };
        client.pin_epoch(pin).await.expect("it is new");
        let done = client
            .rollback_knowledge_base(to(None, "nine", false))
            .await
            .expect("it works")
            .into_inner();
        assert_eq!((done.epoch, done.to_epoch), (4, 1));
        assert_eq!(found_at(&server, now()).await.expect("it works"), [NINE]);
        let back = client
            .rollback_knowledge_base(to(Some(3), "", false))
            .await
            .expect("a rollback can be rolled back")
            .into_inner();
        assert_eq!(back.epoch, 5);
        assert_eq!(found_at(&server, now()).await.expect("it works"), [ELEVEN]);
        assert_eq!(epochs(&server, false).await[0].cause, "rollback to 3");
        refused_fields(client.rollback_knowledge_base(to(None, "", false)).await, &["to_epoch"]);
        let both = client.rollback_knowledge_base(to(Some(1), "nine", false)).await;
        refused_fields(both, &["to_epoch", "to_pin_name"]);
        refused(
            client.rollback_knowledge_base(to(None, "ten", false)).await,
            Code::NotFound,
            "NOT_FOUND",
        );
    });
}

async fn content(
    server: &Server,
    request: GetDocumentContentRequest,
) -> Result<Vec<GetDocumentContentResponse>, Status> {
    let mut client = server.documents().await;
    let mut stream = client.get_document_content(request).await?.into_inner();
    let mut messages = Vec::new();
    while let Some(message) = stream.message().await? {
        messages.push(message);
    }
    Ok(messages)
}

#[test]
fn contents_come_back_byte_for_byte() {
    run(async {
        let (_home, server) = server().await;
        // Blanks make a content long, but no chunks.
        let long = format!("Slate is split by hand.\r\n{}\r\nThe end.", " ".repeat(600 << 10));
        put(&server, &[("slate", &long)]).await;
        put(&server, &[("slate", NINE)]).await;
        let of = |as_of_epoch| GetDocumentContentRequest {
            knowledge_base_id: kb(),
            document_id: "slate".to_owned(),
            as_of_epoch,
            ..GetDocumentContentRequest::default()
        };
        let parts = content(&server, of(1)).await.expect("it was kept");
        assert!(parts.len() > 2 && parts.iter().all(|part| part.part.len() <= 256 << 10));
        let joined: Vec<u8> = parts.iter().flat_map(|part| part.part.clone()).collect();
        assert!(joined == long.as_bytes(), "the bytes differ");
        let revision = parts[0].revision.clone().expect("the first message says what it is");
        assert!(parts[1..].iter().all(|part| part.revision.is_none()));
        let by_hash = GetDocumentContentRequest {
            knowledge_base_id: kb(),
            content_hash: revision.content_hash,
            ..GetDocumentContentRequest::default()
        };
        let again = content(&server, by_hash).await.expect("it was kept");
        assert_eq!(again.len(), parts.len());
        let now = content(&server, of(0)).await.expect("it was kept");
        assert_eq!((now.len(), now[0].part.as_slice()), (1, NINE.as_bytes()));
        let list = ListRevisionsRequest {
            knowledge_base_id: kb(),
            document_id: "slate".to_owned(),
            ..ListRevisionsRequest::default()
        };
        let listed = server
            .documents()
            .await
            .list_revisions(list)
            .await
            .expect("it is there");
        let seen: Vec<_> = listed.into_inner().revisions;
        let epochs: Vec<_> = seen.iter().map(|it| (it.added_epoch, it.retired_epoch)).collect();
        assert_eq!(epochs, [(2, 0), (1, 2)]);
        assert!(seen.iter().all(|revision| revision.has_content));
    });
}

#[test]
fn discarded_contents_leave_their_text() {
    use ingest_documents_request::Payload;
    run(async {
        let (_home, server) = server().await;
        let create = CreateKnowledgeBaseRequest {
            name: "light".to_owned(),
            original_content: OriginalContent::Discard.into(),
            ..CreateKnowledgeBaseRequest::default()
        };
        let created = server.knowledge_bases().await.create_knowledge_base(create).await;
        let created = created.expect("it is new").into_inner().knowledge_base;
        assert_eq!(
            created.expect("a description").original_content(),
            OriginalContent::Discard
        );
        let begin = message(Payload::Start(IngestStart {
            knowledge_base_id: "light".to_owned(),
            ..IngestStart::default()
        }));
        let mut page = inline("ferry", &format!("<p>{NINE}</p>"));
        if let Some(Payload::Document(document)) = &mut page.payload {
            document.header.get_or_insert_default().mime_type = "text/html".to_owned();
        }
        ingest(&server, vec![begin, page]).await.expect("it works");
        let request = GetDocumentContentRequest {
            knowledge_base_id: "light".to_owned(),
            document_id: "ferry".to_owned(),
            ..GetDocumentContentRequest::default()
        };
        refused(
            content(&server, request).await,
            Code::FailedPrecondition,
            "CONTENT_NOT_KEPT",
        );
    });
}

fn quay(name: &str) -> MetadataValue {
    MetadataValue {
        kind: Some(metadata_value::Kind::StringValue(name.to_owned())),
    }
}

/// Returns a filter for an attribute of this key.
fn quay_filter(key: &str, name: &str) -> RetrievalFilter {
    RetrievalFilter {
        condition: Some(Condition::Equals(FilterAttribute {
            key: key.to_owned(),
            value: Some(quay(name)),
        })),
    }
}

/// Ingests a document with an attribute and a source.
fn attributed(id: &str, text: &str, name: &str) -> IngestDocumentsRequest {
    use ingest_documents_request::Payload;
    let mut document = inline(id, text);
    if let Some(Payload::Document(document)) = &mut document.payload {
        let mut named = header(id);
        named.metadata.insert("quay".to_owned(), quay(name));
        named.source_name = format!("{name}.txt");
        document.header = Some(named);
    }
    document
}

#[test]
fn deletions_go_by_filter_or_by_source() {
    run(async {
        let (_home, server) = server().await;
        let documents = [
            attributed("a", "A crane.", "north"),
            attributed("b", "A boat.", "north"),
            attributed("c", "A gull.", "south"),
        ];
        ingest(&server, std::iter::once(start()).chain(documents).collect())
            .await
            .expect("it works");
        let mut client = server.documents().await;
        let request = || DeleteDocumentsRequest {
            knowledge_base_id: kb(),
            ..DeleteDocumentsRequest::default()
        };
        let north = DeleteDocumentsRequest {
            filter: Some(quay_filter("quay", "north")),
            dry_run: true,
            ..request()
        };
        let would = client
            .delete_documents(north.clone())
            .await
            .expect("it could")
            .into_inner();
        let ids: Vec<&str> = would.documents.iter().map(|it| it.document_id.as_str()).collect();
        assert_eq!((ids, would.deleted_document_count), (vec!["a", "b"], 2));
        let south = DeleteDocumentsRequest {
            source_name: "south.txt".to_owned(),
            ..request()
        };
        let done = client.delete_documents(south).await.expect("it works").into_inner();
        assert_eq!((done.documents[0].document_id.as_str(), done.epoch), ("c", 2));
        let north = DeleteDocumentsRequest {
            dry_run: false,
            ..north
        };
        let done = client
            .delete_documents(north.clone())
            .await
            .expect("it works")
            .into_inner();
        assert_eq!((done.deleted_document_count, done.epoch), (2, 3));
        refused_fields(client.delete_documents(request()).await, &["document_ids"]);
        let both = DeleteDocumentsRequest {
            document_ids: vec!["a".to_owned()],
            ..north
        };
        refused_fields(client.delete_documents(both).await, &["document_ids", "filter"]);
        let keyless = DeleteDocumentsRequest {
            filter: Some(quay_filter("", "north")),
            ..request()
        };
        refused_fields(client.delete_documents(keyless).await, &["filter.equals.key"]);
    });
}

async fn erase(server: &Server, request: EraseDocumentsRequest) -> Result<ErasureSummary, Status> {
    use erase_documents_response::Payload;
    let request = EraseDocumentsRequest {
        knowledge_base_id: kb(),
        ..request
    };
    let mut client = server.documents().await;
    let mut messages = client.erase_documents(request).await?.into_inner();
    let mut summary = None;
    while let Some(message) = messages.message().await? {
        assert!(summary.is_none(), "the summary is the last message");
        if let Some(Payload::Summary(last)) = message.payload {
            summary = Some(last);
        }
    }
    Ok(summary.expect("a summary ends the stream"))
}

async fn certificate(server: &Server, phrase: &str) -> ErasureCertificate {
    use verify_erasure_response::Payload;
    let request = VerifyErasureRequest {
        knowledge_base_id: kb(),
        document_id: "letter-4711".to_owned(),
        phrases: vec![phrase.to_owned()],
        ..VerifyErasureRequest::default()
    };
    let mut client = server.documents().await;
    let mut messages = client.verify_erasure(request).await.expect("it begins").into_inner();
    let mut certificate = None;
    while let Some(message) = messages.message().await.expect("it goes on") {
        if let Some(Payload::Certificate(last)) = message.payload {
            certificate = Some(last);
        }
    }
    certificate.expect("a certificate ends the stream")
}

#[test]
fn erased_documents_leave_nothing_to_find() {
    run(async {
        let (_home, server) = server().await;
        let secret = "Hieronymus Quartz keeps his violin under the northern stairs.";
        put(&server, &[("letter-4711", secret), ("ferry", NINE)]).await;
        put(&server, &[("letter-4711", "Hieronymus Quartz moved away.")]).await;
        let before = certificate(&server, "Hieronymus Quartz").await;
        assert!(!before.erased && !before.remainders.is_empty());
        let pin = PinEpochRequest {
            knowledge_base_id: kb(),
            pin_name: "first".to_owned(),
            epoch: 1,
        };
        server.knowledge_bases().await.pin_epoch(pin).await.expect("it is new");
        let request = EraseDocumentsRequest {
            document_ids: vec!["letter-4711".to_owned(), "letter-0000".to_owned()],
            ..EraseDocumentsRequest::default()
        };
        refused(
            erase(&server, request.clone()).await,
            Code::FailedPrecondition,
            "EPOCH_PINNED",
        );
        let included = EraseDocumentsRequest {
            include_pinned_epochs: true,
            ..request
        };
        let dry = EraseDocumentsRequest {
            dry_run: true,
            ..included.clone()
        };
        assert_eq!(erase(&server, dry).await.expect("it could").document_count, 1);
        let erased = erase(&server, included).await.expect("it works");
        assert_eq!((erased.document_count, erased.epoch), (1, 3));
        assert_eq!(erased.not_found_document_ids, ["letter-0000"]);
        let revisions = erased.places.iter().find(|place| place.place == "revisions");
        assert_eq!(revisions.map(|place| place.count), Some(2), "{:?}", erased.places);
        let after = certificate(&server, "Hieronymus Quartz").await;
        assert!(after.erased, "{:?}", after.remainders);
        assert!(after.fingerprint_count > 0 && after.issued_at.is_some());
        let at_first = RetrieveRequest {
            as_of_epoch: 1,
            ..RetrieveRequest::default()
        };
        assert_eq!(found_at(&server, at_first).await.expect("it is pinned"), [NINE]);
        refused_fields(
            erase(&server, EraseDocumentsRequest::default()).await,
            &["document_ids"],
        );
    });
}

async fn vacuum(server: &Server) -> VacuumSummary {
    use vacuum_knowledge_base_response::Payload;
    let request = VacuumKnowledgeBaseRequest {
        knowledge_base_id: kb(),
    };
    let mut client = server.knowledge_bases().await;
    let mut messages = client
        .vacuum_knowledge_base(request)
        .await
        .expect("it begins")
        .into_inner();
    let mut summary = None;
    while let Some(message) = messages.message().await.expect("it goes on") {
        if let Some(Payload::Summary(last)) = message.payload {
            summary = Some(last);
        }
    }
    summary.expect("a summary ends the stream")
}

async fn checked(server: &Server) -> CheckSummary {
    use check_knowledge_base_response::Payload;
    let request = CheckKnowledgeBaseRequest {
        knowledge_base_id: kb(),
        repair: false,
    };
    let mut client = server.knowledge_bases().await;
    let mut messages = client
        .check_knowledge_base(request)
        .await
        .expect("it begins")
        .into_inner();
    let mut summary = None;
    while let Some(message) = messages.message().await.expect("it goes on") {
        match message.payload {
            Some(Payload::Summary(last)) => summary = Some(last),
            Some(Payload::Finding(finding)) => panic!("nothing is wrong: {finding:?}"),
            Some(Payload::Progress(_)) | None => {}
        }
    }
    summary.expect("a summary ends the stream")
}

#[test]
fn vacuumed_epochs_can_no_longer_be_named() {
    run(async {
        let (_home, server) = with_history().await;
        assert_eq!(vacuum(&server).await.revision_count, 0, "seven days are kept");
        let update = UpdateKnowledgeBaseRequest {
            knowledge_base_id: kb(),
            retention_configuration: Some(RetentionConfiguration {
                epochs: Some(1),
                age: None,
            }),
            ..UpdateKnowledgeBaseRequest::default()
        };
        let updated = server.knowledge_bases().await.update_knowledge_base(update).await;
        let updated = updated.expect("it works").into_inner().knowledge_base;
        let retention = updated.expect("a description").retention_configuration;
        assert_eq!(retention.and_then(|it| it.epochs), Some(1));
        let pin = PinEpochRequest {
            knowledge_base_id: kb(),
            pin_name: "first".to_owned(),
            epoch: 1,
        };
        server.knowledge_bases().await.pin_epoch(pin).await.expect("it is kept");
        let vacuumed = vacuum(&server).await;
        assert_eq!((vacuumed.oldest_epoch, vacuumed.revision_count), (3, 1));
        let at = |as_of_epoch| RetrieveRequest {
            as_of_epoch,
            ..RetrieveRequest::default()
        };
        refused(
            found_at(&server, at(2)).await,
            Code::FailedPrecondition,
            "EPOCH_NOT_RETAINED",
        );
        assert_eq!(found_at(&server, at(1)).await.expect("it is pinned"), [NINE]);
        let summary = checked(&server).await;
        assert_eq!((summary.finding_count, summary.document_count), (0, 1));
    });
}
