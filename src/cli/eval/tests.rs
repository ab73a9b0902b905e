//! Names of knowledge bases, messages of documents, and reports, without a server.

use std::path::Path;

use super::fill::messages;
use super::report;
use super::retrieval::name_of;
use crate::cli::tests::Written;
use crate::evaluate::{CorpusDocument, Evaluation, Measure, QueryValues};
use crate::service::pb::ingest_documents_request::Payload;
use crate::service::pb::inline_document::Content;

#[test]
fn directories_give_names_that_are_taken() {
    #[track_caller]
    fn check(directory: &str, expected: Option<&str>) {
        assert_eq!(name_of(Path::new(directory)).as_deref(), expected, "{directory}");
    }
    check("beir/scifact", Some("scifact"));
    check("beir/trec-covid_1.0/", Some("trec-covid_1.0"));
    check("my collection (ä)", Some("my-collection----"));
    check("_.hidden", Some("hidden"));
    check("/", None);
    check("日本", None);
    let long = "x".repeat(300);
    check(&long, Some(&long[..100]));
}

#[test]
fn documents_without_text_are_found_by_title() {
    #[track_caller]
    fn check(title: &str, text: &str, expected: (&str, &str)) {
        let document = CorpusDocument {
            id: "a".to_owned(),
            title: title.to_owned(),
            text: text.to_owned(),
        };
        let mut sent = messages(document);
        let Some(Payload::Document(document)) = sent.next().and_then(|message| message.payload) else {
            panic!("a small document travels whole");
        };
        assert!(sent.next().is_none());
        let title = document.header.expect("a header").title;
        let expected_content = Content::Data(expected.1.as_bytes().to_vec());
        assert_eq!((title.as_str(), document.content), (expected.0, Some(expected_content)));
    }
    check("Bees", "They dance.", ("Bees", "They dance."));
    check("", "They dance.", ("", "They dance."));
    check("Bees", " \n", ("", "Bees"));
}

fn evaluation() -> Evaluation {
    let query = |id: &str, values: [f64; 2]| QueryValues {
        query_id: id.to_owned(),
        relevant_count: 3,
        retrieved_count: 7,
        found_count: 2,
        values: values.to_vec(),
    };
    Evaluation {
        measures: vec![Measure::Ndcg(10), Measure::AveragePrecision],
        queries: vec![query("q1", [0.5, 0.25]), query("q2", [1.0, 0.0])],
        unjudged_count: 0,
    }
}

#[test]
fn reports_show_queries_and_means() {
    let written = Written::default();
    let mut output = written.output(false);
    report::write_queries(&evaluation(), &mut output).expect("memory takes everything");
    report::write_means(&evaluation(), &mut output).expect("memory takes everything");
    let expected = "\
QUERY  RELEVANT  FOUND  nDCG@10     MAP
q1            3      2   0.5000  0.2500
q2            3      2   1.0000  0.0000

MEASURE    MEAN
nDCG@10  0.7500
MAP      0.1250
";
    assert_eq!(written.text(), expected);
}

#[test]
fn reports_for_programs_have_full_values() {
    let written = Written::default();
    report::write_queries(&evaluation(), &mut written.output(true)).expect("memory takes everything");
    let first = written.text().lines().next().map(str::to_owned).expect("a line");
    let first: serde_json::Value = serde_json::from_str(&first).expect("JSON");
    let expected = serde_json::json!({ "query": {
        "query_id": "q1", "relevant_count": 3, "retrieved_count": 7, "found_count": 2,
        "measures": { "ndcg_at_10": 0.5, "map": 0.25 },
    }});
    assert_eq!(first, expected);
    let means = serde_json::json!({ "ndcg_at_10": 0.75, "map": 0.125 });
    assert_eq!(report::means(&evaluation()), means);
}
