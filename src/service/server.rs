//! The server: its services, its connections, its end.
//!
//! Comes in: the facade and a listener, or a pipe in the process. Goes out: nothing, until shutdown is asked for.
//! While it serves, health says `NOT_SERVING` of what takes documents as long as some are refused.
//! The end has one order: health says `NOT_SERVING`; no new connections or calls, answers are cut short; ingestion reaches
//! its commit and all responses go out; what is left after the grace period is cut.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_stream::Stream;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::body::Body;
use tonic::server::NamedService;
use tonic::service::Routes;
use tonic::transport::server::Connected;
use tonic::transport::{Channel, Endpoint, Server};
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use super::connection::{Accept, Severable};
use super::document::Documents;
use super::knowledge_base::KnowledgeBases;
use super::layer::CallLayer;
use super::lifecycle::Lifecycle;
use super::model::Models;
use super::pb;
use super::pb::document_service_server::DocumentServiceServer;
use super::pb::knowledge_base_service_server::KnowledgeBaseServiceServer;
use super::pb::model_service_server::ModelServiceServer;
use super::pb::retrieval_service_server::RetrievalServiceServer;
use super::retrieval::Retrievals;
use super::write_watch::WriteWatch;
use super::{Error, ServiceConfig};
use crate::knowledge_base::Groundwork;

/// Takes a service's server, and gives it compression both ways and the message limit.
macro_rules! limited {
    ($server:expr, $config:expr) => {
        $server
            .accept_compressed(tonic::codec::CompressionEncoding::Gzip)
            .accept_compressed(tonic::codec::CompressionEncoding::Zstd)
            .send_compressed(tonic::codec::CompressionEncoding::Gzip)
            .send_compressed(tonic::codec::CompressionEncoding::Zstd)
            .max_decoding_message_size($config.max_message_bytes)
    };
}

#[cfg(test)]
mod tests;

/// Window of one stream: how much of an ingestion may wait for the facade to ask for more.
const STREAM_WINDOW_BYTES: u32 = 1 << 20;
/// Window of a connection, for several streams at once.
const CONNECTION_WINDOW_BYTES: u32 = 4 << 20;
/// Streams that one connection may have open; a client waits for its own streams above that.
const MAX_STREAMS_PER_CONNECTION: u32 = 1_024;
/// Buffer of the pipe of [`in_process`], each way.
const PIPE_BYTES: usize = 256 << 10;
/// Connections of [`in_process`] that may wait to be accepted.
const PIPE_BACKLOG: usize = 16;
/// Time that connections have to close once all calls are over. Those whose client never said a word do not close by
/// themselves.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
/// Time that connections have to notice that they were cut.
const SEVER_TIMEOUT: Duration = Duration::from_secs(1);

/// Time that work has to notice that it was cut off with [`InProcess::cut`]: about a batch of embeddings, or a commit.
const CUT_TIMEOUT: Duration = Duration::from_secs(1);

/// Serves the facade on `listener` until `shutdown` completes, then ends within the grace period.
///
/// Not cancel-safe: a dropped future ends the listener, but leaves connections to end by themselves.
pub async fn serve(
    config: &ServiceConfig,
    groundwork: Arc<Groundwork>,
    listener: TcpListener,
    shutdown: impl Future<Output = ()>,
) -> Result<(), Error> {
    let site = Site::new(config)?.with_groundwork(&groundwork);
    let incoming = Accept::new(listener, site.lifecycle.severed.clone());
    site.run(incoming, shutdown).await
}

/// Serves the facade inside this process, over a pipe. Must be called on a Tokio runtime.
pub fn in_process(config: &ServiceConfig, groundwork: &Arc<Groundwork>) -> Result<InProcess, Error> {
    Ok(Site::new(config)?.with_groundwork(groundwork).in_process())
}

/// A server in this process and the channel to it. Dropping it begins the shutdown; [`InProcess::close`] also waits.
#[derive(Debug)]
pub struct InProcess {
    /// Where clients connect.
    pub channel: Channel,
    stop: DropGuard,
    /// Cuts connections, and the calls on them.
    severed: CancellationToken,
    server: JoinHandle<Result<(), Error>>,
}

