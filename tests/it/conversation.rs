//! Conversations with a language model through the border: what is refused, what the model reads, how messages end.

use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use groundwork::document::DocumentId;
use groundwork::embed::HashingEmbedder;
use groundwork::generate::{self, ConverseEvent, Inference, LanguageModel, Message, Role, ScriptedModel, Sequence};
use groundwork::knowledge_base::{
    Block, CONCURRENT_ANSWERS, Conversation, ConversationEvent, ConverseSummary, Counted, Error, ErrorKind, Groundwork,
    ProvidedModels, Selection, Settings, Turn,
};
use groundwork::worker::{Cancel, Stopped};
use parking_lot::Mutex;

use crate::support::{DIMENSIONS, ingest, models, named, open_with_replies, settings, text};

fn turn(role: Role, text: &str) -> Turn {
    Turn {
        role,
        content: vec![Block::Text(text.to_owned())],
    }
}

fn asking(text: &str) -> Conversation {
    Conversation {
        turns: vec![turn(Role::User, text)],
        ..Conversation::default()
    }
}

/// Asks, and returns the text with how it ended.
fn converse(
    groundwork: &Groundwork,
    conversation: &Conversation,
    cancel: &Cancel,
) -> Result<(String, ConverseSummary), Error> {
    let mut text = String::new();
    let summary = groundwork.converse(conversation, cancel, &mut |event| {
        if let ConversationEvent::Model(ConverseEvent::Piece { text: piece, .. }) = event {
            text.push_str(&piece);
        }
        Ok(())
    })?;
    Ok((text, summary))
}

fn fact(error: &Error, name: &str) -> u64 {
    let facts = error.facts.iter().find(|(known, _)| *known == name);
    let (_, value) = facts.unwrap_or_else(|| panic!("no {name} in {:?}", error.facts));
    value.parse().expect("a number")
}

/// Whether sequences leave behind what they have read: the engine for other processors has none to share.
fn prompts_are_kept() -> bool {
    #[cfg(target_arch = "x86_64")]
    return std::is_x86_feature_detected!("avx512vnni");
    #[cfg(not(target_arch = "x86_64"))]
    false
}

#[test]
fn rules_before_a_cache_point_are_read_once_until_something_is_erased() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let settings = Settings {
        models_dir: models::directory(),
        language_model_id: "smollm2-135m-instruct".to_owned(),
        ..settings(home.path())
    };
    let provided = ProvidedModels {
        embedders: vec![Arc::new(HashingEmbedder::new(DIMENSIONS))],
        ..ProvidedModels::default()
    };
    let groundwork = Groundwork::open_with(settings, provided).expect("it opens");
    groundwork.create_knowledge_base(&named("kb")).expect("it is new");
    ingest(&groundwork, vec![text("letter", "The ferry leaves at nine.")]);
    let rules = "You answer about the ferry, the quay and the market, in one word, and never about anything else.";
    let spent = |question: &str| {
        let conversation = Conversation {
            system: vec![Block::Text(rules.to_owned()), Block::CachePoint(Duration::from_mins(5))],
            inference: Inference {
                max_tokens: 2,
                ..Inference::default()
            },
            ..asking(question)
        };
        let (_, summary) = converse(&groundwork, &conversation, &Cancel::new()).expect("a message");
        let spent = summary.usage.spent;
        (spent.held_tokens, spent.cached_tokens)
    };
    let (held, cached) = spent("When does it leave?");
    if !prompts_are_kept() {
        return assert_eq!((held, cached), (0, 0));
    }
    assert!(held > 20 && cached == 0, "{held} {cached}");
    let again = spent("Who runs the market?");
    assert!(again.0 == 0 && again.1 >= held, "{again:?}");
    let selection = Selection::Ids(vec![DocumentId::parse("letter").expect("an id")]);
    let erased = groundwork.erase_documents("kb", &selection, false, false, &Cancel::new(), &mut |_| {});
    erased.expect("it is erased");
    assert_eq!(spent("Who runs the market?"), (held, 0));
}

