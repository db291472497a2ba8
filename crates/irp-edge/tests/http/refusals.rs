//! The answers that the edge makes by itself.

use std::{sync::Arc, time::Duration};

use http_body_util::BodyExt as _;
use irp_edge::http::{
    Limits,
    access::{Access, User},
};
use irp_testkit::{
    origin::{Echoed, Origin, RefusedPort, nothing},
    patience::{PATIENCE, eventually},
};
use tokio::time::timeout;

use crate::stage::{NAME, Stage, head, short};

async fn without_tunnel(limits: Limits) -> Stage {
    Stage::new(None, limits, Access::default()).await
}

#[tokio::test]
async fn unknown_names_get_404_or_421_and_nothing_internal() {
    let origin = Origin::start();
    let stage = Stage::with(origin.address()).await;
    // The stage's connections are made for NAME, so another name is misdirected.
    let mut wire = stage.door().connect().await.unwrap();
    wire.send("GET / HTTP/1.1\r\nHost: other.example\r\n\r\n").await.unwrap();
    let reply = wire.response().await.unwrap();
    assert_eq!(reply.status, 421);
    assert!(!reply.text().contains("other.example") && !reply.text().contains(NAME));
    assert_eq!(reply.value("cache-control"), Some("no-store"));
    let mut http2 = stage.door2().http2().await.unwrap();
    let request = http::Request::get("https://other.example/").body(nothing()).unwrap();
    assert_eq!(http2.send_request(request).await.unwrap().status(), 404);
    assert_eq!(origin.counters().connections(), 0);
}

