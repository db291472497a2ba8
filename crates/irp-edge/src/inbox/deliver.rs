//! Delivery: what waits goes to its upstream when a tunnel is there, in order for each name and path, one at a time.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use aws_lc_rs::rand;
use http::{HeaderMap, HeaderValue, Request, Uri, header};
use irp_webhook::Request as Signable;
use irp_wire::{
    policy::{PARKED_AT, WEBHOOK, Webhook},
    tasks::Tasks,
};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use tokio::{
    sync::Notify,
    time::{MissedTickBehavior, interval, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{Event, Inbox, Queue};
use crate::{
    http::{
        Route,
        body::{RequestBody, Whole},
        parking::Verdict,
    },
    registry::Registry,
    tunnels::{SendError, Tunnel},
};

/// How many queues are served at once.
const QUEUES_MAX: usize = 64;
/// How often events that are too old are looked for.
const EXPIRE_EVERY: Duration = Duration::from_secs(60);
/// The longest pause after an attempt that failed.
const LAST_RETRY: Duration = Duration::from_secs(60);
/// The longest pause while nobody takes connections behind the tunnel: a program may be back at any time.
const LAST_LOOK: Duration = Duration::from_secs(2);
/// How soon an event is read again from a disk that failed.
const READ_AGAIN: Duration = Duration::from_secs(2);

/// How events are delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Whether events get a fresh signature and timestamp, where the provider's scheme lets us make them.
    pub resign: bool,
    /// The pause after the first attempt that failed; it doubles with each further one, up to a minute.
    pub retry: Duration,
    /// How long the upstream may take for the head of its answer.
    pub answer_within: Duration,
}

impl Default for Delivery {
    fn default() -> Self {
        Self {
            resign: true,
            retry: Duration::from_secs(1),
            answer_within: crate::http::limits::RESPONSE_HEAD,
        }
    }
}

/// Delivers what is in an inbox.
#[derive(Clone, Debug)]
pub(crate) struct Deliverer {
    inbox: Inbox,
    registry: Arc<Registry>,
    delivery: Delivery,
    /// The owner of the task of each queue.
    tasks: Tasks,
    /// Queues that have a task.
    served: Arc<Mutex<HashSet<Queue>>>,
    /// A task has ended.
    ended: Arc<Notify>,
}

impl Deliverer {
    pub(crate) fn new(inbox: Inbox, registry: Arc<Registry>, delivery: Delivery, tasks: Tasks) -> Self {
        Self { inbox, registry, delivery, tasks, served: Arc::default(), ended: Arc::default() }
    }

    /// Delivers until `stop`.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let mut changed = self.inbox.changed();
        let mut old = interval(EXPIRE_EVERY);
        old.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            changed.mark_unchanged();
            for queue in self.inbox.queues() {
                let mut served = self.served();
                if served.len() < QUEUES_MAX && served.insert(queue.clone()) {
                    let (this, stop) = (self.clone(), stop.clone());
                    self.tasks.spawn(async move {
                        this.serve(&queue, &stop).await;
                        this.served().remove(&queue);
                        this.ended.notify_one();
                    });
                }
            }
            tokio::select! {
                _ = changed.changed() => {}
                () = self.ended.notified() => {}
                _ = old.tick() => {
                    let count = self.inbox.expire().await;
                    if count > 0 {
                        tracing::warn!(count, "events were too old and are gone undelivered");
                    }
                }
                () = stop.cancelled() => return,
            }
        }
    }

    /// Delivers the events of one queue until none is left, or until `stop`; an attempt under way is not cut.
    async fn serve(&self, queue: &Queue, stop: &CancellationToken) {
        // A route that nobody has claimed yet has to be there, for its tunnel to be waited for.
        self.registry.know(&queue.host);
        let Some(route) = crate::http::Routes::route(self.registry.as_ref(), queue.host.as_str()) else {
            let _ = stop.run_until_cancelled(sleep(LAST_LOOK)).await;
            return;
        };
        let mut changed = self.inbox.changed();
        let mut looks = 0_u32;
        let mut last: Option<Tunnel> = None;
        while self.inbox.has_backlog(&queue.host, &queue.path) && !stop.is_cancelled() {
            changed.mark_unchanged();
            let Some((number, entry)) = self.inbox.next(queue) else {
                // It is on its way to the disk, or the request's own attempt goes on.
                let _ = stop.run_until_cancelled(changed.changed()).await;
                continue;
            };
            let Some(tunnel) = stop.run_until_cancelled(route.arrived()).await else { return };
            let pause = match looks {
                0 => self.pause(entry.attempts),
                looks => (self.delivery.retry * (1 << looks.min(10))).min(LAST_LOOK),
            };
            // A tunnel that has just come is asked at once: perhaps everything is different now.
            let is_new = last.as_ref().is_none_or(|last| !last.is(&tunnel));
            if !pause.is_zero() && !is_new {
                tokio::select! {
                    () = sleep(pause) => {}
                    _ = route.other_than(Some(&tunnel)) => {}
                    () = stop.cancelled() => return,
                }
                if !route.tunnel().is_some_and(|now| now.is(&tunnel)) {
                    continue;
                }
            }
            last = Some(tunnel.clone());
            let event = match self.inbox.read(number).await {
                Ok(Some(event)) => event,
                Ok(None) => continue,
                Err(error) => {
                    tracing::error!(%error, number, "an event of the inbox cannot be read");
                    let _ = stop.run_until_cancelled(sleep(READ_AGAIN)).await;
                    continue;
                }
            };
            looks = match self.attempt(&route, &tunnel, event).await {
                Verdict::Delivered => {
                    self.inbox.delivered(number).await;
                    0
                }
                Verdict::Failed(why) => {
                    let state = self.inbox.attempt_failed(number, true).await;
                    match state {
                        Some((attempts, true)) => tracing::warn!(
                            number,
                            attempts,
                            why,
                            "an event failed again and again, and is moved aside: irp inbox ls {}",
                            queue.host
                        ),
                        _ => tracing::info!(number, why, "the delivery of an event failed, trying again"),
                    }
                    0
                }
                Verdict::Away(why) => {
                    tracing::debug!(number, why, "nobody takes an event");
                    looks + 1
                }
            };
        }
    }

    /// The pause before an attempt, after so many that failed: some part of it is chance.
    fn pause(&self, attempts: u32) -> Duration {
        let Some(doubled) = attempts.checked_sub(1) else { return Duration::ZERO };
        let whole = self.delivery.retry.saturating_mul(1 << doubled.min(10)).min(LAST_RETRY);
        let mut chance = [0; 1];
        let _ = rand::fill(&mut chance);
        whole.mul_f64(0.75 + f64::from(chance[0]) / 1024.0)
    }

    async fn attempt(&self, route: &Route, tunnel: &Tunnel, event: Event) -> Verdict {
        let Some(request) = self.request(route, event) else {
            return Verdict::Failed("it is no request any more".into());
        };
        match timeout(self.delivery.answer_within, tunnel.send(request)).await {
            Ok(Ok(response)) => Verdict::of(response).await,
            Ok(Err(unsent)) => match unsent.why {
                SendError::Unsuited(_) => Verdict::Failed(unsent.why.to_string()),
                // The laptop may have gone to sleep in the midst of it: no fault of the event.
                why => Verdict::Away(why.to_string()),
            },
            Err(_) => Verdict::Failed("there was no answer in time".into()),
        }
    }

    /// The request of a delivery.
    fn request(&self, route: &Route, event: Event) -> Option<Box<Request<RequestBody>>> {
        let Event { head, mut headers, body } = event;
        let now = SystemTime::UNIX_EPOCH + Duration::from_millis(self.inbox.now());
        let mut target: Uri = head.target.parse().ok()?;
        let mut whole = body;
        let rule = route.policies().and_then(|policies| policies.rule_of(&head.provider, head.path()));
        if let Some(rule) = rule.filter(|_| self.delivery.resign) {
            let signable = Signable { method: "POST", url: &head.url, headers: &headers, body: &whole };
            // Without the provider's own key its signature stays, old as it is.
            if let Ok(signed) = rule.verifier().sign_again(&signable, now, head.key) {
                for (name, value) in signed.headers {
                    headers.insert(name, value);
                }
                if signed.url != head.url {
                    target = target_of(&signed.url)?;
                }
                whole = signed.body.into();
            }
        }
        mark(&mut headers, head.parked_at, self.inbox.now());
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(whole.len()));
        let body =
            if whole.is_empty() { RequestBody::Empty } else { RequestBody::Whole(Whole::new(whole, None)) };
        let mut request = Request::new(body);
        *request.method_mut() = http::Method::POST;
        *request.uri_mut() = target;
        *request.headers_mut() = headers;
        Some(Box::new(request))
    }

    fn served(&self) -> MutexGuard<'_, HashSet<Queue>> {
        self.served.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Path and query of a URL.
