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

mod index {
    //! The filter as a set of rows, beside what it says of each document.

    use proptest::prelude::*;

    use super::*;
    use crate::document::access::{AccessList, UserContext};
    use crate::document::metadata::AttributeType;
    use crate::document::schema::{DeclaredAttribute, MetadataSchema};
    use crate::index::{AttributeIndex, ChunkId, RowSet};

    fn open() -> AccessList {
        AccessList::default()
    }

    /// Documents of two chunks each, from chunk 1 on.
    fn indexed(documents: &[Metadata]) -> AttributeIndex {
        let mut index = AttributeIndex::default();
        for (at, metadata) in documents.iter().enumerate() {
            index.add(ChunkId(at as u64 * 2 + 1), 2, metadata, &open());
        }
        index
    }

    /// Numbers of the documents of rows.
    fn documents(index: &AttributeIndex, rows: &RowSet) -> Vec<usize> {
        index
            .chunks(rows)
            .map(|(first, _)| (first.0 as usize - 1) / 2)
            .collect()
    }

    fn any_value() -> impl Strategy<Value = MetadataValue> {
        let word = || prop::sample::select(vec!["", "a", "ab", "b", "ba"]).prop_map(str::to_owned);
        let number = || prop::sample::select(vec![-1.0, 0.0, 1.0, 2.5]);
        prop_oneof![
            word().prop_map(MetadataValue::String),
            number().prop_map(MetadataValue::Number),
            any::<bool>().prop_map(MetadataValue::Boolean),
            (-2_i64..2).prop_map(|at| MetadataValue::Date(Date::new(at, 0).expect("it is within"))),
            prop::collection::vec(word(), 0..3).prop_map(MetadataValue::StringList),
            prop::collection::vec(number(), 0..3).prop_map(MetadataValue::NumberList),
        ]
    }

    fn any_key() -> impl Strategy<Value = String> {
        prop::sample::select(vec!["k", "l", "m"]).prop_map(str::to_owned)
    }

