//! What a program file tells of itself: for which processor it is, and how new a glibc it needs.
//!
//! A machine that cannot run its edge would be paid for until its guards end it, so the file is looked at first.

use crate::values::Arch;

/// What a Linux program needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Program {
    /// Its processor.
    pub arch: Arch,
    /// The newest version of glibc whose symbols it uses; `None` for a static program.
    pub glibc: Option<(u32, u32)>,
}

/// Why a file cannot be the edge of a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProgramError {
    /// It is no program of Linux.
    #[error("it is no program for Linux (ELF, 64 bit)")]
    NotElf,
    /// Neither of the processors that EC2 has.
    #[error("it is for a processor that EC2 does not have")]
    Processor,
}

/// The field `e_machine` of an ELF header (System V ABI, chapter 4).
const MACHINE: std::ops::Range<usize> = 18..20;

impl Program {
    /// Reads the whole file.
    ///
    /// # Errors
    ///
    /// When it is no program for a machine of EC2.
    pub fn read(file: &[u8]) -> Result<Self, ProgramError> {
        // Magic number, 64 bit, little-endian.
        if !file.starts_with(b"\x7fELF\x02\x01") {
            return Err(ProgramError::NotElf);
        }
        let arch = match file.get(MACHINE) {
            Some([62, 0]) => Arch::X86_64,
            Some([183, 0]) => Arch::Aarch64,
            _ => return Err(ProgramError::Processor),
        };
        Ok(Self { arch, glibc: newest_glibc(file) })
    }
}

/// The versions stand as text in the table of strings: `GLIBC_2.34`.
fn newest_glibc(file: &[u8]) -> Option<(u32, u32)> {
    const MARK: &[u8] = b"\0GLIBC_2.";
    let mut newest = None;
    let mut rest = file;
    while let Some(at) = find(rest, MARK) {
        rest = &rest[at + MARK.len()..];
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count().min(3);
        let ends = matches!(rest.get(digits), Some(0 | b'.'));
        let minor = std::str::from_utf8(&rest[..digits]).ok().and_then(|digits| digits.parse().ok());
        if let (Some(minor), true) = (minor, ends) {
            newest = newest.max(Some((2, minor)));
        }
    }
    newest
}

fn find(text: &[u8], mark: &[u8]) -> Option<usize> {
    let mut from = 0;
    // The first byte is frequent in programs, so the whole mark is compared at each.
    while let Some(at) = text[from..].iter().position(|byte| *byte == mark[1]) {
        let begin = (from + at).checked_sub(1);
        if let Some(begin) = begin.filter(|begin| text[*begin..].starts_with(mark)) {
            return Some(begin);
        }
        from += at + 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn elf(machine: u8, strings: &str) -> Vec<u8> {
        let mut file = vec![0_u8; 64];
        file[..6].copy_from_slice(b"\x7fELF\x02\x01");
        file[18] = machine;
        file.extend_from_slice(strings.as_bytes());
        file
    }

    #[test]
    fn a_program_tells_its_processor_and_its_glibc() {
        let read = |file: &[u8]| Program::read(file);
        let strings = "\0GLIBC_2.2.5\0GLIBC_2.34\0GLIBC_2.9\0GLIBC_PRIVATE\0xGLIBC_2.99\0GLIBC_2.77x\0";
        assert_eq!(read(&elf(62, strings)), Ok(Program { arch: Arch::X86_64, glibc: Some((2, 34)) }));
        assert_eq!(read(&elf(183, "")), Ok(Program { arch: Arch::Aarch64, glibc: None }));
        assert_eq!(read(&elf(243, "")), Err(ProgramError::Processor));
        assert_eq!(read(b"MZ"), Err(ProgramError::NotElf));
        assert_eq!(read(b"\x7fELF\x02\x01"), Err(ProgramError::Processor));
    }

    #[test]
    fn the_program_that_runs_here_can_be_read() {
        let Ok(file) = std::fs::read("/proc/self/exe") else { return };
        let program = Program::read(&file).unwrap();
        assert_eq!(program.arch.uname(), std::env::consts::ARCH);
    }
}
