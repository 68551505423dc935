//! Checks the messages between processes: for a fuzz target, and for tests over random and mutated bytes.

use std::fmt::Debug;

use crate::aggregates::{AggregateInput, AnswerReport};
use crate::joins::{GeoProjection, PinProjection, UserProjection};
use crate::version::VersionedRow;
use crate::wire::{WireRecord, decode_records, encode_records};

/// Decodes any bytes as a message of each kind of record. Returns the number of records that they are, over all kinds.
///
/// # Panics
/// If records that were decoded differ from those that they are encoded and decoded to again: a bug.
#[doc(hidden)]
#[must_use]
pub fn check_wire_message(bytes: &[u8]) -> usize {
    check_records::<VersionedRow<PinProjection>>(bytes)
        + check_records::<VersionedRow<GeoProjection>>(bytes)
        + check_records::<VersionedRow<UserProjection>>(bytes)
        + check_records::<(AggregateInput, u64, i64)>(bytes)
        + check_records::<AnswerReport>(bytes)
}

fn check_records<D: WireRecord + Debug + PartialEq>(bytes: &[u8]) -> usize {
    let Ok(records) = decode_records::<D>(bytes) else { return 0 };
    let again = decode_records::<D>(&encode_records(&records));
    assert!(again.as_ref() == Ok(&records), "{again:?} instead of {records:?}");
    records.len()
}

#[cfg(test)]
mod tests {
    use pinflow_sql::datum::Datum;
    use proptest::collection::vec;
    use proptest::option;
    use proptest::prelude::*;

    use super::*;
    use crate::aggregates::{GROUP_COLUMNS_MAX, GroupKeyPart};
    use crate::answer::{AnswerCell, AnswerChange, AnswerRow, FillProgress, QuestionId};
    use crate::joins::ProjectedRow;
    use crate::record::{Geo, Lineage, Pin, Position, User};
    use crate::symbol::Symbol;

    fn any_symbol() -> impl Strategy<Value = Symbol> {
        prop_oneof![
            4 => "[a-c]{0,2}",
            1 => "\\PC{0,30}",
        ]
        .prop_map(|text| Symbol::new(&text))
    }

    fn any_position() -> impl Strategy<Value = Position> {
        prop_oneof![
            any::<u64>().prop_map(Position::from),
            (0..9_u64).prop_map(Position::from),
            "[1-9][0-9]{20,55}".prop_map(|digits| Position::parse(digits.as_bytes()).unwrap_or_default()),
            Just(Position::END),
        ]
    }

    fn any_scalar() -> impl Strategy<Value = Datum> {
        prop_oneof![
            Just(Datum::Null),
            any::<bool>().prop_map(Datum::Bool),
            any::<i64>().prop_map(Datum::Long),
            any::<f64>().prop_map(|value| Datum::double(value).unwrap_or(Datum::Null)),
            "\\PC{0,30}".prop_map(|text| Datum::text(&text)),
            any::<i64>().prop_map(Datum::Time),
        ]
    }

    fn any_datum() -> impl Strategy<Value = Datum> {
        let list = vec(any_scalar(), 0..4).prop_map(|elements| Datum::List(elements.into()));
        prop_oneof![4 => any_scalar(), 1 => list]
    }

    fn any_delivery<R: ProjectedRow + Debug>(row: impl Strategy<Value = R>) -> impl Strategy<Value = VersionedRow<R>> {
        let lineage = (any::<Option<i64>>(), any_symbol(), any_position(), prop_oneof![Just(0), any::<u32>()]);
        let extra = option::of(vec(any_datum(), 0..4));
        (any::<u64>(), lineage, row, [option::of(any_symbol()), option::of(any_symbol())], extra).prop_map(
            |(ind, (arrived_at, source, position, sub), row, texts, extra)| {
                let lineage = Lineage { arrived_at, source, position, sub };
                (ind, lineage.into(), row.with_texts(texts), extra.map(Into::into))
            },
        )
    }

    fn any_pin() -> impl Strategy<Value = PinProjection> {
        option::of(prop_oneof![0..=i64::MAX, Just(i64::MAX)])
            .prop_map(|follower_count| PinProjection::without_texts(&Pin { follower_count, ..Pin::from_values(&[]) }))
    }

    fn any_geo() -> impl Strategy<Value = GeoProjection> {
        any::<Option<i64>>()
            .prop_map(|timestamp| GeoProjection::without_texts(&Geo { timestamp, ..Geo::from_values(&[]) }))
    }

    fn any_user() -> impl Strategy<Value = UserProjection> {
        (any::<Option<u8>>(), any::<Option<i64>>()).prop_map(|(age, date_joined)| {
            UserProjection::without_texts(&User { age, date_joined, ..User::from_values(&[]) })
        })
    }

    fn any_input() -> impl Strategy<Value = (AggregateInput, u64, i64)> {
        let part = || {
            prop_oneof![
                Just(GroupKeyPart::Unused),
                Just(GroupKeyPart::Null),
                any_symbol().prop_map(GroupKeyPart::Text),
                any::<i32>().prop_map(GroupKeyPart::Long),
            ]
        };
        let parts: [_; GROUP_COLUMNS_MAX] = [part(), part()];
        let input = (parts, option::of(any_symbol()), any::<i64>(), any::<u16>());
        (input, prop_oneof![0..4_u64, any::<u64>()], any::<i64>()).prop_map(
            |((parts, label, value, answer), epoch, diff)| {
                (AggregateInput::new(parts, label, value, answer), epoch, diff)
            },
        )
    }