    fn any_filter() -> impl Strategy<Value = Filter> {
        const MAKES: [Make; 11] = [
            Filter::Equals,
            Filter::NotEquals,
            Filter::GreaterThan,
            Filter::GreaterThanOrEquals,
            Filter::LessThan,
            Filter::LessThanOrEquals,
            Filter::In,
            Filter::NotIn,
            Filter::StartsWith,
            Filter::ListContains,
            Filter::StringContains,
        ];
        let compared = (0..MAKES.len(), any_key(), any_value()).prop_map(|(at, key, value)| MAKES[at](key, value));
        let leaf = prop_oneof![8 => compared, 1 => any_key().prop_map(Filter::Exists)];
        leaf.prop_recursive(3, 12, 3, |inner| {
            prop_oneof![
                inner.clone().prop_map(|filter| Filter::Not(Box::new(filter))),
                prop::collection::vec(inner.clone(), 2..4).prop_map(Filter::AndAll),
                prop::collection::vec(inner, 2..4).prop_map(Filter::OrAll),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]
        #[test]
        fn rows_are_the_documents_that_it_accepts(
            held in prop::collection::vec(prop::collection::btree_map(any_key(), any_value(), 0..3), 0..70),
            removed in prop::collection::vec(0_usize..70, 0..5),
            filter in any_filter(),
        ) {
            let mut index = indexed(&held);
            for at in &removed {
                index.remove(ChunkId(*at as u64 * 2 + 1));
            }
            let expected: Vec<usize> = (0..held.len())
                .filter(|at| filter.accepts(&held[*at]) && !removed.contains(at))
                .collect();
            prop_assert_eq!(documents(&index, &filter.rows(&index)), expected);
        }
    }

    #[track_caller]
    fn check(filter: &Filter, known: &Known<'_>, refused: Option<&str>) {
        let found = filter.check_known(known).map_err(|unfit| unfit.to_string());
        assert_eq!(found.err().as_deref(), refused, "{filter:?}");
    }

    #[test]
    fn unknown_keys_and_other_types_are_refused() {
        let index = indexed(&[document()]);
        let none = MetadataSchema::default();
        let known = Known {
            index: &index,
            schema: &none,
            within: None,
        };
        let equals = |key: &str, value| Filter::Equals(key.to_owned(), value);
        check(&equals("year", number(1.0)), &known, None);
        check(&equals("colours", text("x")), &known, None);
        let nearest = "no document has the attribute `yaer`; the nearest that is known: `year`, `name`, `open`";
        check(&equals("yaer", number(1.0)), &known, Some(nearest));
        check(
            &Filter::Not(Box::new(equals("yaer", number(1.0)))),
            &known,
            Some(nearest),
        );
        check(&Filter::Exists("yaer".to_owned()), &known, Some(nearest));
        let either = Filter::OrAll(vec![equals("year", number(1.0)), equals("yaer", number(1.0))]);
        check(&either, &known, Some(nearest));
        let clash = "`year` is a number, which equals does not compare with a string";
        check(&equals("year", text("2020")), &known, Some(clash));
        let clash = "`built` is a date, which less_than does not compare with a number";
        check(&Filter::LessThan("built".to_owned(), number(1.0)), &known, Some(clash));
        let clash = "`name` is a string, no list, and list_contains looks into lists only";
        check(&Filter::ListContains("name".to_owned(), text("x")), &known, Some(clash));
    }

    #[test]
    fn declared_attributes_are_known() {
        let (empty, full) = (AttributeIndex::default(), indexed(&[document()]));
        let mut schema = MetadataSchema {
            attributes: vec![DeclaredAttribute {
                key: "pages".to_owned(),
                kind: AttributeType::Number,
                description: String::new(),
            }],
            is_strict: false,
        };
        let of = |key: &str, value| Filter::GreaterThan(key.to_owned(), value);
        let clash = Some("`pages` is a number, which greater_than does not compare with a date");
        for index in [&empty, &full] {
            let known = Known {
                index,
                schema: &schema,
                within: None,
            };
            check(&of("pages", number(1.0)), &known, None);
            check(&of("pages", day("2024-01-01")), &known, clash);
        }
        let other = of("size", number(1.0));
        let known = Known {
            index: &empty,
            schema: &schema,
            within: None,
        };
        check(&other, &known, None);
        schema.is_strict = true;
        let known = Known {
            index: &empty,
            schema: &schema,
            within: None,
        };
        let refused = "no document has the attribute `size`; the nearest that is known: `pages`";
        check(&other, &known, Some(refused));
    }

    #[test]
    fn what_others_have_is_not_known() {
        let mut index = indexed(&[Metadata::from([("town".to_owned(), text("Kiel"))])]);
        let staff = AccessList {
            allow_groups: vec!["staff".to_owned()],
            ..open()
        };
        let secret = Metadata::from([("salary".to_owned(), number(1.0)), ("town".to_owned(), number(2.0))]);
        index.add(ChunkId(3), 2, &secret, &staff);
        let member = UserContext {
            user_id: "ann".to_owned(),
            groups: vec!["staff".to_owned()],
        };
        let schema = MetadataSchema::default();
        let salary = Filter::Exists("salary".to_owned());
        let town = Filter::Equals("town".to_owned(), number(2.0));
        let refused = [
            Some("no document has the attribute `salary`; the nearest that is known: `town`"),
            Some("`town` is a string, which equals does not compare with a number"),
        ];
        for (caller, expected, seen) in [(None, refused, vec![0]), (Some(&member), [None, None], vec![0, 1])] {
            let admitted = index.admitted(caller).expect("not all is open to all");
            let known = Known {
                index: &index,
                schema: &schema,
                within: Some(&admitted),
            };
            check(&salary, &known, expected[0]);
            check(&town, &known, expected[1]);
            assert_eq!(documents(&index, &admitted), seen);
        }
    }

    #[test]
    fn rows_out_of_order_and_worn_indexes_are_told() {
        let mut index = indexed(&[document(), document()]);
        index.add(ChunkId(3), 2, &document(), &open());
        assert_eq!(documents(&index, &index.all()), [0, 1], "a revision stands once");
        assert!(index.is_any(None) && !index.is_worn() && index.bytes() > 0);
        index.remove(ChunkId(1));
        index.remove(ChunkId(1));
        assert!(!index.is_worn());
        index.remove(ChunkId(3));
        assert!(index.is_worn() && index.is_empty() && !index.is_any(None));
        assert_eq!(index.keys(None).count(), 0);
    }
}
