//! Our own sshd: its files, and one `sshd -i` per connection of the public listener.

use std::{
    fs, io,
    net::{Shutdown, SocketAddr, TcpStream as StdTcpStream},
    os::{
        fd::OwnedFd,
        unix::{
            fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt, chown},
            process::ExitStatusExt,
        },
    },
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    sync::Arc,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{
    io::AsyncReadExt,
    net::TcpStream,
    process::{Child, ChildStderr, Command},
    time::{Instant, sleep, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    Account, Limits, OwnerKeys, Refusal, UpstreamPort,
    config::{self, Settings},
    gate::{Gate, Ticket},
    make_socket_folder,
};
use crate::idle::Activity;

/// How long `sshd -t` and `ssh-keygen` may take. On the smallest machine they need a tenth of a second.
const TOOL_WITHIN: Duration = Duration::from_secs(10);

/// How much later than sshd the edge itself ends a connection that has not authenticated.
const GRACE_MARGIN: Duration = Duration::from_secs(5);

/// How long sshd may take to end once its connection is shut down, before it is killed.
const END_WITHIN: Duration = Duration::from_secs(2);

/// How long a connection that ended unauthenticated keeps its place. Starting sshd costs 10 ms of CPU: this bounds
/// how often one address, or all, can have it started.
const COOL_DOWN: Duration = Duration::from_secs(1);

/// The longest line of sshd's log that is read; the rest of a longer one is dropped.
const LOG_LINE_BYTES: usize = 4096;

/// What our own sshd needs.
#[derive(Debug, Clone)]
pub struct SshdWayConfig {
    /// The program `sshd`, by its absolute path, as sshd itself demands.
    pub sshd: PathBuf,
    /// The program `ssh-keygen`.
    pub ssh_keygen: PathBuf,
    /// The folder for host key and configuration. It is made if missing, and readable for the account; every
    /// folder above must let the account pass.
    pub folder: PathBuf,
    /// The account that may log in and that sshd runs as.
    pub account: Account,
    /// The keys that may log in.
    pub keys: OwnerKeys,
    /// The port at which forwards come out.
    pub port: UpstreamPort,
    /// The folder for sockets, if forwards may come out there as well.
    pub sockets: Option<PathBuf>,
    /// Takes an account that the edge itself runs as, even with sockets. A client may replace any file by a socket
    /// that its account may replace, so this is for machines on which the edge keeps nothing: tests.
    pub share_account: bool,
    /// How often a silent client is asked whether it is alive, in whole seconds.
    pub alive_interval: Duration,
    /// How many such questions may stay unanswered.
    pub alive_count: u32,
    /// How long a connection may take to authenticate, in whole seconds.
    pub login_grace: Duration,
    /// How many connections there may be.
    pub limits: Limits,
}

/// Our own sshd, ready to take connections.
#[derive(Debug)]
pub struct SshdWay {
    sshd: PathBuf,
    config: PathBuf,
    host_key: String,
    account: Account,
    login_grace: Duration,
    gate: Arc<Gate>,
}

/// How a connection to our own sshd ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// It authenticated, and then client or sshd ended it.
    Session,
    /// It never authenticated.
    Unauthenticated,
    /// The edge stopped.
    Stopped,
}

