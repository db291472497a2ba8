//! A request that one test changes in one way, and its verdict.

use std::{
    sync::LazyLock,
    time::{Duration, SystemTime},
};

use aws_lc_rs::{
    encoding::{AsDer as _, PublicKeyX509Der},
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _},
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use http::{HeaderMap, HeaderName, HeaderValue};
use irp_webhook::{Failure, Provider, Request, Row, Secret, Settings, Signed, TABLE, Verified, Verifier};

/// When most vectors were signed.
pub(crate) const SIGNED_AT: u64 = 1_700_000_000;
/// The secret of the vectors without one of their own.
pub(crate) const SECRET: &str = "irp-test-secret";
/// Their body.
pub(crate) const BODY: &[u8] = br#"{"hello":"world"}"#;

/// Rows as users write them: one for each format, algorithm, form of a key and place of a time that the table leaves to
/// them.
const CUSTOM: [(&str, Row<'static>); 6] = [
    (
        "acme-pairs",
        Row {
            signature: "x-acme-signature",
            format: "kv:;:sig",
            encoding: "base64",
            template: "{method} {url} {ts} {body}",
            timestamp: "key:at:ms",
            ..Row::PLAIN
        },
    ),
    (
        "acme-date",
        Row {
            signature: "x-acme-signature",
            format: "prefix:hmac ",
            algorithm: "hmac-sha1",
            key: "hex",
            template: "{id}|{ts}|{body}",
            timestamp: "header:x-acme-date:rfc3339",
            tolerance: 30,
            id: "header:x-acme-delivery",
            ..Row::PLAIN
        },
    ),
    ("acme-list", Row { signature: "x-acme-signature", format: "list:;:s1:", ..Row::PLAIN }),
    ("acme-token", Row { signature: "x-acme-token", algorithm: "token", encoding: "text", ..Row::PLAIN }),
    (
        "acme-hash",
        Row { signature: "x-acme-hash", algorithm: "sha256", template: "{secret}{body}", ..Row::PLAIN },
    ),
    (
        "acme-body",
        Row {
            signature: "body:proof.mac",
            template: "{ts}/{id}",
            timestamp: "body:proof.at:s",
            id: "body:proof.number",
            ..Row::PLAIN
        },
    ),
];

/// Every row of the table but that of SNS, which has tests of its own, and those of users.
pub(crate) fn rows() -> Vec<(&'static str, Row<'static>)> {
    let table = TABLE.iter().filter(|(name, ..)| *name != "sns").map(|(name, row, _)| (*name, *row));
    table.chain(CUSTOM).collect()
}

/// A request and what is known to whoever verifies it.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) provider: String,
    pub(crate) secrets: Vec<String>,
    pub(crate) method: String,
    pub(crate) url: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    pub(crate) now: SystemTime,
}

impl Case {
    pub(crate) fn new(provider: &str, secret: &str, headers: &[(&str, &str)], body: &[u8]) -> Self {
        Self {
            provider: provider.into(),
            secrets: vec![secret.into()],
            method: "POST".into(),
            url: "https://alice.example.com/hook".into(),
            headers: map(headers),
            body: body.to_vec(),
            now: at(SIGNED_AT),
        }
    }

    pub(crate) fn at(self, second: u64) -> Self {
        Self { now: at(second), ..self }
    }

    pub(crate) fn url(self, url: &str) -> Self {
        Self { url: url.into(), ..self }
    }

    pub(crate) fn method(self, method: &str) -> Self {
        Self { method: method.into(), ..self }
    }