#[test]
fn conversations_are_refused_by_their_fields() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let groundwork = open_with_replies(home.path(), &["Yes."]);
    let check = |conversation: Conversation, field: &str, part: &str| {
        let error = converse(&groundwork, &conversation, &Cancel::new()).expect_err(field);
        assert_eq!(error.kind, ErrorKind::InvalidRequest, "{error}");
        assert_eq!(error.violations[0].field, field, "{error}");
        assert!(error.message.contains(part), "{error}");
    };
    let of = |turns: Vec<Turn>| Conversation { turns, ..asking("") };
    let (user, assistant) = (turn(Role::User, "Hi"), turn(Role::Assistant, "Hello"));
    check(of(Vec::new()), "messages", "no message");
    check(of(vec![assistant.clone()]), "messages[0].role", "the user begins");
    check(of(vec![user.clone(), user.clone()]), "messages[1].role", "messages[0]");
    check(
        of(vec![user.clone(), assistant.clone()]),
        "messages[1].role",
        "last word",
    );
    let twice = vec![user.clone(), assistant.clone(), assistant];
    check(of(twice), "messages[2].role", "must be USER");
    check(asking(" \n"), "messages[0].content[0].text", "blank");
    let empty = Turn {
        role: Role::User,
        content: Vec::new(),
    };
    check(of(vec![empty]), "messages[0].content", "no block");
    let document = |name: &str, text: &str| {
        let (name, text) = (name.to_owned(), text.to_owned());
        let content = vec![Block::Text("See:".to_owned()), Block::Document { name, text }];
        of(vec![Turn {
            role: Role::User,
            content,
        }])
    };
    check(document("", "text"), "messages[0].content[1].document.name", "has 0");
    check(
        document(&"é".repeat(201), "text"),
        "messages[0].content[1].document.name",
        "has 201",
    );
    check(
        document("a\nb", "text"),
        "messages[0].content[1].document.name",
        "one line",
    );
    check(
        document("a", ""),
        "messages[0].content[1].document.source.text",
        "blank",
    );
    let system = ["Be brief.", ""].map(|text| Block::Text(text.to_owned())).to_vec();
    check(Conversation { system, ..asking("Hi") }, "system[1].text", "blank");
    let point = Block::CachePoint(Duration::from_mins(5));
    let system = vec![point.clone()];
    check(Conversation { system, ..asking("Hi") }, "system", "cache points");
    let system = [&[Block::Text("Be brief.".to_owned())][..], &vec![point; 5]].concat();
    check(Conversation { system, ..asking("Hi") }, "messages", "at most 4");
    check(
        asking(&"word ".repeat(5_000)),
        "messages",
        "5002 tokens, the model's context window has 4096",
    );
    let elsewhere = Conversation {
        model_id: "nowhere".to_owned(),
        ..asking("Hi")
    };
    let error = converse(&groundwork, &elsewhere, &Cancel::new()).expect_err("no such model");
    assert_eq!((error.kind, error.reason), (ErrorKind::NotFound, "UNKNOWN_MODEL"));
    converse(&groundwork, &of(vec![user]), &Cancel::new()).expect("what is refused takes no slot");
}

/// Notes what it is to render, and says what it is told.
struct Attentive {
    inner: ScriptedModel,
    heard: Mutex<Vec<Message>>,
}

impl LanguageModel for Attentive {
    fn model_id(&self) -> &'static str {
        "groundwork.scripted"
    }
    fn model_hash(&self) -> &str {
        self.inner.model_hash()
    }
    fn context_tokens(&self) -> usize {
        self.inner.context_tokens()
    }
    fn render(&self, messages: &[Message]) -> Result<String, generate::Error> {
        *self.heard.lock() = messages.to_vec();
        self.inner.render(messages)
    }
    fn encode(&self, text: &str) -> Result<Vec<u32>, generate::Error> {
        self.inner.encode(text)
    }
    fn token_bytes(&self, token: u32) -> Vec<u8> {
        self.inner.token_bytes(token)
    }
    fn is_end(&self, token: u32) -> bool {
        self.inner.is_end(token)
    }
    fn start(&self) -> Result<Box<dyn Sequence>, generate::Error> {
        self.inner.start()
    }
}

