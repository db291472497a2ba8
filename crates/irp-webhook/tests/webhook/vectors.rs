//! Vectors: those that providers publish, recomputed, and where they publish none, our own reading of the scheme.

use crate::case::{BODY, Case, SECRET, SIGNED_AT};

const HEX: &str = "537cd793c73a2167a28d7b1603131b04fb38e079ea4467e077ec43deafcd0c73";
const BASE64: &str = "U3zXk8c6IWeijXsWAxMbBPs44HnqRGfgd+xD3q/NDHM=";
const SHA1: &str = "52b5f148f556cb2372e90266be07a97433a4ab0d";
const WHSEC: &str = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
const HUBSPOT: &str = "yyyyyyyy-yyyy-yyyy-yyyy-yyyyyyyyyyyy";
/// The public key of the ed25519 seed 00, 01, … 1f.
const ED25519: &str = "03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8";

/// Every request is believed, and no longer once its body, its time or its secret is another.
fn holds(case: &Case) {
    let verdict = case.verdict();
    assert!(verdict.is_ok(), "{}: {verdict:?}", case.provider);
    let mut other = case.clone();
    other.body.push(b'x');
    // Mailgun does not sign its body, and Twilio nothing but the URL where there is none.
    if case.provider != "mailgun" && !is_token(case) {
        assert!(other.verdict().is_err(), "{}", case.provider);
    }
}

fn is_token(case: &Case) -> bool {
    matches!(case.provider.as_str(), "gitlab" | "telegram")
}

fn plain(provider: &str, headers: &[(&str, &str)]) {
    holds(&Case::new(provider, SECRET, headers, BODY));
}

#[test]
fn slack() {
    let body = b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V\
        &channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=\
        &response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN\
        &trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c";
    assert_eq!(body.len(), 362);
    let headers = [
        ("X-Slack-Signature", "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503"),
        ("X-Slack-Request-Timestamp", "1531420618"),
    ];
    holds(&Case::new("slack", "8f742231b10e8888abcd99yyyzzz85a5", &headers, body).at(1_531_420_618));
}

#[test]
fn hmac_over_the_body() {
    let secret = "It's a Secret to Everybody";
    let github = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
    holds(&Case::new("github", secret, &[("X-Hub-Signature-256", github)], b"Hello, World!"));
    let bitbucket = "sha256=a4771c39fbe90f317c7824e83ddef3caae9cb3d976c214ace1f2937e133263c9";
    for provider in ["bitbucket", "jira"] {
        holds(&Case::new(provider, secret, &[("X-Hub-Signature", bitbucket)], b"Hello World!"));
    }
    let line = "/gg9a+LvFevTH1sd7XCQycD7tsWclCsInj7MhBHxN7k=";
    holds(&Case::new("line", "channel_secret", &[("x-line-signature", line)], b"bodybodybodybody"));

    let prefixed = format!("sha256={HEX}");
    for (provider, header) in [
        ("github", "x-hub-signature-256"),
        ("meta", "x-hub-signature-256"),
        ("bitbucket", "x-hub-signature"),
        ("jira", "x-hub-signature"),
    ] {
        plain(provider, &[(header, &prefixed)]);
    }
    plain("dropbox", &[("X-Dropbox-Signature", HEX)]);
    plain("asana", &[("X-Hook-Signature", HEX)]);
    plain("dropbox", &[("X-Dropbox-Signature", &HEX.to_uppercase())]);
    plain("pagerduty", &[("X-PagerDuty-Signature", &format!("v1=00,v1={HEX}"))]);
    plain("line", &[("x-line-signature", BASE64)]);
    plain("shopify", &[("X-Shopify-Hmac-Sha256", BASE64)]);
    plain("typeform", &[("Typeform-Signature", &format!("sha256={BASE64}"))]);
    plain("docusign", &[("X-DocuSign-Signature-2", BASE64)]);
    plain("intercom", &[("X-Hub-Signature", &format!("sha1={SHA1}"))]);
    plain("gitlab", &[("X-Gitlab-Token", SECRET)]);
    plain("telegram", &[("X-Telegram-Bot-Api-Secret-Token", SECRET)]);
}

#[test]
fn time_beside_the_signature() {
    let stripe = |body: &[u8], v1: &str| {
        let header = format!("t=1700000000,v1={v1},v0=00");
        holds(&Case::new("stripe", "whsec_test_secret", &[("Stripe-Signature", &header)], body));
    };
    stripe(BODY, "86748dbec9cc87a9219f8a96632da703271bf5e85aa0afa2b310c37ba059d514");
    let pretty = b"{\n  \"id\": \"evt_test_webhook\",\n  \"object\": \"event\",\n  \"data\": { \"object\": { \"id\": \"rdr_123\", \"object\": \"terminal.reader\" } }\n}";
    assert_eq!(pretty.len(), 125);
    stripe(pretty, "3bfab77baf5f7b6991a46c9b53b6547d7afc56148b10468fcad9f35c1992ffbd");
    let calendly = "t=1700000000,v1=93cbab111d5f6020c1891c1106e669d3b0266a63e38026f5b1cb00af074e19a1";
    plain("calendly", &[("Calendly-Webhook-Signature", calendly)]);
}

