//! The edge put together: bound first, then run, then drained.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use irp_wire::{
    control::GoodbyeReason,
    key::{KeyError, PublicKey, SecretKey},
    tasks::Tasks,
};
use secrecy::ExposeSecret as _;
use tokio::{
    net::TcpListener,
    sync::{Semaphore, watch},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use crate::{
    certs::{
        Certificates, Clock as WallClock, FileStore, Identity, Keeper, Status, Store, SystemClock,
        file_store, http::RootsError, identity::IdentityError,
    },
    config::{CertificateSource, EdgeConfig, Machine},
    connection::{HANDSHAKES_MAX, Reception},
    http::{Service, route::Route, webhook::Learned},
    idle::{self, Activity, BootClock, Clock as _, Countdown, IdleTimer, Outcome},
    inbox::{self, Delivery, Inbox, Seal, Vault, deliver::Deliverer},
    keys::{KeyList, Keys},
    listen,
    metrics::{MetricsListener, Page},
    outside::Outside,
    redirect::Redirect,
    registry::Registry,
    renewal,
    report::Reports,
    ssh_way::{self, RunningSshWay, SshWayError},
    tls::Configs,
    troubles::Troubles,
    tunnels::native::{Door, Hellos},
};

/// How many snapshots of machines before are taken in at a start: each is the whole inbox of one machine.
const TAKEN_MAX: usize = 16;

/// How long sessions may take to leave once the requests are done.
const GOODBYE: Duration = Duration::from_secs(2);

/// An edge whose sockets are bound; visitors wait in the kernel's queue until it runs.
pub struct Edge {
    config: EdgeConfig,
    listeners: Vec<TcpListener>,
    http_listeners: Vec<TcpListener>,
    metrics_listener: Option<TcpListener>,
    identity: SecretKey,
    certificates: Arc<Certificates>,
    keeper: Option<Keeper>,
    ssh: Option<RunningSshWay>,
    learned: Learned,
    key_list: KeyList,
    new_keys: watch::Receiver<Keys>,
    machine: Machine,
    inbox: Option<(Inbox, Delivery)>,
}

/// Why an edge cannot start.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// An address cannot be had.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// No address is given.
    #[error("no address to listen on is given")]
    NoAddress,
    /// The folder for state is of no use.
    #[error("cannot use the state folder")]
    State(#[from] file_store::OpenError),
    /// The identity cannot be read or made.
    #[error("cannot read or make the edge's identity")]
    Identity(#[from] IdentityError),
    /// The identity is damaged.
    #[error("the edge's identity is damaged")]
    IdentityKey(#[from] KeyError),
    /// The trust roots for the certificate authority are of no use.
    #[error("cannot use the trust roots of the certificate authority")]
    Roots(#[from] RootsError),
    /// Stock OpenSSH cannot be taken.
    #[error("cannot take tunnels of ssh -R")]
    Ssh(#[from] SshWayError),
}

/// Why a running edge ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It was asked to.
    Asked,
    /// Nobody was connected for the idle time, and the machine was told to power off.
    Idle,
}

/// Why a running edge could not go on.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// TLS cannot be set up.
    #[error("cannot set up TLS")]
    Tls(#[from] rustls::Error),
}

impl std::fmt::Debug for Edge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Edge").field("addresses", &self.addresses()).finish_non_exhaustive()
    }
}

impl Edge {
    /// Opens the state folder, the identity and all sockets. `certificates` is the table from which TLS is
    /// served; it is made outside, since a challenge by tls-alpn-01 needs it too.
    ///
    /// # Errors
    ///
    /// See [`BindError`].
    pub async fn bind(config: EdgeConfig, certificates: Arc<Certificates>) -> Result<Self, BindError> {
        Self::bind_on(config, certificates, Machine::default()).await
    }

    /// The same on a machine that gives more than a folder.
    ///
    /// # Errors
    ///
    /// See [`BindError`].
    pub fn bind_on(
        config: EdgeConfig,
        certificates: Arc<Certificates>,
        machine: Machine,
    ) -> BoxFuture<'static, Result<Self, BindError>> {
        Box::pin(Self::open(config, certificates, machine))
    }

    async fn open(
        mut config: EdgeConfig,
        certificates: Arc<Certificates>,
        mut machine: Machine,
    ) -> Result<Self, BindError> {
        let store: Arc<dyn Store> = match machine.store.take() {
            Some(store) => store,
            None => Arc::new(FileStore::open(&config.state)?),
        };
        let identity = Identity::open_or_create(store.as_ref()).await?;
        let identity = SecretKey::from_seed(identity.seed().expose_secret())?;
        let learned = Learned::new(Arc::clone(&store));
        let listeners = bind_all(&config.listen)?;
        if listeners.is_empty() {
            return Err(BindError::NoAddress);
        }
        let http_listeners = bind_all(&config.http_listen)?;
        let metrics_listener = bind_all(config.metrics_listen.as_slice())?.pop();
        let ssh = match config.ssh.take() {
            Some(way) => Some(ssh_way::open(way).await?),
            None => None,
        };
        let keeper = match &config.certificates {
            CertificateSource::Acme { config, .. } => {
                let clock: Arc<dyn WallClock> = Arc::new(SystemClock);
                Some(Keeper::new(config.clone(), store, Arc::clone(&certificates), clock)?)
            }
            CertificateSource::Local { .. } => None,
        };
        let (key_list, new_keys) = KeyList::new(config.keys.clone());
        let inbox = match config.inbox.take() {
            Some(settings) => open_inbox(&config.state, settings, &machine).await,
            None => None,
        };
        Ok(Self {
            config,
            listeners,
            http_listeners,
            metrics_listener,
            identity,
            certificates,
            keeper,
            ssh,
            learned,
            key_list,
            new_keys,
            machine,
            inbox,
        })
    }

    /// Where visitors and clients come in, with the true ports.
    #[must_use]
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.listeners.iter().filter_map(|listener| listener.local_addr().ok()).collect()
    }

    /// Where visitors without TLS come in, with the true ports.
    #[must_use]
    pub fn http_addresses(&self) -> Vec<SocketAddr> {
        self.http_listeners.iter().filter_map(|listener| listener.local_addr().ok()).collect()
    }

    /// Where metrics are shown, with the true port.
    #[must_use]
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics_listener.as_ref()?.local_addr().ok()
    }

    /// The key by which clients know this edge.
    #[must_use]
    pub fn identity(&self) -> PublicKey {
        self.identity.public_key()
    }

    /// The keys that this edge knows, to be replaced while it runs.
    #[must_use]
    pub fn key_list(&self) -> KeyList {
        self.key_list.clone()
    }

    /// The port in URLs.
    #[must_use]
    pub fn public_port(&self) -> u16 {
        let bound = self.addresses().first().map(SocketAddr::port);
        self.config.public_port.or(bound).unwrap_or(443)
    }

    /// Runs until `shutdown`, or until the idle timer ends the machine; then lets requests finish, says goodbye
    /// to clients, and returns when nothing of it runs any more.
    ///
    /// # Errors
    ///
    /// See [`RunError`].
    ///
    /// The future is a box, so that the edge is compiled in this crate and not in each that awaits it.
    pub fn run(self, shutdown: CancellationToken) -> BoxFuture<'static, Result<Ended, RunError>> {
        Box::pin(self.lead(shutdown))
    }

    async fn lead(self, shutdown: CancellationToken) -> Result<Ended, RunError> {
        let public_port = self.public_port();
        let Self {
            config,
            listeners,
            http_listeners,
            metrics_listener,
            identity,
            certificates,
            keeper,
            ssh,
            learned,
            new_keys,
            machine,
            inbox,
            ..
        } = self;
        let (visitors, tunnels, keepers) = (Tasks::new(), Tasks::new(), Tasks::new());

        let clock = BootClock;
        let timer = IdleTimer::new(config.idle_after, clock.now());
        let activity = Activity::new(clock);
        let (countdown, left) = watch::channel(Countdown::Never);

        for host in &config.hosts {
            if let Some(policies) = &host.policies {
                learned.recall(&host.name, policies).await;
            }
        }
        let registry = Arc::new(Registry::new(config.keys, routes_of(&config.hosts)));
        for name in
            registry.granted_names().into_iter().chain(ssh.iter().flat_map(|way| way.names().cloned()))
        {
            registry.know(&name);
        }
        let service = Service::new(
            Arc::clone(&registry) as _,
            config.limits,
            activity.clone(),
            mark(),
            visitors.clone(),
            Some(Reports::new(Arc::clone(&registry)) as _),
        )
        .with_host_keys(machine.host_keys)
        .with_inbox(inbox.as_ref().map(|(inbox, _)| inbox.clone()))
        .with_learned(learned.clone())
        .with_outside(machine.outside.or_else(outside));
        let door = Arc::new(Door {
            identity,
            registry: Arc::clone(&registry),
            activity: activity.clone(),
            countdown: left.clone(),
            enrolment: machine.enrolment,
            learned: learned.clone(),
            notices: machine.notices.clone(),
            troubles: machine.troubles.clone(),
            started: Instant::now(),
            idle_after: config.idle_after,
            public_port,
            settings: config.sessions,
            tasks: tunnels.clone(),
            hellos: Hellos::default(),
            inbox: inbox.as_ref().map(|(inbox, _)| inbox.clone()),
            has_vault: machine.vault.is_some(),
        });

        keepers.spawn(Arc::clone(&door).follow(new_keys, keepers.token().clone()));
        let deliveries = Tasks::new();
        if let Some((inbox, delivery)) = &inbox {
            let deliverer =
                Deliverer::new(inbox.clone(), Arc::clone(&registry), *delivery, deliveries.clone());
            deliveries.spawn(deliverer.run(deliveries.token().clone()));
            if machine.vault.is_none() {
                let (inbox, soon, notices) = (inbox.clone(), machine.ends_soon, machine.notices.clone());
                let stop = deliveries.token().clone();
                deliveries.spawn(async move {
                    if stop.run_until_cancelled(soon.cancelled()).await.is_some() {
                        tracing::warn!("this machine ends soon: events are not kept any more");
                        inbox.close_door("this machine ends soon");
                        notices.post("this machine ends soon: events are not kept any more, so that providers try again");
                    }
                });
            }
            deliveries.spawn(count_waiting(inbox.clone(), activity.clone(), deliveries.token().clone()));
        }

        let http_tokens = match config.certificates {
            CertificateSource::Acme { http_tokens, .. } => {
                if let Some(keeper) = keeper {
                    let stop = keepers.token().clone();
                    keepers.spawn(certificate_troubles(keeper.status(), machine.troubles, stop.clone()));
                    keepers.spawn(keeper.run(stop));
                }
                http_tokens
            }
            CertificateSource::Local { ca, names } => {
                let (table, stop) = (Arc::clone(&certificates), keepers.token().clone());
                let mut keeping = Box::pin(async move {
                    let clock: Arc<dyn WallClock> = Arc::new(SystemClock);
                    if let Err(error) = ca.keep(&names, &table, &clock, &stop).await {
                        tracing::error!(%error, "cannot issue the local certificate");
                    }
                });
                // Its first step makes the certificate, which the first handshake finds.
                if keeping.as_mut().now_or_never().is_none() {
                    keepers.spawn(keeping);
                }
                None
            }
        };
        if let Some(file) = machine.renew {
            keepers.spawn(renewal::renew(file, left, keepers.token().clone()));
        }
        let ssh = ssh.map(|way| Arc::new(way.start(&registry, &activity, &keepers)));

        if let Some(listener) = metrics_listener {
            let page = Page {
                counts: Arc::clone(service.counts()),
                activity: activity.clone(),
                service: service.clone(),
                certificates: Arc::clone(&certificates),
            };
            keepers.spawn(MetricsListener::new(page, keepers.clone()).accept(listener));
        }

        let reception = Reception {
            tls: Configs::new(certificates)?,
            service,
            door,
            ssh,
            activity: activity.clone(),
            handshakes: Arc::new(Semaphore::new(HANDSHAKES_MAX)),
            visitors: visitors.clone(),
        };
        for listener in listeners {
            visitors.spawn(reception.clone().accept(listener));
        }
        let redirect = Redirect::new(Arc::clone(&registry), http_tokens, public_port, visitors.clone());
        for listener in http_listeners {
            visitors.spawn(redirect.clone().accept(listener));
        }
        drop(reception);

        let outcome = idle::run(timer, activity, config.power, machine.presence, countdown, shutdown).await;
        let (ended, reason, text) = match outcome {
            Outcome::Idle => {
                (Ended::Idle, GoodbyeReason::MachineEnds, "nobody was connected for the idle time")
            }
            Outcome::Stopped => (Ended::Asked, GoodbyeReason::Restart, "the edge is stopping"),
        };
        tracing::info!(?ended, "stopping: requests under way may finish");
        // Deliveries under way finish with the requests, and no other begins.
        deliveries.token().cancel();
        if !visitors.shutdown(config.drain).await.in_time {
            tracing::warn!("some requests did not finish in time");
        }
        deliveries.shutdown(GOODBYE).await;
        if let Some((inbox, _)) = inbox {
            if let Some(vault) = &machine.vault {
                leave_in(vault.as_ref(), &inbox).await;
            }
            inbox.close().await;
        }
        for session in registry.sessions() {
            tunnels.spawn(async move { session.goodbye(reason, text, GOODBYE).await });
        }
        tunnels.shutdown(GOODBYE + Duration::from_secs(1)).await;
        keepers.shutdown(GOODBYE).await;
        Ok(ended)
    }
}

