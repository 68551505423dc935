//! What can be said about a recording.

use std::num::NonZeroU32;
use std::path::PathBuf;

use pinflow_dataflows::ingest::StreamHint;
use pinflow_dataflows::record::Stream;
use serde::Deserialize;

/// A folder of recorded streams, or one recorded file: JSON Lines, plain, gzip or zstd.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordingConfig {
    /// The folder or the file, or an archive: a folder that has one named `topics`, or `s3://BUCKET/PREFIX`. A relative
    /// path is relative to the configuration file.
    pub path: PathBuf,
    /// What the files hold. Without it each file's name says so: `pin.jsonl`, `geo-0001.jsonl.gz`, …
    #[serde(default)]
    pub stream: Option<StreamSetting>,
    /// Stands in `_source` between `recording/` and the file's name. Several recordings in one pipeline need it
    /// to be told apart; changing it makes every file a new one.
    #[serde(default)]
    pub name: Option<String>,
    /// Records per second over all files of this source, evenly spaced. Without it as fast as the engine takes them.
    #[serde(default)]
    pub rate_per_sec: Option<NonZeroU32>,
    /// Goes on reading what is appended, and files that are added to the folder, until the run is stopped.
    #[serde(default)]
    pub follow: bool,
    /// Files that were read before may be gone from the folder. Otherwise that is an error: what was not yet
    /// read of them would be lost without a word. A followed file that comes back is read on at its position.
    #[serde(default)]
    pub allow_removed: bool,
}

impl RecordingConfig {
    /// A recording with every setting at its default.
    #[must_use]
    pub fn at(path: impl Into<PathBuf>) -> RecordingConfig {
        RecordingConfig {
            path: path.into(),
            stream: None,
            name: None,
            rate_per_sec: None,
            follow: false,
            allow_removed: false,
        }
    }
}

/// Which streams the rows of a source belong to, as it is written in a configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StreamSetting {
    /// Pin posts only.
    Pin,
    /// Geo posts only.
    Geo,
    /// User posts only.
    User,
    /// Each row says by its fields.
    Auto,
}

impl From<StreamSetting> for StreamHint {
    fn from(setting: StreamSetting) -> StreamHint {
        match setting {
            StreamSetting::Pin => StreamHint::Only(Stream::Pin),
            StreamSetting::Geo => StreamHint::Only(Stream::Geo),
            StreamSetting::User => StreamHint::Only(Stream::User),
            StreamSetting::Auto => StreamHint::Auto,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_but_the_path_has_a_default() {
        let config: RecordingConfig = toml::from_str("path = 'posts'").unwrap();
        assert_eq!(format!("{config:?}"), format!("{:?}", RecordingConfig::at("posts")));
    }

    #[test]
    fn every_setting_can_be_given() {
        let text = "path = 'a.txt'\nstream = 'auto'\nname = 'spring'\nrate_per_sec = 1000\nfollow = true\nallow_removed = true";
        let config: RecordingConfig = toml::from_str(text).unwrap();
        assert_eq!(config.stream.map(StreamHint::from), Some(StreamHint::Auto));
        assert_eq!(config.name.as_deref(), Some("spring"));
        assert_eq!(config.rate_per_sec.map(NonZeroU32::get), Some(1000));
        assert!(config.follow && config.allow_removed);
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for text in ["", "path = 'a'\nrate_per_sec = 0", "path = 'a'\nstream = 'pins'", "path = 'a'\nfolow = true"] {
            assert!(toml::from_str::<RecordingConfig>(text).is_err(), "{text}");
        }
    }
}
