//! Posters: how often each posts, and what is the same in all posts of one poster (name, user profile, location,
//! followers).

use super::distributions::{DATE_JOINED_SECS, FOLLOWERS, MIN_AGE_AND_COUNT, POSTS_PER_PERSON};
use super::words::{COUNTRIES, FIRST_NAMES, LAST_NAMES, POSTER_FIRST, POSTER_FORMS, POSTER_SECOND};
use crate::rng::{FeistelPermutation, RngPurpose, SeededRng, scale_32_bits_to};

/// A person who posts under one name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Poster {
    pub(crate) id: u64,
    /// How many posts the person has. The more, the closer to the minimum are the person's values (see
    /// [`Poster::user_profile`]).
    pub(crate) posts: u64,
}

/// Assigns posts to posters: a repeating pattern of places, so that no list of all posters is needed.
#[derive(Debug)]
pub(crate) struct PosterPattern {
    /// The poster of each place in the pattern.
    owners: Vec<u16>,
    /// How many places each poster has in the pattern.
    sizes: Vec<u16>,
}

impl PosterPattern {
    /// A pattern for tables of `inds` rows, with the posters' shares of the real tables.
    ///
    /// The most frequent real poster has one row in 43. Posters who would have a larger share of a small table are left
    /// out.
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

    /// The poster of a place.
    pub(crate) fn poster_of(&self, place: u64) -> Poster {
        let pattern = self.owners.len() as u64;
        let who = self.owners[(place % pattern) as usize];
        Poster {
            id: place / pattern * self.sizes.len() as u64 + u64::from(who),
            posts: u64::from(self.sizes[usize::from(who)]),
        }
    }
}

/// The fields of a user post that are the same for all posts of a poster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct UserProfile {
    pub(crate) first_name: &'static str,
    pub(crate) last_name: &'static str,
    pub(crate) age: u64,
    pub(crate) joined: u64,
}

/// The fields of a geo post that are the same for all posts of a poster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PosterLocation {
    /// In ten-millionths of a degree.
    pub(crate) latitude: i64,
    /// In ten-millionths of a degree.
    pub(crate) longitude: i64,
    pub(crate) country: &'static str,
}

/// One degree, in ten-millionths.
pub(crate) const DEGREE: i64 = 10_000_000;

impl Poster {
    /// The poster's user profile: the minimum of as many random profiles as the poster has posts, field by field.
    ///
    /// The real tables were reduced to one row for each poster that way. So frequent posters are 20 years old, joined
    /// in 2015 and live in countries that start with A.
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
            age: MIN_AGE_AND_COUNT.0 + scale_32_bits_to(age, MIN_AGE_AND_COUNT.1),
            joined: DATE_JOINED_SECS.0 + scale_32_bits_to(joined, DATE_JOINED_SECS.1 - DATE_JOINED_SECS.0),
        }
    }

    /// The poster's location: the minimum of as many random locations as the poster has posts, as in
    /// [`Poster::user_profile`].
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

    /// The poster's follower count in the post `ind`.
    ///
    /// One in 60 frequent posters shows two adjacent counts, because the posts were read at different times. Among real
    /// ones it is 14 of 850. All others always show the same count.
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
        // The last 20-quantile is a long tail: most of it is near its beginning.
        let part = if rank == 19 { (within * within * within) >> 26 } else { within };
        let count = FollowerLabel::from_count(low + (((high - low) * part) >> 13));
        let moving = self.posts > 1 && rng.once_in(60);
        count.increased_by(u64::from(moving && SeededRng::new(seed, RngPurpose::FollowerLabel, !ind).once_in(2)))
    }

    /// Appends the poster's name. No two posters have the same name.
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

/// How many names the words can form. Further posters get a number after the name.
pub(crate) const fn distinct_name_count() -> u64 {
    (POSTER_FORMS.len() * POSTER_FIRST.len() * POSTER_SECOND.len()) as u64
}

/// A follower count as the site shows it: up to three digits and a unit, such as `12k`.
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
    fn posters_have_their_real_shares() {
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
    fn small_table_has_no_dominant_poster() {
        let pattern = PosterPattern::new(1, 300);
        assert!((0..300).all(|place| pattern.poster_of(place).posts <= 6));
        assert_eq!(PosterPattern::new(1, 1).poster_of(0).posts, 1);
    }

    #[test]
    fn poster_names_are_unique() {
        let names = FeistelPermutation::new(distinct_name_count(), SeededRng::new(1, RngPurpose::PosterName, 0));
        let mut seen = HashSet::new();
        for id in 0..distinct_name_count() + 20_000 {
            let mut name = String::new();
            Poster { id, posts: 1 }.write_name(&names, &mut name);
            assert!(seen.insert(name.clone()), "{name} is the name of two posters");
        }
    }

    #[test]
    fn frequent_posters_have_the_smallest_values() {
        let mean = |posts| (0..2000).map(|id| Poster { id, posts }.user_profile(9).age).sum::<u64>() as f64 / 2000.0;
        assert!((38.0..42.0).contains(&mean(1)), "{}", mean(1));
        assert!((32.0..35.0).contains(&mean(2)), "{}", mean(2));
        assert!(mean(100) < 20.6, "{}", mean(100));
        assert_eq!(Poster { id: 0, posts: 100_000 }.user_profile(9).first_name, FIRST_NAMES[0]);
        assert!(Poster { id: 0, posts: 100_000 }.location(9).country.starts_with('A'));
    }
}
