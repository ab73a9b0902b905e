//! Checksums of rows: the database tells damage of its structure, but not of the content of its cells.

/// CRC-32 over the fields of a row. Each field goes in with its length, so that no two rows look alike.
#[derive(Debug, Default)]
pub(super) struct Checksum(crc32fast::Hasher);

impl Checksum {
    pub(super) fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.update(&(bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
        self
    }

    pub(super) fn text(self, text: &str) -> Self {
        self.bytes(text.as_bytes())
    }

    pub(super) fn number(mut self, number: i64) -> Self {
        self.0.update(&number.to_le_bytes());
        self
    }

    /// Returns the checksum as a database keeps it.
    pub(super) fn finish(self) -> i64 {
        i64::from(self.0.finalize())
    }
}
