//! The original's posting emulator: rows drawn from the three tables of a MySQL database, posted one after the other;
//! and the tables filled with made posts, for whoever has none.
//!
//! The rooms:
//!
//! - `tables`: the three tables; `fill`: makes and fills them;
//! - `sequence`: which row each draw takes, and the pause before it;
//! - `survey`: finds the row at an offset quickly;
//! - `database`: asks, and waits while the database is away;
//! - `pace`: when to draw;
//! - `rows`: a row as the message that the original posts;
//! - `posting`: draws that are sent, and the account of them.
//!
//! A draw takes the row at the same offset of all three tables, as the original does. What is read is sent before the
//! next rows are read, so a row is as it was just before its message.

mod database;
mod fill;
mod pace;
mod posting;
mod rows;
mod sequence;
mod survey;
mod tables;

use anyhow::{Context, bail};
use tokio::runtime::Runtime;

pub use rows::Times;
pub use sequence::Draws;

use super::EmitArgs;
use super::delivery::Delivery;
use super::progress::write_line;
use super::resend::{Outlet, watched};
use crate::mysql::Address;
use database::{Database, Outcome};
use posting::Posting;

pub(super) use fill::fill;

/// Draws rows from a database and sends them, until so many draws are made or a signal comes.
///
/// # Errors
/// If the database cannot be drawn from, or what was drawn cannot be sent.
pub(super) fn run(
    args: &EmitArgs,
    url: &str,
    delivery: &Delivery,
    outlets: impl FnOnce() -> anyhow::Result<Vec<Outlet>>,
) -> anyhow::Result<()> {
    let address = address(args, url)?;
    let runtime = runtime()?;
    let opened = runtime.block_on(Database::open(address, args.chosen(), delivery))?;
    let Outcome::Done(mut database) = opened else {
        write_line("stopped before anything was sent");
        return Ok(());
    };
    if database.is_empty() {
        bail!("the tables hold no rows; pinflow emit --init-mysql URL --replace fills them");
    }
    let mut posting = Posting::new(args, outlets()?);
    let ended = watched(delivery, || {
        let ended = posting.all(args, &runtime, &mut database, delivery);
        runtime.block_on(database.close());
        ended.and_then(|()| posting.finish())
    });
    write_line(&posting.summary());
    if delivery.stop.is_requested() && ended.is_ok() {
        write_line(&format!("stopped: {}", delivery.report()));
    }
    ended
}

/// Where the database is. Says so where the password stands for all to see.
fn address(args: &EmitArgs, url: &str) -> anyhow::Result<Address> {
    let address = Address::read(url, args.creds.as_deref())?;
    if address.is_password_in_url {
        write_line(
            "warning: everybody on this machine can see the password in the URL (ps), and the shell remembers it; \
             MYSQL_PWD or --creds FILE keep it to themselves",
        );
    }
    Ok(address)
}

fn runtime() -> anyhow::Result<Runtime> {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let built = runtime.worker_threads(1).thread_name("mysql").enable_all().build();
    built.context("start a thread for the database")
}
