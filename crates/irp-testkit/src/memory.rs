//! What a process weighs, as `/proc` tells it.

use std::io;

/// The resident memory of one process, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// What is resident now (`VmRSS`).
    pub resident: u64,
    /// The most that was ever resident, or since [`forget_peak`] (`VmHWM`).
    pub peak: u64,
}

impl Memory {
    /// Weighs the process `pid`.
    ///
    /// # Errors
    ///
    /// When there is no such process, or it is a zombie, which has no memory any more.
    pub fn of(pid: u32) -> io::Result<Self> {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
        let field = |name: &str| {
            status
                .lines()
                .find_map(|line| line.strip_prefix(name)?.trim().strip_suffix(" kB")?.parse::<u64>().ok())
                .map(|kibibytes| kibibytes * 1024)
                .ok_or_else(|| io::Error::other(format!("process {pid} has no {name}")))
        };
        Ok(Self { resident: field("VmRSS:")?, peak: field("VmHWM:")? })
    }
}

/// Lets the peak of process `pid` start again from what is resident now.
///
/// # Errors
///
/// When there is no such process, or it belongs to another user.
pub fn forget_peak(pid: u32) -> io::Result<()> {
    std::fs::write(format!("/proc/{pid}/clear_refs"), "5")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_takes_memory_weighs_more() {
        let before = Memory::of(std::process::id()).unwrap();
        let ballast = std::hint::black_box(vec![1_u8; 64 << 20]);
        let after = Memory::of(std::process::id()).unwrap();
        assert!(after.peak >= before.resident + (60 << 20), "{before:?} {after:?}");
        drop(ballast);
    }

    #[test]
    fn a_process_that_is_gone_is_an_error() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        child.wait().unwrap();
        assert!(Memory::of(child.id()).is_err());
    }
}
