//! Reads the records of a message.

use crate::record::Position;
use crate::symbol::{Symbol, SymbolBatch};

use super::message_writer::{MESSAGE_ALIGNMENT, VersionBase};

/// Bytes that are no message. The peer that sent them has another build, or is none of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{what} at byte {at} of a message of {length}")]
pub(crate) struct MalformedMessage {
    /// What is wrong.
    what: &'static str,
    /// Where, from 0.
    at: usize,
    /// The length of the message.
    length: usize,
}

/// Reads the records of one message.
#[derive(Debug)]
pub(crate) struct MessageReader<'a> {
    bytes: &'a [u8],
    at: usize,
    /// The last epoch that was read.
    epoch: u64,
    sources: &'a [Symbol],
    last: &'a mut [VersionBase],
    texts: &'a [Symbol],
}

/// What is kept from message to message.
#[derive(Debug, Default)]
pub(super) struct ReaderBuffers {
    batch: SymbolBatch,
    sources: Vec<Symbol>,
    last: Vec<VersionBase>,
    texts: Vec<Symbol>,
}

/// The head of a message.
struct MessageHead {
    records: usize,
    sources: usize,
    texts: usize,
    text_bytes: usize,
}

impl<'a> MessageReader<'a> {
    /// Reads the head and the texts of a message, and passes a reader of its records and their number to `read`. All bytes
    /// must be read then.
    pub(super) fn read_message<T>(
        bytes: &[u8],
        buffers: &mut ReaderBuffers,
        read: impl FnOnce(&mut MessageReader<'_>, usize) -> Result<T, MalformedMessage>,
    ) -> Result<T, MalformedMessage> {
        let mut reader = MessageReader { bytes, at: 0, epoch: 0, sources: &[], last: &mut [], texts: &[] };
        let head = reader.read_head()?;
        reader.read_texts(&head, buffers)?;
        let at = reader.at;
        let ReaderBuffers { sources, last, texts, .. } = buffers;
        let mut reader = MessageReader { bytes, at, epoch: 0, sources, last, texts };
        let records = read(&mut reader, head.records)?;
        let padding = &bytes[reader.at..];
        if padding.len() >= MESSAGE_ALIGNMENT || padding.iter().any(|byte| *byte != 0) {
            return Err(reader.malformed("more than the records"));
        }
        Ok(records)
    }

    fn read_head(&mut self) -> Result<MessageHead, MalformedMessage> {
        // Each record and each text has a byte at least.
        let [records, sources, texts, text_bytes] =
            [self.read_count()?, self.read_count()?, self.read_count()?, self.read_count()?];
        Ok(MessageHead { records, sources, texts, text_bytes })
    }

    /// Reads all texts, and interns them.
    fn read_texts(&mut self, head: &MessageHead, buffers: &mut ReaderBuffers) -> Result<(), MalformedMessage> {
        let (bytes, at) = (self.bytes, self.at);
        let mut lengths = MessageReader { bytes, at, epoch: 0, sources: &[], last: &mut [], texts: &[] };
        for _ in 0..head.sources + head.texts {
            self.read_number()?;
        }
        let mut rest = self.take_text(head.text_bytes)?;
        let mut next_text = || -> Result<&str, MalformedMessage> {
            let length = usize::try_from(lengths.read_number()?).unwrap_or(usize::MAX);
            let (text, after) = rest.split_at_checked(length).ok_or(lengths.malformed("a text that ends elsewhere"))?;
            rest = after;
            Ok(text)
        };
        buffers.sources.clear();
        for _ in 0..head.sources {
            buffers.sources.push(Symbol::new(next_text()?));
        }
        buffers.last.clear();
        buffers.last.resize(head.sources, VersionBase::default());
        buffers.texts.clear();
        buffers.batch.clear();
        for _ in 0..head.texts {
            buffers.batch.push(next_text()?);
        }
        if !rest.is_empty() {
            return Err(self.malformed("more than the texts"));
        }
        buffers.texts.extend(buffers.batch.resolve_all());
        Ok(())
    }

    /// An error at the place that was read last.
    #[must_use]
    pub(crate) fn malformed(&self, what: &'static str) -> MalformedMessage {
        MalformedMessage { what, at: self.at, length: self.bytes.len() }
    }

    /// Reads a number that [`write_number`](super::MessageWriter::write_number) wrote.
    #[inline]
    pub(crate) fn read_number(&mut self) -> Result<u64, MalformedMessage> {
        let (mut number, mut shift) = (0, 0);
        loop {
            let byte = self.read_byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return Err(self.malformed("a number of more than 64 bits"));
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
            shift += 7;
            if shift > 63 {
                return Err(self.malformed("a number of more than 64 bits"));
            }
        }
    }

    /// Reads a number with a sign.
    #[inline]
    pub(crate) fn read_signed(&mut self) -> Result<i64, MalformedMessage> {
        let number = self.read_number()?;
        Ok((number >> 1).cast_signed() ^ -(number & 1).cast_signed())
    }

    /// Reads a number that fits a smaller type.
    #[inline]
    pub(crate) fn read_small<N: TryFrom<u64>>(&mut self) -> Result<N, MalformedMessage> {
        let number = self.read_number()?;
        N::try_from(number).map_err(|_| self.malformed("a number that is too large"))
    }

    /// Reads how many of something follow, each of which has at least one byte.
    pub(crate) fn read_count(&mut self) -> Result<usize, MalformedMessage> {
        let count = self.read_number()?;
        let is_possible = |count: &usize| *count <= self.bytes.len() - self.at;
        usize::try_from(count).ok().filter(is_possible).ok_or(self.malformed("a number of more than can follow"))
    }

    /// Reads the bits of a number.
    pub(crate) fn read_bits(&mut self) -> Result<u64, MalformedMessage> {
        let bytes = self.take_bytes(8)?;
        Ok(bytes.iter().rev().fold(0, |bits, byte| bits << 8 | u64::from(*byte)))
    }

    /// Reads one byte.
    #[inline]
    pub(crate) fn read_byte(&mut self) -> Result<u8, MalformedMessage> {
        let byte = self.bytes.get(self.at).copied().ok_or(self.malformed("an end"))?;
        self.at += 1;
        Ok(byte)
    }

    /// Reads a text that is where it was written.
    pub(crate) fn read_text(&mut self) -> Result<&'a str, MalformedMessage> {
        let length = self.read_count()?;
        self.take_text(length)
    }

