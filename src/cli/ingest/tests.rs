//! Walking directories, and ingesting into a server that only plays one.

use std::fs;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;

use parking_lot::Mutex;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tokio_stream::{Stream, StreamExt as _};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

use super::walk::walk;
use super::window::Window;
use super::{AccessFlags, Arguments, run};
use crate::cli::connection::Connection;
use crate::cli::exit::Exit;
use crate::cli::session::Session;
use crate::cli::signal::Interrupt;
use crate::cli::tests::Written;
use crate::service::pb;
use crate::service::pb::document_service_server::{DocumentService, DocumentServiceServer};
use crate::service::pb::ingest_documents_request::Payload as Sent;
use crate::service::pb::ingest_documents_response::Payload as Answered;

fn tree(files: &[&str]) -> TempDir {
    let root = tempfile::tempdir().expect("a temporary directory can be made");
    for file in files {
        let path = root.path().join(file);
        fs::create_dir_all(path.parent().expect("files lie below the root")).expect("directories can be made");
        fs::write(&path, *file).expect("files can be written");
    }
    root
}

#[track_caller]
fn check_walk(root: &Path, paths: &[&str], prefix: &str, ids: &[&str], unreadable: usize) {
    let paths: Vec<PathBuf> = paths.iter().map(|path| root.join(path)).collect();
    let found = walk(&paths, prefix).expect("no two files have one id");
    let found_ids: Vec<&str> = found.files.iter().map(|file| file.id.as_str()).collect();
    assert_eq!(found_ids, ids);
    assert_eq!(found.unreadable.len(), unreadable, "{:?}", found.unreadable);
}

#[test]
fn ids_are_paths_below_the_root() {
    let root = tree(&["b.md", "a/x.txt", "a/deep/y.HTML", "a/z.rs", "c.pdf", "noextension"]);
    let root = root.path();
    check_walk(root, &[""], "", &["a/deep/y.HTML", "a/x.txt", "b.md", "c.pdf"], 0);
    check_walk(root, &["a"], "", &["deep/y.HTML", "x.txt"], 0);
    check_walk(
        root,
        &["a", "b.md"],
        "in/",
        &["in/b.md", "in/deep/y.HTML", "in/x.txt"],
        0,
    );
    check_walk(root, &["a/z.rs", "noextension"], "", &["noextension", "z.rs"], 0);
    check_walk(root, &["b.md", "b.md"], "", &["b.md"], 0);
}

#[test]
fn hidden_files_are_skipped_unless_named() {
    let root = tree(&[".hidden.md", ".git/x.md", "seen.md"]);
    check_walk(root.path(), &[""], "", &["seen.md"], 0);
    check_walk(root.path(), &[".hidden.md", ".git"], "", &[".hidden.md", "x.md"], 0);
}

#[test]
fn missing_paths_do_not_cost_the_others() {
    let root = tree(&["seen.md"]);
    check_walk(root.path(), &["gone.md", "seen.md"], "", &["seen.md"], 1);
}

#[cfg(unix)]
#[test]
fn unreadable_files_have_ids_like_others() {
    let root = tree(&["a/seen.md"]);
    std::os::unix::fs::symlink("nowhere", root.path().join("a/lost.md")).expect("links can be made");
    let paths = [root.path().join("./."), root.path().join("gone.md")];
    let found = walk(&paths, "in/").expect("no two files have one id");
    let unreadable: Vec<&str> = found.unreadable.iter().map(|it| it.id.as_str()).collect();
    assert_eq!(found.files[0].id, "in/a/seen.md");
    assert_eq!(unreadable, ["in/a/lost.md", "in/gone.md"]);
}

#[test]
fn window_bounds_what_is_under_way() {
    let window = Arc::new(Window::default());
    assert!(window.enter("a", 10 << 20) && window.enter("b", 6 << 20));
    let (entered, answers) = std::sync::mpsc::channel();
    let sender = std::thread::spawn({
        let window = Arc::clone(&window);
        move || {
            for id in ["c", "large", "never"] {
                let bytes = if id == "large" { 1 << 30 } else { 1 };
                if entered.send((id, window.enter(id, bytes))).is_err() {
                    return;
                }
            }
        }
    });
    assert!(answers.try_recv().is_err(), "there is no room for c yet");
    window.leave("a");
    assert_eq!(answers.recv(), Ok(("c", true)));
    for id in ["b", "unknown", "c"] {
        window.leave(id);
    }
    assert_eq!(answers.recv(), Ok(("large", true)), "a large one goes alone");
    window.close();
    assert_eq!(answers.recv(), Ok(("never", false)));
    sender.join().expect("the sender ends");
}

