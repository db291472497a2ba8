//! A certificate authority that does what it is told, for what no real one on this machine does: renewal
//! windows (RFC 9773), refusals with `Retry-After`, and certificates that begin when the test says.
//!
//! It believes everything: no signature is checked, every name counts as proven. What needs a real authority is
//! tested with those in [`acme`](crate::acme).

use std::{
    collections::BTreeMap,
    convert::Infallible,
    fmt, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, IsCa, Issuer, KeyPair, SerialNumber,
};
use rustls::{ServerConfig, crypto::aws_lc_rs::default_provider};
use rustls_pki_types::{CertificateSigningRequestDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::{Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use tokio::{
    net::TcpListener,
    task::{AbortHandle, JoinSet},
};
use tokio_rustls::TlsAcceptor;

/// What the authority is told to do.
#[derive(Debug, Clone, Default)]
pub struct Orders {
    /// Between when it wants certificates to be renewed; it has no such interface without.
    pub window: Option<(SystemTime, SystemTime)>,
    /// Whether the next order that is taken fulfils that wish: there is no window any more.
    pub window_is_for_once: bool,
    /// The answer to orders, in place of taking them: status, `Retry-After`, body.
    pub refusal: Option<(u16, String, String)>,
    /// The error type with which it refuses an order that names a predecessor, such as `alreadyReplaced`.
    pub refuses_replaces: Option<String>,
    /// The answer to the request to issue, in place of issuing: status and body.
    pub refuses_to_issue: Option<(u16, String)>,
    /// Whether it says nothing at all to the request to issue.
    pub stalls: bool,
    /// The names by which it says that it knows itself in CAA records.
    pub caa_identities: Vec<String>,
}

/// The authority; it stops on drop.
pub struct CannedCa {
    /// Where its directory is.
    pub directory_url: String,
    /// The certificate (PEM) to trust when the directory is called; the issued certificates have the same root.
    pub root_pem: PathBuf,
    state: Arc<Mutex<State>>,
    _tasks: JoinSet<()>,
}

impl fmt::Debug for CannedCa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CannedCa").field("directory_url", &self.directory_url).finish_non_exhaustive()
    }
}

/// Tells the authority the time.
pub type Now = Arc<dyn Fn() -> SystemTime + Send + Sync>;

struct State {
    base: String,
    issuer: Issuer<'static, KeyPair>,
    root_pem: String,
    now: Now,
    certificates_last: Duration,
    told: Orders,
    asked: Vec<Asked>,
    stalled: usize,
    orders: BTreeMap<usize, Order>,
    connections: Vec<AbortHandle>,
}

/// An order that somebody tried to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// When, by the authority's clock.
    pub at: SystemTime,
    /// Which certificate it is to replace (RFC 9773, section 4.1).
    pub replaces: Option<String>,
    /// Whether it was taken.
    pub taken: bool,
}

struct Order {
    replaces: Option<String>,
    chain_pem: Option<String>,
}

impl CannedCa {
    /// Starts on a free port. Certificates begin at `now` and last as long as said.
    ///
    /// # Errors
    ///
    /// When there is no free port, or its files cannot be written to `dir`.
    pub async fn start(dir: &Path, now: Now, certificates_last: Duration) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let base = format!("https://localhost:{}", listener.local_addr()?.port());
        let (issuer, root_pem, acceptor) = keys().map_err(io::Error::other)?;
        let root_file = dir.join("canned-root.pem");
        std::fs::write(&root_file, &root_pem)?;
        let directory_url = format!("{base}/directory");
        let (told, asked, stalled, orders, connections) = Default::default();
        let state = State {
            base,
            issuer,
            root_pem,
            now,
            certificates_last,
            told,
            asked,
            stalled,
            orders,
            connections,
        };
        let state = Arc::new(Mutex::new(state));
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, acceptor, Arc::clone(&state)));
        Ok(Self { directory_url, root_pem: root_file, state, _tasks: tasks })
    }

    /// Tells it what to do from now on.
    pub fn tell(&self, change: impl FnOnce(&mut Orders)) {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner).told);
    }

    /// How many connections it has accepted.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).connections.len()
    }

    /// How many requests to issue it has left without an answer.
    #[must_use]
    pub fn stalled(&self) -> usize {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).stalled
    }

    /// Closes all connections.
    pub fn hang_up(&self) {
        for connection in &self.state.lock().unwrap_or_else(PoisonError::into_inner).connections {
            connection.abort();
        }
    }

    /// The orders that were tried so far, oldest first.
    #[must_use]
    pub fn asked(&self) -> Vec<Asked> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).asked.clone()
    }
}

