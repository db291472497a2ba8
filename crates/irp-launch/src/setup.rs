//! What an account needs once for a public name: as data that `irp setup` compares with what is there, and as templates
//! for those who make such things by CloudFormation or Terraform.

mod cloudformation;
mod terraform;

use std::collections::BTreeMap;

use irp_wire::name::Hostname;

pub use self::{cloudformation::cloudformation, terraform::terraform};
use crate::{
    policy::{Edge, POLICY_NAME, Place, Policy, RoleNameError, trust},
    tags,
};

/// The launch template that the original of this idea is used with.
pub const TEMPLATE_NAME: &str = "reverse-proxy";

/// The port that visitors come to, the only one that is open.
pub const PORT: u16 = 443;

/// Days after which a program in the bucket is deleted: it is uploaded again when it is wanted again.
pub const PROGRAM_DAYS: u32 = 30;

/// Seconds that resolvers keep the CAA records; a certificate authority asks afresh.
pub const CAA_TTL: u32 = 300;

/// The CAA records of a name whose edge proves it by DNS (RFC 8659, RFC 8657). Whoever gets the machine's address after it
/// has ended could prove the name by that address; these records say that such a proof does not count.
pub const CAA: [&str; 2] = ["0 issue \"letsencrypt.org;validationmethods=dns-01\"", "0 issuewild \";\""];

/// Tags by their keys.
pub type Tags = BTreeMap<String, String>;

/// All that an account needs for one name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blueprint {
    /// The public name.
    pub name: Hostname,
    /// The zone that it is in.
    pub zone_id: String,
    /// What the machine may do; `None` for machines that may do nothing.
    pub role: Option<Role>,
    /// Who may come in.
    pub group: Group,
    /// What machines are like.
    pub template: Template,
    /// Where programs, and perhaps certificates, are kept.
    pub bucket: Bucket,
    /// CAA records of the name; `None` where the edge proves the name by its address.
    pub caa: Option<Vec<String>>,
    /// Tags of what is for this name alone.
    pub tags: Tags,
}

/// A role, with an instance profile of the same name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Role {
    /// Its name.
    pub name: String,
    /// Who assumes it.
    pub trust: Policy,
    /// Its only policy, [`POLICY_NAME`].
    pub policy: Policy,
    /// The ARN of a policy that it cannot exceed.
    pub boundary: Option<String>,
}

/// A security group that lets everybody in at [`PORT`], shared by all names of a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Its network.
    pub vpc_id: String,
    /// Its tags.
    pub tags: Tags,
}

/// A launch template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    /// Its name.
    pub name: String,
    /// `ami-…`, or `resolve:ssm:` and the parameter that holds today's.
    pub image: String,
    /// What that image calls its root device.
    pub root_device: String,
    /// The kind of machine.
    pub instance_type: String,
    /// Whether it earns credits, and is to slow down rather than cost more.
    pub is_burstable: bool,
    /// Where machines are; a default subnet if not said.
    pub subnet_id: Option<String>,
    /// The key of its volume; the account's own if not said.
    pub kms_key: Option<String>,
    /// Tags of the machines.
    pub machine_tags: Tags,
}

/// A private bucket, shared by all names of the account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// Its name.
    pub name: String,
    /// The key of its objects; S3's own if not said.
    pub kms_key: Option<String>,
}

impl Role {
    /// The role of an edge, if it is to have one.
    ///
    /// # Errors
    ///
    /// When the host's label is too long to be part of a role's name.
    pub fn of(edge: &Edge, place: &Place, boundary: Option<String>) -> Result<Option<Self>, RoleNameError> {
        let named = |name| Self { name, trust: trust(place), policy: edge.policy(place), boundary };
        Ok(edge.role_name()?.map(named))
    }
}

impl Blueprint {
    /// The CAA records that this edge is to have.
    #[must_use]
    pub fn caa_of(edge: &Edge, is_lets_encrypt: bool) -> Option<Vec<String>> {
        (edge.has_role && is_lets_encrypt && !edge.is_caddy).then(|| CAA.map(str::to_owned).to_vec())
    }

    /// Tags of what is for one name alone, and the company's own.
    #[must_use]
    pub fn tags_of(name: &Hostname, own: &Tags) -> Tags {
        let mut all = own.clone();
        all.insert(tags::NAME.to_owned(), name.to_string());
        all.insert(tags::SHOWN.to_owned(), format!("irp {name}"));
        all
    }

    /// A name for templates that may hold letters, digits and `_` only.
    fn symbol(&self) -> String {
        self.name.as_str().replace(['.', '-'], "_")
    }

    fn description(&self) -> String {
        format!("irp: machines of {}", self.name)
    }

    fn policy_name() -> &'static str {
        POLICY_NAME
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn blueprint() -> Blueprint {
        let place = Place {
            partition: "aws".into(),
            region: "eu-central-1".into(),
            account: "123456789012".into(),
            zone_id: "Z0123456789ABC".into(),
            bucket: Some("irp-123456789012-eu-central-1".into()),
        };
        let edge = Edge {
            host: "alice".parse().unwrap(),
            name: "alice.proxy.example.com".parse().unwrap(),
            has_role: true,
            is_caddy: false,
            store: "ssm".parse().unwrap(),
            kms_key: None,
        };
        let own = Tags::from([("team".to_owned(), "bots ${x}".to_owned())]);
        let tags = Blueprint::tags_of(&edge.name, &own);
        Blueprint {
            name: edge.name.clone(),
            zone_id: place.zone_id.clone(),
            role: Role::of(&edge, &place, Some("arn:aws:iam::123456789012:policy/b".into())).unwrap(),
            group: Group { vpc_id: "vpc-1".into(), tags: tags::of_group() },
            template: Template {
                name: TEMPLATE_NAME.into(),
                image: "resolve:ssm:/aws/service/x".into(),
                root_device: "/dev/xvda".into(),
                instance_type: "t4g.nano".into(),
                is_burstable: true,
                subnet_id: None,
                kms_key: None,
                machine_tags: tags.clone(),
            },
            bucket: Bucket { name: "irp-123456789012-eu-central-1".into(), kms_key: None },
            caa: Blueprint::caa_of(&edge, true),
            tags,
        }
    }

    #[test]
    fn templates_look_as_reviewed() {
        let pretty = |value| serde_json::to_string_pretty(&value).unwrap();
        insta::assert_snapshot!("cloudformation", pretty(cloudformation(&blueprint())));
        insta::assert_snapshot!("terraform", pretty(terraform(&blueprint())));
    }

    #[test]
    fn without_a_role_there_is_no_proof_by_dns_to_insist_on() {
        let edge = Edge {
            host: "alice".parse().unwrap(),
            name: "alice.example.com".parse().unwrap(),
            has_role: true,
            is_caddy: false,
            store: "ssm".parse().unwrap(),
            kms_key: None,
        };
        assert!(Blueprint::caa_of(&edge, true).is_some());
        assert_eq!(Blueprint::caa_of(&edge, false), None);
        assert_eq!(Blueprint::caa_of(&Edge { has_role: false, ..edge.clone() }, true), None);
        assert_eq!(Blueprint::caa_of(&Edge { is_caddy: true, ..edge }, true), None);
        let bare = Blueprint { role: None, caa: None, ..blueprint() };
        for text in [cloudformation(&bare).to_string(), terraform(&bare).to_string()] {
            assert!(!text.contains("iam") && !text.contains("IamInstanceProfile"), "{text}");
        }
    }
}
