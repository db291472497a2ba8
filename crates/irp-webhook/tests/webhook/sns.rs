//! AWS SNS, with a certificate made here.

use aws_lc_rs::{rand::SystemRandom, signature};
use irp_webhook::{Certificate, Failure, Handshake, Provider, Secret, Settings, Verifier};
use serde_json::{Value, json};

use crate::case::{Case, at};

const TOPIC: &str = "arn:aws:sns:us-east-1:123456789012:t";
const URL: &str = "https://sns.us-east-1.amazonaws.com/SimpleNotificationService-1.pem";

struct Owner {
    key: signature::RsaKeyPair,
    certificate: Certificate,
}

impl Owner {
    fn new() -> Self {
        let key =
            rcgen::KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_2048).unwrap();
        let mut parameters = rcgen::CertificateParams::new(["sns.amazonaws.com".to_owned()]).unwrap();
        parameters.not_before = rcgen::date_time_ymd(2023, 1, 1);
        parameters.not_after = rcgen::date_time_ymd(2024, 1, 1);
        let pem = parameters.self_signed(&key).unwrap().pem();
        let certificate = Certificate::from_pem(pem.as_bytes()).unwrap();
        let key = signature::RsaKeyPair::from_pkcs8(&key.serialize_der()).unwrap();
        Self { key, certificate }
    }

    /// The message with its signature, over the fields of its type in their order.
    fn sign(&self, mut message: Value) -> Value {
        let order = match message["Type"].as_str().unwrap() {
            "Notification" => &["Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"][..],
            _ => &["Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"],
        };
        let lines = order.iter().filter_map(|name| Some(format!("{name}\n{}\n", message[name].as_str()?)));
        let text: String = lines.collect();
        let mut bytes = vec![0; self.key.public_modulus_len()];
        let random = SystemRandom::new();
        self.key.sign(&signature::RSA_PKCS1_SHA256, &random, text.as_bytes(), &mut bytes).unwrap();
        use base64::Engine as _;
        message["Signature"] = base64::prelude::BASE64_STANDARD.encode(bytes).into();
        message
    }

    fn verdict(&self, message: &Value, topic: &str, second: u64) -> Result<(), Failure> {
        let case = Case::new("sns", topic, &[], message.to_string().as_bytes()).at(second);
        verifier(topic).verify(&case.request(), case.now, Some(&self.certificate)).map(|_| ())
    }
}

fn verifier(topic: &str) -> Verifier {
    Verifier::new(Provider::named("sns").unwrap(), &[Secret::new(topic)], Settings::default()).unwrap()
}

fn message(kind: &str) -> Value {
    json!({
        "Type": kind, "Message": "hello\n", "MessageId": "m-1", "Subject": "s", "TopicArn": TOPIC,
        "Timestamp": "2023-11-14T22:13:20.000Z", "SignatureVersion": "2", "SigningCertURL": URL,
        "Token": "t", "SubscribeURL": "https://sns.us-east-1.amazonaws.com/?Action=ConfirmSubscription&Token=t",
    })
}

#[test]
fn a_notification_is_believed_by_its_certificate_its_topic_and_its_time() {
    let owner = Owner::new();
    let signed = owner.sign(message("Notification"));
    let now = 1_700_000_000;
    assert_eq!(owner.verdict(&signed, TOPIC, now), Ok(()));
    for field in ["Message", "MessageId", "Subject", "Timestamp", "Type"] {
        let mut other = signed.clone();
        other[field] = if field == "Type" { "SubscriptionConfirmation".into() } else { "x".into() };
        assert_eq!(owner.verdict(&other, TOPIC, now), Err(Failure::Mismatch), "{field}");
    }
    let elsewhere = "arn:aws:sns:us-east-1:123456789012:other";
    assert_eq!(owner.verdict(&signed, elsewhere, now), Err(Failure::Topic(TOPIC.into())));
    assert_eq!(owner.verdict(&signed, TOPIC, now + 3601), Err(Failure::Old(3601)));
    assert_eq!(owner.verdict(&signed, TOPIC, now + 100 * 86_400), Err(Failure::Certificate));
    assert_eq!(Owner::new().verdict(&signed, TOPIC, now), Err(Failure::Mismatch));
    let mut version = signed.clone();
    version["SignatureVersion"] = "1".into();
    assert_eq!(owner.verdict(&version, TOPIC, now), Err(Failure::Mismatch));
    let case = Case::new("sns", TOPIC, &[], signed.to_string().as_bytes()).at(now);
    assert_eq!(verifier(TOPIC).verify(&case.request(), at(now), None), Err(Failure::CertificateMissing));
}

#[test]
fn only_certificates_at_sns_are_asked_for() {
    let ask = |url: &str| {
        let mut message = message("Notification");
        message["Signature"] = "".into();
        message["SigningCertURL"] = url.into();
        let case = Case::new("sns", TOPIC, &[], message.to_string().as_bytes());
        verifier(TOPIC).certificate_url(&case.request()).map(|url| url.map(|url| url.to_string()))
    };
    assert_eq!(ask(URL), Ok(Some(URL.into())));
    for other in [
        "https://evil.example/a.pem",
        "https://sns.us-east-1.amazonaws.com/a.txt",
        // SNS in another region is not the topic's.
        "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-1.pem",
        // What SNS answers to that quotes the asker.
        "https://sns.us-east-1.amazonaws.com/?Action=-----BEGIN%20CERTIFICATE-----&x=.pem",
        "",
    ] {
        assert_eq!(ask(other), Err(Failure::CertificateUrl), "{other}");
    }
}

#[test]
fn a_subscription_is_confirmed_at_sns_alone() {
    let owner = Owner::new();
    let told = |url: &str| {
        let mut message = message("SubscriptionConfirmation");
        message["SubscribeURL"] = url.into();
        let signed = owner.sign(message);
        assert_eq!(owner.verdict(&signed, TOPIC, 1_700_000_000), Ok(()));
        let case = Case::new("sns", TOPIC, &[], signed.to_string().as_bytes());
        let verified = verifier(TOPIC).verify(&case.request(), case.now, Some(&owner.certificate)).unwrap();
        verifier(TOPIC).signed_handshake(&case.request(), &verified)
    };
    let url = "https://sns.us-east-1.amazonaws.com/?Action=ConfirmSubscription&Token=t";
    assert!(matches!(told(url), Some(Handshake::Confirm { url: at, .. }) if at.to_string() == url));
    for other in [
        "https://evil.example/",
        "https://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription&Token=t",
        "https://sns.us-east-1.amazonaws.com/?Action=DeleteTopic&Token=t",
    ] {
        assert_eq!(told(other), None, "{other}");
    }
}

#[test]
fn what_is_no_certificate_is_none() {
    assert!(Certificate::from_pem(b"").is_err());
    assert!(
        Certificate::from_pem(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").is_err()
    );
    assert!(Certificate::from_pem(&[b'x'; 20_000]).is_err());
    let key = rcgen::KeyPair::generate().unwrap();
    let pem = rcgen::CertificateParams::new(["x".to_owned()]).unwrap().self_signed(&key).unwrap().pem();
    assert!(Certificate::from_pem(pem.as_bytes()).is_ok());
    assert!(Certificate::from_pem(format!("<Error>{pem}</Error>").as_bytes()).is_err());
    assert!(Certificate::from_pem(format!("The action\n{pem}").as_bytes()).is_err());
}
