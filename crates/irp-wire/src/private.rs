//! Files and folders that belong to one account alone: keys, state, logs.
//!
//! Where files have modes, they are 0600 and 0700. On Windows they get the access list of the folder that they are made
//! in: below a user's profile that is the user, the system and its administrators, and nobody else.

#[cfg_attr(windows, path = "private/windows.rs")]
#[cfg_attr(not(windows), path = "private/unix.rs")]
mod system;

use std::{
    fs::{DirBuilder, OpenOptions},
    io,
    path::Path,
};

pub use self::system::{narrow_file, narrow_folder, only_mine, readable_by_all, sync_folder};

/// Makes `folder` and what is missing above it, for nobody else to enter. One that is there stays as it is.
///
/// # Errors
///
/// When it cannot be made.
pub fn make_folder(folder: &Path) -> io::Result<()> {
    if folder.as_os_str().is_empty() || folder.is_dir() {
        return Ok(());
    }
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    system::enter_only_myself(&mut builder);
    builder.create(folder)
}

/// What opens a file that is made for this account alone.
#[must_use]
pub fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    only_mine(&mut options);
    options
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn folders_and_files_are_ours_alone() {
        use std::os::unix::fs::PermissionsExt as _;

        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let parent = std::env::temp_dir().join(format!("irp-private-{}", std::process::id()));
        let folder = parent.join("inner");
        make_folder(&folder).unwrap();
        make_folder(&folder).unwrap();
        assert_eq!((mode(&parent), mode(&folder)), (0o700, 0o700));
        let file = folder.join("key");
        options().write(true).create_new(true).open(&file).unwrap();
        assert_eq!(mode(&file), 0o600);
        fs::set_permissions(&file, fs::Permissions::from_mode(0o664)).unwrap();
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
        narrow_file(&file).unwrap();
        narrow_folder(&folder).unwrap();
        assert_eq!((mode(&file), mode(&folder)), (0o600, 0o700));
        let shown = folder.join("certificate");
        let mut options = OpenOptions::new();
        readable_by_all(options.write(true).create_new(true));
        options.open(&shown).unwrap();
        assert_eq!(mode(&shown) & 0o644, mode(&shown), "as far as the umask lets it");
        sync_folder(&folder).unwrap();
        fs::remove_dir_all(&parent).unwrap();
    }
}
