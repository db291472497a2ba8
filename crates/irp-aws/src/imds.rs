//! The instance metadata service, version 2: what a machine knows of itself.
//!
//! A token is fetched by PUT and sent with each GET; a 401 means that it has ended, and a new one is fetched once. 404 is
//! the answer "there is none". Each exchange has its own connection and a short end: the service is on the machine's own
//! host, and whoever does not answer at once is not it.

use std::{
    fmt,
    net::{Ipv4Addr, Ipv6Addr},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::net::TcpStream;

/// Where it is on EC2.
pub const ENDPOINT: &str = "http://169.254.169.254";

/// How long one exchange may take.
const WITHIN: Duration = Duration::from_secs(3);

/// Tries of one question when the service does not answer, as it may not in the first moments of a boot.
const TRIES: u32 = 3;

/// The largest answer; user-data has 16 KiB.
const ANSWER_MAX: usize = 64 * 1024;

/// How long a token is asked for, in seconds: the longest that the service gives.
const TOKEN_SECONDS: &str = "21600";

/// A client of the metadata service. Clones share the token.
#[derive(Clone)]
pub struct Imds {
    authority: Arc<str>,
    token: Arc<Mutex<Option<String>>>,
}

impl fmt::Debug for Imds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Imds").field("authority", &self.authority).finish_non_exhaustive()
    }
}

/// The metadata service gave no answer that can be used.
#[derive(Debug, thiserror::Error)]
pub enum ImdsError {
    /// Its address is no `http://HOST[:PORT]`.
    #[error("`{0}` is no address of a metadata service, such as {ENDPOINT}")]
    Address(String),
    /// It was not reached, or broke off.
    #[error("the metadata service does not answer ({path})")]
    Exchange {
        /// What was asked for.
        path: String,
        /// Why.
        source: crate::Cause,
    },
    /// It answered with something else than yes or "there is none".
    #[error("the metadata service answered {status} to {path}")]
    Status {
        /// What was asked for.
        path: String,
        /// The status.
        status: u16,
    },
    /// The answer is not what it should be.
    #[error("the metadata service gave something odd for {path}")]
    Odd {
        /// What was asked for.
        path: String,
    },
}

/// Spot's notice that the machine will be taken away, about two minutes ahead.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct InstanceAction {
    /// `terminate`, `stop` or `hibernate`.
    pub action: String,
    /// When, RFC 3339 in UTC.
    pub time: String,
}

impl Imds {
    /// The service at `endpoint`, such as [`ENDPOINT`]. Nothing is asked yet.
    ///
    /// # Errors
    ///
    /// When that is no address.
    pub fn new(endpoint: &str) -> Result<Self, ImdsError> {
        let wrong = || ImdsError::Address(endpoint.to_owned());
        let uri: http::Uri = endpoint.parse().map_err(|_| wrong())?;
        let authority = uri.authority().filter(|_| uri.scheme_str() == Some("http") && uri.path() == "/");
        let authority = authority.ok_or_else(wrong)?.as_str();
        Ok(Self { authority: authority.into(), token: Arc::default() })
    }

    /// What is at `/latest/meta-data/PATH`; `None` when there is nothing.
    ///
    /// # Errors
    ///
    /// See [`ImdsError`].
    pub async fn get(&self, path: &str) -> Result<Option<String>, ImdsError> {
        self.fetch(&format!("/latest/meta-data/{path}")).await
    }

    /// `i-…`.
    ///
    /// # Errors
    ///
    /// See [`ImdsError`].
    pub async fn instance_id(&self) -> Result<Option<String>, ImdsError> {
        self.get("instance-id").await
    }

    /// The region, such as `ap-northeast-1`.
    ///
    /// # Errors
    ///
    /// See [`ImdsError`].
    pub async fn region(&self) -> Result<Option<String>, ImdsError> {
        self.get("placement/region").await
    }

