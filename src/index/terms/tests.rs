//! Tests of terms.

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::index::{Accept, Accepted, ChunkSet, Scored, TermsMode};

struct Corpus {
    directory: TempDir,
    terms: Terms,
}

/// Commits each group of texts by itself, so that each becomes a segment; chunk ids count from 1.
fn corpus(groups: &[&[&str]]) -> Corpus {
    let directory = TempDir::new().expect("a temporary directory");
    let (terms, epoch) = Terms::open(directory.path(), Language::default()).expect("a new index");
    assert_eq!(epoch, TermsState::default());
    let mut chunk_id = 0;
    for (group, texts) in groups.iter().enumerate() {
        for text in *texts {
            chunk_id += 1;
            add(&terms, chunk_id, "", text);
        }
        terms.commit(Epoch(group as u64 + 1), 0).expect("a commit");
    }
    Corpus { directory, terms }
}

fn add(terms: &Terms, chunk_id: u64, title: &str, text: &str) {
    let row = TermRow {
        chunk_id: ChunkId(chunk_id),
        ordinal: 0,
        title,
        headings: &[],
        text,
    };
    terms.add(&row).expect("a row");
}

fn search(terms: &Terms, query: &str, limit: usize) -> Vec<Scored> {
    terms.snapshot().search(query, limit, &|_| true).expect("a result")
}

fn found(terms: &Terms, query: &str) -> Vec<u64> {
    search(terms, query, 10)
        .into_iter()
        .map(|scored| scored.chunk_id.0)
        .collect()
}

#[test]
fn rarer_words_rank_first() {
    let corpus = corpus(&[&["the common fox", "the common dog", "the rare common lynx"]]);
    assert_eq!(found(&corpus.terms, "common lynx"), [3, 1, 2]);
    assert_eq!(found(&corpus.terms, "the"), [1, 2, 3]);
    assert_eq!(found(&corpus.terms, "zebra"), [0; 0]);
    assert_eq!(found(&corpus.terms, ""), [0; 0]);
}

#[test]
fn sets_are_searched_like_postings() {
    let texts: Vec<String> = (1..=400)
        .map(|at| {
            format!(
                "entry {} of the log {}",
                at % 7,
                if at % 3 == 0 { "fox fox" } else { "fox" }
            )
        })
        .collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let corpus = corpus(&[&texts[..150], &texts[150..160], &texts[160..]]);
    // Two rows of one chunk, and a segment whose rows are out of order.
    corpus.terms.remove(&[ChunkId(5), ChunkId(200)]).expect("removed");
    corpus.terms.commit(Epoch(4), 1).expect("a commit");
    add(&corpus.terms, 401, "", "the last fox of the log");
    add(&corpus.terms, 5, "", "a fox again");
    corpus.terms.commit(Epoch(5), 1).expect("a commit");
    corpus.terms.purge().expect("rewritten");
    let snapshot = corpus.terms.snapshot();
    for one_of in [1, 2, 9, 50, 397] {
        let mut set = ChunkSet::default();
        (0..=401)
            .filter(|id| id % one_of == 5 % one_of)
            .for_each(|id| set.insert(ChunkId(id), 1));
        for query in ["fox", "the fox entry 3", "log 5", "zebra"] {
            let expected = snapshot.search(query, 20, &|id| set.contains(id)).expect("a result");
            let (found, work) = snapshot
                .search_accepted(query, 20, Accepted::Set(&set))
                .expect("a result");
            let same = |left: &[Scored], right: &[Scored]| {
                left.len() == right.len()
                    && left
                        .iter()
                        .zip(right)
                        .all(|(left, right)| left.chunk_id == right.chunk_id && (left.score - right.score).abs() < 1e-4)
            };
            assert!(
                same(&found, &expected),
                "{query} of one in {one_of}: {found:?} {expected:?}"
            );
            let ids: Vec<ChunkId> = found.iter().map(|scored| scored.chunk_id).collect();
            let scores = snapshot.score(query, &ids).expect("scores");
            let scored = found
                .iter()
                .zip(scores)
                .all(|(scored, score)| (scored.score - score).abs() < 1e-4);
            assert!(scored && work.candidates >= found.len() as u64);
            if one_of >= 50 && query == "fox" {
                assert_eq!(work.mode, TermsMode::AcceptedChunks);
            }
        }
    }
}

