//! The commands as people and scripts run them: the real program, its output and its exit codes.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::support::models;

/// Where the commands of a test find their data and models.
struct Terminal {
    home: tempfile::TempDir,
}

/// How a command ended, and what it wrote.
struct Ended {
    code: i32,
    stdout: String,
    stderr: String,
}

impl Ended {
    fn of(output: Output) -> Self {
        Self {
            code: output.status.code().expect("no signal ended the program"),
            stdout: String::from_utf8(output.stdout).expect("output is UTF-8"),
            stderr: String::from_utf8(output.stderr).expect("messages are UTF-8"),
        }
    }

    #[track_caller]
    fn ends_with(self, code: i32) -> Self {
        assert_eq!(self.code, code, "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        self
    }

    /// The objects that it wrote, one a line.
    fn objects(&self) -> Vec<Value> {
        let lines = self.stdout.lines();
        lines
            .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("not JSON: `{line}`")))
            .collect()
    }
}

impl Terminal {
    fn new() -> Self {
        let home = tempfile::tempdir().expect("a temporary directory");
        Self { home }
    }

    /// A terminal whose knowledge base `kb` is there, and a directory of documents.
    fn with_base() -> Self {
        let terminal = Self::new();
        let documents = terminal.documents();
        fs::create_dir(&documents).expect("a new directory");
        let bees = "# Bees\r\n\r\nA bee colony keeps one queen.\r\nWorker bees gather nectar in summer.\r\n";
        fs::write(documents.join("bees.md"), bees).expect("a new file");
        fs::write(
            documents.join("tea.md"),
            "# Tea\n\nGreen tea is steeped for two minutes.\n",
        )
        .expect("a new file");
        terminal.run(&["kb", "create", "kb"]).ends_with(0);
        terminal
    }

    fn documents(&self) -> std::path::PathBuf {
        self.home.path().join("documents")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_groundwork"));
        command
            .args(arguments)
            .arg("--data-dir")
            .arg(self.home.path().join("data"))
            .arg("--models-dir")
            .arg(models::directory())
            .stdin(Stdio::null());
        command
    }

    fn run(&self, arguments: &[&str]) -> Ended {
        Ended::of(self.command(arguments).output().expect("the program starts"))
    }

    /// Ingests the directory of documents as the working directory.
    fn ingest(&self) -> Ended {
        let mut command = self.command(&["ingest", "kb", ".", "--json"]);
        command.current_dir(self.documents());
        Ended::of(command.output().expect("the program starts"))
    }

    /// Ids of the documents in the knowledge base.
    fn ids(&self) -> Vec<String> {
        let listed = self.run(&["documents", "list", "kb", "--json"]).ends_with(0).objects();
        let ids = listed.iter().filter_map(|document| document["document_id"].as_str());
        ids.map(str::to_owned).collect()
    }
}

fn link_to_nowhere(path: &Path) {
    std::os::unix::fs::symlink("nowhere", path).expect("links can be made");
}

#[test]
fn knowledge_bases_come_and_go() {
    let terminal = Terminal::new();
    let created = terminal
        .run(&["kb", "create", "notes", "--json"])
        .ends_with(0)
        .objects();
    assert_eq!(created[0]["name"], "notes");
    let listed = terminal.run(&["kb", "list", "--json"]).ends_with(0).objects();
    assert_eq!(listed, created);
    let unasked = terminal.run(&["kb", "delete", "notes"]).ends_with(2);
    assert!(unasked.stderr.contains("--yes"), "{}", unasked.stderr);
    terminal.run(&["kb", "delete", "notes", "--yes"]).ends_with(0);
    assert_eq!(terminal.run(&["kb", "list"]).ends_with(0).stdout, "");
    terminal.run(&["kb", "delete", "notes", "--yes"]).ends_with(3);
}