impl SshdWay {
    /// Writes the files, makes the host key if there is none yet, and lets sshd check it all.
    ///
    /// # Errors
    ///
    /// When OpenSSH is missing, the account may not be used, or a file cannot be written or is not accepted.
    pub async fn open(config: SshdWayConfig) -> Result<Self, OpenError> {
        if config.account.is_current() && config.sockets.is_some() && !config.share_account {
            return Err(OpenError::SharedAccount(config.account.name));
        }
        for program in [&config.sshd, &config.ssh_keygen] {
            if !program.is_absolute() || !program.is_file() {
                return Err(OpenError::Missing(program.clone()));
            }
        }
        let folder = Folder { path: &config.folder, account: &config.account };
        folder.make()?;
        if let Some(sockets) = &config.sockets {
            make_socket_folder(sockets, &config.account)
                .map_err(|source| OpenError::Write { path: sockets.clone(), source })?;
        }

        let host_key = config.folder.join("host_key");
        if !host_key.exists() {
            folder.generate_key(&config.ssh_keygen, &host_key).await?;
        }
        folder.share(&host_key)?;
        let public = config.folder.join("host_key.pub");
        let public =
            fs::read_to_string(&public).map_err(|source| OpenError::Read { path: public, source })?;

        let authorized_keys = config.folder.join("authorized_keys");
        folder.write(&authorized_keys, &config::authorized_keys(&config.keys, config.port))?;
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let settings = Settings {
            account: &config.account.name,
            host_key: &host_key,
            authorized_keys: &authorized_keys,
            port: config.port,
            sockets: config.sockets.is_some(),
            alive_interval: config.alive_interval,
            alive_count: config.alive_count,
            login_grace: config.login_grace,
            aes: config::has_aes(&cpuinfo),
        };
        let text = config::sshd_config(&settings).ok_or_else(|| OpenError::Path(config.folder.clone()))?;
        let sshd_config = config.folder.join("sshd_config");
        folder.write(&sshd_config, &text)?;

        let way = Self {
            sshd: config.sshd,
            config: sshd_config,
            host_key: public.trim().to_owned(),
            login_grace: config.login_grace,
            account: config.account,
            gate: Gate::new(config.limits),
        };
        let mut check = way.command();
        check.arg("-t");
        run_tool(check, &way.sshd).await?;
        Ok(way)
    }

    /// The public half of the host key, as it stands in a `.pub` file, for clients' `known_hosts`.
    #[must_use]
    pub fn host_key(&self) -> &str {
        &self.host_key
    }

    /// Gives a connection to sshd and stays until its end. What the listener has read by
    /// `peek` is still in the socket, and must be: sshd needs it.
    ///
    /// Once the client has authenticated it is a session of `activity`. When `stop` is cancelled the connection is
    /// shut down, and so it is when this future is dropped.
    ///
    /// # Errors
    ///
    /// When there are too many connections, or sshd cannot be started.
    pub async fn hand_over(
        &self,
        stream: TcpStream,
        from: SocketAddr,
        activity: &Activity,
        stop: &CancellationToken,
    ) -> Result<Ended, HandOverError> {
        let ticket = self.gate.enter(from.ip())?;
        let mut connection = self.start(stream)?;
        let ended = self.follow(&mut connection, from, ticket, activity, stop).await;
        if let Ok(status) = &ended.1 {
            tracing::debug!(%from, ended = ?ended.0, code = status.code(), signal = status.signal(), "sshd ended");
        }
        Ok(ended.0)
    }

    async fn follow(
        &self,
        connection: &mut Connection,
        from: SocketAddr,
        mut ticket: Ticket,
        activity: &Activity,
        stop: &CancellationToken,
    ) -> (Ended, io::Result<ExitStatus>) {
        let deadline = Instant::now() + self.login_grace + GRACE_MARGIN;
        let mut session = None;
        let ended = loop {
            tokio::select! {
                line = connection.log.next() => {
                    let Some(line) = line else {
                        break if session.is_some() { Ended::Session } else { Ended::Unauthenticated };
                    };
                    tracing::debug!(%from, sshd = line.escape_debug().to_string());
                    if session.is_none() && self.is_accepted(&line) {
                        if let Err(refusal) = ticket.authenticate() {
                            tracing::warn!(%from, %refusal, "ssh session refused");
                            break Ended::Unauthenticated;
                        }
                        tracing::info!(%from, "ssh session began");
                        session = Some(activity.session());
                    }
                }
                () = sleep_until(deadline), if session.is_none() => break Ended::Unauthenticated,
                () = stop.cancelled() => break Ended::Stopped,
            }
        };
        let status = connection.end().await;
        if session.take().is_some() {
            tracing::info!(%from, "ssh session ended");
        } else if ended == Ended::Unauthenticated {
            tokio::select! {
                () = sleep(COOL_DOWN) => {}
                () = stop.cancelled() => {}
            }
        }
        (ended, status)
    }