/// Where webhook events are kept. An edge whose inbox is of no use serves all the same, and acknowledges nothing that
/// it cannot hand on.
async fn open_inbox(
    state: &std::path::Path,
    settings: inbox::Settings,
    machine: &Machine,
) -> Option<(Inbox, Delivery)> {
    let opened = async {
        let seal = match &machine.inbox_keys {
            Some(keys) => Seal::of(keys.as_ref()).await?,
            None => match FileStore::open(state) {
                Ok(keys) => Seal::of(&keys).await?,
                Err(error) => return Err(inbox::OpenError::Folder(error)),
            },
        };
        Inbox::open(&state.join(&settings.file), seal, settings.bounds, Arc::new(SystemClock))
    };
    match opened.await {
        Ok(inbox) => {
            if let Some(vault) = &machine.vault {
                take_from(vault.as_ref(), &inbox).await;
            }
            Some((inbox, settings.delivery))
        }
        Err(error) => {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            tracing::error!(%error, cause, "events are not kept while nobody is connected");
            machine.notices.post(format!("the edge keeps no events while you are away: {error}"));
            None
        }
    }
}

/// Takes in what machines before have left. It is removed before anything is delivered, so that no third machine
/// finds it once more.
async fn take_from(vault: &dyn Vault, inbox: &Inbox) {
    let names = match vault.list().await {
        Ok(names) => names,
        Err(error) => {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            return tracing::error!(%error, cause, "events of the machine before may be left there until the next one");
        }
    };
    for name in names.iter().take(TAKEN_MAX) {
        take_one(vault, name, inbox).await;
    }
}

