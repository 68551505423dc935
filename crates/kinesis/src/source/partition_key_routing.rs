//! Routes the records of a shared stream by partition key. No I/O.
//!
//! Several producers or users may share one stream, each with partition keys of its own such as `streaming-‹id›-pin`, `-geo`
//! and `-user`. A record under any other key belongs to another producer: it must not count in the answers, but must not
//! be dropped silently. It is rejected (`wrong_stream`) and the rejection names the key.

use pinflow_dataflows::record::Stream;
use serde::Deserialize;

use pinflow_core::key_problem::KeyProblem;

/// Maximum number of characters of a partition key (a limit of Kinesis).
const MAX_KEY_CHARS: usize = 256;

/// Partition keys of a shared stream, by the posts put under them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PartitionKeys {
    /// The key of pin posts.
    pub pin: Option<String>,
    /// The key of geo posts.
    pub geo: Option<String>,
    /// The key of user posts.
    pub user: Option<String>,
}

impl PartitionKeys {
    fn keys_with_streams(&self) -> impl Iterator<Item = (&str, Stream)> {
        let keys = [(&self.pin, Stream::Pin), (&self.geo, Stream::Geo), (&self.user, Stream::User)];
        keys.into_iter().filter_map(|(key, stream)| Some((key.as_deref()?, stream)))
    }

    /// The stream of the posts put under a key.
    ///
    /// # Errors
    /// The reason for the rejection if the key is none of these.
    pub(super) fn stream_of_key(&self, key: &str) -> Result<Stream, String> {
        let found = self.keys_with_streams().find(|(own, _)| *own == key).map(|(_, stream)| stream);
        found.ok_or_else(|| format!("partition key {key:?} is not one of this stream's partition_keys"))
    }

    /// Returns every problem with a hint.
    pub(super) fn validate(&self) -> Vec<KeyProblem> {
        let mut problems = Vec::new();
        let slots = [("pin", &self.pin), ("geo", &self.geo), ("user", &self.user)];
        let keys: Vec<_> = slots.into_iter().filter_map(|(slot, key)| Some((slot, key.as_deref()?))).collect();
        if keys.is_empty() {
            let what = "no key is named; write partition_keys = { pin = \"…\", geo = \"…\", user = \"…\" }";
            problems.push(KeyProblem::table(what));
        }
        for (at, (slot, key)) in keys.iter().enumerate() {
            if !(1..=MAX_KEY_CHARS).contains(&key.chars().count()) {
                problems.push(KeyProblem::new(*slot, format!("a partition key has 1 to {MAX_KEY_CHARS} characters")));
            }
            if let Some((first, _)) = keys[..at].iter().find(|(_, other)| other == key) {
                let what = format!(
                    "partition key {key:?} is named twice; use streams = {{ auto = \"…\" }} where keys do not tell posts apart"
                );
                problems.push(KeyProblem::new(*slot, what).conflicts_with(*first));
            }
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(pin: &str, geo: &str) -> PartitionKeys {
        PartitionKeys { pin: Some(pin.to_owned()), geo: Some(geo.to_owned()), user: None }
    }

    #[test]
    fn partition_key_maps_to_stream_or_is_named_in_rejection() {
        let keys = keys("a-pin", "a-geo");
        assert_eq!(keys.stream_of_key("a-geo"), Ok(Stream::Geo));
        for other in ["", "a-user", "a-pin ", "A-PIN"] {
            assert!(keys.stream_of_key(other).is_err_and(|why| why.contains(&format!("{other:?}"))), "{other}");
        }
    }

    #[test]
    fn invalid_partition_keys_are_rejected() {
        assert!(keys("a", "b").validate().is_empty());
        assert_eq!(keys("a", "a").validate().len(), 1);
        assert_eq!(keys("", &"x".repeat(257)).validate().len(), 2);
        assert_eq!(PartitionKeys::default().validate().len(), 1);
    }
}
