//! The four tables and their columns. The Arrow and the Delta schema are derived from one list.

use std::sync::{Arc, LazyLock};

use deltalake::arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use deltalake::kernel::{ArrayType, DataType as DeltaType, PrimitiveType, StructField as DeltaField, StructType};
use pinflow_dataflows::ingest::StreamHint;
use pinflow_dataflows::record::Stream;

/// A table of the sink, in the order in which a window is committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Table {
    /// Rejected messages. Always committed before the other tables.
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
    /// The tables of cleaned rows.
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
    pub fn accepts(self, stream_hint: StreamHint) -> bool {
        match stream_hint {
            StreamHint::Auto => true,
            StreamHint::Only(stream) => self == Table::Rejected || self == Table::from(stream),
        }
    }

    pub(crate) fn own_columns(self) -> &'static [TableColumn] {
        match self {
            Table::Rejected => REJECTED_COLUMNS,
            Table::Pin => PIN_COLUMNS,
            Table::Geo => GEO_COLUMNS,
            Table::User => USER_COLUMNS,
        }
    }

    /// The Arrow schema of the table. The lineage columns are last.
    pub(crate) fn arrow_schema(self) -> SchemaRef {
        static SCHEMAS: LazyLock<[SchemaRef; 4]> = LazyLock::new(|| Table::ALL.map(build_arrow_schema));
        SCHEMAS[self as usize].clone()
    }

    /// The fields of the Delta schema.
    pub(crate) fn delta_fields(self) -> Vec<DeltaField> {
        all_columns(self).map(|column| DeltaField::nullable(column.name, column.kind.delta_type())).collect()
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

/// A column, and properties of its values.
#[derive(Debug)]
pub(crate) struct TableColumn {
    pub(crate) name: &'static str,
    pub(crate) kind: TableColumnType,
    /// Whether values repeat within a file, so that a dictionary saves space. A dictionary of values that do not repeat
    /// takes 10 % of the encoding time and is discarded.
    pub(crate) repeats: bool,
    /// Whether the log stores minimum and maximum, with which engines skip files.
    pub(crate) bounds: bool,
}

/// The column types of the tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TableColumnType {
    Long,
    Int,
    Text,
    Bytes,
    /// [latitude, longitude]
    Pair,
    /// Microseconds, UTC. A type without time zone would need reader version 3.
    Time,
}

impl TableColumnType {
    fn arrow_type(self) -> DataType {
        match self {
            TableColumnType::Long => DataType::Int64,
            TableColumnType::Int => DataType::Int32,
            TableColumnType::Text => DataType::Utf8,
            TableColumnType::Bytes => DataType::Binary,
            TableColumnType::Pair => DataType::List(Arc::new(Field::new("element", DataType::Float64, true))),
            TableColumnType::Time => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        }
    }

    fn delta_type(self) -> DeltaType {
        DeltaType::Primitive(match self {
            TableColumnType::Pair => return ArrayType::new(DeltaType::Primitive(PrimitiveType::Double), true).into(),
            TableColumnType::Long => PrimitiveType::Long,
            TableColumnType::Int => PrimitiveType::Integer,
            TableColumnType::Text => PrimitiveType::String,
            TableColumnType::Bytes => PrimitiveType::Binary,
            TableColumnType::Time => PrimitiveType::Timestamp,
        })
    }
}

const fn typed_column(name: &'static str, kind: TableColumnType) -> TableColumn {
    TableColumn { name, kind, repeats: false, bounds: true }
}
const fn text_column(name: &'static str) -> TableColumn {
    TableColumn { name, kind: TableColumnType::Text, repeats: false, bounds: false }
}
const fn repeating_text_column(name: &'static str) -> TableColumn {
    TableColumn { name, kind: TableColumnType::Text, repeats: true, bounds: true }
}

const PIN_COLUMNS: &[TableColumn] = &[
    typed_column("ind", TableColumnType::Long),
    text_column("unique_id"),
    text_column("title"),
    text_column("description"),
    TableColumn { name: "follower_count", kind: TableColumnType::Long, repeats: true, bounds: true },
    repeating_text_column("poster_name"),
    text_column("tag_list"),
    repeating_text_column("is_image_or_video"),
    text_column("image_src"),
    repeating_text_column("save_location"),
    repeating_text_column("category"),
];
const GEO_COLUMNS: &[TableColumn] = &[
    typed_column("ind", TableColumnType::Long),
    repeating_text_column("country"),
    TableColumn { name: "coordinates", kind: TableColumnType::Pair, repeats: false, bounds: false },
    typed_column("timestamp", TableColumnType::Time),
];
const USER_COLUMNS: &[TableColumn] = &[
    typed_column("ind", TableColumnType::Long),
    repeating_text_column("user_name"),
    TableColumn { name: "age", kind: TableColumnType::Int, repeats: true, bounds: true },
    typed_column("date_joined", TableColumnType::Time),
];
const REJECTED_COLUMNS: &[TableColumn] = &[
    repeating_text_column("stream"),
    repeating_text_column("reason"),
    text_column("detail"),
    TableColumn { name: "payload", kind: TableColumnType::Bytes, repeats: false, bounds: false },
    typed_column("payload_bytes", TableColumnType::Long),
    text_column("payload_sha256"),
];
/// The lineage columns, which are last in every table.
pub(crate) const LINEAGE_COLUMNS: &[TableColumn] = &[
    repeating_text_column("_source"),
    TableColumn { name: "_position", kind: TableColumnType::Text, repeats: false, bounds: true },
    TableColumn { name: "_sub", kind: TableColumnType::Int, repeats: true, bounds: true },
    typed_column("_arrived_at", TableColumnType::Time),
];

/// All columns of a table, in order.
pub(crate) fn all_columns(table: Table) -> impl Iterator<Item = &'static TableColumn> {
    table.own_columns().iter().chain(LINEAGE_COLUMNS)
}

fn build_arrow_schema(table: Table) -> SchemaRef {
    let fields: Vec<Field> =
        all_columns(table).map(|column| Field::new(column.name, column.kind.arrow_type(), true)).collect();
    Arc::new(Schema::new(fields))
}

/// The first difference between the schema in a log and that of the table; `None` if they are equal.
pub(crate) fn schema_difference(table: Table, found: &StructType) -> Option<String> {
    let wanted = table.delta_fields();
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
        // Invariants, generated and identity columns restrict what can be written.
        if let Some(rule) = field.metadata().keys().find(|key| key.starts_with("delta.")) {
            return Some(format!("column {} has {rule}", field.name()));
        }
    }
    found.get(wanted.len()).map(|extra| format!("column {} was added", extra.name()))
}
