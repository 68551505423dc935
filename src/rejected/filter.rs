//! Which rejections a command takes.

use pinflow_dataflows::record::Micros;
use pinflow_delta::StoredRejection;

/// The stream of a row of which it is not known.
pub(super) const UNKNOWN_STREAM: &str = "unknown";

/// Which rejections are taken: those for which all conditions hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct RejectionFilter {
    /// For one of these reasons; all if there is none.
    pub(super) reasons: Vec<String>,
    /// Of this stream.
    pub(super) stream: Option<String>,
    /// Of the sources whose names begin so.
    pub(super) source: Option<String>,
    /// Arrived at this time or later, in microseconds since 1970.
    pub(super) since: Option<Micros>,
}

impl RejectionFilter {
    /// Whether a rejection is taken.
    pub(super) fn matches(&self, rejection: &StoredRejection) -> bool {
        let RejectionFilter { reasons, stream, source, since } = self;
        let is_of_stream = |stream: &String| *stream == stream_name(rejection);
        (reasons.is_empty() || reasons.contains(&rejection.reason))
            && stream.as_ref().is_none_or(is_of_stream)
            && source.as_ref().is_none_or(|source| rejection.source.starts_with(source.as_str()))
            && since.is_none_or(|since| time_of(rejection) >= since)
    }
}

/// The stream of a rejection.
pub(super) fn stream_name(rejection: &StoredRejection) -> &str {
    rejection.stream.as_deref().unwrap_or(UNKNOWN_STREAM)
}

/// When a rejected message arrived. If that is not known, when its row was written.
pub(super) fn time_of(rejection: &StoredRejection) -> Micros {
    rejection.arrived_at.unwrap_or(rejection.written_at)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A rejection with this position and arrival time.
    pub(in super::super) fn rejection(position: u64, arrived_at: Option<Micros>) -> StoredRejection {
        StoredRejection {
            source: "kafka/12ab.pin/3".to_owned(),
            position: position.into(),
            sub: 0,
            arrived_at,
            written_at: 500,
            stream: Some("pin".to_owned()),
            reason: "not_json".to_owned(),
            detail: "expected a value".to_owned(),
            payload: None,
            payload_bytes: 3,
            payload_sha256: None,
        }
    }

    #[test]
    fn rejection_is_taken_if_all_conditions_hold() {
        let text = |text: &str| Some(text.to_owned());
        let unknown = StoredRejection { stream: None, ..rejection(1, Some(400)) };
        let all = RejectionFilter::default();
        assert!(all.matches(&unknown));
        let filter = RejectionFilter { reasons: vec!["no_key".to_owned(), "not_json".to_owned()], ..all.clone() };
        assert!(filter.matches(&unknown));
        let filter = RejectionFilter { stream: text("pin"), source: text("kafka/12ab.pin/"), ..filter };
        assert!(filter.matches(&rejection(1, None)) && !filter.matches(&unknown));
        assert!(RejectionFilter { stream: text("unknown"), ..all.clone() }.matches(&unknown));
        assert!(!RejectionFilter { source: text("kafka/12ab.geo"), ..all.clone() }.matches(&unknown));
        assert!(!RejectionFilter { reasons: vec!["no_key".to_owned()], ..all }.matches(&unknown));
    }

    #[test]
    fn rejection_without_arrival_time_counts_by_the_time_of_its_row() {
        let since = |since| RejectionFilter { since: Some(since), ..RejectionFilter::default() };
        assert!(since(500).matches(&rejection(1, None)) && !since(501).matches(&rejection(1, None)));
        assert!(since(400).matches(&rejection(1, Some(400))) && !since(401).matches(&rejection(1, Some(400))));
    }
}
