//! Tests of the files: what is read, and what is said of lines that cannot be.

use std::io::Cursor;
use std::path::Path;

use super::super::collection::{summarize, texts};
use super::super::lines::Lines;
use super::*;

pub(super) fn lines(text: impl Into<Vec<u8>>) -> Lines {
    Lines::over(Path::new("f"), Cursor::new(text.into()))
}

fn corpus(text: &str) -> Result<Vec<CorpusDocument>, Error> {
    Documents::over(lines(text)).collect()
}

#[track_caller]
fn refused<T>(read: Result<T, Error>, expected: &str) {
    match read {
        Ok(_) => panic!("it is read: {expected}"),
        Err(error) => assert_eq!(error.to_string(), expected),
    }
}

#[test]
fn documents_have_titles_or_none() {
    let text = "\u{feff}{\"_id\": \"a\", \"title\": \"T\", \"text\": \"x\", \"metadata\": {}}\r\n\n\
        {\"_id\": \"b c\", \"title\": null, \"text\": \"\"}\n{\"_id\":\"d\",\"title\":\" \",\"text\":\"y\"}";
    let documents = corpus(text).expect("documents");
    let found: Vec<_> = documents
        .iter()
        .map(|it| (it.id.as_str(), it.title.as_str(), it.text.as_str(), it.is_blank()))
        .collect();
    let expected = [("a", "T", "x", false), ("b c", "", "", true), ("d", " ", "y", false)];
    assert_eq!(found, expected);
    let summary = summarize(Documents::over(lines(text))).expect("a corpus");
    assert_eq!((summary.ids.len(), summary.blank), (3, 1));
}

#[test]
fn bad_documents_name_line_and_field() {
    let check = |line: &str, expected: &str| {
        let text = format!("{{\"_id\": \"a\", \"text\": \"x\"}}\n\n{line}\n");
        refused(
            summarize(Documents::over(lines(text))),
            &format!("f, line 3: {expected}"),
        );
    };
    check("{\"text\": \"x\"}", "the field `_id` is missing");
    check("{\"_id\": \"b\"}", "the field `text` is missing");
    check(
        "{\"_id\": 7, \"text\": \"x\"}",
        "the field `_id` must be a string, not 7",
    );
    check(
        "{\"_id\": \"b\", \"title\": [1], \"text\": \"x\"}",
        "the field `title` must be a string, not [1]",
    );
    check(
        "{\"_id\": \"\", \"text\": \"x\"}",
        "the field `_id`: a document id cannot be empty",
    );
    check(
        "{\"_id\": \"a\\tb\", \"text\": \"x\"}",
        "the field `_id`: a document id cannot hold control characters, this one has one at byte 1",
    );
    check("{\"_id\": \"a\", \"text\": \"y\"}", "the field `_id` repeats `a`");
    check(
        "[1]",
        "not a JSON object: invalid type: sequence, expected a map at line 1 column 0",
    );
    refused(summarize(Documents::over(lines("\n"))), "f holds no documents");
    let not_utf8 = Documents::over(lines(b"{}\xff".to_vec())).next().expect("a line");
    refused(not_utf8, "f, line 1: not UTF-8");
}

#[test]
fn bad_queries_name_line_and_field() {
    let check = |line: &str, expected: &str| {
        let text = format!("{{\"_id\": \"q\", \"text\": \"x\"}}\n{line}\n");
        refused(texts(lines(text)), &format!("f, line 2: {expected}"));
    };
    check("{\"_id\": \"r\", \"text\": \" \"}", "the field `text` is empty");
    check("{\"_id\": \"\", \"text\": \"x\"}", "the field `_id` is empty");
    check("{\"_id\": \"q\", \"text\": \"x\"}", "the field `_id` repeats `q`");
}

#[test]
fn judgments_come_in_two_forms() {
    let expected = [("q", grades(&[("a b", 1), ("c", -1)])), ("r", grades(&[("a b", 0)]))];
    let check = |text: &str, expected: &[(&str, Grades)]| {
        let judgments = Judgments::parse(lines(text), |_| None).expect("judgments");
        let found: Vec<_> = judgments
            .queries()
            .map(|(query, grades)| (query, grades.clone()))
            .collect();
        assert_eq!(found, expected);
    };
    check(
        "query-id\tcorpus-id\tscore\nq\ta b\t1\nq\tc\t-1\nr\ta b\t0\n",
        &expected,
    );
    check("q\ta b\t1\nr\ta b\t0\nq\tc\t-1", &expected);
    let trec = [("q", grades(&[("a", 1), ("c", -1)]))];
    check("q 0 a 1\nq\t0\tc\t-1\n", &trec);
}

