//! Authenticated ssh sessions on this machine, counted by sshd's processes.
//!
//! Sockets would be the wrong thing to count: a port scanner has one, too, before it has shown any key. sshd writes
//! into the title of each process how far its session is.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::idle::Activity;

/// How often the processes are looked through. Reading some hundred of them takes a millisecond.
pub const SESSIONS_LOOK_EVERY: Duration = Duration::from_secs(2);

/// How much of a title is read: more than any name of a user and a terminal.
const TITLE_BYTES: u64 = 512;

/// Names of sshd's programs, as in `/proc/PID/comm`: one program up to OpenSSH 9.7, several from 9.8 on.
const PROGRAMS: [&str; 2] = ["sshd", "sshd-session"];

/// One authenticated session of an sshd on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SshSession {
    /// The process that serves it.
    pub pid: u32,
    /// The account that is logged in.
    pub user: String,
}

/// The sessions that are authenticated now; `proc` is `/proc`.
///
/// # Errors
///
/// When `proc` cannot be listed. Processes that end meanwhile are no error.
pub fn ssh_sessions(proc: &Path) -> io::Result<Vec<SshSession>> {
    let mut sessions = Vec::new();
    for entry in fs::read_dir(proc)? {
        let entry = entry?;
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        // The name of the program stays what it is, while anybody can write a title.
        let comm = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
        if !PROGRAMS.contains(&comm.trim_end()) {
            continue;
        }
        let mut title = Vec::new();
        let read = File::open(entry.path().join("cmdline"))
            .and_then(|file| file.take(TITLE_BYTES).read_to_end(&mut title));
        if let (Ok(_), Some(user)) = (read, authenticated_user(&title)) {
            sessions.push(SshSession { pid, user });
        }
    }
    Ok(sessions)
}

/// Lets `activity` have one session for as long as anybody is logged in through ssh, until `stop`.
///
/// One guard stands for all of them, since the idle timer asks only whether somebody is there.
pub async fn count_ssh_sessions(proc: PathBuf, activity: Activity, stop: CancellationToken) {
    let mut guard = None;
    let mut failed = false;
    loop {
        let proc = proc.clone();
        let found = match tokio::task::spawn_blocking(move || ssh_sessions(&proc)).await {
            Ok(found) => found,
            Err(error) => Err(io::Error::other(error)),
        };
        match found {
            Ok(sessions) => {
                failed = false;
                if sessions.is_empty() {
                    guard = None;
                } else if guard.is_none() {
                    tracing::info!(count = sessions.len(), "somebody is logged in through ssh");
                    guard = Some(activity.session());
                }
            }
            // The last state stays: whoever was logged in may still be.
            Err(error) if !failed => {
                failed = true;
                tracing::warn!(%error, "cannot list processes, so ssh sessions are not counted");
            }
            Err(_) => {}
        }
        tokio::select! {
            () = sleep(SESSIONS_LOOK_EVERY) => {}
            () = stop.cancelled() => return,
        }
    }
}

/// The user of an authenticated session, from the title of an sshd process:
/// `sshd: alice`, `sshd: alice@pts/0`, `sshd-session: alice@notty`.
///
/// All that comes before is in brackets or has more words: `sshd: [accepted]`, `sshd: alice [priv]`,
/// `sshd: alice [net]`, `sshd: /usr/sbin/sshd -D [listener] 0 of 10-100 startups`.
fn authenticated_user(title: &[u8]) -> Option<String> {
    let title = title.split(|byte| *byte == 0).next()?;
    let (program, session) = std::str::from_utf8(title).ok()?.split_once(": ")?;
    // A process titles itself by its program's path if it was started so.
    let program = program.rsplit('/').next()?;
    let session = session.trim_end();
    let plain = !session.is_empty() && !session.contains([' ', '[', ']']);
    if !PROGRAMS.contains(&program) || !plain {
        return None;
    }
    let user = session.rsplit_once('@').map_or(session, |(user, _terminal)| user);
    (!user.is_empty() && !user.starts_with('/')).then(|| user.to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn titles_of_authenticated_sessions() {
        for (title, user) in [
            ("sshd: root@notty\0\0\0\0", "root"),
            ("sshd: root", "root"),
            ("sshd: ec2-user@pts/0,pts/1\0", "ec2-user"),
            ("sshd-session: alice@example.com@pts/0\0", "alice@example.com"),
        ] {
            assert_eq!(authenticated_user(title.as_bytes()).as_deref(), Some(user), "{title}");
        }
    }

    #[test]
    fn titles_of_what_is_no_session_or_not_authenticated() {
        for title in [
            "",
            "sshd: /usr/sbin/sshd -D [listener] 0 of 10-100 startups",
            "sshd: /usr/sbin/sshd",
            "/usr/sbin/sshd\0-D\0",
            "sshd: [accepted]",
            "sshd: [net]",
            "sshd: alice [priv]",
            "sshd: alice [net]",
            "sshd: unknown [priv]",
            "sshd-auth: alice",
            "sshd: ",
            "vim: alice",
        ] {
            assert_eq!(authenticated_user(title.as_bytes()), None, "{title}");
        }
    }

    #[test]
    fn only_processes_of_sshd_count() {
        let proc = tempfile::tempdir().unwrap();
        for (pid, comm, title) in [
            ("10", "sshd\n", "sshd: alice@pts/0\0"),
            ("11", "sshd-session\n", "sshd-session: bob\0"),
            ("12", "liar\n", "sshd: mallory\0"),
            ("13", "sshd\n", "sshd: carol [net]\0"),
            ("self", "sshd\n", "sshd: dave\0"),
        ] {
            let folder = proc.path().join(pid);
            fs::create_dir(&folder).unwrap();
            fs::write(folder.join("comm"), comm).unwrap();
            fs::write(folder.join("cmdline"), title).unwrap();
        }
        // It ended between listing and reading.
        fs::create_dir(proc.path().join("14")).unwrap();

        let mut users: Vec<_> = ssh_sessions(proc.path())
            .unwrap()
            .into_iter()
            .map(|session| (session.pid, session.user))
            .collect();
        users.sort();
        assert_eq!(users, [(10, "alice".to_owned()), (11, "bob".to_owned())]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_login_is_a_session_of_the_idle_timer() {
        let proc = tempfile::tempdir().unwrap();
        let activity = Activity::new(crate::idle::BootClock);
        let stop = CancellationToken::new();
        let counting = tokio::spawn(count_ssh_sessions(proc.path().into(), activity.clone(), stop.clone()));
        let until = async |sessions| {
            while activity.seen().sessions != sessions {
                sleep(Duration::from_millis(100)).await;
            }
        };

        let process = proc.path().join("10");
        fs::create_dir(&process).unwrap();
        fs::write(process.join("comm"), "sshd\n").unwrap();
        fs::write(process.join("cmdline"), "sshd: alice@pts/0\0").unwrap();
        until(1).await;
        fs::remove_dir_all(&process).unwrap();
        until(0).await;
        assert!(activity.seen().last_ended.is_some());

        stop.cancel();
        counting.await.unwrap();
    }

    proptest! {
        #[test]
        fn any_title_is_taken_without_panic(title: Vec<u8>, text in "sshd: .*") {
            let _ = authenticated_user(&title);
            if let Some(user) = authenticated_user(text.as_bytes()) {
                prop_assert!(!user.contains(['[', ' ', '\0']));
            }
        }
    }
}
