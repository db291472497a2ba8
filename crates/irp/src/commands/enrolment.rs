//! A key that the edge of a machine does not know: pushed to the machine by SendSSHPublicKey, so that IAM decides.

use std::time::{Duration, Instant};

use irp_aws::Kind as Refusal;
use irp_client::RunError;
use irp_wire::hello::{self, RefusalCode};
use serde_json::json;
use tokio::time::sleep;

use super::tunnel;
use crate::{
    cloud::account::{Account, explain},
    error::Failure,
    signals::Signals,
    ui::Ui,
};

/// How long a pushed key is good, and how often it is tried meanwhile.
const PUSHED_FOR: Duration = Duration::from_secs(60);
const PUSHED_EVERY: Duration = Duration::from_secs(2);

/// The account of the machine for which keys are pushed that its edge is to know.
const PUSHED_USER: &str = "irp";

/// One key and one machine.
#[derive(Debug)]
pub(super) struct Enrolment<'a> {
    account: &'a Account,
    machine: String,
    key: String,
    pushed: Option<Instant>,
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// To connect again: the edge may know the key by now.
    Connect,
    /// To leave: the person has asked for it.
    Leave,
}

impl<'a> Enrolment<'a> {
    /// Nothing is done yet.
    pub(super) fn of(account: &'a Account, machine: &str, key: &str) -> Self {
        Self { account, machine: machine.to_owned(), key: key.to_owned(), pushed: None }
    }

    /// Whether an edge refuses for want of it.
    pub(super) fn is_wanted(refusal: &hello::Refusal) -> bool {
        refusal.code == RefusalCode::UnknownKey
    }

    /// Pushes the key; after that, waits a moment for the edge to see it.
    ///
    /// # Errors
    ///
    /// When AWS does not take it, or the edge has refused it all the time that it was good.
    pub(super) async fn answer(
        &mut self,
        refusal: hello::Refusal,
        signals: &mut Signals,
        ui: &Ui,
    ) -> Result<Next, Failure> {
        let work = async {
            match self.pushed {
                None => self.push(ui).await,
                Some(at) if at.elapsed() > PUSHED_FOR => {
                    let id = &self.machine;
                    Err(tunnel::explain(&RunError::Refused(refusal), &self.key).hint(format!(
                        "its key was pushed to {id}, and its edge does not take it: does it read pushed keys, as \
                         machines of irp up do?"
                    )))
                }
                Some(_) => {
                    sleep(PUSHED_EVERY).await;
                    Ok(())
                }
            }
        };
        tokio::select! {
            biased;
            () = signals.next() => Ok(Next::Leave),
            done = work => done.map(|()| Next::Connect),
        }
    }

    async fn push(&mut self, ui: &Ui) -> Result<(), Failure> {
        let (id, key) = (&self.machine, &self.key);
        let step = ui.step("key", &format!("the edge does not know it yet: pushing it to {id}"));
        if let Err(error) = self.account.aws.instance_connect().send_key(id, PUSHED_USER, key).await {
            step.failed();
            let failure = explain(&error);
            let hint = format!("or let whoever launched {id} add it: [[key]] public = \"{key}\"");
            return Err(if error.kind() == Refusal::Denied { failure.hint(hint) } else { failure });
        }
        self.pushed = Some(Instant::now());
        step.done("pushed to the machine");
        ui.event("enrolled", &json!({ "machine": id, "key": key }));
        Ok(())
    }
}
