//! The fields of a row.

use tantivy::schema::{
    Field, INDEXED, IndexRecordOption, NumericOptions, STRING, Schema, TextFieldIndexing, TextOptions,
};
use tantivy::{TantivyDocument, Term};

use super::TermRow;
use crate::index::Language;
use crate::index::analyzer::Analyzer;

/// Changes whenever a row is written in another way, so that indexes made earlier are made again.
pub(super) const SCHEMA_VERSION: u32 = 2;
/// The version without places, which bundles may still have: they are read as they are.
pub(super) const FIRST_SCHEMA_VERSION: u32 = 1;
/// Name under which the analyzer is registered; its language is not part of it, because the payload names that.
pub(super) const ANALYZER_NAME: &str = "groundwork";

/// Weight of a term in title and headings beside the weight 1 of the same term in the text. Found on training queries
/// of scientific abstracts: 0.25 gained a point of nDCG@10 over 0 and 0.5, and 1 lost two.
pub(super) const HEADING_WEIGHT: f32 = 0.25;

const CHUNK_ID: &str = "chunk_id";
const ORDINAL: &str = "ordinal";
const HEADING: &str = "heading";
const TEXT: &str = "text";
const LANGUAGE: &str = "language";

/// The fields by name.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fields {
    pub(super) chunk_id: Field,
    /// Nothing in [`FIRST_SCHEMA_VERSION`].
    ordinal: Option<Field>,
    heading: Field,
    text: Field,
    /// Code of the language, where it is detected.
    language: Option<Field>,
}

/// What an index knows beside words.
#[derive(Debug, Clone, Copy)]
struct Knows {
    /// Where words stand in chunks, and chunks in revisions.
    places: bool,
    /// The language of every chunk.
    languages: bool,
}

/// Builds the schema of new indexes, for one language or for any.
pub(super) fn build(languages: bool) -> (Schema, Fields) {
    knowing(Knows {
        places: true,
        languages,
    })
}

fn knowing(knows: Knows) -> (Schema, Fields) {
    let mut schema = Schema::builder();
    let words = |option| {
        let indexing = TextFieldIndexing::default().set_tokenizer(ANALYZER_NAME);
        TextOptions::default().set_indexing_options(indexing.set_index_option(option))
    };
    let fields = Fields {
        chunk_id: schema.add_u64_field(CHUNK_ID, NumericOptions::from(INDEXED).set_fast()),
        ordinal: knows
            .places
            .then(|| schema.add_u64_field(ORDINAL, NumericOptions::default().set_fast())),
        heading: schema.add_text_field(HEADING, words(IndexRecordOption::WithFreqs)),
        text: schema.add_text_field(
            TEXT,
            words(if knows.places {
                // Positions say how near to each other the words of a query stand.
                IndexRecordOption::WithFreqsAndPositions
            } else {
                IndexRecordOption::WithFreqs
            }),
        ),
        language: knows.languages.then(|| schema.add_text_field(LANGUAGE, STRING)),
    };
    (schema.build(), fields)
}

impl Fields {
    /// Finds the fields in the schema of an index that was opened; nothing when it has others.
    pub(super) fn of(found: &Schema) -> Option<Self> {
        let known = [(true, false), (true, true), (false, false)];
        let known = known.map(|(places, languages)| knowing(Knows { places, languages }));
        let fitting = known.into_iter().find(|(schema, _)| schema == found);
        fitting.map(|(_, fields)| fields)
    }

    /// Returns whether the index knows where words stand in chunks, and chunks in revisions.
    pub(super) fn has_places(&self) -> bool {
        self.ordinal.is_some()
    }

    /// The fast field of chunk ids.
    pub(super) const CHUNK_ID_COLUMN: &str = CHUNK_ID;
    /// The fast field of places in the revision.
    pub(super) const ORDINAL_COLUMN: &str = ORDINAL;

    /// Returns a row as tantivy takes it.
    pub(super) fn document(&self, row: &TermRow<'_>, analyzer: &Analyzer) -> TantivyDocument {
        let mut document = TantivyDocument::new();
        document.add_u64(self.chunk_id, row.chunk_id.0);
        if let Some(ordinal) = self.ordinal {
            document.add_u64(ordinal, u64::from(row.ordinal));
        }
        let mut heading = row.title.to_owned();
        for part in row.headings {
            heading.push('\n');
            heading.push_str(part);
        }
        // The context is searched as part of the text too: a chunk is about what stands above it.
        let text = format!("{heading}\n{}", row.text);
        let Some(language_field) = self.language else {
            document.add_text(self.text, text);
            document.add_text(self.heading, heading);
            return document;
        };
        // The title may be in another language than what is written under it.
        let language = analyzer.language_of(row.text);
        document.add_text(self.text, analyzer.marked(language, &text));
        document.add_text(self.heading, analyzer.marked(language, &heading));
        document.add_text(language_field, language.code());
        document
    }

    /// Returns the term that all chunks in a language have, where languages are detected.
    pub(super) fn language(&self, language: Language) -> Option<Term> {
        self.language.map(|field| Term::from_field_text(field, language.code()))
    }

    /// Returns the fields that words are looked up in.
    pub(super) fn searched(&self) -> [Field; 2] {
        [self.text, self.heading]
    }
}
