//! Webhooks at the edge: what the provider did not sign never reaches the program, what it signed arrives to the
//! byte, and handshakes are answered with and without a tunnel.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use http::HeaderMap;
use irp_client::{ClientConfig, Event, Finished};
use irp_edge::{
    config::Machine,
    http::webhook::{self, Rule},
    outside::Outside,
};
use irp_testkit::{
    origin::{Echoed, Origin, RefusedPort, sha256},
    sns::{self, Sns},
    visitor::Reply,
};
use irp_webhook::{Provider, Request, Secret, Settings};
use irp_wire::policy::{Policies, Policy, SecretText};
use tokio_util::sync::CancellationToken;

use crate::{
    stage::{Client, Options, Stage},
    way::{Tunnel, Way},
};

pub(crate) const SECRET: &str = "8f742231b10e8888abcd99yyyzzz85a5";
const EVENT: &str = r#"{"type":"event_callback","event_id":"Ev1","event":{"type":"app_mention","text":"ü"}}"#;

pub(crate) fn policy(provider: &str, path: Option<&str>) -> Policy {
    Policy {
        provider: provider.into(),
        path: path.map(Into::into),
        secrets: vec![SecretText::new(SECRET)],
        verify_token: None,
        report: false,
        handshakes: true,
        // What comes of it is told in `inbox`.
        inbox: false,
        row: None,
    }
}

/// A client that wants only these providers' requests, and these open paths.
pub(crate) fn wants(policies: Vec<Policy>, open: &[&str]) -> impl FnOnce(&mut ClientConfig) {
    let open = open.iter().map(|path| (*path).to_owned()).collect();
    move |config| config.policies = Some(Arc::new(Policies { policies, open }))
}

async fn slack(way: Way, origin: impl ToString) -> Tunnel {
    Tunnel::with(way, origin, Options::default(), wants(vec![policy("slack", None)], &["/health"])).await
}

/// What curl needs to send `body` signed, so long ago.
pub(crate) fn signed(provider: &str, secret: &str, url: &str, body: &[u8], age: Duration) -> Vec<String> {
    let headers = HeaderMap::new();
    let request = Request { method: "POST", url, headers: &headers, body };
    let provider = Provider::named(provider).unwrap();
    let signed = provider.sign(&Secret::new(secret), &request, SystemTime::now() - age, "1").unwrap();
    let lines = signed.headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()));
    lines.flat_map(|line| ["-H".to_owned(), line]).collect()
}

/// Sends `body` to `path` with these headers.
pub(crate) async fn send(stage: &Stage, path: &str, headers: &[String], body: &[u8]) -> Reply {
    let mut all = ["-H", "content-type: application/json"].map(String::from).to_vec();
    all.extend_from_slice(headers);
    send_as(stage, path, &all, body).await
}

/// Sends `body` to `path` with these headers and no others.
pub(crate) async fn send_as(stage: &Stage, path: &str, headers: &[String], body: &[u8]) -> Reply {
    let file = stage.folder.path().join("body");
    std::fs::write(&file, body).unwrap();
    let curl = stage.curl().args(["--data-binary"]);
    curl.args([format!("@{}", file.display())]).args(headers).get(&stage.url(path)).await.unwrap()
}

/// The same, signed now as Slack does.
pub(crate) async fn send_signed(stage: &Stage, path: &str, body: &[u8]) -> Reply {
    let headers = signed("slack", SECRET, &stage.url(path), body, Duration::ZERO);
    send(stage, path, &headers, body).await
}

/// Waits until the client hears what the edge answered by itself.
pub(crate) async fn heard(client: &mut Client) -> (u16, String) {
    let answered = |event: &Event| match event {
        Event::AnsweredAtEdge { status, reason, .. } => Some((*status, reason.clone())),
        _ => None,
    };
    client.event("answered at the edge", answered).await
}

pub(crate) async fn finished(client: &mut Client) -> Finished {
    let over = |event: &Event| match event {
        Event::Exchange(finished) => Some(finished.clone()),
        _ => None,
    };
    client.event("an exchange", over).await
}

