//! Real certificate authorities that speak ACME, on this machine: pebble, and Caddy's `acme_server`.

use std::{
    io,
    net::{IpAddr, SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::Command,
};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use serde_json::json;

use crate::{
    port::unused_address,
    process::{Peer, find},
};

/// How often a peer is started anew because another took its port first.
const TRIES: usize = 5;

/// Of a hundred good nonces. Pebble's own 5 let one request in eight thousand fail three times in a row, after which a
/// client gives up for a minute: with some hundred requests in a run of the tests, one run in twenty.
const REJECTED_NONCES: u8 = 1;

/// How a [`Pebble`] is to be.
#[derive(Debug, Clone, Default)]
pub struct PebbleOptions {
    /// The name server that it asks; the machine's own without one.
    pub dns: Option<SocketAddr>,
    /// The port at which it looks for http-01.
    pub http_port: Option<u16>,
    /// The port at which it looks for tls-alpn-01.
    pub tls_port: Option<u16>,
    /// How many of a hundred good nonces it rejects; 1 if not said.
    pub rejected_nonces: Option<u8>,
    /// How long its certificates last, in seconds; five years if not said.
    pub certificate_seconds: Option<u64>,
}

/// Let's Encrypt's test authority: validates in earnest, forgets everything when it ends, has no limits.
#[derive(Debug)]
pub struct Pebble {
    peer: Peer,
    /// Where its directory is.
    pub directory_url: String,
    /// The certificate (PEM) to trust when the directory is called; not that of the issued certificates.
    pub root_pem: PathBuf,
    management: SocketAddr,
}

impl Pebble {
    /// Starts pebble, with its files in `dir`.
    ///
    /// # Errors
    ///
    /// When it is not installed, or does not come up.
    pub fn start(dir: &Path, options: &PebbleOptions) -> io::Result<Self> {
        retried(|| Self::try_start(dir, options))
    }

    fn try_start(dir: &Path, options: &PebbleOptions) -> io::Result<Self> {
        let program = find("pebble", "pebble")?;
        let root_pem = dir.join("pebble-root.pem");
        let (certificate, key) = (dir.join("pebble-cert.pem"), dir.join("pebble-key.pem"));
        write_listener_certificate(&root_pem, &certificate, &key)?;
        let (listen, management) = (unused_address()?, unused_address()?);
        let mut settings = json!({
            "listenAddress": listen.to_string(),
            "managementListenAddress": management.to_string(),
            "certificate": certificate,
            "privateKey": key,
            "httpPort": options.http_port.unwrap_or(80),
            "tlsPort": options.tls_port.unwrap_or(443),
        });
        if let Some(seconds) = options.certificate_seconds {
            settings["certificateValidityPeriod"] = seconds.into();
        }
        let config = dir.join("pebble.json");
        std::fs::write(&config, json!({ "pebble": settings }).to_string())?;
        let mut command = Command::new(program);
        command.arg("-config").arg(config).env("PEBBLE_VA_NOSLEEP", "1").env("PEBBLE_AUTHZREUSE", "0");
        let rejected = options.rejected_nonces.unwrap_or(REJECTED_NONCES);
        command.env("PEBBLE_WFE_NONCEREJECT", rejected.to_string());
        if let Some(dns) = options.dns {
            command.arg("-dnsserver").arg(dns.to_string());
        }
        let log = dir.join(format!("pebble-{}.log", listen.port()));
        let mut peer = Peer::start(command, "pebble", &log)?;
        peer.wait_until(|| accepts(listen) && accepts(management))?;
        let directory_url = format!("https://localhost:{}/dir", listen.port());
        Ok(Self { peer, directory_url, root_pem, management })
    }

    /// How many accounts it has made.
    #[must_use]
    pub fn accounts(&self) -> usize {
        self.count(" accounts in memory")
    }

    /// How many orders it was given.
    #[must_use]
    pub fn orders(&self) -> usize {
        self.count("Added order ")
    }

    /// How many certificates it has issued.
    #[must_use]
    pub fn certificates(&self) -> usize {
        self.count("Issued certificate serial ")
    }

    /// Its log so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.peer.output()
    }

    /// Where its management interface is: `/roots/0` gives the root (PEM) of the certificates that it issues.
    #[must_use]
    pub fn management(&self) -> SocketAddr {
        self.management
    }

    fn count(&self, mark: &str) -> usize {
        self.log().lines().filter(|line| line.contains(mark)).count()
    }
}

/// How a [`CaddyCa`] is to be.
#[derive(Debug, Clone)]
pub struct CaddyOptions {
    /// Names that it finds at this address; it looks for http-01 at port 80 there, for tls-alpn-01 at 443.
    pub hosts: Vec<(String, IpAddr)>,
    /// The name server that it asks for everything else, at port 53.
    pub dns: IpAddr,
}

