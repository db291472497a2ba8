//! Ordering the machine.

use std::time::Duration;

use irp_aws::{
    Error, Kind as Refusal,
    ec2::{Filter, Instance, LaunchData, NetworkInterface, RunInstances, Tags, TemplateReference, Volume},
};
use irp_launch::{
    plan::{Launch, Network, client_token},
    settings::Settings,
    setup, tags,
};
use tokio::time::{Instant, sleep};

use super::{Wishes, unix_now};
use crate::{
    cloud::{
        account::{Account, explain},
        setup::{ROOT_DEVICE, apply, is_burstable},
        zone::Zone,
    },
    error::{Failure, Kind},
    ui::Ui,
};

/// How long a role that was made a moment ago may be unknown to EC2.
const SETTLES: Duration = Duration::from_secs(30);

/// How long a machine that was ordered may be missing in lists.
const LISTED_WITHIN: Duration = Duration::from_secs(60);

/// How often it is looked for.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The order of one machine.
#[derive(Debug)]
pub(crate) struct Order<'a> {
    /// Where.
    pub(crate) account: &'a Account,
    /// The zone of its name.
    pub(crate) zone: &'a Zone,
    /// What it is for.
    pub(crate) settings: &'a Settings,
    /// What else was asked for.
    pub(crate) wishes: &'a Wishes,
    /// Its security group; `None` where the template says.
    pub(crate) group: Option<String>,
    /// The machines of this name that are no more.
    pub(crate) gone: &'a [String],
}

impl Order<'_> {
    /// Makes the security group, and notes it.
    ///
    /// # Errors
    ///
    /// When AWS refuses or is not reached.
    pub(crate) async fn make_group(&mut self, vpc: &str) -> Result<(), Failure> {
        let mut all = self.own_tags();
        all.extend(tags::of_group());
        let made = apply::create_group(self.account, vpc, &all).await;
        let id = made.map_err(|error| explain(&error).hint("irp setup   makes it, by whoever may"))?;
        self.group = Some(id.clone());
        self.open_group(&id).await
    }

    /// Opens its only port.
    ///
    /// # Errors
    ///
    /// When AWS refuses or is not reached.
    pub(crate) async fn open_group(&self, id: &str) -> Result<(), Failure> {
        let opened = apply::open_port(self.account, id).await;
        opened.map_err(|error| explain(&error).hint("irp setup   opens it, by whoever may"))
    }

    /// Orders the machine, in one place after the other while AWS has none free there.
    ///
    /// # Errors
    ///
    /// What AWS says where all places were tried, or where another place does not help.
    pub(crate) async fn place(&self, launch: &Launch, user_data: &str, ui: &Ui) -> Result<Instance, Failure> {
        let mut networks: Vec<Option<&Network>> = launch.networks.iter().map(Some).collect();
        if networks.is_empty() {
            networks.push(None);
        }
        let last = networks.len() - 1;
        for (attempt, network) in networks.into_iter().enumerate() {
            let token = client_token(self.settings.name.as_str(), self.gone, unix_now(), attempt);
            let order = self.order(launch, network, user_data, token);
            let error = match self.account.aws.ec2().settling(SETTLES).run_instance(&order).await {
                Ok(instance) => return Ok(instance),
                Err(error) => error,
            };
            if error.is("IdempotentParameterMismatch") {
                // An irp up that was interrupted has ordered it with other words, such as another URL.
                return self.ordered(&error).await;
            }
            let is_local = error.kind() == Refusal::Capacity || error.is("Unsupported");
            match network {
                Some(network) if is_local && attempt < last => ui.warning(&format!(
                    "AWS has no free machine of this type in {} at the moment; trying the next zone",
                    network.zone
                )),
                _ => return Err(explain_order(&error, launch)),
            }
        }
        Err(Failure::new(Kind::Internal, "there is no place for the machine"))
    }

    fn order(
        &self,
        launch: &Launch,
        network: Option<&Network>,
        user_data: &str,
        client_token: String,
    ) -> RunInstances {
        let of = tags::Circumstances {
            owner: &self.account.caller_arn,
            zone_id: &self.zone.id,
            user: self.wishes.image.user().filter(|_| launch.template.is_none()),
        };
        let mut all = self.own_tags();
        all.extend(tags::of_machine(self.settings, of));
        let kind = launch.instance_type.as_ref().map(ToString::to_string);
        let image = launch.image.as_ref();
        let data = LaunchData {
            image_id: image.map(|image| image.id.clone()),
            user_data: Some(user_data.as_bytes().to_vec()),
            instance_profile: launch.profile.clone(),
            network: network.map(|network| NetworkInterface {
                subnet_id: Some(network.subnet.clone()),
                security_groups: self.group.iter().cloned().collect(),
                public_address: Some(true),
                ipv6_addresses: network.ipv6.then_some(1),
            }),
            root_volume: image.map(|image| Volume {
                device: image.root_device.clone().unwrap_or_else(|| ROOT_DEVICE.to_owned()),
                size: image.root_gib,
                encrypted: true,
                kms_key: self.settings.kms_key.as_ref().map(|key| key.value.to_string()),
            }),
            // Said even where a template says it: a machine that only stops is never gone.
            terminate_on_shutdown: true,
            strict_metadata: true,
            standard_credits: kind.as_deref().is_some_and(is_burstable),
            spot: launch.spot,
            tags: all,
            instance_type: kind,
        };
        let launch_template = launch
            .template
            .as_ref()
            .map(|name| TemplateReference { name: name.clone(), version: "$Default".to_owned() });
        RunInstances { client_token, launch_template, data }
    }

    /// The machine that an earlier order with the same token made: it is one of this name, and lists show it in a moment.
    async fn ordered(&self, refusal: &Error) -> Result<Instance, Failure> {
        let until = Instant::now() + LISTED_WITHIN;
        loop {
            let filter = [Filter::new(format!("tag:{}", tags::NAME), [self.settings.name.as_str()])];
            let found = self.account.aws.ec2().instances_where(&filter).await;
            let found = found.map_err(|error| explain(&error))?;
            if let Some(machine) = found.into_iter().find(|machine| machine.state.is_alive()) {
                return Ok(machine);
            }
            if Instant::now() > until {
                return Err(explain(refusal).hint("try again in a minute"));
            }
            sleep(LOOK_EVERY).await;
        }
    }

    fn own_tags(&self) -> Tags {
        self.wishes.tags.iter().cloned().collect::<setup::Tags>()
    }
}

/// Why no machine was ordered.
fn explain_order(error: &Error, launch: &Launch) -> Failure {
    let failure = explain(error);
    match (error.kind(), &launch.template) {
        (Refusal::Capacity, _) if launch.spot => failure.hint("or leave --spot out"),
        (Refusal::NotFound, Some(name)) if error.is("InvalidLaunchTemplateName.NotFoundException") => {
            failure.hint(format!("irp setup --launch-template {name}   makes it"))
        }
        (Refusal::Denied, _) => {
            failure.hint("irp doctor   compares what you may do with what a launch needs")
        }
        _ => failure,
    }
}
