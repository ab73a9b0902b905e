//! Commands as data: arguments in; requests, texts and exit codes out.

mod history;

use std::io::Write;
use std::sync::Arc;

use clap::{CommandFactory as _, Parser as _};
use parking_lot::Mutex;
use tonic::{Code, Status};

use super::exit::{Exit, Told, Usage};
use super::flags::{Arguments, Command};
use super::output::Output;
use super::text::{Side, Table, harmless, one_line, wrap};
use super::{attribute, demo, progress};
use crate::config::{Config, Key, Layers};
use crate::knowledge_base;
use crate::service::pb;

/// A place for output that a test can look into.
#[derive(Debug, Clone, Default)]
pub(super) struct Written(Arc<Mutex<Vec<u8>>>);

impl Written {
    pub(super) fn output(&self, json: bool) -> Output {
        Output::plain(Box::new(self.clone()), json)
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8(self.0.lock().clone()).expect("output is UTF-8")
    }
}

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn parse(line: &str) -> Result<Arguments, clap::Error> {
    Arguments::try_parse_from(std::iter::once("groundwork").chain(line.split_whitespace()))
}

#[test]
fn flags_do_not_contradict_each_other() {
    Arguments::command().debug_assert();
}

#[test]
fn every_command_shows_examples() {
    fn check(command: &clap::Command, path: &str) {
        let path = format!("{path} {}", command.get_name());
        if command.get_name() == "help" {
            return;
        }
        if command.get_subcommands().next().is_none() {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.contains("Examples:\n"), "{path} shows examples: {help:?}");
            assert!(command.get_about().is_some(), "{path} says what it does");
        }
        for subcommand in command.get_subcommands() {
            check(subcommand, &path);
        }
    }
    let mut command = Arguments::command();
    command.build();
    check(&command, "");
    let help = command.render_long_help().to_string();
    for exit in [
        Exit::Done,
        Exit::Failed,
        Exit::Usage,
        Exit::NotFound,
        Exit::Partial,
        Exit::Interrupted,
    ] {
        assert!(
            help.contains(&format!("\n  {:<5}", exit.code())),
            "help documents exit code {}",
            exit.code()
        );
    }
}

#[test]
fn paragraphs_of_help_have_no_line_breaks() {
    fn check(command: &clap::Command) {
        let help = [command.get_after_help(), command.get_after_long_help()];
        for text in help.into_iter().flatten().map(ToString::to_string) {
            for (line, next) in text.lines().zip(text.lines().skip(1)) {
                let is_running = !line.is_empty() && !line.starts_with(' ') && !line.ends_with(':');
                assert!(
                    !is_running || next.is_empty(),
                    "{}: the terminal's width breaks lines, not the text: {line:?} {next:?}",
                    command.get_name()
                );
            }
        }
        command.get_subcommands().for_each(check);
    }
    let mut command = Arguments::command();
    command.build();
    check(&command);
}

/// A stdout whose reader has gone.
struct Gone;

