//! The life of a tunnel of ssh: log in, forward, log in again.

use std::{io, path::PathBuf, process::Stdio, sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use irp_wire::causes::in_full;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader},
    process::{Child, ChildStderr, Command},
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    Entrance, PROGRAM, PrivateFolder,
    words::{self, Heard},
};
use crate::{
    DialError, Event, EventSink, RunError, Upstream, apart,
    backoff::{Backoff, Fault, random},
    life::pause,
    pipe::CarrierError,
    weather::{Change, Weather},
};

/// How long an [`Entrance`] may take: it makes calls to AWS, which repeat what is throttled.
const OPEN_TIMEOUT: Duration = Duration::from_secs(45);

/// How long ssh may take from its start to the forward.
const STAND_TIMEOUT: Duration = Duration::from_secs(60);

/// How long ssh's last words may take to arrive, once it has ended.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// How long a killed ssh may take to be gone.
const GONE_WITHIN: Duration = Duration::from_secs(5);

/// So many of its lines are kept, each of so many bytes.
const LINES_MAX: usize = 8;
const LINE_MAX: u64 = 4096;

/// Everything that [`run`] needs.
#[derive(Clone, Debug)]
pub struct SshConfig {
    /// The public URLs, for the screen.
    pub urls: Vec<String>,
    /// What serves them on the machine, for the screen.
    pub agent: String,
    /// The way in.
    pub entrance: Arc<dyn Entrance>,
    /// Ways that are tried where that one leads nowhere, in this order.
    pub others: Vec<Arc<dyn Entrance>>,
    /// The port of the machine's loopback at which the forward comes out.
    pub forward_port: u16,
    /// Where requests go: HTTP on a host and port.
    pub upstream: Upstream,
    /// Below it the private folder of this run is made.
    pub folder: PathBuf,
}

/// Keeps a tunnel of ssh until `shutdown` is cancelled, or another attempt is pointless.
///
/// Its events are those of [`crate::run`]; requests are not among them, since ssh carries them unseen.
///
/// # Errors
///
/// [`RunError::Connect`] for what a person must mend.
pub fn run(
    config: SshConfig,
    events: EventSink,
    shutdown: CancellationToken,
) -> BoxFuture<'static, Result<(), RunError>> {
    Box::pin(hold(config, events, shutdown))
}

async fn hold(config: SshConfig, events: EventSink, shutdown: CancellationToken) -> Result<(), RunError> {
    let way = config.entrance.way();
    let failed = |error: CarrierError| RunError::Connect {
        address: way.clone(),
        source: Box::new(DialError::Carrier(error)),
    };
    let Some((host, port)) = config.upstream.forwardable() else {
        let message = format!("ssh forwards to a port, and {} is more than that", config.upstream);
        return Err(failed(CarrierError::lasting(message).hint("give a port, such as 3000, or HOST:PORT")));
    };
    let forward = format!("{}:{host}:{port}", config.forward_port);
    let folder = PrivateFolder::create(&config.folder)
        .map_err(|error| failed(CarrierError::lasting("there is no room for a key").because(error)))?;
    let (mut backoff, mut weather) = (Backoff::default(), Weather::new());
    let mut connected_before = false;
    loop {
        let mut attempts = 1..;
        let mut running = loop {
            let attempt = attempts.next().unwrap_or(u32::MAX);
            events.tell(Event::Connecting { attempt, address: way.clone() });
            let attempted = tokio::select! {
                biased;
                () = shutdown.cancelled() => return Ok(()),
                attempted = try_all(&config, &folder, &forward, &events) => attempted,
            };
            let error = match attempted {
                Ok(running) => break running,
                Err(error) => error,
            };
            if error.is_lasting() && !connected_before {
                return Err(failed(error));
            }
            let retry_in = backoff.after_failure(Fault::Peer, random());
            events.tell(Event::Failed { why: in_full(&error), retry_in });
            tokio::select! {
                () = shutdown.cancelled() => return Ok(()),
                () = pause(retry_in, &mut weather, None, &events) => {}
            }
        };
        events.tell(Event::Connected {
            urls: config.urls.clone(),
            via: running.way.clone(),
            rtt: None,
            lanes_max: 0,
            first: !connected_before,
            idle_after: None,
            edge_agent: config.agent.clone(),
            certificate: None,
        });
        connected_before = true;
        weather.look_towards(None);
        let since = Instant::now();
        let why = tokio::select! {
            biased;
            () = shutdown.cancelled() => {
                events.tell(Event::Leaving { in_flight: 0 });
                running.kill().await;
                return Ok(());
            }
            why = running.ended() => why,
            why = changed(&mut weather) => why.to_owned(),
        };
        running.kill().await;
        let retry_in = backoff.after_loss(since.elapsed(), random());
        events.tell(Event::Lost { why, retry_in });
        tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            () = pause(retry_in, &mut weather, None, &events) => {}
        }
    }
}

