//! Text to terms.
/// A language whose words are reduced to stems.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Language(u8);
/// A language that there is no stemmer for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no language `{code}`")]
pub struct UnknownLanguage {
    /// What was asked for.
    pub code: String,
}
impl Language {
    /// Finds a language by its ISO 639-1 code, or `simple` for none.
    pub fn parse(_code: &str) -> Result<Self, UnknownLanguage> {
        unimplemented!()
    }
    /// Returns its code.
    pub fn code(self) -> &'static str {
        unimplemented!()
    }
}
