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
