//! The knowledge base that is measured: as it is, or made and filled from the collection.

use std::time::Instant;

use anyhow::Context as _;

use super::fill::{Filled, fill};
use crate::cli::exit::Usage;
use crate::cli::output::note;
use crate::cli::session::Session;
use crate::cli::text::one_line;
use crate::evaluate::{Collection, CorpusSummary};
use crate::service::pb;

/// Returns the description of the knowledge base, and what became of the documents that it was filled with.
pub(super) async fn prepare(
    name: &str,
    collection: Collection,
    corpus: Option<&CorpusSummary>,
    ingest: bool,
    session: &Session,
) -> anyhow::Result<(pb::KnowledgeBase, Filled)> {
    let found = describe(name, session).await?;
    let name = one_line(name);
    let id = match (found, corpus) {
        (Some(base), _) if !ingest => {
            warn_of_missing(&base, corpus);
            return Ok((base, Filled::default()));
        }
        (_, None) => {
            let message = format!(
                "there is no corpus.jsonl to fill `{name}` from: name a knowledge base that is there, without --ingest"
            );
            return Err(Usage(message).into());
        }
        (Some(base), Some(_)) => base.knowledge_base_id,
        (None, Some(_)) => create(&name, session).await?,
    };
    let wanted = corpus.map_or(0, worded);
    note(format!("ingesting {wanted} documents into `{name}`"));
    if let Some(blank) = corpus.map(|corpus| corpus.blank).filter(|blank| *blank > 0) {
        note(format!("{blank} more have neither text nor title and are left out"));
    }
    let begun = Instant::now();
    let filling = fill(&id, collection, wanted, session).await;
    let filled = filling.with_context(|| format!("filling `{name}` ended early, --ingest goes on from there"))?;
    note(format!(
        "{} indexed, {} unchanged, {} failed, {:.1} s",
        filled.indexed,
        filled.unchanged,
        filled.failed,
        begun.elapsed().as_secs_f64()
    ));
    let base = describe(&id, session).await?;
    let base = base.with_context(|| format!("`{name}` was deleted meanwhile"))?;
    Ok((base, filled))
}

/// Returns how many documents of a corpus can be found at all.
fn worded(corpus: &CorpusSummary) -> u64 {
    (corpus.ids.len() - corpus.blank) as u64
}

fn warn_of_missing(base: &pb::KnowledgeBase, corpus: Option<&CorpusSummary>) {
    let wanted = corpus.map_or(0, worded);
    if base.document_count < wanted {
        note(format!(
            "warning: `{}` holds {} documents, the collection {wanted}: --ingest adds what is missing",
            one_line(&base.name),
            base.document_count
        ));
    }
}

async fn describe(id_or_name: &str, session: &Session) -> anyhow::Result<Option<pb::KnowledgeBase>> {
    let request = pb::GetKnowledgeBaseRequest {
        knowledge_base_id: id_or_name.to_owned(),
        ..pb::GetKnowledgeBaseRequest::default()
    };
    match session.connection.knowledge_bases().get_knowledge_base(request).await {
        Ok(response) => Ok(response.into_inner().knowledge_base),
        Err(status) if status.code() == tonic::Code::NotFound => Ok(None),
        Err(status) => Err(status.into()),
    }
}

async fn create(name: &str, session: &Session) -> anyhow::Result<String> {
    let request = pb::CreateKnowledgeBaseRequest {
        name: name.to_owned(),
        description: "A test collection".to_owned(),
        ..pb::CreateKnowledgeBaseRequest::default()
    };
    let created = session
        .connection
        .knowledge_bases()
        .create_knowledge_base(request)
        .await;
    let created = created.with_context(|| format!("cannot create the knowledge base `{name}`"))?;
    let base = created.into_inner().knowledge_base;
    Ok(base.map(|base| base.knowledge_base_id).unwrap_or_default())
}
