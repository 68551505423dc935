//! The four tables and their columns: one list, from which the Arrow and the Delta schema are made.

use std::sync::{Arc, LazyLock};

use deltalake::arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use deltalake::kernel::{ArrayType, DataType as DeltaType, PrimitiveType, StructField as DeltaField, StructType};
use pinflow_dataflows::ingest::StreamHint;
use pinflow_dataflows::record::Stream;

/// A table of the sink, in the order in which a window is committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Table {
    /// Rows that were kept out of their table. Always committed before the others.
    Rejected,
    /// Cleaned pin posts.
    Pin,
    /// Cleaned geo posts.
    Geo,
    /// Cleaned user posts.
    User,
}

impl Table {
    /// All four, in the order in which a window is committed.
    pub const ALL: [Table; 4] = [Table::Rejected, Table::Pin, Table::Geo, Table::User];
    /// Those that hold cleaned rows.
    pub const CLEANED: [Table; 3] = [Table::Pin, Table::Geo, Table::User];

    /// The table's name and folder.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Table::Rejected => "rejected",
            Table::Pin => Stream::Pin.name(),
            Table::Geo => Stream::Geo.name(),
            Table::User => Stream::User.name(),
        }
    }

    /// Whether rows of a partition can go to this table.
    #[must_use]
    pub fn takes(self, carries: StreamHint) -> bool {
        match carries {
            StreamHint::Auto => true,
            StreamHint::Only(stream) => self == Table::Rejected || self == Table::from(stream),
        }
    }

    pub(crate) fn columns(self) -> &'static [Column] {
        match self {
            Table::Rejected => REJECTED,
            Table::Pin => PIN,
            Table::Geo => GEO,
            Table::User => USER,
        }
    }

    /// The schema of the table's batches; the lineage columns stand last.
    pub(crate) fn arrow(self) -> SchemaRef {
        static SCHEMAS: LazyLock<[SchemaRef; 4]> = LazyLock::new(|| Table::ALL.map(arrow_schema));
        SCHEMAS[self as usize].clone()
    }

    /// The schema as the table's log states it.
    pub(crate) fn delta(self) -> Vec<DeltaField> {
        all(self).map(|column| DeltaField::nullable(column.name, column.kind.delta())).collect()
    }
}

impl From<Stream> for Table {
    fn from(stream: Stream) -> Table {
        match stream {
            Stream::Pin => Table::Pin,
            Stream::Geo => Table::Geo,
            Stream::User => Table::User,
        }
    }
}

impl std::fmt::Display for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

/// A column, and what is known of its values.
#[derive(Debug)]
pub(crate) struct Column {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    /// Values repeat within a file, so that a dictionary saves space; building one for texts that do not
    /// repeat costs a tenth of the encoding time and is thrown away.
    pub(crate) repeats: bool,
    /// Least and greatest value are worth keeping in the log, for engines that skip files by them.
    pub(crate) bounds: bool,
}

/// The types the contract uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Long,
    Int,
    Text,
    Bytes,
    /// [latitude, longitude]
    Pair,
    /// Microseconds, UTC. Never without a zone: that would need reader version 3.
    Time,
}

impl Kind {
    fn arrow(self) -> DataType {
        match self {
            Kind::Long => DataType::Int64,
            Kind::Int => DataType::Int32,
            Kind::Text => DataType::Utf8,
            Kind::Bytes => DataType::Binary,
            Kind::Pair => DataType::List(Arc::new(Field::new("element", DataType::Float64, true))),
            Kind::Time => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        }
    }

    fn delta(self) -> DeltaType {
        DeltaType::Primitive(match self {
            Kind::Pair => return ArrayType::new(DeltaType::Primitive(PrimitiveType::Double), true).into(),
            Kind::Long => PrimitiveType::Long,
            Kind::Int => PrimitiveType::Integer,
            Kind::Text => PrimitiveType::String,
            Kind::Bytes => PrimitiveType::Binary,
            Kind::Time => PrimitiveType::Timestamp,
        })
    }
}

const fn column(name: &'static str, kind: Kind) -> Column {
    Column { name, kind, repeats: false, bounds: true }
}
const fn text(name: &'static str) -> Column {
    Column { name, kind: Kind::Text, repeats: false, bounds: false }
}
const fn repeating(name: &'static str) -> Column {
    Column { name, kind: Kind::Text, repeats: true, bounds: true }
}

const PIN: &[Column] = &[
    column("ind", Kind::Long),
    text("unique_id"),
    text("title"),
    text("description"),
    Column { name: "follower_count", kind: Kind::Long, repeats: true, bounds: true },
    repeating("poster_name"),
    text("tag_list"),
    repeating("is_image_or_video"),
    text("image_src"),
    repeating("save_location"),
    repeating("category"),
];
const GEO: &[Column] = &[
    column("ind", Kind::Long),
    repeating("country"),
    Column { name: "coordinates", kind: Kind::Pair, repeats: false, bounds: false },
    column("timestamp", Kind::Time),
];
const USER: &[Column] = &[
    column("ind", Kind::Long),
    repeating("user_name"),
    Column { name: "age", kind: Kind::Int, repeats: true, bounds: true },
    column("date_joined", Kind::Time),
];
const REJECTED: &[Column] = &[
    repeating("stream"),
    repeating("reason"),
    text("detail"),
    Column { name: "payload", kind: Kind::Bytes, repeats: false, bounds: false },
    column("payload_bytes", Kind::Long),
    text("payload_sha256"),
];
/// Where a row came from; last in every table.
pub(crate) const LINEAGE: &[Column] = &[
    repeating("_source"),
    Column { name: "_position", kind: Kind::Text, repeats: false, bounds: true },
    Column { name: "_sub", kind: Kind::Int, repeats: true, bounds: true },
    column("_arrived_at", Kind::Time),
];

/// Every column of a table in the order of the contract.
pub(crate) fn all(table: Table) -> impl Iterator<Item = &'static Column> {
    table.columns().iter().chain(LINEAGE)
}

fn arrow_schema(table: Table) -> SchemaRef {
    let fields: Vec<Field> = all(table).map(|column| Field::new(column.name, column.kind.arrow(), true)).collect();
    Arc::new(Schema::new(fields))
}

/// What keeps the schema that a log states from being the table's; `None` if it is.
pub(crate) fn difference(table: Table, found: &StructType) -> Option<String> {
    let wanted = table.delta();
    let found: Vec<&DeltaField> = found.fields().collect();
    for (at, wanted) in wanted.iter().enumerate() {
        let Some(field) = found.get(at) else {
            return Some(format!("column {} is missing", wanted.name()));
        };
        if field.name() != wanted.name() {
            return Some(format!("column {} is called {}, not {}", at + 1, field.name(), wanted.name()));
        }
        if field.data_type() != wanted.data_type() {
            return Some(format!("column {} is {}, not {}", field.name(), field.data_type(), wanted.data_type()));
        }
        if !field.is_nullable() {
            return Some(format!("column {} must not be null", field.name()));
        }
        // Invariants, generated and identity columns: all of them change what may be written.
        if let Some(rule) = field.metadata().keys().find(|key| key.starts_with("delta.")) {
            return Some(format!("column {} has {rule}", field.name()));
        }
    }
    found.get(wanted.len()).map(|extra| format!("column {} was added", extra.name()))
}
