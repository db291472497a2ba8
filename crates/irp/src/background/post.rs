//! The client's side: it answers at its socket for as long as it lives.

use std::{
    fs::{self, File},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    path::Path,
    process,
    sync::Arc,
    time::Duration,
};

use irp_wire::{name::Hostname, tasks::Tasks};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, split},
    sync::{Notify, Semaphore, watch},
    time::{MissedTickBehavior, interval},
};
use tokio_util::sync::DropGuard;

use super::{
    LEAVE, LINE_MAX, Place, Report, apart,
    socket::{Listener, Stream},
};
use crate::{
    environment::Environment,
    error::{Failure, Kind},
};

/// So many may wait at the socket at a time; they are programs of the same user.
const CALLERS_MAX: usize = 16;

/// A log that is larger is shortened to what was written last.
const LOG_MAX: u64 = 4 << 20;
const LOG_KEPT: u64 = 1 << 20;

/// How often its size is looked at.
const LOG_LOOKED_AT: Duration = Duration::from_secs(30);

/// The socket of this process; gone with it.
#[derive(Debug)]
pub(crate) struct Post {
    place: Place,
    _end_all: DropGuard,
}

impl Post {
    /// Leaves the terminal, and answers from now on. `standing` tells the URLs of the tunnel that stands, `leave` is told
    /// when somebody asks this process to leave.
    ///
    /// # Errors
    ///
    /// When another client has the name, or files cannot be made.
    pub(crate) fn open(
        name: &Hostname,
        upstream: &str,
        standing: watch::Receiver<Option<Vec<String>>>,
        leave: Arc<Notify>,
        environment: &Environment,
    ) -> Result<Self, Failure> {
        apart::leave_terminal();
        let place = Place::of(name, environment)?;
        let report = Report {
            name: name.to_string(),
            pid: process::id(),
            urls: Vec::new(),
            upstream: upstream.to_owned(),
            log: place.log(),
        };
        let failed =
            |error: io::Error| Failure::new(Kind::Config, "cannot answer in the background").because(&error);
        // Whoever started this process has made sure that nobody else answers there.
        place.clear();
        let mut listener = Listener::bind(&place).map_err(failed)?;
        let text = serde_json::to_vec(&report).unwrap_or_default();
        fs::write(place.record(), text).map_err(failed)?;
        let tasks = Tasks::new();
        let callers = Arc::new(Semaphore::new(CALLERS_MAX));
        let answering = tasks.clone();
        tasks.spawn(async move {
            while let Ok(stream) = listener.accept().await {
                let Ok(place) = Arc::clone(&callers).try_acquire_owned() else { continue };
                let (report, standing, leave) = (report.clone(), standing.clone(), Arc::clone(&leave));
                answering.spawn(async move {
                    // Whoever hangs up has heard enough.
                    let _ = answer(stream, report, standing, &leave).await;
                    drop(place);
                });
            }
        });
        let log = place.log();
        tasks.spawn(async move {
            let mut tick = interval(LOG_LOOKED_AT);
            tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                tick.tick().await;
                if let Err(error) = shorten(&log) {
                    tracing::warn!(%error, "the log cannot be shortened");
                }
            }
        });
        let _end_all = tasks.end_on_drop();
        Ok(Self { place, _end_all })
    }
}

impl Drop for Post {
    fn drop(&mut self) {
        self.place.clear();
    }
}

/// Tells one caller the report once the tunnel stands, and hears what it wants, until it hangs up.
async fn answer(
    stream: Stream,
    mut report: Report,
    mut standing: watch::Receiver<Option<Vec<String>>>,
    leave: &Notify,
) -> io::Result<()> {
    let (from, mut to) = split(stream);
    let mut from = BufReader::new(from).take(LINE_MAX);
    let mut told = false;
    let mut heard = String::new();
    loop {
        tokio::select! {
            read = from.read_line(&mut heard) => {
                if read? == 0 {
                    return Ok(());
                }
                if heard.trim() == LEAVE {
                    leave.notify_one();
                }
                heard.clear();
            }
            stands = stood(&mut standing), if !told => {
                let Some(stands) = stands else { return Ok(()) };
                report.urls = stands;
                let mut line = serde_json::to_vec(&report)?;
                line.push(b'\n');
                to.write_all(&line).await?;
                told = true;
            }
        }
    }
}

/// Waits for the tunnel, and gives its URLs; `None` when there will be none.
async fn stood(standing: &mut watch::Receiver<Option<Vec<String>>>) -> Option<Vec<String>> {
    let stands = standing.wait_for(Option::is_some).await.ok()?;
    stands.clone()
}

/// Keeps the end of a log that has grown too large. Its writers append, so they go on behind what is kept.
fn shorten(log: &Path) -> io::Result<()> {
    if fs::metadata(log)?.len() <= LOG_MAX {
        return Ok(());
    }
    let mut file = File::options().read(true).append(true).open(log)?;
    file.seek(SeekFrom::End(-i64::try_from(LOG_KEPT).unwrap_or(i64::MAX)))?;
    let mut kept = Vec::new();
    io::Read::take(&mut file, LOG_MAX).read_to_end(&mut kept)?;
    let line = kept.iter().position(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    file.set_len(0)?;
    file.write_all(&kept[line..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_that_has_grown_keeps_its_end() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("x.log");
        let mut writer = File::options().create(true).append(true).open(&log).unwrap();
        for number in 0..LOG_MAX / 16 {
            writeln!(writer, "line {number:010}").unwrap();
        }
        shorten(&log).unwrap();
        assert_eq!(fs::metadata(&log).unwrap().len(), LOG_MAX, "not a byte too much");
        writeln!(writer, "the last line").unwrap();
        shorten(&log).unwrap();
        writeln!(writer, "one more").unwrap();
        let text = fs::read_to_string(&log).unwrap();
        assert!(text.len() as u64 <= LOG_KEPT + 16, "{}", text.len());
        assert!(text.starts_with("line 0") && text.ends_with("the last line\none more\n"));
    }
}
