//! What a source reads, by name: topics or streams, and what each of them holds.

use pinflow_dataflows::ingest::StreamHint;
use pinflow_dataflows::record::Stream;
use serde::Deserialize;

use super::SourceError;
use crate::key_problem::KeyProblem;

/// Topics or streams by what they hold.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Named {
    /// Pin posts only.
    pub pin: Option<String>,
    /// Geo posts only.
    pub geo: Option<String>,
    /// User posts only.
    pub user: Option<String>,
    /// Posts of any stream: each says by its fields.
    pub auto: Option<String>,
    /// Posts of any stream, which are told apart by keys that the source names; only streams of Kinesis are.
    pub routed: Option<String>,
}

/// What the names are names of.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kind {
    /// As in `topic`.
    pub(super) word: &'static str,
    /// Bytes of the longest name.
    pub(super) longest: usize,
    /// Whether what they name may be `routed`.
    pub(super) routes: bool,
}

impl Named {
    /// Each name with what it holds.
    #[must_use]
    pub fn each(&self) -> Vec<(&str, StreamHint)> {
        let slots = [
            (&self.pin, StreamHint::Only(Stream::Pin)),
            (&self.geo, StreamHint::Only(Stream::Geo)),
            (&self.user, StreamHint::Only(Stream::User)),
            (&self.auto, StreamHint::Auto),
            (&self.routed, StreamHint::Auto),
        ];
        slots.into_iter().filter_map(|(name, carries)| Some((name.as_deref()?, carries))).collect()
    }

    /// Each name with its key.
    fn slots(&self) -> Vec<(&'static str, &str)> {
        let slots = [
            ("pin", &self.pin),
            ("geo", &self.geo),
            ("user", &self.user),
            ("auto", &self.auto),
            ("routed", &self.routed),
        ];
        slots.into_iter().filter_map(|(key, name)| Some((key, name.as_deref()?))).collect()
    }

    /// What is wrong, each with its mend.
    pub(super) fn faults(&self, kind: Kind) -> Vec<KeyProblem> {
        let Kind { word, longest, routes } = kind;
        let mut faults = Vec::new();
        if self.each().is_empty() {
            faults.push(KeyProblem::table(format!(
                "no {word} is named; write {word}s = {{ pin = \"…\", geo = \"…\", user = \"…\" }} or {{ auto = \"…\" }}"
            )));
        }
        if let (Some(name), false) = (&self.routed, routes) {
            let what = format!(
                "{word} {name:?} cannot be routed, only a Kinesis stream can; use `auto` for a {word} with all posts"
            );
            faults.push(KeyProblem::new("routed", what));
        }
        let plain = |letter: char| letter.is_ascii_alphanumeric() || ['-', '_', '.'].contains(&letter);
        let slots = self.slots();
        for (at, (key, name)) in slots.iter().enumerate() {
            if !(1..=longest).contains(&name.len()) || !name.chars().all(plain) || [".", ".."].contains(name) {
                let what =
                    format!("{name:?} is not a {word} name; use 1 to {longest} letters, digits, `-`, `_` and `.`");
                faults.push(KeyProblem::new(*key, what));
            }
            if let Some((first, _)) = slots[..at].iter().find(|(_, other)| other == name) {
                let what =
                    format!("{word} {name:?} is named twice; use `auto` for a {word} with posts of several kinds");
                faults.push(KeyProblem::new(*key, what).conflicts_with(*first));
            }
        }
        faults
    }
}

/// Checks that no two of these sources read what has the same name.
///
/// # Errors
/// [`SourceError::Unusable`] with everything that is read twice, a line each.
pub(super) fn tell_apart<'a>(sources: impl Iterator<Item = &'a Named>, kind: Kind) -> Result<(), SourceError> {
    let names = sources.flat_map(Named::each).map(|(name, _)| name).collect();
    let word = kind.word;
    let faults: Vec<String> = twice(names)
        .into_iter()
        .map(|name| format!("{word} {name} is read by two sources, and `_source` could not tell their rows apart"))
        .collect();
    if faults.is_empty() { Ok(()) } else { Err(SourceError::Unusable(faults.join("\n"))) }
}

fn twice(mut names: Vec<&str>) -> Vec<&str> {
    names.sort_unstable();
    names.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| pair[0]).collect()
}
