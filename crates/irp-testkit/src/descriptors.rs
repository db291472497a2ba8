//! File descriptors: tests with a thousand visitors need more than the usual 1024, and some want a program to run out of
//! them.

use std::{fs, io};

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit, setrlimit};

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

/// Lets process `pid` open about `spare` more than it has open, and no others from then on.
///
/// # Errors
///
/// When there is no such process, or it belongs to another user.
pub fn leave(pid: u32, spare: u64) -> io::Result<()> {
    let open = fs::read_dir(format!("/proc/{pid}/fd"))?.count() as u64;
    let most = Some(open + spare);
    prlimit(id(pid), Resource::Nofile, Rlimit { current: most, maximum: most })?;
    Ok(())
}

fn id(pid: u32) -> Option<Pid> {
    Pid::from_raw(pid.try_into().ok()?)
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
