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
