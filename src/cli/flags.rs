//! The commands and their flags.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use super::{
    ask, backup, bundle, check, converse, documents, embed, epochs, eval, exit, explain, ingest, knowledge_bases,
    limits, models, rerank, restore, search, serve, show, vacuum,
};
use crate::cli::{attribute, demo};
use crate::config::{self, Key, Layers};

/// A retrieval-augmented knowledge base in one process: documents in, cited answers out
#[derive(Debug, Parser)]
#[command(name = "groundwork", version, after_help = EXAMPLES, after_long_help = long_help(), max_term_width = 110)]
pub(super) struct Arguments {
    #[command(flatten)]
    pub(super) global: GlobalFlags,
    #[command(subcommand)]
    pub(super) command: Command,
}

const EXAMPLES: &str = "\
Examples:
  groundwork demo
  groundwork kb create notes
  groundwork ingest notes ~/notes
  groundwork ask notes \"When is the release?\"
  groundwork serve --listen 127.0.0.1:50051";

fn long_help() -> String {
    format!(
        "{EXAMPLES}\n\n{}\n\n{}\n\n{}\n\nWith --json results are one JSON object, or one a line where there are many. \
         Fields are named as in the .proto files.\n\nSettings can also stand in a file or in the environment: \
         see `groundwork config --help`.",
        attribute::HELP,
        attribute::CONDITIONS_HELP,
        exit::HELP
    )
}

/// Flags of every command.
#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
#[expect(
    clippy::doc_markdown,
    reason = "these are help texts, where backticks would be shown"
)]
pub(super) struct GlobalFlags {
    /// Where knowledge bases live [default: the platform's data directory; GROUNDWORK_DATA_DIR]
    #[arg(long, global = true, value_name = "DIR", conflicts_with = "server")]
    pub(super) data_dir: Option<PathBuf>,
    /// Speak to a running server in place of opening the data directory (GROUNDWORK_SERVER)
    #[arg(long, global = true, value_name = "HOST:PORT")]
    pub(super) server: Option<String>,
    /// Where model files live [default: the platform's cache directory; GROUNDWORK_MODELS]
    #[arg(long, global = true, value_name = "DIR")]
    pub(super) models_dir: Option<PathBuf>,
    /// A directory with a model (an encoder, or a language model as one GGUF file or as safetensors), used under the directory's name; may be repeated
    /// (GROUNDWORK_MODEL_DIRS)
    #[arg(long, global = true, value_name = "DIR")]
    pub(super) model_dir: Vec<PathBuf>,
    /// Configuration file (GROUNDWORK_CONFIG)
    #[arg(long, global = true, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// Any setting by its name in the file; may be repeated
    #[arg(long, global = true, value_name = "KEY=VALUE", value_parser = attribute::parse_label)]
    pub(super) set: Vec<(String, String)>,
    /// Write results as JSON, for scripts
    #[arg(long, global = true)]
    pub(super) json: bool,
    /// Which log lines go to stderr, such as info or groundwork=debug (GROUNDWORK_LOG)
    #[arg(long, global = true, value_name = "FILTER")]
    pub(super) log: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Serve knowledge bases over gRPC
    Serve(serve::Arguments),
    /// Fetch models, ingest the handbook, answer three questions with citations, then serve
    Demo(demo::Arguments),
    #[command(flatten)]
    Client(Box<ClientCommand>),
    /// Measure how good retrieval is, on test collections and run files
    #[command(subcommand)]
    Eval(eval::Command),
    /// List, fetch and verify model files
    #[command(subcommand)]
    Models(models::Command),
    /// Show the configuration, and who set what
    #[command(after_help = show::AFTER_HELP)]
    Config,
}

/// Commands that speak to a server: a running one, or one of their own.
#[derive(Debug, Subcommand)]
pub(super) enum ClientCommand {
    /// Create, list, describe, change and remove knowledge bases
    #[command(subcommand)]
    Kb(knowledge_bases::Command),
    /// Take files and directories into a knowledge base
    Ingest(ingest::Arguments),
    /// Find the passages that fit a query best
    Search(search::Arguments),
    /// Answer a question from a knowledge base, with citations
    Ask(ask::Arguments),
    /// Tell why a document is not among the hits of a query, and what would bring it in
    Explain(explain::Arguments),
    /// Order texts by how relevant they are to a query
    Rerank(rerank::Arguments),
    /// Ask a language model, without a knowledge base
    Converse(converse::Arguments),
    /// Turn texts into vectors
    Embed(embed::EmbedArguments),
    /// Count the tokens of a text
    CountTokens(embed::CountArguments),
    /// Tell what requests may ask for, and what they get when they say nothing
    Limits(limits::Arguments),
    /// List, describe, delete and erase documents
    #[command(subcommand, visible_alias = "docs")]
    Documents(documents::Command),
    /// List, name, compare and bring back earlier states
    #[command(subcommand)]
    Epochs(epochs::Command),
    /// Remove now what no retained epoch sees
    Vacuum(vacuum::Arguments),
    /// Verify a knowledge base against itself
    Check(check::Arguments),
    /// Write a knowledge base into one file
    Backup(backup::Arguments),
    /// Make a knowledge base from a backup
    Restore(restore::Arguments),
    /// Seal one epoch into a file that is served as it is
    Bundle(bundle::Arguments),
}

impl Arguments {
    /// Adds what the flags say to what file and environment say.
    pub(super) fn add_to(&self, layers: &mut Layers) -> Result<(), config::Error> {
        // Before the flags of their own name, which are the more exact ones.
        for (name, value) in &self.global.set {
            layers.add_named(name, value)?;
        }
        let global = &self.global;
        let (mut listen, mut offline) = (None, false);
        match &self.command {
            Command::Serve(serve) => (listen, offline) = (serve.listen.as_ref(), serve.offline),
            Command::Demo(demo) => (listen, offline) = (demo.listen.as_ref(), demo.offline),
            _ => {}
        }
        let paths = [(Key::DataDir, &global.data_dir), (Key::ModelsDir, &global.models_dir)];
        for (key, path) in paths {
            if let Some(path) = path {
                layers.add_flag(key, path);
            }
        }
        let mut lists = vec![(Key::ModelDirs, &global.model_dir)];
        if let Command::Serve(serve) = &self.command {
            lists.push((Key::Bundles, &serve.bundle));
        }
        for (key, paths) in lists.into_iter().filter(|(_, paths)| !paths.is_empty()) {
            let joined = std::env::join_paths(paths).map_err(|error| config::Error::Invalid {
                key: key.name(),
                origin: config::Origin::Flag(key.flag()),
                expected: "a path that can stand in a list of paths".to_owned(),
                found: error.to_string(),
            })?;
            layers.add_flag(key, joined);
        }
        let mut texts = vec![
            (Key::Server, global.server.as_ref()),
            (Key::Log, global.log.as_ref()),
            (Key::Listen, listen),
        ];
        if let Command::Serve(serve) = &self.command {
            texts.push((Key::ResultCacheMegabytes, serve.result_cache_mb.as_ref()));
            texts.push((Key::LiveRecallShare, serve.live_recall_share.as_ref()));
        }
        for (key, text) in texts {
            if let Some(text) = text {
                layers.add_flag(key, text);
            }
        }
        if offline {
            layers.add_flag(Key::Offline, "true");
        }
        Ok(())
    }
}
