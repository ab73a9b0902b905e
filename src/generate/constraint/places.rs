//! The schemas inside a JSON Schema that bear on what fits it, and where they stand.
//!
//! Comes in: a schema. Goes out: itself, what stands in it and what it refers to, each with its place as a JSON Pointer and
//! with what it is to the schema around it.
//! Always holds: each schema comes once, the whole first; every reference is resolved; every keyword that a schema is told
//! by has a value of its kind.
//! Not here: what fits them (see [`super::satisfiable`]).

use std::collections::{BTreeSet, HashMap};

use serde_json::{Map, Value};

/// Largest `minLength`, `minItems` and the like; larger ones are refused, and larger upper bounds drawn in.
pub(super) const MAX_COUNT: u64 = 1_000_000;
/// Most properties of one object, since work grows with their square.
const MAX_PROPERTIES: usize = 1_000;
/// Most properties of one object that may be left out: each of them can come next.
const MAX_OPTIONAL_PROPERTIES: usize = 400;
/// Largest `multipleOf`, its point left out: the work of finding the next digit grows with it.
const MAX_MULTIPLE: f64 = 4_096.0;
/// Most digits after the point of a `multipleOf`.
const MAX_DECIMALS: i32 = 9;
/// Characters of a value that an error repeats.
const SHOWN_CHARS: usize = 60;

/// Drafts in which a list of `items` is what `prefixItems` is later.
const OLD_DRAFTS: [&str; 4] = [
    "https://json-schema.org/draft/2019-09/schema",
    "http://json-schema.org/draft-07/schema",
    "http://json-schema.org/draft-06/schema",
    "http://json-schema.org/draft-04/schema",
];

/// What a schema is to the one around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part<'a> {
    /// What it refers to.
    Reference,
    /// One of those that all must be fitted.
    AllOf,
    /// One of those of which one must be fitted; by the keyword.
    OneOf(&'static str),
    /// A property.
    Property(&'a str),
    /// Properties with names that fit a pattern.
    Pattern,
    /// All other properties.
    Additional,
    /// The element at a place.
    Item(usize),
    /// All further elements.
    Rest,
}

/// A schema in its place.
#[derive(Debug)]
pub(super) struct Place<'a> {
    /// Its JSON Pointer.
    pub(super) pointer: String,
    pub(super) value: &'a Value,
    pub(super) parts: Vec<(Part<'a>, usize)>,
}

impl Place<'_> {
    /// Returns the pointer as references write it.
    pub(super) fn shown(&self) -> String {
        format!("#{}", self.pointer)
    }
}

/// Returns all schemas that bear on what fits this one; fails with what is wrong, and where.
pub(super) fn places(schema: &Value) -> Result<Vec<Place<'_>>, String> {
    let draft = schema.get("$schema").and_then(Value::as_str).unwrap_or_default();
    let is_old = OLD_DRAFTS.contains(&draft.trim_end_matches('#'));
    let mut found = Places {
        places: Vec::new(),
        known: HashMap::new(),
    };
    found.add(String::new(), schema);
    let mut at = 0;
    while at < found.places.len() {
        let Place { pointer, value, .. } = &found.places[at];
        let (pointer, value) = (pointer.clone(), *value);
        match value {
            Value::Bool(_) => {}
            Value::Object(keys) => {
                for (keyword, value) in keys {
                    check(&pointer, keyword, value)?;
                }
                check_properties(&pointer, keys)?;
                for (part, pointer, value) in parts(&pointer, keys, is_old) {
                    let part_at = found.add(pointer, value);
                    found.places[at].parts.push((part, part_at));
                }
                if let Some(reference) = keys.get("$ref").and_then(Value::as_str) {
                    let (target, value) = target(schema, &pointer, reference)?;
                    let target_at = found.add(target, value);
                    found.places[at].parts.push((Part::Reference, target_at));
                }
            }
            _ => {
                return Err(format!(
                    "`#{pointer}` must be a schema, which is an object, `true` or `false`"
                ));
            }
        }
        at += 1;
    }
    Ok(found.places)
}

struct Places<'a> {
    places: Vec<Place<'a>>,
    known: HashMap<String, usize>,
}

impl<'a> Places<'a> {
    fn add(&mut self, pointer: String, value: &'a Value) -> usize {
        *self.known.entry(pointer).or_insert_with_key(|pointer| {
            self.places.push(Place {
                pointer: pointer.clone(),
                value,
                parts: Vec::new(),
            });
            self.places.len() - 1
        })
    }
}

/// Returns the pointer that a reference is, and what is there.
fn target<'a>(schema: &'a Value, pointer: &str, reference: &str) -> Result<(String, &'a Value), String> {
    let refused = |reason: &str| format!("the `$ref` at `#{pointer}` is `{}`: {reason}", cut(reference));
    let Some(fragment) = reference
        .strip_prefix('#')
        .filter(|rest| rest.is_empty() || rest.starts_with('/'))
    else {
        return Err(refused(
            "only references into the schema itself are followed, as `#/$defs/name`",
        ));
    };
    let target = percent_decoded(fragment);
    let value = target.as_deref().and_then(|target| schema.pointer(target));
    match (target, value) {
        (Some(target), Some(value)) => Ok((target, value)),
        _ => Err(refused("the schema has nothing there")),
    }
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let digits = std::str::from_utf8(rest.get(..2)?).ok()?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        rest = &rest[2..];
    }
    String::from_utf8(bytes).ok()
}

