//! `edge.toml` as it stands in the file. `docs/edge.toml` shows each key with its meaning and default.
//!
//! These types check what one value can tell; [`EdgeFile::check`] looks at what must fit together.

pub(crate) mod aws;
pub(crate) mod inbox;
pub(crate) mod limits;

use std::{
    collections::{BTreeSet, HashMap},
    fmt,
    net::SocketAddr,
    ops::Range,
    path::{Path, PathBuf},
};

use ipnet::IpNet;
use irp_wire::{
    key::{KeyError, PublicKey},
    name::{Hostname, NamePattern},
};
use serde::Deserialize;
use toml::Spanned;

use self::{aws::Aws, inbox::Inbox, limits::Limits};
use super::{policies::Verify, toml_file, values::Bytes};
use crate::{
    error::{Failure, Kind},
    log::Format,
};

/// The whole file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct EdgeFile {
    /// Where visitors and clients come in, with TLS.
    #[serde(default = "default_listen")]
    pub(crate) listen: Vec<SocketAddr>,
    /// Where plain HTTP comes in: redirects, and http-01.
    #[serde(default)]
    pub(crate) http_listen: Vec<SocketAddr>,
    /// Where metrics are shown, to this machine alone.
    pub(crate) metrics_listen: Option<Loopback>,
    /// Certificates, accounts and the edge's identity.
    #[serde(default = "default_state_dir")]
    pub(crate) state_dir: PathBuf,
    #[serde(default)]
    pub(crate) certificate: Certificate,
    pub(crate) acme: Option<Acme>,
    #[serde(default, rename = "key")]
    pub(crate) keys: Vec<Key>,
    #[serde(default, rename = "host")]
    pub(crate) hosts: Vec<Host>,
    #[serde(default)]
    pub(crate) limits: Limits,
    pub(crate) sshd: Option<Sshd>,
    #[serde(default)]
    pub(crate) inbox: Inbox,
    #[serde(default)]
    pub(crate) idle: Idle,
    pub(crate) aws: Option<Aws>,
    #[serde(default)]
    pub(crate) log: Log,
}

/// An address that only this machine reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "SocketAddr")]
pub(crate) struct Loopback(pub(crate) SocketAddr);

impl TryFrom<SocketAddr> for Loopback {
    type Error = String;

    fn try_from(address: SocketAddr) -> Result<Self, String> {
        if address.ip().is_loopback() {
            return Ok(Self(address));
        }
        Err(format!("{address} is not of this machine alone: write 127.0.0.1:{} or [::1]:…", address.port()))
    }
}

fn default_listen() -> Vec<SocketAddr> {
    vec![SocketAddr::from((std::net::Ipv6Addr::UNSPECIFIED, 443))]
}

fn default_state_dir() -> PathBuf {
    "/var/lib/irp".into()
}

/// Where certificates come from.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Certificate {
    #[serde(default)]
    pub(crate) mode: CertificateMode,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum CertificateMode {
    /// Ordered from a certificate authority.
    #[default]
    Acme,
    /// Signed by irp's authority of this machine, for names below `localhost`.
    Local,
}

/// The order of a certificate (RFC 8555).
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Acme {
    /// `letsencrypt`, `letsencrypt-staging`, or a URL.
    #[serde(default)]
    pub(crate) directory: Directory,
    /// Use Let's Encrypt's staging directory; not beside the URL of another authority.
    staging: Option<Spanned<bool>>,
    /// An e-mail address that the authority may write to.
    pub(crate) contact: Option<String>,
    pub(crate) challenge: Challenge,
    /// PEM certificates to trust when the directory is called, for a private authority.
    pub(crate) roots: Option<PathBuf>,
    /// What the certificate is for; all names of `[[key]]`, `[[host]]` and `[sshd]` if left out.
    pub(crate) names: Option<Vec<NamePattern>>,
    pub(crate) dns: Option<AcmeDns>,
}

impl Acme {
    /// Whether a trial is meant, with certificates that nobody trusts.
    pub(crate) fn is_trial(&self) -> bool {
        self.directory == Directory::LetsEncryptStaging || self.switched_to_staging().is_some()
    }

    /// Where it says `staging = true`.
    fn switched_to_staging(&self) -> Option<Range<usize>> {
        self.staging.as_ref().filter(|staging| *staging.get_ref()).map(Spanned::span)
    }
}

/// The directory of a certificate authority.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) enum Directory {
    #[default]
    LetsEncrypt,
    LetsEncryptStaging,
    Url(String),
}

