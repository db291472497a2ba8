//! Frames of the hello, read and written with exact lengths.

use serde::{Serialize, de::DeserializeOwned};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::HelloError;

/// The longest frame, with its head, in bytes.
pub const FRAME_MAX: usize = 4096;

const MAGIC: [u8; 4] = *b"irp1";
const HEAD: usize = MAGIC.len() + 2;

/// Writes one message as one frame, in one write.
pub(super) async fn write<M: Serialize>(
    io: &mut (impl AsyncWrite + Unpin),
    message: &M,
) -> Result<(), HelloError> {
    let json = serde_json::to_vec(message).map_err(|error| HelloError::Frame(error.to_string()))?;
    let length = u16::try_from(json.len()).ok().filter(|_| json.len() + HEAD <= FRAME_MAX);
    let length = length.ok_or_else(|| HelloError::Frame("a message is too long".into()))?;
    let mut frame = Vec::with_capacity(HEAD + json.len());
    frame.extend_from_slice(&MAGIC);
    frame.extend_from_slice(&length.to_be_bytes());
    frame.extend_from_slice(&json);
    io.write_all(&frame).await?;
    io.flush().await?;
    Ok(())
}

/// Reads one frame and not a byte more.
pub(super) async fn read<M: DeserializeOwned>(io: &mut (impl AsyncRead + Unpin)) -> Result<M, HelloError> {
    let mut head = [0; HEAD];
    io.read_exact(&mut head).await?;
    let mut json = vec![0; body_length(head)?];
    io.read_exact(&mut json).await?;
    parse(&json)
}

/// Reads a message from the inside of a frame.
///
/// # Errors
///
/// When it is not the JSON of such a message.
pub fn parse<M: DeserializeOwned>(json: &[u8]) -> Result<M, HelloError> {
    serde_json::from_slice(json).map_err(|error| HelloError::Frame(error.to_string()))
}

fn body_length(head: [u8; HEAD]) -> Result<usize, HelloError> {
    let [magic @ .., high, low] = head;
    if magic != MAGIC {
        return Err(HelloError::Frame("the first bytes are not ours".into()));
    }
    let length = usize::from(u16::from_be_bytes([high, low]));
    if length + HEAD > FRAME_MAX {
        return Err(HelloError::Frame(format!("a message of {length} bytes is too long")));
    }
    Ok(length)
}
