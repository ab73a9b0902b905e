//! Which of the schemas inside a JSON Schema something finite fits.
//!
//! Comes in: schemas in their places. Goes out: those that nothing fits, or why nothing fits the whole.
//! Always holds: what is said to fit nothing fits nothing. A schema that only holds another of its kind is one of these,
//! since what fits it would never end: types of values count as possible once there is a finite value of them, and are
//! added until none is new.
//! Not here: what shows only where patterns and combined schemas are worked out (see [`super::compiled`]).

use std::collections::{BTreeSet, VecDeque};

use serde_json::{Map, Value};

use super::places::{Part, Place, count};

/// Types of values, as bits.
const NULL: u8 = 1;
const BOOLEAN: u8 = 1 << 1;
const NUMBER: u8 = 1 << 2;
const STRING: u8 = 1 << 3;
const ARRAY: u8 = 1 << 4;
const OBJECT: u8 = 1 << 5;
const ANY: u8 = (1 << 6) - 1;

/// Returns the places that nothing fits; fails with why nothing fits the first.
pub(super) fn barren(places: &[Place<'_>]) -> Result<Vec<usize>, String> {
    let mut holders = vec![Vec::new(); places.len()];
    for (at, place) in places.iter().enumerate() {
        for (_, part) in &place.parts {
            holders[*part].push(at);
        }
    }
    let mut fits = vec![0; places.len()];
    let mut waiting: VecDeque<usize> = (0..places.len()).rev().collect();
    let mut is_waiting = vec![true; places.len()];
    while let Some(at) = waiting.pop_front() {
        is_waiting[at] = false;
        let (types, _) = possible(&places[at], &fits);
        if types != fits[at] {
            fits[at] = types;
            for holder in &holders[at] {
                if !std::mem::replace(&mut is_waiting[*holder], true) {
                    waiting.push_back(*holder);
                }
            }
        }
    }
    if fits[0] == 0 {
        return Err(explained(places, &fits));
    }
    Ok((0..places.len()).filter(|at| fits[*at] == 0).collect())
}

/// What left no type of value.
#[derive(Clone, Copy)]
enum Cause<'a> {
    /// Nothing did.
    None,
    /// The schema `false`.
    False,
    /// A list without an element.
    Empty(&'a str),
    /// A lower bound above an upper one.
    Bounds(&'a str, &'a str),
    /// More required properties than there may be.
    TooManyRequired,
    /// A required property that is not among those that may come.
    Unlisted(&'a str),
    /// A keyword that leaves none of the types that the others leave.
    Clash(&'a str),
    /// A part that nothing fits.
    Part(usize),
}

struct Left<'a> {
    types: u8,
    cause: Cause<'a>,
}

impl<'a> Left<'a> {
    fn keep(&mut self, types: u8, cause: Cause<'a>) {
        if self.types & !types != 0 {
            self.types &= types;
            self.cause = cause;
        }
    }
}

/// Returns the types of values that can fit a schema if those fit its parts, and what took the last one away.
fn possible<'a>(place: &Place<'a>, fits: &[u8]) -> (u8, Cause<'a>) {
    let mut left = Left {
        types: ANY,
        cause: Cause::None,
    };
    let Value::Object(keys) = place.value else {
        let is_shut = *place.value == Value::Bool(false);
        return if is_shut { (0, Cause::False) } else { (ANY, Cause::None) };
    };
    keep_values(&mut left, keys);
    keep_within_bounds(&mut left, keys);
    for (part, at) in &place.parts {
        if matches!(part, Part::AllOf | Part::Reference) {
            let keyword = if *part == Part::AllOf { "allOf" } else { "$ref" };
            let cause = if fits[*at] == 0 {
                Cause::Part(*at)
            } else {
                Cause::Clash(keyword)
            };
            left.keep(fits[*at], cause);
        }
    }
    for keyword in ["anyOf", "oneOf"] {
        let mut options = place
            .parts
            .iter()
            .filter(|(part, _)| *part == Part::OneOf(keyword))
            .peekable();
        let first = options.peek().map(|(_, at)| *at);
        let types = options.fold(0, |types, (_, at)| types | fits[*at]);
        match first {
            Some(first) if types == 0 => left.keep(0, Cause::Part(first)),
            Some(_) => left.keep(types, Cause::Clash(keyword)),
            None if keys.contains_key(keyword) => left.keep(0, Cause::Empty(keyword)),
            None => {}
        }
    }
    keep_arrays(&mut left, place, keys, fits);
    keep_objects(&mut left, place, keys, fits);
    (left.types, left.cause)
}

fn keep_values<'a>(left: &mut Left<'a>, keys: &'a Map<String, Value>) {
    let mut keep_any = |keyword: &'static str, types: Vec<u8>| {
        let cause = if types.is_empty() {
            Cause::Empty(keyword)
        } else {
            Cause::Clash(keyword)
        };
        left.keep(types.into_iter().fold(0, |all, one| all | one), cause);
    };
    match keys.get("type") {
        Some(Value::String(name)) => keep_any("type", vec![type_named(name)]),
        Some(Value::Array(names)) => {
            keep_any("type", names.iter().filter_map(Value::as_str).map(type_named).collect());
        }
        _ => {}
    }
    if let Some(value) = keys.get("const") {
        keep_any("const", vec![type_of(value)]);
    }
    if let Some(Value::Array(values)) = keys.get("enum") {
        keep_any("enum", values.iter().map(type_of).collect());
    }
}

