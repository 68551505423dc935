//! The topics or streams that a source reads, by the posts that each contains.

use pinflow_dataflows::ingest::StreamHint;
use pinflow_dataflows::record::Stream;
use serde::Deserialize;

use super::SourceError;
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
        slots.into_iter().filter_map(|(name, carries)| Some((name.as_deref()?, carries))).collect()
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

/// Checks that no two of these sources read the same name: their rows would have the same `_source`.
///
/// # Errors
/// [`SourceError::Unusable`] with a line for each name that is read twice.
pub fn check_unique<'a>(sources: impl Iterator<Item = &'a TopicMap>, kind: NameKind) -> Result<(), SourceError> {
    let names = sources.flat_map(TopicMap::list_names).map(|(name, _)| name).collect();
    let word = kind.word;
    let problems: Vec<String> = duplicates(names)
        .into_iter()
        .map(|name| format!("{word} {name} is read by two sources, so their rows would have the same `_source`; read it with one source"))
        .collect();
    if problems.is_empty() { Ok(()) } else { Err(SourceError::Unusable(problems.join("\n"))) }
}

fn duplicates(mut names: Vec<&str>) -> Vec<&str> {
    names.sort_unstable();
    names.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| pair[0]).collect()
}
