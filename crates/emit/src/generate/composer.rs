//! Composes the messages of one stream: draws rows, generates posts, makes some malformed, wraps and counts them.

use pinflow_dataflows::record::Stream;

use super::draw_order::{DrawOrder, RowSelector};
use super::malformed::{ExpectedOutcome, MalformedOptions};
use super::posts::{PostGenerator, PostScratch};
use super::stats::StreamStats;
use super::wrap::WrapMode;
use crate::rng::{RngPurpose, SeededRng};

/// What to generate, for all streams. Each [`MessageComposer`] says which draws it makes.
#[derive(Debug)]
pub(crate) struct ComposerConfig {
    seed: u64,
    posts: PostGenerator,
    draws: RowSelector,
    wrap: WrapMode,
    options: MalformedOptions,
    /// A message is malformed if its random number is below this.
    malformed_below: u64,
}

impl ComposerConfig {
    /// `malformed` is the share of malformed messages, 0 to 1.
    pub(crate) fn new(
        seed: u64,
        inds: u64,
        order: DrawOrder,
        wrap: WrapMode,
        malformed: f64,
        options: MalformedOptions,
    ) -> ComposerConfig {
        ComposerConfig {
            seed,
            posts: PostGenerator::new(seed, inds),
            draws: RowSelector::new(order, seed, inds),
            wrap,
            options,
            // The factor is 2^64. The conversion to `u64` saturates.
            malformed_below: (malformed * 18_446_744_073_709_551_616.0) as u64,
        }
    }

    /// The random numbers for a malformed message. `None` if the message is well-formed.
    fn malformed_rng(&self, stream: Stream, draw: u64) -> Option<SeededRng> {
        let purpose = match stream {
            Stream::Pin => RngPurpose::MalformedPin,
            Stream::Geo => RngPurpose::MalformedGeo,
            Stream::User => RngPurpose::MalformedUser,
        };
        let mut rng = SeededRng::new(self.seed, purpose, draw);
        (rng.next_u64() < self.malformed_below).then_some(rng)
    }
}

/// Composes messages of one stream, in the order of the draws.
#[derive(Debug)]
pub(crate) struct MessageComposer<'r> {
    config: &'r ComposerConfig,
    pub(crate) stream: Stream,
    pub(crate) next_draw: u64,
    end_draw: u64,
    outcomes: Vec<ExpectedOutcome>,
    scratch: PostScratch,
    rows: Vec<u8>,
    row_ends: Vec<usize>,
    pub(crate) stats: StreamStats,
}

impl<'r> MessageComposer<'r> {
    /// Composes the messages of `draws`.
    pub(crate) fn new(config: &'r ComposerConfig, stream: Stream, draws: std::ops::Range<u64>) -> MessageComposer<'r> {
        MessageComposer {
            config,
            stream,
            next_draw: draws.start,
            end_draw: draws.end,
            outcomes: config.options.possible_outcomes(stream),
            scratch: PostScratch::default(),
            rows: Vec::new(),
            row_ends: Vec::new(),
            stats: StreamStats::default(),
        }
    }

    /// Whether the messages of all draws are composed.
    pub(crate) fn is_done(&self) -> bool {
        self.next_draw >= self.end_draw
    }

    /// The number of draws left.
    pub(crate) fn remaining_draws(&self) -> u64 {
        self.end_draw.saturating_sub(self.next_draw)
    }

    /// Appends one message and a line feed. No message contains one. Must not be called when
    /// [`MessageComposer::is_done`].
    pub(crate) fn write_message(&mut self, out: &mut Vec<u8>) {
        let start = out.len();
        match self.config.malformed_rng(self.stream, self.next_draw) {
            Some(rng) => self.write_malformed(rng, out),
            None if self.config.wrap == WrapMode::None => {
                let ind = self.config.draws.ind_of_draw(self.next_draw);
                self.config.posts.write_post(self.stream, ind, &mut self.scratch, out);
                self.next_draw += 1;
                self.stats.rows += 1;
            }
            None => self.write_wrapped(out),
        }
        out.push(b'\n');
        self.stats.messages += 1;
        self.stats.bytes += (out.len() - start) as u64;
    }

    fn write_wrapped(&mut self, out: &mut Vec<u8>) {
        let ComposerConfig { seed, posts, draws, wrap, .. } = self.config;
        let (shape, rows_max) = wrap.pick_shape(SeededRng::new(*seed, RngPurpose::MessageShape, self.next_draw));
        self.rows.clear();
        self.row_ends.clear();
        loop {
            posts.write_post(self.stream, draws.ind_of_draw(self.next_draw), &mut self.scratch, &mut self.rows);
            self.row_ends.push(self.rows.len());
            self.next_draw += 1;
            let full = self.row_ends.len() as u64 == rows_max || self.is_done();
            if full || self.config.malformed_rng(self.stream, self.next_draw).is_some() {
                break;
            }
        }
        let text = std::str::from_utf8(&self.rows).expect("good messages are text");
        let starts = std::iter::once(0).chain(self.row_ends.iter().copied());
        shape.write_rows(starts.zip(&self.row_ends).map(|(start, end)| &text[start..*end]), out);
        self.stats.rows += self.row_ends.len() as u64;
    }

    /// A malformed message replaces the post of one draw. It is never wrapped.
    fn write_malformed(&mut self, mut rng: SeededRng, out: &mut Vec<u8>) {
        let ComposerConfig { posts, draws, options, .. } = self.config;
        let ind = draws.ind_of_draw(self.next_draw);
        let mut message = Vec::new();
        posts.write_post(self.stream, ind, &mut self.scratch, &mut message);
        let mut other = Vec::new();
        let other_stream = if self.stream == Stream::User { Stream::Geo } else { Stream::User };
        posts.write_post(other_stream, ind, &mut self.scratch, &mut other);
        let outcome = rng.pick_one(&self.outcomes);
        options.make_malformed(outcome, self.stream, &other, &mut rng, &mut message);
        out.extend_from_slice(&message);
        self.stats.count_malformed(outcome);
        self.next_draw += 1;
    }
}
