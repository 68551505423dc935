//! Errors that end a run, with what to do about each. No I/O.

use super::cursor::ContinuityError;
use crate::{KinesisError, KinesisErrorKind};
use pinflow_connect::source::SourceError;
use pinflow_core::position::Position;

/// How to proceed if the stream is not the one that was read.
const CHANGED_STREAM_HINT: &str = "Restore the stream, or read the new one into other [tables]";

/// The error for a call that a retry cannot fix.
pub(super) fn call_error(name: &str, error: &KinesisError) -> SourceError {
    match (error.kind, error.call) {
        (KinesisErrorKind::Missing, _) => SourceError::Changed {
            partition: name.to_owned(),
            what: format!(
                "it no longer exists ({error}): the stream was deleted, or the shard has expired. {CHANGED_STREAM_HINT}"
            ),
        },
        (KinesisErrorKind::Refused, "GetShardIterator") => SourceError::Changed {
            partition: name.to_owned(),
            what: format!(
                "Kinesis rejects the position of the last record that was read ({error}). {CHANGED_STREAM_HINT}"
            ),
        },
        _ => SourceError::Unusable(format!("read {name}: {error}{}", error.hint())),
    }
}

/// The error for records that do not continue what was read.
pub(super) fn continuity_error(name: &str, error: &ContinuityError) -> SourceError {
    match error {
        ContinuityError::Gap { from, to } => lost_error(name, *from, *to),
        ContinuityError::DifferentRecord { position } => SourceError::Changed {
            partition: name.to_owned(),
            what: format!(
                "record {position} is not the one that was read: the stream was re-created. {CHANGED_STREAM_HINT}"
            ),
        },
        ContinuityError::BadSequenceNumber(number) => SourceError::Unusable(format!(
            "read {name}: {number:?} is not a sequence number, or it has more than {} digits, which a position cannot store",
            Position::DIGITS
        )),
    }
}

/// The error for records that may have expired before they were read.
pub(super) fn lost_error(name: &str, from: Position, to: Position) -> SourceError {
    SourceError::Lost {
        partition: name.to_owned(),
        from,
        to,
        what: format!(
            "the last record that was read has expired, so later ones may have expired unread. Increase the \
             stream's retention. To continue without them, start once with --accept-loss {name}:{from}-{to}"
        ),
    }
}

/// The error for a stream that was deleted.
pub(super) fn deleted_error(stream: &str) -> SourceError {
    SourceError::Changed {
        partition: format!("kinesis/{stream}"),
        what: format!("the stream was deleted after records of it were read. {CHANGED_STREAM_HINT}"),
    }
}

/// The error for a stream that is not the one that was read.
pub(super) fn different_stream_error(stream: &str, was: &str, is: &str) -> SourceError {
    SourceError::Changed {
        partition: format!("kinesis/{stream}"),
        what: format!(
            "the tables hold rows of stream {was}, but this is {is}: it was re-created, or region, account or endpoint \
             have changed. {CHANGED_STREAM_HINT}"
        ),
    }
}
