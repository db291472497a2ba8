//! A client at work, with its life on the screen: what `connect` and `up` have in common.

mod view;

use std::{convert::Infallible, process::ExitCode, time::Duration};

use irp_client::{DialError, EventSink, RunError};
use irp_wire::{
    hello::{HelloError, RefusalCode},
    tasks::Tasks,
};
use tokio::{
    sync::{oneshot, watch},
    time::{Instant, MissedTickBehavior, interval, sleep_until},
};
use tokio_util::sync::CancellationToken;

use self::view::View;
use crate::{
    cloud::ways::{self, Client},
    error::{Failure, Kind},
    signals::{QUIT_CODE, Signals},
    ui::Ui,
};

/// How often it is told that lines were left out.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// What happens within this time of the last look is shown together. To wake this thread for each request would
/// cost as much as the request.
const GATHER: Duration = Duration::from_millis(25);

/// How a client is made to leave.
#[derive(Debug)]
pub(super) struct Leave {
    /// Cancelled when the person wants to leave.
    pub(super) asked: CancellationToken,
    /// Cancelled when the client shall leave.
    pub(super) client: CancellationToken,
}

impl Leave {
    /// The client leaves at once.
    pub(super) fn at_once() -> Self {
        let asked = CancellationToken::new();
        Self { client: asked.clone(), asked }
    }

    /// Somebody else stops an edge when `asked` is cancelled, and cancels `client` afterwards.
    pub(super) fn after_edge() -> Self {
        Self { asked: CancellationToken::new(), client: CancellationToken::new() }
    }
}

/// What is on the screen beside the traffic.
#[derive(Debug)]
pub(super) struct Screen {
    /// How the upstream is called.
    pub(super) upstream: String,
    /// Something to type, shown below the URL.
    pub(super) hint: Option<String>,
    /// What the edge's machine costs, such as `about $0.010/h`.
    pub(super) price: Option<String>,
    /// When the machine was ordered, where that was just now.
    pub(super) launched: Option<std::time::Instant>,
    /// Whether what the edge presents is of interest: not where it was made a moment ago, for this.
    pub(super) tells_certificate: bool,
    /// What to do to leave.
    pub(super) leaving: String,
    /// Told whether the tunnel stands, and the URLs of one that does.
    pub(super) standing: watch::Sender<Option<Vec<String>>>,
}

impl Screen {
    /// One without machine.
    pub(super) fn new(upstream: &str, hint: Option<&str>) -> Self {
        Self {
            upstream: upstream.to_owned(),
            hint: hint.map(str::to_owned),
            price: None,
            launched: None,
            tells_certificate: false,
            leaving: "Ctrl-C".to_owned(),
            standing: watch::Sender::new(None),
        }
    }
}

/// Why a client is no more.
#[derive(Debug)]
pub(super) enum Ended<W> {
    /// It was asked to leave, and has finished what it had.
    Left,
    /// It was asked twice, and has finished nothing.
    Quit,
    /// Coming back is pointless.
    GaveUp(RunError),
    /// It broke down.
    Broken,
    /// What was watched meanwhile has happened.
    Watched(W),
}

/// Runs a client and shows what it does. The first signal makes it leave, the second ends this at once.
///
/// # Errors
///
/// When coming back is pointless.
pub(super) async fn hold_on(
    client: impl Into<Client>,
    screen: Screen,
    leave: Leave,
    signals: &mut Signals,
    ui: &Ui,
) -> Result<ExitCode, Failure> {
    let client = client.into();
    let public_key = client.public_key();
    concluded(keep(client, screen, leave, signals, ui, std::future::pending()).await, &public_key)
}

/// What the end of a client that nobody watched means for the process.
///
/// # Errors
///
/// When coming back was pointless.
pub(super) fn concluded(ended: Ended<Infallible>, public_key: &str) -> Result<ExitCode, Failure> {
    match ended {
        Ended::Left => Ok(ExitCode::SUCCESS),
        Ended::Quit => Ok(QUIT_CODE.into()),
        Ended::GaveUp(error) => Err(explain(&error, public_key)),
        Ended::Broken => Err(broken()),
        Ended::Watched(never) => match never {},
    }
}

