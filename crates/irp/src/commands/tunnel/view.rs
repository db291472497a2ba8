//! The events of a client, as lines for the person and as objects for programs.

use std::time::{Duration, Instant, UNIX_EPOCH};

use irp_client::{EdgeCertificate, Event, Finished};
use irp_wire::policy::Webhook;
use serde_json::json;

use super::Screen;
use crate::{
    clock,
    ui::{Exchange, Step, Ui},
};

/// What is on the screen.
#[derive(Debug)]
pub(super) struct View {
    ui: Ui,
    screen: Screen,
    connecting: Option<Step>,
    lost_at: Option<Instant>,
    last_failure: String,
    last_detour: String,
    leaving: bool,
    certificate: Option<EdgeCertificate>,
}

/// A day in seconds.
const DAY_S: u64 = 86_400;

impl View {
    /// Nothing yet.
    pub(super) fn new(ui: Ui, screen: Screen) -> Self {
        Self {
            ui,
            screen,
            connecting: None,
            lost_at: None,
            last_failure: String::new(),
            last_detour: String::new(),
            leaving: false,
            certificate: None,
        }
    }

    /// The person wants to leave.
    pub(super) fn leave(&mut self) {
        self.leaving = true;
        self.connecting = None;
        self.ui.event("stopping", &json!({}));
        self.ui.gap();
        self.ui.line("leaving: requests under way may finish; Ctrl-C again quits at once");
    }

    /// The client is made to leave, and not by the person.
    pub(super) fn stop(&mut self) {
        self.leaving = true;
        self.connecting = None;
    }

    /// The client has given up; the failure follows.
    pub(super) fn fail(&mut self) {
        if let Some(step) = self.connecting.take() {
            step.failed();
        }
    }

    /// Shows one event.
    pub(super) fn show(&mut self, event: Event) {
        match event {
            // It was asked for.
            Event::Lost { .. } | Event::Failed { .. } | Event::OtherWay { .. } | Event::Renewing { .. }
                if self.leaving => {}
            Event::Connecting { attempt, address } => self.connecting(attempt, &address),
            Event::KnownEdgeAdded { host, fingerprint } => {
                self.ui.event("known_edge_added", &json!({ "host": host, "fingerprint": fingerprint }));
                // With a hint to show, the edge is our own.
                if self.screen.hint.is_none() {
                    self.ui.line(&format!("{host} is new here; its identity is {fingerprint}"));
                }
            }
            Event::Connected { urls, via, rtt, first, idle_after, edge_agent, certificate, .. } => {
                self.certificate(certificate.as_ref());
                self.connected(&urls, &via, rtt, idle_after, &edge_agent);
                if first {
                    self.introduce(&urls, idle_after);
                }
            }
            Event::Lost { why, retry_in } => {
                self.ui.event("lost", &json!({ "why": why, "retry_in_ms": millis(retry_in) }));
                self.lost_at.get_or_insert_with(Instant::now);
                self.screen.standing.send_replace(None);
                self.ui.warning_line(&format!("tunnel lost: {why}; connecting again"));
            }
            Event::Failed { why, retry_in } => self.failed("failed", &why, retry_in),
            Event::OtherWay { why, next } => self.other_way(&why, &next),
            Event::Refused { why, retry_in } => self.failed("refused", &why, retry_in),
            Event::Renewing { why } => {
                self.ui.event("renewing", &json!({ "why": why }));
                self.ui.line(&format!("{why}: connecting again"));
            }
            Event::Exchange(finished) => self.ui.exchange(&exchange(&finished)),
            Event::AnsweredAtEdge { host, method, path, status, took, reason } => {
                let word = if reason.contains('✗') { "stopped" } else { "answered" };
                let remark = Some(format!("{reason} ({word} at the edge)"));
                let ms = millis(took);
                self.ui.exchange(&Exchange { host, method, path, status: Some(status), ms, remark });
            }
            Event::Skipped { count } => self.ui.lost(count),
            Event::IdleEnds { after } => {
                self.ui.event("idle", &json!({ "ends_after_s": after.map(|after| after.as_secs()) }));
            }
            Event::Inbox { waiting, failed, delivered } => {
                let counts = json!({ "waiting": waiting, "failed": failed, "delivered": delivered });
                self.ui.event("inbox", &counts);
                self.ui.line(&inbox_line(waiting, failed, delivered));
            }
            Event::Notice { text } => {
                self.ui.event("notice", &json!({ "text": text }));
                self.ui.line(&text);
            }
            Event::Leaving { in_flight } => {
                self.ui.event("leaving", &json!({ "in_flight": in_flight }));
                if in_flight > 0 {
                    self.ui.line(&format!("requests under way: {in_flight}"));
                }
            }
            _ => {}
        }
    }

