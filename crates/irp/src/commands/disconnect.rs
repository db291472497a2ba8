//! `irp disconnect [NAME]`.

use std::{process::ExitCode, time::Duration};

use serde_json::json;

use crate::{
    advice,
    background::{Place, Report, Visit},
    cli::Disconnect,
    environment::Environment,
    error::{Failure, Kind},
    ui::Ui,
};

/// How long a client may take: requests under way get ten seconds, and its last words two.
const LEAVES_WITHIN: Duration = Duration::from_secs(30);

/// Ends the client of that name, and waits for it.
pub(super) async fn run(flags: &Disconnect, environment: &Environment, ui: &Ui) -> Result<ExitCode, Failure> {
    let mut there = Vec::new();
    for (place, report) in Place::all(environment)? {
        match Visit::pay(&place).await {
            Some(visit) => there.push((visit, report)),
            // It was killed, or the PC was switched off.
            None => place.clear(),
        }
    }
    let names: Vec<_> = there.iter().map(|(_, report)| report.name.clone()).collect();
    let wanted = |report: &Report| match &flags.name {
        None => true,
        Some(name) => {
            let name = name.trim_end_matches('.').to_ascii_lowercase();
            report.name == name || report.name.split('.').next() == Some(name.as_str())
        }
    };
    let mut fitting: Vec<_> = there.into_iter().filter(|(_, report)| wanted(report)).collect();
    let Some((visit, report)) = fitting.pop() else { return Err(nobody(flags.name.as_deref(), &names)) };
    if !fitting.is_empty() {
        return Err(several(&names));
    }
    let step = ui.step("disconnect", &format!("{} finishes what is under way", report.name));
    if visit.leave(LEAVES_WITHIN).await.is_err() {
        step.failed();
        return Err(Failure::new(Kind::Internal, format!("process {} does not end", report.pid))
            .hint(format!("its log is {}", report.log.display()))
            .hint(advice::end_process(report.pid)));
    }
    step.done(&report.name);
    ui.event("disconnected", &json!({ "name": report.name, "pid": report.pid }));
    Ok(ExitCode::SUCCESS)
}

fn nobody(name: Option<&str>, names: &[String]) -> Failure {
    let of = name.map(|name| format!(" for {name}")).unwrap_or_default();
    let failure = Failure::new(Kind::User, format!("no client is in the background{of}"));
    match names {
        [] => failure.hint("irp up 3000 --detach   leaves one there; one on a terminal ends with Ctrl-C"),
        _ => failure.hint(format!("there is one for {}", names.join(", "))),
    }
}

fn several(names: &[String]) -> Failure {
    Failure::new(Kind::User, format!("{} clients are in the background: which one?", names.len()))
        .hint(format!("irp disconnect NAME, one of {}", names.join(", ")))
}
