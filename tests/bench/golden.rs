//! All golden questions answered by the default path: facts found, refusals given, citations checked.

use groundwork::generate::{AnswerEvent, Inference};
use groundwork::knowledge_base::{Groundwork, Question, ReadAt, ServiceTier};
use groundwork::retrieve::Query;
use groundwork::worker::Cancel;

use crate::{handbook, report};

pub(crate) fn run() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let groundwork = Groundwork::open(handbook::settings(home.path())).expect("it opens");
    handbook::ingest(&groundwork, "handbook", handbook::documents(""));
    let questions = handbook::questions();
    let judgments = handbook::judgments(&handbook::root().join("qrels.tsv"));
    println!("\ngolden: {} questions about the handbook", questions.len());
    let verbose = std::env::args().any(|argument| argument == "--verbose");
    let mut totals = Totals::default();
    for question in &questions {
        let asked = ask(&groundwork, &question.text);
        let is_found = asked.documents.iter().any(|id| {
            judgments
                .iter()
                .any(|(query, document, _)| *query == question.id && document == id)
        });
        let is_right = question.answers.iter().any(|answer| holds(&asked.answer, answer));
        if question.answerable {
            totals.answerable += 1;
            totals.retrieved += usize::from(is_found);
            totals.right += usize::from(is_right && !asked.declined);
            totals.wrongly_declined += usize::from(asked.declined);
        } else {
            totals.unanswerable += 1;
            totals.declined += usize::from(asked.declined);
        }
        totals.citations += asked.citations;
        totals.dangling += asked.dangling;
        if verbose {
            println!(
                "{} right={is_right} declined={} found={is_found}\n  {}\n  {}",
                question.id, asked.declined, question.text, asked.answer
            );
        }
    }
    let share = |part: usize, whole: usize| part as f64 / whole as f64;
    report(
        "golden, a right document among the first five hits",
        share(totals.retrieved, totals.answerable),
        "",
    );
    report(
        "golden, answerable with the right fact",
        totals.right as f64,
        &format!("of {}", totals.answerable),
    );
    report(
        "golden, answerable but declined",
        totals.wrongly_declined as f64,
        &format!("of {}", totals.answerable),
    );
    report(
        "golden, unanswerable and declined",
        totals.declined as f64,
        &format!("of {}", totals.unanswerable),
    );
    report(
        "golden, citations whose spans do not match",
        totals.dangling as f64,
        &format!("of {}", totals.citations),
    );
}

/// Returns whether a text holds these words as whole words, whatever their case and the white space between them.
fn holds(text: &str, words: &str) -> bool {
    let plain = |text: &str| text.to_lowercase().split_whitespace().collect::<Vec<_>>().join(" ");
    let (text, words) = (plain(text), plain(words));
    let is_border = |c: Option<char>| c.is_none_or(|c| !c.is_alphanumeric());
    text.match_indices(&words).any(|(at, found)| {
        is_border(text[..at].chars().next_back()) && is_border(text[at + found.len()..].chars().next())
    })
}

#[derive(Default)]
struct Totals {
    answerable: usize,
    retrieved: usize,
    right: usize,
    wrongly_declined: usize,
    unanswerable: usize,
    declined: usize,
    citations: usize,
    dangling: usize,
}

struct Asked {
    answer: String,
    documents: Vec<String>,
    declined: bool,
    citations: usize,
    dangling: usize,
}

fn ask(groundwork: &Groundwork, text: &str) -> Asked {
    let question = Question {
        service_tier: ServiceTier::Default,
        query: Query::new(text.to_owned()),
        model_id: String::new(),
        inference: Inference {
            max_tokens: 96,
            ..Inference::default()
        },
        at: ReadAt::default(),
    };
    let retrieval = groundwork
        .retrieve("handbook", &question.query, ReadAt::default(), &Cancel::new())
        .expect("the search works");
    let (mut answer, mut references, mut citations) = (String::new(), Vec::new(), Vec::new());
    let summary = groundwork
        .answer("handbook", &question, &Cancel::new(), &mut |event| {
            match event {
                AnswerEvent::References(offered) => references = offered,
                AnswerEvent::Text(piece) => answer.push_str(&piece),
                AnswerEvent::Citation(citation) => citations.push(citation),
            }
            Ok(())
        })
        .expect("an answer");
    let dangling = citations.iter().filter(|citation| {
        let reference = references
            .iter()
            .find(|reference| reference.number == citation.reference_number);
        let Some(reference) = reference else { return true };
        let (_, stored, _) = groundwork
            .document(
                "handbook",
                &reference.hit.document_id,
                true,
                ReadAt::default(),
                &Cancel::new(),
            )
            .expect("the document is there");
        let stored = stored.expect("its text was asked for");
        citation.source_span.of(&stored) != Some(citation.source_text.as_str())
            || citation.answer_span.of(&answer) != Some(citation.answer_text.as_str())
    });
    Asked {
        dangling: dangling.count(),
        citations: citations.len(),
        documents: retrieval.hits.iter().map(|hit| hit.document_id.to_string()).collect(),
        declined: summary.generation.no_answer_reason.is_some(),
        answer,
    }
}
