//! Whether hits are worth asking a model about.

use super::NoAnswerReason;
use super::words::content_words;
use crate::retrieve::Hit;

/// Best cosine similarity from which hits are taken for relevant, whatever their words. For the default embedder.
pub const MIN_COSINE: f64 = 0.30;
/// Share of the question's content words from which a hit that is not close as a vector is relevant by its words.
///
/// Over development questions, 79 of 100 right paragraphs reach it, and for 14 of 100 questions some paragraph of
/// another article does.
pub const MIN_COVERAGE: f64 = 0.6;
/// The same where the dense leg took no part: 87 and 41 of 100, because nothing else speaks for the hit.
pub const MIN_COVERAGE_ALONE: f64 = 0.5;

/// Says why no model should be asked: there are no hits, or they have nothing to do with the question.
///
/// Hits are irrelevant when both signs are missing: no hit is close to the question as a vector, and no hit holds
/// enough of its content words. Without the dense leg, the words decide.
pub fn relevance(question: &str, hits: &[Hit]) -> Result<(), NoAnswerReason> {
    if hits.is_empty() {
        return Err(NoAnswerReason::NoResults);
    }
    let cosine = hits
        .iter()
        .filter_map(|hit| hit.cosine.map(|leg| leg.raw))
        .reduce(f64::max);
    let is_close = cosine.is_some_and(|cosine| cosine >= MIN_COSINE);
    let wanted = if cosine.is_some() {
        MIN_COVERAGE
    } else {
        MIN_COVERAGE_ALONE
    };
    let is_covered = coverage(question, hits).map_or(cosine.is_none(), |coverage| coverage >= wanted);
    if is_close || is_covered {
        Ok(())
    } else {
        Err(NoAnswerReason::NotRelevant)
    }
}

/// Returns the largest share of the question's content words that one hit holds; nothing for a question without any.
fn coverage(question: &str, hits: &[Hit]) -> Option<f64> {
    let wanted = content_words(question);
    if wanted.is_empty() {
        return None;
    }
    let share = |hit: &Hit| {
        let mut text = hit.title.clone().unwrap_or_default();
        let headings = hit.heading_path.iter().map(String::as_str);
        for part in headings.chain([hit.passage().text]) {
            text.push(' ');
            text.push_str(part);
        }
        wanted.intersection(&content_words(&text)).count() as f64 / wanted.len() as f64
    };
    hits.iter().map(share).reduce(f64::max)
}

/// Returns a sentence for people: that there is no answer, and why.
pub fn no_answer_text(reason: NoAnswerReason) -> &'static str {
    match reason {
        NoAnswerReason::EmptyKnowledgeBase => "There is no answer: the knowledge base holds no documents.",
        NoAnswerReason::NoResults => {
            "The knowledge base does not hold an answer: no passage passes the filter and the threshold."
        }
        NoAnswerReason::NotRelevant => {
            "The knowledge base does not hold an answer: nothing that was found is about this question."
        }
        NoAnswerReason::ModelDeclined => {
            "The knowledge base does not hold an answer: the language model found none in the passages."
        }
        NoAnswerReason::NotSupported => {
            "There is no reliable answer: nothing that the language model wrote is supported by a passage."
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generate::fixture::hit;
    use crate::retrieve::LegScore;

    fn check(question: &str, text: &str, cosine: Option<f64>, expected: Result<(), NoAnswerReason>) {
        let mut found = hit("d", 0, text);
        found.cosine = cosine.map(|raw| LegScore {
            rank: Some(1),
            raw,
            normalized: raw,
        });
        assert_eq!(relevance(question, &[found]), expected, "{question} {text} {cosine:?}");
    }

    #[test]
    fn either_sign_makes_hits_relevant() {
        let unrelated = Err(NoAnswerReason::NotRelevant);
        check("Who built the tower?", "Eiffel had the tower built.", Some(0.1), Ok(()));
        check("Who built the tower?", "Es war Gustave Eiffel.", Some(0.6), Ok(()));
        check("Who built the tower?", "Bread is baked.", Some(0.1), unrelated);
        check("Who built the tower?", "Bread is baked.", None, unrelated);
        check("Who built the tower?", "They build towers.", None, Ok(()));
        check("Who was it?", "Bread is baked.", None, Ok(()));
        check("Who was it?", "Bread is baked.", Some(0.1), unrelated);
    }

    #[test]
    fn no_hits_are_no_results() {
        assert_eq!(relevance("Why?", &[]), Err(NoAnswerReason::NoResults));
    }
}
