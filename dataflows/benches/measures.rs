//! The cost of one update over groups of 10³…10⁷ values: flat, up to the logarithm.
//!
//! `cargo bench -p pinflow-dataflows --bench measures` goes to 10⁶; `-- 7` goes to 10⁷, which takes about 3 GB.

#![allow(clippy::print_stdout, missing_docs, reason = "a bench prints what it measures")]

use std::num::NonZeroU32;
use std::time::Instant;

use pinflow_dataflows::measures::{Measure, Median, Terms, Ties, Top, Update, consolidate};
use pinflow_dataflows::symbol::Symbol;

const UPDATES: u64 = 200_000;

/// A well mixed number from a seed (Steele, Lea and Flood, *SplitMix*).
fn mix(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The nth value of a group: all are different.
fn value(n: u64) -> i64 {
    (mix(n) >> 2) as i64
}

/// Nanoseconds for an update, and rows emitted by it, both on average.
fn measure(measure: Measure, terms: &Terms, values: u64, labels: &[Symbol]) -> (f64, f64) {
    let row = |n: u64, diff| Update {
        label: Some(labels[(mix(n + 7) % labels.len() as u64) as usize]),
        value: value(n),
        diff,
    };
    let mut group: Vec<_> = (0..values).map(|n| row(n, 1)).collect();
    consolidate(&mut group);
    let mut state = measure.empty_group();
    state.apply(&group, terms, &mut |_, _, _| {}).expect("fits");
    drop(group);
    // Each update takes one value away, or brings it back, or brings a new one.
    let updates: Vec<_> = (0..UPDATES / 4)
        .flat_map(|n| {
            let (old, new) = (mix(n) % values, values + n);
            [row(old, -1), row(new, 1), row(old, 1), row(new, -1)]
        })
        .collect();
    let mut emitted = 0;
    let start = Instant::now();
    for update in &updates {
        state.apply(std::slice::from_ref(update), terms, &mut |_, _, _| emitted += 1).expect("fits");
    }
    let nanos = start.elapsed().as_nanos() as f64;
    (nanos / updates.len() as f64, f64::from(emitted) / updates.len() as f64)
}

fn main() {
    let largest = std::env::args().filter_map(|argument| argument.parse().ok()).next().unwrap_or(6);
    let first = Terms::default();
    let top = |k| NonZeroU32::new(k).map_or(Top::All, Top::Ranks);
    let cases = [
        ("median, exact", Measure::Median, first),
        ("median, lower", Measure::Median, Terms { median: Median::Lower, ..first }),
        ("labels by rows, top 1", Measure::LabelsByRows, first),
        ("labels by rows, top 100, all ties", Measure::LabelsByRows, Terms { ties: Ties::All, top: top(100), ..first }),
        ("labels by rows, all", Measure::LabelsByRows, Terms { top: Top::All, ..first }),
        ("labels by greatest, top 1", Measure::LabelsByGreatest, first),
        (
            "labels by greatest, top 100, all ties",
            Measure::LabelsByGreatest,
            Terms { ties: Ties::All, top: top(100), ..first },
        ),
        ("labels by greatest, all", Measure::LabelsByGreatest, Terms { top: Top::All, ..first }),
        ("distinct labels", Measure::DistinctLabels, first),
    ];
    let labels: Vec<_> = (0..10_u64.pow(largest) / 10).map(|n| Symbol::new(&format!("label {n}"))).collect();
    println!("nanoseconds (rows emitted) for one update; a tenth as many labels as values");
    for (name, of, terms) in cases {
        let costs = (3..=largest).map(|power| {
            let values = 10_u64.pow(power);
            let (nanos, emitted) = measure(of, &terms, values, &labels[..(values / 10) as usize]);
            format!("10^{power}: {nanos:.0} ({emitted:.2})")
        });
        println!("{name:38} {}", costs.collect::<Vec<_>>().join("   "));
    }
}
