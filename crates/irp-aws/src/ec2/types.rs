//! Instance types, and where they are offered.

use serde::Deserialize;

use super::{Ec2, Filter};
use crate::{error::Error, form::Form, xml};

/// An instance type.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InstanceType {
    /// Such as `t4g.nano`.
    #[serde(rename = "instanceType")]
    pub name: String,
    /// `arm64`, `x86_64`; older types have two.
    #[serde(default, rename = "processorInfo", deserialize_with = "architectures")]
    pub architectures: Vec<String>,
    /// How many vCPUs it counts against a quota.
    #[serde(default, rename = "vCpuInfo", deserialize_with = "vcpus")]
    pub vcpus: u32,
    /// Memory in MiB.
    #[serde(default, rename = "memoryInfo", deserialize_with = "memory")]
    pub memory_mib: u64,
    /// Whether it earns CPU credits.
    #[serde(default, rename = "burstablePerformanceSupported")]
    pub burstable: bool,
}

/// A place where an instance type is offered.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Offering {
    /// Such as `t4g.nano`.
    pub instance_type: String,
    /// The availability zone.
    pub location: String,
}

impl Ec2 {
    /// DescribeInstanceTypes by name.
    ///
    /// # Errors
    ///
    /// [`Invalid`](crate::Kind::Invalid) (`InvalidInstanceType`) when one of them is unknown in this region.
    pub async fn instance_types(&self, names: &[&str]) -> Result<Vec<InstanceType>, Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Answer {
            #[serde(default, deserialize_with = "xml::items")]
            instance_type_set: Vec<InstanceType>,
        }
        let mut form = Form::new();
        form.list("InstanceType", names);
        let answer: Answer = self.send("DescribeInstanceTypes", &form).await?;
        Ok(answer.instance_type_set)
    }

    /// DescribeInstanceTypeOfferings: the availability zones of this region that offer a type.
    ///
    /// # Errors
    ///
    /// When AWS refuses or is not reached.
    pub async fn offerings(&self, instance_type: &str) -> Result<Vec<Offering>, Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Page {
            #[serde(default, deserialize_with = "xml::items")]
            instance_type_offering_set: Vec<Offering>,
            next_token: Option<String>,
        }
        let mut form = Form::matching(&[Filter::new("instance-type", [instance_type])]);
        form.set("LocationType", "availability-zone");
        let parts = |page: Page| (page.instance_type_offering_set, page.next_token);
        self.pages("DescribeInstanceTypeOfferings", form, parts).await
    }
}

fn architectures<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Info {
        #[serde(default, deserialize_with = "xml::items")]
        supported_architectures: Vec<String>,
    }
    Info::deserialize(from).map(|info| info.supported_architectures)
}

fn vcpus<'de, D: serde::Deserializer<'de>>(from: D) -> Result<u32, D::Error> {
    #[derive(Deserialize)]
    struct Info {
        #[serde(rename = "defaultVCpus")]
        default: u32,
    }
    Info::deserialize(from).map(|info| info.default)
}

fn memory<'de, D: serde::Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    #[derive(Deserialize)]
    struct Info {
        #[serde(rename = "sizeInMiB")]
        mib: u64,
    }
    Info::deserialize(from).map(|info| info.mib)
}
