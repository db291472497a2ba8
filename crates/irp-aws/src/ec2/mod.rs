//! EC2, API version 2016-11-15: query parameters in, XML out.
//!
//! Lists are read page by page, at most [`PAGES_MAX`] pages. "Describe" by id fails with
//! [`NotFound`](crate::Kind::NotFound) for what does not exist; by filter it gives an empty list.

mod addresses;
mod images;
mod instances;
mod launch;
mod networks;
mod routes;
mod templates;
mod types;

use std::{collections::BTreeMap, time::Duration};

use serde::de::DeserializeOwned;

pub use self::{
    addresses::Address,
    images::{Device, Ebs, Image},
    instances::{ConsoleOutput, Instance, State, StateChange},
    launch::{LaunchData, NetworkInterface, RunInstances, TemplateReference, Volume},
    networks::{Ingress, SecurityGroup, Subnet, Vpc},
    routes::{Association, Route, RouteTable},
    templates::LaunchTemplate,
    types::{InstanceType, Offering},
};
use crate::{
    account::Aws,
    error::{Error, Kind},
    form::Form,
    service::Service,
    xml,
};

/// So many pages of a list are read at most; irp's own things fill one.
pub const PAGES_MAX: usize = 50;

/// Tags by their keys.
pub type Tags = BTreeMap<String, String>;

/// EC2 in one region.
#[derive(Debug, Clone)]
pub struct Ec2 {
    aws: Aws,
    settles: Duration,
}

/// Keeps what matches: `tag:irp:host` = one of the values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    /// The name of the filter as the API knows it, such as `instance-state-name` or `tag:KEY`.
    pub name: String,
    /// Values of which one must match.
    pub values: Vec<String>,
}

impl Filter {
    /// A filter.
    #[must_use]
    pub fn new<V: Into<String>>(name: impl Into<String>, values: impl IntoIterator<Item = V>) -> Self {
        Self { name: name.into(), values: values.into_iter().map(Into::into).collect() }
    }
}

impl Ec2 {
    pub(crate) fn new(aws: Aws) -> Self {
        Self { aws, settles: Duration::ZERO }
    }

    /// The same, patient with what was made or is being removed: for so long, calls that name something unknown or still
    /// in use are made again. EC2 knows its own answers everywhere only after some seconds.
    #[must_use]
    pub fn settling(&self, within: Duration) -> Self {
        Self { aws: self.aws.clone(), settles: within }
    }

    async fn send<T: DeserializeOwned>(&self, operation: &'static str, form: &Form) -> Result<T, Error> {
        let call = form.call(Service::Ec2, operation).settles(self.settles);
        let action = call.action;
        xml::parse(action, &call.send(&self.aws).await?)
    }

    /// For calls whose answer says nothing but yes.
    async fn order(&self, operation: &'static str, form: &Form) -> Result<(), Error> {
        form.call(Service::Ec2, operation).settles(self.settles).send(&self.aws).await.map(|_| ())
    }

    /// Reads a list to its end. `parts` takes a page apart: what it lists, and the token of the next one.
    async fn pages<P: DeserializeOwned, T>(
        &self,
        operation: &'static str,
        form: Form,
        parts: impl Fn(P) -> (Vec<T>, Option<String>),
    ) -> Result<Vec<T>, Error> {
        let (mut found, mut token) = (Vec::new(), None::<String>);
        for _ in 0..PAGES_MAX {
            let mut form = form.clone();
            form.set_some("NextToken", token.as_deref());
            let (listed, next) = parts(self.send(operation, &form).await?);
            found.extend(listed);
            token = next.filter(|token| !token.is_empty());
            if token.is_none() {
                return Ok(found);
            }
        }
        let call = Form::new().call(Service::Ec2, operation);
        Err(Error::new(call.action, Kind::Answer, format!("the list has more than {PAGES_MAX} pages")))
    }
}

impl Form {
    /// A form that asks for what matches.
    fn matching(filters: &[Filter]) -> Self {
        let mut form = Self::new();
        for (index, filter) in filters.iter().enumerate() {
            let filter_name = format!("Filter.{}", index + 1);
            form.set(format!("{filter_name}.Name"), &filter.name);
            form.list(&format!("{filter_name}.Value"), &filter.values);
        }
        form
    }

    /// `Tag.1.Key`, `Tag.1.Value`, … below `prefix`.
    fn tags(&mut self, prefix: &str, tags: &Tags) -> &mut Self {
        for (index, (key, value)) in tags.iter().enumerate() {
            self.set(format!("{prefix}Tag.{}.Key", index + 1), key);
            self.set(format!("{prefix}Tag.{}.Value", index + 1), value);
        }
        self
    }

    /// The tags of what is being made.
    fn tag_specifications(&mut self, prefix: &str, resources: &[&str], tags: &Tags) -> &mut Self {
        if tags.is_empty() {
            return self;
        }
        for (index, resource) in resources.iter().enumerate() {
            let specification = format!("{prefix}TagSpecification.{}.", index + 1);
            self.set(format!("{specification}ResourceType"), resource);
            self.tags(&specification, tags);
        }
        self
    }
}
