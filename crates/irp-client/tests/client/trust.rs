//! Whom the client believes, and how it gets out of a network.

use std::{error::Error as _, fs};

use irp_client::{DialError, Event, Proxy, ProxySettings, RunError};
use irp_testkit::authority::Authority;
use irp_wire::{hello::receive, key::SecretKey, proof::ChannelBinding};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional},
    net::{TcpListener, TcpStream},
};

use crate::edge::{Edge, HOST, Setup, soon};

#[tokio::test]
async fn the_first_contact_is_noted() {
    let edge = Edge::start().await;
    let setup = Setup::new(&edge, "1");
    let file = setup.known_edges();
    let mut client = setup.start();
    let _session = edge.accept_session().await;
    let added = |event| match event {
        Event::KnownEdgeAdded { host, fingerprint } => Some((host, fingerprint)),
        _ => None,
    };
    let identity = edge.identity.public_key();
    assert_eq!(client.event(added).await, (HOST.to_owned(), identity.fingerprint()));
    let noted = fs::read_to_string(file).unwrap();
    assert_eq!(noted, format!("[{HOST}]:{} {identity}\n", edge.address().port()));
}

#[tokio::test]
async fn another_identity_than_the_known_one_ends_the_client_before_it_says_who_it_is() {
    let edge = Edge::start().await;
    let setup = Setup::new(&edge, "1");
    let known = SecretKey::generate().unwrap().public_key();
    setup.know(edge.address().port(), &known);
    let client = setup.start();
    let mut io = edge.accept_tls().await.unwrap();
    let binding = edge.binding(&io);
    assert!(soon(receive(&mut io, &binding, HOST, &edge.identity)).await.is_err());
    let told = client.ended().await.unwrap_err().source().unwrap().to_string();
    for part in [known.fingerprint(), edge.identity.public_key().fingerprint(), "line 1".into()] {
        assert!(told.contains(&part), "{told}");
    }
}

fn intercepted(error: RunError) -> String {
    match error {
        RunError::Connect { source, .. } => match *source {
            DialError::Intercepted(interception) => interception.to_string(),
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_strangers_certificate_is_an_interception_that_names_its_issuer() {
    let edge = Edge::start().await;
    let mut setup = Setup::new(&edge, "1");
    let other = Authority::new();
    setup.config.roots = irp_client::Roots::Only(other.pem_file().to_owned());
    let client = setup.start();
    assert!(edge.accept_tls().await.is_err());
    let told = intercepted(client.ended().await.unwrap_err());
    for part in ["irp test authority", "this network intercepts TLS", "ssh -N -R", HOST] {
        assert!(told.contains(part), "{told}");
    }
}

#[tokio::test]
async fn a_protocol_lost_on_the_way_is_an_interception() {
    for alpn in [&[][..], &["http/1.1"]] {
        let edge = Edge::with_alpn(alpn).await;
        let client = Setup::new(&edge, "1").start();
        let _io = edge.accept_tls().await;
        let told = intercepted(client.ended().await.unwrap_err());
        assert!(told.contains("tunnel protocol") && told.contains("intercepts TLS"), "{told}");
    }
}

#[tokio::test]
async fn a_proof_of_another_session_is_an_interception() {
    let edge = Edge::start().await;
    let client = Setup::new(&edge, "1").start();
    let mut io = edge.accept_tls().await.unwrap();
    let other = ChannelBinding([7; 32]);
    assert!(soon(receive(&mut io, &other, HOST, &edge.identity)).await.is_err());
    let told = intercepted(client.ended().await.unwrap_err());
    assert!(told.contains("end to end"), "{told}");
}

/// A proxy that wants this login; gives its address.
async fn proxy(login: &'static str) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut inside, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(inside.read_u8().await.unwrap());
                }
                let head = String::from_utf8(head).unwrap();
                if !head.contains(&format!("Proxy-Authorization: Basic {login}\r\n")) {
                    inside.write_all(b"HTTP/1.1 407 Login\r\nContent-Length: 0\r\n\r\n").await.unwrap();
                    return;
                }
                let port = head.split_once(' ').unwrap().1.split_once(' ').unwrap().0;
                let port: u16 = port.rsplit_once(':').unwrap().1.parse().unwrap();
                let mut outside = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
                inside.write_all(b"HTTP/1.1 200 Connected\r\n\r\n").await.unwrap();
                let _ = copy_bidirectional(&mut inside, &mut outside).await;
            });
        }
    });
    address
}

fn behind(setup: &mut Setup, proxy: &str) {
    // Loopback names never go through a proxy, so the edge needs another one.
    setup.config.host = "edge.test".parse().unwrap();
    setup.config.connect_to = None;
    let https = Some(proxy.parse::<Proxy>().unwrap());
    setup.config.proxy = ProxySettings { https, ..ProxySettings::default() };
}

#[tokio::test]
async fn a_tunnel_goes_through_a_proxy_with_a_login() {
    let origin = irp_testkit::origin::Origin::start();
    let edge = Edge::named("edge.test", &["irp/1"]).await;
    let mut setup = Setup::new(&edge, &origin.port().to_string());
    let address = proxy("bWU6c2VjcmV0").await;
    behind(&mut setup, &format!("http://me:secret@{address}"));
    let mut client = setup.start();
    let session = edge.accept_session().await;
    let via = |event| match event {
        Event::Connected { via, .. } => Some(via),
        _ => None,
    };
    assert_eq!(client.event(via).await, format!("proxy {address}"));
    assert_eq!(session.get("/").await.status(), 200);
}

#[tokio::test]
async fn a_proxy_that_wants_a_login_says_where_to_put_it() {
    let edge = Edge::named("edge.test", &["irp/1"]).await;
    let mut setup = Setup::new(&edge, "1");
    let address = proxy("bWU6c2VjcmV0").await;
    behind(&mut setup, &address.to_string());
    let error = setup.start().ended().await.unwrap_err();
    let told = error.source().unwrap().source().unwrap().to_string();
    assert!(told.contains("HTTPS_PROXY"), "{told}");
}
