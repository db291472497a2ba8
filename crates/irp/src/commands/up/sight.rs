//! What is seen of a machine while its tunnel does not stand, and what it means.

use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

use irp_launch::ending::Ending;
use tokio::{sync::watch, time::sleep};

use crate::{
    clock,
    cloud::{
        account::Account,
        launch::wait::{self, Seen},
    },
    error::{Failure, Kind},
};

/// How long the port of a machine that boots may stay closed before other ways are tried as well: it is open within half
/// a minute, as a rule.
const OPENS_WITHIN: Duration = Duration::from_secs(60);

/// How long the edge of a machine may take to answer before it is told that something may be wrong.
const SILENT_AFTER: Duration = Duration::from_secs(300);

/// How often the machine is looked at while the tunnel does not stand.
const WATCH_EVERY: Duration = Duration::from_secs(5);

/// How long a machine that says goodbye may take until AWS tells why, and how often AWS is asked.
const ENDS_WITHIN: Duration = Duration::from_secs(120);
const ENDS_EVERY: Duration = Duration::from_secs(2);

/// What is seen of a machine while its tunnel does not stand.
#[derive(Debug)]
pub(super) enum Sight {
    Gone(Ending),
    /// It has another address now.
    Moved(IpAddr),
    /// Its port should be open by now.
    Closed,
    /// Its edge has never answered.
    Silent,
}

/// What is looked at.
pub(super) struct Watched<'a> {
    pub(super) account: &'a Account,
    /// `i-…`.
    pub(super) id: &'a str,
    /// Where it is dialled.
    pub(super) address: Option<IpAddr>,
    /// Whether nothing but its port is tried, since that may open any moment.
    pub(super) is_booting: bool,
}

impl Watched<'_> {
    /// Looks at the machine while the tunnel does not stand, until there is something to tell.
    pub(super) async fn sight(&self, mut standing: watch::Receiver<Option<Vec<String>>>) -> Sight {
        let began = Instant::now();
        let mut stood = false;
        loop {
            stood |= standing.borrow_and_update().is_some();
            if standing.borrow().is_some() {
                // Whoever held the tunnel is gone with the sender.
                if standing.changed().await.is_err() {
                    return std::future::pending().await;
                }
                continue;
            }
            tokio::select! {
                _ = standing.changed() => continue,
                () = sleep(WATCH_EVERY) => {}
            }
            match wait::look(self.account, self.id).await {
                Ok(Seen::Gone(ending)) => return Sight::Gone(ending),
                Ok(Seen::Alive(machine)) => match wait::address(&machine) {
                    Some(now) if Some(now) != self.address => return Sight::Moved(now),
                    _ if !stood && self.is_booting && began.elapsed() > OPENS_WITHIN => return Sight::Closed,
                    _ if !stood && began.elapsed() > SILENT_AFTER => return Sight::Silent,
                    _ => {}
                },
                // This PC may be offline itself: the client tells that.
                Err(error) => tracing::debug!(%error, "the machine cannot be looked at"),
            }
        }
    }
}

/// Why a machine that has said goodbye ends; `None` when AWS does not tell in time.
pub(super) async fn ending(account: &Account, id: &str) -> Result<Option<Ending>, Failure> {
    let began = Instant::now();
    while began.elapsed() < ENDS_WITHIN {
        if let Ok(Seen::Gone(ending)) = wait::look(account, id).await {
            return Ok(Some(ending));
        }
        sleep(ENDS_EVERY).await;
    }
    Ok(None)
}

/// Why there is no machine any more, for the person.
pub(super) fn lost(id: &str, ending: &Ending) -> Failure {
    let again = "irp up   launches another";
    match ending {
        Ending::Asked => Failure::new(Kind::Network, format!("somebody has ended {id}")).hint(again),
        Ending::PoweredOff => Failure::new(
            Kind::Network,
            format!("{id} has powered off: nobody was connected for long, or its life was over"),
        )
        .hint(again),
        Ending::Lost(why) => Failure::new(Kind::Cloud, format!("AWS has taken {id} away: {why}")).hint(again),
        Ending::Unusable(why) => Failure::new(Kind::Cloud, format!("{id} could not start: {why}"))
            .hint("irp doctor   looks for the reason; the key of an encrypted disk may be one (--kms-key)"),
        Ending::Forgotten => {
            Failure::new(Kind::Network, format!("{id} is gone, and AWS does not tell why")).hint(again)
        }
    }
}

/// An edge that never answered, with what its machine wrote to its console.
pub(super) async fn silent(account: &Account, id: &str) -> Failure {
    let failure = Failure::new(
        Kind::Network,
        format!("the edge of {id} has not answered in {}", clock::words(SILENT_AFTER)),
    );
    let console = account.aws.ec2().console_output(id).await.map(|output| output.text).unwrap_or_default();
    let lines: Vec<_> = console.lines().filter(|line| line.contains("irp")).collect();
    let last = lines.len().saturating_sub(CONSOLE_LINES);
    lines[last..]
        .iter()
        .fold(failure, |failure, line| failure.cause(line.trim()))
        .hint("irp doctor   tries its port, and looks at its role")
        .hint(format!("aws ec2 get-console-output --latest --instance-id {id}   shows what it did"))
        .hint("irp up   again waits on; the machine ends itself when nobody connects")
}

/// So many lines of a console are shown.
const CONSOLE_LINES: usize = 5;
