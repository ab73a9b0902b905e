//! Tests of search.

use tempfile::TempDir;

use super::*;
use crate::index::{Accept, Epoch, Language, TermRow, Terms};

struct Fixture {
    _directory: TempDir,
    terms: TermsSnapshot,
    vectors: Vectors,
}

/// Chunks with a text and an angle: the query's vector points to angle 0.
fn fixture(chunks: &[(&str, f32)]) -> Fixture {
    let directory = TempDir::new().expect("a directory");
    let (terms, _) = Terms::open(&directory.path().join("terms"), Language::default()).expect("opened");
    let vectors = Vectors::create_anew(&directory.path().join("vectors"), 2).expect("made");
    for (chunk_id, (text, degrees)) in (1..).map(ChunkId).zip(chunks) {
        let row = TermRow {
            chunk_id,
            ordinal: 0,
            title: "",
            headings: &[],
            text,
        };
        terms.add(&row).expect("added");
        let (sine, cosine) = degrees.to_radians().sin_cos();
        vectors.insert(&[(chunk_id, &[cosine, sine])]).expect("inserted");
    }
    terms.commit(Epoch(1), 0).expect("committed");
    Fixture {
        terms: terms.snapshot(),
        vectors,
        _directory: directory,
    }
}

impl Fixture {
    fn search(&self, query: &Query, accept: &Accept<'_>) -> Vec<Candidate> {
        let legs = Legs {
            terms: &self.terms,
            vectors: &self.vectors,
        };
        let accepted = Accepted::Test(accept, self.vectors.len());
        search(&legs, query, Some(embedded(&[1.0, 0.0])), accepted).expect("found")
    }
}

fn query(search_type: SearchType, limit: usize) -> Query {
    Query {
        limit,
        search_type,
        ..Query::new("red fox")
    }
}

fn embedded(vector: &[f32]) -> EmbeddedQuery<'_> {
    EmbeddedQuery { vector, coverage: None }
}

fn ids(candidates: &[Candidate]) -> Vec<u64> {
    candidates.iter().map(|candidate| candidate.chunk_id.0).collect()
}

const CHUNKS: [(&str, f32); 4] = [
    ("a red fox runs", 80.0),
    ("a fox sleeps", 20.0),
    ("nothing of the kind", 0.0),
    ("nothing at all", 90.0),
];

#[test]
fn each_search_type_asks_its_legs() {
    let fixture = fixture(&CHUNKS);
    let keyword = fixture.search(&query(SearchType::Keyword, 10), &|_| true);
    assert_eq!(ids(&keyword), [1, 2]);
    assert!(
        keyword
            .iter()
            .all(|candidate| candidate.cosine.is_none() && candidate.bm25.is_some())
    );
    let dense = fixture.search(&query(SearchType::Semantic, 10), &|_| true);
    assert_eq!(ids(&dense), [3, 2, 1, 4]);
    assert!(
        dense
            .iter()
            .all(|candidate| candidate.bm25.is_none() && candidate.cosine.is_some())
    );
    let hybrid = fixture.search(&query(SearchType::Hybrid, 10), &|_| true);
    assert_eq!(ids(&hybrid), [2, 3, 1, 4]);
}

#[test]
fn hybrid_candidates_have_both_scores() {
    let fixture = fixture(&CHUNKS);
    let hybrid = fixture.search(&query(SearchType::Hybrid, 10), &|_| true);
    for candidate in &hybrid {
        let (bm25, cosine) = (candidate.bm25.expect("bm25"), candidate.cosine.expect("cosine"));
        let score = 0.75 * cosine.normalized + 0.25 * bm25.normalized;
        assert!((candidate.score - score).abs() < 1e-12);
        assert_eq!(bm25.rank.is_some(), bm25.raw > 0.0);
        assert!(cosine.rank.is_some());
    }
    let best_bm25 = hybrid
        .iter()
        .filter_map(|candidate| candidate.bm25)
        .find(|bm25| bm25.rank == Some(1));
    assert_eq!(best_bm25.map(|bm25| bm25.normalized), Some(1.0));
}

#[test]
fn unlisted_candidates_are_completed() {
    let many: Vec<_> = (0..250)
        .map(|at| if at < 120 { ("red fox", 90.0) } else { ("other", 10.0) })
        .collect();
    let fixture = fixture(&many);
    let hybrid = fixture.search(&query(SearchType::Hybrid, 200), &|_| true);
    assert_eq!(hybrid.len(), 200);
    let few = fixture.search(&query(SearchType::Hybrid, 50), &|_| true);
    assert!(
        few.iter()
            .all(|candidate| candidate.bm25.is_some_and(|bm25| bm25.rank.is_none())),
        "{few:?}"
    );
    let by_keyword = Query {
        dense_weight: Some(0.0),
        ..query(SearchType::Hybrid, 50)
    };
    let few = fixture.search(&by_keyword, &|_| true);
    assert_eq!(ids(&few), (1..=50).collect::<Vec<_>>());
    assert!(
        few.iter()
            .all(|candidate| candidate.cosine.is_some_and(|cosine| cosine.rank.is_none())),
        "{few:?}"
    );
}