impl TryFrom<String> for Directory {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        match text.as_str() {
            "letsencrypt" => Ok(Self::LetsEncrypt),
            "letsencrypt-staging" => Ok(Self::LetsEncryptStaging),
            url if url.starts_with("https://") && url.len() > "https://".len() => Ok(Self::Url(text)),
            _ => {
                Err("a directory is `letsencrypt`, `letsencrypt-staging`, or a URL that begins with https://")
            }
        }
    }
}

/// How control of the names is proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(crate) enum Challenge {
    #[serde(rename = "dns-01")]
    Dns01,
    #[serde(rename = "tls-alpn-01")]
    TlsAlpn01,
    #[serde(rename = "http-01")]
    Http01,
}

/// Who writes the TXT records of dns-01.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AcmeDns {
    /// A program that is called as `PROGRAM present|cleanup NAME VALUE`.
    pub(crate) exec: PathBuf,
}

/// A person's key and what it may claim.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Key {
    pub(crate) public: KeyLine,
    pub(crate) names: Vec<NamePattern>,
}

/// An SSH public key as its line in a `.pub` file.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct KeyLine {
    pub(crate) key: PublicKey,
    /// What follows the key: whose it is.
    pub(crate) comment: String,
}

impl TryFrom<String> for KeyLine {
    type Error = KeyError;

    fn try_from(line: String) -> Result<Self, KeyError> {
        let comment = line.split_ascii_whitespace().skip(2).collect::<Vec<_>>().join(" ");
        Ok(Self { key: line.parse()?, comment })
    }
}

/// Who may visit a name.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Host {
    pub(crate) name: Hostname,
    /// Only these addresses; everybody if left out.
    #[serde(default)]
    pub(crate) allow: Vec<Network>,
    /// Only who knows one of these passwords; everybody if left out.
    #[serde(default)]
    pub(crate) basic_auth: Vec<PasswordHash>,
    /// Which paths belong to which webhook provider; with one, all other paths are closed.
    #[serde(default)]
    pub(crate) verify: Vec<Verify>,
    /// Paths that are open to everybody beside them.
    #[serde(default)]
    pub(crate) open: Vec<String>,
    /// The longest body that is read to verify it.
    pub(crate) webhook_bytes: Option<Bytes>,
}

/// A user and what their password is compared with: `USER:sha256:HEX`, the digest of `USER:PASSWORD`.
///
/// The digest has no salt but the user name: it keeps a password from whoever reads the file in passing, and a
/// long random password from everybody.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct PasswordHash {
    pub(crate) user: String,
    pub(crate) digest: [u8; 32],
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PasswordHash").field("user", &self.user).finish_non_exhaustive()
    }
}

impl TryFrom<String> for PasswordHash {
    type Error = &'static str;

    // The message must not quote the text: it may be a password in the wrong place.
    fn try_from(text: String) -> Result<Self, Self::Error> {
        const SHAPE: &str = "a password is written `USER:sha256:HEX`: printf %s 'USER:PASSWORD' | sha256sum";
        let (user, hex) = text.split_once(":sha256:").ok_or(SHAPE)?;
        let is_hex = hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit());
        if user.is_empty() || user.contains(':') || !is_hex {
            return Err(SHAPE);
        }
        let mut digest = [0; 32];
        for (byte, pair) in digest.iter_mut().zip(hex.as_bytes().chunks(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| SHAPE)?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| SHAPE)?;
        }
        Ok(Self { user: user.to_owned(), digest })
    }
}

/// A network in CIDR notation, or one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Network(pub(crate) IpNet);

impl std::str::FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let net = text.parse().or_else(|_| text.parse().map(IpNet::from as fn(std::net::IpAddr) -> IpNet));
        net.map(|net: IpNet| Self(net.trunc())).map_err(|_| {
            format!("`{text}` is no network: write an address, or one with a prefix such as 10.0.0.0/8")
        })
    }
}

impl TryFrom<String> for Network {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

/// The way in through this machine's sshd.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Sshd {
    /// Where a forward comes out on 127.0.0.1.
    #[serde(default = "default_upstream_port")]
    pub(crate) upstream_port: u16,
    /// The first is served by the forward at `upstream_port`, each further one by its socket.
    pub(crate) names: Vec<Hostname>,
    /// Where forwards of further names come out, as LABEL.sock.
    #[serde(default = "default_sockets")]
    pub(crate) sockets: PathBuf,
    /// Hand connections that begin with `SSH-` on `listen` to an sshd of irp's own configuration.
    #[serde(default)]
    pub(crate) on_443: bool,
    /// The account whom that sshd lets in: `ssh ACCOUNT@…`.
    #[serde(default = "default_account")]
    pub(crate) account: String,
    /// Files with public keys of this machine's sshd, to be shown at `/.well-known/irp/host-key`.
    #[serde(default)]
    pub(crate) host_keys: Vec<PathBuf>,
}

