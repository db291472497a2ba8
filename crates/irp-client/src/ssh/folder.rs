//! A folder for the keys and known hosts of one run.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use irp_wire::private;

/// A folder that nobody else can enter, removed on drop with all that is in it.
#[derive(Debug)]
pub struct PrivateFolder(PathBuf);

impl PrivateFolder {
    /// Makes one below `parent`, which is made too where it is missing.
    ///
    /// # Errors
    ///
    /// When it cannot be made.
    pub fn create(parent: &Path) -> io::Result<Self> {
        private::make_folder(parent)?;
        let mut random = [0; 8];
        aws_lc_rs::rand::fill(&mut random).map_err(|_| io::Error::other("there is no randomness"))?;
        let folder = parent.join(format!("ssh-{:016x}", u64::from_le_bytes(random)));
        private::make_folder(&folder)?;
        Ok(Self(folder))
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for PrivateFolder {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            tracing::warn!(%error, folder = %self.0.display(), "a folder with keys of a minute could not be removed");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn it_is_private_and_goes_with_all_that_is_in_it() {
        let parent = tempfile::tempdir().unwrap();
        let folder = PrivateFolder::create(&parent.path().join("state")).unwrap();
        let path = folder.path().to_owned();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
        fs::write(path.join("key"), "secret").unwrap();
        drop(folder);
        assert!(!path.exists());
    }
}