    fn connecting(&mut self, attempt: u32, address: &str) {
        self.ui.event("connecting", &json!({ "attempt": attempt, "address": address }));
        if self.connecting.is_none() && !self.leaving {
            self.connecting = Some(self.ui.step("tunnel", &format!("connecting to {address}")));
        }
    }

    /// What the edge presents to everybody. Told again only when it has changed.
    fn certificate(&mut self, presented: Option<&EdgeCertificate>) {
        let Some(presented) = presented.filter(|it| self.certificate.as_ref() != Some(*it)) else { return };
        let left = presented.not_after.duration_since(clock::now()).unwrap_or_default();
        let days = left.as_secs() / DAY_S;
        self.ui.event(
            "certificate",
            &json!({
                "issuer": presented.issuer,
                "not_after": presented.not_after.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs(),
                "days_left": days,
            }),
        );
        if self.screen.tells_certificate {
            let left = match days {
                0 => clock::words(left),
                1 => "1 day".to_owned(),
                days => format!("{days} days"),
            };
            self.ui.step("certificate", "").done(&format!("{}, {left} left", presented.issuer));
        }
        self.certificate = Some(presented.clone());
    }

    fn connected(
        &mut self,
        urls: &[String],
        via: &str,
        rtt: Option<Duration>,
        idle_after: Option<Duration>,
        agent: &str,
    ) {
        self.ui.event(
            "connected",
            &json!({
                "urls": urls,
                "via": via,
                "rtt_us": rtt.map(|rtt| u64::try_from(rtt.as_micros()).unwrap_or(u64::MAX)),
                "idle_after_s": idle_after.map(|after| after.as_secs()),
                "edge": agent,
            }),
        );
        self.last_failure.clear();
        self.last_detour.clear();
        self.screen.standing.send_replace(Some(urls.to_vec()));
        // A tunnel that is made anew beside the old one was not announced.
        let step = self.connecting.take().unwrap_or_else(|| self.ui.step("tunnel", ""));
        let rtt = match rtt {
            None => String::new(),
            Some(rtt) if rtt < Duration::from_millis(1) => ", under 1 ms".into(),
            Some(rtt) => format!(", {}", clock::words(rtt)),
        };
        let away = self.lost_at.take();
        let back = away.map_or(String::new(), |at| format!(", back after {}", clock::words(at.elapsed())));
        let launched = self.screen.launched.take().map_or(String::new(), |at| {
            format!("   {} after the launch", clock::words(Duration::from_secs(at.elapsed().as_secs())))
        });
        step.done(&format!("{via}{rtt}{back}{launched}"));
    }

    /// What people need to know of a tunnel that stands for the first time.
    fn introduce(&self, urls: &[String], idle_after: Option<Duration>) {
        for url in urls {
            self.ui.url(url, &self.screen.upstream);
        }
        if let Some(hint) = &self.screen.hint {
            self.ui.line(hint);
        }
        let price = self.screen.price.as_ref().map(|price| format!("{price} · ")).unwrap_or_default();
        let subject = if price.is_empty() { "the edge ends" } else { "ends" };
        let ends = idle_after.map_or(String::new(), |after| {
            format!("{subject} {} after you disconnect · ", clock::words(after))
        });
        self.ui.line(&format!("{price}{ends}{} to disconnect", self.screen.leaving));
        self.ui.gap();
    }

    /// A way that leads nowhere, told once for each reason.
    fn other_way(&mut self, why: &str, next: &str) {
        self.ui.event("other_way", &json!({ "why": why, "next": next }));
        if self.last_detour != why {
            why.clone_into(&mut self.last_detour);
            self.ui.warning_line(&format!("{why}; trying {next}"));
        }
    }