fn default_upstream_port() -> u16 {
    3000
}

fn default_account() -> String {
    "irp".into()
}

fn default_sockets() -> PathBuf {
    "/run/irp/tunnels".into()
}

/// When the machine ends itself.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Idle {
    /// Hours after the last session; 0 is never.
    #[serde(default = "default_hours")]
    pub(crate) hours: f64,
    #[serde(default)]
    pub(crate) on_end: OnEnd,
    /// Written while somebody is connected, for a dead-man timer that does not trust this one.
    pub(crate) renew: Option<PathBuf>,
    /// Holds the UNIX second at which the machine ends whatever happens.
    pub(crate) ends_at: Option<PathBuf>,
}

impl Default for Idle {
    fn default() -> Self {
        Self { hours: default_hours(), on_end: OnEnd::default(), renew: None, ends_at: None }
    }
}

fn default_hours() -> f64 {
    1.0
}

/// What the idle timer does in the end.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum OnEnd {
    /// The process exits with 0.
    #[default]
    Exit,
    /// This file is written first; a systemd path unit that watches it powers the machine off.
    File(PathBuf),
}

/// The log, on stderr.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Log {
    /// A filter such as `info` or `irp_edge=debug,info`; `info` if left out.
    pub(crate) level: Option<String>,
    #[serde(default)]
    pub(crate) format: Format,
}

impl EdgeFile {
    /// Reads and checks the file.
    ///
    /// # Errors
    ///
    /// See [`toml_file::read`], and [`check`](Self::check).
    pub(crate) fn read(path: &Path) -> Result<Self, Failure> {
        Self::parse(&toml_file::text(path)?, path)
    }

    /// The same for text that was read from `path`.
    fn parse(text: &str, path: &Path) -> Result<Self, Failure> {
        let file: Self = toml_file::parse(text, path)?;
        file.check().map_err(|problem| {
            let place = toml_file::place(path, text, problem.at);
            Failure::new(Kind::Config, format!("{place}: {}", problem.what)).hint(problem.hint)
        })?;
        Ok(file)
    }

    /// Whether the parts fit together.
    fn check(&self) -> Result<(), Misfit> {
        if self.listen.is_empty() {
            return Err(Misfit::new("`listen` is empty", "listen = [\"[::]:443\"]"));
        }
        if self.keys.is_empty() && self.sshd.is_none() {
            return Err(Misfit::new(
                "nobody may connect: there is neither a [[key]] nor [sshd]",
                "`irp keygen` on the PC prints the line for `public` of a [[key]]",
            ));
        }
        if let Some(key) = self.keys.iter().find(|key| key.names.is_empty()) {
            let what = format!("the [[key]] {} has no names", key.public.key.fingerprint());
            return Err(Misfit::new(what, "names = [\"alice.proxy.example.com\"]"));
        }
        let mut hosts = BTreeSet::new();
        if let Some(host) = self.hosts.iter().find(|host| !hosts.insert(&host.name)) {
            return Err(Misfit::new(
                format!("there are two [[host]] for {}", host.name),
                "put their rules into one",
            ));
        }
        let is_loose =
            |host: &&Host| host.verify.is_empty() && !(host.open.is_empty() && host.webhook_bytes.is_none());
        if let Some(host) = self.hosts.iter().find(is_loose) {
            return Err(Misfit::new(
                format!(
                    "`open` and `webhook_bytes` of the [[host]] {} belong to a [[host.verify]]",
                    host.name
                ),
                "[[host.verify]] with provider = \"slack\"; without one, all paths are open",
            ));
        }
        self.check_memory()?;
        self.check_certificate()?;
        if let Some(aws) = &self.aws {
            let names = self.certificate_names();
            aws.check(names.iter().map(|name| name.trim_start_matches("*.")))?;
        }
        self.check_sshd()
    }

    fn check_memory(&self) -> Result<(), Misfit> {
        let limits = self.limits.public();
        let (one, all) = (limits.exchange_bytes(), limits.budget);
        if one <= all {
            return Ok(());
        }
        Err(Misfit::new(
            format!("[limits] one request may need {one} bytes, and there are {all} for all together"),
            "a request may need its stream_window and 64 KiB: raise memory, or lower stream_window",
        ))
    }

