//! `groundwork demo`: from nothing to cited answers with one command.
//!
//! Comes in: the handbook of this very service. Goes out: three answers with their sources, then a server with lines
//! for grpcurl to paste. A second run fetches and ingests nothing again.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;

use super::connection::{Connection, open_data};
use super::exit::{Exit, Usage};
use super::install::{self, Pulled};
use super::output::{Output, note};
use super::session::Session;
use super::signal::Interrupt;
use super::{ask, ingest, serve};
use crate::config::{self, Config};
use crate::service::pb;

/// Name of the knowledge base.
const KNOWLEDGE_BASE: &str = "handbook";
/// Where the handbook lies in a clone.
const CORPUS: &str = "corpora/handbook/documents";
/// What is asked.
const QUESTIONS: [&str; 3] = ["What is a chunk?", "What is an epoch?", "How large can a document be?"];

#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Arguments {
    /// End after the answers instead of serving
    #[arg(long)]
    pub(super) once: bool,
    /// Address to serve on [default: 127.0.0.1:50051]
    #[arg(long, value_name = "HOST:PORT", conflicts_with = "once")]
    pub(super) listen: Option<String>,
    /// Directory of documents [default: the handbook in the clone]
    #[arg(long, value_name = "DIR")]
    pub(super) corpus: Option<PathBuf>,
    /// Fetch no model files
    #[arg(long)]
    pub(super) offline: bool,
}

const AFTER_HELP: &str = "\
Data goes to --data-dir, by default to a directory of the demo's own. A second run is quick: models and documents that \
are there are not fetched and not ingested again.

Examples:
  groundwork demo
  groundwork demo --once
  groundwork demo --data-dir /tmp/demo --listen 127.0.0.1:6000";

/// Returns the configuration of the demo: its data are kept apart from the user's own.
pub(super) fn configure(mut config: Config, named_by_flag: bool) -> Config {
    if !named_by_flag && let Some(directory) = config::demo_dir() {
        config.data_dir = directory;
    }
    config.server = None;
    config
}

pub(super) async fn run(
    arguments: Arguments,
    config: &Config,
    output: Output,
    interrupt: &Interrupt,
) -> anyhow::Result<Exit> {
    let corpus = corpus(arguments.corpus)?;
    // What can fail at once fails before anything is fetched.
    let listener = if arguments.once {
        None
    } else {
        Some(serve::bind(config).await?)
    };
    if install::prepare(config, interrupt).await? == Pulled::Interrupted {
        note("interrupted: the same command goes on");
        return Ok(Exit::Interrupted);
    }
    let groundwork = open_data(config).await?;
    serve::warm_up(&groundwork).await?;
    let mut session = Session {
        connection: Connection::own(config, &groundwork)?,
        output,
        interrupt: interrupt.clone(),
        max_document_bytes: config.max_document_bytes,
    };
    let shown = Box::pin(show(corpus, &mut session)).await;
    session.connection.close().await;
    let exit = shown?;
    let Some(listener) = listener.filter(|_| exit == Exit::Done) else {
        return Ok(exit);
    };
    let address = listener.local_addr()?;
    note(format!("serving on {address}; Ctrl-C ends it. In another terminal:\n"));
    for line in grpcurl_lines(&address.to_string()) {
        session.output.line(line)?;
    }
    Box::pin(serve::serve(config, groundwork, listener, interrupt)).await?;
    Ok(Exit::Done)
}

/// Finds the directory of documents: as said, below the working directory, or where this program was built.
fn corpus(named: Option<PathBuf>) -> Result<PathBuf, Usage> {
    if let Some(named) = named {
        return if named.is_dir() {
            Ok(named)
        } else {
            Err(Usage(format!(
                "--corpus {}: there is no such directory",
                named.display()
            )))
        };
    }
    let candidates = [
        PathBuf::from(CORPUS),
        Path::new(env!("CARGO_MANIFEST_DIR")).join(CORPUS),
    ];
    let found = candidates.iter().find(|candidate| candidate.is_dir()).cloned();
    found.ok_or_else(|| {
        Usage(format!(
            "no {CORPUS} here: run the demo in a clone of the repository, or give --corpus DIR"
        ))
    })
}

async fn show(corpus: PathBuf, session: &mut Session) -> anyhow::Result<Exit> {
    create(session).await?;
    let arguments = ingest::Arguments {
        knowledge_base: KNOWLEDGE_BASE.to_owned(),
        paths: vec![corpus],
        metadata: Vec::new(),
        prefix: String::new(),
        access: ingest::AccessFlags::default(),
    };
    note(format!(
        "ingesting the handbook into the knowledge base `{KNOWLEDGE_BASE}`"
    ));
    match ingest::run(arguments, session).await? {
        // One unreadable file of a corpus of one's own is no reason to answer nothing.
        Exit::Done | Exit::Partial => {}
        exit => return Ok(exit),
    }
    for question in QUESTIONS {
        if !session.output.is_json() {
            let title = session.output.bold(&format!("\n? {question}\n"));
            session.output.line(title)?;
        }
        let request = ask::plain_request(KNOWLEDGE_BASE, question);
        let interrupt = session.interrupt.clone();
        tokio::select! {
            answered = ask::answer(request, session) => answered?,
            () = interrupt.wished() => return Ok(Exit::Interrupted),
        }
    }
    Ok(Exit::Done)
}

async fn create(session: &Session) -> anyhow::Result<()> {
    let mut client = session.connection.knowledge_bases();
    let request = pb::GetKnowledgeBaseRequest {
        knowledge_base_id: KNOWLEDGE_BASE.to_owned(),
        ..pb::GetKnowledgeBaseRequest::default()
    };
    match client.get_knowledge_base(request).await {
        Ok(_) => return Ok(()),
        Err(status) if status.code() == tonic::Code::NotFound => {}
        Err(status) => return Err(status.into()),
    }
    let request = pb::CreateKnowledgeBaseRequest {
        name: KNOWLEDGE_BASE.to_owned(),
        description: "The handbook of Groundwork itself".to_owned(),
        ..pb::CreateKnowledgeBaseRequest::default()
    };
    client
        .create_knowledge_base(request)
        .await
        .context("cannot create the knowledge base of the demo")?;
    Ok(())
}

/// Returns lines to paste: what there is, how it looks, a search, a streamed answer.
fn grpcurl_lines(address: &str) -> Vec<String> {
    let call = |method: &str, data: &str| format!("grpcurl -plaintext -d '{data}' {address} groundwork.v1.{method}");
    vec![
        format!("grpcurl -plaintext {address} list"),
        format!("grpcurl -plaintext {address} describe groundwork.v1.RetrievalService"),
        call(
            "RetrievalService/Retrieve",
            &format!(
                r#"{{"knowledge_base_id": "{KNOWLEDGE_BASE}", "retrieval_query": {{"text": "{}"}}}}"#,
                QUESTIONS[0]
            ),
        ),
        call(
            "RetrievalService/RetrieveAndGenerateStream",
            &format!(
                r#"{{"knowledge_base_id": "{KNOWLEDGE_BASE}", "input": {{"text": "{}"}}}}"#,
                QUESTIONS[0]
            ),
        ),
    ]
}
