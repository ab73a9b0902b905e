//! Knowledge bases that are served from sealed bundles.
//!
//! Comes in: paths of bundles. Goes out: open knowledge bases that refuse writes, or the reason why one is not served.
//! Always holds: a bundle that cannot be served holds up no other.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use super::base::Base;
use super::{Error, ErrorKind, Groundwork, OriginalContent, Retention, check};
use crate::chunk::ChunkConfig;
use crate::document::schema::MetadataSchema;
use crate::index::Language;
use crate::ingest::InFlight;
use crate::store::{self, BaseRecord, Bundle, Catalog, Manifest, OpenOptions};
use crate::worker::Cancel;

/// Digits of the root hash that an id shows.
const ID_DIGITS: usize = 20;
/// Begins the id of every bundle. Ids of the catalog begin with a digit, so that bundles come after them.
const ID_PREFIX: &str = "bundle-";

/// One that is served, or the reason why it is not.
pub(super) type Sealed = Result<Arc<Base>, String>;

/// Bundles that were opened, or could not be, by id.
#[derive(Debug, Default)]
pub(super) struct Bundles {
    /// As they are listed, by id.
    pub(super) records: Vec<BaseRecord>,
    pub(super) opened: HashMap<String, Sealed>,
}

impl Bundles {
    /// Verifies and opens bundles. One that cannot be served is listed with the reason; the others go on.
    pub(super) fn open(paths: &[impl AsRef<Path>], catalog: &Catalog) -> Self {
        let mut bundles = Self::default();
        for path in paths {
            let path = path.as_ref();
            let (record, opened) = match Bundle::verify(path, &Cancel::new()) {
                Ok(bundle) => {
                    let record = record_of(bundle.manifest());
                    let opened = bundles
                        .check_record(&record, catalog)
                        .and_then(|()| open(bundle, &record));
                    (record, opened)
                }
                Err(error) => (unreadable(path), Err(error.into())),
            };
            if bundles.opened.contains_key(&record.id) {
                tracing::warn!(bundle = %path.display(), "the bundle is named twice");
                continue;
            }
            let sealed = opened.map_err(|error| {
                let reason = format!("{}: {}", path.display(), error.with_causes());
                tracing::error!(bundle = %path.display(), error = %error.with_causes(), "a bundle cannot be served");
                reason
            });
            bundles.opened.insert(record.id.clone(), sealed);
            bundles.records.push(record);
        }
        bundles.records.sort_by(|a, b| a.id.cmp(&b.id));
        bundles
    }

    fn check_record(&self, record: &BaseRecord, catalog: &Catalog) -> Result<(), Error> {
        check::name(&record.name)?;
        if catalog.find(&record.name)?.is_some() || self.records.iter().any(|other| other.name == record.name) {
            let message = format!(
                "there is another knowledge base `{}`; rename that one, or seal this one under another name",
                record.name
            );
            return Err(Error::new(ErrorKind::AlreadyExists, "NAME_TAKEN", message));
        }
        Ok(())
    }

    /// Finds one by id or name.
    pub(super) fn find(&self, id_or_name: &str) -> Option<&BaseRecord> {
        let by_id = self.records.iter().find(|record| record.id == id_or_name);
        let by_name = || self.records.iter().find(|record| record.name == id_or_name);
        by_id.or_else(by_name)
    }

    /// Returns up to `limit` with an id after `after`, by id.
    pub(super) fn page(&self, after: &str, limit: usize) -> impl Iterator<Item = &BaseRecord> {
        self.records
            .iter()
            .skip_while(move |record| record.id.as_str() <= after)
            .take(limit)
    }
}

/// Fails when a path names no file that can be a bundle: whoever named it has mistyped. One that is damaged or does not
/// fit passes, because it is listed with the reason while the others are served.
pub fn check_bundle_file(path: &Path) -> Result<(), Error> {
    let refused = |message: String| Error::new(ErrorKind::InvalidRequest, "BUNDLE_REFUSED", message);
    let unreadable = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => refused("there is no such file".to_owned()),
        std::io::ErrorKind::PermissionDenied => refused("permission denied".to_owned()),
        _ => refused(error.to_string()),
    };
    let kind = std::fs::metadata(path).map_err(unreadable)?.file_type();
    if !kind.is_file() {
        let what = if kind.is_dir() { "a directory" } else { "no file" };
        return Err(refused(format!(
            "it is {what}, name the file that `groundwork bundle` wrote"
        )));
    }
    Bundle::look(path).map_err(|error| match error {
        store::Error::File { source, .. } => unreadable(source),
        error => refused(error.to_string()),
    })
}

impl Groundwork {
    /// Refuses what would change a knowledge base that is served from a bundle.
    pub(super) fn check_writable(&self, record: &BaseRecord) -> Result<(), Error> {
        if self.bases.is_sealed(&record.id) {
            let message = format!(
                "the knowledge base `{}` is served from a sealed bundle, which never changes",
                record.name
            );
            return Err(
                Error::new(ErrorKind::FailedPrecondition, "READ_ONLY", message).about("knowledge_base", &record.name)
            );
        }
        Ok(())
    }

    /// Returns a knowledge base that can be changed.
    pub(super) fn writable_base(&self, id_or_name: &str) -> Result<(BaseRecord, Arc<Base>), Error> {
        let record = self.record(id_or_name)?;
        self.check_writable(&record)?;
        let base = self.bases.get(&record)?;
        Ok((record, base))
    }
}

fn open(bundle: Bundle, record: &BaseRecord) -> Result<Arc<Base>, Error> {
    let language = Language::parse(&record.language)
        .map_err(|error| Error::new(ErrorKind::FailedPrecondition, "UNKNOWN_LANGUAGE", error.to_string()))?;
    let store = bundle.open(OpenOptions {
        language,
        dimensions: record.dimensions,
    })?;
    Ok(Arc::new(Base {
        store,
        in_flight: InFlight::default(),
    }))
}

fn record_of(manifest: &Manifest) -> BaseRecord {
    let digits = manifest.root_hash.get(..ID_DIGITS).unwrap_or(&manifest.root_hash);
    BaseRecord {
        id: format!("{ID_PREFIX}{digits}"),
        ..manifest.base.clone()
    }
}

/// Stands for a bundle whose manifest cannot be trusted.
fn unreadable(path: &Path) -> BaseRecord {
    let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let digest = crate::document::hex(&crate::document::content_hash(path.as_os_str().as_encoded_bytes()));
    BaseRecord {
        id: format!("{ID_PREFIX}{}", &digest[..ID_DIGITS]),
        name,
        description: String::new(),
        embedding_model_id: String::new(),
        dimensions: 0,
        chunking: ChunkConfig::default(),
        language: String::new(),
        tags: BTreeMap::default(),
        created_at: SystemTime::UNIX_EPOCH,
        updated_at: SystemTime::UNIX_EPOCH,
        retention: Retention::default(),
        original_content: OriginalContent::default(),
        metadata_schema: MetadataSchema::default(),
    }
}
