//! The posts themselves: what the pin, geo and user message of an ind say.
//!
//! A post is a pure function of the seed, the size of the tables and its ind; nothing is remembered between
//! posts. An ind leads to a place in the [`Layout`] of posters, the place to the poster, and the poster to all
//! that is constant for a poster.

use pinflow_dataflows::record::Stream;

use super::dice::{Dice, Permutation, Purpose};
use super::json;
use super::people::{Layout, Person, Place, Poster, names_at_hand};
use super::proportions::{CATEGORY_STARTS, COMBINATIONS, COMBINATIONS_TOTAL, Combination, REAL_INDS, TIMESTAMP_SECS};
use super::texts;
use super::vocabulary::CATEGORIES;

/// The three tables that posts are drawn from: `inds` rows each.
#[derive(Debug)]
pub(crate) struct Posts {
    seed: u64,
    /// Where each category's block begins, and where the last one ends.
    starts: [u64; 14],
    layout: Layout,
    /// Scatters posters within each category.
    within: [Permutation; 13],
    /// Scatters every eighth place over all categories: two in three frequent posters keep to one category.
    strays: Permutation,
    names: Permutation,
    /// All posts whose poster could not be read are one poster's, and so one person's: the most frequent of all.
    nobody: (Person, Place),
}

/// Every so many places, one is scattered over all categories.
const STRAY: u64 = 8;

/// A poster id that the layout never gives.
const NOBODY: u64 = u64::MAX;

/// How a producer writes; half of them write each way.
#[derive(Debug, Clone, Copy)]
struct Producer {
    /// What stands between date and time.
    between: u8,
    /// Whether what is not ASCII is escaped.
    escape_all: bool,
}

/// Text buffers that are used again for every post.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    text: String,
}

impl Posts {
    pub(crate) fn new(seed: u64, inds: u64) -> Posts {
        let scaled = |start: u64| (u128::from(start) * u128::from(inds) / u128::from(REAL_INDS)) as u64;
        let starts: [u64; 14] = std::array::from_fn(|at| CATEGORY_STARTS.get(at).map_or(inds, |start| scaled(*start)));
        let errors = COMBINATIONS.iter().filter(|combination| combination.poster_error);
        // Beyond some hundred posts everything stands at its smallest value; more need not be drawn.
        let posts = (inds * errors.map(|error| error.of_real).sum::<u64>() / COMBINATIONS_TOTAL).clamp(1, 1000);
        let nobody = Poster { id: NOBODY, posts };
        Posts {
            seed,
            starts,
            layout: Layout::new(seed, inds),
            within: std::array::from_fn(|at| {
                Permutation::new(starts[at + 1] - starts[at], Dice::new(seed, Purpose::Category, at as u64))
            }),
            strays: Permutation::new(inds / STRAY, Dice::new(seed, Purpose::Stray, 0)),
            names: Permutation::new(names_at_hand(), Dice::new(seed, Purpose::PosterName, 0)),
            nobody: (nobody.person(seed), nobody.place(seed)),
        }
    }

    /// Which of the categories an ind falls into.
    pub(crate) fn category(&self, ind: u64) -> usize {
        self.starts.partition_point(|start| *start <= ind) - 1
    }

    /// Who posted the ind; `None` where that could not be read.
    pub(crate) fn poster(&self, ind: u64) -> Option<Poster> {
        if self.combination(ind).poster_error {
            return None;
        }
        let category = self.category(ind);
        let first = self.starts[category];
        let mut place = first + self.within[category].at(ind - first);
        if place % STRAY == STRAY - 1 {
            place = self.strays.at(place / STRAY) * STRAY + STRAY - 1;
        }
        Some(self.layout.poster(place))
    }

