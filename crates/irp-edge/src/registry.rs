//! The registry: which names exist, who holds them, and the routes that requests follow.
//!
//! Requests read only the table of routes, without a lock. Claims change under one lock, which is never
//! held across an await. A name has a route from the start if the configuration names it, else from its
//! first claim; the route stays when its tunnel goes, so that a request can be held until it is back.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use arc_swap::ArcSwap;
use irp_wire::{
    hello::{Refusal, RefusalCode, SessionId},
    key::PublicKey,
    name::Hostname,
};

use crate::{
    http::{
        access::Access,
        route::{Route, Routes},
    },
    keys::{Grant, Keys},
    tunnels::{Tunnel, native::Session, pool::Forward},
};

/// How many names beyond the configured ones may have a route, against a key that is granted a star and
/// claims without end.
const CLAIMED_NAMES_MAX: usize = 4096;

/// The names of an edge and their holders.
#[derive(Debug)]
pub struct Registry {
    keys: ArcSwap<Keys>,
    routes: ArcSwap<HashMap<Box<str>, Arc<Route>>>,
    holders: Mutex<Holders>,
}

#[derive(Debug, Default)]
struct Holders {
    names: HashMap<Hostname, Holder>,
    sessions: HashMap<SessionId, Arc<Session>>,
}

#[derive(Debug, Default)]
struct Holder {
    session: Option<Arc<Session>>,
    forward: Option<Arc<Forward>>,
}

impl Holder {
    /// A client of ours goes before a plain forward: it tells more and can do more.
    fn tunnel(&self) -> Option<Tunnel> {
        let session = self.session.clone().map(Tunnel::Native);
        session.or_else(|| self.forward.clone().map(Tunnel::Forward))
    }
}

impl Registry {
    /// A registry with the configured `routes`; each is reached by its own name, and by the texts beside it
    /// (such as `localhost` and `127.0.0.1` of a local edge).
    #[must_use]
    pub fn new(keys: Keys, routes: impl IntoIterator<Item = (Arc<Route>, Vec<String>)>) -> Self {
        let mut table: HashMap<Box<str>, Arc<Route>> = HashMap::new();
        for (route, aliases) in routes {
            for alias in aliases {
                table.insert(alias.into(), Arc::clone(&route));
            }
            table.insert(route.host().as_str().into(), route);
        }
        Self {
            keys: ArcSwap::from_pointee(keys),
            routes: ArcSwap::from_pointee(table),
            holders: Mutex::default(),
        }
    }

    /// The keys that this edge knows.
    #[must_use]
    pub fn keys(&self) -> Arc<Keys> {
        self.keys.load_full()
    }

    /// Knows one more key until this edge ends; see [`enrolment`](crate::enrolment).
    pub(crate) fn enrol(&self, grant: Grant) {
        let _holders = self.lock();
        let mut keys = Keys::clone(&self.keys.load());
        keys.enrol(grant);
        self.keys.store(Arc::new(keys));
    }

    /// Knows these keys instead, and takes the names of all sessions that may not hold them any more. They come
    /// back with the sentence for the person; the caller says goodbye to them.
    pub fn replace_keys(&self, keys: Keys) -> Vec<(Arc<Session>, Refusal)> {
        let mut holders = self.lock();
        let keys = keys.with_enrolled_of(&self.keys.load());
        for name in keys.exact_names() {
            self.publish(&holders, &name);
        }
        let judge = |session: &Arc<Session>| {
            let refusal = keys.check(session.key(), session.names()).err()?;
            Some((Arc::clone(session), refusal))
        };
        let revoked: Vec<_> = holders.sessions.values().filter_map(judge).collect();
        self.keys.store(Arc::new(keys));
        for (session, _) in &revoked {
            self.remove(&mut holders, session, &[]);
        }
        revoked
    }

    /// The session of this number, while it lives.
    #[must_use]
    pub fn session(&self, id: &SessionId) -> Option<Arc<Session>> {
        self.lock().sessions.get(id).cloned()
    }

    /// The session that holds `name` now.
    #[must_use]
    pub fn session_of(&self, name: &Hostname) -> Option<Arc<Session>> {
        self.lock().names.get(name).and_then(|holder| holder.session.clone())
    }

    /// Whether an `ssh -R` holds `name` now.
    #[must_use]
    pub fn has_forward(&self, name: &Hostname) -> bool {
        self.lock().names.get(name).is_some_and(|holder| holder.forward.is_some())
    }

    /// All sessions that live now.
    #[must_use]
    pub fn sessions(&self) -> Vec<Arc<Session>> {
        self.lock().sessions.values().cloned().collect()
    }

    /// Whether `key` may hold `names` now.
    ///
    /// # Errors
    ///
    /// When the key may not claim a name, or another key holds it.
    pub fn check(&self, key: &PublicKey, names: &[Hostname]) -> Result<(), Refusal> {
        self.keys.load().check(key, names)?;
        self.check_free(&self.lock(), key, names)
    }

