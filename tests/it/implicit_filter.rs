//! Filters that a language model derives from questions: what they hold, whom they show what, and how often they are right.

use std::sync::{Arc, Mutex};

use groundwork::document::DocumentId;
use groundwork::document::access::{AccessList, UserContext};
use groundwork::document::metadata::{AttributeType, MetadataValue};
use groundwork::document::schema::{DeclaredAttribute, MetadataSchema};
use groundwork::embed::HashingEmbedder;
use groundwork::generate::{CandleModel, Error, FilterQuestion, LanguageModel, Message, PrefixCache, Sequence};
use groundwork::knowledge_base::{
    ErrorKind, Groundwork, ImplicitFilter, MissingQuestion, MissingStage, NewKnowledgeBase, ProvidedModels, ReadAt,
};
use groundwork::models::{Catalog, InstalledModel, ModelStore};
use groundwork::retrieve::{Filter, ImplicitFilterOptions, Options, Query};
use groundwork::service::pb;
use groundwork::worker::Cancel;

use crate::support::server::run;
use crate::support::wire::{inline, server, start};
use crate::support::{DIMENSIONS, ids, ingest, models, named, settings, text};

/// A model that reads bytes and goes on with the first of them that it prefers for what it has read.
struct Inclined {
    /// A text at the end of a question that it is sure of, and how sure.
    sure: Vec<(&'static str, u8, f32)>,
    /// Lengths of what it was given to read, over all sequences.
    read: Arc<Mutex<Vec<usize>>>,
    context_tokens: usize,
}

impl LanguageModel for Inclined {
    fn model_id(&self) -> &'static str {
        "inclined"
    }

    fn model_hash(&self) -> &'static str {
        "00"
    }

    fn context_tokens(&self) -> usize {
        self.context_tokens
    }

    fn render(&self, messages: &[Message]) -> Result<String, Error> {
        Ok(messages.iter().map(|message| message.content.as_str()).collect())
    }

    fn encode(&self, text: &str) -> Result<Vec<u32>, Error> {
        // A word that begins with a space is known by its first letter.
        let text = text.strip_prefix(' ').unwrap_or(text);
        Ok(text.bytes().map(u32::from).collect())
    }

    fn token_bytes(&self, token: u32) -> Vec<u8> {
        vec![token as u8]
    }

    fn is_end(&self, token: u32) -> bool {
        token == 0
    }

    fn start(&self) -> Result<Box<dyn Sequence>, Error> {
        Ok(Box::new(Bytes {
            sure: self.sure.clone(),
            text: Vec::new(),
            read: Arc::clone(&self.read),
        }))
    }
}

#[derive(Clone)]
struct Bytes {
    sure: Vec<(&'static str, u8, f32)>,
    text: Vec<u8>,
    read: Arc<Mutex<Vec<usize>>>,
}

impl Sequence for Bytes {
    fn feed(&mut self, tokens: &[u32], _: &Cancel) -> Result<Vec<f32>, Error> {
        self.text.extend(tokens.iter().map(|token| *token as u8));
        self.read.lock().expect("no test panics here").push(tokens.len());
        let mut logits = vec![0.0; 256];
        let text = String::from_utf8_lossy(&self.text);
        for (end, letter, logit) in &self.sure {
            if text.trim_end_matches("\nFilter:").ends_with(end) {
                logits[*letter as usize] = *logit;
            }
        }
        Ok(logits)
    }

