//! Tests of filters.

use super::*;
use crate::document::Date;

fn text(text: &str) -> MetadataValue {
    MetadataValue::String(text.to_owned())
}

fn texts(texts: &[&str]) -> MetadataValue {
    MetadataValue::StringList(texts.iter().map(|text| (*text).to_owned()).collect())
}

fn number(number: f64) -> MetadataValue {
    MetadataValue::Number(number)
}

fn numbers(numbers: &[f64]) -> MetadataValue {
    MetadataValue::NumberList(numbers.to_vec())
}

fn day(text: &str) -> MetadataValue {
    MetadataValue::Date(Date::parse_day(text).expect("a day"))
}

fn document() -> Metadata {
    let entries = [
        ("name", text("The old harbour")),
        ("year", number(2020.0)),
        ("open", MetadataValue::Boolean(true)),
        ("built", day("1899-05-01")),
        ("colours", texts(&["red", "blue"])),
        ("sizes", numbers(&[1.0, 8.0])),
        ("none", texts(&[])),
    ];
    entries
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value))
        .collect()
}

type Make = fn(String, MetadataValue) -> Filter;

#[test]
fn operators_compare_by_type() {
    #[track_caller]
    fn check(make: Make, key: &str, value: MetadataValue, accepted: bool) {
        let filter = make(key.to_owned(), value);
        filter.check().expect("it is within limits");
        assert_eq!(filter.accepts(&document()), accepted, "{filter:?}");
    }
    let equals: [(&str, MetadataValue, bool); 15] = [
        ("name", text("The old harbour"), true),
        ("name", text("the old harbour"), false),
        ("year", number(2020.0), true),
        ("year", text("2020"), false),
        ("open", MetadataValue::Boolean(true), true),
        ("open", MetadataValue::Boolean(false), false),
        ("built", day("1899-05-01"), true),
        ("built", day("1899-05-02"), false),
        ("colours", text("blue"), true),
        ("colours", text("green"), false),
        ("colours", texts(&["red", "blue"]), true),
        ("colours", texts(&["blue", "red"]), false),
        ("sizes", number(8.0), true),
        ("none", texts(&[]), true),
        ("absent", text("x"), false),
    ];
    for (key, value, accepted) in equals {
        check(Filter::Equals, key, value.clone(), accepted);
        check(Filter::NotEquals, key, value, !accepted);
    }
    let ranges: [(Make, [bool; 3]); 4] = [
        (Filter::GreaterThan, [true, false, false]),
        (Filter::GreaterThanOrEquals, [true, true, false]),
        (Filter::LessThan, [false, false, true]),
        (Filter::LessThanOrEquals, [false, true, true]),
    ];
    for (make, expected) in ranges {
        for (value, accepted) in [2019.5, 2020.0, 2020.5].into_iter().zip(expected) {
            check(make, "year", number(value), accepted);
        }
        for (value, accepted) in ["1899-04-30", "1899-05-01", "1899-05-02"].into_iter().zip(expected) {
            check(make, "built", day(value), accepted);
        }
        check(make, "absent", number(0.0), false);
        check(make, "name", number(0.0), false);
    }
    check(Filter::GreaterThan, "sizes", number(7.0), true);
    check(Filter::GreaterThan, "sizes", number(8.0), false);
    let lists: [(&str, MetadataValue, bool); 7] = [
        ("name", texts(&["x", "The old harbour"]), true),
        ("name", texts(&["The old"]), false),
        ("colours", texts(&["green", "red"]), true),
        ("colours", texts(&["green"]), false),
        ("year", numbers(&[2020.0, 1.0]), true),
        ("sizes", numbers(&[2.0]), false),
        ("absent", texts(&["x"]), false),
    ];
    for (key, value, accepted) in lists {
        check(Filter::In, key, value.clone(), accepted);
        check(Filter::NotIn, key, value, !accepted);
    }
    check(Filter::StartsWith, "name", text("The"), true);
    check(Filter::StartsWith, "name", text("old"), false);
    check(Filter::StartsWith, "colours", text("bl"), true);
    check(Filter::StringContains, "name", text("old"), true);
    check(Filter::StringContains, "name", text("new"), false);
    check(Filter::StringContains, "colours", text("lu"), true);
    check(Filter::ListContains, "colours", text("red"), true);
    check(Filter::ListContains, "colours", text("re"), false);
    check(Filter::ListContains, "sizes", number(1.0), true);
    check(Filter::ListContains, "name", text("The old harbour"), false);
}

#[test]
fn conditions_are_joined_and_turned() {
    let is = |accepted: bool| Filter::Equals("open".to_owned(), MetadataValue::Boolean(accepted));
    let check = |filter: Filter, accepted: bool| assert_eq!(filter.accepts(&document()), accepted, "{filter:?}");
    check(Filter::AndAll(vec![is(true), is(true)]), true);
    check(Filter::AndAll(vec![is(true), is(false)]), false);
    check(Filter::OrAll(vec![is(false), is(true)]), true);
    check(Filter::OrAll(vec![is(false), is(false)]), false);
    check(Filter::Not(Box::new(is(false))), true);
    check(Filter::Exists("none".to_owned()), true);
    check(Filter::Exists("absent".to_owned()), false);
    check(Filter::Not(Box::new(Filter::Exists("absent".to_owned()))), true);
}

#[test]
fn filters_beyond_limits_are_refused() {
    #[track_caller]
    fn check(filter: &Filter, reason: &str) {
        let error = filter.check().expect_err("it is refused");
        assert!(error.contains(reason), "{error}");
    }
    let equals = |key: &str| Filter::Equals(key.to_owned(), MetadataValue::Boolean(true));
    let nested = |depth| (1..depth).fold(equals("a"), |inner, _| Filter::Not(Box::new(inner)));
    nested(MAX_FILTER_DEPTH).check().expect("it is deep enough");
    check(&nested(MAX_FILTER_DEPTH + 1), "at most 8 deep");
    check(&Filter::OrAll(vec![equals("a")]), "at least two");
    check(
        &Filter::AndAll(vec![equals("a"); MAX_CONDITIONS]),
        "at most 1000 conditions",
    );
    check(&equals(""), "1 to 100 bytes");
    check(&Filter::Exists(String::new()), "1 to 100 bytes");
    check(&equals(&"k".repeat(101)), "has 101");
    let made = |make: Make, value| make("a".to_owned(), value);
    check(&made(Filter::NotEquals, number(f64::NAN)), "NaN");
    check(&made(Filter::NotEquals, text(&"x".repeat(2_049))), "not 2049");
    check(&made(Filter::NotIn, texts(&["x"; 101])), "not 101");
    check(&made(Filter::In, texts(&[])), "at least one value");
    check(
        &made(Filter::In, text("x")),
        "in takes a list of strings or numbers, `a` is compared with a string",
    );
    check(
        &made(Filter::GreaterThan, text("2020")),
        "greater_than takes a number or a date",
    );
    check(&made(Filter::StartsWith, number(2.0)), "starts_with takes a string");
    check(
        &made(Filter::ListContains, texts(&["x"])),
        "list_contains takes a string or a number",
    );
}
