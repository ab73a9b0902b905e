//! Tests of clauses: what questions name, how they compare, and the filters that follow.

use super::*;
use crate::document::Date;
use crate::document::metadata::{AttributeType, MetadataValue};

fn attribute(key: &str, kind: AttributeType, description: &str) -> Attribute {
    Attribute {
        key: key.to_owned(),
        kind,
        description: description.to_owned(),
    }
}

fn attributes() -> Vec<Attribute> {
    vec![
        attribute("year", AttributeType::Number, ""),
        attribute("rating", AttributeType::Number, "Stars of the review"),
        attribute("author", AttributeType::String, ""),
        attribute("topics", AttributeType::StringList, ""),
        attribute("is_draft", AttributeType::Boolean, ""),
        attribute("publishedOn", AttributeType::Date, ""),
    ]
}

const VALUES: [(&str, &[&str]); 2] = [
    ("author", &["Maria Lind", "maria lind", "Lind", "C++", "A", "Bo"]),
    ("topics", &["security", "safe-keeping", "tides"]),
];

fn read<'a>(text: &'a str, attributes: &'a [Attribute]) -> FilterQuestion<'a> {
    FilterQuestion::read(text, attributes, &mut |key, passes| {
        let of = VALUES.iter().filter(|(known, _)| *known == key);
        let values = of.flat_map(|(_, values)| values.iter());
        values
            .filter(|value| passes(value))
            .map(|value| (*value).to_owned())
            .collect()
    })
}

#[track_caller]
fn check(text: &str, key: &str, expected: &[&str]) {
    let attributes: Vec<Attribute> = attributes()
        .into_iter()
        .filter(|attribute| attribute.key == key)
        .collect();
    assert_eq!(read(text, &attributes).accepted(), expected, "{text}");
}

#[test]
fn numbers_come_with_their_comparison() {
    for (text, clause) in [
        ("reports of 2021", "year = 2021"),
        ("reports since 2021", "year >= 2021"),
        ("reports since the year 2021", "year >= 2021"),
        ("reports not before 2021", "year >= 2021"),
        ("reports from 2021 onwards", "year >= 2021"),
        ("reports of 2021 or later", "year >= 2021"),
        ("reports after 2021", "year > 2021"),
        ("reports newer than 2021", "year > 2021"),
        ("reports with year > 2021", "year > 2021"),
        ("reports with year >= 2021", "year >= 2021"),
        ("reports until 2021", "year <= 2021"),
        ("reports no later than 2021", "year <= 2021"),
        ("reports before 2021", "year < 2021"),
        ("reports not from 2021", "year != 2021"),
    ] {
        check(text, "year", &[clause]);
    }
    for range in [
        "between 2019 and 2021",
        "from 2019 to 2021",
        "of 2019-2021",
        "2019 – 2021",
        "2019 through 2021",
    ] {
        check(&format!("reports {range}"), "year", &["year >= 2019", "year <= 2021"]);
    }
    check("the years 2019 and 2021", "year", &["year = 2019", "year = 2021"]);
    check("room 12, 31000 people, 0.5 and 2021.5", "year", &[]);
}

#[test]
fn numbers_belong_to_what_is_named_near_them() {
    check("a rating above 3.5", "rating", &["rating > 3.5"]);
    check("reviews with at least 4 stars", "rating", &["rating >= 4"]);
    check("a rating of -2", "rating", &["rating = -2"]);
    check("more than 1,250 stars", "rating", &["rating > 1250"]);
    check("the rating fell, as we all know, by 3", "rating", &[]);
    check("buy 4 apples", "rating", &[]);
}

#[test]
fn strings_are_found_whatever_their_case() {
    check(
        "what did MARIA LIND's say",
        "author",
        &["author = Maria Lind, maria lind"],
    );
    check("notes on safe keeping", "topics", &["topics ~= safe-keeping"]);
    check("tide", "topics", &[]);
    check("maria and lind", "author", &["author = Lind"]);
    // Too slight to name anything by themselves.
    check("a C compiler, as bo said", "author", &[]);
    check("by the author Bo", "author", &["author = Bo"]);
    check(
        "anything but by Maria Lind",
        "author",
        &["author != Maria Lind, maria lind"],
    );
    check(
        "anything not by Maria Lind",
        "author",
        &["author != Maria Lind, maria lind"],
    );
}

