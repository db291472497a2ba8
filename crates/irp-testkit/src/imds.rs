//! The instance metadata service of EC2, version 2, as a machine sees it at 169.254.169.254.
//!
//! What AWS documents is kept: a token is wanted for everything (401 without), it comes by PUT and expires, a PUT
//! that a proxy forwarded is refused, what is absent answers 404, and a folder answers the names in it. It starts
//! as an Amazon Linux machine without a public address and without a role; a test sets what it needs.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpListener, task::JoinSet};

/// Where the service is on a real machine.
pub const ADDRESS: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254)), 80);

/// The machine that it tells about unless a test says otherwise.
pub const INSTANCE_ID: &str = "i-0abc12345de67890f";

const TOKEN_PATH: &str = "/latest/api/token";
const TOKEN: &str = "x-aws-ec2-metadata-token";
const TOKEN_TTL: &str = "x-aws-ec2-metadata-token-ttl-seconds";

/// The longest life of a token, in seconds: six hours.
const TTL_MOST: u64 = 21_600;

const META: &str = "/latest/meta-data";

/// A running metadata service; it stops on drop.
#[derive(Debug)]
pub struct Imds {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    _tasks: JoinSet<()>,
}

#[derive(Debug, Default)]
struct State {
    files: BTreeMap<String, String>,
    tokens: BTreeMap<String, Instant>,
    issued: u64,
    asked: Vec<String>,
    broken: bool,
}

