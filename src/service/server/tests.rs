//! The layer, the calls and the shutdown over real connections. Small services stand in for those of the facade.

mod stand_in;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio_stream::StreamExt as _;
use tonic::codec::CompressionEncoding;
use tonic::{Code, Request};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
use tonic_types::StatusExt as _;

use super::{Site, WriteWatch};
use crate::service::client::{Failure, connect, documents, ingest_messages, ingest_start, models, retrieval};
use crate::service::layer::REQUEST_ID;
use crate::service::pb::ingest_documents_request::Payload;
use crate::service::{Error, InProcess, ServiceConfig, pb};
use stand_in::Probe;

/// Far longer than anything here takes; a test that waits for it has failed.
const PATIENCE: Duration = Duration::from_secs(20);

fn config() -> ServiceConfig {
    ServiceConfig {
        grace_period: PATIENCE,
        ..ServiceConfig::default()
    }
}

/// Serves the stand-ins over a pipe.
fn started(config: &ServiceConfig) -> (InProcess, Probe) {
    let probe = Probe::default();
    let site = Site::new(config).expect("the descriptors are sound");
    let server = probe.add_to(site).in_process();
    (server, probe)
}

fn model(id: &str) -> pb::GetFoundationModelRequest {
    pb::GetFoundationModelRequest {
        model_id: id.to_owned(),
    }
}

async fn in_time<F: Future>(what: &str, future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future)
        .await
        .unwrap_or_else(|_| panic!("{what} took too long"))
}

#[tokio::test]
async fn reflection_lists_every_service() {
    let (server, _) = started(&config());
    let ask = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut replies = ServerReflectionClient::new(server.channel.clone())
        .server_reflection_info(tokio_stream::once(ask))
        .await
        .expect("reflection answers")
        .into_inner();
    let reply = replies.message().await.expect("it is readable").expect("there is one");
    let Some(MessageResponse::ListServicesResponse(list)) = reply.message_response else {
        panic!("not a list");
    };
    let names: Vec<&str> = list.service.iter().map(|service| service.name.as_str()).collect();
    for name in [
        "groundwork.v1.KnowledgeBaseService",
        "groundwork.v1.DocumentService",
        "groundwork.v1.RetrievalService",
        "groundwork.v1.ModelService",
        "grpc.health.v1.Health",
    ] {
        assert!(names.contains(&name), "{name} is missing in {names:?}");
    }
}

/// A server on a port of its own, which the sender shuts down.
async fn listening(
    config: ServiceConfig,
    probe: &Probe,
) -> (String, oneshot::Sender<()>, tokio::task::JoinHandle<Result<(), Error>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let address = listener.local_addr().expect("it is bound").to_string();
    let (stop, stopped) = oneshot::channel::<()>();
    let site = probe.add_to(Site::new(&config).expect("the descriptors are sound"));
    let incoming = super::Accept::new(listener, site.lifecycle.severed.clone());
    let server = tokio::spawn(site.run(incoming, async {
        let _ = stopped.await;
    }));
    (address, stop, server)
}

#[tokio::test]
async fn health_follows_the_shutdown() {
    let (address, stop, server) = listening(config(), &Probe::default()).await;
    let mut health = HealthClient::new(connect(&address).await.expect("the server listens"));
    let service = "groundwork.v1.RetrievalService".to_owned();
    let mut states = health
        .watch(HealthCheckRequest { service })
        .await
        .expect("the service is known")
        .into_inner();
    let first = states.message().await.expect("it is readable").expect("there is one");
    assert_eq!(first.status(), ServingStatus::Serving);
    // A connection without a single byte must not hold the shutdown up either.
    let silent = TcpStream::connect(&address).await.expect("the server listens");
    stop.send(()).expect("the server runs");
    let second = states.message().await.expect("it is readable").expect("there is one");
    assert_eq!(second.status(), ServingStatus::NotServing);
    let end = states.message().await.expect_err("the watch ends with the server");
    assert_eq!(end.code(), Code::Unavailable);
    let begun = Instant::now();
    let ended = in_time("the shutdown", server).await.expect("it did not panic");
    assert!(ended.is_ok());
    assert!(begun.elapsed() < PATIENCE / 2, "it waited for the grace period");
    drop(silent);
    assert!(connect(&address).await.is_err(), "the port is still open");
}

