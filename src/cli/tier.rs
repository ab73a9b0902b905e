//! How soon an answer is wanted, as a flag.

use clap::ValueEnum;

use crate::service::pb;

/// A service tier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Tier {
    /// Before all others
    Priority,
    /// In its turn
    Default,
    /// When nobody else wants anything
    Flex,
}

impl Tier {
    /// Returns the number of the tier on the wire.
    pub(super) fn number(tier: Option<Self>) -> i32 {
        let tier = match tier {
            None => pb::ServiceTier::Unspecified,
            Some(Self::Priority) => pb::ServiceTier::Priority,
            Some(Self::Default) => pb::ServiceTier::Default,
            Some(Self::Flex) => pb::ServiceTier::Flex,
        };
        tier.into()
    }
}
