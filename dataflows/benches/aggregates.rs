//! The cost of one update of a group of 10³ to 10⁷ values. It must grow at most logarithmically.
//!
//! `cargo bench -p pinflow-dataflows --bench aggregates` goes to 10⁶. `-- 7` goes to 10⁷ and needs about 4 GB.

#![allow(clippy::print_stdout, missing_docs, reason = "a bench prints what it measures")]

use std::num::NonZeroU32;
use std::time::Instant;

use pinflow_dataflows::aggregates::{
    Aggregate, GroupUpdate, MedianMethod, QueryOptions, RankLimit, TieRule, consolidate,
};
use pinflow_dataflows::symbol::Symbol;

const UPDATES: u64 = 200_000;

/// A pseudo-random number (Steele, Lea and Flood, *SplitMix*).
fn splitmix(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The nth value of a group. All values differ.
fn nth_value(n: u64) -> i64 {
    (splitmix(n) >> 2) as i64
}

/// The nanoseconds per update and the rows emitted per update, on average.
fn time_updates(measure: Aggregate, options: &QueryOptions, values: u64, labels: &[Symbol]) -> (f64, f64) {
    let row = |n: u64, diff| GroupUpdate {
        label: Some(labels[(splitmix(n + 7) % labels.len() as u64) as usize]),
        value: nth_value(n),
        diff,
    };
    let mut group: Vec<_> = (0..values).map(|n| row(n, 1)).collect();
    consolidate(&mut group);
    let mut state = measure.empty_group();
    state.apply(&group, options, &mut |_, _, _| {}).expect("fits");
    drop(group);
    // Each update takes one value away, or brings it back, or brings a new one.
    let updates: Vec<_> = (0..UPDATES / 4)
        .flat_map(|n| {
            let (old, new) = (splitmix(n) % values, values + n);
            [row(old, -1), row(new, 1), row(old, 1), row(new, -1)]
        })
        .collect();
    let mut emitted = 0;
    let start = Instant::now();
    for update in &updates {
        state.apply(std::slice::from_ref(update), options, &mut |_, _, _| emitted += 1).expect("fits");
    }
    let nanos = start.elapsed().as_nanos() as f64;
    (nanos / updates.len() as f64, f64::from(emitted) / updates.len() as f64)
}

/// The average and greatest nanoseconds to remove the label with the maximum, again and again: the worst case of the
/// top-k buffer.
fn time_max_removals(values: u64, labels: &[Symbol]) -> (f64, f64) {
    let mut rows: Vec<_> = (0..values).map(|n| (labels[n as usize], nth_value(n))).collect();
    let mut group: Vec<_> =
        rows.iter().map(|(label, value)| GroupUpdate { label: Some(*label), value: *value, diff: 1 }).collect();
    consolidate(&mut group);
    let mut state = Aggregate::TopByMax.empty_group();
    state.apply(&group, &QueryOptions::default(), &mut |_, _, _| {}).expect("fits");
    drop(group);
    rows.sort_unstable_by_key(|(_, value)| std::cmp::Reverse(*value));
    let (mut total, mut longest) = (0, 0);
    let gone = rows.len().min(UPDATES as usize);
    for (label, value) in &rows[..gone] {
        let update = GroupUpdate { label: Some(*label), value: *value, diff: -1 };
        let start = Instant::now();
        state.apply(std::slice::from_ref(&update), &QueryOptions::default(), &mut |_, _, _| {}).expect("fits");
        let nanos = start.elapsed().as_nanos();
        (total, longest) = (total + nanos, longest.max(nanos));
    }
    (total as f64 / gone as f64, longest as f64)
}

fn main() {
    let largest = std::env::args().filter_map(|argument| argument.parse().ok()).next().unwrap_or(6);
    let first = QueryOptions::default();
    let top = |k| NonZeroU32::new(k).map_or(RankLimit::All, RankLimit::Ranks);
    let cases = [
        ("median, exact", Aggregate::Median, first),
        ("median, lower", Aggregate::Median, QueryOptions { median: MedianMethod::Lower, ..first }),
        ("labels by rows, top 1", Aggregate::TopByCount, first),
        (
            "labels by rows, top 100, all ties",
            Aggregate::TopByCount,
            QueryOptions { ties: TieRule::All, top: top(100), ..first },
        ),
        ("labels by rows, all", Aggregate::TopByCount, QueryOptions { top: RankLimit::All, ..first }),
        ("labels by greatest, top 1", Aggregate::TopByMax, first),
        (
            "labels by greatest, top 100, all ties",
            Aggregate::TopByMax,
            QueryOptions { ties: TieRule::All, top: top(100), ..first },
        ),
        ("labels by greatest, all", Aggregate::TopByMax, QueryOptions { top: RankLimit::All, ..first }),
        ("distinct labels", Aggregate::CountDistinct, first),
    ];
    let labels: Vec<_> = (0..10_u64.pow(largest)).map(|n| Symbol::new(&format!("label {n}"))).collect();
    println!("nanoseconds (rows emitted) for one update; a tenth as many labels as values");
    for (name, of, options) in cases {
        let costs = (3..=largest).map(|power| {
            let values = 10_u64.pow(power);
            let (nanos, emitted) = time_updates(of, &options, values, &labels[..(values / 10) as usize]);
            format!("10^{power}: {nanos:.0} ({emitted:.2})")
        });
        println!("{name:38} {}", costs.collect::<Vec<_>>().join("   "));
    }
    let costs = (3..=largest).map(|power| {
        let (nanos, longest) = time_max_removals(10_u64.pow(power), &labels);
        format!("10^{power}: {nanos:.0} (at most {:.0} µs)", longest / 1e3)
    });
    println!("{:38} {}", "labels by greatest, the greatest goes", costs.collect::<Vec<_>>().join("   "));
}