#[tokio::test]
async fn what_the_provider_signed_arrives_to_the_byte_and_is_marked() {
    for way in Way::BOTH {
        let origin = Origin::start();
        let mut tunnel = slack(way, origin.address()).await;
        for version in ["--http1.1", "--http2"] {
            let path = "/slack/events/?a=%2F";
            // A signature is good for once, so each body is another.
            let body = format!("{EVENT}{}", if version == "--http2" { " " } else { "" });
            let mut headers =
                signed("slack", SECRET, &tunnel.stage.url(path), body.as_bytes(), Duration::ZERO);
            headers.push(version.into());
            // What a stranger says about itself, in each spelling, and a retry that Slack announces.
            for line in
                ["irp-verified: github", "irp_verified: github", "Irp-Webhook: {}", "X-Slack-Retry-Num: 2"]
            {
                headers.extend(["-H".into(), line.into()]);
            }
            let reply = send(&tunnel.stage, path, &headers, body.as_bytes()).await;
            assert_eq!(reply.status, 200, "{way:?} {version} {}", reply.text());
            let echoed: Echoed = reply.json();
            assert_eq!(echoed.sha256, sha256(body.as_bytes()));
            assert_eq!(echoed.query.as_deref(), Some("a=%2F"));
            assert_eq!(echoed.values("irp-verified"), ["slack"]);
            assert_eq!(echoed.values("content-length"), [body.len().to_string()]);
            for gone in ["irp_verified", "irp-webhook"] {
                assert!(echoed.values(gone).is_empty(), "{gone}");
            }
            let webhook = finished(&mut tunnel.client).await.webhook.unwrap();
            assert_eq!((webhook.provider.as_str(), webhook.failure, webhook.retry), ("slack", None, Some(2)));
            assert_eq!(webhook.kind.as_deref(), Some("event_callback app_mention"));
            assert_eq!(webhook.deadline_ms, 3000);
        }
        tunnel.close().await;
    }
}

#[tokio::test]
async fn what_it_did_not_sign_is_stopped_and_the_person_hears_why() {
    let origin = Origin::start();
    let mut tunnel = slack(Way::Http2, origin.address()).await;
    let url = tunnel.stage.url("/slack/events");
    let body = EVENT.as_bytes();
    let other = signed("slack", "another secret", &url, body, Duration::ZERO);
    let stale = signed("slack", SECRET, &url, body, Duration::from_secs(41 * 60 + 5));
    let right = signed("slack", SECRET, &url, body, Duration::ZERO);
    let changed = [body, b" "].concat();
    let cases: [(&[String], &[u8], &str); 4] = [
        (&other, body, "slack ✗ signature does not match: wrong secret?"),
        (&stale, body, "slack ✗ timestamp 41 min old: is the clock right?"),
        (&right, &changed, "slack ✗ signature does not match: wrong secret?"),
        (&[], body, "slack ✗ x-slack-signature is missing: not from the provider?"),
    ];
    for (headers, body, reason) in cases {
        let reply = send(&tunnel.stage, "/slack/events", headers, body).await;
        assert_eq!((reply.status, reply.body.len()), (401, 0), "{reason}");
        assert_eq!(heard(&mut tunnel.client).await, (401, reason.into()));
    }
    // Neither another way to write the path nor another method leads around it.
    for path in ["/SLACK/events", "/sl%61ck/events", "/slack"] {
        assert_eq!(send(&tunnel.stage, path, &[], body).await.status, 401, "{path}");
    }
    let get = tunnel.stage.curl().get(&url).await.unwrap();
    assert_eq!(get.status, 401);
    assert_eq!(origin.counters().connections(), 0);
    tunnel.close().await;
}

#[tokio::test]
async fn other_paths_are_closed_but_for_those_that_were_opened() {
    let origin = Origin::start();
    let tunnel = slack(Way::Http2, origin.address()).await;
    for path in ["/", "/slackers", "/x/slack/events", "/healthy", "/health/%2e%2e/slack/events", "/health//x"]
    {
        assert_eq!(send(&tunnel.stage, path, &[], b"{}").await.status, 404, "{path}");
    }
    let curl = tunnel.stage.curl().args(["--path-as-is"]);
    assert_eq!(curl.get(&tunnel.stage.url("/health/../slack/install")).await.unwrap().status, 404);
    assert_eq!(origin.counters().seen(), 0);
    // Open to everybody, and to people who install the app.
    for path in ["/health", "/health/x?y", "/slack/install", "/slack/oauth_redirect?code=1"] {
        let reply =
            tunnel.stage.curl().args(["-H", "irp-verified: slack"]).get(&tunnel.stage.url(path)).await;
        let echoed: Echoed = reply.unwrap().json();
        assert!(echoed.values("irp-verified").is_empty(), "{path}");
    }
    assert_eq!(send(&tunnel.stage, "/slack/install", &[], b"{}").await.status, 401);
    tunnel.close().await;
}

