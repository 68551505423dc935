//! Proves from the tables alone that nothing was lost and nothing came twice.
//!
//! Every row says where it came from, and every table how far each partition was written. So, per partition:
//!
//! 1. the ledger law: rows before the position, in all tables together, are as many as the position says;
//! 2. no (`_source`, `_position`, `_sub`) stands twice, within a table or across them;
//! 3. no row of a table stands at or after that table's position;
//! 4. of a recording, every line before the position is there.
//!
//! Memory is bounded (as far as sequence numbers are spread as Amazon's are): a first pass counts rows in ranges of positions, and then as many ranges are sorted at once
//! as fit. Files are skipped by the statistics of their positions, so that most are read twice.

use std::collections::{BTreeMap, HashMap};

use pinflow_dataflows::record::Position;
use pinflow_dataflows::symbol::Symbol;
use serde::Serialize;

use super::error::DeltaError;
use super::input::FileAt;
use super::inspect::Contents;
use super::rows::{each_delivery, position_bounds};
use super::schema::Table;
use crate::position;
use crate::sinks::Delivery;

/// Rows sorted at once: 32 bytes each.
const ROWS_AT_ONCE: u64 = 8_000_000;
/// Bits of a position that are left out in the name of its range: so many positions lie in one range.
const RANGE_BITS: u32 = 16;
/// The same for sequence numbers of Kinesis, whose consecutive ones differ by 2^80 and more.
const WIDE_RANGE_BITS: u32 = 96;
/// Violations told of each kind and partition; the others are counted.
const EXAMPLES: u64 = 5;

/// What was proved, or what stands against it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// Rows looked at.
    pub rows: u64,
    /// One line for each partition.
    pub partitions: Vec<PartitionVerdict>,
    /// What is wrong, in words; empty if nothing is.
    pub violations: Vec<String>,
    /// What could not be told from these tables.
    pub notes: Vec<String>,
}

/// The sums of one partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PartitionVerdict {
    /// What its rows' `_source` says.
    pub source: String,
    /// The position up to which all its tables were written.
    #[serde(serialize_with = "position::serialize")]
    pub next: Position,
    /// Rows that the position says were read.
    pub stored: u64,
    /// Rows before it that the tables hold.
    pub found: u64,
    /// Those of them in `rejected`.
    pub rejected: u64,
}

/// Rows of one source in one range of positions.
type Counts = BTreeMap<(Symbol, Range), u64>;

/// A range of positions. Those of 64 bits and wider ones are cut by different rules, and stand in their own order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Range {
    is_wide: bool,
    number: Position,
}

impl Range {
    fn of(position: Position) -> Range {
        match position.narrow() {
            Some(_) => Range { is_wide: false, number: position.shifted(RANGE_BITS) },
            None => Range { is_wide: true, number: position.shifted(WIDE_RANGE_BITS) },
        }
    }
}

struct File {
    table: Table,
    at: FileAt,
    /// Least and greatest position, where the log says.
    bounds: Option<(Position, Position)>,
}

/// Checks the tables that were read; blocks while it reads them.
///
/// # Errors
/// If a file cannot be read.
pub fn verify(tables: &[Contents]) -> Result<Verdict, DeltaError> {
    let mut verdict = Verdict::default();
    let files: Vec<File> = tables.iter().flat_map(files).collect();
    let whole = Table::ALL.iter().all(|table| tables.iter().any(|contents| contents.which == *table));
    if !whole {
        verdict.notes.push("not all four tables are here: the ledger law was not checked".to_owned());
    }
    let positions = positions(tables);
    let counts = count(&files, &positions, tables, &mut verdict)?;
    if whole {
        ledger(&positions, &mut verdict);
    }
    repeats(&files, &counts, &positions, whole, &mut verdict)?;
    Ok(verdict)
}

fn files(contents: &Contents) -> impl Iterator<Item = File> {
    let table = contents.which;
    contents.active.iter().map(move |file| File {
        table,
        at: file.at.clone(),
        bounds: file.stats.as_deref().and_then(position_bounds),
    })
}

/// What all tables say of a source together.
struct Known {
    next: Position,
    stored: u64,
}

/// The least position of each source over the tables that know it, as a restart would resume.
fn positions(tables: &[Contents]) -> BTreeMap<Symbol, Known> {
    let stored: Vec<_> = tables.iter().map(|contents| (contents.which, contents.reached.clone())).collect();
    let resumed = super::decide::resume(&stored).into_values();
    let known = resumed.map(|resumed| {
        let (next, stored) = resumed.at.map_or((Position::START, 0), |at| (at.reached.next, at.reached.rows));
        (Symbol::new(&resumed.source), Known { next, stored })
    });
    known.collect()
}

/// The first pass: counts rows, and finds those at or after their table's position.
fn count(
    files: &[File],
    positions: &BTreeMap<Symbol, Known>,
    tables: &[Contents],
    verdict: &mut Verdict,
) -> Result<Counts, DeltaError> {
    let mut counts = Counts::new();
    let mut before: BTreeMap<Symbol, (u64, u64)> = BTreeMap::new();
    let mut beyond: BTreeMap<(Symbol, Table), (u64, Delivery)> = BTreeMap::new();
    let mut stored = HashMap::new();
    for contents in tables {
        for moved in &contents.reached {
            stored.insert((Symbol::new(&moved.source), contents.which), moved.reached.next);
        }
    }
    for file in files {
        let rejected = u64::from(file.table == Table::Rejected);
        each_delivery(&file.at, |delivery| {
            let Delivery { source, position, .. } = delivery;
            verdict.rows += 1;
            *counts.entry((source, Range::of(position))).or_default() += 1;
            if positions.get(&source).is_some_and(|known| position < known.next) {
                let (rows, of_them) = before.entry(source).or_default();
                (*rows, *of_them) = (*rows + 1, *of_them + rejected);
            }
            if stored.get(&(source, file.table)).is_none_or(|next| position >= *next) {
                beyond.entry((source, file.table)).or_insert((0, delivery)).0 += 1;
            }
        })?;
    }
    for ((source, table), (rows, first)) in beyond {
        verdict.violations.push(format!(
            "{table}: {rows} rows of {source} stand at or after its stored position, for example {}",
            first.position
        ));
    }
    for (source, known) in positions {
        let (found, rejected) = before.get(source).copied().unwrap_or_default();
        let source = source.text().to_owned();
        verdict.partitions.push(PartitionVerdict { source, next: known.next, stored: known.stored, found, rejected });
    }
    Ok(counts)
}

