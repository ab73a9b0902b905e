//! Which tensor of a GGUF file has a type of weights that candle cannot read: candle says the number of the type alone.

use std::io::{BufRead, Error, ErrorKind, Result, Seek, SeekFrom};

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
/// Arrays in arrays are followed so deep.
const MAX_DEPTH: usize = 8;

/// Returns the name of the first tensor of a type that cannot be read, and the type; nothing where there is none, or the
/// file is no GGUF file of a version that has 64-bit lengths.
pub(super) fn tensor(source: &mut (impl BufRead + Seek)) -> Option<(String, String)> {
    find(source).ok().flatten()
}

fn find(source: &mut (impl BufRead + Seek)) -> Result<Option<(String, String)>> {
    source.rewind()?;
    let version = [u32_of(source)?, u32_of(source)?];
    if version[0].to_le_bytes() != *b"GGUF" || version[1] < 2 {
        return Ok(None);
    }
    let (tensors, metadata) = (u64_of(source)?, u64_of(source)?);
    for _ in 0..metadata {
        skip_text(source)?;
        let kind = u32_of(source)?;
        skip_value(source, kind, 0)?;
    }
    for _ in 0..tensors {
        let len = u64_of(source)?;
        let mut name = Vec::new();
        std::io::Read::read_to_end(&mut std::io::Read::take(&mut *source, len), &mut name)?;
        let dimensions = u32_of(source)?;
        skip(source, u64::from(dimensions) * 8)?;
        let kind = u32_of(source)?;
        u64_of(source)?;
        if !READABLE.contains(&kind) {
            let known = TYPES.iter().find(|(number, _)| *number == kind);
            let kind = known.map_or_else(|| format!("number {kind}"), |(_, name)| (*name).to_owned());
            return Ok(Some((String::from_utf8_lossy(&name).into_owned(), kind)));
        }
    }
    Ok(None)
}

fn skip_value(source: &mut (impl BufRead + Seek), kind: u32, depth: usize) -> Result<()> {
    let bytes = match kind {
        0 | 1 | 7 => 1,
        2 | 3 => 2,
        4..=6 => 4,
        10..=12 => 8,
        TEXT => return skip_text(source),
        ARRAY if depth < MAX_DEPTH => {
            let (kind, len) = (u32_of(source)?, u64_of(source)?);
            for _ in 0..len {
                skip_value(source, kind, depth + 1)?;
            }
            return Ok(());
        }
        _ => return Err(Error::from(ErrorKind::InvalidData)),
    };
    skip(source, bytes)
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
