//! Recognising formats and encodings, plain text and Markdown.

use super::{BlockKind, Document, Format, Hints, PdfReader, ReadError, content_hash, hex, read};
use crate::worker::Cancel;

fn read_as(bytes: &[u8], media_type: &str, source_name: &str) -> Result<Document, ReadError> {
    let hints = Hints {
        media_type: (!media_type.is_empty()).then(|| media_type.to_owned()),
        source_name: source_name.to_owned(),
    };
    read(bytes, &hints, &PdfReader::default(), &Cancel::new())
}

fn check_format(bytes: &[u8], media_type: &str, source_name: &str, expected: Format) {
    let document = read_as(bytes, media_type, source_name).expect("the document is readable");
    assert_eq!(
        document.format,
        expected,
        "{media_type} {source_name} {:?}",
        String::from_utf8_lossy(bytes)
    );
}

fn check_refused(bytes: &[u8], media_type: &str, source_name: &str, expected: &str) {
    let error = read_as(bytes, media_type, source_name).expect_err("the document is refused");
    let message = error.to_string();
    assert!(message.contains(expected), "{message:?} lacks {expected:?}");
}

#[test]
fn media_types_decide_first() {
    check_format(b"# not read as Markdown", "text/plain", "a.md", Format::PlainText);
    check_format(b"text", "text/markdown", "a.txt", Format::Markdown);
    check_format(b"text", "text/x-markdown; charset=utf-8", "", Format::Markdown);
    check_format(b"<p>text", "application/xhtml+xml", "", Format::Html);
    check_format(b"<p>text", "TEXT/HTML ; Charset=\"UTF-8\"", "", Format::Html);
}

#[test]
fn extensions_decide_second() {
    check_format(b"text", "", "dir/a.MD", Format::Markdown);
    check_format(b"text", "application/octet-stream", "a.markdown", Format::Markdown);
    check_format(b"<p>text", "", "http://x.org/a.html?q=b.txt#c", Format::Html);
    check_format(b"# a\n\n- b\n", "", "a.txt", Format::PlainText);
    check_format(b"# a\n\n- b\n", "", "a.b/c", Format::Markdown);
    check_format(b"text", "", "a.pdf", Format::PlainText);
}

#[test]
fn contents_decide_last() {
    check_format(b"<!-- x -->\n<!DOCTYPE html><p>text", "", "", Format::Html);
    check_format(b"\xEF\xBB\xBF <HTML><body>text", "", "", Format::Html);
    check_format(
        b"<?xml version=\"1.0\"?><html><body>text</body></html>",
        "",
        "page",
        Format::Html,
    );
    check_format(
        b"<?xml version=\"1.0\"?><note>text</note>",
        "",
        "a.xml",
        Format::PlainText,
    );
    check_format(b"# Title\n\nSee [this](http://x.org).", "", "README", Format::Markdown);
    check_format(b"```\ncode\n```\n", "", "", Format::Markdown);
    check_format(b"# a comment\nkey = value\n", "", "settings.conf", Format::PlainText);
    check_format(b"just words", "", "", Format::PlainText);
    check_format(b"a < b and <b>", "", "", Format::PlainText);
}

#[test]
fn unknown_media_types_are_refused() {
    check_refused(
        b"x",
        "text/rtf",
        "",
        "`text/rtf` is not read, give one of text/plain, text/markdown",
    );
    check_refused(b"x", "text/plain; charset=klingon", "", "charset `klingon`");
}

#[test]
fn other_formats_are_named() {
    check_refused(b"PK\x03\x04....word/document.xml", "", "a.docx", "a Word document");
    check_refused(b"PK\x03\x04....", "text/plain", "", "a zip archive");
    check_refused(b"\x89PNG\r\n\x1A\n....", "", "a.txt", "a PNG image");
    check_refused(b"{\\rtf1 hello}", "", "a.rtf", "an RTF document");
    check_refused(b"a\0b\0\0\0\x01\x02\0\0", "", "", "binary data");
    check_refused(b"\0\0\0\0\0\0\0\0", "text/plain", "", "binary data");
    check_refused(b"<html>not found</html>", "application/pdf", "", "an HTML page");
    check_refused(b"%PDF-1.7 ...", "text/plain", "", "a PDF document");
}