#[cfg(unix)]
#[test]
fn links_to_directories_are_not_followed() {
    let root = tree(&["a/x.md", "other.md"]);
    std::os::unix::fs::symlink(root.path(), root.path().join("a/loop")).expect("links can be made");
    std::os::unix::fs::symlink(root.path(), root.path().join("a/loop.md")).expect("links can be made");
    std::os::unix::fs::symlink(root.path().join("other.md"), root.path().join("a/y.md")).expect("links can be made");
    std::os::unix::fs::symlink(root.path().join("gone.md"), root.path().join("a/z.md")).expect("links can be made");
    check_walk(root.path(), &["a"], "", &["x.md", "y.md"], 1);
}

#[test]
fn files_of_one_id_are_refused_by_name() {
    let root = tree(&["a/x.md", "b/x.md"]);
    let error = walk(&[root.path().join("a"), root.path().join("b")], "").expect_err("both are x.md");
    let message = error.to_string();
    assert!(
        message.contains("a/x.md and ") && message.contains("b/x.md would both become document `x.md`"),
        "{message}"
    );
}

/// Answers INDEXED for every document, but FAILED where the content says "bad", IGNORED where it says "old", and nothing
/// where it says "hold". The user wishes to end when a document says "stop"; from then on nothing is answered.
#[derive(Debug, Clone, Default)]
struct Actor {
    /// Id and content length of what came.
    received: Arc<Mutex<Vec<(String, usize)>>>,
    knows_no_knowledge_base: bool,
    wish: Option<CancellationToken>,
}

type Outcomes = Pin<Box<dyn Stream<Item = Result<pb::IngestDocumentsResponse, Status>> + Send>>;

impl Actor {
    async fn act(
        self,
        mut requests: Streaming<pb::IngestDocumentsRequest>,
        answers: tokio::sync::mpsc::Sender<Result<pb::IngestDocumentsResponse, Status>>,
    ) {
        let mut summary = pb::IngestSummary::default();
        let mut begun: Option<(pb::DocumentHeader, Vec<u8>)> = None;
        while let Some(Ok(request)) = requests.next().await {
            let whole = match request.payload {
                Some(Sent::Document(document)) => match document.content {
                    Some(pb::inline_document::Content::Data(data)) => Some((document.header.unwrap_or_default(), data)),
                    _ => None,
                },
                Some(Sent::DocumentStart(header)) => {
                    begun = Some((header, Vec::new()));
                    None
                }
                Some(Sent::DocumentPart(part)) => {
                    if let Some((_, content)) = &mut begun {
                        content.extend(part);
                    }
                    None
                }
                Some(Sent::DocumentEnd(_)) => begun.take(),
                Some(Sent::Start(_)) | None => None,
            };
            let Some((header, content)) = whole else { continue };
            self.received.lock().push((header.document_id.clone(), content.len()));
            let said = String::from_utf8_lossy(&content[..content.len().min(4)]).into_owned();
            if let Some(wish) = self.wish.as_ref().filter(|_| said == "stop") {
                wish.cancel();
                return answers.closed().await;
            }
            if said == "hold" {
                continue;
            }
            let (status, reason) = match said.as_str() {
                "bad" => (pb::DocumentStatus::Failed, "it is bad"),
                "old" => (pb::DocumentStatus::Ignored, ""),
                _ => (pb::DocumentStatus::Indexed, ""),
            };
            summary.number_of_documents_scanned += 1;
            summary.number_of_documents_failed += u64::from(status == pb::DocumentStatus::Failed);
            let outcome = pb::DocumentOutcome {
                document_id: header.document_id,
                status: status.into(),
                status_reason: reason.to_owned(),
                chunk_count: 2,
                epoch: 7,
                ..pb::DocumentOutcome::default()
            };
            let payload = Some(Answered::Outcome(outcome));
            if answers.send(Ok(pb::IngestDocumentsResponse { payload })).await.is_err() {
                return;
            }
        }
        summary.epoch = 7;
        let payload = Some(Answered::Summary(summary));
        // A client that was interrupted may be gone.
        let _ = answers.send(Ok(pb::IngestDocumentsResponse { payload })).await;
    }
}

