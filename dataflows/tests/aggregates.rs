//! Each aggregate, under random insertions and retractions, gives the same rows as a computation from scratch.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;

use pinflow_dataflows::aggregates::{
    Aggregate, GroupUpdate, MedianMethod, NegativeCount, QueryOptions, RankLimit, TieRule, consolidate,
};
use pinflow_dataflows::answer::AnswerCell;
use pinflow_dataflows::symbol::Symbol;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

/// Labels whose order by text differs from the order in which they are interned.
fn any_label() -> impl Strategy<Value = Option<Symbol>> {
    option::weighted(0.9, select(vec!["m", "z", "a", "ä", "", "aa", "M"]).prop_map(Symbol::new))
}

/// So many labels in one group that most are outside the top-k buffer, and the top ones are removed again and again.
fn any_crowd() -> impl Strategy<Value = Vec<Vec<GroupUpdate>>> {
    let label = |n: u32| Some(Symbol::new(&format!("crowd {n}")));
    (300..1500u32, 10..400i64, 5..60usize, any::<u64>()).prop_map(move |(labels, values, each, seed)| {
        // splitmix64 by its increment alone is well spread enough for values.
        let value = |n: u32| (seed.wrapping_mul(u64::from(n) + 1) >> 33) as i64 % values;
        let rows: Vec<_> = (0..labels).map(|n| GroupUpdate { label: label(n), value: value(n), diff: 1 }).collect();
        let mut epochs: Vec<Vec<_>> = rows.chunks(each).map(<[GroupUpdate]>::to_vec).collect();
        let mut greatest_first = rows;
        greatest_first.sort_by_key(|row| std::cmp::Reverse(row.value));
        epochs.extend(
            greatest_first.chunks(each).map(|gone| gone.iter().map(|it| GroupUpdate { diff: -1, ..*it }).collect()),
        );
        epochs
    })
}

fn any_value() -> impl Strategy<Value = i64> {
    prop_oneof![4 => 0..6i64, 1 => select(vec![i64::MIN, i64::MIN + 1, -1, 1 << 40, i64::MAX])]
}

/// Rows by epoch. Some of them are removed in a later epoch.
fn any_epochs() -> impl Strategy<Value = Vec<Vec<GroupUpdate>>> {
    const EPOCHS: usize = 8;
    let row = (any_label(), any_value(), 0..EPOCHS, option::weighted(0.6, 0..EPOCHS), 1..3i64);
    vec(row, 0..60).prop_map(|rows| {
        let mut epochs = vec![Vec::new(); EPOCHS];
        for (label, value, comes, goes, times) in rows {
            epochs[comes].push(GroupUpdate { label, value, diff: times });
            if let Some(goes) = goes.filter(|goes| *goes >= comes) {
                epochs[goes].insert(0, GroupUpdate { label, value, diff: -times });
            }
        }
        // In the end all of them go: nothing must be left.
        let mut left: Vec<GroupUpdate> = epochs.iter().flatten().copied().collect();
        left.iter_mut().for_each(|update| update.diff = -update.diff);
        epochs.push(left);
        epochs
    })
}

fn any_options() -> impl Strategy<Value = QueryOptions> {
    let top = prop_oneof![1 => Just(RankLimit::All), 3 => (1..5u32).prop_map(|k| NonZeroU32::new(k).map_or(RankLimit::All, RankLimit::Ranks))];
    (select(vec![TieRule::First, TieRule::All]), top, select(vec![MedianMethod::Exact, MedianMethod::Lower]))
        .prop_map(|(ties, top, median)| QueryOptions { ties, top, median })
}

type ExpectedRows = BTreeSet<(Option<Symbol>, AnswerCell)>;

/// The answer, computed from all current rows.
fn from_scratch(
    measure: Aggregate,
    rows: &BTreeMap<(Option<Symbol>, i64), i64>,
    options: &QueryOptions,
) -> ExpectedRows {
    let all = || rows.iter().flat_map(|((label, value), n)| std::iter::repeat_n((*label, *value), *n as usize));
    let count = all().count() as i64;
    match measure {
        _ if count == 0 => ExpectedRows::new(),
        Aggregate::Count => [(None, AnswerCell::Long(count))].into(),
        Aggregate::CountDistinct => {
            let labels = all().filter_map(|(label, _)| label).collect::<BTreeSet<_>>();
            [(None, AnswerCell::Long(labels.len() as i64))].into()
        }
        Aggregate::TopByCount | Aggregate::TopByMax => {
            let mut by_label: BTreeMap<Symbol, (i64, i64)> = BTreeMap::new();
            for (label, value) in all().filter_map(|(label, value)| Some((label?, value))) {
                let (rows, greatest) = by_label.entry(label).or_insert((0, i64::MIN));
                *rows += 1;
                *greatest = value.max(*greatest);
            }
            let by_rows = measure == Aggregate::TopByCount;
            let ranked = by_label.into_iter().map(|(label, (n, max))| (label, if by_rows { n } else { max }));
            listed_rows(ranked.collect(), options)
        }
        Aggregate::Median => {
            let mut values: Vec<_> = all().map(|(_, value)| i128::from(value)).collect();
            values.sort_unstable();
            let lower = values[(values.len() - 1) / 2];
            let upper = if options.median == MedianMethod::Exact { values[values.len() / 2] } else { lower };
            [(None, AnswerCell::Double((lower + upper) as f64 / 2.0))].into()
        }
    }
}

