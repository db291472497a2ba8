//! The terminal: the only place of this program that writes to stdout or stderr.
//!
//! stdout carries what a script wants and nothing else: a URL, a path, a key; with `--json` one JSON object
//! a line for everything that happens. stderr is the person's part: steps, live lines, failures. Colours and
//! moving things appear only on a terminal. Text that a stranger chose goes through [`escape()`].
//!
//! A command uses its `Ui` on the main thread only, which carries no traffic: a terminal that is stopped
//! (Ctrl-S) stops the display, not the tunnel.

mod escape;
mod rate;
mod raw;
mod step;
mod table;
mod traffic;

use std::{
    ffi::OsString,
    fmt::Display,
    io::{self, IsTerminal as _, Write},
    process::{ExitCode, Stdio},
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use anstream::{AutoStream, ColorChoice};
use anstyle::{AnsiColor, Color, Style};
use clap::ValueEnum;
use indicatif::MultiProgress;
use secrecy::SecretString;
use serde::Serialize;

use self::{escape::escape, rate::Rate, traffic::grouped};
pub(crate) use self::{raw::stdin, step::Step, traffic::Exchange};
use crate::{
    clock::{self, Zone},
    cloud::doctor::Check,
    environment::Environment,
    error::{Failure, Kind},
};

/// How many request lines a second people are shown; more only scroll by.
const LINES_PER_SECOND: u32 = 20;

/// How many request lines a second a program gets with `--json`.
const JSON_LINES_PER_SECOND: u32 = 2_000;

/// The longest message shown, in characters; an edge could send more.
const MESSAGE_MOST: usize = 2_000;

const BOLD: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();
const GOOD: Style = coloured(AnsiColor::Green);
const BAD: Style = coloured(AnsiColor::Red).bold();
const CAREFUL: Style = coloured(AnsiColor::Yellow);

const fn coloured(colour: AnsiColor) -> Style {
    Style::new().fg_color(Some(Color::Ansi(colour)))
}

/// When to use colours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum When {
    /// On a terminal, unless `NO_COLOR` is set.
    #[default]
    Auto,
    /// Also into a file or a pipe.
    Always,
    /// Not at all.
    Never,
}

/// What was asked for about output, on the command line.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wanted {
    /// One JSON object a line on stdout, nothing on stderr but the log.
    pub(crate) json: bool,
    /// No steps and no live lines.
    pub(crate) quiet: bool,
    /// How much more of the log, 0 to 3.
    pub(crate) verbose: u8,
    /// When to use colours.
    pub(crate) colour: When,
}

fn live_lines_per_second(wanted: Wanted) -> u32 {
    match wanted {
        Wanted { json: true, .. } => JSON_LINES_PER_SECOND,
        Wanted { quiet: true, .. } => 0,
        _ => LINES_PER_SECOND,
    }
}

/// The terminal. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Ui {
    wanted: Wanted,
    out_colour: ColorChoice,
    err_colour: ColorChoice,
    moving: MultiProgress,
    zone: Zone,
    rate: Arc<Mutex<Rate>>,
}

impl Ui {
    /// Looks at the terminal and at what was asked for.
    pub(crate) fn new(wanted: &impl AsWanted, environment: &Environment, zone: Zone) -> Self {
        let wanted = wanted.as_wanted();
        let choose = |is_terminal: bool| match wanted.colour {
            When::Always => ColorChoice::AlwaysAnsi,
            When::Auto if is_terminal && !environment.no_color => ColorChoice::Always,
            When::Auto | When::Never => ColorChoice::Never,
        };
        let moves = io::stderr().is_terminal() && !wanted.json && !wanted.quiet;
        let moving = if moves {
            MultiProgress::new()
        } else {
            MultiProgress::with_draw_target(indicatif::ProgressDrawTarget::hidden())
        };
        let most = live_lines_per_second(wanted);
        Self {
            wanted,
            out_colour: choose(io::stdout().is_terminal()),
            err_colour: choose(io::stderr().is_terminal()),
            moving,
            zone,
            rate: Arc::new(Mutex::new(Rate::new(most))),
        }
    }

