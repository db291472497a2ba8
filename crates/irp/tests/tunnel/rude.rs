//! Programs without manners: what their visitors get, and that the tunnel is as good as before.

use std::{net::SocketAddr, time::Duration};

use futures_util::future::join_all;
use irp_testkit::{
    origin::{Bind, Manner, Options as Program, Origin, RefusedPort, RudeOrigin},
    patience::eventually,
};
use tokio::time::timeout;

use crate::{
    stage::{NAME, Options},
    way::{Tunnel, Way},
};

/// How long the client waits for the head of an answer here.
const HEAD: Duration = Duration::from_millis(700);

/// What the visitor of a rude program gets.
#[derive(Debug, PartialEq)]
enum Gets {
    /// The program's answer with this body.
    Body(&'static str),
    /// This error, made by irp.
    Error(u16),
    /// An answer that breaks off, so that the visitor can tell; or 502 where that is seen in time.
    Broken,
    /// An answer that does not end.
    Stalled,
}

fn deserved(manner: Manner) -> Gets {
    match manner {
        Manner::ClosesAtOnce
        | Manner::ClosesAfterRequest
        | Manner::ResetsAfterRequest
        | Manner::ClosesInHead
        | Manner::TwoLengths
        | Manner::SendsGarbage
        | Manner::EndlessHead
        | Manner::UnaskedUpgrade => Gets::Error(502),
        Manner::NeverAnswers | Manner::NeverReads => Gets::Error(504),
        Manner::ClosesInBody | Manner::ResetsInBody | Manner::ClosesInChunks | Manner::BadChunk => {
            Gets::Broken
        }
        Manner::StallsInBody => Gets::Stalled,
        // The chunks decide (RFC 9112, section 6.3).
        Manner::SendsTooMuch | Manner::LengthAndChunks => Gets::Body("0123456789"),
        Manner::AnswersBeforeUpload => Gets::Body("early"),
        Manner::RefusesUpload => Gets::Body("big\n"),
        Manner::AnswersTwice | Manner::HopByHopHeaders => Gets::Body("ok"),
        Manner::HttpOneZero => Gets::Body("old"),
        Manner::ClosesWhenIdle => Gets::Body("idle"),
        Manner::EarlyHints => Gets::Body("hinted"),
    }
}

/// Whether it answers one request well, and is silent when the connection is used again.
fn answers_once(manner: Manner) -> bool {
    let once =
        [Manner::LengthAndChunks, Manner::AnswersBeforeUpload, Manner::EarlyHints, Manner::HopByHopHeaders];
    once.contains(&manner)
}

#[tokio::test]
async fn over_http2_every_rudeness_has_its_answer_and_the_next_request_works() {
    every_rudeness(Way::Http2).await;
}

#[tokio::test]
async fn over_lanes_every_rudeness_has_its_answer_and_the_next_request_works() {
    every_rudeness(Way::Lanes).await;
}

async fn every_rudeness(way: Way) {
    let cases = Manner::ALL.map(|manner| async move {
        let origin = RudeOrigin::start(manner);
        let address = origin.address();
        let tunnel = Tunnel::with(way, address, Options::default(), |config| {
            config.timeouts.upstream_head = HEAD;
        })
        .await;
        let deserved = deserved(manner);
        let mut wrong = Vec::new();
        let turns: &[_] = if answers_once(manner) { &["only"] } else { &["first", "second"] };
        for turn in turns {
            let told = judge(&tunnel, &deserved).await;
            wrong.extend(told.err().map(|told| format!("{manner:?}, {turn} request: {told}")));
        }
        drop(origin);
        let _polite = polite_at(address).await;
        let reply = tunnel.stage.curl().get(&tunnel.stage.url("/bytes/5")).await.unwrap();
        if (reply.status, reply.body.len()) != (200, 5) {
            wrong.push(format!("{manner:?}, afterwards: {reply:?}"));
        }
        tunnel.close().await;
        wrong
    });
    let wrong = join_all(cases).await.concat();
    assert!(wrong.is_empty(), "{way:?}: {wrong:#?}");
}

async fn judge(tunnel: &Tunnel, deserved: &Gets) -> Result<(), String> {
    let mut wire = tunnel.stage.door().connect().await.unwrap();
    wire.send(format!("GET / HTTP/1.1\r\nHost: {NAME}\r\n\r\n")).await.unwrap();
    if *deserved == Gets::Stalled {
        let head = wire.head().await.map_err(|error| error.to_string())?;
        let start = wire.read(10).await.map_err(|error| error.to_string())?;
        let fine = head.status == 200 && start == b"0123456789" && wire.is_silent(HEAD).await;
        return fine.then_some(()).ok_or_else(|| format!("{head:?}"));
    }
    let reply = wire.response().await;
    let fine = match (deserved, &reply) {
        (Gets::Body(body), Ok(reply)) => {
            let status = if *body == "big\n" { 413 } else { 200 };
            let hops = ["keep-alive", "x-private", "proxy-connection", "proxy-authenticate"];
            (reply.status, reply.text().as_str()) == (status, *body)
                && reply.interim.is_empty()
                && hops.iter().all(|name| reply.value(name).is_none())
        }
        (Gets::Error(status), Ok(reply)) => reply.status == *status && !reply.text().contains("127.0.0.1"),
        (Gets::Broken, Err(_)) => true,
        (Gets::Broken, Ok(reply)) => reply.status == 502,
        _ => false,
    };
    fine.then_some(()).ok_or_else(|| format!("{reply:?}"))
}

/// Takes the place of a program that is gone. A process that another test starts at this very moment may hold
/// the old listener until its own program begins.
async fn polite_at(address: SocketAddr) -> Origin {
    let mut origin = None;
    eventually("the port is free", || {
        origin = Origin::with(Program { bind: Bind::Tcp(address), ..Program::default() }).ok();
        origin.is_some()
    })
    .await;
    origin.unwrap()
}

#[tokio::test]
async fn a_refused_port_is_named_until_somebody_listens() {
    for way in Way::BOTH {
        let refused = RefusedPort::take();
        let address = refused.address();
        let tunnel = Tunnel::open(way, address).await;
        let curl = tunnel.stage.curl();
        let reply = curl.get(&tunnel.stage.url("/")).await.unwrap();
        assert_eq!(reply.status, 502, "{way:?}");
        assert!(reply.text().contains(&address.port().to_string()), "{way:?}: {}", reply.text());
        let json = curl.clone().args(["-H", "Accept: application/json"]);
        let reply = json.get(&tunnel.stage.url("/")).await.unwrap();
        assert_eq!((reply.status, reply.value("content-type")), (502, Some("application/json")), "{way:?}");
        drop(refused);
        let _origin = polite_at(address).await;
        assert_eq!(curl.get(&tunnel.stage.url("/")).await.unwrap().status, 200, "{way:?}");
        tunnel.close().await;
    }
}

#[tokio::test]
async fn an_upload_is_answered_before_it_is_over() {
    for way in Way::BOTH {
        for (manner, status) in [(Manner::AnswersBeforeUpload, 200), (Manner::RefusesUpload, 413)] {
            let origin = RudeOrigin::start(manner);
            let tunnel = Tunnel::open(way, origin.address()).await;
            let mut wire = tunnel.stage.door().connect().await.unwrap();
            let head = format!("POST / HTTP/1.1\r\nHost: {NAME}\r\nContent-Length: 1000000\r\n\r\n");
            wire.send(head + "a first piece").await.unwrap();
            let reply = wire.response().await.unwrap();
            assert_eq!(reply.status, status, "{way:?} {manner:?}");
            tunnel.close().await;
        }
    }
}

#[tokio::test]
async fn an_upload_that_the_visitor_does_not_go_on_with_is_its_own_fault() {
    let origin = Origin::start();
    for way in Way::BOTH {
        let limits = irp_edge::http::Limits { upload_idle: HEAD, ..irp_edge::http::Limits::default() };
        let options = Options { limits, ..Options::default() };
        let tunnel = Tunnel::with(way, origin.address(), options, |_| {}).await;
        let mut wire = tunnel.stage.door().connect().await.unwrap();
        let head = format!("POST /upload HTTP/1.1\r\nHost: {NAME}\r\nContent-Length: 1000\r\n\r\n");
        wire.send(head + "abc").await.unwrap();
        assert_eq!(wire.response().await.unwrap().status, 408, "{way:?}");
        eventually("the program's work ends", || origin.counters().in_flight() == 0).await;
        tunnel.close().await;
    }
}

#[tokio::test]
async fn an_upload_that_nobody_takes_ends_with_504() {
    for way in Way::BOTH {
        let origin = RudeOrigin::start(Manner::NeverReads);
        let tunnel = Tunnel::with(way, origin.address(), Options::default(), |config| {
            config.timeouts.upstream_head = HEAD;
        })
        .await;
        let mut wire = tunnel.stage.door().connect().await.unwrap();
        let head = format!("POST / HTTP/1.1\r\nHost: {NAME}\r\nContent-Length: 500000000\r\n\r\n");
        wire.send(head).await.unwrap();
        // Until all buffers on the way are full; once there is an answer, the edge may swallow the rest.
        let piece = vec![7; 64 * 1024];
        for _ in 0..1024 {
            if !matches!(timeout(HEAD / 4, wire.send(&piece)).await, Ok(Ok(()))) {
                break;
            }
        }
        assert_eq!(wire.head().await.unwrap().status, 504, "{way:?}");
        tunnel.close().await;
    }
}
