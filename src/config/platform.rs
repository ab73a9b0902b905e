//! Where the platform keeps things: the defaults of directories, and the file that is read unasked.

use std::path::PathBuf;

use directories::ProjectDirs;

use super::Key;

fn platform() -> Option<ProjectDirs> {
    ProjectDirs::from("", "", "groundwork")
}

/// Returns the platform's configuration file, if there is one.
pub(super) fn default_file() -> Option<PathBuf> {
    let path = platform()?.config_dir().join("config.toml");
    path.is_file().then_some(path)
}

/// Returns the directory that data goes to by default. Data of the demo has another one beside it.
pub(super) fn data_dir() -> Option<PathBuf> {
    Some(platform()?.data_dir().join("data"))
}

/// Returns the directory that model files go to by default.
pub(super) fn models_dir() -> Option<PathBuf> {
    Some(platform()?.cache_dir().join("models"))
}

/// Returns the directory that the demo's data goes to by default.
pub fn demo_dir() -> Option<PathBuf> {
    Some(platform()?.data_dir().join("demo"))
}

/// Returns the directory of model files that holds when neither a file nor a flag names one: the environment's, else
/// the platform's.
pub fn default_models_dir() -> Option<PathBuf> {
    let named = std::env::var_os(Key::ModelsDir.variable()).filter(|directory| !directory.is_empty());
    named.map(PathBuf::from).or_else(models_dir)
}
