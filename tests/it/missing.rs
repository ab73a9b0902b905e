//! Why a document is not among the results, for every stage; and what is suggested does bring it in.

use std::time::{Duration, SystemTime};

use groundwork::document::DocumentId;
use groundwork::document::access::UserContext;
use groundwork::document::metadata::MetadataValue;
use groundwork::index::{ChunkId, Epoch};
use groundwork::knowledge_base::{
    AsOf, Groundwork, Missing, MissingQuestion, MissingStage, ReadAt, Selection, SuggestedChange,
};
use groundwork::retrieve::{Filter, Leg, Options, Query, Recency, SearchType};
use groundwork::worker::Cancel;

use crate::support::{ingest, text, with_base};

fn explain(groundwork: &Groundwork, query: &Query, document: &str) -> Missing {
    explain_at(groundwork, query, document, None, ReadAt::default())
}

fn explain_at(
    groundwork: &Groundwork,
    query: &Query,
    document: &str,
    chunk_id: Option<ChunkId>,
    at: ReadAt,
) -> Missing {
    let question = MissingQuestion {
        query: query.clone(),
        document_id: DocumentId::parse(document).expect("a document id"),
        chunk_id,
        at,
    };
    groundwork
        .explain_missing("kb", &question, &Cancel::new())
        .expect("it can be explained")
}

fn query(words: &str, limit: usize, search_type: SearchType) -> Query {
    Query {
        limit,
        search_type,
        ..Query::new(words)
    }
}

fn finds(groundwork: &Groundwork, query: &Query, document: &str) -> bool {
    let found = groundwork
        .retrieve("kb", query, ReadAt::default(), &Cancel::new())
        .expect("the search works");
    found.hits.iter().any(|hit| hit.document_id.as_str() == document)
}

/// Does to a query what was suggested.
fn changed(query: &Query, missing: &Missing) -> Query {
    let mut query = query.clone();
    for suggestion in &missing.suggestions {
        let leaf = suggestion.field.rsplit("vector_search_configuration.").next();
        match (leaf.expect("it has a path"), suggestion.change) {
            ("number_of_results", SuggestedChange::AtLeast(number) | SuggestedChange::Exactly(number)) => {
                query.limit = number as usize;
            }
            ("candidates_per_leg", SuggestedChange::AtLeast(number) | SuggestedChange::Exactly(number)) => {
                query.options.candidates_per_leg = Some(number as usize);
            }
            ("grouping.max_chunks_per_document", SuggestedChange::AtLeast(number)) => {
                query.options.chunks_per_document = Some(number as usize);
            }
            ("candidates_per_leg", SuggestedChange::Remove) => query.options.candidates_per_leg = None,
            ("score_threshold", SuggestedChange::AtMost(number)) => query.score_threshold = Some(number),
            ("near_duplicates", SuggestedChange::Remove) => query.options.near_duplicates = None,
            ("diversity", SuggestedChange::Remove) => query.options.diversity = None,
            ("override_search_type", SuggestedChange::Remove) => query.search_type = SearchType::Hybrid,
            ("filter", SuggestedChange::Remove) => query.filter = None,
            other => panic!("{other:?} was suggested"),
        }
    }
    query
}

/// Checks the stage, that the search agrees, and that the suggestions bring the document in.
#[track_caller]
fn check(groundwork: &Groundwork, query: &Query, document: &str, stage: MissingStage) -> Missing {
    let missing = explain(groundwork, query, document);
    assert_eq!(missing.stage, stage, "{missing:?}");
    assert!(!missing.reason.is_empty());
    assert_eq!(finds(groundwork, query, document), stage == MissingStage::Found);
    if stage != MissingStage::Found {
        assert!(!missing.suggestions.is_empty(), "{missing:?}");
        let changed = changed(query, &missing);
        assert!(finds(groundwork, &changed, document), "{:?}", missing.suggestions);
    }
    missing
}

/// Documents `d-00` to `d-39`: the higher the number, the less often it says `harbour`.
fn harbours() -> (tempfile::TempDir, Groundwork) {
    let (home, groundwork) = with_base(&[]);
    let document = |at: usize| {
        let words = "harbour ".repeat(41 - at);
        let mut document = text(
            &format!("d-{at:02}"),
            &format!("{words} {}", format!("filler{at} ").repeat(at + 1)),
        );
        let parity = MetadataValue::Boolean(at.is_multiple_of(2));
        document.metadata.insert("even".to_owned(), parity);
        document
    };
    ingest(&groundwork, (0..40).map(document).collect());
    (home, groundwork)
}

