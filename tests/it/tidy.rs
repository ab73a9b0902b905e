//! The order of the code: layers, fences, headers, names.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Rank of each module; a module may use only modules of lower rank, and itself.
const RANKS: &[(&str, u32)] = &[
    ("worker", 0),
    ("cache", 0),
    ("compute", 0),
    ("models", 1),
    ("document", 1),
    ("chunk", 2),
    ("embed", 2),
    ("index", 3),
    ("store", 4),
    ("ingest", 5),
    ("retrieve", 5),
    ("generate", 6),
    ("knowledge_base", 7),
    ("service", 8),
    ("evaluate", 8),
    ("config", 9),
    ("cli", 10),
];

/// Third-party engines, each with the places that may name it.
const FENCES: &[(&str, &[&str])] = &[
    ("tantivy", &["src/index/"]),
    ("hnsw_rs", &["src/index/vectors", "src/index/graph"]),
    ("rusqlite", &["src/store/", "src/knowledge_base/error.rs"]),
    ("fastembed", &["src/embed/", "src/models/"]),
    ("ort", &["src/embed/"]),
    (
        "candle_core",
        &["src/generate/candle", "src/embed/tests.rs", "src/models/"],
    ),
    (
        "candle_nn",
        &["src/generate/candle", "src/embed/tests.rs", "src/models/"],
    ),
    (
        "candle_transformers",
        &["src/generate/candle", "src/embed/tests.rs", "src/models/"],
    ),
    ("tonic", &["src/service/", "src/cli/"]),
    ("pdf_extract", &["src/document/pdf"]),
    ("hf_hub", &["src/models/"]),
    ("lru", &["src/cache"]),
    ("llguidance", &["src/generate/constraint"]),
];

/// Names that gather what has no place.
const CATCH_ALLS: &[&str] = &["utils", "util", "common", "types", "helpers", "misc"];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn rust_files(below: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![root().join(below)];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(&directory).expect("the folder can be read") {
            let path = entry.expect("the entry can be read").path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    found.sort();
    assert!(!found.is_empty(), "{below} holds Rust files");
    found
}

fn relative(path: &Path) -> String {
    path.strip_prefix(root())
        .expect("the file lies in the project")
        .to_string_lossy()
        .replace('\\', "/")
}

/// The code of a file, line by line with numbers, comments left out.
fn code_lines(path: &Path) -> Vec<(usize, String)> {
    fs::read_to_string(path)
        .expect("the file is UTF-8")
        .lines()
        .enumerate()
        .map(|(number, line)| (number + 1, line.split("//").next().unwrap_or_default().to_owned()))
        .collect()
}

fn module_of(path: &str) -> Option<&str> {
    let name = path.strip_prefix("src/")?.split('/').next()?.trim_end_matches(".rs");
    (name != "lib" && name != "main").then_some(name)
}

/// Words after each `crate::` of a line.
fn crate_paths(line: &str) -> impl Iterator<Item = &str> {
    line.split("crate::").skip(1).map(|rest| {
        let end = rest
            .find(|c: char| !c.is_alphanumeric() && c != '_')
            .unwrap_or(rest.len());
        &rest[..end]
    })
}

#[test]
fn modules_use_only_lower_ranks() {
    let ranks: BTreeMap<&str, u32> = RANKS.iter().copied().collect();
    let mut wrong = Vec::new();
    for path in rust_files("src") {
        let name = relative(&path);
        let Some(module) = module_of(&name) else { continue };
        let rank = ranks
            .get(module)
            .unwrap_or_else(|| panic!("{name}: module {module} has no rank"));
        for (number, line) in code_lines(&path) {
            for used in crate_paths(&line).filter(|used| *used != module) {
                match ranks.get(used) {
                    Some(used_rank) if used_rank < rank => {}
                    Some(used_rank) => {
                        wrong.push(format!("{name}:{number}: {module} ({rank}) uses {used} ({used_rank})"));
                    }
                    None => wrong.push(format!(
                        "{name}:{number}: crate::{used} is no module: import by module path"
                    )),
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn engines_stay_behind_their_fences() {
    let mut wrong = Vec::new();
    for path in rust_files("src") {
        let name = relative(&path);
        for (number, line) in code_lines(&path) {
            for (engine, places) in FENCES {
                let names_engine = line
                    .match_indices(&format!("{engine}::"))
                    .any(|(at, _)| !line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':'));
                if names_engine && !places.iter().any(|place| name.starts_with(place)) {
                    wrong.push(format!("{name}:{number}: {engine} is named outside of {places:?}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_file_starts_with_a_header() {
    let mut files = rust_files("src");
    files.extend(rust_files("tests"));
    let headless: Vec<String> = files
        .iter()
        .filter(|path| !fs::read_to_string(path).expect("the file is UTF-8").starts_with("//! "))
        .map(|path| relative(path))
        .collect();
    assert!(headless.is_empty(), "no header in {headless:?}");
}

#[test]
fn no_file_is_a_catch_all() {
    let mut files = rust_files("src");
    files.extend(rust_files("tests"));
    let wrong: Vec<String> = files
        .iter()
        .map(|path| relative(path))
        .filter(|name| {
            name.split('/')
                .any(|part| CATCH_ALLS.contains(&part.trim_end_matches(".rs")))
        })
        .collect();
    assert!(wrong.is_empty(), "{wrong:?} say nothing about what is in them");
}

#[test]
fn every_test_file_is_listed() {
    let listed = fs::read_to_string(root().join("tests/it/main.rs")).expect("main.rs can be read");
    for entry in fs::read_dir(root().join("tests/it")).expect("the folder can be read") {
        let name = entry.expect("the entry can be read").file_name();
        let name = name.to_string_lossy().trim_end_matches(".rs").to_owned();
        assert!(
            name == "main" || listed.contains(&format!("mod {name};")),
            "tests/it/main.rs does not list {name}"
        );
    }
}

#[test]
fn error_texts_start_lowercase_and_end_bare() {
    let mut wrong = Vec::new();
    for path in rust_files("src") {
        for (number, line) in code_lines(&path) {
            let Some(text) = line
                .split("#[error(\"")
                .nth(1)
                .and_then(|rest| rest.split("\")]").next())
            else {
                continue;
            };
            let first = text.chars().next().unwrap_or('{');
            let is_acronym = text.chars().take(2).all(char::is_uppercase);
            if (first.is_uppercase() && !is_acronym && !text.starts_with("ONNX")) || text.ends_with(['.', '!']) {
                wrong.push(format!("{}:{number}: {text}", relative(&path)));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