    fn any_cell() -> impl Strategy<Value = AnswerCell> {
        prop_oneof![
            Just(AnswerCell::Null),
            any::<bool>().prop_map(AnswerCell::Bool),
            any::<i64>().prop_map(AnswerCell::Long),
            any::<u64>().prop_map(|bits| AnswerCell::Double(f64::from_bits(bits))),
            any::<f64>().prop_map(AnswerCell::Double),
            "\\PC{0,40}".prop_map(|text| AnswerCell::text(&text)),
            any::<i64>().prop_map(AnswerCell::Time),
        ]
    }

    fn any_report() -> impl Strategy<Value = AnswerReport> {
        let change = (any::<u32>(), vec(any_cell(), 0..5), any::<i64>()).prop_map(|(answer, cells, diff)| {
            AnswerReport::Change(AnswerChange { answer: QuestionId::new(answer), row: AnswerRow::new(cells), diff })
        });
        let fill = (any::<u32>(), any::<u64>(), any::<u64>(), any::<u32>()).prop_map(|(question, done, total, at)| {
            AnswerReport::Fill(at as usize, FillProgress { question: QuestionId::new(question), done, total })
        });
        prop_oneof![4 => change, 1 => fill]
    }

    /// A message of any kind.
    fn any_message() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            vec(any_delivery(any_pin()), 0..20).prop_map(|records| encode_records(&records)),
            vec(any_delivery(any_geo()), 0..20).prop_map(|records| encode_records(&records)),
            vec(any_delivery(any_user()), 0..20).prop_map(|records| encode_records(&records)),
            vec(any_input(), 0..20).prop_map(|records| encode_records(&records)),
            vec(any_report(), 0..20).prop_map(|records| encode_records(&records)),
        ]
    }

    fn check_round_trip<D: WireRecord + Debug + PartialEq>(records: &[D]) -> Result<(), TestCaseError> {
        let bytes = encode_records(records);
        prop_assert_eq!(bytes.len() % 8, 0, "{} bytes", bytes.len());
        let decoded = decode_records::<D>(&bytes);
        prop_assert_eq!(decoded.as_deref(), Ok(records));
        // Equality of floats is one of bits, but nothing else shows that of all cells.
        prop_assert_eq!(format!("{decoded:?}"), format!("Ok({records:?})"));
        Ok(())
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn decoded_deliveries_equal_encoded_ones(
            pins in vec(any_delivery(any_pin()), 0..30),
            geos in vec(any_delivery(any_geo()), 0..30),
            users in vec(any_delivery(any_user()), 0..30),
        ) {
            check_round_trip(&pins)?;
            check_round_trip(&geos)?;
            check_round_trip(&users)?;
        }

        #[test]
        fn decoded_aggregate_inputs_equal_encoded_ones(inputs in vec(any_input(), 0..50)) {
            check_round_trip(&inputs)?;
        }

        #[test]
        fn decoded_answer_reports_equal_encoded_ones_to_the_last_bit(reports in vec(any_report(), 0..50)) {
            check_round_trip(&reports)?;
        }

        #[test]
        fn random_bytes_never_panic(bytes in vec(prop_oneof![0..8_u8, any::<u8>()], 0..200)) {
            let _ = check_wire_message(&bytes);
        }

        #[test]
        fn mutated_messages_never_panic(
            mut message in any_message(),
            changes in vec((any::<prop::sample::Index>(), prop_oneof![Just(0), Just(0x7f), Just(0x80), Just(0xff), any::<u8>()]), 0..6),
            end in option::weighted(0.3, any::<prop::sample::Index>()),
        ) {
            for (at, byte) in changes {
                let at = at.index(message.len());
                message[at] = byte;
            }
            message.truncate(end.map_or(usize::MAX, |end| end.index(message.len())));
            let _ = check_wire_message(&message);
        }
    }

    #[test]
    fn message_that_ends_early_is_malformed_at_every_byte() {
        let symbol = Symbol::new("a text");
        let lineage = Lineage { arrived_at: Some(5), source: symbol, position: 7_u64.into(), sub: 1 };
        let row = PinProjection::NULL.with_texts([Some(symbol), None]);
        let records = vec![(9_u64, lineage.into(), row, Some([Datum::text("extra")].into())); 3];
        let bytes = encode_records::<VersionedRow<PinProjection>>(&records);
        let padding = bytes.iter().rev().take_while(|byte| **byte == 0).count();
        for end in 0..bytes.len() - padding {
            assert!(decode_records::<VersionedRow<PinProjection>>(&bytes[..end]).is_err(), "{end} bytes");
        }
        let refused = decode_records::<VersionedRow<PinProjection>>(&[0xff; 24]).expect_err("no message");
        assert_eq!(refused.to_string(), "a number of more than 64 bits at byte 10 of a message of 24");
    }

    #[test]
    fn text_crosses_once_in_a_message() {
        let text = "a text that is long enough to be found again".repeat(10);
        let input = AggregateInput::new([Symbol::new(&text).into()], Some(Symbol::new(&text)), 5, 2);
        let bytes = encode_records(&vec![(input, 40, 1); 1_000]);
        assert!(bytes.len() < text.len() + 10 * 1_000, "{} bytes", bytes.len());
    }
}
