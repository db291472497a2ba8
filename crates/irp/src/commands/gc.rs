//! `irp gc`.

use std::process::ExitCode;

use serde_json::json;

use crate::{
    cli::machines::Gc,
    cloud::{
        account::{self, Account},
        leftovers::{self, Leftover, Outcome, find},
        portrait::dollars,
    },
    config::launch,
    environment::Environment,
    error::{Failure, Kind},
    ui::Ui,
};

/// Shows what is left behind, asks, and takes it away.
pub(super) async fn run(flags: &Gc, environment: &Environment, ui: &Ui) -> Result<ExitCode, Failure> {
    // Without a zone in the settings, the names that are known tell theirs.
    let domain = launch::zone_if_set(&flags.zone.settings(), environment, ui)?;
    let account = account::open(&flags.access, ui).await?;
    let step = ui.step("leftovers", "looking for them");
    let found = find(&account, domain.as_ref().map(|zone| zone.name().as_str())).await;
    drop(step);
    let found = found?;
    for unseen in &found.unseen {
        ui.warning(unseen);
    }
    for left in &found.leftovers {
        ui.event("leftover", left);
    }
    if found.leftovers.is_empty() {
        ui.line(&format!("nothing is left behind in {} (account {})", account.aws.region(), account.id));
        ui.event("gc", &json!({ "found": 0, "removed": 0 }));
        return Ok(ExitCode::SUCCESS);
    }
    let rows: Vec<_> = found.leftovers.iter().map(row).collect();
    ui.table(&["WHAT", "WHICH", "WHY", "COSTS A MONTH", "TO DO"], &rows);
    let removed = if is_wanted(flags, ui) { remove(&account, &found.leftovers, ui).await } else { Ok(0) };
    let count = *removed.as_ref().unwrap_or(&0);
    ui.event("gc", &json!({ "found": found.leftovers.len(), "removed": count }));
    removed.map(|_| ExitCode::SUCCESS)
}

fn is_wanted(flags: &Gc, ui: &Ui) -> bool {
    if flags.yes {
        return true;
    }
    let answer = ui.ask("Do all of this?");
    if answer.is_none() {
        ui.line("nothing was done; irp gc --yes   does all of this without asking");
    }
    answer == Some(true)
}

fn row(left: &Leftover) -> Vec<String> {
    let cost = match left.cost_usd_per_month {
        Some(nothing) if nothing <= 0.0 => "nothing".to_owned(),
        Some(cost) => dollars(cost),
        None => "–".to_owned(),
    };
    let what = &left.what;
    vec![what.word().to_owned(), what.which(), left.why.clone(), cost, what.mend().to_owned()]
}

/// Does as much as can be done; how much that was.
async fn remove(account: &Account, leftovers: &[Leftover], ui: &Ui) -> Result<usize, Failure> {
    let (mut removed, mut failures) = (0, Vec::new());
    for Leftover { what, .. } in leftovers {
        let step = ui.step(what.word(), what.mend());
        let outcome = leftovers::remove(account, what).await;
        let state = match &outcome {
            Ok(Outcome::Done) => "done",
            Ok(Outcome::Changed) => "stays: it has changed meanwhile",
            Ok(Outcome::InUse) => "stays: something uses it",
            Err(_) => "failed",
        };
        ui.event("removed", &json!({ "leftover": what, "state": state }));
        match outcome {
            Ok(outcome) => {
                removed += usize::from(outcome == Outcome::Done);
                step.done(&format!("{}  {state}", what.which()));
            }
            Err(failure) => {
                step.failed();
                failures.push(failure);
            }
        }
    }
    let count = failures.len();
    match failures.into_iter().next() {
        None => Ok(removed),
        Some(failure) if count == 1 => Err(failure),
        Some(first) => {
            let text = format!("{count} of {} things stay", leftovers.len());
            let failure = Failure::new(Kind::Cloud, text).cause(first.message());
            let failure = first.causes().iter().fold(failure, |failure, cause| failure.cause(cause));
            Err(first.hints().iter().fold(failure, Failure::hint))
        }
    }
}