    fn fork(&self) -> Option<Box<dyn Sequence>> {
        Some(Box::new(self.clone()))
    }
}

fn declared(key: &str, kind: AttributeType, description: &str) -> DeclaredAttribute {
    DeclaredAttribute {
        key: key.to_owned(),
        kind,
        description: description.to_owned(),
    }
}

fn string(value: &str) -> MetadataValue {
    MetadataValue::String(value.to_owned())
}

type Reads = Arc<Mutex<Vec<usize>>>;

/// A knowledge base of three documents by team and year, one of them for Ann alone, and a model of these inclinations.
fn teams(sure: &[(&'static str, u8, f32)], context_tokens: usize) -> (tempfile::TempDir, Groundwork, Reads) {
    let home = tempfile::tempdir().expect("a temporary directory");
    let read = Reads::default();
    let model = Inclined {
        sure: sure.to_vec(),
        read: Arc::clone(&read),
        context_tokens,
    };
    let mut settings = settings(home.path());
    "inclined".clone_into(&mut settings.language_model_id);
    let provided = ProvidedModels {
        embedders: vec![Arc::new(HashingEmbedder::new(DIMENSIONS))],
        language_models: vec![Arc::new(model)],
    };
    let groundwork = Groundwork::open_with(settings, provided).expect("the data directory opens");
    let schema = MetadataSchema {
        attributes: vec![
            declared("team", AttributeType::String, ""),
            declared("year", AttributeType::Number, ""),
            declared("topics", AttributeType::StringList, ""),
        ],
        is_strict: false,
    };
    groundwork
        .create_knowledge_base(&NewKnowledgeBase {
            metadata_schema: schema,
            ..named("kb")
        })
        .expect("a knowledge base");
    let document = |id: &str, team: &str, year: f64| {
        let mut document = text(id, "the harbour and its cranes");
        document.metadata = [
            ("team".to_owned(), string(team)),
            ("year".to_owned(), MetadataValue::Number(year)),
            (
                "topics".to_owned(),
                MetadataValue::StringList(vec!["cranes".to_owned()]),
            ),
        ]
        .into();
        document
    };
    let mut secret = document("secret", "Falcon", 2022.0);
    secret.access = AccessList {
        allow_users: vec!["ann".to_owned()],
        ..AccessList::default()
    };
    ingest(
        &groundwork,
        vec![
            document("search", "Search", 2021.0),
            document("billing", "billing", 2023.0),
            secret,
        ],
    );
    (home, groundwork, read)
}

fn asking(words: &str) -> Query {
    Query {
        limit: 10,
        options: Options {
            implicit_filter: Some(ImplicitFilterOptions::default()),
            ..Options::default()
        },
        ..Query::new(words)
    }
}

fn retrieve(groundwork: &Groundwork, query: &Query) -> (Vec<String>, ImplicitFilter) {
    let retrieval = groundwork
        .retrieve("kb", query, ReadAt::default(), &Cancel::new())
        .expect("the search works");
    let derived = retrieval.implicit_filter.expect("one was asked for");
    (ids(&retrieval.hits), derived)
}

fn check(groundwork: &Groundwork, words: &str, found: &[&str], filter: Option<&Filter>) -> ImplicitFilter {
    let (ids, derived) = retrieve(groundwork, &asking(words));
    assert_eq!(ids, found, "{words}");
    assert_eq!(derived.filter.as_ref(), filter, "{words}");
    derived
}

const WINDOW: usize = 4_096;

#[test]
fn questions_restrict_what_is_found() {
    let (_home, groundwork, read) = teams(&[], WINDOW);
    let team = Filter::Equals("team".to_owned(), string("Search"));
    let derived = check(
        &groundwork,
        "harbour reports of the SEARCH team",
        &["search"],
        Some(&team),
    );
    assert_eq!((derived.model_id.as_str(), derived.rejected.len()), ("inclined", 0));
    assert!(derived.input_tokens > 100, "{derived:?}");
    let after = Filter::GreaterThan("year".to_owned(), MetadataValue::Number(2021.0));
    let derived = check(&groundwork, "the harbour after 2021", &["billing"], Some(&after));
    assert!(
        derived.input_tokens < 100,
        "what all questions begin with is read once: {derived:?}"
    );
    let derived = check(
        &groundwork,
        "how does billing help a harbour",
        &["billing", "search"],
        None,
    );
    assert_eq!(derived.rejected[0].text, "team = billing");
    read.lock().expect("nobody panics").clear();
    let derived = check(&groundwork, "where is the harbour", &["billing", "search"], None);
    assert_eq!(derived, ImplicitFilter::default());
    assert!(
        read.lock().expect("nobody panics").is_empty(),
        "no model is asked about nothing"
    );
}

#[test]
fn a_sure_model_outweighs_the_words() {
    let sure = [("the harbour in 2021", b'y', -9.0), ("tell me: billing", b't', 9.0)];
    let (_home, groundwork, _) = teams(&sure, WINDOW);
    let derived = check(&groundwork, "the harbour in 2021", &["billing", "search"], None);
    assert_eq!(derived.rejected[0].text, "year = 2021");
    let team = Filter::Equals("team".to_owned(), string("billing"));
    check(&groundwork, "the harbour, tell me: billing", &["billing"], Some(&team));
}

#[test]
fn what_others_may_find_is_never_derived() {
    let (_home, groundwork, _) = teams(&[], WINDOW);
    let (_, derived) = retrieve(&groundwork, &asking("harbour reports of the Falcon team"));
    assert_eq!(
        derived,
        ImplicitFilter::default(),
        "the value is not known to the caller"
    );
    let mut query = asking("harbour reports of the Falcon team");
    query.caller = Some(UserContext {
        user_id: "ann".to_owned(),
        groups: Vec::new(),
    });
    let (found, derived) = retrieve(&groundwork, &query);
    assert_eq!(found, ["secret"]);
    assert!(derived.filter.is_some());
}

#[test]
fn the_callers_own_filter_holds_too() {
    let (_home, groundwork, _) = teams(&[], WINDOW);
    let mut query = asking("harbour reports of the search team");
    query.filter = Some(Filter::Equals("year".to_owned(), MetadataValue::Number(2023.0)));
    query.explain = true;
    let (found, derived) = retrieve(&groundwork, &query);
    assert!(found.is_empty() && derived.filter.is_some());
    query.filter = Some(Filter::Equals("year".to_owned(), MetadataValue::Number(2021.0)));
    let retrieval = groundwork
        .retrieve("kb", &query, ReadAt::default(), &Cancel::new())
        .expect("the search works");
    let explanation = retrieval.hits[0].explanation.as_ref().expect("it was asked for");
    let paths: Vec<&str> = explanation.filter.iter().map(|it| it.path.as_str()).collect();
    assert_eq!(paths, ["filter", "implicit_filter.filter"]);
}

#[test]
fn clauses_that_documents_cannot_answer_are_told() {
    let (_home, groundwork, _) = teams(&[], WINDOW);
    let mut query = asking("the harbour with level 3");
    query.options.implicit_filter = Some(ImplicitFilterOptions {
        model_id: String::new(),
        attributes: vec![declared("level", AttributeType::Number, "")],
    });
    let (found, derived) = retrieve(&groundwork, &query);
    assert_eq!(found, ["billing", "search"]);
    assert_eq!(derived.rejected[0].text, "level = 3");
    assert!(
        derived.rejected[0]
            .reason
            .contains("no document has the attribute `level`")
    );
    assert_eq!(derived.filter, None);
}

#[test]
fn a_narrow_window_leaves_the_question_unrestricted() {
    let (_home, groundwork, _) = teams(&[], 64);
    let derived = check(&groundwork, "the harbour in 2021", &["billing", "search"], None);
    assert!(derived.rejected[0].reason.contains("context window"), "{derived:?}");
}

#[test]
fn attributes_must_be_named_or_declared() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let groundwork = crate::support::open(home.path());
    groundwork.create_knowledge_base(&named("kb")).expect("it is new");
    let error = groundwork
        .retrieve("kb", &asking("x"), ReadAt::default(), &Cancel::new())
        .expect_err("there is nothing to restrict");
    assert_eq!(error.kind, ErrorKind::InvalidRequest);
    assert!(
        error.violations[0]
            .field
            .ends_with("implicit_filter_configuration.metadata_attributes")
    );
    let mut query = asking("x");
    let attribute = |at: usize| declared(&at.to_string(), AttributeType::Number, "");
    query.options.implicit_filter = Some(ImplicitFilterOptions {
        model_id: String::new(),
        attributes: (0..26).map(attribute).collect(),
    });
    let error = query.check().expect_err("they are too many");
    assert!(error.reason.contains("at most 25"), "{error}");
}

#[test]
fn missing_documents_name_the_derived_filter() {
    let (_home, groundwork, _) = teams(&[], WINDOW);
    let question = MissingQuestion {
        query: asking("harbour reports of the search team"),
        document_id: DocumentId::parse("billing").expect("an id"),
        chunk_id: None,
        at: ReadAt::default(),
    };
    let missing = groundwork
        .explain_missing("kb", &question, &Cancel::new())
        .expect("it is explained");
    assert_eq!(missing.stage, MissingStage::FilteredOut);
    assert!(missing.reason.ends_with("implicit_filter.filter"), "{}", missing.reason);
    assert_eq!(missing.filter[0].path, "implicit_filter.filter");
    assert!(missing.suggestions[0].field.ends_with(".implicit_filter_configuration"));
    assert_eq!(missing.suggestions[0].text, "leave out implicit_filter_configuration");
    assert!(missing.implicit_filter.is_some_and(|derived| derived.filter.is_some()));
}

#[test]
fn derived_filters_travel_over_the_wire() {
    run(async {
        let (_home, server) = server().await;
        let mut client = server.retrieval().await;
        let search = pb::VectorSearchConfiguration {
            implicit_filter_configuration: Some(pb::ImplicitFilterConfiguration {
                model_id: String::new(),
                metadata_attributes: vec![pb::ImplicitFilterAttribute {
                    key: "year".to_owned(),
                    r#type: pb::MetadataType::Number.into(),
                    description: String::new(),
                }],
            }),
            override_search_type: pb::SearchType::Keyword.into(),
            ..pb::VectorSearchConfiguration::default()
        };
        crate::support::wire::ingest(&server, vec![start(), inline("a", "the harbour")])
            .await
            .expect("it is ingested");
        let configuration = pb::RetrievalConfiguration {
            vector_search_configuration: Some(search),
        };
        let response = client
            .retrieve(pb::RetrieveRequest {
                knowledge_base_id: "kb".to_owned(),
                retrieval_query: Some(pb::RetrievalQuery {
                    text: "the harbour".to_owned(),
                }),
                retrieval_configuration: Some(configuration),
                ..pb::RetrieveRequest::default()
            })
            .await
            .expect("the search works")
            .into_inner();
        let derived = response.implicit_filter.expect("one was asked for");
        assert_eq!(
            (derived.filter, derived.model_id.as_str(), derived.rejected.len()),
            (None, "", 0)
        );
        assert_eq!(response.retrieval_results.len(), 1);
    });
}

/// Values of attributes in an index that the questions of the table are put to.
fn values(key: &str) -> &'static [&'static str] {
    match key {
        "language" => &["English", "German", "French"],
        "author" => &["Maria Lind", "Tom Okafor", "Ines Duarte", "Chen Wei"],
        "team" => &["search", "storage", "platform", "billing"],
        "product" => &["Atlas", "Beacon", "Cobalt"],
        "topics" => &["security", "pricing", "migration", "testing"],
        _ => &[],
    }
}

/// Clauses that were expected, derived, and both.
#[derive(Debug, Default, Clone, Copy)]
struct Tally {
    expected: usize,
    derived: usize,
    right: usize,
    /// Questions whose filter is just as expected.
    exact: usize,
    questions: usize,
}

impl Tally {
    fn precision(self) -> f64 {
        self.right as f64 / self.derived.max(1) as f64
    }

