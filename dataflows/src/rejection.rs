//! Rejections: why a row is not in its table.

use serde::{Deserialize, Serialize};

/// The detail of a rejected element of an array. Its payload is the element, so as a message of its own it could be a row.
pub const ARRAY_ELEMENT_DETAIL: &str = "an element that is no object with `value`";
/// The end of the detail of an element of an array that is not JSON.
pub const ELEMENT_ERROR_SUFFIX: &str = " of its element";

/// The closed list of reasons. A rejected row is not dropped: its bytes are stored in the table `rejected`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum RejectionReason {
    /// The bytes are not UTF-8.
    NotUtf8,
    /// The text is not JSON.
    NotJson,
    /// More bytes follow the JSON value.
    TrailingBytes,
    /// JSON, but not an object where a row is expected.
    NotAnObject,
    /// More bytes than a message may have.
    TooLarge,
    /// Deeper nesting than a message may have.
    TooDeep,
    /// More rows than a message may have.
    TooManyRows,
    /// Neither `ind` nor `index`.
    NoKey,
    /// The key is not a whole number in 0…2^63−1.
    BadKey,
    /// A row of another stream, or one that does not identify its stream.
    WrongStream,
    /// A field of a wrong JSON type.
    WrongType,
    /// The same key twice with different values.
    DuplicateField,
    /// A null payload.
    Tombstone,
}

impl RejectionReason {
    /// All reasons, in the order of the specification.
    pub const ALL: [RejectionReason; 13] = [
        RejectionReason::NotUtf8,
        RejectionReason::NotJson,
        RejectionReason::TrailingBytes,
        RejectionReason::NotAnObject,
        RejectionReason::TooLarge,
        RejectionReason::TooDeep,
        RejectionReason::TooManyRows,
        RejectionReason::NoKey,
        RejectionReason::BadKey,
        RejectionReason::WrongStream,
        RejectionReason::WrongType,
        RejectionReason::DuplicateField,
        RejectionReason::Tombstone,
    ];

    /// The name in the column `reason`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            RejectionReason::NotUtf8 => "not_utf8",
            RejectionReason::NotJson => "not_json",
            RejectionReason::TrailingBytes => "trailing_bytes",
            RejectionReason::NotAnObject => "not_an_object",
            RejectionReason::TooLarge => "too_large",
            RejectionReason::TooDeep => "too_deep",
            RejectionReason::TooManyRows => "too_many_rows",
            RejectionReason::NoKey => "no_key",
            RejectionReason::BadKey => "bad_key",
            RejectionReason::WrongStream => "wrong_stream",
            RejectionReason::WrongType => "wrong_type",
            RejectionReason::DuplicateField => "duplicate_field",
            RejectionReason::Tombstone => "tombstone",
        }
    }
}

impl std::fmt::Display for RejectionReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// A rejection: the reason, and the detail that a person needs to find the error.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}: {detail}")]
pub struct Rejection {
    /// The reason.
    pub reason: RejectionReason,
    /// The error in words, with its field or byte offset.
    pub detail: String,
}
