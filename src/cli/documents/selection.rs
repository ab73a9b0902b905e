//! Which documents a command is about: ids, conditions or a source, exactly one of the three.

use clap::Args;

use crate::cli::attribute;
use crate::service::pb;

/// Which documents.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(super) struct SelectionFlags {
    /// Ids of the documents
    #[arg(value_name = "DOCUMENT")]
    pub(super) documents: Vec<String>,
    /// Documents with this attribute: key=text, key:=json, key!=text, key>=number, or JSON; may be repeated, then all must hold
    #[arg(long = "filter", short = 'f', value_name = "CONDITION", value_parser = attribute::parse_condition)]
    filters: Vec<pb::RetrievalFilter>,
    /// Documents that came from this source, as given at ingestion
    #[arg(long, value_name = "SOURCE")]
    source: Option<String>,
}

impl SelectionFlags {
    /// Returns ids, filter and source for a request.
    pub(super) fn parts(self) -> (Vec<String>, Option<pb::RetrievalFilter>, String) {
        (
            self.documents,
            attribute::all(self.filters),
            self.source.unwrap_or_default(),
        )
    }
}
