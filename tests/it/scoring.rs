//! Options of a search: every stage through the border, and explanations whose parts add up.

use std::collections::BTreeSet;
use std::time::Duration;

use groundwork::document::metadata::MetadataValue;
use groundwork::knowledge_base::{ErrorKind, Groundwork, NewDocument, ReadAt, Retrieval};
use groundwork::retrieve::{Boost, Expansion, Extent, Filter, FusionMethod, Hit, Options, Query, Recency, SearchType};
use groundwork::worker::Cancel;

use crate::support::{ids, ingest, text, with_base};

fn query(words: &str, limit: usize, options: Options) -> Query {
    Query {
        limit,
        options,
        ..Query::new(words)
    }
}

fn retrieve(groundwork: &Groundwork, query: &Query) -> Retrieval {
    groundwork
        .retrieve("kb", query, ReadAt::default(), &Cancel::new())
        .expect("the search works")
}

fn documents(hits: &[Hit]) -> Vec<String> {
    hits.iter().map(|hit| hit.document_id.to_string()).collect()
}

fn dated(id: &str, content: &str, date: &str) -> NewDocument {
    let mut document = text(id, content);
    document
        .metadata
        .insert("date".to_owned(), MetadataValue::String(date.to_owned()));
    document
}

/// One document of many chunks about harbours, and others of one.
fn harbours() -> (tempfile::TempDir, Groundwork) {
    let (home, groundwork) = with_base(&[]);
    let paragraph = |at: usize| {
        let filler = format!("Word{at} stands beside other{at} words here. ").repeat(30);
        format!("The harbour of part {at} has a harbour wall and a harbour light. {filler}\n\n")
    };
    let long: String = (0..12).map(paragraph).collect();
    let mut all = vec![text("long", &long)];
    for at in 0..6 {
        all.push(text(
            &format!("short-{at}"),
            &format!("Town {at} has a harbour of its own kind{at}."),
        ));
    }
    ingest(&groundwork, all);
    (home, groundwork)
}

/// Checks that the parts of every explanation make the score.
#[track_caller]
fn check_sums(query: &Query, hits: &[Hit]) {
    assert!(!hits.is_empty());
    for (rank, hit) in (1..).zip(hits) {
        let explanation = hit.explanation.as_ref().expect("it was asked for");
        assert_eq!(explanation.rank, rank);
        let sum: f64 = explanation.legs.iter().map(|part| part.contribution).sum();
        assert!((sum - explanation.fused_score).abs() < 1e-12, "{explanation:?}");
        let boosts: f64 = explanation.boosts.iter().map(|boost| boost.multiplier).product();
        let recency = explanation.recency.map_or(1.0, |effect| effect.multiplier);
        let score = explanation.fused_score * boosts * recency;
        assert!(
            (score - hit.score).abs() < 1e-12,
            "{score} is not {}: {explanation:?}",
            hit.score
        );
        let terms: f64 = explanation.terms.iter().map(|part| part.score).sum();
        let bm25 = hit.bm25.map_or(0.0, |leg| leg.raw);
        assert!((terms - bm25).abs() < 1e-4, "{terms} is not {bm25}: {explanation:?}");
        if query.search_type == SearchType::Hybrid {
            assert_eq!(explanation.legs.len(), 2);
        }
    }
}

#[test]
fn explained_parts_add_up_to_the_score() {
    let (_home, groundwork) = harbours();
    let written = [("early", "2001-01-01"), ("late", "2026-05-06")];
    let letters = written.map(|(id, date)| dated(id, "A letter of the harbour wall.", date));
    ingest(&groundwork, letters.to_vec());
    let boosted = Options {
        boosts: vec![
            Boost {
                filter: Filter::NotEquals("date".to_owned(), MetadataValue::String("2001-01-01".to_owned())),
                factor: 3.0,
            };
            2
        ],
        recency: Some(Recency {
            attribute_key: "date".to_owned(),
            half_life: Duration::from_hours(24),
            floor: 0.3,
        }),
        diversity: Some(0.6),
        ..Options::default()
    };
    let ranked = Options {
        fusion: FusionMethod::ReciprocalRank,
        ..Options::default()
    };
    for search_type in [SearchType::Hybrid, SearchType::Keyword, SearchType::Semantic] {
        for options in [Options::default(), boosted.clone(), ranked.clone()] {
            let query = Query {
                search_type,
                explain: true,
                ..query("harbour wall of part 3", 8, options)
            };
            check_sums(&query, &retrieve(&groundwork, &query).hits);
        }
    }
}

#[test]
fn default_options_leave_results_as_they_are() {
    let (_home, groundwork) = harbours();
    let plain = retrieve(&groundwork, &query("harbour light", 6, Options::default())).hits;
    assert_eq!(plain.len(), 6);
    assert!(
        plain
            .iter()
            .all(|hit| hit.explanation.is_none() && hit.highlights.is_empty())
    );
    let explained = Query {
        explain: true,
        ..query("harbour light", 6, Options::default())
    };
    let explained = retrieve(&groundwork, &explained).hits;
    assert_eq!(documents(&plain), documents(&explained));
    let scores = |hits: &[Hit]| hits.iter().map(|hit| hit.score).collect::<Vec<_>>();
    assert_eq!(scores(&plain), scores(&explained));
}

