//! stdin and stdout for bytes that are no text for people.

#[cfg_attr(windows, path = "raw/windows.rs")]
#[cfg_attr(not(windows), path = "raw/unix.rs")]
mod system;

pub(crate) use self::system::stdin;
pub(super) use self::system::stdout;
