//! The visitors do what they promise, towards a TLS origin.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{io, time::Duration};

use irp_testkit::{
    authority::Authority,
    origin::{Echoed, Options, Origin},
    patience::eventually,
    visitor::Door,
};

fn tls_origin(authority: &Authority) -> Origin {
    let tls = Some(authority.server(&["alice.localhost"], &["h2", "http/1.1"]));
    Origin::with(Options { tls, ..Options::default() }).unwrap()
}

fn door(origin: &Origin, authority: &Authority) -> Door {
    Door::tls(origin.address(), "alice.localhost", authority.roots())
}

#[tokio::test]
async fn tls_is_checked_and_alpn_chosen() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let origin = tls_origin(&authority);
    let mut wire = door(&origin, &authority).alpn(&["http/1.1"]).connect().await.unwrap();
    assert_eq!(wire.alpn(), Some(b"http/1.1".as_slice()));
    assert!(!wire.certificates().is_empty());
    wire.send("GET / HTTP/1.1\r\nHost: alice.localhost\r\n\r\n").await.unwrap();
    assert_eq!(wire.response().await.unwrap().json::<Echoed>().path, "/");

    assert_eq!(door(&origin, &authority).connect().await.unwrap().alpn(), None);
    assert!(door(&origin, &authority).without_sni().connect().await.is_ok());
    assert!(door(&origin, &stranger).connect().await.is_err());
    let wrong_name = Door::tls(origin.address(), "bob.localhost", authority.roots());
    assert!(wrong_name.connect().await.is_err());
}

#[tokio::test]
async fn a_slow_sender_is_slow_and_still_understood() {
    let authority = Authority::new();
    let origin = tls_origin(&authority);
    let mut wire = door(&origin, &authority).connect().await.unwrap();
    wire.send_slowly("GET /slowly HTTP/1.1\r\nHost: x\r\n\r\n", Duration::from_millis(1)).await.unwrap();
    assert_eq!(wire.response().await.unwrap().json::<Echoed>().path, "/slowly");
}

#[tokio::test]
async fn a_half_closer_is_heard_to_the_end() {
    let authority = Authority::new();
    let origin = tls_origin(&authority);
    let mut wire = door(&origin, &authority).connect().await.unwrap();
    wire.half_close().await.unwrap();
    assert_eq!(wire.rest().await.unwrap(), b"");
}

#[tokio::test]
async fn a_reset_is_seen_as_one() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let wire = Door::plain(listener.local_addr().unwrap()).connect().await.unwrap();
    let (mut accepted, _) = listener.accept().await.unwrap();
    wire.reset().unwrap();
    let error = tokio::io::AsyncReadExt::read_u8(&mut accepted).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn one_who_stops_reading_holds_the_answer_up() {
    let authority = Authority::new();
    let origin = tls_origin(&authority);
    let mut wire = door(&origin, &authority).receive_buffer(8192).connect().await.unwrap();
    wire.send("GET /bytes/100000000 HTTP/1.1\r\nHost: x\r\nx-test-id: stalled\r\n\r\n").await.unwrap();
    eventually("the request", || origin.counters().times("stalled") == 1).await;
    wire.head().await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(origin.counters().in_flight(), 1, "the rest waits for its reader");
    drop(wire);
    eventually("the end", || origin.counters().cancelled() == 1).await;
}

#[tokio::test]
async fn a_visitor_comes_from_the_address_it_was_told() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let door = Door::plain(listener.local_addr().unwrap()).from("127.0.0.9:0".parse().unwrap());
    let (wire, accepted) = tokio::join!(door.connect(), listener.accept());
    assert_eq!(accepted.unwrap().1.ip().to_string(), "127.0.0.9");
    drop(wire.unwrap());
}
