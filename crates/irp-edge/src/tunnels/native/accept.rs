//! The door for tunnel connections: hello, verdict, and the life of what was let in.

use std::{net::SocketAddr, sync::Arc};

use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioIo, TokioTimer};
use irp_wire::{
    control::GoodbyeReason,
    hello::{
        self, Applicant, HELLO_TIMEOUT, HelloError, LaneApplicant, Opened, Refusal, RefusalCode, SessionId,
        SessionSecret, Terms,
    },
    key::{PublicKey, SecretKey},
    name::Hostname,
    proof::ChannelBinding,
    seldom::Seldom,
    tasks::Tasks,
};
use tokio::{
    net::TcpStream,
    sync::{Semaphore, mpsc, watch},
    time::{self, Instant},
};
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;

use super::{
    Session, Settings, control, errand,
    session::{CONNECTION_WINDOW, MESSAGES_MAX, PING_EVERY, PING_TIMEOUT},
};
use crate::{
    enrolment::Enrolment,
    http::{
        body::RequestBody,
        webhook::{Learned, Policies},
    },
    idle::{Activity, Countdown, IdleAfter},
    inbox::{Inbox, counter::Counter},
    keys::Keys,
    notices::Notices,
    registry::Registry,
    troubles::Troubles,
};

/// How many connections may be in their hello; further ones are closed at once, and clients try again.
const HELLOS_MAX: usize = 128;

/// How much a connection of a session buffers, in bytes; hyper would let a lane grow to 400 KiB.
const BUFFER: usize = 64 * 1024;

/// The program and version that this edge tells its clients.
pub(super) const AGENT: &str = concat!("irp/", env!("CARGO_PKG_VERSION"));

/// The door: what decides about tunnel connections, and owns those that it lets in.
#[derive(Debug)]
pub struct Door {
    /// The key by which clients know this edge.
    pub identity: SecretKey,
    /// Who may claim and who holds which name.
    pub registry: Arc<Registry>,
    /// Where sessions are counted.
    pub activity: Activity,
    /// What remains of the idle timer.
    pub countdown: watch::Receiver<Countdown>,
    /// Who is let in beyond the configured keys.
    pub enrolment: Option<Enrolment>,
    /// Secrets that providers of webhooks have told.
    pub(crate) learned: Learned,
    /// What every session is told.
    pub notices: Notices,
    /// What does not work at the moment.
    pub troubles: Troubles,
    /// When the edge began to run.
    pub started: Instant,
    /// The idle time, for the welcome.
    pub idle_after: IdleAfter,
    /// The port that visitors use, for the URLs in the welcome.
    pub public_port: u16,
    /// How sessions are run.
    pub settings: Settings,
    /// The owner of all that belongs to sessions.
    pub tasks: Tasks,
    /// What owners of names may ask about, where there is one.
    pub inbox: Option<Inbox>,
    /// Whether what waits there outlives this machine.
    pub has_vault: bool,
    /// Bounds the hellos under way.
    pub hellos: Hellos,
}

/// A bound on the hellos under way.
#[derive(Debug)]
pub struct Hellos(Semaphore);

impl Default for Hellos {
    fn default() -> Self {
        Self(Semaphore::new(HELLOS_MAX))
    }
}

/// A tunnel connection before its hello.
#[derive(Debug)]
pub struct Guest {
    /// The connection.
    pub stream: TlsStream<TcpStream>,
    /// The name that it dialled.
    pub host: String,
    /// The keying material of its TLS session.
    pub binding: ChannelBinding,
    /// Its address.
    pub peer: SocketAddr,
}

impl Door {
    /// Takes a connection through its hello and stays with it until it is over.
    pub async fn receive(&self, mut guest: Box<Guest>) {
        let peer = guest.peer;
        let Ok(hello) = self.hellos.0.try_acquire() else {
            tracing::warn!(%peer, "too many hellos under way: closing a tunnel connection");
            return;
        };
        let opened = hello::receive(&mut guest.stream, &guest.binding, &guest.host, &self.identity);
        let opened = match time::timeout(HELLO_TIMEOUT, opened).await {
            Ok(Ok(opened)) => opened,
            Ok(Err(error)) => return tracing::info!(%peer, %error, "a tunnel connection failed its hello"),
            Err(_) => return tracing::info!(%peer, "a tunnel connection did not finish its hello in time"),
        };
        drop(hello);
        // Boxed, so that none of them has room for the others as long as it lives.
        let result = match opened {
            Opened::Control(applicant) => Box::pin(self.admit(guest, applicant)).await,
            Opened::Errand(applicant) => Box::pin(self.admit_errand(guest, applicant)).await,
            Opened::Lane(applicant) => Box::pin(self.admit_lane(guest, applicant)).await,
            Opened::Look(applicant) => Box::pin(self.show(guest, &applicant)).await,
        };
        if let Err(error) = result {
            tracing::info!(%peer, %error, "a tunnel connection ended before it was of use");
        }
    }

