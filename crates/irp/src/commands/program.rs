//! The program behind `--`: started with the public URL, watched, and ended together with irp.
//!
//! It is in a process group of its own, so that a Ctrl-C on the terminal is for irp alone: requests under way still
//! find their upstream. When irp leaves, the whole group is asked to end, and killed if it does not. Its stdin never
//! holds anything, and ends when irp does: programs that watch it end too, even where irp was killed.

#[cfg_attr(windows, path = "program/group/windows.rs")]
#[cfg_attr(not(windows), path = "program/group/unix.rs")]
mod group;

use std::{
    ffi::OsString,
    io,
    process::{ExitCode, ExitStatus, Stdio},
    sync::atomic::Ordering,
    time::Duration,
};

use irp_client::{Upstream, apart};
use serde_json::json;
use tokio::{
    process::{Child, ChildStdin, Command},
    time::{Instant, MissedTickBehavior, interval, timeout},
};

use self::group::Group;
use crate::{
    environment,
    error::{Failure, Kind},
    exit_status,
    signals::{QUIT_CODE, Signals},
    ui::{Step, Ui},
};

/// The variable that tells the program where the world finds it.
const PUBLIC_URL: &str = "PUBLIC_URL";

/// How often it is looked whether the program listens.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// After this time without a listener the person is asked whether the port is right. It is no limit: a program may
/// be compiled first.
const ASK_AFTER: Duration = Duration::from_secs(20);

/// How long the program may take to end once it was asked to.
const END_WITHIN: Duration = Duration::from_secs(10);

/// How often it is looked whether the rest of its process group is gone.
const GONE_EVERY: Duration = Duration::from_millis(20);

/// How long a killed program may take to be gone.
const GONE_WITHIN: Duration = Duration::from_secs(5);

/// A program as it was typed, and where it is going to listen.
#[derive(Debug)]
pub(super) struct Program {
    words: Vec<OsString>,
    upstream: Upstream,
    is_background: bool,
}

impl Program {
    /// The program of these words, `None` if there are none.
    ///
    /// # Errors
    ///
    /// When it is not said where it listens, or when somebody listens there already.
    pub(super) async fn wanted(
        words: Vec<OsString>,
        upstream: Option<&Upstream>,
    ) -> Result<Option<Self>, Failure> {
        if words.is_empty() {
            return Ok(None);
        }
        let told = told(&words);
        let Some(upstream) = upstream else {
            let message = format!("irp cannot know at which port `{told}` will listen");
            return Err(Failure::new(Kind::User, message).hint(format!("irp up 3000 -- {told}")));
        };
        if upstream.is_listening().await {
            let message = format!("something listens at {upstream} already, so `{told}` could not");
            let failure = Failure::new(Kind::Network, message);
            return Err(failure.hint("end it; or forward to it as it is, without `--` and what follows"));
        }
        Ok(Some(Self { words, upstream: upstream.clone(), is_background: false }))
    }

    /// The same, where irp itself may be in the background: what the program writes goes to irp's log then.
    pub(super) fn logged(self, is_background: bool) -> Self {
        Self { is_background, ..self }
    }

    /// Starts it.
    ///
    /// # Errors
    ///
    /// When there is no such program.
    fn start(self, url: &str, ui: &Ui) -> Result<Running, Failure> {
        let told = told(&self.words);
        let mut words = self.words.iter();
        let mut command =
            Command::new(environment::program(words.next().map(OsString::as_os_str).unwrap_or_default()));
        let [out, err] = ui.for_a_program(self.is_background);
        command.args(words).env(PUBLIC_URL, url).stdin(Stdio::piped()).stdout(out).stderr(err);
        apart::set(&mut command);
        let mut child = command.kill_on_drop(true).spawn().map_err(|error| {
            let failure = Failure::new(Kind::User, format!("cannot start `{told}`")).because(&error);
            match error.kind() {
                io::ErrorKind::NotFound => failure.hint("is it installed, and in PATH?"),
                _ => failure,
            }
        })?;
        ui.event("program_started", &json!({ "command": told, "pid": child.id() }));
        ui.line(&format!("starting {told}, which is to listen at {}", self.upstream));
        let step = ui.step("program", &told);
        let (group, stdin) = (Group::of(&child), child.stdin.take());
        Ok(Running { told, upstream: self.upstream, step: Some(step), child, stdin, group, ended: None })
    }
}

