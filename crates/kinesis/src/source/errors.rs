//! Errors that end a run, with what to do about each. No I/O.

use super::cursor::ContinuityError;
use crate::{KinesisError, KinesisErrorKind};
use pinflow_connect::source::SourceError;
use pinflow_core::position::Position;

/// What can be done about a stream that is not the one that was read.
const CHANGED_STREAM_HINT: &str = "Restore the stream, or read the new one into other [tables]";

/// A call that no waiting mends.
pub(super) fn call_error(name: &str, fault: &KinesisError) -> SourceError {
    match (fault.kind, fault.call) {
        (KinesisErrorKind::Missing, _) => SourceError::Changed {
            partition: name.to_owned(),
            what: format!(
                "it no longer exists ({fault}): the stream was deleted, or the shard has expired. {CHANGED_STREAM_HINT}"
            ),
        },
        (KinesisErrorKind::Refused, "GetShardIterator") => SourceError::Changed {
            partition: name.to_owned(),
            what: format!(
                "Kinesis rejects the position of the last record that was read ({fault}). {CHANGED_STREAM_HINT}"
            ),
        },
        _ => SourceError::Unusable(format!("read {name}: {fault}{}", fault.hint())),
    }
}

/// A record that is not what it was, or cannot be handled.
pub(super) fn continuity_error(name: &str, breach: &ContinuityError) -> SourceError {
    match breach {
        ContinuityError::Gap { from, to } => lost_error(name, *from, *to),
        ContinuityError::DifferentRecord { position } => SourceError::Changed {
            partition: name.to_owned(),
            what: format!(
                "record {position} is another one than when it was read: the stream was re-created. {CHANGED_STREAM_HINT}"
            ),
        },
        ContinuityError::BadSequenceNumber(number) => SourceError::Unusable(format!(
            "read {name}: {number:?} is not a sequence number, or it has more than {} digits, which a position cannot store",
            Position::DIGITS
        )),
    }
}

/// Records that may have expired before they were read.
pub(super) fn lost_error(name: &str, from: Position, to: Position) -> SourceError {
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
pub(super) fn deleted_error(stream: &str) -> SourceError {
    SourceError::Changed {
        partition: format!("kinesis/{stream}"),
        what: format!("the stream, of which records were read, was deleted. {CHANGED_STREAM_HINT}"),
    }
}

/// The stream is another one than was read.
pub(super) fn different_stream_error(stream: &str, was: &str, is: &str) -> SourceError {
    SourceError::Changed {
        partition: format!("kinesis/{stream}"),
        what: format!(
            "the tables hold rows of stream {was}, and this is {is}: it was re-created, or region, account or endpoint \
             are others. {CHANGED_STREAM_HINT}"
        ),
    }
}
