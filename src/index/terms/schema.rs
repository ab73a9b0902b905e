//! The fields of a row.

use tantivy::schema::{Field, INDEXED, IndexRecordOption, NumericOptions, Schema, TextFieldIndexing, TextOptions};
use tantivy::{TantivyDocument, Term};

use super::TermRow;

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

/// The fields by name.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fields {
    pub(super) chunk_id: Field,
    /// Nothing in [`FIRST_SCHEMA_VERSION`].
    ordinal: Option<Field>,
    heading: Field,
    text: Field,
}

pub(super) fn build() -> (Schema, Fields) {
    with_places(true)
}

/// Builds the schema, with or without the places of words in chunks and of chunks in revisions.
fn with_places(has_places: bool) -> (Schema, Fields) {
    let mut schema = Schema::builder();
    let words = |option| {
        let indexing = TextFieldIndexing::default().set_tokenizer(ANALYZER_NAME);
        TextOptions::default().set_indexing_options(indexing.set_index_option(option))
    };
    let fields = Fields {
        chunk_id: schema.add_u64_field(CHUNK_ID, NumericOptions::from(INDEXED).set_fast()),
        ordinal: has_places.then(|| schema.add_u64_field(ORDINAL, NumericOptions::default().set_fast())),
        heading: schema.add_text_field(HEADING, words(IndexRecordOption::WithFreqs)),
        text: schema.add_text_field(
            TEXT,
            words(if has_places {
                // Positions say how near to each other the words of a query stand.
                IndexRecordOption::WithFreqsAndPositions
            } else {
                IndexRecordOption::WithFreqs
            }),
        ),
    };
    (schema.build(), fields)
}

impl Fields {
    /// Finds the fields in the schema of an index that was opened; nothing when it has others.
    pub(super) fn of(found: &Schema) -> Option<Self> {
        let known = [true, false].map(with_places);
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

    pub(super) fn document(&self, row: &TermRow<'_>) -> TantivyDocument {
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
        document.add_text(self.text, format!("{heading}\n{}", row.text));
        document.add_text(self.heading, heading);
        document
    }

    /// Returns where a term of a query is looked up, and with which weight.
    pub(super) fn lookups(&self, term: &str) -> [(Term, f32); 2] {
        [
            (Term::from_field_text(self.text, term), 1.0),
            (Term::from_field_text(self.heading, term), HEADING_WEIGHT),
        ]
    }

    /// Returns the fields that words are looked up in.
    pub(super) fn searched(&self) -> [Field; 2] {
        [self.text, self.heading]
    }
}