    /// Reads a text as a symbol.
    #[inline]
    pub(crate) fn read_symbol(&mut self) -> Result<Option<Symbol>, MalformedMessage> {
        match self.read_number()? {
            0 => Ok(None),
            index => {
                let symbol = usize::try_from(index - 1).ok().and_then(|index| self.texts.get(index));
                symbol.copied().map(Some).ok_or(self.malformed("a text that is not in the message"))
            }
        }
    }

    /// Reads a version: arrival time, source, position and sub-number.
    pub(crate) fn read_version(&mut self) -> Result<(i64, Symbol, Position, u32), MalformedMessage> {
        let index: usize = self.read_small()?;
        let unknown = self.malformed("a source that is not in the message");
        let (source, base) = self.sources.get(index).copied().zip(self.last.get(index).copied()).ok_or(unknown)?;
        let arrived_at = base.arrived_at.wrapping_add(self.read_signed()?);
        let low = base.position.wrapping_add(self.read_signed()?.cast_unsigned());
        let flags = self.read_number()?;
        let sub = u32::try_from(flags >> 1).map_err(|_| self.malformed("a number that is too large"))?;
        let [high, middle] = if flags & 1 == 1 { [self.read_number()?, self.read_bits()?] } else { [0, 0] };
        let position =
            Position::from_words([high, middle, low]).ok_or(self.malformed("a position that is too large"))?;
        self.last[index] = VersionBase { arrived_at, position: low };
        Ok((arrived_at, source, position, sub))
    }

    /// Reads an epoch.
    #[inline]
    pub(crate) fn read_epoch(&mut self) -> Result<u64, MalformedMessage> {
        self.epoch = self.epoch.wrapping_add(self.read_signed()?.cast_unsigned());
        Ok(self.epoch)
    }

    fn take_bytes(&mut self, length: usize) -> Result<&'a [u8], MalformedMessage> {
        let end = self.at.checked_add(length).filter(|end| *end <= self.bytes.len());
        let end = end.ok_or(self.malformed("an end"))?;
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    fn take_text(&mut self, length: usize) -> Result<&'a str, MalformedMessage> {
        let bytes = self.take_bytes(length)?;
        simdutf8::basic::from_utf8(bytes).map_err(|_| self.malformed("texts that are not UTF-8"))
    }
}
