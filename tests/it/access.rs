//! Access lists hold in both legs, in answers and in what is counted, at every epoch.

use groundwork::document::DocumentId;
use groundwork::document::access::{AccessList, UserContext};
use groundwork::document::metadata::MetadataValue;
use groundwork::generate::{AnswerEvent, Inference, NoAnswerReason};
use groundwork::knowledge_base::{
    AsOf, DocumentStatus, Groundwork, NewDocument, Question, ReadAt, Retrieval, ServiceTier,
};
use groundwork::retrieve::{Filter, Query, SearchType};
use groundwork::worker::Cancel;

use crate::support::{ids, ingest, open, text, with_base};

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn for_group(group: &str) -> AccessList {
    AccessList {
        allow_groups: names(&[group]),
        ..AccessList::default()
    }
}

fn restricted(id: &str, content: &str, access: AccessList) -> NewDocument {
    let mut document = text(id, content);
    document.metadata = [("topic".to_owned(), MetadataValue::String("tide".to_owned()))].into();
    document.access = access;
    document
}

fn caller(user_id: &str, groups: &[&str]) -> UserContext {
    UserContext {
        user_id: user_id.to_owned(),
        groups: names(groups),
    }
}

fn retrieve(groundwork: &Groundwork, query: &Query, at: ReadAt) -> Retrieval {
    groundwork
        .retrieve("kb", query, at, &Cancel::new())
        .expect("the search works")
}

/// Checks what a caller finds by every leg, with and without a filter, and what the caller is told of how much there is.
#[track_caller]
fn check(groundwork: &Groundwork, caller: Option<&UserContext>, at: ReadAt, expected: &[&str]) {
    let everything = Filter::Not(Box::new(Filter::Equals(
        "topic".to_owned(),
        MetadataValue::String("nothing".to_owned()),
    )));
    for filter in [None, Some(everything)] {
        for search_type in [SearchType::Keyword, SearchType::Semantic, SearchType::Hybrid] {
            // Twice: what is kept of the first search must not serve another caller.
            for exact in [false, true] {
                let query = Query {
                    search_type,
                    exact,
                    limit: 100,
                    filter: filter.clone(),
                    caller: caller.cloned(),
                    ..Query::new("harbour tide")
                };
                let retrieval = retrieve(groundwork, &query, at);
                let mut found = ids(&retrieval.hits);
                found.sort();
                assert_eq!(found, expected, "{search_type:?} {filter:?} {caller:?}");
                let counts = (retrieval.plan.visible_chunks, retrieval.plan.accepted_chunks);
                assert_eq!(counts, (expected.len(), expected.len()), "{caller:?}");
                assert_eq!(retrieval.chunk_count, expected.len());
                assert!(retrieval.plan.work.vectors.candidates <= expected.len() as u64);
                assert!(retrieval.plan.work.terms.candidates <= expected.len() as u64);
                let ranks = retrieval.hits.iter().filter_map(|hit| hit.bm25?.rank);
                assert!(
                    ranks.max().unwrap_or(0) as usize <= expected.len(),
                    "a rank tells of no others"
                );
            }
        }
    }
}

#[test]
fn callers_find_what_they_may() {
    let (home, groundwork) = with_base(&[]);
    let all_but_ann = AccessList {
        deny_users: names(&["ann"]),
        ..AccessList::default()
    };
    let staff_but_interns = AccessList {
        deny_groups: names(&["interns"]),
        ..for_group("staff")
    };
    ingest(
        &groundwork,
        vec![
            restricted("open", "The harbour has a tide.", AccessList::default()),
            restricted("staff", "The harbour tide of the staff.", for_group("staff")),
            restricted("but-ann", "A harbour tide not for all.", all_but_ann),
            restricted("no-interns", "Harbour tide, harbour tide.", staff_but_interns),
        ],
    );
    let now = ReadAt::default();
    let check_all = |groundwork: &Groundwork| {
        check(groundwork, None, now, &["open"]);
        check(groundwork, Some(&caller("ann", &[])), now, &["open"]);
        check(groundwork, Some(&caller("bob", &[])), now, &["but-ann", "open"]);
        check(
            groundwork,
            Some(&caller("ann", &["staff"])),
            now,
            &["no-interns", "open", "staff"],
        );
        check(
            groundwork,
            Some(&caller("bob", &["interns", "staff"])),
            now,
            &["but-ann", "open", "staff"],
        );
        check(
            groundwork,
            Some(&caller("", &["staff"])),
            now,
            &["but-ann", "no-interns", "open", "staff"],
        );
    };
    check_all(&groundwork);
    let (info, _, _) = groundwork
        .document("kb", &id("staff"), false, now, &Cancel::new())
        .expect("it is there");
    assert_eq!(info.access, for_group("staff"));
    drop(groundwork);
    check_all(&open(home.path()));
}

