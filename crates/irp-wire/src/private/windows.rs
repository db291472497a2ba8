//! Access lists are inherited from the folder above: below the user's profile they hold nobody who is not to be there.

use std::{
    fs::{DirBuilder, OpenOptions},
    io,
    path::Path,
};

pub(super) fn enter_only_myself(_: &mut DirBuilder) {}

/// Lets nobody else read or write a file that is made with `options`, as far as the folder's access list says so.
pub fn only_mine(_: &mut OpenOptions) {}

/// Lets everybody read a file that is made with `options`, who may read its folder.
pub fn readable_by_all(_: &mut OpenOptions) {}

/// Leaves a folder as closed as the one above it.
///
/// # Errors
///
/// None.
pub fn narrow_folder(_: &Path) -> io::Result<()> {
    Ok(())
}

/// Leaves a file as closed as its folder.
///
/// # Errors
///
/// None.
pub fn narrow_file(_: &Path) -> io::Result<()> {
    Ok(())
}

/// NTFS writes renames to its journal by itself.
///
/// # Errors
///
/// None.
pub fn sync_folder(_: &Path) -> io::Result<()> {
    Ok(())
}