#[test]
fn bad_judgments_name_line_and_field() {
    let check = |line: &str, expected: &str| {
        let text = format!("query-id\tcorpus-id\tscore\nq\ta\t1\n{line}\n");
        refused(
            Judgments::parse(lines(text), |_| None),
            &format!("f, line 3: {expected}"),
        );
    };
    check("q\tb\t1.5", "the field `score` must be a whole number, not `1.5`");
    check("q\tb\t", "the field `score` must be a whole number, not ``");
    check("\tb\t1", "the field `query-id` is empty");
    check("q\t\t1", "the field `corpus-id` is empty");
    check("q\ta\t1", "the field `corpus-id` repeats `a`");
    check(
        "q b 1",
        "expected query-id, corpus-id and score parted by tabs, or the four fields of TREC, found 3 fields",
    );
    refused(
        Judgments::parse(lines("query-id\tcorpus-id\tscore\n"), |_| None),
        "f holds no judgments",
    );
}

#[test]
fn judged_queries_need_their_words() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let file = |name: &str, text: &str| std::fs::write(home.path().join(name), text).expect("it can be written");
    file(
        "queries.jsonl",
        "{\"_id\": \"q\", \"text\": \"x\"}\n{\"_id\": \"r\", \"text\": \"y\"}\n",
    );
    file("qrels.tsv", "query-id\tcorpus-id\tscore\nr\ta\t1\n");
    file("qrels.train.tsv", "query-id\tcorpus-id\tscore\nt\ta\t1\n");
    let (_, queries) = Collection::at(home.path(), None, None)
        .judged_queries()
        .expect("a collection");
    let expected = TestQuery {
        id: "r".to_owned(),
        text: "y".to_owned(),
    };
    assert_eq!(queries, [expected]);
    let other = Collection::at(home.path(), None, Some(Path::new("qrels.train.tsv")));
    let error = other.judged_queries().expect_err("`t` has no words").to_string();
    assert!(
        error.contains("qrels.train.tsv, line 2: the field `query-id` names `t`") && error.contains("--queries"),
        "{error}"
    );
    let outside = home.path().join("qrels.tsv");
    let moved = Collection::at(
        Path::new("nowhere"),
        Some(&home.path().join("queries.jsonl")),
        Some(&outside),
    );
    assert_eq!(moved.judged_queries().expect("files elsewhere").1.len(), 1);
    let error = moved.check_corpus().expect_err("there is no corpus").to_string();
    assert_eq!(error, "cannot read nowhere/corpus.jsonl");
}

#[test]
fn bad_runs_name_line_and_field() {
    let check = |line: &str, expected: &str| {
        let text = format!("q Q0 a 1 0.5 t\n{line}\n");
        refused(Run::parse(lines(text)), &format!("f, line 2: {expected}"));
    };
    check(
        "q Q0 b 2 0.4",
        "expected the six fields of a run: query-id Q0 document-id rank score tag, found 5 fields",
    );
    check("q Q0 b 2 nan t", "the field `score` must be a finite number, not `nan`");
    check("q Q0 a 2 0.4 t", "the field `document-id` repeats `a`");
    refused(Run::parse(lines("")), "f holds no rankings");
}

#[test]
fn foreign_runs_are_ordered_by_score() {
    let run = run_of("q\tQ0\tb\t9\t1e-3\tother system\nq 0 a 1 2 other\n");
    assert_eq!(ids(run.ranking("q").expect("a ranking")), ["a", "b"]);
    assert!(run.ranking("r").is_none());
}

#[test]
fn ids_with_white_space_stand_in_no_run() {
    for id in ["a b", "a\u{b}", "", "a\n"] {
        assert!(check_word(id).is_err(), "{id:?}");
    }
    for id in ["a", "Super_Bowl_50#0", "ü\u{a0}b"] {
        assert!(check_word(id).is_ok(), "{id:?}");
    }
}