    async fn admit(&self, mut guest: Box<Guest>, applicant: Applicant) -> Result<(), HelloError> {
        let verdict = if self.tasks.token().is_cancelled() {
            Err(Refusal::new(RefusalCode::Busy, "this edge is stopping"))
        } else {
            self.judge(&applicant, Registry::check).await
        };
        let (key, peer) = (self.registry.keys().describe(&applicant.key), guest.peer);
        if let Err(refusal) = verdict {
            tracing::warn!(%peer, key, reason = refusal.message, "refused a tunnel");
            return within(hello::refuse(&mut guest.stream, refusal)).await;
        }
        let (id, secret) = (SessionId::random(), SessionSecret::random());
        let terms = self.terms(&applicant.request.names);
        within(Applicant::welcome(&mut guest.stream, id, &secret, terms)).await?;

        let over = CancellationToken::new();
        let _over = over.clone().drop_guard();
        let mut http2 = self.turn_to_http2(guest.stream, over.clone()).await?;
        let (to_client, messages) = mpsc::channel(MESSAGES_MAX);
        let opened = control::open(&mut http2, messages).await.map_err(std::io::Error::other)?;
        // A name goes live with its policies or not at all.
        let policies = opened.policies.as_ref().map(Policies::from_client).transpose();
        if let (Ok(Some(policies)), Some(name)) = (&policies, applicant.request.names.first()) {
            self.learned.recall(name, policies).await;
        }
        let (policies, useless) = match policies {
            Ok(policies) => (policies.map(Arc::new), None),
            Err(error) => (None, Some(error)),
        };
        let session = Session::new(applicant, secret, id, http2, to_client, self.settings, policies, over);
        if let Some(error) = useless {
            session.goodbye(GoodbyeReason::Other, &error.to_string(), self.settings.drain).await;
            return Ok(());
        }
        self.live(&Arc::new(session), opened, &key, peer).await;
        Ok(())
    }

    /// An errand claims nothing, so it does not matter who holds the names now.
    async fn admit_errand(&self, mut guest: Box<Guest>, applicant: Applicant) -> Result<(), HelloError> {
        let (key, peer) = (self.registry.keys().describe(&applicant.key), guest.peer);
        let may = |registry: &Registry, key: &_, names: &[_]| registry.keys().check(key, names);
        if let Err(refusal) = self.judge(&applicant, may).await {
            tracing::warn!(%peer, key, reason = refusal.message, "refused an errand");
            return within(hello::refuse(&mut guest.stream, refusal)).await;
        }
        let names = applicant.request.names;
        let terms = self.terms(&names);
        within(Applicant::welcome(&mut guest.stream, SessionId::random(), &SessionSecret::random(), terms))
            .await?;
        tracing::info!(%peer, key, ?names, "an errand");
        let errand = errand::serve(guest.stream, self.inbox.as_ref(), &names);
        let ended = self.tasks.token().run_until_cancelled(Box::pin(errand)).await;
        if let Some(Err(error)) = ended {
            tracing::info!(%peer, %error, "an errand broke off");
        }
        Ok(())
    }

    /// Whether this key may have these names; an unknown one may have been pushed to the machine.
    async fn judge(
        &self,
        applicant: &Applicant,
        may: impl Fn(&Registry, &PublicKey, &[Hostname]) -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        let (key, names) = (&applicant.key, &applicant.request.names);
        let verdict = may(&self.registry, key, names);
        let is_unknown = verdict.as_ref().is_err_and(|refusal| refusal.code == RefusalCode::UnknownKey);
        let Some(enrolment) = self.enrolment.as_ref().filter(|_| is_unknown) else { return verdict };
        let Some(grant) = enrolment.grant(key).await else { return verdict };
        tracing::info!(key = key.fingerprint(), "enrolled a key that was pushed to this machine");
        self.registry.enrol(grant);
        may(&self.registry, key, names)
    }

    /// The life of a session, from its claim to the last of its lanes.
    async fn live(&self, session: &Arc<Session>, opened: control::Opened, key: &str, peer: SocketAddr) {
        let displaced = match self.registry.claim(session) {
            Ok(displaced) => displaced,
            // Somebody else was faster between the check and now, or the keys were replaced.
            Err(refusal) => {
                return session.goodbye(GoodbyeReason::Other, &refusal.message, self.settings.drain).await;
            }
        };
        let _counted = self.activity.session();
        tracing::info!(session = %session.id(), key, %peer, names = ?session.names(), "a tunnel is up");
        for old in displaced {
            self.displace(old, session);
        }
        let leaving = || self.registry.release(session);
        let kept = self.inbox.clone().map(|inbox| Counter::new(inbox, session.names()));
        let notices = self.notices.reader();
        control::listen(session, opened, self.countdown.clone(), notices, kept, leaving).await;
        self.registry.release(session);
        session.over().cancel();
        session.idle_lanes.close();
        tracing::info!(session = %session.id(), key, "a tunnel is gone");
    }

