//! Recall is measured on queries whose dense leg walked a graph, beside the answers.

use std::time::{Duration, Instant};

use groundwork::chunk::ChunkConfig;
use groundwork::document::DocumentId;
use groundwork::document::metadata::MetadataValue;
use groundwork::index::VectorsMode;
use groundwork::knowledge_base::{
    Groundwork, KnowledgeBaseInfo, LiveRecallInfo, NewKnowledgeBase, ProvidedModels, ReadAt, Selection, Settings,
};
use groundwork::retrieve::{Filter, Query, SearchType};
use groundwork::worker::Cancel;

use crate::support::{DIMENSIONS, described, ingest, named, scripted, settings, text};

/// Words of a made-up language: enough that each chunk says something else.
fn word(number: usize) -> String {
    const SYLLABLES: [&str; 16] = [
        "ba", "ke", "li", "mo", "nu", "pa", "re", "si", "to", "vu", "za", "fe", "gi", "ho", "du", "la",
    ];
    let mut rest = number;
    let mut word = String::new();
    for _ in 0..3 {
        word.push_str(SYLLABLES[rest % 16]);
        rest /= 16;
    }
    word
}

/// A document that is cut into many small chunks.
fn tale(chunks: usize, salt: usize) -> String {
    let mut sentences = String::new();
    for at in 0..chunks * 12 {
        let mixed = (at * 2_654_435_761 + salt * 40_503) % 4_093;
        sentences.push_str(&word(mixed));
        sentences.push_str(if at % 12 == 11 { ".\n\n" } else { " " });
    }
    sentences
}

fn open(home: &std::path::Path, live_recall_share: f64) -> Groundwork {
    let provided = ProvidedModels {
        embedders: vec![std::sync::Arc::new(groundwork::embed::HashingEmbedder::new(DIMENSIONS))],
        language_models: vec![scripted(&[])],
    };
    let settings = Settings {
        live_recall_share,
        result_cache_bytes: 0,
        ..settings(home)
    };
    Groundwork::open_with(settings, provided).expect("the data directory opens")
}

fn query(number: usize) -> Query {
    Query {
        search_type: SearchType::Semantic,
        limit: 10,
        ..Query::new(format!("{} {} {}", word(number), word(number * 7), word(number * 31)))
    }
}

/// Waits until `is_so` of the description.
#[track_caller]
fn wait_until(groundwork: &Groundwork, what: &str, is_so: impl Fn(&KnowledgeBaseInfo) -> bool) -> KnowledgeBaseInfo {
    let started = Instant::now();
    loop {
        let info = described(groundwork, "kb").expect("it is there");
        if is_so(&info) {
            return info;
        }
        assert!(
            started.elapsed() < Duration::from_mins(2),
            "{what}: {:?} {:?}",
            info.live_recall,
            info.storage
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn settled(info: &LiveRecallInfo) -> u64 {
    info.checked_queries + info.dropped_queries
}

#[test]
fn walks_are_checked_and_scans_are_not() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let groundwork = open(home.path(), 1.0);
    let request = NewKnowledgeBase {
        chunking: ChunkConfig::FixedSize {
            max_tokens: 16,
            overlap_tokens: 0,
        },
        ..named("kb")
    };
    groundwork.create_knowledge_base(&request).expect("a knowledge base");
    let mut large = text("tale", &tale(5_500, 1));
    large.metadata = [("kind".to_owned(), MetadataValue::String("tale".to_owned()))].into();
    ingest(&groundwork, vec![large, text("note", &tale(20, 2))]);
    wait_until(&groundwork, "vectors are sealed", |info| {
        let storage = info.storage.as_ref().expect("it was asked for");
        storage.vectors_segments == 1 && storage.fresh_chunks < 1_000 && storage.upkeep.is_none()
    });
    let ask = |query: &Query| {
        groundwork
            .retrieve("kb", query, ReadAt::default(), &Cancel::new())
            .expect("the search works")
    };
    let found = ask(&query(1));
    assert_eq!(found.plan.work.vectors.mode, VectorsMode::GraphWalk, "{:?}", found.plan);
    let exact = Query {
        exact: true,
        ..query(2)
    };
    ask(&exact);
    let keyword = Query {
        search_type: SearchType::Keyword,
        ..query(3)
    };
    ask(&keyword);
    let tales = Query {
        filter: Some(Filter::Exists("kind".to_owned())),
        ..query(4)
    };
    assert!(ask(&tales).plan.work.vectors.walked);
    let hybrid = Query {
        search_type: SearchType::Hybrid,
        limit: 3,
        ..query(5)
    };
    let walked = 2 + u64::from(ask(&hybrid).plan.work.vectors.walked);
    let info = wait_until(&groundwork, "checks are made", |info| {
        info.live_recall.as_ref().map(settled) >= Some(walked)
    });
    let recall = info.live_recall.expect("it is measured");
    assert_eq!(
        (recall.checked_queries, recall.dropped_queries),
        (walked, 0),
        "{recall:?}"
    );
    let (all, filtered) = (recall.all.expect("checks"), recall.filtered.expect("one"));
    assert_eq!((all.queries, filtered.queries), (walked, 1));
    assert_eq!(recall.unfiltered.map(|figures| figures.queries), Some(walked - 1));
    assert!(all.recall_at_10 >= 0.9 && all.recall >= 0.9, "{recall:?}");
    assert!(all.lowest_recall_at_10 <= all.recall_at_10);
    // Chunks that were deleted since the query are part of what it saw.
    let tale = Selection::Ids(vec![DocumentId::parse("tale").expect("an id")]);
    ask(&query(6));
    groundwork.delete_documents("kb", &tale, false).expect("it is there");
    let info = wait_until(&groundwork, "the check is made", |info| {
        info.live_recall.as_ref().map(settled) > Some(walked)
    });
    let recall = info.live_recall.and_then(|recall| recall.all);
    assert!(recall.is_some_and(|all| all.recall_at_10 >= 0.9), "{recall:?}");
}

#[test]
fn nothing_is_measured_without_a_share() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let groundwork = open(home.path(), 0.0);
    groundwork
        .create_knowledge_base(&named("kb"))
        .expect("a knowledge base");
    assert_eq!(described(&groundwork, "kb").expect("it is there").live_recall, None);
    drop(groundwork);
    let groundwork = open(home.path(), 0.5);
    ingest(&groundwork, vec![text("a", "The ferry.")]);
    groundwork
        .retrieve("kb", &Query::new("ferry"), ReadAt::default(), &Cancel::new())
        .expect("the search works");
    let recall = described(&groundwork, "kb").expect("it is there").live_recall;
    assert_eq!(
        recall,
        Some(LiveRecallInfo::default()),
        "few chunks are compared one by one"
    );
}
