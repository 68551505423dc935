//! Creates the three tables and fills them with generated posts (`--init-mysql`).
//!
//! Tables are filled under temporary names and renamed in one statement at the end. So no reader sees a partly filled
//! table, and with `--replace` the old tables remain until the new ones are complete.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use serde_json::Value as Json;

use super::schema::{TableSchema, cell_text};
use super::{build_runtime, resolve_address};
use crate::EmitArgs;
use crate::delivery::{DeliveryTracker, ResumeMode};
use crate::error::EmitError;
use crate::generate::{PostGenerator, PostScratch};
use crate::progress::{self, write_line};
use crate::stop::StopRequest;
use pinflow_mysql::{DatabaseAddress, MySqlClient, SqlValue};

const ROWS_PER_INSERT: u64 = 500;

/// Creates and fills the tables of the selected streams.
///
/// # Errors
/// If a table exists and must not be replaced, or a statement fails.
pub(crate) fn fill_tables(args: &EmitArgs, url: &str) -> Result<(), EmitError> {
    let address = resolve_address(args, url)?;
    let tables: Vec<&TableSchema> = args.selected_streams().into_iter().map(TableSchema::for_stream).collect();
    let began = Instant::now();
    let (done, ended) = (&AtomicU64::new(0), &AtomicBool::new(false));
    let all = args.inds * tables.len() as u64;
    let delivery = DeliveryTracker::start(ResumeMode::None).map_err(EmitError::io("listen for signals"))?;
    let filled = std::thread::scope(|scope| {
        let filling = scope.spawn(|| {
            let fill = create_and_fill(args, &address, &tables, done, &delivery.stop);
            let filled = build_runtime().and_then(|runtime| runtime.block_on(fill));
            ended.store(true, Ordering::Release);
            filled
        });
        let is_ended = || ended.load(Ordering::Acquire) || filling.is_finished();
        progress::watch_rows(all, || done.load(Ordering::Relaxed), is_ended);
        filling.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    });
    let database = address.redacted_url().to_string();
    filled.map_err(|cause| EmitError::Fill { database, cause: Box::new(cause) })?;
    let names: Vec<&str> = tables.iter().map(|table| table.name).collect();
    let secs = began.elapsed().as_secs_f64();
    write_line(&format!(
        "{}: {} rows in each of {}, in {secs:.2} s",
        address.redacted_url(),
        args.inds,
        names.join(", ")
    ));
    Ok(())
}

async fn create_and_fill(
    args: &EmitArgs,
    address: &DatabaseAddress,
    tables: &[&TableSchema],
    done: &AtomicU64,
    stop: &StopRequest,
) -> Result<(), EmitError> {
    let mut client = tokio::select! {
        client = MySqlClient::connect(address) => client.map_err(EmitError::statement("connect"))?,
        () = stop.requested() => return Err(EmitError::StoppedConnecting),
    };
    let there = existing_tables(&mut client, tables).await?;
    if !there.is_empty() && !args.replace {
        return Err(EmitError::TablesExist(there));
    }
    let posts = PostGenerator::new(args.rng_seed(), args.inds);
    for table in tables {
        client.execute(&format!("DROP TABLE IF EXISTS `{}`", new_table_name(table))).await?;
        let made = client.execute(&create_statement(table)).await;
        made.map_err(EmitError::statement(format!("make {}", new_table_name(table))))?;
        for first in (0..args.inds).step_by(ROWS_PER_INSERT as usize) {
            if stop.is_requested() {
                return Err(EmitError::StoppedFilling { rows: done.load(Ordering::Relaxed) });
            }
            let inds = first..args.inds.min(first + ROWS_PER_INSERT);
            let rows = inds.end - inds.start;
            let values = inds.map(|ind| row_values(&posts, table, ind)).collect::<Result<Vec<_>, EmitError>>()?;
            let written = client.execute_with(&insert_statement(table, rows), values.concat()).await;
            written.map_err(EmitError::statement(format!("write into {}", new_table_name(table))))?;
            done.fetch_add(rows, Ordering::Relaxed);
        }
    }
    swap_tables(&mut client, tables, &there).await?;
    client.close().await;
    Ok(())
}

