//! Bytes of a PDF to glyphs: the one place that names the PDF crates.

use std::panic::{AssertUnwindSafe, catch_unwind};

use pdf_extract::{
    Document, Error, MediaBox, Object, OutputDev, OutputError, Transform, decode_text_string, output_doc_page,
};

use super::layout::{Extraction, Glyph, PageBuilder, assemble};
use super::repair;

/// Why nothing was extracted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Failure {
    /// A password is missing.
    Encrypted,
    /// The file is broken.
    Damaged(String),
}

/// Extracts the text of all pages. A file without any is tried once more with a new table of objects, because a wrong
/// one hides pages and their contents.
pub(super) fn extract(bytes: &[u8]) -> Result<Extraction, Failure> {
    let first = load(bytes).and_then(|document| read_pages(&document));
    if matches!(&first, Ok(extraction) if !extraction.is_empty()) || matches!(&first, Err(Failure::Encrypted)) {
        return first;
    }
    let mended = repair::rebuild(bytes).map(|mended| load(&mended).and_then(|document| read_pages(&document)));
    match (first, mended) {
        (_, Some(Ok(extraction))) if !extraction.is_empty() => Ok(extraction),
        (_, Some(Err(Failure::Encrypted))) => Err(Failure::Encrypted),
        (Err(Failure::Damaged(_)), Some(Ok(extraction))) => Ok(extraction),
        // Some encryptions hide the tree of pages itself.
        (Err(Failure::Damaged(_)), _) if bytes.windows(8).any(|window| window == b"/Encrypt") => {
            Err(Failure::Encrypted)
        }
        (first, _) => first,
    }
}

/// Reads page after page. A page that fails keeps what was read of it; only when every page fails, the document does.
fn read_pages(document: &Document) -> Result<Extraction, Failure> {
    let mut pages = Vec::new();
    let mut failure = None;
    for number in document.get_pages().keys() {
        let mut output = Output::default();
        let result = catch_unwind(AssertUnwindSafe(|| output_doc_page(document, &mut output, *number)));
        match result {
            Ok(Ok(())) => {}
            Ok(Err(error)) => failure = Some(error.to_string()),
            Err(panic) => failure = Some(panic_message(panic.as_ref())),
        }
        pages.push(output.page);
    }
    if pages.is_empty() {
        return Err(Failure::Damaged("it has no pages".to_owned()));
    }
    match failure {
        Some(reason) if pages.iter().all(PageBuilder::is_empty) => Err(Failure::Damaged(reason)),
        _ => Ok(assemble(title(document), pages)),
    }
}

/// What a panic said.
pub(super) fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let message = panic.downcast_ref::<&str>().copied();
    let message = message.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    let line = message
        .and_then(|message| message.lines().next())
        .unwrap_or("no reason given");
    line.chars().take(200).collect()
}

fn load(bytes: &[u8]) -> Result<Document, Failure> {
    let opened = catch_unwind(AssertUnwindSafe(|| {
        let mut document = Document::load_mem(bytes)?;
        if document.is_encrypted() {
            document.decrypt("")?;
        }
        Ok(document)
    }));
    match opened {
        Ok(Ok(document)) => Ok(document),
        Ok(Err(Error::InvalidPassword | Error::Decryption(_))) => Err(Failure::Encrypted),
        Ok(Err(error)) => Err(Failure::Damaged(error.to_string())),
        Err(panic) => Err(Failure::Damaged(panic_message(panic.as_ref()))),
    }
}

/// The title that the document's properties give, unless it is a file name or a placeholder.
fn title(document: &Document) -> Option<String> {
    let info = document.trailer.get(b"Info").ok()?;
    let info = match info {
        Object::Reference(id) => document.get_object(*id).ok()?,
        other => other,
    };
    let title = decode_text_string(info.as_dict().ok()?.get(b"Title").ok()?).ok()?;
    let title: String = title.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let title = title.split_whitespace().collect::<Vec<_>>().join(" ");
    let lower = title.to_lowercase();
    let is_file_name = !title.contains(' ') && title.contains('.');
    let is_placeholder = lower.starts_with("microsoft word - ") || lower.starts_with("untitled") || lower == "title";
    let is_word = title.chars().any(char::is_alphabetic) && title.chars().count() > 1;
    (is_word && !is_file_name && !is_placeholder).then_some(title)
}

/// Collects glyphs as the page is drawn.
#[derive(Default)]
struct Output {
    page: PageBuilder,
    begins_word: bool,
}

impl OutputDev for Output {
    fn begin_page(&mut self, _: u32, _: &MediaBox, _: Option<(f64, f64, f64, f64)>) -> Result<(), OutputError> {
        Ok(())
    }

    fn end_page(&mut self) -> Result<(), OutputError> {
        Ok(())
    }

    fn output_character(
        &mut self,
        matrix: &Transform,
        width: f64,
        _spacing: f64,
        font_size: f64,
        text: &str,
    ) -> Result<(), OutputError> {
        let scale = (matrix.m11 * matrix.m22 - matrix.m12 * matrix.m21).abs().sqrt();
        let along = matrix.m11.hypot(matrix.m12);
        let direction = if along > 0.0 {
            (matrix.m11 / along, matrix.m12 / along)
        } else {
            (1.0, 0.0)
        };
        self.page.glyph(&Glyph {
            text,
            x: matrix.m31,
            y: matrix.m32,
            direction,
            size: (scale * font_size).abs(),
            advance: width * font_size * along,
            begins_word: std::mem::take(&mut self.begins_word),
        });
        Ok(())
    }

    fn begin_word(&mut self) -> Result<(), OutputError> {
        self.begins_word = true;
        Ok(())
    }

    fn end_word(&mut self) -> Result<(), OutputError> {
        Ok(())
    }

    fn end_line(&mut self) -> Result<(), OutputError> {
        Ok(())
    }
}
