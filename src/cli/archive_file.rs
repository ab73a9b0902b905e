//! Archives that come in parts, and the file that they become: it appears when it is whole.

use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use indicatif::{HumanBytes, ProgressBar};
use tempfile::NamedTempFile;
use tonic::Streaming;

use super::exit::Usage;
use super::json;
use super::output::{Output, note};
use super::progress::{self, Work};
use super::text::one_line;
use crate::service::pb;

/// A message of a stream of parts.
pub(super) enum Piece {
    /// How far the preparation is.
    Progress(pb::Progress),
    /// What the archive holds.
    Manifest(Box<pb::ArchiveManifest>),
    /// The next bytes.
    Part(Vec<u8>),
    /// Something that a newer server says.
    Unknown,
}

/// Refuses to write an archive to a stdout that cannot take it.
pub(super) fn check_stdout(is_stdout: bool, output: &Output) -> anyhow::Result<()> {
    if is_stdout && output.is_json() {
        let message = "--json describes the archive, whose bytes then need a file: name one in place of -";
        return Err(Usage(message.to_owned()).into());
    }
    if is_stdout && output.is_terminal() {
        let message = "a terminal cannot take an archive: name a file, or send it on";
        return Err(Usage(message.to_owned()).into());
    }
    Ok(())
}

/// Writes the parts of an archive to its file, or to stdout where there is none; returns what it says about itself.
pub(super) async fn receive<M: Into<Piece>>(
    mut messages: Streaming<M>,
    mut file: Option<NewFile>,
    work: Work,
    output: &mut Output,
) -> anyhow::Result<pb::ArchiveManifest> {
    let mut manifest = None;
    let mut bar: Option<ProgressBar> = None;
    while let Some(message) = messages.message().await? {
        match message.into() {
            Piece::Progress(progress) => work.show(&progress),
            Piece::Manifest(came) => {
                bar = Some(progress::bytes("archive", byte_size(&came)));
                manifest = Some(*came);
            }
            Piece::Part(part) => {
                match &mut file {
                    Some(file) => file.write_all(&part).context("cannot write the archive")?,
                    None => output.bytes(&part)?,
                }
                if let Some(bar) = &bar {
                    bar.inc(part.len() as u64);
                }
            }
            Piece::Unknown => {}
        }
    }
    work.end();
    let Some(manifest) = manifest else {
        bail!("the connection to the server was lost: the archive has no manifest");
    };
    match file {
        Some(file) => file.finish()?,
        None => output.flush()?,
    }
    Ok(manifest)
}

fn byte_size(manifest: &pb::ArchiveManifest) -> u64 {
    manifest.files.iter().map(|file| file.byte_size).sum()
}

/// Says what was written. Beside an archive on stdout it is a note.
pub(super) fn tell(
    manifest: &pb::ArchiveManifest,
    file: &Path,
    is_stdout: bool,
    output: &mut Output,
) -> anyhow::Result<()> {
    if output.is_json() {
        return Ok(output.object(&json::manifest(manifest))?);
    }
    let base = manifest.knowledge_base.clone().unwrap_or_default();
    let told = format!(
        "{}: {} at epoch {}, {} documents, {}",
        file.display(),
        one_line(&base.name),
        base.epoch,
        base.document_count,
        HumanBytes(byte_size(manifest))
    );
    let hash = format!("root hash {}", one_line(&manifest.root_hash));
    if is_stdout {
        note(told);
        note(hash);
    } else {
        output.line(told)?;
        output.line(output.dim(&hash))?;
    }
    Ok(())
}

/// A file in the making beside the one that it is to be. Dropped early, nothing is left of it.
pub(super) struct NewFile {
    written: NamedTempFile,
    path: PathBuf,
    replace: bool,
}

impl NewFile {
    /// Begins a file. One that is there already is replaced only when that is wished.
    pub(super) fn create(path: &Path, replace: bool) -> anyhow::Result<Self> {
        if !replace && path.symlink_metadata().is_ok() {
            bail!("{} is there already: say --force to replace it", path.display());
        }
        let path = &replaceable(path)?;
        let written = tempfile::Builder::new()
            // Such as any new file of this user.
            .permissions(std::fs::Permissions::from_mode(0o666))
            .tempfile_in(directory_of(path))
            .with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Self {
            written,
            path: path.to_owned(),
            replace,
        })
    }

    /// Puts it in its place, on disk.
    pub(super) fn finish(self) -> anyhow::Result<()> {
        let Self { written, path, replace } = self;
        let cannot = || format!("cannot write {}", path.display());
        written.as_file().sync_all().with_context(cannot)?;
        if replace {
            written.persist(&path).with_context(cannot)?;
        } else {
            written.persist_noclobber(&path).with_context(cannot)?;
        }
        std::fs::File::open(directory_of(&path))
            .and_then(|directory| directory.sync_all())
            .with_context(cannot)
    }
}

/// Returns the file that is replaced when one is put in the place of `path`: what a link leads to. Devices, pipes and
/// directories are nobody's to replace.
pub(super) fn replaceable(path: &Path) -> anyhow::Result<PathBuf> {
    match path.metadata() {
        Ok(found) if !found.is_file() => {
            let message = format!("{} is not a regular file: name one, or write to stdout", path.display());
            Err(Usage(message).into())
        }
        Ok(_) => path
            .canonicalize()
            .with_context(|| format!("cannot write {}", path.display())),
        Err(_) => Ok(path.to_owned()),
    }
}

impl Write for NewFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.written.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.written.flush()
    }
}

fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}
