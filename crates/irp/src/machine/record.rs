//! The address records of this machine: there while it runs, gone with it.
//!
//! - At start, and whenever the metadata service tells of another address (an Elastic IP that was attached), A and AAAA
//!   of all names are pointed here, whatever they held: the machine that came last is the one that is meant.
//! - Now and then they are looked at. What is missing is written again; what is somebody else's by now is left alone,
//!   since two machines that both insist would send visitors to and fro for ever.
//! - A restart of the service leaves them. The end of the machine removes those that still hold our address.
//! - AWS out of reach is no reason to stop serving: it is tried again, for ever.
//! - What the metadata service announces is read all the while, however long Route 53 takes: spot leaves two minutes.

use std::{
    net::{Ipv4Addr, Ipv6Addr},
    sync::Arc,
    time::Duration,
};

use aws_lc_rs::rand;
use futures_util::future::BoxFuture;
use irp_aws::{Imds, imds::ImdsError, route53::ChangeId};
use irp_edge::{notices::Notices, power::Presence, troubles::Troubles};
use irp_wire::name::Hostname;
use tokio::{
    sync::Mutex,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::zone::{Zone, ZoneError};

/// How often the metadata service is asked: spot gives notice two minutes ahead and wants to be asked every 5 s.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// The records themselves are looked at with every so-manieth look. Route 53 allows five calls a second to the whole
/// account.
const CHECK_EVERY: u32 = 60;

/// The first wait after a failure, at most; it doubles up to the last.
const FIRST_RETRY: Duration = Duration::from_secs(2);
const LAST_RETRY: Duration = Duration::from_secs(120);

/// How long a change may take until all name servers have it; AWS says that 60 s are the rule. Then it counts as a trouble.
const SETTLES_WITHIN: Duration = Duration::from_secs(300);

/// How long taking the records away may take once AWS takes the machine: the better part of the two minutes' notice.
const TAKEN_WITHIN: Duration = Duration::from_secs(90);

/// The part of the edge that this is, in its list of troubles.
const PART: &str = "records";

/// Keeps the records of one edge. Clones are the same keeper.
#[derive(Clone, Debug)]
pub(crate) struct RecordKeeper {
    imds: Imds,
    /// Without a zone only the notices of the machine are read.
    zone: Option<Arc<Zone>>,
    names: Arc<[Hostname]>,
    ttl: u32,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    /// What the records are to hold; `None` before the first look.
    held: Option<Addresses>,
    /// What they may still hold from before that, until all of them were written.
    former: Addresses,
    /// Whether all of them were written.
    is_done: bool,
    /// The changes that not all name servers may know yet.
    unsettled: Vec<ChangeId>,
    /// When the last of them was made.
    changed: Option<Instant>,
    /// Whether they were taken away and are to stay away.
    is_withdrawn: bool,
}

/// The public addresses of this machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Addresses {
    four: Option<Ipv4Addr>,
    six: Option<Ipv6Addr>,
}

impl Addresses {
    /// Both types of records, with the value where there is one.
    fn records(self) -> [(&'static str, Option<String>); 2] {
        [("A", self.four.map(|it| it.to_string())), ("AAAA", self.six.map(|it| it.to_string()))]
    }

    fn is_none(self) -> bool {
        self == Self::default()
    }
}

impl State {
    /// From now on the records are to hold `now`; what they hold until that is done is not forgotten.
    fn turn_to(&mut self, now: Addresses) {
        self.is_done = false;
        if self.held == Some(now) {
            return;
        }
        if let Some(held) = self.held.replace(now).filter(|held| !held.is_none()) {
            self.former = held;
        }
    }
}

impl RecordKeeper {
    pub(crate) fn new(imds: Imds, zone: Option<Arc<Zone>>, names: Vec<Hostname>, ttl: u32) -> Self {
        Self { imds, zone, names: names.into(), ttl, state: Arc::default() }
    }

    /// Runs until `stop`; what clients should know goes to `notices`, what does not work at the moment to `troubles`. When
    /// AWS takes the machine away, `ends_soon` is cancelled.
    pub(crate) async fn run(
        self,
        notices: Notices,
        troubles: Troubles,
        ends_soon: CancellationToken,
        stop: CancellationToken,
    ) {
        tokio::select! {
            () = self.keep(notices, troubles, ends_soon) => {}
            () = stop.cancelled() => {}
        }
    }

