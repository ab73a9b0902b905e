//! What each comparison says of one attribute, and which types it can be asked of.

use crate::document::metadata::{AttributeType, MetadataValue};

/// A comparison; the negative ones are the opposites of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comparison {
    Equals,
    GreaterThan,
    GreaterThanOrEquals,
    LessThan,
    LessThanOrEquals,
    In,
    StartsWith,
    ListContains,
    StringContains,
}

impl Comparison {
    /// Returns its name in a request.
    pub(super) fn name(self, is_negative: bool) -> &'static str {
        match (self, is_negative) {
            (Self::Equals, false) => "equals",
            (Self::Equals, true) => "not_equals",
            (Self::GreaterThan, _) => "greater_than",
            (Self::GreaterThanOrEquals, _) => "greater_than_or_equals",
            (Self::LessThan, _) => "less_than",
            (Self::LessThanOrEquals, _) => "less_than_or_equals",
            (Self::In, false) => "in",
            (Self::In, true) => "not_in",
            (Self::StartsWith, _) => "starts_with",
            (Self::ListContains, _) => "list_contains",
            (Self::StringContains, _) => "string_contains",
        }
    }

    /// Returns the types of attributes that can be compared with a value of this type; none when the value itself is of
    /// a wrong type.
    pub(super) fn comparable(self, value: AttributeType) -> &'static [AttributeType] {
        use AttributeType as T;
        match (self, value) {
            (Self::Equals | Self::StringContains | Self::StartsWith, T::String) | (Self::In, T::StringList) => {
                &[T::String, T::StringList]
            }
            (Self::Equals, T::Number) | (Self::In, T::NumberList) => &[T::Number, T::NumberList],
            (Self::Equals, T::Boolean) => &[T::Boolean],
            (Self::Equals, T::StringList) | (Self::ListContains, T::String) => &[T::StringList],
            (Self::Equals, T::NumberList) | (Self::ListContains, T::Number) => &[T::NumberList],
            (_, T::Number) if self.is_range() => &[T::Number, T::NumberList],
            (_, T::Date) if self.is_range() || self == Self::Equals => &[T::Date],
            _ => &[],
        }
    }

    /// Returns the values that it takes, for people.
    pub(super) fn values(self) -> &'static str {
        match self {
            Self::Equals => "any value",
            Self::In => "a list of strings or numbers",
            Self::StartsWith | Self::StringContains => "a string",
            Self::ListContains => "a string or a number",
            _ => "a number or a date",
        }
    }

    fn is_range(self) -> bool {
        matches!(
            self,
            Self::GreaterThan | Self::GreaterThanOrEquals | Self::LessThan | Self::LessThanOrEquals
        )
    }

    /// Returns whether it holds of an attribute.
    pub(super) fn holds(self, found: &MetadataValue, wanted: &MetadataValue) -> bool {
        if !self.comparable(wanted.kind()).contains(&found.kind()) {
            return false;
        }
        match (found, wanted) {
            (_, MetadataValue::StringList(list)) if self == Self::In => {
                found.strings().iter().any(|string| list.contains(string))
            }
            (_, MetadataValue::NumberList(list)) if self == Self::In => {
                found.numbers().iter().any(|number| list.contains(number))
            }
            (_, MetadataValue::String(wanted)) => found
                .strings()
                .iter()
                .any(|string| self.holds_of_string(string, wanted)),
            (_, MetadataValue::Number(wanted)) => found.numbers().iter().any(|number| self.holds_of(number, wanted)),
            (MetadataValue::Date(found), MetadataValue::Date(wanted)) => self.holds_of(found, wanted),
            _ => found == wanted,
        }
    }

    /// Returns whether it holds of a string.
    pub(super) fn holds_of_string(self, found: &str, wanted: &str) -> bool {
        match self {
            Self::StartsWith => found.starts_with(wanted),
            Self::StringContains => found.contains(wanted),
            _ => found == wanted,
        }
    }

    /// Returns whether it holds of a number or a date.
    pub(super) fn holds_of<T: PartialOrd>(self, found: &T, wanted: &T) -> bool {
        match self {
            Self::GreaterThan => found > wanted,
            Self::GreaterThanOrEquals => found >= wanted,
            Self::LessThan => found < wanted,
            Self::LessThanOrEquals => found <= wanted,
            _ => found == wanted,
        }
    }
}
