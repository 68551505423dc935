//! `pinflow rejected replay`: processes rejections again that are accepted now, each exactly once.
//!
//! The rejections that are accepted become a pass: a file beside the tables. Then a run reads the passes as its only
//! source. A pass is a partition with positions of its own, which are committed together with the rows, as for every
//! source. So a crash at any step neither loses nor repeats a row: before the file is there nothing has happened, and
//! afterwards the next replay continues at the committed position. A rejection in a pass is never chosen again.

mod error;
mod pass_file;
mod selection;
mod source;

use std::io::Write;
use std::sync::Arc;

pub use error::ReplayError;
pub(super) use pass_file::{PassStore, ReplayPlace};

use super::args::ReplayArgs;
use super::error::RejectionCommandError;
use crate::config::{Config, ConfigFile, ConfigUse};
use pass_file::{ReplayPass, ReplayedMessage};
use pinflow_delta::{DeltaError, RejectionScan, TableContents, find_accepted_messages, inspect, scan_rejections};
use pinflow_serving::StdoutFormat;
use pinflow_storage::Location;
use selection::{PassSelection, ReplayChoice, ReplayCounts};
use source::DeadLetterSource;

/// Reads all rejections.
const WITH_PAYLOADS: RejectionScan = RejectionScan { payloads: true, position: None };

/// Stores what is to be replayed, and prints the counts. Returns the configuration of the run that replays it, or `None`
/// if there is nothing to replay.
///
/// # Errors
/// If the tables or the passes cannot be read or written, or the output cannot be written.
pub(super) async fn prepare_replay(
    args: ReplayArgs,
    out: &mut (dyn Write + Send),
) -> Result<Option<Config>, RejectionCommandError> {
    let ReplayArgs { config, filter, dry_run } = args;
    let config = ConfigFile::read(&config).and_then(|file| file.finish(ConfigUse::Run)).map_err(ReplayError::Config)?;
    let (filter, limits) = (filter.into_filter()?, config.message_limits());
    let choice = ReplayChoice { filter, limits, ..ReplayChoice::default() };
    let tables = config.tables.as_ref().ok_or(ReplayError::NoTables)?;
    let root = tables.root(&config.base).map_err(ReplayError::Url)?;
    let location = Location::connect(&root, &config.objects).await.map_err(ReplayError::Storage)?;
    // The passes first: what they have is committed after they are there.
    let mut store = PassStore::read(&location.resolve_existing().map_err(ReplayError::Storage)?).await?;
    let contents = Arc::new(inspect(&location, 0).await?);
    check_pipeline(&contents, &config.pipeline)?;
    let choice = Arc::new(leave_out_accepted(&contents, choice, &store).await?);
    let (counts, mut messages) = select_pass(&contents, &choice, &store).await?;
    let unfinished: u64 = store.passes.iter().map(|pass| unread_messages(*pass, &contents)).sum();
    write_counts(counts, unfinished, dry_run, out)?;
    if dry_run {
        return Ok(None);
    }
    if !messages.is_empty() {
        location.prepare_for_writing().await.map_err(ReplayError::Storage)?;
    }
    let is_finished = messages.is_empty() && unfinished == 0;
    while !messages.is_empty() {
        store.create(&messages).await?;
        (_, messages) = select_pass(&contents, &choice, &store).await?;
    }
    Ok((!is_finished).then(|| replaying_config(config, DeadLetterSource { store })))
}

/// Refuses tables of another pipeline before a pass is written beside them.
fn check_pipeline(contents: &[TableContents], ours: &str) -> Result<(), DeltaError> {
    match contents.iter().find(|table| table.pipeline != ours) {
        None => Ok(()),
        Some(table) => Err(DeltaError::Pipeline {
            path: table.path.clone(),
            theirs: table.pipeline.clone(),
            ours: ours.to_owned(),
        }),
    }
}

/// How many messages of a pass are not in all tables.
fn unread_messages(pass: ReplayPass, contents: &[TableContents]) -> u64 {
    let name = pass.source_name();
    let read = |table: &TableContents| {
        let position = table.positions.iter().find(|position| position.source == name);
        position.and_then(|position| position.next.narrow()).map_or(0, |next| next.saturating_sub(1))
    };
    pass.messages.saturating_sub(contents.iter().map(read).min().unwrap_or(0))
}

/// Finds the messages of several rows of which the tables have some already.
async fn leave_out_accepted(
    contents: &Arc<Vec<TableContents>>,
    mut choice: ReplayChoice,
    store: &PassStore,
) -> Result<ReplayChoice, RejectionCommandError> {
    let (contents, places) = (Arc::clone(contents), Arc::clone(&store.places));
    let find = move || {
        let mut selection = PassSelection::new(&choice, &places);
        scan_rejections(&contents, WITH_PAYLOADS, |rejection| selection.add(rejection))?;
        let suspects = selection.of_several_rows;
        if !suspects.is_empty() {
            choice.in_part = find_accepted_messages(&contents, &suspects)?;
        }
        Ok::<_, DeltaError>(choice)
    };
    let found = tokio::task::spawn_blocking(find).await;
    Ok(found.map_err(|panic| RejectionCommandError::Panicked(panic.to_string()))??)
}

/// Chooses the rejections of one pass, on a thread of its own.
async fn select_pass(
    contents: &Arc<Vec<TableContents>>,
    choice: &Arc<ReplayChoice>,
    store: &PassStore,
) -> Result<(ReplayCounts, Vec<ReplayedMessage>), RejectionCommandError> {
    let (contents, choice, places) = (Arc::clone(contents), Arc::clone(choice), Arc::clone(&store.places));
    let select = move || {
        let mut selection = PassSelection::new(&choice, &places);
        scan_rejections(&contents, WITH_PAYLOADS, |rejection| selection.add(rejection))?;
        Ok::<_, DeltaError>((selection.counts, selection.into_messages()))
    };
    let selected = tokio::task::spawn_blocking(select).await;
    Ok(selected.map_err(|panic| RejectionCommandError::Panicked(panic.to_string()))??)
}

fn write_counts(counts: ReplayCounts, unfinished: u64, dry_run: bool, out: &mut dyn Write) -> std::io::Result<()> {
    let ReplayCounts { accepted, rejected, replayed, incomplete, out_of_context } = counts;
    let what = if dry_run {
        "accepted now; not replayed, because of --dry-run"
    } else {
        "accepted now; chosen for this replay"
    };
    for (count, what) in [
        (accepted, what),
        (rejected, "would be rejected again"),
        (replayed, "chosen by an earlier replay"),
        (incomplete, "without the whole message: it has no payload, or the table has only its first 64 KiB"),
        (
            out_of_context,
            "decided by what is not in the table (the array around the row, its source), or accepted in part before",
        ),
    ] {
        writeln!(out, "{count:>12}  {what}")?;
    }
    if unfinished > 0 {
        let what = if dry_run { "a replay without --dry-run continues it" } else { "it is continued" };
        writeln!(out, "{unfinished:>12}  left by an earlier replay that did not finish; {what}")?;
    }
    Ok(())
}

/// The configuration of a run that reads the passes, and nothing else, and ends.
fn replaying_config(config: Config, source: DeadLetterSource) -> Config {
    let mut replaying = Config { sources: vec![Arc::new(source)], serve: None, archive: None, cluster: None, ..config };
    replaying.until_caught_up = true;
    replaying.output.format = Some(StdoutFormat::None);
    replaying
}