#[test]
fn documents_that_are_cut_off_name_their_place() {
    let (_home, groundwork) = harbours();
    for search_type in [SearchType::Hybrid, SearchType::Keyword, SearchType::Semantic] {
        let few = query("harbour", 3, search_type);
        let stage = match search_type {
            // The dense leg alone lists no more than is wanted.
            SearchType::Semantic => MissingStage::NotListed,
            _ => MissingStage::CutOff,
        };
        let missing = check(&groundwork, &few, "d-20", stage);
        let rank = missing.legs[0].exact.expect("it has a rank").rank;
        assert!((2..=40).contains(&rank), "{missing:?}");
        let at_rank = query("harbour", rank as usize, search_type);
        assert!(search_type == SearchType::Hybrid || finds(&groundwork, &at_rank, "d-20"));
    }
    let missing = check(
        &groundwork,
        &query("harbour", 3, SearchType::Hybrid),
        "d-20",
        MissingStage::CutOff,
    );
    let place = missing.place_before_cut.expect("it reached the cut");
    assert_eq!(missing.fused_rank, Some(place));
    assert_eq!(
        missing.suggestions[0].change,
        SuggestedChange::AtLeast(f64::from(place))
    );
    assert!(finds(
        &groundwork,
        &query("harbour", place as usize, SearchType::Hybrid),
        "d-20"
    ));
    assert!(!finds(
        &groundwork,
        &query("harbour", place as usize - 1, SearchType::Hybrid),
        "d-20"
    ));
    assert_eq!(
        missing.legs.iter().map(|leg| leg.leg).collect::<Vec<_>>(),
        [Leg::Dense, Leg::Keyword]
    );
}

#[test]
fn found_documents_name_their_rank() {
    let (_home, groundwork) = harbours();
    let all = query("harbour", 50, SearchType::Hybrid);
    let found = groundwork
        .retrieve("kb", &all, ReadAt::default(), &Cancel::new())
        .expect("the search works");
    for (rank, hit) in (1..).zip(&found.hits).step_by(7) {
        let missing = explain(&groundwork, &all, hit.document_id.as_str());
        assert_eq!((missing.stage, missing.rank), (MissingStage::Found, Some(rank)));
        assert_eq!(missing.suggestions, []);
    }
}

#[test]
fn thresholds_legs_and_filters_lose_documents() {
    let (_home, groundwork) = harbours();
    let high = Query {
        score_threshold: Some(0.9),
        ..query("harbour", 3, SearchType::Hybrid)
    };
    let missing = check(&groundwork, &high, "d-39", MissingStage::BelowThreshold);
    let SuggestedChange::AtMost(threshold) = missing.suggestions[0].change else {
        panic!("{missing:?}")
    };
    assert!(
        threshold < missing.score && threshold > missing.score * 0.9999,
        "{missing:?}"
    );
    assert_eq!(missing.suggestions.len(), 2, "it is low in the list too: {missing:?}");

    let keyword = query("filler3", 3, SearchType::Keyword);
    check(&groundwork, &keyword, "d-20", MissingStage::NoMatchingTerms);

    let listed = Query {
        options: Options {
            candidates_per_leg: Some(2),
            ..Options::default()
        },
        ..query("harbour", 5, SearchType::Hybrid)
    };
    let missing = check(&groundwork, &listed, "d-30", MissingStage::NotListed);
    assert!(missing.legs.iter().all(|leg| !leg.is_listed && leg.candidates == 2));

    let even = |truth| Filter::Equals("even".to_owned(), MetadataValue::Boolean(truth));
    let filtered = Query {
        filter: Some(even(false)),
        ..query("harbour", 2, SearchType::Hybrid)
    };
    let missing = check(&groundwork, &filtered, "d-10", MissingStage::FilteredOut);
    assert!(missing.suggestions[0].field.ends_with(".filter"));
    assert!(missing.filter.iter().all(|outcome| !outcome.accepted));
    let nested = Query {
        filter: Some(Filter::AndAll(vec![even(true), even(false)])),
        ..query("harbour", 40, SearchType::Hybrid)
    };
    let missing = explain(&groundwork, &nested, "d-10");
    assert_eq!(missing.suggestions.len(), 1);
    assert!(
        missing.suggestions[0].field.ends_with("filter.and_all.filters[1]"),
        "{missing:?}"
    );
    assert!(missing.suggestions[0].text.ends_with("in its place"), "{missing:?}");
    let outcomes: Vec<bool> = missing.filter.iter().map(|outcome| outcome.accepted).collect();
    assert_eq!(outcomes, [true, false]);
    let hopeless = Query {
        filter: Some(Filter::AndAll(vec![even(false), even(false)])),
        score_threshold: Some(0.9),
        ..query("harbour", 2, SearchType::Hybrid)
    };
    let missing = check(&groundwork, &hopeless, "d-38", MissingStage::FilteredOut);
    assert!(missing.suggestions[0].field.ends_with(".filter"), "{missing:?}");
    assert!(missing.suggestions.len() > 1, "a later stage loses it too: {missing:?}");
}