#[tokio::test]
async fn a_url_is_verified_before_any_bot_exists() {
    let challenge = br#"{"token":"x","challenge":"3eZbrw1aB","type":"url_verification"}"#;
    // The program is not there yet.
    let nobody = RefusedPort::take();
    let mut tunnel = slack(Way::Http2, nobody.address()).await;
    let reply = send_signed(&tunnel.stage, "/slack/events", challenge).await;
    assert_eq!((reply.status, reply.text().as_str()), (200, "3eZbrw1aB"));
    assert_eq!(reply.value("content-type"), Some("text/plain; charset=utf-8"));
    assert_eq!(heard(&mut tunnel.client).await, (200, "slack ✓ url_verification".into()));
    let unsigned = send(&tunnel.stage, "/slack/events", &[], challenge).await;
    assert_eq!((unsigned.status, unsigned.body.len()), (401, 0));
    let ssl_check = tunnel.stage.curl().args(["-d", "ssl_check=1&token=x"]);
    let reply = ssl_check.get(&tunnel.stage.url("/slack/commands")).await.unwrap();
    assert_eq!((reply.status, reply.body.len()), (200, 0));

    // And when the client is gone, too.
    tunnel.client.stop().await.unwrap();
    let challenge = br#"{"token":"x","challenge":"another","type":"url_verification"}"#;
    let reply = send_signed(&tunnel.stage, "/slack/events", challenge).await;
    assert_eq!((reply.status, reply.text().as_str()), (200, "another"));
    assert_eq!(send(&tunnel.stage, "/slack/events", &[], b"{}").await.status, 401);
    tunnel.stage.stop().await;
}

#[tokio::test]
async fn the_edges_own_policies_hold_without_any_client_and_beside_a_clients() {
    let rule = |provider: &str, path: &str| {
        let provider = Provider::named(provider).unwrap();
        Rule::new(provider, Some(path), &[Secret::new(SECRET)], Settings::default(), false, true).unwrap()
    };
    let own = webhook::Policies::new(vec![rule("slack", "/hook")], Vec::new()).unwrap();
    let stage = Stage::with(Options { policies: Some(own), ..Options::default() }).await;
    let challenge = br#"{"challenge":"early","type":"url_verification"}"#;
    // Nobody is connected, and nobody ever was.
    assert_eq!(send_signed(&stage, "/hook", challenge).await.text(), "early");
    assert_eq!(send(&stage, "/hook", &[], b"{}").await.status, 401);

    let origin = Origin::start();
    let mut config = stage.config(&origin.address().to_string());
    wants(vec![policy("github", Some("/hook")), policy("github", Some("/git"))], &[])(&mut config);
    let mut client = Client::start(config);
    client.connected().await;
    let github = signed("github", SECRET, "https://x/", b"{}", Duration::ZERO);
    assert_eq!(send(&stage, "/hook", &github, b"{}").await.status, 401);
    assert_eq!(send(&stage, "/git", &github, b"{}").await.status, 200);
    client.stop().await.unwrap();
    stage.stop().await;
}

#[tokio::test]
async fn a_report_lets_everything_pass_and_says_so() {
    let origin = Origin::start();
    let report = Policy { report: true, ..policy("slack", None) };
    let mut tunnel =
        Tunnel::with(Way::Lanes, origin.address(), Options::default(), wants(vec![report], &[])).await;
    let reply =
        send(&tunnel.stage, "/slack/events", &["-H".into(), "irp-verified: slack".into()], b"{}").await;
    let echoed: Echoed = reply.json();
    assert!(echoed.values("irp-verified").is_empty());
    let webhook = finished(&mut tunnel.client).await.webhook.unwrap();
    assert_eq!(webhook.failure.as_deref(), Some("x-slack-signature is missing: not from the provider?"));
    let reply = send_signed(&tunnel.stage, "/slack/events", b"{}").await;
    assert_eq!(reply.json::<Echoed>().values("irp-verified"), ["slack"]);
    tunnel.close().await;
}

