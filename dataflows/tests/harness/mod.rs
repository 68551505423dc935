//! Reads a message in every way there is and holds the results against each other: shared by the tests and by the
//! fuzz target.

#![allow(dead_code, reason = "each test uses its part")]

use pinflow_dataflows::ingest::{Carries, Counts, Ingest, Limits, Rows};
use pinflow_dataflows::record::{Geo, Lineage, Pin, Stream, User};
use pinflow_dataflows::rejection::{Reason, Rejection};
use pinflow_dataflows::symbol::Symbol;

/// One call of [`Rows`], owned.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Seen {
    pub(crate) lineage: Lineage,
    pub(crate) stream: Option<Stream>,
    pub(crate) outcome: Outcome,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Outcome {
    /// A cleaned row, as `Debug` writes it: the same text exactly when the rows are the same, to the last bit.
    Row(String),
    Rejected {
        reason: Reason,
        detail: String,
        payload: Vec<u8>,
    },
}

impl Seen {
    pub(crate) fn row(&self) -> &str {
        match &self.outcome {
            Outcome::Row(row) => row,
            Outcome::Rejected { reason, detail, .. } => panic!("{reason}: {detail}"),
        }
    }

    pub(crate) fn rejection(&self) -> (Reason, &str, &[u8]) {
        match &self.outcome {
            Outcome::Row(row) => panic!("accepted: {row}"),
            Outcome::Rejected { reason, detail, payload } => (*reason, detail, payload),
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Collect(pub(crate) Vec<Seen>);

impl Collect {
    fn put(&mut self, lineage: Lineage, stream: Option<Stream>, outcome: Outcome) {
        self.0.push(Seen { lineage, stream, outcome });
    }
}

impl Rows for Collect {
    fn pin(&mut self, lineage: Lineage, row: &Pin<'_>) {
        self.put(lineage, Some(Stream::Pin), Outcome::Row(format!("{row:?}")));
    }

    fn geo(&mut self, lineage: Lineage, row: &Geo<'_>) {
        if let Some([latitude, longitude]) = row.coordinates {
            assert!(latitude.abs() <= 90.0 && longitude.abs() <= 180.0);
        }
        self.put(lineage, Some(Stream::Geo), Outcome::Row(format!("{row:?}")));
    }

    fn user(&mut self, lineage: Lineage, row: &User<'_>) {
        assert!(row.age.is_none_or(|age| age <= 150));
        self.put(lineage, Some(Stream::User), Outcome::Row(format!("{row:?}")));
    }

    fn rejected(&mut self, lineage: Lineage, stream: Option<Stream>, rejection: &Rejection, payload: &[u8]) {
        let Rejection { reason, detail } = rejection.clone();
        assert!(!detail.is_empty() && detail.chars().count() < 300, "{detail}");
        self.put(lineage, stream, Outcome::Rejected { reason, detail, payload: payload.to_vec() });
    }
}

pub(crate) const CARRIES: [Carries; 4] =
    [Carries::Only(Stream::Pin), Carries::Only(Stream::Geo), Carries::Only(Stream::User), Carries::Auto];

pub(crate) fn lineage() -> Lineage {
    Lineage { arrived_at: Some(1), source: Symbol::new("kafka/posts/0"), position: 42.into(), sub: 0 }
}

/// Reads one message and checks the ledger law.
pub(crate) fn read_with(ingest: &mut Ingest, carries: Carries, payload: Option<&[u8]>) -> (Vec<Seen>, Counts) {
    let mut rows = Collect::default();
    ingest.take_counts();
    // As a trait object, as the engine may hold it.
    let held = ingest.message(carries, payload, lineage(), &mut rows as &mut dyn Rows);
    let (seen, counts) = (rows.0, ingest.take_counts());
    assert!(held > 0, "a message vanished");
    assert_eq!((held as usize, u64::from(held)), (seen.len(), counts.read()), "the ledger law");
    for (sub, seen) in (0..).zip(&seen) {
        assert_eq!(seen.lineage, Lineage { sub, ..lineage() });
        assert!(
            matches!(carries, Carries::Auto) || matches!(carries, Carries::Only(only) if seen.stream == Some(only))
        );
    }
    for reason in Reason::ALL {
        let rejected =
            seen.iter().filter(|seen| matches!(seen.outcome, Outcome::Rejected { reason: this, .. } if this == reason));
        assert_eq!(counts.rejections(reason), rejected.count() as u64, "{reason}");
    }
    (seen, counts)
}

/// Reads one message with default limits.
pub(crate) fn read(carries: Carries, payload: &[u8]) -> (Vec<Seen>, Counts) {
    read_with(&mut Ingest::new(Limits::default()), carries, Some(payload))
}

/// Whatever the bytes are: nothing panics, the ledger law holds, and expecting an order of fields changes nothing, neither
/// does what was read before.
pub(crate) fn check(payload: &[u8]) {
    let limits = Limits { bytes_max: 1 << 16, rows_max: 64, ..Limits::default() };
    let mut used = Ingest::new(limits);
    for carries in CARRIES {
        let general = read_with(&mut Ingest::unexpecting(limits), carries, Some(payload));
        for ingest in [&mut Ingest::new(limits), &mut used] {
            assert_eq!(read_with(ingest, carries, Some(payload)), general);
        }
    }
}
