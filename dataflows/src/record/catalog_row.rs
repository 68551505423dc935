//! The values of cleaned rows, by column of the catalog.

use std::borrow::Cow;

use pinflow_sql::datum::Datum;

use super::{Geo, Ind, Lineage, Micros, Pin, User};

/// A cleaned row whose values can be read by column of its relation in [`POSTS`](pinflow_sql::catalog::POSTS).
pub trait CatalogRow {
    /// The value of the column at this index.
    fn value(&self, lineage: &Lineage, column: usize) -> Datum;
}

fn text(value: Option<&str>) -> Datum {
    value.map_or(Datum::Null, Datum::text)
}

/// The value of a lineage column, the first of which is at `first`.
fn lineage_value(lineage: &Lineage, column: usize, first: usize) -> Datum {
    if column == first {
        Datum::text(&lineage.source.text())
    } else {
        lineage.arrived_at.map_or(Datum::Null, Datum::Time)
    }
}

impl CatalogRow for Pin<'_> {
    fn value(&self, lineage: &Lineage, column: usize) -> Datum {
        match column {
            0 => Datum::Long(self.ind.cast_signed()),
            1 => text(self.unique_id.as_deref()),
            2 => text(self.title.as_deref()),
            3 => text(self.description.as_deref()),
            4 => self.follower_count.map_or(Datum::Null, Datum::Long),
            5 => text(self.poster_name.as_deref()),
            6 => text(self.tag_list.as_deref()),
            7 => text(self.is_image_or_video.as_deref()),
            8 => text(self.image_src.as_deref()),
            9 => text(self.save_location.as_deref()),
            10 => text(self.category.as_deref()),
            _ => lineage_value(lineage, column, 11),
        }
    }
}

impl CatalogRow for Geo<'_> {
    fn value(&self, lineage: &Lineage, column: usize) -> Datum {
        match column {
            0 => Datum::Long(self.ind.cast_signed()),
            1 => text(self.country.as_deref()),
            2 => self.coordinates.map_or(Datum::Null, |pair| {
                Datum::List(pair.iter().map(|degrees| Datum::double(*degrees).unwrap_or(Datum::Null)).collect())
            }),
            3 => self.timestamp.map_or(Datum::Null, Datum::Time),
            _ => lineage_value(lineage, column, 4),
        }
    }
}

impl CatalogRow for User<'_> {
    fn value(&self, lineage: &Lineage, column: usize) -> Datum {
        match column {
            0 => Datum::Long(self.ind.cast_signed()),
            1 => text(self.user_name.as_deref()),
            2 => self.age.map_or(Datum::Null, |age| Datum::Long(age.into())),
            3 => self.date_joined.map_or(Datum::Null, Datum::Time),
            _ => lineage_value(lineage, column, 4),
        }
    }
}

/// The value of a column, if the row has one.
fn column(row: &[Datum], index: usize) -> &Datum {
    row.get(index).unwrap_or(&Datum::Null)
}

fn key_of(row: &[Datum]) -> Ind {
    long_of(row, 0).unwrap_or_default().cast_unsigned()
}

fn text_of(row: &[Datum], index: usize) -> Option<Cow<'_, str>> {
    if let Datum::Text(text) = column(row, index) { Some(Cow::Borrowed(text)) } else { None }
}

fn long_of(row: &[Datum], index: usize) -> Option<i64> {
    if let Datum::Long(value) = column(row, index) { Some(*value) } else { None }
}

fn time_of(row: &[Datum], index: usize) -> Option<Micros> {
    if let Datum::Time(micros) = column(row, index) { Some(*micros) } else { None }
}

impl<'a> Pin<'a> {
    /// The row with these values, by column of the catalog. Values of other types count as null.
    #[must_use]
    pub fn from_values(row: &'a [Datum]) -> Pin<'a> {
        Pin {
            ind: key_of(row),
            unique_id: text_of(row, 1),
            title: text_of(row, 2),
            description: text_of(row, 3),
            follower_count: long_of(row, 4),
            poster_name: text_of(row, 5),
            tag_list: text_of(row, 6),
            is_image_or_video: text_of(row, 7),
            image_src: text_of(row, 8),
            save_location: text_of(row, 9),
            category: text_of(row, 10),
        }
    }
}

impl<'a> Geo<'a> {
    /// The row with these values, by column of the catalog. Values of other types count as null.
    #[must_use]
    pub fn from_values(row: &'a [Datum]) -> Geo<'a> {
        let coordinates = match column(row, 2) {
            Datum::List(pair) => match **pair {
                [Datum::Double(latitude), Datum::Double(longitude)] => Some([latitude, longitude]),
                _ => None,
            },
            _ => None,
        };
        Geo { ind: key_of(row), country: text_of(row, 1), coordinates, timestamp: time_of(row, 3) }
    }
}

impl<'a> User<'a> {
    /// The row with these values, by column of the catalog. Values of other types count as null.
    #[must_use]
    pub fn from_values(row: &'a [Datum]) -> User<'a> {
        let age = long_of(row, 2).and_then(|age| u8::try_from(age).ok());
        User { ind: key_of(row), user_name: text_of(row, 1), age, date_joined: time_of(row, 3) }
    }
}

#[cfg(test)]
mod tests {
    use pinflow_sql::catalog::POSTS;

    use super::*;
    use crate::symbol::Symbol;

    #[test]
    fn values_have_the_types_of_the_catalog() {
        let lineage = Lineage { arrived_at: Some(5), source: Symbol::new("kafka/p/0"), position: 1.into(), sub: 0 };
        let text = |text: &'static str| Some(text.into());
        let pin = Pin {
            ind: 1,
            unique_id: text("id"),
            title: text("title"),
            description: text("description"),
            follower_count: Some(2),
            poster_name: text("poster"),
            tag_list: text("a,b"),
            is_image_or_video: text("image"),
            image_src: text("src"),
            save_location: text("location"),
            category: text("category"),
        };
        let geo = Geo { ind: 1, country: text("Chad"), coordinates: Some([1.5, -2.0]), timestamp: Some(3) };
        let user = User { ind: 1, user_name: text("A B"), age: Some(4), date_joined: Some(5) };
        let rows: [&dyn CatalogRow; 3] = [&pin, &geo, &user];
        for (relation, row) in POSTS.relations.iter().zip(rows) {
            for (index, column) in relation.columns.iter().enumerate() {
                assert_eq!(row.value(&lineage, index).sql_type(), column.ty, "{}.{}", relation.name, column.name);
            }
        }
        let values =
            rows.map(|row| (0..POSTS.relations[0].columns.len()).map(|column| row.value(&lineage, column)).collect());
        let [pin_values, geo_values, user_values]: [Vec<Datum>; 3] = values;
        assert_eq!(Pin::from_values(&pin_values), pin);
        assert_eq!(Geo::from_values(&geo_values), geo);
        assert_eq!(User::from_values(&user_values), user);
        let named = |relation: usize, row: &dyn CatalogRow, name: &str| {
            row.value(&lineage, POSTS.relations[relation].column(name).expect("a column"))
        };
        assert_eq!(named(0, &pin, "title"), Datum::text("title"));
        assert_eq!(named(0, &pin, "category"), Datum::text("category"));
        assert_eq!(named(1, &geo, "timestamp"), Datum::Time(3));
        assert_eq!(named(2, &user, "date_joined"), Datum::Time(5));
        assert_eq!(named(2, &user, "_source"), Datum::text("kafka/p/0"));
    }
}
