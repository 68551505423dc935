//! `pinflow rejected`: lists and counts the rejections in the tables of a run, shows the bytes of one, and replays them.

mod args;
mod error;
mod filter;
mod newest;
mod render;
mod replay;
mod show;

use std::io::Write;

pub use args::RejectionArgs;
pub use error::RejectionCommandError;
pub use replay::ReplayError;

use args::{CountArgs, RejectionSubcommand, RejectionTables, RejectionsArgs};
use newest::{CountedRejections, NewestRejections};
use replay::PassStore;

use crate::config::Config;
use crate::table_location::connect_tables;
use pinflow_delta::{RejectionScan, StoredRejection, TableContents, inspect, scan_rejections};

/// Runs the command and prints its result. After `replay` it returns the configuration of the run that replays, if there is
/// something to replay.
///
/// # Errors
/// If the tables cannot be read, there is no such rejection, or the output cannot be written.
pub async fn run(args: RejectionArgs, out: &mut (dyn Write + Send)) -> Result<Option<Config>, RejectionCommandError> {
    match args.command {
        RejectionSubcommand::List(args) => list_rejections(args, out).await?,
        RejectionSubcommand::Count(args) => count_rejections(args, out).await?,
        RejectionSubcommand::Show(args) => show::show_rejection(args, out).await?,
        RejectionSubcommand::Replay(args) => return replay::prepare_replay(args, out).await,
    }
    Ok(None)
}

async fn list_rejections(args: RejectionsArgs, out: &mut dyn Write) -> Result<(), RejectionCommandError> {
    let (format, filter) = (args.output_format(), args.filter.into_filter()?);
    let mut newest = NewestRejections::new(args.limit);
    let newest = scan_tables(&args.tables, RejectionScan::default(), move |contents, scan, _| {
        let matching = |rejection: StoredRejection| {
            if filter.matches(&rejection) {
                newest.add(rejection);
            }
        };
        scan_rejections(contents, scan, matching).map(|()| newest)
    });
    let (newest, passes) = newest.await?;
    let (rejections, matching) = newest.into_newest_first();
    Ok(render::write_rejections(&rejections, &passes, matching, format, out)?)
}

async fn count_rejections(args: CountArgs, out: &mut dyn Write) -> Result<(), RejectionCommandError> {
    let (format, filter) = (args.output_format(), args.filter.into_filter()?);
    let mut counts = CountedRejections::new(args.by);
    let counts = scan_tables(&args.tables, RejectionScan::default(), move |contents, scan, passes| {
        let matching = |rejection: StoredRejection| {
            if filter.matches(&rejection) {
                counts.add(&rejection, passes.place_of(&rejection).is_some());
            }
        };
        scan_rejections(contents, scan, matching).map(|()| counts)
    });
    let (counts, _) = counts.await?;
    Ok(render::write_counts(&counts, format, out)?)
}

/// Reads the table `rejected` on a thread of its own. Returns the passes of replays beside it, too.
async fn scan_tables<T: Send + 'static>(
    tables: &RejectionTables,
    scan: RejectionScan,
    work: impl FnOnce(&[TableContents], RejectionScan, &PassStore) -> Result<T, pinflow_delta::DeltaError> + Send + 'static,
) -> Result<(T, PassStore), RejectionCommandError> {
    let location = connect_tables(&tables.tables, tables.connection.as_deref()).await?;
    let contents = inspect(&location, 0).await?;
    let passes = PassStore::read(&location.resolve_existing().map_err(ReplayError::Storage)?).await?;
    let scanned = tokio::task::spawn_blocking(move || Ok((work(&contents, scan, &passes)?, passes))).await;
    scanned.map_err(|panic| RejectionCommandError::Panicked(panic.to_string()))?
}