#[tokio::test]
async fn nobody_connected_is_said_in_the_form_that_is_accepted() {
    let stage = without_tunnel(Limits { hold: Duration::from_millis(50), ..short() }).await;
    for (accept, kind, text) in [
        ("Accept: text/html\r\n", "text/html; charset=utf-8", "<p>Nobody is connected for this name.</p>"),
        ("Accept: application/json\r\n", "application/json", r#""error":"no-tunnel""#),
        ("", "text/plain; charset=utf-8", "Nobody is connected for this name.\n"),
    ] {
        let reply = stage.get("/", accept).await;
        assert_eq!((reply.status, reply.value("content-type")), (503, Some(kind)));
        assert_eq!((reply.value("retry-after"), reply.value("cache-control")), (Some("5"), Some("no-store")));
        assert!(reply.text().contains(text), "{}", reply.text());
    }
    let reply = stage.send("HEAD", "/", "", "").await;
    assert_eq!((reply.status, reply.body.len()), (503, 0));
    let told = stage.heard.all();
    assert!(told.iter().all(|exchange| exchange.stopped_at_edge && exchange.reason.is_some()), "{told:?}");
}

#[tokio::test]
async fn a_refused_port_is_named() {
    let refused = RefusedPort::take();
    let stage = Stage::with(refused.address()).await;
    let reply = stage.get("/", "").await;
    assert_eq!(reply.status, 502);
    assert!(reply.text().contains(&format!("port {}", refused.address().port())), "{}", reply.text());
}

#[tokio::test]
async fn a_circle_is_noticed() {
    let stage = without_tunnel(short()).await;
    // The upstream of the edge is the edge.
    stage.connect_to_itself();
    let reply = stage.get("/", "").await;
    assert_eq!(reply.status, 508);
}

#[tokio::test]
async fn methods_that_are_not_for_origins_are_refused() {
    let origin = Origin::start();
    let stage = Stage::with(origin.address()).await;
    let reply = stage.send("TRACE", "/", "", "").await;
    assert_eq!((reply.status, reply.value("allow").is_some()), (405, true));
    let reply = stage.send("CONNECT", "db.internal:5432", "", "").await;
    assert_eq!(reply.status, 405);
    let reply = stage.send("OPTIONS", "*", "", "").await;
    let seen: Echoed = reply.json();
    assert_eq!((seen.method.as_str(), seen.path.as_str()), ("OPTIONS", "*"));
    assert_eq!(origin.counters().seen(), 1);
}

#[tokio::test]
async fn strangers_stay_outside() {
    let origin = Origin::start();
    let users = vec![User::new("alice", "wonderland").unwrap(), User::new("bob", "builder").unwrap()];
    let stage = Stage::new(Some(origin.address()), short(), Access::new(vec![], users)).await;
    let reply = stage.get("/", "").await;
    assert_eq!(reply.status, 401);
    assert_eq!(reply.value("www-authenticate"), Some("Basic realm=\"app.example\", charset=\"UTF-8\""));
    // alice:wonderland, alice:builder
    assert_eq!(stage.get("/", "Authorization: Basic YWxpY2U6YnVpbGRlcg==\r\n").await.status, 401);
    let reply = stage.get("/", "Authorization: Basic YWxpY2U6d29uZGVybGFuZA==\r\n").await;
    assert_eq!(reply.status, 200);
    let seen: Echoed = reply.json();
    assert!(seen.values("authorization").is_empty(), "the upstream has no use for the edge's password");

    let elsewhere = Access::new(vec!["192.0.2.0/24".parse().unwrap()], vec![]);
    let stage = Stage::new(Some(origin.address()), short(), elsewhere).await;
    assert_eq!(stage.get("/", "X-Forwarded-For: 192.0.2.1\r\n").await.status, 403);
    let here = Access::new(vec!["127.0.0.0/8".parse().unwrap()], vec![]);
    let stage = Stage::new(Some(origin.address()), short(), here).await;
    assert_eq!(stage.get("/", "").await.status, 200);
}

#[tokio::test]
async fn a_held_request_goes_through_when_the_tunnel_comes() {
    let origin = Origin::start();
    let stage = Arc::new(without_tunnel(Limits { hold: Duration::from_secs(20), ..short() }).await);
    let held: Vec<_> = (0..10)
        .map(|turn| {
            let stage = Arc::clone(&stage);
            let body = "x".repeat(turn);
            tokio::spawn(async move {
                stage.send("POST", "/", &format!("Content-Length: {turn}\r\n"), &body).await
            })
        })
        .collect();
    eventually("all are held", || stage.route.in_flight() == 10).await;
    stage.connect(origin.address());
    for (turn, held) in held.into_iter().enumerate() {
        let seen: Echoed = held.await.unwrap().json();
        assert_eq!(seen.length, u64::try_from(turn).unwrap());
    }
    assert_eq!(origin.counters().seen(), 10);
}

#[tokio::test]
async fn a_request_waits_for_a_forward_that_reappears() {
    let refused = RefusedPort::take();
    let stage = Arc::new(without_tunnel(Limits { hold: Duration::from_secs(20), ..short() }).await);
    let gone = stage.connect(refused.address());
    let held = {
        let stage = Arc::clone(&stage);
        tokio::spawn(async move { stage.send("POST", "/", "Content-Length: 1\r\n", "x").await })
    };
    eventually("it is held", || stage.route.in_flight() == 1).await;
    assert!(stage.route.clear(&gone));
    let origin = Origin::start();
    stage.connect(origin.address());
    assert_eq!(held.await.unwrap().status, 200);
    assert!(!stage.route.clear(&gone), "another tunnel has the name now");
    assert_eq!(origin.counters().seen(), 1);
}

#[tokio::test]
async fn only_so_many_requests_are_held() {
    let stage = Arc::new(without_tunnel(Limits { hold: Duration::from_secs(20), held: 1, ..short() }).await);
    let first = {
        let stage = Arc::clone(&stage);
        tokio::spawn(async move { stage.get("/", "").await })
    };
    eventually("the first is held", || stage.route.in_flight() == 1).await;
    assert_eq!(stage.get("/", "").await.status, 503);
    first.abort();
}

#[tokio::test]
async fn only_so_many_bytes_are_held_and_they_are_given_back() {
    /// What a connection takes by itself.
    const CONNECTION: usize = 48 * 1024;
    /// The long header of each request.
    const LONG: usize = 15_000;
    /// How many requests fit; since they have more headers than that, one more would not.
    const FIT: usize = 20;
    let limits = Limits { hold: Duration::from_secs(3600), budget: CONNECTION + (FIT + 1) * LONG, ..short() };
    let stage = without_tunnel(limits).await;
    // One connection, so that all else is headers.
    let visitor = stage.door2().http2().await.unwrap();
    let send = || {
        let request = http::Request::get(format!("http://{NAME}/")).header("x-long", "x".repeat(LONG));
        tokio::spawn(visitor.clone().send_request(request.body(nothing()).unwrap()))
    };
    let mut held: Vec<_> = (0..FIT).map(|_| send()).collect();
    let used = || stage.service.budget().used();
    let full = CONNECTION + FIT * LONG..=stage.service.budget().limit();
    eventually("all are held", || full.contains(&used())).await;

    // It does not wait: nobody would see the end of that.
    for _ in 0..2 {
        let refused = timeout(PATIENCE, send()).await.unwrap().unwrap().unwrap();
        assert_eq!(refused.status(), 503);
        assert_eq!(refused.headers()["retry-after"], "5");
    }
    assert!(held.iter().all(|request| !request.is_finished()));
    // What a visitor holds who leaves is there for the next one.
    held.pop().unwrap().abort();
    eventually("one has left", || !full.contains(&used())).await;
    held.push(send());
    eventually("another is held", || full.contains(&used())).await;

    // Sending one takes more than all that is left beside the others.
    held.drain(1..).for_each(|request| request.abort());
    eventually("one is left", || used() < CONNECTION + 2 * LONG).await;
    let origin = Origin::start();
    stage.connect(origin.address());
    let answer = held.pop().unwrap().await.unwrap().unwrap();
    assert_eq!(answer.status(), 200);
    answer.into_body().collect().await.unwrap();
    eventually("nothing is held", || used() == CONNECTION).await;
    assert_eq!(origin.counters().seen(), 1);
}

#[tokio::test]
async fn only_so_many_requests_are_in_flight() {
    let origin = Origin::start();
    for limits in [
        Limits { in_flight: 1, ..short() },
        Limits { in_flight_per_name: 1, ..short() },
        Limits { budget: 2 * (48 + 192) * 1024 - 1, ..short() },
        // A wider window is more that one may come to hold.
        Limits { budget: 3 * 1024 * 1024, stream_window: 2 * 1024 * 1024, ..short() },
    ] {
        let stage = Stage::new(Some(origin.address()), limits, Access::default()).await;
        let seen = origin.counters().seen();
        let mut slow = stage.door().connect().await.unwrap();
        slow.send(head("GET", "/slow/60000") + "\r\n").await.unwrap();
        eventually("the first is in flight", || origin.counters().seen() == seen + 1).await;
        let reply = stage.get("/", "").await;
        assert_eq!((reply.status, reply.value("retry-after")), (503, Some("1")));
        slow.reset().unwrap();
        eventually("its place is free", || stage.service.in_flight() == 0).await;
        assert_eq!(stage.get("/", "").await.status, 200);
    }
}

#[tokio::test]
async fn without_memory_for_a_connection_it_is_told_so() {
    let origin = Origin::start();
    let stage =
        Stage::new(Some(origin.address()), Limits { budget: 1000, ..short() }, Access::default()).await;
    assert_eq!(stage.get("/", "").await.status, 503);
    assert_eq!(origin.counters().connections(), 0);
}

#[tokio::test]
async fn headers_that_are_too_long_get_431() {
    let origin = Origin::start();
    let limits = Limits { header_bytes: 16 * 1024, ..short() };
    let stage = Stage::new(Some(origin.address()), limits, Access::default()).await;
    for bytes in [17_000, 200_000] {
        let mut wire = stage.door().connect().await.unwrap();
        let long = "x".repeat(bytes);
        // The answer may come before everything is sent.
        let _ = wire.send(head("GET", "/") + &format!("X-Long: {long}\r\n\r\n")).await;
        assert_eq!(wire.head().await.unwrap().status, 431);
    }
    assert_eq!(stage.get("/", &format!("X-Long: {}\r\n", "x".repeat(15_000))).await.status, 200);
}

#[tokio::test]
async fn more_fields_than_the_hops_behind_take_get_431() {
    let origin = Origin::start();
    let stage = Stage::new(Some(origin.address()), short(), Access::default()).await;
    let fields = |count: usize| (0..count).map(|number| format!("X-{number}: y\r\n")).collect::<String>();
    for (count, status) in [(80, 200), (95, 431), (300, 431)] {
        assert_eq!(stage.get("/", &fields(count)).await.status, status, "{count} fields");
    }
}