    /// What is there and what is missing in the pin post of an ind.
    pub(crate) fn combination(&self, ind: u64) -> &'static Combination {
        let mut roll = Dice::new(self.seed, Purpose::Combination, ind).below(COMBINATIONS_TOTAL);
        for combination in &COMBINATIONS {
            match roll.checked_sub(combination.of_real) {
                Some(rest) => roll = rest,
                None => return combination,
            }
        }
        &COMBINATIONS[0]
    }

    fn producer(&self, ind: u64) -> Producer {
        let bits = Dice::new(self.seed, Purpose::Producer, ind).bits();
        Producer { between: if bits & 1 == 0 { b'T' } else { b' ' }, escape_all: bits & 2 == 0 }
    }

    /// Appends the message of an ind, one JSON object without a line break.
    pub(crate) fn write(&self, stream: Stream, ind: u64, scratch: &mut Scratch, out: &mut Vec<u8>) {
        match stream {
            Stream::Pin => self.pin(ind, scratch, out),
            Stream::Geo => self.geo(ind, out),
            Stream::User => self.user(ind, out),
        }
    }

    fn pin(&self, ind: u64, scratch: &mut Scratch, out: &mut Vec<u8>) {
        let category = &CATEGORIES[self.category(ind)];
        let looks = self.combination(ind);
        let mut dice = Dice::new(self.seed, Purpose::Pin, ind);
        let escape_all = self.producer(ind).escape_all;
        let poster = self.poster(ind);
        let text = &mut scratch.text;
        out.extend_from_slice(b"{\"index\":");
        json::number(ind, out);
        out.extend_from_slice(b",\"unique_id\":\"");
        unique_id(&mut dice, out);
        out.extend_from_slice(b"\",\"title\":");
        match poster {
            None => out.extend_from_slice(b"\"No Title Data Available\""),
            Some(_) => {
                texts::title(category, &mut dice, text);
                json::string(text, escape_all, out);
            }
        }
        out.extend_from_slice(b",\"description\":");
        if let Some(placeholder) = looks.description {
            json::string(placeholder, escape_all, out);
        } else {
            texts::description(category, &mut dice, text);
            json::string(text, escape_all, out);
        }
        self.poster_fields(poster, ind, text, out);
        out.extend_from_slice(b",\"tag_list\":");
        if looks.no_tags {
            out.extend_from_slice(b"\"N,o, ,T,a,g,s, ,A,v,a,i,l,a,b,l,e\"");
        } else {
            texts::tags(category, &mut dice, text);
            json::string(text, escape_all, out);
        }
        out.extend_from_slice(b",\"is_image_or_video\":");
        json::string(looks.media, escape_all, out);
        out.extend_from_slice(b",\"image_src\":\"");
        image_src(looks, &mut dice, out);
        out.extend_from_slice(if looks.image_error { b"\",\"downloaded\":0" } else { b"\",\"downloaded\":1" });
        out.extend_from_slice(b",\"save_location\":\"Local save in /data/");
        out.extend_from_slice(category.name.as_bytes());
        out.extend_from_slice(b"\",\"category\":\"");
        out.extend_from_slice(category.name.as_bytes());
        out.extend_from_slice(b"\"}");
    }

    fn poster_fields(&self, poster: Option<Poster>, ind: u64, text: &mut String, out: &mut Vec<u8>) {
        let Some(poster) = poster else {
            out.extend_from_slice(b",\"poster_name\":\"User Info Error\",\"follower_count\":\"User Info Error\"");
            return;
        };
        text.clear();
        poster.name(&self.names, text);
        out.extend_from_slice(b",\"poster_name\":");
        json::string(text, self.producer(ind).escape_all, out);
        let followers = poster.followers(self.seed, ind);
        out.extend_from_slice(b",\"follower_count\":\"");
        json::number(followers.digits, out);
        out.extend_from_slice(followers.unit.as_bytes());
        out.push(b'"');
    }

    fn geo(&self, ind: u64, out: &mut Vec<u8>) {
        let place = self.poster(ind).map_or(self.nobody.1, |poster| poster.place(self.seed));
        let (first, last) = TIMESTAMP_SECS;
        let timestamp = first + Dice::new(self.seed, Purpose::Geo, ind).below(last - first + 1);
        out.extend_from_slice(b"{\"ind\":");
        json::number(ind, out);
        out.extend_from_slice(b",\"timestamp\":\"");
        json::time(timestamp, self.producer(ind).between, out);
        out.extend_from_slice(b"\",\"latitude\":");
        json::degrees(place.latitude, out);
        out.extend_from_slice(b",\"longitude\":");
        json::degrees(place.longitude, out);
        out.extend_from_slice(b",\"country\":\"");
        out.extend_from_slice(place.country.as_bytes());
        out.extend_from_slice(b"\"}");
    }

    fn user(&self, ind: u64, out: &mut Vec<u8>) {
        let person = self.poster(ind).map_or(self.nobody.0, |poster| poster.person(self.seed));
        out.extend_from_slice(b"{\"ind\":");
        json::number(ind, out);
        out.extend_from_slice(b",\"first_name\":\"");
        out.extend_from_slice(person.first_name.as_bytes());
        out.extend_from_slice(b"\",\"last_name\":\"");
        out.extend_from_slice(person.last_name.as_bytes());
        out.extend_from_slice(b"\",\"age\":");
        json::number(person.age, out);
        out.extend_from_slice(b",\"date_joined\":\"");
        json::time(person.joined, self.producer(ind).between, out);
        out.extend_from_slice(b"\"}");
    }
}

/// A random UUID (version 4).
fn unique_id(dice: &mut Dice, out: &mut Vec<u8>) {
    let (high, low) = (dice.bits(), dice.bits());
    json::hex(high >> 32, 8, out);
    out.push(b'-');
    json::hex(high >> 16, 4, out);
    out.extend_from_slice(b"-4");
    json::hex(high, 3, out);
    out.push(b'-');
    json::hex(0x8000 | (low >> 48 & 0x3fff), 4, out);
    out.push(b'-');
    json::hex(low, 12, out);
}

fn image_src(looks: &Combination, dice: &mut Dice, out: &mut Vec<u8>) {
    if looks.image_error {
        out.extend_from_slice(b"Image src error.");
        return;
    }
    let (high, low) = (dice.bits(), dice.bits());
    let folder: &[u8] = if looks.media == "image" { b"originals/" } else { b"videos/thumbnails/originals/" };
    out.extend_from_slice(b"https://img.example.com/");
    out.extend_from_slice(folder);
    for part in [high >> 56, high >> 48, high >> 40] {
        json::hex(part, 2, out);
        out.push(b'/');
    }
    json::hex(high, 16, out);
    json::hex(low, 16, out);
    out.extend_from_slice(match dice.below(1000) {
        ..849 => b".jpg",
        849..991 => b".png",
        991..998 => b".webp",
        _ => b".gif",
    });
}
