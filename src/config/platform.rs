//! Where the platform keeps things: the defaults of directories, and the file that is read unasked.

use std::path::PathBuf;

use directories::ProjectDirs;

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
