//! What an authority tells of itself in its directory (RFC 8555, section 7.1.1).

use bytes::Bytes;
use http::{Request, StatusCode};
use instant_acme::{BodyWrapper, HttpClient as _};
use serde::Deserialize;

use super::http::DirectoryClient;

/// More names than an authority has.
const IDENTITIES_MAX: usize = 16;

/// The names by which the authority knows itself in CAA records, such as `letsencrypt.org`; none where it does not tell.
///
/// # Errors
///
/// When the directory cannot be read.
pub async fn caa_identities(url: &str, http: &DirectoryClient) -> Result<Vec<String>, DirectoryError> {
    let request = Request::get(url).body(BodyWrapper::<Bytes>::default())?;
    let mut answer = http.request(request).await?;
    if !answer.parts.status.is_success() {
        return Err(DirectoryError::Status(answer.parts.status));
    }
    let bytes = answer.body.into_bytes().await.map_err(DirectoryError::Body)?;
    let directory: Directory = serde_json::from_slice(&bytes)?;
    let mut identities = directory.meta.caa_identities;
    identities.truncate(IDENTITIES_MAX);
    Ok(identities)
}

/// As much of a directory as is read here.
#[derive(Deserialize)]
struct Directory {
    #[serde(default)]
    meta: Meta,
}

#[derive(Default, Deserialize)]
struct Meta {
    #[serde(default, rename = "caaIdentities")]
    caa_identities: Vec<String>,
}

/// The directory of an authority cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// Its URL is none.
    #[error("that is no URL of a directory")]
    Url(#[from] http::Error),
    /// Nobody answered.
    #[error("the authority's directory is not reached")]
    Call(#[from] instant_acme::Error),
    /// The answer is no directory.
    #[error("the authority's directory answers with {0}")]
    Status(StatusCode),
    /// The answer broke off.
    #[error("the authority's directory answers in part only")]
    Body(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The answer is something else.
    #[error("what answers there is no ACME directory")]
    Other(#[from] serde_json::Error),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_need_not_tell_anything() {
        let told = |text: &str| serde_json::from_str::<Directory>(text).unwrap().meta.caa_identities;
        assert_eq!(told(r#"{"newNonce":"https://ca.example/nonce"}"#), [""; 0]);
        assert_eq!(told(r#"{"meta":{"website":"https://ca.example"}}"#), [""; 0]);
        assert_eq!(told(r#"{"meta":{"caaIdentities":["pki.goog","b"]}}"#), ["pki.goog", "b"]);
    }
}
