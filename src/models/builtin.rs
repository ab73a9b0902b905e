//! What fastembed knows of its own models. Beside the embedder, the only place that names fastembed.
//!
//! Comes in: the name of one of its models. Goes out: files on the hub and facts for the catalog.
//! Always holds: the files need no graph of ours.
//! Not here: fetching them; running them.

use fastembed::{EmbeddingModel, ModelTrait as _, TextEmbedding};

use super::catalog::{CatalogFile, CatalogModel, Source};
use super::{Modality, Pooling};

/// Tokens that these models read at most, unless the catalog says otherwise.
const MAX_TOKENS: usize = 512;

/// Fills in what fastembed knows of the model with this name. Fails with the reason.
pub(super) fn describe(model: &mut CatalogModel, name: &str) -> Result<(), String> {
    let builtin: EmbeddingModel = name
        .parse()
        .map_err(|_| format!("fastembed has no model `{name}`; names have the form `BGESmallENV15`"))?;
    let info =
        EmbeddingModel::get_model_info(&builtin).ok_or_else(|| format!("fastembed does not describe `{name}`"))?;
    if info.output_key.is_some() {
        return Err(format!("`{name}` has several outputs, which is not supported"));
    }
    let file = |path: &str| CatalogFile {
        name: base_name(path).to_owned(),
        sha256: None,
        size_bytes: 0,
        sources: vec![Source::Hub {
            repository: info.model_code.clone(),
            file: path.to_owned(),
            revision: "main".to_owned(),
        }],
    };
    let paths = [info.model_file.as_str(), "tokenizer.json"];
    let additional = info.additional_files.iter().map(String::as_str);
    model.files = paths.into_iter().chain(additional).map(file).collect();
    model.graph = Some(base_name(&info.model_file).to_owned());
    model.modality = Modality::Embedding;
    model.dimensions = info.dim;
    if model.max_tokens == 0 {
        model.max_tokens = MAX_TOKENS;
    }
    model.pooling = match TextEmbedding::get_default_pooling_method(&builtin) {
        Some(fastembed::Pooling::Mean) => Pooling::Mean,
        Some(fastembed::Pooling::Cls) | None => Pooling::Cls,
    };
    if model.provider.is_empty() {
        let owner = info.model_code.split('/').next().unwrap_or_default();
        owner.clone_into(&mut model.provider);
    }
    Ok(())
}

fn base_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}
