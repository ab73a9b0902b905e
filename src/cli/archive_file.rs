//! A file that appears when it is whole: backups and bundles are written so.

use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use tempfile::NamedTempFile;

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
