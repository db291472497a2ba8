//! The WebSocket route of the friendly program.

use futures_util::{SinkExt, StreamExt};
use http::{HeaderValue, Request, Response, StatusCode, header};
use hyper::{body::Incoming, upgrade::OnUpgrade};
use hyper_util::rt::TokioIo;
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Message,
        handshake::derive_accept_key,
        protocol::{CloseFrame, Role, frame::coding::CloseCode},
    },
};

use super::body::{AnyBody, nothing, whole};

/// Answers the handshake; the conversation, if there is to be one, is for the caller to run.
pub(super) fn accept(
    mut request: Request<Incoming>,
) -> (Response<AnyBody>, Option<impl Future<Output = ()> + Send>) {
    let headers = request.headers();
    let upgrade =
        headers.get(header::UPGRADE).is_some_and(|name| name.as_bytes().eq_ignore_ascii_case(b"websocket"));
    let key = headers.get(header::SEC_WEBSOCKET_KEY).filter(|_| upgrade);
    let Some(accept) = key.map(|key| derive_accept_key(key.as_bytes())) else {
        let mut response = Response::new(whole("not a WebSocket handshake\n"));
        *response.status_mut() = StatusCode::UPGRADE_REQUIRED;
        return (response, None);
    };
    let mut response = Response::new(nothing());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let fields = response.headers_mut();
    fields.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    fields.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    fields.insert(header::SEC_WEBSOCKET_ACCEPT, HeaderValue::from_str(&accept).unwrap());
    let first = offered(&request).and_then(|offered| offered.split(',').next());
    if let Some(first) = first {
        fields.insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_str(first.trim()).unwrap());
    }
    (response, Some(converse(hyper::upgrade::on(&mut request))))
}

fn offered(request: &Request<Incoming>) -> Option<&str> {
    request.headers().get(header::SEC_WEBSOCKET_PROTOCOL)?.to_str().ok()
}

async fn converse(upgrade: OnUpgrade) {
    let Ok(stream) = upgrade.await else { return };
    let mut socket = WebSocketStream::from_raw_socket(TokioIo::new(stream), Role::Server, None).await;
    while let Some(Ok(message)) = socket.next().await {
        let answer = match message {
            Message::Text(text) if text.as_str() == "ping" => Message::Ping("irp".into()),
            Message::Text(text) => {
                match text.strip_prefix("close ").and_then(|code| code.parse::<u16>().ok()) {
                    Some(code) => Message::Close(Some(CloseFrame {
                        code: CloseCode::from(code),
                        reason: "as told".into(),
                    })),
                    None => Message::Text(text),
                }
            }
            Message::Binary(bytes) => Message::Binary(bytes),
            // Pongs and the answer to a close are the library's.
            Message::Ping(_) | Message::Pong(_) | Message::Close(_) | Message::Frame(_) => continue,
        };
        if socket.send(answer).await.is_err() {
            return;
        }
    }
}
