//! Stock OpenSSH at both ends, and the loop by which people make it come back.

use std::{
    fs::{self, File},
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Child, Command, Stdio},
};

use irp_testkit::{openssh::KeyPair, process::find};
use rustix::process::{Pid, Signal, kill_process_group};

use crate::{EDGE, NAME};

/// Where the forward comes out on the edge's machine.
const UPSTREAM_PORT: u16 = 3000;

/// The tables of `edge.toml` that let ssh in by the public port; the test runs as root, so its account is one that is
/// on every Linux.
pub(crate) fn server(home: &Path) -> String {
    format!(
        "[sshd]\nupstream_port = {UPSTREAM_PORT}\nnames = [{NAME:?}]\nsockets = {:?}\non_443 = true\n\
         account = \"daemon\"\n",
        home.join("tunnels"),
    )
}

/// `ssh -N -R` in a loop; all of it is killed on drop.
pub(crate) struct Forwarding(Child);

/// Starts the loop on the developer's PC. ssh ends when it has heard nothing for ten seconds, and is started again.
pub(crate) fn keep_forwarding(home: &Path, key: &KeyPair, upstream: u16) -> Forwarding {
    let host_key = fs::read_to_string(home.join("sshd/host_key.pub")).unwrap();
    let known_hosts = home.join("known_hosts");
    fs::write(&known_hosts, format!("[{EDGE}]:443 {host_key}")).unwrap();
    let mut ssh = Command::new("sh");
    ssh.args(["-c", "while :; do \"$@\"; sleep 0.5; done", "sh"]).arg(find("ssh", "openssh-client").unwrap());
    ssh.args(["-F", "none", "-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes", "-o", "IdentityAgent=none"]);
    ssh.args(["-o", "StrictHostKeyChecking=yes", "-o", "GlobalKnownHostsFile=none"]);
    ssh.arg("-o").arg(format!("UserKnownHostsFile={}", known_hosts.display()));
    ssh.args(["-o", "ServerAliveInterval=5", "-o", "ServerAliveCountMax=2", "-o", "ConnectTimeout=5"]);
    ssh.args(["-o", "ExitOnForwardFailure=yes", "-N", "-p", "443", "-i"]).arg(&key.private);
    ssh.arg("-R").arg(format!("{UPSTREAM_PORT}:127.0.0.1:{upstream}")).arg(format!("daemon@{EDGE}"));
    let log = File::create(home.join("ssh.log")).unwrap();
    ssh.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).process_group(0);
    Forwarding(ssh.spawn().unwrap())
}

impl Drop for Forwarding {
    fn drop(&mut self) {
        let _ = kill_process_group(Pid::from_child(&self.0), Signal::KILL);
        let _ = self.0.wait();
    }
}
