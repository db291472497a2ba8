//! A folder of secrets on the disk of this machine: what [`FileStore`](super::FileStore) and
//! [`LocalCa`](super::LocalCa) have in common.
//!
//! The folder is the edge's alone; a file appears whole or not at all (written beside, synced, renamed); whoever changes
//! something holds the folder's lock, which the kernel takes back when the process dies.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
};

use irp_wire::private;

use super::store::MAX_BLOB;

/// Name of the file whose lock guards changes. The dot keeps it apart from blobs, which begin with a letter.
const LOCK: &str = ".lock";

#[derive(Debug, Clone)]
pub(super) struct Folder {
    path: PathBuf,
}

/// Who may read a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Readers {
    /// This account alone.
    Myself,
    /// Everybody who may enter the folder.
    Everybody,
}

/// Held while the folder is changed; let go on drop.
#[derive(Debug)]
pub(super) struct Locked {
    _file: File,
}

impl Folder {
    /// Opens the folder, made for this account alone if it is not there. One that is there is closed to others,
    /// since keys are to be put in it.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        private::make_folder(path)?;
        private::narrow_folder(path)?;
        Ok(Self { path: path.to_owned() })
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Waits for the folder's lock. Its holders do a few file operations each, so the wait is short.
    pub(super) fn lock(&self) -> io::Result<Locked> {
        let file = private::options().create(true).truncate(false).write(true).open(self.path(LOCK))?;
        loop {
            match file.lock() {
                Ok(()) => return Ok(Locked { _file: file }),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Reads a file of at most [`MAX_BLOB`] bytes; `None` when it is not there.
    pub(super) fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        let file = match File::open(self.path(name)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut bytes = Vec::new();
        file.take(MAX_BLOB as u64 + 1).read_to_end(&mut bytes)?;
        if bytes.len() > MAX_BLOB {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "larger than any certificate"));
        }
        Ok(Some(bytes))
    }

    /// Writes a file whole. Only to be called under the lock, which also makes the name of the part unique.
    pub(super) fn write(&self, _: &Locked, name: &str, bytes: &[u8], readers: Readers) -> io::Result<()> {
        let part = self.path(&format!(".part-{name}"));
        // A part that a killed process left may have another mode.
        match fs::remove_file(&part) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut options = OpenOptions::new();
        match readers {
            Readers::Myself => private::only_mine(&mut options),
            Readers::Everybody => private::readable_by_all(&mut options),
        }
        let mut file = options.create_new(true).write(true).open(&part)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&part, self.path(name))?;
        self.sync()
    }

    /// Removes a file; `false` when there was none.
    pub(super) fn remove(&self, _: &Locked, name: &str) -> io::Result<bool> {
        match fs::remove_file(self.path(name)) {
            Ok(()) => self.sync().map(|()| true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Names of all files that are whole.
    pub(super) fn names(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            if let Ok(name) = entry?.file_name().into_string()
                && !name.starts_with('.')
            {
                names.push(name);
            }
        }
        Ok(names)
    }

    /// A rename is lasting once the folder itself is synced.
    fn sync(&self) -> io::Result<()> {
        private::sync_folder(&self.path)
    }
}
