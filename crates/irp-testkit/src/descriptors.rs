//! File descriptors, of which tests with a thousand visitors need more than the usual 1024.

use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises this process's own limit as far as the system lets it, and answers with the new one.
///
/// Children started later inherit it. A socket has one descriptor at each end: visitors, an edge and an origin
/// in one process need six for each request under way.
///
/// # Errors
///
/// When the system refuses, or allows fewer than `needed`.
pub fn allow(needed: u64) -> io::Result<u64> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?;
    let allowed = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    if allowed < needed {
        return Err(io::Error::other(format!(
            "{needed} open files are needed; raise `ulimit -Hn {allowed}`"
        )));
    }
    Ok(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thousand_visitors_fit() {
        let allowed = allow(4096).unwrap();
        assert!(allowed >= 4096);
        assert!(allow(u64::MAX - 1).is_err() || allowed == u64::MAX);
    }
}
