//! Parses a message in all ways and compares the results. Shared by the tests and the fuzz target.

#![allow(dead_code, reason = "each test uses its part")]

use pinflow_dataflows::ingest::{IngestCounts, MessageLimits, MessageParser, RowSink, StreamHint};
use pinflow_dataflows::record::{Geo, Lineage, Pin, Stream, User};
use pinflow_dataflows::rejection::{Rejection, RejectionReason};
use pinflow_dataflows::symbol::Symbol;

/// One call of [`RowSink`], owned.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ParsedRow {
    pub(crate) lineage: Lineage,
    pub(crate) stream: Option<Stream>,
    pub(crate) outcome: ParseOutcome,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum ParseOutcome {
    /// The `Debug` text of a cleaned row: equal exactly if the rows are, to the last bit.
    Row(String),
    Rejected {
        reason: RejectionReason,
        detail: String,
        payload: Vec<u8>,
    },
}

impl ParsedRow {
    pub(crate) fn row(&self) -> &str {
        match &self.outcome {
            ParseOutcome::Row(row) => row,
            ParseOutcome::Rejected { reason, detail, .. } => panic!("{reason}: {detail}"),
        }
    }

    pub(crate) fn rejection(&self) -> (RejectionReason, &str, &[u8]) {
        match &self.outcome {
            ParseOutcome::Row(row) => panic!("accepted: {row}"),
            ParseOutcome::Rejected { reason, detail, payload } => (*reason, detail, payload),
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct CollectRows(pub(crate) Vec<ParsedRow>);

impl CollectRows {
    fn push_row(&mut self, lineage: Lineage, stream: Option<Stream>, outcome: ParseOutcome) {
        self.0.push(ParsedRow { lineage, stream, outcome });
    }
}

impl RowSink for CollectRows {
    fn pin(&mut self, lineage: Lineage, row: &Pin<'_>) {
        self.push_row(lineage, Some(Stream::Pin), ParseOutcome::Row(format!("{row:?}")));
    }

    fn geo(&mut self, lineage: Lineage, row: &Geo<'_>) {
        if let Some([latitude, longitude]) = row.coordinates {
            assert!(latitude.abs() <= 90.0 && longitude.abs() <= 180.0);
        }
        self.push_row(lineage, Some(Stream::Geo), ParseOutcome::Row(format!("{row:?}")));
    }

    fn user(&mut self, lineage: Lineage, row: &User<'_>) {
        assert!(row.age.is_none_or(|age| age <= 150));
        self.push_row(lineage, Some(Stream::User), ParseOutcome::Row(format!("{row:?}")));
    }

    fn rejected(&mut self, lineage: Lineage, stream: Option<Stream>, rejection: &Rejection, payload: &[u8]) {
        let Rejection { reason, detail } = rejection.clone();
        assert!(!detail.is_empty() && detail.chars().count() < 300, "{detail}");
        self.push_row(lineage, stream, ParseOutcome::Rejected { reason, detail, payload: payload.to_vec() });
    }
}

pub(crate) const CARRIES: [StreamHint; 4] =
    [StreamHint::Only(Stream::Pin), StreamHint::Only(Stream::Geo), StreamHint::Only(Stream::User), StreamHint::Auto];

pub(crate) fn lineage() -> Lineage {
    Lineage { arrived_at: Some(1), source: Symbol::new("kafka/posts/0"), position: 42.into(), sub: 0 }
}

/// Parses one message and checks that every row is counted.
pub(crate) fn parse_with(
    ingest: &mut MessageParser,
    stream_hint: StreamHint,
    payload: Option<&[u8]>,
) -> (Vec<ParsedRow>, IngestCounts) {
    let mut rows = CollectRows::default();
    ingest.take_counts();
    // As a trait object, as the engine may hold it.
    let held = ingest.parse_message(stream_hint, payload, lineage(), &mut rows as &mut dyn RowSink);
    let (seen, counts) = (rows.0, ingest.take_counts());
    assert!(held > 0, "a message vanished");
    assert_eq!((held as usize, u64::from(held)), (seen.len(), counts.read()), "the ledger law");
    for (sub, seen) in (0..).zip(&seen) {
        assert_eq!(seen.lineage, Lineage { sub, ..lineage() });
        assert!(
            matches!(stream_hint, StreamHint::Auto)
                || matches!(stream_hint, StreamHint::Only(only) if seen.stream == Some(only))
        );
    }
    for reason in RejectionReason::ALL {
        let rejected = seen
            .iter()
            .filter(|seen| matches!(seen.outcome, ParseOutcome::Rejected { reason: this, .. } if this == reason));
        assert_eq!(counts.rejections(reason), rejected.count() as u64, "{reason}");
    }
    (seen, counts)
}

/// Parses one message with default limits.
pub(crate) fn parse(stream_hint: StreamHint, payload: &[u8]) -> (Vec<ParsedRow>, IngestCounts) {
    parse_with(&mut MessageParser::new(MessageLimits::default()), stream_hint, Some(payload))
}

/// Checks any bytes: no panic, every row is counted, and neither field prediction nor earlier messages change the
/// result.
pub(crate) fn check_payload(payload: &[u8]) {
    let limits = MessageLimits { bytes_max: 1 << 16, rows_max: 64, ..MessageLimits::default() };
    let mut used = MessageParser::new(limits);
    for stream_hint in CARRIES {
        let general = parse_with(&mut MessageParser::without_prediction(limits), stream_hint, Some(payload));
        for ingest in [&mut MessageParser::new(limits), &mut used] {
            assert_eq!(parse_with(ingest, stream_hint, Some(payload)), general);
        }
    }
}