#[test]
fn failed_files_leave_the_others_ingested() {
    let terminal = Terminal::with_base();
    link_to_nowhere(&terminal.documents().join("lost.md"));
    let lines = terminal.ingest().ends_with(4).objects();
    let statuses: std::collections::BTreeMap<&str, &str> = lines
        .iter()
        .filter_map(|line| {
            Some((
                line["outcome"]["document_id"].as_str()?,
                line["outcome"]["status"].as_str()?,
            ))
        })
        .collect();
    let expected = [
        ("bees.md", "DOCUMENT_STATUS_INDEXED"),
        ("lost.md", "DOCUMENT_STATUS_FAILED"),
        ("tea.md", "DOCUMENT_STATUS_INDEXED"),
    ];
    assert_eq!(statuses, expected.into());
    fs::remove_file(terminal.documents().join("lost.md")).expect("the link is there");
    let again = terminal.ingest().ends_with(0).objects();
    let summary = &again.last().expect("a summary")["summary"];
    assert_eq!(summary["number_of_documents_skipped"], 2);
    assert_eq!(summary["number_of_new_documents_indexed"], 0);
}

#[test]
fn questions_find_passages_and_cited_answers() {
    let terminal = Terminal::with_base();
    terminal.ingest().ends_with(0);
    let found = terminal
        .run(&["search", "kb", "what do worker bees gather"])
        .ends_with(0);
    assert!(
        found.stdout.starts_with("1. Bees\n") && found.stdout.contains("bees.md") && !found.stdout.contains('\u{fffd}'),
        "{}",
        found.stdout
    );
    let question = ["ask", "kb", "What do worker bees gather in summer?"];
    let answered = terminal.run(&question).ends_with(0);
    assert!(answered.stdout.contains("[1]"), "{}", answered.stdout);
    assert!(answered.stdout.contains("\nSources\n[1] Bees"), "{}", answered.stdout);
}

#[test]
fn deletion_tells_missing_documents_by_its_code() {
    let terminal = Terminal::with_base();
    terminal.ingest().ends_with(0);
    let delete = ["documents", "delete", "kb", "bees.md", "gone.md"];
    assert_eq!(
        terminal.run(&delete).ends_with(4).stdout,
        "bees.md: deleted\ngone.md: not found\n"
    );
    terminal.run(&delete).ends_with(3);
    assert_eq!(terminal.ids(), ["tea.md"]);
    terminal.run(&["documents", "delete", "kb", "tea.md"]).ends_with(0);
}

#[test]
fn earlier_states_are_listed_compared_and_brought_back() {
    let terminal = Terminal::with_base();
    terminal.ingest().ends_with(0);
    terminal.run(&["epochs", "pin", "kb", "both"]).ends_with(0);
    terminal
        .run(&["documents", "delete", "kb", "--source", "bees.md"])
        .ends_with(0);
    assert_eq!(terminal.ids(), ["tea.md"]);
    let epochs = terminal.run(&["epochs", "list", "kb", "--json"]).ends_with(0).objects();
    assert_eq!(
        (&epochs[0]["cause"], &epochs[1]["pin_names"][0]),
        (&"delete".into(), &"both".into())
    );
    let pinned = epochs[1]["epoch"].to_string();
    let then = ["documents", "list", "kb", "--as-of-epoch", &pinned, "--json"];
    assert_eq!(terminal.run(&then).ends_with(0).objects().len(), 2);
    let diff = terminal.run(&["epochs", "diff", "kb", &pinned]).ends_with(0);
    assert!(diff.stdout.starts_with("removed  bees.md"), "{}", diff.stdout);
    assert!(diff.stderr.contains("1 removed"), "{}", diff.stderr);
    let dry = ["epochs", "rollback", "kb", "--to-pin", "both", "--dry-run"];
    terminal.run(&dry).ends_with(0);
    assert_eq!(terminal.ids(), ["tea.md"]);
    terminal
        .run(&["epochs", "rollback", "kb", "--to-pin", "both"])
        .ends_with(0);
    assert_eq!(terminal.ids(), ["bees.md", "tea.md"]);
    terminal.run(&["epochs", "unpin", "kb", "both"]).ends_with(0);
    terminal.run(&["epochs", "unpin", "kb", "both"]).ends_with(3);
    let wrong = terminal.run(&["documents", "get", "kb", "tea.md", "--as-of-epoch", "99"]);
    assert!(wrong.ends_with(1).stderr.contains("not published"));
}

