//! Epochs: listing, pinning, comparing, going back.

use super::{
    DifferenceRequest, DifferenceSummary, DocumentDifference, EpochInfo, Error, Groundwork, Page, PageRequest,
    RollbackTarget, RolledBack,
};
use crate::index::Epoch;
use crate::worker::Cancel;

impl Groundwork {
    /// Lists the epochs that reads may name, newest first, with the published one.
    pub fn epochs(
        &self,
        knowledge_base: &str,
        pinned_only: bool,
        page: &PageRequest,
    ) -> Result<(Page<EpochInfo>, Epoch), Error> {
        let _ = (self.base(knowledge_base)?, pinned_only, page);
        Err(Error::not_built())
    }

    /// Names an epoch, the published one if none is given, and keeps it until it is unpinned.
    pub fn pin_epoch(&self, knowledge_base: &str, name: &str, epoch: Option<Epoch>) -> Result<EpochInfo, Error> {
        let _ = (self.base(knowledge_base)?, name, epoch);
        Err(Error::not_built())
    }

    /// Removes the name of an epoch and returns the epoch.
    pub fn unpin_epoch(&self, knowledge_base: &str, name: &str) -> Result<Epoch, Error> {
        let _ = (self.base(knowledge_base)?, name);
        Err(Error::not_built())
    }

    /// Tells `each` of the documents that two epochs see differently, ordered by id.
    pub fn difference(
        &self,
        knowledge_base: &str,
        request: &DifferenceRequest,
        cancel: &Cancel,
        each: &mut dyn FnMut(DocumentDifference),
    ) -> Result<DifferenceSummary, Error> {
        let _ = (self.base(knowledge_base)?, request, cancel, each);
        Err(Error::not_built())
    }

    /// Makes a new epoch that sees what an earlier one saw; `dry_run` only says what would change.
    pub fn rollback(
        &self,
        knowledge_base: &str,
        target: &RollbackTarget,
        dry_run: bool,
    ) -> Result<(RolledBack, Epoch), Error> {
        let _ = (self.base(knowledge_base)?, target, dry_run);
        Err(Error::not_built())
    }
}
