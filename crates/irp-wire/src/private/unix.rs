//! Modes of files.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, Permissions},
    io,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::Path,
};

/// What group and others may do.
const OTHERS: u32 = 0o077;

pub(super) fn enter_only_myself(builder: &mut DirBuilder) {
    builder.mode(0o700);
}

/// Lets nobody else read or write a file that is made with `options`.
pub fn only_mine(options: &mut OpenOptions) {
    options.mode(0o600);
}

/// Lets everybody read a file that is made with `options`.
pub fn readable_by_all(options: &mut OpenOptions) {
    options.mode(0o644);
}

/// Closes a folder to everybody else.
///
/// # Errors
///
/// When it is not ours.
pub fn narrow_folder(folder: &Path) -> io::Result<()> {
    narrow(folder, 0o700)
}

/// Closes a file to everybody else.
///
/// # Errors
///
/// When it is not ours.
pub fn narrow_file(file: &Path) -> io::Result<()> {
    narrow(file, 0o600)
}

fn narrow(path: &Path, mode: u32) -> io::Result<()> {
    if fs::metadata(path)?.permissions().mode() & OTHERS == 0 {
        return Ok(());
    }
    fs::set_permissions(path, Permissions::from_mode(mode))
}

/// Makes lasting what was renamed in a folder.
///
/// # Errors
///
/// When the disk fails.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}
