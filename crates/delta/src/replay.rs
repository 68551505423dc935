//! Reads complete rows of a table in their original order.

use std::borrow::Cow;
use std::ops::ControlFlow;

use deltalake::arrow::array::{Array, AsArray, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray};
use deltalake::arrow::datatypes::{
    DataType, Field, Float64Type, Int32Type, Int64Type, TimeUnit, TimestampMicrosecondType,
};
use pinflow_dataflows::record::{Geo, Micros, Pin, Stream, User};

use super::error::DeltaError;
use super::inspect::TableContents;
use super::rows::{self, SourceSymbols, TimestampColumn};
use super::schema::{Table, all_columns};
use pinflow_connect::sink::RowId;

/// A complete row of a cleaned table.
#[derive(Debug)]
pub enum ReplayedRow<'a> {
    /// A row of table `pin`.
    Pin(Pin<'a>),
    /// A row of table `geo`.
    Geo(Geo<'a>),
    /// A row of table `user`.
    User(User<'a>),
}

/// Calls `each` with every row of a cleaned table, until it breaks.
///
/// Files are read in the order in which they were written, and the rows of a file are sorted by source and position. So
/// rows of a partition keep their order, unless another engine has merged files. One file is in memory at a time.
///
/// # Errors
/// If a file cannot be read, or contains values that a cleaned row cannot have.
pub fn replay(
    contents: &TableContents,
    mut each: impl FnMut(ReplayedRow<'_>) -> ControlFlow<()>,
) -> Result<(), DeltaError> {
    let table = contents.which;
    let mut files: Vec<_> = contents.active.iter().collect();
    files.sort_by(|one, other| (one.written_ms, &one.at.path).cmp(&(other.written_ms, &other.at.path)));
    for file in files {
        let (path, mut sources) = (&file.at.path, SourceSymbols::default());
        let (mut batches, mut order) = (Vec::new(), Vec::new());
        for batch in rows::read_batches(&file.at, all_columns(table).map(|column| &column.name))? {
            let batch = batch.map_err(|cause| DeltaError::File { path: path.clone(), cause })?;
            let place = batches.len();
            rows::for_each_row(&batch, path, &mut sources, |row, delivery| order.push((delivery, place, row)))?;
            batches.push(ReplayColumns::read(table, &batch, path)?);
        }
        order.sort_by_key(|(RowId { source, position, sub }, ..)| (*source, *position, *sub));
        for (_, place, row) in order {
            if each(batches[place].replayed_row(row)).is_break() {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// The columns of a batch, cast to the column types of the tables.
struct ReplayColumns {
    stream: Stream,
    inds: Int64Array,
    texts: Vec<(&'static str, StringArray)>,
    follower_count: Option<Int64Array>,
    age: Option<Int32Array>,
    /// Latitude and longitude by row, where both are known.
    coordinates: Vec<Option<[f64; 2]>>,
    time: Option<TimestampColumn>,
}

impl ReplayColumns {
    fn read(table: Table, batch: &RecordBatch, path: &std::path::Path) -> Result<ReplayColumns, DeltaError> {
        let get = |name: &str, kind: DataType| rows::read_column(batch, name, &kind, path);
        let text =
            |name: &'static str| Ok::<_, DeltaError>((name, get(name, DataType::Utf8)?.as_string::<i32>().clone()));
        let long = |name: &str| Ok::<_, DeltaError>(get(name, DataType::Int64)?.as_primitive::<Int64Type>().clone());
        let time = |name: &str| {
            let micros = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
            Ok::<_, DeltaError>(get(name, micros)?.as_primitive::<TimestampMicrosecondType>().clone())
        };
        let inds = long("ind")?;
        if inds.null_count() > 0 || inds.values().iter().any(|ind| *ind < 0) {
            return Err(rows::row_error(path, "an ind is null or negative".to_owned()));
        }
        let mut columns = ReplayColumns {
            stream: Stream::Pin,
            inds,
            texts: Vec::new(),
            follower_count: None,
            age: None,
            coordinates: Vec::new(),
            time: None,
        };
        match table {
            Table::Rejected => return Err(rows::row_error(path, "rejected rows are not posts".to_owned())),
            Table::Pin => {
                let names = [
                    "unique_id",
                    "title",
                    "description",
                    "poster_name",
                    "tag_list",
                    "is_image_or_video",
                    "image_src",
                    "save_location",
                    "category",
                ];
                columns.texts = names.into_iter().map(text).collect::<Result<_, _>>()?;
                columns.follower_count = Some(long("follower_count")?);
            }
            Table::Geo => {
                columns.stream = Stream::Geo;
                columns.texts = vec![text("country")?];
                columns.coordinates = read_coordinates(batch, path)?;
                columns.time = Some(time("timestamp")?);
            }
            Table::User => {
                columns.stream = Stream::User;
                columns.texts = vec![text("user_name")?];
                columns.age = Some(get("age", DataType::Int32)?.as_primitive::<Int32Type>().clone());
                columns.time = Some(time("date_joined")?);
            }
        }
        Ok(columns)
    }

    fn text_value(&self, name: &str, row: usize) -> Option<Cow<'_, str>> {
        let (_, texts) = self.texts.iter().find(|(known, _)| *known == name)?;
        texts.is_valid(row).then(|| Cow::Borrowed(texts.value(row)))
    }

    fn time_value(&self, row: usize) -> Option<Micros> {
        self.time.as_ref().filter(|times| times.is_valid(row)).map(|times| times.value(row))
    }

    fn replayed_row(&self, row: usize) -> ReplayedRow<'_> {
        let ind = self.inds.value(row).unsigned_abs();
        match self.stream {
            Stream::Pin => {
                let followers = self.follower_count.as_ref().filter(|counts| counts.is_valid(row));
                ReplayedRow::Pin(Pin {
                    ind,
                    unique_id: self.text_value("unique_id", row),
                    title: self.text_value("title", row),
                    description: self.text_value("description", row),
                    follower_count: followers.map(|counts| counts.value(row)),
                    poster_name: self.text_value("poster_name", row),
                    tag_list: self.text_value("tag_list", row),
                    is_image_or_video: self.text_value("is_image_or_video", row),
                    image_src: self.text_value("image_src", row),
                    save_location: self.text_value("save_location", row),
                    category: self.text_value("category", row),
                })
            }
            Stream::Geo => ReplayedRow::Geo(Geo {
                ind,
                country: self.text_value("country", row),
                coordinates: self.coordinates.get(row).copied().flatten(),
                timestamp: self.time_value(row),
            }),
            Stream::User => {
                let age = self.age.as_ref().filter(|ages| ages.is_valid(row)).map(|ages| ages.value(row));
                ReplayedRow::User(User {
                    ind,
                    user_name: self.text_value("user_name", row),
                    age: age.and_then(|age| u8::try_from(age).ok()),
                    date_joined: self.time_value(row),
                })
            }
        }
    }
}

/// Reads the coordinates of all rows.
fn read_coordinates(batch: &RecordBatch, path: &std::path::Path) -> Result<Vec<Option<[f64; 2]>>, DeltaError> {
    let doubles = DataType::List(std::sync::Arc::new(Field::new("element", DataType::Float64, true)));
    let lists = rows::read_column(batch, "coordinates", &doubles, path)?;
    let lists = lists.as_list::<i32>();
    let pair = |row: usize| {
        let values = lists.is_valid(row).then(|| lists.value(row))?;
        let values: &Float64Array = values.as_primitive::<Float64Type>();
        (values.len() == 2 && values.null_count() == 0).then(|| [values.value(0), values.value(1)])
    };
    Ok((0..batch.num_rows()).map(pair).collect())
}
