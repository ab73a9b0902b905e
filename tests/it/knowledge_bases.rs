//! Knowledge bases: created once, named once, apart from each other, gone when deleted.

use std::collections::BTreeMap;

use groundwork::chunk::ChunkConfig;
use groundwork::knowledge_base::{ErrorKind, Groundwork, KnowledgeBaseChange, NewKnowledgeBase, PageRequest};
use groundwork::retrieve::SearchType;

use crate::support::{described, found, ingest, named, open, settings, text, with_base};

#[test]
fn repeated_client_token_returns_the_first_result() {
    let (_home, groundwork) = with_base(&[]);
    let request = |description: &str| NewKnowledgeBase {
        description: description.to_owned(),
        client_token: "token-1".to_owned(),
        ..named("second")
    };
    let first = groundwork.create_knowledge_base(&request("x")).expect("it is new");
    let again = groundwork.create_knowledge_base(&request("x")).expect("the same again");
    assert_eq!(first.id, again.id);
    let other = groundwork
        .create_knowledge_base(&request("y"))
        .expect_err("other content");
    assert_eq!(
        (other.kind, other.reason),
        (ErrorKind::AlreadyExists, "CLIENT_TOKEN_REUSED")
    );
}

#[test]
fn taken_names_are_refused() {
    let (_home, groundwork) = with_base(&[]);
    let error = groundwork
        .create_knowledge_base(&named("kb"))
        .expect_err("the name is taken");
    assert_eq!((error.kind, error.reason), (ErrorKind::AlreadyExists, "NAME_TAKEN"));
}

#[test]
fn bad_requests_name_field_limit_and_value() {
    let (_home, groundwork) = with_base(&[]);
    let sized = |max_tokens, overlap_tokens| NewKnowledgeBase {
        chunking: ChunkConfig::FixedSize {
            max_tokens,
            overlap_tokens,
        },
        ..named("new")
    };
    let check = |request: NewKnowledgeBase, field: &str, mentions: &str| {
        let error = groundwork.create_knowledge_base(&request).expect_err(field);
        assert_eq!(error.kind, ErrorKind::InvalidRequest, "{field}");
        assert_eq!(error.violations[0].field, field);
        let description = &error.violations[0].description;
        assert!(description.contains(mentions), "{description} mentions {mentions}");
    };
    check(named(""), "name", "required");
    check(named("-x"), "name", "-x");
    check(named("a b"), "name", "a b");
    check(named(&"n".repeat(101)), "name", "101");
    let sizes = "chunking_configuration.fixed_size_chunking_configuration";
    check(sized(15, 0), &format!("{sizes}.max_tokens"), "15");
    check(sized(100_000, 0), &format!("{sizes}.max_tokens"), "100000");
    check(sized(160, 80), &format!("{sizes}.overlap_tokens"), "80");
    let language = NewKnowledgeBase {
        language: "tlh".to_owned(),
        ..named("new")
    };
    check(language, "language", "tlh");
    let described = NewKnowledgeBase {
        description: "d".repeat(2_001),
        ..named("new")
    };
    check(described, "description", "2001");
    let tagged = NewKnowledgeBase {
        tags: (0..51).map(|at| (at.to_string(), String::new())).collect(),
        ..named("new")
    };
    check(tagged, "tags", "51");
}

#[test]
fn lists_are_paged_oldest_first() {
    let (_home, groundwork) = with_base(&[]);
    for name in ["b", "c", "d", "e"] {
        groundwork.create_knowledge_base(&named(name)).expect("it is new");
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    let mut names = Vec::new();
    let mut page = PageRequest {
        size: 2,
        token: String::new(),
    };
    loop {
        let found = groundwork.knowledge_bases(&page).expect("a page");
        names.extend(found.items.into_iter().map(|info| info.name));
        if found.next_token.is_empty() {
            break;
        }
        page.token = found.next_token;
    }
    assert_eq!(names, ["kb", "b", "c", "d", "e"]);
    let wrong = PageRequest {
        size: 1_001,
        token: String::new(),
    };
    assert_eq!(
        groundwork.knowledge_bases(&wrong).expect_err("too large").violations[0].field,
        "page_size"
    );
    let wrong = PageRequest {
        size: 1,
        token: "nonsense".to_owned(),
    };
    assert_eq!(
        groundwork.knowledge_bases(&wrong).expect_err("no token").violations[0].field,
        "page_token"
    );
}

#[test]
fn updates_change_only_what_they_name() {
    let (home, groundwork) = with_base(&[]);
    let change = KnowledgeBaseChange {
        name: Some("renamed".to_owned()),
        tags: Some(BTreeMap::from([("team".to_owned(), "search".to_owned())])),
        ..KnowledgeBaseChange::default()
    };
    let changed = groundwork
        .update_knowledge_base("kb", change)
        .expect("the change works");
    assert_eq!((changed.name.as_str(), changed.tags.len()), ("renamed", 1));
    assert_eq!(
        described(&groundwork, "kb").expect_err("the old name").kind,
        ErrorKind::NotFound
    );
    drop(groundwork);
    assert_eq!(
        described(&open(home.path()), "renamed").expect("it is kept").id,
        changed.id
    );
}

#[test]
fn deleted_knowledge_bases_leave_no_directory() {
    let (home, groundwork) = with_base(&[]);
    ingest(&groundwork, vec![text("a", "Alpha.")]);
    let id = groundwork.delete_knowledge_base("kb").expect("it is there");
    assert!(!home.path().join("knowledge-bases").join(id).exists());
    assert_eq!(
        described(&groundwork, "kb").expect_err("it is gone").kind,
        ErrorKind::NotFound
    );
    groundwork
        .create_knowledge_base(&named("kb"))
        .expect("the name is free again");
    assert_eq!(found(&groundwork, "alpha", SearchType::Keyword), [""; 0]);
}

#[test]
fn a_second_process_is_told_who_has_the_directory() {
    let (home, _groundwork) = with_base(&[]);
    let error = Groundwork::open(settings(home.path())).expect_err("it is taken");
    assert_eq!(
        (error.kind, error.reason),
        (ErrorKind::FailedPrecondition, "DATA_DIRECTORY_LOCKED")
    );
    assert!(
        error.message.contains(&std::process::id().to_string()),
        "{}",
        error.message
    );
}
