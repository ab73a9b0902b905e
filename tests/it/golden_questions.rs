//! The handbook answers questions about the product itself, by the real models.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use groundwork::document::DocumentId;
use groundwork::document::access::AccessList;
use groundwork::document::metadata::Metadata;
use groundwork::generate::{AnswerEvent, Citation, Inference, NoAnswerReason, Reference};
use groundwork::knowledge_base::{
    Acknowledgement, DocumentStatus, Groundwork, NewDocument, NewKnowledgeBase, Next, Question, ReadAt, ServiceTier,
    Settings,
};
use groundwork::retrieve::Query;
use groundwork::worker::Cancel;

use crate::support::models;

/// Questions that are answered in full here; the benchmark answers all.
const ANSWERED: usize = 6;

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpora/handbook")
}

struct Golden {
    id: String,
    text: String,
    answerable: bool,
}

fn golden() -> Vec<Golden> {
    std::fs::read_to_string(corpus().join("queries.jsonl"))
        .expect("the questions can be read")
        .lines()
        .map(|line| {
            let value: serde_json::Value = serde_json::from_str(line).expect("a JSON line");
            Golden {
                id: value["_id"].as_str().expect("an id").to_owned(),
                text: value["text"].as_str().expect("a text").to_owned(),
                answerable: value["answerable"].as_bool().expect("a truth value"),
            }
        })
        .collect()
}

pub(crate) fn judgments() -> BTreeMap<String, BTreeSet<String>> {
    let mut judged: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for line in std::fs::read_to_string(corpus().join("qrels.tsv"))
        .expect("it can be read")
        .lines()
        .skip(1)
    {
        let fields: Vec<&str> = line.split('\t').collect();
        assert_eq!(fields.len(), 3, "{line}");
        judged
            .entry(fields[0].to_owned())
            .or_default()
            .insert(fields[1].to_owned());
    }
    judged
}

/// Ingests the handbook with the default models and settings.
pub(crate) fn handbook(data_dir: &Path) -> Groundwork {
    let settings = Settings {
        embedding_model_id: "all-minilm-l6-v2".to_owned(),
        language_model_id: "smollm2-135m-instruct".to_owned(),
        models_dir: models::directory(),
        ..crate::support::settings(data_dir)
    };
    let groundwork = Groundwork::open(settings).expect("the data directory opens");
    let request = NewKnowledgeBase {
        name: "handbook".to_owned(),
        ..NewKnowledgeBase::default()
    };
    groundwork.create_knowledge_base(&request).expect("it is new");
    let root = corpus().join("documents");
    let mut paths = files(&root).into_iter().enumerate();
    let mut next = |_: Duration| match paths.next() {
        None => Next::End,
        Some((sequence, path)) => {
            let id = path
                .strip_prefix(&root)
                .expect("below the root")
                .to_string_lossy()
                .replace('\\', "/");
            Next::Document {
                sequence: sequence as u64,
                document: Box::new(NewDocument {
                    id: DocumentId::parse(id.clone()).expect("a path is an id"),
                    media_type: None,
                    title: None,
                    source_name: id,
                    metadata: Metadata::new(),
                    access: AccessList::default(),
                    bytes: std::fs::read(path).expect("it can be read"),
                }),
            }
        }
    };
    let summary = groundwork
        .ingest(
            "handbook",
            Acknowledgement::Indexed,
            &mut next,
            &Cancel::new(),
            &mut |outcome| {
                assert_eq!(
                    outcome.status,
                    DocumentStatus::Indexed,
                    "{}: {}",
                    outcome.document_id,
                    outcome.reason
                );
            },
        )
        .expect("the ingestion runs to its end");
    assert!(
        summary.new >= 30,
        "the handbook has at least 30 documents, not {}",
        summary.new
    );
    groundwork
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).expect("the folder can be read") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found.sort();
    found
}

#[test]
fn the_right_document_is_among_the_first_five() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let groundwork = handbook(home.path());
    let judged = judgments();
    let questions = golden();
    let answerable: Vec<&Golden> = questions.iter().filter(|question| question.answerable).collect();
    assert!(questions.len() >= 60 && questions.len() - answerable.len() == 10);
    let mut missed = Vec::new();
    for question in &answerable {
        let query = Query::new(question.text.clone());
        let retrieval = groundwork
            .retrieve("handbook", &query, ReadAt::default(), &Cancel::new())
            .expect("the search works");
        let is_found = retrieval
            .hits
            .iter()
            .any(|hit| judged[&question.id].contains(hit.document_id.as_str()));
        if !is_found {
            missed.push(question.text.as_str());
        }
    }
    let recall = 1.0 - missed.len() as f64 / answerable.len() as f64;
    assert!(recall >= 0.9, "recall@5 is {recall:.3}; missed: {missed:#?}");
}

#[test]
fn citations_of_real_answers_match_the_stored_text() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let groundwork = handbook(home.path());
    let mut citations_seen = 0;
    for question in golden().iter().filter(|question| question.answerable).take(ANSWERED) {
        let (answer, references, citations, _) = ask(&groundwork, &question.text);
        for citation in &citations {
            check_citation(&groundwork, &answer, &references, citation);
        }
        citations_seen += citations.len();
    }
    assert!(
        citations_seen >= ANSWERED / 2,
        "only {citations_seen} citations in {ANSWERED} answers"
    );
}

#[test]
fn questions_far_from_the_handbook_are_declined_without_a_model() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let groundwork = handbook(home.path());
    for text in [
        "How long should I boil an egg?",
        "Who won the football world cup in 1974?",
    ] {
        let (answer, _, citations, no_answer) = ask(&groundwork, text);
        assert_eq!(no_answer, Some(NoAnswerReason::NotRelevant), "{text}: {answer}");
        assert!(citations.is_empty());
    }
}

fn ask(groundwork: &Groundwork, text: &str) -> (String, Vec<Reference>, Vec<Citation>, Option<NoAnswerReason>) {
    let question = Question {
        service_tier: ServiceTier::Default,
        query: Query::new(text.to_owned()),
        model_id: String::new(),
        inference: Inference {
            max_tokens: 80,
            ..Inference::default()
        },
        at: ReadAt::default(),
    };
    let (mut answer, mut references, mut citations) = (String::new(), Vec::new(), Vec::new());
    let summary = groundwork
        .answer("handbook", &question, &Cancel::new(), &mut |event| {
            match event {
                AnswerEvent::References(offered) => references = offered,
                AnswerEvent::Text(piece) => answer.push_str(&piece),
                AnswerEvent::Citation(citation) => citations.push(citation),
            }
            Ok(())
        })
        .expect("an answer");
    (answer, references, citations, summary.generation.no_answer_reason)
}

fn check_citation(groundwork: &Groundwork, answer: &str, references: &[Reference], citation: &Citation) {
    let reference = references
        .iter()
        .find(|reference| reference.number == citation.reference_number)
        .expect("a citation names a passage that was offered");
    let (_, stored, _) = groundwork
        .document(
            "handbook",
            &reference.hit.document_id,
            true,
            ReadAt::default(),
            &Cancel::new(),
        )
        .expect("the document is there");
    let stored = stored.expect("its text was asked for");
    assert_eq!(citation.answer_span.of(answer), Some(citation.answer_text.as_str()));
    assert_eq!(citation.source_span.of(&stored), Some(citation.source_text.as_str()));
    assert_eq!(reference.hit.span.of(&stored), Some(reference.hit.text.as_str()));
    assert!(citation.support > 0.0 && citation.support <= 1.0);
}