    fn check_free(&self, holders: &Holders, key: &PublicKey, names: &[Hostname]) -> Result<(), Refusal> {
        for name in names {
            let holder = holders.names.get(name).and_then(|holder| holder.session.as_ref());
            if let Some(session) = holder.filter(|session| session.key() != key) {
                let who = self.keys.load().describe(session.key());
                let text = format!("{name} is in use by {who}");
                return Err(Refusal::new(RefusalCode::NameTaken, text));
            }
        }
        let new = names.iter().filter(|name| !self.routes.load().contains_key(name.as_str())).count();
        if holders.names.len() + new > CLAIMED_NAMES_MAX + self.keys.load().grants().len() {
            return Err(Refusal::new(RefusalCode::Busy, "this edge has no room for more names"));
        }
        Ok(())
    }

    /// Gives `session` all its names at once, and returns the sessions of the same key that held some of
    /// them before. They keep nothing: a session that loses one name is over.
    ///
    /// # Errors
    ///
    /// As [`Self::check`]; nothing has changed then.
    pub fn claim(&self, session: &Arc<Session>) -> Result<Vec<Arc<Session>>, Refusal> {
        let mut holders = self.lock();
        // The keys may have changed since the hello.
        self.keys.load().check(session.key(), session.names())?;
        self.check_free(&holders, session.key(), session.names())?;
        let mut displaced: Vec<Arc<Session>> = Vec::new();
        for name in session.names() {
            let old = holders.names.get(name).and_then(|holder| holder.session.clone());
            if let Some(old) = old.filter(|old| !displaced.iter().any(|known| known.id() == old.id())) {
                displaced.push(old);
            }
        }
        for old in &displaced {
            self.remove(&mut holders, old, session.names());
        }
        holders.sessions.insert(*session.id(), Arc::clone(session));
        for name in session.names() {
            holders.names.entry(name.clone()).or_default().session = Some(Arc::clone(session));
            self.publish(&holders, name);
        }
        Ok(displaced)
    }

    /// Takes its names from `session`; those that another session has taken over stay with that one.
    pub fn release(&self, session: &Session) {
        self.remove(&mut self.lock(), session, &[]);
    }

    /// Removes `session`; the routes of `soon` are left as they are, since their new holder is at hand and
    /// no request must see the gap.
    fn remove(&self, holders: &mut Holders, session: &Session, soon: &[Hostname]) {
        holders.sessions.remove(session.id());
        for name in session.names() {
            let Some(holder) = holders.names.get_mut(name) else { continue };
            if holder.session.as_ref().is_some_and(|holding| holding.id() == session.id()) {
                holder.session = None;
                if !soon.contains(name) {
                    self.publish(holders, name);
                }
            }
        }
    }

    /// Sets or clears what an `ssh -R` holds under `name`.
    pub fn set_forward(&self, name: &Hostname, forward: Option<Arc<Forward>>) {
        let mut holders = self.lock();
        holders.names.entry(name.clone()).or_default().forward = forward;
        self.publish(&holders, name);
    }

    /// The names that are granted as they stand: they have a route before their first claim.
    #[must_use]
    pub fn granted_names(&self) -> Vec<Hostname> {
        self.keys.load().exact_names().collect()
    }

    /// Makes sure that `name` has a route.
    pub fn know(&self, name: &Hostname) {
        if !self.routes.load().contains_key(name.as_str()) {
            self.publish(&self.lock(), name);
        }
    }

    /// Brings the route of `name` in line with its holder, and makes the route if there is none yet.
    fn publish(&self, holders: &Holders, name: &Hostname) {
        let holder = holders.names.get(name);
        let tunnel = holder.and_then(Holder::tunnel);
        let session = holder.and_then(|holder| holder.session.as_ref());
        // Policies first, so that no request finds the tunnel without them.
        let bring = |route: &Route| {
            if let Some(session) = session {
                route.set_client_policies(session.policies());
            }
            set(route, tunnel);
        };
        if let Some(route) = self.routes.load().get(name.as_str()) {
            return bring(route);
        }
        let route = Arc::new(Route::new(name.clone(), Access::default()));
        bring(&route);
        self.routes.rcu(|routes| {
            let mut routes = HashMap::clone(routes);
            routes.insert(name.as_str().into(), Arc::clone(&route));
            routes
        });
    }

    fn lock(&self) -> MutexGuard<'_, Holders> {
        self.holders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Routes change only under the lock of the holders, so what is there now is what `set` put there before.
fn set(route: &Route, tunnel: Option<Tunnel>) {
    match (tunnel, route.tunnel()) {
        (Some(tunnel), _) => route.set(tunnel),
        (None, Some(gone)) => {
            route.clear(&gone);
        }
        (None, None) => {}
    }
}

impl Routes for Registry {
    fn route(&self, host: &str) -> Option<Arc<Route>> {
        self.routes.load().get(host).cloned()
    }
}
