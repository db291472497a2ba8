//! `/.well-known/irp/host-key`: the keys of the machine's own sshd, so that whoever trusts the certificate can know them
//! before the first `ssh`. They are public; an edge that was not told where they are has no such page.

use std::path::PathBuf;

use http::{HeaderValue, Method, StatusCode, header};
use irp_webhook::Answer;
use tokio::io::AsyncReadExt as _;

/// Where they are shown.
pub(super) const PATH: &str = "/.well-known/irp/host-key";

/// No public key is longer, in bytes.
const KEY_MAX: u64 = 16 * 1024;

/// The files with the public keys.
#[derive(Clone, Debug, Default)]
pub struct HostKeys(Vec<PathBuf>);

impl HostKeys {
    /// Those in `files`, which need not be there yet: a machine makes its keys while it boots.
    #[must_use]
    pub fn new(files: Vec<PathBuf>) -> Self {
        Self(files)
    }

    /// The page, where this is a request for it; without a key, 404.
    pub(super) async fn answer(&self, method: &Method, path: &str) -> Option<Answer> {
        if self.0.is_empty() || path != PATH || !matches!(*method, Method::GET | Method::HEAD) {
            return None;
        }
        let text = self.text().await;
        if text.is_empty() {
            return Some(Answer::empty(StatusCode::NOT_FOUND));
        }
        let kind = HeaderValue::from_static("text/plain; charset=utf-8");
        let headers = vec![(header::CONTENT_TYPE, kind)];
        Some(Answer { status: StatusCode::OK, headers, body: text.into_bytes() })
    }

    /// One key a line, type and base64; the comment names the machine inside its network, which is nobody's business.
    async fn text(&self) -> String {
        let mut text = String::new();
        for file in &self.0 {
            let mut content = String::new();
            let read =
                async { tokio::fs::File::open(file).await?.take(KEY_MAX).read_to_string(&mut content).await };
            if let Err(error) = read.await {
                tracing::debug!(%error, file = %file.display(), "a host key cannot be read");
                continue;
            }
            for line in content.lines() {
                let mut words = line.split_whitespace();
                if let (Some(kind), Some(key)) = (words.next(), words.next())
                    && (kind.starts_with("ssh-") || kind.starts_with("ecdsa-"))
                {
                    text.push_str(&format!("{kind} {key}\n"));
                }
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn public_keys_are_shown_without_what_else_is_in_the_files() {
        let dir = tempfile::tempdir().unwrap();
        let (first, second) = (dir.path().join("a.pub"), dir.path().join("b.pub"));
        let keys = HostKeys::new(vec![first.clone(), dir.path().join("missing.pub"), second.clone()]);
        let get = async |method: Method, path: &str| keys.answer(&method, path).await;
        assert_eq!(get(Method::GET, PATH).await.unwrap().status, StatusCode::NOT_FOUND);
        std::fs::write(&first, "ssh-ed25519 AAAA root@ip-10-0-0-7\n").unwrap();
        std::fs::write(
            &second,
            "-----BEGIN OPENSSH PRIVATE KEY-----\nsecret words here\necdsa-sha2-nistp256 BBBB\n",
        )
        .unwrap();
        let answer = get(Method::GET, PATH).await.unwrap();
        assert_eq!(answer.body, b"ssh-ed25519 AAAA\necdsa-sha2-nistp256 BBBB\n");
        assert!(get(Method::POST, PATH).await.is_none());
        assert!(get(Method::GET, "/").await.is_none());
        assert!(HostKeys::default().answer(&Method::GET, PATH).await.is_none());
    }
}
