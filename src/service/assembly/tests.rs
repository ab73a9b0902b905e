//! Tests of assembly.

use std::collections::HashMap;

use proptest::prelude::*;

use super::Assembly;
use crate::knowledge_base::Next;
use crate::service::client::{PART_BYTES, ingest_messages};
use crate::service::pb;
use crate::service::pb::ingest_documents_request::Payload;
use crate::service::pb::inline_document::Content;

const LIMIT: usize = 10;

fn header(id: &str) -> pb::DocumentHeader {
    pb::DocumentHeader {
        document_id: id.to_owned(),
        ..pb::DocumentHeader::default()
    }
}

fn start(id: &str) -> Payload {
    Payload::DocumentStart(header(id))
}

fn part(bytes: &str) -> Payload {
    Payload::DocumentPart(bytes.as_bytes().to_vec())
}

fn end() -> Payload {
    Payload::DocumentEnd(pb::DocumentEnd {})
}

fn inline(header: Option<pb::DocumentHeader>, content: Option<Content>) -> Payload {
    Payload::Document(pb::InlineDocument { header, content })
}

fn whole(id: &str, text: &str) -> Payload {
    inline(Some(header(id)), Some(Content::Data(text.as_bytes().to_vec())))
}

/// Says what came of the messages: `0 id=content` for a document, `0 id!reason` for a refusal.
fn told(limit: usize, payloads: Vec<Payload>) -> Vec<String> {
    let mut assembly = Assembly::new(limit);
    let mut decided = Vec::new();
    for payload in payloads {
        decided.extend(assembly.take(Some(payload)).expect("the protocol is kept"));
    }
    decided.extend(assembly.finish());
    let say = |next| match next {
        Next::Document { sequence, document } => {
            format!(
                "{sequence} {}={}",
                document.id,
                String::from_utf8_lossy(&document.bytes)
            )
        }
        Next::Refused {
            sequence,
            document_id,
            reason,
        } => format!("{sequence} {document_id}!{reason}"),
        Next::Idle | Next::End => "neither document nor refusal".to_owned(),
    };
    decided.into_iter().map(say).collect()
}

fn check(payloads: Vec<Payload>, expected: &[&str]) {
    assert_eq!(told(LIMIT, payloads), expected);
}

#[test]
fn documents_come_whole_or_in_parts() {
    check(vec![whole("a", "one")], &["0 a=one"]);
    check(
        vec![start("a"), part("on"), part("e"), end(), whole("b", "two")],
        &["0 a=one", "1 b=two"],
    );
    check(vec![start("a"), end()], &["0 a="]);
}

#[test]
fn bad_document_never_costs_the_others() {
    let good = || whole("good", "x");
    check(
        vec![start("a"), part("123456"), part("78901"), part("more"), end(), good()],
        &[
            "0 a!a document has at most 10 bytes, this one has at least 11",
            "1 good=x",
        ],
    );
    check(
        vec![whole("a", "12345678901"), good()],
        &["0 a!a document has at most 10 bytes, this one has 11", "1 good=x"],
    );
    check(
        vec![part("x"), part("y"), end(), good()],
        &["0 !document_part came without document_start", "1 good=x"],
    );
    check(
        vec![end(), good()],
        &["0 !document_end came without document_start", "1 good=x"],
    );
    check(
        vec![start("a"), part("x"), good()],
        &["0 a!the document ended without document_end", "1 good=x"],
    );
    check(
        vec![start("a"), start("b"), part("x"), end()],
        &["0 a!the document ended without document_end", "1 b=x"],
    );
    check(
        vec![start("a"), part("x")],
        &["0 a!the document ended without document_end"],
    );
    check(
        vec![start(""), part("x"), end(), good()],
        &["0 !document_id: a document id cannot be empty", "1 good=x"],
    );
    check(
        vec![inline(None, Some(Content::Text("x".to_owned()))), good()],
        &["0 !the document has no header", "1 good=x"],
    );
    check(
        vec![inline(Some(header("a")), None), good()],
        &["0 a!the document has no content, set text or data", "1 good=x"],
    );
}

#[test]
fn bad_metadata_refuses_one_document() {
    let mut with_metadata = header("a");
    with_metadata.metadata = HashMap::from([("year".to_owned(), pb::MetadataValue { kind: None })]);
    check(
        vec![Payload::DocumentStart(with_metadata), part("x"), end(), whole("b", "y")],
        &[
            "0 a!metadata[year].kind: exactly one kind must be set, none is",
            "1 b=y",
        ],
    );
}

#[test]
fn unknown_message_refuses_one_document() {
    let mut assembly = Assembly::new(LIMIT);
    let decided = assembly.take(None).expect("the protocol is kept");
    assert!(matches!(decided.as_slice(), [Next::Refused { sequence: 0, .. }]));
}

#[test]
fn second_start_breaks_the_stream() {
    let mut assembly = Assembly::new(LIMIT);
    let error = assembly
        .take(Some(Payload::Start(pb::IngestStart::default())))
        .expect_err("start comes once");
    assert_eq!(error.violations[0].field, "start");
}

#[test]
fn text_is_utf8_whatever_charset_it_had() {
    let table = [
        ("text/html; charset=iso-8859-1", "text/html; charset=utf-8"),
        ("text/plain", "text/plain; charset=utf-8"),
        ("application/pdf", "application/pdf"),
    ];
    for (given, expected) in table {
        let mut with_type = header("a");
        with_type.mime_type = given.to_owned();
        let message = inline(Some(with_type), Some(Content::Text("x".to_owned())));
        let decided = Assembly::new(LIMIT).take(Some(message)).expect("the protocol is kept");
        let [Next::Document { document, .. }] = decided.as_slice() else {
            panic!("{given} was refused");
        };
        assert_eq!(document.media_type.as_deref(), Some(expected));
    }
}

#[test]
fn client_parts_join_to_the_document() {
    for size in [0, 1, PART_BYTES, PART_BYTES + 1, 2 * PART_BYTES, 2 * PART_BYTES + 7] {
        let content: Vec<u8> = (0..size).map(|at| (at % 251) as u8).collect();
        let mut assembly = Assembly::new(size);
        let decided: Vec<Next> = ingest_messages(header("a"), content.clone())
            .flat_map(|message| assembly.take(message.payload).expect("the protocol is kept"))
            .collect();
        let [Next::Document { sequence: 0, document }] = decided.as_slice() else {
            panic!("{size} bytes did not come as one document");
        };
        assert!(document.bytes == content, "{size} bytes changed on the way");
    }
}

proptest! {
    #[test]
    fn every_position_is_given_out_once(choices in prop::collection::vec(0..6_u8, 0..40)) {
        let payloads = choices.into_iter().map(|choice| match choice {
            0 => start("a"),
            1 => part("123456"),
            2 => end(),
            3 => whole("b", "x"),
            4 => inline(None, None),
            _ => start(""),
        });
        let mut assembly = Assembly::new(LIMIT);
        let mut decided = Vec::new();
        for payload in payloads {
            decided.extend(assembly.take(Some(payload)).expect("the protocol is kept"));
        }
        decided.extend(assembly.finish());
        let sequences: Vec<u64> = decided
            .iter()
            .map(|next| match next {
                Next::Document { sequence, document } => {
                    assert!(document.bytes.len() <= LIMIT);
                    *sequence
                }
                Next::Refused { sequence, .. } => *sequence,
                Next::Idle | Next::End => u64::MAX,
            })
            .collect();
        let expected: Vec<u64> = (0..sequences.len() as u64).collect();
        prop_assert_eq!(sequences, expected);
    }
}
