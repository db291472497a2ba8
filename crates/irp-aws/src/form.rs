//! The query protocol of EC2, IAM and STS: a form goes in, XML comes out.

use http::Method;

use crate::{call::Call, encode, service::Service};

/// The parameters of a call.
#[derive(Clone, Debug, Default)]
pub(crate) struct Form(Vec<(String, String)>);

impl Form {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn set(&mut self, name: impl Into<String>, value: impl ToString) -> &mut Self {
        self.0.push((name.into(), value.to_string()));
        self
    }

    pub(crate) fn set_some(&mut self, name: impl Into<String>, value: Option<impl ToString>) -> &mut Self {
        if let Some(value) = value {
            self.set(name, value);
        }
        self
    }

    /// `NAME.1`, `NAME.2`, …
    pub(crate) fn list(&mut self, name: &str, values: impl IntoIterator<Item = impl ToString>) -> &mut Self {
        for (index, value) in values.into_iter().enumerate() {
            self.set(format!("{name}.{}", index + 1), value);
        }
        self
    }

    /// The call that carries this form.
    pub(crate) fn call(&self, service: Service, operation: &'static str) -> Call {
        let version = match service {
            Service::Ec2 => "2016-11-15",
            Service::Iam => "2010-05-08",
            _ => "2011-06-15",
        };
        let fixed = [("Action", operation), ("Version", version)];
        let own = self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let body = encode::pairs(fixed.into_iter().chain(own));
        Call::new(service, operation, Method::POST)
            .body("application/x-www-form-urlencoded; charset=utf-8", body)
    }
}
