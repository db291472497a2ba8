//! Uploads on the HTTP/2 connection that wait until they are wanted.
//!
//! On a lane the client's 100 says so. hyper's HTTP/2 sends none, so such a request bears a number
//! ([`CONTINUE`]), and the client sends that number back in a control message. A client that does not know this
//! costs such an upload the patience of [`Wanted`], no more.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use http::Request;
use irp_wire::headers::CONTINUE;

use crate::http::{body::RequestBody, expect::Wanted};

/// The uploads of one session that wait now; at most one for each stream.
#[derive(Debug, Default)]
pub(super) struct Asking {
    last: AtomicU64,
    waiting: Mutex<HashMap<u64, Arc<Wanted>>>,
}

impl Asking {
    /// Gives `request` a number where its body waits. The answer is to be kept until the request has one.
    pub(super) fn enter(&self, request: &mut Request<RequestBody>) -> Option<Entry<'_>> {
        let wanted = Arc::clone(request.body().waits_for()?);
        let number = self.last.fetch_add(1, Ordering::Relaxed);
        self.lock().insert(number, wanted);
        request.headers_mut().insert(CONTINUE, number.into());
        Some(Entry { asking: self, number })
    }

    /// The client takes the body of the request with this number.
    pub(super) fn wanted(&self, number: u64) {
        if let Some(wanted) = self.lock().remove(&number) {
            wanted.say();
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Arc<Wanted>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One upload among those that wait, for as long as this lives.
#[derive(Debug)]
pub(super) struct Entry<'a> {
    asking: &'a Asking,
    number: u64,
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        self.asking.lock().remove(&self.number);
    }
}
