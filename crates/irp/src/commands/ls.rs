//! `irp ls`.

use std::process::ExitCode;

use irp_aws::ec2::State;
use irp_launch::price;
use serde::Serialize;

use crate::{
    cli::machines::Ls,
    clock,
    cloud::{
        account,
        edge_report::{Inquirer, Said},
        machines,
        portrait::Portrait,
    },
    environment::Environment,
    error::Failure,
    ui::Ui,
};

/// Lists all machines of irp in the region.
pub(super) async fn run(flags: &Ls, environment: &Environment, ui: &Ui) -> Result<ExitCode, Failure> {
    let account = account::find(&flags.access).await?;
    let step = ui.step("machines", "looking for them");
    let mut found = machines::all(&account).await?;
    found.retain(|machine| flags.all || machine.state != State::Terminated);
    let said = if found.iter().any(|machine| machine.state == State::Running) {
        Inquirer::new(&flags.asking, None, environment, ui).await.ask_all(&found).await
    } else {
        vec![None; found.len()]
    };
    drop(step);
    let now = clock::now();
    let all: Vec<Line> = found
        .iter()
        .zip(said)
        .map(|(machine, edge)| Line { machine: Portrait::of(machine, now), edge })
        .collect();
    if all.is_empty() {
        ui.line(&format!("no machines of irp in {} (account {})", account.aws.region(), account.id));
        return Ok(ExitCode::SUCCESS);
    }
    for line in &all {
        ui.event("machine", line);
    }
    let rows: Vec<_> = all.iter().map(row).collect();
    ui.table(&["URL", "STATE", "ADDRESS", "AGE", "CONNECTED", "ENDS", "TYPE", "ZONE", "COST"], &rows);
    if all.iter().any(|line| line.machine.cost_usd.is_some()) {
        ui.line(&format!("costs are estimates: list prices of us-east-1, {}", price::AS_OF));
    }
    Ok(ExitCode::SUCCESS)
}

/// A machine and its edge.
#[derive(Serialize)]
struct Line {
    #[serde(flatten)]
    machine: Portrait,
    edge: Option<Said>,
}

fn row(line: &Line) -> Vec<String> {
    let machine = &line.machine;
    let edge = line.edge.as_ref();
    let or_none = |text: &Option<String>| text.clone().unwrap_or_else(|| "–".to_owned());
    vec![
        machine.url.clone(),
        machine.state.to_owned(),
        or_none(&machine.address.clone().or_else(|| machine.ipv6.clone())),
        machine.age(),
        or_none(&edge.and_then(Said::sessions).map(|count| count.to_string())),
        or_none(&edge.and_then(Said::end)),
        machine.kind(),
        or_none(&machine.zone),
        machine.cost(),
    ]
}
