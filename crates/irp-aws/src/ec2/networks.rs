//! Networks, subnets and security groups.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{Ec2, Filter, Tags};
use crate::{error::Error, form::Form, xml};

/// A network.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Vpc {
    /// `vpc-…`.
    #[serde(rename = "vpcId")]
    pub id: String,
    /// Whether it is the account's default one in this region.
    #[serde(default)]
    pub is_default: bool,
    /// Its IPv4 range.
    pub cidr_block: Option<String>,
    /// Its tags.
    #[serde(default, rename = "tagSet", deserialize_with = "xml::tags")]
    pub tags: Tags,
}

/// A subnet.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Subnet {
    /// `subnet-…`.
    #[serde(rename = "subnetId")]
    pub id: String,
    /// The network that it is of.
    pub vpc_id: String,
    /// Such as `ap-northeast-1a`.
    pub availability_zone: String,
    /// Whether it is the default one of its zone.
    #[serde(default)]
    pub default_for_az: bool,
    /// Whether machines get a public IPv4 address in it unless told otherwise.
    #[serde(default)]
    pub map_public_ip_on_launch: bool,
    /// How many IPv4 addresses are left.
    #[serde(default)]
    pub available_ip_address_count: u32,
    /// Whether it has an IPv6 range.
    #[serde(default, rename = "ipv6CidrBlockAssociationSet", deserialize_with = "any_range")]
    pub has_ipv6: bool,
}

/// A security group.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SecurityGroup {
    /// `sg-…`.
    #[serde(rename = "groupId")]
    pub id: String,
    /// Its name.
    #[serde(rename = "groupName")]
    pub name: String,
    /// The network that it is of.
    pub vpc_id: Option<String>,
    /// What comes in.
    #[serde(default, rename = "ipPermissions", deserialize_with = "ingress")]
    pub ingress: Vec<Ingress>,
    /// Its tags.
    #[serde(default, rename = "tagSet", deserialize_with = "xml::tags")]
    pub tags: Tags,
}

/// Ports of TCP or UDP that a security group opens to some addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ingress {
    /// `tcp`, `udp`, or `-1` for everything.
    pub protocol: String,
    /// The first and the last port; `None` for all.
    pub ports: Option<(u16, u16)>,
    /// IPv4 networks, in CIDR notation.
    pub ipv4: Vec<String>,
    /// IPv6 networks.
    pub ipv6: Vec<String>,
}

impl Ingress {
    /// One port of TCP for everybody.
    #[must_use]
    pub fn tcp_from_everywhere(port: u16) -> Self {
        Self {
            protocol: "tcp".into(),
            ports: Some((port, port)),
            ipv4: vec!["0.0.0.0/0".into()],
            ipv6: vec!["::/0".into()],
        }
    }

    /// Whether it lets everybody (IPv4) reach a port of TCP.
    #[must_use]
    pub fn opens(&self, port: u16) -> bool {
        let is_in = self.ports.is_none_or(|(first, last)| (first..=last).contains(&port));
        let is_tcp = matches!(self.protocol.as_str(), "tcp" | "6" | "-1");
        is_tcp && is_in && self.ipv4.iter().any(|network| network == "0.0.0.0/0")
    }
}