    /// The number of the account that the machine is in; `None` where the service does not tell.
    ///
    /// # Errors
    ///
    /// See [`ImdsError`].
    pub async fn account_id(&self) -> Result<Option<String>, ImdsError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Identity {
            account_id: String,
        }
        let path = "/latest/dynamic/instance-identity/document";
        let odd = || ImdsError::Odd { path: path.to_owned() };
        let Some(text) = self.fetch(path).await? else { return Ok(None) };
        let Identity { account_id } = serde_json::from_str(&text).map_err(|_| odd())?;
        let is_number = account_id.len() == 12 && account_id.bytes().all(|byte| byte.is_ascii_digit());
        if is_number { Ok(Some(account_id)) } else { Err(odd()) }
    }

    /// The public IPv4 address, an Elastic IP once it is attached; `None` where there is none.
    ///
    /// # Errors
    ///
    /// See [`ImdsError`].
    pub async fn public_ipv4(&self) -> Result<Option<Ipv4Addr>, ImdsError> {
        self.address("public-ipv4").await
    }

    /// The IPv6 address; `None` where there is none.
    ///
    /// # Errors
    ///
    /// See [`ImdsError`].
    pub async fn ipv6(&self) -> Result<Option<Ipv6Addr>, ImdsError> {
        self.address("ipv6").await
    }

    async fn address<T: std::str::FromStr>(&self, path: &str) -> Result<Option<T>, ImdsError> {
        let odd = || ImdsError::Odd { path: path.to_owned() };
        let text = self.get(path).await?;
        text.map(|text| text.trim().parse().map_err(|_| odd())).transpose()
    }

    /// A tag of the machine; `None` where there is none, or where tags are not in the metadata.
    ///
    /// # Errors
    ///
    /// See [`ImdsError`].
    pub async fn tag(&self, key: &str) -> Result<Option<String>, ImdsError> {
        // The keys that the service can show, none of which needs encoding.
        let is_shown = |byte: u8| byte.is_ascii_alphanumeric() || b"+-=.,_:@".contains(&byte);
        if key.is_empty() || !key.bytes().all(is_shown) {
            return Ok(None);
        }
        self.get(&format!("tags/instance/{key}")).await
    }

    /// Spot's notice, once there is one.
    ///
    /// # Errors
    ///
    /// See [`ImdsError`].
    pub async fn instance_action(&self) -> Result<Option<InstanceAction>, ImdsError> {
        let path = "spot/instance-action";
        let text = self.get(path).await?;
        text.map(|text| serde_json::from_str(&text).map_err(|_| ImdsError::Odd { path: path.to_owned() }))
            .transpose()
    }

    /// When AWS first advised to leave this spot machine soon, RFC 3339; `None` as long as it did not.
    ///
    /// # Errors
    ///
    /// See [`ImdsError`].
    pub async fn rebalance_recommendation(&self) -> Result<Option<String>, ImdsError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Notice {
            notice_time: String,
        }
        let path = "events/recommendations/rebalance";
        let text = self.get(path).await?;
        let read = |text: String| {
            let notice = serde_json::from_str(&text).map_err(|_| ImdsError::Odd { path: path.to_owned() })?;
            let Notice { notice_time } = notice;
            Ok(notice_time)
        };
        text.map(read).transpose()
    }

    /// The keys that SendSSHPublicKey pushed for a user of the system and that have not expired at `now` (UNIX seconds):
    /// lines of OpenSSH. They are believed, since the service is on the machine's own host.
    ///
    /// # Errors
    ///
    /// See [`ImdsError`].
    pub async fn active_keys(&self, os_user: &str, now: u64) -> Result<Vec<String>, ImdsError> {
        let blob = self.get(&format!("managed-ssh-keys/active-keys/{os_user}/")).await?;
        Ok(keys_in(&blob.unwrap_or_default(), now))
    }

    async fn fetch(&self, path: &str) -> Result<Option<String>, ImdsError> {
        let mut renewed = false;
        loop {
            let kept = self.token.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let token = match kept {
                Some(token) => token,
                None => {
                    renewed = true;
                    self.renew().await?
                }
            };
            let (status, body) =
                self.exchange(Method::GET, path, ("x-aws-ec2-metadata-token", &token)).await?;
            return match status {
                StatusCode::OK => Ok(Some(body)),
                StatusCode::NOT_FOUND => Ok(None),
                StatusCode::UNAUTHORIZED if !renewed => {
                    *self.token.lock().unwrap_or_else(PoisonError::into_inner) = None;
                    continue;
                }
                status => Err(ImdsError::Status { path: path.to_owned(), status: status.as_u16() }),
            };
        }
    }

    async fn renew(&self) -> Result<String, ImdsError> {
        let path = "/latest/api/token";
        let header = ("x-aws-ec2-metadata-token-ttl-seconds", TOKEN_SECONDS);
        let (status, token) = self.exchange(Method::PUT, path, header).await?;
        if status != StatusCode::OK {
            return Err(ImdsError::Status { path: path.to_owned(), status: status.as_u16() });
        }
        let token = token.trim().to_owned();
        *self.token.lock().unwrap_or_else(PoisonError::into_inner) = Some(token.clone());
        Ok(token)
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        header: (&str, &str),
    ) -> Result<(StatusCode, String), ImdsError> {
        let mut tried = 0;
        loop {
            tried += 1;
            let exchange = self.try_exchange(method.clone(), path, header);
            let result = match tokio::time::timeout(WITHIN, exchange).await {
                Ok(result) => result,
                Err(elapsed) => Err(elapsed.into()),
            };
            match result {
                Ok(answer) => return Ok(answer),
                Err(source) if tried >= TRIES => {
                    return Err(ImdsError::Exchange { path: path.to_owned(), source });
                }
                Err(_) => {}
            }
        }
    }

    async fn try_exchange(
        &self,
        method: Method,
        path: &str,
        (name, value): (&str, &str),
    ) -> Result<(StatusCode, String), crate::Cause> {
        let address = if self.authority.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok())
        {
            self.authority.to_string()
        } else {
            format!("{}:80", self.authority)
        };
        let stream = TcpStream::connect(address).await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", &*self.authority)
            .header(name, value)
            .body(Empty::<Bytes>::new())?;
        let exchange = async {
            let response = sender.send_request(request).await?;
            let status = response.status();
            let body = Limited::new(response.into_body(), ANSWER_MAX).collect().await?.to_bytes();
            Ok((status, String::from_utf8_lossy(&body).into_owned()))
        };
        // The connection is driven here rather than by a task of its own; it ends with the exchange.
        tokio::pin!(connection);
        tokio::pin!(exchange);
        let mut open = true;
        loop {
            tokio::select! {
                result = &mut exchange => return result,
                ended = &mut connection, if open => {
                    open = false;
                    // What was read before may still make a whole answer.
                    drop(ended);
                }
            }
        }
    }
}

