//! What `pinflow check` has to say of the things that it looks at.

/// Something that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// It is as it must be.
    Well(String),
    /// It works, and is risky.
    Risk(String),
    /// It does not work; with the mend.
    Fault(String),
}
