//! Tests of passage.

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::index::terms::{TermRow, Terms};
use crate::index::{Epoch, Language};

/// Commits each group by itself, so that each becomes a segment. A group holds revisions, a revision its chunks.
fn terms(groups: &[&[&[&str]]]) -> (TempDir, Terms) {
    let directory = TempDir::new().expect("a temporary directory");
    let (terms, _) = Terms::open(directory.path(), Language::default()).expect("a new index");
    let mut chunk_id = 0;
    for (group, revisions) in groups.iter().enumerate() {
        for chunks in *revisions {
            for (ordinal, text) in (0..).zip(*chunks) {
                chunk_id += 1;
                let row = TermRow {
                    chunk_id: ChunkId(chunk_id),
                    ordinal,
                    title: "",
                    headings: &[],
                    text,
                };
                terms.add(&row).expect("a row");
            }
        }
        terms.commit(Epoch(group as u64 + 1), 0).expect("a commit");
    }
    (directory, terms)
}

fn scores(terms: &Terms, query: &str, chunk_ids: &[u64]) -> Vec<PassageScore> {
    let chunk_ids: Vec<_> = chunk_ids.iter().copied().map(ChunkId).collect();
    terms.snapshot().passages(query, &chunk_ids).expect("scored")
}

#[test]
fn words_just_outside_a_chunk_count() {
    let (_directory, terms) = terms(&[
        &[
            &["whales dive", "they hold their breath", "for an hour"],
            &["they hold their breath"],
        ],
        &[&["they hold their breath", "in winter"]],
    ]);
    let found = scores(&terms, "whale breath", &[2, 4, 5, 9]);
    assert!(found[0].surroundings > found[1].surroundings, "{found:?}");
    assert!((found[0].text - found[1].text).abs() < 1e-6, "{found:?}");
    assert!(found[0].total() > found[1].total() && found[0].total() > found[2].total());
    assert_eq!(found[3], PassageScore::default());
}

#[test]
fn scores_do_not_depend_on_segments() {
    let first: &[&[&str]] = &[&["whales dive", "they hold their breath", "for an hour"]];
    let second: &[&[&str]] = &[&["they hold their breath", "in winter"], &["whales"]];
    let third: &[&[&str]] = &[&["an hour in winter", "whales dive for breath"]];
    let (_apart, apart) = terms(&[first, second, third]);
    let (_together, together) = terms(&[&[first, second, third].concat()]);
    assert_eq!((apart.segments(), together.segments()), (3, 1));
    for query in ["whale breath", "hour in winter", "they dive"] {
        let ids: Vec<u64> = (1..=8).collect();
        assert_eq!(scores(&apart, query, &ids), scores(&together, query, &ids), "{query}");
    }
}

#[test]
fn a_chunk_alone_is_its_own_surroundings() {
    let (_directory, terms) = terms(&[&[&["red fox"], &["a brown dog and a fox"], &["dog"]]]);
    let more: Vec<String> = (0..MAX_TERMS).map(|at| format!("word{at}")).collect();
    let long = format!("fox dog {}", more.join(" "));
    for score in scores(&terms, &long, &[1, 2, 3]) {
        assert!((score.text - score.surroundings).abs() < 1e-6, "{score:?}");
    }
}

#[test]
fn words_that_come_again_count_less_around_a_chunk_than_in_it() {
    let (_directory, terms) = terms(&[&[&["red fox"], &["fox fox"]]]);
    let found = scores(&terms, "fox", &[1, 2]);
    let gains = [
        found[1].text / found[0].text,
        found[1].surroundings / found[0].surroundings,
    ];
    assert!(gains[0] > gains[1] && gains[1] > 1.0, "{found:?}");
}

#[test]
fn parts_of_terms_add_up() {
    let (_directory, terms) = terms(&[&[&["red fox fox", "a dog", "the fox"], &["red red wine", "fox wine"]]]);
    let chunk_ids: Vec<_> = [3, 1, 2, 4, 5, 9].map(ChunkId).to_vec();
    let snapshot = terms.snapshot();
    for query in ["red foxes and the fox", "wine", "zebra"] {
        let totals = snapshot.passages(query, &chunk_ids).expect("scored");
        let parts = snapshot
            .asked(query)
            .expect("looked up")
            .explain(&chunk_ids)
            .expect("explained");
        for (parts, total) in parts.iter().zip(totals) {
            let sum: f64 = parts.iter().map(|part| part.score).sum();
            assert!(
                (sum - f64::from(total.total())).abs() < 1e-5,
                "{parts:?} is not {total:?}"
            );
        }
    }
    let parts = snapshot
        .asked("red foxes")
        .expect("looked up")
        .explain(&chunk_ids[1..2])
        .expect("explained")
        .remove(0);
    let told: Vec<_> = parts
        .iter()
        .map(|part| (part.term.as_str(), part.field, part.frequency))
        .collect();
    let expected = [
        ("red", TermField::Text, 1),
        ("red", TermField::Surroundings, 1),
        ("fox", TermField::Text, 2),
        ("fox", TermField::Surroundings, 3),
        ("red fox", TermField::Proximity, 1),
    ];
    assert_eq!(told, expected);
}