#[test]
fn contents_are_written_as_they_came() {
    let terminal = Terminal::with_base();
    terminal.ingest().ends_with(0);
    let original = fs::read(terminal.documents().join("bees.md")).expect("the file is there");
    let to_stdout = terminal.run(&["documents", "content", "kb", "bees.md"]).ends_with(0);
    assert_eq!(to_stdout.stdout.as_bytes(), original);
    let path = terminal.home.path().join("copy.md");
    let path_text = path.to_str().expect("the path is UTF-8");
    let saved = ["documents", "content", "kb", "bees.md", "--output", path_text, "--json"];
    let revision = terminal.run(&saved).ends_with(0).objects();
    assert_eq!(fs::read(&path).expect("it was written"), original);
    let hash = revision[0]["content_hash"].as_str().expect("a hash");
    let by_hash = terminal
        .run(&["documents", "content", "kb", "--hash", hash])
        .ends_with(0);
    assert_eq!(by_hash.stdout.as_bytes(), original);
    let bare = terminal.run(&["documents", "content", "kb", "bees.md", "--json"]);
    assert!(bare.ends_with(2).stderr.contains("--output"));
    let listed = ["documents", "revisions", "kb", "bees.md", "--json"];
    let listed = terminal.run(&listed).ends_with(0).objects();
    assert_eq!((listed.len(), &listed[0]["has_content"]), (1, &true.into()));
}

#[test]
fn erasing_wants_a_word_and_leaves_nothing() {
    let terminal = Terminal::with_base();
    terminal.ingest().ends_with(0);
    let phrase = ["documents", "verify-erasure", "kb", "bees.md", "--phrase", "one queen"];
    let before = terminal.run(&phrase).ends_with(1);
    assert!(before.stdout.contains("not erased"), "{}", before.stdout);
    let unasked = terminal.run(&["documents", "erase", "kb", "bees.md"]).ends_with(2);
    assert!(unasked.stderr.contains("--yes"), "{}", unasked.stderr);
    let dry = ["documents", "erase", "kb", "bees.md", "--dry-run", "--json"];
    assert_eq!(terminal.run(&dry).ends_with(0).objects()[0]["document_count"], 1);
    assert_eq!(terminal.ids().len(), 2);
    let erased = terminal
        .run(&["documents", "erase", "kb", "bees.md", "--yes"])
        .ends_with(0);
    assert!(erased.stdout.starts_with("1 document erased"), "{}", erased.stdout);
    assert_eq!(terminal.ids(), ["tea.md"]);
    let after = terminal.run(&phrase).ends_with(0);
    assert!(after.stdout.contains("erased: nothing is left"), "{}", after.stdout);
    terminal
        .run(&["documents", "erase", "kb", "bees.md", "--yes"])
        .ends_with(3);
}

#[test]
fn upkeep_says_what_it_did() {
    let terminal = Terminal::with_base();
    terminal.ingest().ends_with(0);
    terminal.run(&["documents", "delete", "kb", "bees.md"]).ends_with(0);
    let kept = terminal
        .run(&[
            "kb",
            "update",
            "kb",
            "--retain-epochs",
            "1",
            "--original-content",
            "discard",
            "--json",
        ])
        .ends_with(0)
        .objects();
    assert_eq!(kept[0]["retention_configuration"]["epochs"], 1);
    assert_eq!(kept[0]["original_content"], "ORIGINAL_CONTENT_DISCARD");
    let vacuumed = terminal.run(&["vacuum", "kb", "--json"]).ends_with(0).objects();
    assert_eq!(vacuumed[0]["revision_count"], 1);
    let checked = terminal.run(&["check", "kb", "--json"]).ends_with(0).objects();
    let summary = &checked.last().expect("a summary")["summary"];
    assert_eq!(
        (&summary["finding_count"], &summary["document_count"]),
        (&0.into(), &1.into())
    );
    let described = terminal.run(&["kb", "get", "kb"]).ends_with(0).stdout;
    for part in ["retention", "the newest 1 epoch", "not kept", "storage", "upkeep"] {
        assert!(described.contains(part), "{described}");
    }
}