#[tokio::test]
async fn a_replay_is_stopped_and_a_redelivery_is_not() {
    let origin = Origin::start();
    let policies = vec![policy("slack", None), policy("github", Some("/git"))];
    let mut tunnel =
        Tunnel::with(Way::Http2, origin.address(), Options::default(), wants(policies, &[])).await;
    let headers = signed("slack", SECRET, "https://x/", EVENT.as_bytes(), Duration::ZERO);
    let repeat = async |stage: &Stage| send(stage, "/slack/events", &headers, EVENT.as_bytes()).await.status;
    assert_eq!(repeat(&tunnel.stage).await, 200);
    assert_eq!(repeat(&tunnel.stage).await, 401);
    assert_eq!(heard(&mut tunnel.client).await, (401, "slack ✗ seen before: a replay".into()));
    // GitHub signs no time: it may deliver the very same again, when a person asks it to.
    let github = signed("github", SECRET, "https://x/", b"{}", Duration::ZERO);
    for is_repeat in [false, true] {
        assert_eq!(send(&tunnel.stage, "/git", &github, b"{}").await.status, 200);
        let told = async |client: &mut Client| loop {
            let webhook = finished(client).await.webhook.unwrap();
            if webhook.provider == "github" {
                return webhook.repeated;
            }
        };
        assert_eq!(told(&mut tunnel.client).await, is_repeat);
    }
    tunnel.close().await;

    // What never reached a program may come again.
    let nobody = RefusedPort::take();
    let tunnel = slack(Way::Http2, nobody.address()).await;
    let headers = signed("slack", SECRET, "https://x/", EVENT.as_bytes(), Duration::ZERO);
    for _ in 0..2 {
        let reply = send(&tunnel.stage, "/slack/events", &headers, EVENT.as_bytes()).await;
        assert_eq!(reply.status, 502);
    }
    tunnel.close().await;
}

#[tokio::test]
async fn bodies_are_kept_up_to_the_limit_and_only_for_who_could_have_signed_them() {
    let origin = Origin::start();
    let tunnel = slack(Way::Http2, origin.address()).await;
    let chunked = ["-H".to_owned(), "transfer-encoding: chunked".to_owned()];
    for (length, status) in [(8 << 20, 200), ((8 << 20) + 1, 413)] {
        let mut body = vec![b'x'; length];
        let mut headers = signed("slack", SECRET, "https://x/", &body, Duration::ZERO);
        // Over HTTP/1.1, curl waits for a 100 before it sends so much.
        headers.push("--http1.1".into());
        let reply = send(&tunnel.stage, "/slack/events", &headers, &body).await;
        assert_eq!(reply.status, status);
        if status == 200 {
            assert_eq!(reply.json::<Echoed>().sha256, sha256(&body));
            // Another body: the same one, signed in the same second, would be a replay.
            body[0] = b'y';
            let headers = signed("slack", SECRET, "https://x/", &body, Duration::ZERO);
            let headers = [&headers[..], &chunked[..]].concat();
            assert_eq!(send(&tunnel.stage, "/slack/events", &headers, &body).await.status, 200);
        }
    }
    // Who could not have signed it does not get so far.
    let unsigned = [b'x'; 100_000];
    let headers = ["--http1.1", "-H", "expect: 100-continue"].map(String::from);
    assert_eq!(send(&tunnel.stage, "/slack/events", &headers, &unsigned).await.status, 401);
    assert_eq!(origin.counters().seen(), 2);
    tunnel.close().await;
}

