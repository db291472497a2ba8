//! A way to another server on which some questions get another answer: what [`moto`](crate::moto) does wrong, or not at
//! all, beside everything that it does right.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, header};
use http_body_util::{BodyExt as _, Full};
use hyper::{
    body::Incoming, client::conn::http1 as client, server::conn::http1 as server, service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use crate::scripted::{HangUp, Reply};

/// A server in front of another one; it stops on drop.
#[derive(Debug)]
pub struct Detour {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    _tasks: JoinSet<()>,
}

#[derive(Debug, Default)]
struct State {
    rules: Vec<Rule>,
    asked: Vec<String>,
}

#[derive(Debug)]
struct Rule {
    mark: String,
    turn: Turn,
}

#[derive(Debug)]
enum Turn {
    /// Answered here, once.
    Instead(Option<Reply>),
    /// Answered here, as long as the detour stands.
    Always(Reply),
    /// Answered there, with other words, as long as the detour stands.
    Words(String, String),
}

impl Detour {
    /// Starts on a free port of 127.0.0.1, in front of `there`.
    ///
    /// # Errors
    ///
    /// When there is no free port.
    pub async fn start(there: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let state = Arc::new(Mutex::new(State::default()));
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, there, Arc::clone(&state)));
        Ok(Self { address, state, _tasks: tasks })
    }

    /// Where it is, without a final slash.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The next question that contains `mark` gets this answer. A question is its path, `x-amz-target` and body.
    pub fn instead(&self, mark: &str, reply: Reply) {
        let rule = Rule { mark: mark.to_owned(), turn: Turn::Instead(Some(reply)) };
        lock(&self.state).rules.push(rule);
    }

    /// Every question that contains `mark` gets this answer.
    pub fn always(&self, mark: &str, reply: Reply) {
        lock(&self.state).rules.push(Rule { mark: mark.to_owned(), turn: Turn::Always(reply) });
    }

    /// In the answers to questions that contain `mark`, `from` becomes `to`.
    pub fn words(&self, mark: &str, from: &str, to: &str) {
        let rule = Rule { mark: mark.to_owned(), turn: Turn::Words(from.to_owned(), to.to_owned()) };
        lock(&self.state).rules.push(rule);
    }

    /// Takes back what was told for questions that contain `mark`.
    pub fn straight(&self, mark: &str) {
        lock(&self.state).rules.retain(|rule| rule.mark != mark);
    }

    /// The questions so far that contain `mark`.
    #[must_use]
    pub fn asked(&self, mark: &str) -> Vec<String> {
        lock(&self.state).asked.iter().filter(|asked| asked.contains(mark)).cloned().collect()
    }
}

async fn accept(listener: TcpListener, there: SocketAddr, state: Arc<Mutex<State>>) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else { return };
        let state = Arc::clone(&state);
        connections.spawn(async move {
            let service = service_fn(|request| answer(request, there, &state));
            let _ = server::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn answer(
    request: Request<Incoming>,
    there: SocketAddr,
    state: &Mutex<State>,
) -> Result<Response<Full<Bytes>>, HangUp> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map_err(|_| HangUp)?.to_bytes();
    let question = question(parts.uri.path(), &parts.headers, &body);
    if let Some(reply) = look(&mut lock(state), &question) {
        return reply.into_response().ok_or(HangUp);
    }
    let (head, mut text) =
        ask(Request::from_parts(parts, Full::from(body)), there).await.map_err(|_| HangUp)?;
    for (from, to) in words(&lock(state), &question) {
        text = String::from_utf8_lossy(&text).replace(&from, &to).into();
    }
    let mut response = Response::from_parts(head, Full::from(text));
    // The length may be another now; hyper tells it.
    response.headers_mut().remove(header::CONTENT_LENGTH);
    response.headers_mut().remove(header::TRANSFER_ENCODING);
    Ok(response)
}

/// Large bodies are of no interest.
const QUESTION_MOST: usize = 100_000;

fn question(path: &str, headers: &HeaderMap, body: &Bytes) -> String {
    let target = headers.get("x-amz-target").and_then(|target| target.to_str().ok()).unwrap_or_default();
    let body = String::from_utf8_lossy(&body[..body.len().min(QUESTION_MOST)]);
    format!("{path} {target} {body}")
}

fn look(state: &mut State, question: &str) -> Option<Reply> {
    state.asked.push(question.to_owned());
    let replies = state.rules.iter_mut().filter(|rule| question.contains(&rule.mark));
    replies.into_iter().find_map(|rule| match &mut rule.turn {
        Turn::Instead(reply) => reply.take(),
        Turn::Always(reply) => Some(reply.clone()),
        Turn::Words(..) => None,
    })
}

fn words(state: &State, question: &str) -> Vec<(String, String)> {
    let rules = state.rules.iter().filter(|rule| question.contains(&rule.mark));
    rules
        .filter_map(|rule| match &rule.turn {
            Turn::Words(from, to) => Some((from.clone(), to.clone())),
            Turn::Instead(_) | Turn::Always(_) => None,
        })
        .collect()
}

async fn ask(
    request: Request<Full<Bytes>>,
    there: SocketAddr,
) -> Result<(http::response::Parts, Bytes), Box<dyn std::error::Error + Send + Sync>> {
    let stream = TcpStream::connect(there).await?;
    let (mut sender, connection) = client::handshake(TokioIo::new(stream)).await?;
    // It ends with the answer, at the same time or before: its end is no news.
    let mut driving = JoinSet::new();
    driving.spawn(connection);
    let (head, body) = sender.send_request(request).await?.into_parts();
    Ok((head, body.collect().await?.to_bytes()))
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::origin::Origin;

    #[tokio::test]
    async fn a_question_goes_there_unless_it_is_told_otherwise() {
        let origin = Origin::start();
        let detour = Detour::start(origin.address()).await.unwrap();
        detour.instead("/status/201", Reply::new(418, "no"));
        detour.words("/page", "GET", "PUT");
        let get = async |path: &str| {
            let request = Request::get(path).header("host", "a.test").body(Full::default()).unwrap();
            let (head, body) = ask(request, detour.address).await.unwrap();
            (head.status.as_u16(), String::from_utf8(body.to_vec()).unwrap())
        };
        assert_eq!(get("/status/201").await, (418, "no".to_owned()));
        assert_eq!(get("/status/201").await.0, 201);
        let (status, body) = get("/page").await;
        assert!(status == 200 && body.contains("PUT") && !body.contains("GET"), "{body}");
        assert_eq!(detour.asked("/status").len(), 2);
    }
}