#[test]
fn closed_stdout_does_not_stop_ingestion() {
    let terminal = Terminal::with_base();
    for number in 0..40 {
        let path = terminal.documents().join(format!("n{number:02}.md"));
        fs::write(path, format!("Note {number}.")).expect("a new file");
    }
    let mut command = terminal.command(&["ingest", "kb", ".", "--json"]);
    command.current_dir(terminal.documents());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program starts");
    drop(child.stdout.take());
    Ended::of(child.wait_with_output().expect("the program ends")).ends_with(0);
    assert_eq!(terminal.ids().len(), 42);
}

#[test]
fn wrong_requests_have_codes_of_their_own() {
    #[track_caller]
    fn check(terminal: &Terminal, arguments: &[&str], code: i32, told: &str) {
        let ended = terminal.run(arguments).ends_with(code);
        assert!(ended.stdout.is_empty(), "{}", ended.stdout);
        assert!(ended.stderr.contains(told), "{}", ended.stderr);
        assert!(!ended.stderr.contains("goes on"), "{}", ended.stderr);
    }
    let terminal = Terminal::new();
    let file = terminal.home.path().join("a.md");
    fs::write(&file, "text").expect("a new file");
    let file = file.to_str().expect("the path is UTF-8");
    check(&terminal, &["search", "none", "x"], 3, "`none`");
    check(&terminal, &["ingest", "none", file], 3, "`none`");
    check(&terminal, &["kb", "create", "no/name"], 2, "name");
    check(&terminal, &["kb", "list", "--never"], 2, "--never");
}

#[test]
fn offline_setting_forbids_fetching() {
    let terminal = Terminal::new();
    let pull = |models_dir: &Path| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_groundwork"));
        command.args(["models", "pull", "--models-dir"]).arg(models_dir);
        Ended::of(
            command
                .env("GROUNDWORK_OFFLINE", "1")
                .output()
                .expect("the program starts"),
        )
    };
    let refused = pull(&terminal.home.path().join("models")).ends_with(2);
    assert!(
        refused.stderr.contains("offline is set by GROUNDWORK_OFFLINE"),
        "{}",
        refused.stderr
    );
    let complete = pull(&models::directory()).ends_with(0);
    assert!(!complete.stderr.contains("fetching"), "{}", complete.stderr);
}

#[test]
fn limits_are_told_as_they_are() {
    let terminal = Terminal::with_base();
    let limits = &terminal.run(&["limits", "kb", "--json"]).ends_with(0).objects()[0];
    assert_eq!(limits["retrieval"]["max_filter_conditions"], 1_000);
    assert_eq!(limits["retrieval"]["max_caller_groups"], 1_000);
    assert_eq!(limits["retrieval"]["max_implicit_filter_attributes"], 25);
    assert_eq!(limits["retrieval"]["max_query_parts"], 4);
    assert_eq!(limits["documents"]["max_access_list_names"], 1_000);
    assert_eq!(limits["knowledge_bases"]["max_declared_attributes"], 200);
    assert_eq!(limits["knowledge_base"]["name"], "kb");
    let told = terminal.run(&["limits"]).ends_with(0).stdout;
    for part in ["max_filter_depth", "default_max_tokens", "default_embedding_model_id"] {
        assert!(told.contains(part), "{told}");
    }
    assert!(!told.contains("The knowledge base"), "{told}");
    let told = terminal.run(&["limits", "kb"]).ends_with(0).stdout;
    assert!(told.contains("The knowledge base kb"), "{told}");
}