#[tokio::test]
async fn no_reconnect_leaves_a_gap() {
    let origin = Origin::start();
    let stage = Stage::new().await;
    let config = || {
        let mut config = stage.config(&origin.address().to_string());
        wants(vec![policy("slack", Some("/"))], &[])(&mut config);
        config
    };
    let mut client = Client::start(config());
    client.connected().await;
    let (door, stop) = (stage.door(), CancellationToken::new());
    let stopped = stop.clone();
    let knocking = tokio::spawn(async move {
        let mut knocked = 0;
        while !stopped.is_cancelled() {
            let mut wire = door.connect().await.unwrap();
            wire.send("POST /x HTTP/1.1\r\nHost: alice.localhost\r\ncontent-length: 2\r\n\r\n{}")
                .await
                .unwrap();
            assert_eq!(wire.response().await.unwrap().status, 401);
            knocked += 1;
        }
        knocked
    });
    for _ in 0..5 {
        client.kill().await;
        client = Client::start(config());
        client.connected().await;
    }
    stop.cancel();
    assert!(knocking.await.unwrap() > 0);
    assert_eq!(origin.counters().seen(), 0);
    // A client that wants nothing of the kind has the name to itself again.
    client.stop().await.unwrap();
    let client = stage.client(&origin.address().to_string()).await;
    assert_eq!(send(&stage, "/any", &[], b"{}").await.status, 200);
    client.stop().await.unwrap();
    stage.stop().await;
}

/// A stage whose edge calls this stand-in, and a client that wants the messages of its topic.
async fn subscribed(sns: &Sns, origin: &Origin) -> (Stage, Client) {
    let outside = Outside::to(sns.address(), sns.root()).unwrap();
    let machine = Machine { outside: Some(outside), ..Machine::default() };
    let stage = Stage::with(Options { machine, ..Options::default() }).await;
    let mut config = stage.config(&origin.address().to_string());
    let topic = Policy { secrets: vec![SecretText::new(sns::TOPIC)], ..policy("sns", Some("/sns")) };
    wants(vec![topic], &[])(&mut config);
    let mut client = Client::start(config);
    client.connected().await;
    (stage, client)
}

#[tokio::test]
async fn messages_of_sns_are_verified_by_its_certificate_which_is_fetched_once() {
    let (sns, origin) = (Sns::start().await.unwrap(), Origin::start());
    let (stage, mut client) = subscribed(&sns, &origin).await;
    for (id, version) in [("m-1", 1), ("m-2", 2)] {
        let body = sns.message("Notification", id, version).to_string();
        let reply = send(&stage, "/sns", &[], body.as_bytes()).await;
        assert_eq!(reply.status, 200, "{version} {}", reply.text());
        let echoed: Echoed = reply.json();
        assert_eq!(echoed.values("irp-verified"), ["sns"]);
        assert_eq!(echoed.sha256, sha256(body.as_bytes()));
        let webhook = finished(&mut client).await.webhook.unwrap();
        assert_eq!(webhook.kind.as_deref(), Some("Notification"));
    }
    assert_eq!(sns.asked().len(), 1, "{:?}", sns.asked());
    let mut forged = sns.message("Notification", "m-3", 2);
    forged["Message"] = "goodbye".into();
    assert_eq!(send(&stage, "/sns", &[], forged.to_string().as_bytes()).await.status, 401);
    assert_eq!(heard(&mut client).await.1, "sns ✗ signature does not match: wrong secret?");
    // For what is not of the topic, nobody is asked anything, nor at any other address.
    let mut other = sns.message("Notification", "m-4", 2);
    other["TopicArn"] = "arn:aws:sns:us-east-1:123456789012:other".into();
    other["SigningCertURL"] = "https://sns.us-east-1.amazonaws.com/Other.pem".into();
    assert_eq!(send(&stage, "/sns", &[], other.to_string().as_bytes()).await.status, 401);
    let mut elsewhere = sns.message("Notification", "m-5", 2);
    elsewhere["SigningCertURL"] = "https://sns.us-east-1.amazonaws.com.evil.example/x.pem".into();
    assert_eq!(send(&stage, "/sns", &[], elsewhere.to_string().as_bytes()).await.status, 401);
    assert_eq!(sns.asked().len(), 1, "{:?}", sns.asked());
    assert_eq!(origin.counters().seen(), 2);
    client.stop().await.unwrap();
    stage.stop().await;
}

