//! AWS SNS: a text put together from the fields of a JSON body, signed with RSA by the owner of a certificate that
//! the body names.
//!
//! Who fetches the certificate must do so over verified HTTPS: its address is what makes it Amazon's. Only
//! addresses `sns.REGION.amazonaws.com` are given out.

use std::{fmt, time::SystemTime};

use aws_lc_rs::signature::{
    RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey,
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde::Deserialize;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::{
    Failure, Request, Verified,
    key::Key,
    timestamp::{self, Unit},
    verify::hash,
};

/// How old a message may be: SNS tries again for up to an hour, with the same signature.
const TOLERANCE_S: u64 = 3600;
/// The longest certificate that is read, in bytes.
const CERTIFICATE_MAX: usize = 16 * 1024;

/// The fields of a message.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Message {
    r#type: String,
    message: String,
    message_id: String,
    topic_arn: String,
    timestamp: String,
    signature: String,
    signature_version: String,
    #[serde(rename = "SigningCertURL")]
    signing_cert_url: String,
    subject: Option<String>,
    token: Option<String>,
    #[serde(rename = "SubscribeURL")]
    subscribe_url: Option<String>,
}

/// The address of a signing certificate: HTTPS, on a host of SNS.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CertificateUrl(String);

/// The address that confirms a subscription: HTTPS, on a host of SNS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscribeUrl(String);

impl fmt::Display for CertificateUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for SubscribeUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A signing certificate that was fetched.
#[derive(Clone, Debug)]
pub struct Certificate {
    key: Vec<u8>,
    not_before: i64,
    not_after: i64,
}

/// Why a text is no certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it does not read as a certificate in PEM")]
pub struct CertificateError;

impl Certificate {
    /// Reads PEM.
    ///
    /// # Errors
    ///
    /// When it is none.
    pub fn from_pem(pem: &[u8]) -> Result<Self, CertificateError> {
        if pem.len() > CERTIFICATE_MAX {
            return Err(CertificateError);
        }
        // Not one that stands somewhere in an answer.
        if !pem.starts_with(b"-----BEGIN CERTIFICATE-----") {
            return Err(CertificateError);
        }
        let (_, pem) = x509_parser::pem::parse_x509_pem(pem).map_err(|_| CertificateError)?;
        let (_, certificate) = X509Certificate::from_der(&pem.contents).map_err(|_| CertificateError)?;
        let validity = certificate.validity();
        Ok(Self {
            key: certificate.public_key().subject_public_key.data.to_vec(),
            not_before: validity.not_before.timestamp(),
            not_after: validity.not_after.timestamp(),
        })
    }

    fn is_valid_at(&self, now: SystemTime) -> bool {
        let second = now.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
        i64::try_from(second).is_ok_and(|second| (self.not_before..=self.not_after).contains(&second))
    }
}

impl Message {
    pub(crate) fn read(body: &[u8]) -> Result<Self, Failure> {
        serde_json::from_slice(body).map_err(|_| Failure::Malformed("the message of SNS".into()))
    }

    pub(crate) fn certificate_url(&self) -> Result<CertificateUrl, Failure> {
        let url = &self.signing_cert_url;
        // Without a query: SNS answers some with what stands in them, and so with a certificate of whoever asks.
        let is_file = |path: &&str| path.ends_with(".pem") && !path.contains('?');
        match self.at_topics_region(url).filter(is_file) {
            Some(_) => Ok(CertificateUrl(url.clone())),
            None => Err(Failure::CertificateUrl),
        }
    }