async fn accept(listener: TcpListener, acceptor: TlsAcceptor, state: Arc<Mutex<State>>) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else { return };
        let (acceptor, state) = (acceptor.clone(), Arc::clone(&state));
        let accepted = Arc::clone(&state);
        let connection = connections.spawn(async move {
            let Ok(stream) = acceptor.accept(stream).await else { return };
            let service = service_fn(async |request| {
                if is_stalled(&request, &state) {
                    std::future::pending::<()>().await;
                }
                answer(request, &state).await
            });
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
        accepted.lock().unwrap_or_else(PoisonError::into_inner).connections.push(connection);
        while connections.try_join_next().is_some() {}
    }
}

fn is_stalled(request: &Request<Incoming>, state: &Mutex<State>) -> bool {
    let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
    let stalls = state.told.stalls && request.uri().path().ends_with("/finalize");
    state.stalled += usize::from(stalls);
    stalls
}

async fn answer(
    request: Request<Incoming>,
    state: &Mutex<State>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let payload = payload(&body).unwrap_or_default();
    let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
    let path: Vec<_> = parts.uri.path().split('/').skip(1).collect();
    let number = path.get(1).and_then(|number| number.parse().ok()).unwrap_or(usize::MAX);
    let answer = match (&parts.method, path.as_slice()) {
        (&Method::GET, ["directory"]) => state.directory(),
        (&Method::HEAD, ["nonce"]) => Answer::json(200, &Value::Null),
        (&Method::GET, ["renewal", _]) => state.window(),
        (&Method::POST, ["account"]) => Answer::json(201, &json!({ "status": "valid" }))
            .with("Location", format!("{}/account/1", state.base)),
        (&Method::POST, ["orders"]) => state.take(&payload),
        (&Method::POST, ["orders", _]) => state.order(number, 200),
        (&Method::POST, ["orders", _, "finalize"]) => state.issue(number, &payload),
        (&Method::POST, ["orders", _, "certificate"]) => state.certificate(number),
        _ => problem(404, "malformed"),
    };
    Ok(answer.with("Replay-Nonce", "always-good".to_owned()).0)
}

/// What the JWS carries; its signature is believed.
fn payload(body: &[u8]) -> Option<Value> {
    let jws: Value = serde_json::from_slice(body).ok()?;
    serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(jws["payload"].as_str()?).ok()?).ok()
}

impl State {
    fn directory(&self) -> Answer {
        let base = &self.base;
        let mut directory = json!({
            "newNonce": format!("{base}/nonce"),
            "newAccount": format!("{base}/account"),
            "newOrder": format!("{base}/orders"),
        });
        if !self.told.caa_identities.is_empty() {
            directory["meta"] = json!({ "caaIdentities": self.told.caa_identities });
        }
        if self.told.window.is_some() {
            directory["renewalInfo"] = format!("{base}/renewal").into();
        }
        Answer::json(200, &directory)
    }

    fn window(&self) -> Answer {
        let Some((start, end)) = self.told.window else { return problem(404, "malformed") };
        let text = |at: SystemTime| OffsetDateTime::from(at).format(&Rfc3339).unwrap_or_default();
        Answer::json(200, &json!({ "suggestedWindow": { "start": text(start), "end": text(end) } }))
            .with("Retry-After", "21600".to_owned())
    }

