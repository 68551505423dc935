//! The pin, geo and user post of an `ind`.
//!
//! A post is a pure function of the seed, the number of rows and the `ind`. The `ind` selects a place in the
//! [`PosterPattern`], the place selects the poster, and the poster has constant fields (see [`Poster`]).

use pinflow_dataflows::record::Stream;

use super::distributions::{CATEGORY_STARTS, PIN_VARIANTS, PIN_VARIANTS_TOTAL, PinVariant, REAL_INDS, TIMESTAMP_SECS};
use super::posters::{Poster, PosterLocation, PosterPattern, UserProfile, distinct_name_count};
use super::text;
use super::words::CATEGORIES;
use crate::json;
use crate::rng::{FeistelPermutation, RngPurpose, SeededRng};

/// Generates the posts of tables with `inds` rows each.
#[derive(Debug)]
pub(crate) struct PostGenerator {
    seed: u64,
    /// The first `ind` of each category, and the end of the last one.
    starts: [u64; 14],
    pattern: PosterPattern,
    /// Spreads posters within each category.
    within: [FeistelPermutation; 13],
    /// Spreads every eighth place over all categories: two in three frequent posters keep to one category.
    strays: FeistelPermutation,
    names: FeistelPermutation,
    /// The profile of all posts with an unreadable poster: they count as one poster, the most frequent of all.
    unknown_poster: (UserProfile, PosterLocation),
}

/// One in so many places is spread over all categories.
const STRAY_INTERVAL: u64 = 8;

/// A poster id that the pattern never contains.
const UNKNOWN_POSTER_ID: u64 = u64::MAX;

/// How a producer formats messages. Each variant is used by half of the posts.
#[derive(Debug, Clone, Copy)]
struct ProducerStyle {
    /// The byte between date and time.
    between: u8,
    /// Whether non-ASCII characters are escaped.
    escape_all: bool,
}

/// Buffers that are reused for every post.
#[derive(Debug, Default)]
pub(crate) struct PostScratch {
    text: String,
}

impl PostGenerator {
    pub(crate) fn new(seed: u64, inds: u64) -> PostGenerator {
        let scaled = |start: u64| (u128::from(start) * u128::from(inds) / u128::from(REAL_INDS)) as u64;
        let starts: [u64; 14] = std::array::from_fn(|at| CATEGORY_STARTS.get(at).map_or(inds, |start| scaled(*start)));
        let errors = PIN_VARIANTS.iter().filter(|combination| combination.poster_error);
        // With some hundred posts all values are at their minimum: the bound limits the number of draws.
        let posts = (inds * errors.map(|error| error.of_real).sum::<u64>() / PIN_VARIANTS_TOTAL).clamp(1, 1000);
        let unknown_poster = Poster { id: UNKNOWN_POSTER_ID, posts };
        PostGenerator {
            seed,
            starts,
            pattern: PosterPattern::new(seed, inds),
            within: std::array::from_fn(|at| {
                FeistelPermutation::new(
                    starts[at + 1] - starts[at],
                    SeededRng::new(seed, RngPurpose::Category, at as u64),
                )
            }),
            strays: FeistelPermutation::new(inds / STRAY_INTERVAL, SeededRng::new(seed, RngPurpose::Stray, 0)),
            names: FeistelPermutation::new(distinct_name_count(), SeededRng::new(seed, RngPurpose::PosterName, 0)),
            unknown_poster: (unknown_poster.user_profile(seed), unknown_poster.location(seed)),
        }
    }

    /// The category of an `ind`, as an index.
    pub(crate) fn category_of(&self, ind: u64) -> usize {
        self.starts.partition_point(|start| *start <= ind) - 1
    }

