//! One HTTP exchange: bounded in time and in size.
//!
//! Connections are those of the SDK's HTTP client, which credentials providers use as well: TLS with the system's trust
//! roots, `HTTPS_PROXY` and `NO_PROXY` obeyed. They end with the client.

use std::{fmt, time::Duration};

use aws_smithy_http_client::{
    Connector,
    proxy::ProxyConfig,
    tls::{Provider, rustls_provider::CryptoMode},
};
use aws_smithy_runtime_api::{
    client::{
        http::{
            HttpConnector as _, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector, http_client_fn,
        },
        orchestrator::HttpRequest,
        result::ConnectorError,
    },
    http::Headers,
};
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};

/// How long a connection may take to stand.
const CONNECT: Duration = Duration::from_secs(8);

/// How long the head of an answer may take. EC2's RunInstances takes a few seconds.
const HEAD: Duration = Duration::from_secs(30);

/// The largest refusal.
const REFUSAL_MAX: usize = 64 * 1024;

pub(crate) struct Transport {
    connector: SharedHttpConnector,
}

/// An answer, read whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Headers,
    pub(crate) body: Bytes,
}

/// No answer, or none that was read to its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TransportError {
    #[error("there was no answer within {} s", .0.as_secs())]
    Slow(Duration),
    #[error("AWS was not reached")]
    Connect(#[source] ConnectorError),
    #[error("the answer broke off")]
    Body(#[source] crate::error::Cause),
    #[error("the answer is larger than {0} bytes")]
    Large(usize),
    #[error("the request is malformed")]
    Request(#[source] crate::error::Cause),
}

impl Transport {
    pub(crate) fn new() -> Self {
        let settings = HttpConnectorSettings::builder().connect_timeout(CONNECT).read_timeout(HEAD).build();
        let connector = Connector::builder()
            .connector_settings(settings)
            .proxy_config(ProxyConfig::from_env())
            .tls_provider(Provider::Rustls(CryptoMode::AwsLc))
            .build();
        Self { connector: SharedHttpConnector::new(connector) }
    }

    /// The same connections, for providers of credentials.
    pub(crate) fn http_client(&self) -> SharedHttpClient {
        let connector = self.connector.clone();
        http_client_fn(move |_, _| connector.clone())
    }

    /// Sends a request and reads the answer, at most `largest` bytes of it, within `within` in all.
    pub(crate) async fn send(
        &self,
        request: http::Request<Bytes>,
        largest: usize,
        within: Duration,
    ) -> Result<Answer, TransportError> {
        let request = HttpRequest::try_from(request.map(SdkBody::from))
            .map_err(|error| TransportError::Request(error.into()))?;
        let exchange = async {
            let response = self.connector.call(request).await.map_err(TransportError::Connect)?;
            let (status, headers) = (response.status().as_u16(), response.headers().clone());
            // Why something was refused may be longer than what was asked for.
            let largest = if (200..300).contains(&status) { largest } else { largest.max(REFUSAL_MAX) };
            let body = Limited::new(response.into_body(), largest).collect().await;
            let body = body.map_err(|error| match error.downcast::<LengthLimitError>() {
                Ok(_) => TransportError::Large(largest),
                Err(error) => TransportError::Body(error),
            })?;
            Ok(Answer { status, headers, body: body.to_bytes() })
        };
        tokio::time::timeout(within, exchange).await.unwrap_or(Err(TransportError::Slow(within)))
    }
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transport").finish_non_exhaustive()
    }
}
