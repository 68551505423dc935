//! The columns of a batch of cleaned rows, cast to the types of the tables, and the rows made of them.

use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;

use deltalake::arrow::array::{Array, ArrayRef, AsArray, Int32Array, Int64Array, ListArray, RecordBatch, StringArray};
use deltalake::arrow::datatypes::{
    DataType, Field, Float64Type, Int32Type, Int64Type, TimeUnit, TimestampMicrosecondType,
};
use pinflow_dataflows::clean::StoredTexts;
use pinflow_dataflows::record::{CatalogRow, Geo, Ind, Lineage, Micros, Pin, User};
use pinflow_sql::datum::{Datum, Row};

use super::error::DeltaError;
use super::rows::{read_column, row_error};
use super::schema::Table;

/// A row of one of the cleaned tables.
#[derive(Debug, Clone, PartialEq)]
pub enum StoredPost<'a> {
    /// A row of table `pin`.
    Pin(Pin<'a>),
    /// A row of table `geo`.
    Geo(Geo<'a>),
    /// A row of table `user`.
    User(User<'a>),
}

impl StoredPost<'_> {
    /// The row, for reading its values by column of the catalog.
    pub(super) fn as_catalog_row(&self) -> &dyn CatalogRow {
        match self {
            StoredPost::Pin(pin) => pin,
            StoredPost::Geo(geo) => geo,
            StoredPost::User(user) => user,
        }
    }
}

/// Some columns of a batch of cleaned rows. Values of the others are absent.
#[derive(Debug)]
pub(super) struct PostColumns {
    inds: Vec<Ind>,
    columns: StreamColumns,
}

#[derive(Debug)]
enum StreamColumns {
    Pin(Box<ReadPinColumns>),
    Geo { country: Option<StringArray>, coordinates: Option<ListArray>, timestamp: Option<TimestampColumn> },
    User { user_name: Option<StringArray>, age: Option<Int32Array>, date_joined: Option<TimestampColumn> },
}

#[derive(Debug)]
struct ReadPinColumns {
    unique_id: Option<StringArray>,
    title: Option<StringArray>,
    description: Option<StringArray>,
    follower_count: Option<Int64Array>,
    poster_name: Option<StringArray>,
    tag_list: Option<StringArray>,
    is_image_or_video: Option<StringArray>,
    image_src: Option<StringArray>,
    save_location: Option<StringArray>,
    category: Option<StringArray>,
}

impl ReadPinColumns {
    fn texts(&self) -> [&Option<StringArray>; 9] {
        [
            &self.unique_id,
            &self.title,
            &self.description,
            &self.poster_name,
            &self.tag_list,
            &self.is_image_or_video,
            &self.image_src,
            &self.save_location,
            &self.category,
        ]
    }
}

type TimestampColumn = deltalake::arrow::array::TimestampMicrosecondArray;

/// Finds the wanted columns in a batch.
struct ColumnReader<'a> {
    batch: &'a RecordBatch,
    path: &'a Path,
    wanted: &'a [&'a str],
}

impl ColumnReader<'_> {
    fn array(&self, name: &str, kind: &DataType) -> Result<Option<ArrayRef>, DeltaError> {
        self.wanted.contains(&name).then(|| read_column(self.batch, name, kind, self.path)).transpose()
    }

    fn text(&self, name: &str) -> Result<Option<StringArray>, DeltaError> {
        Ok(self.array(name, &DataType::Utf8)?.map(|texts| texts.as_string::<i32>().clone()))
    }

    fn time(&self, name: &str) -> Result<Option<TimestampColumn>, DeltaError> {
        let times = self.array(name, &time_type())?;
        let times = times.map(|times| times.as_primitive::<TimestampMicrosecondType>().clone());
        Ok(times.filter(|times| times.null_count() < times.len()))
    }
}

impl PostColumns {
    /// Reads the key and the `wanted` columns of a batch of the table. Names that are not columns of its own are ignored.
    pub(super) fn read(
        table: Table,
        batch: &RecordBatch,
        path: &Path,
        wanted: &[&str],
    ) -> Result<PostColumns, DeltaError> {
        let read = ColumnReader { batch, path, wanted };
        let inds = read_inds(batch, path)?;
        let columns = match table {
            Table::Rejected => return Err(row_error(path, "rejected rows are not posts".to_owned())),
            Table::Pin => StreamColumns::Pin(Box::new(ReadPinColumns {
                unique_id: read.text("unique_id")?,
                title: read.text("title")?,
                description: read.text("description")?,
                follower_count: read
                    .array("follower_count", &DataType::Int64)?
                    .map(|counts| counts.as_primitive::<Int64Type>().clone()),
                poster_name: read.text("poster_name")?,
                tag_list: read.text("tag_list")?,
                is_image_or_video: read.text("is_image_or_video")?,
                image_src: read.text("image_src")?,
                save_location: read.text("save_location")?,
                category: read.text("category")?,
            })),
            Table::Geo => StreamColumns::Geo {
                country: read.text("country")?,
                coordinates: read.array("coordinates", &pair_type())?.map(|pairs| pairs.as_list::<i32>().clone()),
                timestamp: read.time("timestamp")?,
            },
            Table::User => StreamColumns::User {
                user_name: read.text("user_name")?,
                age: read.array("age", &DataType::Int32)?.map(|ages| ages.as_primitive::<Int32Type>().clone()),
                date_joined: read.time("date_joined")?,
            },
        };
        Ok(PostColumns { inds, columns })
    }

    /// The key of each row.
    pub(super) fn inds(&self) -> &[Ind] {
        &self.inds
    }