impl InProcess {
    /// Shuts the server down and waits for its end.
    pub async fn close(self) -> Result<(), Error> {
        drop(self.channel);
        drop(self.stop);
        self.server.await?
    }

    /// Cuts off the calls that run and waits a moment for the step that their work is in. What was committed stays.
    pub async fn cut(self) -> Result<(), Error> {
        self.severed.cancel();
        tokio::time::timeout(CUT_TIMEOUT, self.close()).await.unwrap_or(Ok(()))
    }
}

/// What a server is made of before it has connections. Health, reflection and the layer need no facade.
struct Site {
    config: ServiceConfig,
    lifecycle: Lifecycle,
    routes: Routes,
    health: HealthReporter,
    writes: WriteWatch,
}

impl Site {
    /// Returns a server of health and reflection.
    fn new(config: &ServiceConfig) -> Result<Self, Error> {
        let (health, health_server) = tonic_health::server::health_reporter();
        let reflection = || {
            tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(pb::DESCRIPTORS)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        };
        // Each version knows itself; a listing through either names both.
        let v1 = reflection().register_encoded_file_descriptor_set(tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET);
        let v1alpha = reflection().register_encoded_file_descriptor_set(tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET);
        let (v1, v1alpha) = (v1.build_v1()?, v1alpha.build_v1alpha()?);
        let routes = Routes::default()
            .add_service(limited!(health_server, config))
            .add_service(limited!(v1, config))
            .add_service(limited!(v1alpha, config));
        Ok(Self {
            config: config.clone(),
            lifecycle: Lifecycle::new(config.max_concurrent_calls),
            routes,
            health,
            writes: WriteWatch::new(Arc::new(Vec::new)),
        })
    }

    /// Tells health what `writes` sees.
    fn watching(self, writes: WriteWatch) -> Self {
        Self { writes, ..self }
    }

    /// Adds the services of the facade.
    fn with_groundwork(self, groundwork: &Arc<Groundwork>) -> Self {
        let knowledge_bases = KnowledgeBases::new(Arc::clone(groundwork), &self.config);
        let documents = Documents::new(Arc::clone(groundwork), &self.config);
        let retrievals = Retrievals::new(Arc::clone(groundwork), &self.config);
        let models = Models::new(Arc::clone(groundwork), &self.config);
        let watched = Arc::clone(groundwork);
        let writes = WriteWatch::new(Arc::new(move || watched.write_failures()));
        let config = self.config.clone();
        self.watching(writes)
            .with_service(limited!(KnowledgeBaseServiceServer::new(knowledge_bases), config))
            .with_service(limited!(DocumentServiceServer::new(documents), config))
            .with_service(limited!(RetrievalServiceServer::new(retrievals), config))
            .with_service(limited!(ModelServiceServer::new(models), config))
    }

    fn with_service<S>(mut self, service: S) -> Self
    where
        S: tower::Service<Request<Body>, Response = http::Response<Body>, Error = Infallible>
            + NamedService
            + Clone
            + Send
            + Sync
            + 'static,
        S::Future: Send + 'static,
    {
        self.routes = self.routes.add_service(service);
        self
    }

    fn in_process(self) -> InProcess {
        let (connections, incoming) = mpsc::channel::<DuplexStream>(PIPE_BACKLOG);
        let connector = tower::service_fn(move |_: http::Uri| {
            let connections = connections.clone();
            async move {
                let (client, server) = tokio::io::duplex(PIPE_BYTES);
                let refused =
                    |_| io::Error::new(io::ErrorKind::ConnectionRefused, "the server in this process has ended");
                connections.send(server).await.map_err(refused)?;
                Ok::<_, io::Error>(TokioIo::new(client))
            }
        });
        // The address is never looked up: the connector ignores it.
        let channel = Endpoint::from_static("http://in-process").connect_with_connector_lazy(connector);
        let stop = CancellationToken::new();
        let shutdown = stop.clone().cancelled_owned();
        let severed = self.lifecycle.severed.clone();
        let cut = severed.clone();
        let incoming = ReceiverStream::new(incoming).map(move |io| Ok::<_, io::Error>(Severable::new(io, cut.clone())));
        let server = tokio::spawn(self.run(incoming, shutdown));
        InProcess {
            channel,
            stop: stop.drop_guard(),
            severed,
            server,
        }
    }

