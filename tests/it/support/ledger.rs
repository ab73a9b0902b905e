//! What a client was told of a knowledge base, and whether a server keeps it.
//!
//! Comes in: every write before it is sent, and again once it is acknowledged. Goes out: what a server shows that it must
//! not show.
//! Always holds: a document that was acknowledged may be in that one state only; one whose write was refused, or never
//! answered, may be as before or as sent. What a server has once shown counts as acknowledged from then on.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error as _;
use std::fmt;
use std::time::Duration;

use groundwork::service::pb::document_service_client::DocumentServiceClient;
use groundwork::service::pb::knowledge_base_service_client::KnowledgeBaseServiceClient;
use groundwork::service::pb::retrieval_service_client::RetrievalServiceClient;
use groundwork::service::pb::{
    Document, DocumentStatus, GetDocumentRequest, GetKnowledgeBaseRequest, KnowledgeBaseStatus, ListDocumentsRequest,
    RetrievalConfiguration, RetrievalQuery, RetrieveRequest, SearchType, VectorSearchConfiguration,
};
use parking_lot::Mutex;
use tonic::Status;
use tonic_types::StatusExt as _;

use super::server::Server;

/// Time in which a server answers, unless it hangs.
pub(crate) const ANSWER_TIMEOUT: Duration = Duration::from_mins(1);
/// Hits that a search asks for: more than any of these knowledge bases has.
const ALL_HITS: u32 = 1_000;
/// Lines of a document whose id says that it is big.
const BIG_LINES: usize = 60;

/// A version of a document, or that there is none.
pub(crate) type State = Option<u32>;

/// Returns the text of a version of a document. Every chunk of it is found with `logbook voyage`.
pub(crate) fn content(id: &str, version: u32) -> String {
    if !id.starts_with("big") {
        return format!("Logbook {id} in its version{version} tells of the voyage.");
    }
    let line = |line| format!("Page {line} of logbook {id} in its version{version} tells of the voyage.\n\n");
    (0..BIG_LINES).map(line).collect()
}

/// What a server said no with.
#[derive(Debug, Clone)]
pub(crate) struct Refusal {
    pub(crate) code: tonic::Code,
    /// The reason of the details; empty when there is none.
    pub(crate) reason: String,
    pub(crate) message: String,
}

/// Why a check of a server did not pass.
#[derive(Debug, Clone)]
pub(crate) enum Finding {
    /// It refuses, in order and with a reason.
    Refused(Refusal),
    /// It is gone, hangs, or shows something else than what was acknowledged.
    Wrong(String),
}

impl From<Status> for Finding {
    fn from(status: Status) -> Self {
        // Only a status that was made on this side, for a connection that broke, has a cause.
        if let Some(cause) = status.source() {
            return Self::Wrong(format!("the server went away: {cause}"));
        }
        let reason = status
            .get_details_error_info()
            .map_or(String::new(), |info| info.reason);
        Self::Refused(Refusal {
            code: status.code(),
            reason,
            message: status.message().to_owned(),
        })
    }
}

impl From<tonic::transport::Error> for Finding {
    fn from(error: tonic::transport::Error) -> Self {
        Self::Wrong(format!("the server cannot be reached: {error}"))
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(Refusal { code, reason, message }) => write!(f, "refused with {code:?} {reason}: {message}"),
            Self::Wrong(what) => f.write_str(what),
        }
    }
}

/// What is there, as one look at a server found it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen {
    pub(crate) epoch: u64,
    /// Every document as it is described.
    pub(crate) documents: BTreeMap<String, Document>,
    /// The cosine of each chunk to the query, by the chunk's document and text.
    pub(crate) similarities: BTreeMap<(String, String), f64>,
}

#[derive(Debug, Clone)]
struct Entry {
    /// States that it may be in.
    possible: BTreeSet<State>,
    last_version: u32,
}

