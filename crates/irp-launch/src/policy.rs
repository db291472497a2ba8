//! Who may do what in the account: IAM policies with the least that works, as data.
//!
//! One role for each public name. A machine can point its own name at itself, prove it, and keep its certificate; it
//! cannot touch a neighbour's name, another type of record, another zone, or another name's keys.
//!
//! - [`Edge::policy`] is the inline policy of the role, [`trust`] says who may assume it;
//! - [`person()`] is what whoever types `irp up` needs, [`administrator`] what `irp setup` needs beyond that.

mod edge;
mod person;

use std::collections::BTreeMap;

use irp_wire::name::Hostname;
use serde::Serialize;

pub use self::{
    edge::folder_in_bucket,
    person::{administrator, person},
};
use crate::{
    settings::{Engine, Settings},
    tags,
    values::{CertStore, KmsKey, Label},
};

/// The name of the role's only policy.
pub const POLICY_NAME: &str = "irp-edge";

/// The longest name of a role (IAM, CreateRole).
const ROLE_NAME_MAX: usize = 64;

/// Where an edge lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The partition as ARNs name it: `aws`, `aws-cn`, `aws-us-gov`.
    pub partition: String,
    /// The region.
    pub region: String,
    /// The account's number.
    pub account: String,
    /// The id of the hosted zone, `Z…`.
    pub zone_id: String,
    /// The bucket of `irp setup`, where there is one.
    pub bucket: Option<String>,
}

/// One edge, as far as its rights go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edge {
    /// The first label of its name, which names its role.
    pub host: Label,
    /// Its public name.
    pub name: Hostname,
    /// Whether its machine has a role at all: without one it has no rights in the account.
    pub has_role: bool,
    /// Whether it is Caddy that runs there: that proves the name without DNS, and reads no parameters.
    pub is_caddy: bool,
    /// Where certificates are kept.
    pub store: CertStore,
    /// The key that encrypts them.
    pub kms_key: Option<KmsKey>,
}

/// A policy document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Policy {
    version: &'static str,
    /// What is allowed; nothing is denied, since nothing else is allowed.
    pub statement: Vec<Statement>,
}

/// Conditions by operator, then by key.
pub type Conditions = BTreeMap<&'static str, BTreeMap<String, Vec<String>>>;

/// A statement that allows something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Statement {
    /// What it is for.
    pub sid: &'static str,
    effect: &'static str,
    /// Who, in a trust policy.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub principal: BTreeMap<&'static str, String>,
    /// Actions such as `route53:GetChange`.
    pub action: Vec<String>,
    /// ARNs, with `*` for anything.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub resource: Vec<String>,
    /// All of them must hold.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub condition: Conditions,
}

/// The label is too long to be part of a role's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("irp-edge-{0} is longer than the name of a role can be: HOST_NAME may have 55 characters")]
pub struct RoleNameError(pub String);

impl Edge {
    /// The edge that settings describe.
    #[must_use]
    pub fn of(settings: &Settings) -> Self {
        Self {
            host: settings.host.value.clone(),
            name: settings.name.clone(),
            has_role: !settings.no_role.value,
            is_caddy: matches!(settings.engine.value, Engine::Caddy(_)),
            store: settings.cert_store.value.clone(),
            kms_key: settings.kms_key.as_ref().map(|key| key.value.clone()),
        }
    }

    /// The name of its role, and of its instance profile, if it has one.
    ///
    /// # Errors
    ///
    /// When the host's label has more than 55 characters.
    pub fn role_name(&self) -> Result<Option<String>, RoleNameError> {
        let name = tags::profile(&self.host);
        match self.has_role {
            false => Ok(None),
            true if name.len() > ROLE_NAME_MAX => Err(RoleNameError(self.host.to_string())),
            true => Ok(Some(name)),
        }
    }

    /// The inline policy of its role.
    #[must_use]
    pub fn policy(&self, place: &Place) -> Policy {
        Policy::new(edge::statements(self, place))
    }
}

/// The trust policy of every edge's role: machines of EC2 assume it.
#[must_use]
pub fn trust(place: &Place) -> Policy {
    let service = if place.partition == "aws-cn" { "ec2.amazonaws.com.cn" } else { "ec2.amazonaws.com" };
    let mut statement = Statement::allow("Machines", ["sts:AssumeRole"], [""; 0]);
    statement.principal.insert("Service", service.to_owned());
    Policy::new(vec![statement])
}

