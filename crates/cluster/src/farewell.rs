//! Finds timely's farewell in the bytes of a connection, so that an orderly departure can be told from a loss.

/// The bytes of a message's header: six numbers of 8 bytes, big-endian. The fifth is the length of what follows.
const HEADER_BYTES: usize = 48;
const LENGTH_AT: std::ops::Range<usize> = 32..40;

/// Follows the messages of a connection from its first byte.
#[derive(Default)]
pub(crate) struct FarewellDetector {
    /// The bytes of the message's header that are known.
    known: usize,
    length: [u8; 8],
    /// The bytes of the message that are still to come after its header.
    payload: u64,
    found: bool,
}

impl FarewellDetector {
    /// Takes the next bytes of the connection.
    pub(crate) fn observe(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() && !self.found {
            let skipped = bytes.len().min(usize::try_from(self.payload).unwrap_or(usize::MAX));
            self.payload -= skipped as u64;
            bytes = &bytes[skipped..];
            let read = bytes.len().min(HEADER_BYTES - self.known);
            for (at, byte) in (self.known..).zip(&bytes[..read]) {
                if LENGTH_AT.contains(&at) {
                    self.length[at - LENGTH_AT.start] = *byte;
                }
            }
            self.known += read;
            bytes = &bytes[read..];
            if self.known == HEADER_BYTES {
                self.known = 0;
                self.payload = u64::from_be_bytes(self.length);
                self.found = self.payload == 0;
            }
        }
    }

    /// Whether the peer said that nothing follows.
    pub(crate) fn is_found(&self) -> bool {
        self.found
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use timely::communication::networking::MessageHeader;

    fn write_message(payload: usize, into: &mut Vec<u8>) {
        let header =
            MessageHeader { channel: 7, source: 1, target_lower: 0, target_upper: 2, length: payload, seqno: 9 };
        header.write_to(into).unwrap();
        into.extend(std::iter::repeat_n(0, payload));
    }

    proptest! {
        #[test]
        fn farewell_is_found_at_its_last_byte_however_the_bytes_are_cut(
            payloads in prop::collection::vec(1_usize..200, 0..8),
            cut in 1_usize..300,
        ) {
            let mut bytes = Vec::new();
            payloads.iter().for_each(|payload| write_message(*payload, &mut bytes));
            write_message(0, &mut bytes);
            let mut detector = FarewellDetector::default();
            let (last, rest) = bytes.split_last().unwrap();
            rest.chunks(cut).for_each(|chunk| detector.observe(chunk));
            prop_assert!(!detector.is_found());
            detector.observe(&[*last]);
            prop_assert!(detector.is_found());
        }
    }
}
