//! One step of the work on the person's screen: a spinner while it runs, then ✓ or ✗ and how long it took.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::{BAD, DIM, GOOD, MESSAGE_MOST, Ui, escape::escape};
use crate::clock;

/// Steps that took less are not worth a number.
const WORTH_TELLING: Duration = Duration::from_millis(100);

/// How often the spinner moves.
const TICK: Duration = Duration::from_millis(120);

/// A step under way. Dropped without an end, it leaves nothing on the screen.
#[derive(Debug)]
pub(crate) struct Step {
    ui: Ui,
    label: &'static str,
    since: Instant,
    spinner: ProgressBar,
}

impl Step {
    pub(super) fn begin(ui: Ui, label: &'static str, doing: &str) -> Self {
        let spinner = ui.moving.add(ProgressBar::new_spinner());
        if let Ok(style) = ProgressStyle::with_template("  {spinner} {prefix:<13} {msg}") {
            spinner.set_style(style.tick_chars("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏ "));
        }
        spinner.set_prefix(label);
        spinner.set_message(escape(doing, MESSAGE_MOST));
        spinner.enable_steady_tick(TICK);
        Self { ui, label, since: Instant::now(), spinner }
    }

    /// The step is done; `detail` is what came of it.
    pub(crate) fn done(self, detail: &str) {
        let took = self.since.elapsed();
        let detail = escape(detail, MESSAGE_MOST);
        let took = if took < WORTH_TELLING { String::new() } else { format!("   {}", clock::words(took)) };
        self.end(&format!("  {GOOD}✓{GOOD:#} {:<13} {detail}{DIM}{took}{DIM:#}", self.label));
    }

    /// The step has failed; the failure itself is told at the end.
    pub(crate) fn failed(self) {
        self.end(&format!("  {BAD}✗{BAD:#} {}", self.label));
    }

    fn end(&self, line: &str) {
        self.spinner.finish_and_clear();
        if !self.ui.wanted.json && !self.ui.wanted.quiet {
            self.ui.err(line);
        }
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        self.spinner.finish_and_clear();
        self.ui.moving.remove(&self.spinner);
    }
}
