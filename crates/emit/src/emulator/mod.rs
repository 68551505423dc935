//! The posting emulator: draws rows from the three tables of a MySQL database and posts them. Also creates and fills
//! these tables (`--init-mysql`).
//!
//! Each draw takes the row at the same offset of all three tables, as the posting emulator of the original pipeline
//! does. Rows are sent before the next ones are read, so a row is as it was just before its message.
//!
//! - `schema`: the three tables. `fill_tables`: creates and fills them.
//! - `sequence`: which row each draw takes, and the pause before it. `pacer`: when to draw.
//! - `offset_index`: finds the row at an offset quickly.
//! - `database`: queries the tables, and reconnects after an outage.
//! - `row_json`: a row as the message that the posting emulator sends.
//! - `draw_sender`: sends what was drawn, and counts it.

mod database;
mod draw_sender;
mod fill_tables;
mod offset_index;
mod pacer;
mod row_json;
mod schema;
mod sequence;

use tokio::runtime::Runtime;

pub use row_json::TimeFormat;
pub use sequence::DrawMethod;

use super::EmitArgs;
use super::delivery::DeliveryTracker;
use super::error::EmitError;
use super::progress::write_line;
use super::replay::show_progress;
use super::routes::DestinationRoute;
use database::{SourceDatabase, UntilStopped};
use draw_sender::DrawSender;
use pinflow_mysql::DatabaseAddress;

pub(super) use fill_tables::fill_tables;

/// Draws rows from a database and sends them, until `--count` draws are made or a signal comes.
///
/// # Errors
/// If the database cannot be read, or what was drawn cannot be sent.
pub(super) fn run_emulator(
    args: &EmitArgs,
    url: &str,
    delivery: &DeliveryTracker,
    routes: impl FnOnce() -> Result<Vec<DestinationRoute>, EmitError>,
) -> Result<(), EmitError> {
    let address = resolve_address(args, url)?;
    let runtime = build_runtime()?;
    let opened = runtime.block_on(SourceDatabase::open(address, args.selected_streams(), delivery))?;
    let UntilStopped::Done(mut database) = opened else {
        write_line("stopped before anything was sent");
        return Ok(());
    };
    if database.is_empty() {
        return Err(EmitError::EmptyTables);
    }
    let mut draw_sender = DrawSender::new(args, routes()?);
    let ended = show_progress(delivery, || {
        let ended = draw_sender.send_draws(args, &runtime, &mut database, delivery);
        runtime.block_on(database.close());
        ended.and_then(|()| draw_sender.finish())
    });
    write_line(&draw_sender.summary());
    if delivery.stop.is_requested() && ended.is_ok() {
        write_line(&format!("stopped: {}", delivery.report_acks()));
    }
    ended
}

/// Resolves the address of the database. Warns if the URL contains the password.
fn resolve_address(args: &EmitArgs, url: &str) -> Result<DatabaseAddress, EmitError> {
    let address = DatabaseAddress::resolve_from(url, args.creds.as_deref())?;
    if address.is_password_in_url {
        write_line(
            "warning: everybody on this machine can see the password in the URL (ps), and the shell remembers it; \
             MYSQL_PWD or --creds FILE keep it to themselves",
        );
    }
    Ok(address)
}

fn build_runtime() -> Result<Runtime, EmitError> {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let built = runtime.worker_threads(1).thread_name("mysql").enable_all().build();
    built.map_err(EmitError::io("start a thread for the database"))
}
