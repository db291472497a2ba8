//! Networks of the test's own: namespaces of the kernel, and cables between and in them. Needs root.

use std::{fs::File, io, os::fd::AsFd as _, path::Path, process::Command, thread};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::process::find;

/// Where `ip netns` keeps its namespaces.
const NAMESPACES: &str = "/run/netns";

/// A network namespace; it is deleted on drop, also when the test fails.
#[derive(Debug)]
pub struct Namespace {
    name: String,
}

impl Namespace {
    /// Makes one whose loopback is up. The name on the machine is unique to this process.
    ///
    /// # Errors
    ///
    /// When `ip` is not installed, or this user may not make namespaces.
    pub fn new(role: &str) -> io::Result<Self> {
        let name = format!("irp-{role}-{}", std::process::id());
        ip(&["netns", "add", &name]).map_err(|error| {
            io::Error::new(
                error.kind(),
                format!(
                    "this test makes network namespaces and needs root (run the tests with sudo): {error}"
                ),
            )
        })?;
        let namespace = Self { name };
        namespace.ip(&["link", "set", "lo", "up"])?;
        Ok(namespace)
    }

    /// Runs `ip` inside.
    ///
    /// # Errors
    ///
    /// When it fails; the message has what it said.
    pub fn ip(&self, args: &[&str]) -> io::Result<()> {
        ip(&[&["-n", &self.name], args].concat())
    }

    /// Connects this namespace and another one by a cable, an interface called `cable` at each end.
    ///
    /// # Errors
    ///
    /// See [`ip`](Self::ip).
    pub fn connect(&self, own: &str, other: &Self, others: &str) -> io::Result<()> {
        let ends = ["type", "veth", "peer", "name", "cable", "netns"];
        ip(&[&["link", "add", "cable", "netns", &self.name], &ends[..], &[&other.name]].concat())?;
        for (end, address) in [(self, own), (other, others)] {
            end.ip(&["address", "add", &format!("{address}/24"), "dev", "cable"])?;
            end.ip(&["link", "set", "cable", "up"])?;
        }
        Ok(())
    }

    /// Gives it an interface `eth0` that leads nowhere and has these addresses, each with its prefix length.
    ///
    /// # Errors
    ///
    /// See [`ip`](Self::ip).
    pub fn add_addresses(&self, addresses: &[&str]) -> io::Result<()> {
        // Not every kernel has dummy interfaces; the other end of a cable that nobody uses does as well.
        self.ip(&["link", "add", "eth0", "type", "veth", "peer", "name", "nowhere"])?;
        for address in addresses {
            self.ip(&["address", "add", address, "dev", "eth0"])?;
        }
        self.ip(&["link", "set", "nowhere", "up"])?;
        self.ip(&["link", "set", "eth0", "up"])
    }

    /// A thread that lives inside; what it starts, threads and programs, lives there too.
    ///
    /// # Panics
    ///
    /// When the thread panics, or cannot enter.
    pub fn run<T: Send + 'static>(&self, inside: impl FnOnce() -> T + Send + 'static) -> T {
        let path = Path::new(NAMESPACES).join(&self.name);
        let entering = thread::spawn(move || {
            let namespace = File::open(path).unwrap();
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
            inside()
        });
        entering.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = ip(&["netns", "delete", &self.name]);
    }
}

fn ip(args: &[&str]) -> io::Result<()> {
    let output = Command::new(find("ip", "iproute2")?).args(args).output()?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(io::Error::other(format!("ip {}: {}", args.join(" "), said.trim())))
}
