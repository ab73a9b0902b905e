//! Retrieval measured by the real program on a small collection, over a server of its own and a running one.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::support::models;
use crate::support::server::Server;

/// Id, title, text. One has only a title, one nothing at all.
const CORPUS: [(&str, &str, &str); 7] = [
    (
        "bees",
        "Bees",
        "Worker bees gather nectar from the flowers of the meadow.",
    ),
    (
        "queen",
        "The hive",
        "A colony keeps one queen, and her bees follow her.",
    ),
    ("tea", "Tea", "Green tea is steeped for two minutes in hot water."),
    ("coffee", "Coffee", "Coffee is brewed with water just below boiling."),
    (
        "ship/log 1",
        "",
        "The ship left the harbour at dawn with a cargo of salt.",
    ),
    ("lighthouse", "A lighthouse on the northern cape", ""),
    ("blank", "", " "),
];
const QUERIES: [(&str, &str); 5] = [
    ("q1", "worker bees nectar"),
    ("q2", "how long is green tea steeped"),
    ("q3", "northern lighthouse"),
    ("q4", "harbour salt"),
    ("unjudged", "anything"),
];
/// `q1` is graded, `q3` rests on a title, nothing is relevant to `q4`.
const QRELS: [(&str, &str, i32); 7] = [
    ("q1", "bees", 2),
    ("q1", "queen", 1),
    ("q1", "tea", 0),
    ("q2", "tea", 1),
    ("q2", "coffee", -1),
    ("q3", "lighthouse", 1),
    ("q4", "ship/log 1", 0),
];

struct Desk {
    home: tempfile::TempDir,
}

/// What a command wrote, and how it ended.
struct Ended {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Ended {
    #[track_caller]
    fn ends_with(self, code: i32) -> Self {
        let Self { stdout, stderr, .. } = &self;
        assert_eq!(self.code, Some(code), "stdout: {stdout}\nstderr: {stderr}");
        self
    }

    /// The last object that it wrote.
    fn last(&self) -> Value {
        let line = self.stdout.lines().last().expect("it wrote a line");
        serde_json::from_str(line).expect("JSON")
    }

    #[track_caller]
    fn says(&self, text: &str) {
        assert!(self.stderr.contains(text), "`{text}` is not in: {}", self.stderr);
    }
}

impl Desk {
    fn new() -> Self {
        let desk = Self {
            home: tempfile::tempdir().expect("a temporary directory"),
        };
        fs::create_dir(desk.path("meadow")).expect("a new directory");
        let mut corpus = String::new();
        for (id, title, text) in CORPUS {
            let document = serde_json::json!({ "_id": id, "title": title, "text": text });
            writeln!(corpus, "{document}").expect("memory takes everything");
        }
        desk.write("meadow/corpus.jsonl", &corpus);
        let mut queries = String::new();
        for (id, text) in QUERIES {
            let query = serde_json::json!({ "_id": id, "text": text });
            writeln!(queries, "{query}").expect("memory takes everything");
        }
        desk.write("meadow/queries.jsonl", &queries);
        let mut qrels = "query-id\tcorpus-id\tscore\n".to_owned();
        for (query, document, grade) in QRELS {
            writeln!(qrels, "{query}\t{document}\t{grade}").expect("memory takes everything");
        }
        desk.write("meadow/qrels.tsv", &qrels);
        desk
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).expect("the file can be written");
    }

    fn run(&self, arguments: &[&str]) -> Ended {
        self.run_against(arguments, None)
    }

    /// Runs a command in the directory, against a running server or over a data directory of its own.
    fn run_against(&self, arguments: &[&str], server: Option<&Server>) -> Ended {
        let mut command = Command::new(env!("CARGO_BIN_EXE_groundwork"));
        command
            .args(arguments)
            .current_dir(self.home.path())
            .stdin(Stdio::null());
        match server {
            Some(server) => command.args(["--server", server.address()]),
            None => command
                .arg("--data-dir")
                .arg(self.path("data"))
                .arg("--models-dir")
                .arg(models::directory()),
        };
        let output = command.output().expect("the program starts");
        Ended {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).expect("output is UTF-8"),
            stderr: String::from_utf8(output.stderr).expect("messages are UTF-8"),
        }
    }
}

