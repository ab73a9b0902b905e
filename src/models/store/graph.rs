//! The graph of an encoder, written once and kept.
//!
//! Comes in: verified weights. Goes out: an ONNX file in the cache.
//! Always holds: a graph that is used was made from these weights; by this version of the writer, unless nothing can be
//! written into the cache, where one of an earlier version serves on.
//! Not here: what is in the graph.

use std::path::Path;

use super::super::encoder::EncoderConfig;
use super::super::onnx;
use super::super::stamp::{self, FileState, Stamp};
use super::super::{CatalogModel, Error, Pooling, PullEvent};
use super::WEIGHTS;
use super::lock::Lock;
use crate::worker::{Cancel, with_causes};

/// A graph that is written from weights, once.
pub(super) struct Graph<'a> {
    pub(super) model: &'a CatalogModel,
    pub(super) files: &'a Path,
    pub(super) directory: &'a Path,
    pub(super) config: &'a EncoderConfig,
    pub(super) made_from: String,
}

impl Graph<'_> {
    /// Writes the graph unless it is there, whole, and made from these weights by this version of the writer. Where that
    /// cannot be written, one of an earlier version will do.
    pub(super) fn ensure(
        &self,
        cache: &Path,
        lock: Option<&Lock>,
        events: &mut dyn FnMut(PullEvent),
        cancel: &Cancel,
    ) -> Result<(), Error> {
        match self.make_current(cache, lock, events, cancel) {
            Err(error @ Error::Io { .. }) if self.is_earlier()? => {
                let file = self.directory.join(self.model.precision.file_name());
                tracing::warn!(
                    model = self.model.id,
                    file = %file.display(),
                    error = with_causes(&error),
                    "the model's graph was written by an earlier version and cannot be written anew: it serves without \
                     reranking until the directory can be written"
                );
                Ok(())
            }
            made => made,
        }
    }

    fn make_current(
        &self,
        cache: &Path,
        lock: Option<&Lock>,
        events: &mut dyn FnMut(PullEvent),
        cancel: &Cancel,
    ) -> Result<(), Error> {
        if self.is_current()? {
            return Ok(());
        }
        let _own = match lock {
            Some(_) => None,
            None => Some(Lock::acquire(cache, events, cancel)?),
        };
        // Whoever had the lock may have written it.
        if self.is_current()? {
            return Ok(());
        }
        let name = self.model.precision.file_name();
        events(PullEvent::Writing { file: name.to_owned() });
        let path = self.files.join(WEIGHTS);
        let weights = std::fs::read(&path).map_err(Error::io("read", &path))?;
        let graph = onnx::write(self.config, &weights, self.model.pooling, self.model.precision);
        let graph = graph.map_err(|source| Error::Encoder {
            path: self.files.to_owned(),
            source,
        })?;
        stamp::write_atomically(&self.directory.join(name), &graph)?;
        let mut stamp = Stamp::read(self.directory, self.directory);
        stamp.remember(name, stamp::hash_bytes(&graph), Some(self.made_from.clone()))?;
        stamp.save()?;
        events(PullEvent::Done { file: name.to_owned() });
        Ok(())
    }

    fn is_current(&self) -> Result<bool, Error> {
        self.is_whole(|made_from| made_from == self.made_from)
    }

    /// Returns whether the graph was made from these weights by an earlier version of the writer.
    fn is_earlier(&self) -> Result<bool, Error> {
        let made_by = |made_from: &str| {
            let (writer, rest) = made_from.strip_prefix(WRITER)?.split_once(' ')?;
            let version: u32 = writer.parse().ok()?;
            Some((version, rest.to_owned()))
        };
        let wanted = made_by(&self.made_from);
        self.is_whole(|made_from| match (made_by(made_from), &wanted) {
            (Some((version, rest)), Some((wanted, wanted_rest))) => version < *wanted && rest == *wanted_rest,
            _ => false,
        })
    }

    /// Returns whether the graph is there as it was written, and made from what is wanted.
    fn is_whole(&self, is_wanted: impl FnOnce(&str) -> bool) -> Result<bool, Error> {
        let name = self.model.precision.file_name();
        let mut stamp = Stamp::read(self.directory, self.directory);
        if !stamp.made_from(name).is_some_and(is_wanted) {
            return Ok(false);
        }
        Ok(matches!(stamp.check(name, None, false)?, FileState::Verified { .. }))
    }
}

/// What stands before the version of the writer.
const WRITER: &str = "writer ";

/// Everything that decides what a graph's bytes are.
pub(super) fn made_from(model: &CatalogModel, weights_sha256: &str, config: &[u8]) -> String {
    let pooling = match model.pooling {
        Pooling::Mean => "mean",
        Pooling::Cls => "cls",
    };
    let config = stamp::hash_bytes(config);
    format!(
        "{WRITER}{} weights {weights_sha256} config {config} pooling {pooling}",
        onnx::WRITER_VERSION
    )
}
