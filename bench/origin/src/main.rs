//! The upstream that stands behind every contestant of the benchmark: small and fast, so that what is
//! measured is the way to it.
//!
//! `bench-origin` binds a free port on both loopback addresses, prints it as one line, and answers
//! HTTP/1.1 until it is killed:
//!
//! - `GET /`: five bytes;
//! - `GET /bytes/N`: N bytes with a `Content-Length`, N below 2⁴⁰;
//! - `PUT` or `POST /upload`: reads the body and answers with its length in bytes;
//! - `GET /slow/MS`: five bytes after MS milliseconds, at most a minute;
//! - `GET /ws`: a WebSocket that echoes.

mod body;
mod websocket;

use std::{convert::Infallible, io::Write, time::Duration};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::{
    Request, Response, StatusCode, body::Incoming, header, server::conn::http1, service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};

use crate::body::Filler;

/// What `/` and `/slow` answer: five bytes.
const HELLO: Bytes = Bytes::from_static(b"hello");

/// The longest `/slow`; a benchmark that waits longer is stuck.
const SLOWEST: Duration = Duration::from_secs(60);

/// The largest `/bytes`: far above what a run moves, and below any overflow.
const MOST_BYTES: u64 = 1 << 40;

/// A pause after a failed accept, so that used-up file descriptors do not become a busy loop.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let port = listener.local_addr()?.port();
    // `localhost` means ::1 first for Caddy and OpenSSH: with nobody there, each of their connections would
    // pay for one refusal. A machine without IPv6 has no ::1, and then nobody tries it.
    if let Ok(second) = TcpListener::bind(("::1", port)).await {
        tokio::spawn(accept(second));
    }
    writeln!(std::io::stdout(), "{port}")?;
    accept(listener).await;
    Ok(())
}

async fn accept(listener: TcpListener) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => drop(tokio::spawn(serve(stream))),
            Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
        }
    }
}

async fn serve(stream: TcpStream) {
    // Without it Nagle and delayed acknowledgements add 40 ms to every contestant alike.
    let _ = stream.set_nodelay(true);
    // A connection that breaks is the visitor's or the contestant's doing, and shows in their figures.
    let _ = http1::Builder::new()
        .timer(TokioTimer::new())
        .serve_connection(TokioIo::new(stream), service_fn(answer))
        .with_upgrades()
        .await;
}

async fn answer(mut request: Request<Incoming>) -> Result<Response<Filler>, Infallible> {
    let path = request.uri().path().to_owned();
    let mut segments = path.split('/').skip(1);
    let response = match (segments.next(), segments.next()) {
        (Some(""), None) => Response::new(Filler::from(HELLO)),
        (Some("bytes"), Some(count)) => match count.parse() {
            Ok(count) if count <= MOST_BYTES => Response::new(Filler::zeros(count)),
            _ => status(StatusCode::BAD_REQUEST),
        },
        (Some("slow"), Some(millis)) => match millis.parse().map(Duration::from_millis) {
            Ok(delay) if delay <= SLOWEST => {
                tokio::time::sleep(delay).await;
                Response::new(Filler::from(HELLO))
            }
            _ => status(StatusCode::BAD_REQUEST),
        },
        (Some("upload"), None) => match count(request.body_mut()).await {
            Ok(count) => Response::new(Filler::from(Bytes::from(count.to_string()))),
            Err(_) => status(StatusCode::BAD_REQUEST),
        },
        (Some("ws"), None) => websocket::accept(&mut request),
        _ => status(StatusCode::NOT_FOUND),
    };
    Ok(response)
}

async fn count(body: &mut Incoming) -> Result<u64, hyper::Error> {
    let mut count = 0;
    while let Some(frame) = body.frame().await {
        count += frame?.data_ref().map_or(0, |data| data.len() as u64);
    }
    Ok(count)
}

/// An answer with no body but a status.
fn status(status: StatusCode) -> Response<Filler> {
    let mut response = Response::new(Filler::from(Bytes::new()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-store"));
    response
}
