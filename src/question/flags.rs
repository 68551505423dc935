//! Flags for the options of questions, which several commands share.

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use pinflow_dataflows::graph::{DuplicatePolicy, GraphOptions, MedianMethod, RankLimit, TieRule, UnknownOption};

/// The options of rankings and medians.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct RankingFlags {
    /// Which of several rows with the same rank to list [default: first]
    #[arg(long, value_name = "first|all", value_parser = tie_rules())]
    ties: Option<TieRule>,
    /// Ranks to list per group: a number from 1, or all [default: 1]
    #[arg(long, value_name = "N|all")]
    top: Option<RankLimit>,
    /// The median of an even number of values [default: exact]
    #[arg(long, value_name = "exact|lower", value_parser = median_methods())]
    median: Option<MedianMethod>,
}

impl RankingFlags {
    /// Overrides options with the flags that are given.
    pub(crate) fn apply(self, options: &mut GraphOptions) {
        options.ties = self.ties.unwrap_or(options.ties);
        options.top = self.top.unwrap_or(options.top);
        options.median = self.median.unwrap_or(options.median);
    }

    /// The default options, overridden with the flags that are given.
    pub(super) fn graph_options(self) -> GraphOptions {
        let mut options = GraphOptions::default();
        self.apply(&mut options);
        options
    }
}

/// Parses one of these values, each with its help. The help lists them, and an error names them.
fn one_of<T>(values: [(&'static str, &'static str); 2]) -> impl TypedValueParser<Value = T>
where
    T: std::str::FromStr<Err = UnknownOption> + Clone + Send + Sync + 'static,
{
    let values = values.map(|(name, help)| PossibleValue::new(name).help(help));
    PossibleValuesParser::new(values).try_map(|text| text.parse::<T>())
}

pub(crate) fn duplicate_policies() -> impl TypedValueParser<Value = DuplicatePolicy> {
    one_of([("latest", "Only the latest row of each stream"), ("keep", "Every row: repeats multiply")])
}

fn tie_rules() -> impl TypedValueParser<Value = TieRule> {
    one_of([("first", "The first one by name"), ("all", "All of them")])
}

fn median_methods() -> impl TypedValueParser<Value = MedianMethod> {
    one_of([("exact", "The mean of the two middle values"), ("lower", "The lower one of the two middle values")])
}
