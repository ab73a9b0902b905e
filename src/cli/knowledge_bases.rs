//! `groundwork kb`: creates, lists, describes and removes knowledge bases.

use std::io::{BufRead as _, IsTerminal as _};

use clap::{Args, Subcommand};

use super::attribute;
use super::exit::{Exit, Usage};
use super::json;
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
        groundwork kb create laws --language de --chunk-tokens 256 --tag team=legal")]
    Create(Create),
    /// List knowledge bases, oldest first
    #[command(
        visible_alias = "ls",
        after_help = "Examples:\n  groundwork kb list\n  groundwork --json kb list | jq -r .name"
    )]
    List,
    /// Describe a knowledge base
    #[command(after_help = "Examples:\n  groundwork kb get handbook")]
    Get(Named),
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
pub(super) struct Delete {
    #[command(flatten)]
    named: Named,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
}

#[derive(Debug, Args)]
pub(super) struct Create {
    /// Name: letters, digits, `-`, `_` and `.`
    name: String,
    /// Free text
    #[arg(long, default_value = "", hide_default_value = true)]
    description: String,
    /// Embedding model, as in `groundwork models list` [default: the server's]
    #[arg(long, value_name = "MODEL", default_value = "", hide_default_value = true)]
    embedding_model: String,
    /// Largest size of a chunk in tokens of the embedding model [default: 160]
    #[arg(long, value_name = "N")]
    chunk_tokens: Option<u32>,
    /// Tokens that a chunk repeats of the one before [default: 20]
    #[arg(long, value_name = "N")]
    overlap_tokens: Option<u32>,
    /// Make one chunk of each document
    #[arg(long, conflicts_with_all = ["chunk_tokens", "overlap_tokens"])]
    no_chunking: bool,
    /// Language of the keyword index: an ISO 639-1 code, or `simple` [default: en]
    #[arg(long, value_name = "CODE", default_value = "", hide_default_value = true)]
    language: String,
    /// Label of your own; may be repeated
    #[arg(long = "tag", value_name = "KEY=VALUE", value_parser = attribute::parse_label)]
    tags: Vec<(String, String)>,
}

pub(super) async fn run(command: Command, session: &mut Session) -> anyhow::Result<Exit> {
    match command {
        Command::Create(arguments) => create(arguments, session).await,
        Command::List => list(session).await,
        Command::Get(named) => {
            let knowledge_base = get(&named.knowledge_base, session).await?;
            show(&knowledge_base, &mut session.output)?;
            Ok(Exit::Done)
        }
        Command::Delete(arguments) => delete(arguments, session).await,
    }
}

async fn create(arguments: Create, session: &mut Session) -> anyhow::Result<Exit> {
    let mut client = session.connection.knowledge_bases();
    let response = client.create_knowledge_base(request(arguments)).await?.into_inner();
    show(&response.knowledge_base.unwrap_or_default(), &mut session.output)?;
    Ok(Exit::Done)
}

fn request(arguments: Create) -> pb::CreateKnowledgeBaseRequest {
    let sized = arguments.chunk_tokens.is_some() || arguments.overlap_tokens.is_some();
    let sizes = pb::FixedSizeChunkingConfiguration {
        max_tokens: arguments.chunk_tokens,
        overlap_tokens: arguments.overlap_tokens,
    };
    let strategy = if arguments.no_chunking {
        pb::ChunkingStrategy::None
    } else {
        pb::ChunkingStrategy::FixedSize
    };
    pb::CreateKnowledgeBaseRequest {
        name: arguments.name,
        description: arguments.description,
        embedding_model_id: arguments.embedding_model,
        chunking_configuration: Some(pb::ChunkingConfiguration {
            chunking_strategy: strategy.into(),
            fixed_size_chunking_configuration: sized.then_some(sizes),
        }),
        language: arguments.language,
        tags: arguments.tags.into_iter().collect(),
        client_token: String::new(),
        ..pb::CreateKnowledgeBaseRequest::default()
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
pub(super) async fn get(id_or_name: &str, session: &Session) -> anyhow::Result<pb::KnowledgeBase> {
    let request = pb::GetKnowledgeBaseRequest {
        knowledge_base_id: id_or_name.to_owned(),
        ..pb::GetKnowledgeBaseRequest::default()
    };
    let response = session.connection.knowledge_bases().get_knowledge_base(request).await?;
    Ok(response.into_inner().knowledge_base.unwrap_or_default())
}

fn show(kb: &pb::KnowledgeBase, output: &mut Output) -> std::io::Result<()> {
    if output.is_json() {
        return output.object(&json::knowledge_base(kb));
    }
    let chunking = kb.chunking_configuration.unwrap_or_default();
    let chunks = match (chunking.chunking_strategy(), chunking.fixed_size_chunking_configuration) {
        (pb::ChunkingStrategy::None, _) => "one for each document".to_owned(),
        (_, Some(sizes)) => format!(
            "up to {} tokens, {} of them shared with the one before",
            sizes.max_tokens.unwrap_or_default(),
            sizes.overlap_tokens.unwrap_or_default()
        ),
        (_, None) => "of the default size".to_owned(),
    };
    let mut tags: Vec<String> = kb.tags.iter().map(|(key, value)| format!("{key}={value}")).collect();
    tags.sort();
    let lines = [
        ("name", kb.name.clone()),
        ("id", kb.knowledge_base_id.clone()),
        ("description", kb.description.clone()),
        ("status", status(kb).to_owned()),
        ("reasons", kb.failure_reasons.join("; ")),
        ("documents", kb.document_count.to_string()),
        ("chunks", format!("{}, {chunks}", kb.chunk_count)),
        ("epoch", kb.epoch.to_string()),
        (
            "model",
            format!("{} of {} dimensions", kb.embedding_model_id, kb.dimensions),
        ),
        ("language", kb.language.clone()),
        ("tags", tags.join(", ")),
        (
            "created",
            kb.created_at.map_or_else(String::new, |time| time.to_string()),
        ),
    ];
    for (name, value) in lines.iter().filter(|(_, value)| !value.is_empty()) {
        output.line(format!("{}  {}", output.dim(&format!("{name:<11}")), one_line(value)))?;
    }
    Ok(())
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
    let kb = get(&arguments.named.knowledge_base, session).await?;
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
