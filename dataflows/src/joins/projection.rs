//! Projected rows: the columns of a row that questions read.

use std::cmp::Ordering;
use std::num::{NonZeroU16, NonZeroU64};

use serde::{Deserialize, Serialize};

use super::{JoinedRow, RelationSet, joined_row};
use crate::record::{CatalogRow, Geo, Micros, Pin, User};
use crate::symbol::Symbol;
use crate::wire::{MalformedMessage, MessageReader, MessageWriter, WireRecord};

/// The text columns of a projected row, in a fixed order.
pub type RowTexts<T> = [Option<T>; ROW_TEXTS_MAX];

/// The most text columns of a projected row.
const ROW_TEXTS_MAX: usize = 2;

/// A projected row. It is made in two steps, so that the texts of many rows can be looked up as symbols in one batch.
pub trait ProjectedRow: Copy + Into<AnyProjection> {
    /// The whole row.
    type Row<'a>: CatalogRow;

    /// The relation of these rows.
    const RELATION: RelationSet;

    /// The row as a joined row without others.
    fn as_joined(&self) -> JoinedRow<'_>;

    /// The text columns of a row.
    fn text_columns<'a>(row: &'a Self::Row<'_>) -> RowTexts<&'a str>;

    /// The projection without its texts.
    fn without_texts(row: &Self::Row<'_>) -> Self;

    /// Sets the texts.
    #[must_use]
    fn with_texts(self, texts: RowTexts<Symbol>) -> Self;

    /// The texts.
    fn texts(&self) -> RowTexts<Symbol>;
}

/// A projected row of any relation.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub enum AnyProjection {
    /// A pin.
    Pin(PinProjection),
    /// A geo post.
    Geo(GeoProjection),
    /// A user.
    User(UserProjection),
}

impl AnyProjection {
    /// The relation of the row.
    #[must_use]
    pub fn relation(&self) -> RelationSet {
        match self {
            AnyProjection::Pin(_) => RelationSet::PIN,
            AnyProjection::Geo(_) => RelationSet::GEO,
            AnyProjection::User(_) => RelationSet::USER,
        }
    }

    /// The row as a joined row without others.
    #[must_use]
    pub fn as_joined(&self) -> JoinedRow<'_> {
        match self {
            AnyProjection::Pin(row) => row.as_joined(),
            AnyProjection::Geo(row) => row.as_joined(),
            AnyProjection::User(row) => row.as_joined(),
        }
    }
}

impl From<PinProjection> for AnyProjection {
    fn from(row: PinProjection) -> AnyProjection {
        AnyProjection::Pin(row)
    }
}

impl From<GeoProjection> for AnyProjection {
    fn from(row: GeoProjection) -> AnyProjection {
        AnyProjection::Geo(row)
    }
}

impl From<UserProjection> for AnyProjection {
    fn from(row: UserProjection) -> AnyProjection {
        AnyProjection::User(row)
    }
}

/// The columns of a pin that questions read: 16 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PinProjection {
    /// The category.
    pub category: Option<Symbol>,
    /// The poster's name.
    pub poster: Option<Symbol>,
    /// The poster's follower count plus 1: zero is the niche for "absent".
    followers: Option<NonZeroU64>,
}

impl PinProjection {
    /// The poster's follower count.
    #[must_use]
    pub fn followers(&self) -> Option<i64> {
        self.followers.map(|followers| (followers.get() - 1).cast_signed())
    }
}

impl ProjectedRow for PinProjection {
    type Row<'a> = Pin<'a>;

    const RELATION: RelationSet = RelationSet::PIN;

