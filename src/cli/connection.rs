//! The one way to a server: a running one over the network, or one of our own in this process over a pipe.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use tonic::transport::Channel;

use crate::config::{Config, Key, Origin};
use crate::knowledge_base::Groundwork;
use crate::service::pb::document_service_client::DocumentServiceClient;
use crate::service::pb::knowledge_base_service_client::KnowledgeBaseServiceClient;
use crate::service::pb::model_service_client::ModelServiceClient;
use crate::service::pb::retrieval_service_client::RetrievalServiceClient;
use crate::service::{self, client};

/// A server to speak to. [`Connection::close`] ends one of our own in order.
pub(super) struct Connection {
    channel: Channel,
    own: Option<service::InProcess>,
}

impl Connection {
    /// Connects to the server that the configuration names, or opens the data directory.
    pub(super) async fn open(config: &Config) -> anyhow::Result<Self> {
        if let Some(address) = remote(config) {
            return Self::connect(address).await;
        }
        // A command asks once; `eval` measures searches, not what was kept of them.
        let mut alone = config.clone();
        alone.result_cache_bytes = 0;
        alone.live_recall_share = 0.0;
        Self::own(config, &open_data(&alone).await?)
    }

    /// Connects to a running server.
    pub(super) async fn connect(address: &str) -> anyhow::Result<Self> {
        let channel = client::connect(address).await?;
        Ok(Self { channel, own: None })
    }

    /// Serves an open data directory to this process alone.
    pub(super) fn own(config: &Config, groundwork: &Arc<Groundwork>) -> anyhow::Result<Self> {
        let server = service::in_process(&config.service(), groundwork)?;
        Ok(Self {
            channel: server.channel.clone(),
            own: Some(server),
        })
    }

    pub(super) fn knowledge_bases(&self) -> KnowledgeBaseServiceClient<Channel> {
        client::knowledge_bases(self.channel.clone())
    }

    pub(super) fn documents(&self) -> DocumentServiceClient<Channel> {
        client::documents(self.channel.clone())
    }

    pub(super) fn retrieval(&self) -> RetrievalServiceClient<Channel> {
        client::retrieval(self.channel.clone())
    }

    pub(super) fn models(&self) -> ModelServiceClient<Channel> {
        client::models(self.channel.clone())
    }

    /// Ends a server of our own: what it has begun to write is written.
    pub(super) async fn close(self) {
        drop(self.channel);
        if let Some(server) = self.own {
            tell(server.close().await);
        }
    }

    /// Ends a server of our own without waiting for what it does: the user wishes to end.
    pub(super) async fn cut(self) {
        drop(self.channel);
        if let Some(server) = self.own {
            tell(server.cut().await);
        }
    }
}

/// What the command did is done; that its server did not end in order is for the log.
fn tell(ended: Result<(), service::Error>) {
    if let Err(error) = ended {
        tracing::warn!(%error, "the server in this process did not end in order");
    }
}

/// Returns the address of a running server, if commands are to speak to one. A data directory that is named by flag
/// outweighs a server that is named elsewhere.
fn remote(config: &Config) -> Option<&str> {
    let server = config.server.as_deref()?;
    let by_flag = |key| matches!(config.origin(key), Origin::Flag(_));
    (by_flag(Key::Server) || !by_flag(Key::DataDir)).then_some(server)
}

/// Opens the data directory that the configuration names.
pub(super) async fn open_data(config: &Config) -> anyhow::Result<Arc<Groundwork>> {
    let settings = config.settings(own_program());
    let opened = tokio::task::spawn_blocking(move || Groundwork::open(settings));
    let groundwork = opened
        .await
        .context("opening the data directory failed")?
        .with_context(|| {
            let origin = config.origin(Key::DataDir);
            format!(
                "cannot open the data directory {} ({origin})",
                config.data_dir.display()
            )
        })?;
    Ok(Arc::new(groundwork))
}

/// Returns the path of this program, which reads PDFs as a child process of itself.
fn own_program() -> Option<PathBuf> {
    match std::env::current_exe() {
        Ok(path) => Some(path),
        Err(error) => {
            tracing::warn!(%error, "cannot tell the path of this program, so PDFs are read in this process");
            None
        }
    }
}