/// Returns the next status that a watch tells.
async fn next_state(states: &mut tonic::Streaming<tonic_health::pb::HealthCheckResponse>) -> ServingStatus {
    let told = in_time("the next status", states.message()).await;
    told.expect("it is readable").expect("there is one").status()
}

#[tokio::test]
async fn health_of_writing_follows_what_is_refused() {
    let is_failing = Arc::new(AtomicBool::new(false));
    let asked = Arc::clone(&is_failing);
    let failure = || ("kb".to_owned(), "the disk is full".to_owned());
    let failures = move || Vec::from_iter(asked.load(Ordering::SeqCst).then(failure));
    let watch = WriteWatch::new(Arc::new(failures)).every(Duration::from_millis(2));
    let site = Site::new(&config()).expect("the descriptors are sound").watching(watch);
    let server = Probe::default().add_to(site).in_process();
    let mut health = HealthClient::new(server.channel.clone());
    let mut watches = Vec::new();
    for service in ["", "groundwork.v1.DocumentService"] {
        let service = service.to_owned();
        let states = health.watch(HealthCheckRequest { service }).await.expect("it is known");
        watches.push(states.into_inner());
    }
    for (fails, expected) in [
        (false, ServingStatus::Serving),
        (true, ServingStatus::NotServing),
        (false, ServingStatus::Serving),
    ] {
        is_failing.store(fails, Ordering::SeqCst);
        for states in &mut watches {
            assert_eq!(next_state(states).await, expected);
        }
        for service in ["groundwork.v1.RetrievalService", "groundwork.v1.KnowledgeBaseService"] {
            let service = service.to_owned();
            let state = health.check(HealthCheckRequest { service }).await.expect("it is known");
            assert_eq!(state.into_inner().status(), ServingStatus::Serving);
        }
    }
    in_time("the shutdown", server.close()).await.expect("it ends well");
}

#[tokio::test]
async fn request_id_returns_with_every_reply() {
    let (server, _) = started(&config());
    let mut client = models(server.channel.clone());
    let mut request = Request::new(model("ok"));
    request
        .metadata_mut()
        .insert(REQUEST_ID, "mine-1".parse().expect("it is ASCII"));
    let reply = client.get_foundation_model(request).await.expect("it is known");
    assert_eq!(reply.metadata().get(REQUEST_ID).expect("an id"), "mine-1");
    let error = client
        .get_foundation_model(model("missing"))
        .await
        .expect_err("it is unknown");
    let made = error
        .metadata()
        .get(REQUEST_ID)
        .expect("an id")
        .to_str()
        .expect("ASCII")
        .to_owned();
    assert_eq!(made.len(), 26, "{made} is no ULID");
    let details = error.get_error_details();
    assert_eq!(details.request_info().expect("an id").request_id, made);
    assert_eq!(error.code(), Code::NotFound);
}

#[tokio::test]
async fn panic_is_one_failed_call() {
    let (server, _) = started(&config());
    let mut client = models(server.channel.clone());
    for id in ["panic in work", "panic in handler"] {
        let error = client.get_foundation_model(model(id)).await.expect_err("it panics");
        assert_eq!(error.code(), Code::Internal, "{id}");
        assert_eq!(error.message(), "the server failed on this call");
    }
    let mut stream = retrieval(server.channel.clone())
        .retrieve_and_generate_stream(question("panic"))
        .await
        .expect("the stream begins")
        .into_inner();
    assert_eq!(stream.message().await.expect_err("it panics").code(), Code::Internal);
    assert!(client.get_foundation_model(model("ok")).await.is_ok());
}

fn question(text: &str) -> pb::RetrieveAndGenerateStreamRequest {
    pb::RetrieveAndGenerateStreamRequest {
        input: Some(pb::RetrievalQuery { text: text.to_owned() }),
        ..pb::RetrieveAndGenerateStreamRequest::default()
    }
}

#[tokio::test]
async fn deadline_is_answered_while_work_is_stuck() {
    let (server, probe) = started(&ServiceConfig {
        default_deadline: Some(Duration::from_millis(50)),
        ..config()
    });
    let mut client = models(server.channel.clone());
    let call = client.get_foundation_model(model("stuck"));
    let error = in_time("the deadline", call).await.expect_err("it is stuck");
    assert_eq!(error.code(), Code::DeadlineExceeded);
    assert!(error.metadata().contains_key(REQUEST_ID));
    let mut stream = retrieval(server.channel.clone())
        .retrieve_and_generate_stream(question("stuck"))
        .await
        .expect("the stream begins")
        .into_inner();
    let error = in_time("the deadline", stream.message())
        .await
        .expect_err("it is stuck");
    assert_eq!(error.code(), Code::DeadlineExceeded);
    probe.release();
    in_time("closing", server.close()).await.expect("it ends well");
}

