//! A machine that boots: a Debian with systemd as process 1 and cloud-init, in namespaces of the kernel.
//!
//! Units, timers, sandboxing, logins and the power-off are real. It shares the network of the thread that starts it, so a
//! test lives in a [`namespace`](crate::namespace) where it can give it addresses, and the metadata service of EC2 at
//! [`imds::ADDRESS`](crate::imds::ADDRESS): cloud-init takes it for a machine of EC2. What it writes is in memory and
//! gone on drop. The root is made by `cargo xtask test`; the test has to be root too.

use std::{
    fs, io,
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Output, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

use crate::process::find;

/// The root that every machine begins with, from the root of the project.
const ROOT: &str = "target/peers/root";

/// The variable that names another release of Debian than that of this machine; its root is beside the other one.
const RELEASE: &str = "IRP_TEST_RELEASE";

const HOLD: &str = include_str!("machine/hold.sh");
const BOOT: &str = include_str!("machine/boot.sh");

/// How long it may take until process 1 runs, or until everything is gone that was killed.
const WITHIN: Duration = Duration::from_secs(30);

/// How often a condition is looked at: each look starts a program.
const GLANCE: Duration = Duration::from_millis(200);

/// How a machine came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It powered off: on EC2 it would be terminated now.
    PoweredOff,
    /// It asked to be started again.
    Rebooted,
    /// Its process 1 was killed, or failed, with this status of a shell.
    Died(i32),
}

/// A machine, running or not; everything of it is gone on drop.
#[derive(Debug)]
pub struct Machine {
    holder: Child,
    orders: Option<ChildStdin>,
    told: Receiver<String>,
    folder: PathBuf,
    init: Option<Pid>,
}

impl Machine {
    /// Prepares a machine in `folder`, which is made. What is in `image` lies above the files of its root, as the changes
    /// that somebody has made to an image.
    ///
    /// # Errors
    ///
    /// When there is no root, or the rights are missing to make namespaces and mounts; the message says what to do.
    pub fn new(folder: &Path, image: &Path) -> io::Result<Self> {
        let release = std::env::var(RELEASE).unwrap_or_default();
        let name = if release.is_empty() { ROOT.to_owned() } else { format!("{ROOT}-{release}") };
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(&name);
        if !root.join("sbin/init").exists() {
            let message = format!("there is no {name}; run `cargo xtask test`, which makes it");
            return Err(io::Error::new(io::ErrorKind::NotFound, message));
        }
        let root = root.canonicalize()?;
        fs::create_dir(folder)?;
        let script = |name: &str, text: &str| {
            let path = folder.with_extension(name);
            fs::write(&path, text).map(|()| path)
        };
        let (hold, boot) = (script("hold.sh", HOLD)?, script("boot.sh", BOOT)?);
        let console = fs::File::create(folder.with_extension("console"))?;
        let mut holder = Command::new(find("unshare", "util-linux")?);
        holder.args(["--mount", "--propagation", "private", "sh"]).arg(hold).arg(folder).arg(boot);
        // A colon parts the folders.
        holder.arg(format!("{}:{}", image.display(), root.display()));
        let mut holder = holder.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(console).spawn()?;
        let (sender, told) = channel();
        let lines = BufReader::new(holder.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?).lines();
        thread::spawn(move || lines.map_while(Result::ok).try_for_each(|line| sender.send(line)));
        let orders = holder.stdin.take();
        Ok(Self { holder, orders, told, folder: folder.to_owned(), init: None })
    }

    /// Switches it on.
    ///
    /// # Errors
    ///
    /// When it does not start; the message has its console.
    pub fn boot(&mut self) -> io::Result<()> {
        let ordered = self.orders.as_mut().map_or(Ok(()), |orders| orders.write_all(b"boot\n"));
        let line = ordered.and_then(|()| self.told.recv_timeout(WITHIN).map_err(io::Error::other));
        let number = line.as_ref().ok().and_then(|line| line.strip_prefix("init ")?.parse().ok());
        self.init = number.and_then(Pid::from_raw);
        if self.init.is_none() {
            return Err(io::Error::other(format!(
                "the machine does not start; a test that boots one needs root and may make mounts and control groups \
                 (a container needs --privileged): {line:?}\n{}",
                self.console()
            )));
        }
        Ok(())
    }

