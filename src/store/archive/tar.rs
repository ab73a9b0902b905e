//! The container: headers, padding and the end of a tar archive, in the one form that we write and accept.
//!
//! A header is a function of name and size. The reader computes the one that must come and compares all of its bytes,
//! so that nothing in an archive is left unchecked. That is why this is not left to a library, which accepts many forms.

/// Headers, contents and the end are padded to this.
pub(super) const BLOCK: usize = 512;
/// Longest name of an entry.
pub(super) const MAX_NAME_BYTES: usize = 100;
/// Blocks of zeros that end an archive.
const END_BLOCKS: usize = 2;
/// Largest size that eleven octal digits hold.
const MAX_OCTAL: u64 = (1 << 33) - 1;

const SIZE: std::ops::Range<usize> = 124..136;
const CHECKSUM: std::ops::Range<usize> = 148..156;

/// The bytes that end an archive.
pub(super) const END: [u8; BLOCK * END_BLOCKS] = [0; BLOCK * END_BLOCKS];

/// Returns the header of a file: readable by all, of nobody, from no time.
pub(super) fn header(name: &str, size: u64) -> [u8; BLOCK] {
    debug_assert!(name.len() <= MAX_NAME_BYTES, "the manifest bounds names");
    let mut header = [0; BLOCK];
    let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, name.as_bytes());
    put(100, b"0000644\0");
    put(108, b"0000000\0");
    put(116, b"0000000\0");
    if size <= MAX_OCTAL {
        put(SIZE.start, format!("{size:011o}\0").as_bytes());
    } else {
        // GNU's form for what octal digits cannot hold, which all common tar programs read.
        put(SIZE.start, &[0x80]);
        put(SIZE.end - 8, &size.to_be_bytes());
    }
    put(136, b"00000000000\0");
    put(CHECKSUM.start, b"        ");
    put(156, b"0");
    put(257, b"ustar\x0000");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[CHECKSUM].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    header
}

/// Returns the size that a header of ours names; nothing when it is no such header.
pub(super) fn size_of(header: &[u8; BLOCK], name: &str) -> Option<u64> {
    let digits = std::str::from_utf8(&header[SIZE.start..SIZE.end - 1]).ok()?;
    let size = u64::from_str_radix(digits, 8).ok()?;
    (*header == self::header(name, size)).then_some(size)
}

/// Returns the name that a foreign header gives, for a message.
pub(super) fn name_in(header: &[u8; BLOCK]) -> String {
    let name = header[..MAX_NAME_BYTES]
        .split(|byte| *byte == 0)
        .next()
        .unwrap_or_default();
    match std::str::from_utf8(name) {
        Ok("") => "the end of the archive".to_owned(),
        Ok(name) => format!("`{}`", name.escape_debug()),
        Err(_) => "something that is no entry".to_owned(),
    }
}

/// Returns the zeros that fill the last block of a content.
pub(super) fn padding(size: u64) -> usize {
    (BLOCK - (size % BLOCK as u64) as usize) % BLOCK
}
