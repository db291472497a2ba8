//! File descriptors.

use std::{fs::File, io, os::fd::AsFd as _};

/// stdin, as a file that is read elsewhere than on this thread.
///
/// # Errors
///
/// When it is closed.
pub(crate) fn stdin() -> io::Result<tokio::fs::File> {
    Ok(File::from(io::stdin().as_fd().try_clone_to_owned()?).into())
}

pub(in crate::ui) fn stdout() -> io::Result<tokio::fs::File> {
    Ok(File::from(io::stdout().as_fd().try_clone_to_owned()?).into())
}