#[test]
fn both_legs_ask_the_filter() {
    let fixture = fixture(&CHUNKS);
    for search_type in [SearchType::Hybrid, SearchType::Keyword, SearchType::Semantic] {
        let found = fixture.search(&query(search_type, 10), &|chunk_id| chunk_id.0 % 2 == 1);
        assert!(!found.is_empty() && found.iter().all(|candidate| candidate.chunk_id.0 % 2 == 1));
        assert_eq!(fixture.search(&query(search_type, 10), &|_| false), []);
    }
}

#[test]
fn threshold_and_limit_cut_the_list() {
    let fixture = fixture(&CHUNKS);
    let mut query = query(SearchType::Semantic, 3);
    assert_eq!(ids(&fixture.search(&query, &|_| true)), [3, 2, 1]);
    query.score_threshold = Some(0.5);
    assert_eq!(ids(&fixture.search(&query, &|_| true)), [3, 2]);
}

#[test]
fn dense_leg_needs_an_embedding() {
    let fixture = fixture(&CHUNKS);
    let legs = Legs {
        terms: &fixture.terms,
        vectors: &fixture.vectors,
    };
    let ask = |search_type, embedding: Option<&[f32]>| {
        let accepted = Accepted::Test(&|_| true, 4);
        search(&legs, &query(search_type, 5), embedding.map(embedded), accepted)
    };
    assert!(matches!(ask(SearchType::Hybrid, None), Err(Error::NoEmbedding)));
    assert!(matches!(ask(SearchType::Semantic, None), Err(Error::NoEmbedding)));
    assert!(matches!(
        ask(SearchType::Semantic, Some(&[1.0])),
        Err(Error::DimensionMismatch { expected: 2, found: 1 })
    ));
    assert_eq!(ask(SearchType::Keyword, None).expect("found").len(), 2);
}

#[test]
fn words_that_stand_near_each_other_rank_first() {
    let apart = format!("red and {} fox", "some other words that mean nothing here ".repeat(2));
    let near = format!(
        "the red fox and {}",
        "some other words that mean nothing here ".repeat(2)
    );
    let fixture = fixture(&[(&apart, 0.0), (&near, 90.0)]);
    assert_eq!(ids(&fixture.search(&query(SearchType::Keyword, 10), &|_| true)), [2, 1]);
}

#[test]
fn the_first_hit_lifts_what_is_like_it() {
    // The first hit lies at 30 degrees; of two chunks as near to the query, one lies beside it.
    let fixture = fixture(&[("red fox", 30.0), ("nothing", -40.0), ("none", 40.0)]);
    let with = |feedback_weight| Query {
        feedback_weight,
        ..query(SearchType::Hybrid, 10)
    };
    assert_eq!(ids(&fixture.search(&with(0.0), &|_| true)), [1, 2, 3]);
    let found = fixture.search(&with(0.2), &|_| true);
    assert_eq!(ids(&found), [1, 3, 2]);
    let cosine = found[1].cosine.expect("the dense leg took part");
    assert!((cosine.raw - 40.0_f64.to_radians().cos()).abs() < 1e-3, "{cosine:?}");
    assert!(cosine.normalized > cosine.raw, "{cosine:?}");
}

#[test]
fn a_language_that_the_model_does_not_know_is_left_to_the_words() {
    let fixture = fixture(&CHUNKS);
    let legs = Legs {
        terms: &fixture.terms,
        vectors: &fixture.vectors,
    };
    let ask = |dense_weight, letters| {
        let query = Query {
            dense_weight,
            ..query(SearchType::Hybrid, 10)
        };
        let coverage = Some(TokenCoverage { letters, tokens: 40 });
        let embedded = EmbeddedQuery {
            vector: &[1.0, 0.0],
            coverage,
        };
        let accepted = Accepted::Test(&|_| true, 4);
        let found = candidates(&legs, &query, Some(embedded), accepted, 100).expect("found");
        (found.dense_weight, found.fused[0].chunk_id.0)
    };
    assert_eq!(ask(None, 180.0), (0.75, 2));
    assert_eq!(ask(None, 0.0), (0.0, 1));
    assert_eq!(ask(Some(1.0), 0.0), (1.0, 3));
}
