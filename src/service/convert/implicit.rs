//! Filters that are derived from questions: how, off the wire; what came of it, onto it.

use super::filter::wire_filter;
use super::hit::usage;
use super::query::SEARCH_PATH;
use super::required;
use super::schema::kind;
use crate::document::schema::DeclaredAttribute;
use crate::knowledge_base::{Error, ImplicitFilter, RejectedClause};
use crate::retrieve::ImplicitFilterOptions;
use crate::service::pb;

/// Returns how a filter is to be derived; its bounds are the query's to check.
pub(super) fn implicit_filter_options(wire: pb::ImplicitFilterConfiguration) -> Result<ImplicitFilterOptions, Error> {
    let attribute = |(at, attribute): (usize, pb::ImplicitFilterAttribute)| {
        let field = format!("{SEARCH_PATH}.implicit_filter_configuration.metadata_attributes[{at}]");
        Ok(DeclaredAttribute {
            key: required(&format!("{field}.key"), attribute.key)?,
            kind: kind(&format!("{field}.type"), attribute.r#type)?,
            description: attribute.description,
        })
    };
    let attributes = wire.metadata_attributes.into_iter().enumerate().map(attribute);
    Ok(ImplicitFilterOptions {
        model_id: wire.model_id,
        attributes: attributes.collect::<Result<_, Error>>()?,
    })
}

/// Returns what was derived.
pub(super) fn implicit_filter(derived: ImplicitFilter) -> pb::ImplicitFilter {
    let rejected = derived
        .rejected
        .into_iter()
        .map(|clause: RejectedClause| pb::RejectedClause {
            text: clause.text,
            reason: clause.reason,
        });
    pb::ImplicitFilter {
        filter: derived.filter.map(wire_filter),
        model_id: derived.model_id,
        rejected: rejected.collect(),
        usage: Some(usage(derived.input_tokens, 0)),
    }
}
