//! Hybrid delivery: what comes while nobody is there waits on the edge, and arrives afterwards, in order, once.

use std::time::{Duration, SystemTime};

use irp_client::Event;
use irp_edge::{
    Ended,
    config::Machine,
    http::Limits,
    idle::IdleAfter,
    inbox::{Bounds, Delivery, Settings},
    outside::Outside,
};
use irp_testkit::{
    authority::Authority,
    origin::{Bot, Manners, RefusedPort, Taken},
    patience::eventually,
};
use irp_webhook::{Provider, Request, Secret, Verifier};
use irp_wire::policy::Policy;

use crate::{
    stage::{Client, Options, Stage},
    webhooks::{SECRET, finished, heard, policy, send, send_as, signed, wants},
};

/// Everything quick: no hold, and short pauses between attempts.
fn quick() -> Options {
    let limits = Limits { hold: Duration::ZERO, ..Limits::default() };
    Options { limits, inbox: Some(settings(Bounds::DEFAULT)), ..Options::default() }
}

fn settings(bounds: Bounds) -> Settings {
    let delivery = Delivery { retry: Duration::from_millis(5), ..Delivery::default() };
    Settings { bounds, delivery, ..Settings::default() }
}

fn kept(provider: &str, path: Option<&str>) -> Policy {
    Policy { inbox: true, ..policy(provider, path) }
}

