//! Versions: which of two deliveries of the same `ind` is newer, and how a stored row keeps its version in 12 bytes.

use std::num::NonZeroU32;

use hashbrown::HashMap;
use pinflow_sql::datum::Datum;
use serde::{Deserialize, Serialize};

use crate::hash::KeyedState;
use crate::record::{Ind, Lineage, Position};
use crate::symbol::Symbol;
use crate::wire::{MalformedMessage, MessageReader, MessageWriter, WireRecord, read_values, write_values};

/// The values of the columns that questions read of a row besides its projection. `None` if there are no such columns.
pub(crate) type ExtraValues = Option<Box<[Datum]>>;

/// A delivery: its key, its version, its projected row and the values of its extra columns.
pub(crate) type VersionedRow<R> = (Ind, Version, R, ExtraValues);

/// A [`Lineage`] in 40 bytes, with the same order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Version {
    /// `i64::MIN` if there is no arrival time. As a time that would be 292,000 years ago.
    arrived_at: i64,
    source: Symbol,
    position: Position,
    sub: u32,
}

impl From<Lineage> for Version {
    fn from(lineage: Lineage) -> Version {
        let Lineage { arrived_at, source, position, sub } = lineage;
        Version { arrived_at: arrived_at.unwrap_or(i64::MIN), source, position, sub }
    }
}

impl<R: WireRecord> WireRecord for VersionedRow<R> {
    fn write(&self, to: &mut MessageWriter) {
        let (ind, Version { arrived_at, source, position, sub }, row, extra) = self;
        to.write_number(*ind);
        to.write_version(*arrived_at, *source, *position, *sub);
        row.write(to);
        write_extra(extra, to);
    }

    fn read(from: &mut MessageReader<'_>) -> Result<VersionedRow<R>, MalformedMessage> {
        let ind = from.read_number()?;
        let (arrived_at, source, position, sub) = from.read_version()?;
        let version = Version { arrived_at, source, position, sub };
        Ok((ind, version, R::read(from)?, read_extra(from)?))
    }

    fn heap_bytes(&self) -> usize {
        let (.., extra) = self;
        extra.iter().flatten().map(Datum::allocated_bytes).sum()
    }
}

/// Writes extra values: whether there are such columns, and the values.
pub(crate) fn write_extra(extra: &ExtraValues, to: &mut MessageWriter) {
    match extra {
        None => to.write_byte(0),
        Some(values) => {
            to.write_byte(1);
            write_values(values, to);
        }
    }
}

/// Reads what [`write_extra`] wrote.
pub(crate) fn read_extra(from: &mut MessageReader<'_>) -> Result<ExtraValues, MalformedMessage> {
    match from.read_byte()? {
        0 => Ok(None),
        1 => read_values(from).map(Some),
        _ => Err(from.malformed("extra values that are neither there nor not")),
    }
}

/// A [`Version`] in 12 bytes, as stored with every row. The parts that many versions share are in [`VersionPrefixes`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PackedVersion {
    /// The low half of the arrival time.
    arrived_at: u32,
    /// The low half of the position, or the index in [`VersionPrefixes::wide`] if the position has more than 64 bits.
    position: u32,
    prefix: NonZeroU32,
}

/// What a version shares with many others: the high half of its arrival time (equal for 71 minutes), the source, the
/// high half of the position (`None` if it has more than 64 bits), and the sub-number.
type VersionPrefix = (i32, Symbol, Option<u32>, u32);

/// The prefixes seen so far, and the stored positions of more than 64 bits.
///
/// There are few prefixes compared to rows: one per partition and sub-number for each 71 minutes. The halves of a wide
/// position do not repeat, because consecutive sequence numbers of Kinesis differ in their upper half. So each wide
/// position has an entry of its own, which is reused after [`release`](VersionPrefixes::release).
#[derive(Debug, Default)]
pub(crate) struct VersionPrefixes {
    numbers: HashMap<VersionPrefix, NonZeroU32, KeyedState>,
    prefixes: Vec<VersionPrefix>,
    wide: Vec<Position>,
    free: Vec<u32>,
}

impl VersionPrefixes {
    pub(crate) fn pack(&mut self, version: Version) -> PackedVersion {
        let Version { arrived_at, source, position, sub } = version;
        let (high, low) = match position.narrow() {
            Some(position) => (Some((position >> 32) as u32), position as u32),
            None => (None, self.store_wide(position)),
        };
        let prefix = ((arrived_at >> 32) as i32, source, high, sub);
        let number = *self.numbers.entry(prefix).or_insert_with(|| {
            self.prefixes.push(prefix);
            let number = u32::try_from(self.prefixes.len()).ok().and_then(NonZeroU32::new);
            number.expect("a worker meets fewer than 2^32 prefixes")
        });
        PackedVersion { arrived_at: arrived_at as u32, position: low, prefix: number }
    }

    fn store_wide(&mut self, position: Position) -> u32 {
        if let Some(place) = self.free.pop() {
            self.wide[place as usize] = position;
            return place;
        }
        self.wide.push(position);
        u32::try_from(self.wide.len() - 1).expect("a worker holds fewer than 2^32 versions")
    }

    fn prefix_of(&self, held: PackedVersion) -> VersionPrefix {
        self.prefixes[held.prefix.get() as usize - 1]
    }

    /// Frees the entry of a version that is no longer stored.
    pub(crate) fn release(&mut self, held: PackedVersion) {
        if let (_, _, None, _) = self.prefix_of(held) {
            self.free.push(held.position);
        }
    }

    pub(crate) fn unpack(&self, held: PackedVersion) -> Version {
        let (time, source, high, sub) = self.prefix_of(held);
        let arrived_at = i64::from(time) << 32 | i64::from(held.arrived_at);
        let position = match high {
            Some(high) => Position::from(u64::from(high) << 32 | u64::from(held.position)),
            None => self.wide[held.position as usize],
        };
        Version { arrived_at, source, position, sub }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn wide_position() -> impl Strategy<Value = Position> {
        "[1-9][0-9]{20,55}".prop_map(|digits| Position::parse(digits.as_bytes()).unwrap_or_default())
    }

    fn any_version() -> impl Strategy<Value = Version> {
        let position = prop_oneof![any::<u64>().prop_map(Position::from), wide_position()];
        let lineage = (any::<Option<i64>>(), "[ab]{0,2}", position, any::<u32>());
        lineage.prop_map(|(arrived_at, source, position, sub)| {
            Version::from(Lineage { arrived_at, source: Symbol::new(&source), position, sub })
        })
    }

    proptest! {
        #[test]
        fn unpacked_version_equals_packed_one(versions in proptest::collection::vec(any_version(), 1..20)) {
            let mut prefixes = VersionPrefixes::default();
            let held: Vec<_> = versions.iter().map(|version| prefixes.pack(*version)).collect();
            let back: Vec<_> = held.into_iter().map(|held| prefixes.unpack(held)).collect();
            prop_assert_eq!(back, versions);
        }

        #[test]
        fn wide_position_entry_is_reused_after_release(one in any_version(), others in proptest::collection::vec(wide_position(), 2..20)) {
            let mut prefixes = VersionPrefixes::default();
            let mut held = prefixes.pack(one);
            for position in others {
                prefixes.release(held);
                held = prefixes.pack(Version { position, ..one });
                prop_assert_eq!(prefixes.unpack(held), Version { position, ..one });
                prop_assert_eq!(prefixes.wide.len(), 1);
            }
        }
    }
}