    /// The address that confirms this subscription, where the message asks for that.
    pub(crate) fn confirmation(&self) -> Option<SubscribeUrl> {
        let url = self.subscribe_url.as_ref().filter(|_| self.r#type == "SubscriptionConfirmation")?;
        let path = self.at_topics_region(url)?;
        path.starts_with("/?Action=ConfirmSubscription&").then(|| SubscribeUrl(url.clone()))
    }

    /// The path of `url`, where that is at SNS in the region of the message's topic.
    fn at_topics_region<'u>(&self, url: &'u str) -> Option<&'u str> {
        let (region, path) = path_at_sns(url)?;
        (self.topic_arn.split(':').nth(3) == Some(region)).then_some(path)
    }

    /// The text that is signed.
    fn text(&self) -> Option<String> {
        let mut fields = vec![("Message", &self.message), ("MessageId", &self.message_id)];
        match self.r#type.as_str() {
            "Notification" => fields.extend(self.subject.iter().map(|subject| ("Subject", subject))),
            "SubscriptionConfirmation" | "UnsubscribeConfirmation" => {
                fields.push(("SubscribeURL", self.subscribe_url.as_ref()?));
            }
            _ => return None,
        }
        fields.push(("Timestamp", &self.timestamp));
        if self.r#type != "Notification" {
            fields.push(("Token", self.token.as_ref()?));
        }
        fields.extend([("TopicArn", &self.topic_arn), ("Type", &self.r#type)]);
        Some(fields.into_iter().map(|(name, value)| format!("{name}\n{value}\n")).collect())
    }
}

/// The region and the path of a URL at `sns.REGION.amazonaws.com` or `….com.cn`, on the default port.
fn path_at_sns(url: &str) -> Option<(&str, &str)> {
    let rest = url.strip_prefix("https://")?;
    let (host, path) = rest.split_at(rest.find('/')?);
    let region = host.strip_prefix("sns.")?;
    let region =
        region.strip_suffix(".amazonaws.com").or_else(|| region.strip_suffix(".amazonaws.com.cn"))?;
    let is_region = !region.is_empty()
        && region.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    let is_visible = path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\' && byte != b'#');
    (is_region && is_visible).then_some((region, path))
}

/// The message and which of the topics it is from.
pub(crate) fn of_topic(topics: &[Key], body: &[u8]) -> Result<(Message, usize), Failure> {
    let message = Message::read(body)?;
    let is_topic = |key: &Key| matches!(key, Key::Topic(topic) if *topic == message.topic_arn);
    let key = topics.iter().position(is_topic).ok_or_else(|| {
        Failure::Topic(
            message.topic_arn.chars().filter(|letter| letter.is_ascii_graphic()).take(200).collect(),
        )
    })?;
    Ok((message, key))
}

pub(crate) fn verify(
    topics: &[Key],
    request: &Request<'_>,
    now: SystemTime,
    certificate: Option<&Certificate>,
) -> Result<Verified, Failure> {
    let (message, key) = of_topic(topics, request.body)?;
    message.certificate_url()?;
    let certificate = certificate.ok_or(Failure::CertificateMissing)?;
    if !certificate.is_valid_at(now) {
        return Err(Failure::Certificate);
    }
    let text = message.text().ok_or_else(|| Failure::Malformed("the message of SNS".into()))?;
    let signature =
        BASE64_STANDARD.decode(&message.signature).map_err(|_| Failure::Malformed("Signature".into()))?;
    let algorithm = match message.signature_version.as_str() {
        "1" => &RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY,
        "2" => &RSA_PKCS1_2048_8192_SHA256,
        _ => return Err(Failure::Malformed("SignatureVersion".into())),
    };
    let owner = UnparsedPublicKey::new(algorithm, &certificate.key);
    owner.verify(text.as_bytes(), &signature).map_err(|_| Failure::Mismatch)?;
    let signed_at =
        Unit::Date.read(&message.timestamp).ok_or_else(|| Failure::Malformed("Timestamp".into()))?;
    timestamp::check(signed_at, now, std::time::Duration::from_secs(TOLERANCE_S))?;
    Ok(Verified { fingerprint: hash(text.as_bytes()), signed_at: Some(signed_at), key })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encoding::hex;

    #[test]
    fn the_signed_text_is_that_of_the_specification() {
        let message = |rest: &str| {
            let body = format!(
                r#"{{"Message":"hello","MessageId":"m-1",{rest}"Timestamp":"2023-11-14T22:13:20.000Z",
                "TopicArn":"arn:aws:sns:us-east-1:123456789012:t","Type":"Notification",
                "Signature":"","SignatureVersion":"2","SigningCertURL":""}}"#
            );
            hex(&hash(Message::read(body.as_bytes()).unwrap().text().unwrap().as_bytes()))
        };
        assert_eq!(
            message(r#""Subject":"s","#),
            "5ab268a63e8de2220abaca72b5079b5d89746f58305a44b092a4272d3e6f3524"
        );
        assert_eq!(message(""), "9d683a1c133d3244839171eee97e663809c6b82be6de18f008df5a3dab45fe76");
    }

    #[test]
    fn only_hosts_of_sns_are_asked() {
        for url in
            ["https://sns.us-east-1.amazonaws.com/a.pem", "https://sns.cn-north-1.amazonaws.com.cn/a.pem"]
        {
            assert_eq!(path_at_sns(url).map(|(_, path)| path), Some("/a.pem"), "{url}");
        }
        for url in [
            "http://sns.us-east-1.amazonaws.com/a.pem",
            "https://sns.us-east-1.amazonaws.com.evil.example/a.pem",
            "https://sns.evil.example/.amazonaws.com/a.pem",
            "https://evil.example/sns.us-east-1.amazonaws.com/a.pem",
            "https://sns.us-east-1.amazonaws.com:444/a.pem",
            "https://sns.us-east-1.amazonaws.com@evil.example/a.pem",
            "https://sns..amazonaws.com/a.pem",
            "https://sns.a.b.amazonaws.com/a.pem",
            "https://s3.us-east-1.amazonaws.com/a.pem",
            "https://sns.us-east-1.amazonaws.com",
            "https://sns.us-east-1.amazonaws.com/a b",
        ] {
            assert_eq!(path_at_sns(url), None, "{url}");
        }
    }
}
