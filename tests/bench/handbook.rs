//! The handbook as a data set: its documents, its questions, and a server over it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use groundwork::document::DocumentId;
use groundwork::document::access::AccessList;
use groundwork::document::metadata::Metadata;
use groundwork::knowledge_base::{
    Acknowledgement, DocumentOutcome, Groundwork, IngestSummary, NewDocument, NewKnowledgeBase, Next, Settings,
};
use groundwork::worker::Cancel;

/// Default models.
pub(crate) const EMBEDDING_MODEL: &str = "all-minilm-l6-v2";
pub(crate) const LANGUAGE_MODEL: &str = "smollm2-135m-instruct";

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpora/handbook")
}

/// Where models are kept.
pub(crate) fn models_dir() -> PathBuf {
    groundwork::config::default_models_dir().expect("the platform has a cache directory")
}

/// Settings over `data_dir` with the default models.
pub(crate) fn settings(data_dir: &Path) -> Settings {
    Settings {
        data_dir: data_dir.to_owned(),
        models_dir: models_dir(),
        model_catalog: None,
        model_sources: Vec::new(),
        model_dirs: Vec::new(),
        embedding_model_id: EMBEDDING_MODEL.to_owned(),
        language_model_id: LANGUAGE_MODEL.to_owned(),
        pdf_reader: Some(env!("CARGO_BIN_EXE_groundwork").into()),
        max_document_bytes: 64 << 20,
        max_queued_answers: 16,
        max_queued_answers_in_all: 0,
        max_running_tokens: 65_536,
        max_model_memory: 0,
        compute_threads: 0,
        backup_dir: None,
        bundles: Vec::new(),
        // Figures are those of searches.
        result_cache_bytes: 0,
        live_recall_share: 0.0,
    }
}

/// The documents of the handbook; ids begin with `prefix`.
pub(crate) fn documents(prefix: &str) -> Vec<NewDocument> {
    let root = root().join("documents");
    let mut open = vec![root.clone()];
    let mut documents = Vec::new();
    while let Some(directory) = open.pop() {
        for entry in std::fs::read_dir(directory).expect("the folder can be read") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                open.push(path);
                continue;
            }
            let name = path
                .strip_prefix(&root)
                .expect("below the root")
                .to_string_lossy()
                .replace('\\', "/");
            documents.push(NewDocument {
                id: DocumentId::parse(format!("{prefix}{name}")).expect("a path is an id"),
                media_type: None,
                title: None,
                source_name: name,
                metadata: Metadata::new(),
                access: AccessList::default(),
                bytes: std::fs::read(&path).expect("it can be read"),
            });
        }
    }
    documents.sort_by(|a, b| a.id.cmp(&b.id));
    documents
}

/// Creates a knowledge base and ingests documents.
pub(crate) fn ingest(groundwork: &Groundwork, name: &str, documents: Vec<NewDocument>) -> (IngestSummary, u64) {
    let request = NewKnowledgeBase {
        name: name.to_owned(),
        ..NewKnowledgeBase::default()
    };
    groundwork.create_knowledge_base(&request).expect("it is new");
    let mut documents = documents.into_iter().enumerate();
    let mut next = |_: Duration| match documents.next() {
        None => Next::End,
        Some((sequence, document)) => Next::Document {
            sequence: sequence as u64,
            document: Box::new(document),
        },
    };
    let mut chunks = 0;
    let mut on_outcome = |outcome: DocumentOutcome| {
        assert!(outcome.reason.is_empty(), "{}: {}", outcome.document_id, outcome.reason);
        chunks += u64::from(outcome.chunk_count);
    };
    let summary = groundwork
        .ingest(
            name,
            Acknowledgement::Indexed,
            &mut next,
            &Cancel::new(),
            &mut on_outcome,
        )
        .expect("the ingestion runs to its end");
    (summary, chunks)
}

/// A golden question.
pub(crate) struct Golden {
    pub(crate) id: String,
    pub(crate) text: String,
    pub(crate) answerable: bool,
    /// Forms of the right fact.
    pub(crate) answers: Vec<String>,
}

/// The golden questions.
pub(crate) fn questions() -> Vec<Golden> {
    std::fs::read_to_string(root().join("queries.jsonl"))
        .expect("the questions can be read")
        .lines()
        .map(|line| {
            let value: serde_json::Value = serde_json::from_str(line).expect("a JSON line");
            let text = |key: &str| value[key].as_str().unwrap_or_default().to_owned();
            let variants = value["answers"].as_array().into_iter().flatten();
            let mut answers: Vec<String> = variants
                .filter_map(|answer| answer.as_str())
                .map(str::to_owned)
                .collect();
            answers.push(text("answer"));
            answers.retain(|answer| !answer.is_empty());
            Golden {
                id: text("_id"),
                text: text("text"),
                answerable: value["answerable"].as_bool().expect("a truth value"),
                answers,
            }
        })
        .collect()
}

/// Judgments: query id and relevant document id.
pub(crate) fn judgments(path: &Path) -> Vec<(String, String, u32)> {
    std::fs::read_to_string(path)
        .expect("the judgments can be read")
        .lines()
        .skip(1)
        .map(|line| {
            let fields: Vec<&str> = line.split('\t').collect();
            let grade = fields[2].trim().parse().expect("a grade is a number");
            (fields[0].to_owned(), fields[1].to_owned(), grade)
        })
        .collect()
}
