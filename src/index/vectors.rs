//! The vector index.
use super::{Accept, ChunkId, Epoch, Error, Scored};
use std::path::Path;
/// The vectors of one knowledge base and the graph over them.
#[derive(Debug)]
pub struct Vectors {}
impl Vectors {
    /// Makes an empty index.
    pub fn new(_dimensions: usize) -> Self {
        unimplemented!()
    }
    /// Adds unit vectors; chunks that are there already are left as they are.
    pub fn insert(&self, _rows: &[(ChunkId, &[f32])]) -> Result<(), Error> {
        unimplemented!()
    }
    /// Returns the number of vectors.
    pub fn len(&self) -> usize {
        unimplemented!()
    }
    /// Returns whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Returns the dimension of its vectors.
    pub fn dimensions(&self) -> usize {
        unimplemented!()
    }
    /// Returns the cosine similarities of these chunks, in their order; nothing for those that are not there.
    pub fn score(&self, _query: &[f32], _chunk_ids: &[ChunkId]) -> Result<Vec<Option<f32>>, Error> {
        unimplemented!()
    }
    /// Finds the nearest accepted chunks. `accepted` is how many of all chunks `accept` lets through; a good guess will do.
    pub fn search(
        &self,
        _query: &[f32],
        _limit: usize,
        _accept: &Accept<'_>,
        _accepted: usize,
    ) -> Result<Vec<Scored>, Error> {
        unimplemented!()
    }
    /// Writes a snapshot into `directory`, in the place of an older one.
    pub fn save(&self, _directory: &Path, _epoch: Epoch) -> Result<(), Error> {
        unimplemented!()
    }
    /// Reads the snapshot in `directory`; nothing when there is none, it is damaged, or of other dimensions.
    pub fn load(_directory: &Path, _dimensions: usize) -> Result<Option<(Self, Epoch)>, Error> {
        unimplemented!()
    }
}
