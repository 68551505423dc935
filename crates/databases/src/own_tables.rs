//! pinflow's own tables: which columns they have, and what `pinflow_tables` says of the tables of answers.

use pinflow_dataflows::answer::ColumnType;

use crate::config::DatabaseTarget;
use crate::dialect::DatabaseDialect;
use crate::error::DatabaseError;
use crate::schema::{AnswerTableSpec, FoundColumn, RegisteredTable};
use crate::session::{DatabaseSession, query_rows, text_of};

/// The version of pinflow's own tables and of the tables of answers. A row of `pinflow_tables` says it. A schema without
/// that row has version 1.
const SCHEMA_FORMAT: u32 = 1;
/// The name in that row.
const FORMAT_ROW: &str = "pinflow_tables";
/// The begin of its `columns`. The version follows.
const FORMAT_WORD: &str = "format ";

/// The columns and registrations of the tables that exist.
pub(crate) struct CatalogContents {
    pub(crate) columns: Vec<(String, FoundColumn)>,
    pub(crate) registered: Vec<(String, RegisteredTable)>,
}

/// The name of each table, and its columns in `CREATE TABLE`.
pub(crate) fn own_table_columns(dialect: DatabaseDialect) -> [(&'static str, String); 3] {
    let (long, bool_type, time) =
        (dialect.type_name(ColumnType::Long), dialect.type_name(ColumnType::Bool), dialect.type_name(ColumnType::Time));
    let text = dialect.type_name(ColumnType::Text);
    let name_type = match dialect {
        DatabaseDialect::Postgres => "text",
        DatabaseDialect::MySql => "varchar(64) character set utf8mb4 collate utf8mb4_bin",
    };
    let columns = |columns: &[(&str, &str)]| {
        let key = dialect.quote_name(columns[0].0);
        let columns: Vec<_> =
            columns.iter().map(|(name, ty)| format!("{} {ty} NOT NULL", dialect.quote_name(name))).collect();
        format!("{}, PRIMARY KEY ({key})", columns.join(", "))
    };
    [
        ("pinflow_cut", columns(&[("epoch", long), ("as_of", time), ("durable", bool_type)])),
        ("pinflow_tables", columns(&[("name", name_type), ("columns", text), ("sql", text)])),
        (
            "pinflow_writer",
            columns(&[
                ("id", long),
                ("pipeline", text),
                ("generation", long),
                ("run", text),
                ("holder", text),
                ("writes", long),
                ("written_at", time),
            ]),
        ),
    ]
}

/// Records the version of a new schema.
pub(crate) async fn register_format(
    session: &mut dyn DatabaseSession,
    target: &DatabaseTarget,
) -> Result<(), DatabaseError> {
    let (dialect, registry) = (session.dialect(), target.qualified_name(FORMAT_ROW));
    let names = dialect.quote_names(["name", "columns", "sql"]);
    let (name, format) = (dialect.quote_text(FORMAT_ROW), dialect.quote_text(&format!("{FORMAT_WORD}{SCHEMA_FORMAT}")));
    let insert = format!("INSERT INTO {registry} ({names}) VALUES ({name}, {format}, {})", dialect.quote_text(""));
    session.execute(&insert).await?;
    Ok(())
}

/// Refuses a schema that a later pinflow has written in another version.
pub(crate) async fn check_format(
    session: &mut dyn DatabaseSession,
    target: &DatabaseTarget,
) -> Result<(), DatabaseError> {
    let (dialect, registry) = (session.dialect(), target.qualified_name(FORMAT_ROW));
    let (columns, name) = (dialect.quote_name("columns"), dialect.quote_name("name"));
    let sql = format!("SELECT {columns} FROM {registry} WHERE {name} = {}", dialect.quote_text(FORMAT_ROW));
    let rows = query_rows(session, &sql, &[ColumnType::Text]).await?;
    match rows.first().map(|row| text_of(row.first())) {
        Some(format) if !is_known_format(&format) => Err(DatabaseError::settings(format!(
            "the tables were written by a later pinflow ({format}, this one knows formats up to {SCHEMA_FORMAT}); use that \
             one, or another schema or database"
        ))),
        _ => Ok(()),
    }
}

fn is_known_format(format: &str) -> bool {
    format
        .strip_prefix(FORMAT_WORD)
        .and_then(|format| format.parse().ok())
        .is_some_and(|format: u32| format <= SCHEMA_FORMAT)
}

/// Records in `pinflow_tables` which columns a table has.
pub(crate) async fn register_table(
    session: &mut dyn DatabaseSession,
    target: &DatabaseTarget,
    spec: &AnswerTableSpec,
) -> Result<(), DatabaseError> {
    let (dialect, registry) = (session.dialect(), target.qualified_name("pinflow_tables"));
    let values: Vec<_> =
        [&spec.name, &spec.encoded_columns(), &spec.sql].iter().map(|text| dialect.quote_text(text)).collect();
    let (key, names) = (dialect.quote_name("name"), dialect.quote_names(["name", "columns", "sql"]));
    // One statement where it is not part of a transaction: a crash must not leave the table without its registration.
    let insert = match dialect {
        DatabaseDialect::Postgres => {
            session.execute(&format!("DELETE FROM {registry} WHERE {key} = {}", values[0])).await?;
            "INSERT"
        }
        DatabaseDialect::MySql => "REPLACE",
    };
    session.execute(&format!("{insert} INTO {registry} ({names}) VALUES ({})", values.join(", "))).await?;
    Ok(())
}

/// The columns of all tables of the schema.
pub(crate) async fn read_columns(
    session: &mut dyn DatabaseSession,
    target: &DatabaseTarget,
) -> Result<Vec<(String, FoundColumn)>, DatabaseError> {
    let text = |name: &str| match session.dialect() {
        DatabaseDialect::Postgres => format!("{name}::text"),
        DatabaseDialect::MySql => format!("CAST({name} AS CHAR)"),
    };
    let sql = format!(
        "SELECT {}, {}, {} FROM information_schema.columns WHERE table_schema = {} ORDER BY table_name, ordinal_position",
        text("table_name"),
        text("column_name"),
        text("data_type"),
        target.schema_expression(),
    );
    let rows = query_rows(session, &sql, &[ColumnType::Text; 3]).await?;
    let column =
        |row: Vec<_>| (text_of(row.first()), FoundColumn { name: text_of(row.get(1)), data_type: text_of(row.get(2)) });
    Ok(rows.into_iter().map(column).collect())
}

/// What the schema has.
pub(crate) async fn read_catalog(
    session: &mut dyn DatabaseSession,
    target: &DatabaseTarget,
) -> Result<CatalogContents, DatabaseError> {
    let columns = read_columns(session, target).await?;
    let names = session.dialect().quote_names(["name", "columns", "sql"]);
    let registry = target.qualified_name("pinflow_tables");
    let rows = query_rows(session, &format!("SELECT {names} FROM {registry}"), &[ColumnType::Text; 3]).await?;
    let table = |row: Vec<_>| {
        (text_of(row.first()), RegisteredTable { columns: text_of(row.get(1)), sql: text_of(row.get(2)) })
    };
    Ok(CatalogContents { columns, registered: rows.into_iter().map(table).collect() })
}
