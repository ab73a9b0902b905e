//! Vacuum, check, erasure: keeping the store what it says it is.

use super::{Certificate, Checked, Erasure, ErasureQuery, Error, Finding, Groundwork, Selection, Vacuumed};
use crate::worker::{Cancel, OnProgress};

impl Groundwork {
    /// Removes now what no retained epoch sees.
    pub fn vacuum(
        &self,
        knowledge_base: &str,
        cancel: &Cancel,
        on_progress: &mut OnProgress<'_>,
    ) -> Result<Vacuumed, Error> {
        let _ = (self.base(knowledge_base)?, cancel, on_progress);
        Err(Error::not_built())
    }

    /// Verifies everything against everything; `repair` makes anew what can be made from the store.
    pub fn check(
        &self,
        knowledge_base: &str,
        repair: bool,
        cancel: &Cancel,
        on_progress: &mut OnProgress<'_>,
        on_finding: &mut dyn FnMut(Finding),
    ) -> Result<Checked, Error> {
        let _ = (self.base(knowledge_base)?, repair, cancel, on_progress, on_finding);
        Err(Error::not_built())
    }

    /// Removes every trace of documents; refused while a pinned epoch sees one, unless `include_pinned`.
    pub fn erase_documents(
        &self,
        knowledge_base: &str,
        selection: &Selection,
        dry_run: bool,
        include_pinned: bool,
        cancel: &Cancel,
        on_progress: &mut OnProgress<'_>,
    ) -> Result<Erasure, Error> {
        let _ = (
            self.base(knowledge_base)?,
            selection,
            dry_run,
            include_pinned,
            cancel,
            on_progress,
        );
        Err(Error::not_built())
    }

    /// Looks for what is left of a document.
    pub fn verify_erasure(
        &self,
        knowledge_base: &str,
        query: &ErasureQuery,
        cancel: &Cancel,
        on_progress: &mut OnProgress<'_>,
    ) -> Result<Certificate, Error> {
        let _ = (self.base(knowledge_base)?, query, cancel, on_progress);
        Err(Error::not_built())
    }
}