/// The names of the tables that exist.
///
/// # Errors
/// If one of them is a view.
async fn existing_tables(client: &mut MySqlClient, tables: &[&TableSchema]) -> Result<Vec<&'static str>, EmitError> {
    let answers = client.query("SHOW FULL TABLES").await?;
    let found = answers.into_iter().next().unwrap_or_default().rows;
    let mut there = Vec::new();
    for table in tables {
        let Some(row) = found.iter().find(|row| cell_text(row, 0) == table.name) else { continue };
        if cell_text(row, 1) != "BASE TABLE" {
            return Err(EmitError::NotATable { name: table.name, kind: cell_text(row, 1).to_string() });
        }
        there.push(table.name);
    }
    Ok(there)
}

/// Renames all new tables in one statement, and drops the old ones.
async fn swap_tables(client: &mut MySqlClient, tables: &[&TableSchema], there: &[&str]) -> Result<(), EmitError> {
    let mut renames = Vec::new();
    for table in tables {
        let (name, new, old) = (table.name, new_table_name(table), old_table_name(table));
        if there.contains(&name) {
            client.execute(&format!("DROP TABLE IF EXISTS `{old}`")).await?;
            renames.push(format!("`{name}` TO `{old}`"));
        }
        renames.push(format!("`{new}` TO `{name}`"));
    }
    let renamed = client.execute(&format!("RENAME TABLE {}", renames.join(", "))).await;
    renamed.map_err(EmitError::statement("give the new tables their names"))?;
    for table in tables {
        client.execute(&format!("DROP TABLE IF EXISTS `{}`", old_table_name(table))).await?;
    }
    Ok(())
}

fn new_table_name(table: &TableSchema) -> String {
    format!("{}_pinflow_new", table.name)
}

fn old_table_name(table: &TableSchema) -> String {
    format!("{}_pinflow_old", table.name)
}

fn create_statement(table: &TableSchema) -> String {
    let columns: Vec<String> = table.columns.iter().map(|(name, kind)| format!("`{name}` {kind}")).collect();
    let (columns, key) = (columns.join(", "), table.columns[0].0);
    format!("CREATE TABLE `{}` ({columns}, PRIMARY KEY (`{key}`)) DEFAULT CHARACTER SET utf8mb4", new_table_name(table))
}

fn insert_statement(table: &TableSchema, rows: u64) -> String {
    let columns: Vec<String> = table.columns.iter().map(|(name, _)| format!("`{name}`")).collect();
    let row = format!("({})", vec!["?"; columns.len()].join(","));
    let rows = vec![row; rows as usize].join(",");
    format!("INSERT INTO `{}` ({}) VALUES {rows}", new_table_name(table), columns.join(","))
}

/// The values of a generated post, in the order of the table's columns.
fn row_values(posts: &PostGenerator, table: &TableSchema, ind: u64) -> Result<Vec<SqlValue>, EmitError> {
    let mut message = Vec::new();
    posts.write_post(table.stream, ind, &mut PostScratch::default(), &mut message);
    let mut post: serde_json::Map<String, Json> = serde_json::from_slice(&message).map_err(EmitError::MadePost)?;
    let value = |(name, _): &(&str, &str)| match post.remove(*name) {
        Some(Json::String(text)) => SqlValue::Text(text),
        Some(Json::Number(number)) => match number.as_i64() {
            Some(whole) => SqlValue::Integer(whole),
            None => number.as_f64().map_or(SqlValue::Null, SqlValue::Float),
        },
        _ => SqlValue::Null,
    };
    Ok(table.columns.iter().map(value).collect())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::schema::TABLES;
    use super::*;

    #[test]
    fn schema_has_a_column_for_every_field_of_a_post() {
        let posts = PostGenerator::new(100, 500);
        for table in &TABLES {
            let mut message = Vec::new();
            posts.write_post(table.stream, 7, &mut PostScratch::default(), &mut message);
            let post: serde_json::Map<String, Json> = serde_json::from_slice(&message).unwrap();
            assert_eq!(post.len(), table.columns.len());
            let values = row_values(&posts, table, 7).unwrap();
            assert_eq!(values[0], SqlValue::Integer(7));
            assert!(values.iter().all(|value| *value != SqlValue::Null), "{values:?}");
        }
    }

    #[test]
    fn statements_name_every_column() {
        assert_eq!(
            create_statement(&TABLES[1]),
            "CREATE TABLE `geolocation_data_pinflow_new` (`ind` BIGINT NOT NULL, `timestamp` DATETIME, `latitude` DOUBLE, \
             `longitude` DOUBLE, `country` TEXT, PRIMARY KEY (`ind`)) DEFAULT CHARACTER SET utf8mb4"
        );
        assert!(insert_statement(&TABLES[2], 2).ends_with("`date_joined`) VALUES (?,?,?,?,?),(?,?,?,?,?)"));
    }
}
