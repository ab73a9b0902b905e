//! Small PDFs made here, and children played by scripts.

use super::child::answer;
use super::layout::{Extraction, Page, Paragraph};
use super::*;
use std::fmt::Write as _;

/// Writes a PDF of these objects, the first of which is the catalog.
fn pdf(objects: &[String]) -> Vec<u8> {
    let mut out = "%PDF-1.4\n".to_owned();
    let mut table = format!("xref\n0 {}\n0000000000 65535 f \n", objects.len() + 1);
    for (object, number) in objects.iter().zip(1..) {
        writeln!(table, "{:010} 00000 n ", out.len()).expect("a string takes everything");
        writeln!(out, "{number} 0 obj\n{object}\nendobj").expect("a string takes everything");
    }
    let start = out.len();
    let trailer = format!(
        "trailer\n<< /Size {} /Root 1 0 R >>\nstartxref\n{start}\n%%EOF\n",
        objects.len() + 1
    );
    format!("{out}{table}{trailer}").into_bytes()
}

/// A PDF with a page for each content stream.
fn pages(contents: &[&str]) -> Vec<u8> {
    let kids: Vec<String> = (0..contents.len())
        .map(|page| format!("{} 0 R", 4 + page * 2))
        .collect();
    let kids = kids.join(" ");
    let mut objects = vec![
        "<< /Type /Catalog /Pages 2 0 R >>".to_owned(),
        format!("<< /Type /Pages /Kids [ {kids}] /Count {} >>", contents.len()),
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>".to_owned(),
    ];
    for (page, content) in contents.iter().enumerate() {
        objects.push(format!(
            "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Resources << /Font << /F1 3 0 R >> >> /Contents {} 0 R >>",
            5 + page * 2
        ));
        objects.push(format!("<< /Length {} >>\nstream\n{content}\nendstream", content.len()));
    }
    pdf(&objects)
}

const TWO_LINES: &str =
    "BT /F1 12 Tf 72 700 Td (A first line of text that is cut in exam-) Tj 0 -14 Td (ples and goes on.) Tj ET";

fn read_bytes(bytes: &[u8]) -> Result<Document, ReadError> {
    PdfReader::default().read(bytes, &Cancel::new())
}

#[test]
fn pages_keep_their_numbers() {
    let bytes = pages(&[TWO_LINES, "BT /F1 12 Tf 72 700 Td (Second page.) Tj ET"]);
    let document = read_bytes(&bytes).expect("the PDF is readable");
    let blocks: Vec<_> = document
        .blocks
        .iter()
        .map(|block| (block.page, block.span.of(&document.text)))
        .collect();
    assert_eq!(
        blocks,
        [
            (
                Some(1),
                Some("A first line of text that is cut in examples and goes on.")
            ),
            (Some(2), Some("Second page.")),
        ]
    );
}

#[test]
fn large_type_is_a_heading() {
    let body = "BT /F1 24 Tf 72 700 Td (The Title) Tj /F1 10 Tf 0 -40 Td (A line of running text in the usual size, long enough.) Tj ET";
    let document = read_bytes(&pages(&[body])).expect("the PDF is readable");
    assert_eq!(document.blocks[0].kind, BlockKind::Heading(1));
    assert_eq!(document.blocks[0].heading, "The Title");
    assert_eq!(document.title.as_deref(), Some("The Title"));
}

#[test]
fn imitated_bold_counts_once() {
    let twice = "BT /F1 12 Tf 72 700 Td (Bold) Tj ET BT /F1 12 Tf 72.3 700 Td (Bold) Tj ET";
    assert_eq!(read_bytes(&pages(&[twice])).expect("the PDF is readable").text, "Bold");
}

#[test]
fn pages_without_text_are_named() {
    let outcome = read_bytes(&pages(&["0 0 m 10 10 l S", ""]));
    assert!(
        matches!(outcome, Err(ReadError::Pdf(PdfError::NoText { pages: 2 }))),
        "{outcome:?}"
    );
}

#[test]
fn wrong_tables_of_objects_are_mended() {
    let bytes = String::from_utf8(pages(&[TWO_LINES])).expect("the PDF is ASCII");
    let damaged = bytes.replace("startxref\n", "startxref\n9");
    let document = read_bytes(damaged.as_bytes()).expect("the PDF is readable");
    assert!(document.text.contains("examples"));
}

#[test]
fn malformed_files_are_errors() {
    let whole = pages(&[TWO_LINES]);
    let noise: Vec<u8> = (0_u32..5_000)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect();
    let nested = pdf(&["<< /Type /Catalog /Pages 2 0 R >>".to_owned(), "[".repeat(10_000)]);
    for bytes in [
        b"%PDF-1.4".to_vec(),
        whole[..60].to_vec(),
        [b"%PDF-1.7\n", noise.as_slice()].concat(),
        nested,
    ] {
        let outcome = read_bytes(&bytes);
        assert!(
            matches!(outcome, Err(ReadError::Pdf(PdfError::Damaged { .. }))),
            "{outcome:?}"
        );
    }
}

