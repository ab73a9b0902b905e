//! Grammars, compiled for the tokens of a model.
//!
//! Comes in: a grammar. Goes out: a matcher at its beginning, or why no text can be kept to it.
//! Always holds: from wherever a text can come to under the grammar, it can come to an end; what is known to be too much
//! work is refused here, and not while a text is written.
//! Not here: schemas by themselves (see [`super::schema`]), which say better what is wrong with them.

use std::collections::{HashMap, HashSet};
use std::panic::AssertUnwindSafe;
use std::thread::{self, ScopedJoinHandle};

use llguidance::api::{GrammarInit, ParserLimits, TopLevelGrammar};
use llguidance::derivre::NextByte;
use llguidance::earley::regexvec::{LexemeSet, RegexVec};
use llguidance::earley::{CGrammar, CSymIdx};
use llguidance::panic_utils::catch_unwind;
use llguidance::{Matcher, ParserFactory};

use super::vocabulary::{ROW_ITEMS, STEP_FUEL};

/// Room on the stack: the engine goes down once for each reference that it follows, which takes some kilobytes.
const STACK_BYTES: usize = 64 << 20;
/// Bytes of a text along which each lexeme is tried.
const WALK_BYTES: usize = 128;
/// Work that one byte may take there: a token's mask looks at many bytes. Patterns of daily use take some hundreds,
/// those whose repetitions leave open where one ends take more with every byte.
const WALK_FUEL: u64 = STEP_FUEL / 125;
/// What a message says of a grammar on which the engine fails.
const BROKEN: &str = "cannot be compiled: the grammar's engine fails on it";
/// What a message says of a grammar that is too large.
const TOO_LARGE: &str = "is too large: have fewer properties and alternatives, lower `{m,n}`, a lower `multipleOf`, `^` \
                         before a `pattern` that stands beside `maxLength`, and no repetition in another that leaves open \
                         where one ends, as in `(a{1,99}){1,99}`";
/// Lines of an error that its first line announces at most: a pattern, a mark below it, what is wrong.
const MAX_LINES: usize = 3;

/// How the grammar's engine says that nothing fits a grammar.
const UNSATISFIABLE: &str = "noextensionbias";
/// What the grammar's engine says of what is too large for it.
const TOO_LARGE_MARKS: [&str; 10] = [
    "too big",
    "too large",
    "too many states",
    "too many expressions",
    "too many items",
    "current row has",
    "fuel exhausted",
    "precomputation failed",
    "unable to determine if regex is empty",
    "out of range",
];
/// How the grammar's engine begins what it says, and how we do.
const WORDINGS: [(&str, &str); 5] = [
    ("unsatisfiable schema: ", "nothing fits it: "),
    ("unimplemented keys: ", "these keywords are not supported: "),
    (
        "oneOf constraints are not supported. Enable 'coerce_one_of' option to approximate oneOf with anyOf",
        "alternatives of `oneOf` that may fit at once are not supported: take `anyOf`",
    ),
    (
        "circular references with sibling keys are not supported: ",
        "references that lead back to themselves cannot stand beside other keywords: ",
    ),
    (
        "schema intersection stack level exceeded",
        "schemas that refer to themselves cannot be put over one another",
    ),
];

/// Compiles a grammar; fails with what is wrong with it.
pub(super) fn compiled(factory: &ParserFactory, grammar: TopLevelGrammar) -> Result<Matcher, String> {
    let compile = || catch_unwind(AssertUnwindSafe(|| Ok(compile(factory, grammar))));
    let done = thread::scope(|scope| {
        let thread = thread::Builder::new().stack_size(STACK_BYTES);
        thread.spawn_scoped(scope, compile).map(ScopedJoinHandle::join)
    });
    match done {
        Ok(Ok(Ok(compiled))) => compiled,
        Ok(Ok(Err(panic))) => Err(in_our_words(&panic)),
        Ok(Err(_)) => Err(BROKEN.to_owned()),
        Err(error) => Err(format!("cannot be compiled: {error}")),
    }
}

