//! Forwards and the programs behind them, well-behaved or not.

use std::time::Duration;

use irp_edge::{
    http::{Limits, access::Access},
    tunnels::{
        Tunnel,
        pool::Forward,
        sshd::{ForwardAddress, UpstreamPort},
    },
};
use irp_testkit::{
    origin::{Bind, Manner, Options, Origin, RudeOrigin},
    patience::eventually,
};

use crate::stage::{Stage, head, short};

/// What a visitor sees of one rude origin: a status, and the body where the answer is whole.
async fn seen(manner: Manner) -> (Option<u16>, Option<String>) {
    let origin = RudeOrigin::start(manner);
    let limits = Limits { response_head: Duration::from_millis(500), ..short() };
    let stage = Stage::new(Some(origin.address()), limits, Access::default()).await;
    let mut wire = stage.door().connect().await.unwrap();
    wire.send(head("POST", "/") + "Content-Length: 3\r\n\r\nabc").await.unwrap();
    let Ok(first) = wire.head().await else { return (None, None) };
    let body = match first.value("content-length").map(|length| length.parse().unwrap()) {
        Some(length) => wire.read(length).await.ok(),
        None => None,
    };
    assert!(origin.counters().seen() <= 1, "{manner:?}: a POST must not be repeated");
    (Some(first.status), body.map(|body| String::from_utf8_lossy(&body).into_owned()))
}

#[tokio::test]
async fn rude_origins_give_honest_answers() {
    for manner in [
        Manner::ClosesAtOnce,
        Manner::ClosesAfterRequest,
        Manner::ResetsAfterRequest,
        Manner::ClosesInHead,
        Manner::TwoLengths,
        Manner::SendsGarbage,
        Manner::EndlessHead,
        Manner::UnaskedUpgrade,
    ] {
        assert_eq!(seen(manner).await.0, Some(502), "{manner:?}");
    }
    for manner in [Manner::NeverAnswers, Manner::NeverReads] {
        assert_eq!(seen(manner).await.0, Some(504), "{manner:?}");
    }
    for manner in [Manner::ClosesInBody, Manner::ResetsInBody] {
        assert_eq!(seen(manner).await, (Some(200), None), "{manner:?}: a cut body must not look whole");
    }
}

#[tokio::test]
async fn what_a_rude_origin_sends_too_much_reaches_nobody() {
    for manner in [Manner::AnswersTwice, Manner::SendsTooMuch] {
        let origin = RudeOrigin::start(manner);
        let stage = Stage::with(origin.address()).await;
        for turn in 0..5 {
            let reply = stage.get("/", "").await;
            assert!(!reply.text().contains("stolen!"), "{manner:?}, {turn}");
            assert!(matches!(reply.status, 200 | 502), "{manner:?}, {turn}: {}", reply.status);
        }
    }
}

#[tokio::test]
async fn a_connection_that_was_closed_while_idle_costs_no_request() {
    let origin = RudeOrigin::start(Manner::ClosesWhenIdle);
    let stage = Stage::with(origin.address()).await;
    for turn in 0..30 {
        assert_eq!(stage.get("/", "").await.status, 200, "{turn}");
    }
}

#[tokio::test]
async fn old_origins_are_understood() {
    let origin = RudeOrigin::start(Manner::HttpOneZero);
    let stage = Stage::with(origin.address()).await;
    let mut wire = stage.door().connect().await.unwrap();
    for _ in 0..2 {
        wire.send(head("GET", "/") + "\r\n").await.unwrap();
        let reply = wire.response().await.unwrap();
        assert_eq!((reply.version.as_str(), reply.status, reply.text().trim()), ("HTTP/1.1", 200, "old"));
    }
}

#[tokio::test]
async fn an_answer_before_the_upload_ends_arrives() {
    for (manner, status) in [(Manner::AnswersBeforeUpload, 200), (Manner::RefusesUpload, 413)] {
        let origin = RudeOrigin::start(manner);
        let stage = Stage::with(origin.address()).await;
        let mut wire = stage.door().connect().await.unwrap();
        wire.send(head("POST", "/") + "Content-Length: 1000000\r\n\r\nabc").await.unwrap();
        assert_eq!(wire.head().await.unwrap().status, status, "{manner:?}");
    }
}

#[tokio::test]
async fn a_forward_may_come_out_at_a_socket() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.sock");
    let stage = Stage::new(None, short(), Access::default()).await;
    stage.route.set(Tunnel::Forward(Forward::new(ForwardAddress::Unix(path.clone()), stage.tasks.clone())));
    assert_eq!(stage.get("/", "").await.status, 502, "nobody listens yet");
    let _origin = Origin::with(Options { bind: Bind::Unix(path), ..Options::default() }).unwrap();
    assert_eq!(stage.get("/bytes/3", "").await.status, 200);
}

#[tokio::test]
async fn a_forward_that_is_gone_leaves_no_connection() {
    let origin = Origin::start();
    let stage = Stage::new(None, short(), Access::default()).await;
    let address = ForwardAddress::Tcp(UpstreamPort::new(origin.port(), &[]).unwrap());
    let forward = Forward::new(address, stage.tasks.clone());
    let tunnel = Tunnel::Forward(forward.clone());
    stage.route.set(tunnel.clone());
    assert_eq!(stage.get("/", "").await.status, 200);
    eventually("its connection is idle", || forward.idle() == 1).await;
    assert!(stage.route.clear(&tunnel));
    forward.close();
    eventually("its connection is closed", || forward.connections() == 0).await;
}