#[tonic::async_trait]
impl DocumentService for Actor {
    type IngestDocumentsStream = Outcomes;
    type GetDocumentContentStream = tokio_stream::Empty<Result<pb::GetDocumentContentResponse, Status>>;
    type EraseDocumentsStream = tokio_stream::Empty<Result<pb::EraseDocumentsResponse, Status>>;
    type VerifyErasureStream = tokio_stream::Empty<Result<pb::VerifyErasureResponse, Status>>;

    async fn list_revisions(
        &self,
        _: Request<pb::ListRevisionsRequest>,
    ) -> Result<Response<pb::ListRevisionsResponse>, Status> {
        Err(Status::unimplemented("not part of this test"))
    }

    async fn get_document_content(
        &self,
        _: Request<pb::GetDocumentContentRequest>,
    ) -> Result<Response<Self::GetDocumentContentStream>, Status> {
        Err(Status::unimplemented("not part of this test"))
    }

    async fn erase_documents(
        &self,
        _: Request<pb::EraseDocumentsRequest>,
    ) -> Result<Response<Self::EraseDocumentsStream>, Status> {
        Err(Status::unimplemented("not part of this test"))
    }

    async fn verify_erasure(
        &self,
        _: Request<pb::VerifyErasureRequest>,
    ) -> Result<Response<Self::VerifyErasureStream>, Status> {
        Err(Status::unimplemented("not part of this test"))
    }

    async fn ingest_documents(
        &self,
        request: Request<Streaming<pb::IngestDocumentsRequest>>,
    ) -> Result<Response<Outcomes>, Status> {
        if self.knows_no_knowledge_base {
            return Err(Status::not_found("there is no knowledge base `kb`"));
        }
        let (answers, stream) = tokio::sync::mpsc::channel(4);
        tokio::spawn(self.clone().act(request.into_inner(), answers));
        Ok(Response::new(Box::pin(ReceiverStream::new(stream))))
    }

    async fn get_document(
        &self,
        _: Request<pb::GetDocumentRequest>,
    ) -> Result<Response<pb::GetDocumentResponse>, Status> {
        Err(Status::unimplemented("not played"))
    }

    async fn list_documents(
        &self,
        _: Request<pb::ListDocumentsRequest>,
    ) -> Result<Response<pb::ListDocumentsResponse>, Status> {
        Err(Status::unimplemented("not played"))
    }

    async fn delete_documents(
        &self,
        _: Request<pb::DeleteDocumentsRequest>,
    ) -> Result<Response<pb::DeleteDocumentsResponse>, Status> {
        Err(Status::unimplemented("not played"))
    }
}

struct Played {
    exit: anyhow::Result<Exit>,
    output: String,
    received: Vec<(String, usize)>,
}

/// Ingests the files below `root` into the actor. `wish` is the user's to end.
async fn play(actor: Actor, root: &Path, json: bool, wish: CancellationToken) -> Played {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let address = listener.local_addr().expect("a bound socket has an address");
    let stop = CancellationToken::new();
    let received = Arc::clone(&actor.received);
    let server = tokio::spawn(
        tonic::transport::Server::builder()
            .add_service(DocumentServiceServer::new(actor))
            .serve_with_incoming_shutdown(TcpListenerStream::new(listener), stop.clone().cancelled_owned()),
    );
    let written = Written::default();
    let connection = Connection::connect(&format!("http://{address}")).await;
    let mut session = Session {
        connection: connection.expect("the actor listens"),
        output: written.output(json),
        interrupt: Interrupt::by(wish),
        max_document_bytes: 3_000_000,
    };
    let arguments = Arguments {
        knowledge_base: "kb".to_owned(),
        paths: vec![root.to_owned()],
        metadata: Vec::new(),
        prefix: String::new(),
        access: AccessFlags::default(),
    };
    let exit = run(arguments, &mut session).await;
    session.connection.close().await;
    stop.cancel();
    server
        .await
        .expect("the actor does not panic")
        .expect("the actor serves to the end");
    let received = received.lock().clone();
    Played {
        exit,
        output: written.text(),
        received,
    }
}

fn contents(files: &[(&str, &[u8])]) -> TempDir {
    let root = tree(&[]);
    for (name, content) in files {
        fs::write(root.path().join(name), content).expect("files can be written");
    }
    root
}

