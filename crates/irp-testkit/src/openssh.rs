//! Stock OpenSSH, server and client, each a process of its own that dies with the test.
//!
//! Everything lives in the folder that the test gives: keys, configuration, logs. Nothing of the user's own
//! `~/.ssh` is read. As root the server needs `/run/sshd`, which containers lack; [`Sshd::start`] makes it.

use std::{
    collections::HashMap,
    fs, io,
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

use crate::{
    port,
    process::{Peer, find},
};

const SERVER_PACKAGE: &str = "openssh-server";
const CLIENT_PACKAGE: &str = "openssh-client";

/// How often a port is chosen anew, since another program may take it between choice and use.
const PORT_ATTEMPTS: usize = 5;

/// How long processes that were sent SIGKILL may take to be gone.
const GONE_WITHIN: Duration = Duration::from_secs(10);

/// How long [`Target::run`] lets a client run.
pub const RUN_SECONDS: &str = "20";

/// A key pair made by `ssh-keygen`, without passphrase.
#[derive(Debug, Clone)]
pub struct KeyPair {
    /// The file with the private key; the public one lies beside it, with `.pub` appended.
    pub private: PathBuf,
    /// The public key as one line: `ssh-ed25519 AAAA… comment`.
    pub public: String,
}

impl KeyPair {
    /// Makes an ed25519 key pair in `dir`, in files called `name` and `name.pub`.
    ///
    /// # Errors
    ///
    /// When `ssh-keygen` is missing or fails.
    pub fn generate(dir: &Path, name: &str) -> io::Result<Self> {
        let private = dir.join(name);
        let mut keygen = Command::new(find("ssh-keygen", CLIENT_PACKAGE)?);
        keygen.args(["-q", "-t", "ed25519", "-N", "", "-C", name, "-f"]).arg(&private);
        let output = keygen.stdin(Stdio::null()).output()?;
        if !output.status.success() {
            return Err(io::Error::other(String::from_utf8_lossy(&output.stderr).into_owned()));
        }
        let public = fs::read_to_string(dir.join(format!("{name}.pub")))?.trim().to_owned();
        Ok(Self { private, public })
    }
}

/// A stock sshd: the machine's own one, on a free port of the loopback, for the user who runs the test.
#[derive(Debug)]
pub struct Sshd {
    peer: Peer,
    port: u16,
    host_key: KeyPair,
}

impl Sshd {
    /// Starts sshd with configuration, host key and log in `dir`; `key` may log in, and `extra` are lines
    /// of `sshd_config` that win over the ones given here.
    ///
    /// # Errors
    ///
    /// When OpenSSH is not installed, or sshd does not start to listen.
    pub fn start(dir: &Path, key: &KeyPair, extra: &str) -> io::Result<Self> {
        fs::create_dir_all(dir)?;
        if user()? == "root" {
            fs::create_dir_all("/run/sshd")?;
        }
        let host_key = KeyPair::generate(dir, "host_key")?;
        let authorized = dir.join("authorized_keys");
        fs::write(&authorized, format!("{}\n", key.public))?;
        let sshd = find("sshd", SERVER_PACKAGE)?;

        let mut attempt = 1;
        loop {
            let port = port::unused()?;
            let config = dir.join("sshd_config");
            // The first value of a keyword counts. `StrictModes` would refuse every folder below `/tmp`.
            fs::write(
                &config,
                format!(
                    "{extra}\nPort {port}\nListenAddress 127.0.0.1\nHostKey {}\nAuthorizedKeysFile {}\n\
                     StrictModes no\nPermitRootLogin prohibit-password\nPasswordAuthentication no\n\
                     KbdInteractiveAuthentication no\nPidFile none\nUseDNS no\n",
                    host_key.private.display(),
                    authorized.display(),
                ),
            )?;
            let mut command = Command::new(&sshd);
            command.args(["-D", "-e", "-f"]).arg(&config);
            let mut peer = Peer::start(command, SERVER_PACKAGE, &dir.join("sshd.log"))?;
            match peer.wait_until(|| TcpStream::connect(("127.0.0.1", port)).is_ok()) {
                Ok(()) => return Ok(Self { peer, port, host_key }),
                Err(_) if attempt < PORT_ATTEMPTS => attempt += 1,
                Err(error) => return Err(error),
            }
        }
    }

    /// The port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The line of its public host key.
    #[must_use]
    pub fn host_key(&self) -> &str {
        &self.host_key.public
    }

    /// The process id of the listening sshd.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.peer.pid()
    }

    /// The processes of its sessions, authenticated or not, however deep.
    #[must_use]
    pub fn sessions(&self) -> Vec<u32> {
        descendants(self.peer.pid())
    }

    /// What sshd has logged so far.
    #[must_use]
    pub fn output(&self) -> String {
        self.peer.output()
    }

    /// How the client reaches this server as the current user.
    ///
    /// # Errors
    ///
    /// When `id` cannot tell who the current user is.
    pub fn target(&self, key: &KeyPair) -> io::Result<Target> {
        Target::new(self.port, &user()?, key, &self.host_key.public)
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        // Each session is a process that outlives the listener; the peer's own drop ends the listener.
        let sessions = self.sessions();
        let _ = self.peer.child().kill();
        for pid in &sessions {
            signal(*pid, Signal::KILL);
        }
        let deadline = Instant::now() + GONE_WITHIN;
        while sessions.iter().any(|pid| is_running(*pid)) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// Where the client connects to, as whom, and how it knows that it is the right host.
#[derive(Debug, Clone)]
pub struct Target {
    port: u16,
    user: String,
    key: PathBuf,
    known_hosts: PathBuf,
}

impl Target {
    /// `user` at 127.0.0.1:`port`, whose host key must be `host_key` (a line of a `.pub` file).
    ///
    /// # Errors
    ///
    /// When the file of known hosts cannot be written beside the key.
    pub fn new(port: u16, user: &str, key: &KeyPair, host_key: &str) -> io::Result<Self> {
        let known_hosts = key.private.with_extension(format!("known_hosts_{port}"));
        fs::write(&known_hosts, format!("[127.0.0.1]:{port} {host_key}\n"))?;
        Ok(Self { port, user: user.to_owned(), key: key.private.clone(), known_hosts })
    }

    /// Runs `ssh` with `args` before and `command` after the destination, to its end, or until `timeout` of
    /// coreutils ends it after [`RUN_SECONDS`] with exit code 124.
    ///
    /// # Errors
    ///
    /// When `ssh` is not installed or cannot be started.
    pub fn run(&self, args: &[&str], command: &[&str]) -> io::Result<Output> {
        let ssh = self.command()?;
        let mut bounded = Command::new(find("timeout", "coreutils")?);
        bounded
            .args(["--foreground", "--kill-after=1", RUN_SECONDS])
            .arg(ssh.get_program())
            .args(ssh.get_args());
        bounded.args(args).arg(self.destination()).args(command);
        bounded.env_remove("SSH_AUTH_SOCK").stdin(Stdio::null()).output()
    }

    fn command(&self) -> io::Result<Command> {
        let mut ssh = Command::new(find("ssh", CLIENT_PACKAGE)?);
        ssh.args([
            "-F",
            "none",
            "-o",
            "BatchMode=yes",
            "-o",
            "IdentitiesOnly=yes",
            "-o",
            "IdentityAgent=none",
        ])
        .args([
            "-o",
            "StrictHostKeyChecking=yes",
            "-o",
            "GlobalKnownHostsFile=none",
            "-o",
            "ConnectTimeout=20",
        ])
        .arg("-o")
        .arg(format!("UserKnownHostsFile={}", self.known_hosts.display()))
        .arg("-i")
        .arg(&self.key)
        .args(["-p", &self.port.to_string()]);
        ssh.env_remove("SSH_AUTH_SOCK");
        Ok(ssh)
    }

    fn destination(&self) -> String {
        format!("{}@127.0.0.1", self.user)
    }
}

/// A running `ssh -N`, killed and waited for on drop.
#[derive(Debug)]
pub struct Ssh {
    peer: Peer,
}

impl Ssh {
    /// Starts `ssh -N -R forward…`; it exits when one of the forwards is refused. Output goes to `log`.
    ///
    /// # Errors
    ///
    /// When `ssh` is not installed or cannot be started.
    pub fn forward(target: &Target, forwards: &[&str], log: &Path) -> io::Result<Self> {
        let options = ["-o", "ExitOnForwardFailure=yes"].into_iter();
        let args: Vec<&str> = options.chain(forwards.iter().flat_map(|forward| ["-R", *forward])).collect();
        Self::start(target, &args, log)
    }

    /// Starts `ssh -N` with `args`. Output goes to `log`.
    ///
    /// # Errors
    ///
    /// When `ssh` is not installed or cannot be started.
    pub fn start(target: &Target, args: &[&str], log: &Path) -> io::Result<Self> {
        let mut ssh = target.command()?;
        ssh.arg("-N").args(args).arg(target.destination());
        Ok(Self { peer: Peer::start(ssh, CLIENT_PACKAGE, log)? })
    }

    /// The process, for its output, its end, and waiting.
    pub fn peer(&mut self) -> &mut Peer {
        &mut self.peer
    }

    /// Kills it without a word to the server, and waits for its end.
    ///
    /// # Errors
    ///
    /// When it has been waited for already.
    pub fn kill(&mut self) -> io::Result<()> {
        self.peer.child().kill()?;
        self.peer.child().wait().map(drop)
    }

    /// Stops it with SIGSTOP: the socket stays open and nobody answers, as with a laptop that fell asleep.
    pub fn freeze(&self) {
        signal(self.peer.pid(), Signal::STOP);
    }

    /// Lets it run on after [`Ssh::freeze`].
    pub fn thaw(&self) {
        signal(self.peer.pid(), Signal::CONT);
    }
}

/// The name of the user who runs the test.
///
/// # Errors
///
/// When `id` cannot be started.
pub fn user() -> io::Result<String> {
    let output = Command::new(find("id", "coreutils")?).arg("-un").output()?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// All processes below `ancestor`, nearest first.
#[must_use]
pub fn descendants(ancestor: u32) -> Vec<u32> {
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    for pid in entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok()) {
        if let Some((parent, _)) = parent_and_state(pid) {
            children.entry(parent).or_default().push(pid);
        }
    }
    let mut found = vec![ancestor];
    let mut next = 0;
    while let Some(pid) = found.get(next) {
        found.extend(children.remove(pid).unwrap_or_default());
        next += 1;
    }
    found.remove(0);
    found
}

/// Whether `pid` is a process that still runs; one that only waits to be collected does not.
#[must_use]
pub fn is_running(pid: u32) -> bool {
    parent_and_state(pid).is_some_and(|(_, state)| !matches!(state, 'Z' | 'X'))
}

/// Reads `/proc/PID/stat`: the name in brackets may hold anything, so what counts begins after the last one.
fn parent_and_state(pid: u32) -> Option<(u32, char)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?.chars().next()?;
    Some((fields.next()?.parse().ok()?, state))
}

fn signal(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, signal);
    }
}
