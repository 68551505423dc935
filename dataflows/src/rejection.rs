//! Why a message was refused.

/// The closed list of reasons. A rejection keeps one row out of its table and puts its bytes into
/// `rejected`; it never drops it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
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

impl Reason {
    /// Every reason, in the order of the contract.
    pub const ALL: [Reason; 13] = [
        Reason::NotUtf8,
        Reason::NotJson,
        Reason::TrailingBytes,
        Reason::NotAnObject,
        Reason::TooLarge,
        Reason::TooDeep,
        Reason::TooManyRows,
        Reason::NoKey,
        Reason::BadKey,
        Reason::WrongStream,
        Reason::WrongType,
        Reason::DuplicateField,
        Reason::Tombstone,
    ];

    /// The name, as the `reason` column holds it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Reason::NotUtf8 => "not_utf8",
            Reason::NotJson => "not_json",
            Reason::TrailingBytes => "trailing_bytes",
            Reason::NotAnObject => "not_an_object",
            Reason::TooLarge => "too_large",
            Reason::TooDeep => "too_deep",
            Reason::TooManyRows => "too_many_rows",
            Reason::NoKey => "no_key",
            Reason::BadKey => "bad_key",
            Reason::WrongStream => "wrong_stream",
            Reason::WrongType => "wrong_type",
            Reason::DuplicateField => "duplicate_field",
            Reason::Tombstone => "tombstone",
        }
    }
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// A refusal: the reason, and what a person needs to find the fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}: {detail}")]
pub struct Rejection {
    /// Which of the closed list.
    pub reason: Reason,
    /// The fault in words, with the field or the byte where it stands.
    pub detail: String,
}
