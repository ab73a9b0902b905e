//! Models in memory.
use super::*;
use crate::embed::Embedder;
use crate::generate::LanguageModel;
/// Models that are in memory already, beside those of the catalog.
#[derive(Default, Clone)]
pub struct ProvidedModels {
    /// Embedders.
    pub embedders: Vec<Arc<dyn Embedder>>,
    /// Language models.
    pub language_models: Vec<Arc<dyn LanguageModel>>,
}
#[derive(Debug)]
pub(super) struct ModelHost {}
impl ModelHost {
    pub(super) fn open(_: &Settings, _: ProvidedModels, _: Arc<ComputeGate>) -> Result<Self, Error> {
        todo!()
    }
    pub(super) fn embedder(&self, _: &str) -> Result<Arc<dyn Embedder>, Error> {
        todo!()
    }
    pub(super) fn language_model(&self, _: &str) -> Result<Arc<dyn LanguageModel>, Error> {
        todo!()
    }
    pub(super) fn check_language_model(&self, _: &str) -> Result<(), Error> {
        todo!()
    }
}