#[track_caller]
fn check_measures(summary: &Value, expected: &[(&str, f64)]) {
    for (measure, expected) in expected {
        let found = summary["measures"][*measure].as_f64().expect("a number");
        assert!((found - expected).abs() < 1e-12, "{measure} is {found}: {summary}");
    }
}

#[test]
fn collection_is_ingested_asked_and_measured() {
    let desk = Desk::new();
    let keyword = [
        "--json",
        "eval",
        "retrieval",
        "meadow",
        "--type",
        "keyword",
        "--per-query",
    ];
    let first = desk.run(&keyword).ends_with(0);
    first.says("ingesting 6 documents into `meadow`");
    first.says("1 more have neither text nor title");
    let summary = &first.last()["summary"];
    // Three queries are answered in the best order there is, and nothing is relevant to the fourth.
    let expected = [
        ("ndcg_at_10", 0.75),
        ("recall_at_10", 0.75),
        ("recall_at_100", 0.75),
        ("mrr_at_10", 0.75),
        ("map", 0.75),
        ("precision_at_10", 0.1),
    ];
    check_measures(summary, &expected);
    assert_eq!(
        (&summary["query_count"], &summary["document_count"]),
        (&4.into(), &6.into())
    );
    assert_eq!(summary["search_type"], "SEARCH_TYPE_KEYWORD");
    let queries: BTreeMap<String, u64> = first
        .stdout
        .lines()
        .filter_map(|line| {
            let query = &serde_json::from_str::<Value>(line).expect("JSON")["query"];
            Some((query["query_id"].as_str()?.to_owned(), query["found_count"].as_u64()?))
        })
        .collect();
    let expected = [("q1", 2), ("q2", 1), ("q3", 1), ("q4", 0)];
    assert_eq!(queries, expected.map(|(id, found)| (id.to_owned(), found)).into());
    // The second time it is asked as it is.
    let again = desk.run(&keyword).ends_with(0);
    assert!(!again.stderr.contains("ingesting"), "{}", again.stderr);
    assert_eq!(again.last()["summary"]["measures"], summary["measures"]);
    let added = desk.run(&["eval", "retrieval", "meadow", "--ingest"]).ends_with(0);
    added.says("0 indexed, 6 unchanged, 0 failed");
    assert!(added.stdout.starts_with("MEASURE"), "{}", added.stdout);
}

#[test]
fn written_runs_are_measured_and_compared() {
    let desk = Desk::new();
    // Ids with blanks cannot stand in a run file, which is said before anything is done.
    let refused = desk
        .run(&["eval", "retrieval", "meadow", "--write-run", "a.run"])
        .ends_with(1);
    refused.says("`ship/log 1` cannot stand in a run file");
    assert!(!desk.path("a.run").is_file());
    for name in ["meadow/corpus.jsonl", "meadow/qrels.tsv"] {
        let text = fs::read_to_string(desk.path(name)).expect("it was written");
        desk.write(name, &text.replace("ship/log 1", "ship/log"));
    }
    let mut means = BTreeMap::new();
    for search_type in ["keyword", "hybrid"] {
        let file = format!("{search_type}.run");
        let evaluate = [
            "--json",
            "eval",
            "retrieval",
            "meadow",
            "--type",
            search_type,
            "--write-run",
            &file,
        ];
        let measured = desk.run(&evaluate).ends_with(0).last();
        let scored = desk.run(&["--json", "eval", "run", &file, "--qrels", "meadow/qrels.tsv"]);
        let scored = scored.ends_with(0).last();
        assert_eq!(scored["summary"]["measures"], measured["summary"]["measures"]);
        means.insert(search_type, measured["summary"]["measures"]["map"].clone());
        desk.run(&evaluate).ends_with(1).says("--force");
    }
    let run = fs::read_to_string(desk.path("keyword.run")).expect("it was written");
    let first: Vec<&str> = run.lines().next().expect("a line").split(' ').collect();
    assert_eq!(
        (&first[..4], first[5]),
        (&["q1", "Q0", "bees", "1"][..], "groundwork-keyword")
    );
    let compare = [
        "eval",
        "compare",
        "keyword.run",
        "hybrid.run",
        "--qrels",
        "meadow/qrels.tsv",
    ];
    let shown = desk.run(&compare).ends_with(0).stdout;
    assert!(shown.contains("P by a two-sided paired randomisation test"), "{shown}");
    let compared = desk.run(&[&["--json"], &compare[..]].concat()).ends_with(0).last();
    let map = &compared["measures"]["map"];
    assert_eq!((&map["first"], &map["second"]), (&means["keyword"], &means["hybrid"]));
    assert_eq!(compared["query_count"], 4);
}