#[test]
fn grouping_lists_deeper_until_enough_documents_are_there() {
    let (_home, groundwork) = harbours();
    let grouped = |limit, count| {
        let options = Options {
            chunks_per_document: Some(count),
            ..Options::default()
        };
        documents(&retrieve(&groundwork, &query("harbour wall", limit, options)).hits)
    };
    let one = grouped(7, 1);
    assert_eq!(one.len(), 7, "{one:?}");
    assert_eq!(one.iter().collect::<BTreeSet<_>>().len(), 7);
    let two = grouped(20, 2);
    assert_eq!(two.iter().filter(|id| *id == "long").count(), 2, "{two:?}");
    assert_eq!(two.len(), 8);

    // More chunks of one document than a leg lists by itself stand before the others.
    let section = |at| format!("# Flood {at}\n\nThe lighthouse lamp shines, lighthouse lamp number {at}.\n\n");
    let flood = (0..400).map(section).collect::<Vec<_>>().concat();
    let mut flood = text("flood", &flood);
    flood.media_type = Some("text/markdown".to_owned());
    ingest(
        &groundwork,
        vec![
            flood,
            text("calm", &format!("A lighthouse. {}", "Calm sea. ".repeat(40))),
        ],
    );
    let keyword = Query {
        search_type: SearchType::Keyword,
        ..query(
            "lighthouse lamp",
            2,
            Options {
                chunks_per_document: Some(1),
                ..Options::default()
            },
        )
    };
    assert_eq!(documents(&retrieve(&groundwork, &keyword).hits), ["flood", "calm"]);
    let bounded = Query {
        options: Options {
            candidates_per_leg: Some(5),
            ..keyword.options.clone()
        },
        ..keyword
    };
    assert_eq!(documents(&retrieve(&groundwork, &bounded).hits), ["flood"]);
}

#[test]
fn near_duplicates_are_folded_and_named() {
    let (_home, groundwork) = with_base(&[]);
    let notice = "The ferry to the island leaves the pier at 9 and returns when the tide allows it";
    ingest(
        &groundwork,
        vec![
            text("copy-a", notice),
            text("copy-b", &format!("{notice}!")),
            text("later", &notice.replace('9', "11")),
            text("other", "The pier was painted green."),
        ],
    );
    let folding = Options {
        near_duplicates: Some(0.9),
        ..Options::default()
    };
    let hits = retrieve(&groundwork, &query("ferry to the island", 10, folding)).hits;
    let found = documents(&hits);
    assert_eq!(ids(&hits).len(), 3, "{found:?}");
    assert!(
        found.contains(&"later".to_owned()),
        "another hour is another passage: {found:?}"
    );
    let folded: Vec<_> = hits
        .iter()
        .flat_map(|hit| hit.folded.iter().map(move |folded| (hit, folded)))
        .collect();
    let [(hit, other)] = folded[..] else {
        panic!("one copy is folded: {folded:?}");
    };
    let mut pair = [hit.document_id.as_str(), other.document_id.as_str()];
    pair.sort_unstable();
    assert_eq!(pair, ["copy-a", "copy-b"]);
    assert!(other.similarity > 0.9);
}

#[test]
fn recency_and_boosts_change_the_order() {
    let (_home, groundwork) = with_base(&[]);
    let words = "The quarterly report of the harbour.";
    ingest(
        &groundwork,
        vec![
            dated("old", words, "2001-01-01"),
            dated("new", words, "2100-01-01T00:00:00Z"),
            text("undated", words),
        ],
    );
    let recency = Options {
        recency: Some(Recency {
            attribute_key: "date".to_owned(),
            half_life: Duration::from_hours(24 * 365),
            floor: 0.5,
        }),
        ..Options::default()
    };
    let hits = retrieve(&groundwork, &query("quarterly report", 3, recency.clone())).hits;
    assert_eq!(documents(&hits)[0], "new");
    let boosted = Options {
        boosts: vec![Boost {
            filter: Filter::Equals("date".to_owned(), MetadataValue::String("2001-01-01".to_owned())),
            factor: 10.0,
        }],
        ..recency
    };
    let hits = retrieve(&groundwork, &query("quarterly report", 3, boosted)).hits;
    assert_eq!(documents(&hits)[0], "old");
}