#[test]
fn titles_and_headings_are_found() {
    let corpus = corpus(&[]);
    add(&corpus.terms, 1, "Volcanoes", "they erupt");
    let headings = ["Rivers".to_owned(), "Deltas".to_owned()];
    let row = TermRow {
        chunk_id: ChunkId(2),
        ordinal: 0,
        title: "",
        headings: &headings,
        text: "they flow",
    };
    corpus.terms.add(&row).expect("a row");
    corpus.terms.commit(Epoch(1), 0).expect("a commit");
    assert_eq!(found(&corpus.terms, "volcano"), [1]);
    assert_eq!(found(&corpus.terms, "delta river"), [2]);
}

#[test]
fn equal_scores_are_ordered_by_chunk() {
    let groups: &[&[&str]] = &[&["same words"; 20], &["same words"; 20]];
    let corpus = corpus(groups);
    assert_eq!(found(&corpus.terms, "words"), (1..=10).collect::<Vec<_>>());
    assert_eq!(found(&corpus.terms, "same words"), (1..=10).collect::<Vec<_>>());
}

#[test]
fn only_accepted_chunks_are_found() {
    let corpus = corpus(&[&["a fox", "fox fox", "fox"], &["fox den", "fox fox fox"]]);
    let snapshot = corpus.terms.snapshot();
    let odd = snapshot
        .search("fox", 10, &|chunk_id| chunk_id.0 % 2 == 1)
        .expect("a result");
    let mut odd: Vec<_> = odd.into_iter().map(|scored| scored.chunk_id.0).collect();
    odd.sort_unstable();
    assert_eq!(odd, [1, 3, 5]);
    assert_eq!(snapshot.search("fox", 10, &|_| false).expect("a result"), []);
    assert_eq!(snapshot.search("fox", 0, &|_| true).expect("a result"), []);
}

#[test]
fn snapshots_see_whole_commits() {
    let corpus = corpus(&[&["fox"]]);
    let before = corpus.terms.snapshot();
    add(&corpus.terms, 2, "", "fox");
    corpus.terms.remove(&[ChunkId(1)]).expect("removed");
    assert_eq!(found(&corpus.terms, "fox"), [1]);
    corpus.terms.commit(Epoch(2), 0).expect("a commit");
    assert_eq!(found(&corpus.terms, "fox"), [2]);
    assert_eq!(corpus.terms.rows(), 1);
    assert_eq!(before.search("fox", 5, &|_| true).expect("a result").len(), 1);
    assert_eq!(
        before.search("fox", 5, &|_| true).expect("a result")[0].chunk_id,
        ChunkId(1)
    );
    let both = [ChunkId(1), ChunkId(2)];
    let scores = corpus.terms.snapshot().score("fox", &both).expect("scores");
    assert!(scores[0] == 0.0 && scores[1] > 0.0, "{scores:?}");
}

#[test]
fn exact_ranks_are_those_of_a_full_search() {
    let corpus = corpus(&[
        &["fox", "fox den", "dog", "fox fox"],
        &["fox den den", "fox", "red fox", "fox dog fox"],
    ]);
    let snapshot = corpus.terms.snapshot();
    for accept in [&(|_| true) as &Accept<'_>, &|id: ChunkId| id.0 != 2] {
        let all = snapshot.search("red fox", 10, accept).expect("found");
        for (rank, scored) in (1..).zip(&all) {
            let exact = snapshot.rank("red fox", scored.chunk_id, accept).expect("ranked");
            assert_eq!(exact.map(|exact| exact.rank), Some(rank), "{}", scored.chunk_id);
        }
    }
    assert_eq!(snapshot.rank("red fox", ChunkId(3), &|_| true).expect("ranked"), None);
    assert_eq!(snapshot.rank("red fox", ChunkId(99), &|_| true).expect("ranked"), None);
}

#[test]
fn rolled_back_rows_are_forgotten() {
    let corpus = corpus(&[&["fox"]]);
    add(&corpus.terms, 2, "", "fox");
    corpus.terms.rollback().expect("rolled back");
    add(&corpus.terms, 3, "", "fox");
    corpus.terms.commit(Epoch(2), 0).expect("a commit");
    assert_eq!(found(&corpus.terms, "fox"), [1, 3]);
}

