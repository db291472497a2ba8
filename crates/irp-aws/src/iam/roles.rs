//! Roles and their inline policies.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};

use super::Iam;
use crate::{
    error::{Error, Kind},
    form::Form,
    xml,
};

/// A role.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Role {
    /// Its name.
    #[serde(rename = "RoleName")]
    pub name: String,
    /// Its ARN.
    pub arn: String,
    /// The ARN of a policy that nothing it has can exceed.
    #[serde(default, deserialize_with = "boundary")]
    pub permissions_boundary: Option<String>,
    /// Its tags.
    #[serde(default, deserialize_with = "tags")]
    pub tags: BTreeMap<String, String>,
}

/// A role to be made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CreateRole {
    /// Its name, at most 64 characters.
    pub name: String,
    /// Who may assume it: a policy document.
    pub trust: String,
    /// For people.
    pub description: String,
    /// The ARN of a policy that nothing it has can exceed.
    pub permissions_boundary: Option<String>,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
}

impl Iam {
    /// GetRole; `None` when there is none.
    ///
    /// # Errors
    ///
    /// When AWS refuses or is not reached.
    pub async fn role(&self, name: &str) -> Result<Option<Role>, Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Answer {
            get_role_result: Found,
        }
        let mut form = Form::new();
        form.set("RoleName", name);
        optional(self.send("GetRole", &form).await.map(|answer: Answer| answer.get_role_result.role))
    }

    /// CreateRole.
    ///
    /// # Errors
    ///
    /// [`Exists`](Kind::Exists) when there is one of this name.
    pub async fn create_role(&self, role: &CreateRole) -> Result<Role, Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Answer {
            create_role_result: Found,
        }
        let mut form = Form::new();
        form.set("RoleName", &role.name).set("AssumeRolePolicyDocument", &role.trust);
        form.set("Description", &role.description).member_tags(&role.tags);
        form.set_some("PermissionsBoundary", role.permissions_boundary.as_ref());
        let answer: Answer = self.send("CreateRole", &form).await?;
        Ok(answer.create_role_result.role)
    }

    /// DeleteRole; `false` when there was none. Its policies and profiles must be gone.
    ///
    /// # Errors
    ///
    /// [`InUse`](Kind::InUse) when something hangs on it.
    pub async fn delete_role(&self, name: &str) -> Result<bool, Error> {
        let mut form = Form::new();
        form.set("RoleName", name);
        Ok(optional(self.order("DeleteRole", &form).await)?.is_some())
    }

    /// PutRolePermissionsBoundary: gives a role that exists a boundary, or another one.
    ///
    /// # Errors
    ///
    /// [`NotFound`](Kind::NotFound) when there is no such role.
    pub async fn put_role_boundary(&self, role: &str, boundary: &str) -> Result<(), Error> {
        let mut form = Form::new();
        form.set("RoleName", role).set("PermissionsBoundary", boundary);
        self.order("PutRolePermissionsBoundary", &form).await
    }

    /// PutRolePolicy: makes or replaces an inline policy.
    ///
    /// # Errors
    ///
    /// [`NotFound`](Kind::NotFound) when there is no such role.
    pub async fn put_role_policy(&self, role: &str, policy: &str, document: &str) -> Result<(), Error> {
        let mut form = Form::new();
        form.set("RoleName", role).set("PolicyName", policy).set("PolicyDocument", document);
        self.order("PutRolePolicy", &form).await
    }

    /// GetRolePolicy: an inline policy's document as JSON; `None` when there is none.
    ///
    /// # Errors
    ///
    /// When AWS refuses or is not reached.
    pub async fn role_policy(&self, role: &str, policy: &str) -> Result<Option<String>, Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Answer {
            get_role_policy_result: Policy,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Policy {
            policy_document: String,
        }
        let mut form = Form::new();
        form.set("RoleName", role).set("PolicyName", policy);
        let answer = self.send("GetRolePolicy", &form).await;
        let document = optional(answer.map(|answer: Answer| answer.get_role_policy_result.policy_document))?;
        // The API gives it percent-encoded.
        Ok(document.map(|document| decoded(&document)))
    }

    /// ListRolePolicies: names of the inline policies.
    ///
    /// # Errors
    ///
    /// [`NotFound`](Kind::NotFound) when there is no such role.
    pub async fn role_policies(&self, role: &str) -> Result<Vec<String>, Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Answer {
            list_role_policies_result: Names,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Names {
            #[serde(default, deserialize_with = "xml::members")]
            policy_names: Vec<String>,
        }
        let mut form = Form::new();
        form.set("RoleName", role);
        let answer: Answer = self.send("ListRolePolicies", &form).await?;
        Ok(answer.list_role_policies_result.policy_names)
    }

    /// DeleteRolePolicy; `false` when there was none.
    ///
    /// # Errors
    ///
    /// When AWS refuses or is not reached.
    pub async fn delete_role_policy(&self, role: &str, policy: &str) -> Result<bool, Error> {
        let mut form = Form::new();
        form.set("RoleName", role).set("PolicyName", policy);
        Ok(optional(self.order("DeleteRolePolicy", &form).await)?.is_some())
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Found {
    role: Role,
}

/// What does not exist is an answer here.
pub(super) fn optional<T>(result: Result<T, Error>) -> Result<Option<T>, Error> {
    match result {
        Ok(it) => Ok(Some(it)),
        Err(error) if error.kind() == Kind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

pub(super) fn tags<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeMap<String, String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Tag {
        key: String,
        #[serde(default)]
        value: String,
    }
    let tags: Vec<Tag> = xml::members(from)?;
    Ok(tags.into_iter().map(|tag| (tag.key, tag.value)).collect())
}

fn boundary<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    #[derive(Deserialize)]
    struct Attached {
        #[serde(rename = "PermissionsBoundaryArn")]
        arn: Option<String>,
    }
    Ok(Option::<Attached>::deserialize(from)?.and_then(|attached| attached.arn))
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, behind @ ..] = rest {
        let pair = behind.get(..2).and_then(|pair| std::str::from_utf8(pair).ok());
        match pair.and_then(|pair| u8::from_str_radix(pair, 16).ok()) {
            Some(byte) if *first == b'%' => {
                bytes.push(byte);
                rest = &behind[2..];
            }
            _ => {
                bytes.push(*first);
                rest = behind;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_decoded() {
        assert_eq!(decoded("%7B%22a%22%3A%20%22100%25%22%7D"), "{\"a\": \"100%\"}");
        assert_eq!(decoded("{\"a\":\"100%\"}"), "{\"a\":\"100%\"}");
        assert_eq!(decoded("%4"), "%4");
    }
}