#[test]
fn empty_documents_are_refused() {
    for media_type in ["", "text/plain", "text/markdown", "text/html", "application/pdf"] {
        check_refused(b"", media_type, "", "holds no text");
        check_refused(b" \r\n\t ", media_type, "", "holds no text");
    }
    check_refused("\u{feff}\u{a0}".as_bytes(), "", "", "holds no text");
    check_refused(b"<html><script>x</script></html>", "", "", "holds no text");
    check_refused(b"---\ntitle: x\n---\n", "text/markdown", "", "holds no text");
}

#[test]
fn cancelled_reads_stop_at_once() {
    let cancel = Cancel::new();
    cancel.cancel();
    let outcome = read(b"text", &Hints::default(), &PdfReader::default(), &cancel);
    assert!(matches!(outcome, Err(ReadError::Stopped(_))));
}

fn check_text(bytes: &[u8], media_type: &str, expected: &str) {
    let document = read_as(bytes, media_type, "").expect("the document is readable");
    assert_eq!(document.text, expected, "{media_type} {bytes:?}");
}

fn utf16(text: &str, mark: bool, order: fn(u16) -> [u8; 2]) -> Vec<u8> {
    let units = mark.then_some(0xFEFF).into_iter().chain(text.encode_utf16());
    units.flat_map(order).collect()
}

#[test]
fn texts_are_decoded() {
    let german = "Schöne Grüße aus Köln, für die Straße gibt es Käse";
    let latin: Vec<u8> = german
        .chars()
        .map(|c| u8::try_from(u32::from(c)).expect("Latin-1"))
        .collect();
    check_text(&latin, "", german);
    check_text(&latin, "text/plain; charset=utf-8", german);
    check_text(&latin, "text/plain; charset=iso-8859-1", german);
    check_text(german.as_bytes(), "", german);
    check_text(&[b"\xEF\xBB\xBF", german.as_bytes()].concat(), "", german);
    for (mark, order) in [
        (true, u16::to_le_bytes as fn(u16) -> [u8; 2]),
        (true, u16::to_be_bytes),
        (false, u16::to_le_bytes),
        (false, u16::to_be_bytes),
    ] {
        check_text(&utf16(german, mark, order), "", german);
    }
    let japanese = "これは日本語の文章です。名前と年齢と住所。";
    let (shift_jis, ..) = encoding_rs::SHIFT_JIS.encode(japanese);
    check_text(&shift_jis, "", japanese);
    check_text(&shift_jis, "text/plain; charset=shift_jis", japanese);
}

#[test]
fn line_ends_and_stray_bytes_survive() {
    check_text(b"a\r\nb\rc\n", "text/plain", "a\r\nb\rc\n");
    let whole = "äöü ".repeat(12);
    let cut = &whole.as_bytes()[..whole.len() - 2];
    let document = read_as(cut, "", "").expect("the document is readable");
    assert!(
        document.text.starts_with("äöü äöü") && document.text.ends_with('\u{fffd}'),
        "{}",
        document.text
    );
    let rare_nul = [b"text ".repeat(100).as_slice(), b"\0"].concat();
    let document = read_as(&rare_nul, "text/plain", "").expect("the document is readable");
    assert!(document.text.ends_with('\u{fffd}'));
}

#[test]
fn charsets_of_html_are_heard_and_doubted() {
    let (cyrillic, ..) = encoding_rs::WINDOWS_1251.encode("<meta charset=windows-1251><p>Привет</p>");
    check_text(&cyrillic, "text/html", "Привет");
    check_text(
        "<meta charset=windows-1252><p>Grüße</p>".as_bytes(),
        "text/html",
        "Grüße",
    );
    let equiv = "<meta http-equiv=Content-Type content='text/html; charset=koi8-r'><p>Привет</p>";
    let (koi, ..) = encoding_rs::KOI8_R.encode(equiv);
    check_text(&koi, "text/html", "Привет");
    let wrong: &[u8] = b"<meta charset=utf-8><p>Sch\xF6ne Gr\xFC\xDFe aus K\xF6ln</p>";
    check_text(wrong, "text/html", "Schöne Grüße aus Köln");
    check_text(b"<meta charset=utf-16><p>text</p>", "text/html", "text");
}

