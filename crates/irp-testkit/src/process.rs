//! A child process that dies with the test that started it.

use std::{
    ffi::OsStr,
    fs::File,
    io,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// How long a peer may take until it is ready; generous, since the machines of CI are shared.
pub const READY_WITHIN: Duration = Duration::from_secs(30);

/// A running peer, killed and waited for on drop.
#[derive(Debug)]
pub struct Peer {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Peer {
    /// Starts `command`, its output appended to `log`.
    ///
    /// # Errors
    ///
    /// When the log cannot be created or the program cannot be started; a program that is missing is
    /// reported with the Debian package in `package` that brings it.
    pub fn start(mut command: Command, package: &str, log: &Path) -> io::Result<Self> {
        let name = command.get_program().to_string_lossy().into_owned();
        let out = File::options().create(true).append(true).open(log)?;
        command.stdin(Stdio::null()).stdout(out.try_clone()?).stderr(out);
        let child = command.spawn().map_err(|error| missing(&name, package, error))?;
        Ok(Self { name, child, log: log.to_owned() })
    }

    /// The process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The child itself, for signals and exit codes.
    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// What the peer has printed so far.
    #[must_use]
    pub fn output(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Waits until `ready` holds.
    ///
    /// # Errors
    ///
    /// When the peer exits first, or [`READY_WITHIN`] passes; the error carries the peer's output.
    pub fn wait_until(&mut self, mut ready: impl FnMut() -> bool) -> io::Result<()> {
        let deadline = Instant::now() + READY_WITHIN;
        loop {
            if ready() {
                return Ok(());
            }
            if let Some(status) = self.child.try_wait()? {
                return Err(io::Error::other(format!("{} ended: {status}\n{}", self.name, self.output())));
            }
            if Instant::now() > deadline {
                return Err(io::Error::other(format!("{} is not ready\n{}", self.name, self.output())));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Finds `program` in `PATH` and in the folders of system programs.
///
/// # Errors
///
/// When it is not there; the message names the Debian package.
pub fn find(program: &str, package: &str) -> io::Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .map(|folder| folder.join(program))
        .find(|candidate| candidate.is_file())
        .ok_or_else(|| missing(program, package, io::ErrorKind::NotFound.into()))
}

fn missing(program: impl AsRef<OsStr>, package: &str, error: io::Error) -> io::Error {
    let program = program.as_ref().to_string_lossy();
    io::Error::new(
        error.kind(),
        format!("{program}: {error}; install it with `apt-get install {package}`, or run `cargo xtask test`"),
    )
}
