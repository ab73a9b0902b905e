//! Which files make a language model as the transformers library writes it.
//!
//! Comes in: a directory. Goes out: the names of its files of weights, and one hash of all that is read of it.
//! Always holds: a name that an index gives is that of a file in the directory.
//! Not here: what is in the files (see [`crate::generate`]).

use std::collections::BTreeSet;
use std::path::Path;

use serde::Deserialize;

use super::super::catalog::directory::{is_causal, lacks, read_optional};
use super::super::{Error, LanguageModelSource, stamp};
use super::directory::check_names;
use super::{CONFIG, TOKENIZER, WEIGHTS, verified_hash};

/// Which file has which tensor, where there are several.
const INDEX: &str = "model.safetensors.index.json";
/// What need not be there, and is read where it is.
const OPTIONAL: [&str; 4] = [
    INDEX,
    "tokenizer_config.json",
    "generation_config.json",
    "chat_template.jinja",
];

#[derive(Default, Deserialize)]
struct Index {
    #[serde(default)]
    weight_map: std::collections::BTreeMap<String, String>,
}

/// The names of the files of a model.
pub(super) struct Names {
    weights: BTreeSet<String>,
    /// Those of weights too.
    pub(super) all: BTreeSet<String>,
}

/// Returns the names of the files of the model in a directory; nothing where `config.json` names no language model.
pub(super) fn names(path: &Path) -> Result<Option<Names>, Error> {
    if !is_causal(path) {
        return Ok(None);
    }
    let weights = weights_in(path)?;
    let optional = OPTIONAL.iter().filter(|name| path.join(name).is_file());
    let mut all: BTreeSet<String> = weights.clone();
    all.extend([CONFIG, TOKENIZER].map(str::to_owned));
    all.extend(optional.map(|name| (*name).to_owned()));
    Ok(Some(Names { weights, all }))
}

/// Returns the model in a directory with the hash of its files, which is remembered in `stamps`; nothing where
/// `config.json` names no language model.
pub(super) fn find(path: &Path, stamps: &Path) -> Result<Option<(LanguageModelSource, String)>, Error> {
    let Some(Names { weights, all }) = names(path)? else {
        return Ok(None);
    };
    // Before any is read, which may take long.
    check_names(path, all.iter().map(String::as_str))?;
    let line = |name: String| verified_hash(path, stamps, &name).map(|sha256| format!("{sha256}  {name}\n"));
    let lines = all.into_iter().map(line).collect::<Result<String, _>>()?;
    let source = LanguageModelSource::Safetensors {
        directory: path.to_owned(),
        weights: weights.iter().map(|name| path.join(name)).collect(),
    };
    Ok(Some((source, stamp::hash_bytes(lines.as_bytes()))))
}

/// Returns the names of the files of weights.
fn weights_in(path: &Path) -> Result<BTreeSet<String>, Error> {
    if path.join(WEIGHTS).is_file() {
        return Ok(BTreeSet::from([WEIGHTS.to_owned()]));
    }
    let index: Index = read_optional(&path.join(INDEX))?;
    let names: BTreeSet<String> = index.weight_map.into_values().collect();
    if names.is_empty() {
        return Err(lacks(
            path,
            format!("it holds neither {WEIGHTS} nor {INDEX} that names files"),
        ));
    }
    let is_plain =
        |name: &&String| !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\\', '\0', ':']);
    if let Some(name) = names.iter().find(|name| !is_plain(name)) {
        return Err(lacks(
            path,
            format!("{INDEX} names `{name}`, which is no file beside it"),
        ));
    }
    Ok(names)
}