    /// An attempt that failed: told once for each reason, not once for each attempt.
    fn failed(&mut self, event: &str, why: &str, retry_in: Duration) {
        self.ui.event(event, &json!({ "why": why, "retry_in_ms": millis(retry_in) }));
        if self.last_failure != why {
            why.clone_into(&mut self.last_failure);
            self.ui.warning_line(&format!("not connected: {why}; trying again"));
        }
    }
}

fn exchange(finished: &Finished) -> Exchange {
    let remark = match (finished.status, finished.failed, finished.upgrade, finished.whole) {
        (None, ..) => Some("the visitor left before the answer"),
        (_, true, ..) => Some("the upstream gave no answer"),
        (_, _, true, _) => Some("upgraded, now over"),
        (_, _, _, false) => Some("the answer was cut"),
        _ => None,
    };
    let webhook = finished.webhook.as_ref().map(|webhook| remark_of(webhook, finished.took));
    let remark = match (webhook, remark) {
        (Some(webhook), Some(remark)) => Some(format!("{webhook}   {remark}")),
        (webhook, remark) => webhook.or(remark.map(Into::into)),
    };
    Exchange {
        host: finished.host.clone(),
        method: finished.method.to_string(),
        path: finished.path.clone(),
        status: finished.status.map(|status| status.as_u16()),
        ms: millis(finished.took),
        remark,
    }
}

/// How many events wait on the edge, and how many of them have come.
fn inbox_line(waiting: u64, failed: u64, delivered: u64) -> String {
    let mut line = format!("kept events: {waiting} wait, {delivered} delivered");
    if failed > 0 {
        line += &format!(", {failed} failed and moved aside: irp inbox ls");
    }
    line
}

/// The share of the provider's time, in percent, from which an answer is called late.
const LATE: u128 = 80;

/// What the edge found out about a webhook, and how much of the provider's time its answer took.
fn remark_of(webhook: &Webhook, took: Duration) -> String {
    let mut words = vec![webhook.provider.clone()];
    match &webhook.failure {
        None => words.push("✓".into()),
        Some(failure) => words.push(format!("✗ {failure} (passed on)")),
    }
    words.extend(webhook.kind.clone());
    if let Some(retry) = webhook.retry {
        words.push(if webhook.provider == "slack" {
            format!("· retry {retry} of {SLACK_RETRIES}")
        } else {
            format!("· retry {retry}")
        });
    }
    if webhook.repeated {
        words.push("· seen before".into());
    }
    if let Some(seconds) = webhook.kept_s {
        words.push(format!("· kept for {}", clock::words(Duration::from_secs(seconds))));
        return words.join(" ");
    }
    let deadline = Duration::from_millis(webhook.deadline_ms.into());
    words.push(format!("· {:.1} s of {:.1} s", took.as_secs_f32(), deadline.as_secs_f32()));
    if took.as_millis() * 100 > deadline.as_millis() * LATE {
        words.push("! nearly too late for the provider".into());
    }
    words.join(" ")
}

/// How often Slack tries an event again.
const SLACK_RETRIES: u32 = 3;

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_webhook_is_told_with_its_kind_its_retry_and_its_time() {
        let mut webhook = Webhook {
            provider: "slack".into(),
            failure: None,
            kind: Some("event_callback app_mention".into()),
            retry: Some(2),
            repeated: false,
            deadline_ms: 3000,
            kept_s: None,
        };
        assert_eq!(
            remark_of(&webhook, Duration::from_millis(2100)),
            "slack ✓ event_callback app_mention · retry 2 of 3 · 2.1 s of 3.0 s"
        );
        assert!(
            remark_of(&webhook, Duration::from_millis(2500)).ends_with("! nearly too late for the provider")
        );
        webhook.repeated = true;
        assert!(remark_of(&webhook, Duration::ZERO).contains("retry 2 of 3 · seen before · 0.0 s"));
        webhook.repeated = false;
        webhook =
            Webhook { failure: Some("signature does not match".into()), kind: None, retry: None, ..webhook };
        assert_eq!(
            remark_of(&webhook, Duration::ZERO),
            "slack ✗ signature does not match (passed on) · 0.0 s of 3.0 s"
        );
        webhook = Webhook { failure: None, deadline_ms: 0, kept_s: Some(2500), ..webhook };
        assert_eq!(remark_of(&webhook, Duration::ZERO), "slack ✓ · kept for 41 min 40 s");
    }
}
