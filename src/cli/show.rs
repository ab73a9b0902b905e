//! `groundwork config`: the configuration as it was resolved, and who set what.

use serde_json::{Map, Value, json};

use super::exit::Exit;
use super::output::Output;
use super::text::{Side, Table};
use crate::config::Config;

/// Examples, for `--help`.
pub(super) const AFTER_HELP: &str = "\
Settings come from a TOML file (--config, GROUNDWORK_CONFIG, or config.toml in the platform's directory), then from \
variables, then from flags; the last one wins. In the file a setting has the name that is shown here.

Examples:
  groundwork config
  GROUNDWORK_LISTEN=0.0.0.0:50051 groundwork config
  groundwork --set compute_threads=2 --json config | jq .compute_threads.value";

pub(super) fn run(config: &Config, output: &mut Output) -> anyhow::Result<Exit> {
    if output.is_json() {
        let settings = config.resolved().map(|resolved| {
            let described = json!({
                "value": resolved.value,
                "origin": resolved.origin.to_string(),
                "variable": resolved.key.variable(),
            });
            (resolved.key.name().to_owned(), described)
        });
        output.object(&Value::Object(settings.collect::<Map<String, Value>>()))?;
        return Ok(Exit::Done);
    }
    let mut table = Table::new(&[
        ("SETTING", Side::Left),
        ("VALUE", Side::Left),
        ("FROM", Side::Left),
        ("VARIABLE", Side::Left),
        ("WHAT IT IS", Side::Left),
    ]);
    for resolved in config.resolved() {
        table.row([
            resolved.key.name().to_owned(),
            shown(&resolved.value),
            resolved.origin.to_string(),
            resolved.key.variable().to_owned(),
            resolved.key.help().to_owned(),
        ]);
    }
    table.write(output)?;
    Ok(Exit::Done)
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
