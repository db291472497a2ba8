//! How the edge is, for a client that only wants to know: no session, no claim, nothing that keeps the machine alive.

use irp_wire::{
    hello::{Applicant, HelloError, Refusal, RefusalCode, refuse},
    report::{Idle, Report, Tunnel},
};

use super::accept::{AGENT, Door, Guest, within};
use crate::idle::Countdown;

impl Door {
    /// Answers a client that asks, if its key may hold the names that it asks about. Who holds them now does not matter.
    pub(super) async fn show(&self, mut guest: Box<Guest>, applicant: &Applicant) -> Result<(), HelloError> {
        if let Err(refusal) = self.registry.keys().check(&applicant.key, &applicant.request.names) {
            let peer = guest.peer;
            tracing::info!(%peer, reason = refusal.message, "refused to tell how this edge is");
            return within(refuse(&mut guest.stream, told(refusal))).await;
        }
        within(Applicant::tell(&mut guest.stream, self.report(applicant))).await
    }

    fn report(&self, applicant: &Applicant) -> Report {
        let keys = self.registry.keys();
        let mut tunnels = Vec::new();
        for name in &applicant.request.names {
            if let Some(session) = self.registry.session_of(name) {
                let holder = keys.describe(session.key());
                tunnels.push(Tunnel { name: name.to_string(), way: "irp".into(), holder });
            }
            if self.registry.has_forward(name) {
                tunnels.push(Tunnel { name: name.to_string(), way: "ssh".into(), holder: String::new() });
            }
        }
        Report {
            agent: AGENT.to_owned(),
            up_s: self.started.elapsed().as_secs(),
            sessions: self.activity.seen().sessions,
            tunnels,
            idle: match *self.countdown.borrow() {
                Countdown::Never => Idle::Never,
                Countdown::Held(after) => Idle::Held { after_s: after.as_secs() },
                Countdown::Running(left) => Idle::Running { left_s: left.as_secs() },
                Countdown::Ending => Idle::Ending,
            },
            parked: self.inbox.as_ref().map(|inbox| inbox.waiting()),
            parked_outlive: self.has_vault,
            notices: self.notices.texts(),
            troubles: self.troubles.list(),
        }
    }
}

/// The names of a key are nobody else's business, and a key that may be pushed is let in when it connects.
fn told(refusal: Refusal) -> Refusal {
    match refusal.code {
        RefusalCode::UnknownKey => Refusal::new(refusal.code, "this edge does not know your key (yet)"),
        _ => refusal,
    }
}