fn id(text: &str) -> DocumentId {
    DocumentId::parse(text).expect("an id")
}

#[test]
fn a_changed_list_takes_effect() {
    let (_home, groundwork) = with_base(&[]);
    let document = |access| vec![restricted("a", "The harbour tide.", access)];
    ingest(&groundwork, document(AccessList::default()));
    let now = ReadAt::default();
    check(&groundwork, None, now, &["a"]);
    let (outcomes, _) = ingest(&groundwork, document(for_group("staff")));
    assert_eq!(outcomes[0].status, DocumentStatus::Indexed);
    check(&groundwork, None, now, &[]);
    check(&groundwork, Some(&caller("ann", &["staff"])), now, &["a"]);
    let (outcomes, _) = ingest(&groundwork, document(for_group("staff")));
    assert_eq!(
        outcomes[0].status,
        DocumentStatus::Ignored,
        "the same list is no change"
    );
    ingest(&groundwork, document(for_group("pilots")));
    check(&groundwork, Some(&caller("ann", &["staff"])), now, &[]);
    check(&groundwork, Some(&caller("ann", &["pilots"])), now, &["a"]);
    // Each epoch is read under the lists of its time.
    let at = |epoch| ReadAt {
        as_of: Some(AsOf::Epoch(groundwork::index::Epoch(epoch))),
        ..now
    };
    check(&groundwork, None, at(1), &["a"]);
    check(&groundwork, Some(&caller("ann", &["staff"])), at(2), &["a"]);
    check(&groundwork, Some(&caller("ann", &["pilots"])), at(2), &[]);
}

#[test]
fn answers_rest_on_what_the_caller_may_find() {
    let (_home, groundwork) = with_base(&["The tide at Cuxhaven turns every six hours [1]."]);
    let secret = "The tide at Cuxhaven turns every six hours.";
    ingest(&groundwork, vec![restricted("secret", secret, for_group("pilots"))]);
    let ask = |caller: Option<UserContext>| {
        let question = Question {
            service_tier: ServiceTier::Default,
            query: Query {
                caller,
                ..Query::new("How often does the tide at Cuxhaven turn?")
            },
            model_id: String::new(),
            inference: Inference::default(),
            at: ReadAt::default(),
        };
        let (mut references, mut citations) = (0, 0);
        let summary = groundwork
            .answer("kb", &question, &Cancel::new(), &mut |event| {
                match event {
                    AnswerEvent::References(offered) => references += offered.len(),
                    AnswerEvent::Citation(_) => citations += 1,
                    AnswerEvent::Text(_) => {}
                }
                Ok(())
            })
            .expect("an answer, or none");
        (references, citations, summary.generation.no_answer_reason)
    };
    let nothing = (0, 0, Some(NoAnswerReason::EmptyKnowledgeBase));
    assert_eq!(ask(None), nothing);
    assert_eq!(ask(Some(caller("ann", &["staff"]))), nothing);
    assert_eq!(ask(Some(caller("ann", &["pilots"]))), (1, 1, None));
}

#[test]
fn attributes_of_hidden_documents_are_not_told() {
    let (_home, groundwork) = with_base(&[]);
    let mut secret = text("secret", "The harbour tide.");
    secret.metadata = [("salary".to_owned(), MetadataValue::Number(1.0))].into();
    secret.access = for_group("payroll");
    ingest(
        &groundwork,
        vec![restricted("open", "A harbour tide.", AccessList::default()), secret],
    );
    let ask = |caller: Option<UserContext>| {
        let query = Query {
            filter: Some(Filter::Exists("salary".to_owned())),
            caller,
            ..Query::new("harbour")
        };
        let found = groundwork.retrieve("kb", &query, ReadAt::default(), &Cancel::new());
        found
            .map(|found| ids(&found.hits))
            .map_err(|error| error.violations[0].description.clone())
    };
    let refused = "no document has the attribute `salary`; the nearest that is known: `topic`";
    assert_eq!(ask(None), Err(refused.to_owned()));
    assert_eq!(ask(Some(caller("ann", &["payroll"]))), Ok(vec!["secret".to_owned()]));
    assert_eq!(
        ask(None),
        Err(refused.to_owned()),
        "what another may ask is not kept for all"
    );
}
