//! Creating, describing and removing knowledge bases.

use std::time::SystemTime;

use sha2::{Digest as _, Sha256};

use super::base::Base;
use super::{
    Error, ErrorKind, Groundwork, KnowledgeBaseChange, KnowledgeBaseInfo, KnowledgeBaseStatus, NewKnowledgeBase,
    OriginalContent, Page, PageRequest, ReadAt, StorageInfo, check,
};
use crate::index::Language;
use crate::store::BaseRecord;
use crate::worker::Cancel;

/// Analyzer when the caller does not say.
const DEFAULT_LANGUAGE: &str = "auto";

impl Groundwork {
    /// Creates a knowledge base.
    pub fn create_knowledge_base(&self, request: &NewKnowledgeBase) -> Result<KnowledgeBaseInfo, Error> {
        check::name(&request.name)?;
        check::description(&request.description)?;
        check::tags(&request.tags)?;
        check::client_token(&request.client_token)?;
        let _changing = self.catalog_change.lock();
        let request_hash = request_hash(request);
        if !request.client_token.is_empty()
            && let Some((hash, record)) = self.catalog.by_client_token(&request.client_token)?
        {
            if hash == request_hash {
                return Ok(self.bases.describe(&record));
            }
            let message = format!(
                "the client token `{}` was used to create `{}` with other content",
                request.client_token, record.name
            );
            return Err(Error::new(ErrorKind::AlreadyExists, "CLIENT_TOKEN_REUSED", message)
                .about("knowledge_base", record.name));
        }
        self.check_name_free(&request.name)?;
        let record = self.new_record(request)?;
        let token = (!request.client_token.is_empty()).then_some((request.client_token.as_str(), &request_hash[..]));
        self.catalog.insert(&record, token)?;
        // Read back, so that a repeated call describes it alike to the millisecond.
        Ok(self.bases.describe(&self.record(&record.id)?))
    }

    fn new_record(&self, request: &NewKnowledgeBase) -> Result<BaseRecord, Error> {
        let language = match request.language.as_str() {
            "" => DEFAULT_LANGUAGE,
            language => language,
        };
        let language = Language::parse(language).map_err(|error| Error::invalid("language", error.to_string()))?;
        let embedding_model_id = match request.embedding_model_id.as_str() {
            "" => &self.settings.embedding_model_id,
            id => id,
        };
        let embedder = self
            .models
            .embedder(embedding_model_id, &Cancel::new())
            .map_err(|error| error.in_field("embedding_model_id"))?;
        check::chunking(request.chunking, embedder.max_tokens())?;
        let now = SystemTime::now();
        Ok(BaseRecord {
            id: ulid::Ulid::generate().to_string().to_lowercase(),
            name: request.name.clone(),
            description: request.description.clone(),
            embedding_model_id: embedder.model_id().to_owned(),
            dimensions: embedder.dimensions(),
            chunking: request.chunking,
            language: language.code().to_owned(),
            tags: request.tags.clone(),
            created_at: now,
            updated_at: now,
            retention: check::retention(request.retention)?.unwrap_or_default(),
            original_content: request.original_content,
            metadata_schema: check::metadata_schema(request.metadata_schema.clone())?,
        })
    }

    pub(super) fn record(&self, id_or_name: &str) -> Result<BaseRecord, Error> {
        if id_or_name.is_empty() {
            return Err(Error::invalid(
                "knowledge_base_id",
                "is required: the id or the name of a knowledge base",
            ));
        }
        self.catalog
            .find(id_or_name)?
            .or_else(|| self.bundles.find(id_or_name).cloned())
            .ok_or_else(|| Error::not_found("knowledge_base", id_or_name))
    }

    pub(super) fn base(&self, id_or_name: &str) -> Result<(BaseRecord, std::sync::Arc<Base>), Error> {
        let record = self.record(id_or_name)?;
        let base = self.bases.get(&record)?;
        Ok((record, base))
    }