    /// Follows the list of keys until `stop`: who is not in it any more is told so and leaves.
    pub(crate) async fn follow(self: Arc<Self>, mut keys: watch::Receiver<Keys>, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                changed = keys.changed() => if changed.is_err() { return },
            }
            let known = keys.borrow_and_update().clone();
            tracing::info!(keys = known.grants().len(), "the list of keys was replaced");
            for (session, refusal) in self.registry.replace_keys(known) {
                tracing::info!(session = %session.id(), reason = refusal.message, "revoked a tunnel");
                let drain = self.settings.drain;
                self.tasks.spawn(async move {
                    session.goodbye(GoodbyeReason::Revoked, &refusal.message, drain).await;
                });
            }
        }
    }

    /// Says goodbye to a session whose names were taken over by another one of the same key.
    fn displace(&self, old: Arc<Session>, new: &Session) {
        let same_process = old.instance() == new.instance();
        let drain = self.settings.drain;
        self.tasks.spawn(async move {
            if same_process {
                // The process came back on a new connection, after a sleep or a change of network. Where the
                // old one works all the same, its requests may finish; the client closes it.
                let _ = time::timeout(drain, old.over().cancelled()).await;
                old.over().cancel();
                return;
            }
            let text = "the same key connected from elsewhere and has the name now";
            old.goodbye(GoodbyeReason::TakenOver, text, drain).await;
        });
    }

    async fn turn_to_http2(
        &self,
        stream: TlsStream<TcpStream>,
        over: CancellationToken,
    ) -> Result<http2::SendRequest<RequestBody>, HelloError> {
        let (http2, connection) = http2::Builder::new(self.tasks.clone())
            .timer(TokioTimer::new())
            .initial_stream_window_size(self.settings.stream_window)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .keep_alive_interval(PING_EVERY)
            .keep_alive_timeout(PING_TIMEOUT)
            .keep_alive_while_idle(true)
            .max_send_buf_size(BUFFER)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(std::io::Error::other)?;
        self.tasks.spawn(async move {
            let ended = Seldom::new(over.cancelled());
            tokio::select! {
                result = connection => if let Err(error) = result {
                    tracing::debug!(%error, "a tunnel's HTTP/2 connection broke");
                },
                () = ended => {}
            }
            over.cancel();
        });
        Ok(http2)
    }

    async fn admit_lane(&self, mut guest: Box<Guest>, applicant: LaneApplicant) -> Result<(), HelloError> {
        let session = self.registry.session(&applicant.session);
        let proven = session.filter(|session| applicant.is_proven(session.secret(), &guest.binding));
        let Some(session) = proven else {
            let refusal = Refusal::new(RefusalCode::UnknownSession, "this session is over");
            return within(hello::refuse(&mut guest.stream, refusal)).await;
        };
        if !session.lanes.opened() {
            let refusal = Refusal::new(RefusalCode::Busy, "this session has all its lanes");
            return within(hello::refuse(&mut guest.stream, refusal)).await;
        }
        let result = self.serve_lane(guest, &session).await;
        session.lanes.closed();
        result
    }

    async fn serve_lane(&self, mut guest: Box<Guest>, session: &Session) -> Result<(), HelloError> {
        within(LaneApplicant::welcome(&mut guest.stream, session.secret(), &guest.binding)).await?;
        let (lane, connection) = http1::Builder::new()
            .max_buf_size(BUFFER)
            .handshake(TokioIo::new(guest.stream))
            .await
            .map_err(std::io::Error::other)?;
        session.idle_lanes.put(lane);
        let over = Seldom::new(session.over().cancelled());
        tokio::select! {
            result = connection => if let Err(error) = result {
                tracing::debug!(session = %session.id(), %error, "a lane broke");
            },
            () = over => {}
        }
        Ok(())
    }

    fn terms(&self, names: &[Hostname]) -> Terms {
        let url = |name: &Hostname| match self.public_port {
            443 => format!("https://{name}"),
            port => format!("https://{name}:{port}"),
        };
        Terms {
            urls: names.iter().map(url).collect(),
            idle_after_s: self.idle_after.duration().map(|after| after.as_secs()),
            agent: AGENT.to_owned(),
        }
    }
}

/// Bounds the writing of a verdict to a peer that does not read.
pub(super) async fn within(verdict: impl Future<Output = Result<(), HelloError>>) -> Result<(), HelloError> {
    let late = |_| HelloError::Io(std::io::ErrorKind::TimedOut.into());
    time::timeout(HELLO_TIMEOUT, verdict).await.map_err(late)?
}
