//! A knowledge base as one file: backups, and what they share with bundles.
//!
//! ```text
//! archive (tar, ustar headers, nothing compressed)
//!   manifest.json        what the archive is of, and every other entry with its size and SHA-256
//!   store.sqlite         the record of truth, as one commit left it
//!   terms/*              the keyword index, in bundles
//!   vectors/*            sealed files of the vector index, if there are any
//! ```
//!
//! Always holds: every byte of an archive follows from its manifest or is covered by a hash in it, and the root hash
//! covers the manifest; so an archive is read exactly as it was written, or refused. Nothing is compressed here: vectors
//! and kept contents hardly shrink, what is not compressed cannot unfold to more than was sent, and whoever wants a
//! smaller file can send it through a compressor. Any tar program lists and unpacks it.
//! Not here: where archives come from and go to (see [`crate::knowledge_base`]).

mod backup;
mod manifest;
mod pack;
mod refusal;
mod restore;
mod tar;
mod unpack;

pub use manifest::{ArchiveFile, ArchiveKind, ArchiveModel, Manifest};
pub use pack::Archive;
pub(super) use pack::describe;
pub use refusal::Refusal;
pub use restore::NewBase;
pub use unpack::ArchiveReader;

/// The record of truth in an archive.
pub(super) const STORE_ENTRY: &str = "store.sqlite";
/// What the names of sealed files of the vector index begin with.
pub(super) const VECTORS_PREFIX: &str = "vectors/";
/// What the names of files of the keyword index begin with, in bundles.
pub(super) const TERMS_PREFIX: &str = "terms/";