#[test]
fn later_stages_name_what_took_the_place() {
    let (_home, groundwork) = with_base(&[]);
    let notice = "The ferry to the island leaves the pier at nine and returns when the tide allows it to";
    let part = |at: usize| format!("# Part {at}\n\nThe ferry of part {at} is a ferry{at} boat.\n\n");
    let mut parts = text("parts", &(0..6).map(part).collect::<String>());
    parts.media_type = Some("text/markdown".to_owned());
    ingest(&groundwork, vec![text("first", notice), text("second", notice), parts]);

    let folding = Query {
        options: Options {
            near_duplicates: Some(0.9),
            ..Options::default()
        },
        ..query("ferry to the island", 10, SearchType::Hybrid)
    };
    let (lost, kept) = if finds(&groundwork, &folding, "first") {
        ("second", "first")
    } else {
        ("first", "second")
    };
    let missing = check(&groundwork, &folding, lost, MissingStage::NearDuplicate);
    assert_eq!(missing.other.map(|(_, id)| id.to_string()).as_deref(), Some(kept));

    let diverse = Query {
        options: Options {
            diversity: Some(0.1),
            ..Options::default()
        },
        ..query("ferry to the island", 2, SearchType::Hybrid)
    };
    let lost = if finds(&groundwork, &diverse, "first") {
        "second"
    } else {
        "first"
    };
    check(&groundwork, &diverse, lost, MissingStage::NotDiverse);

    let grouped = Query {
        options: Options {
            chunks_per_document: Some(1),
            ..Options::default()
        },
        ..query("ferry of part", 10, SearchType::Hybrid)
    };
    let all = query("ferry of part", 10, SearchType::Hybrid);
    let chunks = groundwork
        .retrieve("kb", &all, ReadAt::default(), &Cancel::new())
        .expect("the search works");
    let of_parts: Vec<ChunkId> = chunks
        .hits
        .iter()
        .filter(|hit| hit.document_id.as_str() == "parts")
        .map(|hit| hit.chunk_id)
        .collect();
    assert!(of_parts.len() > 2, "{of_parts:?}");
    let missing = explain_at(&groundwork, &grouped, "parts", Some(of_parts[2]), ReadAt::default());
    assert_eq!(missing.stage, MissingStage::GroupedAway);
    assert_eq!(missing.other.map(|(chunk_id, _)| chunk_id), Some(of_parts[0]));
    assert_eq!(missing.suggestions[0].change, SuggestedChange::AtLeast(3.0));
}

#[test]
fn documents_of_other_epochs_name_those() {
    let (_home, groundwork) = with_base(&[]);
    let (outcomes, _) = ingest(&groundwork, vec![text("early", "The old harbour.")]);
    let first = outcomes[0].epoch;
    ingest(&groundwork, vec![text("late", "The new harbour.")]);
    let selection = Selection::Ids(vec![DocumentId::parse("early").expect("a document id")]);
    let deleted = groundwork
        .delete_documents("kb", &selection, false)
        .expect("it is deleted");
    let words = query("harbour", 5, SearchType::Hybrid);

    let missing = explain(&groundwork, &words, "early");
    assert_eq!(missing.stage, MissingStage::NotVisible, "{missing:?}");
    let range = missing.visible[0];
    assert_eq!((range.first, range.last), (first, Some(Epoch(deleted.epoch.0 - 1))));
    let last = range.last.expect("it ended");
    assert_eq!(missing.suggestions[0].change, SuggestedChange::Exactly(last.0 as f64));
    let at = |epoch| ReadAt {
        as_of: Some(AsOf::Epoch(epoch)),
        ..ReadAt::default()
    };
    let then = explain_at(&groundwork, &words, "early", None, at(last));
    assert_eq!(then.stage, MissingStage::Found);
    let too_early = explain_at(&groundwork, &words, "late", None, at(first));
    assert_eq!(too_early.stage, MissingStage::NotVisible);
    assert!(matches!(too_early.suggestions[0].change, SuggestedChange::Exactly(_)));
    assert!(!too_early.suggestions[0].text.contains("or "), "{too_early:?}");

    assert_eq!(
        explain(&groundwork, &words, "never").stage,
        MissingStage::NoSuchDocument
    );
    let empty = text("empty", " ");
    ingest(&groundwork, vec![empty]);
    let missing = explain(&groundwork, &words, "empty");
    let is_told = matches!(missing.stage, MissingStage::NoChunks | MissingStage::NoSuchDocument);
    assert!(is_told && !missing.reason.is_empty(), "{missing:?}");
}

