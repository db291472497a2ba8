//! `irp edge --config edge.toml` under way, and a visitor who calls it.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    process::Command,
};

use irp_testkit::process::find;
use serde_json::Value;

use crate::program::{Running, irp};

/// Lines of `edge.toml` for a certificate of this machine's own authority.
pub(crate) const LOCAL: &str = "[certificate]\nmode = \"local\"\n";

/// A running edge, with its configuration and its state below the home of the test.
pub(crate) struct Edge {
    pub(crate) running: Running,
    pub(crate) address: SocketAddr,
    /// Where its metrics are, if they are shown.
    pub(crate) metrics: Option<SocketAddr>,
}

impl Edge {
    /// Starts one at a free port; `tables` is what follows the first lines of `edge.toml`.
    pub(crate) fn start(home: &Path, tables: &str) -> Self {
        Self::start_at(home, 0, tables, |_| {})
    }

    /// Starts one at this port, after `change` was done to its command.
    pub(crate) fn start_at(home: &Path, port: u16, tables: &str, change: impl FnOnce(&mut Command)) -> Self {
        Self::listening((Ipv4Addr::LOCALHOST, port).into(), home, tables, change)
    }

    /// Starts one at this address, which may be one of IPv6.
    pub(crate) fn listening(
        address: SocketAddr,
        home: &Path,
        tables: &str,
        change: impl FnOnce(&mut Command),
    ) -> Self {
        let state = home.join("edge");
        let config = format!("listen = [\"{address}\"]\nstate_dir = {state:?}\n{tables}");
        fs::write(home.join("edge.toml"), config).unwrap();
        let mut command = irp(home, &["edge", "--config", "edge.toml", "--json"]);
        change(&mut command);
        let mut running = Running::start(command, home.join("edge.log"));
        let listening = running.event("listening");
        let address = listening["addresses"][0].as_str().unwrap().parse().unwrap();
        let metrics = listening["metrics_address"].as_str().map(|address| address.parse().unwrap());
        Self { running, address, metrics }
    }

    /// `HOST:PORT` of a name at this edge.
    pub(crate) fn host(&self, name: &str) -> String {
        format!("{name}:{}", self.address.port())
    }

    /// Stops it as Ctrl-C does.
    pub(crate) fn stop(self) {
        self.running.interrupt();
        assert_eq!(self.running.end().code(), Some(0));
    }

    /// Asks for a page; a visitor who cannot even get an answer gets `None`.
    pub(crate) fn visit(&self, ca: &str, name: &str) -> Option<Answer> {
        let host = self.host(name);
        let output = Command::new(find("curl", "curl").unwrap())
            .args(["-sS", "--max-time", "30", "--cacert", ca, "--noproxy", "*"])
            .args(["--resolve", &format!("{host}:{}", self.address.ip())])
            .args(["-w", "\n%{http_code} %{time_total}", &format!("https://{host}/page")])
            .output()
            .unwrap();
        if !output.status.success() {
            return None;
        }
        let text = String::from_utf8(output.stdout).unwrap();
        let (body, numbers) = text.rsplit_once('\n').unwrap();
        let (status, seconds) = numbers.split_once(' ').unwrap();
        Some(Answer {
            status: status.parse().unwrap(),
            seconds: seconds.parse().unwrap(),
            body: body.to_owned(),
        })
    }

    /// The status of a page, where there is one.
    pub(crate) fn status(&self, ca: &str, name: &str) -> Option<u16> {
        self.visit(ca, name).map(|answer| answer.status)
    }
}

/// What a visitor got.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) seconds: f64,
    pub(crate) body: String,
}

/// Makes a key with `irp keygen`, and returns its public half.
pub(crate) fn keygen(home: &Path) -> String {
    let output = irp(home, &["--json", "keygen"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let made: Value = serde_json::from_slice(&output.stdout).unwrap();
    made["public"].as_str().unwrap().to_owned()
}

/// A `[[key]]` of `edge.toml`.
pub(crate) fn key_table(public: &str, names: &[&str]) -> String {
    format!("[[key]]\npublic = {public:?}\nnames = {names:?}\n")
}
