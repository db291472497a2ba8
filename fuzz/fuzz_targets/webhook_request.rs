//! Whatever claims to come from a provider: it is not believed without the secret, what was signed is believed and
//! no longer once it is changed, and what is told about it is short and cannot write to a terminal.
//!
//! Input: a byte that picks the provider, lines of `name: value`, an empty line, the body.

#![no_main]

use std::time::{Duration, SystemTime};

use http::{HeaderMap, header};
use irp_fuzz::headers;
use irp_webhook::{Certificate, Handshake, Provider, Request, Secret, Settings, Verifier};
use libfuzzer_sys::fuzz_target;

const URL: &str = "https://alice.example.com/hook?challenge=word&hub.mode=subscribe&hub.challenge=1";

fuzz_target!(|data: &[u8]| {
    let Some((first, rest)) = data.split_first() else { return };
    let providers = Provider::all();
    let provider = &providers[usize::from(*first) % providers.len()];
    let cut = rest.windows(2).position(|two| two == b"\n\n").unwrap_or(rest.len());
    let (head, body) = (&rest[..cut], rest.get(cut + 2..).unwrap_or_default());
    let mut headers = headers(head);
    let method = if first & 0x80 == 0 { "POST" } else { "GET" };
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    let request = Request { method, url: URL, headers: &headers, body };

    let kind = provider.kind(&request);
    for text in kind.name.iter().chain(&kind.delivery) {
        assert!(text.chars().count() <= 80 && !text.chars().any(char::is_control));
    }
    let _ = provider.offline(&request);

    let Some(secret) = secret(provider) else { return };
    let settings = Settings { verify_token: Some(Secret::new("word")), learn: true };
    let verifier = Verifier::new(provider.clone(), &[secret.clone()], settings).expect("the secret is one");
    assert!(verifier.verify(&request, now, None).is_err(), "{} believes a stranger", provider.name());
    if let Ok(Some(url)) = verifier.certificate_url(&request) {
        let url = url.to_string();
        assert!(url.starts_with("https://sns.us-east-1.amazonaws.com/") && url.ends_with(".pem"), "{url}");
    }
    let _ = Certificate::from_pem(body);
    match verifier.open_handshake(&request) {
        Some(Handshake::Answer(answer)) => assert!(answer.body.len() <= 1024),
        Some(other) => panic!("{other:?}"),
        None => {}
    }

    let Ok(signed) = provider.sign(&secret, &request, now, "msg_1") else { return };
    for (name, value) in &signed.headers {
        headers.insert(name, value.clone());
    }
    let believed = |headers: &HeaderMap, body: &[u8]| {
        let request = Request { method, url: &signed.url, headers, body };
        verifier.check_headers(headers)?;
        let verified = verifier.verify(&request, now, None)?;
        let _ = verifier.signed_handshake(&request, &verified);
        Ok::<_, irp_webhook::Failure>(())
    };
    // Mailgun's fields are looked for in a form, where the headers say that it is one.
    let is_form =
        headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/x"));
    let verdict = believed(&headers, &signed.body);
    let doubtful = provider.name() == "mailgun" && is_form;
    // Others of the several headers of a provider may be there twice.
    let several = matches!(provider.name(), "box" | "docusign");
    assert!(verdict.is_ok() || doubtful || several, "{}: {verdict:?}", provider.name());
    let covers_body = !matches!(provider.name(), "gitlab" | "telegram" | "mailgun" | "twilio");
    if covers_body {
        let longer = [&signed.body[..], b"x"].concat();
        assert!(believed(&headers, &longer).is_err(), "{}: a longer body", provider.name());
    }
});

/// A secret of the provider's kind that no input knows.
fn secret(provider: &Provider) -> Option<Secret> {
    Some(Secret::new(match provider.name() {
        "standard-webhooks" | "svix" | "gitlab-signing" => {
            "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
        }
        "msteams" => "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=",
        "discord" => "03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8",
        "standard-webhooks-ed25519" => "whpk_A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg=",
        "sns" => "arn:aws:sns:us-east-1:123456789012:t",
        "sendgrid" => return None,
        _ => "a secret that no input knows",
    }))
}
