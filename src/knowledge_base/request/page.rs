//! Lists, page by page.

/// Most entries of a page.
pub const MAX_PAGE_SIZE: usize = 1_000;
/// Entries of a page when the caller does not say.
pub const DEFAULT_PAGE_SIZE: usize = 100;

/// Asks for a page of a list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PageRequest {
    /// Entries wanted; 0 takes [`DEFAULT_PAGE_SIZE`].
    pub size: usize,
    /// Where to go on; empty at the start.
    pub token: String,
}

/// A page of a list.
#[derive(Debug, Clone, PartialEq)]
pub struct Page<T> {
    /// The entries.
    pub items: Vec<T>,
    /// Token of the next page; empty on the last.
    pub next_token: String,
}
