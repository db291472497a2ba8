//! Handshakes: each provider's question and the answer to it.

use http::StatusCode;
use irp_webhook::{Answer, Handshake, Provider, Secret, Settings, Verified, Verifier};
use serde_json::{Value, json};

use crate::case::{Case, SECRET, SIGNED_AT, at};

const VERIFIED: Verified = Verified { fingerprint: [0; 32], signed_at: None, key: 0 };

fn case(provider: &str, headers: &[(&str, &str)], body: &str) -> Case {
    Case::new(provider, SECRET, headers, body.as_bytes())
}

fn signed(case: &Case) -> Option<Handshake> {
    case.verifier().signed_handshake(&case.request(), &VERIFIED)
}

fn open(case: &Case) -> Option<Answer> {
    match case.verifier().open_handshake(&case.request()) {
        Some(Handshake::Answer(answer)) => Some(answer),
        None => None,
        other => panic!("{other:?}"),
    }
}

fn answer(handshake: Option<Handshake>) -> Answer {
    let Some(Handshake::Answer(answer)) = handshake else { panic!("{handshake:?}") };
    answer
}

fn json_of(answer: &Answer) -> Value {
    serde_json::from_slice(&answer.body).unwrap()
}

#[test]
fn slack_verifies_a_url() {
    let body = r#"{"token":"x","challenge":"3eZbrw1aB","type":"url_verification"}"#;
    let asks = case("slack", &[("content-type", "application/json")], body);
    let answer = answer(signed(&asks));
    assert_eq!((answer.status, &answer.body[..]), (StatusCode::OK, &b"3eZbrw1aB"[..]));
    assert_eq!(answer.headers[0].1, "text/plain; charset=utf-8");
    // Only after verification.
    assert_eq!(open(&asks), None);
    let event = r#"{"type":"event_callback","challenge":"x","event":{"type":"app_mention"}}"#;
    assert_eq!(signed(&case("slack", &[], event)), None);
    let long = json!({ "type": "url_verification", "challenge": "x".repeat(1025) }).to_string();
    assert_eq!(signed(&case("slack", &[], &long)), None);
}

#[test]
fn slack_looks_at_the_certificate() {
    let form = [("content-type", "application/x-www-form-urlencoded")];
    assert_eq!(open(&case("slack", &form, "ssl_check=1&token=x")), Some(Answer::empty(StatusCode::OK)));
    let get = case("slack", &[], "").method("GET").url("https://a.example/slack/cmd?ssl_check=1&token=x");
    assert_eq!(open(&get), Some(Answer::empty(StatusCode::OK)));
    for no in ["ssl_check=0", "ssl_check=1&ssl_check=1", "command=%2Fdeploy&ssl_check=1"] {
        assert_eq!(open(&case("slack", &form, no)), None, "{no}");
    }
    assert_eq!(open(&case("slack", &[], "ssl_check=1")), None);
}

