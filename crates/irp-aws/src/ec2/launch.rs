//! Starting a machine: RunInstances, and the same data in a launch template.

use base64::{Engine as _, prelude::BASE64_STANDARD};

use super::{Ec2, Instance, Tags, instances::Reservation};
use crate::{
    error::{Error, Kind},
    form::Form,
    service::Service,
};

/// What a machine is to be. What is `None` is left to the launch template, or to EC2's defaults.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LaunchData {
    /// `ami-…`, or `resolve:ssm:NAME` in a launch template.
    pub image_id: Option<String>,
    /// Such as `t4g.nano`.
    pub instance_type: Option<String>,
    /// What cloud-init is given, raw: at most 16 384 bytes before the base64 that this module adds.
    pub user_data: Option<Vec<u8>>,
    /// The name of the instance profile.
    pub instance_profile: Option<String>,
    /// The first network interface.
    pub network: Option<NetworkInterface>,
    /// The root volume.
    pub root_volume: Option<Volume>,
    /// Whether power-off of the system terminates the machine; EC2's default is to stop it.
    pub terminate_on_shutdown: bool,
    /// Metadata only with a session token (IMDSv2), one network hop away, with the instance's tags in it.
    pub strict_metadata: bool,
    /// Burstable types slow down rather than cost more.
    pub standard_credits: bool,
    /// A spot instance that AWS may take away, and that is then gone for good.
    pub spot: bool,
    /// Tags for the machine, its volume and its interface.
    pub tags: Tags,
}

/// The first network interface of a machine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NetworkInterface {
    /// Where it is; a default subnet if not said.
    pub subnet_id: Option<String>,
    /// Its security groups, `sg-…`.
    pub security_groups: Vec<String>,
    /// Whether it gets a public IPv4 address; as the subnet says if not said.
    pub public_address: Option<bool>,
    /// How many IPv6 addresses it gets.
    pub ipv6_addresses: Option<u32>,
}

/// The root volume: gp3, gone with the machine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Volume {
    /// The name that the image gives its root device, such as `/dev/xvda`.
    pub device: String,
    /// GiB; as large as the image if not said.
    pub size: Option<u32>,
    /// Encrypted at rest.
    pub encrypted: bool,
    /// With this KMS key (id, ARN or alias) instead of the account's default.
    pub kms_key: Option<String>,
}

/// A launch template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateReference {
    /// Its name.
    pub name: String,
    /// A number, `$Latest` or `$Default`.
    pub version: String,
}

/// The order of one machine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunInstances {
    /// At most 64 ASCII characters. The same token orders the same machine, however often it is sent.
    pub client_token: String,
    /// What the rest is added to.
    pub launch_template: Option<TemplateReference>,
    /// What it is to be.
    pub data: LaunchData,
}

impl Ec2 {
    /// RunInstances: orders one machine. Safe to repeat with the same `client_token`.
    ///
    /// # Errors
    ///
    /// When AWS refuses or is not reached: [`Capacity`](Kind::Capacity), [`Quota`](Kind::Quota),
    /// [`Denied`](Kind::Denied) among others.
    pub async fn run_instance(&self, order: &RunInstances) -> Result<Instance, Error> {
        let reservation: Reservation = self.send("RunInstances", &form(order)).await?;
        reservation.instances_set.into_iter().next().map(Instance::from).ok_or_else(|| {
            let action = Form::new().call(Service::Ec2, "RunInstances").action;
            Error::new(action, Kind::Answer, "the answer holds no instance")
        })
    }

    /// Whether [`run_instance`](Self::run_instance) would be allowed (`DryRun`).
    ///
    /// # Errors
    ///
    /// What the order itself would be refused with, as far as AWS checks that without making anything.
    pub async fn may_run_instance(&self, order: &RunInstances) -> Result<(), Error> {
        let mut form = form(order);
        form.set("DryRun", true);
        match self.order("RunInstances", &form).await {
            Err(error) if error.is("DryRunOperation") => Ok(()),
            other => other,
        }
    }
}

fn form(order: &RunInstances) -> Form {
    let mut form = Form::new();
    form.set("MinCount", 1).set("MaxCount", 1).set("ClientToken", &order.client_token);
    if let Some(template) = &order.launch_template {
        form.set("LaunchTemplate.LaunchTemplateName", &template.name);
        form.set("LaunchTemplate.Version", &template.version);
    }
    order.data.write(&mut form, "");
    form
}

impl LaunchData {
    /// Both places name these parameters alike, below `prefix`.
    pub(super) fn write(&self, form: &mut Form, prefix: &str) {
        let name = |name: &str| format!("{prefix}{name}");
        form.set_some(name("ImageId"), self.image_id.as_ref());
        form.set_some(name("InstanceType"), self.instance_type.as_ref());
        form.set_some(name("UserData"), self.user_data.as_ref().map(|data| BASE64_STANDARD.encode(data)));
        form.set_some(name("IamInstanceProfile.Name"), self.instance_profile.as_ref());
        if let Some(network) = &self.network {
            network.write(form, &name("NetworkInterface.1."));
        }
        if let Some(volume) = &self.root_volume {
            volume.write(form, &name("BlockDeviceMapping.1."));
        }
        if self.terminate_on_shutdown {
            form.set(name("InstanceInitiatedShutdownBehavior"), "terminate");
        }
        if self.strict_metadata {
            form.set(name("MetadataOptions.HttpTokens"), "required");
            form.set(name("MetadataOptions.HttpPutResponseHopLimit"), 1);
            form.set(name("MetadataOptions.HttpEndpoint"), "enabled");
            form.set(name("MetadataOptions.InstanceMetadataTags"), "enabled");
        }
        if self.standard_credits {
            form.set(name("CreditSpecification.CpuCredits"), "standard");
        }
        let mut tagged = vec!["instance", "volume", "network-interface"];
        if self.spot {
            form.set(name("InstanceMarketOptions.MarketType"), "spot");
            form.set(name("InstanceMarketOptions.SpotOptions.SpotInstanceType"), "one-time");
            form.set(name("InstanceMarketOptions.SpotOptions.InstanceInterruptionBehavior"), "terminate");
            tagged.push("spot-instances-request");
        }
        form.tag_specifications(prefix, &tagged, &self.tags);
    }
}

impl NetworkInterface {
    fn write(&self, form: &mut Form, prefix: &str) {
        form.set(format!("{prefix}DeviceIndex"), 0);
        form.set(format!("{prefix}DeleteOnTermination"), true);
        form.set_some(format!("{prefix}SubnetId"), self.subnet_id.as_ref());
        form.list(&format!("{prefix}SecurityGroupId"), &self.security_groups);
        form.set_some(format!("{prefix}AssociatePublicIpAddress"), self.public_address);
        form.set_some(format!("{prefix}Ipv6AddressCount"), self.ipv6_addresses);
    }
}

impl Volume {
    fn write(&self, form: &mut Form, prefix: &str) {
        form.set(format!("{prefix}DeviceName"), &self.device);
        form.set(format!("{prefix}Ebs.VolumeType"), "gp3");
        form.set(format!("{prefix}Ebs.DeleteOnTermination"), true);
        form.set(format!("{prefix}Ebs.Encrypted"), self.encrypted);
        form.set_some(format!("{prefix}Ebs.VolumeSize"), self.size);
        form.set_some(format!("{prefix}Ebs.KmsKeyId"), self.kms_key.as_ref());
    }
}