    fn take(&mut self, payload: &Value) -> Answer {
        let replaces = payload["replaces"].as_str().map(str::to_owned);
        let answer = match (&self.told.refusal, &self.told.refuses_replaces) {
            (Some((status, retry_after, body)), _) => {
                Some(Answer::new(*status, body.clone()).with("Retry-After", retry_after.clone()))
            }
            (None, Some(kind)) if replaces.is_some() => Some(problem(409, kind)),
            _ => None,
        };
        self.asked.push(Asked { at: (self.now)(), replaces: replaces.clone(), taken: answer.is_none() });
        answer.unwrap_or_else(|| {
            if self.told.window_is_for_once {
                self.told.window = None;
            }
            let number = self.orders.len();
            self.orders.insert(number, Order { replaces, chain_pem: None });
            self.order(number, 201)
        })
    }

    fn order(&self, number: usize, status: u16) -> Answer {
        let Some(order) = self.orders.get(&number) else { return problem(404, "malformed") };
        let url = format!("{}/orders/{number}", self.base);
        let mut answer = json!({
            "status": if order.chain_pem.is_some() { "valid" } else { "ready" },
            "authorizations": [],
            "finalize": format!("{url}/finalize"),
        });
        if order.chain_pem.is_some() {
            answer["certificate"] = format!("{url}/certificate").into();
        }
        if let Some(replaces) = &order.replaces {
            answer["replaces"] = replaces.clone().into();
        }
        Answer::json(status, &answer).with("Location", url)
    }

    fn issue(&mut self, number: usize, payload: &Value) -> Answer {
        if let Some((status, body)) = &self.told.refuses_to_issue {
            return Answer::new(*status, body.clone());
        }
        let request = payload["csr"].as_str().and_then(|csr| BASE64_URL_SAFE_NO_PAD.decode(csr).ok());
        let Some(Ok(leaf)) = request.map(|request| self.sign(number, request)) else {
            return problem(400, "badCSR");
        };
        let chain = format!("{}{}", leaf.pem(), self.root_pem);
        if let Some(order) = self.orders.get_mut(&number) {
            order.chain_pem = Some(chain);
        }
        self.order(number, 200)
    }

    fn sign(&self, number: usize, request: Vec<u8>) -> Result<rcgen::Certificate, rcgen::Error> {
        let request = CertificateSigningRequestDer::from(request);
        let mut request = CertificateSigningRequestParams::from_der(&request)?;
        let now = (self.now)();
        request.params.not_before = now.into();
        request.params.not_after = (now + self.certificates_last).into();
        request.params.use_authority_key_identifier_extension = true;
        request.params.serial_number = Some(SerialNumber::from(number as u64 + 1000));
        request.signed_by(&self.issuer)
    }

    fn certificate(&self, number: usize) -> Answer {
        let chain = self.orders.get(&number).and_then(|order| order.chain_pem.clone());
        chain.map_or_else(|| problem(404, "malformed"), |chain| Answer::new(200, chain))
    }
}

struct Answer(Response<Full<Bytes>>);

impl Answer {
    fn new(status: u16, body: String) -> Self {
        let mut response = Response::new(Full::from(body));
        *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Self(response)
    }

    fn json(status: u16, body: &Value) -> Self {
        Self::new(status, body.to_string())
    }

    fn with(mut self, name: &'static str, value: String) -> Self {
        if let Ok(value) = value.parse() {
            self.0.headers_mut().insert(name, value);
        }
        self
    }
}

fn problem(status: u16, kind: &str) -> Answer {
    Answer::json(
        status,
        &json!({ "type": format!("urn:ietf:params:acme:error:{kind}"), "detail": "as told" }),
    )
}

/// The root, and the listener's certificate of it.
fn keys() -> Result<(Issuer<'static, KeyPair>, String, TlsAcceptor), Box<dyn std::error::Error + Send + Sync>>
{
    let root_key = KeyPair::generate()?;
    let mut root = CertificateParams::default();
    root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let root_pem = root.self_signed(&root_key)?.pem();
    let issuer = Issuer::new(root, root_key);
    let key = KeyPair::generate()?;
    let own = CertificateParams::new(["localhost".to_owned()])?.signed_by(&key, &issuer)?;
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![own.der().clone()], key)?;
    Ok((issuer, root_pem, TlsAcceptor::from(Arc::new(config))))
}
