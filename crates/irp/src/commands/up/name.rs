//! The record of the name: the machine sets it by its role, or this PC does where it has none.

use std::time::{Duration, Instant};

use irp_aws::Kind as Refusal;
use irp_launch::ending::Ending;
use serde_json::json;
use tokio::time::sleep;

use super::machine::{Running, Scene};
use crate::{
    clock,
    cloud::{
        launch::wait::{self, Seen},
        record::Records,
    },
    error::Failure,
};

/// How long the record of the name may take to lead to the machine: it boots, downloads its edge, and Route 53 takes up to
/// a minute.
const RECORD_WITHIN: Duration = Duration::from_secs(240);

/// How often Route 53 is asked; it takes five calls a second from a whole account.
const RECORD_EVERY: Duration = Duration::from_secs(2);

/// How often the machine is looked at meanwhile.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Waits until the record of the name leads to the machine, or sets it where the machine cannot. Not to see it in time is no failure: the tunnel needs no name.
/// Gives the end of a machine that ends meanwhile.
pub(super) async fn leads_to(scene: &Scene<'_>, running: &Running) -> Result<Option<Ending>, Failure> {
    let name = scene.settings.name.as_str();
    let Some(address) = running.machine.address() else { return Ok(None) };
    let step = scene.ui.step("dns", &format!("waiting until {name} leads to {address}"));
    if running.machine.by_pc {
        let (ipv4, ipv6) = (running.machine.ipv4, running.machine.ipv6);
        if let Err(failure) = Records::of(scene.account, &scene.zone.id, name).point(ipv4, ipv6).await {
            step.failed();
            return Err(
                failure.hint("without a role (NO_ROLE) the record is set from here: are you allowed to?")
            );
        }
        step.done(&format!("{name} → {address}   set from here"));
        told(scene, running, "set");
        return Ok(None);
    }
    let began = Instant::now();
    let mut looked = Instant::now();
    while began.elapsed() < RECORD_WITHIN {
        match wait::is_in_record(scene.account, &scene.zone.id, name, address).await {
            Ok(true) => {
                step.done(&format!("{name} → {address}"));
                return Ok(None);
            }
            Ok(false) => {}
            Err(error)
                if matches!(error.kind(), Refusal::Network | Refusal::Throttled | Refusal::Service) => {}
            Err(error) => {
                step.failed();
                scene.ui.warning(&format!("whether {name} leads to the machine cannot be seen: {error}"));
                return Ok(None);
            }
        }
        if looked.elapsed() > LOOK_EVERY {
            looked = Instant::now();
            if let Ok(Seen::Gone(ending)) = wait::look(scene.account, &running.machine.id).await {
                step.failed();
                return Ok(Some(ending));
            }
        }
        sleep(RECORD_EVERY).await;
    }
    step.failed();
    scene.ui.warning(&format!(
        "{name} does not lead to {address} after {}: visitors do not find it yet; irp doctor looks for the reason",
        clock::words(RECORD_WITHIN)
    ));
    Ok(None)
}

/// Takes away the record of a machine that is no more and could not do it itself. Where that fails it is only told: the
/// machine costs nothing any more.
pub(super) async fn withdraw(scene: &Scene<'_>, running: &Running) {
    let name = scene.settings.name.as_str();
    let records = Records::of(scene.account, &scene.zone.id, name);
    match records.withdraw(&running.machine.addresses()).await {
        Ok(gone) if gone.is_empty() => {}
        Ok(_) => told(scene, running, "removed"),
        Err(failure) => scene.ui.warning(&format!(
            "{name} still leads to where its machine was: {}; irp gc removes the record",
            failure.message()
        )),
    }
}

fn told(scene: &Scene<'_>, running: &Running, state: &str) {
    for address in running.machine.addresses() {
        let kind = if address.is_ipv4() { "A" } else { "AAAA" };
        let record = json!({ "name": scene.settings.name, "type": kind, "value": address, "state": state });
        scene.ui.event("record", &record);
    }
}