#[test]
fn reopened_index_knows_its_epoch() {
    let Corpus { directory, terms } = corpus(&[&["fox"], &["dog"]]);
    add(&terms, 3, "", "never committed fox");
    drop(terms);
    let (terms, epoch) = Terms::open(directory.path(), Language::default()).expect("opened");
    let state = TermsState {
        epoch: Some(Epoch(2)),
        removal: 0,
    };
    assert_eq!((epoch, terms.rows()), (state, 2));
    assert_eq!(found(&terms, "fox"), [1]);
}

#[test]
fn files_of_unfinished_commits_are_removed() {
    let directory = TempDir::new().expect("a temporary directory");
    let (terms, _) = Terms::open(directory.path(), Language::default()).expect("a new index");
    add(&terms, 1, "", "kept");
    terms.commit(Epoch(1), 0).expect("a commit");
    drop(terms);
    // What a kill leaves between the files of a commit and its record.
    let left = "0123456789abcdef0123456789abcdef.766.del";
    fs::write(directory.path().join(left), "half").expect("a file");
    let managed = directory.path().join(".managed.json");
    let names = fs::read_to_string(&managed).expect("a list of files");
    let mut names: Vec<String> = serde_json::from_str(&names).expect("names");
    names.push(left.to_owned());
    fs::write(&managed, serde_json::to_string(&names).expect("names")).expect("written");
    let (terms, _) = Terms::open(directory.path(), Language::default()).expect("reopened");
    assert!(!directory.path().join(left).exists());
    assert_eq!(found(&terms, "kept"), [1]);
}

#[test]
fn new_index_reopens_without_epoch() {
    let Corpus { directory, terms } = corpus(&[]);
    drop(terms);
    let (_, epoch) = Terms::open(directory.path(), Language::default()).expect("opened");
    assert_eq!(epoch, TermsState::default());
}

#[test]
fn other_language_asks_for_rebuild() {
    let Corpus { directory, terms } = corpus(&[&["fox"]]);
    drop(terms);
    let german = Language::parse("de").expect("a language");
    let refused = Terms::open(directory.path(), german).expect_err("another language");
    assert!(refused.wants_rebuild(), "{refused}");
    assert!(refused.to_string().contains("language `en`"), "{refused}");
    let terms = Terms::create_anew(directory.path(), german).expect("made anew");
    assert_eq!(terms.rows(), 0);
}

#[test]
fn second_writer_is_refused_without_rebuild() {
    let corpus = corpus(&[&["fox"]]);
    let refused = Terms::open(corpus.directory.path(), Language::default()).expect_err("it is locked");
    assert!(!refused.wants_rebuild(), "{refused}");
}

#[test]
fn damaged_files_ask_for_rebuild() {
    let Corpus { directory, terms } = corpus(&[&["fox and dog"], &["lynx"]]);
    drop(terms);
    let mut damages = 0;
    let files: Vec<_> = fs::read_dir(directory.path())
        .expect("a directory")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension != "lock"))
        .collect();
    for path in files {
        let whole = fs::read(&path).expect("a file");
        let mut flipped = whole.clone();
        if let Some(byte) = flipped.get_mut(whole.len() / 2) {
            *byte ^= 0x55;
        }
        for damaged in [flipped, whole[..whole.len() / 2].to_vec(), Vec::new()] {
            fs::write(&path, damaged).expect("written");
            if let Err(error) = Terms::open(directory.path(), Language::default()) {
                assert!(error.wants_rebuild(), "{} gave {error:?}", path.display());
                damages += 1;
            }
            fs::write(&path, &whole).expect("written");
        }
    }
    assert!(damages > 20, "only {damages} damages were seen");
    drop(Terms::create_anew(directory.path(), Language::default()).expect("made anew"));
}