    fn as_joined(&self) -> JoinedRow<'_> {
        joined_row(Some(self), None, None)
    }

    fn text_columns<'a>(pin: &'a Pin<'_>) -> RowTexts<&'a str> {
        [pin.category.as_deref(), pin.poster_name.as_deref()]
    }

    fn without_texts(pin: &Pin<'_>) -> PinProjection {
        let followers = pin.follower_count.and_then(|count| NonZeroU64::new(u64::try_from(count).ok()? + 1));
        PinProjection { category: None, poster: None, followers }
    }

    fn with_texts(self, [category, poster]: RowTexts<Symbol>) -> PinProjection {
        PinProjection { category, poster, ..self }
    }

    fn texts(&self) -> RowTexts<Symbol> {
        [self.category, self.poster]
    }
}

/// The columns of a geo post that questions read: 8 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct GeoProjection {
    /// The country.
    pub country: Option<Symbol>,
    year: Option<NonZeroU16>,
}

impl GeoProjection {
    /// The UTC year of the post.
    #[must_use]
    pub fn post_year(&self) -> Option<i32> {
        self.year.map(|year| year.get().into())
    }
}

impl ProjectedRow for GeoProjection {
    type Row<'a> = Geo<'a>;

    const RELATION: RelationSet = RelationSet::GEO;

    fn as_joined(&self) -> JoinedRow<'_> {
        joined_row(None, Some(self), None)
    }

    fn text_columns<'a>(geo: &'a Geo<'_>) -> RowTexts<&'a str> {
        [geo.country.as_deref(), None]
    }

    fn without_texts(geo: &Geo<'_>) -> GeoProjection {
        GeoProjection { country: None, year: geo.timestamp.and_then(utc_year) }
    }

    fn with_texts(self, [country, _]: RowTexts<Symbol>) -> GeoProjection {
        GeoProjection { country, ..self }
    }

    fn texts(&self) -> RowTexts<Symbol> {
        [self.country, None]
    }
}

/// The columns of a user that questions read: 8 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserProjection {
    /// First and last name.
    pub name: Option<Symbol>,
    /// The age in years.
    pub age: Option<u8>,
    joined: Option<NonZeroU16>,
}

impl UserProjection {
    /// The UTC year in which the user joined.
    #[must_use]
    pub fn year_joined(&self) -> Option<i32> {
        self.joined.map(|year| year.get().into())
    }
}

impl ProjectedRow for UserProjection {
    type Row<'a> = User<'a>;

    const RELATION: RelationSet = RelationSet::USER;

    fn as_joined(&self) -> JoinedRow<'_> {
        joined_row(None, None, Some(self))
    }

    fn text_columns<'a>(user: &'a User<'_>) -> RowTexts<&'a str> {
        [user.user_name.as_deref(), None]
    }

    fn without_texts(user: &User<'_>) -> UserProjection {
        UserProjection { name: None, age: user.age, joined: user.date_joined.and_then(utc_year) }
    }

    fn with_texts(self, [name, _]: RowTexts<Symbol>) -> UserProjection {
        UserProjection { name, ..self }
    }

    fn texts(&self) -> RowTexts<Symbol> {
        [self.name, None]
    }
}

impl PinProjection {
    /// A pin without values.
    pub(crate) const NULL: PinProjection = PinProjection { category: None, poster: None, followers: None };
}

impl GeoProjection {
    /// A geo post without values.
    pub(crate) const NULL: GeoProjection = GeoProjection { country: None, year: None };
}

impl UserProjection {
    /// A user without values.
    pub(crate) const NULL: UserProjection = UserProjection { name: None, age: None, joined: None };
}

impl WireRecord for PinProjection {
    fn write(&self, to: &mut MessageWriter) {
        to.write_symbol(self.category);
        to.write_symbol(self.poster);
        to.write_number(self.followers.map_or(0, NonZeroU64::get));
    }

    fn read(from: &mut MessageReader<'_>) -> Result<PinProjection, MalformedMessage> {
        let (category, poster) = (from.read_symbol()?, from.read_symbol()?);
        Ok(PinProjection { category, poster, followers: NonZeroU64::new(from.read_number()?) })
    }
}