/// Waits until the link is not worth waiting for: ssh itself notices after a quarter of a minute.
async fn changed(weather: &mut Weather) -> &'static str {
    loop {
        match weather.changed(None).await {
            // Connections may have lived through it.
            Change::Back => {}
            change => return change.why(),
        }
    }
}

/// A forward that stands.
struct Running {
    child: Child,
    errors: BufReader<ChildStderr>,
    way: String,
}

/// Tries one way after the other.
async fn try_all(
    config: &SshConfig,
    folder: &PrivateFolder,
    forward: &str,
    events: &EventSink,
) -> Result<Running, CarrierError> {
    let mut entrance = &config.entrance;
    let mut passing = false;
    for next in &config.others {
        match log_in(entrance.as_ref(), folder, forward).await {
            Ok(running) => return Ok(running),
            Err(error) => {
                events.tell(Event::OtherWay { why: in_full(&error), next: next.way() });
                passing |= !error.is_lasting();
            }
        }
        entrance = next;
    }
    let last = log_in(entrance.as_ref(), folder, forward).await;
    // As long as one of them may be better in a moment, it is worth another attempt.
    last.map_err(|error| if passing { error.but_passing() } else { error })
}

async fn log_in(
    entrance: &dyn Entrance,
    folder: &PrivateFolder,
    forward: &str,
) -> Result<Running, CarrierError> {
    let way = entrance.way();
    let opened = timeout(OPEN_TIMEOUT, entrance.open(folder.path())).await;
    let login = opened.unwrap_or_else(|_| {
        Err(CarrierError::passing(format!("{way}: nothing within {} s", OPEN_TIMEOUT.as_secs())))
    })?;
    let extra = ["-v", "-N", "-T", "-o", "BatchMode=yes", "-o", "ExitOnForwardFailure=yes", "-R", forward];
    let arguments = login
        .arguments(folder.path(), &extra)
        .map_err(|error| CarrierError::lasting("the known hosts cannot be written").because(error))?;
    let mut command = Command::new(PROGRAM);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    // Signals of the terminal are for irp alone, and what is forgotten is killed.
    apart::set(&mut command);
    command.kill_on_drop(true);
    let mut child = command.spawn().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => {
            CarrierError::lasting("there is no ssh on this PC").hint("install OpenSSH")
        }
        _ => CarrierError::lasting("ssh cannot be started").because(error),
    })?;
    let Some(errors) = child.stderr.take() else { return Err(CarrierError::lasting("ssh has no stderr")) };
    let mut running = Running { child, errors: BufReader::new(errors), way: way.clone() };
    match timeout(STAND_TIMEOUT, running.stands()).await {
        Ok(Ok(())) => Ok(running),
        Ok(Err(error)) => Err(error),
        Err(_) => {
            running.kill().await;
            let seconds = STAND_TIMEOUT.as_secs();
            Err(CarrierError::passing(format!("{way}: there is no forward within {seconds} s")))
        }
    }
}

impl Running {
    /// Waits for the forward.
    async fn stands(&mut self) -> Result<(), CarrierError> {
        let mut said = Vec::new();
        if self.listen(&mut said).await { Ok(()) } else { Err(words::explain(&said, &self.way)) }
    }

    /// Waits for its end; says why it came.
    async fn ended(&mut self) -> String {
        let mut said = Vec::new();
        while self.listen(&mut said).await {}
        words::explain(&said, &self.way).to_string()
    }

    /// Listens until a forward stands, or ssh has ended: false.
    async fn listen(&mut self, said: &mut Vec<String>) -> bool {
        loop {
            let line = tokio::select! {
                biased;
                line = next_line(&mut self.errors) => line,
                // Whatever carries its bytes may hold its stderr open.
                _ = self.child.wait() => break,
            };
            match line.as_deref().map(words::heard) {
                Some(Heard::Forwards) => return true,
                Some(Heard::Said(line)) => keep(said, line),
                Some(Heard::Nothing) => {}
                None => break,
            }
        }
        let last_words = async {
            while let Some(line) = next_line(&mut self.errors).await {
                if let Heard::Said(line) = words::heard(&line) {
                    keep(said, line);
                }
            }
        };
        let _ = timeout(LAST_WORDS, last_words).await;
        let _ = self.child.wait().await;
        false
    }

    async fn kill(&mut self) {
        // It may have ended this very moment.
        let _ = self.child.start_kill();
        let _ = timeout(GONE_WITHIN, self.child.wait()).await;
    }
}

fn keep(said: &mut Vec<String>, line: String) {
    tracing::debug!(%line, "ssh says");
    if said.len() == LINES_MAX {
        said.remove(0);
    }
    said.push(line);
}

/// The next line of its stderr, or a piece of one that is too long. A read that is dropped loses a piece of a line at
/// most, and that only once ssh has ended.
async fn next_line(errors: &mut BufReader<ChildStderr>) -> Option<String> {
    let mut line = Vec::new();
    match errors.take(LINE_MAX).read_until(b'\n', &mut line).await {
        Ok(1..) => Some(String::from_utf8_lossy(&line).into_owned()),
        _ => None,
    }
}
