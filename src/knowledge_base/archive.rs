//! Backups: a knowledge base to one file, and one file to a knowledge base.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::base::unopened;
use super::knowledge_bases::name_taken;
use super::{Archive, Error, ErrorKind, Groundwork, KnowledgeBaseInfo, Manifest, Restoration, Restored, check};
use crate::index::{Epoch, Language};
use crate::store::{self, ArchiveKind, ArchiveModel, ArchiveReader, BaseRecord, NewBase, OpenOptions};
use crate::worker::{Cancel, OnProgress};

/// Longest name of a file in the backup directory.
const MAX_FILE_NAME_BYTES: usize = 200;

impl Groundwork {
    /// Takes a backup of a knowledge base's newest epoch with all that is kept of earlier ones. Reads and writes go on.
    pub fn back_up(
        &self,
        knowledge_base: &str,
        cancel: &Cancel,
        on_progress: &mut OnProgress<'_>,
    ) -> Result<Archive, Error> {
        self.back_up_by_way_of(knowledge_base, None, cancel, on_progress)
    }

    /// Takes a backup whose snapshot lies in a directory until the backup is read; beside the records if none is named.
    fn back_up_by_way_of(
        &self,
        knowledge_base: &str,
        directory: Option<&Path>,
        cancel: &Cancel,
        on_progress: &mut OnProgress<'_>,
    ) -> Result<Archive, Error> {
        let (record, base) = self.writable_base(knowledge_base)?;
        let models = self.archived_models(&record);
        Ok(base.store.back_up(&record, models, directory, cancel, on_progress)?)
    }

    /// Seals one epoch of a knowledge base, the published one if none is named. Reads and writes go on.
    pub fn seal(
        &self,
        knowledge_base: &str,
        as_of: Option<Epoch>,
        cancel: &Cancel,
        on_progress: &mut OnProgress<'_>,
    ) -> Result<Archive, Error> {
        let (record, base) = self.writable_base(knowledge_base)?;
        let models = self.archived_models(&record);
        let options = open_options(&record)?;
        Ok(base.store.seal(&record, models, options, as_of, cancel, on_progress)?)
    }

    fn archived_models(&self, record: &BaseRecord) -> Vec<ArchiveModel> {
        let model_id = record.embedding_model_id.clone();
        let sha256 = self.models.weights_sha256(&model_id).unwrap_or_default();
        vec![ArchiveModel { model_id, sha256 }]
    }

    /// Takes a backup into a new file of the backup directory, which appears when it is whole and on disk.
    pub fn back_up_to(
        &self,
        knowledge_base: &str,
        file_name: &str,
        cancel: &Cancel,
        on_progress: &mut OnProgress<'_>,
    ) -> Result<Manifest, Error> {
        let path = self.backup_file(file_name)?;
        if path.is_file() {
            return Err(file_exists(file_name));
        }
        let in_file = |source| store_error(&path, source);
        let directory = path.parent().unwrap_or(Path::new("."));
        let mut backup = match self.back_up(knowledge_base, cancel, on_progress) {
            // The backup may well go to another disk, and then the snapshot can lie there too.
            Err(error) if error.is_storage_full() => {
                self.back_up_by_way_of(knowledge_base, Some(directory), cancel, on_progress)?
            }
            backup => backup?,
        };
        let mut written = tempfile::NamedTempFile::new_in(directory).map_err(in_file)?;
        let mut part = vec![0; 1 << 20];
        loop {
            cancel.check()?;
            match backup.read(&mut part).map_err(in_file)? {
                0 => break,
                read => io::Write::write_all(&mut written, &part[..read]).map_err(in_file)?,
            }
        }
        written.as_file().sync_all().map_err(in_file)?;
        match written.persist_noclobber(&path) {
            Ok(_) => {}
            Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => return Err(file_exists(file_name)),
            Err(error) => return Err(in_file(error.error)),
        }
        File::open(directory)
            .and_then(|directory| directory.sync_all())
            .map_err(in_file)?;
        Ok(backup.manifest().clone())
    }

    /// Makes a knowledge base from a backup. The archive is verified whole before anything is made, and nothing is left
    /// of one that is refused.
    pub fn restore(
        &self,
        archive: &mut dyn Read,
        wanted: &Restoration,
        cancel: &Cancel,
        on_progress: &mut OnProgress<'_>,
    ) -> Result<Restored, Error> {
        let archive = ArchiveReader::open(archive, ArchiveKind::Backup)?;
        let record = new_record(&archive.manifest().base, &wanted.name)?;
        self.check_name_free(&record.name)?;
        let warnings = self.model_warnings(archive.manifest())?;
        let options = open_options(&record)?;
        let new = self.catalog.unpack(archive, &record.id, options, cancel, on_progress)?;
        let manifest = new.manifest().clone();
        let knowledge_base = if wanted.dry_run {
            described(&record, &manifest)
        } else {
            self.adopt(&record, new)?
        };
        Ok(Restored {
            knowledge_base,
            manifest,
            warnings,
        })
    }

