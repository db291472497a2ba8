//! An HTTP server that answers what it is told, in turn, and remembers what it was asked.
//!
//! For answers of services that their stand-ins do not give: refusals, throttling, things that appear late.

use std::{
    collections::VecDeque,
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpListener, task::JoinSet};

/// A server with a script; it stops on drop.
#[derive(Debug)]
pub struct Scripted {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    _tasks: JoinSet<()>,
}

#[derive(Debug, Default)]
struct State {
    rule: Option<Rule>,
    replies: VecDeque<Reply>,
    asked: Vec<Asked>,
}

/// What it answers where there is no script.
struct Rule(Box<dyn Fn(&Asked) -> Reply + Send>);

impl std::fmt::Debug for Rule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Rule")
    }
}

/// What it answers.
#[derive(Debug, Clone, Default)]
pub struct Reply {
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
    hang_up: bool,
}

/// What it was asked.
#[derive(Debug, Clone)]
pub struct Asked {
    /// The method.
    pub method: Method,
    /// Path and query.
    pub path: String,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: String,
}

impl Reply {
    /// A status with a body.
    #[must_use]
    pub fn new(status: u16, body: impl Into<String>) -> Self {
        Self { status, body: body.into(), ..Self::default() }
    }

    /// XML with status 200.
    #[must_use]
    pub fn xml(body: impl Into<String>) -> Self {
        Self::new(200, body).with("content-type", "text/xml")
    }

    /// JSON as AWS sends it.
    #[must_use]
    pub fn json(status: u16, body: impl Into<String>) -> Self {
        Self::new(status, body).with("content-type", "application/x-amz-json-1.1")
    }

    /// The connection is closed without an answer.
    #[must_use]
    pub fn hang_up() -> Self {
        Self { hang_up: true, ..Self::default() }
    }

    /// The same with a header.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }
}

impl Reply {
    /// The answer itself; `None` where the connection is closed instead.
    pub(crate) fn into_response(self) -> Option<Response<Full<Bytes>>> {
        if self.hang_up {
            return None;
        }
        let mut response = Response::new(Full::from(self.body));
        *response.status_mut() =
            StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        for (name, value) in self.headers {
            if let (Ok(name), Ok(value)) = (http::HeaderName::try_from(name), value.parse()) {
                response.headers_mut().insert(name, value);
            }
        }
        Some(response)
    }
}

/// There is no answer but to close the connection.
#[derive(Debug)]
pub(crate) struct HangUp;

impl std::fmt::Display for HangUp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("told to hang up")
    }
}

impl std::error::Error for HangUp {}

impl Scripted {
    /// Starts on a free port of 127.0.0.1. Whoever asks more often than there are replies gets status 599.
    ///
    /// # Errors
    ///
    /// When there is no free port.
    pub async fn start(replies: impl IntoIterator<Item = Reply>) -> io::Result<Self> {
        Self::with(State { replies: replies.into_iter().collect(), ..State::default() }).await
    }

    /// Starts one that answers by a rule, however often it is asked.
    ///
    /// # Errors
    ///
    /// When there is no free port.
    pub async fn answering(rule: impl Fn(&Asked) -> Reply + Send + 'static) -> io::Result<Self> {
        Self::with(State { rule: Some(Rule(Box::new(rule))), ..State::default() }).await
    }

    async fn with(state: State) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let state = Arc::new(Mutex::new(state));
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, Arc::clone(&state)));
        Ok(Self { address, state, _tasks: tasks })
    }

    /// Where it is, without a final slash.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Adds a reply behind those that are left.
    pub fn then(&self, reply: Reply) {
        lock(&self.state).replies.push_back(reply);
    }

    /// What it was asked so far.
    #[must_use]
    pub fn asked(&self) -> Vec<Asked> {
        lock(&self.state).asked.clone()
    }
}

async fn accept(listener: TcpListener, state: Arc<Mutex<State>>) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else { return };
        let state = Arc::clone(&state);
        connections.spawn(async move {
            let service = service_fn(|request| answer(request, &state));
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn answer(request: Request<Incoming>, state: &Mutex<State>) -> Result<Response<Full<Bytes>>, HangUp> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let path = parts.uri.path_and_query().map(ToString::to_string).unwrap_or_default();
    let body = String::from_utf8_lossy(&body).into_owned();
    let mut state = lock(state);
    let asked = Asked { method: parts.method, path, headers: parts.headers, body };
    let reply = state.replies.pop_front().or_else(|| state.rule.as_ref().map(|rule| (rule.0)(&asked)));
    let reply = reply.unwrap_or_else(|| Reply::new(599, "the script is over"));
    state.asked.push(asked);
    drop(state);
    reply.into_response().ok_or(HangUp)
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
