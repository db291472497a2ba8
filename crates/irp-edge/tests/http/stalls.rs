//! Visitors who are merely there: each kind has an end.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Request;
use http_body::Frame;
use http_body_util::{BodyExt as _, Empty};
use irp_edge::http::{Limits, access::Access};
use irp_testkit::{
    origin::{AnyBody, Manner, Origin, RudeOrigin},
    patience::eventually,
    visitor::open_body,
};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::stage::{NAME, Stage, head, short};

const SOON: Duration = Duration::from_millis(300);

async fn stage(origin: &Origin, limits: Limits) -> Stage {
    Stage::new(Some(origin.address()), limits, Access::default()).await
}

fn request2(path: &str, body: AnyBody) -> Request<AnyBody> {
    Request::post(format!("https://{NAME}{path}")).body(body).unwrap()
}

fn empty() -> AnyBody {
    Empty::<Bytes>::new().map_err(|never| match never {}).boxed_unsync()
}

#[tokio::test]
async fn headers_must_come_in_time() {
    let origin = Origin::start();
    let stage = stage(&origin, Limits { header_read: SOON, ..short() }).await;
    let mut silent = stage.door().connect().await.unwrap();
    let mut slow = stage.door().connect().await.unwrap();
    slow.send("GET / HTTP/1.1\r\nHost: app").await.unwrap();
    assert!(slow.read_some().await.unwrap().is_empty());
    assert!(silent.read_some().await.unwrap().is_empty());
    // The second request of a connection is no different; the time between two requests is another matter.
    let mut wire = stage.door().connect().await.unwrap();
    wire.send(head("GET", "/") + "\r\n").await.unwrap();
    assert_eq!(wire.response().await.unwrap().status, 200);
    assert!(wire.is_silent(SOON * 3).await);
    wire.send("GET").await.unwrap();
    assert!(wire.read_some().await.unwrap().is_empty());
}

