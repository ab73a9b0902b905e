//! Layers to a checked [`Config`]: types, ranges, defaults.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use super::layer::Raw;
use super::{Config, Error, Key, Layers, LogFormat, Origin, Resolved, platform};
use crate::service::ServiceConfig;

/// Address that is served when nobody says otherwise: this machine only.
const DEFAULT_LISTEN: &str = "127.0.0.1:50051";
/// Embedding model that comes with the built-in catalog.
const DEFAULT_EMBEDDING_MODEL: &str = "all-minilm-l6-v2";
/// Language model that comes with the built-in catalog.
const DEFAULT_LANGUAGE_MODEL: &str = "smollm2-135m-instruct";
/// A long book as PDF fits, a film does not.
const DEFAULT_MAX_DOCUMENT_BYTES: usize = 64 << 20;
/// One answer takes seconds on a laptop; who waits behind more than these is told so at once.
const DEFAULT_MAX_QUEUED_ANSWERS: usize = 8;
/// All answers that are made at once may fill a window of 8,192 tokens.
const DEFAULT_MAX_RUNNING_TOKENS: usize = 65_536;
/// Some thousand results of five hits.
const DEFAULT_RESULT_CACHE_MB: usize = 16;
/// Hundred checks of ten thousand searches tell the recall to a hundredth.
const DEFAULT_LIVE_RECALL_SHARE: f64 = 0.01;

/// Each call may hold a blocking thread, of which Tokio gives 512.
const MAX_CONCURRENT_CALLS: usize = 500;

pub(super) fn resolve(layers: &Layers) -> Result<Config, Error> {
    let service = ServiceConfig::default();
    let mut values = Values {
        layers,
        resolved: BTreeMap::new(),
    };
    Ok(Config {
        data_dir: values.directory(Key::DataDir, platform::data_dir)?,
        models_dir: values.directory(Key::ModelsDir, platform::models_dir)?,
        model_catalog: values.optional(Key::ModelCatalog, "a path", path, |path| json!(path))?,
        model_sources: values.value(Key::ModelSources, "a list of paths", Vec::new(), paths, |paths| {
            json!(paths)
        })?,
        model_dirs: values.value(Key::ModelDirs, "a list of paths", Vec::new(), paths, |paths| {
            json!(paths)
        })?,
        embedding_model: values.text(Key::EmbeddingModel, DEFAULT_EMBEDDING_MODEL)?,
        language_model: values.text(Key::LanguageModel, DEFAULT_LANGUAGE_MODEL)?,
        listen: values.value(Key::Listen, ADDRESS, DEFAULT_LISTEN.to_owned(), listen_address, |a| {
            json!(a)
        })?,
        server: values.optional(Key::Server, ADDRESS, server_address, |address| json!(address))?,
        offline: values.value(Key::Offline, "true or false", false, switch, |on| json!(on))?,
        max_document_bytes: values.count(Key::MaxDocumentBytes, 1..=1 << 30, DEFAULT_MAX_DOCUMENT_BYTES)?,
        max_queued_answers_in_all: values.count(Key::MaxQueuedAnswersInAll, 0..=100_000, 0)?,
        max_queued_answers: values.count(Key::MaxQueuedAnswers, 1..=10_000, DEFAULT_MAX_QUEUED_ANSWERS)?,
        max_running_tokens: values.count(Key::MaxRunningTokens, 256..=1 << 30, DEFAULT_MAX_RUNNING_TOKENS)?,
        max_model_memory: values.count(Key::MaxModelMemoryMegabytes, 0..=1 << 24, 0)? << 20,
        compute_threads: values.count(Key::ComputeThreads, 0..=1_024, 0)?,
        max_concurrent_calls: values.count(
            Key::MaxConcurrentCalls,
            1..=MAX_CONCURRENT_CALLS,
            service.max_concurrent_calls,
        )?,
        grace_period: values.seconds(Key::GracePeriodSeconds, 0..=3_600, service.grace_period)?,
        backup_dir: values.optional(Key::BackupDir, "a path", path, |path| json!(path))?,
        bundles: values.value(Key::Bundles, "a list of paths", Vec::new(), paths, |paths| json!(paths))?,
        result_cache_bytes: values.count(Key::ResultCacheMegabytes, 0..=65_536, DEFAULT_RESULT_CACHE_MB)? << 20,
        live_recall_share: values.value(
            Key::LiveRecallShare,
            "a number from 0 to 1",
            DEFAULT_LIVE_RECALL_SHARE,
            share,
            |share| json!(share),
        )?,
        log: values.optional(Key::Log, "a filter such as info or groundwork=debug", text, |filter| {
            json!(filter)
        })?,
        log_format: values.value(Key::LogFormat, "text or json", LogFormat::Text, log_format, |format| {
            json!(format.to_string())
        })?,
        resolved: values.resolved,
    })
}

struct Values<'a> {
    layers: &'a Layers,
    resolved: BTreeMap<Key, Resolved>,
}