    /// For the time before the flags are parsed: `--json` counts when it is there at all.
    pub(crate) fn for_usage(environment: &Environment, arguments: &[OsString]) -> Self {
        let json =
            arguments.iter().take_while(|argument| *argument != "--").any(|argument| argument == "--json");
        Self::new(&Wanted { json, ..Wanted::default() }, environment, Zone::of_this_machine())
    }

    /// The same without what moves: for while somebody else writes to the terminal too.
    pub(crate) fn at_rest(&self) -> Self {
        Self {
            moving: MultiProgress::with_draw_target(indicatif::ProgressDrawTarget::hidden()),
            ..self.clone()
        }
    }

    /// Where a program that irp starts writes: stdout and stderr as they are; both to stderr with `--json`, since stdout
    /// holds objects then, and in the background, where only stderr is kept.
    pub(crate) fn for_a_program(&self, is_background: bool) -> [Stdio; 2] {
        let out = if self.wanted.json || is_background { io::stderr().into() } else { io::stdout().into() };
        [out, io::stderr().into()]
    }

    /// Whether stderr takes colours.
    pub(crate) fn is_coloured(&self) -> bool {
        self.err_colour != ColorChoice::Never
    }

    /// What a script wants: one line on stdout.
    pub(crate) fn result(&self, text: &dyn Display) {
        self.out(&text.to_string());
    }

    /// Text for stdout as it is, such as a completion script.
    pub(crate) fn document(&self, bytes: &[u8]) {
        self.moving.suspend(|| {
            let mut out = io::stdout().lock();
            give_up_on_closed(out.write_all(bytes).and_then(|()| out.flush()));
        });
    }

    /// stdout for the bytes of another program's connection.
    ///
    /// # Errors
    ///
    /// When it is closed.
    pub(crate) fn bytes(&self) -> io::Result<tokio::fs::File> {
        raw::stdout()
    }

