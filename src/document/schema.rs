//! Attributes that a knowledge base declares.

use super::metadata::{AttributeType, MAX_KEY_BYTES, Metadata};

/// Most attributes that are declared.
pub const MAX_DECLARED: usize = 200;
/// Longest description of an attribute in bytes.
pub const MAX_DESCRIPTION_BYTES: usize = 1_000;

/// A declared attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeclaredAttribute {
    /// Its name.
    pub key: String,
    /// The type that it has in every document that comes from now on.
    pub kind: AttributeType,
    /// What it says of a document, in words for people and language models; may be empty.
    pub description: String,
}

/// The attributes that a knowledge base declares; the default declares none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MetadataSchema {
    /// The attributes, each name once.
    pub attributes: Vec<DeclaredAttribute>,
    /// Whether documents may have no others.
    pub is_strict: bool,
}

/// Why a schema is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSchema {
    /// There are too many attributes.
    #[error("at most {MAX_DECLARED} attributes are declared, there are {count}")]
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
    /// A key stands twice.
    #[error("`{key}` is declared twice")]
    Twice {
        /// The key.
        key: String,
    },
    /// A description is too long.
    #[error("a description has at most {MAX_DESCRIPTION_BYTES} bytes, that of `{key}` has {bytes}")]
    LongDescription {
        /// The key.
        key: String,
        /// The length in bytes.
        bytes: usize,
    },
}

/// How the attributes of a document differ from what is declared.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Undeclared {
    /// An attribute has another type.
    #[error("metadata `{key}` is declared as {declared}, the document has a {found}")]
    OtherType {
        /// The key.
        key: String,
        /// The declared type.
        declared: AttributeType,
        /// The type in the document.
        found: AttributeType,
    },
    /// An attribute is not declared, and no others may be there.
    #[error("metadata `{key}` is not declared, and the knowledge base takes declared attributes only")]
    Unknown {
        /// The key.
        key: String,
    },
}

impl MetadataSchema {
    /// Returns whether it declares and forbids nothing.
    pub fn is_empty(&self) -> bool {
        self.attributes.is_empty() && !self.is_strict
    }

    /// Returns the declared type of an attribute.
    pub fn kind(&self, key: &str) -> Option<AttributeType> {
        let declared = self.attributes.iter().find(|attribute| attribute.key == key);
        declared.map(|attribute| attribute.kind)
    }

    /// Fails when it is not within all limits.
    pub fn check(&self) -> Result<(), InvalidSchema> {
        if self.attributes.len() > MAX_DECLARED {
            return Err(InvalidSchema::TooMany {
                count: self.attributes.len(),
            });
        }
        for (at, DeclaredAttribute { key, description, .. }) in self.attributes.iter().enumerate() {
            let key = key.clone();
            if key.is_empty() || key.len() > MAX_KEY_BYTES {
                return Err(InvalidSchema::Key { key });
            }
            if self.attributes[..at].iter().any(|earlier| earlier.key == key) {
                return Err(InvalidSchema::Twice { key });
            }
            if description.len() > MAX_DESCRIPTION_BYTES {
                let bytes = description.len();
                return Err(InvalidSchema::LongDescription { key, bytes });
            }
        }
        Ok(())
    }

    /// Fails when the attributes of a document are not as declared.
    pub fn check_metadata(&self, metadata: &Metadata) -> Result<(), Undeclared> {
        for (key, value) in metadata {
            let (key, found) = (key.clone(), value.kind());
            match self.kind(&key) {
                Some(declared) if declared != found => return Err(Undeclared::OtherType { key, declared, found }),
                None if self.is_strict => return Err(Undeclared::Unknown { key }),
                _ => {}
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::metadata::MetadataValue;

    fn declared(key: &str, kind: AttributeType) -> DeclaredAttribute {
        DeclaredAttribute {
            key: key.to_owned(),
            kind,
            description: String::new(),
        }
    }

    #[test]
    fn documents_are_held_to_what_is_declared() {
        let mut schema = MetadataSchema {
            attributes: vec![declared("year", AttributeType::Number)],
            is_strict: false,
        };
        let with = |key: &str, value| Metadata::from([(key.to_owned(), value)]);
        let year = with("year", MetadataValue::Number(2024.0));
        let text = with("year", MetadataValue::String("2024".to_owned()));
        let other = with("town", MetadataValue::Boolean(true));
        assert_eq!(schema.check_metadata(&year), Ok(()));
        assert_eq!(schema.check_metadata(&other), Ok(()));
        let error = schema.check_metadata(&text).expect_err("it has another type");
        assert_eq!(
            error.to_string(),
            "metadata `year` is declared as number, the document has a string"
        );
        schema.is_strict = true;
        assert_eq!(schema.check_metadata(&year), Ok(()));
        assert!(matches!(schema.check_metadata(&other), Err(Undeclared::Unknown { key }) if key == "town"));
    }

    #[test]
    fn schemas_beyond_limits_are_refused() {
        let schema = |attributes| MetadataSchema {
            attributes,
            is_strict: false,
        };
        let attribute = |key: &str| declared(key, AttributeType::Date);
        assert_eq!(schema(vec![attribute("a"), attribute("b")]).check(), Ok(()));
        let refused = |attributes, part: &str| {
            let error = schema(attributes).check().expect_err("it is refused").to_string();
            assert!(error.contains(part), "{error}");
        };
        refused(vec![attribute("a"), attribute("a")], "`a` is declared twice");
        refused(vec![attribute("")], "1 to 100 bytes");
        refused((0..201).map(|at| attribute(&at.to_string())).collect(), "there are 201");
        let mut long = attribute("a");
        long.description = "x".repeat(1_001);
        refused(vec![long], "that of `a` has 1001");
    }
}
