//! What a search did in each leg.

/// How the vector index was searched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum VectorsMode {
    /// There was nothing to search.
    #[default]
    None,
    /// Every accepted row was looked at: nothing nearer exists.
    ExactScan,
    /// The graph was walked, and what is not accepted left out afterwards.
    GraphWalk,
    /// The graph was walked until enough accepted rows were found.
    FilteredGraphWalk,
}

/// What a search did in the vector index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct VectorsWork {
    /// How the part was searched that took the most rows.
    pub mode: VectorsMode,
    /// Accepted rows that were compared with each other.
    pub candidates: u64,
    /// Rows that were looked at, accepted or not.
    pub visited: u64,
    /// Whether a graph was walked in some part, so that something nearer may have been missed.
    pub walked: bool,
    /// Rows of the part that took the most.
    most: u64,
}

impl VectorsWork {
    /// Adds what was done in a part.
    pub(super) fn add(&mut self, mode: VectorsMode, candidates: usize, visited: usize) {
        self.candidates += candidates as u64;
        self.visited += visited as u64;
        self.walked |= mode != VectorsMode::ExactScan;
        if self.mode == VectorsMode::None || visited as u64 > self.most {
            self.mode = mode;
            self.most = visited as u64;
        }
    }
}

/// How the keyword index was searched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TermsMode {
    /// There was nothing to search.
    #[default]
    None,
    /// The postings of the terms were walked, and each chunk was asked whether it is accepted.
    Postings,
    /// Every accepted chunk was looked up in the postings of the terms.
    AcceptedChunks,
}

/// What a search did in the keyword index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TermsWork {
    /// How it was searched.
    pub mode: TermsMode,
    /// Accepted chunks with a term of the query that were compared with each other.
    pub candidates: u64,
    /// Chunks that were looked at, accepted or not.
    pub visited: u64,
}
