//! What is made, seen from where a reader stands.

mod malformed;
mod posts;
mod proportions;
mod recordings;

use pinflow_dataflows::record::Stream;
use serde_json::Value;

use super::composer::{Composer, Recipe};
use super::draws::Order;
use super::malformed::Menu;
use super::wrap::Wrap;

/// Good messages of the rows of `inds`, in order.
fn recipe(seed: u64, inds: u64) -> Recipe {
    Recipe::new(seed, inds, Order::Once, Wrap::None, 0.0, Menu::default())
}

fn text(recipe: &Recipe, stream: Stream, draws: std::ops::Range<u64>) -> Vec<u8> {
    let mut composer = Composer::new(recipe, stream, draws);
    let mut out = Vec::new();
    while !composer.done() {
        composer.message(&mut out);
    }
    out
}

fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.strip_suffix(b"\n").unwrap_or(text).split(|byte| *byte == b'\n')
}

fn values(recipe: &Recipe, stream: Stream, count: u64) -> Vec<Value> {
    lines(&text(recipe, stream, 0..count)).map(|line| serde_json::from_slice(line).unwrap()).collect()
}
