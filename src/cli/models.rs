//! `groundwork models`: lists, fetches and verifies model files. Works on the directory itself, without a server; how models
//! serve is told by one (see [`serving`]).

use clap::{Args, Subcommand};
use indicatif::HumanBytes;
use serde_json::json;

use super::exit::Exit;
use super::install::{self, Pulled};
use super::output::{Output, note};
use super::progress;
use super::serving;
use super::signal::Interrupt;
use super::text::{Side, Table};
use crate::config::Config;
use crate::models::{Availability, CatalogFile, CatalogModel, FileState, Modality};
use crate::service::pb;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    #[command(flatten)]
    Files(Files),
    /// Tell how the language models of a running server serve: who runs and waits, tokens, speed, memory
    Status(serving::Arguments),
}

#[derive(Debug, Subcommand)]
pub(super) enum Files {
    /// List the models of the catalog, and which are here
    #[command(
        visible_alias = "ls",
        after_help = "Examples:\n  groundwork models list\n  \
        groundwork --json models list | jq -r 'select(.availability == \"MODEL_AVAILABILITY_INSTALLED\").model_id'"
    )]
    List,
    /// Fetch model files; what is here is not fetched again
    #[command(
        after_help = "Examples:\n  groundwork models pull\n  groundwork models pull all-minilm-l6-v2\n  \
        groundwork --models-dir /srv/models models pull"
    )]
    Pull(Named),
    /// Check that the files of models have the hashes that the catalog pins
    #[command(after_help = "Examples:\n  groundwork models verify\n  groundwork models verify all-minilm-l6-v2")]
    Verify(Named),
}

#[derive(Debug, Args)]
pub(super) struct Named {
    /// Ids of models [default: the two that answers need]
    #[arg(value_name = "MODEL")]
    models: Vec<String>,
}

impl Named {
    fn ids(self, config: &Config) -> Vec<String> {
        if self.models.is_empty() {
            install::default_models(config).into()
        } else {
            self.models
        }
    }
}

pub(super) async fn run(
    command: Files,
    config: &Config,
    output: &mut Output,
    interrupt: &Interrupt,
) -> anyhow::Result<Exit> {
    match command {
        Files::List => list(config, output),
        Files::Pull(named) => pull(named.ids(config), config, output, interrupt).await,
        Files::Verify(named) => verify(&named.ids(config), config, output),
    }
}

fn list(config: &Config, output: &mut Output) -> anyhow::Result<Exit> {
    let store = install::open_store(config)?;
    let models = store.list();
    if output.is_json() {
        let mut models = models.into_iter();
        models.try_for_each(|(model, availability)| {
            let files = store.files(model);
            output.object(&object(model, &files, availability, config))
        })?;
        return Ok(Exit::Done);
    }
    let mut table = Table::new(&[
        ("MODEL", Side::Left),
        ("MAKES", Side::Left),
        ("STATE", Side::Left),
        ("SIZE", Side::Right),
        ("LICENCE", Side::Left),
        ("PROVIDER", Side::Left),
    ]);
    for (model, availability) in models {
        let default = if is_default(model, config) { " (default)" } else { "" };
        table.row([
            format!("{}{default}", model.id),
            makes(model.modality).to_owned(),
            state(availability).to_owned(),
            HumanBytes(store.files(model).iter().map(|file| file.size_bytes).sum()).to_string(),
            model.license.clone(),
            model.provider.clone(),
        ]);
    }
    table.write(output)?;
    note(format!("model files are in {}", config.models_dir.display()));
    Ok(Exit::Done)
}

fn object(
    model: &CatalogModel,
    files: &[CatalogFile],
    availability: Availability,
    config: &Config,
) -> serde_json::Value {
    let files = files
        .iter()
        .map(|file| json!({ "name": file.name, "sha256": file.sha256, "size_bytes": file.size_bytes }));
    let modality = match model.modality {
        Modality::Embedding => pb::ModelModality::Embedding,
        Modality::Text => pb::ModelModality::Text,
    };
    let availability = match availability {
        Availability::NotInstalled => pb::ModelAvailability::NotInstalled,
        Availability::Installed => pb::ModelAvailability::Installed,
    };
    json!({
        "model_id": model.id,
        "model_name": model.name,
        "provider_name": model.provider,
        "license": model.license,
        "output_modality": modality.as_str_name(),
        "dimensions": model.dimensions,
        "max_input_tokens": model.max_tokens,
        "availability": availability.as_str_name(),
        "files": files.collect::<Vec<_>>(),
        "is_default": is_default(model, config),
    })
}

fn is_default(model: &CatalogModel, config: &Config) -> bool {
    install::default_models(config).contains(&model.id)
}

fn makes(modality: Modality) -> &'static str {
    match modality {
        Modality::Embedding => "embedding",
        Modality::Text => "text",
    }
}

fn state(availability: Availability) -> &'static str {
    match availability {
        Availability::NotInstalled => "not installed",
        Availability::Installed => "installed",
    }
}

async fn pull(ids: Vec<String>, config: &Config, output: &mut Output, interrupt: &Interrupt) -> anyhow::Result<Exit> {
    if install::pull(config, ids.clone(), interrupt).await? == Pulled::Interrupted {
        note("interrupted: the same command goes on");
        return Ok(Exit::Interrupted);
    }
    for id in ids {
        write_state(&id, "installed", output)?;
    }
    Ok(Exit::Done)
}

fn verify(ids: &[String], config: &Config, output: &mut Output) -> anyhow::Result<Exit> {
    let store = install::open_store(config)?;
    let mut all_right = true;
    for id in ids {
        let reading = progress::spinner(&format!("reading the files of {id}"));
        let reports = store.verify(id);
        reading.finish_and_clear();
        let mut wrong = 0_usize;
        for report in reports? {
            let state = match &report.state {
                FileState::Verified { .. } => continue,
                FileState::Missing => "missing".to_owned(),
                FileState::Damaged { found, expected } => format!("SHA-256 is {found}, should be {expected}"),
            };
            wrong += 1;
            note(format!("{}: {state}", report.path.display()));
        }
        let state = if wrong == 0 { "verified" } else { "not verified" };
        write_state(id, state, output)?;
        all_right &= wrong == 0;
    }
    if !all_right {
        note("`groundwork models pull` fetches what is missing or damaged");
    }
    Ok(if all_right { Exit::Done } else { Exit::Failed })
}

fn write_state(id: &str, state: &str, output: &mut Output) -> std::io::Result<()> {
    if output.is_json() {
        output.object(&json!({ "model_id": id, "state": state }))
    } else {
        output.line(format!("{id}: {state}"))
    }
}