async fn take_one(vault: &dyn Vault, name: &str, inbox: &Inbox) {
    let snapshot = match vault.load(name).await {
        Ok(Some(snapshot)) => snapshot,
        Ok(None) => return,
        Err(error) => {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            return tracing::error!(%error, cause, "the events of the machine before are left to the next one");
        }
    };
    match inbox.import(&snapshot).await {
        Ok(count) => {
            tracing::info!(count, "took in the events of the machine before");
            if let Err(error) = vault.remove(name).await {
                tracing::error!(%error, "they may be delivered once more by the next machine");
            }
        }
        Err(error) => {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            tracing::error!(%error, cause, "the events of the machine before are of no use, and stay where they are");
        }
    }
}

/// Leaves what is kept to the next machine.
async fn leave_in(vault: &dyn Vault, inbox: &Inbox) {
    let left = match inbox.export().await {
        Ok(None) => Ok(()),
        Ok(Some(snapshot)) => {
            tracing::info!(bytes = snapshot.len(), "leaving the inbox to the next machine");
            vault.save(snapshot).await
        }
        Err(error) => return tracing::error!(%error, "the inbox cannot be left to the next machine"),
    };
    if let Err(error) = left {
        let cause = std::error::Error::source(&error).map(ToString::to_string);
        tracing::error!(%error, cause, "the inbox cannot be left to the next machine");
    }
}

