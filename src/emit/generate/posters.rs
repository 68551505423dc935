//! Who posts: how often, under which name, and what is true of them in every post.

use super::distributions::{AGES, FOLLOWERS, JOINED_SECS, POSTS_PER_PERSON};
use super::words::{COUNTRIES, FIRST_NAMES, LAST_NAMES, POSTER_FIRST, POSTER_FORMS, POSTER_SECOND};
use crate::emit::rng::{FeistelPermutation, RngPurpose, SeededRng, scale_32_bits_to};

/// One person, who posts under one name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Poster {
    pub(crate) id: u64,
    /// How many posts the person has: the more, the smaller what is known of them (see [`Poster::person`]).
    pub(crate) posts: u64,
}

/// How posts fall to posters: a pattern of places that repeats for ever, so that no list of all posters is needed.
#[derive(Debug)]
pub(crate) struct PosterPattern {
    /// Which poster of the pattern owns each place.
    owners: Vec<u16>,
    /// How many places each poster of the pattern owns.
    sizes: Vec<u16>,
}

impl PosterPattern {
    /// A pattern for tables of `inds` rows. The shares of posters are the real ones; who would own more than a
    /// 43rd of the table, as the most frequent real poster does, is left out of a small one.
    pub(crate) fn new(seed: u64, inds: u64) -> PosterPattern {
        let most = (inds / 43).max(1);
        let mut sizes: Vec<u16> = POSTS_PER_PERSON
            .iter()
            .filter(|(size, _)| u64::from(*size) <= most)
            .flat_map(|(size, people)| std::iter::repeat_n(*size, usize::from(*people)))
            .collect();
        let mut rng = SeededRng::new(seed, RngPurpose::PosterPattern, 0);
        for last in (1..sizes.len()).rev() {
            sizes.swap(last, rng.next_below(last as u64 + 1) as usize);
        }
        let owners = (0_u16..).zip(&sizes).flat_map(|(who, size)| std::iter::repeat_n(who, usize::from(*size)));
        PosterPattern { owners: owners.collect(), sizes }
    }

    /// Who owns a place.
    pub(crate) fn poster_of(&self, place: u64) -> Poster {
        let pattern = self.owners.len() as u64;
        let who = self.owners[(place % pattern) as usize];
        Poster {
            id: place / pattern * self.sizes.len() as u64 + u64::from(who),
            posts: u64::from(self.sizes[usize::from(who)]),
        }
    }
}

/// What a user post says, but for the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct UserProfile {
    pub(crate) first_name: &'static str,
    pub(crate) last_name: &'static str,
    pub(crate) age: u64,
    /// Seconds since 1970.
    pub(crate) joined: u64,
}

/// What a geo post says, but for the key and the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PosterLocation {
    /// Ten-millionths of a degree.
    pub(crate) latitude: i64,
    /// Ten-millionths of a degree.
    pub(crate) longitude: i64,
    pub(crate) country: &'static str,
}

/// Ten-millionths in a degree.
pub(crate) const DEGREE: i64 = 10_000_000;

impl Poster {
    /// Who the poster is. The original tables were reduced to one row a poster column by column, by the smallest
    /// value, so frequent posters are 20 years old, joined in 2015 and live in countries with A.
    pub(crate) fn user_profile(self, seed: u64) -> UserProfile {
        let mut rng = SeededRng::new(seed, RngPurpose::UserProfile, self.id);
        let mut smallest = [u64::MAX; 4];
        for _ in 0..self.posts {
            let (names, years) = (rng.next_u64(), rng.next_u64());
            for (smallest, drawn) in
                smallest.iter_mut().zip([names >> 32, names & 0xffff_ffff, years >> 32, years & 0xffff_ffff])
            {
                *smallest = drawn.min(*smallest);
            }
        }
        let [first, last, age, joined] = smallest;
        UserProfile {
            first_name: FIRST_NAMES[scale_32_bits_to(first, FIRST_NAMES.len() as u64) as usize],
            last_name: LAST_NAMES[scale_32_bits_to(last, LAST_NAMES.len() as u64) as usize],
            age: AGES.0 + scale_32_bits_to(age, AGES.1),
            joined: JOINED_SECS.0 + scale_32_bits_to(joined, JOINED_SECS.1 - JOINED_SECS.0),
        }
    }

    /// Where the poster posts from; the smallest of as many draws as the poster has posts, like [`Poster::person`].
    pub(crate) fn location(self, seed: u64) -> PosterLocation {
        let mut rng = SeededRng::new(seed, RngPurpose::PosterLocation, self.id);
        let mut smallest = [u64::MAX; 3];
        for _ in 0..self.posts {
            let (degrees, country) = (rng.next_u64(), rng.next_u64());
            for (smallest, drawn) in smallest.iter_mut().zip([degrees >> 32, degrees & 0xffff_ffff, country >> 32]) {
                *smallest = drawn.min(*smallest);
            }
        }
        let [latitude, longitude, country] = smallest;
        let degrees =
            |drawn: u64, half: i64| ((i128::from(drawn) * i128::from(2 * half * DEGREE)) >> 32) as i64 - half * DEGREE;
        PosterLocation {
            latitude: degrees(latitude, 90),
            longitude: degrees(longitude, 180),
            country: COUNTRIES[scale_32_bits_to(country, COUNTRIES.len() as u64) as usize],
        }
    }

