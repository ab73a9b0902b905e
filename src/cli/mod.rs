//! The command line.
//!
//! Comes in: arguments, environment. Goes out: results on stdout, everything else on stderr, an exit code.
//! Always holds: commands speak to a server only through the generated clients, be it a running one or one of their own.
//! Not here: decisions about knowledge bases; they are made behind [`crate::knowledge_base`].

mod archive_file;
mod ask;
mod attribute;
mod backup;
mod bundle;
mod check;
mod connection;
mod converse;
mod demo;
mod derived;
mod documents;
mod embed;
mod epochs;
mod eval;
mod exit;
mod explain;
mod filter_json;
mod flags;
mod ingest;
mod install;
mod json;
mod knowledge_bases;
mod limits;
mod logging;
mod models;
mod moment;
mod output;
mod progress;
mod rerank;
mod restore;
mod retrieval;
mod scoring;
mod search;
mod serve;
mod serving;
mod session;
mod show;
mod signal;
#[cfg(test)]
mod tests;
mod text;
mod tier;
mod vacuum;

use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::Parser as _;

use self::connection::Connection;
use self::exit::{Exit, Told, Usage};
use self::flags::{Arguments, ClientCommand, Command};
use self::output::{Output, note};
use self::session::Session;
use self::signal::Interrupt;
use crate::config::{Config, Key, Layers, Origin};

/// How long threads that still compute are waited for at the very end.
const LAST_THREADS: Duration = Duration::from_secs(2);

/// Runs the command that the arguments name, and returns how it ended.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(help_or_error) => {
            // Help goes to stdout, errors to stderr. Nobody can be told when that fails.
            let _ = help_or_error.print();
            return if help_or_error.use_stderr() {
                Exit::Usage.into()
            } else {
                Exit::Done.into()
            };
        }
    };
    match start(arguments) {
        Ok(exit) => exit.into(),
        Err(error) if exit::is_closed_pipe(&error) => Exit::Done.into(),
        Err(error) => {
            note(format!("error: {}", Told(&error)));
            Exit::of(&error).into()
        }
    }
}

fn start(arguments: Arguments) -> anyhow::Result<Exit> {
    let config = configure(&arguments)?;
    let serves = matches!(arguments.command, Command::Serve(_));
    let filter = if serves {
        logging::SERVER_FILTER
    } else {
        logging::COMMAND_FILTER
    };
    logging::start(&config, filter)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the threads of the runtime")?;
    let ended = runtime.block_on(Box::pin(dispatch(arguments, config)));
    runtime.shutdown_timeout(LAST_THREADS);
    ended
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one place that reads the environment, for the configuration"
)]
fn configure(arguments: &Arguments) -> anyhow::Result<Config> {
    let mut layers = Layers::read(arguments.global.config.as_deref(), std::env::vars_os())?;
    arguments.add_to(&mut layers)?;
    for variable in layers.unknown_variables() {
        note(format!(
            "warning: the variable {variable} is not a setting; `groundwork config` shows those there are"
        ));
    }
    let config = Config::resolve(&layers)?;
    let server_by_flag = matches!(config.origin(Key::Server), Origin::Flag(_));
    let may_speak = matches!(
        arguments.command,
        Command::Client(_)
            | Command::Config
            | Command::Eval(eval::Command::Retrieval(_))
            | Command::Models(models::Command::Status(_))
    );
    if server_by_flag && !may_speak {
        return Err(Usage("--server makes no sense here: this command does not speak to a server".to_owned()).into());
    }
    Ok(config)
}

async fn dispatch(arguments: Arguments, config: Config) -> anyhow::Result<Exit> {
    let (interrupt, _listening) = Interrupt::listen().context("cannot listen for signals")?;
    let mut output = Output::stdout(arguments.global.json);
    match arguments.command {
        Command::Config => show::run(&config, &mut output),
        Command::Models(models::Command::Status(arguments)) => {
            let mut session = open(&config, output, interrupt).await?;
            let ended = serving::run(arguments, &mut session).await;
            session.connection.close().await;
            ended
        }
        Command::Models(models::Command::Files(command)) => {
            models::run(command, &config, &mut output, &interrupt).await
        }
        Command::Serve(_) => serve::run(&config, &mut output, &interrupt).await,
        Command::Demo(demo) => {
            let named_by_flag = arguments.global.data_dir.is_some();
            let config = demo::configure(config, named_by_flag);
            demo::run(demo, &config, output, &interrupt).await
        }
        Command::Client(command) => {
            let mut session = open(&config, output, interrupt).await?;
            let ended = speak(*command, &mut session).await;
            match ended {
                Ok(Exit::Interrupted) => session.connection.cut().await,
                _ => session.connection.close().await,
            }
            ended
        }
        Command::Eval(eval::Command::Retrieval(arguments)) => {
            let mut session = open(&config, output, interrupt).await?;
            let ended = eval::retrieval(*arguments, &mut session).await;
            session.connection.close().await;
            ended
        }
        Command::Eval(eval::Command::Run(arguments)) => eval::run(&arguments, &mut output),
        Command::Eval(eval::Command::Compare(arguments)) => eval::compare(&arguments, &mut output),
    }
}

async fn open(config: &Config, output: Output, interrupt: Interrupt) -> anyhow::Result<Session> {
    Ok(Session {
        connection: Connection::open(config).await?,
        output,
        interrupt,
        max_document_bytes: config.max_document_bytes,
    })
}

/// Runs a command that speaks to a server. The user's wish to end drops it where it stands; only an ingestion ends by
/// itself, so that it can say what was acknowledged.
async fn speak(command: ClientCommand, session: &mut Session) -> anyhow::Result<Exit> {
    let interrupt = session.interrupt.clone();
    let ends_by_itself = matches!(command, ClientCommand::Ingest(_));
    let command = async {
        match command {
            ClientCommand::Kb(command) => knowledge_bases::run(command, session).await,
            ClientCommand::Ingest(arguments) => ingest::run(arguments, session).await,
            ClientCommand::Search(arguments) => search::run(arguments, session).await,
            ClientCommand::Ask(arguments) => ask::run(arguments, session).await,
            ClientCommand::Rerank(arguments) => rerank::run(arguments, session).await,
            ClientCommand::Converse(arguments) => converse::run(arguments, session).await,
            ClientCommand::Embed(arguments) => embed::run(arguments, session).await,
            ClientCommand::CountTokens(arguments) => embed::count_tokens(arguments, session).await,
            ClientCommand::Limits(arguments) => limits::run(arguments, session).await,
            ClientCommand::Explain(arguments) => explain::run(arguments, session).await,
            ClientCommand::Documents(command) => documents::run(command, session).await,
            ClientCommand::Epochs(command) => epochs::run(command, session).await,
            ClientCommand::Vacuum(arguments) => vacuum::run(arguments, session).await,
            ClientCommand::Check(arguments) => check::run(arguments, session).await,
            ClientCommand::Backup(arguments) => backup::run(arguments, session).await,
            ClientCommand::Bundle(arguments) => bundle::run(arguments, session).await,
            ClientCommand::Restore(arguments) => restore::run(arguments, session).await,
        }
    };
    tokio::select! {
        ended = command => ended,
        () = interrupt.wished(), if !ends_by_itself => Ok(Exit::Interrupted),
    }
}