/// Runs a client until `watched` happens, if that is first: the client then leaves.
pub(super) async fn keep<W>(
    client: impl Into<Client>,
    screen: Screen,
    leave: Leave,
    signals: &mut Signals,
    ui: &Ui,
    watched: impl Future<Output = W>,
) -> Ended<W> {
    let (sink, mut events) = EventSink::channel();
    let sink = sink.at_most(ui.live_lines_per_second());
    let (tell_end, mut end) = oneshot::channel();
    // A task of its own: this one waits for the terminal, which may be stopped.
    let tasks = Tasks::new();
    let (events_of, shutdown) = (sink.clone(), leave.client.clone());
    match client.into() {
        Client::Native(config) => {
            let running = irp_client::run(*config, events_of, shutdown);
            tasks.spawn(async move { tell_end.send(Box::pin(running).await) });
        }
        Client::Ssh(config) => {
            let running = irp_client::ssh::run(*config, events_of, shutdown);
            tasks.spawn(async move { tell_end.send(Box::pin(running).await) });
        }
    }

    let mut view = View::new(ui.clone(), screen);
    let mut told_dropped = 0;
    let mut tick = interval(TELL_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut gathered = Vec::new();
    let mut next_look = Instant::now();
    let mut watched = std::pin::pin!(watched);
    let mut happened = None;
    let ended = loop {
        let look = async {
            sleep_until(next_look).await;
            events.recv_many(&mut gathered, usize::MAX).await
        };
        tokio::select! {
            biased;
            () = signals.next() => {
                if leave.asked.is_cancelled() {
                    return Ended::Quit;
                }
                view.leave();
                leave.asked.cancel();
            }
            ended = &mut end => break ended,
            what = &mut watched, if happened.is_none() && !leave.asked.is_cancelled() => {
                happened = Some(what);
                view.stop();
                leave.client.cancel();
            }
            _ = look => {
                gathered.drain(..).for_each(|event| view.show(event));
                next_look = Instant::now() + GATHER;
            }
            _ = tick.tick() => {
                let dropped = sink.dropped();
                if dropped > told_dropped {
                    ui.lost(dropped - told_dropped);
                    told_dropped = dropped;
                }
                ui.left_out();
            }
        }
    };
    while let Ok(event) = events.try_recv() {
        view.show(event);
    }
    match (happened, ended) {
        (Some(what), _) => Ended::Watched(what),
        (None, Ok(Ok(()))) => Ended::Left,
        (None, Ok(Err(error))) => {
            view.fail();
            Ended::GaveUp(error)
        }
        (None, Err(_)) => Ended::Broken,
    }
}

/// A fault of irp itself.
pub(super) fn broken() -> Failure {
    Failure::new(Kind::Internal, "the client broke down").hint("the log has more: -vv")
}

/// The person's words for why the client gave up.
pub(super) fn explain(error: &RunError, public_key: &str) -> Failure {
    let with = |kind| Failure::new(kind, error.to_string());
    match error {
        RunError::TakenOver(_) => with(Kind::TakenOver)
            .hint("this irp does not come back by itself, so that the two never fight over the name"),
        RunError::Revoked(_) => with(Kind::Refused).hint("ask whoever keeps the edge's configuration"),
        RunError::MachineEnds(_) => with(Kind::Network).hint("start the edge again, then connect"),
        RunError::Refused(refusal) => {
            let failure = with(Kind::Refused);
            match refusal.code {
                RefusalCode::UnknownKey => failure
                    .hint("whoever keeps the edge adds your key to its configuration:")
                    .hint(format!("[[key]] public = \"{public_key}\"")),
                RefusalCode::NameNotAllowed => {
                    failure.hint("the names of your [[key]] in the edge's configuration decide")
                }
                _ => failure,
            }
        }
        RunError::Connect { source, .. } => {
            let kind = match source.as_ref() {
                DialError::Hello(HelloError::Sign(_)) => Kind::Config,
                DialError::Carrier(error) => ways::kind(error),
                _ => Kind::Network,
            };
            let failure = with(kind).because(source.as_ref());
            match source.as_ref() {
                DialError::Carrier(error) => error.hints().iter().fold(failure, Failure::hint),
                _ => failure,
            }
        }
        RunError::Roots(source) => with(Kind::Config).because(source),
    }
}

#[cfg(test)]
mod tests {
    use irp_wire::hello::Refusal;

    use super::*;

    #[test]
    fn each_end_has_its_kind_and_a_hint() {
        let taken = explain(&RunError::TakenOver("from 192.0.2.7".into()), "");
        assert_eq!((taken.kind(), taken.hints().len()), (Kind::TakenOver, 1));
        let refusal = Refusal::new(RefusalCode::UnknownKey, "this key is not known here");
        let refused = explain(&RunError::Refused(refusal), "ssh-ed25519 AAAA");
        assert_eq!(refused.kind(), Kind::Refused);
        assert_eq!(refused.message(), "the edge refuses: this key is not known here");
        assert!(refused.hints()[1].contains("ssh-ed25519 AAAA"));
    }
}