#[test]
fn cut_files_never_panic() {
    let whole = pages(&[TWO_LINES]);
    for length in (0..whole.len()).step_by(37) {
        match answer(whole[..length].to_vec()) {
            child::Record::Crashed { how } => panic!("cut at {length}: {how}"),
            record => drop(record),
        }
    }
}

#[test]
fn records_survive_the_pipe() {
    let paragraph = Paragraph {
        text: "ä\n".to_owned(),
        heading: Some(2),
    };
    let extraction = Extraction {
        title: Some("T".to_owned()),
        pages: vec![
            Page::default(),
            Page {
                paragraphs: vec![paragraph],
            },
        ],
    };
    let json = serde_json::to_vec(&child::Record::from(extraction)).expect("records are plain data");
    let Ok(child::Record::Text { title, pages }) = serde_json::from_slice(&json) else {
        panic!("not a text")
    };
    let pages = pages.into_iter().map(child::page).collect();
    let document = document(Extraction { title, pages }).expect("it has text");
    assert_eq!((document.text.as_str(), document.blocks[0].page), ("ä", Some(2)));
}

#[test]
fn ligatures_and_hyphens_are_undone() {
    let check = |lines: &[&str], expected: &str| {
        let mut joined = String::new();
        for line in lines {
            text::join(&mut joined, &text::normalized(line));
        }
        assert_eq!(joined, expected);
    };
    check(&["e\u{fb03}cient \u{fb01}nd x\u{b2}"], "efficient find x\u{b2}");
    check(&["nul\0l"], "null");
    check(&["exam-", "ple"], "example");
    check(&["Anglo-", "Saxon"], "Anglo- Saxon");
    check(&["soft\u{ad}", "hy\u{ad}phen"], "softhyphen");
    check(&["日本", "語"], "日本語");
    check(&["two", "words"], "two words");
}

#[cfg(unix)]
mod children {
    use std::io::Write;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// Reads an empty PDF with a child that is this script.
    fn outcome(script: &str, timeout: Duration, cancel: &Cancel) -> Result<Document, ReadError> {
        let directory = tempfile::tempdir().expect("there is room for a script");
        let program = directory.path().join("child");
        let mut file = std::fs::File::create(&program).expect("the script is new");
        writeln!(file, "#!/bin/sh\n{script}").expect("the script is short");
        file.set_permissions(std::fs::Permissions::from_mode(0o755))
            .expect("the script is ours");
        drop(file);
        let reader = PdfReader {
            program: Some(program),
            timeout,
            ..PdfReader::default()
        };
        loop {
            match reader.read(&vec![b'x'; 300_000], cancel) {
                // Another test that forks at this moment holds the script open for writing.
                Err(ReadError::Pdf(PdfError::Start { source, .. }))
                    if source.kind() == io::ErrorKind::ExecutableFileBusy => {}
                outcome => return outcome,
            }
        }
    }

    fn check(script: &str, expected: &str) {
        let outcome = outcome(script, Duration::from_secs(20), &Cancel::new());
        let error = outcome.expect_err("the child fails").to_string();
        assert!(error.contains(expected), "{script}: {error}");
    }

    #[test]
    fn exits_of_children_are_explained() {
        check("exit 101", "crashed (a panic)");
        check("exit 3", "crashed (exit status 3)");
        check("kill -SEGV $$", "crashed (signal 11)");
        check("kill -KILL $$", "killed by the system");
        check("kill -XCPU $$", "longer than 20 seconds");
        check(
            "echo 'memory allocation of 9 bytes failed' >&2; kill -ABRT $$",
            "more than 1610612736 bytes of memory",
        );
        check(
            "echo 'thread has overflowed its stack' >&2; kill -ABRT $$",
            "nested too deeply",
        );
        check("cat >/dev/null; echo '\"Encrypted\"'", "protected by a password");
        check("echo '{\"Damaged\":{\"reason\":\"no root\"}}'", "damaged: no root");
        check(
            "echo '{\"Text\":{\"title\":null,\"pages\":[[],[]]}}'",
            "no text layer on its 2 pages",
        );
        check("echo nonsense", "its answer is not readable");
    }

    #[test]
    fn slow_children_are_killed() {
        let outcome = outcome("exec sleep 60", Duration::from_millis(1), &Cancel::new());
        assert!(
            matches!(outcome, Err(ReadError::Pdf(PdfError::Timeout { .. }))),
            "{outcome:?}"
        );
    }

    #[test]
    fn cancelling_kills_the_child() {
        let cancel = Cancel::new();
        cancel.cancel();
        let outcome = outcome("exec sleep 60", Duration::from_mins(1), &cancel);
        assert!(matches!(outcome, Err(ReadError::Stopped(_))), "{outcome:?}");
    }

    #[test]
    fn missing_programs_are_named() {
        let reader = PdfReader {
            program: Some("/nowhere/groundwork".into()),
            ..PdfReader::default()
        };
        let error = reader
            .read(b"x", &Cancel::new())
            .expect_err("there is no such program")
            .to_string();
        assert!(error.contains("cannot start /nowhere/groundwork"), "{error}");
    }
}
