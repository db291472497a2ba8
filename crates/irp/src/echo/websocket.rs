//! A WebSocket (RFC 6455) that sends back what it gets.
//!
//! An echo needs no library: each frame returns as it came, only without its mask, piece by piece, so that no length
//! costs memory.

use std::{io, time::Duration};

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::{
    body::{Bytes, Incoming},
    upgrade::OnUpgrade,
};
use hyper_util::rt::TokioIo;
use irp_wire::tasks::Tasks;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    time::timeout,
};

/// What RFC 6455, section 1.3, has both sides add to the key.
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// How long the other side may be silent, or take nothing.
const QUIET: Duration = Duration::from_secs(600);

/// How much of a frame is on its way at a time, in bytes.
const PIECE: usize = 16 * 1024;

const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const PONG: u8 = 0xA;

/// Answers a request that wants a WebSocket, and serves it as a task of `tasks`; `None` for any other request.
pub(super) fn accept(request: &mut Request<Incoming>, tasks: &Tasks) -> Option<Response<Full<Bytes>>> {
    let wanted = request.headers().get(header::UPGRADE)?.as_bytes().eq_ignore_ascii_case(b"websocket");
    let key = request.headers().get(header::SEC_WEBSOCKET_KEY).filter(|_| wanted)?.clone();
    let upgrade = hyper::upgrade::on(request);
    let stop = tasks.token().clone();
    tasks.spawn(async move {
        tokio::select! {
            () = stop.cancelled() => {}
            ended = serve(upgrade) => if let Err(error) = ended {
                tracing::debug!(%error, "a WebSocket of the echo application broke");
            },
        }
    });
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept_key(key.as_bytes()));
    Some(response)
}

fn accept_key(key: &[u8]) -> HeaderValue {
    let hash = digest(&SHA1_FOR_LEGACY_USE_ONLY, &[key, GUID.as_bytes()].concat());
    let text = BASE64_STANDARD.encode(hash);
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static(""))
}

async fn serve(upgrade: OnUpgrade) -> io::Result<()> {
    let upgraded = upgrade.await.map_err(io::Error::other)?;
    echo(TokioIo::new(upgraded)).await
}

/// Sends every frame back until one says goodbye.
async fn echo(mut io: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<()> {
    let mut piece = vec![0; PIECE];
    loop {
        let Some(frame) = in_time(head(&mut io)).await? else { return Ok(()) };
        in_time(io.write_all(&frame.answer())).await?;
        let (mut left, mut at) = (frame.length, 0);
        while left > 0 {
            let most = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
            let read = in_time(io.read(&mut piece[..most])).await?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            for byte in &mut piece[..read] {
                *byte ^= frame.mask[at % 4];
                at += 1;
            }
            in_time(io.write_all(&piece[..read])).await?;
            left -= read as u64;
        }
        in_time(io.flush()).await?;
        if frame.opcode() == CLOSE {
            return in_time(io.shutdown()).await;
        }
    }
}

async fn in_time<T>(done: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    timeout(QUIET, done).await.map_err(|_| io::ErrorKind::TimedOut)?
}

/// The head of a frame (RFC 6455, section 5.2).
struct Frame {
    /// FIN, the reserved bits, and the opcode.
    first: u8,
    length: u64,
    mask: [u8; 4],
}

/// Reads the head of the next frame; `None` where the other side has closed.
async fn head(io: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Frame>> {
    let mut first = [0];
    if io.read(&mut first).await? == 0 {
        return Ok(None);
    }
    let second = io.read_u8().await?;
    if second & 0x80 == 0 {
        // Section 5.1: a server that gets a frame without mask closes the connection.
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a frame of a client has no mask"));
    }
    let length = match second & 0x7F {
        126 => u64::from(io.read_u16().await?),
        127 => io.read_u64().await?,
        short => u64::from(short),
    };
    let mut mask = [0; 4];
    io.read_exact(&mut mask).await?;
    Ok(Some(Frame { first: first[0], length, mask }))
}

impl Frame {
    fn opcode(&self) -> u8 {
        self.first & 0x0F
    }

    /// The head under which the payload goes back: the same, without mask. A ping returns as a pong.
    fn answer(&self) -> Vec<u8> {
        let first = if self.opcode() == PING { self.first & 0xF0 | PONG } else { self.first };
        let mut head = vec![first];
        match (u16::try_from(self.length), u8::try_from(self.length)) {
            (_, Ok(short @ ..126)) => head.push(short),
            (Ok(middle), _) => {
                head.push(126);
                head.extend(middle.to_be_bytes());
            }
            _ => {
                head.push(127);
                head.extend(self.length.to_be_bytes());
            }
        }
        head
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_accepted_as_the_rfc_says() {
        // The example of RFC 6455, section 1.3.
        assert_eq!(accept_key(b"dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[tokio::test]
    async fn frames_come_back_without_mask_and_pings_as_pongs() {
        let (mut near, far) = tokio::io::duplex(8);
        let served = tokio::spawn(echo(far));
        let masked = |first: u8, payload: &[u8]| {
            let mut frame = vec![first, 0x80 | u8::try_from(payload.len()).unwrap(), 1, 2, 3, 4];
            frame.extend(payload.iter().zip([1, 2, 3, 4].iter().cycle()).map(|(byte, mask)| byte ^ mask));
            frame
        };
        // A text, the end of one that was cut, a ping, and goodbye.
        for (sent, back) in [(0x81, 0x81), (0x80, 0x80), (0x89, 0x8A), (0x88, 0x88)] {
            let payload = b"\x03\xe8hello";
            near.write_all(&masked(sent, payload)).await.unwrap();
            let mut answer = [0; 9];
            near.read_exact(&mut answer).await.unwrap();
            assert_eq!((answer[0], answer[1], &answer[2..]), (back, 7, &payload[..]));
        }
        assert_eq!(near.read(&mut [0]).await.unwrap(), 0);
        served.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn every_length_has_its_form_and_a_frame_without_mask_is_refused() {
        for (length, head) in [
            (125, vec![0x82, 125]),
            (126, vec![0x82, 126, 0, 126]),
            (65_536, vec![0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
        ] {
            assert_eq!(Frame { first: 0x82, length, mask: [0; 4] }.answer(), head);
            let mut sent = head.clone();
            sent[1] |= 0x80;
            sent.extend([9; 4]);
            let read = super::head(&mut sent.as_slice()).await.unwrap().unwrap();
            assert_eq!((read.first, read.length, read.mask), (0x82, length, [9; 4]));
            assert!(super::head(&mut head.as_slice()).await.is_err());
        }
    }
}
