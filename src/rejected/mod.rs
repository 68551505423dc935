//! `pinflow rejected`: lists and counts the rejections in the tables of a run, and shows the bytes of one.

mod args;
mod error;
mod filter;
mod newest;
mod render;
mod show;

use std::io::Write;
use std::sync::Arc;

pub use args::RejectionArgs;
pub use error::RejectionCommandError;

use args::{CountArgs, RejectionSubcommand, RejectionTables, RejectionsArgs};
use newest::{CountedRejections, NewestRejections};

use crate::table_location::connect_tables;
use pinflow_delta::{RejectionScan, StoredRejection, TableContents, inspect, scan_rejections};

/// Runs the command and prints its result.
///
/// # Errors
/// If the tables cannot be read, there is no such rejection, or the output cannot be written.
pub async fn run(args: RejectionArgs, out: &mut (dyn Write + Send)) -> Result<(), RejectionCommandError> {
    match args.command {
        RejectionSubcommand::List(args) => list_rejections(args, out).await,
        RejectionSubcommand::Count(args) => count_rejections(args, out).await,
        RejectionSubcommand::Show(args) => show::show_rejection(args, out).await,
    }
}

async fn list_rejections(args: RejectionsArgs, out: &mut dyn Write) -> Result<(), RejectionCommandError> {
    let (format, filter) = (args.output_format(), args.filter.into_filter()?);
    let mut newest = NewestRejections::new(args.limit);
    let newest = scan_tables(&args.tables, RejectionScan::default(), move |contents, scan| {
        let matching = |rejection: StoredRejection| {
            if filter.matches(&rejection) {
                newest.add(rejection);
            }
        };
        scan_rejections(contents, scan, matching).map(|()| newest)
    });
    let (rejections, matching) = newest.await?.into_newest_first();
    Ok(render::write_rejections(&rejections, matching, format, out)?)
}

async fn count_rejections(args: CountArgs, out: &mut dyn Write) -> Result<(), RejectionCommandError> {
    let (format, filter) = (args.output_format(), args.filter.into_filter()?);
    let mut counts = CountedRejections::new(args.by);
    let counts = scan_tables(&args.tables, RejectionScan::default(), move |contents, scan| {
        let matching = |rejection: StoredRejection| {
            if filter.matches(&rejection) {
                counts.add(&rejection);
            }
        };
        scan_rejections(contents, scan, matching).map(|()| counts)
    });
    Ok(render::write_counts(&counts.await?, format, out)?)
}

/// Reads the table `rejected` on a thread of its own.
async fn scan_tables<T: Send + 'static>(
    tables: &RejectionTables,
    scan: RejectionScan,
    work: impl FnOnce(&[TableContents], RejectionScan) -> Result<T, pinflow_delta::DeltaError> + Send + 'static,
) -> Result<T, RejectionCommandError> {
    let location = connect_tables(&tables.tables, tables.connection.as_deref()).await?;
    let contents = Arc::new(inspect(&location, 0).await?);
    let scanned = tokio::task::spawn_blocking(move || work(&contents, scan)).await;
    Ok(scanned.map_err(|panic| RejectionCommandError::Panicked(panic.to_string()))??)
}