fn ledger(positions: &BTreeMap<Symbol, Known>, verdict: &mut Verdict) {
    debug_assert_eq!(positions.len(), verdict.partitions.len());
    for PartitionVerdict { source, next, stored, found, .. } in &verdict.partitions {
        if stored != found {
            verdict.violations.push(format!(
                "{source}: {stored} rows were read before position {next}, the tables hold {found} of them"
            ));
        }
    }
}

/// The further passes: sorts ranges of positions, and finds repeats and, in recordings, gaps.
fn repeats(
    files: &[File],
    counts: &Counts,
    positions: &BTreeMap<Symbol, Known>,
    whole: bool,
    verdict: &mut Verdict,
) -> Result<(), DeltaError> {
    let mut tallies: BTreeMap<Symbol, Tally> = BTreeMap::new();
    let mut ranges = counts.iter().peekable();
    while ranges.peek().is_some() {
        let mut taken: HashMap<Symbol, (Range, Range)> = HashMap::new();
        let mut rows = 0;
        while let Some((&(source, range), count)) =
            ranges.next_if(|(_, count)| rows == 0 || rows + **count <= ROWS_AT_ONCE)
        {
            rows += count;
            taken.entry(source).or_insert((range, range)).1 = range;
        }
        for (source, mut deliveries) in gather(files, &taken)? {
            deliveries.sort_unstable();
            tallies
                .entry(source)
                .or_default()
                .take_in(&deliveries, positions.get(&source).map_or(Position::START, |known| known.next));
        }
    }
    for (source, known) in positions {
        let tally = tallies.remove(source).unwrap_or_default();
        tally.report(*source, known, whole, verdict);
    }
    for (source, tally) in tallies {
        tally.report(source, &Known { next: Position::START, stored: 0 }, false, verdict);
    }
    Ok(())
}

/// The rows of the given ranges, by source.
fn gather(files: &[File], taken: &HashMap<Symbol, (Range, Range)>) -> Result<BTreeMap<Symbol, Vec<Place>>, DeltaError> {
    let mut found: BTreeMap<Symbol, Vec<Place>> = BTreeMap::new();
    for file in files {
        let meets = |(low, high): (Position, Position)| {
            taken.values().any(|(first, last)| Range::of(low) <= *last && Range::of(high) >= *first)
        };
        if file.bounds.is_some_and(|bounds| !meets(bounds)) {
            continue;
        }
        each_delivery(&file.at, |Delivery { source, position, sub }| {
            let inside = |(first, last): &(Range, Range)| (*first..=*last).contains(&Range::of(position));
            if taken.get(&source).is_some_and(inside) {
                found.entry(source).or_default().push((position, sub));
            }
        })?;
    }
    Ok(found)
}

/// A row's position, and its number in its message.
type Place = (Position, u32);

/// What the sorted rows of one source say, range after range.
#[derive(Default)]
struct Tally {
    repeats: u64,
    examples: Vec<Place>,
    /// Distinct positions before the partition's own.
    distinct: u64,
    last: Option<Position>,
    gaps: Vec<(Position, Position)>,
}

impl Tally {
    fn take_in(&mut self, sorted: &[Place], next: Position) {
        for pair in sorted.windows(2).filter(|pair| pair[0] == pair[1]) {
            self.repeats += 1;
            if self.repeats <= EXAMPLES {
                self.examples.push(pair[0]);
            }
        }
        for &(position, _) in sorted.iter().filter(|(position, _)| *position < next) {
            if self.last == Some(position) {
                continue;
            }
            let expected = self.last.map_or(Position::from(1), Position::after);
            if position > expected && (self.gaps.len() as u64) < EXAMPLES {
                self.gaps.push((expected, position.before()));
            }
            self.distinct += 1;
            self.last = Some(position);
        }
    }

    fn report(mut self, source: Symbol, known: &Known, whole: bool, verdict: &mut Verdict) {
        if self.repeats > 0 {
            let examples: Vec<String> =
                self.examples.iter().map(|(position, sub)| format!("{position}/{sub}")).collect();
            verdict.violations.push(format!(
                "{source}: {} rows repeat one that is there already, for example (position/sub) {}",
                self.repeats,
                examples.join(", ")
            ));
        }
        let lines = known.next.narrow().map_or(0, |next| next.saturating_sub(1));
        // Kafka offsets and Kinesis numbers may have gaps; lines of a recording have none.
        if whole && source.text().starts_with("recording/") && self.distinct < lines {
            let last = self.last.unwrap_or_default();
            if last < lines.into() {
                self.gaps.push((last.after(), lines.into()));
            }
            let gaps: Vec<String> = self.gaps.iter().map(|(first, last)| format!("{first}-{last}")).collect();
            verdict.violations.push(format!(
                "{source}: {} of {lines} lines are in no table, for example {}",
                lines - self.distinct,
                gaps.join(", ")
            ));
        }
    }
}