#[test]
fn discord_pings() {
    let public = "03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8";
    let told = |body: &str| signed(&Case::new("discord", public, &[], body.as_bytes()));
    assert_eq!(json_of(&answer(told(r#"{"type":1,"id":"7"}"#))), json!({ "type": 1 }));
    assert_eq!(answer(told(r#"{"version":1,"type":0}"#)), Answer::empty(StatusCode::NO_CONTENT));
    assert_eq!(told(r#"{"version":1,"type":1,"event":{"type":"X"}}"#), None);
    assert_eq!(told(r#"{"type":2}"#), None);
}

#[test]
fn zoom_wants_a_mac() {
    let body = r#"{"event":"endpoint.url_validation","payload":{"plainToken":"qgg8vlvZRS6UYooatFL8Aw"},"event_ts":1}"#;
    assert_eq!(
        json_of(&answer(signed(&case("zoom", &[], body)))),
        json!({
            "plainToken": "qgg8vlvZRS6UYooatFL8Aw",
            "encryptedToken": "3cc8c0f2f675b01508d364d7d80d8b5618ec680aa41f6446baa7d7035fdac98c"
        })
    );
    let other = r#"{"event":"meeting.started","payload":{"plainToken":"x"}}"#;
    assert_eq!(signed(&case("zoom", &[], other)), None);
}

#[test]
fn meta_subscribes() {
    let settings = Settings { verify_token: Some(Secret::new("word")), learn: false };
    let meta = Verifier::new(Provider::named("meta").unwrap(), &[Secret::new(SECRET)], settings).unwrap();
    let ask = |query: &str| {
        let case = case("meta", &[], "").method("GET").url(&format!("https://a.example/meta?{query}"));
        meta.open_handshake(&case.request())
    };
    let right = ask("hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token=word");
    assert_eq!(answer(right).body, b"1158201444");
    let wrong = ask("hub.mode=subscribe&hub.challenge=1&hub.verify_token=other");
    assert_eq!(answer(wrong).status, StatusCode::FORBIDDEN);
    assert_eq!(ask("hub.challenge=1&hub.verify_token=word"), None);
}

#[test]
fn dropbox_wants_an_echo() {
    let ask = |query: String| {
        open(&case("dropbox", &[], "").method("GET").url(&format!("https://a.example/d?{query}")))
    };
    let echo = ask("challenge=%3Cb%3E".into()).unwrap();
    assert_eq!(echo.body, b"<b>");
    assert!(echo.headers.iter().any(|(name, value)| name == "x-content-type-options" && value == "nosniff"));
    assert!(echo.headers.iter().any(|(_, value)| value == "text/plain; charset=utf-8"));
    assert_eq!(ask(format!("challenge={}", "x".repeat(1025))), None);
}

#[test]
fn asana_tells_its_secret_once_and_only_when_it_is_awaited() {
    let asks = case("asana", &[("X-Hook-Secret", "b537207f20cbfa02357cf448134da559")], "");
    let asana = |secrets: &[Secret], learn| {
        let settings = Settings { verify_token: None, learn };
        let verifier = Verifier::new(Provider::named("asana").unwrap(), secrets, settings).unwrap();
        verifier.open_handshake(&asks.request())
    };
    let Some(Handshake::Learn { secret, answer }) = asana(&[], true) else { panic!("nothing was learned") };
    assert_eq!(secret.expose(), "b537207f20cbfa02357cf448134da559");
    assert_eq!(answer.headers[0].1, "b537207f20cbfa02357cf448134da559");
    assert_eq!(asana(&[], false), None);
    assert_eq!(asana(&[Secret::new("x")], true), None);
}

#[test]
fn twitch_wants_its_challenge() {
    let kind = |kind| [("Twitch-Eventsub-Message-Type", kind)];
    let body = r#"{"challenge":"pogchamp-kappa-360noscope","subscription":{}}"#;
    let told = signed(&case("twitch", &kind("webhook_callback_verification"), body));
    assert_eq!(answer(told).body, b"pogchamp-kappa-360noscope");
    assert_eq!(signed(&case("twitch", &kind("notification"), body)), None);
}

#[test]
fn line_sends_nothing_and_intercom_looks_whether_somebody_is_there() {
    let told = signed(&case("line", &[], r#"{"destination":"x","events":[]}"#));
    assert_eq!(answer(told), Answer::empty(StatusCode::OK));
    assert_eq!(signed(&case("line", &[], r#"{"destination":"x","events":[{}]}"#)), None);
    assert_eq!(open(&case("intercom", &[], "").method("HEAD")), Some(Answer::empty(StatusCode::OK)));
}

#[test]
fn a_handshake_that_is_too_long_is_none() {
    let body =
        json!({ "type": "url_verification", "challenge": "x", "more": "y".repeat(17_000) }).to_string();
    assert_eq!(signed(&case("slack", &[], &body)), None);
    assert_eq!(at(SIGNED_AT), case("slack", &[], "").now);
}
