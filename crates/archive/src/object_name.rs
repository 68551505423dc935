//! Names of objects: `topics/‹topic›/partition=‹n›/‹topic›+‹n›+‹first offset, 10 digits›.json[.gz|.zst]`.
//!
//! | `_source` | topic | partition | offset |
//! | --- | --- | --- | --- |
//! | `kafka/‹topic›/‹n›` | its name | its number | its offset |
//! | `kinesis/‹stream›/‹shard›` | the stream | the shard's id | the sequence number |
//! | `recording/‹file›` | the file's name | 0 | the line, from 1 |
//! | `recording/‹name›/‹file›` | `‹name›@‹file›` | 0 | the line, from 1 |
//!
//! Every byte that is not a letter, digit, `-`, `_` or `.` is written as `=XX`. So no two sources share a name, and every
//! store and tool accepts it.

use pinflow_core::position::Position;

/// A partition of the archive. Its objects are in order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ArchivePartition {
    /// The topic, as written in object names.
    pub topic: String,
    /// The partition's number or shard id, as written in object names.
    pub number: String,
}

/// Extensions of object names: plain, gzip, zstd.
pub(super) const EXTENSIONS: [&str; 3] = [".json", ".json.gz", ".json.zst"];

impl ArchivePartition {
    /// The partition for the messages of a source, given the `_source` of its rows.
    #[must_use]
    pub fn from_source(source: &str) -> ArchivePartition {
        let mut words = source.splitn(3, '/');
        let (kind, one, other) = (words.next().unwrap_or_default(), words.next().unwrap_or_default(), words.next());
        let (topic, number) = match (kind, other) {
            ("recording", Some(file)) => (format!("{}@{}", escape_name(one), escape_name(file)), "0".to_owned()),
            ("recording", None) => (escape_name(one), "0".to_owned()),
            (_, number) => (escape_name(one), number.map_or_else(|| "0".to_owned(), escape_name)),
        };
        ArchivePartition { topic, number }
    }

    /// The key prefix of its objects within the archive.
    #[must_use]
    pub fn folder(&self) -> String {
        format!("topics/{}/partition={}", self.topic, self.number)
    }

    /// The key of the resume marker for a window that ends at position `next`.
    #[must_use]
    pub(super) fn marker_key(&self, next: Position) -> String {
        format!("resume/{}/partition={}/{}", self.topic, self.number, self.object_stem(next))
    }

    /// The name of the object whose first message has position `first`, without its extension.
    #[must_use]
    pub fn object_stem(&self, first: Position) -> String {
        format!("{}+{}+{:0>10}", self.topic, self.number, first.to_string())
    }

    /// Parses the last three parts of an object's key: its partition and first position. `None` if the key is not an
    /// object of an archive.
    #[must_use]
    pub fn parse_key(key: &str) -> Option<(ArchivePartition, Position)> {
        let mut parts = key.rsplit('/');
        let (name, folder, topic) = (parts.next()?, parts.next()?, parts.next()?);
        let stem = EXTENSIONS.iter().rev().find_map(|extension| name.strip_suffix(extension))?;
        let mut words = stem.rsplitn(3, '+');
        let (first, number, of) = (words.next()?, words.next()?, words.next()?);
        let fits = folder.strip_prefix("partition=") == Some(number) && of == topic && first.len() >= 10;
        let first = Position::parse(first.trim_start_matches('0').as_bytes()).or_else(|| {
            // Only zeros.
            first.bytes().all(|byte| byte == b'0').then_some(Position::START)
        })?;
        fits.then(|| (ArchivePartition { topic: topic.to_owned(), number: number.to_owned() }, first))
    }

    /// A name that sorts before all objects from position `first` on, to list only these. `None` if their names may not
    /// be in the order of their positions: numbers of different lengths are not.
    #[must_use]
    pub(super) fn list_offset(&self, first: Position) -> Option<String> {
        let digits = first.to_string();
        let grows = digits.len() >= 10 && digits.as_bytes()[0] > b'4';
        // Without an extension it sorts before the object of this position itself.
        (!grows).then(|| self.object_stem(first))
    }
}

fn escape_name(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("={byte:02X}") }).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(source: &str, first: u64) -> String {
        let partition = ArchivePartition::from_source(source);
        format!("{}/{}.json", partition.folder(), partition.object_stem(first.into()))
    }

    #[test]
    fn object_names_match_those_of_the_connector() {
        for (source, wanted) in [
            ("kafka/12e2.pin/3", "topics/12e2.pin/partition=3/12e2.pin+3+0000000042.json"),
            (
                "kinesis/s-pin/shardId-000000000001",
                "topics/s-pin/partition=shardId-000000000001/s-pin+shardId-000000000001+0000000042.json",
            ),
            ("recording/pin.jsonl", "topics/pin.jsonl/partition=0/pin.jsonl+0+0000000042.json"),
            (
                "recording/spring/a b.jsonl",
                "topics/spring@a=20b.jsonl/partition=0/spring@a=20b.jsonl+0+0000000042.json",
            ),
        ] {
            assert_eq!(key(source, 42), wanted);
        }
    }

    #[test]
    fn foreign_key_is_not_parsed() {
        for other in [
            "topics/a/partition=0/a+0+0000000001.avro",
            "topics/a/partition=0/a+1+0000000001.json",
            "topics/a/partition=0/b+0+0000000001.json",
            "topics/a/partition=0/a+0+1.json",
            "a+0+0000000001.json",
            "",
        ] {
            assert_eq!(ArchivePartition::parse_key(other), None, "{other}");
        }
    }

    proptest! {
        #[test]
        fn object_key_is_parsed_to_its_partition_and_position(topic in "[ -~]{1,20}", number in 0..1000_u32, first: u64, extension in 0..3_usize) {
            let partition = ArchivePartition::from_source(&format!("kafka/{}/{number}", topic.replace('/', "")));
            let key = format!("any/{}/{}{}", partition.folder(), partition.object_stem(first.into()), EXTENSIONS[extension]);
            prop_assert_eq!(ArchivePartition::parse_key(&key), Some((partition, Position::from(first))));
        }

        #[test]
        fn list_offset_sorts_before_all_later_objects(first in 0..u64::MAX / 2, ahead in 0..1_u64 << 40) {
            let partition = ArchivePartition::from_source("kafka/t/0");
            let name = format!("{}.json", partition.object_stem((first + ahead).into()));
            if let Some(before) = partition.list_offset(first.into()) {
                prop_assert!(name > before);
            }
        }
    }
}
