//! The configuration of a recording.

use std::num::NonZeroU32;
use std::path::PathBuf;

use pinflow_dataflows::ingest::StreamHint;
use pinflow_dataflows::record::Stream;
use serde::Deserialize;

/// A folder of recorded streams, or one recorded file: JSON Lines, plain, gzip or zstd.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordingConfig {
    /// A folder, a file, or an archive: a folder that contains a folder `topics`, or `s3://BUCKET/PREFIX`. A relative path
    /// is relative to the configuration file.
    pub path: PathBuf,
    /// The posts in the files. Default: the name of each file tells, such as `pin.jsonl` or `geo-0001.jsonl.gz`.
    #[serde(default)]
    pub stream: Option<StreamSetting>,
    /// Written in `_source` between `recording/` and the name of the file. Several recordings in one pipeline need
    /// different names. After a change, every file is read again as a new one.
    #[serde(default)]
    pub name: Option<String>,
    /// Records per second over all files of this source, evenly spaced. Default: no limit.
    #[serde(default)]
    pub rate_per_sec: Option<NonZeroU32>,
    /// Keeps reading data that is appended, and files that are added to the folder, until the run is stopped.
    #[serde(default)]
    pub follow: bool,
    /// Allows files that were read before to be removed from the folder. By default that is an error, because unread data
    /// in them would be lost silently. A followed file that returns continues at its position.
    #[serde(default)]
    pub allow_removed: bool,
    /// The process of a cluster that reads it. With fewer processes, they take turns: with two, process 0 reads what is
    /// given to 0, 2 and so on.
    #[serde(default)]
    pub process: usize,
}

impl RecordingConfig {
    /// A recording with every setting at its default.
    #[must_use]
    pub fn with_path(path: impl Into<PathBuf>) -> RecordingConfig {
        RecordingConfig {
            path: path.into(),
            stream: None,
            name: None,
            rate_per_sec: None,
            follow: false,
            allow_removed: false,
            process: 0,
        }
    }
}

/// The streams of a source's rows, as written in a configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StreamSetting {
    /// Pin posts only.
    Pin,
    /// Geo posts only.
    Geo,
    /// User posts only.
    User,
    /// Posts of any stream. The fields of each post tell its stream.
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
        assert_eq!(format!("{config:?}"), format!("{:?}", RecordingConfig::with_path("posts")));
    }

    #[test]
    fn every_setting_can_be_given() {
        let text = "path = 'a.txt'\nstream = 'auto'\nname = 'spring'\nrate_per_sec = 1000\nfollow = true\nallow_removed = true\n\
                    process = 2";
        let config: RecordingConfig = toml::from_str(text).unwrap();
        assert_eq!(config.stream.map(StreamHint::from), Some(StreamHint::Auto));
        assert_eq!(config.name.as_deref(), Some("spring"));
        assert_eq!(config.rate_per_sec.map(NonZeroU32::get), Some(1000));
        assert!(config.follow && config.allow_removed);
        assert_eq!(config.process, 2);
    }

    #[test]
    fn invalid_settings_are_refused() {
        for text in ["", "path = 'a'\nrate_per_sec = 0", "path = 'a'\nstream = 'pins'", "path = 'a'\nfolow = true"] {
            assert!(toml::from_str::<RecordingConfig>(text).is_err(), "{text}");
        }
    }
}
