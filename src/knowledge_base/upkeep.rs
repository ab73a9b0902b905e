//! Vacuum, check, erasure: keeping the store what it says it is.

use super::result_cache::Erasing;
use super::{Certificate, Checked, Erasure, ErasureQuery, Error, Finding, Groundwork, Selection, Vacuumed};
use crate::store::Wanted;
use crate::worker::{Cancel, OnProgress};

/// Most phrases of a search for what is left.
const MAX_PHRASES: usize = 100;
/// Shortest phrase in bytes: a shorter one stands everywhere.
const MIN_PHRASE_BYTES: usize = 8;
/// Longest phrase in bytes.
const MAX_PHRASE_BYTES: usize = 1_000;

impl Groundwork {
    /// Removes now what no retained epoch sees.
    pub fn vacuum(
        &self,
        knowledge_base: &str,
        cancel: &Cancel,
        on_progress: &mut OnProgress<'_>,
    ) -> Result<Vacuumed, Error> {
        let (record, base) = self.writable_base(knowledge_base)?;
        Ok(base.store.vacuum(record.retention, cancel, on_progress)?)
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
        let (record, base) = self.writable_base(knowledge_base)?;
        let checked = base.store.check(repair, cancel, on_progress, on_finding);
        if repair {
            // What was found by what was damaged.
            self.results.forget(&record.id);
        }
        Ok(checked?)
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
        let (record, base) = self.writable_base(knowledge_base)?;
        base.check_selection(selection, &record.metadata_schema)?;
        let ids = base.ever_selected(selection)?;
        // Also of an erasure that fails half way nothing is left.
        let _tokens = self.tokens.close(&record.id);
        let _prompts = self.models.forgetting_prompts();
        let results = Erasing::begin(&self.results, &record.id, dry_run);
        let mut erased = base.store.erase(&ids, dry_run, include_pinned, cancel, on_progress)?;
        erased.places.push(results.place());
        Ok(erased)
    }

    /// Looks for what is left of a document.
    pub fn verify_erasure(
        &self,
        knowledge_base: &str,
        query: &ErasureQuery,
        cancel: &Cancel,
        on_progress: &mut OnProgress<'_>,
    ) -> Result<Certificate, Error> {
        check_query(query)?;
        let (record, base) = self.writable_base(knowledge_base)?;
        let wanted = Wanted {
            document_id: query.document_id.as_ref(),
            content_hash: query.content_hash.as_deref(),
            phrases: &query.phrases,
        };
        let mut certificate = base.store.verify_erasure(&wanted, cancel, on_progress)?;
        self.search_results(&record.id, &wanted, &mut certificate);
        Ok(certificate)
    }
}

fn check_query(query: &ErasureQuery) -> Result<(), Error> {
    if query.document_id.is_none() && query.content_hash.is_none() {
        return Err(Error::invalid(
            "document_id",
            "is required, unless content_hash is given",
        ));
    }
    if let Some(hash) = &query.content_hash
        && (hash.len() != 64 || !hash.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')))
    {
        return Err(Error::invalid(
            "content_hash",
            format!("is a SHA-256 in 64 lowercase hexadecimal digits, `{hash}` is not"),
        ));
    }
    if query.phrases.len() > MAX_PHRASES {
        let found = query.phrases.len();
        return Err(Error::invalid(
            "phrases",
            format!("holds at most {MAX_PHRASES}, this one has {found}"),
        ));
    }
    for (at, phrase) in query.phrases.iter().enumerate() {
        if !(MIN_PHRASE_BYTES..=MAX_PHRASE_BYTES).contains(&phrase.len()) {
            let found = phrase.len();
            let reason = format!("has {MIN_PHRASE_BYTES} to {MAX_PHRASE_BYTES} bytes, this one has {found}");
            return Err(Error::invalid(format!("phrases[{at}]"), reason));
        }
    }
    Ok(())
}