#[test]
fn model_reads_all_that_was_said() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let model = Arc::new(Attentive {
        inner: ScriptedModel::new(["Two minutes."]),
        heard: Mutex::default(),
    });
    let language_models = vec![Arc::clone(&model) as Arc<dyn LanguageModel>];
    let provided = ProvidedModels {
        embedders: Vec::new(),
        language_models,
    };
    let groundwork = Groundwork::open_with(settings(home.path()), provided).expect("the data directory opens");
    let mut last = turn(Role::User, "How long?");
    let (name, text) = ("tea.txt".to_owned(), "Green tea: two minutes.".to_owned());
    last.content.push(Block::Document { name, text });
    let conversation = Conversation {
        system: ["Be brief.", "Be kind."]
            .map(|text| Block::Text(text.to_owned()))
            .to_vec(),
        turns: vec![
            turn(Role::User, "Hello <|im_end|>"),
            turn(Role::Assistant, "Good day."),
            last,
        ],
        ..asking("")
    };
    let (text, summary) = converse(&groundwork, &conversation, &Cancel::new()).expect("a message");
    assert_eq!(text, "Two minutes.");
    let heard: Vec<(Role, String)> = model.heard.lock().drain(..).map(|it| (it.role, it.content)).collect();
    let expected = [
        (Role::System, "Be brief.\n\nBe kind."),
        (Role::User, "Hello < |im_end|>"),
        (Role::Assistant, "Good day."),
        (
            Role::User,
            "How long?\n\nDocument \"tea.txt\":\nGreen tea: two minutes.",
        ),
    ];
    assert_eq!(heard, expected.map(|(role, content)| (role, content.to_owned())));
    let counted = Counted::Conversation(Box::new(conversation));
    let count = groundwork.count_tokens("", &counted, &Cancel::new()).expect("a count");
    assert_eq!(count.input_tokens as u64, summary.usage.spent.input_tokens);
    assert_eq!(count.max_input_tokens, 4_096);
    let none = Counted::Conversation(Box::default());
    let error = groundwork
        .count_tokens("", &none, &Cancel::new())
        .expect_err("nothing to count");
    assert_eq!(error.violations[0].field, "input.converse.messages");
}

#[test]
fn message_without_a_word_goes_back_as_it_came() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let groundwork = open_with_replies(home.path(), &["Still here."]);
    for content in [
        Vec::new(),
        vec![Block::Text(String::new())],
        vec![Block::Text("\n".to_owned())],
    ] {
        let silent = Turn {
            role: Role::Assistant,
            content,
        };
        let turns = vec![turn(Role::User, "Hello?"), silent, turn(Role::User, "Hello again?")];
        let conversation = Conversation { turns, ..asking("") };
        let (text, _) = converse(&groundwork, &conversation, &Cancel::new()).expect("a message");
        assert_eq!(text, "Still here.");
    }
}

#[test]
fn slot_is_free_however_a_message_ends() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let groundwork = open_with_replies(home.path(), &["one two three four five six seven eight"]);
    for cut_after in 1..=2 * CONCURRENT_ANSWERS as u64 {
        let cancel = Cancel::new();
        let (mut told, mut interrupted) = (0, None);
        let ended = groundwork.converse(&asking("Count."), &cancel, &mut |event| {
            match event {
                ConversationEvent::Model(ConverseEvent::Piece { .. }) => {
                    told += 1;
                    if told == cut_after {
                        cancel.cancel();
                    }
                }
                ConversationEvent::Model(_) => {}
                ConversationEvent::Interrupted(usage) => interrupted = Some(usage.spent),
            }
            Ok(())
        });
        // A word is a token, so that no token is made beyond the one at which the caller went.
        match ended {
            Ok(summary) => assert_eq!(summary.usage.spent.output_tokens, 8),
            Err(error) => {
                assert_eq!(error.kind, ErrorKind::Cancelled);
                assert_eq!(fact(&error, "output_tokens"), cut_after);
                let spent = interrupted.expect("what was used is told before");
                assert_eq!(spent.output_tokens, cut_after);
                assert_eq!(fact(&error, "input_tokens"), spent.input_tokens);
            }
        }
        assert!(told <= cut_after || told == 8);
    }
    let unheard = groundwork.converse(&asking("Count."), &Cancel::new(), &mut |_| Err(Stopped::Cancelled));
    assert_eq!(unheard.expect_err("nobody listens").kind, ErrorKind::Cancelled);
    let (text, _) = converse(&groundwork, &asking("Count."), &Cancel::new()).expect("a slot is free");
    assert_eq!(text.split(' ').count(), 8);
}

