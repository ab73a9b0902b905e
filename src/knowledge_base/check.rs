//! Limits of requests, each refused with the field, the limit and the value.

use std::collections::BTreeMap;

use super::request::{
    DEFAULT_PAGE_SIZE, MAX_CLIENT_TOKEN_BYTES, MAX_DELETE_DOCUMENTS, MAX_DESCRIPTION_BYTES, MAX_NAME_BYTES,
    MAX_PAGE_SIZE, MAX_TAGS, PageRequest,
};
use super::{Error, Page, Retention, Selection};
use crate::chunk::ChunkConfig;
use crate::document::schema::MetadataSchema;

/// Most epochs that a retention keeps by count.
const MAX_RETAINED_EPOCHS: u64 = 1_000_000;
/// Smallest chunk size in tokens.
const MIN_CHUNK_TOKENS: usize = 16;
/// Largest chunk size in tokens, whatever the model reads.
const MAX_CHUNK_TOKENS: usize = 8_192;
/// Longest key of a tag in bytes.
const MAX_TAG_KEY_BYTES: usize = 128;
/// Longest value of a tag in bytes.
const MAX_TAG_VALUE_BYTES: usize = 2_048;
/// Begins every page token, so that a text that is none is told apart.
const TOKEN_PREFIX: &str = "after:";

/// Checks a name: what can stand in a path, a URL and a shell without quoting.
pub(super) fn name(name: &str) -> Result<(), Error> {
    if name.is_empty() {
        return Err(Error::invalid("name", "is required"));
    }
    if name.len() > MAX_NAME_BYTES {
        let found = name.len();
        return Err(Error::invalid(
            "name",
            format!("has at most {MAX_NAME_BYTES} bytes, this one has {found}"),
        ));
    }
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if !name.starts_with(|c: char| c.is_ascii_alphanumeric()) || !name.chars().all(is_allowed) {
        return Err(Error::invalid(
            "name",
            format!("holds letters, digits, `-`, `_` and `.`, and begins with a letter or digit; `{name}` does not"),
        ));
    }
    Ok(())
}

pub(super) fn description(description: &str) -> Result<(), Error> {
    at_most("description", description, MAX_DESCRIPTION_BYTES)
}

pub(super) fn client_token(token: &str) -> Result<(), Error> {
    at_most("client_token", token, MAX_CLIENT_TOKEN_BYTES)
}

pub(super) fn tags(tags: &BTreeMap<String, String>) -> Result<(), Error> {
    if tags.len() > MAX_TAGS {
        let found = tags.len();
        return Err(Error::invalid(
            "tags",
            format!("holds at most {MAX_TAGS} entries, this one has {found}"),
        ));
    }
    for (key, value) in tags {
        if key.is_empty() {
            return Err(Error::invalid("tags", "a key cannot be empty"));
        }
        at_most("tags", key, MAX_TAG_KEY_BYTES)?;
        at_most("tags", value, MAX_TAG_VALUE_BYTES)?;
    }
    Ok(())
}

fn at_most(field: &str, text: &str, limit: usize) -> Result<(), Error> {
    if text.len() > limit {
        let found = text.len();
        return Err(Error::invalid(
            field,
            format!("has at most {limit} bytes, this one has {found}"),
        ));
    }
    Ok(())
}

/// Checks a retention.
pub(super) fn retention(retention: Option<Retention>) -> Result<Option<Retention>, Error> {
    if let Some(Retention {
        epochs: Some(epochs), ..
    }) = retention
        && !(1..=MAX_RETAINED_EPOCHS).contains(&epochs)
    {
        return Err(Error::invalid(
            "retention_configuration.epochs",
            format!("is 1 to {MAX_RETAINED_EPOCHS}, this one is {epochs}"),
        ));
    }
    Ok(retention)
}

/// Checks declared attributes.
pub(super) fn metadata_schema(schema: MetadataSchema) -> Result<MetadataSchema, Error> {
    schema
        .check()
        .map_err(|invalid| Error::invalid("metadata_schema", invalid.to_string()))?;
    Ok(schema)
}