/// Reads Markdown and compares kind and text of each block, and the title.
fn check_markdown(source: &str, title: Option<&str>, expected: &[(BlockKind, &str)]) {
    let document = read_as(source.as_bytes(), "text/markdown", "").expect("the document is readable");
    assert_eq!(document.text, source);
    assert_eq!(document.title.as_deref(), title, "{source:?}");
    let blocks: Vec<(BlockKind, &str)> = document
        .blocks
        .iter()
        .map(|block| (block.kind, block.span.of(source).expect("the span lies in the text")))
        .collect();
    assert_eq!(blocks, expected, "{source:?}");
}

#[test]
fn markdown_blocks_keep_their_places() {
    use BlockKind::{Code, Heading, ListItem, Paragraph, Table};
    check_markdown(
        "# A *b* `c`\n\ntext\nmore\n",
        Some("A b c"),
        &[(Heading(1), "# A *b* `c`"), (Paragraph, "text\nmore")],
    );
    check_markdown(
        "A\n=\n\nB\n-\n\nc",
        Some("A"),
        &[(Heading(1), "A\n="), (Heading(2), "B\n-"), (Paragraph, "c")],
    );
    check_markdown(
        "- a\n  - b\n- c\n\n1. d\n",
        None,
        &[(ListItem, "- a\n  - b"), (ListItem, "- c"), (ListItem, "1. d")],
    );
    check_markdown(
        "```rust\nfn a() {}\n```\n\n    indented\n",
        None,
        &[(Code, "```rust\nfn a() {}\n```"), (Code, "indented")],
    );
    check_markdown(
        "| a | b |\n|---|---|\n| 1 | 2 |\n",
        None,
        &[(Table, "| a | b |\n|---|---|\n| 1 | 2 |")],
    );
    check_markdown(
        "> # q\n> text\n\n---\n\n[a]: http://x\n",
        None,
        &[
            (Paragraph, "> # q"),
            (Paragraph, "> text"),
            (Paragraph, "---"),
            (Paragraph, "[a]: http://x"),
        ],
    );
    check_markdown("a\r\n\r\n## B\r\n", None, &[(Paragraph, "a"), (Heading(2), "## B")]);
}

#[test]
fn front_matter_is_no_block() {
    use BlockKind::{Heading, Paragraph};
    check_markdown(
        "---\ntitle: \"A: b\"\ntags: [x]\n---\n# H\n",
        Some("A: b"),
        &[(Heading(1), "# H")],
    );
    check_markdown("---\r\ntitle: A # b\r\n---\r\ntext", Some("A"), &[(Paragraph, "text")]);
    check_markdown(
        "---\ntitle: >\n  A\n  b\nx: y\n---\ntext",
        Some("A b"),
        &[(Paragraph, "text")],
    );
    check_markdown("---\nname: x\n---\n# H\n", Some("H"), &[(Heading(1), "# H")]);
    check_markdown("+++\ntitle = 'T'\n+++\ntext", Some("T"), &[(Paragraph, "text")]);
    check_markdown(
        "---\nProse between rules.\n\n---\n",
        None,
        &[
            (Paragraph, "---"),
            (Paragraph, "Prose between rules."),
            (Paragraph, "---"),
        ],
    );
    check_markdown(
        "---\ntitle: open",
        None,
        &[(Paragraph, "---"), (Paragraph, "title: open")],
    );
}

#[test]
fn plain_text_falls_into_paragraphs() {
    let document = read_as(b"\n one\n  two\n \t\nthree\r\n\r\nfour\x0Cfive\n", "text/plain", "").expect("readable");
    let blocks: Vec<&str> = document
        .blocks
        .iter()
        .filter_map(|block| block.span.of(&document.text))
        .collect();
    assert_eq!(blocks, ["one\n  two", "three", "four", "five"]);
}

#[test]
fn nested_markdown_does_not_overflow() {
    for source in [
        "> ".repeat(50_000),
        "- ".repeat(50_000),
        "[".repeat(50_000),
        "*a **b ".repeat(20_000),
    ] {
        let source = format!("{source}end");
        let document = read_as(source.as_bytes(), "text/markdown", "").expect("the document is readable");
        assert!(!document.blocks.is_empty());
    }
}

#[test]
fn hashes_are_those_of_the_standard() {
    let digest = hex(&content_hash(b"abc"));
    assert_eq!(
        digest,
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    );
}