#[tokio::test]
async fn client_that_leaves_cancels_the_work() {
    let (server, probe) = started(&config());
    let mut client = models(server.channel.clone());
    {
        let call = client.get_foundation_model(model("until cancelled"));
        assert!(tokio::time::timeout(Duration::from_millis(50), call).await.is_err());
    }
    in_time("cancelling the call", probe.saw_cancel(1)).await;
    let mut stream = retrieval(server.channel.clone())
        .retrieve_and_generate_stream(question("endless"))
        .await
        .expect("the stream begins")
        .into_inner();
    assert!(stream.message().await.expect("it is readable").is_some());
    drop(stream);
    in_time("cancelling the stream", probe.saw_cancel(2)).await;
}

#[tokio::test]
async fn slow_reader_slows_the_work() {
    let (server, probe) = started(&config());
    let mut stream = retrieval(server.channel.clone())
        .retrieve_and_generate_stream(question("endless"))
        .await
        .expect("the stream begins")
        .into_inner();
    assert!(stream.message().await.expect("it is readable").is_some());
    // The work goes on until queue and windows are full, and then stands.
    let mut sent = 0;
    in_time("standing still", async {
        loop {
            tokio::time::sleep(Duration::from_millis(200)).await;
            let now = probe.sent();
            if now == sent {
                break;
            }
            sent = now;
        }
    })
    .await;
    assert!(stream.message().await.expect("it is readable").is_some());
    drop(stream);
    in_time("cancelling the stream", probe.saw_cancel(1)).await;
}

#[tokio::test]
async fn reader_that_stalls_is_given_up() {
    let (server, probe) = started(&ServiceConfig {
        stall_timeout: Duration::from_millis(100),
        ..config()
    });
    let mut stream = retrieval(server.channel.clone())
        .retrieve_and_generate_stream(question("endless"))
        .await
        .expect("the stream begins")
        .into_inner();
    in_time("giving up", probe.saw_cancel(1)).await;
    // Who reads after all gets what was sent, and then the reason.
    let told = in_time("reading on", async {
        loop {
            match stream.message().await {
                Ok(Some(_)) => {}
                ended => break ended.expect_err("the work has no end of its own"),
            }
        }
    })
    .await;
    assert_eq!(told.code(), Code::ResourceExhausted, "{told:?}");
    let failure = Failure::from(told);
    assert_eq!(failure.reason, "STREAM_UNREAD");
    assert!(
        failure
            .message
            .starts_with("the client took nothing from the stream for 0.1 s, the limit is 0.1 s"),
        "{}",
        failure.message
    );
}

#[tokio::test]
async fn ingestion_with_unread_outcomes_says_so() {
    let (server, probe) = started(&ServiceConfig {
        stall_timeout: Duration::from_millis(100),
        ..config()
    });
    let replies = documents(server.channel.clone())
        .ingest_documents(tokio_stream::iter(
            std::iter::once(ingest_start("manuals")).chain(small(100_000)),
        ))
        .await
        .expect("the stream begins")
        .into_inner();
    in_time("giving up", probe.ended(1)).await;
    let (outcomes, summary, code) = in_time("reading on", told(replies)).await;
    assert!(!outcomes.is_empty());
    assert_eq!((summary, code), (None, Some(Code::ResourceExhausted)));
}

