//! What a message must be, as the grammar of its whole text.
//!
//! ```text
//! a call:  <tool_call>\n{"name": "...", "arguments": {...}}\n</tool_call>      calls: joined by \n
//! ```

use llguidance::JsonCompileOptions;
use llguidance::api::{GrammarWithLexer, TopLevelGrammar};
use serde_json::Value;

use super::schema;
use super::{ConstraintPart, Shape};
use crate::generate::tool::{CALL_END, CALL_MARK, Tool, ToolChoice};

/// Most calls of one message: a small model may not know when to end.
const MAX_CALLS: usize = 16;
/// What the shape of a message is called in a grammar.
const SHAPE: &str = "shape";

/// What a message must be.
#[derive(Debug)]
pub(in crate::generate) struct Grammar {
    shape: Option<GrammarWithLexer>,
    /// With their places among all tools.
    tools: Vec<(usize, GrammarWithLexer, String)>,
    choice: ToolChoice,
    /// A part that cannot be kept to, and why.
    flaw: Option<(ConstraintPart, String)>,
}

impl Grammar {
    /// Returns the grammar of a message; nothing where it may be anything.
    pub(in crate::generate) fn of(shape: Option<&Shape>, tools: &[Tool], choice: &ToolChoice) -> Option<Self> {
        if shape.is_none() && tools.is_empty() {
            return None;
        }
        let is_offered = |tool: &Tool| !matches!(choice, ToolChoice::Tool(name) if *name != tool.name);
        let tools = tools.iter().enumerate().filter(|(_, tool)| is_offered(tool));
        let mut flaw = None;
        let mut prepared = |part, schema: &Value| {
            schema::prepared(schema).unwrap_or_else(|reason| {
                flaw.get_or_insert((part, reason));
                Value::Bool(true)
            })
        };
        let shape = shape.map(|shape| match shape {
            Shape::Json { schema, .. } => of_schema(SHAPE, prepared(ConstraintPart::Shape, schema)),
            Shape::Regex(pattern) => of_pattern(pattern),
        });
        let tools = tools.map(|(at, tool)| {
            let schema = prepared(ConstraintPart::Tool(at), &tool.schema);
            (at, of_schema(&format!("tool{at}"), schema), tool.name.clone())
        });
        let tools = tools.collect();
        Some(Self {
            shape,
            tools,
            choice: choice.clone(),
            flaw,
        })
    }

    /// Returns a part that cannot be kept to, and why; nothing where all can.
    pub(super) fn flaw(&self) -> Option<&(ConstraintPart, String)> {
        self.flaw.as_ref()
    }

    /// Returns the whole grammar.
    pub(super) fn whole(&self) -> TopLevelGrammar {
        let mut grammars: Vec<GrammarWithLexer> = self.shape.iter().cloned().collect();
        if !self.tools.is_empty() {
            grammars.insert(0, GrammarWithLexer::from_lark(self.lark()));
            grammars.extend(self.tools.iter().map(|(_, grammar, _)| grammar.clone()));
        }
        TopLevelGrammar {
            grammars,
            max_tokens: None,
        }
    }

    /// Returns each part by itself.
    pub(super) fn parts(&self) -> Vec<(ConstraintPart, TopLevelGrammar)> {
        let shape = self.shape.iter().map(|shape| (ConstraintPart::Shape, shape));
        let tools = self
            .tools
            .iter()
            .map(|(at, grammar, _)| (ConstraintPart::Tool(*at), grammar));
        let alone = |(part, grammar): (ConstraintPart, &GrammarWithLexer)| {
            (part, TopLevelGrammar::from_grammar(grammar.clone()))
        };
        shape.chain(tools).map(alone).collect()
    }

    fn lark(&self) -> String {
        let mark = quoted(CALL_MARK);
        let further = |more: usize| format!("({} call){{0,{more}}}", quoted(&format!("\n{CALL_MARK}")));
        let calls = format!("{mark} call {}", further(MAX_CALLS - 1));
        let start = match (&self.choice, &self.shape) {
            (ToolChoice::Tool(_), _) => format!("start: {mark} call\n"),
            (ToolChoice::Any, _) => format!("start: {calls}\n"),
            (ToolChoice::Auto, Some(_)) => format!("start: @{SHAPE} | {calls}\n"),
            (ToolChoice::Auto, None) => format!(
                "start: \"\" | TEXT | until_mark call {}\n\
                 until_mark[lazy]: /(?s:.*){CALL_MARK}/\n\
                 TEXT: /(?s:.+)/ & ~/(?s:.*){CALL_MARK}(?s:.*)/\n",
                further(MAX_CALLS - 1)
            ),
        };
        let calls = self.tools.iter().map(|(at, _, name)| {
            let named = quoted(&format!("{name}\", \"arguments\": "));
            format!("{named} @tool{at}")
        });
        let calls: Vec<String> = calls.collect();
        format!(
            "{start}call: {} ({}) {}\n",
            quoted("\n{\"name\": \""),
            calls.join(" | "),
            quoted(&format!("}}\n{CALL_END}"))
        )
    }
}

fn of_pattern(pattern: &str) -> GrammarWithLexer {
    GrammarWithLexer {
        name: Some(SHAPE.to_owned()),
        ..GrammarWithLexer::from_regex(pattern)
    }
}

/// Between the parts of JSON stands one space at most, so that no model loses itself in blanks.
fn of_schema(name: &str, mut schema: Value) -> GrammarWithLexer {
    let options = JsonCompileOptions {
        item_separator: ", ".to_owned(),
        key_separator: ": ".to_owned(),
        whitespace_flexible: false,
        ..JsonCompileOptions::default()
    };
    if schema.is_object() {
        options.apply_to(&mut schema);
    }
    GrammarWithLexer {
        name: Some(name.to_owned()),
        ..GrammarWithLexer::from_json_schema(schema)
    }
}

/// Returns a text as the grammar's notation quotes it, which is that of JSON.
fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}
