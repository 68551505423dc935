//! Why a message was refused.

/// The closed list of reasons. A rejection keeps one row out of its table and puts its bytes into
/// `rejected`; it never drops it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RejectionReason {
    /// The bytes are not UTF-8.
    NotUtf8,
    /// The text is not JSON.
    NotJson,
    /// Something follows the JSON value.
    TrailingBytes,
    /// JSON, but no object where a row must stand.
    NotAnObject,
    /// More bytes than a message may have.
    TooLarge,
    /// Nested deeper than a message may be.
    TooDeep,
    /// More rows than one message may hold.
    TooManyRows,
    /// Neither `ind` nor `index`.
    NoKey,
    /// The key is not a whole number in 0…2^63−1.
    BadKey,
    /// A row of another stream, or of none that can be told.
    WrongStream,
    /// A field whose JSON type cannot be read.
    WrongType,
    /// The same key twice with different values.
    DuplicateField,
    /// A null payload.
    Tombstone,
}

impl RejectionReason {
    /// Every reason, in the order of the contract.
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

    /// The name, as the `reason` column holds it.
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

/// A refusal: the reason, and what a person needs to find the fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}: {detail}")]
pub struct Rejection {
    /// Which of the closed list.
    pub reason: RejectionReason,
    /// The fault in words, with the field or the byte where it stands.
    pub detail: String,
}
