//! `KnowledgeBaseService`.

use std::sync::Arc;

use tonic::{Request, Response, Status, Streaming};

use super::call::{AtShutdown, Flow, Replies, run, stream, unary};
use super::convert::{
    change, epoch, epoch_info, knowledge_base, limits, new_knowledge_base, page, read_at, required, rollback_target,
    rolled_back,
};
use super::{ServiceConfig, archive, pb, upkeep};
use crate::knowledge_base::{Groundwork, ReadAt};

const ID: &str = "knowledge_base_id";
const PIN_NAME: &str = "pin_name";
/// Messages of a long call that may wait for a slow client.
const WAITING_MESSAGES: usize = 16;
/// Parts of an archive that may wait for a slow client.
const WAITING_PARTS: usize = 2;

/// The service over the facade.
#[derive(Debug)]
pub(super) struct KnowledgeBases {
    groundwork: Arc<Groundwork>,
    flow: Flow,
}

impl KnowledgeBases {
    /// Serves `groundwork`.
    pub(super) fn new(groundwork: Arc<Groundwork>, config: &ServiceConfig) -> Self {
        let flow = Flow {
            capacity: WAITING_MESSAGES,
            stall_timeout: config.stall_timeout,
            at_shutdown: AtShutdown::Cancel,
        };
        Self { groundwork, flow }
    }

    /// Returns the flow of a stream of parts, which are large.
    fn archive_flow(&self) -> Flow {
        Flow {
            capacity: WAITING_PARTS,
            ..self.flow
        }
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
        let at_shutdown = AtShutdown::of_read(request.get_ref().min_epoch);
        run(request, &self.groundwork, at_shutdown, |groundwork, request, cancel| {
            let id = required(ID, request.knowledge_base_id)?;
            let at = read_at(request.min_epoch, request.as_of_epoch, request.as_of_time)?;
            let found = groundwork.knowledge_base(&id, at, cancel)?;
            Ok(pb::GetKnowledgeBaseResponse {
                knowledge_base: Some(knowledge_base(found)),
            })
        })
        .await
    }

    async fn get_limits(
        &self,
        request: Request<pb::GetLimitsRequest>,
    ) -> Result<Response<pb::GetLimitsResponse>, Status> {
        unary(request, &self.groundwork, |groundwork, request, cancel| {
            let named = match request.knowledge_base_id.as_str() {
                "" => None,
                id => Some(groundwork.knowledge_base(id, ReadAt::default(), cancel)?),
            };
            let (max_model_memory, _) = groundwork.model_memory();
            Ok(limits(groundwork.settings(), max_model_memory, named))
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
            let changed = groundwork.update_knowledge_base(&id, change(request)?)?;
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

    async fn list_epochs(
        &self,
        request: Request<pb::ListEpochsRequest>,
    ) -> Result<Response<pb::ListEpochsResponse>, Status> {
        unary(request, &self.groundwork, |groundwork, request, _| {
            let id = required(ID, request.knowledge_base_id)?;
            let page = page(request.page_size, request.page_token)?;
            let (listed, published) = groundwork.epochs(&id, request.pinned_only, &page)?;
            Ok(pb::ListEpochsResponse {
                epochs: listed.items.into_iter().map(epoch_info).collect(),
                next_page_token: listed.next_token,
                epoch: published.0,
            })
        })
        .await
    }

    async fn pin_epoch(&self, request: Request<pb::PinEpochRequest>) -> Result<Response<pb::PinEpochResponse>, Status> {
        unary(request, &self.groundwork, |groundwork, request, _| {
            let id = required(ID, request.knowledge_base_id)?;
            let name = required(PIN_NAME, request.pin_name)?;
            let pinned = groundwork.pin_epoch(&id, &name, epoch(request.epoch))?;
            Ok(pb::PinEpochResponse {
                epoch: Some(epoch_info(pinned)),
            })
        })
        .await
    }

    async fn unpin_epoch(
        &self,
        request: Request<pb::UnpinEpochRequest>,
    ) -> Result<Response<pb::UnpinEpochResponse>, Status> {
        unary(request, &self.groundwork, |groundwork, request, _| {
            let id = required(ID, request.knowledge_base_id)?;
            let unpinned = groundwork.unpin_epoch(&id, &required(PIN_NAME, request.pin_name)?)?;
            Ok(pb::UnpinEpochResponse { epoch: unpinned.0 })
        })
        .await
    }

    async fn diff_knowledge_base(
        &self,
        request: Request<pb::DiffKnowledgeBaseRequest>,
    ) -> Result<Response<Self::DiffKnowledgeBaseStream>, Status> {
        Ok(stream(request, &self.groundwork, self.flow, upkeep::compare))
    }

    async fn rollback_knowledge_base(
        &self,
        request: Request<pb::RollbackKnowledgeBaseRequest>,
    ) -> Result<Response<pb::RollbackKnowledgeBaseResponse>, Status> {
        unary(request, &self.groundwork, |groundwork, request, _| {
            let id = required(ID, request.knowledge_base_id)?;
            let target = rollback_target(request.to_epoch, request.to_pin_name)?;
            groundwork.rollback(&id, &target, request.dry_run).map(rolled_back)
        })
        .await
    }

    async fn vacuum_knowledge_base(
        &self,
        request: Request<pb::VacuumKnowledgeBaseRequest>,
    ) -> Result<Response<Self::VacuumKnowledgeBaseStream>, Status> {
        Ok(stream(request, &self.groundwork, self.flow, upkeep::vacuum))
    }

    async fn check_knowledge_base(
        &self,
        request: Request<pb::CheckKnowledgeBaseRequest>,
    ) -> Result<Response<Self::CheckKnowledgeBaseStream>, Status> {
        Ok(stream(request, &self.groundwork, self.flow, upkeep::check))
    }

    async fn backup_knowledge_base(
        &self,
        request: Request<pb::BackupKnowledgeBaseRequest>,
    ) -> Result<Response<Self::BackupKnowledgeBaseStream>, Status> {
        Ok(stream(request, &self.groundwork, self.archive_flow(), archive::back_up))
    }

    async fn restore_knowledge_base(
        &self,
        request: Request<Streaming<pb::RestoreKnowledgeBaseRequest>>,
    ) -> Result<Response<pb::RestoreKnowledgeBaseResponse>, Status> {
        run(request, &self.groundwork, AtShutdown::Cancel, archive::restore).await
    }

    async fn bundle_knowledge_base(
        &self,
        request: Request<pb::BundleKnowledgeBaseRequest>,
    ) -> Result<Response<Self::BundleKnowledgeBaseStream>, Status> {
        Ok(stream(request, &self.groundwork, self.archive_flow(), archive::bundle))
    }
}