/// What a client knows of the documents of one knowledge base.
#[derive(Debug, Clone)]
pub(crate) struct Ledger {
    knowledge_base: String,
    entries: BTreeMap<String, Entry>,
    /// Documents that one unanswered call deletes: all of them or none.
    together: Vec<Vec<String>>,
    /// The largest epoch that was told with an acknowledgement.
    epoch: u64,
    acknowledgements: usize,
}

impl Ledger {
    /// The ledger of a knowledge base of this name, without documents.
    pub(crate) fn new(knowledge_base: &str) -> Self {
        Self {
            knowledge_base: knowledge_base.to_owned(),
            entries: BTreeMap::new(),
            together: Vec::new(),
            epoch: 0,
            acknowledgements: 0,
        }
    }

    /// Returns the name of the knowledge base.
    pub(crate) fn knowledge_base(&self) -> &str {
        &self.knowledge_base
    }

    /// Notes that the next version of a document is about to be sent, and returns it.
    pub(crate) fn put_sent(&mut self, id: &str) -> u32 {
        let entry = self.entries.entry(id.to_owned()).or_insert_with(|| Entry {
            possible: BTreeSet::from([None]),
            last_version: 0,
        });
        entry.last_version += 1;
        entry.possible.insert(Some(entry.last_version));
        let version = entry.last_version;
        self.forget_together(id);
        version
    }

    /// Returns the version of a document that was sent last; 0 for one that never was.
    pub(crate) fn last_version(&self, id: &str) -> u32 {
        self.entries.get(id).map_or(0, |entry| entry.last_version)
    }

    /// Notes that these documents are about to be deleted by one call.
    pub(crate) fn delete_sent(&mut self, ids: &[String]) {
        for id in ids {
            self.forget_together(id);
        }
        let certain = |id: &&String| self.state(id).is_some_and(|state| state.is_some());
        self.together.push(ids.iter().filter(certain).cloned().collect());
        for id in ids {
            if let Some(entry) = self.entries.get_mut(id) {
                entry.possible.insert(None);
            }
        }
    }

    /// Notes that a write came to its end in this state, at this epoch.
    pub(crate) fn acknowledged(&mut self, id: &str, state: State, epoch: u64) {
        let entry = self.entries.get_mut(id).expect("what is acknowledged was sent");
        entry.possible = BTreeSet::from([state]);
        self.epoch = self.epoch.max(epoch);
        self.acknowledgements += 1;
        self.forget_together(id);
    }

    fn forget_together(&mut self, id: &str) {
        self.together.retain(|ids| !ids.iter().any(|known| known == id));
    }

    /// Returns the state of a document, if only one is possible.
    fn state(&self, id: &str) -> Option<State> {
        let possible = &self.entries.get(id)?.possible;
        possible.first().copied().filter(|_| possible.len() == 1)
    }

    /// Returns the documents that are there for certain.
    pub(crate) fn present(&self) -> Vec<String> {
        let is_present = |id: &&String| self.state(id).is_some_and(|state| state.is_some());
        self.entries.keys().filter(is_present).cloned().collect()
    }

    /// Returns how many documents may be in more than one state.
    pub(crate) fn in_doubt(&self) -> usize {
        self.entries.values().filter(|entry| entry.possible.len() > 1).count()
    }

    /// Returns how many writes were acknowledged, document by document.
    pub(crate) fn acknowledgements(&self) -> usize {
        self.acknowledgements
    }

    /// Returns the largest epoch that was told with an acknowledgement.
    pub(crate) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Does what [`Ledger::verify`] does, and takes what was seen as known.
    pub(crate) async fn settle(ledger: &Mutex<Self>, server: &Server) -> Result<Seen, Finding> {
        let mut known = ledger.lock().clone();
        let seen = known.verify(server).await;
        *ledger.lock() = known;
        seen
    }

    /// Does what [`Ledger::verify`] does for a ledger that others write to, and leaves it as it is.
    pub(crate) async fn look(ledger: &Mutex<Self>, server: &Server) -> Result<Seen, Finding> {
        let mut known = ledger.lock().clone();
        known.verify(server).await
    }

