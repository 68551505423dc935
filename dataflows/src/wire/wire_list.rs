//! A list of records that crosses as one message.

use std::cell::{Cell, RefCell};
use std::io::Write;

use timely::Accountable;
use timely::bytes::arc::Bytes;
use timely::dataflow::channels::ContainerBytes;

use super::message_reader::ReaderBuffers;
use super::{MalformedMessage, MessageReader, MessageWriter, WireRecord};

/// A list of records that is packed if, and only if, it is sent to another process.
pub(crate) struct WireList<D> {
    pub(super) records: Vec<D>,
    /// The message, once its length was asked for.
    packed: Cell<Option<Vec<u8>>>,
}

impl<D> WireList<D> {
    pub(super) fn new(records: Vec<D>) -> WireList<D> {
        WireList { records, packed: Cell::new(None) }
    }
}

impl<D> Accountable for WireList<D> {
    fn record_count(&self) -> i64 {
        i64::try_from(self.records.len()).expect("a list has fewer than 2^63 records")
    }
}

/// What a thread keeps from message to message.
#[derive(Default)]
struct WireBuffers {
    writer: MessageWriter,
    /// A message that was sent.
    spare: Vec<u8>,
    reader: ReaderBuffers,
}

/// A buffer is kept for reuse if its capacity is at most this many bytes.
const SPARE_BYTES_MAX: usize = 1 << 20;

thread_local! {
    static BUFFERS: RefCell<WireBuffers> = RefCell::default();
}

impl<D: WireRecord> WireList<D> {
    fn pack(&self) -> Vec<u8> {
        self.packed.take().unwrap_or_else(|| {
            BUFFERS.with_borrow_mut(|WireBuffers { writer, spare, .. }| {
                let mut bytes = std::mem::take(spare);
                bytes.clear();
                write_message(&self.records, writer, &mut bytes);
                bytes
            })
        })
    }
}

fn write_message<D: WireRecord>(records: &[D], writer: &mut MessageWriter, bytes: &mut Vec<u8>) {
    for record in records {
        record.write(writer);
        writer.count_record();
    }
    writer.finish_message(bytes);
}

fn read_message<D: WireRecord>(bytes: &[u8], buffers: &mut ReaderBuffers) -> Result<Vec<D>, MalformedMessage> {
    MessageReader::read_message(bytes, buffers, |reader, records| (0..records).map(|_| D::read(reader)).collect())
}

impl<D: WireRecord> ContainerBytes for WireList<D> {
    /// # Panics
    /// If the bytes are no message of such records. They come from a peer that was authenticated.
    fn from_bytes(bytes: Bytes) -> WireList<D> {
        let records = BUFFERS.with_borrow_mut(|buffers| read_message(&bytes, &mut buffers.reader));
        let records = records.unwrap_or_else(|error| {
            panic!(
                "another process of the cluster sent a malformed message: {error}; run the same build in all of them"
            )
        });
        WireList::new(records)
    }

    fn length_in_bytes(&self) -> usize {
        let packed = self.pack();
        let length = packed.len();
        self.packed.set(Some(packed));
        length
    }

    fn into_bytes<W: Write>(&self, writer: &mut W) {
        let packed = self.pack();
        writer.write_all(&packed).expect("there is room for as many bytes as were asked for");
        if packed.capacity() <= SPARE_BYTES_MAX {
            BUFFERS.with_borrow_mut(|buffers| buffers.spare = packed);
        }
    }
}

/// The message of some records.
pub(crate) fn encode_records<D: WireRecord>(records: &[D]) -> Vec<u8> {
    let mut bytes = Vec::new();
    write_message(records, &mut MessageWriter::default(), &mut bytes);
    bytes
}

/// The records of a message.
///
/// # Errors
/// [`MalformedMessage`] if the bytes are no message of such records.
pub(crate) fn decode_records<D: WireRecord>(bytes: &[u8]) -> Result<Vec<D>, MalformedMessage> {
    read_message(bytes, &mut ReaderBuffers::default())
}