    async fn run<IO>(
        self,
        incoming: impl Stream<Item = io::Result<IO>>,
        shutdown: impl Future<Output = ()>,
    ) -> Result<(), Error>
    where
        IO: AsyncRead + AsyncWrite + Connected + Unpin + Send + 'static,
    {
        let Self {
            config,
            lifecycle,
            routes,
            health,
            mut writes,
        } = self;
        report(&health, ServingStatus::Serving).await;
        let stopping = lifecycle.stopping.clone();
        let server = Server::builder()
            .http2_keepalive_interval(config.keepalive_interval)
            .http2_keepalive_timeout(Some(config.keepalive_timeout))
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .max_concurrent_streams(MAX_STREAMS_PER_CONNECTION)
            .layer(CallLayer {
                lifecycle: lifecycle.clone(),
                default_deadline: config.default_deadline,
            })
            .add_routes(routes)
            .serve_with_incoming_shutdown(incoming, stopping.cancelled());
        let mut server = std::pin::pin!(server);
        tokio::select! {
            ended = &mut server => return Ok(ended?),
            () = shutdown => {}
            never = writes.follow(&health, &WRITING_SERVICES) => match never {},
        }
        report(&health, ServingStatus::NotServing).await;
        let ended = shut_down(server, &lifecycle, config.grace_period).await;
        writes.settle().await;
        ended
    }
}

/// Ends the server in the order that the module states. Connections close by themselves once their calls are over.
async fn shut_down<E>(
    mut server: Pin<&mut impl Future<Output = Result<(), E>>>,
    lifecycle: &Lifecycle,
    grace_period: Duration,
) -> Result<(), Error>
where
    Error: From<E>,
{
    lifecycle.stopping.cancel();
    tracing::info!(calls = lifecycle.running(), "shutting down");
    let grace_ends = tokio::time::Instant::now() + grace_period;
    let drained = async {
        tokio::select! {
            ended = &mut server => Some(ended),
            () = lifecycle.drained() => tokio::time::timeout(CLOSE_TIMEOUT, &mut server).await.ok(),
        }
    };
    match tokio::time::timeout_at(grace_ends, drained).await {
        // All connections are closed, but work may go on whose client has left.
        Ok(Some(ended)) => {
            if tokio::time::timeout_at(grace_ends, lifecycle.drained()).await.is_err() {
                tracing::warn!(
                    calls = lifecycle.running(),
                    "the grace period is over, leaving work behind"
                );
                lifecycle.severed.cancel();
            }
            return Ok(ended?);
        }
        Ok(None) => tracing::debug!("cutting idle connections"),
        Err(_) => tracing::warn!(
            calls = lifecycle.running(),
            "the grace period is over, cutting connections"
        ),
    }
    lifecycle.severed.cancel();
    match tokio::time::timeout(SEVER_TIMEOUT, server).await {
        Ok(ended) => Ok(ended?),
        Err(_) => Ok(()),
    }
}

/// What health calls broken while documents are refused: the service that takes them, and the server as a whole.
const WRITING_SERVICES: [&str; 2] = ["", DocumentServiceServer::<Documents>::NAME];

/// Tells health of every service, and of the server as a whole.
async fn report(health: &HealthReporter, status: ServingStatus) {
    let services = [
        "",
        KnowledgeBaseServiceServer::<KnowledgeBases>::NAME,
        DocumentServiceServer::<Documents>::NAME,
        RetrievalServiceServer::<Retrievals>::NAME,
        ModelServiceServer::<Models>::NAME,
    ];
    for service in services {
        health.set_service_status(service, status).await;
    }
}