    /// The poster of an `ind`. `None` if the poster is unreadable.
    pub(crate) fn poster_of(&self, ind: u64) -> Option<Poster> {
        if self.pin_variant_of(ind).poster_error {
            return None;
        }
        let category = self.category_of(ind);
        let first = self.starts[category];
        let mut place = first + self.within[category].value_at(ind - first);
        if place % STRAY_INTERVAL == STRAY_INTERVAL - 1 {
            place = self.strays.value_at(place / STRAY_INTERVAL) * STRAY_INTERVAL + STRAY_INTERVAL - 1;
        }
        Some(self.pattern.poster_of(place))
    }

    /// Which parts of the pin post are present.
    pub(crate) fn pin_variant_of(&self, ind: u64) -> &'static PinVariant {
        let mut roll = SeededRng::new(self.seed, RngPurpose::PinVariant, ind).next_below(PIN_VARIANTS_TOTAL);
        for combination in &PIN_VARIANTS {
            match roll.checked_sub(combination.of_real) {
                Some(rest) => roll = rest,
                None => return combination,
            }
        }
        &PIN_VARIANTS[0]
    }

    fn producer_style_of(&self, ind: u64) -> ProducerStyle {
        let bits = SeededRng::new(self.seed, RngPurpose::ProducerStyle, ind).next_u64();
        ProducerStyle { between: if bits & 1 == 0 { b'T' } else { b' ' }, escape_all: bits & 2 == 0 }
    }

    /// Appends the post of an `ind`: one JSON object without a line feed.
    pub(crate) fn write_post(&self, stream: Stream, ind: u64, scratch: &mut PostScratch, out: &mut Vec<u8>) {
        match stream {
            Stream::Pin => self.write_pin(ind, scratch, out),
            Stream::Geo => self.write_geo(ind, out),
            Stream::User => self.write_user(ind, out),
        }
    }

    fn write_pin(&self, ind: u64, scratch: &mut PostScratch, out: &mut Vec<u8>) {
        let category = &CATEGORIES[self.category_of(ind)];
        let variant = self.pin_variant_of(ind);
        let mut rng = SeededRng::new(self.seed, RngPurpose::Pin, ind);
        let escape_all = self.producer_style_of(ind).escape_all;
        let poster = self.poster_of(ind);
        let text = &mut scratch.text;
        out.extend_from_slice(b"{\"index\":");
        json::push_number(ind, out);
        out.extend_from_slice(b",\"unique_id\":\"");
        write_unique_id(&mut rng, out);
        out.extend_from_slice(b"\",\"title\":");
        match poster {
            None => out.extend_from_slice(b"\"No Title Data Available\""),
            Some(_) => {
                text::write_title(category, &mut rng, text);
                json::push_string(text, escape_all, out);
            }
        }
        out.extend_from_slice(b",\"description\":");
        if let Some(placeholder) = variant.description {
            json::push_string(placeholder, escape_all, out);
        } else {
            text::write_description(category, &mut rng, text);
            json::push_string(text, escape_all, out);
        }
        self.write_poster_fields(poster, ind, text, out);
        out.extend_from_slice(b",\"tag_list\":");
        if variant.no_tags {
            out.extend_from_slice(b"\"N,o, ,T,a,g,s, ,A,v,a,i,l,a,b,l,e\"");
        } else {
            text::write_tags(category, &mut rng, text);
            json::push_string(text, escape_all, out);
        }
        out.extend_from_slice(b",\"is_image_or_video\":");
        json::push_string(variant.media, escape_all, out);
        out.extend_from_slice(b",\"image_src\":\"");
        write_image_src(variant, &mut rng, out);
        out.extend_from_slice(if variant.image_error { b"\",\"downloaded\":0" } else { b"\",\"downloaded\":1" });
        out.extend_from_slice(b",\"save_location\":\"Local save in /data/");
        out.extend_from_slice(category.name.as_bytes());
        out.extend_from_slice(b"\",\"category\":\"");
        out.extend_from_slice(category.name.as_bytes());
        out.extend_from_slice(b"\"}");
    }

    fn write_poster_fields(&self, poster: Option<Poster>, ind: u64, text: &mut String, out: &mut Vec<u8>) {
        let Some(poster) = poster else {
            out.extend_from_slice(b",\"poster_name\":\"User Info Error\",\"follower_count\":\"User Info Error\"");
            return;
        };
        text.clear();
        poster.write_name(&self.names, text);
        out.extend_from_slice(b",\"poster_name\":");
        json::push_string(text, self.producer_style_of(ind).escape_all, out);
        let followers = poster.follower_label(self.seed, ind);
        out.extend_from_slice(b",\"follower_count\":\"");
        json::push_number(followers.digits, out);
        out.extend_from_slice(followers.unit.as_bytes());
        out.push(b'"');
    }

    fn write_geo(&self, ind: u64, out: &mut Vec<u8>) {
        let place = self.poster_of(ind).map_or(self.unknown_poster.1, |poster| poster.location(self.seed));
        let (first, last) = TIMESTAMP_SECS;
        let timestamp = first + SeededRng::new(self.seed, RngPurpose::Geo, ind).next_below(last - first + 1);
        out.extend_from_slice(b"{\"ind\":");
        json::push_number(ind, out);
        out.extend_from_slice(b",\"timestamp\":\"");
        json::push_time(timestamp, self.producer_style_of(ind).between, out);
        out.extend_from_slice(b"\",\"latitude\":");
        json::push_degrees(place.latitude, out);
        out.extend_from_slice(b",\"longitude\":");
        json::push_degrees(place.longitude, out);
        out.extend_from_slice(b",\"country\":\"");
        out.extend_from_slice(place.country.as_bytes());
        out.extend_from_slice(b"\"}");
    }

    fn write_user(&self, ind: u64, out: &mut Vec<u8>) {
        let person = self.poster_of(ind).map_or(self.unknown_poster.0, |poster| poster.user_profile(self.seed));
        out.extend_from_slice(b"{\"ind\":");
        json::push_number(ind, out);
        out.extend_from_slice(b",\"first_name\":\"");
        out.extend_from_slice(person.first_name.as_bytes());
        out.extend_from_slice(b"\",\"last_name\":\"");
        out.extend_from_slice(person.last_name.as_bytes());
        out.extend_from_slice(b"\",\"age\":");
        json::push_number(person.age, out);
        out.extend_from_slice(b",\"date_joined\":\"");
        json::push_time(person.joined, self.producer_style_of(ind).between, out);
        out.extend_from_slice(b"\"}");
    }
}

