//! The length limit of texts for rows that are read back from the tables.
//!
//! Older tables, or tables written with a higher limit, hold texts that are longer than the limit for new rows. The
//! stored rows are not changed. In the answers such a text counts as null, as it would in a new row. A stored
//! `user_name` no longer shows its two parts, so it may be as long as two names and a space.

use crate::record::{Geo, Pin, User};

/// Applies the length limit to rows that are read back.
#[derive(Debug, Clone, Copy)]
pub struct StoredTexts {
    bytes_max: usize,
    /// The number of texts that were too long.
    pub too_long: u64,
}

impl StoredTexts {
    /// `text_bytes_max` is the limit of
    /// [`MessageLimits::text_bytes_max`](crate::ingest::MessageLimits::text_bytes_max).
    #[must_use]
    pub fn new(text_bytes_max: usize) -> StoredTexts {
        StoredTexts { bytes_max: text_bytes_max, too_long: 0 }
    }

    /// The most bytes of a full name.
    fn name_bytes_max(self) -> usize {
        self.bytes_max.saturating_mul(2).saturating_add(1)
    }

    /// Calls `then` with the row, after setting long texts to null.
    pub fn bound_pin(&mut self, row: &Pin<'_>, then: impl FnOnce(&Pin<'_>)) {
        let category = self.check_length(row.category.as_deref(), self.bytes_max);
        let poster_name = self.check_length(row.poster_name.as_deref(), self.bytes_max);
        if category && poster_name {
            return then(row);
        }
        let mut row = row.clone();
        row.category = row.category.filter(|_| category);
        row.poster_name = row.poster_name.filter(|_| poster_name);
        then(&row);
    }

    /// Calls `then` with the row, after setting a long country to null.
    pub fn bound_geo(&mut self, row: &Geo<'_>, then: impl FnOnce(&Geo<'_>)) {
        if self.check_length(row.country.as_deref(), self.bytes_max) {
            return then(row);
        }
        then(&Geo { country: None, ..row.clone() });
    }

    /// Calls `then` with the row, after setting a long name to null.
    pub fn bound_user(&mut self, row: &User<'_>, then: impl FnOnce(&User<'_>)) {
        if self.check_length(row.user_name.as_deref(), self.name_bytes_max()) {
            return then(row);
        }
        then(&User { user_name: None, ..row.clone() });
    }

    /// Whether a text is within the limit. Counts it if not.
    fn check_length(&mut self, text: Option<&str>, bytes_max: usize) -> bool {
        let fits = text.is_none_or(|text| text.len() <= bytes_max);
        self.too_long += u64::from(!fits);
        fits
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;

    /// A text that ends in a two-byte character, so that the limit can fall inside it.
    fn text(bytes: usize) -> Option<Cow<'static, str>> {
        Some(Cow::Owned("x".repeat(bytes - 2) + "é"))
    }

    #[test]
    fn stored_text_at_limit_stays_and_beyond_limit_is_null() {
        let mut stored = StoredTexts::new(64);
        for (bytes, stays) in [(63, true), (64, true), (65, false)] {
            let pin = Pin {
                ind: 1,
                unique_id: text(500),
                title: text(500),
                description: None,
                follower_count: Some(7),
                poster_name: text(64),
                tag_list: None,
                is_image_or_video: None,
                image_src: None,
                save_location: None,
                category: text(bytes),
            };
            stored.bound_pin(&pin, |bound| {
                assert_eq!(*bound, Pin { category: pin.category.clone().filter(|_| stays), ..pin.clone() });
            });
            let other = Pin { category: text(64), poster_name: text(bytes), ..pin.clone() };
            stored.bound_pin(&other, |bound| {
                assert_eq!(*bound, Pin { poster_name: other.poster_name.clone().filter(|_| stays), ..other.clone() });
            });
            let geo = Geo { ind: 1, country: text(bytes), coordinates: Some([1.0, 2.0]), timestamp: Some(3) };
            stored.bound_geo(&geo, |bound| {
                assert_eq!(*bound, Geo { country: geo.country.clone().filter(|_| stays), ..geo.clone() });
            });
            let user = User { ind: 1, user_name: text(65 + bytes), age: Some(20), date_joined: None };
            stored.bound_user(&user, |bound| {
                assert_eq!(*bound, User { user_name: user.user_name.clone().filter(|_| stays), ..user.clone() });
            });
        }
        assert_eq!(stored.too_long, 4);
    }
}