/// Caddy as a certificate authority. This version takes its name server from `/etc/resolv.conf`, so it runs in a
/// mount namespace of its own, for which the test has to be root.
#[derive(Debug)]
pub struct CaddyCa {
    peer: Peer,
    /// Where its directory is.
    pub directory_url: String,
    /// The certificate (PEM) to trust when the directory is called; the issued certificates have the same root.
    pub root_pem: PathBuf,
}

impl CaddyCa {
    /// Starts Caddy, with its files in `dir`.
    ///
    /// # Errors
    ///
    /// When it is not installed, the test is not run by root, or Caddy does not come up.
    pub fn start(dir: &Path, options: &CaddyOptions) -> io::Result<Self> {
        retried(|| Self::try_start(dir, options))
    }

    fn try_start(dir: &Path, options: &CaddyOptions) -> io::Result<Self> {
        let caddy = find("caddy", "caddy")?;
        let unshare = find("unshare", "util-linux")?;
        let listen = unused_address()?;
        let storage = dir.join("caddy");
        let host = format!("localhost:{}", listen.port());
        let config = json!({
            "admin": { "disabled": true },
            "storage": { "module": "file_system", "root": storage },
            "apps": {
                "pki": { "certificate_authorities": { "local": { "install_trust": false } } },
                "http": { "servers": { "acme": {
                    "listen": [listen.to_string()],
                    "routes": [{
                        "match": [{ "host": ["localhost"] }],
                        "handle": [{ "handler": "acme_server", "host": host }],
                    }],
                    "automatic_https": { "disable_redirects": true },
                } } },
                "tls": { "automation": { "policies": [
                    { "subjects": ["localhost"], "issuers": [{ "module": "internal" }] },
                ] } },
            },
        });
        let file = |name: &str, text: String| {
            let path = dir.join(name);
            std::fs::write(&path, text).map(|()| path)
        };
        let config = file("caddy.json", config.to_string())?;
        let hosts: String =
            options.hosts.iter().map(|(name, address)| format!("{address} {name}\n")).collect();
        let hosts = file("hosts", format!("127.0.0.1 localhost\n{hosts}"))?;
        let resolv = file("resolv.conf", format!("nameserver {}\n", options.dns))?;
        let mut command = Command::new(unshare);
        let script = "mount --bind \"$1\" /etc/hosts && mount --bind \"$2\" /etc/resolv.conf && \
                      exec \"$3\" run --config \"$4\"";
        command.args(["--mount", "sh", "-c", script, "sh"]).arg(hosts).arg(resolv).arg(caddy).arg(config);
        command.env("HOME", dir).env("XDG_DATA_HOME", dir).env("XDG_CONFIG_HOME", dir);
        let log = dir.join(format!("caddy-{}.log", listen.port()));
        let mut peer = Peer::start(command, "caddy", &log)?;
        let root_pem = storage.join("pki/authorities/local/root.crt");
        let own = storage.join("certificates/local/localhost/localhost.crt");
        peer.wait_until(|| root_pem.exists() && own.exists() && accepts(listen))?;
        let directory_url = format!("https://{host}/acme/local/directory");
        Ok(Self { peer, directory_url, root_pem })
    }

    /// Its log so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.peer.output()
    }
}

fn accepts(address: SocketAddr) -> bool {
    TcpStream::connect(address).is_ok()
}

/// Another process may take the port first; the peer then ends at once and is started again.
fn retried<T>(mut start: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    let mut tries = 0;
    loop {
        tries += 1;
        match start() {
            Err(error) if tries < TRIES && error.to_string().contains("address already in use") => {}
            other => return other,
        }
    }
}

/// A root, and a certificate of it for `localhost` and its address, with its key; all PEM.
fn write_listener_certificate(root: &Path, certificate: &Path, key: &Path) -> io::Result<()> {
    let made = || -> Result<_, rcgen::Error> {
        let root_key = KeyPair::generate()?;
        let mut root = CertificateParams::default();
        root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let root_certificate = root.self_signed(&root_key)?;
        let key = KeyPair::generate()?;
        let params = CertificateParams::new(["localhost".to_owned(), "127.0.0.1".to_owned()])?;
        let certificate = params.signed_by(&key, &Issuer::new(root, root_key))?;
        Ok((root_certificate.pem(), certificate.pem(), key.serialize_pem()))
    };
    let (root_pem, certificate_pem, key_pem) = made().map_err(io::Error::other)?;
    std::fs::write(root, root_pem)?;
    std::fs::write(certificate, certificate_pem)?;
    std::fs::write(key, key_pem)
}
