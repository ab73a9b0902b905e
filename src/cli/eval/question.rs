//! The queries of a collection, put to a server a few at a time, each until enough documents are found.

use std::sync::Arc;

use anyhow::Context as _;
use tokio::task::JoinSet;
use tonic::transport::Channel;

use crate::cli::moment::ReadFlags;
use crate::cli::progress;
use crate::cli::session::Session;
use crate::cli::text::one_line;
use crate::evaluate::{Ranking, Run, TestQuery};
use crate::service::client::Failure;
use crate::service::pb;
use crate::service::pb::retrieval_service_client::RetrievalServiceClient;

/// Queries under way at once: enough to keep a server busy, few enough to leave it to others.
const WINDOW: usize = 4;
/// Most hits that one call gives, as the contract of the wire says.
const MAX_HITS: u32 = 1_000;
/// How often a call is made that a busy server refuses.
const ATTEMPTS: u32 = 10;

/// How every query is asked.
#[derive(Debug, Clone)]
pub(super) struct Asking {
    pub(super) knowledge_base_id: String,
    pub(super) search: pb::VectorSearchConfiguration,
    pub(super) read: ReadFlags,
    /// Documents wanted for each.
    pub(super) depth: u32,
}

/// What the queries found.
#[derive(Debug, Default)]
pub(super) struct Asked {
    pub(super) run: Run,
    /// The first and the last epoch that answered.
    pub(super) epochs: Option<(u64, u64)>,
    /// Queries whose most hits lie in fewer documents than were wanted.
    pub(super) short_count: usize,
}

struct Answer {
    query_id: String,
    ranking: Ranking,
    epoch: u64,
    is_short: bool,
}

impl Asked {
    fn add(&mut self, answer: Answer) {
        let (first, last) = self.epochs.unwrap_or((answer.epoch, answer.epoch));
        self.epochs = Some((first.min(answer.epoch), last.max(answer.epoch)));
        self.short_count += usize::from(answer.is_short);
        self.run.insert(answer.query_id, answer.ranking);
    }
}

/// Asks all queries. Fails with the first call that does.
pub(super) async fn ask(asking: Asking, queries: Vec<TestQuery>, session: &Session) -> anyhow::Result<Asked> {
    let bar = progress::steps("queries", queries.len() as u64);
    let asking = Arc::new(asking);
    let client = session.connection.retrieval();
    let mut queries = queries.into_iter();
    let mut under_way = JoinSet::new();
    let mut asked = Asked::default();
    loop {
        while under_way.len() < WINDOW
            && let Some(query) = queries.next()
        {
            under_way.spawn(Arc::clone(&asking).answer(query, client.clone()));
        }
        let Some(answer) = under_way.join_next().await else {
            return Ok(asked);
        };
        asked.add(answer??);
        bar.inc(1);
    }
}

impl Asking {
    /// Asks for more and more hits, until they lie in enough documents or there are no more.
    async fn answer(
        self: Arc<Self>,
        query: TestQuery,
        mut client: RetrievalServiceClient<Channel>,
    ) -> anyhow::Result<Answer> {
        let depth = self.depth as usize;
        let mut limit = self.depth.saturating_mul(2).min(MAX_HITS);
        loop {
            let response = self.retrieve(&query.text, limit, &mut client).await;
            let response = response.with_context(|| format!("query `{}`", one_line(&query.id)))?;
            let hit_count = response.retrieval_results.len();
            let hits = response.retrieval_results.into_iter();
            let ranking = Ranking::of_hits(hits.map(|hit| (hit.document_id, hit.score)), depth);
            let is_short = ranking.documents().len() < depth && hit_count >= limit as usize;
            if !is_short || limit >= MAX_HITS {
                return Ok(Answer {
                    query_id: query.id,
                    ranking,
                    epoch: response.epoch,
                    is_short,
                });
            }
            limit = limit.saturating_mul(2).min(MAX_HITS);
        }
    }

    async fn retrieve(
        &self,
        text: &str,
        limit: u32,
        client: &mut RetrievalServiceClient<Channel>,
    ) -> Result<pb::RetrieveResponse, tonic::Status> {
        let request = pb::RetrieveRequest {
            explain: false,
            knowledge_base_id: self.knowledge_base_id.clone(),
            retrieval_query: Some(pb::RetrievalQuery { text: text.to_owned() }),
            retrieval_configuration: Some(pb::RetrievalConfiguration {
                vector_search_configuration: Some(pb::VectorSearchConfiguration {
                    number_of_results: limit,
                    ..self.search.clone()
                }),
            }),
            min_epoch: self.read.min_epoch(),
            as_of_epoch: self.read.as_of_epoch(),
            as_of_time: self.read.as_of_time(),
            user_context: None,
        };
        let mut attempt = 1;
        loop {
            let status = match client.retrieve(request.clone()).await {
                Ok(response) => return Ok(response.into_inner()),
                Err(status) => status,
            };
            match Failure::from(status.clone()).retry_after {
                Some(delay) if attempt < ATTEMPTS => tokio::time::sleep(delay).await,
                _ => return Err(status),
            }
            attempt += 1;
        }
    }
}
