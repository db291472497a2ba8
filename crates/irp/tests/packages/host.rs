//! The package for Debian on a host that has nothing but dpkg: installed, configured as docs/any-host.md says, started by
//! its unit under a real systemd, upgraded, removed, purged. The certificate comes from pebble by tls-alpn-01.

use std::{
    collections::BTreeSet,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use irp_testkit::{
    acme::{Pebble, PebbleOptions},
    dns::Responder,
    machine::{Ended, Machine},
    namespace::Namespace,
    origin::Origin,
    visitor::Curl,
};
use serde_json::Value;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::{
    image::{Image, is_up, run},
    packed::{DEBIAN, said},
    program::{Running, WITHIN, irp},
};

const NAME: &str = "alice.irp.test";
const ADDRESS: &str = "203.0.113.7";

/// Where the package lies after it was downloaded.
const PACKAGE: &str = "/var/tmp/irp.deb";

/// Where an authority's own certificate is, on the host.
const ROOTS: &str = "/etc/ssl/pebble.pem";

/// The most that `systemd-analyze security` may find: 0 is a service that can do nothing, 10 one that can do all.
const EXPOSURE_MAX: f32 = 2.5;

/// What may be new on a host that had the package: what dpkg, systemd and the makers of accounts keep for themselves.
const KEPT_BY_OTHERS: &[&str] = &[
    "/etc/.pwd.lock",
    "/etc/group-",
    "/etc/gshadow-",
    "/etc/passwd-",
    "/etc/shadow-",
    "/etc/subgid-",
    "/etc/subuid-",
    "/tmp/systemd-private-",
    "/var/lib/dpkg/",
    "/var/lib/systemd/",
    "/var/log/",
    "/var/tmp/systemd-private-",
];

#[test]
fn a_host_with_nothing_but_dpkg_becomes_an_edge_and_is_as_before_once_irp_is_purged() {
    let package = DEBIAN.as_path();
    let network = Namespace::new("host").unwrap();
    network.add_addresses(&[&format!("{ADDRESS}/32")]).unwrap();
    network.run(|| {
        let mut host = Host::with(package);
        let before = files(&host.machine);
        host.install();
        parts_are_there(&host.machine);
        the_unit_is_sound(&host.machine);
        nothing_starts_without_a_key(&host.machine);
        host.configure();
        host.serves();
        removed_it_leaves_what_is_the_hosts(&host.machine);
        run(&host.machine, &["dpkg", "--purge", "irp"]);
        let after = files(&host.machine);
        let left: Vec<_> = after
            .difference(&before)
            .filter(|path| !KEPT_BY_OTHERS.iter().any(|kept| path.starts_with(kept)))
            .collect();
        assert_eq!(left, Vec::<&String>::new());
        let is_fleeting = |path: &&String| path.starts_with("/tmp/") || path.starts_with("/var/");
        assert_eq!(before.difference(&after).find(|path| !is_fleeting(path)), None);
    });
}

/// A host, what is around it, and a person's PC.
struct Host {
    home: TempDir,
    machine: Machine,
    pebble: Pebble,
    /// Signs what pebble issues.
    issuer: PathBuf,
    runtime: Runtime,
    _dns: Responder,
}

impl Host {
    fn with(package: &Path) -> Self {
        let home = TempDir::new().unwrap();
        let runtime = Runtime::new().unwrap();
        let dns = runtime.block_on(Responder::start()).unwrap();
        // By hand, as somebody does it who has no Route 53.
        dns.add_address(NAME, ADDRESS.parse().unwrap());
        let options = PebbleOptions { dns: Some(dns.address()), ..PebbleOptions::default() };
        let pebble = Pebble::start(home.path(), &options).unwrap();
        let issuer = home.path().join("issuer.pem");
        let roots = format!("https://localhost:{}/roots/0", pebble.management().port());
        // The management interface shows a certificate of its own.
        let told = runtime.block_on(Curl::new().args(["--insecure"]).get(&roots)).unwrap();
        fs::write(&issuer, told.body).unwrap();
        let image = Image::new(home.path());
        image.copy(package, PACKAGE);
        image.copy(&pebble.root_pem, ROOTS);
        Self { machine: image.boot(), home, pebble, issuer, runtime, _dns: dns }
    }

    fn install(&self) {
        run(&self.machine, &["dpkg", "--install", PACKAGE]);
        let state = ["dpkg-query", "--show", "--showformat", "${db:Status-Status}", "irp"];
        assert_eq!(run(&self.machine, &state), "installed");
        assert!(run(&self.machine, &["getent", "passwd", "irp-edge"]).ends_with(":/usr/sbin/nologin\n"));
        assert_eq!(self.machine.ask(&["systemctl", "is-active", "irp-edge"]), "inactive\n");
        assert_eq!(self.machine.ask(&["systemctl", "is-enabled", "irp-edge"]), "disabled\n");
    }

    /// What docs/any-host.md tells people to do; only the authority is another one.
    fn configure(&self) {
        let key = irp(self.home.path(), &["--json", "keygen"]).output().unwrap();
        let key: Value = serde_json::from_slice(&key.stdout).unwrap();
        let file = self.machine.file("/etc/irp/edge.toml");
        let shipped = fs::read_to_string(&file).unwrap();
        let (settings, _) = shipped.split_once("# [[key]]").unwrap();
        let ours = format!("[acme]\ndirectory = {:?}\nroots = {ROOTS:?}", self.pebble.directory_url);
        let settings = settings.replace("[acme]", &ours);
        let key = format!("[[key]]\npublic = {}\nnames = [{NAME:?}]\n", key["public"]);
        fs::write(&file, settings + &key).unwrap();
        run(&self.machine, &["irp", "edge", "--config", "/etc/irp/edge.toml", "--check"]);
        run(&self.machine, &["systemctl", "enable", "--now", "irp-edge"]);
    }

    /// Visitors come through, also after an upgrade, and after the host was switched off and on.
    fn serves(&mut self) {
        let origin = Origin::start();
        let (upstream, address) = (origin.address().to_string(), format!("{ADDRESS}:443"));
        let issuer = self.issuer.display().to_string();
        let arguments = ["--json", "connect", NAME, &upstream, "--connect-to", &address, "--cacert", &issuer];
        self.answers("/", 503);
        let mut client =
            Running::start(irp(self.home.path(), &arguments), self.home.path().join("client.log"));
        client.event("connected");
        self.answers("/page", 200);
        let redirect = format!("http://{NAME}/page");
        let plain = Curl::new().resolving(NAME, SocketAddr::new(ADDRESS.parse().unwrap(), 80));
        assert_eq!(self.runtime.block_on(plain.get(&redirect)).unwrap().status, 308);
        let main = run(&self.machine, &["systemctl", "show", "--property", "MainPID", "--value", "irp-edge"]);
        let own = format!("/proc/{}", main.trim_end());
        assert_eq!(run(&self.machine, &["stat", "--format", "%U", &own]), "irp-edge\n");

        run(&self.machine, &["systemctl", "reload", "irp-edge"]);
        run(&self.machine, &["dpkg", "--install", PACKAGE]);
        client.event("connected");
        self.answers("/after-an-upgrade", 200);

        run(&self.machine, &["systemctl", "--no-block", "reboot"]);
        assert_eq!(self.machine.end(WITHIN), Ended::Rebooted, "{}", self.machine.journal());
        self.machine.boot().unwrap();
        client.event("connected");
        self.answers("/after-a-reboot", 200);
        is_up(&self.machine);
        // All from one certificate, which has outlived them.
        assert_eq!(self.pebble.orders(), 1, "{}", self.pebble.log());
        client.interrupt();
        assert!(client.end().success());
    }

    fn answers(&self, path: &str, status: u16) {
        let address = SocketAddr::new(ADDRESS.parse().unwrap(), 443);
        let curl = Curl::new().trusting(&self.issuer).resolving(NAME, address);
        let url = format!("https://{NAME}{path}");
        self.machine.wait_until(&format!("{status} for {path}"), 2 * WITHIN, || {
            self.runtime.block_on(curl.get(&url)).is_ok_and(|reply| reply.status == status)
        });
    }
}

/// What the package brings is where each program looks for it.
fn parts_are_there(machine: &Machine) {
    let version = format!("irp {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(run(machine, &["irp", "--version"]), version);
    let page = run(machine, &["gzip", "-dc", "/usr/share/man/man1/irp-edge.1.gz"]);
    assert!(page.contains("\n.TH irp-edge 1"), "{page}");
    let complete = ". /usr/share/bash-completion/completions/irp && complete -p irp";
    assert!(run(machine, &["bash", "-c", complete]).ends_with(" irp\n"));
    for file in ["/usr/share/zsh/vendor-completions/_irp", "/usr/share/fish/vendor_completions.d/irp.fish"] {
        run(machine, &["test", "-s", file]);
    }
    assert_eq!(run(machine, &["stat", "--format", "%U %a", "/etc/irp/edge.toml"]), "root 644\n");
    assert_eq!(run(machine, &["dpkg", "--verify", "irp"]), "");
}

fn the_unit_is_sound(machine: &Machine) {
    let unit = "irp-edge.service";
    let verified = machine.run(&["systemd-analyze", "verify", "--man=no", unit]).unwrap();
    let complaints = said(&verified);
    assert!(verified.status.success() && !complaints.contains(unit), "{complaints}");
    let told = run(machine, &["systemd-analyze", "security", "--offline=yes", "--no-pager", unit]);
    let last = told.lines().last().unwrap();
    let exposure = last.split_whitespace().find_map(|word| word.parse::<f32>().ok()).unwrap();
    assert!(exposure <= EXPOSURE_MAX, "{told}");
}

/// Somebody who starts it at once is told what is missing, once.
fn nothing_starts_without_a_key(machine: &Machine) {
    assert!(!machine.run(&["systemctl", "start", "irp-edge"]).unwrap().status.success());
    let property =
        |name: &str| machine.ask(&["systemctl", "show", "--property", name, "--value", "irp-edge"]);
    machine.wait_until("it has failed", Duration::from_secs(30), || property("ActiveState") == "failed\n");
    assert_eq!(property("NRestarts"), "0\n");
    let journal = machine.journal();
    assert!(journal.contains("nobody may connect"), "{journal}");
    assert!(journal.contains("irp keygen"), "{journal}");
}

fn removed_it_leaves_what_is_the_hosts(machine: &Machine) {
    run(machine, &["dpkg", "--remove", "irp"]);
    machine.wait_until("the edge has ended", WITHIN, || machine.ask(&["pgrep", "--exact", "irp"]).is_empty());
    assert!(!machine.file("/usr/bin/irp").exists());
    // With it, somebody who installs again goes on as before.
    assert!(fs::read_to_string(machine.file("/etc/irp/edge.toml")).unwrap().contains(NAME));
    assert!(fs::read_dir(machine.file("/var/lib/irp")).unwrap().next().is_some());
    // It is not started at the next boot.
    let wanted = "/etc/systemd/system/multi-user.target.wants/irp-edge.service";
    assert!(fs::symlink_metadata(machine.file(wanted)).is_err());
}

/// All files on the machine's disk.
fn files(machine: &Machine) -> BTreeSet<String> {
    run(machine, &["find", "/", "-xdev"]).lines().map(str::to_owned).collect()
}
