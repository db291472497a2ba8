//! `irp down NAME`.

use std::{collections::BTreeSet, net::IpAddr, process::ExitCode, time::Duration};

use irp_aws::ec2::State;
use irp_wire::name::Hostname;
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::{
    cli::machines::Down,
    cloud::{
        account::{self, Account, explain},
        edge_report::Inquirer,
        machines::{self, Machine},
        portrait::state,
        record::Records,
    },
    environment::Environment,
    error::{Failure, Kind},
    ui::Ui,
};

/// How long the end of a machine is waited for. It costs nothing any more as soon as it is told to end.
const GONE_WITHIN: Duration = Duration::from_secs(300);

/// How often AWS is asked meanwhile.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Ends all machines of a name, and takes their records away.
///
/// The record goes first, while the machine still tells its address: killed in between, the next `irp down` finds the
/// machine. It is looked at again in the end, since the edge may have written it once more.
pub(super) async fn run(flags: &Down, environment: &Environment, ui: &Ui) -> Result<ExitCode, Failure> {
    let name = machines::name(flags.named.name.as_deref(), &flags.named.settings(), environment, ui)?;
    let account = account::open(&flags.access, ui).await?;
    let found = machines::named(&account, &name).await?;
    let left: Vec<_> = found.iter().filter(|machine| machine.state != State::Terminated).collect();
    if !flags.yes && !loses_nothing(flags, &left, environment, ui).await? {
        ui.line("nothing was done");
        return Ok(ExitCode::SUCCESS);
    }
    let mut removed = BTreeSet::new();
    let mut trouble = None;
    for machine in &left {
        match withdraw(&account, machine).await {
            Ok(addresses) => removed.extend(addresses),
            // The machine ends all the same: it is what costs.
            Err(failure) => trouble = Some(failure),
        }
    }
    if !left.is_empty() {
        end(&account, &left, ui).await?;
        for machine in &left {
            match withdraw(&account, machine).await {
                Ok(addresses) => removed.extend(addresses),
                Err(failure) => trouble = Some(failure),
            }
        }
    }
    for address in &removed {
        let kind = if address.is_ipv4() { "A" } else { "AAAA" };
        ui.event("record", &json!({ "name": name, "type": kind, "value": address, "state": "removed" }));
        ui.step("record", "removing it").done(&format!("{name} → {address}  removed"));
    }
    let ids: Vec<_> = left.iter().map(|machine| &machine.id).collect();
    ui.event("down", &json!({ "name": name, "machines": ids, "records": removed }));
    if ids.is_empty() && removed.is_empty() {
        ui.line(&format!("{name} has no machine in {}: nothing is to be done", account.aws.region()));
        for address in leftovers(&account, &name).await? {
            ui.warning(&format!(
                "there is a record {name} → {address}, an address that nothing of this account has here: irp gc removes \
                 it, after asking"
            ));
        }
    }
    match trouble {
        None => Ok(ExitCode::SUCCESS),
        Some(failure) => Err(failure
            .cause("the machine is ended, and its record may be left")
            .hint(format!("irp down {name}   tries it again"))),
    }
}

/// Whether no event waits on the machines, or the person gives up those that do. An edge that does not answer is no reason
/// to keep a machine.
async fn loses_nothing(
    flags: &Down,
    machines: &[&Machine],
    environment: &Environment,
    ui: &Ui,
) -> Result<bool, Failure> {
    let (mut parked, mut outlive) = (0, true);
    if machines.iter().any(|machine| machine.state == State::Running) {
        let inquirer = Inquirer::new(&flags.asking, flags.connect_to, environment, ui).await;
        for machine in machines {
            let Some(said) = inquirer.ask(machine).await else { continue };
            parked += said.parked();
            outlive &= said.parked() == 0 || said.outlive();
        }
    }
    if parked == 0 {
        return Ok(true);
    }
    let waits = match parked {
        1 => "1 event waits there for a tunnel, and ".to_owned(),
        count => format!("{count} events wait there for a tunnel, and "),
    };
    let waits = waits
        + match (outlive, parked) {
            (true, 1) => "is left in your bucket for the next machine",
            (true, _) => "are left in your bucket for the next machine",
            (false, _) => "would be lost",
        };
    match ui.ask(&format!("{waits}. End the machine?")) {
        Some(answer) => Ok(answer),
        None => Err(Failure::new(Kind::User, waits)
            .hint("irp connect …   delivers them")
            .hint("irp down --yes   ends the machine all the same")),
    }
}

/// Terminates machines and waits until they are gone.
async fn end(account: &Account, machines: &[&Machine], ui: &Ui) -> Result<(), Failure> {
    let ids: Vec<_> = machines.iter().map(|machine| machine.id.as_str()).collect();
    let shown = ids.join(", ");
    let step = ui.step("machine", &format!("ending {shown}"));
    let ec2 = account.aws.ec2();
    if let Err(error) = ec2.terminate(&ids).await {
        step.failed();
        return Err(explain(&error));
    }
    let until = Instant::now() + GONE_WITHIN;
    let ended = loop {
        match ec2.instances(&ids).await {
            // AWS forgets a machine an hour after its end.
            Err(error) if error.kind() == irp_aws::Kind::NotFound => break true,
            Err(error) => {
                step.failed();
                return Err(explain(&error).hint("it was told to end; irp status   tells whether it has"));
            }
            Ok(now) if now.iter().all(|machine| machine.state == State::Terminated) => break true,
            Ok(_) if Instant::now() >= until => break false,
            Ok(_) => sleep(LOOK_EVERY).await,
        }
    };
    for id in ids {
        let state = state(if ended { State::Terminated } else { State::ShuttingDown });
        ui.event("machine", &json!({ "id": id, "state": state }));
    }
    let more = if ended { "ended" } else { "is still ending, and costs nothing any more" };
    step.done(&format!("{shown}  {more}"));
    Ok(())
}

/// Takes away the records that hold the address of a machine.
async fn withdraw(account: &Account, machine: &Machine) -> Result<Vec<IpAddr>, Failure> {
    let addresses = machine.addresses();
    if addresses.is_empty() {
        return Ok(Vec::new());
    }
    let name = machine.name.as_str();
    let records = match &machine.zone_id {
        Some(id) => Some(Records::of(account, id, name)),
        None => Records::found(account, name).await?,
    };
    match records {
        Some(records) => records.withdraw(&addresses).await,
        None => Ok(Vec::new()),
    }
}

/// Where records lead that a machine of this name may have left: it is not known any more which address it had.
async fn leftovers(account: &Account, name: &Hostname) -> Result<Vec<IpAddr>, Failure> {
    match Records::found(account, name.as_str()).await? {
        Some(records) => records.orphans().await,
        None => Ok(Vec::new()),
    }
}