#[test]
fn texts_are_ordered_by_relevance() {
    let terminal = Terminal::with_base();
    let tea = terminal.documents().join("tea.md");
    let tea = tea.to_str().expect("the path is UTF-8");
    let arguments = [
        "rerank",
        "how long is tea steeped",
        tea,
        "--text",
        "Bees gather nectar.",
    ];
    let reranked = &terminal
        .run(&[&arguments[..], &["--json"]].concat())
        .ends_with(0)
        .objects()[0];
    assert_eq!(reranked["results"][0]["index"], 1, "{reranked}");
    assert_eq!(reranked["results"].as_array().map(Vec::len), Some(2));
    let shown = terminal
        .run(&[&arguments[..], &["--limit", "1"]].concat())
        .ends_with(0)
        .stdout;
    assert!(shown.starts_with(&format!("1. {tea} relevance 0.")), "{shown}");
    assert!(!shown.contains("nectar"), "{shown}");
    let nothing = terminal.run(&["rerank", "tea"]).ends_with(2);
    assert!(nothing.stderr.contains("--text"), "{}", nothing.stderr);
}

#[test]
fn models_are_used_without_a_knowledge_base() {
    let terminal = Terminal::with_base();
    let tea = terminal.documents().join("tea.md");
    let tea = tea.to_str().expect("the path is UTF-8");
    let model = "smollm2-135m-instruct";
    let asking = [
        "converse",
        model,
        "Name a colour.",
        "--system",
        "Be brief.",
        "--document",
        tea,
    ];
    let few = [
        "--max-tokens",
        "5",
        "--temperature",
        "0.7",
        "--top-k",
        "40",
        "--seed",
        "3",
    ];
    let said = terminal.run(&[&asking[..], &few[..]].concat()).ends_with(0);
    assert!(
        said.stderr.contains(model) && said.stderr.contains("5 out"),
        "{}",
        said.stderr
    );
    let object = &terminal
        .run(&[&asking[..], &few[..], &["--json"]].concat())
        .ends_with(0)
        .objects()[0];
    let text = object["output"]["message"]["content"][0]["text"]
        .as_str()
        .expect("a text");
    assert_eq!(text.trim_end(), said.stdout.trim_end(), "the same seed says the same");
    assert_eq!(object["stop_reason"], "STOP_REASON_MAX_TOKENS");
    assert_eq!(object["usage"]["output_tokens"], 5, "{object}");
    let prompt = terminal.home.path().join("prompt");
    fs::write(&prompt, "Name a colour.").expect("a new file");
    let mut piped = terminal.command(&[&["converse", model, "-"], &asking[3..], &few[..]].concat());
    piped.stdin(fs::File::open(prompt).expect("it was written"));
    let piped = Ended::of(piped.output().expect("the program starts")).ends_with(0);
    assert_eq!(piped.stdout, said.stdout, "the prompt may come from stdin");
    let wrong = terminal.run(&["converse", "nowhere", "Hi"]).ends_with(3);
    assert!(wrong.stderr.contains("nowhere"), "{}", wrong.stderr);

    let embed = ["embed", "a red fox", "a dog", "--query", "--dimensions", "8"];
    let shown = terminal.run(&embed).ends_with(0);
    assert_eq!(shown.stdout.lines().count(), 2, "{}", shown.stdout);
    assert!(
        shown.stdout.starts_with("a red fox [") && shown.stdout.contains("5 tokens"),
        "{}",
        shown.stdout
    );
    let object = &terminal.run(&[&embed[..], &["--json"]].concat()).ends_with(0).objects()[0];
    assert_eq!(object["embeddings"][1]["values"].as_array().map(Vec::len), Some(8));
    let counted = terminal
        .run(&["count-tokens", "a red fox", "--model", "all-minilm-l6-v2"])
        .ends_with(0);
    assert_eq!(counted.stdout.trim(), "5");
    let object = &terminal
        .run(&["count-tokens", "a red fox", "--json"])
        .ends_with(0)
        .objects()[0];
    assert_eq!(
        (&object["input_tokens"], &object["model_id"]),
        (&3.into(), &model.into())
    );
}
