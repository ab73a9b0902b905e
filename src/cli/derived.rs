//! What a language model made of a question: flags that ask for it, lines that tell it.

use super::json;
use super::text::one_line;
use crate::service::pb;

/// Reads `key:type` or `key:type:description`.
pub(super) fn parse_attribute(text: &str) -> Result<pb::ImplicitFilterAttribute, String> {
    let mut parts = text.splitn(3, ':');
    let (Some(key), Some(kind)) = (parts.next().filter(|key| !key.is_empty()), parts.next()) else {
        return Err("expected key:type or key:type:description, such as year:number".to_owned());
    };
    let kind = match kind {
        "string" => pb::MetadataType::String,
        "number" => pb::MetadataType::Number,
        "boolean" => pb::MetadataType::Boolean,
        "date" => pb::MetadataType::Date,
        "string_list" => pb::MetadataType::StringList,
        "number_list" => pb::MetadataType::NumberList,
        other => {
            return Err(format!(
                "`{other}` is no type: string, number, boolean, date, string_list, number_list"
            ));
        }
    };
    Ok(pb::ImplicitFilterAttribute {
        key: key.to_owned(),
        r#type: kind.into(),
        description: parts.next().unwrap_or_default().to_owned(),
    })
}

/// Returns what was derived, and what was not.
pub(super) fn lines(derived: &pb::ImplicitFilter) -> Vec<String> {
    let filter = match &derived.filter {
        Some(filter) => one_line(&json::filter(filter).to_string()),
        None => "none".to_owned(),
    };
    let rejected = derived.rejected.iter().map(|clause| {
        format!(
            "not derived: {}, because {}",
            one_line(&clause.text),
            one_line(&clause.reason)
        )
    });
    std::iter::once(format!("derived filter: {filter}"))
        .chain(rejected)
        .collect()
}

/// Returns what was searched for beside the question, as one line.
pub(super) fn parts(parts: &[String]) -> Option<String> {
    let quoted: Vec<String> = parts.iter().map(|part| format!("\"{}\"", one_line(part))).collect();
    (!quoted.is_empty()).then(|| format!("searched for too: {}", quoted.join(", ")))
}
