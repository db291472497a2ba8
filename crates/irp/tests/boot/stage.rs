//! A machine's surroundings: an account with a zone, a metadata service, an authority, a server with downloads, a person.

use std::{
    fmt::Write as _,
    fs::{self, File},
    future::Future,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use irp_testkit::{
    acme::{Pebble, PebbleOptions},
    authority::Authority,
    dns::Responder,
    imds::{self, Imds},
    machine::{Ended, Machine},
    moto::{KEY_ID, Moto, REGION, SECRET},
    namespace::Namespace,
    process::{Peer, find},
    python,
    route53::HostedZone,
    visitor::{Curl, Reply},
};
use serde_json::Value;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::program::irp;

pub(crate) const NAME: &str = "alice.irp.test";

/// The machine's public address, and the one that it gets at its second start.
pub(crate) const ADDRESS: &str = "203.0.113.7";
pub(crate) const OTHER_ADDRESS: &str = "203.0.113.8";

/// Where every VPC has a name server.
const NAME_SERVER: &str = "169.254.169.253";

/// Where programs for the machine come from.
pub(crate) const DOWNLOADS: &str = "https://downloads.irp.test:8443";

/// How long one step of a machine may take; two processors may be busy with everything else.
pub(crate) const WITHIN: Duration = Duration::from_secs(120);

/// Runs a test on a network of its own that has the addresses of a machine in EC2.
pub(crate) fn on_a_network<F: Future<Output = ()>>(role: &str, test: impl FnOnce() -> F + Send + 'static) {
    let network = Namespace::new(role).unwrap();
    let metadata = imds::ADDRESS.ip();
    let addresses =
        [metadata.to_string().as_str(), NAME_SERVER, ADDRESS, OTHER_ADDRESS].map(|it| format!("{it}/32"));
    network.add_addresses(&addresses.each_ref().map(String::as_str)).unwrap();
    network.run(|| Runtime::new().unwrap().block_on(test()));
}

pub(crate) struct Stage {
    pub(crate) home: TempDir,
    pub(crate) imds: Imds,
    pub(crate) moto: Moto,
    pub(crate) zone: HostedZone,
    pub(crate) pebble: Pebble,
    /// Signs what pebble issues.
    root: PathBuf,
    _dns: Responder,
    _downloads: Peer,
}

impl Stage {
    pub(crate) async fn set() -> Self {
        let home = TempDir::new().unwrap();
        let moto = Moto::start(home.path()).unwrap();
        let zone = moto.create_zone("irp.test").unwrap();
        let dns = Responder::bind(SocketAddr::new(NAME_SERVER.parse().unwrap(), 53)).await.unwrap();
        dns.answer_from(&zone);
        let options = PebbleOptions { dns: Some(dns.address()), ..PebbleOptions::default() };
        let pebble = Pebble::start(home.path(), &options).unwrap();
        let root = home.path().join("issuing-root.pem");
        let roots = format!("https://localhost:{}/roots/0", pebble.management().port());
        // The management interface shows a certificate that nobody can know.
        fs::write(&root, Curl::new().args(["--insecure"]).get(&roots).await.unwrap().body).unwrap();
        let imds = Imds::bind(imds::ADDRESS).await.unwrap();
        imds.set("placement/region", REGION);
        imds.set("public-ipv4", ADDRESS);
        imds.set_role("irp-edge-alice", KEY_ID, SECRET, "session", "2038-01-01T00:00:00Z");
        let authority = Authority::new();
        let downloads = serve_downloads(home.path(), &authority).await;
        furnish_image(home.path(), &moto, &[&pebble.root_pem, authority.pem_file()]);
        Self { home, imds, moto, zone, pebble, root, _dns: dns, _downloads: downloads }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// Puts a file for the machine to download, and tells its SHA-256.
    pub(crate) fn offer(&self, name: &str, file: &Path) -> String {
        std::os::unix::fs::symlink(file, self.path("downloads").join(name)).unwrap();
        let hash = digest(&SHA256, &fs::read(file).unwrap());
        hash.as_ref().iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
    }

    /// Offers this build of irp, and gives the lines of `.env` that name it.
    pub(crate) fn offer_edge(&self) -> String {
        let name = format!("irp-{}", std::env::consts::ARCH);
        let hash = self.offer(&name, Path::new(env!("CARGO_BIN_EXE_irp")));
        format!("EDGE_DL_URL={DOWNLOADS}/{name}\nEDGE_SHA256={hash}\n")
    }

    /// Puts a file into the machine's image.
    pub(crate) fn image(&self, path: &str, text: &str) {
        write_below(&self.path("image"), path, text);
    }

    /// The way of the original: `.env`, and user-data through a pipe into the AWS CLI, which uses a launch template.
    pub(crate) fn launch(&self, env: &str) -> Machine {
        self.prepare(env);
        self.launch_at(ADDRESS)
    }

    /// Writes `.env`, and makes the launch template.
    fn prepare(&self, env: &str) {
        let common = format!(
            "HOST_NAME=alice\nHOSTED_ZONE_DOMAIN=irp.test\nACME_DIRECTORY={}\n",
            self.pebble.directory_url
        );
        fs::write(self.path(".env"), common + env).unwrap();
        let template = r#"{"ImageId":"ami-0123456789abcdef0","InstanceType":"t3.nano"}"#;
        let make = ["ec2", "create-launch-template", "--launch-template-name", "reverse-proxy"];
        self.moto.cli(&[&make[..], &["--launch-template-data", template]].concat()).unwrap();
    }

    /// Launches one more machine with the same `.env`, at this address.
    pub(crate) fn launch_at(&self, address: &str) -> Machine {
        let chatter = File::create(self.path("generate.log")).unwrap();
        let mut generate =
            irp(self.home.path(), &["generate"]).stdout(Stdio::piped()).stderr(chatter).spawn().unwrap();
        let run = ["ec2", "run-instances", "--launch-template", "LaunchTemplateName=reverse-proxy"];
        let launched = python::module("awscli")
            .unwrap()
            .args(["--output", "json"])
            .args(run)
            .args(["--user-data", "file:///dev/stdin"])
            .envs(self.moto.environment())
            .stdin(generate.stdout.take().unwrap())
            .output()
            .unwrap();
        let chatter = fs::read_to_string(self.path("generate.log")).unwrap();
        assert!(generate.wait().unwrap().success(), "{chatter}");
        assert!(launched.status.success(), "{}", String::from_utf8_lossy(&launched.stderr));
        let launched: Value = serde_json::from_slice(&launched.stdout).unwrap();
        self.boot(launched["Instances"][0]["InstanceId"].as_str().unwrap(), address)
    }

    /// Switches a machine of the account on, whose public address is this one.
    pub(crate) fn boot(&self, id: &str, address: &str) -> Machine {
        let ask = ["ec2", "describe-instance-attribute", "--attribute", "userData", "--instance-id", id];
        let told = self.moto.cli(&ask).unwrap();
        let user_data = BASE64_STANDARD.decode(told["UserData"]["Value"].as_str().unwrap()).unwrap();
        self.imds.set("instance-id", id);
        self.imds.set("public-ipv4", address);
        self.imds.set("/latest/user-data", &String::from_utf8(user_data).unwrap());
        let mut machine = Machine::new(&self.path(id), &self.path("image")).unwrap();
        machine.boot().unwrap();
        machine
    }

    /// `irp ARGS…` of a person with credentials of the account.
    pub(crate) fn irp(&self, arguments: &[&str]) -> Command {
        let mut command = irp(self.home.path(), arguments);
        command.envs(self.moto.environment()).env("IRP_RESOLVER", NAME_SERVER);
        command
    }

    /// What a visitor gets who trusts pebble's certificates, and finds the address in the record.
    pub(crate) async fn visit(&self, path: &str) -> Option<Reply> {
        let address: IpAddr = self.record().await?.first()?.parse().ok()?;
        let curl = Curl::new().trusting(&self.root).resolving(NAME, SocketAddr::new(address, 443));
        curl.get(&format!("https://{NAME}{path}")).await.ok()
    }

    /// Waits until visitors get this status over TLS.
    pub(crate) async fn answers(&self, machine: &Machine, path: &str, status: u16) {
        let waiting = async {
            while self.visit(path).await.is_none_or(|reply| reply.status != status) {
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        };
        let waited = tokio::time::timeout(WITHIN, waiting).await;
        assert!(waited.is_ok(), "no {status}\n{}\n{}", machine.journal(), self.pebble.log());
    }

    /// What the A record holds.
    pub(crate) async fn record(&self) -> Option<Vec<String>> {
        self.zone.values(NAME, "A").await.unwrap()
    }

    /// Waits until the A record holds this address.
    pub(crate) async fn record_becomes(&self, machine: &Machine, address: &str) {
        let waiting = async {
            while self.record().await.is_none_or(|values| values != [address]) {
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        };
        assert!(tokio::time::timeout(WITHIN, waiting).await.is_ok(), "no record\n{}", machine.journal());
    }

    /// Where the root of pebble's certificates is.
    pub(crate) fn root(&self) -> &str {
        self.root.to_str().unwrap()
    }

    /// The machine has ended by a power-off, and nothing of it is left in the zone.
    pub(crate) async fn is_over(&self, machine: &mut Machine) {
        assert_eq!(machine.end(WITHIN), Ended::PoweredOff, "{}", machine.journal());
        assert_eq!(self.record().await, None, "{}", machine.journal());
    }
}

/// cloud-init has come to its end, and has nothing to complain of.
pub(crate) fn cloud_init_is_done(machine: &Machine) {
    let status = || machine.ask(&["cloud-init", "status", "--format=json"]);
    let read = |text: String| serde_json::from_str::<Value>(&text).unwrap_or_default();
    machine.wait_until("cloud-init ends", WITHIN, || {
        ["done", "error", "degraded"].iter().any(|end| read(status())["status"] == **end)
    });
    let told = read(status());
    assert_eq!(told["status"], "done", "{told}\n{}", machine.journal());
    assert_eq!(told["errors"], serde_json::json!([]), "{told}");
    // In its first stage already, and not with the fallback of no data at all.
    assert_eq!(told["datasource"], "ec2local", "{told}");
}

/// A server as the project's releases have one: HTTPS, with a certificate that the machine trusts.
async fn serve_downloads(home: &Path, authority: &Authority) -> Peer {
    let folder = home.join("downloads");
    fs::create_dir(&folder).unwrap();
    let (certificate, key) = authority.pem(&["downloads.irp.test"]);
    write_below(home, "downloads.pem", &certificate);
    write_below(home, "downloads.key", &key);
    let at = |name: &str| home.join(name).display().to_string();
    let config = format!(
        "{{\n\tadmin off\n\tauto_https off\n\tstorage file_system {}\n}}\n{DOWNLOADS} {{\n\ttls {} {}\n\troot * {}\n\tfile_server\n}}\n",
        at("downloads.storage"),
        at("downloads.pem"),
        at("downloads.key"),
        at("downloads"),
    );
    write_below(home, "downloads.Caddyfile", &config);
    let mut caddy = Command::new(find("caddy", "caddy").unwrap());
    caddy.args(["run", "--adapter", "caddyfile", "--config", &at("downloads.Caddyfile")]).env("HOME", home);
    let mut peer = Peer::start(caddy, "caddy", &home.join("downloads.log")).unwrap();
    peer.wait_until(|| std::net::TcpStream::connect("127.0.0.1:8443").is_ok()).unwrap();
    peer
}

/// What Debian's images of EC2 say to cloud-init; and where this one's AWS, name server and trusted authorities are.
fn furnish_image(home: &Path, moto: &Moto, trusted: &[&Path]) {
    let image = home.join("image");
    let bundle = trusted.iter().map(|file| fs::read_to_string(file).unwrap()).collect::<String>();
    for (path, text) in [
        (
            "/etc/cloud/cloud.cfg.d/99-ec2.cfg",
            "datasource_list: [Ec2]\nnetwork: {config: disabled}\nsystem_info: {default_user: {name: admin}}\n",
        ),
        ("/etc/hosts", "127.0.0.1 localhost downloads.irp.test\n::1 localhost\n"),
        ("/etc/resolv.conf", &format!("nameserver {NAME_SERVER}\n")),
        ("/etc/irp/environment", &format!("AWS_ENDPOINT_URL={}\n", moto.url())),
        ("/etc/ssl/certs/ca-certificates.crt", &bundle),
        // With this folder the journal is kept on the disk.
        ("/var/log/journal/README", "kept\n"),
    ] {
        write_below(&image, path, text);
    }
}

fn write_below(folder: &Path, path: &str, text: &str) {
    let path = folder.join(path.trim_start_matches('/'));
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}
