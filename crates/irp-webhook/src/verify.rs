//! Verification: is this request the provider's, made just now?

use std::time::SystemTime;

use aws_lc_rs::digest::{self, SHA256};
use http::HeaderMap;

use crate::{
    Failure, Provider, Request, Settings,
    key::{Key, KeyError, Secret, same, same_mac},
    row::{Algorithm, Bearer, Scheme, values},
    sns::{self, Certificate, CertificateUrl},
    source::{joined, single},
    template::{Text, Values},
    timestamp::{self, Place, Timestamp},
};

/// The most signatures that one request may bring; more is no provider's doing.
const SIGNATURES_MAX: usize = 100;
/// The same where each costs an operation with a public key.
const PUBLIC_SIGNATURES_MAX: usize = 8;

/// A provider and the secrets that are shared with it. Prints without them.
#[derive(Clone, Debug)]
pub struct Verifier {
    provider: Provider,
    keys: Vec<Key>,
    pub(crate) settings: Settings,
}

/// A request that is the provider's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// Stands for this very signing, for the memory against replays.
    pub fingerprint: [u8; 32],
    /// When it was signed, where that is signed.
    pub signed_at: Option<SystemTime>,
    /// Which of the secrets it was, by its place in the list.
    pub key: usize,
}

impl Verifier {
    /// Takes the secrets that are valid now: one, or several while they are being changed. None at all is of use
    /// only where the handshake tells the secret.
    ///
    /// # Errors
    ///
    /// When a secret is not of the provider's kind.
    pub fn new(provider: Provider, secrets: &[Secret], settings: Settings) -> Result<Self, KeyError> {
        let scheme = provider.scheme();
        let key = |secret: &Secret| Key::new(scheme.algorithm, &scheme.key, secret);
        let keys: Vec<Key> = secrets.iter().map(key).collect::<Result<_, _>>()?;
        if keys.is_empty() && !provider.learns_secret() {
            return Err(KeyError::Empty);
        }
        Ok(Self { provider, keys, settings })
    }

    /// One that believes nothing until it gets secrets by [`Self::with_secrets`]: the secret is known to be somewhere,
    /// and cannot be had.
    #[must_use]
    pub fn closed(provider: Provider) -> Self {
        Self { provider, keys: Vec::new(), settings: Settings::default() }
    }

    /// The same provider with other secrets.
    ///
    /// # Errors
    ///
    /// When one of them is not of the provider's kind.
    pub fn with_secrets(&self, secrets: &[Secret]) -> Result<Self, KeyError> {
        Self::new(self.provider.clone(), secrets, self.settings.clone())
    }

    /// Whether the provider has yet to tell its secret, and is believed when it does.
    #[must_use]
    pub fn is_learning(&self) -> bool {
        self.settings.learn && self.keys.is_empty()
    }

    /// Whose requests these are.
    #[must_use]
    pub fn provider(&self) -> &Provider {
        &self.provider
    }

    pub(crate) fn keys(&self) -> &[Key] {
        &self.keys
    }

    /// What the headers alone show, so that nobody makes the edge keep a body without even claiming to be the
    /// provider.
    ///
    /// # Errors
    ///
    /// When a signature or a timestamp that belongs into a header is missing or malformed.
    pub fn check_headers(&self, headers: &HeaderMap) -> Result<(), Failure> {
        let scheme = self.provider.scheme();
        if scheme.algorithm == Algorithm::Sns {
            return Ok(());
        }
        if let Bearer::Headers(_) = scheme.bearer {
            let request = Request { method: "", url: "", headers, body: b"" };
            signatures(scheme, &request)?;
            if let Some(Timestamp {
                place: Place::Source(source @ crate::source::Source::Header(_)), ..
            }) = &scheme.timestamp
            {
                source.value(&request)?;
            }
        }
        Ok(())
    }

    /// Where the certificate is to be fetched that [`Self::verify`] needs; `None` where it needs none.
    ///
    /// # Errors
    ///
    /// When the body does not name one of the provider's, or is not from one of the topics: then nothing is to be
    /// fetched.
    pub fn certificate_url(&self, request: &Request<'_>) -> Result<Option<CertificateUrl>, Failure> {
        match self.provider.scheme().algorithm {
            Algorithm::Sns => sns::of_topic(&self.keys, request.body)?.0.certificate_url().map(Some),
            _ => Ok(None),
        }
    }

    /// Verifies `request` at the time `now`.
    ///
    /// # Errors
    ///
    /// Says why it is not believed.
    pub fn verify(
        &self,
        request: &Request<'_>,
        now: SystemTime,
        certificate: Option<&Certificate>,
    ) -> Result<Verified, Failure> {
        let scheme = self.provider.scheme();
        if self.keys.is_empty() {
            return Err(Failure::NoSecret);
        }
        if scheme.algorithm == Algorithm::Sns {
            return sns::verify(&self.keys, request, now, certificate);
        }
        let (header, given) = signatures(scheme, request)?;
        let stamp = stamp(scheme, request, header.as_deref())?;
        let id = match &scheme.id {
            Some(source) if scheme.template.has_id() => source.value(request)?,
            _ => "".into(),
        };
        let stamp_text = stamp.as_ref().map_or("", |(text, _)| text.as_str());
        let values = Values { request: *request, timestamp: stamp_text, id: &id, secret: b"" };
        let found = self.matching(scheme, &values, &given)?;
        let (key, fingerprint) = found.ok_or(match scheme.algorithm {
            Algorithm::Token => Failure::Token,
            _ => Failure::Mismatch,
        })?;
        if let Some((_, signed_at)) = stamp {
            timestamp::check(signed_at, now, scheme.tolerance)?;
        }
        Ok(Verified { fingerprint, signed_at: stamp.map(|(_, signed_at)| signed_at), key })
    }