impl Policy {
    fn new(statement: Vec<Statement>) -> Self {
        Self { version: "2012-10-17", statement }
    }

    /// The document.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        // Texts, lists and maps with texts for keys always serialise.
        serde_json::to_value(self).unwrap_or_default()
    }
}

impl Statement {
    fn allow<A: Into<String>, R: Into<String>>(
        sid: &'static str,
        actions: impl IntoIterator<Item = A>,
        resources: impl IntoIterator<Item = R>,
    ) -> Self {
        Self {
            sid,
            effect: "Allow",
            principal: BTreeMap::new(),
            action: actions.into_iter().map(Into::into).collect(),
            resource: resources.into_iter().map(Into::into).collect(),
            condition: Conditions::new(),
        }
    }

    fn when<V: Into<String>>(
        mut self,
        operator: &'static str,
        key: &str,
        values: impl IntoIterator<Item = V>,
    ) -> Self {
        let values = values.into_iter().map(Into::into).collect();
        self.condition.entry(operator).or_default().insert(key.to_owned(), values);
        self
    }

    /// Only changes of these names, types and kinds. `ForAllValues` holds for an empty set as well, so `Null` asks that
    /// there is one.
    fn only_changes<'a>(
        self,
        names: impl IntoIterator<Item = &'a str>,
        types: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        let all = "ForAllValues:StringEquals";
        self.when(all, NAMES, names)
            .when(all, TYPES, types)
            .when(all, ACTIONS, ["UPSERT", "DELETE"])
            .when("Null", NAMES, ["false"])
            .when("Null", TYPES, ["false"])
            .when("Null", ACTIONS, ["false"])
    }
}

/// Lower case, without a final dot; letters, digits, `-`, `_` and `.` stand for themselves.
const NAMES: &str = "route53:ChangeResourceRecordSetsNormalizedRecordNames";
const TYPES: &str = "route53:ChangeResourceRecordSetsRecordTypes";
const ACTIONS: &str = "route53:ChangeResourceRecordSetsActions";

impl Place {
    /// An ARN of this region and account.
    fn arn(&self, service: &str, resource: &str) -> String {
        format!("arn:{}:{service}:{}:{}:{resource}", self.partition, self.region, self.account)
    }

    fn zone(&self) -> String {
        format!("arn:{}:route53:::hostedzone/{}", self.partition, self.zone_id)
    }

    fn changes(&self) -> String {
        format!("arn:{}:route53:::change/*", self.partition)
    }

    /// A folder of parameters: itself, by which it is listed, and what is in it.
    fn folder(&self, path: &str) -> [String; 2] {
        [self.arn("ssm", &format!("parameter{path}")), self.arn("ssm", &format!("parameter{path}/*"))]
    }

    fn role(&self, name: &str) -> String {
        format!("arn:{}:iam::{}:role/{name}", self.partition, self.account)
    }

    fn instance_profile(&self, name: &str) -> String {
        format!("arn:{}:iam::{}:instance-profile/{name}", self.partition, self.account)
    }

    fn bucket(&self, name: &str) -> String {
        format!("arn:{}:s3:::{name}", self.partition)
    }
}

/// The use of a key, by way of services of this region alone.
fn key_by(sid: &'static str, actions: &[&str], place: &Place, key: &KmsKey, services: &[&str]) -> Statement {
    let suffix = if place.partition == "aws-cn" { "amazonaws.com.cn" } else { "amazonaws.com" };
    let via = services.iter().map(|service| format!("{service}.{}.{suffix}", place.region));
    let text = key.as_str();
    // Policies know keys by their ARN; an alias is a condition on any key.
    let alias = text.split_once("alias/").map(|(_, name)| format!("alias/{name}"));
    let resource = match &alias {
        Some(_) => place.arn("kms", "key/*"),
        None if text.starts_with("arn:") => text.to_owned(),
        None => place.arn("kms", &format!("key/{text}")),
    };
    let actions = actions.iter().copied();
    let statement = Statement::allow(sid, actions, [resource]).when("StringEquals", "kms:ViaService", via);
    match alias {
        Some(alias) => statement.when("ForAnyValue:StringEquals", "kms:ResourceAliases", [alias]),
        None => statement,
    }
}