impl WireRecord for GeoProjection {
    fn write(&self, to: &mut MessageWriter) {
        to.write_symbol(self.country);
        to.write_number(self.year.map_or(0, NonZeroU16::get).into());
    }

    fn read(from: &mut MessageReader<'_>) -> Result<GeoProjection, MalformedMessage> {
        Ok(GeoProjection { country: from.read_symbol()?, year: NonZeroU16::new(from.read_small()?) })
    }
}

impl WireRecord for UserProjection {
    fn write(&self, to: &mut MessageWriter) {
        to.write_symbol(self.name);
        // Null is 0, and every age is one more.
        to.write_number(self.age.map_or(0, |age| u64::from(age) + 1));
        to.write_number(self.joined.map_or(0, NonZeroU16::get).into());
    }

    fn read(from: &mut MessageReader<'_>) -> Result<UserProjection, MalformedMessage> {
        let (name, age) = (from.read_symbol()?, from.read_number()?);
        let too_large = from.malformed("an age that is too large");
        let age = age.checked_sub(1).map(|age| u8::try_from(age).map_err(|_| too_large)).transpose()?;
        Ok(UserProjection { name, age, joined: NonZeroU16::new(from.read_small()?) })
    }
}

/// The UTC year of a moment, in 1…65535. `None` outside that range.
///
/// The algorithm is `civil_from_days` of Howard Hinnant, *chrono-compatible low-level date algorithms*.
fn utc_year(moment: Micros) -> Option<NonZeroU16> {
    const DAY: i64 = 24 * 60 * 60 * 1_000_000;
    // Count days from 0000-03-01, so that the leap day is the last day of a year.
    let days = moment.div_euclid(DAY) + 719_468;
    let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    // March is month 0: January and February, from day 306, belong to the next calendar year.
    let year = era * 400 + year_of_era + i64::from(day_of_year >= 306);
    u16::try_from(year).ok().and_then(NonZeroU16::new)
}

/// Orders rows by symbol number. Arrangements need a total order of values, but not the order of texts.
macro_rules! ordered_by_number {
    ($row:ident, |$it:ident| $key:expr) => {
        impl Ord for $row {
            fn cmp(&self, other: &$row) -> Ordering {
                let key = |$it: &$row| $key;
                key(self).cmp(&key(other))
            }
        }

        impl PartialOrd for $row {
            fn partial_cmp(&self, other: &$row) -> Option<Ordering> {
                Some(self.cmp(other))
            }
        }
    };
}

ordered_by_number!(PinProjection, |it| (it.category.map(Symbol::number), it.poster.map(Symbol::number), it.followers));
ordered_by_number!(GeoProjection, |it| (it.country.map(Symbol::number), it.year));
ordered_by_number!(UserProjection, |it| (it.name.map(Symbol::number), it.age, it.joined));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn utc_year_changes_at_new_year() {
        const SECOND: i64 = 1_000_000;
        // Seconds as `date -u -d 'YYYY-01-01' +%s` prints them.
        let starts = [(1900, -2_208_988_800), (1970, 0), (2000, 946_684_800), (2001, 978_307_200)];
        let later = [(2018, 1_514_764_800), (2021, 1_609_459_200), (2100, 4_102_444_800), (2101, 4_133_980_800)];
        for (start, seconds) in starts.into_iter().chain(later) {
            let found = |moment| utc_year(moment).map(NonZeroU16::get);
            assert_eq!(found(seconds * SECOND), Some(start));
            assert_eq!(found(seconds * SECOND - 1), Some(start - 1));
        }
        assert_eq!((utc_year(i64::MIN), utc_year(i64::MAX)), (None, None));
    }

    #[test]
    fn projected_rows_have_8_or_16_bytes() {
        assert_eq!(
            (
                size_of::<PinProjection>(),
                size_of::<GeoProjection>(),
                size_of::<UserProjection>(),
                size_of::<(GeoProjection, UserProjection)>()
            ),
            (16, 8, 8, 16)
        );
    }
}