    fn check_certificate(&self) -> Result<(), Misfit> {
        match (self.certificate.mode, &self.acme) {
            (CertificateMode::Local, _) => Ok(()),
            (CertificateMode::Acme, None) => Err(Misfit::new(
                "[certificate] mode is \"acme\" (the default), but there is no [acme]",
                "[acme] with challenge = \"tls-alpn-01\" is the shortest one that works",
            )),
            (CertificateMode::Acme, Some(acme)) => self.check_acme(acme),
        }
    }

    fn check_acme(&self, acme: &Acme) -> Result<(), Misfit> {
        if let (Directory::Url(url), Some(staging)) = (&acme.directory, acme.switched_to_staging()) {
            return Err(Misfit::new(
                format!("[acme] names two certificate authorities: directory = \"{url}\" and staging = true"),
                "keep one of them: staging is Let's Encrypt's, for trials",
            )
            .at(staging));
        }
        match acme.challenge {
            Challenge::Dns01 if acme.dns.is_none() && !self.aws.as_ref().is_some_and(Aws::has_zone) => {
                Err(Misfit::new(
                    "[acme] challenge = \"dns-01\" needs [acme.dns]",
                    "exec = \"/path/to/hook\", a program that is called with `present|cleanup NAME VALUE`",
                ))
            }
            Challenge::Http01 if self.http_listen.is_empty() => Err(Misfit::new(
                "[acme] challenge = \"http-01\" needs `http_listen`",
                "http_listen = [\"[::]:80\"]",
            )),
            Challenge::Dns01 => Ok(()),
            Challenge::TlsAlpn01 | Challenge::Http01 => {
                let names = self.certificate_names();
                match names.iter().find(|name| name.starts_with("*.")) {
                    None => Ok(()),
                    Some(name) => Err(Misfit::new(
                        format!("only dns-01 can prove {name}"),
                        "challenge = \"dns-01\", or list the single names in `names` of [acme]",
                    )),
                }
            }
        }
    }

    fn check_sshd(&self) -> Result<(), Misfit> {
        let Some(sshd) = &self.sshd else { return Ok(()) };
        if sshd.names.is_empty() {
            return Err(Misfit::new("[sshd] has no names", "names = [\"alice.proxy.example.com\"]"));
        }
        let ours = self.listen.iter().chain(&self.http_listen).map(SocketAddr::port);
        if [22, 80, 443].into_iter().chain(ours).any(|port| port == sshd.upstream_port) {
            return Err(Misfit::new(
                format!("[sshd] upstream_port {} is taken by sshd or by the edge itself", sshd.upstream_port),
                "upstream_port = 3000",
            ));
        }
        // The first name has the port, each further one a socket that is called after its first label.
        let mut sockets = HashMap::new();
        for name in sshd.names.iter().skip(1) {
            let label = name.as_str().split('.').next().unwrap_or_default();
            if let Some(first) = sockets.insert(label, name) {
                let socket = sshd.sockets.join(format!("{label}.sock"));
                return Err(Misfit::new(
                    format!("[sshd] would reach both {first} and {name} at {}", socket.display()),
                    "leave one of them out, or give them names whose first labels differ",
                ));
            }
        }
        Ok(())
    }

    /// The names that the certificate is for, in text, sorted.
    pub(crate) fn certificate_names(&self) -> BTreeSet<String> {
        if let Some(names) = self.acme.as_ref().and_then(|acme| acme.names.as_ref()) {
            return names.iter().map(ToString::to_string).collect();
        }
        let claimed = self.keys.iter().flat_map(|key| &key.names).map(ToString::to_string);
        let sshd = self.sshd.iter().flat_map(|sshd| &sshd.names).map(ToString::to_string);
        let hosts = self.hosts.iter().map(|host| host.name.to_string());
        claimed.chain(sshd).chain(hosts).filter(|name| !is_wide_star(name)).collect()
    }
}

/// Whether a star stands right below a top-level name, as in `*.localhost`: TLS libraries refuse a whole
/// certificate for such a name. It may be granted all the same, and served with another name's certificate.
fn is_wide_star(name: &str) -> bool {
    name.strip_prefix("*.").is_some_and(|parent| !parent.contains('.'))
}

/// Parts of the file that do not fit together.
#[derive(Debug)]
struct Misfit {
    what: String,
    hint: String,
    /// Where in the file, where one place can be named.
    at: Option<Range<usize>>,
}

impl Misfit {
    fn new(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { what: what.into(), hint: hint.into(), at: None }
    }

    fn at(self, place: Range<usize>) -> Self {
        Self { at: Some(place), ..self }
    }
}

#[cfg(test)]
mod tests;