    /// How many follow the poster when the post `ind` was read. One in 60 frequent posters was read at different
    /// times and so shows two neighbouring counts, as 14 of 850 real ones do; all others show the same one always.
    pub(crate) fn follower_label(self, seed: u64, ind: u64) -> FollowerLabel {
        let mut rng = SeededRng::new(seed, RngPurpose::FollowerLabel, self.id);
        let ranks = match self.posts {
            ..=1 => &FOLLOWERS[0],
            2..=3 => &FOLLOWERS[1],
            4..=10 => &FOLLOWERS[2],
            _ => &FOLLOWERS[3],
        };
        let rank = rng.next_below(20) as usize;
        let (low, high, within) = (ranks[rank], ranks[rank + 1], rng.next_below(1 << 13));
        // The last twentieth is a long tail: most of it stands at its beginning.
        let part = if rank == 19 { (within * within * within) >> 26 } else { within };
        let count = FollowerLabel::from_count(low + (((high - low) * part) >> 13));
        let moving = self.posts > 1 && rng.once_in(60);
        count.increased_by(u64::from(moving && SeededRng::new(seed, RngPurpose::FollowerLabel, !ind).once_in(2)))
    }

    /// Writes the poster's name, which no other poster has.
    pub(crate) fn write_name(self, names: &FeistelPermutation, out: &mut String) {
        let all = distinct_name_count();
        let (mut rest, round) = (names.value_at(self.id % all), self.id / all);
        let mut take = |list: usize| {
            let at = (rest % list as u64) as usize;
            rest /= list as u64;
            at
        };
        let [before, between, after] = POSTER_FORMS[take(POSTER_FORMS.len())];
        for part in
            [before, POSTER_FIRST[take(POSTER_FIRST.len())], between, POSTER_SECOND[take(POSTER_SECOND.len())], after]
        {
            out.push_str(part);
        }
        if round > 0 {
            out.push(' ');
            out.push_str(&(round + 1).to_string());
        }
    }
}

/// How many names the words make; further posters get a number behind theirs.
pub(crate) const fn distinct_name_count() -> u64 {
    (POSTER_FORMS.len() * POSTER_FIRST.len() * POSTER_SECOND.len()) as u64
}

/// A follower count as the site shows it: up to three digits and a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FollowerLabel {
    pub(crate) digits: u64,
    pub(crate) unit: &'static str,
}

impl FollowerLabel {
    fn from_count(count: u64) -> FollowerLabel {
        match count {
            ..=999 => FollowerLabel { digits: count, unit: "" },
            1000..=999_999 => FollowerLabel { digits: count / 1000, unit: "k" },
            _ => FollowerLabel { digits: count / 1_000_000, unit: "M" },
        }
    }

    fn increased_by(self, by: u64) -> FollowerLabel {
        FollowerLabel { digits: (self.digits + by).min(999), ..self }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, HashSet};

    use super::*;

    #[test]
    fn shares_of_posters_are_the_real_ones() {
        let pattern = PosterPattern::new(1, 11_149);
        let mut posts: HashMap<u64, u64> = HashMap::new();
        let places = pattern.owners.len() as u64;
        for place in 0..2 * places {
            *posts.entry(pattern.poster_of(place).id).or_default() += 1;
        }
        assert_eq!(posts.len(), 2 * 5051);
        for (size, people) in POSTS_PER_PERSON {
            let found = posts.values().filter(|posts| **posts == u64::from(size)).count();
            assert_eq!(found, 2 * usize::from(people), "posters with {size} posts");
        }
    }

    #[test]
    fn a_small_table_has_no_poster_who_owns_it() {
        let pattern = PosterPattern::new(1, 300);
        assert!((0..300).all(|place| pattern.poster_of(place).posts <= 6));
        assert_eq!(PosterPattern::new(1, 1).poster_of(0).posts, 1);
    }

    #[test]
    fn no_two_posters_share_a_name() {
        let names = FeistelPermutation::new(distinct_name_count(), SeededRng::new(1, RngPurpose::PosterName, 0));
        let mut seen = HashSet::new();
        for id in 0..distinct_name_count() + 20_000 {
            let mut name = String::new();
            Poster { id, posts: 1 }.write_name(&names, &mut name);
            assert!(seen.insert(name.clone()), "{name} stands for two posters");
        }
    }

    #[test]
    fn frequent_posters_pile_up_at_the_smallest_values() {
        let mean = |posts| (0..2000).map(|id| Poster { id, posts }.user_profile(9).age).sum::<u64>() as f64 / 2000.0;
        assert!((38.0..42.0).contains(&mean(1)), "{}", mean(1));
        assert!((32.0..35.0).contains(&mean(2)), "{}", mean(2));
        assert!(mean(100) < 20.6, "{}", mean(100));
        assert_eq!(Poster { id: 0, posts: 100_000 }.user_profile(9).first_name, FIRST_NAMES[0]);
        assert!(Poster { id: 0, posts: 100_000 }.location(9).country.starts_with('A'));
    }
}
