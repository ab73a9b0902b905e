//! What in the header of a GGUF file candle cannot read: of a type of weights it says the number alone, and it divides by an
//! alignment of 0.

use std::io::{BufRead, Error, ErrorKind, Read as _, Result, Seek, SeekFrom};

/// Types of weights that ggml has and candle has not, by their numbers.
const TYPES: [(u32, &str); 21] = [
    (16, "IQ2_XXS"),
    (17, "IQ2_XS"),
    (18, "IQ3_XXS"),
    (19, "IQ1_S"),
    (20, "IQ4_NL"),
    (21, "IQ3_S"),
    (22, "IQ2_S"),
    (23, "IQ4_XS"),
    (24, "I8"),
    (25, "I16"),
    (26, "I32"),
    (27, "I64"),
    (28, "F64"),
    (29, "IQ1_M"),
    (31, "Q4_0_4_4"),
    (32, "Q4_0_4_8"),
    (33, "Q4_0_8_8"),
    (34, "TQ1_0"),
    (35, "TQ2_0"),
    (39, "MXFP4"),
    (40, "NVFP4"),
];
/// Types that candle reads.
const READABLE: [u32; 15] = [0, 1, 2, 3, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 30];
/// Numbers of the types of metadata: a text, and an array.
const TEXT: u32 = 8;
const ARRAY: u32 = 9;
/// Key of the number that places of tensors are multiples of.
const ALIGNMENT: &str = "general.alignment";
/// Longest name that is read.
const MAX_NAME_BYTES: u64 = 1 << 16;
/// Arrays in arrays are followed so deep.
const MAX_DEPTH: usize = 8;

/// Returns the first thing that cannot be read; nothing where there is none, or the file is no GGUF file of a version that
/// has 64-bit lengths, or a damaged one, of which candle says more.
pub(super) fn reason(source: &mut (impl BufRead + Seek)) -> Option<String> {
    find(source).ok().flatten()
}

fn find(source: &mut (impl BufRead + Seek)) -> Result<Option<String>> {
    source.rewind()?;
    let version = [u32_of(source)?, u32_of(source)?];
    if version[0].to_le_bytes() != *b"GGUF" || version[1] < 2 {
        return Ok(None);
    }
    let (tensors, metadata) = (u64_of(source)?, u64_of(source)?);
    for _ in 0..metadata {
        let key = text_of(source)?;
        let kind = u32_of(source)?;
        if key != ALIGNMENT {
            skip_value(source, kind, 0)?;
            continue;
        }
        let mut alignment = vec![0; bytes_of(kind).ok_or(ErrorKind::InvalidData)? as usize];
        source.read_exact(&mut alignment)?;
        if alignment.iter().all(|byte| *byte == 0) {
            return Ok(Some(format!("its metadata has {ALIGNMENT} 0")));
        }
    }
    for _ in 0..tensors {
        let name = text_of(source)?;
        let dimensions = u32_of(source)?;
        skip(source, u64::from(dimensions) * 8)?;
        let kind = u32_of(source)?;
        u64_of(source)?;
        if !READABLE.contains(&kind) {
            let known = TYPES.iter().find(|(number, _)| *number == kind);
            let kind = known.map_or_else(|| format!("number {kind}"), |(_, name)| (*name).to_owned());
            return Ok(Some(format!(
                "the tensor {name} is of the type {kind}, which is not supported"
            )));
        }
    }
    Ok(None)
}

/// Reads the name of a tensor or of a part of the metadata.
fn text_of(source: &mut impl BufRead) -> Result<String> {
    let len = u64_of(source)?;
    if len > MAX_NAME_BYTES {
        return Err(ErrorKind::InvalidData.into());
    }
    let mut text = Vec::new();
    source.take(len).read_to_end(&mut text)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// Returns how many bytes each value of a type takes; nothing for texts and arrays.
fn bytes_of(kind: u32) -> Option<u64> {
    match kind {
        0 | 1 | 7 => Some(1),
        2 | 3 => Some(2),
        4..=6 => Some(4),
        10..=12 => Some(8),
        _ => None,
    }
}

fn skip_value(source: &mut (impl BufRead + Seek), kind: u32, depth: usize) -> Result<()> {
    match (kind, bytes_of(kind)) {
        (_, Some(bytes)) => skip(source, bytes),
        (TEXT, _) => skip_text(source),
        (ARRAY, _) if depth < MAX_DEPTH => {
            let (kind, len) = (u32_of(source)?, u64_of(source)?);
            if let Some(bytes) = bytes_of(kind) {
                return skip(source, len.checked_mul(bytes).ok_or(ErrorKind::InvalidData)?);
            }
            (0..len).try_for_each(|_| skip_value(source, kind, depth + 1))
        }
        _ => Err(ErrorKind::InvalidData.into()),
    }
}

fn skip_text(source: &mut (impl BufRead + Seek)) -> Result<()> {
    let len = u64_of(source)?;
    skip(source, len)
}

/// Passes over bytes; those that are in the buffer already are not read again.
fn skip(source: &mut (impl BufRead + Seek), bytes: u64) -> Result<()> {
    let here = source.fill_buf()?.len() as u64;
    if here == 0 {
        return Err(Error::from(ErrorKind::UnexpectedEof));
    }
    if bytes <= here {
        source.consume(bytes as usize);
        return Ok(());
    }
    let bytes = i64::try_from(bytes).map_err(|_| Error::from(ErrorKind::InvalidData))?;
    source.seek(SeekFrom::Current(bytes)).map(drop)
}

fn u32_of(source: &mut impl BufRead) -> Result<u32> {
    let mut bytes = [0; 4];
    source.read_exact(&mut bytes)?;
    Ok(u32::from_le_bytes(bytes))
}

fn u64_of(source: &mut impl BufRead) -> Result<u64> {
    let mut bytes = [0; 8];
    source.read_exact(&mut bytes)?;
    Ok(u64::from_le_bytes(bytes))
}
