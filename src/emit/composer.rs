//! Composes the messages of one stream: drawn, spoiled where wanted, wrapped, counted.

use pinflow_dataflows::record::Stream;

use super::dice::{Dice, Purpose};
use super::draws::{Draws, Order};
use super::malformed::{Menu, Outcome};
use super::posts::{Posts, Scratch};
use super::tally::Tally;
use super::wrap::Wrap;

/// What to make, but for how much of it.
#[derive(Debug)]
pub(crate) struct Recipe {
    seed: u64,
    posts: Posts,
    draws: Draws,
    wrap: Wrap,
    menu: Menu,
    /// A message is malformed if its roll is below this.
    malformed_below: u64,
}

impl Recipe {
    /// `malformed` is a share in 0…1.
    pub(crate) fn new(seed: u64, inds: u64, order: Order, wrap: Wrap, malformed: f64, menu: Menu) -> Recipe {
        Recipe {
            seed,
            posts: Posts::new(seed, inds),
            draws: Draws::new(order, seed, inds),
            wrap,
            menu,
            // 2^64; the conversion stops at the greatest number.
            malformed_below: (malformed * 18_446_744_073_709_551_616.0) as u64,
        }
    }

    /// Where the dice for a malformed message come from; `None` for a good message.
    fn malformed(&self, stream: Stream, draw: u64) -> Option<Dice> {
        let purpose = match stream {
            Stream::Pin => Purpose::MalformedPin,
            Stream::Geo => Purpose::MalformedGeo,
            Stream::User => Purpose::MalformedUser,
        };
        let mut dice = Dice::new(self.seed, purpose, draw);
        (dice.bits() < self.malformed_below).then_some(dice)
    }
}

/// Makes messages of one stream, one after the other.
#[derive(Debug)]
pub(crate) struct Composer<'r> {
    recipe: &'r Recipe,
    pub(crate) stream: Stream,
    /// The draw of the next message.
    pub(crate) next_draw: u64,
    end_draw: u64,
    outcomes: Vec<Outcome>,
    scratch: Scratch,
    rows: Vec<u8>,
    row_ends: Vec<usize>,
    pub(crate) tally: Tally,
}

impl<'r> Composer<'r> {
    /// Makes the messages of `draws`.
    pub(crate) fn new(recipe: &'r Recipe, stream: Stream, draws: std::ops::Range<u64>) -> Composer<'r> {
        Composer {
            recipe,
            stream,
            next_draw: draws.start,
            end_draw: draws.end,
            outcomes: recipe.menu.outcomes(stream),
            scratch: Scratch::default(),
            rows: Vec::new(),
            row_ends: Vec::new(),
            tally: Tally::default(),
        }
    }

    /// Whether all draws have been made.
    pub(crate) fn done(&self) -> bool {
        self.next_draw >= self.end_draw
    }

    /// Draws that are still to be made.
    pub(crate) fn left(&self) -> u64 {
        self.end_draw.saturating_sub(self.next_draw)
    }

    /// Appends one message and a line break, which no message holds within. Must not be called when [`Composer::done`].
    pub(crate) fn message(&mut self, out: &mut Vec<u8>) {
        let start = out.len();
        match self.recipe.malformed(self.stream, self.next_draw) {
            Some(dice) => self.malformed(dice, out),
            None if self.recipe.wrap == Wrap::None => {
                let ind = self.recipe.draws.ind(self.next_draw);
                self.recipe.posts.write(self.stream, ind, &mut self.scratch, out);
                self.next_draw += 1;
                self.tally.rows += 1;
            }
            None => self.wrapped(out),
        }
        out.push(b'\n');
        self.tally.messages += 1;
        self.tally.bytes += (out.len() - start) as u64;
    }

    fn wrapped(&mut self, out: &mut Vec<u8>) {
        let Recipe { seed, posts, draws, wrap, .. } = self.recipe;
        let (shape, rows_max) = wrap.shape(Dice::new(*seed, Purpose::Shape, self.next_draw));
        self.rows.clear();
        self.row_ends.clear();
        loop {
            posts.write(self.stream, draws.ind(self.next_draw), &mut self.scratch, &mut self.rows);
            self.row_ends.push(self.rows.len());
            self.next_draw += 1;
            let full = self.row_ends.len() as u64 == rows_max || self.done();
            if full || self.recipe.malformed(self.stream, self.next_draw).is_some() {
                break;
            }
        }
        let text = std::str::from_utf8(&self.rows).expect("good messages are text");
        let starts = std::iter::once(0).chain(self.row_ends.iter().copied());
        shape.write(starts.zip(&self.row_ends).map(|(start, end)| &text[start..*end]), out);
        self.tally.rows += self.row_ends.len() as u64;
    }

    /// A malformed message stands in the place of a good one, and is never wrapped.
    fn malformed(&mut self, mut dice: Dice, out: &mut Vec<u8>) {
        let Recipe { posts, draws, menu, .. } = self.recipe;
        let ind = draws.ind(self.next_draw);
        let mut message = Vec::new();
        posts.write(self.stream, ind, &mut self.scratch, &mut message);
        let mut other = Vec::new();
        let other_stream = if self.stream == Stream::User { Stream::Geo } else { Stream::User };
        posts.write(other_stream, ind, &mut self.scratch, &mut other);
        let outcome = dice.pick(&self.outcomes);
        menu.spoil(outcome, self.stream, &other, &mut dice, &mut message);
        out.extend_from_slice(&message);
        self.tally.spoiled(outcome);
        self.next_draw += 1;
    }
}
