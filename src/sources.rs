//! The kinds of sources. A new one is a crate that exports a [`SourceKind`], and a line here.

use pinflow_connect::source::source_kind::SourceKind;

/// Every kind of source, in the order in which errors list them.
pub const SOURCES: &[SourceKind] =
    &[pinflow_files::SOURCE_KIND, pinflow_kafka::source::SOURCE_KIND, pinflow_kinesis::source::SOURCE_KIND];

/// The kind with this name.
#[must_use]
pub fn source_kind(name: &str) -> Option<&'static SourceKind> {
    SOURCES.iter().find(|kind| kind.name == name)
}

/// Guesses the kind of a table without `kind`: the kind with the most identifying keys in the table.
#[must_use]
pub fn identify_kind(has_key: impl Fn(&str) -> bool) -> Option<&'static SourceKind> {
    let keys_of = |kind: &SourceKind| kind.identifying_keys.iter().filter(|key| has_key(key)).count();
    SOURCES.iter().filter(|kind| keys_of(kind) > 0).max_by_key(|kind| keys_of(kind))
}