#[test]
fn fading_scores_are_explained_alike() {
    let (_home, groundwork) = with_base(&[]);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let now = now.expect("it is after 1970").as_secs_f64();
    let document = |at: u32| {
        let mut document = text(&format!("d-{at:02}"), &format!("falcon report number {at}"));
        let written = MetadataValue::Number(now - f64::from(at) * 3600.0);
        document.metadata.insert("written".to_owned(), written);
        document
    };
    ingest(&groundwork, (0..20).map(document).collect());
    let fading = |hours, limit| Query {
        score_threshold: Some(0.9),
        options: Options {
            recency: Some(Recency {
                attribute_key: "written".to_owned(),
                half_life: Duration::from_hours(hours),
                floor: 0.0,
            }),
            ..Options::default()
        },
        ..query("falcon", limit, SearchType::Hybrid)
    };
    for (hours, limit) in [(1, 3), (1, 20), (24, 3), (24, 20)] {
        let missing = check(&groundwork, &fading(hours, limit), "d-15", MissingStage::BelowThreshold);
        assert!(missing.suggestions[0].text.contains("about"), "{missing:?}");
    }
}

#[test]
fn documents_far_behind_are_brought_in() {
    let (_home, groundwork) = with_base(&[]);
    let document = |at: usize| {
        let words = format!("{} {}", "harbour ".repeat(at % 7 + 1), "pier ".repeat(at % 11));
        let mut document = text(
            &format!("d-{at:03}"),
            &format!("{words} {}", format!("filler{at} ").repeat(at % 13)),
        );
        let written = MetadataValue::Number((at % 17) as f64 * 8_640_000.0);
        document.metadata.insert("written".to_owned(), written);
        document
    };
    ingest(&groundwork, (0..260).map(document).collect());
    let recency = Recency {
        attribute_key: "written".to_owned(),
        half_life: Duration::from_hours(24 * 365 * 3),
        floor: 0.0,
    };
    for recency in [None, Some(recency)] {
        let one = Query {
            options: Options {
                recency,
                ..Options::default()
            },
            ..query("harbour pier", 1, SearchType::Hybrid)
        };
        for at in (0..260).step_by(29) {
            let id = format!("d-{at:03}");
            let stage = explain(&groundwork, &one, &id).stage;
            check(&groundwork, &one, &id, stage);
        }
    }
}

#[test]
fn other_callers_revisions_are_left_out() {
    let (_home, groundwork) = with_base(&[]);
    let id = DocumentId::parse("shared").expect("a document id");
    for (user, content) in [("ann", "one"), ("bob", "two"), ("ann", "three")] {
        let mut document = text("shared", &format!("harbour {content}"));
        document.access.allow_users = vec![user.to_owned()];
        ingest(&groundwork, vec![document]);
    }
    groundwork
        .delete_documents("kb", &Selection::Ids(vec![id]), false)
        .expect("it is deleted");
    let of = |user: &str| Query {
        caller: Some(UserContext {
            user_id: user.to_owned(),
            ..UserContext::default()
        }),
        ..query("harbour", 5, SearchType::Hybrid)
    };
    for (user, stage, ranges) in [
        ("ann", MissingStage::NotVisible, 2),
        ("bob", MissingStage::NotVisible, 1),
        ("eve", MissingStage::NoSuchDocument, 0),
    ] {
        let missing = explain(&groundwork, &of(user), "shared");
        assert_eq!(
            (missing.stage, missing.visible.len()),
            (stage, ranges),
            "{user}: {missing:?}"
        );
    }
}

#[test]
fn chunks_of_other_documents_are_refused() {
    let (_home, groundwork) = harbours();
    let question = MissingQuestion {
        query: query("harbour", 5, SearchType::Keyword),
        document_id: DocumentId::parse("d-00").expect("a document id"),
        chunk_id: Some(ChunkId(9_999)),
        at: ReadAt::default(),
    };
    let error = groundwork
        .explain_missing("kb", &question, &Cancel::new())
        .expect_err("it has no such chunk");
    assert_eq!(error.violations[0].field, "chunk_id");
}
