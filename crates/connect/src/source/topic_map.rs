//! The topics or streams that a source reads, by the posts that each contains.

use pinflow_dataflows::ingest::StreamHint;
use pinflow_dataflows::record::Stream;
use serde::Deserialize;

use super::ReadShare;
use crate::config_key::{ConfigKey, ValueType};
use pinflow_core::key_problem::KeyProblem;

/// Names of topics or streams, by the posts that they contain.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TopicMap {
    /// Pin posts only.
    pub pin: Option<String>,
    /// Geo posts only.
    pub geo: Option<String>,
    /// User posts only.
    pub user: Option<String>,
    /// Posts of any stream. The fields of each post tell its stream.
    pub auto: Option<String>,
    /// Posts of any stream. The partition key of each post tells its stream. For Kinesis only.
    pub routed: Option<String>,
}

/// The keys of a [`TopicMap`] in a configuration.
pub const NAME_KEYS: &[ConfigKey] = &[
    ConfigKey::optional("pin", ValueType::Text, "\"pin\""),
    ConfigKey::optional("geo", ValueType::Text, "\"geo\""),
    ConfigKey::optional("user", ValueType::Text, "\"user\""),
    ConfigKey::optional("auto", ValueType::Text, "\"posts\""),
    ConfigKey::optional("routed", ValueType::Text, "\"posts\""),
];

/// What the names refer to, and the rules for them.
#[derive(Debug, Clone, Copy)]
pub struct NameKind {
    /// `topic` or `stream`, for messages.
    pub word: &'static str,
    /// The longest allowed name.
    pub name_bytes_max: usize,
    /// Whether `routed` is allowed.
    pub allows_routed: bool,
}

impl TopicMap {
    /// Each name with the posts that it contains.
    #[must_use]
    pub fn list_names(&self) -> Vec<(&str, StreamHint)> {
        let slots = [
            (&self.pin, StreamHint::Only(Stream::Pin)),
            (&self.geo, StreamHint::Only(Stream::Geo)),
            (&self.user, StreamHint::Only(Stream::User)),
            (&self.auto, StreamHint::Auto),
            (&self.routed, StreamHint::Auto),
        ];
        slots.into_iter().filter_map(|(name, stream_hint)| Some((name.as_deref()?, stream_hint))).collect()
    }

    /// The names of which a process reads the whole.
    #[must_use]
    pub fn share_of_whole_names(&self, share: ReadShare) -> TopicMap {
        let keep = |name: &Option<String>| name.clone().filter(|name| share.has_whole(name));
        TopicMap {
            pin: keep(&self.pin),
            geo: keep(&self.geo),
            user: keep(&self.user),
            auto: keep(&self.auto),
            routed: keep(&self.routed),
        }
    }

    /// Each name with its configuration key.
    fn names_by_key(&self) -> Vec<(&'static str, &str)> {
        let slots = [
            ("pin", &self.pin),
            ("geo", &self.geo),
            ("user", &self.user),
            ("auto", &self.auto),
            ("routed", &self.routed),
        ];
        slots.into_iter().filter_map(|(key, name)| Some((key, name.as_deref()?))).collect()
    }

    /// Returns every problem, each with a hint.
    pub fn validate(&self, kind: NameKind) -> Vec<KeyProblem> {
        let NameKind { word, name_bytes_max, allows_routed } = kind;
        let mut problems = Vec::new();
        if self.list_names().is_empty() {
            problems.push(KeyProblem::table(format!(
                "no {word} is configured; write {word}s = {{ pin = \"…\", geo = \"…\", user = \"…\" }} or {{ auto = \"…\" }}"
            )));
        }
        if let (Some(name), false) = (&self.routed, allows_routed) {
            let what = format!(
                "{word} {name:?} cannot be routed, only a Kinesis stream can; use `auto` for a {word} with all posts"
            );
            problems.push(KeyProblem::new("routed", what));
        }
        let plain = |letter: char| letter.is_ascii_alphanumeric() || ['-', '_', '.'].contains(&letter);
        let names = self.names_by_key();
        for (at, (key, name)) in names.iter().enumerate() {
            if !(1..=name_bytes_max).contains(&name.len()) || !name.chars().all(plain) || [".", ".."].contains(name) {
                let what = format!(
                    "{name:?} is not a {word} name; use 1 to {name_bytes_max} letters, digits, `-`, `_` and `.`"
                );
                problems.push(KeyProblem::new(*key, what));
            }
            if let Some((first, _)) = names[..at].iter().find(|(_, other)| other == name) {
                let what =
                    format!("{word} {name:?} is named twice; use `auto` for a {word} with posts of several kinds");
                problems.push(KeyProblem::new(*key, what).conflicts_with(*first));
            }
        }
        problems
    }
}

/// A line for each name that two sources of one kind both read: their rows would have the same `_source`.
#[must_use]
pub fn shared_names(one: &TopicMap, other: &TopicMap, kind: NameKind) -> Vec<String> {
    let (word, others) = (kind.word, other.list_names());
    let names = one.list_names().into_iter().map(|(name, _)| name);
    let shared = names.filter(|name| others.iter().any(|(other, _)| other == name));
    shared
        .map(|name| format!("{word} {name} is read by two sources, so their rows would have the same `_source`; read it with one source"))
        .collect()
}
