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
        &["author = Maria Lind, maria lind"],
    );
    check(
        "anything not by Maria Lind",
        "author",
        &["author != Maria Lind, maria lind"],
    );
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
        proptest::prop_assert_eq!(question.into_rejected(), Vec::new());
    }
}