/// Reads a question about the teams, languages, years and drafts of reports: the clauses, and whether some were left out.
fn told(text: &str) -> (Vec<String>, Vec<RejectedClause>) {
    let attributes = [
        attribute("team", AttributeType::String, ""),
        attribute("language", AttributeType::String, ""),
        attribute("year", AttributeType::Number, ""),
        attribute("draft", AttributeType::Boolean, ""),
    ];
    let values = |key: &str| match key {
        "team" => ["search", "ops", "legal"].as_slice(),
        "language" => &["German", "French"],
        _ => &[],
    };
    let question = FilterQuestion::read(text, &attributes, &mut |key, passes| {
        let passing = values(key).iter().filter(|value| passes(value));
        passing.map(|value| (*value).to_owned()).collect()
    });
    (question.accepted(), question.into_rejected())
}

#[test]
fn what_is_excluded_is_never_selected() {
    for (text, expected) in [
        ("reports not written by the legal team", "team != legal"),
        ("Show all reports except those of the search team", "team != search"),
        ("reports except the ops team", "team != ops"),
        ("everything excluding documents by legal", "team != legal"),
        ("neither search nor ops reports", "team != search; team != ops"),
        ("reports of any year but 2020", "year != 2020"),
        ("anything but reports of 2020", "year != 2020"),
        ("reports not in German", "language != German"),
        ("reports of years other than 2020", "year != 2020"),
        ("reports with year != 2020", "year != 2020"),
        ("reports with year <> 2020", "year != 2020"),
        ("team != ops", "team != ops"),
        ("all reports, but not drafts", "draft = false"),
        ("reports of all years save 2020", "year != 2020"),
    ] {
        let (accepted, rejected) = told(text);
        assert_eq!(accepted.join("; "), expected, "{text}");
        assert_eq!(rejected, [], "{text}");
    }
}

#[test]
fn clauses_that_may_be_negated_are_left_out() {
    for (text, cue) in [
        ("no reports by the ops team", "no"),
        ("reports that aren't any good for search", "aren't"),
        ("I don’t want reports of the legal team", "don’t"),
        ("not since 2020", "not"),
        ("nothing later than 2020", "nothing"),
        ("never before 2020", "never"),
        ("not only in German", "not"),
        ("reports not about the work of legal", "not"),
        ("reports in other years than 2020", "other years than"),
        ("use reports instead of German ones", "instead of"),
        ("reports minus those of search", "minus"),
        ("all teams besides ops", "besides"),
        ("none of the search team", "none"),
        ("reports but of 2020", "but"),
        ("no team but ops", "but"),
        ("not between 2019 and 2021", "not"),
        ("do not exclude drafts", "not"),
        ("everything without reports, search or ops", "without"),
        ("reports the legal team did not write", "not"),
        ("reports the legal team hasn't published", "hasn't"),
        ("all reports, drafts excluded", "excluded"),
        ("no reports, which are by ops", "no"),
        ("avoid the legal team", "avoid"),
        ("reports, as opposed to those of 2020", "as opposed to"),
        ("Berichte außer 2020", "außer"),
        ("rapports sans legal", "sans"),
    ] {
        let (accepted, rejected) = told(text);
        assert_eq!(accepted, Vec::<String>::new(), "{text}");
        let reason = format!("the question excludes or negates it: `{cue}`");
        assert!(!rejected.is_empty(), "{text}");
        assert!(rejected.iter().all(|it| it.reason == reason), "{text}: {rejected:?}");
    }
    // Of a list, what is plain stays.
    let (accepted, rejected) = told("reports not in German, French or about 2020");
    assert_eq!(
        (accepted.join("; ").as_str(), rejected.len()),
        ("language != German", 2)
    );
}

#[test]
fn negations_end_with_their_clause() {
    for (text, expected) in [
        ("reports of 2020, not drafts", "year = 2020; draft = false"),
        ("reports, not drafts, from 2020", "draft = false; year = 2020"),
        ("reports (not drafts) from 2020", "draft = false; year = 2020"),
        ("No drafts. Reports by the ops team", "draft = false; team = ops"),
        ("no drafts, show what search wrote", "draft = false; team = search"),
        (
            "reports not in German and which are of 2020",
            "language != German; year = 2020",
        ),
        ("not from 2019, only in French", "year != 2019; language = French"),
        ("no later than 2020", "year <= 2020"),
        ("reports not before 2020", "year >= 2020"),
        ("non-German reports of 2020", "language != German; year = 2020"),
        ("2020 reports that do not mention cranes", "year = 2020"),
        ("reports of 2020 excluding drafts", "year = 2020; draft = false"),
        (
            "notes of the search team, but also from 2020",
            "team = search; year = 2020",
        ),
    ] {
        let (accepted, rejected) = told(text);
        assert_eq!(accepted.join("; "), expected, "{text}");
        assert_eq!(rejected, [], "{text}");
    }
}

