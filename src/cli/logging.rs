//! Log lines: which, and how they are written to stderr.

use tracing_subscriber::EnvFilter;

use super::exit::Usage;
use super::progress::LogWriter;
use crate::config::{Config, Key, LogFormat};

/// What a server logs when nobody says otherwise.
pub(super) const SERVER_FILTER: &str = "warn,groundwork=info";
/// What the other commands log: their results speak for themselves.
pub(super) const COMMAND_FILTER: &str = "error,groundwork=warn";

/// Begins logging.
pub(super) fn start(config: &Config, default: &str) -> Result<(), Usage> {
    let filter = config.log.as_deref().unwrap_or(default);
    let filter = EnvFilter::try_new(filter).map_err(|error| {
        let origin = config.origin(Key::Log);
        Usage(format!(
            "log from {origin}: `{filter}` is not a filter such as info or groundwork=debug: {error}"
        ))
    })?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(|| LogWriter)
        .with_ansi(console::colors_enabled_stderr());
    let started = match config.log_format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().with_ansi(false).try_init(),
    };
    if started.is_err() {
        tracing::debug!("logging was started before");
    }
    Ok(())
}
