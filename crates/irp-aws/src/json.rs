//! The JSON protocol of Systems Manager, Instance Connect and Service Quotas.

use http::Method;
use secrecy::SecretString;
use serde::{Deserialize as _, Deserializer, Serialize, de::DeserializeOwned};

use crate::{
    account::Aws,
    call::Call,
    error::{Error, Kind},
    service::Service,
};

/// The call that carries `input`.
pub(crate) fn call(service: Service, operation: &'static str, input: &impl Serialize) -> Call {
    let target = match service {
        Service::Ssm => "AmazonSSM",
        Service::InstanceConnect => "AWSEC2InstanceConnectService",
        _ => "ServiceQuotasV20190624",
    };
    // Inputs are plain structs of text: they always serialise.
    let body = serde_json::to_vec(input).unwrap_or_default();
    Call::new(service, operation, Method::POST)
        .header("x-amz-target", format!("{target}.{operation}"))
        .body("application/x-amz-json-1.1", body)
}

/// Makes the call and reads what came back.
pub(crate) async fn send<T: DeserializeOwned>(call: Call, aws: &Aws) -> Result<T, Error> {
    let action = call.action;
    let answer = call.send(aws).await?;
    serde_json::from_slice(&answer.body).map_err(|error| {
        // The message of serde could quote a secret value; where it is in the answer is enough.
        let place = format!("line {} column {}", error.line(), error.column());
        Error::new(action, Kind::Answer, format!("the answer does not have the expected shape at {place}"))
    })
}

/// A field that must not print.
pub(crate) fn secret<'de, D: Deserializer<'de>>(from: D) -> Result<SecretString, D::Error> {
    String::deserialize(from).map(SecretString::from)
}