/// Appends a random UUID (version 4).
fn write_unique_id(rng: &mut SeededRng, out: &mut Vec<u8>) {
    let (high, low) = (rng.next_u64(), rng.next_u64());
    json::push_hex(high >> 32, 8, out);
    out.push(b'-');
    json::push_hex(high >> 16, 4, out);
    out.extend_from_slice(b"-4");
    json::push_hex(high, 3, out);
    out.push(b'-');
    json::push_hex(0x8000 | (low >> 48 & 0x3fff), 4, out);
    out.push(b'-');
    json::push_hex(low, 12, out);
}

fn write_image_src(variant: &PinVariant, rng: &mut SeededRng, out: &mut Vec<u8>) {
    if variant.image_error {
        out.extend_from_slice(b"Image src error.");
        return;
    }
    let (high, low) = (rng.next_u64(), rng.next_u64());
    let folder: &[u8] = if variant.media == "image" { b"originals/" } else { b"videos/thumbnails/originals/" };
    out.extend_from_slice(b"https://img.example.com/");
    out.extend_from_slice(folder);
    for part in [high >> 56, high >> 48, high >> 40] {
        json::push_hex(part, 2, out);
        out.push(b'/');
    }
    json::push_hex(high, 16, out);
    json::push_hex(low, 16, out);
    out.extend_from_slice(match rng.next_below(1000) {
        ..849 => b".jpg",
        849..991 => b".png",
        991..998 => b".webp",
        _ => b".gif",
    });
}
