//! Elastic IP addresses.

use std::net::Ipv4Addr;

use serde::Deserialize;

use super::{Ec2, Tags};
use crate::{error::Error, form::Form, xml};

/// An Elastic IP address.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Address {
    /// `eipalloc-…`.
    pub allocation_id: String,
    /// The address.
    pub public_ip: Ipv4Addr,
    /// `eipassoc-…` while it is attached.
    #[serde(default, deserialize_with = "xml::non_empty")]
    pub association_id: Option<String>,
    /// The machine that it is attached to.
    #[serde(default, deserialize_with = "xml::non_empty")]
    pub instance_id: Option<String>,
    /// Its tags.
    #[serde(default, rename = "tagSet", deserialize_with = "xml::tags")]
    pub tags: Tags,
}

impl Ec2 {
    /// DescribeAddresses by allocation id.
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::Kind::NotFound) when there is no such address.
    pub async fn addresses(&self, allocation_ids: &[&str]) -> Result<Vec<Address>, Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Answer {
            #[serde(default, deserialize_with = "xml::items")]
            addresses_set: Vec<Address>,
        }
        let mut form = Form::new();
        form.list("AllocationId", allocation_ids);
        let answer: Answer = self.send("DescribeAddresses", &form).await?;
        Ok(answer.addresses_set)
    }

    /// AssociateAddress: attaches an address to a machine, and takes it from another only if `reassociate`. Gives the
    /// association's id.
    ///
    /// # Errors
    ///
    /// When AWS refuses (the machine is not running yet: [`InUse`](crate::Kind::InUse)) or is not reached.
    pub async fn associate_address(
        &self,
        allocation_id: &str,
        instance_id: &str,
        reassociate: bool,
    ) -> Result<String, Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Answer {
            association_id: String,
        }
        let mut form = Form::new();
        form.set("AllocationId", allocation_id).set("InstanceId", instance_id);
        form.set("AllowReassociation", reassociate);
        let answer: Answer = self.send("AssociateAddress", &form).await?;
        Ok(answer.association_id)
    }
}