impl Ec2 {
    /// DescribeVpcs.
    ///
    /// # Errors
    ///
    /// When AWS refuses or is not reached.
    pub async fn vpcs(&self, filters: &[Filter]) -> Result<Vec<Vpc>, Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Page {
            #[serde(default, deserialize_with = "xml::items")]
            vpc_set: Vec<Vpc>,
            next_token: Option<String>,
        }
        let parts = |page: Page| (page.vpc_set, page.next_token);
        self.pages("DescribeVpcs", Form::matching(filters), parts).await
    }

    /// DescribeSubnets.
    ///
    /// # Errors
    ///
    /// When AWS refuses or is not reached.
    pub async fn subnets(&self, filters: &[Filter]) -> Result<Vec<Subnet>, Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Page {
            #[serde(default, deserialize_with = "xml::items")]
            subnet_set: Vec<Subnet>,
            next_token: Option<String>,
        }
        let parts = |page: Page| (page.subnet_set, page.next_token);
        self.pages("DescribeSubnets", Form::matching(filters), parts).await
    }

    /// DescribeSecurityGroups.
    ///
    /// # Errors
    ///
    /// When AWS refuses or is not reached.
    pub async fn security_groups(&self, filters: &[Filter]) -> Result<Vec<SecurityGroup>, Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Page {
            #[serde(default, deserialize_with = "xml::items")]
            security_group_info: Vec<SecurityGroup>,
            next_token: Option<String>,
        }
        let parts = |page: Page| (page.security_group_info, page.next_token);
        self.pages("DescribeSecurityGroups", Form::matching(filters), parts).await
    }

    /// CreateSecurityGroup: closed to everything; gives its id.
    ///
    /// # Errors
    ///
    /// [`Exists`](crate::Kind::Exists) when the network has a group of this name.
    pub async fn create_security_group(
        &self,
        vpc_id: &str,
        name: &str,
        description: &str,
        tags: &Tags,
    ) -> Result<String, Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Answer {
            group_id: String,
        }
        let mut form = Form::new();
        form.set("VpcId", vpc_id).set("GroupName", name).set("GroupDescription", description);
        form.tag_specifications("", &["security-group"], tags);
        let answer: Answer = self.send("CreateSecurityGroup", &form).await?;
        Ok(answer.group_id)
    }

    /// AuthorizeSecurityGroupIngress. A rule that is there already is no error.
    ///
    /// # Errors
    ///
    /// When AWS refuses or is not reached.
    pub async fn authorize_ingress(&self, group_id: &str, rule: &Ingress) -> Result<(), Error> {
        let mut form = Form::new();
        form.set("GroupId", group_id).set("IpPermissions.1.IpProtocol", &rule.protocol);
        if let Some((first, last)) = rule.ports {
            form.set("IpPermissions.1.FromPort", first).set("IpPermissions.1.ToPort", last);
        }
        for (index, network) in rule.ipv4.iter().enumerate() {
            form.set(format!("IpPermissions.1.IpRanges.{}.CidrIp", index + 1), network);
        }
        for (index, network) in rule.ipv6.iter().enumerate() {
            form.set(format!("IpPermissions.1.Ipv6Ranges.{}.CidrIpv6", index + 1), network);
        }
        match self.order("AuthorizeSecurityGroupIngress", &form).await {
            Err(error) if error.is("InvalidPermission.Duplicate") => Ok(()),
            other => other,
        }
    }

    /// DeleteSecurityGroup.
    ///
    /// # Errors
    ///
    /// [`InUse`](crate::Kind::InUse) as long as a machine that is ending still has it.
    pub async fn delete_security_group(&self, group_id: &str) -> Result<(), Error> {
        let mut form = Form::new();
        form.set("GroupId", group_id);
        self.order("DeleteSecurityGroup", &form).await
    }
}

fn any_range<'de, D: serde::Deserializer<'de>>(from: D) -> Result<bool, D::Error> {
    let ranges: Vec<BTreeMap<String, serde::de::IgnoredAny>> = xml::items(from)?;
    Ok(!ranges.is_empty())
}

fn ingress<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Vec<Ingress>, D::Error> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Permission {
        ip_protocol: String,
        from_port: Option<i32>,
        to_port: Option<i32>,
        #[serde(default, deserialize_with = "xml::items")]
        ip_ranges: Vec<V4>,
        #[serde(default, deserialize_with = "xml::items")]
        ipv6_ranges: Vec<V6>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct V4 {
        cidr_ip: String,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct V6 {
        cidr_ipv6: String,
    }
    let permissions: Vec<Permission> = xml::items(from)?;
    let port = |port: Option<i32>| port.and_then(|port| u16::try_from(port).ok());
    Ok(permissions
        .into_iter()
        .map(|permission| Ingress {
            protocol: permission.ip_protocol,
            ports: port(permission.from_port).zip(port(permission.to_port)),
            ipv4: permission.ip_ranges.into_iter().map(|range| range.cidr_ip).collect(),
            ipv6: permission.ipv6_ranges.into_iter().map(|range| range.cidr_ipv6).collect(),
        })
        .collect())
}
