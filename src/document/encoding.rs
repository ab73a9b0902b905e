//! Bytes of text to UTF-8.
//!
//! Comes in: bytes, the caller's charset. Goes out: text without a byte order mark, line ends as they were.
//! Always holds: the text holds no NUL; bytes that are no text are refused.
//! Not here: which format the text has.

use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};
use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE};

use super::ReadError;

/// How much of the start is looked at to tell text from binary content.
const SAMPLE_BYTES: usize = 64 * 1024;
/// How much of the start is searched for the encoding that HTML declares; browsers look at 1,024 bytes.
const META_BYTES: usize = 4096;
/// Share of control characters above which bytes are no text: random bytes have one in ten.
const CONTROLS_PER_HUNDRED: usize = 2;

/// Decodes a text. Order: byte order mark, charset of the media type, UTF-16 without mark, UTF-8 that is not ASCII
/// alone, charset of the HTML, UTF-8, a guess.
///
/// A charset that the bytes contradict is passed over, and UTF-8 is asked before the HTML's own charset, because text
/// of another encoding is almost never valid UTF-8 by chance while declarations are often wrong.
pub(super) fn decode(bytes: &[u8], charset: Option<&'static Encoding>, is_html: bool) -> Result<String, ReadError> {
    if let Some((encoding, mark)) = Encoding::for_bom(bytes) {
        return finish(&encoding.decode_without_bom_handling(&bytes[mark..]).0);
    }
    if let Some(text) = charset.and_then(|encoding| exactly(bytes, encoding)) {
        return finish(&text);
    }
    if let Some(text) = utf16_without_mark(bytes).and_then(|encoding| exactly(bytes, encoding)) {
        return finish(&text);
    }
    refuse_binary(bytes)?;
    let utf8 = std::str::from_utf8(bytes).ok();
    if let Some(text) = utf8.filter(|text| !text.is_ascii()) {
        return finish(text);
    }
    if is_html && let Some(text) = declared_in_html(bytes).and_then(|encoding| exactly(bytes, encoding)) {
        return finish(&text);
    }
    if let Some(text) = utf8 {
        return finish(text);
    }
    if is_damaged_utf8(bytes) {
        return finish(&String::from_utf8_lossy(bytes));
    }
    let mut detector = EncodingDetector::new(Iso2022JpDetection::Allow);
    detector.feed(bytes, true);
    let guess = detector.guess(None, Utf8Detection::Deny);
    finish(&guess.decode_without_bom_handling(bytes).0)
}

/// Decodes when not one byte is out of place.
fn exactly(bytes: &[u8], encoding: &'static Encoding) -> Option<String> {
    encoding
        .decode_without_bom_handling_and_without_replacement(bytes)
        .map(std::borrow::Cow::into_owned)
}

/// Puts the replacement character in place of NULs: nothing after this reader expects them.
fn finish(text: &str) -> Result<String, ReadError> {
    let sample = || text.chars().take(SAMPLE_BYTES);
    let controls = sample().filter(|c| is_odd_control(u32::from(*c))).count();
    if controls * 100 > sample().count() * CONTROLS_PER_HUNDRED {
        return Err(binary());
    }
    Ok(text.replace('\0', "\u{fffd}"))
}

fn binary() -> ReadError {
    ReadError::LooksLike { what: "binary data" }
}

fn refuse_binary(bytes: &[u8]) -> Result<(), ReadError> {
    let sample = &bytes[..bytes.len().min(SAMPLE_BYTES)];
    let controls = sample.iter().filter(|byte| is_odd_control(u32::from(**byte))).count();
    if controls * 100 > sample.len() * CONTROLS_PER_HUNDRED {
        return Err(binary());
    }
    Ok(())
}

/// Control characters that texts do not use; backspace and escape stay, manual pages and Japanese mail have them.
fn is_odd_control(code: u32) -> bool {
    code < 0x20 && !matches!(code, 0x08..=0x0D | 0x1B)
}

/// Text in UTF-16 is full of zero bytes at every other place.
fn utf16_without_mark(bytes: &[u8]) -> Option<&'static Encoding> {
    let sample = &bytes[..bytes.len().min(SAMPLE_BYTES) & !1];
    if sample.len() < 4 {
        return None;
    }
    let zeros = |offset: usize| sample.iter().skip(offset).step_by(2).filter(|byte| **byte == 0).count();
    let (first, second, pairs) = (zeros(0), zeros(1), sample.len() / 2);
    let (few, many) = (pairs / 50, pairs / 3);
    match (first, second) {
        _ if first <= few && second > many => Some(UTF_16LE),
        _ if second <= few && first > many => Some(UTF_16BE),
        _ => None,
    }
}

/// The encoding named in `<meta charset=..>`, `<meta http-equiv .. charset=..>` or `<?xml encoding=..?>`.
fn declared_in_html(bytes: &[u8]) -> Option<&'static Encoding> {
    let head: String = bytes[..bytes.len().min(META_BYTES)]
        .iter()
        .map(|byte| char::from(byte.to_ascii_lowercase()))
        .collect();
    let label = |text: &str, name: &str| {
        let after = &text[text.find(name)? + name.len()..];
        let value = after
            .trim_start()
            .strip_prefix('=')?
            .trim_start()
            .trim_start_matches(['"', '\'']);
        let end = value.find(|c: char| !(c.is_ascii_alphanumeric() || "-_:.".contains(c)));
        Encoding::for_label(&value.as_bytes()[..end.unwrap_or(value.len())])
    };
    let tag = |open: &str| {
        head.match_indices(open)
            .map(|(at, _)| &head[at..])
            .map(|rest| &rest[..rest.find('>').unwrap_or(rest.len())])
            .collect::<Vec<_>>()
    };
    let in_meta = tag("<meta").into_iter().find_map(|meta| label(meta, "charset"));
    let encoding = in_meta.or_else(|| tag("<?xml").into_iter().find_map(|xml| label(xml, "encoding")))?;
    // A declaration that can be read as ASCII cannot itself be in UTF-16.
    let is_wide = encoding == UTF_16LE || encoding == UTF_16BE;
    Some(if is_wide { UTF_8 } else { encoding })
}

/// Whether the bytes are UTF-8 but for a few places, like a file cut within a character.
fn is_damaged_utf8(bytes: &[u8]) -> bool {
    let (mut errors, mut wide) = (0_usize, 0_usize);
    for chunk in bytes.utf8_chunks() {
        wide += chunk.valid().chars().filter(|c| !c.is_ascii()).count();
        errors += usize::from(!chunk.invalid().is_empty());
    }
    wide > errors * 20
}
