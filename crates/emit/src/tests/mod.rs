//! Tests of generated messages, from the point of view of a reader.

mod distributions;
mod malformed;
mod posts;
mod recordings;

use pinflow_dataflows::record::Stream;
use serde_json::Value;

use super::generate::{ComposerConfig, DrawOrder, MalformedOptions, MessageComposer, WrapMode};

/// A configuration for well-formed messages of `inds` rows, in order.
fn config(seed: u64, inds: u64) -> ComposerConfig {
    ComposerConfig::new(seed, inds, DrawOrder::Once, WrapMode::None, 0.0, MalformedOptions::default())
}

fn generate_text(config: &ComposerConfig, stream: Stream, draws: std::ops::Range<u64>) -> Vec<u8> {
    let mut composer = MessageComposer::new(config, stream, draws);
    let mut out = Vec::new();
    while !composer.is_done() {
        composer.write_message(&mut out);
    }
    out
}

fn split_lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.strip_suffix(b"\n").unwrap_or(text).split(|byte| *byte == b'\n')
}

fn generate_values(config: &ComposerConfig, stream: Stream, count: u64) -> Vec<Value> {
    split_lines(&generate_text(config, stream, 0..count)).map(|line| serde_json::from_slice(line).unwrap()).collect()
}
