//! Tests of analyzer.

use super::chain::MAX_TERM_BYTES;
use super::*;

fn asked(language: &str, text: &str) -> Vec<String> {
    let language = Language::parse(language).expect("a known language");
    let terms = Analyzer::new(language).query_terms(text, &[]);
    terms.into_iter().flat_map(|term| term.forms).collect()
}

fn indexed(language: &str, text: &str) -> Vec<String> {
    let language = Language::parse(language).expect("a known language");
    let mut chain = Analyzer::new(language).indexing();
    let mut stream = chain.token_stream(text);
    let mut terms = Vec::new();
    while stream.advance() {
        terms.push(stream.token().text.clone());
    }
    terms
}

#[track_caller]
fn check(language: &str, text: &str, terms: &[&str]) {
    assert_eq!(asked(language, text), terms, "{language}: {text}");
}

#[test]
fn words_become_stems_without_accents() {
    check("en", "Running RUNS runner's", &["run", "runner"]);
    check("en", "naïve café cafe\u{301}", &["naiv", "cafe"]);
    check(
        "en",
        "The patient\u{2019}s cells don't divide",
        &["patient", "cell", "don't", "divid"],
    );
    check("simple", "Running shoes", &["running", "shoes"]);
    check("en", "COVID-19, IL-6 and p53", &["covid", "19", "il", "6", "p53"]);
    check("fr", "l'avion des élèves", &["avion", "elev"]);
    check("de", "Häuser und Straßen", &["haus", "strass"]);
    check("ru", "книги", &["книг"]);
    check("tr", "ILIK", &["ilik"]);
}

#[test]
fn full_width_letters_equal_plain_ones() {
    check("en", "ＡＢＣ１２３ ﬁne", &["abc123", "fine"]);
}

#[test]
fn stop_words_go_unless_alone() {
    check("en", "what is the speed of light", &["speed", "light"]);
    check("en", "to be or not to be", &["to", "be", "or", "not"]);
    check("de", "der und die", &["der", "und", "die"]);
    assert!(indexed("en", "to be or not").contains(&"to".to_owned()));
}

#[test]
fn unspaced_scripts_become_pairs() {
    check("en", "東京都", &["東京", "京都"]);
    check("en", "猫", &["猫"]);
    check("en", "iPhoneを買う", &["iphon", "を買", "買う"]);
    check("en", "한국어 문서", &["한국", "국어", "문서"]);
    check("en", "データ・ベース", &["デー", "ータ", "ベー", "ース"]);
    assert_eq!(indexed("en", "東京都"), ["東", "東京", "京", "京都", "都"]);
}

#[test]
fn text_without_words_has_no_terms() {
    for text in ["", "  \n", "?!… (* ) \"", "\u{301}\u{301}", "👍🏽"] {
        check("en", text, &[]);
    }
}

#[test]
fn long_terms_are_left_out() {
    let hash = "a1".repeat(32);
    let blob = "x".repeat(MAX_TERM_BYTES + 1);
    check("simple", &format!("{hash} {blob} end"), &[hash.as_str(), "end"]);
}

#[test]
fn repeated_terms_are_counted_and_bounded() {
    let words: Vec<_> = (0..3_000).map(|i| format!("w{i} w0")).collect();
    let query = words.join(" ");
    let terms = Analyzer::new(Language::default()).query_terms(&query, &[]);
    assert_eq!(terms.len(), MAX_QUERY_TERMS);
    let first = QueryTerm {
        forms: vec!["w0".to_owned()],
        count: 3_001,
    };
    assert_eq!(terms[0], first);
}

fn language(code: &str) -> Language {
    Language::parse(code).expect("a known language")
}

#[test]
fn words_take_a_form_in_each_language() {
    #[track_caller]
    fn check(languages: &[&str], query: &str, expected: &[&[&str]]) {
        let languages: Vec<Language> = languages.iter().map(|code| language(code)).collect();
        let terms = Analyzer::new(Language::detected()).query_terms(query, &languages);
        let forms: Vec<Vec<String>> = terms.into_iter().map(|term| term.forms).collect();
        assert_eq!(forms, expected, "{languages:?}: {query}");
    }
    check(&["en"], "the running houses", &[&["run"], &["hous"]]);
    check(&[], "the running houses", &[&["run"], &["hous"]]);
    check(&["de"], "die alten Häuser", &[&["alt"], &["haus"]]);
    check(
        &["de", "en"],
        "running Häuser",
        &[&["running", "run"], &["haus", "hauser"]],
    );
    // The language with most stop words says which words count.
    check(&["en", "de"], "was ist die Luft", &[&["luft"]]);
    check(&["de", "en"], "what is the air", &[&["air"]]);
    check(&["en", "de"], "to die", &[&["die"]]);
    check(&["en", "de"], "die die", &[&["die"]]);
    check(&["en", "simple"], "東京の air", &[&["東京"], &["京の"], &["air"]]);
}

