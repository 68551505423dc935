//! Chooses the rejections that are accepted now.

use std::collections::{BTreeMap, HashSet};

use pinflow_dataflows::ingest::{MessageLimits, MessageParser, RowSink, StreamHint};
use pinflow_dataflows::record::{Geo, Lineage, Micros, Pin, Position, Stream, User};
use pinflow_dataflows::rejection::{ARRAY_ELEMENT_DETAIL, ELEMENT_ERROR_SUFFIX, Rejection, RejectionReason};
use pinflow_dataflows::symbol::Symbol;

use super::super::filter::RejectionFilter;
use super::super::newest::row_id;
use super::pass_file::{ReplayPlaces, ReplayedMessage, stream_named};
use pinflow_connect::sink::RowId;
use pinflow_delta::StoredRejection;

/// Most bytes of the messages of one pass. They are in memory while it is written and read.
const PASS_BYTES_MAX: usize = 32 << 20;

/// The order of deliveries: in a pass, a later message has a greater position.
type DeliveryOrder = (Option<Micros>, RowId);

/// Messages, each by its source and position.
pub(super) type MessagePlaces = HashSet<(Symbol, Position)>;

/// Which rejections are chosen: those of the filter that these limits accept.
#[derive(Debug, Clone, Default)]
pub(super) struct ReplayChoice {
    pub(super) filter: RejectionFilter,
    pub(super) limits: MessageLimits,
    /// Messages of several rows, some of which are in the tables.
    ///
    /// A crash between the commits of a window, and a start with another limit, make them: the rejection is in
    /// `rejected`, the message is read again, and its other rows are accepted.
    pub(super) in_part: MessagePlaces,
}

/// How many rejections there are of each fate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct ReplayCounts {
    /// They are accepted now.
    pub(super) accepted: u64,
    /// They would be rejected again.
    pub(super) rejected: u64,
    /// They are in a pass already.
    pub(super) replayed: u64,
    /// The table has only the begin of their message, or no payload.
    pub(super) incomplete: u64,
    /// What was around the row in its message, or its source, decides about it, and the table does not have that. Or other
    /// rows of the message are in the tables.
    pub(super) out_of_context: u64,
}

/// Chooses the rejections of one pass.
pub(super) struct PassSelection<'a> {
    choice: &'a ReplayChoice,
    replayed: &'a ReplayPlaces,
    parser: MessageParser,
    bytes_max: usize,
    bytes: usize,
    chosen: BTreeMap<DeliveryOrder, ReplayedMessage>,
    pub(super) counts: ReplayCounts,
    /// The accepted messages of several rows.
    pub(super) of_several_rows: MessagePlaces,
}

impl<'a> PassSelection<'a> {
    pub(super) fn new(choice: &'a ReplayChoice, replayed: &'a ReplayPlaces) -> PassSelection<'a> {
        PassSelection {
            choice,
            replayed,
            parser: MessageParser::new(choice.limits),
            bytes_max: PASS_BYTES_MAX,
            bytes: 0,
            chosen: BTreeMap::new(),
            counts: ReplayCounts::default(),
            of_several_rows: MessagePlaces::new(),
        }
    }

    /// Looks at a rejection.
    pub(super) fn add(&mut self, rejection: StoredRejection) {
        if !self.choice.filter.matches(&rejection) {
            return;
        }
        let origin = row_id(&rejection);
        if self.replayed.contains_key(&origin) {
            self.counts.replayed += 1;
        } else if rejection.payload.as_ref().is_none_or(|bytes| bytes.len() as u64 != rejection.payload_bytes) {
            self.counts.incomplete += 1;
        } else {
            let (stream, arrived_at) = (rejection.stream.as_deref().and_then(stream_named), rejection.arrived_at);
            let place = (origin.source, origin.position);
            match self.judge(stream, rejection) {
                RejectionFate::Accepted(_, 2..) if self.choice.in_part.contains(&place) => {
                    self.counts.out_of_context += 1;
                }
                RejectionFate::Accepted(payload, rows) => {
                    self.counts.accepted += 1;
                    if rows > 1 {
                        self.of_several_rows.insert(place);
                    }
                    self.choose(ReplayedMessage { origin, arrived_at, stream, payload });
                }
                RejectionFate::Rejected => self.counts.rejected += 1,
                RejectionFate::OutOfContext => self.counts.out_of_context += 1,
            }
        }
    }

    /// What becomes of a rejection whose bytes are all there.
    fn judge(&mut self, stream: Option<Stream>, rejection: StoredRejection) -> RejectionFate {
        let StoredRejection { reason, detail, payload, .. } = rejection;
        let payload = payload.unwrap_or_default();
        // Its source has decided, by its settings or by a partition key.
        if reason == RejectionReason::WrongStream.name() {
            return RejectionFate::OutOfContext;
        }
        // An element of an array. As a message of its own it could be a row.
        if detail.contains(ARRAY_ELEMENT_DETAIL) || detail.ends_with(ELEMENT_ERROR_SUFFIX) {
            let message = [b"[", payload.as_slice(), b"]"].concat();
            return match self.parse(stream, &message) {
                ParsedRows { accepted: 0, .. } => RejectionFate::Rejected,
                ParsedRows { rows, .. } => RejectionFate::Accepted(message, rows),
            };
        }
        let ParsedRows { accepted, rows } = self.parse(stream, &payload);
        if accepted == 0 {
            return RejectionFate::Rejected;
        }
        // These reject a message as a whole. Other rows may be those of an array, and are only accepted if they are
        // accepted in one, too.
        let is_whole = [RejectionReason::TooLarge, RejectionReason::TooManyRows].iter().any(|of| of.name() == reason);
        let within = [b"[{\"value\":", payload.as_slice(), b"}]"].concat();
        if is_whole || self.parse(stream, &within).accepted > 0 {
            RejectionFate::Accepted(payload, rows)
        } else {
            RejectionFate::OutOfContext
        }
    }

    /// Keeps the earliest messages that fit into a pass.
    fn choose(&mut self, message: ReplayedMessage) {
        self.bytes += message.payload.len();
        self.chosen.insert((message.arrived_at, message.origin), message);
        while self.bytes > self.bytes_max && self.chosen.len() > 1 {
            if let Some((_, last)) = self.chosen.pop_last() {
                self.bytes -= last.payload.len();
            }
        }
    }

    fn parse(&mut self, stream: Option<Stream>, payload: &[u8]) -> ParsedRows {
        let lineage =
            Lineage { arrived_at: None, source: Symbol::new("dead-letters"), position: Position::START, sub: 0 };
        let mut accepted = AcceptedRows(0);
        let hint = stream.map_or(StreamHint::Auto, StreamHint::Only);
        let rows = self.parser.parse_message(hint, Some(payload), lineage, &mut accepted);
        ParsedRows { accepted: accepted.0, rows }
    }

    /// The messages of the pass, in the order of their deliveries.
    pub(super) fn into_messages(self) -> Vec<ReplayedMessage> {
        self.chosen.into_values().collect()
    }
}

