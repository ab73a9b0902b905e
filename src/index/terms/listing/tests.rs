//! Listing against tantivy's own search, over more rows than one window has.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tantivy::Term;
use tantivy::collector::TopDocs;
use tantivy::query::{BooleanQuery, BoostQuery, Occur, Query, TermQuery};
use tantivy::schema::IndexRecordOption;
use tempfile::TempDir;

use super::HEADING_WEIGHT;
use crate::index::terms::{TermRow, Terms, TermsSnapshot};
use crate::index::{Accepted, ChunkId, ChunkSet, Epoch, Language, Scored};

/// Rows in two segments, the first of which has several windows; the word `w<n>` is in about one row of n + 1.
fn many_rows(random: &mut ChaCha8Rng) -> (TempDir, Terms) {
    let directory = tempfile::tempdir().expect("a directory");
    let terms = Terms::create_anew(directory.path(), Language::default()).expect("created");
    let mut chunk_id = 0;
    for (epoch, rows) in [(1, 9_000), (2, 1_500)] {
        for _ in 0..rows {
            chunk_id += 1;
            let mut words = |longest: usize| {
                let length = random.random_range(1..longest);
                let word =
                    |random: &mut ChaCha8Rng| format!("w{} ", (1.0 / random.random_range(0.002..1.0_f64)) as u32);
                (0..length).map(|_| word(random)).collect::<String>()
            };
            let (title, text) = (words(4), words(30));
            terms
                .add(&TermRow {
                    chunk_id: ChunkId(chunk_id),
                    ordinal: 0,
                    title: &title,
                    headings: &[],
                    text: &text,
                })
                .expect("added");
        }
        terms.commit(Epoch(epoch), 1).expect("a commit");
    }
    (directory, terms)
}

/// Searches as tantivy does.
fn expected(snapshot: &TermsSnapshot, words: &[String], limit: usize, accepts: &dyn Fn(ChunkId) -> bool) -> Vec<f32> {
    let fields = snapshot.fields().searched();
    let mut clauses: Vec<(Occur, Box<dyn Query>)> = Vec::new();
    for word in words {
        for (field, weight) in fields.into_iter().zip([1.0, HEADING_WEIGHT]) {
            let term = TermQuery::new(Term::from_field_text(field, word), IndexRecordOption::WithFreqs);
            clauses.push((Occur::Should, Box::new(BoostQuery::new(Box::new(term), weight))));
        }
    }
    let searcher = snapshot.searcher();
    let collector = TopDocs::with_limit(snapshot.rows() as usize).order_by_score();
    let found = searcher.search(&BooleanQuery::new(clauses), &collector).expect("found");
    let orders: Vec<_> = snapshot.segments().map(|(_, order)| order).collect();
    let found = found.into_iter().filter(|(_, address)| {
        let chunk_id = orders[address.segment_ord as usize].chunk_id(address.doc_id);
        accepts(chunk_id.expect("a chunk"))
    });
    found.take(limit).map(|(score, _)| score).collect()
}

#[test]
fn rows_of_many_windows_are_listed_as_tantivy_does() {
    let mut random = ChaCha8Rng::seed_from_u64(9);
    let (_directory, terms) = many_rows(&mut random);
    let snapshot = terms.snapshot();
    let mut some = ChunkSet::default();
    (1..10_500).step_by(3).for_each(|id| some.insert(ChunkId(id), 1));
    let mut pruned = 0;
    for round in 0..60 {
        let mut words: Vec<String> = (0..=round % 15)
            .map(|_| format!("w{}", random.random_range(1..200)))
            .collect();
        words.sort();
        words.dedup();
        let limit = [1, 10, 100, 3_000][round % 4];
        for accepted in [Accepted::Test(&|_| true, 10_500), Accepted::Set(&some)] {
            let (found, work) = snapshot
                .search_accepted(&words.join(" "), limit, accepted)
                .expect("found");
            let expected = expected(&snapshot, &words, limit, &|id| accepted.contains(id));
            assert_eq!(found.len(), expected.len(), "{words:?}");
            let close = |(scored, expected): (&Scored, &f32)| (scored.score - expected).abs() < 1e-4 * expected;
            assert!(
                found.iter().zip(&expected).all(close),
                "{words:?}: {found:?} {expected:?}"
            );
            pruned += usize::from(work.visited < 2_000);
        }
    }
    assert!(pruned > 30, "rows are left out of only {pruned} listings");
}
