//! Machines: what they are, ending them, their console.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{Ipv4Addr, Ipv6Addr},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde::Deserialize;

use super::{Ec2, Filter, Tags};
use crate::{
    error::{Error, Kind},
    form::Form,
    service::Service,
    xml,
};

/// The life of a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// It is starting.
    Pending,
    /// It runs.
    Running,
    /// It is ending; this cannot be undone.
    ShuttingDown,
    /// It is gone; it stays in lists for about an hour.
    Terminated,
    /// It is being stopped.
    Stopping,
    /// It is stopped: its volumes still cost.
    Stopped,
    /// A state that this program does not know.
    #[serde(other)]
    Other,
}

impl State {
    /// Whether it is or will be running.
    #[must_use]
    pub fn is_alive(self) -> bool {
        matches!(self, Self::Pending | Self::Running)
    }
}

/// A machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// `i-…`.
    pub id: String,
    /// The image that it was started from.
    pub image_id: String,
    /// Such as `t4g.nano`.
    pub instance_type: String,
    /// `arm64` or `x86_64`.
    pub architecture: Option<String>,
    /// Where in its life it is.
    pub state: State,
    /// Why it ended, as AWS says, such as `Client.UserInitiatedShutdown: …` or `Server.SpotInstanceTermination: …`.
    pub state_reason: Option<String>,
    /// The public IPv4 address, once there is one.
    pub public_ip: Option<Ipv4Addr>,
    /// The first IPv6 address.
    pub ipv6: Option<Ipv6Addr>,
    /// The subnet, such as `subnet-…`.
    pub subnet_id: Option<String>,
    /// The network, such as `vpc-…`.
    pub vpc_id: Option<String>,
    /// Such as `ap-northeast-1a`.
    pub availability_zone: Option<String>,
    /// When it was launched, RFC 3339 in UTC.
    pub launch_time: Option<String>,
    /// The ARN of its instance profile.
    pub instance_profile: Option<String>,
    /// Its security groups, `sg-…`.
    pub security_groups: Vec<String>,
    /// Whether it is a spot instance.
    pub spot: bool,
    /// The token with which it was ordered.
    pub client_token: Option<String>,
    /// Its tags.
    pub tags: Tags,
}

/// A machine that was told to end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateChange {
    /// `i-…`.
    pub id: String,
    /// The state now.
    pub current: State,
    /// The state before.
    pub previous: State,
}

/// What a machine wrote to its console.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsoleOutput {
    /// When it was taken, RFC 3339.
    pub timestamp: Option<String>,
    /// The text, at most its last 64 KiB; empty as long as AWS has none.
    pub text: String,
}

impl Ec2 {
    /// DescribeInstances by id.
    ///
    /// # Errors
    ///
    /// [`NotFound`](Kind::NotFound) when one of them is unknown, which it may be for seconds after it was ordered.
    pub async fn instances(&self, ids: &[&str]) -> Result<Vec<Instance>, Error> {
        self.describe_instances(ids, &[]).await
    }

    /// DescribeInstances by filter.
    ///
    /// # Errors
    ///
    /// When AWS refuses or is not reached.
    pub async fn instances_where(&self, filters: &[Filter]) -> Result<Vec<Instance>, Error> {
        self.describe_instances(&[], filters).await
    }

    async fn describe_instances(&self, ids: &[&str], filters: &[Filter]) -> Result<Vec<Instance>, Error> {
        let mut form = Form::matching(filters);
        form.list("InstanceId", ids);
        let parts = |page: Reservations| {
            let all = page.reservation_set.into_iter().flat_map(|reservation| reservation.instances_set);
            (all.map(Instance::from).collect(), page.next_token)
        };
        self.pages("DescribeInstances", form, parts).await
    }

    /// Whether the machine terminates (rather than stops) when its system powers off: DescribeInstanceAttribute
    /// `instanceInitiatedShutdownBehavior`.
    ///
    /// # Errors
    ///
    /// When AWS refuses or is not reached.
    pub async fn terminates_on_shutdown(&self, id: &str) -> Result<bool, Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Answer {
            instance_initiated_shutdown_behavior: Value,
        }
        let answer: Answer = self.attribute(id, "instanceInitiatedShutdownBehavior").await?;
        Ok(answer.instance_initiated_shutdown_behavior.value == "terminate")
    }

    /// ModifyInstanceAttribute: the machine terminates (rather than stops) when its system powers off.
    ///
    /// # Errors
    ///
    /// When AWS refuses or is not reached.
    pub async fn terminate_on_shutdown(&self, id: &str) -> Result<(), Error> {
        let mut form = Form::new();
        // Said so, and not by `Attribute` and `Value`, a policy can allow this value alone.
        form.set("InstanceId", id).set("InstanceInitiatedShutdownBehavior.Value", "terminate");
        self.order("ModifyInstanceAttribute", &form).await
    }

    /// The user-data of a machine, decoded: DescribeInstanceAttribute `userData`.
    ///
    /// # Errors
    ///
    /// When AWS refuses or is not reached.
    pub async fn user_data(&self, id: &str) -> Result<Vec<u8>, Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Answer {
            #[serde(default)]
            user_data: Value,
        }
        let answer: Answer = self.attribute(id, "userData").await?;
        decoded("DescribeInstanceAttribute", &answer.user_data.value)
    }

    async fn attribute<T: serde::de::DeserializeOwned>(&self, id: &str, name: &str) -> Result<T, Error> {
        let mut form = Form::new();
        form.set("InstanceId", id).set("Attribute", name);
        self.send("DescribeInstanceAttribute", &form).await
    }

    /// TerminateInstances. Those that are ending or gone already are no error.
    ///
    /// # Errors
    ///
    /// When AWS refuses or is not reached.
    pub async fn terminate(&self, ids: &[&str]) -> Result<Vec<StateChange>, Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Answer {
            #[serde(default, deserialize_with = "xml::items")]
            instances_set: Vec<Change>,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Change {
            instance_id: String,
            current_state: StateName,
            previous_state: StateName,
        }
        let mut form = Form::new();
        form.list("InstanceId", ids);
        let answer: Answer = self.send("TerminateInstances", &form).await?;
        let changes = answer.instances_set.into_iter();
        Ok(changes
            .map(|change| StateChange {
                id: change.instance_id,
                current: change.current_state.name,
                previous: change.previous_state.name,
            })
            .collect())
    }

    /// CreateTags: sets tags on anything of EC2 that has an id.
    ///
    /// # Errors
    ///
    /// When AWS refuses or is not reached.
    pub async fn create_tags(&self, ids: &[&str], tags: &Tags) -> Result<(), Error> {
        let mut form = Form::new();
        form.list("ResourceId", ids).tags("", tags);
        self.order("CreateTags", &form).await
    }

    /// GetConsoleOutput, the latest where the machine type allows that.
    ///
    /// # Errors
    ///
    /// When AWS refuses or is not reached.
    pub async fn console_output(&self, id: &str) -> Result<ConsoleOutput, Error> {
        #[derive(Deserialize)]
        struct Answer {
            timestamp: Option<String>,
            #[serde(default)]
            output: String,
        }
        let mut form = Form::new();
        form.set("InstanceId", id).set("Latest", true);
        let answer: Answer = match self.send("GetConsoleOutput", &form).await {
            Err(error) if error.is("UnsupportedOperation") => {
                let mut form = Form::new();
                form.set("InstanceId", id);
                self.send("GetConsoleOutput", &form).await?
            }
            other => other?,
        };
        let text = decoded("GetConsoleOutput", &answer.output)?;
        Ok(ConsoleOutput { timestamp: answer.timestamp, text: String::from_utf8_lossy(&text).into_owned() })
    }
}