#[test]
fn documents_in_many_chunks_count_once() {
    let desk = Desk::new();
    // More chunks of one document than the hits that are asked for at first.
    let long: String = (0..60)
        .map(|day| format!("On day {day} the worker bees brought nectar, nectar and once more nectar. ").repeat(12))
        .collect();
    let document = serde_json::json!({ "_id": "diary", "title": "", "text": long });
    let corpus = fs::read_to_string(desk.path("meadow/corpus.jsonl")).expect("it was written");
    desk.write("meadow/corpus.jsonl", &format!("{corpus}{document}\n"));
    let evaluate = [
        "--json",
        "eval",
        "retrieval",
        "meadow",
        "--type",
        "keyword",
        "--depth",
        "3",
        "--measure",
        "recall@3",
        "--per-query",
    ];
    let measured = desk.run(&evaluate).ends_with(0);
    let query: Value = serde_json::from_str(measured.stdout.lines().next().expect("a line")).expect("JSON");
    assert_eq!(query["query"]["query_id"], "q1");
    assert_eq!(
        (&query["query"]["retrieved_count"], &query["query"]["found_count"]),
        (&3.into(), &2.into())
    );
    assert_eq!(measured.last()["summary"]["short_query_count"], 0);
    let deeper = [&evaluate[..8], &["--measure", "recall@4"]].concat();
    desk.run(&deeper)
        .ends_with(2)
        .says("recall@4 looks deeper than --depth 3");
}

#[test]
fn running_servers_are_measured_on_their_documents() {
    let desk = Desk::new();
    let home = tempfile::tempdir().expect("a temporary directory");
    let server = Server::start(home.path());
    let filled = ["eval", "retrieval", "meadow", "--knowledge-base", "fields"];
    desk.run_against(&filled, Some(&server)).ends_with(0);
    // Without a corpus, what is there is asked.
    fs::remove_file(desk.path("meadow/corpus.jsonl")).expect("it was written");
    let asked = [&["--json"], &filled[..]].concat();
    let asked = desk.run_against(&asked, Some(&server)).ends_with(0).last();
    assert_eq!(asked["summary"]["name"], "fields");
    assert_eq!(asked["summary"]["measures"]["recall_at_10"], 0.75);
    let missing = ["eval", "retrieval", "meadow", "--knowledge-base", "woods"];
    let missing = desk.run_against(&missing, Some(&server)).ends_with(2);
    missing.says("there is no corpus.jsonl to fill `woods` from");
    let files = ["eval", "run", "a.run", "--qrels", "meadow/qrels.tsv"];
    let files = desk.run_against(&files, Some(&server)).ends_with(2);
    files.says("does not speak to a server");
}

#[test]
fn bad_lines_are_named_before_anything_is_made() {
    let desk = Desk::new();
    let qrels = fs::read_to_string(desk.path("meadow/qrels.tsv")).expect("it was written");
    desk.write("meadow/qrels.tsv", &format!("{qrels}q9\tbees\t1\n"));
    let refused = desk.run(&["eval", "retrieval", "meadow"]).ends_with(1);
    refused.says("meadow/qrels.tsv, line 9: the field `query-id` names `q9`");
    desk.write("meadow/qrels.tsv", &qrels);
    desk.write("meadow/corpus.jsonl", "{\"_id\": \"a\"}\n");
    let refused = desk.run(&["eval", "retrieval", "meadow"]).ends_with(1);
    refused.says("meadow/corpus.jsonl, line 1: the field `text` is missing");
    let listed = desk.run(&["kb", "list", "--json"]).ends_with(0);
    assert_eq!(listed.stdout, "");
    desk.run(&["eval", "retrieval", "nowhere"])
        .ends_with(1)
        .says("cannot read nowhere/queries.jsonl");
}
