//! Signing: a request as the provider would send it, for tests and for delivering later.

use std::time::SystemTime;

use http::{HeaderName, HeaderValue};
use serde_json::Value;

use crate::{
    Failure, Provider, Request, Secret, Verifier,
    key::{Key, KeyError},
    row::{Algorithm, Bearer},
    source::Source,
    template::Values,
    timestamp::{Place, Timestamp},
    twilio,
};

/// A request that is signed: what of it is new.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// The URL; Twilio's carries the hash of a body that is no form.
    pub url: String,
    /// Headers to be set, replacing any of the same name.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The body; Mailgun's holds its signature, Linear's its time.
    pub body: Vec<u8>,
}

/// Why nothing was signed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// The provider signs with a key that only it has.
    #[error("{0} signs with a private key of its own, so nobody else can")]
    NotSymmetric(String),
    /// The secret is of no use.
    #[error("the secret is of no use: {0}")]
    Key(#[from] KeyError),
    /// The signature stands in the body, and that is no JSON object.
    #[error("the body of {0} must be a JSON object")]
    Body(String),
    /// The secret or the number of the delivery cannot stand in a header.
    #[error("{0} cannot stand in a header")]
    Header(String),
    /// The text to sign cannot be made of this request.
    #[error("cannot put the signed text together: {0}")]
    Text(#[from] Failure),
}

impl Provider {
    /// Whether [`Self::sign`] can sign for this provider.
    #[must_use]
    pub fn is_symmetric(&self) -> bool {
        !matches!(self.scheme().algorithm, Algorithm::Ed25519 | Algorithm::EcdsaP256 | Algorithm::Sns)
    }

    /// Signs `request` as the provider would at the time `now`; `id` is the number of the delivery, where the
    /// provider gives one. Signatures that the request has already are not looked at.
    ///
    /// # Errors
    ///
    /// See [`SignError`].
    pub fn sign(
        &self,
        secret: &Secret,
        request: &Request<'_>,
        now: SystemTime,
        id: &str,
    ) -> Result<Signed, SignError> {
        if !self.is_symmetric() {
            return Err(SignError::NotSymmetric(self.name().to_owned()));
        }
        let key = Key::new(self.scheme().algorithm, &self.scheme().key, secret)?;
        self.sign_with(&key, request, now, Some(id))
    }

    /// Without an `id`, what stands in the place of one is left as it is.
    fn sign_with(
        &self,
        key: &Key,
        request: &Request<'_>,
        now: SystemTime,
        id: Option<&str>,
    ) -> Result<Signed, SignError> {
        let scheme = self.scheme();
        let stamp = scheme.timestamp.as_ref().map(|timestamp| timestamp.unit.write(now));
        let mut signed =
            Signed { url: request.url.to_owned(), headers: Vec::new(), body: request.body.to_vec() };
        if let (Some(Timestamp { place: Place::Source(source), .. }), Some(stamp)) =
            (&scheme.timestamp, &stamp)
        {
            self.put(&mut signed, source, stamp)?;
        }
        let source = scheme.id.as_ref();
        let source = source.filter(|source| scheme.template.has_id() || matches!(source, Source::Header(_)));
        if let (Some(source), Some(id)) = (source, id) {
            self.put(&mut signed, source, id)?;
        }
        if scheme.template.is_twilio() && !request.is_form() && !signed.body.is_empty() {
            signed.url = twilio::url_with_hash(&signed.url, &signed.body);
        }
        let signature = {
            let request = Request { url: &signed.url, body: &signed.body, ..*request };
            let stamp = stamp.as_deref().unwrap_or_default();
            let values =
                Values { request, timestamp: stamp, id: id.unwrap_or_default(), secret: key.bytes() };
            let texts = scheme.template.texts(&values)?;
            let text = texts.into_iter().next().unwrap_or_default();
            let bytes = key.sign(scheme.algorithm, &text).unwrap_or_default();
            scheme.encoding.encode(&bytes).ok_or_else(|| SignError::Header("the secret".into()))?
        };
        let beside = match (&scheme.timestamp, &stamp) {
            (Some(Timestamp { place: Place::Key(key), .. }), Some(stamp)) => {
                Some((key.as_str(), stamp.as_str()))
            }
            _ => None,
        };
        let written = scheme.format.write(&signature, beside);
        match &scheme.bearer {
            Bearer::Body(source) => self.put(&mut signed, source, &written)?,
            Bearer::Headers(names) => {
                if let Some(name) = names.first() {
                    self.put(&mut signed, &Source::Header(name.clone()), &written)?;
                }
            }
        }
        Ok(signed)
    }

    /// Sets a header or a field of the body.
    fn put(&self, signed: &mut Signed, source: &Source, value: &str) -> Result<(), SignError> {
        match source {
            Source::Header(name) => {
                let header = HeaderValue::try_from(value).map_err(|_| SignError::Header(source.name()))?;
                signed.headers.push((name.clone(), header));
            }
            Source::Body(path) => {
                let wrong = || SignError::Body(self.name().to_owned());
                let mut json: Value = serde_json::from_slice(&signed.body).map_err(|_| wrong())?;
                let mut place = &mut json;
                for key in path {
                    if place.is_null() {
                        *place = Value::Object(serde_json::Map::new());
                    }
                    place =
                        place.as_object_mut().ok_or_else(wrong)?.entry(key.as_str()).or_insert(Value::Null);
                }
                *place = match value.parse::<u64>() {
                    // A time that stands in a body by itself is a number there.
                    Ok(number) if self.scheme().template.has_body() => number.into(),
                    _ => value.into(),
                };
                signed.body = serde_json::to_vec(&json).map_err(|_| wrong())?;
            }
        }
        Ok(())
    }
}

impl Verifier {
    /// Signs a request that was verified before, as the provider would at the time `now`, with the secret that it was
    /// signed with (by its place in the list, see [`Verified::key`](crate::Verified::key)), or the first where that one
    /// is gone. The delivery keeps its number.
    ///
    /// # Errors
    ///
    /// See [`SignError`].
    pub fn sign_again(
        &self,
        request: &Request<'_>,
        now: SystemTime,
        key: usize,
    ) -> Result<Signed, SignError> {
        let provider = self.provider();
        let key = self.keys().get(key).or(self.keys().first());
        let Some(key) = key.filter(|_| provider.is_symmetric()) else {
            return Err(SignError::NotSymmetric(provider.name().to_owned()));
        };
        let id = provider.scheme().id.as_ref().and_then(|source| source.value(request).ok());
        provider.sign_with(key, request, now, id.as_deref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_only_the_public_key_cannot_sign() {
        for name in ["discord", "sendgrid", "sns", "standard-webhooks-ed25519"] {
            let provider = Provider::named(name).unwrap();
            let headers = http::HeaderMap::new();
            let request = Request { method: "POST", url: "https://a/", headers: &headers, body: b"" };
            let refused = provider.sign(&Secret::new("x"), &request, SystemTime::UNIX_EPOCH, "1");
            assert_eq!(refused, Err(SignError::NotSymmetric(name.into())));
        }
    }

    #[test]
    fn a_format_is_only_made_of_what_it_reads() {
        let format = crate::row::Format::Pairs { separator: ',', key: "v1".into() };
        assert_eq!(format.write("ab", Some(("t", "17"))), "t=17,v1=ab");
        let mut found = Vec::new();
        format.signatures("t=17,v1=ab", |signature| found.push(signature));
        assert_eq!(found, ["ab"]);
    }
}
