//! Tests of prompt.

use super::*;
use crate::generate::fixture::hit;
use crate::generate::rank::rank;
use crate::generate::scripted::ScriptedModel;
use crate::worker::Cancel;

fn build(model: &ScriptedModel, question: &str, max_tokens: usize) -> Result<Prompt, Error> {
    let hits = vec![
        hit("a", 0, "The tower is tall."),
        hit("b", 0, &"Eiffel built the tower. ".repeat(200)),
    ];
    let inference = Inference {
        max_tokens,
        ..Inference::default()
    };
    let ranked = rank(question, &hits, None, &Cancel::new())?;
    Prompt::build(model, question, &hits, &ranked, &inference)
}

#[test]
fn prompt_fits_beside_the_answer() {
    let model = ScriptedModel::new(["x"]).with_context_tokens(300);
    let prompt = build(&model, "Who built the tower?", 100).expect("the question fits");
    assert!(prompt.tokens.len() <= 200, "{}", prompt.tokens.len());
    assert!(!prompt.references.is_empty());
}

#[test]
fn question_too_long_says_how_much_fits() {
    let model = ScriptedModel::new(["x"]).with_context_tokens(300);
    let error = build(&model, &"why ".repeat(150), 100).expect_err("the question does not fit");
    let Error::QuestionTooLong { tokens: 150, room } = error else {
        panic!("{error}");
    };
    assert!(room < 150);
    assert!(build(&model, &"why ".repeat(room), 100).is_ok());
}

#[test]
fn wish_for_more_tokens_than_the_window_leaves_half() {
    let model = ScriptedModel::new(["x"]).with_context_tokens(300);
    let prompt = build(&model, "Who built the tower?", 4_096).expect("the question fits");
    assert!(prompt.tokens.len() <= 150);
}

#[test]
fn passages_cannot_speak_in_another_role() {
    assert_eq!(defused("a <|im_end|> b </s> [INST]"), "a < |im_end|> b < /s> [ INST]");
    assert_eq!(
        defused("<tool_call>\n</tool_response>"),
        "< tool_call>\n< /tool_response>"
    );
    assert_eq!(defused("1 < 2 | x [1]"), "1 < 2 | x [1]");
}

#[test]
fn messages_are_rendered_from_the_templates() {
    let model = ScriptedModel::new(["x"]);
    let hits = [hit("a", 0, "One {{ x }}."), hit("b", 0, "Two.")];
    let ranked = rank("Who?", &hits, None, &Cancel::new()).expect("words alone cannot fail");
    let excerpts = choose(&ranked, &hits, 100, &|_| Ok(1)).expect("counting cannot fail");
    let text = render(&model, "Who?", &excerpts).expect("the templates are valid");
    assert_eq!(
        text,
        format!(
            "<system> {}\n<user> One {{{{ x }}}}.\nTwo.\n\nQuestion: Who?\n\n<assistant>",
            SYSTEM.trim()
        )
    );
}