fn words() -> impl Strategy<Value = String> {
    proptest::collection::vec(0..12_u8, 1..12).prop_map(|words| {
        words
            .iter()
            .map(|word| format!("w{word}"))
            .collect::<Vec<_>>()
            .join(" ")
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn scores_agree_with_search(
        texts in proptest::collection::vec(words(), 1..60),
        groups in 1..4_usize,
        query in words(),
        limit in 1..20_usize,
    ) {
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let groups: Vec<&[&str]> = texts.chunks(texts.len().div_ceil(groups)).collect();
        let corpus = corpus(&groups);
        let all: Vec<_> = (1..=texts.len() as u64).map(ChunkId).collect();
        let snapshot = corpus.terms.snapshot();
        let scores = snapshot.score(&query, &all).expect("scores");
        let hits = search(&corpus.terms, &query, limit);
        let matching = scores.iter().filter(|score| **score > 0.0).count();
        prop_assert_eq!(hits.len(), matching.min(limit));
        for hit in &hits {
            let score = scores[hit.chunk_id.0 as usize - 1];
            prop_assert!((hit.score - score).abs() <= 1e-5 * score, "{} and {}", hit.score, score);
        }
        let worst = hits.last().map_or(0.0, |hit| hit.score);
        for (chunk_id, score) in all.iter().zip(&scores) {
            let kept = hits.iter().any(|hit| hit.chunk_id == *chunk_id);
            prop_assert!(kept || *score <= worst * (1.0 + 1e-5), "{chunk_id} with {score} is missing");
        }
    }
}

#[test]
fn every_word_of_a_long_query_finds_its_chunk() {
    let words: Vec<String> = (0..60).map(|word| format!("word{word}")).collect();
    let texts: Vec<&str> = words.iter().map(String::as_str).collect();
    let corpus = corpus(&[&texts]);
    assert_eq!(search(&corpus.terms, &words.join(" "), 100).len(), 60);
}

#[test]
fn no_words_are_syntax() {
    let corpus = corpus(&[&["fox AND dog", "title: field"]]);
    for query in [
        "AND",
        "\"fox",
        "text:(",
        "fox AND NOT",
        "+-*?~^2",
        "a:b:c [1 TO 2]",
        "\\",
        "fox^",
        "/re(/",
    ] {
        assert!(corpus.terms.snapshot().search(query, 5, &|_| true).is_ok(), "{query}");
    }
    assert_eq!(found(&corpus.terms, "text:(fox"), [1]);
    let words: Vec<_> = (0..5_000).map(|i| format!("w{i}")).collect();
    let long = "fox ".repeat(5_000) + &words.join(" ");
    assert_eq!(found(&corpus.terms, &long), [1]);
}

#[test]
fn each_language_is_found_by_its_stems() {
    let directory = TempDir::new().expect("a temporary directory");
    let detected = Language::parse("auto").expect("a known language");
    let (terms, _) = Terms::open(directory.path(), detected).expect("a new index");
    let texts = [
        "The keepers of the lighthouse were running down to the harbour whenever a ship was in danger.",
        "Die Häuser am Hafen wurden nach dem großen Sturm von den Leuten wieder aufgebaut.",
        "There is a house near the harbour which was built after the storm by the people of the town.",
        "北角的灯塔是在大风暴那一年用花岗岩建造的。",
    ];
    for (chunk_id, text) in (1..).zip(texts) {
        add(&terms, chunk_id, "", text);
    }
    terms.commit(Epoch(1), 0).expect("a commit");
    assert_eq!(found(&terms, "Haus"), [2]);
    assert_eq!(found(&terms, "houses"), [3]);
    assert_eq!(found(&terms, "run"), [1]);
    assert_eq!(found(&terms, "花岗岩"), [4]);
    let both = found(&terms, "running Haus");
    assert!(both.len() == 2 && both.contains(&1) && both.contains(&2), "{both:?}");
    let snapshot = terms.snapshot();
    let parts = snapshot
        .asked("das Haus")
        .expect("looked up")
        .explain(&[ChunkId(2), ChunkId(1)])
        .expect("explained");
    assert!(
        parts[0].iter().any(|part| part.term == "haus") && parts[1].is_empty(),
        "{parts:?}"
    );
    let words = snapshot.highlights("Haus running", texts[1]);
    assert_eq!(words.len(), 1);
    assert_eq!(&texts[1][words[0].clone()], "Häuser");
    let scores = snapshot.passages("Haus", &[ChunkId(2)]).expect("scored");
    let listed = snapshot.score("Haus", &[ChunkId(2)]).expect("scored");
    assert!(
        (scores[0].text - listed[0]).abs() < 1e-4,
        "both count forms as one term"
    );
    drop(terms);
    let (reopened, state) = Terms::open(directory.path(), detected).expect("it opens");
    assert_eq!((state.epoch, reopened.rows()), (Some(Epoch(1)), 4));
    drop(reopened);
    let other = Terms::open(directory.path(), Language::default());
    assert!(
        other.is_err_and(|error| error.wants_rebuild()),
        "one language is another index"
    );
}