fn compile(factory: &ParserFactory, grammar: TopLevelGrammar) -> Result<Matcher, String> {
    let limits = factory.limits();
    let tokens = factory.tok_env().clone();
    let (grammar, lexer) = GrammarInit::Serialized(grammar)
        .to_internal(Some(tokens), limits.clone())
        .map_err(|error| in_our_words(&error))?;
    let rules = grammar.optimize().compile(lexer.clone(), limits);
    check(&rules.map_err(|error| in_our_words(&error))?, limits)?;
    let parser = factory.create_parser_from_init_default(GrammarInit::Internal(grammar, lexer));
    let mut matcher = Matcher::new(parser);
    // What the first token can be is worked out once for all texts.
    matcher.compute_mask_or_eos().map_err(|error| in_our_words(&error))?;
    Ok(matcher)
}

/// Checks that a grammar leads to an end from everywhere, and that it is not too much work.
fn check(rules: &CGrammar, limits: &ParserLimits) -> Result<(), String> {
    let symbols = symbols(rules);
    let ending = ending(rules, &symbols, limits)?;
    if !ending.contains(&rules.start()) {
        return Err("nothing finite fits it".to_owned());
    }
    for rule in symbols.iter().flat_map(|symbol| rules.rules_of(*symbol)) {
        let parts = rules.rule_rhs(*rule).0;
        let stuck = parts.iter().position(|part| !ending.contains(part));
        if stuck.is_some_and(|at| at > 0) {
            let help = "take out the alternative or the property that nothing finite fits";
            return Err(format!("a text could begin that nothing finite ends: {help}"));
        }
    }
    check_rows(rules, &symbols)
}

/// Returns the symbols that finite texts fit; fails where a lexeme takes too much work.
fn ending(rules: &CGrammar, symbols: &[CSymIdx], limits: &ParserLimits) -> Result<HashSet<CSymIdx>, String> {
    let spec = rules.lexer_spec();
    let lexer = spec.to_regex_vec(&mut limits.clone());
    let mut lexer = lexer.map_err(|error| in_our_words(&error))?;
    let mut ending = HashSet::new();
    for symbol in symbols {
        let data = rules.sym_data(*symbol);
        let is_ending = match data.lexeme {
            Some(lexeme) => {
                let mut alone = spec.alloc_lexeme_set();
                alone.add(lexeme);
                walk(&mut lexer, &alone)?
            }
            None => data.is_terminal || data.is_nullable,
        };
        if is_ending {
            ending.insert(*symbol);
        }
    }
    let mut known = None;
    while known != Some(ending.len()) {
        known = Some(ending.len());
        for symbol in symbols {
            let mut rules = rules.rules_of(*symbol).iter().map(|rule| rules.rule_rhs(*rule).0);
            if rules.any(|parts| parts.iter().all(|part| ending.contains(part))) {
                ending.insert(*symbol);
            }
        }
    }
    Ok(ending)
}

/// Returns the symbols of a grammar, parts before what they are part of where that is possible.
fn symbols(rules: &CGrammar) -> Vec<CSymIdx> {
    let (mut symbols, mut seen) = (Vec::new(), HashSet::new());
    let mut open = vec![(rules.start(), false)];
    while let Some((symbol, is_done)) = open.pop() {
        if is_done {
            symbols.push(symbol);
        } else if seen.insert(symbol) {
            open.push((symbol, true));
            let parts = rules.rules_of(symbol).iter().flat_map(|rule| rules.rule_rhs(*rule).0);
            open.extend(parts.map(|part| (*part, false)));
        }
    }
    symbols
}

