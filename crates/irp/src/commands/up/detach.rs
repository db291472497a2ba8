//! `irp up --detach`: the same `irp up` in a process of its own, followed until its tunnel stands.

use std::{
    ffi::OsString,
    fs::File,
    io::{Read as _, Seek as _, SeekFrom},
    path::Path,
    process::{Child, Command, ExitCode, Stdio},
    time::Duration,
};

use irp_client::Upstream;
use irp_wire::{name::Hostname, private};
use tokio::time::{sleep, timeout};

use crate::{
    background::{self, Place, Report, Visit},
    environment::{self, Environment},
    error::{Failure, Kind},
    signals::{QUIT_CODE, Signals},
    ui::Ui,
};

/// How often the other process is looked at.
const GLANCE: Duration = Duration::from_millis(50);

/// How long it may take to finish what it does when it is told to leave.
const LEAVES_WITHIN: Duration = Duration::from_secs(15);

/// The flag that a process in the background has instead of `--detach`.
const FLAG: &str = "--detach";
const INSTEAD: &str = "--background";

/// Starts the process, shows what it says, and returns when its tunnel stands, with the URL on stdout.
pub(super) async fn run(
    name: &Hostname,
    upstream: Option<&Upstream>,
    environment: &Environment,
    ui: &Ui,
) -> Result<ExitCode, Failure> {
    let mut signals = Signals::listen()?;
    let place = Place::of(name, environment)?;
    if let Some(mut visit) = Visit::pay(&place).await {
        let report = tokio::select! {
            () = signals.next() => return Ok(QUIT_CODE.into()),
            report = visit.report() => report,
        };
        if let Some(report) = report {
            return there_already(&report, upstream, ui);
        }
    }
    let mut log = new_log(&place.log())?;
    let mut child = start(&place.log(), ui)?;
    let followed = tokio::select! {
        () = signals.next() => None,
        followed = follow(&place, &mut child, &mut log, ui) => Some(followed),
    };
    match followed {
        Some(Ok(report)) => {
            tell(&report, ui);
            Ok(ExitCode::SUCCESS)
        }
        Some(Err(code)) => Ok(code.into()),
        None => {
            if let Some(visit) = Visit::pay(&place).await {
                let _ = visit.leave(LEAVES_WITHIN).await;
            }
            // What was launched by now is found by the next irp up.
            end(&mut child).await;
            relay(&mut log, ui);
            Ok(QUIT_CODE.into())
        }
    }
}

/// Shows what the process says until its tunnel stands; the exit code of one that ends before.
async fn follow(place: &Place, child: &mut Child, log: &mut File, ui: &Ui) -> Result<Report, u8> {
    let reporting = async {
        loop {
            if let Some(mut visit) = Visit::pay(place).await
                && let Some(report) = visit.report().await
            {
                return report;
            }
            sleep(GLANCE).await;
        }
    };
    let mut reporting = std::pin::pin!(reporting);
    loop {
        let reported = tokio::select! {
            report = &mut reporting => Some(report),
            () = sleep(GLANCE) => None,
        };
        // Looked at before the last words are read: behind its end it writes no more.
        let status = child.try_wait();
        relay(log, ui);
        if let Some(report) = reported {
            return Ok(report);
        }
        if let Ok(Some(status)) = status {
            // It has told why.
            let code = status.code().and_then(|code| u8::try_from(code).ok());
            return Err(code.filter(|code| *code != 0).unwrap_or(Kind::Internal.code()));
        }
    }
}

/// Idempotent: what is wanted is there.
fn there_already(report: &Report, upstream: Option<&Upstream>, ui: &Ui) -> Result<ExitCode, Failure> {
    if super::told(upstream) != report.upstream {
        return Err(Failure::new(
            Kind::User,
            format!("{} is connected in the background, to {}", report.name, report.upstream),
        )
        .hint(format!("irp disconnect {}   ends that", report.name)));
    }
    ui.line(&format!("{} is connected in the background already", report.name));
    tell(report, ui);
    Ok(ExitCode::SUCCESS)
}

fn tell(report: &Report, ui: &Ui) {
    for url in &report.urls {
        ui.url_for_scripts(url, &report.upstream);
    }
    ui.event("detached", report);
    ui.line(&format!("in the background, process {}, log {}", report.pid, report.log.display()));
    ui.line(&format!("irp disconnect {}   ends it", report.name));
}

fn new_log(path: &Path) -> Result<File, Failure> {
    let made = private::options().create(true).write(true).truncate(true).open(path);
    made.and_then(|_| File::open(path)).map_err(|error| unwritable(path, &error))
}

fn unwritable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(Kind::Config, format!("cannot write {}", path.display())).because(error)
}

/// This program again, with the same arguments but one, away from the terminal.
fn start(log: &Path, ui: &Ui) -> Result<Child, Failure> {
    let program = environment::this_program()
        .ok_or_else(|| Failure::new(Kind::Internal, "the system does not tell which program this is"))?;
    let out = File::options().append(true).open(log).map_err(|error| unwritable(log, &error))?;
    let mut command = Command::new(program);
    command.args(instead(environment::arguments().into_iter().skip(1))).stdin(Stdio::null());
    // The URL goes through the socket; with --json everything is an event.
    if ui.is_for_programs() {
        command.stdout(out.try_clone().map_err(|error| unwritable(log, &error))?);
    } else {
        command.stdout(Stdio::null());
    }
    // Ctrl-C on the terminal is for this process, which tells the other one.
    command.stderr(out);
    background::start(&mut command).map_err(|error| {
        Failure::new(Kind::Internal, "no process can be started for the background").because(&error)
    })
}

/// The arguments with the other flag; what follows `--` is a program's, which may have flags of that name.
fn instead(arguments: impl Iterator<Item = OsString>) -> impl Iterator<Item = OsString> {
    let mut is_ours = true;
    arguments.map(move |argument| {
        is_ours &= argument != "--";
        if is_ours && argument == FLAG { INSTEAD.into() } else { argument }
    })
}

/// Asks the process to leave as Ctrl-C does, and ends it if it does not: it may have started a program, which would stay.
async fn end(child: &mut Child) {
    // It is not waited for yet, so that its number is still its own.
    if matches!(child.try_wait(), Ok(None)) && !background::ask_to_leave(child) {
        let _ = child.kill();
    }
    let ends = async {
        while matches!(child.try_wait(), Ok(None)) {
            sleep(GLANCE).await;
        }
    };
    if timeout(LEAVES_WITHIN, ends).await.is_err() {
        let _ = child.kill();
        let _ = child.wait();
    }
}

/// Shows what the other process has written since.
fn relay(log: &mut File, ui: &Ui) {
    let mut text = Vec::new();
    if log.read_to_end(&mut text).is_err() {
        return;
    }
    // Half a line is read again when it is whole.
    let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let half = i64::try_from(text.len() - whole).unwrap_or(i64::MAX);
    if half > 0 && log.seek(SeekFrom::Current(-half)).is_err() {
        return;
    }
    ui.relay(&text[..whole]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flags_of_a_program_stay_as_they_are() {
        let typed = ["up", "3000", "--detach", "--", "docker", "run", "--detach"].map(OsString::from);
        let told: Vec<_> = instead(typed.into_iter()).collect();
        assert_eq!(told, ["up", "3000", "--background", "--", "docker", "run", "--detach"]);
    }
}