    /// Something that happened, for programs: `{"event":"NAME",…}` on stdout, only with `--json`.
    pub(crate) fn event(&self, name: &str, fields: &impl Serialize) {
        if !self.wanted.json {
            return;
        }
        #[derive(Serialize)]
        struct Event<'a, T> {
            event: &'a str,
            #[serde(flatten)]
            fields: &'a T,
        }
        // These types always serialise.
        if let Ok(line) = serde_json::to_string(&Event { event: name, fields }) {
            self.out(&line);
        }
    }

    /// Begins a step of the work; it moves on a terminal until it is done or has failed.
    pub(crate) fn step(&self, label: &'static str, doing: &str) -> Step {
        Step::begin(self.clone(), label, doing)
    }

    /// A line for the person.
    pub(crate) fn line(&self, text: &str) {
        if !self.wanted.json && !self.wanted.quiet {
            self.err(&format!("  {}", escape(text, MESSAGE_MOST)));
        }
    }

    /// An empty line for the person.
    pub(crate) fn gap(&self) {
        if !self.wanted.json && !self.wanted.quiet {
            self.err("");
        }
    }

    /// The public URL: on stdout for scripts, with its upstream on stderr for people.
    pub(crate) fn url(&self, url: &str, upstream: &str) {
        if self.wanted.json {
            return self.event("url", &serde_json::json!({ "url": url, "upstream": upstream }));
        }
        if !self.wanted.quiet {
            self.err("");
        }
        if io::stdout().is_terminal() {
            self.out(&format!("  {BOLD}{url}{BOLD:#}  →  {}", escape(upstream, MESSAGE_MOST)));
        } else {
            self.out(url);
            if !self.wanted.quiet {
                self.err(&format!("  {BOLD}{url}{BOLD:#}  →  {}", escape(upstream, MESSAGE_MOST)));
            }
        }
    }

    /// A public URL that people were shown already: on stdout for scripts, and nowhere on a terminal.
    pub(crate) fn url_for_scripts(&self, url: &str, upstream: &str) {
        if self.wanted.json {
            self.event("url", &serde_json::json!({ "url": url, "upstream": upstream }));
        } else if self.wanted.quiet || !io::stdout().is_terminal() {
            self.out(url);
        }
    }

    /// Whole lines that another process of this program wrote for the same eyes.
    pub(crate) fn relay(&self, lines: &[u8]) {
        let text = String::from_utf8_lossy(lines);
        for line in text.lines() {
            match (self.wanted.json, line.starts_with('{')) {
                (true, true) => self.out(line),
                (true, false) => {}
                (false, _) => self.err(line),
            }
        }
    }

    /// A warning: the work goes on.
    pub(crate) fn warning(&self, text: &str) {
        if self.wanted.json {
            self.event("warning", &serde_json::json!({ "message": text }));
        } else {
            self.err(&format!("  {CAREFUL}!{CAREFUL:#} {}", escape(text, MESSAGE_MOST)));
        }
    }

    /// A thing that went wrong on the way and mends itself; programs get an event instead.
    pub(crate) fn warning_line(&self, text: &str) {
        if !self.wanted.json {
            self.warning(text);
        }
    }

    /// What was looked at, and whether it is right: the result of `irp doctor`, on stdout.
    pub(crate) fn check(&self, check: &Check) {
        if self.wanted.json {
            return self.event("check", check);
        }
        let mark = match check.ok {
            Some(true) => format!("{GOOD}✓{GOOD:#}"),
            Some(false) => format!("{BAD}✗{BAD:#}"),
            None => format!("{DIM}–{DIM:#}"),
        };
        self.out(&format!("  {mark} {:<13} {}", check.check, escape(&check.text, MESSAGE_MOST)));
        for mend in &check.mend {
            self.out(&format!("      {DIM}→{DIM:#} {}", escape(mend, MESSAGE_MOST)));
        }
    }

    /// A table on stdout, for people: programs get an event for each row instead.
    pub(crate) fn table(&self, heads: &[&str], rows: &[Vec<String>]) {
        if self.wanted.json {
            return;
        }
        for (number, line) in table::lines(heads, rows).into_iter().enumerate() {
            if number == 0 {
                self.out(&format!("  {DIM}{line}{DIM:#}"))
            } else {
                self.out(&format!("  {line}"))
            }
        }
    }

    /// A thing with its name, one of the lines that make up the result: on stdout, for people.
    pub(crate) fn fact(&self, name: &str, text: &str) {
        if !self.wanted.json {
            self.out(&format!("  {DIM}{name:<11}{DIM:#} {}", escape(text, MESSAGE_MOST)));
        }
    }

    /// Asks a question that is answered by yes or no; no where it is anything else. `None` where nobody can be asked.
    pub(crate) fn ask(&self, question: &str) -> Option<bool> {
        if self.wanted.json || !io::stdin().is_terminal() || !io::stderr().is_terminal() {
            return None;
        }
        let mut answer = String::new();
        self.moving.suspend(|| {
            let mut err = AutoStream::new(io::stderr().lock(), self.err_colour);
            let _ = write!(err, "  {BOLD}{}{BOLD:#} [y/N] ", escape(question, MESSAGE_MOST));
            let _ = err.flush();
            // Nothing that can be read is no.
            let _ = io::stdin().read_line(&mut answer);
        });
        Some(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
    }

    /// Asks for a secret on the terminal, without showing it; `None` where nobody can be asked.
    pub(crate) fn ask_secret(&self, prompt: &str) -> Option<SecretString> {
        if self.wanted.json || !io::stdin().is_terminal() {
            return None;
        }
        let asked = self.moving.suspend(|| rpassword::prompt_password(escape(prompt, MESSAGE_MOST)));
        asked.ok().filter(|secret| !secret.is_empty()).map(SecretString::from)
    }

    /// The log's level as it was typed with -v; `None` without.
    pub(crate) fn verbosity(&self) -> Option<&'static str> {
        match self.wanted.verbose {
            0 => None,
            1 => Some("info"),
            2 => Some("debug"),
            _ => Some("trace"),
        }
    }

    /// Whether a program reads stdout.
    pub(crate) fn is_for_programs(&self) -> bool {
        self.wanted.json
    }

    /// How many live lines a second are shown at most.
    pub(crate) fn live_lines_per_second(&self) -> u32 {
        live_lines_per_second(self.wanted)
    }

    /// A live line, unless this second has had enough of them.
    pub(crate) fn exchange(&self, exchange: &Exchange) {
        self.left_out();
        if !self.rate().admits(Instant::now()) {
            return;
        }
        if self.wanted.json {
            self.event("request", exchange);
        } else if !self.wanted.quiet {
            self.err(&exchange.line(&self.zone.time_of_day(clock::now())));
        }
    }

    /// Counts live lines that were lost on the way here.
    pub(crate) fn lost(&self, count: u64) {
        self.rate().left_out(count);
    }

    /// Tells how many live lines were left out; to be called about once a second.
    pub(crate) fn left_out(&self) {
        let Some(count) = self.rate().take_left_out(Instant::now()) else { return };
        if self.wanted.json {
            self.event("skipped", &serde_json::json!({ "count": count }));
        } else if !self.wanted.quiet {
            self.err(&format!("            {DIM}… and {} more{DIM:#}", grouped(count)));
        }
    }

    /// A failure, the last thing that is written.
    pub(crate) fn failure(&self, failure: &Failure) {
        if self.wanted.json {
            return self.event("error", &Reported { failure, exit_code: failure.kind().code() });
        }
        let mut text = format!("{BAD}error:{BAD:#} {}", escape(failure.message(), MESSAGE_MOST));
        for cause in failure.causes() {
            let cause = indented(cause, "             ");
            text.push_str(&format!("\n  {DIM}because:{DIM:#} {cause}"));
        }
        for hint in failure.hints() {
            text.push_str(&format!("\n     {GOOD}hint:{GOOD:#} {}", indented(hint, "           ")));
        }
        self.err(&text);
    }

    /// What clap has to say: help on stdout, wrong use on stderr.
    pub(crate) fn usage(&self, usage: &clap::Error) -> ExitCode {
        let text = usage.render();
        if !usage.use_stderr() {
            let text = if self.out_colour == ColorChoice::Never {
                text.to_string()
            } else {
                text.ansi().to_string()
            };
            self.document(text.as_bytes());
            return ExitCode::SUCCESS;
        }
        if self.wanted.json {
            let text = text.to_string();
            let text = text.strip_prefix("error: ").unwrap_or(&text);
            self.failure(&Failure::new(Kind::User, text.lines().next().unwrap_or_default()));
        } else if self.is_coloured() {
            self.err(text.ansi().to_string().trim_end());
        } else {
            self.err(text.to_string().trim_end());
        }
        Kind::User.exit_code()
    }

    fn rate(&self) -> std::sync::MutexGuard<'_, Rate> {
        self.rate.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn out(&self, line: &str) {
        self.moving.suspend(|| {
            let mut out = io::stdout().lock();
            // Objects have no colours to be taken away, and there may be thousands a second.
            let written = if self.wanted.json {
                writeln!(out, "{line}")
            } else {
                writeln!(AutoStream::new(&mut out, self.out_colour), "{line}")
            };
            give_up_on_closed(written.and_then(|()| out.flush()));
        });
    }

    fn err(&self, line: &str) {
        self.moving.suspend(|| {
            // A person who closed stderr does not want to know.
            let _ = writeln!(AutoStream::new(io::stderr().lock(), self.err_colour), "{line}");
        });
    }
}

