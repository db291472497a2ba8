//! The life of a client: connect, serve, connect again.

use std::{
    net::SocketAddr,
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::future::BoxFuture;
use irp_wire::{
    causes::in_full,
    control::GoodbyeReason,
    hello::{HELLO_TIMEOUT, HelloError, Refusal, Request, Welcome, open_control},
    tasks::Tasks,
};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::{
    ClientConfig, DialError, Event, EventSink, Interception, RootsError,
    backoff::{Backoff, random},
    dial::{Dialer, Dialled},
    known_edges::{self, Contact, KnownEdgesError},
    serve::Forwarder,
    session::{self, End, Session},
    weather::{Change, Weather},
};

/// Why a client gave up. Coming back by itself is pointless, or would fight with another one.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The same key connected elsewhere and has the names now.
    #[error("another client with your key has taken over: {0}")]
    TakenOver(String),
    /// The key was taken out of the edge's list.
    #[error("the edge has revoked your key: {0}")]
    Revoked(String),
    /// The edge's machine ends.
    #[error("the edge's machine ends: {0}")]
    MachineEnds(String),
    /// The edge refuses this key or these names.
    #[error("the edge refuses: {0}")]
    Refused(#[source] Refusal),
    /// The connection is impossible, and waiting does not help.
    #[error("cannot connect to {address}")]
    Connect {
        /// What was dialled.
        address: String,
        /// Why.
        #[source]
        source: Box<DialError>,
    },
    /// The certificates to trust cannot be used.
    #[error("cannot set up trust")]
    Roots(#[from] RootsError),
}

/// Runs a client until `shutdown` is cancelled, or coming back is pointless.
///
/// On `shutdown` it tells the edge, finishes requests under way for at most [`crate::Timeouts::drain`], and
/// returns `Ok`. Dropping the future ends everything at once.
///
/// # Errors
///
/// See [`RunError`]. Failures that may pass are told as events and retried for ever.
///
/// The future is a box, so that the client is compiled in this crate and not in each that awaits it.
pub fn run(
    config: ClientConfig,
    events: EventSink,
    shutdown: CancellationToken,
) -> BoxFuture<'static, Result<(), RunError>> {
    Box::pin(live(config, events, shutdown))
}

async fn live(config: ClientConfig, events: EventSink, shutdown: CancellationToken) -> Result<(), RunError> {
    let tasks = Tasks::new();
    let _end_all = tasks.end_on_drop();
    let drain = config.timeouts.drain;
    let life = Life {
        dialer: Arc::new(Dialer::new(&config, events.clone(), tasks.clone())?),
        forwarder: Arc::new(Forwarder::new(&config, tasks.clone())?),
        instance: u64::from_le_bytes(random_bytes()),
        connected_before: false,
        peer: None,
        tasks: tasks.clone(),
        events,
        config,
    };
    let result = life.lead(shutdown).await;
    // Sessions have their own deadline; this one only catches what hangs.
    let _ = tasks.shutdown(drain + LAST_WORDS).await;
    result
}

/// What a session may need after its drain, for its last frames.
const LAST_WORDS: Duration = Duration::from_secs(2);

struct Life {
    config: ClientConfig,
    events: EventSink,
    dialer: Arc<Dialer>,
    forwarder: Arc<Forwarder>,
    tasks: Tasks,
    instance: u64,
    connected_before: bool,
    /// Where the edge was last.
    peer: Option<SocketAddr>,
}

/// What ended the serving of a session.
enum Turn {
    /// Nothing holds the tunnel now: connect again.
    Over { why: String, held: Duration },
    /// The person wants to leave.
    Leave,
}

impl Life {
    async fn lead(mut self, shutdown: CancellationToken) -> Result<(), RunError> {
        let mut backoff = Backoff::default();
        let mut weather = Weather::new();
        loop {
            let connecting = self.connect(&mut backoff, &mut weather);
            let session = tokio::select! {
                biased;
                () = shutdown.cancelled() => return Ok(()),
                connected = connecting => connected?,
            };
            match self.hold(session, &mut weather, &shutdown).await? {
                Turn::Leave => return Ok(()),
                Turn::Over { why, held } => {
                    let retry_in = backoff.after_loss(held, random());
                    self.events.tell(Event::Lost { why, retry_in });
                    tokio::select! {
                        () = shutdown.cancelled() => return Ok(()),
                        () = pause(retry_in, &mut weather, self.peer, &self.events) => {}
                    }
                }
            }
        }
    }

    /// Attempts until a session stands, or an attempt shows that there will be none.
    async fn connect(&mut self, backoff: &mut Backoff, weather: &mut Weather) -> Result<Session, RunError> {
        for attempt in 1.. {
            self.events.tell(Event::Connecting { attempt, address: self.dialer.target() });
            let attempted = tokio::select! {
                biased;
                attempted = Box::pin(self.attempt()) => attempted,
                // The attempt under way may be waiting for an answer on a network that is no more.
                change = weather.changed(self.peer) => {
                    self.events.tell(Event::Renewing { why: change.why() });
                    continue;
                }
            };
            let error = match attempted {
                Ok((dialled, welcome)) => return Ok(self.begin(dialled, welcome)),
                Err(error) => error,
            };
            if error.is_final(self.connected_before) {
                return Err(match error {
                    DialError::Hello(HelloError::Refused(refusal)) => RunError::Refused(refusal),
                    error => RunError::Connect { address: self.dialer.target(), source: Box::new(error) },
                });
            }
            let retry_in = backoff.after_failure(error.fault(), random());
            self.events.tell(match error {
                DialError::Hello(HelloError::Refused(refusal)) => {
                    Event::Refused { why: refusal.message, retry_in }
                }
                error => Event::Failed { why: in_full(&error), retry_in },
            });
            pause(retry_in, weather, self.peer, &self.events).await;
        }
        unreachable!("attempts are counted for ever")
    }

    /// One attempt: dial and hello.
    async fn attempt(&self) -> Result<(Dialled, Welcome), DialError> {
        let mut dialled = self.dialer.dial().await?;
        let config = &self.config;
        let request = Request {
            names: config.names.clone(),
            instance: self.instance,
            lanes_max: dialled.lanes_max(config.lanes_max),
            agent: config.agent.clone(),
        };
        let failed: Mutex<Option<KnownEdgesError>> = Mutex::default();
        let check =
            |identity: &_| match known_edges::check(&config.known_edges, &config.host, config.port, identity)
            {
                Ok(Contact::Known) => Ok(()),
                Ok(Contact::Added) => {
                    let (host, fingerprint) = (config.host.to_string(), identity.fingerprint());
                    self.events.tell(Event::KnownEdgeAdded { host, fingerprint });
                    Ok(())
                }
                Err(error) => {
                    let told = error.to_string();
                    *failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                    Err(told)
                }
            };
        let host = config.host.as_str();
        let opening =
            open_control(&mut dialled.io, &dialled.binding, host, &request, config.signer.as_ref(), check);
        let opened = timeout(HELLO_TIMEOUT, opening).await;
        let opened = opened.unwrap_or_else(|_| Err(HelloError::Io(std::io::ErrorKind::TimedOut.into())));
        match opened {
            Ok(welcome) => Ok((dialled, welcome)),
            Err(HelloError::Proof) => Err(Interception::proof_lost(host).into()),
            Err(error) => match failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
                Some(error) => Err(error.into()),
                None => Err(error.into()),
            },
        }
    }

    fn begin(&mut self, dialled: Dialled, welcome: Welcome) -> Session {
        let lanes_max = dialled.lanes_max(self.config.lanes_max);
        let certificate = dialled.certificate();
        self.events.tell(Event::Connected {
            urls: welcome.terms.urls,
            via: dialled.via,
            rtt: dialled.rtt,
            lanes_max,
            first: !self.connected_before,
            idle_after: welcome.terms.idle_after_s.map(Duration::from_secs),
            edge_agent: welcome.terms.agent,
            certificate,
        });
        self.connected_before = true;
        self.peer = dialled.peer;
        if let Some(peer) = dialled.peer {
            self.forwarder.connector().edge_is_at(peer);
        }
        let parts = session::Parts {
            io: dialled.io,
            peer: dialled.peer,
            credentials: welcome.credentials,
            dialer: self.dialer.clone(),
            forwarder: self.forwarder.clone(),
            events: self.events.clone(),
            lanes_max,
            stream_window: self.config.stream_window,
            drain: self.config.timeouts.drain,
            policies: self.config.policies.clone(),
        };
        Session::start(parts, &self.tasks)
    }

    /// Keeps a tunnel until it ends. When the weather changes, a new session is made beside the old one,
    /// which then finishes what it has: a dead link is not waited for, and a good one is not missed.
    async fn hold(
        &mut self,
        mut session: Session,
        weather: &mut Weather,
        shutdown: &CancellationToken,
    ) -> Result<Turn, RunError> {
        weather.look_towards(session.peer);
        loop {
            let peer = session.peer;
            let change = tokio::select! {
                biased;
                () = shutdown.cancelled() => {
                    session::tell_leaving(&session, &self.events);
                    return Ok(Turn::Leave);
                }
                end = session.ended() => return self.over(end, session.since),
                change = weather.changed(peer) => change,
            };
            if change == Change::Back {
                // The link may have lived through it; if not, its pings tell within seconds.
                continue;
            }
            match self.renew(&mut session, change, weather, shutdown).await {
                Renewed::By(new) => session = new,
                Renewed::Not => {}
                Renewed::Ended(end) => return self.over(end, session.since),
            }
        }
    }

    /// Makes a new session while the old one stands, attempting again until one of the two is decided.
    async fn renew(
        &mut self,
        session: &mut Session,
        change: Change,
        weather: &mut Weather,
        shutdown: &CancellationToken,
    ) -> Renewed {
        self.events.tell(Event::Renewing { why: change.why() });
        for _ in 0..RENEWALS_MAX {
            let attempted = {
                let mut attempting = pin!(Box::pin(self.attempt()));
                tokio::select! {
                    biased;
                    () = shutdown.cancelled() => return Renewed::Not,
                    attempted = &mut attempting => attempted,
                    // Dead as expected: the attempt under way is the way back.
                    end = session.ended() => match (attempting.await, end) {
                        (Ok(made), End::Broken(_)) => Ok(made),
                        (_, end) => return Renewed::Ended(end),
                    }
                }
            };
            match attempted {
                Ok((dialled, welcome)) => {
                    let new = self.begin(dialled, welcome);
                    weather.look_towards(new.peer);
                    return Renewed::By(new);
                }
                Err(error) => tracing::debug!(%error, "the link could not be renewed"),
            }
            tokio::select! {
                () = shutdown.cancelled() => return Renewed::Not,
                () = sleep(RENEWAL_PAUSE) => {}
                end = session.ended() => return Renewed::Ended(end),
            }
        }
        // The old link may be good after all; its pings decide.
        Renewed::Not
    }

    fn over(&self, end: End, since: Instant) -> Result<Turn, RunError> {
        let held = since.elapsed();
        match end {
            End::Broken(why) => Ok(Turn::Over { why, held }),
            End::Retired => Ok(Turn::Leave),
            End::Goodbye { reason, text } => match reason {
                GoodbyeReason::TakenOver => Err(RunError::TakenOver(text)),
                GoodbyeReason::Revoked => Err(RunError::Revoked(text)),
                GoodbyeReason::MachineEnds => Err(RunError::MachineEnds(text)),
                _ => Ok(Turn::Over { why: text, held }),
            },
        }
    }
}

/// How often a link is renewed before its own pings have the last word, and the time between.
const RENEWALS_MAX: u32 = 5;
const RENEWAL_PAUSE: Duration = Duration::from_millis(500);

/// What became of the wish for a new session.
enum Renewed {
    By(Session),
    Not,
    Ended(End),
}

/// Waits, but not through a change of weather, which is told.
pub(crate) async fn pause(
    wait: Duration,
    weather: &mut Weather,
    edge: Option<SocketAddr>,
    events: &EventSink,
) {
    let until = Instant::now() + wait;
    tokio::select! {
        biased;
        () = sleep_until(until) => {}
        change = weather.changed(edge) => events.tell(Event::Renewing { why: change.why() }),
    }
}

fn random_bytes() -> [u8; 8] {
    let mut bytes = [0; 8];
    // Without randomness TLS fails a moment later, with a better message.
    let _ = aws_lc_rs::rand::fill(&mut bytes);
    bytes
}
