//! Which documents are meant, which content, which erasure.

use super::super::*;
use super::{check, condition, year};
use crate::document::metadata::MetadataValue;
use crate::knowledge_base::{ContentRequest, Selection};
use crate::retrieve::Filter;
use crate::service::pb;
use crate::service::pb::retrieval_filter::Condition;

fn ids(count: usize) -> Vec<String> {
    (0..count).map(|at| format!("doc-{at}")).collect()
}

fn selected(ids: Vec<String>, filter: Option<pb::RetrievalFilter>, source: &str) -> Result<Selection, Error> {
    selection(ids, filter, source.to_owned())
}

fn of_year() -> pb::RetrievalFilter {
    condition(Condition::Equals(year(2024.0)))
}

#[test]
fn documents_are_named_in_one_way() {
    let by_ids = selected(ids(2), None, "").expect("it is valid");
    assert!(matches!(by_ids, Selection::Ids(ids) if ids.len() == 2));
    let by_filter = selected(Vec::new(), Some(of_year()), "").expect("it is valid");
    let expected = Filter::Equals("year".to_owned(), MetadataValue::Number(2024.0));
    assert_eq!(by_filter, Selection::Filter(expected));
    let by_source = selected(Vec::new(), None, "docs/").expect("it is valid");
    assert_eq!(by_source, Selection::Source("docs/".to_owned()));
}

#[test]
fn contradicting_selections_name_every_field() {
    #[track_caller]
    fn check_fields(result: Result<Selection, Error>, expected: &[&str]) {
        let error = result.expect_err("only one can be meant");
        let fields: Vec<&str> = error.violations.iter().map(|it| it.field.as_str()).collect();
        assert_eq!(fields, expected);
    }
    check_fields(selected(ids(1), Some(of_year()), ""), &["document_ids", "filter"]);
    check_fields(selected(Vec::new(), Some(of_year()), "s"), &["filter", "source_name"]);
    check_fields(
        selected(ids(1), Some(of_year()), "s"),
        &["document_ids", "filter", "source_name"],
    );
    check(selected(Vec::new(), None, ""), "document_ids", "exactly one");
}

#[test]
fn bad_selection_names_its_own_field() {
    check(
        selected(vec!["a".to_owned(), String::new()], None, ""),
        "document_ids[1]",
        "",
    );
    let nameless = pb::FilterAttribute {
        key: String::new(),
        ..year(1.0)
    };
    let filter = condition(Condition::Equals(nameless));
    check(
        selected(Vec::new(), Some(filter), ""),
        "filter.equals.key",
        "1 to 100 bytes",
    );
}

const HASH: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn content(document_id: &str, content_hash: &str, as_of_epoch: u64) -> Result<ContentRequest, Error> {
    content_request(pb::GetDocumentContentRequest {
        document_id: document_id.to_owned(),
        content_hash: content_hash.to_owned(),
        as_of_epoch,
        ..pb::GetDocumentContentRequest::default()
    })
}

#[test]
fn content_is_of_a_document_or_of_a_hash() {
    assert!(matches!(content("doc", "", 3), Ok(ContentRequest::Document(_, at)) if at.as_of.is_some()));
    assert_eq!(content("", HASH, 0).ok(), Some(ContentRequest::Hash(HASH.to_owned())));
    check(content("", "", 0), "document_id", "exactly one");
    check(content("doc", HASH, 0), "document_id", "absent");
    check(content("", HASH, 3), "as_of_epoch", "absent");
    for hash in ["abc", &HASH.to_uppercase(), &format!("{HASH}0")] {
        check(content("", hash, 0), "content_hash", "64 lowercase");
    }
}

#[test]
fn erasure_is_looked_for_by_what_is_given() {
    let look = |document_id: &str, content_hash: &str| {
        erasure_query(pb::VerifyErasureRequest {
            document_id: document_id.to_owned(),
            content_hash: content_hash.to_owned(),
            phrases: vec!["a phrase".to_owned()],
            ..pb::VerifyErasureRequest::default()
        })
    };
    let both = look("doc", HASH).expect("it is valid");
    assert!(both.document_id.is_some() && both.content_hash.as_deref() == Some(HASH));
    let none = look("", "").expect("the facade judges it");
    assert_eq!(
        (none.document_id, none.content_hash, none.phrases.len()),
        (None, None, 1)
    );
    check(look("a\nb", ""), "document_id", "control");
}