    /// Runs a program of the machine, as root, to its end.
    ///
    /// # Errors
    ///
    /// When the machine does not run.
    pub fn run(&self, program: &[&str]) -> io::Result<Output> {
        let init = self.init.ok_or_else(|| io::Error::other("the machine is off"))?;
        Command::new(find("nsenter", "util-linux")?)
            .args(["--target", &init.as_raw_pid().to_string()])
            .args(["--mount", "--uts", "--ipc", "--pid", "--cgroup", "--root", "--wd", "--"])
            .args(["env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin"])
            .args(program)
            .stdin(Stdio::null())
            .output()
    }

    /// What such a program prints; nothing if it cannot be run.
    #[must_use]
    pub fn ask(&self, program: &[&str]) -> String {
        let output = self.run(program).ok();
        output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default()
    }

    /// Waits until `holds`, for which the machine may be asked.
    ///
    /// # Panics
    ///
    /// When the time is over; the message names `what` was waited for and has the machine's journal.
    pub fn wait_until(&self, what: &str, within: Duration, mut holds: impl FnMut() -> bool) {
        let deadline = Instant::now() + within;
        while !holds() {
            assert!(Instant::now() < deadline, "waited in vain: {what}\n{}", self.journal());
            thread::sleep(GLANCE);
        }
    }

    /// Where a file of the running machine can be read, and written, from outside.
    ///
    /// # Panics
    ///
    /// When the machine is off.
    #[must_use]
    pub fn file(&self, path: &str) -> PathBuf {
        let init = self.init.expect("the machine is off").as_raw_pid();
        Path::new("/proc").join(init.to_string()).join("root").join(path.trim_start_matches('/'))
    }

    /// Waits for its end.
    ///
    /// # Panics
    ///
    /// When it still runs after this time; the message has its journal.
    pub fn end(&mut self, within: Duration) -> Ended {
        let line = match self.told.recv_timeout(within) {
            Ok(line) => line,
            Err(RecvTimeoutError::Timeout) => panic!("the machine runs on\n{}", self.journal()),
            Err(RecvTimeoutError::Disconnected) => panic!("nobody holds the machine\n{}", self.console()),
        };
        self.init = None;
        // reboot(2), PID namespaces: process 1 seems to be killed by SIGINT at a power-off, by SIGHUP at a reboot.
        match line.strip_prefix("ended ").and_then(|status| status.parse().ok()) {
            Some(130) => Ended::PoweredOff,
            Some(129) => Ended::Rebooted,
            status => Ended::Died(status.unwrap_or_default()),
        }
    }

    /// Everything that was logged since the first boot, also when the machine is off, with seconds.
    #[must_use]
    pub fn journal(&self) -> String {
        let disk = Path::new("/proc").join(self.holder.id().to_string()).join("root");
        let journal =
            disk.join(self.folder.strip_prefix("/").unwrap_or(&self.folder)).join("root/var/log/journal");
        let read = || {
            let mut command = Command::new(find("journalctl", "systemd")?);
            command.args(["--no-pager", "--quiet", "-o", "short-iso-precise", "-D"]).arg(journal).output()
        };
        match read() {
            Ok(output) if output.status.success() && !output.stdout.is_empty() => {
                String::from_utf8_lossy(&output.stdout).into_owned()
            }
            read => format!("no journal: {read:?}\n{}", self.console()),
        }
    }

    /// What was printed before there was a journal.
    fn console(&self) -> String {
        fs::read_to_string(self.folder.with_extension("console")).unwrap_or_default()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if let Some(init) = self.init {
            let _ = kill_process(init, Signal::KILL);
        }
        // At the end of its orders the holder has cleaned up, and ends.
        drop(self.orders.take());
        let deadline = Instant::now() + WITHIN;
        while matches!(self.holder.try_wait(), Ok(None)) && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(10));
        }
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}