/// Whatever says how output is wanted.
pub(crate) trait AsWanted {
    /// The same in this module's words.
    fn as_wanted(&self) -> Wanted;
}

impl AsWanted for Wanted {
    fn as_wanted(&self) -> Wanted {
        *self
    }
}

#[derive(Serialize)]
struct Reported<'a> {
    #[serde(flatten)]
    failure: &'a Failure,
    exit_code: u8,
}

/// Several lines, each harmless, the later ones indented.
fn indented(text: &str, indent: &str) -> String {
    let lines: Vec<_> = text.lines().map(|line| escape(line, MESSAGE_MOST)).collect();
    lines.join(&format!("\n{indent}"))
}

/// `irp … | head` closes stdout; there is nobody left to tell, and the work itself may go on.
fn give_up_on_closed(written: io::Result<()>) {
    if let Err(error) = written
        && error.kind() != io::ErrorKind::BrokenPipe
    {
        tracing::warn!(%error, "cannot write to stdout");
    }
}

/// The log writes through the terminal too, so that its lines do not tear a moving step.
impl<'a> tracing_subscriber::fmt::MakeWriter<'a> for Ui {
    type Writer = LogLine;

    fn make_writer(&'a self) -> LogLine {
        LogLine(self.clone())
    }
}

/// Where the log writes one line.
#[derive(Debug)]
pub(crate) struct LogLine(Ui);

impl Write for LogLine {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.moving.suspend(|| io::stderr().lock().write_all(bytes))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
