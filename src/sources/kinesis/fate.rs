//! Why a run must end, in words that say what to do. No I/O here.

use super::cursor::Breach;
use crate::kinesis::{Fault, Kind};
use crate::position::Position;
use crate::sources::SourceError;

/// What can be done about a stream that is not the one that was read.
const MEND: &str = "Restore the stream, or read the new one into other [tables]";

/// A call that no waiting mends.
pub(super) fn of_fault(name: &str, fault: &Fault) -> SourceError {
    match (fault.kind, fault.call) {
        (Kind::Missing, _) => SourceError::Changed {
            partition: name.to_owned(),
            what: format!(
                "it is not there any more ({fault}): the stream was deleted, or the shard has expired. {MEND}"
            ),
        },
        (Kind::Refused, "GetShardIterator") => SourceError::Changed {
            partition: name.to_owned(),
            what: format!("Kinesis rejects the position of the last record that was read ({fault}). {MEND}"),
        },
        _ => SourceError::Unusable(format!("read {name}: {fault}{}", fault.mend())),
    }
}

/// A record that is not what it was, or cannot be handled.
pub(super) fn of_breach(name: &str, breach: &Breach) -> SourceError {
    match breach {
        Breach::Gap { from, to } => lost(name, *from, *to),
        Breach::Other { position } => SourceError::Changed {
            partition: name.to_owned(),
            what: format!("record {position} is another one than when it was read: the stream was re-created. {MEND}"),
        },
        Breach::Unreadable(number) => SourceError::Unusable(format!(
            "read {name}: {number:?} is not a sequence number, or it has more than {} digits, which a position cannot store",
            Position::DIGITS
        )),
    }
}

/// Records that may have expired before they were read.
pub(super) fn lost(name: &str, from: Position, to: Position) -> SourceError {
    SourceError::Lost {
        partition: name.to_owned(),
        from,
        to,
        what: format!(
            "the record before them has expired, and it was read so long ago that others may have expired since. Let the \
             stream keep records for longer; to go on without these, start once with --accept-loss {name}:{from}-{to}"
        ),
    }
}

/// The stream is gone.
pub(super) fn gone(stream: &str) -> SourceError {
    SourceError::Changed {
        partition: format!("kinesis/{stream}"),
        what: format!("the stream, of which records were read, was deleted. {MEND}"),
    }
}

/// The stream is another one than was read.
pub(super) fn another(stream: &str, was: &str, is: &str) -> SourceError {
    SourceError::Changed {
        partition: format!("kinesis/{stream}"),
        what: format!(
            "the tables hold rows of stream {was}, and this is {is}: it was re-created, or region, account or endpoint \
             are others. {MEND}"
        ),
    }
}