    /// Makes a knowledge base from a file of the backup directory.
    pub fn restore_from(
        &self,
        file_name: &str,
        wanted: &Restoration,
        cancel: &Cancel,
        on_progress: &mut OnProgress<'_>,
    ) -> Result<Restored, Error> {
        let path = self.backup_file(file_name)?;
        let mut file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(Error::not_found("backup", file_name));
            }
            Err(error) => return Err(store_error(&path, error)),
        };
        self.restore(&mut file, wanted, cancel, on_progress)
    }

    fn adopt(&self, record: &BaseRecord, new: NewBase) -> Result<KnowledgeBaseInfo, Error> {
        let _changing = self.catalog_change.lock();
        // Somebody may have taken the name while the archive was unpacked.
        self.check_name_free(&record.name)?;
        let store = self.catalog.adopt(record, new)?;
        self.bases.put(&record.id, store);
        Ok(self.bases.describe(&self.record(&record.id)?))
    }

    pub(super) fn check_name_free(&self, name: &str) -> Result<(), Error> {
        if self.catalog.find(name)?.is_some() || self.bundles.find(name).is_some() {
            return Err(name_taken(name));
        }
        Ok(())
    }

    /// Says what keeps a knowledge base from being searched here. Vectors of another length can never be.
    fn model_warnings(&self, manifest: &Manifest) -> Result<Vec<String>, Error> {
        let id = &manifest.base.embedding_model_id;
        let Some(dimensions) = self.models.dimensions(id) else {
            return Ok(vec![format!(
                "there is no embedding model `{id}` here: searching by meaning and ingesting need it"
            )]);
        };
        if dimensions != 0 && dimensions != manifest.base.dimensions {
            let found = manifest.base.dimensions;
            let message =
                format!("vectors of the archive have {found} dimensions, the model `{id}` makes {dimensions}");
            return Err(Error::new(ErrorKind::FailedPrecondition, "DIMENSIONS_DIFFER", message).about("model", id));
        }
        let here = self.models.weights_sha256(id);
        let there = manifest.models.iter().find(|model| model.model_id == *id);
        Ok(match (here, there) {
            (None, _) => vec![format!(
                "the embedding model `{id}` is not installed: pull it with `groundwork models pull {id}`, searching by \
                 meaning and ingesting need it"
            )],
            (Some(here), Some(there)) if !here.is_empty() && !there.sha256.is_empty() && here != there.sha256 => {
                vec![format!(
                    "the embedding model `{id}` has other weights here ({here}) than where the archive was made ({}): \
                     similarities may be off",
                    there.sha256
                )]
            }
            _ => Vec::new(),
        })
    }

    fn backup_file(&self, file_name: &str) -> Result<PathBuf, Error> {
        let Some(directory) = &self.settings.backup_dir else {
            let message = "this server has no backup directory; set `backup_dir`, or stream the archive";
            return Err(Error::new(ErrorKind::FailedPrecondition, "BACKUP_DIR_NOT_SET", message));
        };
        check_file_name(file_name)?;
        Ok(directory.join(file_name))
    }
}

/// Returns the record of a new knowledge base with the settings of the one in an archive.
fn new_record(base: &BaseRecord, name: &str) -> Result<BaseRecord, Error> {
    if name.is_empty() {
        check::name(&base.name).map_err(in_archive)?;
    } else {
        check::name(name)?;
    }
    check::description(&base.description).map_err(in_archive)?;
    check::tags(&base.tags).map_err(in_archive)?;
    check::retention(Some(base.retention)).map_err(in_archive)?;
    check::metadata_schema(base.metadata_schema.clone()).map_err(in_archive)?;
    if base.dimensions == 0 {
        return Err(refused("vectors have no dimensions"));
    }
    let now = SystemTime::now();
    Ok(BaseRecord {
        id: ulid::Ulid::generate().to_string().to_lowercase(),
        name: if name.is_empty() { &base.name } else { name }.to_owned(),
        created_at: now,
        updated_at: now,
        ..base.clone()
    })
}

/// Returns how the store of a knowledge base with these settings is opened.
fn open_options(record: &BaseRecord) -> Result<OpenOptions, Error> {
    let language = Language::parse(&record.language).map_err(|error| refused(&error.to_string()))?;
    Ok(OpenOptions {
        language,
        dimensions: record.dimensions,
    })
}

/// Turns what is wrong with a setting into what is wrong with the manifest.
#[expect(clippy::needless_pass_by_value, reason = "it maps errors, which come by value")]
fn in_archive(error: Error) -> Error {
    refused(&error.message)
}

fn refused(what: &str) -> Error {
    let refusal = store::Refusal::Manifest { what: what.to_owned() };
    store::Error::Refused(refusal).into()
}

/// Describes a knowledge base that a restoration would make.
fn described(record: &BaseRecord, manifest: &Manifest) -> KnowledgeBaseInfo {
    KnowledgeBaseInfo {
        // Nothing of this id will ever be there.
        id: String::new(),
        epoch: manifest.epoch,
        oldest_epoch: manifest.oldest_epoch,
        document_count: manifest.document_count,
        chunk_count: manifest.chunk_count,
        ..unopened(record)
    }
}

fn check_file_name(name: &str) -> Result<(), Error> {
    let is_plain = !name.starts_with('.') && !name.contains(['/', '\\']) && !name.chars().any(char::is_control);
    if !is_plain || name.len() > MAX_FILE_NAME_BYTES {
        let reason = format!(
            "names a file in the backup directory: up to {MAX_FILE_NAME_BYTES} bytes without `/` and `\\`, not \
             beginning with a dot; `{}` does not",
            name.escape_debug()
        );
        return Err(Error::invalid("file_name", reason));
    }
    Ok(())
}

fn file_exists(file_name: &str) -> Error {
    let message = format!("there is a file `{file_name}` in the backup directory already; take another name");
    Error::new(ErrorKind::AlreadyExists, "FILE_EXISTS", message).about("backup", file_name)
}

fn store_error(path: &Path, source: io::Error) -> Error {
    let path = path.to_owned();
    store::Error::File { path, source }.into()
}
