//! A PDF that breaks its reader fails as that one document, through the real child process.

use groundwork::knowledge_base::{DocumentStatus, NewDocument, ReadAt};
use groundwork::retrieve::SearchType;

use crate::support::{found, ingest, text, with_base};

fn pdf(id: &str, bytes: Vec<u8>) -> NewDocument {
    NewDocument {
        media_type: Some("application/pdf".to_owned()),
        bytes,
        ..text(id, "")
    }
}

/// A PDF of one page that shows `words`, with a correct cross-reference table.
fn small_pdf(words: &str) -> Vec<u8> {
    let stream = format!("BT /F1 12 Tf 72 720 Td ({words}) Tj ET");
    let objects = [
        "<< /Type /Catalog /Pages 2 0 R >>".to_owned(),
        "<< /Type /Pages /Kids [3 0 R] /Count 1 >>".to_owned(),
        "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R /Resources << /Font << /F1 5 0 R >> >> >>"
            .to_owned(),
        format!("<< /Length {} >>\nstream\n{stream}\nendstream", stream.len()),
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>".to_owned(),
    ];
    let mut file = b"%PDF-1.4\n".to_vec();
    let mut offsets = Vec::new();
    for (at, object) in objects.iter().enumerate() {
        offsets.push(file.len());
        file.extend(format!("{} 0 obj\n{object}\nendobj\n", at + 1).bytes());
    }
    let table = file.len();
    file.extend(format!("xref\n0 {}\n0000000000 65535 f \n", objects.len() + 1).bytes());
    for offset in offsets {
        file.extend(format!("{offset:010} 00000 n \n").bytes());
    }
    let size = objects.len() + 1;
    file.extend(format!("trailer << /Size {size} /Root 1 0 R >>\nstartxref\n{table}\n%%EOF\n").bytes());
    file
}

#[test]
fn broken_pdfs_fail_alone_with_a_reason() {
    let (_home, groundwork) = with_base(&[]);
    let whole = small_pdf("The pelican lands at dusk.");
    let mut truncated = whole.clone();
    truncated.truncate(whole.len() / 2);
    let mut noise = b"%PDF-1.7\n".to_vec();
    noise.extend((0..4_000_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8));
    let (outcomes, _) = ingest(
        &groundwork,
        vec![
            pdf("truncated", truncated),
            pdf("noise", noise),
            pdf("whole", whole),
            text("note", "The pelican left."),
        ],
    );
    for outcome in &outcomes {
        match outcome.document_id.as_str() {
            "whole" | "note" => assert_eq!(outcome.status, DocumentStatus::Indexed, "{}", outcome.reason),
            id => {
                assert_eq!(outcome.status, DocumentStatus::Failed, "{id}");
                assert!(!outcome.reason.is_empty(), "{id} says why");
            }
        }
    }
    assert_eq!(found(&groundwork, "pelican", SearchType::Keyword), ["note", "whole"]);
}

#[test]
fn pages_of_a_pdf_are_counted_from_one() {
    let (_home, groundwork) = with_base(&[]);
    ingest(&groundwork, vec![pdf("whole", small_pdf("The pelican lands at dusk."))]);
    let hits = crate::support::search_at(&groundwork, "pelican", SearchType::Keyword, ReadAt::default());
    let hits = hits.expect("the search works");
    assert_eq!(
        (hits[0].page, hits[0].text.as_str()),
        (Some(1), "The pelican lands at dusk.")
    );
}