/// Reads the blob of `active-keys`: per key some lines `#Name=value`, the key's line, its signature, an empty line.
fn keys_in(blob: &str, now: u64) -> Vec<String> {
    let mut keys = Vec::new();
    let mut expires = None;
    for line in blob.lines() {
        if let Some(time) = line.strip_prefix("#Timestamp=") {
            expires = time.trim().parse::<u64>().ok();
        } else if line.starts_with("ssh-") && expires.is_some_and(|expires| expires > now) {
            keys.push(line.trim().to_owned());
        } else if line.is_empty() {
            expires = None;
        }
    }
    keys
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_keys_that_are_active_are_read() {
        let blob = "#Timestamp=1000\n#Instance=i-1\n#Caller=arn:aws:iam::1:user/a\n#Request=r\nssh-ed25519 AAAA a\n\
                    c2lnbmF0dXJl\nbW9yZQ==\n\n#Timestamp=2000\n#Instance=i-1\n#Caller=x\n#Request=s\n\
                    ssh-ed25519 BBBB\nc2ln\n\nssh-ed25519 CCCC unsigned\n";
        assert_eq!(keys_in(blob, 1500), ["ssh-ed25519 BBBB"]);
        assert_eq!(keys_in(blob, 999), ["ssh-ed25519 AAAA a", "ssh-ed25519 BBBB"]);
        assert!(keys_in("", 0).is_empty());
    }

    #[test]
    fn only_a_plain_address_is_taken() {
        for good in [ENDPOINT, "http://127.0.0.1:1338", "http://127.0.0.1:1338/", "http://[fd00:ec2::254]"] {
            assert!(Imds::new(good).is_ok(), "{good}");
        }
        for bad in ["", "169.254.169.254", "https://169.254.169.254", "http://a/b"] {
            assert!(Imds::new(bad).is_err(), "{bad}");
        }
    }
}