/// Lets the idle timer know of events that wait, until `stop`.
async fn count_waiting(inbox: Inbox, activity: Activity, stop: CancellationToken) {
    let mut changed = inbox.changed();
    loop {
        changed.mark_unchanged();
        activity.set_waiting(inbox.waiting());
        tokio::select! {
            changed = changed.changed() => if changed.is_err() { return },
            () = stop.cancelled() => return,
        }
    }
}

/// Tells of an order for a certificate that is kept up, as long as it is.
async fn certificate_troubles(
    mut status: watch::Receiver<Status>,
    troubles: Troubles,
    stop: CancellationToken,
) {
    const PART: &str = "certificate";
    loop {
        match &*status.borrow_and_update() {
            Status::Waiting { why, .. } => troubles.set(PART, format!("no new certificate: {why}")),
            _ => troubles.clear(PART),
        }
        tokio::select! {
            () = stop.cancelled() => return,
            changed = status.changed() => if changed.is_err() { return },
        }
    }
}

/// A number by which this edge knows a request that comes round again.
fn mark() -> u64 {
    let mut number = [0; 8];
    // Without randomness no TLS session would come about, and so no request.
    let _ = aws_lc_rs::rand::fill(&mut number);
    u64::from_be_bytes(number)
}

/// The way out of this machine. It serves without one, and verifies what needs none.
fn outside() -> Option<Outside> {
    Outside::new().inspect_err(|error| tracing::debug!(%error, "providers of webhooks cannot be called")).ok()
}

fn bind_all(addresses: &[SocketAddr]) -> Result<Vec<TcpListener>, BindError> {
    let bind = |&address| listen::bind(address).map_err(|source| BindError::Listen { address, source });
    addresses.iter().map(bind).collect()
}

fn routes_of(hosts: &[crate::config::Host]) -> Vec<(Arc<Route>, Vec<String>)> {
    let route = |host: &crate::config::Host| {
        let route = Route::new(host.name.clone(), host.access.clone()).with_policies(host.policies.clone());
        (Arc::new(route), host.aliases.clone())
    };
    hosts.iter().map(route).collect()
}
