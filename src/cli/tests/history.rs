//! What the commands of history and upkeep write, and how their times are read.

use super::Written;
use crate::cli::exit::Exit;
use crate::cli::{ask, check as check_command, documents, epochs, moment};
use crate::service::pb;

#[test]
fn spans_of_time_read_back_as_they_are_shown() {
    #[track_caller]
    fn check(text: &str, seconds: Option<u64>, shown: &str) {
        let parsed = moment::parse_span(text).ok().map(|span| span.as_secs());
        assert_eq!(parsed, seconds, "{text}");
        if let Some(seconds) = seconds {
            assert_eq!(moment::span(seconds), shown);
            assert_eq!(moment::parse_span(shown).map(|span| span.as_secs()), Ok(seconds));
        }
    }
    check("0s", Some(0), "0s");
    check("90s", Some(90), "90s");
    check("90m", Some(5_400), "90m");
    check("48h", Some(172_800), "2d");
    check("1w", Some(604_800), "7d");
    for wrong in [
        "",
        "7",
        "d",
        "7 d",
        "-7d",
        "1.5h",
        "7days",
        "99999999999999999999s",
        "99999999999999999w",
    ] {
        check(wrong, None, "");
    }
}

#[test]
fn times_are_those_of_rfc_3339() {
    let time = |text| moment::parse_time(text).ok().map(|time| (time.seconds, time.nanos));
    assert_eq!(time("1970-01-01T00:00:01.5Z"), Some((1, 500_000_000)));
    assert_eq!(time("1970-01-01T01:00:00+01:00"), Some((0, 0)));
    assert_eq!(time("yesterday"), None);
}

#[test]
fn outdated_sources_are_told_by_number() {
    let outdated = |numbers: &[u32]| {
        ask::outdated(&pb::AnswerSummary {
            current_epoch: 9,
            outdated_reference_numbers: numbers.to_vec(),
            ..pb::AnswerSummary::default()
        })
    };
    assert_eq!(outdated(&[]), None);
    let told = outdated(&[1, 3]).expect("two are outdated");
    assert!(told.contains("[1], [3]") && told.contains("epoch 9"), "{told}");
}

fn chunk(kind: pb::DifferenceKind, text: &str) -> pb::ChunkDifference {
    pb::ChunkDifference {
        kind: kind.into(),
        chunk_id: "chunk-0000002a".to_owned(),
        text: text.to_owned(),
    }
}

#[test]
fn continued_differences_have_one_heading() {
    let first = pb::DocumentDifference {
        document_id: "tea.md".to_owned(),
        kind: pb::DifferenceKind::Changed.into(),
        added_chunk_count: 1,
        removed_chunk_count: 1,
        unchanged_chunk_count: 4,
        chunks: vec![chunk(pb::DifferenceKind::Removed, "Two\nminutes.")],
        continued: true,
        ..pb::DocumentDifference::default()
    };
    let second = pb::DocumentDifference {
        chunks: vec![chunk(pb::DifferenceKind::Added, "Three minutes.")],
        ..pb::DocumentDifference::default()
    };
    let written = Written::default();
    let mut output = written.output(false);
    epochs::write_difference(&first, false, &mut output).expect("writing to memory works");
    epochs::write_difference(&second, true, &mut output).expect("writing to memory works");
    let expected = "changed  tea.md  +1 -1 =4 chunks\n  \
        - chunk-0000002a\n  -   Two\n  -   minutes.\n  \
        + chunk-0000002a\n  +   Three minutes.\n";
    assert_eq!(written.text(), expected);
}

#[test]
fn check_fails_while_findings_are_left() {
    #[track_caller]
    fn check(findings: u64, repaired: u64, exit: Exit, told: &str) {
        let summary = pb::CheckSummary {
            epoch: 3,
            finding_count: findings,
            repaired_count: repaired,
            ..pb::CheckSummary::default()
        };
        let written = Written::default();
        let ended = check_command::finish(&summary, true, &mut written.output(false));
        assert_eq!(ended.expect("writing to memory works"), exit);
        assert!(written.text().starts_with(told), "{}", written.text());
    }
    check(0, 0, Exit::Done, "nothing is wrong: 0 documents");
    check(2, 2, Exit::Done, "2 findings, 2 of them repaired:");
    check(2, 1, Exit::Failed, "2 findings, 1 of them repaired:");
    check(2, 0, Exit::Failed, "2 findings:");
}

#[test]
fn findings_say_what_to_do() {
    let finding = pb::CheckFinding {
        place: "terms".to_owned(),
        path: "terms/meta.json".to_owned(),
        description: "7 chunks are missing".to_owned(),
        remedy: "make the index anew with --repair".to_owned(),
        repaired: false,
    };
    let written = Written::default();
    check_command::write_finding(&finding, &mut written.output(false)).expect("writing to memory works");
    assert_eq!(
        written.text(),
        "terms (terms/meta.json): 7 chunks are missing\n    make the index anew with --repair\n"
    );
}

#[test]
fn erasure_lists_places_and_what_was_missing() {
    let summary = pb::ErasureSummary {
        epoch: 5,
        document_count: 2,
        places: vec![pb::ErasedPlace {
            place: "texts".to_owned(),
            count: 3,
        }],
        not_found_document_ids: vec!["gone.md".to_owned()],
    };
    let written = Written::default();
    documents::erase::write(&summary, false, &mut written.output(false)).expect("writing to memory works");
    let expected = "gone.md: not found\n2 documents erased, epoch 5\nPLACE  ENTRIES\ntexts        3\n";
    assert_eq!(written.text(), expected);
}

#[test]
fn certificate_names_what_is_left() {
    let mut certificate = pb::ErasureCertificate {
        erased: false,
        epoch: 5,
        remainders: vec![pb::ErasureRemainder {
            place: "files".to_owned(),
            path: "store.sqlite".to_owned(),
            offset: 4_096,
            description: "3 fingerprints in a row".to_owned(),
            also_in_document_id: "twin.md".to_owned(),
        }],
        ..pb::ErasureCertificate::default()
    };
    let told = |certificate: &pb::ErasureCertificate| {
        let written = Written::default();
        documents::erase::write_certificate(certificate, &mut written.output(false)).expect("writing to memory works");
        written.text()
    };
    let refused = told(&certificate);
    let line = "store.sqlite at byte 4096: 3 fingerprints in a row (also in twin.md)\nnot erased: something is left";
    assert!(refused.starts_with(line), "{refused}");
    certificate.erased = true;
    certificate.remainders.clear();
    assert!(told(&certificate).starts_with("erased: nothing is left, at epoch 5"));
}

#[test]
fn revisions_say_which_epochs_see_them() {
    #[track_caller]
    fn check(added_epoch: u64, retired_epoch: u64, expected: &str) {
        let revision = pb::Revision {
            added_epoch,
            retired_epoch,
            ..pb::Revision::default()
        };
        let written = Written::default();
        documents::history::write_page(&[revision], &mut written.output(false)).expect("writing to memory works");
        assert!(written.text().contains(expected), "{}", written.text());
    }
    check(3, 0, "  3 on  ");
    check(3, 4, "  3    ");
    check(3, 8, "  3 to 7  ");
}