#[test]
fn time_in_a_header_or_in_the_body() {
    let zoom = "v0=582520cdc682ec1584ff6f5aefc0487e867d737ec747befd1ce217fbd8099133";
    plain("zoom", &[("x-zm-signature", zoom), ("x-zm-request-timestamp", "1700000000")]);
    let twitch = "sha256=6473a7a2a46abbdfd72b2db0a597bb7334f912f163bff69ebf225ec59f5d2dc8";
    plain(
        "twitch",
        &[
            ("Twitch-Eventsub-Message-Id", "msg_1"),
            ("Twitch-Eventsub-Message-Timestamp", "2023-11-14T22:13:20.000000000Z"),
            ("Twitch-Eventsub-Message-Signature", twitch),
        ],
    );
    let zendesk = [
        ("X-Zendesk-Webhook-Signature", "VV7UeKNMiPi6bYGWuuTnBXYRlT6QxweQUyx4olv56Fw="),
        ("X-Zendesk-Webhook-Signature-Timestamp", "2023-11-14T22:13:20Z"),
    ];
    holds(&Case::new("zendesk", "dGhpc19zZWNyZXRfaXNfZm9yX3Rlc3Rpbmdfb25seQ==", &zendesk, BODY));
    // The order of an older example is not accepted.
    let older = [
        ("X-Zendesk-Webhook-Signature", "tRDSF7URY8BLCDlaBcQ7FHu051Zk+aAB0NKMP53teMw="),
        ("X-Zendesk-Webhook-Signature-Timestamp", "2021-07-25T10:00:00Z"),
    ];
    let secret = "HRkRd4BeOAoUkfZr-mhauJT64rvBASlJRoIyPsd3zeA=";
    let mut zendesk = Case::new("zendesk", secret, &older, br#"{"say": "hello"}"#).at(1_627_207_200);
    assert!(zendesk.verdict().is_err());
    let documented = "Rry/4TtIdFyawtXXp8QdI6tlAUUQ/5kL1OTp5qo/ZIk=";
    zendesk.headers.insert("x-zendesk-webhook-signature", documented.parse().unwrap());
    holds(&zendesk);

    let body = br#"{"action":"create","type":"Issue","webhookTimestamp":1700000000000}"#;
    let linear = "2dc0f2c3e3b0ef7a247d172d698b90298417cfcd2ee788b329cf23e8cac858ae";
    holds(&Case::new("linear", SECRET, &[("Linear-Signature", linear)], body));

    let body = br#"{"type":"webhook_event","webhook":{"id":"1234567890"},"trigger":"FILE.UPLOADED","source":{"id":"1234567890","type":"file","name":"Test.txt"}}"#;
    let signatures = [
        ("SamplePrimaryKey", "BOX-SIGNATURE-PRIMARY", "6TfeAW3A1PASkgboxxA5yqHNKOwFyMWuEXny/FPD5hI="),
        ("SampleSecondaryKey", "BOX-SIGNATURE-SECONDARY", "v+1CD1Jdo3muIcbpv5lxxgPglOqMfsNHPV899xWYydo="),
    ];
    for (key, header, signature) in signatures {
        let headers = [(header, signature), ("BOX-DELIVERY-TIMESTAMP", "2020-01-01T00:00:00-07:00")];
        holds(&Case::new("box", key, &headers, body).at(1_577_862_000));
    }
}

#[test]
fn standard_webhooks() {
    let vectors = [
        (
            "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
            "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk",
            1_649_367_553,
            &br#"{"email":"test@example.com","username":"test_user"}"#[..],
            "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=",
        ),
        (
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            br#"{"test": 2432232314}"#,
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        ),
        (WHSEC, "msg_1", SIGNED_AT, BODY, "v1,MKMdLrQZtvhGCti+Xfl0dES/Iq+R/K9NkTcZcULT6UA="),
    ];
    for (secret, id, second, body, signature) in vectors {
        for (provider, prefix) in
            [("standard-webhooks", "webhook"), ("gitlab-signing", "webhook"), ("svix", "svix")]
        {
            let names = ["id", "timestamp", "signature"].map(|name| format!("{prefix}-{name}"));
            let (time, list) = (second.to_string(), format!("v1a,AAAA {signature} v2,x"));
            let headers = [(&*names[0], id), (&*names[1], &*time), (&*names[2], &*list)];
            holds(&Case::new(provider, secret, &headers, body).at(second));
            let bare = secret.strip_prefix("whsec_").unwrap();
            holds(&Case::new(provider, bare, &headers, body).at(second));
        }
    }
    let signature = "v1,AAAA v1a,8+CudfbD3R8i4ewHWc49m8C11VHTIigok5YCwuQ530IM39sPMOqmp2/fhWOeTPxBQAnaLnW7a96XKnGOxaE4Cg==";
    let headers =
        [("webhook-id", "msg_1"), ("webhook-timestamp", "1700000000"), ("webhook-signature", signature)];
    let key = "whpk_A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg=";
    holds(&Case::new("standard-webhooks-ed25519", key, &headers, BODY));
}

#[test]
fn public_keys() {
    for (body, signature) in [
        (
            &br#"{"type":1}"#[..],
            "c1098e97d711377f30225d53d94b89d43537f92e5b3afaddc590781b1f9f9d4b2eeab335d370be3b9a090bc61a85b86448bc140dcd195f1569c2bff181257607",
        ),
        (
            BODY,
            "b7d146f919135a52fdead5e9f048eef2c2bd9cd6c97457239b8d4f31cb45d57f4665f7d4646bf4049a8c37da287d1592818e5bb6f3c5956dc4d54cb4590a4708",
        ),
    ] {
        let headers = [("X-Signature-Ed25519", signature), ("X-Signature-Timestamp", "1700000000")];
        holds(&Case::new("discord", ED25519, &headers, body));
    }
    let key = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE83T4O/n84iotIvIW4mdBgQ/7dAfSmpqIM8kF9mN1flpVKS3GRqe62gw+2fNNRaINXvVpiglSI8eNEc6wEA3F+g==";
    let signature =
        "MEUCIGHQVtGj+Y3LkG9fLcxf3qfI10QysgDWmMOVmxG0u6ZUAiEAyBiXDWzM+uOe5W0JuG+luQAbPIqHh89M15TluLtEZtM=";
    let body = b"[{\"email\":\"hello@world.com\",\"event\":\"dropped\",\"reason\":\"Bounced Address\",\"sg_event_id\":\"ZHJvcC0xMDk5NDkxOS1MUnpYbF9OSFN0T0doUTRrb2ZTbV9BLTA\",\"sg_message_id\":\"LRzXl_NHStOGhQ4kofSm_A.filterdrecv-p3mdw1-756b745b58-kmzbl-18-5F5FC76C-9.0\",\"smtp-id\":\"<LRzXl_NHStOGhQ4kofSm_A@ismtpd0039p1iad1.sendgrid.net>\",\"timestamp\":1600112492}]\r\n";
    let headers = [
        ("X-Twilio-Email-Event-Webhook-Signature", signature),
        ("X-Twilio-Email-Event-Webhook-Timestamp", "1600112502"),
    ];
    holds(&Case::new("sendgrid", key, &headers, body).at(1_600_112_502));
}

#[test]
fn the_url_is_signed() {
    let body = br#"{"merchant_id":"MLEFBHHSJGVHD","type":"webhooks.test_notification","event_id":"ac3ac95b-f97d-458c-a6e6-18981597e05f","created_at":"2022-07-13T20:30:59.037339943Z","data":{"type":"webhooks","id":"bc368e64-01aa-407e-b46e-3231809b1129"}}"#;
    let square = [("x-square-hmacsha256-signature", "GF4YkrJgGBDZ9NIYbNXBnMzqb2HoL4RW/S6vkZ9/2N4=")];
    let url = "https://webhook.site/679a4f3a-dcfa-49ee-bac5-9d0edad886b9";
    let square = Case::new("square", "Ibxx_5AKakO-3qeNVR61Dw", &square, body).url(url);
    holds(&square);
    assert!(square.url("https://webhook.site/other").verdict().is_err());

    let url = "https://www.example.com/webhook_uri";
    for (stamp, signature) in [
        ("1693657560000", "K36dawei4A+QBNolUOqo7s91KQDWQ5MXZ/QufNYuk/Y="),
        ("1700000300000", "RnbPH7+UMKVkbV32P8bz450N4M56aPmcru1+D3kSDtw="),
    ] {
        let headers = [("X-HubSpot-Signature-v3", signature), ("X-HubSpot-Request-Timestamp", stamp)];
        let case = Case::new("hubspot", HUBSPOT, &headers, b"{'example_field':'example_value'}").url(url);
        let case = case.at(stamp.parse::<u64>().unwrap() / 1000);
        holds(&case);
        assert!(case.method("PUT").verdict().is_err());
    }
    let v1 = "232db2615f3d666fe21a8ec971ac7b5402d33b9a925784df3ca654d05f4817de";
    let body = br#"[{"eventId":1,"subscriptionId":12345,"portalId":62515,"occurredAt":1564113600000,"subscriptionType":"contact.creation","attemptNumber":0,"objectId":123,"changeSource":"CRM","changeFlag":"NEW","appId":54321}]"#;
    holds(&Case::new("hubspot-v1", HUBSPOT, &[("X-HubSpot-Signature", v1)], body));
    let v2 = "eee2dddcc73c94d699f5e395f4b9d454a069a6855fbfa152e91e88823087200e";
    holds(&Case::new("hubspot-v2", HUBSPOT, &[("X-HubSpot-Signature", v2)], b"").url(url).method("GET"));
    let v2 = "9569219f8ba981ffa6f6f16aa0f48637d35d728c7e4d93d0d52efaa512af7900";
    let body = br#"{"example_field":"example_value"}"#;
    holds(&Case::new("hubspot-v2", HUBSPOT, &[("X-HubSpot-Signature", v2)], body).url(url));
}

#[test]
fn twilio() {
    let form = "application/x-www-form-urlencoded; charset=utf-8";
    let call =
        b"CallSid=CA1234567890ABCDE&Digits=1234&From=%2B14158675309&To=%2B18005551212&Caller=%2B14158675309";
    let case = |url: &str, signature: &str, body: &[u8]| {
        let headers = [("X-Twilio-Signature", signature), ("Content-Type", form)];
        Case::new("twilio", "12345", &headers, body).url(url)
    };
    let urls = [
        ("https://mycompany.com/myapp.php?foo=1&bar=2", "RSOYDt4T1cUTdK1PDd93/VVr8B8="),
        ("https://mycompany.com/myapp.php?foo=1&bar=2", "kvajT1Ptam85bY51eRf/AJRuM3w="),
        ("https://mycompany.com:443/myapp.php?foo=1&bar=2", "RSOYDt4T1cUTdK1PDd93/VVr8B8="),
        ("https://mycompany.com:443/myapp.php?foo=1&bar=2", "kvajT1Ptam85bY51eRf/AJRuM3w="),
        ("http://mycompany.com:1234/myapp.php?foo=1&bar=2", "Zmvh+3yNM1Phv2jhDCwEM3q5ebU="),
        ("http://mycompany.com/myapp.php?foo=1&bar=2", "0ZXoZLH/DfblKGATFgpif+LLRf4="),
    ];
    for (url, signature) in urls {
        holds(&case(url, signature, call));
    }
    let url = "https://mycompany.com/myapp.php?foo=1&bar=2";
    let twice = b"Digits=5678&Sid=CA123&SidAccount=AC123&Digits=1234&Digits=1234";
    holds(&case(url, "IK+Dwps556ElfBT0I3Rgjkr1wJU=", twice));
    let hash = "0a1ff7634d9ab3b95db5c9a2dfe9416e41502b283a80c7cf19632632f96e6620";
    let body = br#"{"property": "value", "boolean": true}"#;
    let headers =
        [("X-Twilio-Signature", "a9nBmqA0ju/hNViExpshrM61xv4="), ("Content-Type", "application/json")];
    let json = Case::new("twilio", "12345", &headers, body).url(&format!("{url}&bodySHA256={hash}"));
    holds(&json);
    // A body that no hash covers is not signed at all.
    assert!(json.url(url).verdict().is_err());
}

#[test]
fn the_signature_is_in_the_body() {
    let signature = "45580b6ad880b375f1b37c4b8e6e74777e508c3e5ed4ad92e43deca3effd2dd9";
    let token = "a".repeat(50);
    let body = format!(
        r#"{{"signature":{{"timestamp":"1700000000","token":"{token}","signature":"{signature}"}},"event-data":{{"event":"opened"}}}}"#
    );
    let case = Case::new("mailgun", SECRET, &[("content-type", "application/json")], body.as_bytes());
    holds(&case);
    assert_eq!(case.provider().kind(&case.request()).name.as_deref(), Some("opened"));
    let form = format!("timestamp=1700000000&token={token}&signature={signature}&event=opened");
    let kind = [("content-type", "application/x-www-form-urlencoded")];
    holds(&Case::new("mailgun", SECRET, &kind, form.as_bytes()));
}

#[test]
fn the_authorization_header_of_teams() {
    let value = "HMAC rk26oub+1YLH57Bus4zM7X4jjhTX5mguetpB3WmjzxA=";
    let token = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
    holds(&Case::new("msteams", token, &[("Authorization", value)], BODY));
}
