//! What is refused.

use super::*;

#[test]
fn foreign_files_are_refused_by_name() {
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let path = directory.path().join("model.gguf");
    let check = |bytes: Option<Vec<u8>>, expected: &str| {
        if let Some(bytes) = bytes {
            std::fs::write(&path, bytes).expect("the file can be written");
        }
        let installed = InstalledLanguageModel {
            model_id: "m".into(),
            sha256: String::new(),
            gguf: path.clone(),
            directory: directory.path().to_owned(),
            context_tokens: None,
            answer_style: AnswerStyle::Free,
        };
        let error = CandleModel::open(&installed, 1, Arc::default())
            .err()
            .map(|error| error.to_string());
        assert!(
            error.as_deref().is_some_and(|text| text.contains(expected)),
            "{error:?}"
        );
    };
    let gguf_of = |architecture: &str| {
        let mut bytes = std::io::Cursor::new(Vec::new());
        let value = gguf_file::Value::String(architecture.to_owned());
        gguf_file::write(&mut bytes, &[("general.architecture", &value)], &[]).expect("memory can be written");
        bytes.into_inner()
    };
    check(None, "cannot open it");
    check(Some(b"no model".to_vec()), "not a GGUF file");
    check(
        Some(gguf_of("mamba")),
        "architecture mamba is not supported; supported: llama, qwen2, qwen3",
    );
    check(Some(gguf_of("llama")), "tokenizer.ggml.model");
}
