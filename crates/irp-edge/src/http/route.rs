//! Routes: the names that the edge serves, each with the tunnel that holds it now, if one does.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use arc_swap::ArcSwapOption;
use irp_wire::name::Hostname;
use tokio::sync::Notify;

use super::{access::Access, webhook::Policies};
use crate::tunnels::Tunnel;

/// Finds the route of a host name; the registry of tunnels implements it.
pub trait Routes: Send + Sync + 'static {
    /// The route of `host`, which is in lower case, without port and without final dot; `None` where this
    /// name is not served here. Called for every request: it must not wait.
    fn route(&self, host: &str) -> Option<Arc<Route>>;
}

/// One name: who may reach it, and the tunnel behind it.
#[derive(Debug)]
pub struct Route {
    host: Hostname,
    access: Access,
    /// The edge's own policies; a client's come in addition.
    own_policies: Option<Policies>,
    client_policies: ArcSwapOption<Policies>,
    /// Both together.
    policies: ArcSwapOption<Policies>,
    tunnel: ArcSwapOption<Tunnel>,
    arrival: Notify,
    in_flight: AtomicUsize,
}

/// One request in flight for a name; dropping it ends the count.
#[derive(Debug)]
pub(super) struct Place(Arc<Route>);

impl Route {
    /// A route without a tunnel.
    #[must_use]
    pub fn new(host: Hostname, access: Access) -> Self {
        Self {
            host,
            access,
            own_policies: None,
            client_policies: ArcSwapOption::empty(),
            policies: ArcSwapOption::empty(),
            tunnel: ArcSwapOption::empty(),
            arrival: Notify::new(),
            in_flight: AtomicUsize::new(0),
        }
    }

    /// With policies of the edge's own.
    #[must_use]
    pub fn with_policies(self, policies: Option<Policies>) -> Self {
        self.policies.store(policies.clone().map(Arc::new));
        Self { own_policies: policies, ..self }
    }

    /// The policies, if there are any.
    #[must_use]
    pub fn policies(&self) -> Option<Arc<Policies>> {
        let policies = self.policies.load();
        policies.as_ref().map(Arc::clone)
    }

    /// Whether `judged` are the policies of now.
    pub(super) fn has_policies(&self, judged: Option<&Arc<Policies>>) -> bool {
        match (self.policies.load().as_ref(), judged) {
            (Some(now), Some(judged)) => Arc::ptr_eq(now, judged),
            (now, judged) => now.is_none() && judged.is_none(),
        }
    }

    /// Puts a client's policies beside the edge's own, in place of those of a client before. They stay when the
    /// client goes: handshakes are answered without it, and what comes meanwhile is verified all the same.
    ///
    /// The same again changes nothing, so that a reconnect forgets no replays and waiting requests go on.
    pub fn set_client_policies(&self, policies: Option<&Arc<Policies>>) {
        let before = self.client_policies.load();
        let is_same = match (before.as_ref(), policies) {
            (Some(before), Some(policies)) => before.is_as_told(policies),
            (None, None) => true,
            _ => false,
        };
        if is_same {
            return;
        }
        self.client_policies.store(policies.cloned());
        let all = match (&self.own_policies, policies) {
            (Some(own), Some(clients)) => Some(Arc::new(own.and(clients))),
            (Some(own), None) => Some(Arc::new(own.clone())),
            (None, clients) => clients.cloned(),
        };
        self.policies.store(all);
    }

    /// The name.
    #[must_use]
    pub fn host(&self) -> &Hostname {
        &self.host
    }

    /// Who may reach it.
    #[must_use]
    pub fn access(&self) -> &Access {
        &self.access
    }

    /// Requests in flight for this name now, upgraded connections included.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// The tunnel, if one is there. Never waits.
    #[must_use]
    pub fn tunnel(&self) -> Option<Tunnel> {
        self.tunnel.load().as_deref().cloned()
    }

    /// Waits until a tunnel is there.
    pub async fn arrived(&self) -> Tunnel {
        self.other_than(None).await
    }

    /// Waits until a tunnel is there that is not `this` one.
    pub async fn other_than(&self, this: Option<&Tunnel>) -> Tunnel {
        loop {
            let arrival = self.arrival.notified();
            tokio::pin!(arrival);
            // Listening begins before the look, or an arrival between the two would be missed.
            arrival.as_mut().enable();
            if let Some(tunnel) = self.tunnel().filter(|tunnel| this.is_none_or(|this| !this.is(tunnel))) {
                return tunnel;
            }
            arrival.await;
        }
    }

    /// Puts `tunnel` behind this name, in place of any other, and lets held requests go.
    pub fn set(&self, tunnel: Tunnel) {
        self.tunnel.store(Some(Arc::new(tunnel)));
        self.arrival.notify_waiters();
    }

    /// Takes `this` tunnel away, unless another has taken the name over. Says whether it did.
    pub fn clear(&self, this: &Tunnel) -> bool {
        let current = self.tunnel.load();
        if !current.as_deref().is_some_and(|tunnel| tunnel.is(this)) {
            return false;
        }
        let before = self.tunnel.compare_and_swap(&*current, None);
        match (before.as_ref(), current.as_ref()) {
            (Some(before), Some(current)) => Arc::ptr_eq(before, current),
            _ => false,
        }
    }

    /// Counts one more request, or refuses where `limit` are in flight.
    pub(super) fn enter(self: Arc<Self>, limit: usize) -> Result<Place, Arc<Self>> {
        let add = |count: usize| (count < limit).then_some(count + 1);
        match self.in_flight.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add) {
            Ok(_) => Ok(Place(self)),
            Err(_) => Err(self),
        }
    }
}

impl Place {
    pub(super) fn route(&self) -> &Arc<Route> {
        &self.0
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}