#[tokio::test]
async fn a_subscription_of_the_topic_is_confirmed_and_no_other() {
    let (sns, origin) = (Sns::start().await.unwrap(), Origin::start());
    let (stage, mut client) = subscribed(&sns, &origin).await;
    let ask = sns.message("SubscriptionConfirmation", "m-1", 2);
    let mut forged = ask.clone();
    forged["SubscribeURL"] = "https://sns.us-east-1.amazonaws.com/?Action=ConfirmSubscription&Token=x".into();
    assert_eq!(send(&stage, "/sns", &[], forged.to_string().as_bytes()).await.status, 401);
    let is_confirmation = |path: &String| path.starts_with("/?Action=ConfirmSubscription");
    assert!(!sns.asked().iter().any(is_confirmation));
    heard(&mut client).await;
    assert_eq!(send(&stage, "/sns", &[], ask.to_string().as_bytes()).await.status, 200);
    assert_eq!(heard(&mut client).await, (200, "sns ✓ SubscriptionConfirmation".into()));
    assert_eq!(sns.asked().iter().filter(|path| is_confirmation(path)).count(), 1);
    assert_eq!(origin.counters().seen(), 0);
    client.stop().await.unwrap();
    stage.stop().await;
}

#[tokio::test]
async fn a_secret_that_the_provider_tells_counts_once_and_for_good() {
    let origin = Origin::start();
    let asana = || Policy { secrets: Vec::new(), ..policy("asana", Some("/asana")) };
    let connect = async |stage: &Stage| {
        let mut config = stage.config(&origin.address().to_string());
        wants(vec![asana()], &[])(&mut config);
        let mut client = Client::start(config);
        client.connected().await;
        client
    };
    let told = |secret: &str| ["-H".to_owned(), format!("x-hook-secret: {secret}")];
    let event = async |stage: &Stage, secret: &str, body: &[u8]| {
        let headers = signed("asana", secret, "https://x/", body, Duration::ZERO);
        send(stage, "/asana", &headers, body).await.status
    };
    let stage = Stage::new().await;
    let mut client = connect(&stage).await;
    assert_eq!(event(&stage, "first", b"{}").await, 401);
    assert_eq!(
        heard(&mut client).await.1,
        "asana ✗ no secret is known yet: it cannot be read, or the provider's handshake has to come first"
    );
    let reply = send(&stage, "/asana", &told("first"), b"{}").await;
    assert_eq!((reply.status, reply.value("x-hook-secret")), (200, Some("first")));
    assert_eq!(heard(&mut client).await, (200, "asana ✓ handshake".into()));
    // Anybody can tell a secret, so nobody else is believed.
    assert_eq!(send(&stage, "/asana", &told("second"), b"{}").await.status, 401);
    assert_eq!(event(&stage, "second", b"{}").await, 401);
    assert_eq!(event(&stage, "first", b"{}").await, 200);
    // Nor after the client has come back, or another edge stands where this one stood.
    client.stop().await.unwrap();
    let client = connect(&stage).await;
    assert_eq!(event(&stage, "first", b"{ }").await, 200);
    client.stop().await.unwrap();
    let stage = Stage::with(stage.retire().await).await;
    let client = connect(&stage).await;
    assert_eq!(send(&stage, "/asana", &told("second"), b"{}").await.status, 401);
    assert_eq!(event(&stage, "first", b"{  }").await, 200);
    client.stop().await.unwrap();
    // A secret that a person has set leaves nothing to learn.
    let mut config = stage.config(&origin.address().to_string());
    wants(vec![policy("asana", Some("/asana"))], &[])(&mut config);
    let mut client = Client::start(config);
    client.connected().await;
    assert_eq!(event(&stage, "first", b"{}").await, 401);
    assert_eq!(event(&stage, SECRET, b"{}").await, 200);
    client.stop().await.unwrap();
    stage.stop().await;
}

#[tokio::test]
async fn policies_that_the_edge_cannot_keep_never_go_live() {
    let origin = Origin::start();
    let stage = Stage::new().await;
    let mut config = stage.config(&origin.address().to_string());
    wants(vec![policy("nobody", None)], &[])(&mut config);
    let mut client = Client::start(config);
    let why = |event: &Event| match event {
        Event::Lost { why, .. } | Event::Failed { why, .. } => Some(why.clone()),
        _ => None,
    };
    let why = client.event("the reason", why).await;
    assert!(why.contains("no webhook provider is called `nobody`"), "{why}");
    client.kill().await;
    stage.stop().await;
}
