//! The messages of forming, as bytes: frames of a length and a body.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::settings::PROCESSES_MAX;

/// The bytes of a frame before the peer has proved who it is, at most.
pub(crate) const HELLO_BYTES_MAX: usize = 512;

/// The bytes of a frame after that, at most: a `Form` with the nonces of all processes.
pub(crate) const MESSAGE_BYTES_MAX: usize = 64 + 16 * PROCESSES_MAX;

/// The bytes of the length that precedes a frame.
pub(crate) const LENGTH_BYTES: usize = 2;

/// A random number that is used once.
pub(crate) type Nonce = u128;

/// What processes say to each other once they are linked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum FormingMessage {
    /// The leader: all are here. This is the generation, and these are the boot nonces of all processes.
    Form {
        /// The generation that the leader drew.
        generation: u128,
        /// The boot nonce of each process.
        boots: Vec<Nonce>,
    },
    /// A follower: it is linked to all others.
    Formed {
        /// The generation of the `Form`.
        generation: u128,
    },
    /// The leader: all have said `Formed`.
    Go {
        /// The generation of the `Form`.
        generation: u128,
    },
}

const FORM: u8 = 1;
const FORMED: u8 = 2;
const GO: u8 = 3;

impl FormingMessage {
    /// The body of the frame.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let (kind, generation, boots): (u8, u128, &[Nonce]) = match self {
            FormingMessage::Form { generation, boots } => (FORM, *generation, boots),
            FormingMessage::Formed { generation } => (FORMED, *generation, &[]),
            FormingMessage::Go { generation } => (GO, *generation, &[]),
        };
        let mut body = vec![kind];
        body.extend_from_slice(&generation.to_be_bytes());
        boots.iter().for_each(|boot| body.extend_from_slice(&boot.to_be_bytes()));
        body
    }

    /// Reads the body of a frame.
    pub(crate) fn decode(body: &[u8]) -> Option<FormingMessage> {
        let (kind, rest) = body.split_first()?;
        let (numbers, remainder) = rest.as_chunks::<16>();
        let numbers: Vec<u128> = numbers.iter().map(|bytes| u128::from_be_bytes(*bytes)).collect();
        let (generation, boots) = numbers.split_first()?;
        let generation = *generation;
        match (*kind, boots.is_empty(), remainder.is_empty()) {
            (FORM, false, true) => Some(FormingMessage::Form { generation, boots: boots.to_vec() }),
            (FORMED, true, true) => Some(FormingMessage::Formed { generation }),
            (GO, true, true) => Some(FormingMessage::Go { generation }),
            _ => None,
        }
    }
}

/// Writes a frame in one piece.
pub(crate) async fn write_frame<S: AsyncWrite + Unpin>(stream: &mut S, body: &[u8]) -> io::Result<()> {
    let length = u16::try_from(body.len()).map_err(|_| io::Error::other("a message is too long"))?;
    let mut frame = Vec::with_capacity(LENGTH_BYTES + body.len());
    frame.extend_from_slice(&length.to_be_bytes());
    frame.extend_from_slice(body);
    stream.write_all(&frame).await?;
    stream.flush().await
}

/// Reads a frame, and not a byte of what follows it. Cancelling keeps what was read so far.
#[derive(Default)]
pub(crate) struct FrameReader {
    bytes: Vec<u8>,
}

impl FrameReader {
    /// Whether no byte of a next frame has been read.
    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Reads one frame with a body of at most this many bytes.
    pub(crate) async fn read<S: AsyncRead + Unpin>(&mut self, stream: &mut S, bytes_max: usize) -> io::Result<Vec<u8>> {
        loop {
            let target = match self.bytes.get(..LENGTH_BYTES) {
                None => LENGTH_BYTES,
                Some(length) => {
                    let length = length.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte));
                    if length == 0 || length > bytes_max {
                        return Err(io::Error::new(io::ErrorKind::InvalidData, "these are no messages of pinflow"));
                    }
                    LENGTH_BYTES + length
                }
            };
            if self.bytes.len() == target && target > LENGTH_BYTES {
                return Ok(std::mem::take(&mut self.bytes).split_off(LENGTH_BYTES));
            }
            // `read` loses nothing when it is cancelled, unlike `read_exact`.
            let mut piece = [0; HELLO_BYTES_MAX];
            let wanted = (target - self.bytes.len()).min(piece.len());
            match stream.read(&mut piece[..wanted]).await? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                read => self.bytes.extend_from_slice(&piece[..read]),
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn message_is_the_same_after_encoding() {
        for message in [
            FormingMessage::Form { generation: 7, boots: vec![1, u128::MAX, 3] },
            FormingMessage::Formed { generation: u128::MAX },
            FormingMessage::Go { generation: 0 },
        ] {
            assert_eq!(FormingMessage::decode(&message.encode()), Some(message));
        }
        let largest = FormingMessage::Form { generation: 7, boots: vec![1; PROCESSES_MAX] };
        assert!(largest.encode().len() <= MESSAGE_BYTES_MAX);
    }

    proptest! {
        #[test]
        fn any_bytes_are_decoded_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            if let Some(message) = FormingMessage::decode(&bytes) {
                prop_assert_eq!(message.encode(), bytes);
            }
        }
    }

    #[tokio::test]
    async fn frame_reader_takes_no_byte_of_what_follows() {
        let mut bytes = Vec::new();
        write_frame(&mut bytes, b"one").await.unwrap();
        bytes.extend_from_slice(b"rest");
        let mut stream = bytes.as_slice();
        assert_eq!(FrameReader::default().read(&mut stream, 3).await.unwrap(), b"one");
        assert_eq!(stream, b"rest");
    }

    #[tokio::test]
    async fn frame_that_is_too_long_or_empty_or_cut_is_an_error() {
        for bytes in [&b"\0\x04four"[..], b"\0\0", b"GET / HTTP/1.1\r\n", b"\0\x03on", b""] {
            assert!(FrameReader::default().read(&mut &*bytes, 3).await.is_err(), "{bytes:?}");
        }
    }
}