impl Imds {
    /// Starts on a free port of 127.0.0.1.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub async fn start() -> io::Result<Self> {
        Self::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await
    }

    /// Starts at this address, such as [`ADDRESS`] in a network namespace that has it.
    ///
    /// # Errors
    ///
    /// When the address cannot be had.
    pub async fn bind(address: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let state = Arc::new(Mutex::new(State::default()));
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, Arc::clone(&state)));
        let imds = Self { address, state, _tasks: tasks };
        imds.furnish();
        Ok(imds)
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The same as the base of a URL, without a slash at its end.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Sets the text at a path below `/latest/meta-data/`, such as `public-ipv4`; a path that begins with a slash
    /// is taken from the root, such as `/latest/user-data`.
    pub fn set(&self, path: &str, text: &str) {
        self.state().files.insert(whole(path), text.to_owned());
    }

    /// Removes a path and everything below it: from now on it answers 404.
    pub fn remove(&self, path: &str) {
        let path = whole(path);
        let below = format!("{path}/");
        self.state().files.retain(|file, _| *file != path && !file.starts_with(&below));
    }

    /// Gives the machine a role, and these credentials for six hours from the `expiration` on the paper
    /// (`2030-01-01T00:00:00Z`).
    pub fn set_role(&self, role: &str, key_id: &str, secret: &str, session: &str, expiration: &str) {
        let credentials = serde_json::json!({
            "Code": "Success", "Type": "AWS-HMAC", "LastUpdated": "2026-11-22T00:00:00Z",
            "AccessKeyId": key_id, "SecretAccessKey": secret, "Token": session, "Expiration": expiration,
        });
        let info = serde_json::json!({
            "Code": "Success", "LastUpdated": "2026-11-22T00:00:00Z",
            "InstanceProfileArn": format!("arn:aws:iam::123456789012:instance-profile/{role}"),
            "InstanceProfileId": "AIPAEXAMPLE",
        });
        self.set("iam/info", &info.to_string());
        self.set(&format!("iam/security-credentials/{role}"), &credentials.to_string());
    }

    /// Sets a tag of the instance, readable as with `InstanceMetadataTags=enabled`.
    pub fn set_tag(&self, key: &str, value: &str) {
        self.set(&format!("tags/instance/{key}"), value);
    }

    /// Announces the end of a spot machine at `time`, such as `2026-11-22T10:00:00Z`.
    pub fn announce_spot_end(&self, time: &str) {
        self.set("spot/instance-action", &format!(r#"{{"action":"terminate","time":"{time}"}}"#));
        self.set("spot/termination-time", time);
    }

    /// Recommends to move to another machine, as EC2 does ahead of an interruption.
    pub fn recommend_rebalance(&self, time: &str) {
        self.set("events/recommendations/rebalance", &format!(r#"{{"noticeTime":"{time}"}}"#));
    }

    /// What SendSSHPublicKey leaves for an OS user: the blob of one key, as the machine reads it.
    pub fn push_key(&self, user: &str, blob: &str) {
        let path = format!("managed-ssh-keys/active-keys/{user}");
        let before = self.state().files.get(&whole(&path)).cloned().unwrap_or_default();
        self.set(&path, &format!("{before}{blob}"));
    }

    /// Makes all tokens invalid, as their expiry does.
    pub fn expire_tokens(&self) {
        self.state().tokens.clear();
    }

    /// Lets every request fail with 500, or no longer.
    pub fn break_down(&self, broken: bool) {
        self.state().broken = broken;
    }

    /// What was asked with a valid token so far: the paths, oldest first.
    #[must_use]
    pub fn asked(&self) -> Vec<String> {
        self.state().asked.clone()
    }

    fn furnish(&self) {
        for (path, text) in [
            ("ami-id", "ami-0123456789abcdef0"),
            ("hostname", "ip-10-0-0-7.ap-northeast-1.compute.internal"),
            ("instance-id", INSTANCE_ID),
            ("instance-life-cycle", "on-demand"),
            ("instance-type", "t4g.nano"),
            ("local-hostname", "ip-10-0-0-7.ap-northeast-1.compute.internal"),
            ("local-ipv4", "10.0.0.7"),
            ("mac", "02:00:00:00:00:07"),
            ("network/interfaces/macs/02:00:00:00:00:07/device-number", "0"),
            ("network/interfaces/macs/02:00:00:00:00:07/local-ipv4s", "10.0.0.7"),
            ("placement/availability-zone", "ap-northeast-1a"),
            ("placement/region", "ap-northeast-1"),
            ("services/domain", "amazonaws.com"),
            ("services/partition", "aws"),
        ] {
            self.set(path, text);
        }
        let identity = serde_json::json!({
            "accountId": "123456789012", "architecture": "arm64", "availabilityZone": "ap-northeast-1a",
            "imageId": "ami-0123456789abcdef0", "instanceId": INSTANCE_ID, "instanceType": "t4g.nano",
            "pendingTime": "2026-11-22T00:00:00Z", "privateIp": "10.0.0.7", "region": "ap-northeast-1",
            "version": "2017-09-30",
        });
        self.set("/latest/dynamic/instance-identity/document", &identity.to_string());
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn whole(path: &str) -> String {
    let path = path.trim_end_matches('/');
    if path.starts_with('/') { path.to_owned() } else { format!("{META}/{path}") }
}

async fn accept(listener: TcpListener, state: Arc<Mutex<State>>) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else { return };
        let state = Arc::clone(&state);
        connections.spawn(async move {
            let answer = service_fn(|request: Request<Incoming>| {
                let answer = state.lock().unwrap_or_else(PoisonError::into_inner).answer(&request);
                std::future::ready(Ok::<_, Infallible>(answer))
            });
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await;
        });
        while connections.try_join_next().is_some() {}
    }
}

impl State {
    fn answer<B>(&mut self, request: &Request<B>) -> Response<Full<Bytes>> {
        if self.broken {
            return reply(StatusCode::INTERNAL_SERVER_ERROR, "");
        }
        let path = request.uri().path();
        match *request.method() {
            Method::PUT if path == TOKEN_PATH => self.token(request.headers()),
            Method::GET | Method::HEAD if !self.is_valid(request.headers()) => {
                reply(StatusCode::UNAUTHORIZED, "")
            }
            Method::GET | Method::HEAD => {
                self.asked.push(path.to_owned());
                // A version of the tree may be named by its date.
                match self.read(path) {
                    Some(text) => reply(StatusCode::OK, &text),
                    None => reply(StatusCode::NOT_FOUND, "Not Found"),
                }
            }
            _ => reply(StatusCode::METHOD_NOT_ALLOWED, ""),
        }
    }

    fn token(&mut self, headers: &HeaderMap) -> Response<Full<Bytes>> {
        if headers.contains_key("x-forwarded-for") {
            return reply(StatusCode::FORBIDDEN, "");
        }
        let ttl = headers.get(TOKEN_TTL).and_then(|ttl| ttl.to_str().ok()?.parse::<u64>().ok());
        let Some(ttl) = ttl.filter(|ttl| (1..=TTL_MOST).contains(ttl)) else {
            return reply(StatusCode::BAD_REQUEST, "");
        };
        self.issued += 1;
        let token = format!("token-{:040}==", self.issued);
        self.tokens.insert(token.clone(), Instant::now() + Duration::from_secs(ttl));
        let mut response = reply(StatusCode::OK, &token);
        response.headers_mut().insert(TOKEN_TTL, ttl.into());
        response
    }

    fn is_valid(&self, headers: &HeaderMap) -> bool {
        let token = headers.get(TOKEN).and_then(|token| token.to_str().ok());
        token.and_then(|token| self.tokens.get(token)).is_some_and(|until| Instant::now() < *until)
    }

    /// A file, or the names in a folder, each on its line and folders with a slash behind it. The path may end with
    /// a slash or not, and its version may be a date.
    fn read(&self, path: &str) -> Option<String> {
        let rest = path.strip_prefix('/')?.split_once('/').map_or("", |(_, rest)| rest);
        let path = format!("/latest/{}", rest.trim_end_matches('/'));
        let path = path.trim_end_matches('/');
        if let Some(text) = self.files.get(path) {
            return Some(text.clone());
        }
        let below = format!("{path}/");
        let mut names: Vec<&str> = Vec::new();
        for file in self.files.keys().filter_map(|file| file.strip_prefix(&below)) {
            let name = file.find('/').map_or(file, |slash| &file[..=slash]);
            if names.last() != Some(&name) {
                names.push(name);
            }
        }
        (!names.is_empty()).then(|| names.join("\n"))
    }
}

fn reply(status: StatusCode, text: &str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(text.to_owned()));
    *response.status_mut() = status;
    response.headers_mut().insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("text/plain"));
    response.headers_mut().insert(http::header::SERVER, http::HeaderValue::from_static("EC2ws"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(state: &mut State, method: Method, path: &str, headers: &[(&str, &str)]) -> (StatusCode, String) {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = state.answer(&request.body(()).unwrap());
        let status = response.status();
        let body =
            futures_util::FutureExt::now_or_never(http_body_util::BodyExt::collect(response.into_body()));
        let body = body.unwrap().unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn nothing_is_told_without_a_token_that_is_still_good() {
        let imds = Imds::start().await.unwrap();
        let mut state = imds.state();
        let path = "/latest/meta-data/instance-id";
        assert_eq!(ask(&mut state, Method::GET, path, &[]).0, StatusCode::UNAUTHORIZED);
        assert_eq!(ask(&mut state, Method::PUT, TOKEN_PATH, &[]).0, StatusCode::BAD_REQUEST);
        assert_eq!(
            ask(&mut state, Method::PUT, TOKEN_PATH, &[(TOKEN_TTL, "21601")]).0,
            StatusCode::BAD_REQUEST
        );
        let forwarded = [(TOKEN_TTL, "60"), ("x-forwarded-for", "203.0.113.7")];
        assert_eq!(ask(&mut state, Method::PUT, TOKEN_PATH, &forwarded).0, StatusCode::FORBIDDEN);

        let (status, token) = ask(&mut state, Method::PUT, TOKEN_PATH, &[(TOKEN_TTL, "60")]);
        assert_eq!(status, StatusCode::OK);
        let with = [(TOKEN, token.as_str())];
        assert_eq!(ask(&mut state, Method::GET, path, &with), (StatusCode::OK, INSTANCE_ID.into()));
        assert_eq!(ask(&mut state, Method::GET, path, &[(TOKEN, "guessed")]).0, StatusCode::UNAUTHORIZED);
        drop(state);
        imds.expire_tokens();
        assert_eq!(ask(&mut imds.state(), Method::GET, path, &with).0, StatusCode::UNAUTHORIZED);
        assert_eq!(imds.asked(), [path]);
    }

    #[tokio::test]
    async fn the_tree_answers_files_folders_and_404() {
        let imds = Imds::start().await.unwrap();
        imds.set_role("irp-edge-alice", "AKIA", "secret", "session", "2030-01-01T00:00:00Z");
        imds.push_key("irp", "#Timestamp=1\nssh-ed25519 AAAA\n\n");
        imds.push_key("irp", "#Timestamp=2\nssh-ed25519 BBBB\n\n");
        let token = ask(&mut imds.state(), Method::PUT, TOKEN_PATH, &[(TOKEN_TTL, "60")]).1;
        let get = |path: &str| ask(&mut imds.state(), Method::GET, path, &[(TOKEN, token.as_str())]);
        assert_eq!(get("/latest/meta-data/public-ipv4").0, StatusCode::NOT_FOUND);
        imds.set("public-ipv4", "203.0.113.7");
        assert_eq!(get("/latest/meta-data/public-ipv4").1, "203.0.113.7");
        assert_eq!(get("/2021-03-23/meta-data/public-ipv4").1, "203.0.113.7");
        assert_eq!(get("/latest/meta-data/placement/").1, "availability-zone\nregion");
        assert_eq!(get("/latest/meta-data/iam/security-credentials/").1, "irp-edge-alice");
        assert!(get("/latest/meta-data/").1.lines().any(|name| name == "network/"));
        assert_eq!(
            get("/latest/meta-data/managed-ssh-keys/active-keys/irp/").1.matches("ssh-ed25519").count(),
            2
        );
        imds.remove("iam");
        assert_eq!(get("/latest/meta-data/iam/info").0, StatusCode::NOT_FOUND);
        assert_eq!(get("/latest/meta-data/spot/instance-action").0, StatusCode::NOT_FOUND);
        imds.announce_spot_end("2026-11-22T10:00:00Z");
        assert!(get("/latest/meta-data/spot/instance-action").1.contains("\"terminate\""));
    }
}