/// What becomes of a rejection.
enum RejectionFate {
    /// This message is accepted now: at least one of so many rows.
    Accepted(Vec<u8>, u32),
    /// It would be rejected again.
    Rejected,
    /// The stored bytes do not tell.
    OutOfContext,
}

/// The rows of a message.
struct ParsedRows {
    accepted: u64,
    /// Those that are rejected included.
    rows: u32,
}

/// Counts the rows that are accepted.
struct AcceptedRows(u64);

impl RowSink for AcceptedRows {
    fn pin(&mut self, _: Lineage, _: &Pin<'_>) {
        self.0 += 1;
    }
    fn geo(&mut self, _: Lineage, _: &Geo<'_>) {
        self.0 += 1;
    }
    fn user(&mut self, _: Lineage, _: &User<'_>) {
        self.0 += 1;
    }
    fn rejected(&mut self, _: Lineage, _: Option<Stream>, _: &Rejection, _: &[u8]) {}
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod tests {
    use super::super::super::filter::tests::rejection;
    use super::super::pass_file::ReplayPlace;
    use super::*;

    fn rejected(position: u64, reason: &str, payload: &str) -> StoredRejection {
        StoredRejection {
            reason: reason.to_owned(),
            payload: Some(payload.as_bytes().to_vec()),
            payload_bytes: payload.len() as u64,
            ..rejection(position, None)
        }
    }

    const ROW: &str = "{\"index\":1,\"category\":\"art\"}";

    #[test]
    fn only_whole_messages_that_are_accepted_alone_are_chosen_once_each() {
        let choice = ReplayChoice::default();
        let replayed = ReplayPlaces::from([(row_id(&rejection(9, None)), ReplayPlace::default())]);
        let mut selection = PassSelection::new(&choice, &replayed);
        selection.add(rejected(5, "too_large", ROW));
        selection.add(rejected(2, "too_large", &format!("[{{\"value\":{ROW}}},{{\"value\":{{}}}}]")));
        selection.add(rejected(9, "too_large", ROW));
        selection.add(rejected(3, "no_key", "{\"category\":\"art\"}"));
        selection.add(StoredRejection { payload_bytes: 70_000, ..rejected(4, "too_large", ROW) });
        selection.add(StoredRejection { payload: None, ..rejected(6, "tombstone", "") });
        selection.add(rejected(7, "wrong_stream", ROW));
        let element = StoredRejection { detail: ARRAY_ELEMENT_DETAIL.to_owned(), ..rejected(8, "not_an_object", ROW) };
        selection.add(element);
        // This was a row of an array in which it stood where a row must stand.
        selection.add(rejected(10, "not_an_object", &format!("[{{\"value\":{ROW}}}]")));
        let broken = format!("expected a value at byte 9{ELEMENT_ERROR_SUFFIX}");
        let element = format!("{{\"value\":{ROW}}}");
        selection.add(StoredRejection { detail: broken.clone(), ..rejected(11, "not_json", &element) });
        selection.add(StoredRejection { detail: broken, ..rejected(12, "not_json", ROW) });
        let counts = ReplayCounts { accepted: 3, rejected: 3, replayed: 1, incomplete: 2, out_of_context: 2 };
        assert_eq!(selection.counts, counts);
        let messages = selection.into_messages();
        let positions: Vec<_> = messages.iter().map(|message| message.origin.position).collect();
        assert_eq!(positions, [2, 5, 11].map(Position::from));
        assert_eq!(messages[2].payload, format!("[{element}]").into_bytes(), "in an array, as it was received");
    }

    #[test]
    fn pass_has_the_earliest_messages_that_fit_and_at_least_one() {
        let (choice, replayed) = (ReplayChoice::default(), ReplayPlaces::new());
        let chosen = |bytes_max: usize| {
            let mut selection = PassSelection::new(&choice, &replayed);
            selection.bytes_max = bytes_max;
            [7, 3, 9, 5].into_iter().for_each(|position| selection.add(rejected(position, "too_large", ROW)));
            assert_eq!(selection.counts.accepted, 4);
            selection.into_messages().into_iter().map(|message| message.origin.position).collect::<Vec<_>>()
        };
        assert_eq!(chosen(2 * ROW.len()), [Position::from(3), Position::from(5)]);
        assert_eq!(chosen(1), [Position::from(3)]);
    }
}