fn decoded(operation: &'static str, base64: &str) -> Result<Vec<u8>, Error> {
    let dense: String = base64.chars().filter(|letter| !letter.is_ascii_whitespace()).collect();
    BASE64_STANDARD.decode(dense).map_err(|error| {
        let action = Form::new().call(Service::Ec2, operation).action;
        Error::new(action, Kind::Answer, "the answer is no base64").because(error)
    })
}

#[derive(Debug, Default, Deserialize)]
struct Value {
    #[serde(default)]
    value: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Reservations {
    #[serde(default, deserialize_with = "xml::items")]
    reservation_set: Vec<Reservation>,
    next_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Reservation {
    #[serde(default, deserialize_with = "xml::items")]
    pub(super) instances_set: Vec<Described>,
}

#[derive(Deserialize)]
struct StateName {
    name: State,
}

/// An instance as the API describes it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Described {
    instance_id: String,
    image_id: String,
    instance_type: String,
    architecture: Option<String>,
    instance_state: StateName,
    state_reason: Option<Reason>,
    #[serde(default, deserialize_with = "xml::non_empty")]
    ip_address: Option<String>,
    ipv6_address: Option<String>,
    subnet_id: Option<String>,
    vpc_id: Option<String>,
    placement: Option<Placement>,
    launch_time: Option<String>,
    iam_instance_profile: Option<Profile>,
    #[serde(default, deserialize_with = "xml::items")]
    group_set: Vec<Group>,
    #[serde(default, deserialize_with = "xml::items")]
    network_interface_set: Vec<Interface>,
    instance_lifecycle: Option<String>,
    #[serde(default, deserialize_with = "xml::non_empty")]
    client_token: Option<String>,
    #[serde(default, deserialize_with = "xml::tags")]
    tag_set: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Reason {
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Placement {
    availability_zone: Option<String>,
}

#[derive(Deserialize)]
struct Profile {
    arn: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Group {
    group_id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Interface {
    #[serde(default, deserialize_with = "xml::items")]
    group_set: Vec<Group>,
    #[serde(default, deserialize_with = "xml::items")]
    ipv6_addresses_set: Vec<InterfaceAddress>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct InterfaceAddress {
    ipv6_address: Option<String>,
}

impl From<Described> for Instance {
    fn from(it: Described) -> Self {
        let of_interfaces = it.network_interface_set.iter().flat_map(|each| &each.group_set);
        let groups = it.group_set.iter().chain(of_interfaces).map(|group| group.group_id.clone());
        let groups: BTreeSet<String> = groups.collect();
        let of_interfaces = it.network_interface_set.into_iter().flat_map(|each| each.ipv6_addresses_set);
        let mut ipv6 = it.ipv6_address.into_iter().chain(of_interfaces.filter_map(|each| each.ipv6_address));
        let reason = it
            .state_reason
            .map(|reason| if reason.message.is_empty() { reason.code } else { reason.message });
        Self {
            id: it.instance_id,
            image_id: it.image_id,
            instance_type: it.instance_type,
            architecture: it.architecture,
            state: it.instance_state.name,
            state_reason: reason.filter(|reason| !reason.trim().is_empty()),
            public_ip: it.ip_address.and_then(|address| address.parse().ok()),
            ipv6: ipv6.find_map(|address| address.parse().ok()),
            subnet_id: it.subnet_id,
            vpc_id: it.vpc_id,
            availability_zone: it.placement.and_then(|placement| placement.availability_zone),
            launch_time: it.launch_time,
            instance_profile: it.iam_instance_profile.and_then(|profile| profile.arn),
            security_groups: groups.into_iter().collect(),
            spot: it.instance_lifecycle.as_deref() == Some("spot"),
            client_token: it.client_token,
            tags: it.tag_set,
        }
    }
}
