//! A machine in AWS as its edge sees it: moto, the metadata service, a zone that answers queries, an authority.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use irp_testkit::{
    acme::{Pebble, PebbleOptions},
    dns::Responder,
    imds::Imds,
    moto::{KEY_ID, Moto, REGION, SECRET},
    route53::HostedZone,
};
use tempfile::TempDir;

use crate::{
    acme::issuing_root,
    edge::{Edge, key_table, keygen},
    program::{Running, irp},
};

pub(crate) const NAME: &str = "alice.irp.test";

/// The address that the machine has at first.
pub(crate) const ADDRESS: &str = "203.0.113.7";

/// How long anything may take.
const WITHIN: Duration = Duration::from_secs(100);

/// An account with a zone, and one machine in it.
pub(crate) struct Stage {
    pub(crate) home: TempDir,
    pub(crate) imds: Imds,
    pub(crate) zone: HostedZone,
    pub(crate) pebble: Pebble,
    pub(crate) moto: Moto,
    /// The root of what pebble issues.
    pub(crate) root: String,
    /// Where AWS is.
    pub(crate) endpoint: String,
    /// The public key of whoever connects.
    pub(crate) key: String,
    /// What follows `[aws]` in `edge.toml`.
    pub(crate) tables: String,
    /// The port of the edge; 0 is a free one.
    pub(crate) port: u16,
    /// Answers for the zone.
    pub(crate) dns: Responder,
}

impl Stage {
    pub(crate) async fn set() -> Self {
        let home = TempDir::new().unwrap();
        let moto = Moto::start(home.path()).unwrap();
        let zone = moto.create_zone("irp.test").unwrap();
        let dns = Responder::start().await.unwrap();
        dns.answer_from(&zone);
        let options = PebbleOptions { dns: Some(dns.address()), ..PebbleOptions::default() };
        let pebble = Pebble::start(home.path(), &options).unwrap();
        let root = issuing_root(&pebble, home.path());
        let imds = Imds::start().await.unwrap();
        imds.set("placement/region", REGION);
        imds.set("public-ipv4", ADDRESS);
        imds.set_role("irp-edge-alice", KEY_ID, SECRET, "session", "2038-01-01T00:00:00Z");
        let key = keygen(home.path());
        let tables = key_table(&key, &[NAME]);
        let endpoint = moto.url();
        Self { home, imds, zone, pebble, moto, root, endpoint, key, tables, port: 0, dns }
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// Starts the edge of a machine that has just booted: nothing is left of the one before it.
    pub(crate) fn boot(&self, idle_hours: f64) -> Edge {
        self.boot_at(&self.pebble.directory_url, &self.pebble.root_pem, idle_hours)
    }

    /// The same with another authority than pebble.
    pub(crate) fn boot_at(&self, directory: &str, roots: &Path, idle_hours: f64) -> Edge {
        for left in ["power-off", "renewed", "machine-ends"] {
            let _ = fs::remove_file(self.file(left));
        }
        for left in ["edge", "keys"] {
            let _ = fs::remove_dir_all(self.file(left));
        }
        self.run(self.home.path(), directory, roots, idle_hours)
    }

    /// The service is started again on the same machine.
    pub(crate) fn start_again(&self, idle_hours: f64) -> Edge {
        self.run(self.home.path(), &self.pebble.directory_url, &self.pebble.root_pem, idle_hours)
    }

    /// Another machine of the name, whose disk is this folder, at the same time.
    pub(crate) fn boot_beside(&self, folder: &Path, idle_hours: f64) -> Edge {
        self.run(folder, &self.pebble.directory_url, &self.pebble.root_pem, idle_hours)
    }

    fn run(&self, folder: &Path, directory: &str, roots: &Path, idle_hours: f64) -> Edge {
        let tables = format!(
            "[acme]\nchallenge = \"dns-01\"\ndirectory = {directory:?}\nroots = {roots:?}\n\
             [idle]\nhours = {idle_hours:?}\non_end = {{ file = {:?} }}\nrenew = {:?}\nends_at = {:?}\n\
             [aws]\nzone = \"irp.test\"\nmachine_ends = {:?}\nkey_copy = {:?}\nmetadata = {:?}\n{}",
            folder.join("power-off"),
            folder.join("renewed"),
            folder.join("ends-at"),
            folder.join("machine-ends"),
            folder.join("keys"),
            self.imds.url(),
            self.tables,
        );
        Edge::start_at(folder, self.port, &tables, |command| {
            command.env("AWS_ENDPOINT_URL", &self.endpoint);
        })
    }

    /// A client of the edge, for the program at this port.
    pub(crate) fn connect(&self, address: SocketAddr, upstream: u16, root: &str) -> Running {
        let host = format!("{NAME}:{}", address.port());
        let (address, upstream) = (address.to_string(), upstream.to_string());
        let arguments = ["--json", "connect", &host, &upstream, "--connect-to", &address, "--cacert", root];
        Running::start(irp(self.home.path(), &arguments), self.file("client.log"))
    }

    /// What the record of the name holds at Route 53.
    pub(crate) async fn record(&self, kind: &str) -> Option<Vec<String>> {
        self.zone.values(NAME, kind).await.unwrap()
    }

    pub(crate) async fn record_becomes(&self, kind: &str, wanted: Option<&str>) {
        let wanted = wanted.map(|value| vec![value.to_owned()]);
        let waiting = async {
            while self.record(kind).await != wanted {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let waited = tokio::time::timeout(WITHIN, waiting).await;
        assert!(waited.is_ok(), "the {kind} record did not become {wanted:?}\n{}", self.log());
    }

    /// What SendSSHPublicKey leaves for the account irp, good until that UNIX second.
    pub(crate) fn push_key(&self, public: &str, until: u64) {
        let blob = format!(
            "#Timestamp={until}\n#Instance=i-0abc12345de67890f\n#Caller=arn:aws:iam::123456789012:user/alice\n\
             #Request=00000000-0000-0000-0000-000000000000\n{public}\nc2lnbmF0dXJl\n\n"
        );
        self.imds.push_key("irp", &blob);
    }

    /// Waits until visitors are served with a certificate that they trust, without a client.
    pub(crate) async fn serves(&self, edge: &Edge, root: &str) {
        // A policy closes the page that the visitor asks for.
        let status = if self.tables.contains("[aws.secrets]") { 404 } else { 503 };
        let waiting = async {
            while edge.status(root, NAME) != Some(status) {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let waited = tokio::time::timeout(WITHIN, waiting).await;
        assert!(waited.is_ok(), "there is no certificate\n{}", self.log());
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.file("edge.log")).unwrap_or_default()
    }
}
