//! Models to the wire.

use super::known;
use super::serving::serving;
use crate::knowledge_base::{Availability, Error, ModelInfo};
use crate::models::Modality;
use crate::service::pb;

/// Returns which models a list is to hold.
pub(in crate::service) fn modality_filter(number: i32) -> Result<Option<Modality>, Error> {
    Ok(match known("by_output_modality", number)? {
        pb::ModelModality::Unspecified => None,
        pb::ModelModality::Text => Some(Modality::Text),
        pb::ModelModality::Embedding => Some(Modality::Embedding),
    })
}

/// Returns whether a list is to hold any model: none can be customized, and all are used call by call.
pub(in crate::service) fn may_list(customization: i32, inference: i32) -> Result<bool, Error> {
    let customization: pb::ModelCustomizationType = known("by_customization_type", customization)?;
    let inference: pb::InferenceType = known("by_inference_type", inference)?;
    Ok(customization == pb::ModelCustomizationType::Unspecified && inference != pb::InferenceType::Provisioned)
}

/// Returns a description for the wire.
pub(in crate::service) fn model(info: ModelInfo) -> pb::FoundationModelDetails {
    let file = |(name, sha256, size_bytes): (String, String, u64)| pb::ModelFile {
        name,
        sha256,
        size_bytes,
    };
    pb::FoundationModelDetails {
        model_id: info.id,
        model_name: info.name,
        provider_name: info.provider,
        license: info.license,
        output_modality: modality(info.modality).into(),
        dimensions: info.dimensions as u32,
        max_input_tokens: u32::try_from(info.max_input_tokens).unwrap_or(u32::MAX),
        availability: availability(info.availability).into(),
        files: info.files.into_iter().map(file).collect(),
        is_default: info.is_default,
        memory_bytes: info.memory_bytes,
        serving: info.serving.map(serving),
        pinned: info.is_pinned,
        customizations_supported: Vec::new(),
        inference_types_supported: vec![pb::InferenceType::OnDemand.into()],
    }
}

fn modality(modality: Modality) -> pb::ModelModality {
    match modality {
        Modality::Text => pb::ModelModality::Text,
        Modality::Embedding => pb::ModelModality::Embedding,
    }
}

fn availability(availability: Availability) -> pb::ModelAvailability {
    match availability {
        Availability::NotInstalled => pb::ModelAvailability::NotInstalled,
        Availability::Installed => pb::ModelAvailability::Installed,
        Availability::Loaded => pb::ModelAvailability::Loaded,
    }
}