/// Returns the schemas that stand in another, with their pointers.
fn parts<'a>(pointer: &str, keys: &'a Map<String, Value>, is_old: bool) -> Vec<(Part<'a>, String, &'a Value)> {
    let mut parts = Vec::new();
    let list = |keyword: &str| {
        keys.get(keyword)
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .enumerate()
    };
    let named = |keyword: &str| keys.get(keyword).and_then(Value::as_object).into_iter().flatten();
    let at = |keyword: &str, place: &str| format!("{pointer}/{keyword}/{}", escaped(place));
    for (place, value) in list("allOf") {
        parts.push((Part::AllOf, at("allOf", &place.to_string()), value));
    }
    for keyword in ["anyOf", "oneOf"] {
        for (place, value) in list(keyword) {
            parts.push((Part::OneOf(keyword), at(keyword, &place.to_string()), value));
        }
    }
    for (name, value) in named("properties") {
        parts.push((Part::Property(name), at("properties", name), value));
    }
    for (name, value) in named("patternProperties") {
        parts.push((Part::Pattern, at("patternProperties", name), value));
    }
    if let Some(value) = keys.get("additionalProperties") {
        parts.push((Part::Additional, format!("{pointer}/additionalProperties"), value));
    }
    // As the grammar's engine tells the two ways of writing lists apart.
    let is_listed = keys.get("items").is_some_and(Value::is_array);
    let (first, rest) = if is_listed {
        ("items", "additionalItems")
    } else if is_old || keys.contains_key("additionalItems") {
        ("", "items")
    } else {
        ("prefixItems", "items")
    };
    for (place, value) in list(first) {
        parts.push((Part::Item(place), at(first, &place.to_string()), value));
    }
    if let Some(value) = keys.get(rest) {
        parts.push((Part::Rest, format!("{pointer}/{rest}"), value));
    }
    parts
}

/// Returns a name as it stands in a JSON Pointer.
fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// Returns the whole number that a count is, also where it is written with a point or an exponent.
pub(super) fn count(value: &Value) -> Option<u64> {
    let whole = |number: &f64| *number >= 0.0 && number.fract() == 0.0;
    value
        .as_u64()
        .or_else(|| value.as_f64().filter(whole).map(|number| number as u64))
}

/// Returns whether a keyword is a count, and whether one from above.
pub(super) fn bounds_count(keyword: &str) -> Option<bool> {
    match keyword {
        "minLength" | "minItems" | "minProperties" => Some(false),
        "maxLength" | "maxItems" | "maxProperties" => Some(true),
        _ => None,
    }
}

/// Checks that the value of a keyword is of its kind.
fn check(pointer: &str, keyword: &str, value: &Value) -> Result<(), String> {
    let is_text_list = || value.as_array().is_some_and(|list| list.iter().all(Value::is_string));
    let (is_right, kind) = match keyword {
        "multipleOf" => match value.as_f64().filter(|number| *number > 0.0) {
            Some(number) if !is_coarse(number) => {
                return Err(format!(
                    "`multipleOf` at `#{pointer}` is {value}: its digits, read as a whole number, are {MAX_MULTIPLE} at most"
                ));
            }
            found => (found.is_some(), "a number above 0"),
        },
        "minimum" | "maximum" => (value.is_number(), "a number"),
        "exclusiveMinimum" | "exclusiveMaximum" => (value.is_number() || value.is_boolean(), "a number"),
        "pattern" | "format" | "$ref" => (value.is_string(), "a text"),
        "type" => (value.is_string() || is_text_list(), "a text or a list of texts"),
        "required" => (is_text_list(), "a list of texts"),
        "enum" | "allOf" | "anyOf" | "oneOf" | "prefixItems" => (value.is_array(), "a list"),
        "properties" | "patternProperties" => (value.is_object(), "an object"),
        _ => match (bounds_count(keyword), count(value)) {
            (Some(_), None) => (false, "a whole number from 0"),
            (Some(false), Some(count)) if count > MAX_COUNT => {
                return Err(format!(
                    "`{keyword}` at `#{pointer}` is {count}: at most {MAX_COUNT} can be kept to"
                ));
            }
            _ => return Ok(()),
        },
    };
    if is_right {
        return Ok(());
    }
    let shown = cut(&value.to_string());
    Err(format!("`{keyword}` at `#{pointer}` must be {kind}, is {shown}"))
}

/// Returns whether multiples of a number can be told apart with little work, which grows with its digits.
fn is_coarse(number: f64) -> bool {
    let mut scaled = (0..=MAX_DECIMALS).map(|decimals| number * 10_f64.powi(decimals));
    let whole = scaled.find(|scaled| (scaled - scaled.round()).abs() < 1e-9 * scaled.max(1.0) && *scaled >= 0.5);
    whole.is_some_and(|whole| whole.round() <= MAX_MULTIPLE)
}

fn check_properties(pointer: &str, keys: &Map<String, Value>) -> Result<(), String> {
    let Some(properties) = keys.get("properties").and_then(Value::as_object) else {
        return Ok(());
    };
    let listed = properties.len();
    if listed > MAX_PROPERTIES {
        return Err(format!(
            "`#{pointer}` has {listed} properties, at most {MAX_PROPERTIES} are taken"
        ));
    }
    let required = keys.get("required").and_then(Value::as_array).into_iter().flatten();
    let required = required
        .filter_map(Value::as_str)
        .filter(|name| properties.contains_key(*name));
    let optional = listed.saturating_sub(required.collect::<BTreeSet<_>>().len());
    if optional > MAX_OPTIONAL_PROPERTIES {
        let help = "make some `required`, or group them in objects";
        return Err(format!(
            "`#{pointer}` has {optional} properties that may be left out, at most {MAX_OPTIONAL_PROPERTIES} are taken: {help}"
        ));
    }
    Ok(())
}

/// Returns the beginning of a text.
fn cut(text: &str) -> String {
    match text.char_indices().nth(SHOWN_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
