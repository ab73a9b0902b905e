//! Epochs: listing, pinning, comparing, going back.

use super::{
    DifferenceKind, DifferenceRequest, DifferenceSummary, DocumentDifference, EpochInfo, Error, Groundwork, Page,
    PageRequest, RollbackTarget, RolledBack, check,
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
        let (_, base) = self.base(knowledge_base)?;
        let (size, after) = check::page(page)?;
        let below = Epoch(check::number_token(after)?);
        let epochs = base.store.epochs(below, size + 1, pinned_only)?;
        let page = check::paged_by(epochs, size, |info| info.epoch.to_string());
        Ok((page, base.store.epoch()))
    }

    /// Names an epoch, the published one if none is given, and keeps it until it is unpinned.
    pub fn pin_epoch(&self, knowledge_base: &str, name: &str, epoch: Option<Epoch>) -> Result<EpochInfo, Error> {
        check::pin_name(name)?;
        let (_, base) = self.writable_base(knowledge_base)?;
        Ok(base.store.pin(name, epoch)?)
    }

    /// Removes the name of an epoch and returns the epoch.
    pub fn unpin_epoch(&self, knowledge_base: &str, name: &str) -> Result<Epoch, Error> {
        check::pin_name(name)?;
        let (_, base) = self.writable_base(knowledge_base)?;
        Ok(base.store.unpin(name)?)
    }

    /// Tells `each` of the documents that two epochs see differently, ordered by id.
    pub fn difference(
        &self,
        knowledge_base: &str,
        request: &DifferenceRequest,
        cancel: &Cancel,
        each: &mut dyn FnMut(DocumentDifference),
    ) -> Result<DifferenceSummary, Error> {
        let (_, base) = self.base(knowledge_base)?;
        let page = PageRequest {
            size: 0,
            token: request.token.clone(),
        };
        let (_, after) = check::page(&page)?;
        let mut summary = DifferenceSummary {
            from: request.from,
            to: request.to.unwrap_or_else(|| base.store.epoch()),
            ..DifferenceSummary::default()
        };
        let limit = if request.size == 0 { usize::MAX } else { request.size };
        let mut last = String::new();
        let is_end = base.store.difference(
            (summary.from, summary.to),
            after,
            limit,
            cancel,
            &mut |mut difference| {
                *(match difference.kind {
                    DifferenceKind::Added => &mut summary.added,
                    DifferenceKind::Changed => &mut summary.changed,
                    DifferenceKind::Removed => &mut summary.removed,
                }) += 1;
                if !request.with_chunks {
                    for chunk in &mut difference.chunks {
                        chunk.text.clear();
                    }
                }
                difference.document_id.as_str().clone_into(&mut last);
                each(difference);
            },
        )?;
        if !is_end {
            summary.next_token = check::token(&last);
        }
        Ok(summary)
    }

    /// Makes a new epoch that sees what an earlier one saw; `dry_run` only says what would change.
    pub fn rollback(
        &self,
        knowledge_base: &str,
        target: &RollbackTarget,
        dry_run: bool,
    ) -> Result<(RolledBack, Epoch), Error> {
        let (_, base) = self.writable_base(knowledge_base)?;
        let to = match target {
            RollbackTarget::Epoch(epoch) => *epoch,
            RollbackTarget::Pin(name) => base.store.pinned(name)?,
        };
        Ok((base.store.roll_back(to, dry_run)?, to))
    }
}