    fn recall(self) -> f64 {
        self.right as f64 / self.expected.max(1) as f64
    }
}

#[test]
fn real_model_derives_what_questions_ask_for() {
    let catalog = Catalog::built_in().expect("the catalog is sound");
    let store = ModelStore::open(catalog, models::directory(), Vec::new()).expect("the store opens");
    let Ok(InstalledModel::LanguageModel(installed)) = store.installed("smollm2-135m-instruct") else {
        panic!("it is installed");
    };
    let model = CandleModel::open(&installed, 2, std::sync::Arc::default()).expect("the model opens");
    let attributes = [
        declared("year", AttributeType::Number, "Year of publication"),
        declared(
            "language",
            AttributeType::String,
            "Language that the document is written in",
        ),
        declared("author", AttributeType::String, "Who wrote the document"),
        declared("team", AttributeType::String, "Team that owns the document"),
        declared("product", AttributeType::String, "Product that the document belongs to"),
        declared("draft", AttributeType::Boolean, "Whether the document is a draft"),
        declared("topics", AttributeType::StringList, "Tags of the document"),
        declared("priority", AttributeType::Number, "Priority from 1 to 5"),
    ];
    let prefixes = PrefixCache::default();
    let mut tallies = [
        ("tuned", Tally::default()),
        ("seen", Tally::default()),
        ("fresh", Tally::default()),
    ];
    let mut wrong = Vec::new();
    for line in include_str!("implicit_filter/questions.tsv").lines() {
        let [set, words, expected] = line.split('\t').collect::<Vec<_>>()[..] else {
            panic!("three fields: {line}");
        };
        let expected: Vec<String> = expected
            .split("; ")
            .filter(|it| !it.is_empty())
            .map(str::to_owned)
            .collect();
        let mut lookup = |key: &str, passes: &dyn Fn(&str) -> bool| {
            let passing = values(key).iter().filter(|value| passes(value));
            passing.map(|value| (*value).to_owned()).collect()
        };
        let mut question = FilterQuestion::read(words, &attributes, &mut lookup);
        if !question.is_empty() {
            question
                .judge(&model, &prefixes, &Cancel::new())
                .expect("the model judges");
        }
        let derived = question.accepted();
        let (_, tally) = tallies.iter_mut().find(|(name, _)| *name == set).expect("a known set");
        let right = derived.iter().filter(|clause| expected.contains(clause)).count();
        tally.questions += 1;
        tally.expected += expected.len();
        tally.derived += derived.len();
        tally.right += right;
        if right == expected.len() && right == derived.len() {
            tally.exact += 1;
        } else {
            wrong.push(format!("{set}: {words}: {derived:?}, expected {expected:?}"));
        }
    }
    for (set, tally) in tallies {
        let (precision, recall) = (tally.precision(), tally.recall());
        let told = format!("{set}: precision {precision:.3}, recall {recall:.3}: {tally:?}; wrong: {wrong:#?}");
        assert!(precision >= 0.85 && recall >= 0.85, "{told}");
    }
}
