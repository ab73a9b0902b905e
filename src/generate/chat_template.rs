//! The chat format that a model was trained on: messages to one text.

use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, Error, ErrorKind, context};
use minijinja_contrib::pycompat::unknown_method_callback;

use super::{Message, Role};

/// `ChatML`, for models that name no format of their own.
const CHAT_ML: &str = include_str!("prompts/chatml.md");
const NAME: &str = "chat";

/// A model's chat template.
pub(super) struct ChatTemplate {
    environment: Environment<'static>,
    bos: String,
    eos: String,
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
        environment.add_template_owned(NAME, template.unwrap_or(CHAT_ML).to_owned())?;
        Ok(Self {
            environment,
            bos: bos.to_owned(),
            eos: eos.to_owned(),
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
