//! Builders that tests share: a data directory with small models, documents, a server process.

pub(crate) mod extent;
pub(crate) mod ledger;
pub(crate) mod models;
pub(crate) mod server;
pub(crate) mod tiny;
pub(crate) mod wire;
pub(crate) mod writer;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use groundwork::document::DocumentId;
use groundwork::document::access::AccessList;
use groundwork::document::metadata::Metadata;
use groundwork::embed::HashingEmbedder;
use groundwork::generate::LanguageModel;
use groundwork::generate::ScriptedModel;
use groundwork::knowledge_base::{
    Acknowledgement, DocumentOutcome, Error, Groundwork, IngestSummary, KnowledgeBaseInfo, NewDocument,
    NewKnowledgeBase, Next, ProvidedModels, ReadAt, Settings,
};
use groundwork::retrieve::{Hit, Query, SearchType};
use groundwork::worker::Cancel;

/// Dimensions of the hashing embedder: enough that different words seldom meet.
pub(crate) const DIMENSIONS: usize = 256;

/// Settings over `data_dir` with models that need no weights.
pub(crate) fn settings(data_dir: &Path) -> Settings {
    let embedder = HashingEmbedder::new(DIMENSIONS);
    let model = scripted(&[]);
    Settings {
        data_dir: data_dir.to_owned(),
        models_dir: data_dir.join("models"),
        model_catalog: None,
        model_sources: Vec::new(),
        model_dirs: Vec::new(),
        embedding_model_id: groundwork::embed::Embedder::model_id(&embedder).to_owned(),
        language_model_id: model.model_id().to_owned(),
        pdf_reader: Some(env!("CARGO_BIN_EXE_groundwork").into()),
        max_document_bytes: 8 << 20,
        max_queued_answers: 2,
        max_queued_answers_in_all: 0,
        max_running_tokens: 65_536,
        max_model_memory: 0,
        compute_threads: 0,
        backup_dir: None,
        bundles: Vec::new(),
        result_cache_bytes: 16 << 20,
        live_recall_share: 1.0,
    }
}

/// A language model that gives these replies, in turn.
pub(crate) fn scripted(replies: &[&str]) -> Arc<dyn LanguageModel> {
    Arc::new(ScriptedModel::new(replies.iter().map(|reply| (*reply).to_owned())))
}

/// Opens `data_dir` with a model that gives these replies.
pub(crate) fn open_with_replies(data_dir: &Path, replies: &[&str]) -> Groundwork {
    let provided = ProvidedModels {
        embedders: vec![Arc::new(HashingEmbedder::new(DIMENSIONS))],
        language_models: vec![scripted(replies)],
    };
    Groundwork::open_with(settings(data_dir), provided).expect("the data directory opens")
}

/// Opens `data_dir`.
pub(crate) fn open(data_dir: &Path) -> Groundwork {
    open_with_replies(data_dir, &[])
}

/// Opens a new data directory with one empty knowledge base `kb`.
pub(crate) fn with_base(replies: &[&str]) -> (tempfile::TempDir, Groundwork) {
    let home = tempfile::tempdir().expect("a temporary directory");
    let groundwork = open_with_replies(home.path(), replies);
    groundwork
        .create_knowledge_base(&named("kb"))
        .expect("a knowledge base");
    (home, groundwork)
}

/// Asks for a knowledge base of this name, all else by default.
pub(crate) fn named(name: &str) -> NewKnowledgeBase {
    NewKnowledgeBase {
        name: name.to_owned(),
        ..NewKnowledgeBase::default()
    }
}

/// A plain-text document.
pub(crate) fn text(id: &str, content: &str) -> NewDocument {
    NewDocument {
        id: DocumentId::parse(id).expect("a document id"),
        media_type: Some("text/plain".to_owned()),
        title: None,
        source_name: String::new(),
        metadata: Metadata::new(),
        access: AccessList::default(),
        bytes: content.as_bytes().to_vec(),
    }
}

/// Ingests documents into `kb` and returns the outcomes in the order of the documents.
pub(crate) fn ingest(groundwork: &Groundwork, documents: Vec<NewDocument>) -> (Vec<DocumentOutcome>, IngestSummary) {
    let mut documents = documents.into_iter().enumerate();
    let mut next = |_: Duration| match documents.next() {
        Some((sequence, document)) => Next::Document {
            sequence: sequence as u64,
            document: Box::new(document),
        },
        None => Next::End,
    };
    let mut outcomes = Vec::new();
    let summary = groundwork
        .ingest(
            "kb",
            Acknowledgement::Indexed,
            &mut next,
            &Cancel::new(),
            &mut |outcome| outcomes.push(outcome),
        )
        .expect("the ingestion runs to its end");
    outcomes.sort_by_key(|outcome| outcome.sequence);
    (outcomes, summary)
}

/// Describes a knowledge base as it is now.
pub(crate) fn described(groundwork: &Groundwork, name: &str) -> Result<KnowledgeBaseInfo, Error> {
    groundwork.knowledge_base(name, ReadAt::default(), &Cancel::new())
}

/// Searches `kb` at an epoch.
pub(crate) fn search_at(
    groundwork: &Groundwork,
    text: &str,
    search_type: SearchType,
    at: ReadAt,
) -> Result<Vec<Hit>, Error> {
    let mut query = Query::new(text.to_owned());
    query.search_type = search_type;
    query.limit = 1000;
    groundwork
        .retrieve("kb", &query, at, &Cancel::new())
        .map(|retrieval| retrieval.hits)
}

/// Searches `kb` now and returns the ids of the documents found, each once, sorted.
pub(crate) fn found(groundwork: &Groundwork, text: &str, search_type: SearchType) -> Vec<String> {
    let hits = search_at(groundwork, text, search_type, ReadAt::default()).expect("the search works");
    ids(&hits)
}

/// Ids of the documents of these hits, each once, sorted.
pub(crate) fn ids(hits: &[Hit]) -> Vec<String> {
    let mut ids: Vec<String> = hits.iter().map(|hit| hit.document_id.to_string()).collect();
    ids.sort();
    ids.dedup();
    ids
}
