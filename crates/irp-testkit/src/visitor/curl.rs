//! Debian's curl.

use std::{
    ffi::{OsStr, OsString},
    io,
    net::SocketAddr,
    path::Path,
    process::{Output, Stdio},
};

use tempfile::NamedTempFile;

use super::reply::{Reply, parse_head};
use crate::process::find;

/// The longest that one curl may take, in seconds; a `--max-time` of the test's own comes later and wins.
const MAX_SECONDS: &str = "60";

/// A call of curl: neither its configuration file nor a proxy of the environment has a say.
#[derive(Debug, Clone, Default)]
pub struct Curl {
    args: Vec<OsString>,
}

impl Curl {
    /// One without any options.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Trusts the certificates in this PEM file and no others.
    #[must_use]
    pub fn trusting(self, pem: &Path) -> Self {
        self.args([OsStr::new("--cacert"), pem.as_os_str()])
    }

    /// Finds `name`, at the port of `address`, there.
    #[must_use]
    pub fn resolving(self, name: &str, address: SocketAddr) -> Self {
        self.args(["--resolve", &format!("{name}:{}:{}", address.port(), address.ip())])
    }

    /// Further options, as curl's manual has them.
    #[must_use]
    pub fn args(mut self, args: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Asks for `url` (with `-d` or `-X` among the options it is no GET) and reads the last response, after
    /// any redirects that it was told to follow.
    ///
    /// # Errors
    ///
    /// When curl is missing or fails; the message has its exit code and what it printed. To see the answer in
    /// spite of a failure, use [`Self::output`].
    pub async fn get(&self, url: &str) -> io::Result<Reply> {
        let heads = NamedTempFile::new()?;
        let output =
            self.clone().args(["--dump-header".as_ref(), heads.path().as_os_str()]).output(url).await?;
        if !output.status.success() {
            let printed = String::from_utf8_lossy(&output.stderr);
            return Err(io::Error::other(format!("curl {url}: {}\n{printed}", output.status)));
        }
        reply(&std::fs::read_to_string(heads.path())?, output.stdout)
    }

    /// Runs curl on `url`: the body on its output, complaints on its error output, and its exit code.
    ///
    /// # Errors
    ///
    /// When curl is missing.
    pub async fn output(&self, url: &str) -> io::Result<Output> {
        tokio::process::Command::new(find("curl", "curl")?)
            .args(["-q", "--silent", "--show-error", "--noproxy", "*", "--max-time", MAX_SECONDS])
            .args(&self.args)
            .arg(url)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await
    }
}

/// Reads the last head that curl dumped; behind it come the trailers, if there were any.
fn reply(heads: &str, body: Vec<u8>) -> io::Result<Reply> {
    let (mut last, mut interim, mut trailers) = (Reply::default(), Vec::new(), Vec::new());
    for block in heads.split("\r\n\r\n").filter(|block| !block.trim().is_empty()) {
        let lines: Vec<String> =
            block.split("\r\n").filter(|line| !line.is_empty()).map(ToOwned::to_owned).collect();
        if !block.starts_with("HTTP/") {
            trailers = lines.iter().map(|line| super::reply::parse_field(line)).collect::<io::Result<_>>()?;
            continue;
        }
        last = parse_head(&lines)?;
        if (100..200).contains(&last.status) && last.status != 101 {
            interim.push(last.status);
        }
    }
    Ok(Reply { body, interim, trailers, ..last })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        authority::Authority,
        origin::{Echoed, Options, Origin},
    };

    #[tokio::test]
    async fn curl_trusts_the_given_root_and_resolves_the_given_name() {
        let authority = Authority::new();
        let tls = Some(authority.server(&["alice.localhost"], &["http/1.1"]));
        let origin = Origin::with(Options { tls, ..Options::default() }).unwrap();
        let url = format!("https://alice.localhost:{}/some/path?x=1", origin.port());
        let curl = Curl::new().resolving("alice.localhost", origin.address());
        let reply =
            curl.clone().trusting(authority.pem_file()).args(["-d", "hello"]).get(&url).await.unwrap();
        let echoed: Echoed = reply.json();
        assert_eq!((reply.status, reply.version.as_str()), (200, "HTTP/1.1"));
        assert_eq!((echoed.method.as_str(), echoed.path.as_str()), ("POST", "/some/path"));
        assert_eq!((echoed.query.as_deref(), echoed.body.as_deref()), (Some("x=1"), Some("hello")));

        // 60 is curl's code for a certificate that nobody it trusts has signed.
        assert_eq!(curl.output(&url).await.unwrap().status.code(), Some(60));
    }

    #[tokio::test]
    async fn interim_answers_and_trailers_are_told_apart() {
        let origin = Origin::start();
        let curl = Curl::new();
        let url = |path: &str| format!("http://{}{path}", origin.address());
        let reply =
            curl.clone().args(["-H", "Expect: 100-continue", "-d", "x"]).get(&url("/upload")).await.unwrap();
        assert_eq!((reply.status, reply.interim), (200, vec![100]));
        let reply = curl.args(["-H", "TE: trailers"]).get(&url("/trailers")).await.unwrap();
        assert_eq!(reply.trailers, [("x-checksum".to_owned(), "5d41402a".to_owned())]);
        assert_eq!(reply.value("trailer"), Some("x-checksum"));
    }
}