#[tokio::test]
async fn documents_travel_whole_or_in_parts() {
    let large = vec![b'x'; (2 << 20) + 5];
    let root = contents(&[("a.md", b"small"), ("b.txt", &large), ("c.md", b"")]);
    let played = play(Actor::default(), root.path(), false, CancellationToken::new()).await;
    assert_eq!(played.exit.expect("all went well"), Exit::Done);
    let sizes: Vec<(&str, usize)> = played.received.iter().map(|(id, size)| (id.as_str(), *size)).collect();
    assert_eq!(sizes, [("a.md", 5), ("b.txt", large.len()), ("c.md", 0)]);
    assert_eq!(played.output, "3 indexed (6 chunks), 0 unchanged, 0 failed, epoch 7\n");
}

#[tokio::test]
async fn failures_leave_the_rest_done() {
    let huge = vec![b'x'; 3_000_001];
    let root = contents(&[("a.md", b"bad"), ("b.md", b"old"), ("c.md", b"good"), ("d.pdf", &huge)]);
    let played = play(Actor::default(), root.path(), false, CancellationToken::new()).await;
    assert_eq!(played.exit.expect("some went well"), Exit::Partial);
    assert_eq!(played.output, "1 indexed (2 chunks), 1 unchanged, 2 failed, epoch 7\n");
    let root = contents(&[("a.md", b"bad")]);
    let played = play(Actor::default(), root.path(), false, CancellationToken::new()).await;
    assert_eq!(played.exit.expect("the stream ended well"), Exit::Failed);
}

#[tokio::test]
async fn scripts_get_a_line_for_each_document() {
    let huge = vec![b'x'; 3_000_001];
    let root = contents(&[("a.md", b"good"), ("b.md", &huge)]);
    let played = play(Actor::default(), root.path(), true, CancellationToken::new()).await;
    let lines: Vec<serde_json::Value> = played
        .output
        .lines()
        .map(|line| serde_json::from_str(line).expect("each line is JSON"))
        .collect();
    assert_eq!(lines.len(), 3, "{}", played.output);
    let failed = lines
        .iter()
        .find(|line| line["outcome"]["document_id"] == "b.md")
        .expect("b.md has a line");
    assert_eq!(failed["outcome"]["status"], "DOCUMENT_STATUS_FAILED");
    assert_eq!(lines[2]["summary"]["number_of_documents_scanned"], 2);
    assert_eq!(lines[2]["summary"]["number_of_documents_failed"], 1);
    assert_eq!(lines[2]["summary"]["epoch"], 7);
}

#[tokio::test]
async fn refused_stream_ends_with_its_reason() {
    let actor = Actor {
        knows_no_knowledge_base: true,
        ..Actor::default()
    };
    let root = contents(&[("a.md", b"good"), ("b.md", b"good")]);
    let played = play(actor, root.path(), false, CancellationToken::new()).await;
    let error = played.exit.expect_err("there is no such knowledge base");
    assert_eq!(Exit::of(&error), Exit::NotFound);
    assert_eq!(played.output, "");
}

#[tokio::test]
async fn interruption_waits_for_no_answer() {
    let large = |said: &str| [said.as_bytes(), &vec![b'x'; 2_900_000]].concat();
    let mut files = vec![("a.md".to_owned(), large("good"))];
    files.extend((0..4).map(|i| (format!("b{i}.md"), large("hold"))));
    // There is room for it only once the outcome of the first was read.
    files.push(("c.md".to_owned(), large("stop")));
    files.extend((0..6).map(|i| (format!("d{i}.md"), large("good"))));
    let files: Vec<(&str, &[u8])> = files
        .iter()
        .map(|(name, content)| (name.as_str(), content.as_slice()))
        .collect();
    let root = contents(&files);
    let wish = CancellationToken::new();
    let actor = Actor {
        wish: Some(wish.clone()),
        ..Actor::default()
    };
    let played = play(actor, root.path(), false, wish).await;
    assert_eq!(played.exit.expect("an interruption is no error"), Exit::Interrupted);
    let received: Vec<&str> = played.received.iter().map(|(id, _)| id.as_str()).collect();
    assert_eq!(received, ["a.md", "b0.md", "b1.md", "b2.md", "b3.md", "c.md"]);
    assert_eq!(played.output, "1 indexed (2 chunks), 0 unchanged, 0 failed\n");
}

#[tokio::test]
async fn empty_directory_is_wrong_usage() {
    let root = tree(&["code.rs"]);
    let played = play(Actor::default(), root.path(), false, CancellationToken::new()).await;
    let error = played.exit.expect_err("there is nothing to ingest");
    assert_eq!(Exit::of(&error), Exit::Usage);
    assert!(error.to_string().contains(".markdown"), "{error}");
}