    /// Describes a knowledge base, by id or name, with documents and chunks counted at an epoch.
    pub fn knowledge_base(&self, id_or_name: &str, at: ReadAt, cancel: &Cancel) -> Result<KnowledgeBaseInfo, Error> {
        let record = self.record(id_or_name)?;
        let mut info = self.bases.describe(&record);
        if info.status == KnowledgeBaseStatus::Failed {
            return Ok(info);
        }
        let base = self.bases.get(&record)?;
        let lease = base.lease(at, cancel)?;
        (info.document_count, info.chunk_count) = base.store.counts(lease.epoch())?;
        let storage = base.store.storage();
        info.storage = Some(StorageInfo {
            store_bytes: storage.store_bytes,
            terms_bytes: storage.terms_bytes,
            vectors_bytes: storage.vectors_bytes,
            retired_chunks: storage.retired_chunks,
            terms_segments: storage.terms_segments,
            vectors_segments: storage.vectors_segments,
            fresh_chunks: storage.fresh_chunks,
            upkeep: base.store.upkeep_progress(),
            write_failure: base.store.write_failure(),
        });
        info.live_recall = self.live_recall.as_ref().map(|recall| recall.of(&record.id));
        Ok(info)
    }

    /// Names the open knowledge bases that refuse writes, with the reason.
    pub fn write_failures(&self) -> Vec<(String, String)> {
        self.bases.write_failures()
    }

    /// Lists knowledge bases, oldest first, those of bundles last.
    pub fn knowledge_bases(&self, page: &PageRequest) -> Result<Page<KnowledgeBaseInfo>, Error> {
        let (size, after) = check::page(page)?;
        let records = self.catalog.page(after, size + 1)?;
        let sealed = self.bundles.page(after, size + 1 - records.len());
        let infos = records.iter().chain(sealed).map(|record| self.bases.describe(record));
        let infos = infos.collect();
        Ok(check::paged(infos, size, |info: &KnowledgeBaseInfo| &info.id))
    }

    /// Changes a knowledge base.
    pub fn update_knowledge_base(
        &self,
        id_or_name: &str,
        change: KnowledgeBaseChange,
    ) -> Result<KnowledgeBaseInfo, Error> {
        let _changing = self.catalog_change.lock();
        let mut record = self.record(id_or_name)?;
        self.check_writable(&record)?;
        if let Some(name) = change.name {
            check::name(&name)?;
            if name != record.name {
                self.check_name_free(&name)?;
            }
            record.name = name;
        }
        if let Some(description) = change.description {
            check::description(&description)?;
            record.description = description;
        }
        if let Some(tags) = change.tags {
            check::tags(&tags)?;
            record.tags = tags;
        }
        if let Some(retention) = check::retention(change.retention)? {
            record.retention = retention;
        }
        if let Some(schema) = change.metadata_schema {
            record.metadata_schema = check::metadata_schema(schema)?;
        }
        if let Some(original_content) = change.original_content {
            record.original_content = original_content;
        }
        record.updated_at = SystemTime::now();
        self.catalog.update(&record)?;
        Ok(self.bases.describe(&self.record(&record.id)?))
    }

    /// Removes a knowledge base and returns its id.
    pub fn delete_knowledge_base(&self, id_or_name: &str) -> Result<String, Error> {
        let _changing = self.catalog_change.lock();
        let record = self.record(id_or_name)?;
        self.check_writable(&record)?;
        let _prompts = self.models.forgetting_prompts();
        self.bases.remove(&record.id);
        self.tokens.forget(&record.id);
        self.results.forget(&record.id);
        if let Some(recall) = &self.live_recall {
            recall.forget(&record.id);
        }
        self.catalog.remove(&record.id)?;
        Ok(record.id)
    }
}

pub(super) fn name_taken(name: &str) -> Error {
    let message = format!("there is a knowledge base `{name}` already; take another name, or delete that one");
    Error::new(ErrorKind::AlreadyExists, "NAME_TAKEN", message).about("knowledge_base", name)
}

/// Hashes what a creation asks for, the client token left out.
fn request_hash(request: &NewKnowledgeBase) -> Vec<u8> {
    let mut content = serde_json::json!({
        "name": request.name,
        "description": request.description,
        "embedding_model_id": request.embedding_model_id,
        "chunking": match request.chunking {
            crate::chunk::ChunkConfig::FixedSize { max_tokens, overlap_tokens } => {
                serde_json::json!({ "max_tokens": max_tokens, "overlap_tokens": overlap_tokens })
            }
            crate::chunk::ChunkConfig::None => serde_json::Value::Null,
        },
        "language": request.language,
        "tags": request.tags,
        "retention": request.retention.map(|retention| (retention.epochs, retention.age)),
        "keeps_content": request.original_content == OriginalContent::Keep,
    });
    // Calls that declare nothing hash as they did before there was something to declare.
    if !request.metadata_schema.is_empty() {
        content["metadata_schema"] = format!("{:?}", request.metadata_schema).into();
    }
    // Hashes outlive the order in which fields are written here.
    content.sort_all_objects();
    Sha256::digest(content.to_string()).to_vec()
}