impl Write for Gone {
    fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
        Err(std::io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn gone_reader_ends_commands_unless_outlived() {
    let mut output = Output::plain(Box::new(Gone), false);
    let error = output.line("x").expect_err("nobody reads it");
    assert!(super::exit::is_closed_pipe(&error.into()));
    let by_server = std::io::Error::from(std::io::ErrorKind::BrokenPipe);
    assert!(!super::exit::is_closed_pipe(&by_server.into()));
    output.outlive_reader(true);
    assert!(output.line("x").is_ok() && output.piece("x").is_ok());
    output.outlive_reader(false);
    assert!(output.line("x").is_err());
}

#[test]
fn refused_calls_do_not_go_on() {
    #[track_caller]
    fn check(error: impl Into<anyhow::Error>, goes_on: bool) {
        let error = error.into();
        assert_eq!(super::exit::may_go_on(&error), goes_on, "{error}");
    }
    check(Status::not_found("x"), false);
    check(Status::invalid_argument("x"), false);
    check(Status::data_loss("x"), false);
    check(Status::unavailable("x"), true);
    check(anyhow::anyhow!("the stream ended"), true);
    let broken = Status::from_error(Box::new(std::io::Error::other("reset by peer")));
    assert_eq!(
        Told(&broken.clone().into()).to_string(),
        "the connection to the server was lost: reset by peer"
    );
    check(broken, true);
}

#[test]
fn arguments_that_make_no_sense_are_refused() {
    let refused = [
        "",
        "kb",
        "kb create",
        "kb create a --no-chunking --chunk-tokens 9",
        "ingest handbook",
        "ingest handbook docs --metadata year",
        "ingest handbook docs --metadata year:=then",
        "search handbook epochs --limit 0",
        "search handbook epochs --type fuzzy",
        "ask handbook",
        "demo --once --listen 127.0.0.1:1",
        "kb list --server a:1 --data-dir b",
        "--set offline kb list",
        "serve now",
        "kb update handbook",
        "kb update handbook --tag a=b --no-tags",
        "kb create a --retain-age 7",
        "kb create a --original-content maybe",
        "documents delete handbook",
        "documents delete handbook a.md --filter a=b",
        "documents erase handbook --filter a=b --source c",
        "documents content handbook",
        "documents content handbook a.md --hash abc",
        "documents content handbook --hash abc --as-of-epoch 3",
        "documents verify-erasure handbook",
        "documents get handbook a.md --as-of-epoch 3 --as-of-time 2026-03-01T12:00:00Z",
        "search handbook x --as-of-time yesterday",
        "search handbook x --as-of-epoch 0",
        "bundle handbook handbook.bundle --as-of-epoch 0",
        "epochs diff handbook 3 0",
        "epochs diff handbook",
        "epochs rollback handbook",
        "epochs rollback handbook 3 --to-pin spring",
        "eval retrieval",
        "eval retrieval scifact --depth 1001",
        "eval retrieval scifact --limit 5",
        "eval retrieval scifact --measure f1@10",
        "eval retrieval scifact --force",
        "eval run a.run",
        "eval compare a.run --qrels qrels.tsv",
    ];
    for line in refused {
        assert!(parse(line).is_err(), "`{line}` is refused");
    }
}

#[test]
fn flags_reach_the_configuration() {
    #[track_caller]
    fn check(line: &str, key: Key, value: &str, origin: &str) {
        let mut layers = Layers::default();
        layers.add_flag(Key::DataDir, "/data");
        layers.add_flag(Key::ModelsDir, "/models");
        let arguments = parse(line).expect("the line is valid");
        arguments.add_to(&mut layers).expect("the settings are known");
        let config = Config::resolve(&layers).expect("the values fit");
        let resolved = config.resolved().find(|resolved| resolved.key == key);
        let resolved = resolved.expect("every setting is resolved");
        assert_eq!(
            (
                resolved.value.to_string().as_str(),
                resolved.origin.to_string().as_str()
            ),
            (value, origin),
            "{line}"
        );
    }
    check("kb list --data-dir x", Key::DataDir, r#""x""#, "--data-dir");
    check("--models-dir x models list", Key::ModelsDir, r#""x""#, "--models-dir");
    check("serve --listen [::]:1", Key::Listen, r#""[::]:1""#, "--listen");
    check("demo --listen :::1", Key::Listen, r#"":::1""#, "--listen");
    check("demo --offline", Key::Offline, "true", "--offline");
    check("kb list --server a:1", Key::Server, r#""http://a:1""#, "--server");
    check("--set compute_threads=2 config", Key::ComputeThreads, "2", "--set");
    check("--set log=info --log debug config", Key::Log, r#""debug""#, "--log");
}

#[test]
fn demo_keeps_its_data_apart() {
    let mut layers = Layers::default();
    layers.add_flag(Key::DataDir, "/data");
    layers.add_flag(Key::ModelsDir, "/models");
    layers.add_flag(Key::Server, "a:1");
    let config = Config::resolve(&layers).expect("the values fit");
    let named = demo::configure(config.clone(), true);
    assert_eq!(
        (named.data_dir.as_path(), named.server),
        (std::path::Path::new("/data"), None)
    );
    let own = demo::configure(config, false).data_dir;
    assert!(
        own.ends_with("demo") || crate::config::demo_dir().is_none(),
        "{}",
        own.display()
    );
}

#[test]
fn attributes_keep_their_types() {
    #[track_caller]
    fn check(text: &str, expected: Option<&str>) {
        let parsed = attribute::parse(text).ok().map(|attribute| {
            let metadata = std::iter::once((attribute.key, attribute.value)).collect();
            super::json::metadata(&metadata).to_string()
        });
        assert_eq!(parsed.as_deref(), expected, "{text}");
    }
    check("team=search", Some(r#"{"team":"search"}"#));
    check("zip=01234", Some(r#"{"zip":"01234"}"#));
    check("formula=a=b", Some(r#"{"formula":"a=b"}"#));
    check("empty=", Some(r#"{"empty":""}"#));
    check("year:=2024", Some(r#"{"year":2024.0}"#));
    check("draft:=false", Some(r#"{"draft":false}"#));
    check("quoted:=\"2024\"", Some(r#"{"quoted":"2024"}"#));
    check("topics:=[\"a\",\"b\"]", Some(r#"{"topics":["a","b"]}"#));
    check("sizes:=[1, 2.5]", Some(r#"{"sizes":[1.0,2.5]}"#));
    check("built@=2024-05-01", Some(r#"{"built":"2024-05-01T00:00:00Z"}"#));
    check(
        "built@=2024-05-01T12:30:00+02:00",
        Some(r#"{"built":"2024-05-01T10:30:00Z"}"#),
    );
    check("built@=yesterday", None);
    check("mixed:=[1,\"b\"]", None);
    check("deep:={}", None);
    check("year:=", None);
    check("=x", None);
    check(":=1", None);
    check("x", None);
}

#[test]
fn conditions_become_one_filter() {
    use pb::retrieval_filter::Condition;
    let condition = |text| attribute::parse_condition(text).expect("the condition is valid");
    assert!(matches!(condition("a=b").condition, Some(Condition::Equals(it)) if it.key == "a"));
    assert!(matches!(condition("a!=b").condition, Some(Condition::NotEquals(it)) if it.key == "a"));
    for text in ["a:!=1", "a!:=1"] {
        let is_number = |it: &pb::FilterAttribute| {
            let number = pb::metadata_value::Kind::NumberValue(1.0);
            it.key == "a" && it.value.as_ref().and_then(|value| value.kind.clone()) == Some(number)
        };
        assert!(
            matches!(condition(text).condition, Some(Condition::NotEquals(it)) if is_number(&it)),
            "{text}"
        );
    }
    for text in ["a@!=2024-05-01", "a!@=2024-05-01"] {
        assert!(
            matches!(condition(text).condition, Some(Condition::NotEquals(it)) if it.key == "a"),
            "{text}"
        );
    }
    assert!(matches!(condition("a!b:=1").condition, Some(Condition::Equals(it)) if it.key == "a!b"));
    for text in ["a:>1", "a>1", "a@>2024-05-01"] {
        assert!(
            matches!(condition(text).condition, Some(Condition::GreaterThan(it)) if it.key == "a"),
            "{text}"
        );
    }
    let refused = |text| attribute::parse_condition(text).expect_err("it means something else");
    assert!(refused("a^:=\"b\"").contains("write `a^=text`"));
    assert!(refused("a!>1").contains("write `a<=1`") && refused("a!<=1").contains("write `a>1`"));
    assert!(matches!(condition("a=b!=c").condition, Some(Condition::Equals(it)) if it.key == "a"));
    assert!(attribute::parse_condition("!=b").is_err() && attribute::parse_condition("ab").is_err());
    assert_eq!(attribute::all(vec![]), None);
    assert_eq!(attribute::all(vec![condition("a=b")]), Some(condition("a=b")));
    let both = attribute::all(vec![condition("a=b"), condition("c=d")]);
    assert!(matches!(both.and_then(|it| it.condition), Some(Condition::AndAll(list)) if list.filters.len() == 2));
}

#[test]
fn conditions_compare_as_they_are_written() {
    use pb::metadata_value::Kind;
    use pb::retrieval_filter::Condition;
    #[track_caller]
    fn check(text: &str, is: impl FnOnce(Condition) -> bool) {
        let condition = attribute::parse_condition(text)
            .expect("the condition is valid")
            .condition;
        assert!(is(condition.clone().expect("it is set")), "{text}: {condition:?}");
    }
    let number = |it: &pb::FilterAttribute, number: f64| {
        it.key == "a" && it.value.as_ref().and_then(|value| value.kind.clone()) == Some(Kind::NumberValue(number))
    };
    let text = |it: &pb::FilterAttribute, text: &str| {
        it.key == "a"
            && it.value.as_ref().and_then(|value| value.kind.clone()) == Some(Kind::StringValue(text.to_owned()))
    };
    let date = |it: &pb::FilterAttribute| {
        matches!(
            it.value.as_ref().and_then(|value| value.kind.as_ref()),
            Some(Kind::TimestampValue(_))
        )
    };
    check("a>1", |it| matches!(it, Condition::GreaterThan(it) if number(&it, 1.0)));
    check(
        "a>=-2.5",
        |it| matches!(it, Condition::GreaterThanOrEquals(it) if number(&it, -2.5)),
    );
    check(
        "a<1e3",
        |it| matches!(it, Condition::LessThan(it) if number(&it, 1_000.0)),
    );
    check(
        "a<=2024-05-01",
        |it| matches!(it, Condition::LessThanOrEquals(it) if date(&it)),
    );
    check(
        "a^=x=y",
        |it| matches!(it, Condition::StartsWith(it) if text(&it, "x=y")),
    );
    check(
        "a*=x",
        |it| matches!(it, Condition::StringContains(it) if text(&it, "x")),
    );
    check("a~=x", |it| matches!(it, Condition::ListContains(it) if text(&it, "x")));
    for number_in_list in ["a~:=2.5", "a:~=2.5"] {
        check(
            number_in_list,
            |it| matches!(it, Condition::ListContains(it) if number(&it, 2.5)),
        );
    }
    check(
        r#"a~:="2""#,
        |it| matches!(it, Condition::ListContains(it) if text(&it, "2")),
    );
    check("a?", |it| it == Condition::Exists("a".to_owned()));
    check(
        "!a?",
        |it| matches!(it, Condition::Not(it) if it.condition == Some(Condition::Exists("a".to_owned()))),
    );
    check(
        r#"{"greaterThan": {"key": "a", "value": 1}}"#,
        |it| matches!(it, Condition::GreaterThan(it) if number(&it, 1.0)),
    );
    check(
        r#"{"equals": {"key": "a", "value": {"date": "2024-05-01"}}}"#,
        |it| matches!(it, Condition::Equals(it) if date(&it)),
    );
    let joined = r#"{"orAll": [{"in": {"key": "a", "value": ["x"]}}, {"not": {"exists": "a"}}]}"#;
    check(
        joined,
        |it| matches!(it, Condition::OrAll(list) if list.filters.len() == 2),
    );
    for wrong in [
        "a>x",
        "a~:=x",
        "a~:=[1]",
        "a~@=2024-05-01",
        "a^:=x",
        ">1",
        "?",
        "!?",
        "{",
        "{}",
        r#"{"is": 1}"#,
        r#"{"equals": {"key": "a"}}"#,
        r#"{"andAll": {}}"#,
    ] {
        assert!(attribute::parse_condition(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn errors_choose_the_exit_code() {
    #[track_caller]
    fn check(error: impl Into<anyhow::Error>, code: u8, told: &str) {
        let error = error.into().context("cannot do it");
        assert_eq!(Exit::of(&error).code(), code);
        assert_eq!(Told(&error).to_string(), told);
    }
    check(Usage("not so".to_owned()), 2, "cannot do it: not so");
    check(
        Status::new(Code::NotFound, "there is no document `x`"),
        3,
        "cannot do it: there is no document `x`",
    );
    check(
        Status::invalid_argument("name: too long"),
        2,
        "cannot do it: name: too long",
    );
    check(
        Status::new(Code::Unavailable, ""),
        1,
        "cannot do it: the server answered Unavailable",
    );
    check(
        knowledge_base::Error::not_found("model", "x"),
        3,
        "cannot do it: there is no model `x`",
    );
    check(std::io::Error::other("disk on fire"), 1, "cannot do it: disk on fire");
    check(Usage("cannot do it".to_owned()), 2, "cannot do it");
}

#[test]
fn details_of_a_status_are_told() {
    use tonic_types::{ErrorDetails, StatusExt as _};
    let mut details = ErrorDetails::new();
    details.add_bad_request_violation("name", "at most 100 bytes, this one has 101");
    details.add_bad_request_violation("tags", "at most 50");
    details.set_retry_info(Some(std::time::Duration::from_millis(1_500)));
    let message = "name: at most 100 bytes, this one has 101";
    let status = Status::with_error_details(Code::InvalidArgument, message, details);
    let told = Told(&status.into()).to_string();
    assert_eq!(
        told,
        "name: at most 100 bytes, this one has 101\n  tags: at most 50\n  try again in 1.5 s"
    );
}

#[test]
fn text_of_others_cannot_steer_the_terminal() {
    assert_eq!(harmless("plain\ttext\n"), "plain\ttext\n");
    assert_eq!(
        harmless("\u{1b}[31mred\u{7}\r\u{202e}"),
        "\u{fffd}[31mred\u{fffd}\u{fffd}\u{fffd}"
    );
    assert_eq!(one_line(" a\n\n b\tc \u{1b}"), "a b c \u{fffd}");
    assert_eq!(harmless("one\r\ntwo\r"), "one\ntwo");
}

#[test]
fn long_lines_break_at_blanks() {
    #[track_caller]
    fn check(text: &str, width: usize, lines: &[&str]) {
        assert_eq!(wrap(text, width), lines, "{text:?} at {width}");
    }
    check("", 10, &[]);
    check("one two three", 7, &["one two", "three"]);
    check("incomprehensible", 5, &["incomprehensible"]);
    check("\n\na\n\n\nb\n\n", 5, &["a", "", "b"]);
    // Wide characters take two columns each.
    check("漢字 漢字", 8, &["漢字", "漢字"]);
    check("漢字 漢字", 9, &["漢字 漢字"]);
}

#[test]
fn tables_align_their_columns() {
    let written = Written::default();
    let mut table = Table::new(&[("NAME", Side::Left), ("COUNT", Side::Right), ("NOTE", Side::Left)]);
    table.row(["漢字".to_owned(), "7".to_owned(), "two\nlines".to_owned()]);
    table.row(["a".to_owned(), "1200".to_owned(), String::new()]);
    table
        .write(&mut written.output(false))
        .expect("writing to memory works");
    assert_eq!(
        written.text(),
        "NAME  COUNT  NOTE\n漢字      7  two lines\na      1200\n"
    );
}

#[test]
fn terminals_shorten_what_is_too_wide() {
    #[track_caller]
    fn check(id: &str, width: usize, expected: &str) {
        let written = Written::default();
        let mut table = Table::new(&[("NAME", Side::Left), ("COUNT", Side::Right), ("NOTE", Side::Left)]);
        table.row([id.to_owned(), "7".to_owned(), "two lines".to_owned()]);
        table.row(["a".to_owned(), "1200".to_owned(), String::new()]);
        table
            .write(&mut written.output(false).of_width(width))
            .expect("writing to memory works");
        assert_eq!(written.text(), expected);
    }
    let long = format!("begin/{}/end.md", "x".repeat(1_000));
    check(
        &long,
        40,
        "NAME                    COUNT  NOTE\nbegin/xxxxx…xxx/end.md      7  two lines\na                        1200\n",
    );
    // Too narrow for all: the columns stay in line, and the edge cuts them.
    check(
        &long,
        20,
        "NAME          COUNT…\nbegin/…nd.md      7…\na              1200\n",
    );
    check(
        &"漢".repeat(500),
        40,
        "NAME                    COUNT  NOTE\n漢漢漢漢漢…漢漢漢漢漢       7  two lines\na                        1200\n",
    );
}

#[test]
fn long_cells_stay_whole_outside_of_terminals() {
    let written = Written::default();
    let mut table = Table::new(&[("NAME", Side::Left), ("COUNT", Side::Right)]);
    let long = "x".repeat(1_000);
    table.row([long.clone(), "7".to_owned()]);
    table.row(["a".to_owned(), "1200".to_owned()]);
    table
        .write(&mut written.output(false))
        .expect("writing to memory works");
    let text = written.text();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[1], format!("{long}      7"));
    assert_eq!(lines[2], format!("a{}1200", " ".repeat(82)));
}

#[test]
fn failed_documents_show_only_what_is_known() {
    let failed = pb::Document {
        document_id: "a.pdf".to_owned(),
        status: pb::DocumentStatus::Failed.into(),
        status_reason: "the PDF is encrypted".to_owned(),
        ..pb::Document::default()
    };
    let written = Written::default();
    super::documents::show(&failed, &mut written.output(false)).expect("writing to memory works");
    let expected = "id          a.pdf\nstatus      failed\nreason      the PDF is encrypted\n";
    assert_eq!(written.text(), expected);
    let written = Written::default();
    super::documents::write_page(std::slice::from_ref(&failed), &mut written.output(false))
        .expect("writing to memory works");
    assert!(
        written
            .text()
            .ends_with("a.pdf     failed                       the PDF is encrypted\n"),
        "{}",
        written.text()
    );
    // One that was indexed before shows what is still there.
    let earlier = pb::Document {
        content_hash: "abc".to_owned(),
        mime_type: "application/pdf".to_owned(),
        byte_size: 10,
        text_bytes: 5,
        chunk_count: 1,
        epoch: 3,
        ..failed
    };
    let written = Written::default();
    super::documents::show(&earlier, &mut written.output(false)).expect("writing to memory works");
    assert!(
        written
            .text()
            .contains("content     application/pdf, 10 B, 5 B of text\n")
            && written.text().ends_with("chunks      1\nepoch       3\n"),
        "{}",
        written.text()
    );
}

#[test]
fn every_bar_can_be_drawn() {
    for bar in [
        progress::bytes("x", 10),
        progress::bytes("x", 0),
        progress::documents(5),
        progress::spinner("x"),
    ] {
        bar.set_message("1/2 documents");
        bar.inc(1);
        assert!(!bar.is_finished());
        bar.finish_and_clear();
    }
}

#[test]
fn serving_commands_refuse_a_server_to_speak_to() {
    let arguments = parse("serve --server a:1 --models-dir m").expect("the flag is global");
    assert!(matches!(arguments.command, Command::Serve(_)));
    let error = super::configure(&Arguments {
        global: super::flags::GlobalFlags {
            data_dir: Some("/data".into()),
            ..arguments.global
        },
        command: arguments.command,
    })
    .expect_err("a server speaks to no server");
    assert_eq!(Exit::of(&error), Exit::Usage);
}

fn result() -> pb::RetrievalResult {
    pb::RetrievalResult {
        document_id: "concepts/epochs.md".to_owned(),
        content: Some(pb::RetrievalResultContent {
            text: "An epoch is the number\nof a commit.".to_owned(),
        }),
        location: Some(pb::RetrievalResultLocation {
            title: "Epochs".to_owned(),
            heading_path: vec!["Epochs".to_owned(), "What a commit is".to_owned()],
            page: 3,
            span: Some(span(33, 68)),
            ..pb::RetrievalResultLocation::default()
        }),
        score: 0.75,
        cosine: Some(pb::LegScore {
            rank: 1,
            raw: 0.5,
            normalized: 1.0,
        }),
        bm25: Some(pb::LegScore {
            raw: 2.25,
            ..pb::LegScore::default()
        }),
        ..pb::RetrievalResult::default()
    }
}

fn span(start: u64, end: u64) -> pb::Span {
    pb::Span {
        start,
        end,
        ..pb::Span::default()
    }
}

#[test]
fn hits_show_place_and_scores() {
    let written = Written::default();
    super::search::write_result(1, &result(), &mut written.output(false)).expect("writing to memory works");
    let expected = "\
1. Epochs › What a commit is
   concepts/epochs.md, page 3, bytes 33–68: score 0.750, cosine 0.500 (#1), bm25 2.250
   An epoch is the number
   of a commit.

";
    assert_eq!(written.text(), expected);
}

#[test]
fn explained_hits_show_how_scores_came_about() {
    let mut explained = result();
    explained.explanation = Some(pb::ScoreExplanation {
        rank: 1,
        fused_rank: 2,
        candidate_count: 20,
        legs: vec![pb::LegContribution {
            leg: pb::SearchLeg::Keyword.into(),
            normalized: 1.0,
            weight: 0.25,
            ..pb::LegContribution::default()
        }],
        fused_score: 0.2,
        transformation_contribution: Some(-0.05),
        terms: vec![pb::TermContribution {
            term: "epoch".to_owned(),
            frequency: 2,
            score: 1.5,
            ..pb::TermContribution::default()
        }],
        boosts: vec![pb::AppliedBoost {
            index: 0,
            multiplier: 3.0,
        }],
        ..pb::ScoreExplanation::default()
    });
    explained.folded_chunks = vec![pb::FoldedChunk {
        chunk_id: "chunk-00000007".to_owned(),
        document_id: "copy.md".to_owned(),
        ..pb::FoldedChunk::default()
    }];
    let written = Written::default();
    super::search::write_result(1, &explained, &mut written.output(false)).expect("writing to memory works");
    let expected = "\
1. Epochs › What a commit is
   concepts/epochs.md, page 3, bytes 33–68: score 0.750, cosine 0.500 (#1), bm25 2.250
   fused 0.2000 = 0.25 × bm25 1.0000 - 0.0500 for uniting wordings; place 2 of 20 candidates
   times 3.0000 by boost 0
   bm25 of epoch 1.500 (2×)
   nearly the same: copy.md (chunk-00000007)
   An epoch is the number
   of a commit.

";
    assert_eq!(written.text(), expected);
}

#[test]
fn missing_documents_show_what_brings_them_in() {
    let missing = pb::ExplainMissingResponse {
        stage: pb::MissingStage::CutOff.into(),
        reason: "it is at place 7, and 5 results were asked for".to_owned(),
        chunk_id: "chunk-0000002a".to_owned(),
        legs: vec![pb::ExactLegRank {
            leg: pb::SearchLeg::Dense.into(),
            rank: 9,
            raw: 0.5,
            listed: true,
            candidates: 100,
        }],
        fused_rank: 7,
        score: 0.25,
        suggestions: vec![pb::RetrievalSuggestion {
            text: "set number_of_results to 7 or more".to_owned(),
            ..pb::RetrievalSuggestion::default()
        }],
        ..pb::ExplainMissingResponse::default()
    };
    let written = Written::default();
    super::explain::write(&missing, &mut written.output(false)).expect("writing to memory works");
    let expected = "\
cut off
  it is at place 7, and 5 results were asked for
  its best chunk is chunk-0000002a
  cosine: rank 9, 0.5000; listed among 100
  fused: place 7, score 0.2500
To bring it in: set number_of_results to 7 or more
";
    assert_eq!(written.text(), expected);
}

#[test]
fn sources_follow_the_answer_once_each() {
    let citation = |reference_number, start, source_text: &str| pb::Citation {
        reference_number,
        document_id: "concepts/epochs.md".to_owned(),
        source_span: Some(span(start, start + 5)),
        source_text: source_text.to_owned(),
        ..pb::Citation::default()
    };
    let answer = super::ask::Answer {
        text: "Second. [2] First. [1] Again. [1]".to_owned(),
        references: vec![pb::RetrievedReference {
            reference_number: 1,
            result: Some(result()),
        }],
        citations: vec![
            citation(2, 7, "No reference."),
            citation(1, 33, "An\nepoch."),
            citation(1, 33, "An\nepoch."),
        ],
        summary: Some(pb::AnswerSummary::default()),
    };
    let written = Written::default();
    answer
        .write_rest(&mut written.output(false))
        .expect("writing to memory works");
    let expected = "\n\nSources\n\
        [1] Epochs › What a commit is (concepts/epochs.md, page 3, bytes 33–38):\n    \"An epoch.\"\n\
        [2] concepts/epochs.md (concepts/epochs.md, bytes 7–12):\n    \"No reference.\"\n";
    assert_eq!(written.text(), expected);
    let object = answer.json();
    assert_eq!(object["citations"].as_array().map(Vec::len), Some(3));
    assert_eq!(
        object["retrieved_references"][0]["result"]["location"]["span"]["end"],
        68
    );
}

#[test]
fn missing_answer_says_why() {
    #[track_caller]
    fn check(text: &str, model_id: &str, reason: pb::NoAnswerReason, expected: &str) {
        let answer = super::ask::Answer {
            text: text.to_owned(),
            summary: Some(pb::AnswerSummary {
                no_answer_reason: reason.into(),
                model_id: model_id.to_owned(),
                ..pb::AnswerSummary::default()
            }),
            ..super::ask::Answer::default()
        };
        let written = Written::default();
        answer
            .write_rest(&mut written.output(false))
            .expect("writing to memory works");
        assert_eq!(written.text(), expected);
    }
    let unsupported =
        "\nNo answer: do not rely on the text above: no passage supports what the language model wrote.\n";
    check("Bees.", "m", pb::NoAnswerReason::NotSupported, unsupported);
    check(
        "",
        "",
        pb::NoAnswerReason::EmptyKnowledgeBase,
        "No answer: the knowledge base holds no documents.\n",
    );
    // Where no model was called the text is the server's own and says so.
    check("It holds none.", "", pb::NoAnswerReason::NoResults, "\n");
}