    async fn keep(&self, notices: Notices, troubles: Troubles, ends_soon: CancellationToken) {
        tokio::select! {
            () = self.until_taken(&notices, &ends_soon) => {}
            () = self.keep_records(&troubles) => {}
        }
        // Nothing brings the records back.
        std::future::pending().await
    }

    /// Passes on what AWS announces, until it takes the machine away: then the records go at once.
    async fn until_taken(&self, notices: &Notices, ends_soon: &CancellationToken) {
        let mut told = Told::default();
        while !self.read_notices(&mut told, notices).await {
            sleep(LOOK_EVERY).await;
        }
        ends_soon.cancel();
        if timeout(TAKEN_WITHIN, self.remove()).await.is_err() {
            tracing::error!("taking the records away takes too long");
        }
    }

    async fn keep_records(&self, troubles: &Troubles) {
        let (mut looks, mut retry) = (0_u32, FIRST_RETRY);
        loop {
            match self.look(looks.is_multiple_of(CHECK_EVERY)).await {
                Ok(()) => {
                    troubles.clear(PART);
                    retry = FIRST_RETRY;
                    looks = looks.wrapping_add(1);
                    sleep(LOOK_EVERY).await;
                }
                Err(error) => {
                    let cause = std::error::Error::source(&error).map(ToString::to_string);
                    let pause = jittered(retry);
                    tracing::warn!(%error, cause, ?pause, "the records cannot be kept, trying again");
                    troubles.set(PART, error.in_short());
                    sleep(pause).await;
                    retry = (retry * 2).min(LAST_RETRY);
                }
            }
        }
    }

    /// Asks for the addresses, and points the records at them where that was not done; else asks whether all name servers
    /// know, and if `check` says so, looks at the records.
    async fn look(&self, check: bool) -> Result<(), RecordError> {
        let Some(zone) = &self.zone else { return Ok(()) };
        let now = Addresses { four: self.imds.public_ipv4().await?, six: self.imds.ipv6().await? };
        // The lock is held while changes are made, so that none of them comes after a withdrawal.
        let mut state = self.state.lock().await;
        if state.is_withdrawn {
            return Ok(());
        }
        if !state.is_done || state.held != Some(now) {
            state.turn_to(now);
            return self.point(zone, now, &mut state).await;
        }
        if check {
            self.check(zone, now).await?;
        }
        let unsettled = state.unsettled.clone();
        drop(state);
        self.settle(zone, unsettled).await
    }

    /// Writes all records. What keeps one of them up keeps up those behind it, until the next look.
    async fn point(&self, zone: &Zone, now: Addresses, state: &mut State) -> Result<(), RecordError> {
        for name in self.names.iter() {
            for ((kind, address), (_, former)) in now.records().into_iter().zip(state.former.records()) {
                let name = name.as_str();
                match (address, former) {
                    (Some(address), _) => {
                        let change = zone.point(name, kind, self.ttl, &address).await?;
                        state.unsettled.extend(change);
                    }
                    // A machine without an address registers nothing, but does not stay where it no longer is.
                    (None, Some(former)) if now.is_none() => {
                        zone.withdraw(name, kind, &former).await?;
                    }
                    (None, None) if now.is_none() => {}
                    // What a machine before this one has left would send half of the visitors to nobody.
                    (None, _) => zone.clear(name, kind).await?,
                }
            }
        }
        (state.is_done, state.former, state.changed) = (true, Addresses::default(), Some(Instant::now()));
        let names: Vec<&str> = self.names.iter().map(Hostname::as_str).collect();
        match (now.four, now.six) {
            (None, None) => tracing::warn!("this machine has no public address: there is no record of it"),
            (four, six) => tracing::info!(?names, ?four, ?six, "the records point here"),
        }
        Ok(())
    }

    /// Asks whether all name servers know of these changes. Whoever waited for the answer here would miss another address,
    /// such as an Elastic IP that is attached right after the launch.
    async fn settle(&self, zone: &Zone, unsettled: Vec<ChangeId>) -> Result<(), RecordError> {
        for change in unsettled {
            if !zone.is_settled(&change).await? {
                let changed = self.state.lock().await.changed;
                let is_late = changed.is_some_and(|changed| changed.elapsed() > SETTLES_WITHIN);
                return if is_late { Err(RecordError::Unsettled) } else { Ok(()) };
            }
            let mut state = self.state.lock().await;
            state.unsettled.retain(|waiting| *waiting != change);
            if state.unsettled.is_empty() {
                tracing::info!("all name servers know the records");
            }
        }
        Ok(())
    }

