//! `groundwork kb`: creates, lists, describes, changes and removes knowledge bases.
//!
//! Comes in: names, settings. Goes out: descriptions.
//! Always holds: a knowledge base is removed only by someone who typed its name or said that nobody need ask.
//! Not here: epochs and upkeep, which have commands of their own.

mod change;
mod show;

use std::io::{BufRead as _, IsTerminal as _};

use clap::{Args, Subcommand};

pub(super) use self::show::show;
use super::exit::{Exit, Usage};
use super::json;
use super::moment::ReadFlags;
use super::output::{Output, note};
use super::session::Session;
use super::text::{Side, Table, one_line};
use crate::service::pb;

/// Entries that one call asks for; lists of any length are read page by page.
const PAGE_SIZE: u32 = 1_000;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Create an empty knowledge base
    #[command(after_help = "Examples:\n  groundwork kb create handbook\n  \
        groundwork kb create laws --language de --chunk-tokens 256 --tag team=legal\n  \
        groundwork kb create letters --retain-epochs 10 --retain-age 30d --original-content discard")]
    Create(change::Create),
    /// List knowledge bases, oldest first
    #[command(
        visible_alias = "ls",
        after_help = "Examples:\n  groundwork kb list\n  groundwork --json kb list | jq -r .name"
    )]
    List,
    /// Describe a knowledge base
    #[command(after_help = "Examples:\n  groundwork kb get handbook\n  \
        groundwork kb get handbook --as-of-epoch 12\n  \
        groundwork --json kb get handbook | jq .storage_statistics")]
    Get(Get),
    /// Change name, description, tags, retention, or whether contents are kept
    #[command(after_help = change::UPDATE_HELP)]
    Update(change::Update),
    /// Remove a knowledge base with all its documents
    #[command(
        visible_alias = "rm",
        after_help = "Examples:\n  groundwork kb delete handbook\n  groundwork kb delete handbook --yes"
    )]
    Delete(Delete),
}

#[derive(Debug, Args)]
pub(super) struct Named {
    /// Id or name of the knowledge base
    #[arg(value_name = "KB")]
    knowledge_base: String,
}

#[derive(Debug, Args)]
pub(super) struct Get {
    #[command(flatten)]
    named: Named,
    #[command(flatten)]
    read: ReadFlags,
}

#[derive(Debug, Args)]
pub(super) struct Delete {
    #[command(flatten)]
    named: Named,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
}

pub(super) async fn run(command: Command, session: &mut Session) -> anyhow::Result<Exit> {
    match command {
        Command::Create(arguments) => change::create(arguments, session).await,
        Command::List => list(session).await,
        Command::Get(arguments) => {
            let knowledge_base = get(&arguments.named.knowledge_base, arguments.read, session).await?;
            show(&knowledge_base, &mut session.output)?;
            Ok(Exit::Done)
        }
        Command::Update(arguments) => change::update(arguments, session).await,
        Command::Delete(arguments) => delete(arguments, session).await,
    }
}

async fn list(session: &mut Session) -> anyhow::Result<Exit> {
    let mut client = session.connection.knowledge_bases();
    let mut all = Vec::new();
    let mut page_token = String::new();
    loop {
        let page_size = PAGE_SIZE;
        let request = pb::ListKnowledgeBasesRequest { page_size, page_token };
        let page = client.list_knowledge_bases(request).await?.into_inner();
        all.extend(page.knowledge_bases);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    write_list(&all, &mut session.output)?;
    Ok(Exit::Done)
}

fn write_list(all: &[pb::KnowledgeBase], output: &mut Output) -> std::io::Result<()> {
    if output.is_json() {
        return all.iter().try_for_each(|kb| output.object(&json::knowledge_base(kb)));
    }
    if all.is_empty() {
        note("there are no knowledge bases yet: create one with `groundwork kb create NAME`");
        return Ok(());
    }
    let mut table = Table::new(&[
        ("NAME", Side::Left),
        ("ID", Side::Left),
        ("DOCUMENTS", Side::Right),
        ("CHUNKS", Side::Right),
        ("EPOCH", Side::Right),
        ("STATUS", Side::Left),
        ("EMBEDDING MODEL", Side::Left),
    ]);
    for kb in all {
        table.row([
            kb.name.clone(),
            kb.knowledge_base_id.clone(),
            kb.document_count.to_string(),
            kb.chunk_count.to_string(),
            kb.epoch.to_string(),
            status(kb).to_owned(),
            kb.embedding_model_id.clone(),
        ]);
    }
    table.write(output)
}

/// Returns the description of a knowledge base.
async fn get(id_or_name: &str, read: ReadFlags, session: &Session) -> anyhow::Result<pb::KnowledgeBase> {
    let request = pb::GetKnowledgeBaseRequest {
        knowledge_base_id: id_or_name.to_owned(),
        min_epoch: read.min_epoch(),
        as_of_epoch: read.as_of_epoch(),
        as_of_time: read.as_of_time(),
    };
    let response = session.connection.knowledge_bases().get_knowledge_base(request).await?;
    Ok(response.into_inner().knowledge_base.unwrap_or_default())
}

fn status(kb: &pb::KnowledgeBase) -> &'static str {
    match kb.status() {
        pb::KnowledgeBaseStatus::Active => "active",
        pb::KnowledgeBaseStatus::Failed => "failed",
        pb::KnowledgeBaseStatus::Deleting => "deleting",
        pb::KnowledgeBaseStatus::Unspecified => "unknown",
    }
}

async fn delete(arguments: Delete, session: &mut Session) -> anyhow::Result<Exit> {
    let kb = get(&arguments.named.knowledge_base, ReadFlags::default(), session).await?;
    if !arguments.yes && !confirmed(&kb).await? {
        note("nothing was removed");
        return Ok(Exit::Failed);
    }
    let request = pb::DeleteKnowledgeBaseRequest {
        knowledge_base_id: kb.knowledge_base_id,
    };
    let response = session
        .connection
        .knowledge_bases()
        .delete_knowledge_base(request)
        .await?;
    let id = response.into_inner().knowledge_base_id;
    if session.output.is_json() {
        session.output.object(&serde_json::json!({ "knowledge_base_id": id }))?;
    } else {
        session.output.line(format!("removed {} ({id})", one_line(&kb.name)))?;
    }
    Ok(Exit::Done)
}

async fn confirmed(kb: &pb::KnowledgeBase) -> anyhow::Result<bool> {
    if !std::io::stdin().is_terminal() {
        let message = format!(
            "removing {} cannot be undone: say --yes to do it unasked",
            one_line(&kb.name)
        );
        return Err(Usage(message).into());
    }
    note(format!(
        "{} holds {} documents, and removing it cannot be undone. Type its name to go on:",
        one_line(&kb.name),
        kb.document_count
    ));
    // On a thread of its own, so that Ctrl-C is heard while nobody types.
    let typed = tokio::task::spawn_blocking(|| {
        let mut typed = String::new();
        std::io::stdin().lock().read_line(&mut typed).map(|_| typed)
    });
    Ok(typed.await??.trim() == kb.name)
}
