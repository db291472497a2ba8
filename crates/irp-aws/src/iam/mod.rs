//! IAM, API version 2010-05-08: roles with inline policies, instance profiles, and what a principal may do.

mod profiles;
mod roles;
mod simulate;

use std::{collections::BTreeMap, time::Duration};

use serde::de::DeserializeOwned;

pub use self::{
    profiles::InstanceProfile,
    roles::{CreateRole, Role},
    simulate::{Decision, Evaluation, Simulation},
};
use crate::{account::Aws, error::Error, form::Form, service::Service, xml};

/// IAM, which is one for all regions of a partition.
#[derive(Debug, Clone)]
pub struct Iam {
    aws: Aws,
    settles: Duration,
}

impl Iam {
    pub(crate) fn new(aws: Aws) -> Self {
        Self { aws, settles: Duration::ZERO }
    }

    /// The same, patient for so long with what was made a moment ago.
    #[must_use]
    pub fn settling(&self, within: Duration) -> Self {
        Self { aws: self.aws.clone(), settles: within }
    }

    async fn send<T: DeserializeOwned>(&self, operation: &'static str, form: &Form) -> Result<T, Error> {
        let call = form.call(Service::Iam, operation).settles(self.settles);
        let action = call.action;
        xml::parse(action, &call.send(&self.aws).await?)
    }

    async fn order(&self, operation: &'static str, form: &Form) -> Result<(), Error> {
        form.call(Service::Iam, operation).settles(self.settles).send(&self.aws).await.map(|_| ())
    }
}

impl Form {
    fn member_tags(&mut self, tags: &BTreeMap<String, String>) -> &mut Self {
        for (index, (key, value)) in tags.iter().enumerate() {
            self.set(format!("Tags.member.{}.Key", index + 1), key);
            self.set(format!("Tags.member.{}.Value", index + 1), value);
        }
        self
    }
}