#[test]
fn attributes_that_cannot_score_are_refused() {
    let (_home, groundwork) = with_base(&[]);
    let mut report = dated("old", "The quarterly report of the harbour.", "2001-01-01");
    report.metadata.insert("draft".to_owned(), MetadataValue::Boolean(true));
    ingest(&groundwork, vec![report]);
    let check = |options: Options, field: &str, part: &str| {
        let refused = groundwork.retrieve("kb", &query("report", 3, options), ReadAt::default(), &Cancel::new());
        let error = refused.expect_err("nothing has it");
        assert_eq!(error.kind, ErrorKind::InvalidRequest, "{error:?}");
        let violation = &error.violations[0];
        assert!(violation.field.ends_with(field), "{violation:?}");
        assert!(violation.description.contains(part), "{violation:?}");
    };
    let recency = |key: &str| Options {
        recency: Some(Recency {
            attribute_key: key.to_owned(),
            half_life: Duration::from_hours(24),
            floor: 0.5,
        }),
        ..Options::default()
    };
    check(
        recency("daet"),
        "recency.attribute_key",
        "the nearest that is known: `date`",
    );
    check(recency("draft"), "recency.attribute_key", "says no date");
    let boost = |value| {
        let known = Boost {
            filter: Filter::Exists("date".to_owned()),
            factor: 2.0,
        };
        let filter = Filter::Equals("draft".to_owned(), value);
        Options {
            boosts: vec![known, Boost { filter, factor: 2.0 }],
            ..Options::default()
        }
    };
    check(
        boost(MetadataValue::Number(1.0)),
        "boosts[1].filter",
        "`draft` is a boolean",
    );
    let found = retrieve(&groundwork, &query("report", 3, boost(MetadataValue::Boolean(true))));
    assert_eq!(found.hits.len(), 1);
}

#[test]
fn contexts_are_exact_ranges_around_the_hit() {
    let (_home, groundwork) = harbours();
    let expanded = |extent, max_bytes| {
        let options = Options {
            expansion: Some(Expansion { extent, max_bytes }),
            ..Options::default()
        };
        let mut query = query("harbour of part 5 Word5 other5", 20, options);
        query.search_type = SearchType::Keyword;
        retrieve(&groundwork, &query).hits
    };
    let whole = expanded(Extent::Section, 65_536);
    let long = whole
        .iter()
        .find(|hit| hit.document_id.as_str() == "long")
        .expect("it is found");
    let whole = long.context.clone().expect("it fits");
    assert_eq!(whole.span.start, 0, "a text without headings is one section");
    for hit in expanded(Extent::Neighbors(1), 65_536) {
        let context = hit.context.as_ref().expect("it fits");
        let (inner, outer) = (hit.span, context.span);
        assert!(outer.start <= inner.start && inner.end <= outer.end);
        let at = inner.start - outer.start;
        assert_eq!(context.text.get(at..at + hit.text.len()), Some(hit.text.as_str()));
        assert_eq!(context.span.len(), context.text.len());
        if hit.document_id == long.document_id {
            assert_eq!(outer.of(&whole.text), Some(context.text.as_str()));
            assert!(context.text.len() > hit.text.len() && context.text.len() < whole.text.len());
        }
    }
    let tight = expanded(Extent::Neighbors(8), 256);
    let too_large = tight
        .iter()
        .find(|hit| hit.text.len() > 256)
        .expect("long chunks are found");
    assert_eq!(too_large.context, None);
}

#[test]
fn highlights_are_words_of_the_query() {
    let (_home, groundwork) = with_base(&[]);
    ingest(
        &groundwork,
        vec![text(
            "a",
            "Ärger? Harbours, the HARBOUR's wall; no arbour. Wall-to-wall.",
        )],
    );
    let options = Options {
        highlight: true,
        ..Options::default()
    };
    let hits = retrieve(&groundwork, &query("harbour walls", 1, options)).hits;
    let words: Vec<&str> = hits[0]
        .highlights
        .iter()
        .map(|span| &hits[0].text[span.start - hits[0].span.start..span.end - hits[0].span.start])
        .collect();
    assert_eq!(words, ["Harbours", "HARBOUR's", "wall", "Wall", "wall"]);
}

#[test]
fn batches_answer_in_order_and_fail_alone() {
    let (_home, groundwork) = harbours();
    let batch = |queries: Vec<Query>| {
        let queries = queries.into_iter().map(Ok).collect();
        groundwork.batch_retrieve("kb", queries, ReadAt::default(), &Cancel::new())
    };
    let mut keyword = query("harbour light", 3, Options::default());
    keyword.search_type = SearchType::Keyword;
    let hybrid = query("town 4", 2, Options::default());
    let found = batch(vec![hybrid.clone(), query(" ", 1, Options::default()), keyword.clone()]).expect("it works");
    let hits = |at: usize| found.results[at].as_ref().expect("it is valid").hits.clone();
    assert_eq!(hits(0), retrieve(&groundwork, &hybrid).hits);
    assert_eq!(hits(2), retrieve(&groundwork, &keyword).hits);
    let error = found.results[1].as_ref().expect_err("it has no words");
    assert_eq!(error.violations[0].field, "retrieval_query.text");
    assert_eq!(found.epoch, retrieve(&groundwork, &hybrid).epoch);
    for count in [0, 65] {
        let error = batch(vec![hybrid.clone(); count]).expect_err("1 to 64 are taken");
        assert_eq!(error.violations[0].field, "queries");
    }
}
