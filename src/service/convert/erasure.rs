//! Erasures and their certificates, both ways.

use std::time::SystemTime;

use super::document_id;
use crate::knowledge_base::{
    Certificate, ErasedPlace, Erasure, ErasureQuery, Error, Remainder, SearchedPlace as Searched,
};
use crate::service::pb;
use crate::service::pb::{erase_documents_response, verify_erasure_response};

/// Returns what is to be looked for. Whether that is enough is the facade's to judge.
pub(in crate::service) fn erasure_query(request: pb::VerifyErasureRequest) -> Result<ErasureQuery, Error> {
    let given = |text: String| (!text.is_empty()).then_some(text);
    let document = given(request.document_id).map(|id| document_id("document_id", id));
    Ok(ErasureQuery {
        document_id: document.transpose()?,
        content_hash: given(request.content_hash),
        phrases: request.phrases,
    })
}

impl From<pb::Progress> for pb::EraseDocumentsResponse {
    fn from(progress: pb::Progress) -> Self {
        Self {
            payload: Some(erase_documents_response::Payload::Progress(progress)),
        }
    }
}

impl From<Erasure> for pb::EraseDocumentsResponse {
    fn from(erasure: Erasure) -> Self {
        let place = |place: ErasedPlace| pb::ErasedPlace {
            place: place.place.to_owned(),
            count: place.count,
        };
        let summary = pb::ErasureSummary {
            epoch: erasure.epoch.0,
            document_count: erasure.documents,
            places: erasure.places.into_iter().map(place).collect(),
            not_found_document_ids: erasure.not_found,
        };
        Self {
            payload: Some(erase_documents_response::Payload::Summary(summary)),
        }
    }
}

impl From<pb::Progress> for pb::VerifyErasureResponse {
    fn from(progress: pb::Progress) -> Self {
        Self {
            payload: Some(verify_erasure_response::Payload::Progress(progress)),
        }
    }
}

/// Returns the message that ends a search for what is left.
pub(in crate::service) fn certificate(found: Certificate, issued_at: SystemTime) -> pb::VerifyErasureResponse {
    let certificate = pb::ErasureCertificate {
        erased: found.is_erased(),
        epoch: found.epoch.0,
        searched: found.searched.into_iter().map(searched).collect(),
        remainders: found.remainders.into_iter().map(remainder).collect(),
        fingerprint_count: found.fingerprints,
        issued_at: Some(issued_at.into()),
    };
    pb::VerifyErasureResponse {
        payload: Some(verify_erasure_response::Payload::Certificate(certificate)),
    }
}

fn searched(place: Searched) -> pb::SearchedPlace {
    pb::SearchedPlace {
        place: place.place.to_owned(),
        entry_count: place.entries,
        byte_count: place.bytes,
    }
}

fn remainder(left: Remainder) -> pb::ErasureRemainder {
    pb::ErasureRemainder {
        place: left.place.to_owned(),
        path: left.path,
        offset: left.offset,
        description: left.description,
        also_in_document_id: left.also_in.unwrap_or_default(),
    }
}
