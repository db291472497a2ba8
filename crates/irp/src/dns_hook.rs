//! A program that sets and clears TXT records, so that any DNS provider works for dns-01.
//!
//! It is called as `PROGRAM present NAME VALUE` and `PROGRAM cleanup NAME VALUE`, without a shell, and exits with 0
//! when the record is there (or gone) wherever the authority may ask.

use std::{future::Future, path::PathBuf, pin::Pin, process::Stdio, time::Duration};

use irp_edge::certs::{Dns, solve::DnsError};
use tokio::process::Command;

/// How long the program may take; some providers need minutes until a record is everywhere.
const WITHIN: Duration = Duration::from_secs(300);

/// How much of what it says goes into the log, in characters.
const SAID_MOST: usize = 500;

/// The program.
#[derive(Clone, Debug)]
pub(crate) struct DnsHook {
    program: PathBuf,
}

/// Why the program did not do it.
#[derive(Debug, thiserror::Error)]
enum HookError {
    #[error("cannot run {}", program.display())]
    Run {
        program: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("{} took longer than {} s", program.display(), WITHIN.as_secs())]
    Slow { program: PathBuf },
    #[error("{} ended with {status}: {said}", program.display())]
    Failed { program: PathBuf, status: std::process::ExitStatus, said: String },
}

/// What the port wants back.
type Done<'a> = Pin<Box<dyn Future<Output = Result<(), DnsError>> + Send + 'a>>;

impl DnsHook {
    /// A hook that runs `program`.
    pub(crate) fn new(program: PathBuf) -> Self {
        Self { program }
    }

    async fn call(&self, verb: &str, name: &str, value: &str) -> Result<(), HookError> {
        let program = || self.program.clone();
        let mut command = Command::new(&self.program);
        command.args([verb, name, value]).stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true);
        let output = tokio::time::timeout(WITHIN, command.output())
            .await
            .map_err(|_| HookError::Slow { program: program() })?
            .map_err(|source| HookError::Run { program: program(), source })?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let said = said.trim().chars().take(SAID_MOST).collect();
        Err(HookError::Failed { program: program(), status: output.status, said })
    }
}

impl Dns for DnsHook {
    fn set_txt<'a>(&'a self, name: &'a str, value: &'a str) -> Done<'a> {
        Box::pin(async move {
            let failed = |source| DnsError { action: "setting", name: name.to_owned(), source };
            self.call("present", name, value).await.map_err(|error| failed(error.into()))
        })
    }

    fn clear_txt<'a>(&'a self, name: &'a str, value: &'a str) -> Done<'a> {
        Box::pin(async move {
            let failed = |source| DnsError { action: "clearing", name: name.to_owned(), source };
            self.call("cleanup", name, value).await.map_err(|error| failed(error.into()))
        })
    }

    /// The program has waited for that already.
    fn wait_visible<'a>(&'a self, _name: &'a str, _value: &'a str) -> Done<'a> {
        Box::pin(std::future::ready(Ok(())))
    }
}

#[cfg(test)]
mod tests {
    use std::{error::Error as _, fs, os::unix::fs::PermissionsExt as _};

    use super::*;

    fn hook(folder: &tempfile::TempDir, script: &str) -> DnsHook {
        let program = folder.path().join("hook");
        fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o700)).unwrap();
        DnsHook::new(program)
    }

    /// One test: were two to write and run scripts at once, a fork of one would hold the other's script open for
    /// writing, and the system would refuse to run it.
    #[tokio::test]
    async fn the_program_gets_verb_name_and_value_and_may_fail() {
        let folder = tempfile::tempdir().unwrap();
        let good = hook(&folder, "echo \"$@\" >> \"$(dirname \"$0\")/calls\"");
        good.set_txt("_acme-challenge.a.example", "x; y").await.unwrap();
        good.clear_txt("_acme-challenge.a.example", "x; y").await.unwrap();
        let calls = fs::read_to_string(folder.path().join("calls")).unwrap();
        assert_eq!(calls, "present _acme-challenge.a.example x; y\ncleanup _acme-challenge.a.example x; y\n");

        let bad = hook(&folder, "echo no such zone >&2; exit 3");
        let error = bad.set_txt("a.example", "x").await.unwrap_err();
        assert_eq!(error.to_string(), "setting the TXT record a.example failed");
        assert!(error.source().unwrap().to_string().ends_with("exit status: 3: no such zone"));
    }
}
