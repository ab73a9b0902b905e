//! `ModelService`.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::call::unary;
use super::convert::{modality_filter, model, page, required};
use super::pb;
use crate::knowledge_base::Groundwork;

/// The service over the facade.
#[derive(Debug)]
pub(super) struct Models {
    groundwork: Arc<Groundwork>,
}

impl Models {
    /// Serves `groundwork`.
    pub(super) fn new(groundwork: Arc<Groundwork>) -> Self {
        Self { groundwork }
    }
}

#[tonic::async_trait]
impl pb::model_service_server::ModelService for Models {
    async fn list_foundation_models(
        &self,
        request: Request<pb::ListFoundationModelsRequest>,
    ) -> Result<Response<pb::ListFoundationModelsResponse>, Status> {
        unary(request, &self.groundwork, |groundwork, request, _| {
            let modality = modality_filter(request.by_output_modality)?;
            let page = page(request.page_size, request.page_token)?;
            let listed = groundwork.models(modality, &request.by_provider, &page)?;
            Ok(pb::ListFoundationModelsResponse {
                model_summaries: listed.items.into_iter().map(model).collect(),
                next_page_token: listed.next_token,
            })
        })
        .await
    }

    async fn get_foundation_model(
        &self,
        request: Request<pb::GetFoundationModelRequest>,
    ) -> Result<Response<pb::GetFoundationModelResponse>, Status> {
        unary(request, &self.groundwork, |groundwork, request, _| {
            let found = groundwork.model(&required("model_id", request.model_id)?)?;
            Ok(pb::GetFoundationModelResponse {
                model_details: Some(model(found)),
            })
        })
        .await
    }
}
