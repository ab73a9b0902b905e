//! Declared attributes, both ways.

use super::{known, required};
use crate::document::metadata::AttributeType;
use crate::document::schema::{DeclaredAttribute, MetadataSchema};
use crate::knowledge_base::Error;
use crate::service::pb;

const SCHEMA: &str = "metadata_schema";

/// Returns declared attributes. Limits are the facade's to judge.
pub(super) fn metadata_schema(wire: pb::MetadataSchema) -> Result<MetadataSchema, Error> {
    let declared = |(at, attribute): (usize, pb::MetadataAttribute)| {
        let field = format!("{SCHEMA}.attributes[{at}]");
        Ok(DeclaredAttribute {
            key: required(&format!("{field}.key"), attribute.key)?,
            kind: kind(&format!("{field}.type"), attribute.r#type)?,
            description: attribute.description,
        })
    };
    let attributes = wire.attributes.into_iter().enumerate().map(declared);
    Ok(MetadataSchema {
        attributes: attributes.collect::<Result<_, Error>>()?,
        is_strict: wire.strict,
    })
}

/// Returns declared attributes for the wire; nothing when none are.
pub(super) fn wire_metadata_schema(schema: MetadataSchema) -> Option<pb::MetadataSchema> {
    if schema.is_empty() {
        return None;
    }
    let declared = |attribute: DeclaredAttribute| pb::MetadataAttribute {
        key: attribute.key,
        r#type: wire_kind(attribute.kind).into(),
        description: attribute.description,
    };
    Some(pb::MetadataSchema {
        attributes: schema.attributes.into_iter().map(declared).collect(),
        strict: schema.is_strict,
    })
}

pub(super) fn kind(field: &str, number: i32) -> Result<AttributeType, Error> {
    Ok(match known(field, number)? {
        pb::MetadataType::Unspecified => return Err(Error::invalid(field, "is required, but absent")),
        pb::MetadataType::String => AttributeType::String,
        pb::MetadataType::Number => AttributeType::Number,
        pb::MetadataType::Boolean => AttributeType::Boolean,
        pb::MetadataType::Date => AttributeType::Date,
        pb::MetadataType::StringList => AttributeType::StringList,
        pb::MetadataType::NumberList => AttributeType::NumberList,
    })
}

fn wire_kind(kind: AttributeType) -> pb::MetadataType {
    match kind {
        AttributeType::String => pb::MetadataType::String,
        AttributeType::Number => pb::MetadataType::Number,
        AttributeType::Boolean => pb::MetadataType::Boolean,
        AttributeType::Date => pb::MetadataType::Date,
        AttributeType::StringList => pb::MetadataType::StringList,
        AttributeType::NumberList => pb::MetadataType::NumberList,
    }
}
