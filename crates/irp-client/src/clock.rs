//! The wall clock: the only place of this crate that reads it.

use std::time::SystemTime;

/// What time it is. It may jump, so nothing is measured with it but sleep.
pub(crate) fn now() -> SystemTime {
    SystemTime::now()
}