impl Values<'_> {
    /// Returns what the layers say, if they do; `parse` returns nothing for what does not fit.
    fn optional<T>(
        &mut self,
        key: Key,
        expected: &str,
        parse: impl FnOnce(&Raw) -> Option<T>,
        show: impl FnOnce(&T) -> Value,
    ) -> Result<Option<T>, Error> {
        let Some((raw, origin)) = self.layers.get(key) else {
            self.record(key, Value::Null, Origin::Default);
            return Ok(None);
        };
        let Some(value) = parse(raw) else {
            return Err(Error::Invalid {
                key: key.name(),
                origin: origin.clone(),
                expected: expected.to_owned(),
                found: shown(raw),
            });
        };
        self.record(key, show(&value), origin.clone());
        Ok(Some(value))
    }

    fn value<T>(
        &mut self,
        key: Key,
        expected: &str,
        default: T,
        parse: impl FnOnce(&Raw) -> Option<T>,
        show: impl Fn(&T) -> Value,
    ) -> Result<T, Error> {
        if let Some(value) = self.optional(key, expected, parse, &show)? {
            return Ok(value);
        }
        self.record(key, show(&default), Origin::Default);
        Ok(default)
    }

    fn text(&mut self, key: Key, default: &str) -> Result<String, Error> {
        self.value(key, "a text that is not empty", default.to_owned(), text, |text| {
            json!(text)
        })
    }

    fn count(&mut self, key: Key, range: RangeInclusive<usize>, default: usize) -> Result<usize, Error> {
        let expected = format!("a number from {} to {}", range.start(), range.end());
        let parse = |raw: &Raw| number(raw).filter(|number| range.contains(number));
        self.value(key, &expected, default, parse, |number| json!(number))
    }

    fn seconds(&mut self, key: Key, range: RangeInclusive<usize>, default: Duration) -> Result<Duration, Error> {
        let seconds = self.count(key, range, default.as_secs() as usize)?;
        Ok(Duration::from_secs(seconds as u64))
    }

    fn directory(&mut self, key: Key, default: fn() -> Option<PathBuf>) -> Result<PathBuf, Error> {
        if let Some(path) = self.optional(key, "a path", path, |path| json!(path))? {
            return Ok(path);
        }
        let Some(path) = default() else {
            return Err(Error::NoHome {
                key: key.name(),
                flag: key.flag(),
                variable: key.variable(),
            });
        };
        self.record(key, json!(path), Origin::Default);
        Ok(path)
    }

    fn record(&mut self, key: Key, value: Value, origin: Origin) {
        self.resolved.insert(key, Resolved { key, value, origin });
    }
}

const ADDRESS: &str = "an address as host:port";

fn shown(raw: &Raw) -> String {
    match raw {
        Raw::Text(text) => format!("`{}`", text.to_string_lossy()),
        Raw::Toml(value, _) => format!("`{value}`"),
    }
}

fn text(raw: &Raw) -> Option<String> {
    let text = match raw {
        Raw::Text(text) => text.to_str()?,
        Raw::Toml(value, _) => value.as_str()?,
    };
    (!text.trim().is_empty()).then(|| text.trim().to_owned())
}

fn number(raw: &Raw) -> Option<usize> {
    match raw {
        Raw::Text(text) => text.to_str()?.trim().replace('_', "").parse().ok(),
        Raw::Toml(value, _) => usize::try_from(value.as_integer()?).ok(),
    }
}

fn share(raw: &Raw) -> Option<f64> {
    let share = match raw {
        Raw::Text(text) => text.to_str()?.trim().parse().ok()?,
        Raw::Toml(value, _) => value
            .as_float()
            .or_else(|| value.as_integer().map(|whole| whole as f64))?,
    };
    (0.0..=1.0).contains(&share).then_some(share)
}

fn switch(raw: &Raw) -> Option<bool> {
    match raw {
        Raw::Text(text) => match text.to_str()?.trim() {
            "true" | "1" => Some(true),
            "false" | "0" => Some(false),
            _ => None,
        },
        Raw::Toml(value, _) => value.as_bool(),
    }
}

fn log_format(raw: &Raw) -> Option<LogFormat> {
    match text(raw)?.as_str() {
        "text" => Some(LogFormat::Text),
        "json" => Some(LogFormat::Json),
        _ => None,
    }
}

fn path(raw: &Raw) -> Option<PathBuf> {
    match raw {
        Raw::Text(text) => path_of(text, Path::new("")),
        Raw::Toml(value, directory) => path_of(OsStr::new(value.as_str()?), directory),
    }
}

fn path_of(text: &OsStr, directory: &Path) -> Option<PathBuf> {
    (!text.is_empty()).then(|| directory.join(text))
}

fn paths(raw: &Raw) -> Option<Vec<PathBuf>> {
    match raw {
        Raw::Text(text) => Some(
            std::env::split_paths(text)
                .filter(|path| path != Path::new(""))
                .collect(),
        ),
        Raw::Toml(value, directory) => value
            .as_array()?
            .iter()
            .map(|path| path_of(&OsString::from(path.as_str()?), directory))
            .collect(),
    }
}

fn listen_address(raw: &Raw) -> Option<String> {
    let address = text(raw)?;
    let (host, port) = address.rsplit_once(':')?;
    port.parse::<u16>().ok()?;
    (!host.is_empty()).then(|| address.clone())
}

/// Takes `host:port` and a URL, which is how other tools write addresses of gRPC servers.
fn server_address(raw: &Raw) -> Option<String> {
    let address = text(raw)?;
    match address.split_once("://") {
        Some(("http", rest)) if !rest.is_empty() => Some(address),
        Some(_) => None,
        None => Some(format!("http://{}", listen_address(raw)?)),
    }
}
