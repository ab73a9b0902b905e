//! Attributes of a document, for filters.

use std::collections::BTreeMap;
use std::fmt;

use super::Date;

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
    /// An instant.
    Date(Date),
    /// A list of finite numbers.
    NumberList(Vec<f64>),
}

impl MetadataValue {
    /// Returns its type.
    pub fn kind(&self) -> AttributeType {
        match self {
            Self::String(_) => AttributeType::String,
            Self::Number(_) => AttributeType::Number,
            Self::Boolean(_) => AttributeType::Boolean,
            Self::StringList(_) => AttributeType::StringList,
            Self::Date(_) => AttributeType::Date,
            Self::NumberList(_) => AttributeType::NumberList,
        }
    }

    /// Returns the strings of a string or a list of them.
    pub fn strings(&self) -> &[String] {
        match self {
            Self::String(string) => std::slice::from_ref(string),
            Self::StringList(list) => list,
            _ => &[],
        }
    }

    /// Returns the numbers of a number or a list of them.
    pub fn numbers(&self) -> &[f64] {
        match self {
            Self::Number(number) => std::slice::from_ref(number),
            Self::NumberList(list) => list,
            _ => &[],
        }
    }

    /// Returns the number of members, if it is a list.
    pub fn members(&self) -> Option<usize> {
        match self {
            Self::StringList(list) => Some(list.len()),
            Self::NumberList(list) => Some(list.len()),
            _ => None,
        }
    }
}

/// Type of an attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AttributeType {
    /// A string.
    String,
    /// A finite number.
    Number,
    /// A truth value.
    Boolean,
    /// An instant.
    Date,
    /// A list of strings.
    StringList,
    /// A list of finite numbers.
    NumberList,
}

impl AttributeType {
    /// All types.
    pub const ALL: [Self; 6] = [
        Self::String,
        Self::Number,
        Self::Boolean,
        Self::Date,
        Self::StringList,
        Self::NumberList,
    ];

    /// Returns its name as people and files write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Number => "number",
            Self::Boolean => "boolean",
            Self::Date => "date",
            Self::StringList => "string_list",
            Self::NumberList => "number_list",
        }
    }

    /// Returns the type of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// Its name.
impl fmt::Display for AttributeType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
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
        if let Some(count) = value.members()
            && count > MAX_LIST_MEMBERS
        {
            return Err(InvalidMetadata::LongList {
                key: key.clone(),
                count,
            });
        }
        if !value.numbers().iter().all(|number| number.is_finite()) {
            return Err(InvalidMetadata::NotFinite { key: key.clone() });
        }
        if let Some(long) = value.strings().iter().find(|string| string.len() > MAX_STRING_BYTES) {
            return Err(InvalidMetadata::LongString {
                key: key.clone(),
                bytes: long.len(),
            });
        }
    }
    Ok(())
}
