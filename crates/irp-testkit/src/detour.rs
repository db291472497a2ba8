//! A way to another server on which some questions get another answer: what [`moto`](crate::moto) does wrong, or not at
//! all, beside everything that it does right.

use std::{
    collections::BTreeMap,
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
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

use crate::scripted::{Asked, HangUp, Reply};

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
    requests: Vec<Asked>,
    /// Answers that are given again for a while, by their questions.
    old: BTreeMap<String, Old>,
    /// Questions that are left without an answer, once they are done there if they are.
    unanswered: Vec<String>,
}

#[derive(Debug, Clone)]
struct Old {
    until: Instant,
    head: http::response::Parts,
    text: Bytes,
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
    /// Answered there, and for so long with the same again.
    Late(Duration),
    /// Not answered at all, as long as the detour stands.
    Silence(Fate),
}

/// What becomes of a question that is not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It never arrives.
    Lost,
    /// It is done, and nobody hears of it.
    Done,
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

    /// Questions that contain `mark` get the answer that the same question got before, if that is not older than `late`: what
    /// was written meanwhile is not shown yet.
    pub fn late(&self, mark: &str, late: Duration) {
        lock(&self.state).rules.push(Rule { mark: mark.to_owned(), turn: Turn::Late(late) });
    }

    /// Questions that contain `mark` get no answer; whoever asks waits.
    pub fn silence(&self, mark: &str, fate: Fate) {
        lock(&self.state).rules.push(Rule { mark: mark.to_owned(), turn: Turn::Silence(fate) });
    }

    /// The questions so far that were left without an answer, and done if that is their fate.
    #[must_use]
    pub fn unanswered(&self) -> Vec<String> {
        lock(&self.state).unanswered.clone()
    }

    /// Takes back what was told for questions that contain `mark`.
    pub fn straight(&self, mark: &str) {
        let mut state = lock(&self.state);
        state.rules.retain(|rule| rule.mark != mark);
        state.old.retain(|question, _| !question.contains(mark));
    }

    /// The questions so far that contain `mark`.
    #[must_use]
    pub fn asked(&self, mark: &str) -> Vec<String> {
        lock(&self.state).asked.iter().filter(|asked| asked.contains(mark)).cloned().collect()
    }

    /// All requests since the last time, whole but for the rest of large bodies.
    #[must_use]
    pub fn take_requests(&self) -> Vec<Asked> {
        std::mem::take(&mut lock(&self.state).requests)
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
    lock(state).requests.push(Asked {
        method: parts.method.clone(),
        path: parts.uri.path_and_query().map_or_else(String::new, ToString::to_string),
        headers: parts.headers.clone(),
        body: beginning(&body),
    });
    let seen = look(&mut lock(state), &question);
    if let Some(Seen::Reply(reply)) = seen {
        return reply.into_response().ok_or(HangUp);
    }
    if matches!(seen, Some(Seen::Silence(Fate::Lost))) {
        return unanswered(question, state).await;
    }
    if let Some(old) = lock(state).old.get(&question).filter(|old| Instant::now() < old.until).cloned() {
        return Ok(Response::from_parts(old.head, Full::from(old.text)));
    }
    let (mut head, mut text) =
        ask(Request::from_parts(parts, Full::from(body)), there).await.map_err(|_| HangUp)?;
    if matches!(seen, Some(Seen::Silence(Fate::Done))) {
        return unanswered(question, state).await;
    }
    for (from, to) in words(&lock(state), &question) {
        text = String::from_utf8_lossy(&text).replace(&from, &to).into();
    }
    // The length may be another now; hyper tells it.
    head.headers.remove(header::CONTENT_LENGTH);
    head.headers.remove(header::TRANSFER_ENCODING);
    if let Some(Seen::Late(late)) = seen {
        let old = Old { until: Instant::now() + late, head: head.clone(), text: text.clone() };
        lock(state).old.insert(question, old);
    }
    Ok(Response::from_parts(head, Full::from(text)))
}

async fn unanswered(question: String, state: &Mutex<State>) -> Result<Response<Full<Bytes>>, HangUp> {
    lock(state).unanswered.push(question);
    std::future::pending().await
}

/// Large bodies are of no interest.
const QUESTION_MOST: usize = 100_000;

fn question(path: &str, headers: &HeaderMap, body: &Bytes) -> String {
    let target = headers.get("x-amz-target").and_then(|target| target.to_str().ok()).unwrap_or_default();
    format!("{path} {target} {}", beginning(body))
}

fn beginning(body: &Bytes) -> String {
    String::from_utf8_lossy(&body[..body.len().min(QUESTION_MOST)]).into_owned()
}

/// The turn that a question takes, where it is not only one of words.
enum Seen {
    Reply(Reply),
    Late(Duration),
    Silence(Fate),
}

fn look(state: &mut State, question: &str) -> Option<Seen> {
    state.asked.push(question.to_owned());
    let rules = state.rules.iter_mut().filter(|rule| question.contains(&rule.mark));
    rules.into_iter().find_map(|rule| match &mut rule.turn {
        Turn::Instead(reply) => reply.take().map(Seen::Reply),
        Turn::Always(reply) => Some(Seen::Reply(reply.clone())),
        Turn::Late(late) => Some(Seen::Late(*late)),
        Turn::Silence(fate) => Some(Seen::Silence(*fate)),
        Turn::Words(..) => None,
    })
}

fn words(state: &State, question: &str) -> Vec<(String, String)> {
    let rules = state.rules.iter().filter(|rule| question.contains(&rule.mark));
    rules
        .filter_map(|rule| match &rule.turn {
            Turn::Words(from, to) => Some((from.clone(), to.clone())),
            _ => None,
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
    use crate::{origin::Origin, patience::eventually};

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
        let requests = detour.take_requests();
        assert!(requests.len() == 3 && requests[2].path == "/page" && requests[2].method == "GET");
        assert!(detour.take_requests().is_empty());

        detour.late("/page/late", Duration::from_secs(3600));
        let seen = || origin.counters().seen();
        let before = seen();
        assert_eq!(get("/page/late").await, get("/page/late").await);
        assert_eq!(seen(), before + 1);
    }

    #[tokio::test]
    async fn who_gets_no_answer_does_not_know_whether_it_was_done() {
        let origin = Origin::start();
        let detour = Detour::start(origin.address()).await.unwrap();
        for (mark, fate, arrived) in [("/lost", Fate::Lost, 0), ("/done", Fate::Done, 1)] {
            let before = origin.counters().seen();
            detour.silence(mark, fate);
            let request = Request::get(mark).header("host", "a.test").body(Full::default()).unwrap();
            let address = detour.address;
            let mut asking = JoinSet::new();
            asking.spawn(async move { ask(request, address).await.is_ok() });
            eventually("it is left without an answer", || {
                detour.unanswered().iter().any(|question| question.contains(mark))
            })
            .await;
            assert!(asking.try_join_next().is_none());
            assert_eq!(origin.counters().seen(), before + arrived);
        }
    }
}
