//! Which reader fits these bytes.
//!
//! Comes in: bytes and hints. Goes out: a format, or a refusal that names what the bytes look like.
//! Always holds: a declared media type is never overruled silently; a mismatch is an error.
//! Not here: decoding text (see [`super::encoding`]).

use encoding_rs::Encoding;

use super::{Format, Hints, ReadError};

/// The media types that are known, for error messages.
pub(super) const KNOWN_MEDIA_TYPES: &str = "text/plain, text/markdown, text/html, application/pdf";

/// The formats that are read, for error messages.
pub(super) const READABLE: &str = "plain text, Markdown, HTML or PDF";

/// Where the mark of a PDF may stand at the latest; readers of the format agree on this.
const PDF_MARK_WITHIN: usize = 1024;

/// How many bytes are looked at for markers of text formats.
const SNIFF_BYTES: usize = 4096;

/// What was recognised.
pub(super) struct Recognised {
    pub(super) format: Format,
    /// Charset of the media type.
    pub(super) charset: Option<&'static Encoding>,
    /// Whether the decoded text decides: nothing said more than that it is text.
    pub(super) sniff_text: bool,
}

/// Finds the format: media type, then file extension, then content.
pub(super) fn recognise(bytes: &[u8], hints: &Hints) -> Result<Recognised, ReadError> {
    let declared = declared(hints)?;
    let charset = declared.charset;
    let sniffed = sniff(bytes);
    let format = match (declared.format, sniffed) {
        (Some(Format::Pdf), Sniffed::Pdf) => Some(Format::Pdf),
        (Some(Format::Pdf), Sniffed::Other(what)) => {
            let declared = Format::Pdf.media_type();
            return Err(ReadError::Mismatch { declared, what });
        }
        (Some(Format::Pdf), Sniffed::Nothing) => {
            let what = if looks_like_html(&head(bytes)) {
                "an HTML page"
            } else {
                "something else: `%PDF` is missing from its first 1,024 bytes"
            };
            let declared = Format::Pdf.media_type();
            return Err(ReadError::Mismatch { declared, what });
        }
        (Some(text), Sniffed::Pdf) if bytes.starts_with(b"%PDF-") => {
            let declared = text.media_type();
            let what = "a PDF document";
            return Err(ReadError::Mismatch { declared, what });
        }
        (_, Sniffed::Other(what)) => return Err(ReadError::LooksLike { what }),
        (Some(text), _) => Some(text),
        (None, Sniffed::Pdf) if bytes.starts_with(b"%PDF-") => Some(Format::Pdf),
        (None, Sniffed::Pdf) => Some(of_extension(&hints.source_name).unwrap_or(Format::Pdf)),
        (None, Sniffed::Nothing) => of_extension(&hints.source_name).filter(|format| *format != Format::Pdf),
    };
    Ok(match format {
        Some(format) => Recognised {
            format,
            charset,
            sniff_text: false,
        },
        None if looks_like_html(&head(bytes)) => Recognised {
            format: Format::Html,
            charset,
            sniff_text: false,
        },
        None => Recognised {
            format: Format::PlainText,
            charset,
            sniff_text: true,
        },
    })
}

