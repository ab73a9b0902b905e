//! Attributes of a document, for filters.

use std::collections::BTreeMap;

/// Most attributes of a document.
pub const MAX_ATTRIBUTES: usize = 50;
/// Longest key in bytes.
pub const MAX_KEY_BYTES: usize = 100;
/// Longest string in bytes, in a list too.
pub const MAX_STRING_BYTES: usize = 2_048;
/// Most members of a list.
pub const MAX_LIST_MEMBERS: usize = 100;

/// Attributes by key.
pub type Metadata = BTreeMap<String, MetadataValue>;

/// One attribute's value.
#[derive(Debug, Clone, PartialEq)]
pub enum MetadataValue {
    /// A string.
    String(String),
    /// A finite number.
    Number(f64),
    /// A truth value.
    Boolean(bool),
    /// A list of strings.
    StringList(Vec<String>),
}

/// Why attributes are refused.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum InvalidMetadata {
    /// There are too many.
    #[error("metadata holds at most {MAX_ATTRIBUTES} attributes, this one has {count}")]
    TooMany {
        /// How many there are.
        count: usize,
    },
    /// A key is empty or too long.
    #[error("a metadata key has 1 to {MAX_KEY_BYTES} bytes, `{key}` has {}", key.len())]
    Key {
        /// The key.
        key: String,
    },
    /// A string is too long.
    #[error("metadata strings have at most {MAX_STRING_BYTES} bytes, one of `{key}` has {bytes}")]
    LongString {
        /// The key.
        key: String,
        /// The string's length in bytes.
        bytes: usize,
    },
    /// A list is too long.
    #[error("metadata lists have at most {MAX_LIST_MEMBERS} members, `{key}` has {count}")]
    LongList {
        /// The key.
        key: String,
        /// The list's length.
        count: usize,
    },
    /// A number is not finite.
    #[error("metadata numbers are finite, `{key}` is not")]
    NotFinite {
        /// The key.
        key: String,
    },
}

/// Checks attributes against the limits above.
pub fn check(metadata: &Metadata) -> Result<(), InvalidMetadata> {
    if metadata.len() > MAX_ATTRIBUTES {
        return Err(InvalidMetadata::TooMany { count: metadata.len() });
    }
    for (key, value) in metadata {
        if key.is_empty() || key.len() > MAX_KEY_BYTES {
            return Err(InvalidMetadata::Key { key: key.clone() });
        }
        let strings = match value {
            MetadataValue::String(string) => std::slice::from_ref(string),
            MetadataValue::StringList(list) if list.len() > MAX_LIST_MEMBERS => {
                return Err(InvalidMetadata::LongList {
                    key: key.clone(),
                    count: list.len(),
                });
            }
            MetadataValue::StringList(list) => list.as_slice(),
            MetadataValue::Number(number) if !number.is_finite() => {
                return Err(InvalidMetadata::NotFinite { key: key.clone() });
            }
            MetadataValue::Number(_) | MetadataValue::Boolean(_) => &[],
        };
        if let Some(long) = strings.iter().find(|string| string.len() > MAX_STRING_BYTES) {
            return Err(InvalidMetadata::LongString {
                key: key.clone(),
                bytes: long.len(),
            });
        }
    }
    Ok(())
}
