//! What is an event and what a person waits for, and what each request is called.

use irp_webhook::{Answer, Kind, OFFLINE_TEXT, Offline, Provider};
use serde_json::{Value, json};

use crate::case::{Case, SECRET};

const FORM: &[(&str, &str)] = &[("content-type", "application/x-www-form-urlencoded")];

fn case(provider: &str, headers: &[(&str, &str)], body: &str) -> Case {
    Case::new(provider, SECRET, headers, body.as_bytes())
}

fn offline(case: &Case) -> Offline {
    case.provider().offline(&case.request())
}

fn kind(case: &Case) -> Kind {
    case.provider().kind(&case.request())
}

fn name(case: &Case) -> Option<String> {
    kind(case).name
}

fn told(offline: Offline) -> Value {
    let Offline::Answer(answer) = offline else { panic!("{offline:?}") };
    serde_json::from_slice(&answer.body).unwrap_or_default()
}

/// An interaction of Slack.
fn interaction(payload: &Value) -> Case {
    let payload = payload.to_string().replace('%', "%25").replace('&', "%26").replace('+', "%2B");
    case("slack", FORM, &format!("payload={payload}"))
}

#[test]
fn an_event_of_slack_is_kept() {
    let body = r#"{"type":"event_callback","event_id":"Ev1","event":{"type":"app_mention"}}"#;
    let event = case("slack", &[("x-slack-retry-num", "2"), ("x-slack-retry-reason", "http_timeout")], body);
    assert!(matches!(offline(&event), Offline::Park(Answer { status, .. }) if status == 200));
    let expected = Kind {
        name: Some("event_callback app_mention".into()),
        retry: Some(2),
        delivery: Some("Ev1".into()),
    };
    assert_eq!(kind(&event), expected);
}

#[test]
fn somebody_waits_for_a_slash_command() {
    let command =
        case("slack", FORM, "command=%2Fdeploy&text=now&response_url=https%3A%2F%2Fhooks.slack.com%2Fx");
    let expected = json!({ "response_type": "ephemeral", "text": OFFLINE_TEXT });
    assert_eq!(told(offline(&command)), expected);
    assert_eq!(name(&command).as_deref(), Some("/deploy"));
}

#[test]
fn who_pressed_a_button_is_told_at_slack_and_nowhere_else() {
    let pressed = |url: &str| interaction(&json!({ "type": "block_actions", "response_url": url }));
    let url = "https://hooks.slack.com/actions/T1/2/3";
    let Offline::AnswerAndPost { answer, url: told, body } = offline(&pressed(url)) else { panic!() };
    assert_eq!((answer.status.as_u16(), answer.body.len(), told.as_str()), (200, 0, url));
    assert_eq!(serde_json::from_slice::<Value>(&body).unwrap()["text"], OFFLINE_TEXT);
    for elsewhere in [
        "https://hooks.slack.com.evil.example/x",
        "http://hooks.slack.com/x",
        "https://hooks.slack.com@evil.example/",
        "https://hooks.slack.com/ x",
        "https://169.254.169.254/",
    ] {
        assert!(matches!(offline(&pressed(elsewhere)), Offline::Answer(_)), "{elsewhere}");
    }
}

#[test]
fn each_interaction_of_slack_has_its_answer() {
    let of = |kind: &str| offline(&interaction(&json!({ "type": kind })));
    assert_eq!(told(of("view_submission"))["response_action"], "update");
    assert_eq!(told(of("block_suggestion")), json!({ "options": [] }));
    assert_eq!(told(of("shortcut")), Value::Null);
    assert!(matches!(of("view_closed"), Offline::Park(_)));
    assert_eq!(name(&interaction(&json!({ "type": "shortcut" }))).as_deref(), Some("shortcut"));
    for none in ["", "payload=x", "a=b"] {
        assert_eq!(offline(&case("slack", FORM, none)), Offline::Refuse, "{none}");
    }
}

#[test]
fn discord_tells_events_from_people() {
    let of = |body: Value| offline(&case("discord", &[], &body.to_string()));
    assert!(matches!(of(json!({ "type": 1, "event": { "type": "X" } })), Offline::Park(_)));
    let command = json!({ "type": 2, "data": { "name": "deploy" } });
    assert_eq!(told(of(command.clone()))["data"]["flags"], 64);
    assert_eq!(told(of(json!({ "type": 4 }))), json!({ "type": 8, "data": { "choices": [] } }));
    assert_eq!(of(json!({ "type": 9 })), Offline::Refuse);
    assert_eq!(name(&case("discord", &[], &command.to_string())).as_deref(), Some("/deploy"));
}

#[test]
fn twilio_speaks_to_callers_and_teams_to_its_channel() {
    let call = offline(&case("twilio", FORM, "CallSid=CA1&CallStatus=ringing"));
    assert!(matches!(call, Offline::Answer(answer) if answer.body.starts_with(b"<Response><Say>")));
    let message = case("twilio", FORM, "MessageSid=SM1&SmsStatus=received&Body=hi");
    assert!(matches!(offline(&message), Offline::Park(_)));
    assert_eq!(name(&message).as_deref(), Some("sms received"));
    let asked = offline(&case("msteams", &[], r#"{"type":"message","text":"<at>bot</at> hi"}"#));
    assert_eq!(told(asked), json!({ "type": "message", "text": OFFLINE_TEXT }));
}

#[test]
fn what_others_send_are_events() {
    for provider in Provider::all() {
        let is_for_people = ["slack", "discord", "msteams", "twilio"].contains(&provider.name());
        let event = case(provider.name(), &[], "{}");
        assert_eq!(
            matches!(offline(&event), Offline::Park(_)),
            !is_for_people || provider.name() == "twilio"
        );
        assert_eq!(offline(&event.method("GET")), Offline::Refuse);
    }
}

#[test]
fn names_come_from_headers_and_bodies_and_cannot_write_to_a_terminal() {
    let github = case("github", &[("x-github-event", "push"), ("x-github-delivery", "72d3162e")], "{}");
    let expected = Kind { name: Some("push".into()), retry: None, delivery: Some("72d3162e".into()) };
    assert_eq!(kind(&github), expected);
    let stripe = case("stripe", &[], r#"{"id":"evt_1","type":"invoice.paid\u001b[31m"}"#);
    assert_eq!(name(&stripe).as_deref(), Some("invoice.paid[31m"));
    assert_eq!(kind(&stripe).delivery.as_deref(), Some("evt_1"));
    // What names the subscription is no number of a delivery: its events would be taken for one.
    let subscription = [("x-webhook-id", "W1"), ("x-webhook-subscription", "S1")];
    let body = r#"{"event":{"id":"01F","event_type":"incident.triggered"}}"#;
    let expected =
        Kind { name: Some("incident.triggered".into()), retry: None, delivery: Some("01F".into()) };
    assert_eq!(kind(&case("pagerduty", &subscription, body)), expected);
    // Nor is what an event shares with those that it causes.
    let chain = [("x-gitlab-event", "Push Hook"), ("x-gitlab-event-uuid", "13792a34")];
    assert_eq!(kind(&case("gitlab", &chain, "{}")).delivery, None);
    let again = [("idempotency-key", "f5e57000"), ("x-gitlab-event-uuid", "13792a34")];
    assert_eq!(kind(&case("gitlab", &again, "{}")).delivery.as_deref(), Some("f5e57000"));
    let long = json!({ "type": "x".repeat(500) }).to_string();
    assert_eq!(name(&case("stripe", &[], &long)).unwrap().len(), 80);
    assert_eq!(kind(&case("slack", &[("x-slack-retry-num", "0")], "{}")), Kind::default());
}