#[tokio::test]
async fn full_server_refuses_but_stays_healthy() {
    let (server, probe) = started(&ServiceConfig {
        max_concurrent_calls: 1,
        ..config()
    });
    let mut client = models(server.channel.clone());
    let mut first = client.clone();
    let running = tokio::spawn(async move { first.get_foundation_model(model("stuck")).await });
    in_time("starting", probe.started(1)).await;
    let error = client
        .get_foundation_model(model("ok"))
        .await
        .expect_err("the place is taken");
    assert_eq!(error.code(), Code::ResourceExhausted);
    let details = error.get_error_details();
    assert_eq!(details.error_info().expect("a reason").reason, "TOO_MANY_CALLS");
    assert!(details.retry_info().is_some_and(|retry| retry.retry_delay.is_some()));
    let health = HealthClient::new(server.channel.clone())
        .check(HealthCheckRequest { service: String::new() })
        .await
        .expect("health answers");
    assert_eq!(health.into_inner().status(), ServingStatus::Serving);
    probe.release();
    let reply = in_time("the first call", running).await.expect("it did not panic");
    assert!(reply.is_ok());
    in_time("freeing the place", async {
        while client.get_foundation_model(model("ok")).await.is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn message_over_the_limit_names_it() {
    let (server, _) = started(&ServiceConfig {
        max_message_bytes: 1_000,
        ..config()
    });
    let large = model(&"x".repeat(2_000));
    let error = models(server.channel.clone())
        .get_foundation_model(large)
        .await
        .expect_err("it is too large");
    assert_eq!(error.code(), Code::ResourceExhausted);
    assert!(
        error.message().contains("the limit is: 1000 bytes"),
        "{}",
        error.message()
    );
}

#[tokio::test]
async fn replies_are_compressed_when_asked() {
    let (server, _) = started(&config());
    for (encoding, name) in [(CompressionEncoding::Gzip, "gzip"), (CompressionEncoding::Zstd, "zstd")] {
        let reply = models(server.channel.clone())
            .send_compressed(encoding)
            .accept_compressed(encoding)
            .get_foundation_model(model("ok"))
            .await
            .expect("it is known");
        assert_eq!(reply.metadata().get("grpc-encoding").expect("it is compressed"), name);
    }
}

#[tokio::test]
async fn shutdown_ends_answers_and_lets_calls_finish() {
    let (server, probe) = started(&config());
    let mut client = models(server.channel.clone());
    let short = tokio::spawn(async move { client.get_foundation_model(model("stuck")).await });
    let mut answer = retrieval(server.channel.clone())
        .retrieve_and_generate_stream(question("until cancelled"))
        .await
        .expect("the stream begins")
        .into_inner();
    in_time("starting", probe.started(2)).await;
    let closing = tokio::spawn(server.close());
    let error = in_time("the answer", answer.message())
        .await
        .expect_err("it is cut short");
    assert_eq!(error.code(), Code::Unavailable);
    assert!(!closing.is_finished(), "a call was left behind");
    probe.release();
    let reply = in_time("the short call", short).await.expect("it did not panic");
    assert!(reply.is_ok());
    let closed = in_time("closing", closing).await.expect("it did not panic");
    assert!(closed.is_ok());
}

#[tokio::test]
async fn cut_server_waits_for_no_ingestion() {
    let (server, probe) = started(&config());
    // The client goes on sending: only a cut tells the work to stop.
    let (requests, stream) = tokio::sync::mpsc::channel(1);
    requests.send(ingest_start("manuals")).await.expect("there is room");
    let replies = documents(server.channel.clone())
        .ingest_documents(tokio_stream::wrappers::ReceiverStream::new(stream))
        .await
        .expect("the stream begins");
    probe.started(1).await;
    in_time("cutting", server.cut()).await.expect("it ends in order");
    in_time("stopping the work", probe.ended(1)).await;
    let (_, summary, code) = in_time("the end of the stream", told(replies.into_inner())).await;
    assert!(summary.is_none() && code.is_some(), "{summary:?} {code:?}");
}

#[tokio::test]
async fn grace_period_bounds_the_shutdown() {
    let (server, probe) = started(&ServiceConfig {
        grace_period: Duration::from_millis(50),
        ..config()
    });
    let mut client = models(server.channel.clone());
    let stuck = tokio::spawn(async move { client.get_foundation_model(model("stuck")).await });
    in_time("starting", probe.started(1)).await;
    in_time("closing", server.close()).await.expect("it ends well");
    let lost = in_time("the stuck call", stuck).await.expect("it did not panic");
    assert!(lost.is_err());
    probe.release();
}

fn header(id: &str) -> pb::DocumentHeader {
    pb::DocumentHeader {
        document_id: id.to_owned(),
        ..pb::DocumentHeader::default()
    }
}

fn small(count: usize) -> impl Iterator<Item = pb::IngestDocumentsRequest> + Send {
    (0..count).flat_map(|at| ingest_messages(header(&format!("doc-{at}")), vec![b'x'; 10]))
}

/// Says what came of a stream: ids of outcomes, the scanned count of the summary, the code of an error.
async fn told(mut replies: tonic::Streaming<pb::IngestDocumentsResponse>) -> (Vec<String>, Option<u64>, Option<Code>) {
    use pb::ingest_documents_response::Payload::{Outcome, Summary};
    let (mut ids, mut scanned) = (Vec::new(), None);
    loop {
        match replies.message().await {
            Ok(Some(reply)) => match reply.payload {
                Some(Outcome(outcome)) => ids.push(outcome.document_id),
                Some(Summary(summary)) => scanned = Some(summary.number_of_documents_scanned),
                None => {}
            },
            Ok(None) => return (ids, scanned, None),
            Err(status) => return (ids, scanned, Some(status.code())),
        }
    }
}

#[tokio::test]
async fn half_closed_ingestion_ends_with_a_summary() {
    let (server, _) = started(&config());
    let large = ingest_messages(header("large"), vec![b'y'; 3 << 20]);
    let messages: Vec<_> = std::iter::once(ingest_start("manuals"))
        .chain(large)
        .chain(small(2))
        .collect();
    let replies = documents(server.channel.clone())
        .ingest_documents(tokio_stream::iter(messages))
        .await
        .expect("the stream begins");
    let (ids, scanned, error) = in_time("ingesting", told(replies.into_inner())).await;
    assert_eq!(
        (ids, scanned, error),
        (
            vec!["large".to_owned(), "doc-0".to_owned(), "doc-1".to_owned()],
            Some(3),
            None
        )
    );
}

#[tokio::test]
async fn broken_ingestion_protocol_is_refused() {
    let (server, _) = started(&config());
    let part = pb::IngestDocumentsRequest {
        payload: Some(Payload::DocumentPart(vec![1])),
    };
    let start = || ingest_start("manuals");
    let table: [(&str, Vec<_>, usize); 4] = [
        ("nothing", vec![], 0),
        ("no start", vec![part], 0),
        ("no name", vec![ingest_start("")], 0),
        (
            "second start",
            std::iter::once(start()).chain(small(1)).chain([start()]).collect(),
            1,
        ),
    ];
    for (name, messages, acknowledged) in table {
        let replies = documents(server.channel.clone())
            .ingest_documents(tokio_stream::iter(messages))
            .await
            .expect("the stream begins");
        let (ids, scanned, error) = in_time(name, told(replies.into_inner())).await;
        assert_eq!(
            (ids.len(), scanned, error),
            (acknowledged, None, Some(Code::InvalidArgument)),
            "{name}"
        );
    }
}

#[tokio::test]
async fn late_reader_gets_every_outcome() {
    let (server, probe) = started(&config());
    let count = 3_000;
    let messages = tokio_stream::iter(std::iter::once(ingest_start("manuals")).chain(small(count)));
    let replies = documents(server.channel.clone())
        .ingest_documents(messages)
        .await
        .expect("the stream begins");
    // All documents are taken in before the first outcome is read.
    in_time("taking in", async {
        while probe.sent() < count {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    let (ids, scanned, error) = in_time("reading", told(replies.into_inner())).await;
    assert_eq!((ids.len(), scanned, error), (count, Some(count as u64), None));
}

#[tokio::test]
async fn shutdown_acknowledges_before_it_ends_ingestion() {
    let (server, probe) = started(&config());
    // The client never ends its stream.
    let messages = tokio_stream::iter(std::iter::once(ingest_start("manuals")).chain(small(2)));
    let messages = messages.chain(tokio_stream::pending());
    let replies = documents(server.channel.clone())
        .ingest_documents(messages)
        .await
        .expect("the stream begins");
    in_time("taking in", async {
        while probe.sent() < 2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    let reading = tokio::spawn(told(replies.into_inner()));
    in_time("closing", server.close()).await.expect("it ends well");
    let (ids, scanned, error) = reading.await.expect("it did not panic");
    assert_eq!((ids.len(), scanned, error), (2, None, Some(Code::Unavailable)));
}

#[tokio::test]
async fn client_that_dies_ends_its_ingestion() {
    let probe = Probe::default();
    let (address, _stop, _server) = listening(config(), &probe).await;
    let client = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("threads are free");
    client.spawn(async move {
        let channel = connect(&address).await.expect("the server listens");
        let messages = tokio_stream::once(ingest_start("manuals")).chain(tokio_stream::pending());
        let replies = documents(channel).ingest_documents(messages).await;
        let _held = replies.expect("the stream begins");
        std::future::pending::<()>().await;
    });
    in_time("starting", probe.started(1)).await;
    client.shutdown_background();
    in_time("ending", probe.ended(1)).await;
}