/// Goes along texts that fit a lexeme; returns whether there is one. Fails where that takes too much work.
fn walk(lexer: &mut RegexVec, lexeme: &LexemeSet) -> Result<bool, String> {
    let mut state = lexer.initial_state(lexeme);
    if state.is_dead() {
        return Ok(false);
    }
    let mut byte = b'a';
    for _ in 0..WALK_BYTES {
        let spent = lexer.total_fuel_spent();
        // The same byte again and again leaves most open.
        let mut next = lexer.transition(state, byte);
        if next.is_dead() {
            let likely = match lexer.next_byte(state) {
                NextByte::ForcedByte(byte) | NextByte::SomeBytes1(byte) | NextByte::SomeBytes2([byte, _]) => Some(byte),
                NextByte::SomeBytes0 => None,
                NextByte::ForcedEOI | NextByte::Dead => break,
            };
            let Some(other) = likely
                .into_iter()
                .chain(0..=u8::MAX)
                .find(|other| !lexer.transition(state, *other).is_dead())
            else {
                break;
            };
            byte = other;
            next = lexer.transition(state, byte);
        }
        if lexer.total_fuel_spent() - spent > WALK_FUEL {
            return Err(TOO_LARGE.to_owned());
        }
        state = next;
    }
    Ok(true)
}

/// Checks that not too many items of the parser stand beside one another.
fn check_rows(rules: &CGrammar, symbols: &[CSymIdx]) -> Result<(), String> {
    let mut items = HashMap::new();
    for symbol in symbols {
        let mut count = 0_usize;
        for rule in rules.rules_of(*symbol) {
            for part in rules.rule_rhs(*rule).0 {
                count = count.saturating_add(1 + items.get(part).copied().unwrap_or(0));
                if !rules.sym_data(*part).is_nullable {
                    break;
                }
            }
        }
        items.insert(*symbol, count);
        if count > ROW_ITEMS && begun(rules, *symbol) > ROW_ITEMS {
            return Err(TOO_LARGE.to_owned());
        }
    }
    Ok(())
}

/// Counts the items that a symbol begins with, up to one more than are taken.
fn begun(rules: &CGrammar, symbol: CSymIdx) -> usize {
    let (mut seen, mut open, mut items) = (HashSet::from([symbol]), vec![symbol], 0);
    while let Some(symbol) = open.pop() {
        for rule in rules.rules_of(symbol) {
            for part in rules.rule_rhs(*rule).0 {
                items += 1;
                if seen.insert(*part) {
                    open.push(*part);
                }
                if !rules.sym_data(*part).is_nullable {
                    break;
                }
            }
        }
        if items > ROW_ITEMS {
            break;
        }
    }
    items
}

/// Returns an error of the grammar's engine in words that callers understand.
pub(super) fn in_our_words(error: &impl ToString) -> String {
    let error = error.to_string();
    let lower = error.to_lowercase();
    if lower.contains(UNSATISFIABLE) {
        return "nothing fits it".to_owned();
    }
    if TOO_LARGE_MARKS.iter().any(|mark| lower.contains(mark)) {
        return TOO_LARGE.to_owned();
    }
    if lower.starts_with("panic") {
        return BROKEN.to_owned();
    }
    let line = in_one_line(&error);
    let known = WORDINGS
        .iter()
        .find_map(|(theirs, ours)| Some(format!("{ours}{}", line.strip_prefix(theirs)?)));
    known.unwrap_or(line)
}

/// Returns the first line of an error, and those that it announces: the rest is about the engine's own grammar.
fn in_one_line(error: &str) -> String {
    let mut lines = error.lines().map(str::trim).filter(|line| !line.is_empty());
    let mut line = lines.next().unwrap_or("unknown").to_owned();
    if line.ends_with(':') {
        for more in lines.take(MAX_LINES) {
            line.extend([" ", more]);
        }
    }
    let mut chars = line.trim_end_matches('.').chars();
    let first = chars.next().map(|first| first.to_lowercase().to_string());
    first.unwrap_or_default() + chars.as_str()
}
