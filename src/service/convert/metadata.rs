//! Attributes of documents, both ways.

use std::collections::{BTreeMap, HashMap};

use crate::document::Date;
use crate::document::metadata::{Metadata, MetadataValue, check};
use crate::knowledge_base::Error;
use crate::service::pb;
use crate::service::pb::metadata_value::Kind;

/// Returns attributes within their limits.
pub(super) fn attributes(field: &str, wire: HashMap<String, pb::MetadataValue>) -> Result<Metadata, Error> {
    let metadata = wire
        .into_iter()
        .map(|(key, attribute)| {
            let path = format!("{field}[{key}]");
            value(&path, attribute).map(|value| (key, value))
        })
        .collect::<Result<Metadata, Error>>()?;
    check(&metadata).map_err(|invalid| Error::invalid(field, invalid.to_string()))?;
    Ok(metadata)
}

/// Returns one attribute's value.
pub(super) fn value(field: &str, wire: pb::MetadataValue) -> Result<MetadataValue, Error> {
    match wire.kind {
        Some(Kind::StringValue(string)) => Ok(MetadataValue::String(string)),
        Some(Kind::NumberValue(number)) => Ok(MetadataValue::Number(number)),
        Some(Kind::BooleanValue(truth)) => Ok(MetadataValue::Boolean(truth)),
        Some(Kind::StringListValue(list)) => Ok(MetadataValue::StringList(list.values)),
        Some(Kind::TimestampValue(time)) => date(&format!("{field}.timestamp_value"), time).map(MetadataValue::Date),
        Some(Kind::NumberListValue(list)) => Ok(MetadataValue::NumberList(list.values)),
        None => Err(Error::invalid(
            format!("{field}.kind"),
            "exactly one kind must be set, none is",
        )),
    }
}

fn date(field: &str, time: prost_types::Timestamp) -> Result<Date, Error> {
    let nanos = u32::try_from(time.nanos).ok();
    let date = nanos.and_then(|nanos| Date::new(time.seconds, nanos));
    date.ok_or_else(|| {
        let reason = format!(
            "must be an instant of the years 1 to 9999, is {} seconds and {} nanoseconds after 1970 began",
            time.seconds, time.nanos
        );
        Error::invalid(field, reason)
    })
}

/// Returns attributes for the wire.
pub(super) fn wire_attributes(metadata: Metadata) -> HashMap<String, pb::MetadataValue> {
    metadata
        .into_iter()
        .map(|(key, value)| (key, wire_value(value)))
        .collect()
}

pub(super) fn wire_value(value: MetadataValue) -> pb::MetadataValue {
    let kind = match value {
        MetadataValue::String(string) => Kind::StringValue(string),
        MetadataValue::Number(number) => Kind::NumberValue(number),
        MetadataValue::Boolean(truth) => Kind::BooleanValue(truth),
        MetadataValue::StringList(values) => Kind::StringListValue(pb::StringList { values }),
        MetadataValue::Date(date) => Kind::TimestampValue(prost_types::Timestamp {
            seconds: date.seconds(),
            // Below a billion.
            nanos: date.nanos().cast_signed(),
        }),
        MetadataValue::NumberList(values) => Kind::NumberListValue(pb::NumberList { values }),
    };
    pb::MetadataValue { kind: Some(kind) }
}

/// Returns labels in order.
pub(super) fn tags(wire: HashMap<String, String>) -> BTreeMap<String, String> {
    wire.into_iter().collect()
}
