//! Writes the records of a message.

use hashbrown::HashMap;

use crate::hash::KeyedState;
use crate::record::Position;
use crate::symbol::Symbol;

/// Messages are padded to a multiple of this many bytes.
pub(super) const MESSAGE_ALIGNMENT: usize = 8;

/// Writes the records of one message after another. Its buffers are reused.
#[derive(Debug, Default)]
pub(crate) struct MessageWriter {
    records: Vec<u8>,
    record_count: usize,
    /// The last epoch that was written.
    epoch: u64,
    sources: TextTable,
    /// By source: the arrival time and the position of the last version.
    last: Vec<VersionBase>,
    texts: TextTable,
}

/// What versions of a source are written relative to: the last one before.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct VersionBase {
    pub(super) arrived_at: i64,
    pub(super) position: u64,
}

/// How many texts are found without a lookup in the map: most are frequent, such as categories.
const RECENT_TEXTS: usize = 256;

/// The texts of a message, each once.
#[derive(Debug)]
struct TextTable {
    indices: HashMap<Symbol, u32, KeyedState>,
    /// By the number of the symbol: a text of this message with its index.
    recent: [Option<(Symbol, u32)>; RECENT_TEXTS],
    lengths: Vec<u8>,
    bytes: Vec<u8>,
}

impl Default for TextTable {
    fn default() -> TextTable {
        TextTable { indices: HashMap::default(), recent: [None; RECENT_TEXTS], lengths: Vec::new(), bytes: Vec::new() }
    }
}

impl TextTable {
    /// The index of a text, from 0.
    #[inline]
    fn index_of(&mut self, symbol: Symbol) -> u32 {
        let slot = symbol.number() as usize % RECENT_TEXTS;
        match self.recent[slot] {
            Some((recent, index)) if recent == symbol => index,
            _ => {
                let TextTable { indices, lengths, bytes, .. } = self;
                let next = indices.len() as u32;
                let index = *indices.entry(symbol).or_insert_with(|| {
                    let text = symbol.text();
                    push_number(lengths, text.len() as u64);
                    bytes.extend_from_slice(text.as_bytes());
                    next
                });
                self.recent[slot] = Some((symbol, index));
                index
            }
        }
    }

    fn clear(&mut self) {
        self.indices.clear();
        self.recent.fill(None);
        self.lengths.clear();
        self.bytes.clear();
    }
}

/// Appends a number in LEB128.
#[inline]
fn push_number(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

impl MessageWriter {
    /// Writes a number: small ones take few bytes.
    #[inline]
    pub(crate) fn write_number(&mut self, number: u64) {
        push_number(&mut self.records, number);
    }

    /// Writes a number with a sign: those near zero take few bytes.
    #[inline]
    pub(crate) fn write_signed(&mut self, number: i64) {
        self.write_number((number << 1 ^ number >> 63).cast_unsigned());
    }

    /// Writes the bits of a number, which are all equally likely.
    pub(crate) fn write_bits(&mut self, bits: u64) {
        self.records.extend_from_slice(&bits.to_le_bytes());
    }

    /// Writes one byte.
    #[inline]
    pub(crate) fn write_byte(&mut self, byte: u8) {
        self.records.push(byte);
    }

    /// Writes a text where it is. Texts that are symbols are better written as such.
    pub(crate) fn write_text(&mut self, text: &str) {
        self.write_number(text.len() as u64);
        self.records.extend_from_slice(text.as_bytes());
    }

    /// Writes a text by its symbol: once in a message.
    #[inline]
    pub(crate) fn write_symbol(&mut self, symbol: Option<Symbol>) {
        let index = symbol.map_or(0, |symbol| u64::from(self.texts.index_of(symbol)) + 1);
        self.write_number(index);
    }

    /// Writes a version: the source by its index, time and position relative to the last version of that source.
    pub(crate) fn write_version(&mut self, arrived_at: i64, source: Symbol, position: Position, sub: u32) {
        let index = self.sources.index_of(source);
        self.write_number(index.into());
        let at = index as usize;
        if self.last.len() <= at {
            self.last.resize(at + 1, VersionBase::default());
        }
        let base = self.last[at];
        self.write_signed(arrived_at.wrapping_sub(base.arrived_at));
        let [high, middle, low] = position.words();
        self.write_signed(low.wrapping_sub(base.position).cast_signed());
        // Most positions have 64 bits and most messages have one row: one byte says both.
        let is_wide = u64::from(high != 0 || middle != 0);
        self.write_number(u64::from(sub) << 1 | is_wide);
        if is_wide == 1 {
            self.write_number(high);
            self.write_bits(middle);
        }
        self.last[at] = VersionBase { arrived_at, position: low };
    }

    /// Writes an epoch: neighbours mostly have the same.
    #[inline]
    pub(crate) fn write_epoch(&mut self, epoch: u64) {
        self.write_signed(epoch.wrapping_sub(self.epoch).cast_signed());
        self.epoch = epoch;
    }

    /// Counts a record that was written.
    #[inline]
    pub(super) fn count_record(&mut self) {
        self.record_count += 1;
    }

    /// Appends the message to `into`, and begins the next one.
    pub(super) fn finish_message(&mut self, into: &mut Vec<u8>) {
        let start = into.len();
        let MessageWriter { records, record_count, epoch, sources, texts, last } = self;
        let text_bytes = sources.bytes.len() + texts.bytes.len();
        into.reserve(text_bytes + sources.lengths.len() + texts.lengths.len() + records.len() + 40);
        push_number(into, *record_count as u64);
        push_number(into, sources.indices.len() as u64);
        push_number(into, texts.indices.len() as u64);
        push_number(into, text_bytes as u64);
        for part in [&sources.lengths, &texts.lengths, &sources.bytes, &texts.bytes, records] {
            into.extend_from_slice(part);
        }
        into.resize(start + (into.len() - start).next_multiple_of(MESSAGE_ALIGNMENT), 0);
        records.clear();
        (*record_count, *epoch) = (0, 0);
        last.clear();
        sources.clear();
        texts.clear();
    }
}
