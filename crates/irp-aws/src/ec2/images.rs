//! Images.

use serde::Deserialize;

use super::Ec2;
use crate::{error::Error, form::Form, xml};

/// An image.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Image {
    /// `ami-…`.
    #[serde(rename = "imageId")]
    pub id: String,
    /// Its name.
    pub name: Option<String>,
    /// `arm64` or `x86_64`.
    pub architecture: String,
    /// The root device, such as `/dev/xvda`, which a mapping of the root volume has to name.
    pub root_device_name: Option<String>,
    /// The account that made it.
    #[serde(rename = "imageOwnerId")]
    pub owner_id: Option<String>,
    /// What its machines' devices are made of.
    #[serde(default, rename = "blockDeviceMapping", deserialize_with = "xml::items")]
    pub devices: Vec<Device>,
}

/// A device of an image.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Device {
    /// Such as `/dev/xvda`.
    pub device_name: Option<String>,
    /// The volume; other devices have none.
    pub ebs: Option<Ebs>,
}

/// A volume that is made for a machine.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ebs {
    /// GiB.
    pub volume_size: Option<u32>,
}

impl Image {
    /// The size of its root volume in GiB, where it is known.
    #[must_use]
    pub fn root_gib(&self) -> Option<u32> {
        let root = self.devices.iter().find(|device| device.device_name == self.root_device_name)?;
        root.ebs.as_ref()?.volume_size
    }
}

impl Ec2 {
    /// DescribeImages by id.
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::Kind::NotFound) when one of them is unknown in this region.
    pub async fn images(&self, ids: &[&str]) -> Result<Vec<Image>, Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Answer {
            #[serde(default, deserialize_with = "xml::items")]
            images_set: Vec<Image>,
        }
        let mut form = Form::new();
        form.list("ImageId", ids);
        let answer: Answer = self.send("DescribeImages", &form).await?;
        Ok(answer.images_set)
    }
}
