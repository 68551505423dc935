//! Titles, descriptions and tags: made-up text with the lengths and the special characters of real text.

use super::distributions::{CUT_DESCRIPTION_CHARS, CUT_DESCRIPTIONS_PER_MILLE, DESCRIPTION_CHARS, TITLE_CHARS};
use super::words::{
    ACCENTS, ADJECTIVES, ASTRAL, CategoryWords, QUOTED, SENTENCE_OPENERS, SENTENCE_TAILS, TAG_TAILS, TITLE_JOINTS,
    TITLE_OPENERS,
};
use crate::rng::SeededRng;

/// How many of 10,000 texts contain characters that careless readers break.
struct NoiseRates {
    accents: u64,
    astral: u64,
    quoted: u64,
}

const TITLE_NOISE: NoiseRates = NoiseRates { accents: 900, astral: 116, quoted: 94 };
const DESCRIPTION_NOISE: NoiseRates = NoiseRates { accents: 800, astral: 68, quoted: 279 };

impl NoiseRates {
    fn pick_separator(&self, rng: &mut SeededRng) -> &'static str {
        let roll = rng.next_below(10_000);
        if roll < self.accents {
            rng.pick_one(&ACCENTS)
        } else if roll < self.accents + self.astral {
            rng.pick_one(&ASTRAL)
        } else if roll < self.accents + self.astral + self.quoted {
            rng.pick_one(&QUOTED)
        } else {
            " "
        }
    }
}

/// A random length from a distribution with these deciles.
fn pick_length(rng: &mut SeededRng, tenths: &[u64; 11]) -> usize {
    let tenth = rng.next_below(10) as usize;
    (tenths[tenth] + rng.next_below(tenths[tenth + 1] - tenths[tenth] + 1)) as usize
}

/// Truncates to `chars` characters, or to the last whole word before that. A single word is cut.
fn truncate_to(text: &mut String, chars: usize, whole_words: bool) {
    let end = if text.is_ascii() { Some(chars) } else { text.char_indices().nth(chars).map(|(at, _)| at) };
    let Some(mut end) = end.filter(|end| *end < text.len()) else { return };
    if whole_words && !text[end..].starts_with(' ') {
        end = text[..end].rfind(' ').unwrap_or(end);
    }
    text.truncate(end);
}

fn push_capital(word: &str, out: &mut String) {
    let start = out.len();
    out.push_str(word);
    if let Some(first) = out.get_mut(start..=start) {
        first.make_ascii_uppercase();
    }
}

/// Writes a title. One in 3,262 is empty, as in real posts.
pub(crate) fn write_title(category: &CategoryWords, rng: &mut SeededRng, out: &mut String) {
    out.clear();
    if rng.once_in(3262) {
        return;
    }
    let chars = pick_length(rng, &TITLE_CHARS);
    out.push_str(rng.pick_one(&TITLE_OPENERS));
    out.push_str(TITLE_NOISE.pick_separator(rng));
    loop {
        out.push_str(rng.pick_one(&ADJECTIVES));
        out.push(' ');
        out.push_str(rng.pick_one(&category.things));
        if out.len() >= chars {
            break;
        }
        out.push_str(rng.pick_one(&TITLE_JOINTS));
    }
    truncate_to(out, chars, true);
    // Some real titles have a trailing space, which cleaning must keep.
    if rng.once_in(435) {
        out.push(' ');
    }
}

/// Writes a description. The site truncated two in five, which end in `…` and a no-break space.
pub(crate) fn write_description(category: &CategoryWords, rng: &mut SeededRng, out: &mut String) {
    out.clear();
    let cut_short = rng.next_below(1000) < CUT_DESCRIPTIONS_PER_MILLE;
    let chars = if cut_short { CUT_DESCRIPTION_CHARS } else { pick_length(rng, &DESCRIPTION_CHARS) };
    let mut between = DESCRIPTION_NOISE.pick_separator(rng);
    // Non-ASCII characters have several bytes: the reserve makes up for them.
    while out.len() < chars + 48 {
        out.push_str(rng.pick_one(&SENTENCE_OPENERS));
        out.push_str(between);
        out.push_str(rng.pick_one(&ADJECTIVES));
        out.push(' ');
        out.push_str(rng.pick_one(&category.things));
        out.push_str(rng.pick_one(&SENTENCE_TAILS));
        out.push(' ');
        between = " ";
    }
    truncate_to(out, chars, !cut_short);
    if cut_short {
        out.push_str("…\u{a0}");
    }
}

/// Writes nine tags, or eight in one of 650 posts.
pub(crate) fn write_tags(category: &CategoryWords, rng: &mut SeededRng, out: &mut String) {
    out.clear();
    let tags = if rng.once_in(650) { 8 } else { 9 };
    for tag in 0..tags {
        if tag > 0 {
            out.push(',');
        }
        push_capital(rng.pick_one(&ADJECTIVES), out);
        out.push(' ');
        push_capital(rng.pick_one(&category.things), out);
        // A real tag has two or three words.
        if tag % 3 == 0 {
            out.push_str(rng.pick_one(&TAG_TAILS));
        }
    }
}