#[tokio::test]
async fn idle_connections_end() {
    let origin = Origin::start();
    let stage = stage(&origin, Limits { idle: SOON, ..short() }).await;
    let mut wire = stage.door().connect().await.unwrap();
    wire.send(head("GET", "/slow/900") + "\r\n").await.unwrap();
    assert_eq!(wire.response().await.unwrap().status, 200, "a slow answer is no idleness");
    assert!(wire.read_some().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_visitor_who_takes_nothing_is_cut() {
    let origin = Origin::start();
    let stage = stage(&origin, Limits { stalled: SOON, ..short() }).await;
    let mut wire = stage.door().receive_buffer(8192).connect().await.unwrap();
    wire.send(head("GET", "/bytes/200000000") + "\r\n").await.unwrap();
    eventually("it is cut", || stage.heard.all().len() == 1).await;
    let told = stage.heard.all().remove(0);
    assert!(!told.complete && told.bytes < 20_000_000, "{told:?}");
    eventually("the upstream's work ends", || origin.counters().cancelled() == 1).await;
    eventually("all memory is free", || stage.service.budget().used() == 0).await;
}

#[tokio::test]
async fn a_stalled_stream_is_cut_and_its_neighbours_go_on() {
    let origin = Origin::start();
    let stage = stage(&origin, Limits { stalled: SOON, ..short() }).await;
    let mut http2 = stage.door2().http2().await.unwrap();
    // The visitor's hyper takes 2 MiB of a stream that nobody reads.
    let stalled = http2.send_request(request2("/bytes/200000000", empty())).await.unwrap();
    let events = http2.send_request(request2("/sse?count=3&interval=1000", empty())).await.unwrap();
    eventually("it is cut", || stage.heard.all().len() == 1).await;
    assert!(!stage.heard.all()[0].complete);
    let events = events.into_body().collect().await.unwrap().to_bytes();
    assert!(events.ends_with(b"data: 2\n\n"), "an upstream that is quiet is no stalled visitor");
    assert!(stalled.into_body().collect().await.is_err());
}

#[tokio::test]
async fn an_upload_may_not_pause_for_ever() {
    let origin = Origin::start();
    let stage = stage(&origin, Limits { upload_idle: SOON, ..short() }).await;
    let mut wire = stage.door().connect().await.unwrap();
    wire.send(head("POST", "/upload") + "Content-Length: 1000\r\n\r\nabc").await.unwrap();
    let reply = wire.response().await.unwrap();
    assert_eq!((reply.status, reply.value("connection")), (408, Some("close")));
    eventually("the upstream's work ends", || origin.counters().in_flight() == 0).await;
}

#[tokio::test]
async fn streams_that_talk_back_and_grpc_may_pause() {
    let origin = Origin::start();
    let stage = stage(&origin, Limits { upload_idle: SOON, stalled: SOON, ..short() }).await;
    let mut http2 = stage.door2().http2().await.unwrap();
    let (sender, body) = open_body();
    // The answer's head comes at once, so this is a conversation.
    let mut back = http2.send_request(request2("/mirror", body)).await.unwrap().into_body();
    let (quiet, body) = open_body();
    let mut grpc = request2("/upload", body);
    grpc.headers_mut().insert("content-type", "application/grpc+proto".parse().unwrap());
    let grpc = tokio::spawn(http2.send_request(grpc));
    tokio::time::sleep(SOON * 3).await;
    sender.send(Ok(Frame::data(Bytes::from("still here")))).await.unwrap();
    assert_eq!(back.frame().await.unwrap().unwrap().into_data().unwrap(), "still here");
    quiet.send(Ok(Frame::data(Bytes::from("me too")))).await.unwrap();
    drop(quiet);
    assert_eq!(grpc.await.unwrap().unwrap().status(), 200);
}

#[tokio::test]
async fn an_upstream_that_takes_too_long_is_504() {
    let origin = RudeOrigin::start(Manner::NeverAnswers);
    let limits = Limits { response_head: SOON, ..short() };
    let stage = Stage::new(Some(origin.address()), limits, Access::default()).await;
    assert_eq!(stage.get("/", "").await.status, 504);
    assert_eq!(stage.send("POST", "/", "Content-Length: 3\r\n", "abc").await.status, 504);
}

#[tokio::test]
async fn an_upstream_that_does_not_take_the_upload_is_504() {
    let origin = RudeOrigin::start(Manner::NeverReads);
    let limits = Limits { response_head: SOON, upload_idle: SOON, ..short() };
    let stage = Stage::new(Some(origin.address()), limits, Access::default()).await;
    let wire = stage.door().connect().await.unwrap();
    let (mut read, mut write) = tokio::io::split(wire.into_stream());
    let sending = tokio::spawn(async move {
        let head = head("POST", "/") + "Content-Length: 500000000\r\n\r\n";
        write.write_all(head.as_bytes()).await?;
        loop {
            write.write_all(&[7; 65536]).await?;
        }
        #[expect(unreachable_code, reason = "names the type of the error")]
        std::io::Result::Ok(())
    });
    let mut status = [0; 12];
    read.read_exact(&mut status).await.unwrap();
    assert_eq!(&status, b"HTTP/1.1 504");
    drop(read);
    sending.abort();
}

#[tokio::test]
async fn a_slow_upload_is_no_slow_upstream() {
    let origin = Origin::start();
    let stage = stage(&origin, Limits { response_head: SOON, ..short() }).await;
    let mut wire = stage.door().connect().await.unwrap();
    wire.send(head("POST", "/upload") + "Content-Length: 10\r\n\r\n").await.unwrap();
    let before = Instant::now();
    wire.send_slowly("0123456789", SOON / 3).await.unwrap();
    assert!(before.elapsed() > SOON);
    assert_eq!(wire.response().await.unwrap().status, 200);
}

#[tokio::test]
async fn a_visitor_may_close_its_half_and_still_gets_the_answer() {
    let origin = Origin::start();
    let stage = stage(&origin, short()).await;
    let mut wire = stage.door().connect().await.unwrap();
    wire.send(head("POST", "/slow/500") + "Content-Length: 3\r\n\r\nabc").await.unwrap();
    wire.half_close().await.unwrap();
    assert_eq!(wire.response().await.unwrap().text(), "slow 500\n");
    assert!(wire.read_some().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_visitor_who_has_closed_is_gone_after_a_while() {
    let origin = Origin::start();
    let stage = stage(&origin, Limits { half_closed: SOON, ..short() }).await;
    let mut wire = stage.door().connect().await.unwrap();
    wire.send(head("GET", "/slow/60000") + "\r\n").await.unwrap();
    eventually("it arrives", || origin.counters().seen() == 1).await;
    drop(wire);
    eventually("it is cancelled", || origin.counters().cancelled() == 1).await;
}

#[tokio::test]
async fn a_drain_lets_answers_finish() {
    let origin = Origin::start();
    let stage = stage(&origin, short()).await;
    let mut wire = stage.door().connect().await.unwrap();
    wire.send(head("GET", "/slow/700") + "\r\n").await.unwrap();
    let mut http2 = stage.door2().http2().await.unwrap();
    let second = tokio::spawn(http2.send_request(request2("/slow/700", empty())));
    eventually("both arrive", || origin.counters().seen() == 2).await;
    let tasks = stage.tasks.clone();
    let drained = tokio::spawn(async move { tasks.shutdown(Duration::from_secs(10)).await });
    assert_eq!(wire.response().await.unwrap().text(), "slow 700\n");
    assert!(wire.read_some().await.unwrap().is_empty());
    let body = second.await.unwrap().unwrap().into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body, "slow 700\n");
    let ended = drained.await.unwrap();
    assert!(ended.in_time && ended.panic.is_none(), "{ended:?}");
}

#[tokio::test]
async fn a_drain_does_not_wait_for_what_has_no_end() {
    let origin = Origin::start();
    let stage = stage(&origin, Limits::default()).await;
    let (_socket, _) = stage.door().websocket("/ws", &[]).await.unwrap();
    let mut events = stage.door().connect().await.unwrap();
    events.send(head("GET", "/sse?count=1000&interval=100") + "\r\n").await.unwrap();
    events.head().await.unwrap();
    let mut http2 = stage.door2().http2().await.unwrap();
    let request = request2("/sse?count=1000&interval=100", empty());
    let _events2 = http2.send_request(request).await.unwrap();
    let drained =
        tokio::time::timeout(Duration::from_secs(10), stage.tasks.shutdown(Duration::from_secs(60)));
    assert!(drained.await.is_ok_and(|ended| ended.in_time));
}