    /// Writes what is missing, and leaves what others have taken.
    async fn check(&self, zone: &Zone, now: Addresses) -> Result<(), RecordError> {
        for name in self.names.iter().map(Hostname::as_str) {
            for (kind, address) in now.records() {
                let Some(address) = address else { continue };
                match zone.values(name, kind).await?.as_deref() {
                    Some([value]) if *value == address => {}
                    Some(_) => tracing::warn!(name, kind, "somebody else has taken the record"),
                    None => {
                        tracing::warn!(name, kind, "the record was missing");
                        zone.point(name, kind, self.ttl, &address).await?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Removes the records that still hold our address.
    async fn remove(&self) {
        let Some(zone) = &self.zone else { return };
        let mut state = self.state.lock().await;
        state.is_withdrawn = true;
        let held = match state.held {
            Some(held) => held,
            // Nothing was done by this process yet, but perhaps by the one before it.
            None => Addresses {
                four: self.imds.public_ipv4().await.ok().flatten(),
                six: self.imds.ipv6().await.ok().flatten(),
            },
        };
        let ours = [held.records(), state.former.records()].concat();
        for name in self.names.iter().map(Hostname::as_str) {
            for (kind, address) in &ours {
                let Some(address) = address else { continue };
                match zone.withdraw(name, kind, address).await {
                    Ok(true) => tracing::info!(name, kind, "the record is removed"),
                    Ok(false) => tracing::info!(name, kind, "the record is not ours any more"),
                    Err(error) => tracing::error!(%error, name, kind, "the record cannot be removed"),
                }
            }
        }
    }

    /// Passes on what AWS announces, once each; whether the machine is being taken away.
    async fn read_notices(&self, told: &mut Told, notices: &Notices) -> bool {
        // Who does not answer is asked again with the next look.
        if let Ok(Some(action)) = self.imds.instance_action().await {
            tracing::warn!(action.action, action.time, "AWS takes this spot machine away");
            let text = format!("AWS takes this spot machine away ({}) at {}", action.action, action.time);
            notices.post(text);
            return true;
        }
        if !told.rebalance
            && let Ok(Some(time)) = self.imds.rebalance_recommendation().await
        {
            told.rebalance = true;
            tracing::warn!(time, "AWS recommends to leave this spot machine");
            let text = "AWS may soon take this spot machine away (rebalance recommendation)";
            notices.post(text);
        }
        false
    }
}

impl Presence for RecordKeeper {
    fn withdraw(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.remove())
    }

    fn restore(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            let mut state = self.state.lock().await;
            // The next look, within seconds, points them here again.
            (state.is_withdrawn, state.is_done) = (false, false);
        })
    }
}

/// Between half of `longest` and all of it: machines that lost AWS together do not come back together.
fn jittered(longest: Duration) -> Duration {
    let mut number = [0; 2];
    // Without randomness the jitter is lost, nothing else.
    let _ = rand::fill(&mut number);
    longest.mul_f64(0.5 + f64::from(u16::from_be_bytes(number)) / f64::from(u16::MAX) / 2.0)
}

/// What was passed on already.
#[derive(Default)]
struct Told {
    rebalance: bool,
}

impl RecordError {
    /// What does not work and why, for a person at the other end of the world.
    fn in_short(&self) -> String {
        let cause = std::error::Error::source(self).map(ToString::to_string);
        let what = match self {
            Self::Metadata(_) => "the machine's metadata are not answered",
            Self::Zone(ZoneError::Call(error)) if error.kind() == irp_aws::Kind::Network => "AWS unreachable",
            Self::Zone(_) => "the record cannot be kept",
            Self::Unsettled => "not all name servers know the record after five minutes",
        };
        match cause {
            Some(why) => format!("{what}, retrying: {why}"),
            None => format!("{what}, asking again"),
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum RecordError {
    #[error("the addresses of this machine are unknown")]
    Metadata(#[from] ImdsError),
    #[error("the records are not written")]
    Zone(#[from] ZoneError),
    #[error("the records are written, and not all name servers know them after {} s", SETTLES_WITHIN.as_secs())]
    Unsettled,
}
