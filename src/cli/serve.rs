//! `groundwork serve`: the server on an address, until a signal ends it.

use std::sync::Arc;

use anyhow::Context as _;
use clap::Args;
use serde_json::json;
use tokio::net::TcpListener;

use super::connection::open_data;
use super::exit::Exit;
use super::install::{self, Pulled};
use super::output::{Output, note};
use super::progress;
use super::signal::Interrupt;
use crate::config::{Config, Key};
use crate::knowledge_base::{Groundwork, KnowledgeBaseInfo, PageRequest, check_bundle_file};
use crate::service;

#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Arguments {
    /// Address to serve on [default: 127.0.0.1:50051]
    #[arg(long, value_name = "HOST:PORT")]
    pub(super) listen: Option<String>,
    /// A sealed bundle to serve, made by `groundwork bundle`; may be repeated
    #[arg(long, value_name = "FILE")]
    pub(super) bundle: Vec<std::path::PathBuf>,
    /// Memory for results that may be asked for again, in MiB; 0 keeps none [default: 16]
    #[arg(long, value_name = "N")]
    pub(super) result_cache_mb: Option<String>,
    /// Share of the walks over vector graphs whose recall is measured, 0 to 1 [default: 0.01]
    #[arg(long, value_name = "SHARE")]
    pub(super) live_recall_share: Option<String>,
    /// Fetch no model files; calls that need missing ones fail
    #[arg(long)]
    pub(super) offline: bool,
}

const AFTER_HELP: &str = "\
The first SIGINT or SIGTERM ends the server in order: no new calls, running ones get some time. A second one ends it \
at once; what was acknowledged is on disk either way.

A bundle that is not there, or is none, is refused at the start. One that is damaged is listed as failed, with the \
reason, and the others are served.

Examples:
  groundwork serve
  groundwork serve --listen 0.0.0.0:50051 --data-dir /var/lib/groundwork
  groundwork serve --bundle handbook.bundle --bundle laws.bundle
  GROUNDWORK_LOG=groundwork=debug GROUNDWORK_LOG_FORMAT=json groundwork serve --offline";

pub(super) async fn run(config: &Config, output: &mut Output, interrupt: &Interrupt) -> anyhow::Result<Exit> {
    check_bundles(config)?;
    // An address in use is the commonest failure, so it comes to light before anything is fetched or opened.
    let listener = bind(config).await?;
    if install::prepare(config, interrupt).await? == Pulled::Interrupted {
        return Ok(Exit::Interrupted);
    }
    let groundwork = open_data(config).await?;
    warm_up(&groundwork).await?;
    let address = listener.local_addr()?;
    if output.is_json() {
        // The port may be the system's choice, and scripts wait for this line.
        output.object(&json!({ "address": address.to_string(), "data_dir": config.data_dir }))?;
    }
    note(format!(
        "serving {} on {address}, knowledge bases in {}",
        count(&groundwork)?,
        config.data_dir.display()
    ));
    serve(config, groundwork, listener, interrupt).await?;
    Ok(Exit::Done)
}

/// Refuses bundles that cannot be any: nobody would miss a mistyped one in a server that starts without it.
fn check_bundles(config: &Config) -> anyhow::Result<()> {
    for path in &config.bundles {
        check_bundle_file(path).with_context(|| {
            let origin = config.origin(Key::Bundles);
            format!("cannot serve the bundle {} ({origin})", path.display())
        })?;
    }
    Ok(())
}

/// Binds the address that the configuration names.
pub(super) async fn bind(config: &Config) -> anyhow::Result<TcpListener> {
    TcpListener::bind(&config.listen).await.with_context(|| {
        let origin = config.origin(Key::Listen);
        format!(
            "cannot serve on {} ({origin}): give another address with --listen",
            config.listen
        )
    })
}

/// Loads the models that are here, so that the first question does not wait for them.
pub(super) async fn warm_up(groundwork: &Arc<Groundwork>) -> anyhow::Result<()> {
    let loading = progress::spinner("loading models");
    let warmed = tokio::task::spawn_blocking({
        let groundwork = Arc::clone(groundwork);
        move || groundwork.warm_up()
    });
    let warmed = warmed.await.context("loading models failed")?;
    loading.finish_and_clear();
    if let Err(error) = warmed {
        // Not the end: what needs no model works, and what needs one says so.
        note(format!("warning: models are not loaded: {error}"));
    }
    Ok(())
}

/// Serves until the user wishes to end.
pub(super) async fn serve(
    config: &Config,
    groundwork: Arc<Groundwork>,
    listener: TcpListener,
    interrupt: &Interrupt,
) -> anyhow::Result<()> {
    let shutdown = {
        let interrupt = interrupt.clone();
        async move {
            interrupt.wished().await;
            note("ending: running calls get some time, a second signal ends at once");
        }
    };
    let service_config = config.service();
    let served = Box::pin(service::serve(&service_config, groundwork, listener, shutdown));
    served.await.context("the server failed")
}

fn count(groundwork: &Groundwork) -> anyhow::Result<String> {
    let size = crate::knowledge_base::MAX_PAGE_SIZE;
    let page = groundwork.knowledge_bases(&PageRequest {
        size,
        ..PageRequest::default()
    })?;
    let more = if page.next_token.is_empty() { "" } else { "more than " };
    let failed: Vec<&KnowledgeBaseInfo> = page
        .items
        .iter()
        .filter(|info| !info.failure_reasons.is_empty())
        .collect();
    for info in &failed {
        let (name, reasons) = (&info.name, info.failure_reasons.join("; "));
        tracing::error!(knowledge_base = name, reasons, "a knowledge base cannot be opened");
    }
    let all = match page.items.len() {
        1 => "1 knowledge base".to_owned(),
        count => format!("{more}{count} knowledge bases"),
    };
    Ok(match failed.len() {
        0 => all,
        count => format!("{} of {all}", page.items.len() - count),
    })
}