    /// The key and the text that one of the signatures fits.
    fn matching(
        &self,
        scheme: &Scheme,
        values: &Values<'_>,
        given: &[Vec<u8>],
    ) -> Result<Option<(usize, [u8; 32])>, Failure> {
        for (index, key) in self.keys.iter().enumerate() {
            let values = Values { secret: key.bytes(), ..*values };
            for text in scheme.template.texts(&values)? {
                if let Some(fingerprint) = fits(scheme, key, &text, given) {
                    return Ok(Some((index, fingerprint)));
                }
            }
        }
        Ok(None)
    }
}

/// What stands for the signing, where one of the signatures is of `text` by `key`.
fn fits(scheme: &Scheme, key: &Key, text: &Text<'_>, given: &[Vec<u8>]) -> Option<[u8; 32]> {
    if let Some(own) = key.sign(scheme.algorithm, text) {
        let is_token = scheme.algorithm == Algorithm::Token;
        let same = if is_token { same } else { same_mac };
        let fits = given.iter().any(|given| same(&own, given));
        // A MAC of 32 bytes stands for itself; a token is the secret.
        let itself = own.as_slice().try_into().ok().filter(|_| !is_token);
        return fits.then(|| itself.unwrap_or_else(|| hash(&own)));
    }
    let text = text.concat();
    // The text, since for some algorithms another valid signature can be made from a valid one.
    given.iter().any(|given| key.verifies(&text, given)).then(|| hash(&text))
}

pub(crate) fn hash(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest::digest(&SHA256, bytes).as_ref());
    hash
}

/// The signatures that the request brings, decoded, and the header's text where it is a list of pairs.
fn signatures(scheme: &Scheme, request: &Request<'_>) -> Result<(Option<String>, Vec<Vec<u8>>), Failure> {
    let mut given = Vec::new();
    let mut header = None;
    match &scheme.bearer {
        Bearer::Body(source) => written(scheme, &source.value(request)?, &mut given),
        Bearer::Headers(names) => {
            for name in names {
                match scheme.format.separator() {
                    None => {
                        let value = single(request.headers, name)?;
                        value.into_iter().for_each(|value| written(scheme, value, &mut given));
                        header = header.or(value.map(|_| String::new()));
                    }
                    Some(separator) => {
                        header = joined(request.headers, name, separator)?;
                        header.iter().for_each(|value| written(scheme, value, &mut given));
                    }
                }
            }
            if header.is_none() {
                return Err(Failure::Missing(scheme.bearer_name()));
            }
        }
    }
    let most = match scheme.algorithm {
        Algorithm::Ed25519 | Algorithm::EcdsaP256 => PUBLIC_SIGNATURES_MAX,
        _ => SIGNATURES_MAX,
    };
    if given.is_empty() || given.len() > most {
        return Err(Failure::Malformed(scheme.bearer_name()));
    }
    Ok((header, given))
}

/// Adds what decodes and has the right length.
fn written(scheme: &Scheme, value: &str, given: &mut Vec<Vec<u8>>) {
    let fits = |bytes: &[u8]| {
        !bytes.is_empty() && scheme.algorithm.length().is_none_or(|length| bytes.len() == length)
    };
    scheme.format.signatures(value, |text| {
        // One too many shows that there are too many.
        if given.len() <= SIGNATURES_MAX {
            given.extend(scheme.encoding.decode(text).filter(|bytes| fits(bytes)));
        }
    });
}

/// When the request says it was signed: as it is written, and as a time.
fn stamp(
    scheme: &Scheme,
    request: &Request<'_>,
    header: Option<&str>,
) -> Result<Option<(String, SystemTime)>, Failure> {
    let Some(timestamp) = &scheme.timestamp else { return Ok(None) };
    let (name, text) = match &timestamp.place {
        Place::Source(source) => (source.name(), source.value(request)?.into_owned()),
        Place::Key(key) => {
            let name = format!("{key}= of {}", scheme.bearer_name());
            let separator = scheme.format.separator().unwrap_or(',');
            let mut found = values(header.unwrap_or_default(), separator, key);
            let text = found.next().ok_or_else(|| Failure::Missing(name.clone()))?.to_owned();
            if found.next().is_some() {
                return Err(Failure::Repeated(name));
            }
            (name, text)
        }
    };
    let time = timestamp.unit.read(&text).ok_or(Failure::Malformed(name))?;
    Ok(Some((text, time)))
}
