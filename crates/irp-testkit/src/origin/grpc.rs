//! A gRPC echo, as "gRPC over HTTP2" describes it, without a schema: messages are bytes.

use std::{collections::VecDeque, convert::Infallible, io, net::SocketAddr, sync::Arc};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use futures_util::stream;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, header};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};

use super::{
    body::{AnyBody, Watched, nothing},
    counters::{Counters, Visit},
    server::{Bind, Server},
};

/// The service's path; its methods are `Unary`, `Stream`, `Fail` and `FailLate`.
pub const GRPC_ECHO: &str = "/irp.test.Echo";

/// A gRPC server over HTTP/2 without TLS.
///
/// - `/irp.test.Echo/Unary` sends the one message back, then `grpc-status: 0`;
/// - `/irp.test.Echo/Stream` sends each message back as it comes, `grpc-status: 0` after the last;
/// - `/irp.test.Echo/Fail` answers with `grpc-status: 5` and nothing else ("trailers only");
/// - `/irp.test.Echo/FailLate` sends one message back, then the trailers `grpc-status: 13`;
/// - any other method is `grpc-status: 12`, trailers only.
///
/// The header field `x-echo` of the request, if any, comes back as header and as trailer.
#[derive(Debug)]
pub struct GrpcOrigin {
    server: Server,
    counters: Arc<Counters>,
}

impl GrpcOrigin {
    /// Starts one on a free port.
    #[must_use]
    pub fn start() -> Self {
        let counters = Arc::new(Counters::default());
        let shared = counters.clone();
        let server = Server::start(Bind::default(), move |socket| {
            let counters = shared.clone();
            counters.connected();
            async move {
                let service = service_fn(move |request: Request<Incoming>| {
                    let visit = Visit::begin(&counters, request.headers());
                    let counters = counters.clone();
                    async move {
                        Ok::<_, Infallible>(answer(request, counters).map(|body| Watched::new(body, visit)))
                    }
                });
                // How a connection ends is for the counters to tell.
                let _ = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                    .timer(TokioTimer::new())
                    .max_concurrent_streams(4096)
                    .serve_connection(TokioIo::new(socket), service)
                    .await;
            }
        })
        .unwrap();
        Self { server, counters }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// What it has seen so far.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.counters
    }
}

/// Puts the gRPC prefix before `payload`: one byte "not compressed", four bytes of length.
///
/// # Panics
///
/// When the payload has 4 GiB or more.
#[must_use]
pub fn message(payload: &[u8]) -> Bytes {
    let mut framed = BytesMut::with_capacity(5 + payload.len());
    framed.put_u8(0);
    framed.put_u32(payload.len().try_into().unwrap());
    framed.put_slice(payload);
    framed.freeze()
}

/// Takes gRPC messages out of a body as it arrives.
#[derive(Debug, Default)]
pub struct Messages {
    buffer: BytesMut,
}

impl Messages {
    /// Adds what arrived.
    pub fn feed(&mut self, data: &[u8]) {
        self.buffer.extend_from_slice(data);
    }

    /// The payload of the next message, once all of it is here.
    ///
    /// # Panics
    ///
    /// When the message says that it is compressed: nobody here compresses.
    pub fn take(&mut self) -> Option<Bytes> {
        let length = u32::from_be_bytes(self.buffer.get(1..5)?.try_into().unwrap()) as usize;
        if self.buffer.len() < 5 + length {
            return None;
        }
        assert_eq!(self.buffer[0], 0, "a compressed message");
        self.buffer.advance(5);
        Some(self.buffer.split_to(length).freeze())
    }
}

