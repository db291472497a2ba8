//! Instance profiles, by which machines get a role.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{
    Iam,
    roles::{Role, optional},
};
use crate::{error::Error, form::Form, xml};

/// An instance profile.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct InstanceProfile {
    /// Its name.
    #[serde(rename = "InstanceProfileName")]
    pub name: String,
    /// Its ARN.
    pub arn: String,
    /// Its role: at most one.
    #[serde(default, deserialize_with = "xml::members")]
    pub roles: Vec<Role>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Found {
    instance_profile: InstanceProfile,
}

impl Iam {
    /// GetInstanceProfile; `None` when there is none.
    ///
    /// # Errors
    ///
    /// When AWS refuses or is not reached.
    pub async fn instance_profile(&self, name: &str) -> Result<Option<InstanceProfile>, Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Answer {
            get_instance_profile_result: Found,
        }
        let answer = self.send("GetInstanceProfile", &named(name)).await;
        optional(answer.map(|answer: Answer| answer.get_instance_profile_result.instance_profile))
    }

    /// CreateInstanceProfile, without a role yet.
    ///
    /// # Errors
    ///
    /// [`Exists`](crate::Kind::Exists) when there is one of this name.
    pub async fn create_instance_profile(
        &self,
        name: &str,
        tags: &BTreeMap<String, String>,
    ) -> Result<InstanceProfile, Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Answer {
            create_instance_profile_result: Found,
        }
        let mut form = named(name);
        form.member_tags(tags);
        let answer: Answer = self.send("CreateInstanceProfile", &form).await?;
        Ok(answer.create_instance_profile_result.instance_profile)
    }

    /// AddRoleToInstanceProfile.
    ///
    /// # Errors
    ///
    /// [`Quota`](crate::Kind::Quota) when the profile has a role.
    pub async fn add_role_to_profile(&self, profile: &str, role: &str) -> Result<(), Error> {
        let mut form = named(profile);
        form.set("RoleName", role);
        self.order("AddRoleToInstanceProfile", &form).await
    }

    /// RemoveRoleFromInstanceProfile; `false` when it was not in it.
    ///
    /// # Errors
    ///
    /// When AWS refuses or is not reached.
    pub async fn remove_role_from_profile(&self, profile: &str, role: &str) -> Result<bool, Error> {
        let mut form = named(profile);
        form.set("RoleName", role);
        Ok(optional(self.order("RemoveRoleFromInstanceProfile", &form).await)?.is_some())
    }

    /// DeleteInstanceProfile; `false` when there was none. Its role must be out of it.
    ///
    /// # Errors
    ///
    /// [`InUse`](crate::Kind::InUse) when it has a role.
    pub async fn delete_instance_profile(&self, name: &str) -> Result<bool, Error> {
        Ok(optional(self.order("DeleteInstanceProfile", &named(name)).await)?.is_some())
    }
}

fn named(profile: &str) -> Form {
    let mut form = Form::new();
    form.set("InstanceProfileName", profile);
    form
}
