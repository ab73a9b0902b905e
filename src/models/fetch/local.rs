//! Where a file may lie in the directories that the user named.

use std::path::{Path, PathBuf};

use super::super::catalog::{CatalogFile, Source};

/// Returns the files of this name that are there: in a directory of the model's id, or right in the directory.
pub(super) fn candidates(directories: &[PathBuf], id: &str, file: &CatalogFile) -> Vec<PathBuf> {
    let mut names = vec![file.name.as_str()];
    for source in &file.sources {
        let path = match source {
            Source::Hub { file, .. } => file.as_str(),
            Source::Wheel { member, .. } => member.as_str(),
            Source::Path(_) => continue,
        };
        let name = path.rsplit('/').next().unwrap_or(path);
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let mut found = Vec::new();
    for directory in directories {
        for place in [directory.join(id), directory.clone()] {
            found.extend(names.iter().map(|name| place.join(name)).filter(|path| path.is_file()));
        }
    }
    found
}

/// Returns a wheel that lies in one of the directories.
pub(super) fn wheel(directories: &[PathBuf], requirement: &str, platform: Option<&str>) -> Option<PathBuf> {
    directories
        .iter()
        .find_map(|directory| wheel_in(directory, requirement, platform))
}

/// Returns a wheel of this package and version in a directory.
pub(super) fn wheel_in(directory: &Path, requirement: &str, platform: Option<&str>) -> Option<PathBuf> {
    let (package, version) = requirement.split_once("==")?;
    let start = format!("{}-{version}-", package.replace(['-', '.'], "_")).to_lowercase();
    let fits = |name: &str| {
        let name = name.to_lowercase();
        name.starts_with(&start)
            && Path::new(&name).extension().is_some_and(|extension| extension == "whl")
            && platform.is_none_or(|platform| name.contains(platform))
    };
    std::fs::read_dir(directory)
        .ok()?
        .flatten()
        .find(|entry| fits(&entry.file_name().to_string_lossy()))
        .map(|entry| entry.path())
}
