//! The real models: fetched once by the same code as `groundwork models pull`, into the same cache.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// Returns the cache directory of models, with the default models in it.
pub(crate) fn directory() -> PathBuf {
    static DIRECTORY: OnceLock<PathBuf> = OnceLock::new();
    DIRECTORY
        .get_or_init(|| {
            let output = Command::new(env!("CARGO_BIN_EXE_groundwork"))
                .args(["models", "pull", "--json"])
                .output()
                .expect("the program starts");
            assert!(
                output.status.success(),
                "the default models cannot be fetched: {}",
                String::from_utf8_lossy(&output.stderr)
            );
            groundwork::config::default_models_dir().expect("the platform has a cache directory")
        })
        .clone()
}

/// Returns a directory of models without language models: a server loads it in a fraction of the time.
pub(crate) fn encoder_directory() -> PathBuf {
    static DIRECTORY: OnceLock<PathBuf> = OnceLock::new();
    DIRECTORY
        .get_or_init(|| {
            let encoders = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("encoder-models");
            std::fs::create_dir_all(&encoders).expect("a directory for links");
            for entry in std::fs::read_dir(directory()).expect("the cache can be read") {
                let model = entry.expect("an entry").path();
                let files = std::fs::read_dir(&model).into_iter().flatten().flatten();
                let mut extensions = files.filter_map(|file| file.path().extension().map(ToOwned::to_owned));
                if model.is_dir() && !extensions.any(|extension| extension == "gguf") {
                    link_in(&encoders, &model);
                }
            }
            encoders
        })
        .clone()
}

/// Makes a link to `directory` in `links`, over one of an earlier run. Other processes may do the same at the same time.
fn link_in(links: &Path, directory: &Path) {
    let link = links.join(directory.file_name().expect("it has a name"));
    if std::fs::read_link(&link).is_ok_and(|found| found == directory) {
        return;
    }
    let made = link.with_extension(format!("{}.new", std::process::id()));
    link_directory(directory, &made).expect("a link");
    std::fs::rename(&made, &link).expect("a link can be put in the place of another");
}

#[cfg(unix)]
fn link_directory(directory: &Path, link: &Path) -> std::io::Result<()> {
    std::os::unix::fs::symlink(directory, link)
}

#[cfg(windows)]
fn link_directory(directory: &Path, link: &Path) -> std::io::Result<()> {
    std::os::windows::fs::symlink_dir(directory, link)
}