/// Starts the program, waits until it listens, does the work, and ends the program; without one, only does the work. When
/// the program ends by itself, the work is made to leave as by a signal, and the program's exit code is that of irp.
///
/// # Errors
///
/// Those of the work, or why the program is of no use.
pub(super) async fn beside(
    program: Option<Program>,
    url: &str,
    signals: &mut Signals,
    ui: &Ui,
    work: impl AsyncFnOnce(&mut Signals, &Ui) -> Result<ExitCode, Failure>,
) -> Result<ExitCode, Failure> {
    let Some(program) = program else { return work(signals, ui).await };
    signals.and_hangup()?;
    let ui = &ui.at_rest();
    let mut running = program.start(url, ui)?;
    let result = match running.listens(signals, ui).await {
        Ok(true) => {
            let (leave, heard) = (signals.also(), signals.heard());
            let mut work = Box::pin(work(signals, ui));
            loop {
                tokio::select! {
                    biased;
                    result = &mut work => break result,
                    () = running.ended() => {
                        running.tell_end(ui);
                        // Where the person has left already, this would be the second time.
                        if !heard.load(Ordering::Relaxed) {
                            leave.notify_one();
                        }
                    }
                }
            }
        }
        Ok(false) => Ok(ExitCode::SUCCESS),
        Err(failure) => Err(failure),
    };
    let own_code = running.code();
    if result.as_ref().is_ok_and(|code| *code == QUIT_CODE.into()) {
        running.kill().await;
    } else {
        running.end(signals, ui).await;
    }
    match own_code {
        Some(code) => result.map(|_| code.into()),
        None => result,
    }
}

/// How a person reads a command.
fn told(words: &[OsString]) -> String {
    let words: Vec<_> = words.iter().map(|word| word.to_string_lossy()).collect();
    words.join(" ")
}

/// A program that was started. Dropped, it is killed.
#[derive(Debug)]
struct Running {
    told: String,
    upstream: Upstream,
    step: Option<Step>,
    child: Child,
    /// Held open and never written to.
    stdin: Option<ChildStdin>,
    group: Group,
    ended: Option<ExitStatus>,
}

impl Running {
    /// Waits until it listens. `false` when it has ended instead, or when a signal came.
    ///
    /// # Errors
    ///
    /// When it ended without a fault and without having listened.
    async fn listens(&mut self, signals: &mut Signals, ui: &Ui) -> Result<bool, Failure> {
        let since = Instant::now();
        let mut look = interval(LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut asked = false;
        loop {
            tokio::select! {
                biased;
                () = signals.next() => return Ok(false),
                () = self.ended() => {
                    self.tell_end(ui);
                    if self.code() != Some(0) {
                        return Ok(false);
                    }
                    let message = format!("`{}` ended, and never listened at {}", self.told, self.upstream);
                    return Err(Failure::new(Kind::User, message)
                        .hint("name a program that stays; one that goes to the background is no such program"));
                }
                _ = look.tick() => {}
            }
            if self.upstream.is_listening().await {
                break;
            }
            if !asked && since.elapsed() > ASK_AFTER {
                asked = true;
                ui.warning(&format!(
                    "nothing listens at {} yet: is it the port of `{}`?",
                    self.upstream, self.told
                ));
            }
        }
        ui.event("program_listens", &json!({}));
        if let Some(step) = self.step.take() {
            step.done(&format!("{} listens at {}", self.told, self.upstream));
        }
        Ok(true)
    }

    /// Waits for its end, for ever if it has been seen.
    async fn ended(&mut self) {
        if self.ended.is_some() {
            return std::future::pending().await;
        }
        // An error here means that the system has nothing to tell of it any more.
        self.ended = Some(self.child.wait().await.unwrap_or_default());
    }

    /// The code of its end as shells count, once that was seen.
    fn code(&self) -> Option<u8> {
        self.ended.map(exit_status::code)
    }

    /// Tells that it has ended by itself.
    fn tell_end(&mut self, ui: &Ui) {
        let Some(status) = self.ended else { return };
        if let Some(step) = self.step.take() {
            step.failed();
        }
        ui.event("program_ended", &json!({ "code": exit_status::code(status) }));
        ui.line(&format!("{} has ended ({status}), and irp with it", self.told));
    }

    /// Asks it to end, with all that it has started, and waits; a signal meanwhile, or too much time, kills it.
    async fn end(mut self, signals: &mut Signals, ui: &Ui) {
        self.group.terminate();
        self.stdin.take();
        let gone = tokio::select! {
            gone = timeout(END_WITHIN, self.gone()) => gone.is_ok(),
            () = signals.next() => false,
        };
        if !gone {
            ui.warning(&format!("{} does not end: it is killed", self.told));
            self.kill().await;
        }
    }

    /// Kills it, with all that it has started.
    async fn kill(mut self) {
        self.group.kill();
        if timeout(GONE_WITHIN, self.gone()).await.is_err() {
            tracing::warn!(program = self.told, "is killed and not gone");
        }
    }

    /// Waits until it and all that it has started are gone.
    async fn gone(&mut self) {
        if self.ended.is_none() {
            self.ended().await;
        }
        let mut look = interval(GONE_EVERY);
        while !self.group.is_empty() {
            look.tick().await;
        }
        self.group.forget();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.group.is_empty() {
            self.group.kill();
        }
    }
}
