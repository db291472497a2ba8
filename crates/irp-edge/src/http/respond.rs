//! The one place that makes answers of the edge's own. What visitors see says nothing internal; the log
//! says why.

use bytes::Bytes;
use http::{HeaderValue, Method, Response, StatusCode, header};
use irp_webhook::Answer;
use irp_wire::{causes::in_full, headers::Failure, name::Hostname};

use super::{body::VisitorBody, headers::Malformed};
use crate::{inbox::ParkError, tunnels::SendError};

/// Seconds after which a visitor may try again where nobody is connected.
const RETRY_AFTER_NO_TUNNEL: &str = "5";
/// Seconds after which a provider may send an event again that cannot be kept.
const RETRY_AFTER_NOT_KEPT: &str = "30";
/// Seconds after which a visitor may try again where the edge is too busy.
const RETRY_AFTER_OVERLOAD: &str = "1";
/// The methods of an origin server that pass; CONNECT and TRACE do not.
const ALLOWED: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

/// The answer to a request without TLS on the TLS port; written as it stands, since no HTTP is spoken there.
pub(crate) const PLAIN_HTTP: &str = "HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\n\
    content-length: 48\r\nconnection: close\r\n\r\nThis port speaks HTTPS: ask for https:// please.";

/// Why the edge answers by itself.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// 400: the request cannot be read in one way only.
    #[error("malformed: {0}")]
    Malformed(#[from] Malformed),
    /// 401: this name wants a user and a password.
    #[error("no credentials, or wrong ones")]
    Credentials(Hostname),
    /// 401: the request is not the provider's that this path belongs to.
    #[error("{0}")]
    Unverified(String),
    /// 502: the provider did not take the answer to its handshake.
    #[error("{0}")]
    Unconfirmed(String),
    /// 404: the path belongs to no provider and is not open.
    #[error("no policy opens this path")]
    Closed,
    /// 413: the body is too long to be verified.
    #[error("the body is too long to be verified")]
    TooLarge,
    /// 403: this name does not let this address in.
    #[error("the address is not on the allow list")]
    Address,
    /// 404: no such name here.
    #[error("unknown name")]
    Unknown,
    /// 405: CONNECT or TRACE.
    #[error("method not allowed")]
    Method,
    /// 408: the visitor paused in the middle of an upload.
    #[error("the visitor paused the upload for too long")]
    UploadPaused,
    /// 400: the upload broke off.
    #[error("the upload broke off")]
    UploadBroken,
    /// 421: no such name here, and the connection was made for another one.
    #[error("unknown name on a connection that was made for another name")]
    Misdirected,
    /// 431: more header fields than any hop behind this one takes.
    #[error("too many header fields")]
    Fields,
    /// 502: the tunnel is up, and its end refused the connection.
    #[error("the upstream refused the connection: {detail}")]
    UpstreamRefused {
        /// The port that refused, where it is known.
        port: Option<u16>,
        /// For the log.
        detail: String,
    },
    /// 502: the tunnel is up, and what came was no answer.
    #[error("the upstream gave no answer: {0}")]
    UpstreamBroken(String),
    /// 503: nobody is connected for this name.
    #[error("no tunnel")]
    NoTunnel,
    /// 503: nobody is there to take an event, and it cannot be kept.
    #[error("the event is not kept: {0}")]
    NotKept(ParkError),
    /// 503: too much at once.
    #[error("overloaded: {0}")]
    Overloaded(&'static str),
    /// 504: the upstream took too long.
    #[error("the upstream took too long{0}")]
    UpstreamSlow(String),
    /// 508: the request has passed here before.
    #[error("the request has passed this edge or its client before")]
    Loop,
}

impl Refusal {
    /// What a tunnel's error means for the visitor.
    pub(super) fn from_tunnel(error: SendError) -> Self {
        match error {
            SendError::Gone => Self::NoTunnel,
            SendError::Full => Self::Overloaded("the tunnel is full"),
            SendError::Refused { port, at } => Self::UpstreamRefused { port, detail: at },
            SendError::TimedOut { at } => Self::UpstreamSlow(format!(": dialling {at}")),
            error @ (SendError::Dial { .. } | SendError::Unsuited(_) | SendError::Broken(_)) => {
                Self::UpstreamBroken(in_full(&error))
            }
        }
    }

    /// What the client says in the place of an answer.
    pub(super) fn from_client(value: &HeaderValue) -> Self {
        let (failure, detail) = Failure::from_header(value);
        match failure {
            Failure::Refused => Self::UpstreamRefused { port: port_of(&detail), detail },
            Failure::TimedOut => Self::UpstreamSlow(format!(": {detail}")),
            Failure::Broken => Self::UpstreamBroken(detail),
            Failure::Loop => Self::Loop,
        }
    }

    fn status(&self) -> StatusCode {
        match self {
            Self::Malformed(_) | Self::UploadBroken => StatusCode::BAD_REQUEST,
            Self::Credentials(_) | Self::Unverified(_) => StatusCode::UNAUTHORIZED,
            Self::Address => StatusCode::FORBIDDEN,
            Self::Unknown | Self::Closed => StatusCode::NOT_FOUND,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::UploadPaused => StatusCode::REQUEST_TIMEOUT,
            Self::Misdirected => StatusCode::MISDIRECTED_REQUEST,
            Self::Fields => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::UpstreamRefused { .. } | Self::UpstreamBroken(_) | Self::Unconfirmed(_) => {
                StatusCode::BAD_GATEWAY
            }
            Self::NoTunnel | Self::NotKept(_) | Self::Overloaded(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::UpstreamSlow(_) => StatusCode::GATEWAY_TIMEOUT,
            Self::Loop => StatusCode::LOOP_DETECTED,
        }
    }

    /// A word for programs, and a sentence for people.
    fn words(&self) -> (&'static str, String) {
        let (word, sentence) = match self {
            Self::Malformed(_) => ("malformed", "This request cannot be understood."),
            Self::UploadBroken => ("malformed", "The body of this request broke off."),
            Self::Credentials(_) => ("credentials", "This name wants a user name and a password."),
            Self::Unverified(_) => ("unverified", ""),
            Self::Unconfirmed(_) => ("unconfirmed", "The provider did not take the confirmation."),
            Self::Closed => ("closed", "There is nothing here."),
            Self::TooLarge => ("too-large", "The body of this request is too long."),
            Self::Address => ("forbidden", "This name is not open to your address."),
            Self::Unknown => ("unknown-name", "There is nothing here by this name."),
            Self::Method => ("method", "This method does not pass here."),
            Self::UploadPaused => ("upload-paused", "The body of this request took too long."),
            Self::Misdirected => ("misdirected", "This name is not served on this connection."),
            Self::Fields => ("too-many-fields", "This request has too many header fields."),
            Self::UpstreamRefused { port: Some(port), .. } => {
                let sentence = format!("The tunnel is up, but nothing answers at port {port} behind it.");
                return ("upstream-refused", sentence);
            }
            Self::UpstreamRefused { port: None, .. } => {
                ("upstream-refused", "The tunnel is up, but nothing answers behind it.")
            }
            Self::UpstreamBroken(_) => {
                ("upstream-broken", "The tunnel is up, but the program behind it gave no proper answer.")
            }
            Self::NoTunnel => ("no-tunnel", "Nobody is connected for this name."),
            Self::NotKept(_) => {
                ("not-kept", "This event cannot be kept right now. Please send it again later.")
            }
            Self::Overloaded(_) => ("overloaded", "Too much is going on here. Please try again in a moment."),
            Self::UpstreamSlow(_) => {
                ("upstream-slow", "The program behind the tunnel took too long to answer.")
            }
            Self::Loop => ("loop", "This request goes round in a circle."),
        };
        (word, sentence.to_owned())
    }

    /// Whether nothing more can be read from the connection, so that it ends with this answer.
    fn ends_connection(&self) -> bool {
        matches!(self, Self::Malformed(_) | Self::UploadBroken | Self::UploadPaused | Self::TooLarge)
    }
}

/// Makes the answer, in the form that the visitor accepts, and logs the reason.
pub(super) fn refuse(refusal: &Refusal, method: &Method, form: Form, http1: bool) -> Response<VisitorBody> {
    let status = refusal.status();
    tracing::debug!(status = status.as_u16(), reason = %refusal, "the edge answers by itself");
    let (word, sentence) = refusal.words();
    let (kind, page) = form.page(status, word, &sentence);
    // Whoever is not the provider learns nothing from it.
    let page = if matches!(refusal, Refusal::Unverified(_)) { String::new() } else { page };
    let length = page.len();
    let page = (*method != Method::HEAD && length > 0).then(|| Bytes::from(page));
    let mut response = Response::new(VisitorBody::Page(page));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if form == Form::Html {
        let policy = HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'");
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    match refusal {
        Refusal::NoTunnel => {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_NO_TUNNEL));
        }
        Refusal::NotKept(_) => {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_NOT_KEPT));
        }
        Refusal::Overloaded(_) => {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_OVERLOAD));
        }
        Refusal::Credentials(name) => {
            let challenge = HeaderValue::try_from(format!("Basic realm=\"{name}\", charset=\"UTF-8\""));
            let challenge = challenge.unwrap_or(HeaderValue::from_static("Basic realm=\"irp\""));
            headers.insert(header::WWW_AUTHENTICATE, challenge);
        }
        Refusal::Method => {
            headers.insert(header::ALLOW, HeaderValue::from_static(ALLOWED));
        }
        _ => {}
    }
    if http1 && refusal.ends_connection() {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// An answer in the place of the program: to a provider's handshake, or to an event that is kept.
pub(super) fn answer(answer: Answer, method: &Method) -> Response<VisitorBody> {
    let length = answer.body.len();
    let page = (*method != Method::HEAD && length > 0).then(|| Bytes::from(answer.body));
    let mut response = Response::new(VisitorBody::Page(page));
    *response.status_mut() = answer.status;
    let headers = response.headers_mut();
    if answer.status != StatusCode::NO_CONTENT {
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.extend(answer.headers);
    response
}

/// In what form a visitor reads the edge's own answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Html,
    Json,
    Text,
}

impl Form {
    /// The first of the three that `Accept` names; text where it names none.
    pub(super) fn of(accept: Option<&HeaderValue>) -> Self {
        let accepted = accept.and_then(|value| value.to_str().ok()).unwrap_or_default();
        for range in accepted.split(',') {
            let kind = range.split(';').next().unwrap_or_default().trim();
            if kind.eq_ignore_ascii_case("text/html") || kind.eq_ignore_ascii_case("application/xhtml+xml") {
                return Self::Html;
            }
            if kind.eq_ignore_ascii_case("application/json") || kind.to_ascii_lowercase().ends_with("+json") {
                return Self::Json;
            }
            if kind.eq_ignore_ascii_case("text/plain") {
                return Self::Text;
            }
        }
        Self::Text
    }

    fn page(self, status: StatusCode, word: &str, sentence: &str) -> (&'static str, String) {
        match self {
            Self::Text => ("text/plain; charset=utf-8", format!("{sentence}\n")),
            Self::Json => {
                let json =
                    serde_json::json!({ "status": status.as_u16(), "error": word, "message": sentence });
                ("application/json", format!("{json}\n"))
            }
            Self::Html => ("text/html; charset=utf-8", html(status, sentence)),
        }
    }
}

/// A page that needs nothing from elsewhere. `sentence` is the edge's own and needs no escaping.
fn html(status: StatusCode, sentence: &str) -> String {
    let code = status.as_u16();
    let reason = status.canonical_reason().unwrap_or_default();
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{code} {reason}</title>\n<style>\n\
         :root {{ color-scheme: light dark; --ink: #1c2330; --soft: #667085; --paper: #f6f7f9; --line: #dfe3e8 }}\n\
         @media (prefers-color-scheme: dark) {{ :root {{ --ink: #e8ebf0; --soft: #98a2b3; --paper: #12161d; --line: #2a313c }} }}\n\
         body {{ margin: 0; min-height: 100vh; display: grid; place-content: center; background: var(--paper); color: var(--ink);\n\
         font: 1.05rem/1.6 system-ui, sans-serif }}\n\
         main {{ padding: 2rem; max-width: 34rem }}\n\
         h1 {{ margin: 0; font-size: 3.5rem; font-weight: 650; letter-spacing: -.03em; line-height: 1.1 }}\n\
         p {{ margin: 1rem 0 0; padding-top: 1rem; border-top: 1px solid var(--line) }}\n\
         small {{ color: var(--soft) }}\n\
         </style>\n<main>\n<h1>{code}</h1>\n<small>{reason}</small>\n<p>{sentence}</p>\n</main>\n</html>\n"
    )
}

/// The port of the address that a detail like `127.0.0.1:3000: connection refused` begins with.
fn port_of(detail: &str) -> Option<u16> {
    let address = detail.split(": ").next()?.split(' ').next()?;
    address.rsplit_once(':')?.1.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accept(value: &str) -> Form {
        Form::of(Some(&value.parse().unwrap()))
    }

    #[test]
    fn the_form_follows_accept() {
        assert_eq!(accept("text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"), Form::Html);
        assert_eq!(accept("application/json, text/plain, */*"), Form::Json);
        assert_eq!(accept("application/problem+json"), Form::Json);
        assert_eq!(accept("*/*"), Form::Text);
        assert_eq!(Form::of(None), Form::Text);
    }

    #[test]
    fn a_client_says_which_port_refused() {
        let value = Failure::Refused.to_header("127.0.0.1:3000: Connection refused (os error 111)");
        let refusal = Refusal::from_client(&value);
        assert!(refusal.words().1.contains("port 3000"), "{refusal}");
        assert_eq!(refusal.status(), StatusCode::BAD_GATEWAY);
        assert_eq!(port_of("[::1]:8080: refused"), Some(8080));
        assert_eq!(port_of("nothing to see"), None);
        assert!(matches!(Refusal::from_client(&Failure::Loop.to_header("")), Refusal::Loop));
    }

    #[test]
    fn pages_never_show_what_is_for_the_log() {
        let refusal = Refusal::UpstreamRefused { port: None, detail: "/run/irp/tunnels/a.sock".into() };
        for form in [Form::Html, Form::Json, Form::Text] {
            let (word, sentence) = refusal.words();
            assert!(!form.page(StatusCode::BAD_GATEWAY, word, &sentence).1.contains("sock"));
        }
    }
}