/// Checks the name of a pin: the rules are those of a knowledge base's name.
pub(super) fn pin_name(pin_name: &str) -> Result<(), Error> {
    name(pin_name).map_err(|error| error.renamed("name", "pin_name"))
}

/// Checks chunk sizes against what the embedding model reads.
pub(super) fn chunking(chunking: ChunkConfig, model_tokens: usize) -> Result<(), Error> {
    let ChunkConfig::FixedSize {
        max_tokens,
        overlap_tokens,
    } = chunking
    else {
        return Ok(());
    };
    let field = "chunking_configuration.fixed_size_chunking_configuration";
    let largest = model_tokens.min(MAX_CHUNK_TOKENS);
    if !(MIN_CHUNK_TOKENS..=largest).contains(&max_tokens) {
        return Err(Error::invalid(
            format!("{field}.max_tokens"),
            format!("is {MIN_CHUNK_TOKENS} to {largest} for this embedding model, this one is {max_tokens}"),
        ));
    }
    if overlap_tokens * 2 >= max_tokens {
        return Err(Error::invalid(
            format!("{field}.overlap_tokens"),
            format!("is less than half of max_tokens ({max_tokens}), this one is {overlap_tokens}"),
        ));
    }
    Ok(())
}

/// Checks a page request and returns its size and the key that it goes on after.
pub(super) fn page(request: &PageRequest) -> Result<(usize, &str), Error> {
    let size = match request.size {
        0 => DEFAULT_PAGE_SIZE,
        size if size > MAX_PAGE_SIZE => {
            return Err(Error::invalid(
                "page_size",
                format!("is 1 to {MAX_PAGE_SIZE}, this one is {size}"),
            ));
        }
        size => size,
    };
    let after = match request.token.as_str() {
        "" => "",
        token => token.strip_prefix(TOKEN_PREFIX).ok_or_else(|| {
            Error::invalid(
                "page_token",
                "is not a token of this list; take `next_page_token` of the page before",
            )
        })?,
    };
    Ok((size, after))
}

/// Reads the number that a page of numbered items goes on below.
pub(super) fn number_token(after: &str) -> Result<u64, Error> {
    if after.is_empty() {
        return Ok(u64::MAX);
    }
    after.parse().map_err(|_| {
        Error::invalid(
            "page_token",
            "is not a token of this list; take `next_page_token` of the page before",
        )
    })
}

/// Checks which documents are named.
pub(super) fn selection(selection: &Selection) -> Result<(), Error> {
    match selection {
        Selection::Ids(ids) if ids.is_empty() => Err(Error::invalid(
            "document_ids",
            "is required: an empty list names nothing",
        )),
        Selection::Ids(ids) if ids.len() > MAX_DELETE_DOCUMENTS => {
            let found = ids.len();
            let description = format!("holds at most {MAX_DELETE_DOCUMENTS} ids, this one has {found}");
            Err(Error::invalid("document_ids", description))
        }
        Selection::Source(source_name) if source_name.is_empty() => {
            Err(Error::invalid("source_name", "is required: an empty one names nothing"))
        }
        Selection::Filter(filter) => filter.check().map_err(|reason| Error::invalid("filter", reason)),
        Selection::Ids(_) | Selection::Source(_) => Ok(()),
    }
}

/// Returns the token of a page that goes on after `key`.
pub(super) fn token(key: &str) -> String {
    format!("{TOKEN_PREFIX}{key}")
}

/// Makes a page of up to `size` items out of up to `size + 1`.
pub(super) fn paged<T>(items: Vec<T>, size: usize, key: impl Fn(&T) -> &str) -> Page<T> {
    paged_by(items, size, |item| key(item).to_owned())
}

/// The same with keys that are made.
pub(super) fn paged_by<T>(mut items: Vec<T>, size: usize, key: impl Fn(&T) -> String) -> Page<T> {
    let has_more = items.len() > size;
    items.truncate(size);
    let next_token = match items.last() {
        Some(last) if has_more => token(&key(last)),
        _ => String::new(),
    };
    Page { items, next_token }
}
