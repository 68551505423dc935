//! A connection between the leader and a follower: messages in order, each with bytes that are not copied into it.
//!
//! ```text
//! frame = length of the message: u32 │ length of the bytes: u32 │ message │ bytes        (little endian)
//! ```
//!
//! Both ends are the same build, and have proved that they know the secret of the cluster.

use std::io;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// How often each end says something, at least, so that the other one knows that it is there.
const HEARTBEAT_INTERVAL_MAX: Duration = Duration::from_secs(1);

/// How often each end says something, if the other one may be silent for this long at most.
pub(super) fn heartbeat_interval(silent_max: Duration) -> Duration {
    HEARTBEAT_INTERVAL_MAX.min(silent_max / 5)
}

/// The size of the lengths of a frame, bytes.
const LENGTHS_BYTES: usize = 8;
/// The most bytes of a part of a frame: more than any block or message has.
const PART_BYTES_MAX: usize = 1 << 30;

/// Writes a message.
pub(super) async fn write_message(
    to: &mut (impl AsyncWrite + Unpin),
    message: &impl Serialize,
    bytes: &[u8],
) -> io::Result<()> {
    let encoded = bincode::serialize(message).map_err(io::Error::other)?;
    let mut head = [0; LENGTHS_BYTES];
    head[..4].copy_from_slice(&part_length(encoded.len())?.to_le_bytes());
    head[4..].copy_from_slice(&part_length(bytes.len())?.to_le_bytes());
    to.write_all(&head).await?;
    to.write_all(&encoded).await?;
    to.write_all(bytes).await
}

fn part_length(length: usize) -> io::Result<u32> {
    let fits = u32::try_from(length).ok().filter(|_| length <= PART_BYTES_MAX);
    fits.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, format!("a message of {length} bytes is too long")))
}

/// Reads the next message. `None`: the other end closed the connection.
pub(super) async fn read_message<M: DeserializeOwned>(
    from: &mut (impl AsyncRead + Unpin),
) -> io::Result<Option<(M, Bytes)>> {
    let mut head = [0; LENGTHS_BYTES];
    let mut filled = 0;
    while filled < LENGTHS_BYTES {
        match from.read(&mut head[filled..]).await? {
            0 if filled == 0 => return Ok(None),
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => filled += read,
        }
    }
    let length = |part: &[u8]| part.iter().rev().fold(0, |length, byte| length << 8 | usize::from(*byte));
    let encoded = read_part(from, length(&head[..4])).await?;
    let bytes = read_part(from, length(&head[4..])).await?;
    let message = bincode::deserialize(&encoded).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    Ok(Some((message, bytes)))
}

async fn read_part(from: &mut (impl AsyncRead + Unpin), length: usize) -> io::Result<Bytes> {
    if length > PART_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("a message claims to have {length} bytes")));
    }
    let mut part = BytesMut::zeroed(length);
    from.read_exact(&mut part).await?;
    Ok(part.freeze())
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read_all(bytes: &[u8]) -> io::Result<Vec<(String, Bytes)>> {
        let (mut from, mut read) = (bytes, Vec::new());
        while let Some(message) = read_message(&mut from).await? {
            read.push(message);
        }
        Ok(read)
    }

    #[tokio::test]
    async fn messages_come_out_as_they_went_in() {
        let sent = [("first", &b""[..]), ("", b"bytes"), ("third \u{e9}", &[7; 100_000])];
        let mut written = Vec::new();
        for (message, bytes) in sent {
            write_message(&mut written, &message, bytes).await.expect("a vector takes all");
        }
        let read = read_all(&written).await.expect("whole messages");
        let expected: Vec<_> =
            sent.iter().map(|(message, bytes)| ((*message).to_owned(), Bytes::from(bytes.to_vec()))).collect();
        assert_eq!(read, expected);
    }

    #[tokio::test]
    async fn cut_and_damaged_messages_are_errors() {
        let mut written = Vec::new();
        write_message(&mut written, &"a message", b"its bytes").await.expect("a vector takes all");
        for cut in 1..written.len() {
            assert!(read_all(&written[..cut]).await.is_err(), "{cut}");
        }
        let mut too_long = written.clone();
        too_long[3] = 0xff;
        assert_eq!(read_all(&too_long).await.expect_err("is refused").kind(), io::ErrorKind::InvalidData);
        let mut other = written.clone();
        // The length of the text within the message.
        other[LENGTHS_BYTES] = 200;
        assert_eq!(read_all(&other).await.expect_err("is refused").kind(), io::ErrorKind::InvalidData);
    }
}