    /// The row at an index.
    pub(super) fn post(&self, row: usize) -> StoredPost<'_> {
        let ind = self.inds[row];
        match &self.columns {
            StreamColumns::Pin(columns) => {
                let followers = columns.follower_count.as_ref().filter(|counts| counts.is_valid(row));
                StoredPost::Pin(Pin {
                    ind,
                    unique_id: text_value(&columns.unique_id, row),
                    title: text_value(&columns.title, row),
                    description: text_value(&columns.description, row),
                    follower_count: followers.map(|counts| counts.value(row)),
                    poster_name: text_value(&columns.poster_name, row),
                    tag_list: text_value(&columns.tag_list, row),
                    is_image_or_video: text_value(&columns.is_image_or_video, row),
                    image_src: text_value(&columns.image_src, row),
                    save_location: text_value(&columns.save_location, row),
                    category: text_value(&columns.category, row),
                })
            }
            StreamColumns::Geo { country, coordinates, timestamp } => StoredPost::Geo(Geo {
                ind,
                country: text_value(country, row),
                coordinates: pair_value(coordinates.as_ref(), row),
                timestamp: time_value(timestamp.as_ref(), row),
            }),
            StreamColumns::User { user_name, age, date_joined } => {
                let age = age.as_ref().filter(|ages| ages.is_valid(row)).map(|ages| ages.value(row));
                StoredPost::User(User {
                    ind,
                    user_name: text_value(user_name, row),
                    // A cleaned age is in 0…150, but another engine may have stored any number.
                    age: age.and_then(|age| u8::try_from(age).ok()),
                    date_joined: time_value(date_joined.as_ref(), row),
                })
            }
        }
    }

    /// The bytes of all texts.
    pub(super) fn text_bytes(&self) -> usize {
        let bytes = |texts: &Option<StringArray>| {
            let ends = texts.as_ref().map(StringArray::value_offsets).unwrap_or_default();
            ends.last().zip(ends.first()).map_or(0, |(end, start)| end.abs_diff(*start) as usize)
        };
        match &self.columns {
            StreamColumns::Pin(columns) => columns.texts().into_iter().map(bytes).sum(),
            StreamColumns::Geo { country, .. } => bytes(country),
            StreamColumns::User { user_name, .. } => bytes(user_name),
        }
    }
}

/// Reads when the records of all rows arrived. `None` if no row has a time.
pub(super) fn read_arrivals(batch: &RecordBatch, path: &Path) -> Result<ArrivalTimes, DeltaError> {
    ColumnReader { batch, path, wanted: &["_arrived_at"] }.time("_arrived_at").map(ArrivalTimes)
}

/// When the records of a batch arrived.
#[derive(Debug)]
pub(super) struct ArrivalTimes(Option<TimestampColumn>);

impl ArrivalTimes {
    /// The time of a row. `None` if it is not known.
    pub(super) fn of_row(&self, row: usize) -> Option<Micros> {
        time_value(self.0.as_ref(), row)
    }
}

/// The values of a row by column of the catalog, in which texts beyond a limit are null.
pub(super) fn bounded_values(
    post: &StoredPost<'_>,
    texts: Option<StoredTexts>,
    lineage: &Lineage,
    columns: &[Option<&'static str>],
) -> Row {
    let Some(mut texts) = texts else { return catalog_values(post.as_catalog_row(), lineage, columns) };
    let mut values = Row::default();
    match post {
        StoredPost::Pin(pin) => texts.bound_pin(pin, |pin| values = catalog_values(pin, lineage, columns)),
        StoredPost::Geo(geo) => texts.bound_geo(geo, |geo| values = catalog_values(geo, lineage, columns)),
        StoredPost::User(user) => texts.bound_user(user, |user| values = catalog_values(user, lineage, columns)),
    }
    values
}

/// The values of a row by column of the catalog: those of the columns that have a name, and null for the others.
fn catalog_values(row: &dyn CatalogRow, lineage: &Lineage, columns: &[Option<&'static str>]) -> Row {
    let value = |(index, name): (usize, &Option<&str>)| match name {
        Some(_) => row.value(lineage, index),
        None => Datum::Null,
    };
    columns.iter().enumerate().map(value).collect()
}

fn read_inds(batch: &RecordBatch, path: &Path) -> Result<Vec<Ind>, DeltaError> {
    let inds = read_column(batch, "ind", &DataType::Int64, path)?;
    let inds = inds.as_primitive::<Int64Type>();
    if inds.null_count() > 0 || inds.values().iter().any(|ind| *ind < 0) {
        return Err(row_error(path, "an ind is null or negative".to_owned()));
    }
    Ok(inds.values().iter().map(|ind| ind.unsigned_abs()).collect())
}

fn text_value(texts: &Option<StringArray>, row: usize) -> Option<Cow<'_, str>> {
    texts.as_ref().filter(|texts| texts.is_valid(row)).map(|texts| Cow::Borrowed(texts.value(row)))
}

fn time_value(times: Option<&TimestampColumn>, row: usize) -> Option<Micros> {
    times.filter(|times| times.is_valid(row)).map(|times| times.value(row))
}

/// Latitude and longitude. `None` if one is null, or if another engine stored another list.
fn pair_value(pairs: Option<&ListArray>, row: usize) -> Option<[f64; 2]> {
    let pair = pairs.filter(|pairs| pairs.is_valid(row))?.value(row);
    let pair = pair.as_primitive_opt::<Float64Type>()?;
    if pair.null_count() > 0 { None } else { pair.values().as_ref().try_into().ok() }
}

fn time_type() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

/// The type of coordinates: a list of doubles.
fn pair_type() -> DataType {
    DataType::List(Arc::new(Field::new("element", DataType::Float64, true)))
}
