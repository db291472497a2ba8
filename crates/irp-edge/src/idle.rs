//! The idle timer: when nobody has been connected for long enough, the machine ends.