#[test]
fn near_words_of_the_query_count_more() {
    let (_directory, terms) = terms(&[&[
        &["the blue whale sings and swims in deep cold water of oceans near ice"],
        &["the whale sings and swims in deep cold water of oceans near ice blue"],
        &["sings swims deep cold water oceans near ice that are not what they seem"],
    ]]);
    let found = scores(&terms, "blue whales", &[1, 2, 3]);
    assert!(found[0].proximity > 0.0, "{found:?}");
    assert!(found[1].proximity <= 0.0 && found[2].proximity <= 0.0, "{found:?}");
    let apart = scores(&terms, "blue water swims", &[1]);
    assert!(apart[0].proximity < found[0].proximity, "{apart:?} and {found:?}");
    assert!(scores(&terms, "whale", &[1])[0].proximity <= 0.0);
}

#[test]
fn distances_are_the_smallest_there_are() {
    #[track_caller]
    fn check(left: &[u32], right: &[u32], expected: Option<u32>) {
        assert_eq!(nearest(left, right), expected, "{left:?} and {right:?}");
        assert_eq!(nearest(right, left), expected, "{right:?} and {left:?}");
    }
    check(&[], &[1], None);
    check(&[1], &[2], Some(1));
    check(&[5], &[5], Some(1));
    check(&[1, 40], &[20, 43], Some(3));
    check(&[1], &[9], Some(8));
    check(&[1], &[10], None);
}

proptest! {
    /// The text's part is what listing scores; the other parts are those of a count by hand.
    #[test]
    fn parts_are_those_of_a_naive_count(
        groups in proptest::collection::vec(
            proptest::collection::vec(proptest::collection::vec("[abc]( [abcdx]){0,12}", 1..7), 1..4),
            1..4,
        ),
        query in "[abc]( [abcd]){1,3}",
    ) {
        let groups: Vec<Vec<Vec<&str>>> = groups
            .iter()
            .map(|group| group.iter().map(|chunks| chunks.iter().map(String::as_str).collect()).collect())
            .collect();
        let revisions: Vec<Vec<&[&str]>> =
            groups.iter().map(|group| group.iter().map(Vec::as_slice).collect()).collect();
        let borrowed: Vec<&[&[&str]]> = revisions.iter().map(Vec::as_slice).collect();
        let (_directory, terms) = terms(&borrowed);
        let chunks: Vec<(usize, &str)> = groups
            .iter()
            .flatten()
            .enumerate()
            .flat_map(|(revision, chunks)| chunks.iter().map(move |chunk| (revision, *chunk)))
            .collect();
        let ids: Vec<u64> = (1..=chunks.len() as u64).rev().collect();
        let found = scores(&terms, &query, &ids);
        let all: Vec<_> = ids.iter().copied().map(ChunkId).collect();
        let listed = terms.snapshot().score(&query, &all).expect("scored");
        let asked = terms.snapshot().query_terms(&query);
        for ((id, score), listed) in ids.iter().zip(&found).zip(listed) {
            prop_assert!((score.text + score.heading - listed).abs() < 1e-3, "{score:?} is not {listed}");
            let at = *id as usize - 1;
            let window = at.saturating_sub(2)..(at + 3).min(chunks.len());
            let around: Vec<&str> = chunks[window].iter().filter(|chunk| chunk.0 == chunks[at].0)
                .flat_map(|chunk| chunk.1.split(' ')).collect();
            let holds = asked.iter().any(|term| around.contains(&term.forms[0].as_str()));
            prop_assert_eq!(holds, score.surroundings > 0.0);
            let words: Vec<&str> = chunks[at].1.split(' ').collect();
            let near = asked.windows(2).any(|pair| {
                let places = |term: &str| -> Vec<usize> {
                    (0..words.len()).filter(|at| words[*at] == term).collect()
                };
                let right = places(&pair[1].forms[0]);
                places(&pair[0].forms[0]).iter().any(|left| right.iter().any(|right| left.abs_diff(*right) <= 8))
            });
            prop_assert_eq!(near, score.proximity > 0.0, "{:?} in {:?}", asked, words);
        }
    }
}
