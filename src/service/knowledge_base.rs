//! `KnowledgeBaseService`.

use std::sync::Arc;

use tonic::{Request, Response, Status, Streaming};

use super::call::{Replies, unary};
use super::convert::{change, knowledge_base, new_knowledge_base, page, required};
use super::pb;
use crate::knowledge_base::{Groundwork, ReadAt};

const ID: &str = "knowledge_base_id";

/// The service over the facade.
#[derive(Debug)]
pub(super) struct KnowledgeBases {
    groundwork: Arc<Groundwork>,
}

impl KnowledgeBases {
    /// Serves `groundwork`.
    pub(super) fn new(groundwork: Arc<Groundwork>) -> Self {
        Self { groundwork }
    }
}

#[tonic::async_trait]
impl pb::knowledge_base_service_server::KnowledgeBaseService for KnowledgeBases {
    type DiffKnowledgeBaseStream = Replies<pb::DiffKnowledgeBaseResponse>;
    type VacuumKnowledgeBaseStream = Replies<pb::VacuumKnowledgeBaseResponse>;
    type CheckKnowledgeBaseStream = Replies<pb::CheckKnowledgeBaseResponse>;
    type BackupKnowledgeBaseStream = Replies<pb::BackupKnowledgeBaseResponse>;
    type BundleKnowledgeBaseStream = Replies<pb::BundleKnowledgeBaseResponse>;

    async fn create_knowledge_base(
        &self,
        request: Request<pb::CreateKnowledgeBaseRequest>,
    ) -> Result<Response<pb::CreateKnowledgeBaseResponse>, Status> {
        unary(request, &self.groundwork, |groundwork, request, _| {
            let created = groundwork.create_knowledge_base(&new_knowledge_base(request)?)?;
            Ok(pb::CreateKnowledgeBaseResponse {
                knowledge_base: Some(knowledge_base(created)),
            })
        })
        .await
    }

    async fn get_knowledge_base(
        &self,
        request: Request<pb::GetKnowledgeBaseRequest>,
    ) -> Result<Response<pb::GetKnowledgeBaseResponse>, Status> {
        unary(request, &self.groundwork, |groundwork, request, cancel| {
            let found =
                groundwork.knowledge_base(&required(ID, request.knowledge_base_id)?, ReadAt::default(), cancel)?;
            Ok(pb::GetKnowledgeBaseResponse {
                knowledge_base: Some(knowledge_base(found)),
            })
        })
        .await
    }

    async fn list_knowledge_bases(
        &self,
        request: Request<pb::ListKnowledgeBasesRequest>,
    ) -> Result<Response<pb::ListKnowledgeBasesResponse>, Status> {
        unary(request, &self.groundwork, |groundwork, request, _| {
            let listed = groundwork.knowledge_bases(&page(request.page_size, request.page_token)?)?;
            Ok(pb::ListKnowledgeBasesResponse {
                knowledge_bases: listed.items.into_iter().map(knowledge_base).collect(),
                next_page_token: listed.next_token,
            })
        })
        .await
    }

    async fn update_knowledge_base(
        &self,
        request: Request<pb::UpdateKnowledgeBaseRequest>,
    ) -> Result<Response<pb::UpdateKnowledgeBaseResponse>, Status> {
        unary(request, &self.groundwork, |groundwork, mut request, _| {
            let id = required(ID, std::mem::take(&mut request.knowledge_base_id))?;
            let changed = groundwork.update_knowledge_base(&id, change(request))?;
            Ok(pb::UpdateKnowledgeBaseResponse {
                knowledge_base: Some(knowledge_base(changed)),
            })
        })
        .await
    }

    async fn delete_knowledge_base(
        &self,
        request: Request<pb::DeleteKnowledgeBaseRequest>,
    ) -> Result<Response<pb::DeleteKnowledgeBaseResponse>, Status> {
        unary(request, &self.groundwork, |groundwork, request, _| {
            let knowledge_base_id = groundwork.delete_knowledge_base(&required(ID, request.knowledge_base_id)?)?;
            Ok(pb::DeleteKnowledgeBaseResponse { knowledge_base_id })
        })
        .await
    }

    async fn list_epochs(&self, _: Request<pb::ListEpochsRequest>) -> Result<Response<pb::ListEpochsResponse>, Status> {
        Err(Status::unimplemented("not built yet"))
    }

    async fn pin_epoch(&self, _: Request<pb::PinEpochRequest>) -> Result<Response<pb::PinEpochResponse>, Status> {
        Err(Status::unimplemented("not built yet"))
    }

    async fn unpin_epoch(&self, _: Request<pb::UnpinEpochRequest>) -> Result<Response<pb::UnpinEpochResponse>, Status> {
        Err(Status::unimplemented("not built yet"))
    }

    async fn diff_knowledge_base(
        &self,
        _: Request<pb::DiffKnowledgeBaseRequest>,
    ) -> Result<Response<Self::DiffKnowledgeBaseStream>, Status> {
        Err(Status::unimplemented("not built yet"))
    }

    async fn rollback_knowledge_base(
        &self,
        _: Request<pb::RollbackKnowledgeBaseRequest>,
    ) -> Result<Response<pb::RollbackKnowledgeBaseResponse>, Status> {
        Err(Status::unimplemented("not built yet"))
    }

    async fn vacuum_knowledge_base(
        &self,
        _: Request<pb::VacuumKnowledgeBaseRequest>,
    ) -> Result<Response<Self::VacuumKnowledgeBaseStream>, Status> {
        Err(Status::unimplemented("not built yet"))
    }

    async fn check_knowledge_base(
        &self,
        _: Request<pb::CheckKnowledgeBaseRequest>,
    ) -> Result<Response<Self::CheckKnowledgeBaseStream>, Status> {
        Err(Status::unimplemented("not built yet"))
    }

    async fn backup_knowledge_base(
        &self,
        _: Request<pb::BackupKnowledgeBaseRequest>,
    ) -> Result<Response<Self::BackupKnowledgeBaseStream>, Status> {
        Err(Status::unimplemented("not built yet"))
    }

    async fn restore_knowledge_base(
        &self,
        _: Request<Streaming<pb::RestoreKnowledgeBaseRequest>>,
    ) -> Result<Response<pb::RestoreKnowledgeBaseResponse>, Status> {
        Err(Status::unimplemented("not built yet"))
    }

    async fn bundle_knowledge_base(
        &self,
        _: Request<pb::BundleKnowledgeBaseRequest>,
    ) -> Result<Response<Self::BundleKnowledgeBaseStream>, Status> {
        Err(Status::unimplemented("not built yet"))
    }
}