    pub(crate) fn request(&self) -> Request<'_> {
        Request { method: &self.method, url: &self.url, headers: &self.headers, body: &self.body }
    }

    pub(crate) fn provider(&self) -> Provider {
        let custom = CUSTOM.iter().find(|(name, _)| *name == self.provider);
        match custom {
            Some((name, row)) => Provider::custom(name, row).unwrap(),
            None => Provider::named(&self.provider).unwrap(),
        }
    }

    pub(crate) fn verifier(&self) -> Verifier {
        let secrets: Vec<Secret> = self.secrets.iter().map(Secret::new).collect();
        Verifier::new(self.provider(), &secrets, Settings::default()).unwrap()
    }

    /// The verdict; the headers alone never refuse what the whole does not.
    pub(crate) fn verdict(&self) -> Result<Verified, Failure> {
        let verifier = self.verifier();
        let verdict = verifier.verify(&self.request(), self.now, None);
        if let Err(early) = verifier.check_headers(&self.headers) {
            assert_eq!(verdict, Err(early), "{}", self.provider);
        }
        verdict
    }

    /// Signs it as its provider would at its time; those with private keys have keys made here.
    pub(crate) fn sign(&mut self, id: &str) {
        let secret = Secret::new(&*self.secrets[0]);
        if self.provider().is_symmetric() {
            let signed = self.provider().sign(&secret, &self.request(), self.now, id).unwrap();
            return self.apply(signed);
        }
        let second = self.now.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs().to_string();
        let text = |before: &str| [before.as_bytes(), &self.body].concat();
        let ed25519 = |text: &[u8]| ED25519.sign(text).as_ref().to_vec();
        let signed = match self.provider.as_str() {
            "discord" => {
                let signature = ed25519(&text(&second));
                vec![("x-signature-timestamp", second), ("x-signature-ed25519", hex(&signature))]
            }
            "sendgrid" => {
                let signature = P256.sign(&SystemRandom::new(), &text(&second)).unwrap();
                let base64 = BASE64_STANDARD.encode(signature);
                vec![
                    ("x-twilio-email-event-webhook-timestamp", second),
                    ("x-twilio-email-event-webhook-signature", base64),
                ]
            }
            _ => {
                let signature = ed25519(&text(&format!("{id}.{second}.")));
                let list = format!("v1a,{}", BASE64_STANDARD.encode(signature));
                vec![("webhook-id", id.into()), ("webhook-timestamp", second), ("webhook-signature", list)]
            }
        };
        for (name, value) in signed {
            self.headers.insert(name, value.parse().unwrap());
        }
    }

    /// Puts in what signing made.
    fn apply(&mut self, signed: Signed) {
        self.url = signed.url;
        self.body = signed.body;
        for (name, value) in signed.headers {
            self.headers.insert(name, value);
        }
    }
}

pub(crate) fn at(second: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(second)
}

pub(crate) fn map(headers: &[(&str, &str)]) -> HeaderMap {
    let pair = |(name, value): &(&str, &str)| -> (HeaderName, HeaderValue) {
        (name.parse().unwrap(), value.parse().unwrap())
    };
    headers.iter().map(pair).collect()
}

static ED25519: LazyLock<Ed25519KeyPair> = LazyLock::new(|| {
    Ed25519KeyPair::from_seed_unchecked(&std::array::from_fn::<u8, 32, _>(|at| at.try_into().unwrap()))
        .unwrap()
});
static P256: LazyLock<EcdsaKeyPair> =
    LazyLock::new(|| EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap());

/// The secret of each provider in tests: of the kind that its row wants.
pub(crate) fn secret_of(provider: &str) -> String {
    match provider {
        "standard-webhooks" | "svix" | "gitlab-signing" => {
            "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=".into()
        }
        "msteams" => "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=".into(),
        "discord" => hex(ED25519.public_key().as_ref()),
        "standard-webhooks-ed25519" => format!("whpk_{}", BASE64_STANDARD.encode(ED25519.public_key())),
        "sendgrid" => spki(&P256),
        "acme-date" => "00ff10".into(),
        _ => SECRET.into(),
    }
}

/// Another secret of the same kind.
pub(crate) fn other_secret_of(provider: &str) -> String {
    let ed25519 = || Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
    match provider {
        "standard-webhooks" | "svix" | "gitlab-signing" => {
            "whsec_YW5vdGhlci1zZWNyZXQtYW5vdGhlci1zZWNyZXQ=".into()
        }
        "msteams" => "YW5vdGhlci1zZWNyZXQ=".into(),
        "discord" => hex(ed25519().public_key().as_ref()),
        "standard-webhooks-ed25519" => format!("whpk_{}", BASE64_STANDARD.encode(ed25519().public_key())),
        "sendgrid" => spki(&EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap()),
        "acme-date" => "00ff11".into(),
        _ => "another-secret".into(),
    }
}

fn spki(key: &EcdsaKeyPair) -> String {
    let der: PublicKeyX509Der<'_> = key.public_key().as_der().unwrap();
    BASE64_STANDARD.encode(der.as_ref())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