fn answer(request: Request<Incoming>, counters: Arc<Counters>) -> Response<AnyBody> {
    let echo = request.headers().get("x-echo").cloned();
    let (limit, status) = match request.uri().path().strip_prefix(GRPC_ECHO).unwrap_or_default() {
        "/Unary" => (1, 0),
        "/Stream" => (u64::MAX, 0),
        "/FailLate" => (1, 13),
        "/Fail" => return trailers_only(5),
        _ => return trailers_only(12),
    };
    let mut trailers = HeaderMap::new();
    trailers.insert(GRPC_STATUS, status.into());
    if let Some(value) = &echo {
        trailers.insert("x-echo-trailer", value.clone());
    }
    let body = Echoing {
        body: request.into_body(),
        messages: Messages::default(),
        ready: VecDeque::new(),
        left: limit,
        trailers: Some(trailers),
        counters,
    };
    let frames = stream::unfold(body, |mut body| async move { Some((body.frame().await?, body)) });
    let mut response = Response::new(StreamBody::new(frames).boxed_unsync());
    response.headers_mut().insert(header::CONTENT_TYPE, GRPC);
    if let Some(value) = echo {
        response.headers_mut().insert("x-echo", value);
    }
    response
}

const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");
const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");

fn trailers_only(status: u16) -> Response<AnyBody> {
    let mut response = Response::new(nothing());
    response.headers_mut().insert(header::CONTENT_TYPE, GRPC);
    response.headers_mut().insert(GRPC_STATUS, status.into());
    response.headers_mut().insert("grpc-message", HeaderValue::from_static("as told"));
    response
}

struct Echoing {
    body: Incoming,
    messages: Messages,
    ready: VecDeque<Bytes>,
    left: u64,
    trailers: Option<HeaderMap>,
    counters: Arc<Counters>,
}

impl Echoing {
    async fn frame(&mut self) -> Option<io::Result<Frame<Bytes>>> {
        loop {
            if let Some(payload) = self.ready.pop_front() {
                return Some(Ok(Frame::data(message(&payload))));
            }
            match self.body.frame().await {
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.counters.took(data.len());
                        self.messages.feed(&data);
                    }
                    while let Some(payload) = self.messages.take() {
                        if self.left > 0 {
                            self.left -= 1;
                            self.ready.push_back(payload);
                        }
                    }
                }
                Some(Err(error)) => return Some(Err(io::Error::other(error))),
                None => return Some(Ok(Frame::trailers(self.trailers.take()?))),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::visitor::{Door, open_body};

    fn call(method: &str, body: AnyBody) -> Request<AnyBody> {
        Request::post(format!("http://grpc.localhost{GRPC_ECHO}/{method}"))
            .header(header::CONTENT_TYPE, "application/grpc")
            .header(header::TE, "trailers")
            .header("x-echo", "yes")
            .body(body)
            .unwrap()
    }

    #[tokio::test]
    async fn each_message_of_a_stream_comes_back_before_the_next_is_sent() {
        let origin = GrpcOrigin::start();
        let mut http2 = Door::plain(origin.address()).http2().await.unwrap();
        let (sender, body) = open_body();
        let mut response = http2.send_request(call("Stream", body)).await.unwrap();
        assert_eq!(response.headers()["x-echo"], "yes");
        let mut messages = Messages::default();
        for number in 0..3_u8 {
            sender.send(Ok(Frame::data(message(&[number])))).await.unwrap();
            while !matches!(messages.take(), Some(payload) if payload[..] == [number]) {
                messages.feed(response.body_mut().frame().await.unwrap().unwrap().data_ref().unwrap());
            }
        }
        drop(sender);
        let trailers = response.body_mut().frame().await.unwrap().unwrap().into_trailers().unwrap();
        assert_eq!(trailers["grpc-status"], "0");
        assert_eq!(trailers["x-echo-trailer"], "yes");
        assert_eq!(origin.counters().finished(), 1);
    }

    #[tokio::test]
    async fn failures_come_as_trailers_only_or_after_a_message() {
        let origin = GrpcOrigin::start();
        let mut http2 = Door::plain(origin.address()).http2().await.unwrap();
        for (method, status) in [("Fail", "5"), ("Unknown", "12")] {
            let response = http2.send_request(call(method, nothing())).await.unwrap();
            assert_eq!(response.headers()["grpc-status"], status);
            assert!(http_body::Body::is_end_stream(response.body()), "{method} is trailers only");
        }
        let response =
            http2.send_request(call("FailLate", super::super::whole(message(b"x")))).await.unwrap();
        let body = response.into_body().collect().await.unwrap();
        assert_eq!(body.trailers().unwrap()["grpc-status"], "13");
        assert_eq!(body.to_bytes(), message(b"x"));
    }
}