/// Types that are not known are left to the grammar's engine.
fn type_named(name: &str) -> u8 {
    match name {
        "null" => NULL,
        "boolean" => BOOLEAN,
        "number" | "integer" => NUMBER,
        "string" => STRING,
        "array" => ARRAY,
        "object" => OBJECT,
        _ => ANY,
    }
}

fn type_of(value: &Value) -> u8 {
    match value {
        Value::Null => NULL,
        Value::Bool(_) => BOOLEAN,
        Value::Number(_) => NUMBER,
        Value::String(_) => STRING,
        Value::Array(_) => ARRAY,
        Value::Object(_) => OBJECT,
    }
}

fn keep_within_bounds<'a>(left: &mut Left<'a>, keys: &'a Map<String, Value>) {
    for (lower, upper, types) in [
        ("minLength", "maxLength", STRING),
        ("minItems", "maxItems", ARRAY),
        ("minProperties", "maxProperties", OBJECT),
    ] {
        if let (Some(least), Some(most)) = (keys.get(lower).and_then(count), keys.get(upper).and_then(count))
            && least > most
        {
            left.keep(!types, Cause::Bounds(lower, upper));
        }
    }
    let bound = |keyword: &'static str| Some((keyword, keys.get(keyword)?.as_f64()?));
    for lower in ["minimum", "exclusiveMinimum"].into_iter().filter_map(bound) {
        for upper in ["maximum", "exclusiveMaximum"].into_iter().filter_map(bound) {
            let is_open = lower.0.starts_with("exclusive") || upper.0.starts_with("exclusive");
            if lower.1 > upper.1 || (is_open && lower.1 >= upper.1) {
                left.keep(!NUMBER, Cause::Bounds(lower.0, upper.0));
            }
        }
    }
}

fn keep_arrays<'a>(left: &mut Left<'a>, place: &Place<'a>, keys: &Map<String, Value>, fits: &[u8]) {
    let least = keys.get("minItems").and_then(count).unwrap_or(0);
    let needed = |part: &Part<'_>, listed: u64| match part {
        Part::Item(at) => (*at as u64) < least,
        Part::Rest => listed < least,
        _ => false,
    };
    let is_item = |part: &Part<'_>| matches!(part, Part::Item(_));
    let listed = place.parts.iter().filter(|(part, _)| is_item(part)).count() as u64;
    for (_, at) in place.parts.iter().filter(|(part, _)| needed(part, listed)) {
        if fits[*at] == 0 {
            left.keep(!ARRAY, Cause::Part(*at));
        }
    }
}

fn keep_objects<'a>(left: &mut Left<'a>, place: &Place<'a>, keys: &'a Map<String, Value>, fits: &[u8]) {
    let required = keys.get("required").and_then(Value::as_array).into_iter().flatten();
    let required: BTreeSet<&str> = required.filter_map(Value::as_str).collect();
    let most = keys.get("maxProperties").and_then(count);
    if most.is_some_and(|most| required.len() as u64 > most) {
        left.keep(!OBJECT, Cause::TooManyRequired);
    }
    let mut listed = BTreeSet::new();
    let (mut has_patterns, mut additional) = (false, None);
    for (part, at) in &place.parts {
        match part {
            Part::Property(name) => {
                listed.insert(*name);
                if required.contains(name) && fits[*at] == 0 {
                    left.keep(!OBJECT, Cause::Part(*at));
                }
            }
            Part::Pattern => has_patterns = true,
            Part::Additional => additional = Some(*at),
            _ => {}
        }
    }
    // A name may fit a pattern.
    if let (false, Some(name), Some(at)) = (has_patterns, required.difference(&listed).next(), additional)
        && fits[at] == 0
    {
        left.keep(!OBJECT, Cause::Unlisted(name));
    }
}

/// Returns why nothing fits the first place.
fn explained(places: &[Place<'_>], fits: &[u8]) -> String {
    let (mut at, mut seen) = (0, BTreeSet::new());
    let reason = loop {
        let (_, cause) = possible(&places[at], fits);
        break match cause {
            Cause::Part(part) if seen.insert(at) => {
                at = part;
                continue;
            }
            Cause::Part(_) | Cause::None => {
                let place = places[at].shown();
                let help = "leave it out of `required` or `minItems`, or give `anyOf` an end";
                return format!(
                    "nothing finite fits it: what fits `{place}` holds another such value without end: {help}"
                );
            }
            Cause::False => "nothing fits `false`".to_owned(),
            Cause::Empty(keyword) => format!("`{keyword}` is empty"),
            Cause::Bounds(lower, upper) => {
                let keys = places[at].value;
                let (least, most) = (&keys[lower], &keys[upper]);
                format!("`{lower}` {least} leaves nothing within `{upper}` {most}")
            }
            Cause::TooManyRequired => "`required` names more properties than `maxProperties` lets in".to_owned(),
            Cause::Unlisted(name) => format!(
                "`required` names `{name}`, which `properties` does not, and no others may come: name it there, or say \
                 what else may come with `additionalProperties`"
            ),
            Cause::Clash(keyword) => format!("`{keyword}` lets in no type of value that the other keywords let in"),
        };
    };
    format!("nothing fits it: at `{}`, {reason}", places[at].shown())
}