/// An event of Slack with this number in it.
fn event(number: usize) -> String {
    format!(r#"{{"type":"event_callback","event_id":"Ev{number}","event":{{"type":"app_mention"}}}}"#)
}

/// Sends it signed, and returns the status of the answer.
async fn send_event(stage: &Stage, number: usize) -> u16 {
    send_slack(stage, "/slack/events", &event(number), &[]).await.status
}

async fn send_slack(stage: &Stage, path: &str, body: &str, more: &[&str]) -> irp_testkit::visitor::Reply {
    let mut headers = signed("slack", SECRET, "https://x/", body.as_bytes(), Duration::ZERO);
    headers.extend(more.iter().flat_map(|line| ["-H".to_owned(), (*line).to_owned()]));
    send(stage, path, &headers, body.as_bytes()).await
}

/// A client that forwards to `bot`, and wants these policies; connected.
async fn client(stage: &Stage, upstream: impl ToString, policies: Vec<Policy>) -> Client {
    let mut config = stage.config(&upstream.to_string());
    wants(policies, &[])(&mut config);
    let mut client = Client::start(config);
    client.connected().await;
    client
}

async fn slack_client(stage: &Stage, upstream: impl ToString) -> Client {
    client(stage, upstream, vec![kept("slack", None)]).await
}

/// A stage on which the policies are known and nobody is connected any more.
async fn left_alone(options: Options) -> Stage {
    let stage = Stage::with(options).await;
    let nobody = RefusedPort::take();
    slack_client(&stage, nobody.address()).await.stop().await.unwrap();
    stage
}

/// Whether the upstream itself would believe it now.
fn is_believed(taken: &Taken) -> bool {
    let provider = Provider::named("slack").unwrap();
    let verifier = Verifier::new(provider, &[Secret::new(SECRET)], Default::default()).unwrap();
    let request = Request { method: "POST", url: "https://x/", headers: &taken.headers, body: &taken.body };
    verifier.verify(&request, SystemTime::now(), None).is_ok()
}

#[tokio::test]
async fn what_comes_while_nobody_is_there_arrives_afterwards_in_order_and_once() {
    let stage = left_alone(quick()).await;
    for number in 0..5 {
        assert_eq!(send_event(&stage, number).await, 200, "{number}");
    }
    // Slack had no answer to one of them, and sends it again, signed anew.
    let again = send_slack(&stage, "/slack/events", &event(3), &["X-Slack-Retry-Num: 1"]).await;
    assert_eq!(again.status, 200);
    // What nobody signed is not kept.
    assert_eq!(send(&stage, "/slack/events", &[], event(9).as_bytes()).await.status, 401);

    let bot = Bot::start();
    let mut client = slack_client(&stage, bot.address()).await;
    eventually("all events", || bot.count() >= 5).await;
    let told = finished(&mut client).await.webhook.unwrap();
    assert_eq!((told.kind.as_deref(), told.kept_s.is_some()), (Some("event_callback app_mention"), true));
    // And one that comes now passes through, behind all of them.
    assert_eq!(send_event(&stage, 5).await, 200);
    eventually("one event more", || bot.count() >= 6).await;
    for (number, taken) in bot.taken().iter().enumerate() {
        assert_eq!(taken.text(), event(number), "order");
        assert_eq!(taken.target, "/slack/events");
        assert_eq!(taken.value("irp-verified"), "slack");
        assert_eq!(taken.value("content-length"), event(number).len().to_string());
        assert!(is_believed(taken), "the signature of {number} does not hold");
        assert_eq!(taken.value("irp-parked-at").ends_with('Z'), number < 5, "{number}");
    }
    // Nothing more comes: also not what Slack tries again late.
    assert_eq!(send_slack(&stage, "/slack/events", &event(2), &["X-Slack-Retry-Num: 3"]).await.status, 200);
    assert_eq!(send_event(&stage, 6).await, 200);
    assert_eq!(bot.taken().last().unwrap().text(), event(6));
    assert_eq!(bot.count(), 7);
    client.stop().await.unwrap();
    stage.stop().await;
}

#[tokio::test]
async fn what_is_kept_survives_a_restart_of_the_edge() {
    let stage = left_alone(quick()).await;
    for number in 0..3 {
        assert_eq!(send_event(&stage, number).await, 200);
    }
    let options = Options { inbox: quick().inbox, limits: quick().limits, ..stage.kill().await };
    let stage = Stage::with(options).await;
    let bot = Bot::start();
    let client = slack_client(&stage, bot.address()).await;
    eventually("all events", || bot.count() >= 3).await;
    let texts: Vec<_> = bot.taken().iter().map(|taken| taken.text().to_owned()).collect();
    assert_eq!(texts, [event(0), event(1), event(2)]);
    assert!(bot.taken().iter().all(is_believed));
    client.stop().await.unwrap();
    stage.stop().await;
}

#[tokio::test]
async fn a_program_that_is_not_there_is_waited_for_however_long() {
    let stage = Stage::with(quick()).await;
    let nobody = RefusedPort::take();
    let address = nobody.address();
    let mut client = slack_client(&stage, address).await;
    assert_eq!(send_event(&stage, 0).await, 200);
    assert_eq!(heard(&mut client).await, (200, "slack ✓ event_callback app_mention (kept)".into()));
    // Behind it, although a tunnel is there.
    assert_eq!(send_event(&stage, 1).await, 200);
    let (_, told) = heard(&mut client).await;
    assert_eq!(told, "slack ✓ event_callback app_mention (kept behind others)");
    // More refusals than failures that would move an event aside.
    let mut refused = 0;
    client
        .event("more refusals", |event| {
            refused += usize::from(matches!(event, Event::Exchange(finished) if finished.failed));
            (refused >= 8).then_some(())
        })
        .await;
    drop(nobody);
    let bot = Bot::with(address, |_, _| Manners::default()).unwrap();
    eventually("both events", || bot.count() >= 2).await;
    let texts: Vec<_> = bot.taken().iter().map(|taken| taken.text().to_owned()).collect();
    assert_eq!(texts, [event(0), event(1)]);
    client.stop().await.unwrap();
    stage.stop().await;
}

#[tokio::test]
async fn the_programs_own_answer_goes_back_as_it_is() {
    let stage = Stage::with(quick()).await;
    let bot = Bot::with(([127, 0, 0, 1], 0).into(), |count, _| Manners {
        status: Some([404, 500, 503, 201][count.min(3)]),
        ..Manners::default()
    });
    let bot = bot.unwrap();
    let client = slack_client(&stage, bot.address()).await;
    for (number, status) in [404, 500, 503, 201].into_iter().enumerate() {
        assert_eq!(send_event(&stage, number).await, status);
    }
    assert_eq!(bot.count(), 4, "nothing was kept, so nothing comes again");
    client.stop().await.unwrap();
    stage.stop().await;
}

#[tokio::test]
async fn at_the_deadline_the_attempt_goes_on_and_is_the_first_delivery() {
    let stage = Stage::with(quick()).await;
    // Slower than Slack waits; the second time it fails, and is tried again.
    let bot = Bot::with(([127, 0, 0, 1], 0).into(), |count, _| match count {
        0 => Manners { takes: Duration::from_millis(3500), status: None },
        1 => Manners { takes: Duration::from_millis(3500), status: Some(500) },
        _ => Manners::default(),
    });
    let bot = bot.unwrap();
    let mut client = slack_client(&stage, bot.address()).await;
    for number in 0..2 {
        let before = std::time::Instant::now();
        assert_eq!(send_event(&stage, number).await, 200);
        assert!(before.elapsed() > Duration::from_millis(2400), "acknowledged too early");
        let (_, told) = heard(&mut client).await;
        assert_eq!(told, "slack ✓ event_callback app_mention (kept: no answer yet)");
        eventually("its end", || bot.count() > number).await;
    }
    eventually("the second delivery", || bot.count() >= 3).await;
    let texts: Vec<_> = bot.taken().iter().map(|taken| (taken.text().to_owned(), taken.status)).collect();
    assert_eq!(texts, [(event(0), 200), (event(1), 500), (event(1), 200)]);
    client.stop().await.unwrap();
    stage.stop().await;
}

#[tokio::test]
async fn one_bad_event_is_moved_aside_and_blocks_nothing() {
    let stage = left_alone(quick()).await;
    for number in 0..3 {
        assert_eq!(send_event(&stage, number).await, 200);
    }
    let bad = event(1);
    let bot = Bot::with(([127, 0, 0, 1], 0).into(), move |_, body| Manners {
        status: (body == bad.as_bytes()).then_some(500),
        ..Manners::default()
    });
    let bot = bot.unwrap();
    let client = slack_client(&stage, bot.address()).await;
    eventually("the last event", || bot.taken().last().is_some_and(|taken| taken.text() == event(2))).await;
    let tries = bot.taken().iter().filter(|taken| taken.text() == event(1)).count();
    assert_eq!((tries, bot.count()), (8, 10));
    // What comes now does not queue behind it.
    assert_eq!(send_event(&stage, 3).await, 200);
    assert_eq!(bot.taken().last().unwrap().value("irp-parked-at"), "");
    client.stop().await.unwrap();
    stage.stop().await;
}

#[tokio::test]
async fn paths_do_not_wait_for_each_other() {
    let stage = Stage::with(quick()).await;
    let policies = || vec![kept("slack", None), kept("github", Some("/git"))];
    let nobody = RefusedPort::take();
    client(&stage, nobody.address(), policies()).await.stop().await.unwrap();
    assert_eq!(send_event(&stage, 0).await, 200);
    for number in 0..2 {
        let mut github = signed("github", SECRET, "https://x/", b"{}", Duration::ZERO);
        // The number is our own.
        let own = github.iter().position(|line| line.starts_with("x-github-delivery")).unwrap();
        github.drain(own - 1..=own);
        github.extend(["-H".into(), format!("X-GitHub-Delivery: {number}")]);
        github.extend(["-H".into(), "X-GitHub-Event: push".into()]);
        for _ in 0..2 {
            assert_eq!(send(&stage, "/git", &github, b"{}").await.status, 200);
        }
    }
    let bot = Bot::with(([127, 0, 0, 1], 0).into(), |_, body| Manners {
        status: body.starts_with(b"{\"type").then_some(500),
        ..Manners::default()
    });
    let bot = bot.unwrap();
    let client = client(&stage, bot.address(), policies()).await;
    let pushes = || -> Vec<String> {
        let taken = bot.taken();
        let pushes = taken.iter().filter(|taken| taken.target == "/git");
        pushes.map(|taken| taken.value("x-github-delivery").to_owned()).collect()
    };
    eventually("both pushes", || pushes().len() >= 2).await;
    assert_eq!(pushes(), ["0", "1"]);
    client.stop().await.unwrap();
    stage.stop().await;
}

#[tokio::test]
async fn nothing_is_acknowledged_that_cannot_be_kept() {
    let bounds = Bounds { events: 2, ..Bounds::DEFAULT };
    let stage = left_alone(Options { inbox: Some(settings(bounds)), ..quick() }).await;
    assert_eq!(send_event(&stage, 0).await, 200);
    assert_eq!(send_event(&stage, 1).await, 200);
    let refused = send_slack(&stage, "/slack/events", &event(2), &[]).await;
    assert_eq!((refused.status, refused.value("retry-after")), (503, Some("30")));
    // The same signing may come again: nothing came of it.
    let bot = Bot::start();
    let client = slack_client(&stage, bot.address()).await;
    eventually("both events", || bot.count() >= 2).await;
    assert_eq!(send_event(&stage, 2).await, 200);
    client.stop().await.unwrap();
    stage.stop().await;

    // Where keeping is switched off, or no inbox is there, an absent program is told as ever.
    for (inbox, wanted) in [(false, quick().inbox), (true, None)] {
        let stage = Stage::with(Options { inbox: wanted, ..quick() }).await;
        let nobody = RefusedPort::take();
        let policies = vec![Policy { inbox, ..policy("slack", None) }];
        let client = self::client(&stage, nobody.address(), policies).await;
        assert_eq!(send_event(&stage, 0).await, 502);
        client.stop().await.unwrap();
        stage.stop().await;
    }
}

#[tokio::test]
async fn a_request_is_held_for_half_of_the_providers_time_at_most() {
    let options =
        Options { limits: Limits { hold: Duration::from_secs(60), ..Limits::default() }, ..quick() };
    let stage = left_alone(options).await;
    let before = std::time::Instant::now();
    assert_eq!(send_event(&stage, 0).await, 200);
    let held = before.elapsed();
    assert!(held >= Duration::from_millis(1400), "{held:?}");
    // The hold gives a tunnel the time to come back, and then nothing was kept.
    let bot = Bot::start();
    let client = slack_client(&stage, bot.address()).await;
    eventually("the event", || bot.count() >= 1).await;
    client.stop().await.unwrap();
    let (status, client) =
        tokio::join!(send_event(&stage, 1), async { slack_client(&stage, bot.address()).await });
    assert_eq!(status, 200);
    eventually("the event", || bot.count() >= 2).await;
    client.stop().await.unwrap();
    stage.stop().await;
}

#[tokio::test]
async fn without_a_fresh_signature_it_arrives_as_it_came() {
    let mut options = quick();
    if let Some(inbox) = &mut options.inbox {
        inbox.delivery.resign = false;
    }
    let stage = left_alone(options).await;
    let body = event(0);
    let headers = signed("slack", SECRET, "https://x/", body.as_bytes(), Duration::from_secs(100));
    assert_eq!(send(&stage, "/slack/events?a=%2F", &headers, body.as_bytes()).await.status, 200);
    let bot = Bot::start();
    let client = slack_client(&stage, bot.address()).await;
    eventually("the event", || bot.count() >= 1).await;
    let taken = bot.taken().remove(0);
    assert_eq!(taken.target, "/slack/events?a=%2F");
    let sent = |name: &str| headers.iter().any(|line| *line == format!("{name}: {}", taken.value(name)));
    assert!(sent("x-slack-signature") && sent("x-slack-request-timestamp"), "{:?}", taken.headers);
    client.stop().await.unwrap();
    stage.stop().await;
}

#[tokio::test]
async fn who_waits_hears_that_the_program_is_away() {
    let authority = Authority::new();
    let slack = Bot::with_tls(authority.server(&["hooks.slack.com"], &["http/1.1"]));
    let outside = Outside::to(slack.address(), authority.root()).unwrap();
    let machine = Machine { outside: Some(outside), ..Machine::default() };
    let stage = left_alone(Options { machine, ..quick() }).await;
    let form = async |body: String| {
        let mut headers = signed("slack", SECRET, "https://x/", body.as_bytes(), Duration::ZERO);
        headers.extend(["-H".into(), "content-type: application/x-www-form-urlencoded".into()]);
        send_as(&stage, "/slack/events", &headers, body.as_bytes()).await
    };
    let command = form("command=%2Fdeploy&text=now".into()).await;
    let said: serde_json::Value = command.json();
    assert_eq!((command.status, &said["response_type"]), (200, &"ephemeral".into()));
    assert!(said["text"].as_str().unwrap().contains("offline"), "{said}");

    let payload = |kind: &str, url: &str| {
        let json = format!(r#"{{"type":"{kind}","response_url":"{url}"}}"#);
        let escaped: String = json.bytes().map(|byte| format!("%{byte:02X}")).collect();
        format!("payload={escaped}")
    };
    let pressed = form(payload("block_actions", "https://hooks.slack.com/actions/T1/2/x")).await;
    assert_eq!((pressed.status, pressed.body.len()), (200, 0));
    eventually("the message to the person", || slack.count() == 1).await;
    let told = slack.taken().remove(0);
    assert_eq!((told.target.as_str(), told.value("host")), ("/actions/T1/2/x", "hooks.slack.com"));
    let said: serde_json::Value = serde_json::from_slice(&told.body).unwrap();
    assert_eq!(said["response_type"], "ephemeral");
    // Another address is nobody's that Slack would name.
    let elsewhere = form(payload("block_actions", "https://hooks.slack.example/x")).await;
    assert_eq!((elsewhere.status, elsewhere.body.len()), (200, 0));
    let submitted: serde_json::Value = form(payload("view_submission", "")).await.json();
    assert_eq!(submitted["response_action"], "update");
    let menu: serde_json::Value = form(payload("block_suggestion", "")).await.json();
    assert_eq!(menu, serde_json::json!({ "options": [] }));

    // None of it is kept: it would be of no use later.
    let bot = Bot::start();
    let client = slack_client(&stage, bot.address()).await;
    assert_eq!(send_event(&stage, 0).await, 200);
    assert_eq!((bot.count(), slack.count()), (1, 1));
    client.stop().await.unwrap();
    stage.stop().await;
}

#[tokio::test]
async fn the_client_hears_how_many_events_wait_and_came() {
    let stage = left_alone(quick()).await;
    for number in 0..3 {
        assert_eq!(send_event(&stage, number).await, 200);
    }
    let bot = Bot::start();
    let mut client = slack_client(&stage, bot.address()).await;
    let counts = |event: &Event| match event {
        Event::Inbox { waiting: 0, failed, delivered } => Some((*failed, *delivered)),
        _ => None,
    };
    assert_eq!(client.event("nothing waits any more", counts).await, (0, 3));
    client.stop().await.unwrap();
    stage.stop().await;
}

#[tokio::test]
async fn what_github_sends_again_is_kept_once_and_comes_again_when_a_person_asks_for_it() {
    let stage = Stage::with(quick()).await;
    let nobody = RefusedPort::take();
    let policies = || vec![kept("github", Some("/github"))];
    client(&stage, nobody.address(), policies()).await.stop().await.unwrap();
    // Each with the same X-GitHub-Delivery.
    let push = async || {
        let headers = signed("github", SECRET, "https://x/", b"{}", Duration::ZERO);
        send(&stage, "/github", &headers, b"{}").await.status
    };
    assert_eq!((push().await, push().await), (200, 200));
    let bot = Bot::start();
    let mut client = client(&stage, bot.address(), policies()).await;
    let counts = |event: &Event| match event {
        Event::Inbox { waiting: 0, delivered, .. } => Some(*delivered),
        _ => None,
    };
    assert_eq!(client.event("nothing waits any more", counts).await, 1);
    assert_eq!((push().await, bot.count()), (200, 2));
    client.stop().await.unwrap();
    stage.stop().await;
}

#[tokio::test]
async fn a_machine_does_not_end_while_events_wait() {
    let idle_after = IdleAfter::from_hours(0.0005).unwrap();
    let stage = Stage::with(Options { idle_after, ..quick() }).await;
    let nobody = RefusedPort::take();
    // The session holds the machine until the event does.
    let client = slack_client(&stage, nobody.address()).await;
    assert_eq!(send_event(&stage, 0).await, 200);
    client.stop().await.unwrap();
    // Several times as long as it would be there without the event.
    tokio::time::sleep(idle_after.duration().unwrap() * 3).await;
    let bot = Bot::start();
    let client = slack_client(&stage, bot.address()).await;
    eventually("the event", || bot.count() == 1).await;
    client.stop().await.unwrap();
    assert_eq!(stage.ended().await, Ended::Idle);
}
