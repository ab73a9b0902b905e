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

/// Returns the model in a directory with the hash of its files, which is remembered in `stamps`; nothing where
/// `config.json` names no language model.
pub(super) fn find(path: &Path, stamps: &Path) -> Result<Option<(LanguageModelSource, String)>, Error> {
    if !is_causal(path) {
        return Ok(None);
    }
    let weights = weights_in(path)?;
    let optional = OPTIONAL.iter().filter(|name| path.join(name).is_file());
    let mut names: BTreeSet<String> = weights.clone();
    names.extend([CONFIG, TOKENIZER].map(str::to_owned));
    names.extend(optional.map(|name| (*name).to_owned()));
    let line = |name: String| verified_hash(path, stamps, &name).map(|sha256| format!("{sha256}  {name}\n"));
    let lines = names.into_iter().map(line).collect::<Result<String, _>>()?;
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