    /// Checks that store, keyword leg and dense leg of a server show the same, and nothing that cannot be.
    pub(crate) async fn verify(&mut self, server: &Server) -> Result<Seen, Finding> {
        tokio::time::timeout(ANSWER_TIMEOUT, self.verify_now(server))
            .await
            .unwrap_or_else(|_| Err(Finding::Wrong("the server hangs".to_owned())))
    }

    async fn verify_now(&mut self, server: &Server) -> Result<Seen, Finding> {
        let described = self.describe(server).await?;
        let found = self.documents(server).await?;
        self.check_states(&found)?;
        let by_keyword = self.search(server, SearchType::Keyword).await?;
        let by_vector = self.search(server, SearchType::Semantic).await?;
        let mut chunks = 0;
        for (id, document) in &found {
            let hits: Vec<&String> = texts_of(&by_keyword, id).collect();
            if hits.len() != document.chunks() {
                let (shown, all) = (hits.len(), document.chunks());
                return wrong(format!("the keyword leg shows {shown} of {all} chunks of {id}"));
            }
            if let Some(hit) = hits.iter().find(|hit| !document.text.contains(hit.as_str())) {
                return wrong(format!("a hit shows `{hit}`, which {id} does not hold"));
            }
            chunks += hits.len();
        }
        if let Some((id, _)) = by_keyword.keys().find(|(id, _)| !found.contains_key(id)) {
            return wrong(format!("the keyword leg shows {id}, which the store does not have"));
        }
        let mut differing = by_keyword.keys().filter(|hit| !by_vector.contains_key(*hit));
        let mut beyond = by_vector.keys().filter(|hit| !by_keyword.contains_key(*hit));
        if let Some((id, text)) = differing.next().or(beyond.next()) {
            return wrong(format!("one leg alone shows {id} with `{}`", clipped(text)));
        }
        if described.documents != found.len() || described.chunks != chunks {
            let (counted, counted_chunks) = (described.documents, described.chunks);
            let there = found.len();
            return wrong(format!(
                "{counted} documents and {counted_chunks} chunks are counted, {there} and {chunks} are there"
            ));
        }
        self.take_as_known(&found);
        Ok(Seen {
            epoch: described.epoch,
            documents: found.into_iter().map(|(id, found)| (id, found.document)).collect(),
            similarities: by_vector,
        })
    }

    async fn describe(&self, server: &Server) -> Result<Described, Finding> {
        let request = GetKnowledgeBaseRequest {
            knowledge_base_id: self.knowledge_base.clone(),
            ..GetKnowledgeBaseRequest::default()
        };
        let response = KnowledgeBaseServiceClient::new(server.connect().await?)
            .get_knowledge_base(request)
            .await?;
        let described = response.into_inner().knowledge_base.expect("a knowledge base");
        if described.status() == KnowledgeBaseStatus::Failed {
            return Err(Finding::Refused(Refusal {
                code: tonic::Code::Ok,
                reason: "KNOWLEDGE_BASE_FAILED".to_owned(),
                message: described.failure_reasons.join("; "),
            }));
        }
        if described.epoch < self.epoch {
            return wrong(format!(
                "epoch {} was acknowledged, the server is at {}",
                self.epoch, described.epoch
            ));
        }
        Ok(Described {
            epoch: described.epoch,
            documents: usize::try_from(described.document_count).expect("a count"),
            chunks: usize::try_from(described.chunk_count).expect("a count"),
        })
    }

    /// Reads every document that has content.
    async fn documents(&self, server: &Server) -> Result<BTreeMap<String, FoundDocument>, Finding> {
        let mut client = DocumentServiceClient::new(server.connect().await?);
        let mut ids = Vec::new();
        let mut page_token = String::new();
        loop {
            let request = ListDocumentsRequest {
                knowledge_base_id: self.knowledge_base.clone(),
                page_size: 1000,
                page_token,
                ..ListDocumentsRequest::default()
            };
            let page = client.list_documents(request).await?.into_inner();
            ids.extend(page.documents.into_iter().map(|document| document.document_id));
            page_token = page.next_page_token;
            if page_token.is_empty() {
                break;
            }
        }
        let mut found = BTreeMap::new();
        for id in ids {
            let request = GetDocumentRequest {
                knowledge_base_id: self.knowledge_base.clone(),
                document_id: id.clone(),
                include_text: true,
                ..GetDocumentRequest::default()
            };
            let response = client.get_document(request).await?.into_inner();
            let document = response.document.unwrap_or_default();
            // An attempt that failed is listed, and holds nothing.
            if document.chunk_count > 0 || document.status() == DocumentStatus::Indexed {
                let text = response.text;
                found.insert(id, FoundDocument { document, text });
            }
        }
        Ok(found)
    }

