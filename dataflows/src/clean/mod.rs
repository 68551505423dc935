//! Raw to trusted.
