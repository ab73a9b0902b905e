//! The chat format that a model was trained on: messages to one text.

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, Serde};
use minijinja::{Environment, Error, ErrorKind, Value, context};
use minijinja_contrib::pycompat::unknown_method_callback;

use super::json_text::{json_line, json_lines};
use super::tool::CALL_MARK;
use super::{Message, Role};

/// `ChatML`, for models that name no format of their own.
const CHAT_ML: &str = include_str!("prompts/chatml.md");
const NAME: &str = "chat";
/// Begins a call in templates whose calls are not JSON.
const OTHER_CALL: &str = "<function=";

/// A model's chat template.
pub(super) struct ChatTemplate {
    environment: Environment<'static>,
    bos: String,
    eos: String,
    has_tools: bool,
}

impl ChatTemplate {
    /// Parses a template; `ChatML` when there is none. `bos` and `eos` are the tokens that templates may name.
    pub(super) fn parse(template: Option<&str>, bos: &str, eos: &str) -> Result<Self, Error> {
        let mut environment = Environment::new();
        let whitespace = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?;
        environment.set_syntax(whitespace);
        environment.set_unknown_method_callback(unknown_method_callback);
        environment.add_function("raise_exception", |reason: String| -> Result<String, Error> {
            Err(Error::new(ErrorKind::InvalidOperation, reason))
        });
        // Templates expect Python's JSON, without escapes for HTML.
        environment.add_filter("tojson", |value: Value, options: Kwargs| -> Result<String, Error> {
            let value =
                serde_json::to_value(&value).map_err(|e| Error::new(ErrorKind::BadSerialization, e.to_string()))?;
            let indent: Option<usize> = options.get("indent")?;
            Ok(indent.map_or_else(|| json_line(&value), |indent| json_lines(&value, indent)))
        });
        environment.add_template_owned(NAME, template.unwrap_or(CHAT_ML).to_owned())?;
        let has_tools = template.is_some_and(|source| source.contains(CALL_MARK) && !source.contains(OTHER_CALL))
            && environment
                .get_template(NAME)?
                .undeclared_variables(false)
                .contains("tools");
        Ok(Self {
            has_tools,
            environment,
            bos: bos.to_owned(),
            eos: eos.to_owned(),
        })
    }

    /// Returns whether it has a form for tools, with calls as JSON between marks.
    pub(super) fn has_tools(&self) -> bool {
        self.has_tools
    }

    /// Renders messages and tools that are in the form of templates already.
    pub(super) fn render_with_tools(
        &self,
        messages: &serde_json::Value,
        tools: &serde_json::Value,
    ) -> Result<String, Error> {
        self.environment.get_template(NAME)?.render(context! {
            messages => Value::from(Serde(messages)),
            tools => Value::from(Serde(tools)),
            add_generation_prompt => true,
            bos_token => self.bos.as_str(),
            eos_token => self.eos.as_str(),
        })
    }

    /// Renders messages, ending where the assistant begins to speak.
    pub(super) fn render(&self, messages: &[Message]) -> Result<String, Error> {
        let messages: Vec<_> = messages
            .iter()
            .map(|message| context! { role => name_of(message.role), content => message.content.as_str() })
            .collect();
        self.environment.get_template(NAME)?.render(context! {
            messages,
            add_generation_prompt => true,
            bos_token => self.bos.as_str(),
            eos_token => self.eos.as_str(),
        })
    }
}

fn name_of(role: Role) -> &'static str {
    match role {
        Role::System => "system",
        Role::User => "user",
        Role::Assistant => "assistant",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(template: Option<&str>, expected: Result<&str, &str>) {
        let messages = [
            Message {
                role: Role::System,
                content: "Be brief.".into(),
            },
            Message {
                role: Role::User,
                content: "  Why? {{ 1 }} ".into(),
            },
        ];
        let rendered = ChatTemplate::parse(template, "<s>", "</s>").and_then(|template| template.render(&messages));
        match (rendered, expected) {
            (Ok(text), Ok(expected)) => assert_eq!(text, expected),
            (Err(error), Err(part)) => assert!(format!("{error:#}").contains(part), "{error:#}"),
            (got, _) => panic!("{got:?}"),
        }
    }

    #[test]
    fn templates_with_tools_are_known() {
        let known = "{% if tools %}{{ tools | tojson }}<tool_call>{% endif %}{% for m in messages %}{{ m.content }}\
                     {% for call in m.tool_calls %}{{ call.function.arguments | tojson }}{% endfor %}{% endfor %}";
        let has_tools = |template| ChatTemplate::parse(template, "", "").expect("it parses").has_tools();
        assert!(has_tools(Some(known)));
        for other in [
            None,
            Some("{{ messages }}"),
            Some("{{ tools }}"),
            Some("{{ tools }}<tool_call><function=a>"),
        ] {
            assert!(!has_tools(other), "{other:?}");
        }
        let template = ChatTemplate::parse(Some(known), "", "").expect("it parses");
        let call = serde_json::json!({ "function": { "name": "z", "arguments": { "b": "<|x|>", "a": 1 } } });
        let messages = serde_json::json!([{ "role": "assistant", "content": "Now: ", "tool_calls": [call] }]);
        let tools = serde_json::json!([{ "type": "function", "function": { "name": "z" } }]);
        let text = template.render_with_tools(&messages, &tools).expect("it renders");
        assert_eq!(
            text,
            r#"[{"type": "function", "function": {"name": "z"}}]<tool_call>Now: {"b": "\u003c|x|>", "a": 1}"#
        );
    }

    #[test]
    fn messages_render_in_the_models_format() {
        check(
            None,
            Ok(
                "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n  Why? {{ 1 }} <|im_end|>\n<|im_start|>assistant\n",
            ),
        );
        check(
            Some(
                "{{ bos_token }}{% for m in messages %}{{ m['role'].upper() + ':' + m.content.strip() }}\n{% endfor %}",
            ),
            Ok("<s>SYSTEM:Be brief.\nUSER:Why? {{ 1 }}\n"),
        );
        check(
            Some("{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system role') }}{% endif %}"),
            Err("no system role"),
        );
        check(Some("{% if %}"), Err("syntax error"));
    }
}