#[test]
fn deadline_tells_what_was_used() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let reply = "word ".repeat(2_000);
    let groundwork = open_with_replies(home.path(), &[&reply]);
    let conversation = Conversation {
        inference: Inference {
            max_tokens: 4_096,
            ..Inference::default()
        },
        ..asking("Go on.")
    };
    let deadline = Instant::now() + Duration::from_millis(400);
    let cancel = Cancel::with_deadline(Some(deadline));
    let mut usage = None;
    let ended = groundwork.converse(&conversation, &cancel, &mut |event| {
        match event {
            ConversationEvent::Interrupted(told) => usage = Some(told),
            ConversationEvent::Model(_) => std::thread::sleep(Duration::from_millis(1)),
        }
        Ok(())
    });
    let error = ended.expect_err("two thousand words take two seconds");
    assert_eq!(error.kind, ErrorKind::DeadlineExceeded);
    let spent = usage.expect("what was used is told").spent;
    assert!(spent.output_tokens > 0, "{spent:?}");
    assert_eq!(fact(&error, "output_tokens"), spent.output_tokens);
}

#[test]
fn messages_share_the_queue_of_answers() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let settings = Settings {
        max_queued_answers: 0,
        ..settings(home.path())
    };
    let provided = ProvidedModels {
        embedders: Vec::new(),
        language_models: vec![Arc::new(ScriptedModel::new(["Yes."]))],
    };
    let groundwork = Groundwork::open_with(settings, provided).expect("the data directory opens");
    let (begun, go_on) = (
        Barrier::new(CONCURRENT_ANSWERS + 1),
        Barrier::new(CONCURRENT_ANSWERS + 1),
    );
    std::thread::scope(|scope| {
        for _ in 0..CONCURRENT_ANSWERS {
            scope.spawn(|| {
                let ended = groundwork.converse(&asking("Wait."), &Cancel::new(), &mut |event| {
                    if event == ConversationEvent::Model(ConverseEvent::Started) {
                        begun.wait();
                        go_on.wait();
                    }
                    Ok(())
                });
                ended.expect("it ends well");
            });
        }
        begun.wait();
        let refused = converse(&groundwork, &asking("Me too."), &Cancel::new());
        go_on.wait();
        let error = refused.expect_err("all slots are taken");
        assert_eq!((error.kind, error.reason), (ErrorKind::Overloaded, "ANSWER_QUEUE_FULL"));
        assert!(error.retry_after.is_some());
    });
    converse(&groundwork, &asking("Now?"), &Cancel::new()).expect("slots are free again");
}

#[test]
fn texts_are_counted_by_the_model_that_reads_them() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let groundwork = open_with_replies(home.path(), &[]);
    let text = Counted::Text("one two three".to_owned());
    for (model_id, found) in [("", "groundwork.scripted"), ("hashing", "hashing")] {
        let count = groundwork
            .count_tokens(model_id, &text, &Cancel::new())
            .expect("a count");
        assert_eq!((count.input_tokens, count.model_id.as_str()), (3, found));
    }
    let conversation = Counted::Conversation(Box::new(asking("Hi")));
    let error = groundwork
        .count_tokens("hashing", &conversation, &Cancel::new())
        .expect_err("it does not converse");
    assert_eq!(error.kind, ErrorKind::NotFound, "{error}");
    let error = groundwork
        .count_tokens("nowhere", &text, &Cancel::new())
        .expect_err("no such model");
    assert_eq!(error.kind, ErrorKind::NotFound);
}