    /// The one line that sshd writes when, and only when, a client has authenticated. A name that a client makes up
    /// never stands at the beginning of a line.
    fn is_accepted(&self, line: &str) -> bool {
        line.strip_prefix("Accepted publickey for ")
            .and_then(|rest| rest.strip_prefix(self.account.name.as_str()))
            .is_some_and(|rest| rest.starts_with(" from "))
    }

    fn start(&self, stream: TcpStream) -> Result<Connection, HandOverError> {
        let stream = (|| {
            stream.set_nodelay(true)?;
            let stream = stream.into_std()?;
            stream.set_nonblocking(false)?;
            io::Result::Ok((stream.try_clone()?, stream.try_clone()?, stream))
        })();
        let (input, output, stream) = stream.map_err(HandOverError::Socket)?;
        let mut command = self.command();
        command
            .args(["-i", "-e"])
            .stdin(Stdio::from(OwnedFd::from(input)))
            .stdout(Stdio::from(OwnedFd::from(output)))
            .stderr(Stdio::piped());
        let mut child = command.spawn().map_err(HandOverError::Start)?;
        let log = LogLines { pipe: child.stderr.take(), buffer: Vec::new() };
        let group = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        Ok(Connection { stream, child, group, log })
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.sshd);
        command.arg("-f").arg(&self.config).env_clear().current_dir("/").process_group(0).kill_on_drop(true);
        if !self.account.is_current() {
            // With the user id, the standard library also drops all other groups.
            command.uid(self.account.uid).gid(self.account.gid);
        }
        command
    }
}

/// One connection and the processes that serve it: sshd forks once before and once after authentication.
#[derive(Debug)]
struct Connection {
    /// Shutting this down ends the connection whatever processes hold it, too.
    stream: StdTcpStream,
    child: Child,
    /// The process group of all of them, while it is sure to exist.
    group: Option<Pid>,
    log: LogLines,
}

impl Connection {
    /// Ends what is still there, and collects it. The log ends when the last process has.
    async fn end(&mut self) -> io::Result<ExitStatus> {
        let _ = self.stream.shutdown(Shutdown::Both);
        let rest = async { while self.log.next().await.is_some() {} };
        if timeout(END_WITHIN, rest).await.is_err() {
            self.kill();
        }
        let status = self.child.wait().await;
        self.group = None;
        status
    }

    fn kill(&self) {
        if let Some(group) = self.group {
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Both);
        self.kill();
    }
}

/// The lines of sshd's log, each cut to a bounded length.
#[derive(Debug)]
struct LogLines {
    pipe: Option<ChildStderr>,
    buffer: Vec<u8>,
}

impl LogLines {
    /// The next line without its end, or `None` when all writers have gone. Cancelling loses nothing.
    async fn next(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                return Some(String::from_utf8_lossy(&line).trim_end().to_owned());
            }
            if self.buffer.len() >= LOG_LINE_BYTES {
                // What follows has no beginning, so it must not look like one.
                self.buffer.clear();
                self.buffer.push(b'~');
            }
            let pipe = self.pipe.as_mut()?;
            match pipe.read_buf(&mut self.buffer).await {
                Ok(0) | Err(_) => self.pipe = None,
                Ok(_) => {}
            }
        }
    }
}

/// The folder of sshd's files: the edge's own, readable for the account.
#[derive(Debug, Clone, Copy)]
struct Folder<'a> {
    path: &'a Path,
    account: &'a Account,
}

