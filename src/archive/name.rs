//! Names of objects: `topics/‹topic›/partition=‹n›/‹topic›+‹n›+‹first offset, 10 digits›.json[.gz|.zst]`.
//!
//! | `_source` | topic | partition | offset |
//! | --- | --- | --- | --- |
//! | `kafka/‹topic›/‹n›` | its name | its number | its offset |
//! | `kinesis/‹stream›/‹shard›` | the stream | the shard's id | the sequence number |
//! | `recording/‹file›` | the file's name | 0 | the line, from 1 |
//! | `recording/‹name›/‹file›` | `‹name›@‹file›` | 0 | the line, from 1 |
//!
//! What is no letter, digit, `-`, `_` or `.` stands as `=XX` for each byte, so that no two sources have one name, and
//! every store and tool can say it.

use crate::position::Position;

/// A part of the archive that is in order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Partition {
    /// The topic, as names of objects have it.
    pub topic: String,
    /// The partition, as they have it.
    pub number: String,
}

/// Endings of objects.
pub(super) const ENDINGS: [&str; 3] = [".json", ".json.gz", ".json.zst"];

impl Partition {
    /// Where the messages of a source go, by what its rows' `_source` says.
    #[must_use]
    pub fn of(source: &str) -> Partition {
        let mut words = source.splitn(3, '/');
        let (kind, one, other) = (words.next().unwrap_or_default(), words.next().unwrap_or_default(), words.next());
        let (topic, number) = match (kind, other) {
            ("recording", Some(file)) => (format!("{}@{}", escape(one), escape(file)), "0".to_owned()),
            ("recording", None) => (escape(one), "0".to_owned()),
            (_, number) => (escape(one), number.map_or_else(|| "0".to_owned(), escape)),
        };
        Partition { topic, number }
    }

    /// The folder of its objects, within the archive.
    #[must_use]
    pub fn folder(&self) -> String {
        format!("topics/{}/partition={}", self.topic, self.number)
    }

    /// Where it is noted that a window which ends at a position ends inside an object.
    #[must_use]
    pub(super) fn note(&self, next: Position) -> String {
        format!("resume/{}/partition={}/{}", self.topic, self.number, self.stem(next))
    }

    /// The name of the object whose first message stands at a position, without its ending.
    #[must_use]
    pub fn stem(&self, first: Position) -> String {
        format!("{}+{}+{:0>10}", self.topic, self.number, first.to_string())
    }

    /// Reads an object's key: its last three parts, whatever stands before them. `None` if it is none.
    #[must_use]
    pub fn parse(key: &str) -> Option<(Partition, Position)> {
        let mut parts = key.rsplit('/');
        let (name, folder, topic) = (parts.next()?, parts.next()?, parts.next()?);
        let stem = ENDINGS.iter().rev().find_map(|ending| name.strip_suffix(ending))?;
        let mut words = stem.rsplitn(3, '+');
        let (first, number, of) = (words.next()?, words.next()?, words.next()?);
        let fits = folder.strip_prefix("partition=") == Some(number) && of == topic && first.len() >= 10;
        let first = Position::parse(first.trim_start_matches('0').as_bytes()).or_else(|| {
            // Nothing but zeroes.
            first.bytes().all(|byte| byte == b'0').then_some(Position::START)
        })?;
        fits.then(|| (Partition { topic: topic.to_owned(), number: number.to_owned() }, first))
    }

    /// A name before those of all objects from a position on, if names are in the order of positions from there; numbers
    /// of different lengths are not.
    #[must_use]
    pub(super) fn before(&self, first: Position) -> Option<String> {
        let digits = first.to_string();
        let grows = digits.len() >= 10 && digits.as_bytes()[0] > b'4';
        // What ends in nothing comes before what ends in `.json`.
        (!grows).then(|| self.stem(first))
    }
}

fn escape(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("={byte:02X}") }).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(source: &str, first: u64) -> String {
        let partition = Partition::of(source);
        format!("{}/{}.json", partition.folder(), partition.stem(first.into()))
    }

    #[test]
    fn the_names_are_those_of_the_connector() {
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
    fn what_is_no_object_of_an_archive_has_no_place() {
        for other in [
            "topics/a/partition=0/a+0+0000000001.avro",
            "topics/a/partition=0/a+1+0000000001.json",
            "topics/a/partition=0/b+0+0000000001.json",
            "topics/a/partition=0/a+0+1.json",
            "a+0+0000000001.json",
            "",
        ] {
            assert_eq!(Partition::parse(other), None, "{other}");
        }
    }

    proptest! {
        #[test]
        fn a_name_tells_its_place(topic in "[ -~]{1,20}", number in 0..1000_u32, first: u64, ending in 0..3_usize) {
            let partition = Partition::of(&format!("kafka/{}/{number}", topic.replace('/', "")));
            let key = format!("any/{}/{}{}", partition.folder(), partition.stem(first.into()), ENDINGS[ending]);
            prop_assert_eq!(Partition::parse(&key), Some((partition, Position::from(first))));
        }

        #[test]
        fn what_is_listed_after_a_name_is_all_from_there_on(first in 0..u64::MAX / 2, ahead in 0..1_u64 << 40) {
            let partition = Partition::of("kafka/t/0");
            let name = format!("{}.json", partition.stem((first + ahead).into()));
            if let Some(before) = partition.before(first.into()) {
                prop_assert!(name > before);
            }
        }
    }
}