/// Tells the formats of text apart, for a text that nothing is known of.
pub(super) fn of_text(text: &str) -> Format {
    let mut end = text.len().min(SNIFF_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let head = &text[..end];
    if looks_like_html(head) {
        Format::Html
    } else if looks_like_markdown(head) {
        Format::Markdown
    } else {
        Format::PlainText
    }
}

struct Declared {
    format: Option<Format>,
    charset: Option<&'static Encoding>,
}

fn declared(hints: &Hints) -> Result<Declared, ReadError> {
    let media_type = hints.media_type.as_deref().unwrap_or_default();
    let mut parts = media_type.split(';');
    let essence = parts.next().unwrap_or_default().trim().to_ascii_lowercase();
    let format = match essence.as_str() {
        // These two say no more than that there are bytes.
        "" | "application/octet-stream" | "binary/octet-stream" => None,
        "text/plain" => Some(Format::PlainText),
        "text/markdown" | "text/x-markdown" | "application/markdown" | "application/x-markdown" => {
            Some(Format::Markdown)
        }
        "text/html" | "application/xhtml+xml" | "application/html" => Some(Format::Html),
        "application/pdf" | "application/x-pdf" => Some(Format::Pdf),
        _ => {
            let media_type = media_type.to_owned();
            return Err(ReadError::UnknownMediaType { media_type });
        }
    };
    let charset = parts
        .filter_map(|part| part.split_once('='))
        .find(|(name, _)| name.trim().eq_ignore_ascii_case("charset"))
        .map(|(_, value)| value.trim().trim_matches(['"', '\'']))
        .filter(|value| !value.is_empty());
    let charset = match charset {
        None => None,
        Some(label) => Some(
            Encoding::for_label(label.as_bytes()).ok_or_else(|| ReadError::UnknownCharset {
                charset: label.to_owned(),
            })?,
        ),
    };
    Ok(Declared { format, charset })
}

/// The format that a file name or address ends in, if it is one of ours.
fn of_extension(source_name: &str) -> Option<Format> {
    let is_address = source_name.contains("://");
    let path = match source_name.find(['?', '#']) {
        Some(end) if is_address => &source_name[..end],
        _ => source_name,
    };
    let name = path.rsplit(['/', '\\']).next()?;
    let (_, extension) = name.rsplit_once('.')?;
    Some(match extension.to_ascii_lowercase().as_str() {
        "txt" | "text" | "log" | "csv" | "tsv" => Format::PlainText,
        "md" | "markdown" | "mdown" | "mkd" | "mkdn" | "mdx" => Format::Markdown,
        "html" | "htm" | "xhtml" | "xht" => Format::Html,
        "pdf" => Format::Pdf,
        _ => return None,
    })
}

enum Sniffed {
    Pdf,
    Other(&'static str),
    Nothing,
}

/// First bytes of formats that are not read.
const MARKS: &[(&[u8], &str)] = &[
    (
        b"\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1",
        "an old or encrypted Office document",
    ),
    (b"{\\rtf", "an RTF document"),
    (b"%!PS", "a PostScript document"),
    (b"\x1F\x8B", "a gzip archive"),
    (b"BZh", "a bzip2 archive"),
    (b"\xFD7zXZ\0", "an xz archive"),
    (b"\x28\xB5\x2F\xFD", "a zstd archive"),
    (b"7z\xBC\xAF\x27\x1C", "a 7z archive"),
    (b"Rar!\x1A\x07", "a RAR archive"),
    (b"\x89PNG\r\n\x1A\n", "a PNG image"),
    (b"\xFF\xD8\xFF", "a JPEG image"),
    (b"GIF87a", "a GIF image"),
    (b"GIF89a", "a GIF image"),
    (b"II*\0", "a TIFF image"),
    (b"MM\0*", "a TIFF image"),
    (b"ID3", "an MP3 recording"),
    (b"OggS", "an Ogg recording"),
    (b"fLaC", "a FLAC recording"),
    (b"\x1A\x45\xDF\xA3", "a Matroska video"),
    (b"\x7FELF", "a program"),
    (b"\0asm", "a WebAssembly program"),
    (b"\xCA\xFE\xBA\xBE", "a Java class or a program"),
    (b"SQLite format 3\0", "an SQLite database"),
    (b"PAR1", "a Parquet file"),
];

fn sniff(bytes: &[u8]) -> Sniffed {
    for (mark, what) in MARKS {
        if bytes.starts_with(mark) {
            return Sniffed::Other(what);
        }
    }
    if bytes.starts_with(b"PK\x03\x04") || bytes.starts_with(b"PK\x05\x06") {
        return Sniffed::Other(of_zip(bytes));
    }
    if bytes.starts_with(b"RIFF") && bytes.get(8..12) == Some(b"WEBP") {
        return Sniffed::Other("a WebP image");
    }
    if bytes.get(4..8) == Some(b"ftyp") {
        return Sniffed::Other("a video or an HEIC image");
    }
    let within = &bytes[..bytes.len().min(PDF_MARK_WITHIN)];
    if within.windows(4).any(|window| window == b"%PDF") {
        return Sniffed::Pdf;
    }
    Sniffed::Nothing
}

/// Tells the formats apart that are zip archives inside; their first names are near the start.
fn of_zip(bytes: &[u8]) -> &'static str {
    let head = &bytes[..bytes.len().min(64 * 1024)];
    let tail = &bytes[bytes.len().saturating_sub(64 * 1024)..];
    let holds = |name: &[u8]| {
        let found = |part: &[u8]| part.windows(name.len()).any(|window| window == name);
        found(head) || found(tail)
    };
    if holds(b"application/epub+zip") {
        "an EPUB book"
    } else if holds(b"application/vnd.oasis.opendocument") {
        "an OpenDocument file"
    } else if holds(b"word/document") {
        "a Word document (.docx)"
    } else if holds(b"ppt/presentation") {
        // Before Excel: a chart in a presentation is a workbook of its own.
        "a PowerPoint presentation (.pptx)"
    } else if holds(b"xl/workbook") {
        "an Excel workbook (.xlsx)"
    } else {
        "a zip archive"
    }
}

/// The first bytes as text, good enough for ASCII markers in any encoding that has NULs at most between them.
fn head(bytes: &[u8]) -> String {
    bytes[..bytes.len().min(SNIFF_BYTES)]
        .iter()
        .filter(|byte| byte.is_ascii() && **byte != 0)
        .map(|byte| char::from(*byte))
        .collect()
}

fn looks_like_html(head: &str) -> bool {
    let mut rest = head.trim_start_matches(['\u{feff}', ' ', '\t', '\r', '\n']);
    // A declaration of XML and comments may stand before the first element.
    while let Some((_, close)) = [("<?xml", "?>"), ("<!--", "-->")]
        .into_iter()
        .find(|(open, _)| rest.starts_with(open))
    {
        let Some(end) = rest.find(close) else { return false };
        rest = rest[end + close.len()..].trim_start();
    }
    let lower: String = rest.chars().take(64).collect::<String>().to_ascii_lowercase();
    let starts = |name: &str| {
        lower
            .strip_prefix(name)
            .is_some_and(|after| after.starts_with(|c: char| c == '>' || c == '/' || c.is_whitespace()))
    };
    lower.starts_with("<!doctype html")
        || [
            "<html", "<head", "<body", "<title", "<meta", "<div", "<table", "<article", "<script", "<p", "<h1",
        ]
        .into_iter()
        .any(starts)
}

/// Whether two different marks of Markdown, or one that nothing else uses, stand in the text.
fn looks_like_markdown(head: &str) -> bool {
    let mut marks = 0_u32;
    let mut note = |bit: u32, seen: bool| {
        if seen {
            marks |= 1 << bit;
        }
    };
    for line in head.lines() {
        let bare = line.trim_start();
        let heading = bare.trim_start_matches('#');
        let level = bare.len() - heading.len();
        note(
            0,
            (1..=6).contains(&level) && heading.starts_with(' ') && line.len() - bare.len() < 4,
        );
        note(1, bare.starts_with("```") || bare.starts_with("~~~"));
        note(2, bare.contains("](") && bare.contains('['));
        note(3, bare.contains("**"));
        note(4, bare.starts_with("* ") || bare.starts_with("- "));
        note(5, bare.starts_with('|') && bare.contains("---"));
        note(6, bare.starts_with("> "));
    }
    // A lone `#` line may be a comment of a script, a lone `-` line may be mail; a fence, a table or two marks are not.
    marks & 0b10_0010 != 0 || marks.count_ones() >= 2
}
