//! For whom work is done, and how soon it is wanted.

use std::sync::Arc;

/// How soon work is wanted, in the tiers of Amazon Bedrock. The first comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum ServiceTier {
    /// Before all else.
    Priority,
    /// In its turn.
    #[default]
    Default,
    /// When nobody else wants anything.
    Flex,
}

impl ServiceTier {
    /// All tiers, the first to be served first.
    pub const ALL: [Self; 3] = [Self::Priority, Self::Default, Self::Flex];
}

/// For whom a call is made, and what it waits for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Claim {
    /// Who shares with others what the machine can do; nothing for those who do not say.
    pub tenant: Option<Arc<str>>,
    /// How soon the work is wanted.
    pub tier: ServiceTier,
    /// Whether what comes first is of use before the rest has come.
    pub is_streamed: bool,
}
