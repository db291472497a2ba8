//! Handshakes of providers, answered by the edge while no program runs behind the tunnel.

use std::{
    fmt::Write as _,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use irp_testkit::origin::RefusedPort;
use irp_wire::policy::{Policy, SecretText};
use serde_json::{Value, json};

use crate::{
    stage::Options,
    way::{Tunnel, Way},
    webhooks::{SECRET, policy, send, signed, wants},
};

/// The private key of the Discord that signs here.
const SEED: [u8; 32] = [7; 32];

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

/// A tunnel whose program is not there, with policies for all of them; the port stays nobody's as long as it lives.
async fn waiting() -> (Tunnel, RefusedPort) {
    let discord = Ed25519KeyPair::from_seed_unchecked(&SEED).unwrap();
    let public = SecretText::new(hex(discord.public_key().as_ref()));
    let policies = vec![
        Policy { secrets: vec![public], ..policy("discord", Some("/discord")) },
        Policy { verify_token: Some(SecretText::new("word")), ..policy("meta", Some("/meta")) },
        policy("zoom", Some("/zoom")),
        policy("dropbox", Some("/dropbox")),
        policy("twitch", Some("/twitch")),
        policy("line", Some("/line")),
        policy("intercom", Some("/intercom")),
    ];
    let nobody = RefusedPort::take();
    let wants = wants(policies, &[]);
    (Tunnel::with(Way::Http2, nobody.address(), Options::default(), wants).await, nobody)
}

#[tokio::test]
async fn what_is_signed_is_answered_and_what_is_not_is_stopped() {
    let (tunnel, _nobody) = waiting().await;
    let stage = &tunnel.stage;
    let post = async |path: &str, headers: &[String], body: &Value| {
        send(stage, path, headers, body.to_string().as_bytes()).await
    };
    let sign = |provider: &str, body: &Value| {
        let url = format!("https://x/{provider}");
        signed(provider, SECRET, &url, body.to_string().as_bytes(), Duration::ZERO)
    };

    let ask = json!({ "event": "endpoint.url_validation", "payload": { "plainToken": "abc" } });
    let reply = post("/zoom", &sign("zoom", &ask), &ask).await;
    assert_eq!((reply.status, &reply.json::<Value>()["plainToken"]), (200, &"abc".into()));
    assert_eq!(post("/zoom", &[], &ask).await.status, 401);

    let ask = json!({ "challenge": "pogchamp", "subscription": { "type": "stream.online" } });
    let mut headers = sign("twitch", &ask);
    assert_eq!(post("/twitch", &headers, &ask).await.status, 502, "an event is for the program");
    headers.extend(["-H".into(), "twitch-eventsub-message-type: webhook_callback_verification".into()]);
    let reply = post("/twitch", &headers, &ask).await;
    assert_eq!((reply.status, reply.text().as_str()), (200, "pogchamp"));
    assert_eq!(reply.value("content-type"), Some("text/plain; charset=utf-8"));

    let ask = json!({ "destination": "x", "events": [] });
    assert_eq!(post("/line", &sign("line", &ask), &ask).await.status, 200);
    assert_eq!(post("/line", &[], &ask).await.status, 401);

    let (key, at) = (Ed25519KeyPair::from_seed_unchecked(&SEED).unwrap(), SystemTime::now());
    let at = at.duration_since(UNIX_EPOCH).unwrap().as_secs();
    let ping = json!({ "type": 1 });
    let signature = hex(key.sign(format!("{at}{ping}").as_bytes()).as_ref());
    let headers = |signature: &str| {
        let lines = [format!("x-signature-timestamp: {at}"), format!("x-signature-ed25519: {signature}")];
        lines.into_iter().flat_map(|line| ["-H".into(), line]).collect::<Vec<String>>()
    };
    let reply = post("/discord", &headers(&signature), &ping).await;
    assert_eq!((reply.status, reply.json::<Value>()), (200, ping.clone()));
    // Discord sends wrong ones on purpose, and wants a 401.
    assert_eq!(post("/discord", &headers(&"00".repeat(64)), &ping).await.status, 401);
    tunnel.close().await;
}

#[tokio::test]
async fn what_providers_ask_unsigned_is_answered_without_believing_them() {
    let (tunnel, _nobody) = waiting().await;
    let get = async |path: &str| tunnel.stage.curl().get(&tunnel.stage.url(path)).await.unwrap();
    let reply = get("/dropbox?challenge=a%3Cb").await;
    assert_eq!((reply.status, reply.text().as_str()), (200, "a<b"));
    assert_eq!(reply.value("content-type"), Some("text/plain; charset=utf-8"));
    assert_eq!(reply.value("x-content-type-options"), Some("nosniff"));
    assert_eq!(get("/dropbox").await.status, 401);

    let meta = |token: &str| format!("/meta?hub.mode=subscribe&hub.challenge=158&hub.verify_token={token}");
    let reply = get(&meta("word")).await;
    assert_eq!((reply.status, reply.text().as_str()), (200, "158"));
    let reply = get(&meta("guess")).await;
    assert_eq!((reply.status, reply.body.len()), (403, 0));

    let head = tunnel.stage.curl().args(["--head"]).get(&tunnel.stage.url("/intercom")).await.unwrap();
    assert_eq!(head.status, 200);
    assert_eq!(get("/intercom").await.status, 401);
    tunnel.close().await;
}