    fn check_states(&self, found: &BTreeMap<String, FoundDocument>) -> Result<(), Finding> {
        for (id, entry) in &self.entries {
            let text = found.get(id).map(|document| document.text.as_str());
            let is_possible = entry
                .possible
                .iter()
                .any(|state| state.map(|version| content(id, version)).as_deref() == text);
            if !is_possible {
                let shown = text.map_or("is gone".to_owned(), |text| format!("shows `{}`", clipped(text)));
                return wrong(format!("{id} {shown}, it may be in version {:?}", entry.possible));
            }
        }
        if let Some(id) = found.keys().find(|id| !self.entries.contains_key(*id)) {
            return wrong(format!("{id} is there and was never sent"));
        }
        for ids in &self.together {
            let there = ids.iter().filter(|id| found.contains_key(*id)).count();
            if there != 0 && there != ids.len() {
                return wrong(format!("one call deletes {ids:?}, and {there} of them are there"));
            }
        }
        Ok(())
    }

    /// All hits of a query with their scores of that leg, by document and text.
    async fn search(&self, server: &Server, search_type: SearchType) -> Result<Hits, Finding> {
        let request = RetrieveRequest {
            knowledge_base_id: self.knowledge_base.clone(),
            retrieval_query: Some(RetrievalQuery {
                text: "logbook voyage".to_owned(),
            }),
            retrieval_configuration: Some(RetrievalConfiguration {
                vector_search_configuration: Some(VectorSearchConfiguration {
                    number_of_results: ALL_HITS,
                    override_search_type: search_type.into(),
                    ..VectorSearchConfiguration::default()
                }),
            }),
            ..RetrieveRequest::default()
        };
        let response = RetrievalServiceClient::new(server.connect().await?)
            .retrieve(request)
            .await?
            .into_inner();
        let results = response.retrieval_results;
        assert!(results.len() < ALL_HITS as usize, "more chunks than a search can show");
        let mut found = Hits::new();
        for result in results {
            let text = result.content.unwrap_or_default().text;
            if let Some(other) = found.insert((result.document_id.clone(), text), result.score) {
                let id = result.document_id;
                return wrong(format!(
                    "{search_type:?} shows a chunk of {id} twice, the other time with {other}"
                ));
            }
        }
        Ok(found)
    }

    /// Takes what was seen as the only possible states.
    fn take_as_known(&mut self, found: &BTreeMap<String, FoundDocument>) {
        for (id, entry) in &mut self.entries {
            let text = found.get(id).map(|document| document.text.as_str());
            entry
                .possible
                .retain(|state| state.map(|version| content(id, version)).as_deref() == text);
        }
        self.together.clear();
    }
}

struct Described {
    epoch: u64,
    documents: usize,
    chunks: usize,
}

struct FoundDocument {
    document: Document,
    text: String,
}

impl FoundDocument {
    fn chunks(&self) -> usize {
        usize::try_from(self.document.chunk_count).expect("a count")
    }
}

/// Scores by document and text.
type Hits = BTreeMap<(String, String), f64>;

/// Returns the texts of a document's hits.
fn texts_of<'a>(hits: &'a Hits, id: &str) -> impl Iterator<Item = &'a String> {
    hits.keys().filter(move |(of, _)| of == id).map(|(_, text)| text)
}

fn wrong<T>(what: String) -> Result<T, Finding> {
    Err(Finding::Wrong(what))
}

fn clipped(text: &str) -> String {
    text.chars().take(120).collect()
}
