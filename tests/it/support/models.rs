//! The real models: fetched once by the same code as `groundwork models pull`, into the same cache.

use std::path::PathBuf;
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
            // Links to an older cache may be left of an earlier run.
            let _ = std::fs::remove_dir_all(&encoders);
            std::fs::create_dir_all(&encoders).expect("a directory for links");
            for entry in std::fs::read_dir(directory()).expect("the cache can be read") {
                let model = entry.expect("an entry").path();
                let files = std::fs::read_dir(&model).into_iter().flatten().flatten();
                let is_language_model = files
                    .map(|file| file.path())
                    .any(|file| file.extension().is_some_and(|e| e == "gguf"));
                if model.is_dir() && !is_language_model {
                    let link = encoders.join(model.file_name().expect("it has a name"));
                    link_directory(&model, &link).expect("a link");
                }
            }
            encoders
        })
        .clone()
}

#[cfg(unix)]
fn link_directory(directory: &std::path::Path, link: &std::path::Path) -> std::io::Result<()> {
    std::os::unix::fs::symlink(directory, link)
}

#[cfg(windows)]
fn link_directory(directory: &std::path::Path, link: &std::path::Path) -> std::io::Result<()> {
    std::os::windows::fs::symlink_dir(directory, link)
}
