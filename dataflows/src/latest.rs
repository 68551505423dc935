//! latest.