fn listed_rows(mut ranked: Vec<(Symbol, i64)>, options: &QueryOptions) -> ExpectedRows {
    ranked.sort_by(|one, other| other.1.cmp(&one.1).then(one.0.text().cmp(&other.0.text())));
    let mut values: Vec<_> = ranked.iter().map(|(_, value)| *value).collect();
    values.dedup();
    let rank = |at: usize, value| match options.ties {
        TieRule::First => at,
        TieRule::All => values.iter().position(|it| *it == value).expect("one of them"),
    };
    let inside = |rank: usize| match options.top {
        RankLimit::All => true,
        RankLimit::Ranks(k) => rank < k.get() as usize,
    };
    let rows = ranked.iter().enumerate().filter(|(at, (_, value))| inside(rank(*at, *value)));
    rows.map(|(_, (label, value))| (Some(*label), AnswerCell::Long(*value))).collect()
}

fn check_aggregate(
    measure: Aggregate,
    epochs: Vec<Vec<GroupUpdate>>,
    options: &QueryOptions,
) -> Result<(), TestCaseError> {
    let mut state = measure.empty_group();
    let mut rows = BTreeMap::new();
    let mut answer = ExpectedRows::new();
    for mut updates in epochs {
        for update in &updates {
            *rows.entry((update.label, update.value)).or_default() += update.diff;
        }
        rows.retain(|_, count| *count != 0);
        consolidate(&mut updates);
        let mut changes = BTreeMap::new();
        state
            .apply(&updates, options, &mut |label, value, diff| *changes.entry((label, value)).or_insert(0) += diff)
            .expect("never negative");
        for (row, diff) in changes {
            prop_assert_ne!(diff, 0, "{:?} comes and goes for nothing", row);
            prop_assert!(
                if diff == 1 { answer.insert(row.clone()) } else { diff == -1 && answer.remove(&row) },
                "{:?}",
                row
            );
        }
        prop_assert_eq!(&answer, &from_scratch(measure, &rows, options));
    }
    prop_assert_eq!(state.entries(), 0, "an empty group holds nothing");
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn count_equals_recomputed_count(epochs in any_epochs(), options in any_options()) {
        check_aggregate(Aggregate::Count, epochs, &options)?;
    }

    #[test]
    fn distinct_count_equals_recomputed_count(epochs in any_epochs(), options in any_options()) {
        check_aggregate(Aggregate::CountDistinct, epochs, &options)?;
    }

    #[test]
    fn top_by_count_equals_recomputed_ranking(epochs in any_epochs(), options in any_options()) {
        check_aggregate(Aggregate::TopByCount, epochs, &options)?;
    }

    #[test]
    fn top_by_max_equals_recomputed_ranking(epochs in any_epochs(), options in any_options()) {
        check_aggregate(Aggregate::TopByMax, epochs, &options)?;
    }

    #[test]
    fn median_equals_recomputed_median(epochs in any_epochs(), options in any_options()) {
        check_aggregate(Aggregate::Median, epochs, &options)?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn ranking_of_large_group_equals_recomputed_ranking(epochs in any_crowd(), options in any_options(), by_rows: bool) {
        check_aggregate(if by_rows { Aggregate::TopByCount } else { Aggregate::TopByMax }, epochs, &options)?;
    }
}

#[test]
fn retraction_of_missing_row_is_an_error() {
    let label = Some(Symbol::new("never"));
    for measure in
        [Aggregate::Count, Aggregate::CountDistinct, Aggregate::TopByCount, Aggregate::TopByMax, Aggregate::Median]
    {
        let mut state = measure.empty_group();
        let there = [GroupUpdate { label, value: 7, diff: 1 }];
        state.apply(&there, &QueryOptions::default(), &mut |_, _, _| {}).expect("fits");
        let more = [GroupUpdate { label, value: 7, diff: -3 }];
        let NegativeCount { count, .. } =
            state.apply(&more, &QueryOptions::default(), &mut |_, _, _| {}).expect_err("negative");
        assert_eq!(count, -2, "{measure:?}");
    }
}

/// An update must not list its group again: only the change is emitted.
#[test]
fn update_of_large_group_emits_only_the_change() {
    let labels: Vec<_> = (0..10_000).map(|n| Symbol::new(&format!("label {n}"))).collect();
    let mut rows: Vec<_> = labels.iter().map(|label| GroupUpdate { label: Some(*label), value: 1, diff: 1 }).collect();
    consolidate(&mut rows);
    for measure in [Aggregate::TopByCount, Aggregate::TopByMax] {
        for (ties, top) in
            [(TieRule::All, RankLimit::default()), (TieRule::All, RankLimit::All), (TieRule::First, RankLimit::All)]
        {
            let options = QueryOptions { ties, top, median: MedianMethod::Exact };
            let mut state = measure.empty_group();
            let mut emitted = 0;
            state.apply(&rows, &options, &mut |_, _, _| emitted += 1).expect("fits");
            assert_eq!(emitted, 10_000);
            let gone = [GroupUpdate { label: Some(labels[5_000]), value: 1, diff: -1 }];
            let mut emitted = Vec::new();
            state.apply(&gone, &options, &mut |label, _, diff| emitted.push((label, diff))).expect("fits");
            assert_eq!(emitted, [(Some(labels[5_000]), -1)], "{measure:?} {options:?}");
        }
    }
}