#[test]
fn truth_values_are_named_by_their_attribute() {
    check("list the drafts", "is_draft", &["is_draft = true"]);
    check("no drafts, please", "is_draft", &["is_draft = false"]);
    check("what is not a draft", "is_draft", &["is_draft = false"]);
    check("non-draft notes", "is_draft", &["is_draft = false"]);
    check("drafty rooms", "is_draft", &[]);
}

#[test]
fn dates_are_read_as_periods() {
    let day = |text: &str| MetadataValue::Date(Date::parse_day(text).expect("a day"));
    let of = |start: &str, end: &str| {
        Filter::AndAll(vec![
            Filter::GreaterThanOrEquals("publishedOn".to_owned(), day(start)),
            Filter::LessThan("publishedOn".to_owned(), day(end)),
        ])
    };
    let attributes = [attribute("publishedOn", AttributeType::Date, "")];
    for (text, filter) in [
        ("in 2023", of("2023-01-01", "2024-01-01")),
        ("in December 2023", of("2023-12-01", "2024-01-01")),
        ("in sept 2023", of("2023-09-01", "2023-10-01")),
        ("on 2024-02-29", of("2024-02-29", "2024-03-01")),
        ("in 2024-02", of("2024-02-01", "2024-03-01")),
        ("on 1st of May 2024", of("2024-05-01", "2024-05-02")),
        ("on May 1, 2024", of("2024-05-01", "2024-05-02")),
        ("in Q3 2024", of("2024-07-01", "2024-10-01")),
        ("between May 2023 and June 2023", of("2023-05-01", "2023-07-01")),
        ("on 2023-02-30", of("2023-01-01", "2024-01-01")),
    ] {
        assert_eq!(read(text, &attributes).filter(), Some(filter), "{text}");
    }
    let after = Filter::GreaterThanOrEquals("publishedOn".to_owned(), day("2024-01-01"));
    assert_eq!(read("after 2023", &attributes).filter(), Some(after));
    let before = Filter::LessThan("publishedOn".to_owned(), day("2023-01-01"));
    assert_eq!(read("before 2023", &attributes).filter(), Some(before));
    assert_eq!(read("may I march in 12 days", &attributes).filter(), None);
}

#[test]
fn clauses_of_one_attribute_become_one_condition() {
    let attributes = attributes();
    let year =
        |made: fn(String, MetadataValue) -> Filter, year: f64| made("year".to_owned(), MetadataValue::Number(year));
    let of = |text: &str| {
        let only: Vec<Attribute> = attributes[..1].to_vec();
        read(text, &only).filter()
    };
    let both = Filter::In("year".to_owned(), MetadataValue::NumberList(vec![2019.0, 2021.0]));
    assert_eq!(of("2021 and 2019"), Some(both));
    let outside = Filter::OrAll(vec![year(Filter::GreaterThan, 2021.0), year(Filter::LessThan, 2019.0)]);
    assert_eq!(of("before 2019 or after 2021"), Some(outside));
    let topics = &attributes[3..4];
    let has = |topic: &str| Filter::Equals("topics".to_owned(), MetadataValue::String(topic.to_owned()));
    let filter = |text| read(text, topics).filter();
    assert_eq!(
        filter("on security and tides"),
        Some(Filter::AndAll(vec![has("security"), has("tides")]))
    );
    let either = ["security", "tides"].map(str::to_owned).to_vec();
    let either = Filter::In("topics".to_owned(), MetadataValue::StringList(either));
    assert_eq!(filter("on security or tides"), Some(either));
}

#[test]
fn what_is_looked_at_is_bounded() {
    let attributes = attributes();
    let long = "since 2021 ".repeat(1_000);
    let question = read(&long, &attributes);
    assert_eq!(question.accepted().len(), candidate::MAX_CANDIDATES);
    assert!(question.question.words.len() <= question::MAX_WORDS);
    for odd in [
        "",
        "?!",
        "２０２１",
        "é’s",
        "2021-",
        "-2021",
        "not",
        "between 2019 and",
        "… 2021–",
    ] {
        let question = read(odd, &attributes);
        assert!(question.filter().is_none_or(|filter| filter.check().is_ok()), "{odd}");
    }
}

proptest::proptest! {
    #[test]
    fn any_question_gives_a_filter_within_limits(text in "[ a-zA-Z0-9.,'’\\-–<>=éß東]{0,80}") {
        let text = format!("{text} between 2019 and May 2021 not Maria Lind {text}");
        let attributes = attributes();
        let question = read(&text, &attributes);
        let filter = question.filter();
        proptest::prop_assert!(filter.is_none_or(|filter| filter.check().is_ok()));
        for rejected in question.into_rejected() {
            proptest::prop_assert!(rejected.reason.contains("excludes or negates"), "{}", rejected.reason);
        }
    }
}