#[test]
fn languages_of_texts_are_found_out() {
    #[track_caller]
    fn check(text: &str, expected: &str) {
        let found = Analyzer::new(Language::detected()).language_of(text);
        assert_eq!(found.code(), expected, "{text}");
        assert_eq!(Analyzer::new(language("fr")).language_of(text).code(), "fr");
    }
    check(
        "The lighthouse on the northern cape was built of granite in the year of the great storm.",
        "en",
    );
    check(
        "Der Leuchtturm auf dem nördlichen Kap wurde im Jahr des großen Sturms aus Granit gebaut.",
        "de",
    );
    check(
        "Le phare du cap nord a été construit en granit l'année de la grande tempête.",
        "fr",
    );
    check(
        "Маяк на северном мысе был построен из гранита в год великой бури.",
        "ru",
    );
    check("北角的灯塔是在大风暴那一年用花岗岩建造的。", "simple");
    check("", "en");
    check("42", "en");
    check(&"Der Leuchtturm ist aus Granit gebaut worden. ".repeat(500), "de");
}

#[test]
fn marked_texts_are_stemmed_in_their_language() {
    let analyzer = Analyzer::new(Language::detected());
    for (code, text, expected) in [
        ("de", "Die Häuser", vec!["die", "haus"]),
        ("en", "Running houses", vec!["run", "hous"]),
        ("simple", "Running houses", vec!["running", "houses"]),
    ] {
        let mut chain = analyzer.indexing();
        let marked = analyzer.marked(language(code), text);
        let mut stream = chain.token_stream(&marked);
        let mut terms = Vec::new();
        while stream.advance() {
            terms.push(stream.token().text.clone());
        }
        assert_eq!(terms, expected, "{code}");
    }
    let fixed = Analyzer::new(language("de"));
    assert_eq!(fixed.marked(language("de"), "Häuser"), "Häuser");
}

#[test]
fn languages_are_known_by_their_codes() {
    for (code, _) in LANGUAGES {
        assert_eq!(Language::parse(code).map(Language::code), Ok(code));
    }
    let refused = Language::parse("xx").expect_err("xx is no language").to_string();
    assert!(
        refused.starts_with("there is no language `xx`: choose one of en, ar,"),
        "{refused}"
    );
    assert!(refused.ends_with(", simple, auto"), "{refused}");
}

proptest::proptest! {
    #[test]
    fn every_query_term_is_indexed(text in "\\PC{0,60}") {
        let indexed = indexed("en", &text);
        for term in asked("en", &text) {
            proptest::prop_assert!(indexed.contains(&term), "{term} of {text}");
        }
    }
}

#[track_caller]
fn check_places(language: &str, query: &str, text: &str, expected: &[&str]) {
    let analyzer = Analyzer::new(Language::parse(language).expect("a known language"));
    let terms = analyzer
        .query_terms(query, &[])
        .into_iter()
        .flat_map(|term| term.forms)
        .collect();
    let places = analyzer.places_of(&terms, text, &[]);
    let found: Vec<&str> = places.iter().map(|place| &text[place.clone()]).collect();
    assert_eq!(found, expected, "{language}: {query} in {text}");
    assert!(places.windows(2).all(|pair| pair[0].end <= pair[1].start), "{places:?}");
}

#[test]
fn other_forms_of_words_are_places_too() {
    check_places(
        "en",
        "how do runners run",
        "She runs, he RAN; running-shoes",
        &["runs", "running"],
    );
    check_places(
        "en",
        "don\u{2019}t",
        "They don't. Don\u{2019}t!",
        &["don't", "Don\u{2019}t"],
    );
    check_places("en", "zebra", "no such animal", &[]);
    check_places("en", "", "nothing is asked", &[]);
}

#[test]
fn places_count_in_the_text_as_it_stands() {
    // The ligature and the full-width letters are longer before they are normalised.
    check_places("en", "fine abc", "ﬁne and ＡＢＣ; fine", &["ﬁne", "ＡＢＣ", "fine"]);
    check_places("en", "café", "a cafe\u{301}, a café", &["cafe\u{301}", "café"]);
    check_places("en", "東京都", "私は東京都に住む", &["東京都"]);
    check_places("en", "猫", "猫と犬と猫", &["猫", "猫"]);
}
