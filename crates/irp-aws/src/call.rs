//! One call: signed afresh for each try, repeated as [`Pace`](crate::retry::Pace) allows, answered or explained.

use std::{
    sync::atomic::Ordering::Relaxed,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::Method;
use time::{OffsetDateTime, format_description::well_known::Rfc2822};
use tokio::time::Instant;

use crate::{
    account::Aws,
    clock, encode,
    error::{Action, Error, Kind, Refusal},
    retry,
    service::Service,
    sign::Signer,
    transport::{Answer, TransportError},
    xml,
};

/// The largest answer that a call takes unless it says otherwise: a page of a hundred described instances fits.
const ANSWER_MAX: usize = 4 * 1024 * 1024;

/// How long one try may take in all.
const TRY_WITHIN: Duration = Duration::from_secs(60);

const USER_AGENT: &str = concat!("irp/", env!("CARGO_PKG_VERSION"));

/// A call that is not made yet.
pub(crate) struct Call {
    pub(crate) action: Action,
    method: Method,
    /// Where it goes if not to the service's endpoint: a URL without a final slash.
    base: Option<String>,
    path: String,
    query: Vec<(String, String)>,
    headers: Vec<(&'static str, String)>,
    metadata: Vec<(String, String)>,
    body: Bytes,
    largest: usize,
    repeatable: bool,
    settles: Duration,
    within: Duration,
}

impl Call {
    pub(crate) fn new(service: Service, operation: &'static str, method: Method) -> Self {
        Self {
            action: Action { service, operation },
            method,
            base: None,
            path: "/".into(),
            query: Vec::new(),
            headers: Vec::new(),
            metadata: Vec::new(),
            body: Bytes::new(),
            largest: ANSWER_MAX,
            repeatable: true,
            settles: Duration::ZERO,
            within: TRY_WITHIN,
        }
    }

    pub(crate) fn base(mut self, base: String) -> Self {
        self.base = Some(base);
        self
    }

    /// The path, encoded, with its first slash.
    pub(crate) fn path(mut self, path: String) -> Self {
        self.path = path;
        self
    }

    pub(crate) fn query(mut self, name: &str, value: impl Into<String>) -> Self {
        self.query.push((name.to_owned(), value.into()));
        self
    }

    pub(crate) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// A header `x-amz-meta-NAME` of S3.
    pub(crate) fn metadata(mut self, name: &str, value: &str) -> Self {
        self.metadata.push((format!("x-amz-meta-{name}"), value.to_owned()));
        self
    }

    pub(crate) fn body(mut self, content_type: &'static str, body: impl Into<Bytes>) -> Self {
        self.headers.push(("content-type", content_type.into()));
        self.body = body.into();
        self
    }

    /// The largest answer, in bytes.
    pub(crate) fn at_most(mut self, largest: usize) -> Self {
        self.largest = largest;
        self
    }

    /// How long one try may take, where a large body has to travel.
    pub(crate) fn within(mut self, within: Duration) -> Self {
        self.within = within;
        self
    }

    /// It is not made again when it is unknown whether it took effect: a conditional write would refuse itself.
    pub(crate) fn once(mut self) -> Self {
        self.repeatable = false;
        self
    }

    /// What it names may be unknown for so long.
    pub(crate) fn settles(mut self, settles: Duration) -> Self {
        self.settles = settles;
        self
    }

    /// Makes the call.
    pub(crate) async fn send(self, aws: &Aws) -> Result<Answer, Error> {
        let began = Instant::now();
        let (mut tried, mut refreshed) = (0, false);
        loop {
            tried += 1;
            let error = match self.attempt(aws).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            if error.kind() == Kind::ExpiredCredentials && error.code().is_some() && !refreshed {
                // They ended earlier than they said, or a file has newer ones by now.
                refreshed = true;
                aws.shared.credentials.forget().await;
                continue;
            }
            let pace = &aws.shared.pace;
            let Some(wait) = pace.again(tried, &error, self.repeatable, self.settles, began.elapsed()) else {
                return Err(error);
            };
            tracing::debug!(%error, tried, "calling AWS again");
            tokio::time::sleep(retry::jittered(wait, random())).await;
        }
    }

    async fn attempt(&self, aws: &Aws) -> Result<Answer, Error> {
        let request = self.signed(aws).await?;
        let answer = aws.shared.transport.send(request, self.largest, self.within).await;
        let answer = answer.map_err(|error| {
            let kind = match error {
                TransportError::Large(_) | TransportError::Request(_) => Kind::Answer,
                _ => Kind::Network,
            };
            Error::new(self.action, kind, error.to_string()).because(error)
        })?;
        if let Some(ahead) = answer.headers.get("date").and_then(|date| ahead(date, clock::now())) {
            aws.shared.ahead_s.store(ahead, Relaxed);
        }
        // S3 answers a GET with a condition by 304, which is none of our calls.
        if (200..300).contains(&answer.status) {
            return Ok(answer);
        }
        Err(Error::refused(self.action, refusal(&answer, clock::now())))
    }

    fn url(&self, aws: &Aws) -> Result<http::Uri, Error> {
        let base = self.base.clone().unwrap_or_else(|| aws.endpoint(self.action.service));
        let mut url = base + &self.path;
        if !self.query.is_empty() {
            url.push('?');
            url.push_str(&encode::pairs(
                self.query.iter().map(|(name, value)| (name.as_str(), value.as_str())),
            ));
        }
        url.parse().map_err(|error: http::uri::InvalidUri| {
            Error::new(self.action, Kind::Invalid, "the URL is malformed").because(error)
        })
    }

    async fn signed(&self, aws: &Aws) -> Result<http::Request<Bytes>, Error> {
        let malformed = |message: &str| Error::new(self.action, Kind::Invalid, message);
        let mut request = http::Request::builder().method(self.method.clone()).uri(self.url(aws)?);
        for (name, value) in &self.headers {
            request = request.header(*name, value);
        }
        for (name, value) in &self.metadata {
            request = request.header(name, value);
        }
        let mut request = request
            .header("user-agent", USER_AGENT)
            .body(self.body.clone())
            .map_err(|error| malformed("the request is malformed").because(error))?;
        let credentials = aws.shared.credentials.get(self.action).await?;
        let service = self.action.service;
        let region = service.signing_region(&aws.shared.region);
        let signer = Signer { service, region, credentials: &credentials, at: clock::now() };
        signer
            .sign(&mut request)
            .map_err(|error| malformed("the request cannot be signed").because(error))?;
        Ok(request)
    }

    /// The URL of this call, signed so that whoever has it may make the call for `lasts`.
    pub(crate) async fn presigned(&self, aws: &Aws, lasts: Duration) -> Result<String, Error> {
        let url = self.url(aws)?;
        let credentials = aws.shared.credentials.get(self.action).await?;
        let service = self.action.service;
        let region = service.signing_region(&aws.shared.region);
        let signer = Signer { service, region, credentials: &credentials, at: clock::now() };
        signer.presign(url, lasts).map_err(|error| {
            Error::new(self.action, Kind::Invalid, "the URL cannot be signed").because(error)
        })
    }
}

/// Reads a refusal, whichever protocol the service speaks.
fn refusal(answer: &Answer, now: SystemTime) -> Refusal {
    let header = |name: &str| answer.headers.get(name).map(str::to_owned);
    let is_json = header("content-type").is_some_and(|kind| kind.contains("json"));
    let (code, message, mut request_id) =
        if is_json { from_json(&answer.body) } else { xml::refusal(&answer.body) };
    // `Code:http://internal…` in the header, `namespace#Code` in the body.
    let code = code.or_else(|| header("x-amzn-errortype"));
    let code = code.map(|code| {
        let code = code.split(':').next().unwrap_or_default();
        code.rsplit('#').next().unwrap_or_default().to_owned()
    });
    let code = code.filter(|code| !code.is_empty());
    request_id = request_id.or_else(|| header("x-amzn-requestid")).or_else(|| header("x-amz-request-id"));
    let ahead_s = header("date").and_then(|date| ahead(&date, now));
    Refusal { status: answer.status, code, message, request_id, ahead_s }
}

fn from_json(body: &[u8]) -> (Option<String>, String, Option<String>) {
    let body: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let text = |name: &str| body[name].as_str().map(str::to_owned);
    let message = text("message").or_else(|| text("Message")).unwrap_or_default();
    (text("__type").or_else(|| text("code")), message, None)
}

/// By how many seconds `now` is ahead of an HTTP date.
fn ahead(date: &str, now: SystemTime) -> Option<i64> {
    let date = OffsetDateTime::parse(&date.replace("GMT", "+0000"), &Rfc2822).ok()?;
    Some((OffsetDateTime::from(now) - date).whole_seconds())
}

fn random() -> u16 {
    let mut bytes = [0; 2];
    // Without randomness the wait is the shortest; no TLS would come about either.
    let _ = aws_lc_rs::rand::fill(&mut bytes);
    u16::from_be_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_date_of_an_answer_tells_how_far_the_clock_is_off() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777 + 90);
        assert_eq!(ahead("Sun, 06 Nov 1994 08:49:37 GMT", now), Some(90));
        assert_eq!(ahead("yesterday", now), None);
    }

    #[test]
    fn codes_come_without_their_namespace() {
        let body = br#"{"__type":"com.amazon.coral.service#AccessDeniedException","Message":"no"}"#;
        assert_eq!(from_json(body).1, "no");
        let headers = [("content-type", "application/x-amz-json-1.1"), ("x-amzn-requestid", "r-1")];
        let mut answer = Answer {
            status: 400,
            headers: http::HeaderMap::new().try_into().unwrap(),
            body: Bytes::from_static(body),
        };
        for (name, value) in headers {
            answer.headers.insert(name, value);
        }
        let refusal = refusal(&answer, SystemTime::UNIX_EPOCH);
        assert_eq!(refusal.code.as_deref(), Some("AccessDeniedException"));
        assert_eq!(refusal.request_id.as_deref(), Some("r-1"));
    }
}