impl Folder<'_> {
    fn make(&self) -> Result<(), OpenError> {
        let failed = |source| OpenError::Write { path: self.path.to_owned(), source };
        fs::DirBuilder::new().recursive(true).mode(0o755).create(self.path).map_err(failed)?;
        chown(self.path, None, Some(self.account.gid)).map_err(failed)?;
        fs::set_permissions(self.path, fs::Permissions::from_mode(0o750)).map_err(failed)
    }

    fn write(&self, path: &Path, text: &str) -> Result<(), OpenError> {
        let failed = |source| OpenError::Write { path: path.to_owned(), source };
        let new = path.with_extension("new");
        let _ = fs::remove_file(&new);
        let mut file =
            fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new).map_err(failed)?;
        io::Write::write_all(&mut file, text.as_bytes()).map_err(failed)?;
        self.share(&new)?;
        fs::rename(&new, path).map_err(failed)
    }

    async fn generate_key(&self, ssh_keygen: &Path, path: &Path) -> Result<(), OpenError> {
        let new = path.with_extension("new");
        let public = |path: &Path| path.with_file_name(format!("{}.pub", file_name(path)));
        let _ = fs::remove_file(&new);
        let mut keygen = Command::new(ssh_keygen);
        keygen
            .args(["-q", "-t", "ed25519", "-N", "", "-C", "irp", "-f"])
            .arg(&new)
            .env_clear()
            .kill_on_drop(true);
        run_tool(keygen, ssh_keygen).await?;
        // The public half first: where the private one stands, both do.
        for (from, to) in [(public(&new), public(path)), (new, path.to_owned())] {
            fs::rename(&from, &to).map_err(|source| OpenError::Write { path: to, source })?;
        }
        Ok(())
    }

    /// Lets the account read a file, and nobody else. sshd refuses a host key of its own user that others may
    /// read, and takes one of another user.
    fn share(&self, path: &Path) -> Result<(), OpenError> {
        let failed = |source| OpenError::Write { path: path.to_owned(), source };
        let mode = if self.account.is_current() { 0o600 } else { 0o640 };
        chown(path, None, Some(self.account.gid)).map_err(failed)?;
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(failed)
    }
}

fn file_name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// Runs a program to its end; what it says on stderr is the error.
async fn run_tool(mut command: Command, program: &Path) -> Result<(), OpenError> {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let run = |source| OpenError::Run { program: program.to_owned(), source };
    let output = timeout(TOOL_WITHIN, command.output())
        .await
        .map_err(|_| run(io::ErrorKind::TimedOut.into()))?
        .map_err(run)?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(OpenError::Rejected { program: program.to_owned(), said })
}

/// Why our own sshd cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A program is not there.
    #[error("{} is not there; install OpenSSH's server and client, or name their absolute paths", .0.display())]
    Missing(PathBuf),
    /// The account is the edge's own, and sockets are on.
    #[error(
        "sshd cannot run as `{0}`, the account of the edge itself: its clients could replace the edge's files by \
         sockets; give it an account of its own, or switch sockets off"
    )]
    SharedAccount(String),
    /// A file or folder cannot be written or given to the account.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The path holds what `sshd_config` cannot express.
    #[error("{} cannot be written in sshd's configuration: it must be absolute, without quotation marks", .0.display())]
    Path(PathBuf),
    /// A program cannot be run, or does not end.
    #[error("cannot run {}", program.display())]
    Run {
        /// The program.
        program: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A program refuses what it was given.
    #[error("{} says: {said}", program.display())]
    Rejected {
        /// The program.
        program: PathBuf,
        /// Its words.
        said: String,
    },
}

/// Why a connection was not given to sshd.
#[derive(Debug, thiserror::Error)]
pub enum HandOverError {
    /// There are too many.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The socket cannot be given away.
    #[error("cannot prepare the socket for sshd")]
    Socket(#[source] io::Error),
    /// sshd cannot be started.
    #[error("cannot start sshd")]
    Start(#[source] io::Error),
}