fn target_of(url: &str) -> Option<Uri> {
    let url: Uri = url.parse().ok()?;
    url.path_and_query()?.as_str().parse().ok()
}

/// Tells the upstream since when the event was kept, and the client for how long.
fn mark(headers: &mut HeaderMap, parked_at: u64, now: u64) {
    let since = OffsetDateTime::UNIX_EPOCH + Duration::from_millis(parked_at / 1000 * 1000);
    let text = since.format(&Rfc3339).ok().and_then(|text| HeaderValue::try_from(text).ok());
    if let Some(text) = text {
        headers.insert(PARKED_AT, text);
    }
    let webhook = headers.get(WEBHOOK).and_then(Webhook::from_header).and_then(|webhook| {
        let kept_s = Some(now.saturating_sub(parked_at) / 1000);
        Webhook { retry: None, deadline_ms: 0, kept_s, ..webhook }.to_header()
    });
    match webhook {
        Some(webhook) => headers.insert(WEBHOOK, webhook),
        None => headers.remove(WEBHOOK),
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_upstream_hears_since_when_an_event_was_kept() {
        let mut headers = HeaderMap::new();
        let webhook = Webhook {
            provider: "slack".into(),
            failure: None,
            kind: Some("event_callback".into()),
            retry: Some(1),
            repeated: false,
            deadline_ms: 3000,
            kept_s: None,
        };
        headers.insert(WEBHOOK, webhook.to_header().unwrap());
        mark(&mut headers, 1_700_000_000_999, 1_700_000_061_999);
        assert_eq!(headers[PARKED_AT], "2023-11-14T22:13:20Z");
        let told = Webhook::from_header(&headers[WEBHOOK]).unwrap();
        assert_eq!((told.kept_s, told.deadline_ms, told.retry), (Some(61), 0, None));
        assert_eq!(target_of("https://a.example:8443/x?y=%2F").unwrap(), "/x?y=%2F");
    }
}
