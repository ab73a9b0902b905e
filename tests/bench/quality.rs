//! Retrieval quality on a collection in BEIR's form, through the whole path: nDCG@10 and recall@100 over documents.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;
use std::time::Instant;

use groundwork::document::DocumentId;
use groundwork::document::access::AccessList;
use groundwork::document::metadata::Metadata;
use groundwork::knowledge_base::{Groundwork, NewDocument, ReadAt};
use groundwork::retrieve::{Query, SearchType};
use groundwork::worker::Cancel;

use crate::{handbook, report};

/// Hits asked for, so that enough documents remain when chunks of one are folded.
const HITS: usize = 400;

pub(crate) fn run(directory: &Path, precision: Option<&str>) {
    let home = tempfile::tempdir().expect("a temporary directory");
    let mut settings = handbook::settings(home.path());
    if let Some(precision) = precision {
        let catalog = home.path().join("catalog.toml");
        let changed = format!("[models.{}]\nprecision = \"{precision}\"\n", handbook::EMBEDDING_MODEL);
        std::fs::write(&catalog, changed).expect("it can be written");
        settings.model_catalog = Some(catalog);
        crate::embed::encoder(Some(precision));
    }
    let groundwork = Groundwork::open(settings).expect("it opens");
    let documents = documents(&directory.join("corpus.jsonl"));
    println!("\nquality: {} documents of {}", documents.len(), directory.display());
    let begun = Instant::now();
    let (_, chunks) = handbook::ingest(&groundwork, "collection", documents);
    report(
        "quality, ingest",
        chunks as f64 / begun.elapsed().as_secs_f64(),
        "chunks/s",
    );
    let mut judged: BTreeMap<String, HashMap<String, u32>> = BTreeMap::new();
    for (query, document, grade) in handbook::judgments(&directory.join("qrels.tsv")) {
        judged.entry(query).or_default().insert(document, grade);
    }
    let queries = queries(&directory.join("queries.jsonl"));
    for (name, search_type) in [
        ("keyword", SearchType::Keyword),
        ("semantic", SearchType::Semantic),
        ("hybrid", SearchType::Hybrid),
    ] {
        let (mut ndcg, mut recall, mut count) = (0.0, 0.0, 0_usize);
        for (id, grades) in &judged {
            let Some(text) = queries.get(id) else { continue };
            let ranked = search(&groundwork, text, search_type);
            ndcg += ndcg_at_10(&ranked, grades);
            recall += recall_at_100(&ranked, grades);
            count += 1;
        }
        report(
            &format!("quality {name}, nDCG@10 over {count} queries"),
            ndcg / count as f64,
            "",
        );
        report(&format!("quality {name}, recall@100"), recall / count as f64, "");
    }
}

fn lines(path: &Path) -> Vec<serde_json::Value> {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.lines()
        .map(|line| serde_json::from_str(line).expect("a JSON line"))
        .collect()
}

fn documents(path: &Path) -> Vec<NewDocument> {
    let document = |value: serde_json::Value| NewDocument {
        id: DocumentId::parse(value["_id"].as_str().expect("an id")).expect("it is a document id"),
        media_type: Some("text/plain".to_owned()),
        title: value["title"]
            .as_str()
            .filter(|title| !title.is_empty())
            .map(str::to_owned),
        source_name: String::new(),
        metadata: Metadata::new(),
        access: AccessList::default(),
        bytes: value["text"].as_str().unwrap_or_default().as_bytes().to_vec(),
    };
    let is_empty = |value: &serde_json::Value| value["text"].as_str().unwrap_or_default().trim().is_empty();
    lines(path)
        .into_iter()
        .filter(|value| !is_empty(value))
        .map(document)
        .collect()
}

fn queries(path: &Path) -> HashMap<String, String> {
    let text = |value: &serde_json::Value, key: &str| value[key].as_str().unwrap_or_default().to_owned();
    lines(path)
        .iter()
        .map(|value| (text(value, "_id"), text(value, "text")))
        .collect()
}

/// Documents by their best chunk, best first.
fn search(groundwork: &Groundwork, text: &str, search_type: SearchType) -> Vec<String> {
    let mut query = Query::new(text.to_owned());
    query.search_type = search_type;
    query.limit = HITS;
    let retrieval = groundwork
        .retrieve("collection", &query, ReadAt::default(), &Cancel::new())
        .expect("the search works");
    let mut seen = HashSet::new();
    let ids = retrieval.hits.into_iter().map(|hit| hit.document_id.to_string());
    ids.filter(|id| seen.insert(id.clone())).collect()
}

/// Linear gains, as `trec_eval` has them.
fn ndcg_at_10(ranked: &[String], grades: &HashMap<String, u32>) -> f64 {
    let discount = |at: usize| 1.0 / (at as f64 + 2.0).log2();
    let gain = |id: &String| f64::from(grades.get(id).copied().unwrap_or(0));
    let dcg: f64 = ranked
        .iter()
        .take(10)
        .enumerate()
        .map(|(at, id)| gain(id) * discount(at))
        .sum();
    let mut ideal: Vec<u32> = grades.values().copied().collect();
    ideal.sort_unstable_by(|a, b| b.cmp(a));
    let best: f64 = ideal
        .iter()
        .take(10)
        .enumerate()
        .map(|(at, grade)| f64::from(*grade) * discount(at))
        .sum();
    if best == 0.0 { 0.0 } else { dcg / best }
}

fn recall_at_100(ranked: &[String], grades: &HashMap<String, u32>) -> f64 {
    let relevant: Vec<&String> = grades
        .iter()
        .filter(|(_, grade)| **grade > 0)
        .map(|(id, _)| id)
        .collect();
    let found = relevant
        .iter()
        .filter(|id| ranked.iter().take(100).any(|ranked| ranked == **id))
        .count();
    if relevant.is_empty() {
        0.0
    } else {
        found as f64 / relevant.len() as f64
    }
}
