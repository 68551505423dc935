//! `pinflow table`: shows, verifies, repairs and maintains Delta tables.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use comfy_table::{CellAlignment, ContentArrangement, presets};
use serde::Serialize;

use crate::table_location::{TableLocationError, connect_location};
use pinflow_core::user_error::{ExitStatus, UserError};
use pinflow_delta::{
    AcceptError, AcceptedDeletion, ColumnScope, CompactionPolicy, CompactionStats, DeltaError, FindingGrade,
    MissingFile, MissingFileOutcome, PartitionReport, RepairedFile, TableContents, TableFinding, VerifyProgress,
    VerifyReport, accept_deletion, diagnose, inspect, optimize, repair, restore_missing_files, vacuum, verify,
};
use pinflow_storage::Location;
use pinflow_terminal::{sanitize_line, write_error_line};

/// Shows what tables contain, and verifies, repairs or maintains them.
#[derive(Debug, Clone, clap::Args)]
pub struct TableArgs {
    /// The folder with the tables pin, geo, user and rejected, or one of them; or s3://BUCKET/PREFIX
    pub path: PathBuf,
    /// Connect to the bucket as `[objects]` of this configuration does. Without it, the environment and the AWS profile
    /// decide
    #[arg(long, value_name = "FILE.toml", global = true)]
    pub connection: Option<PathBuf>,
    /// What to do with the tables. Without a command, show what they hold.
    #[command(subcommand)]
    pub action: Option<TableAction>,
    /// Output format.
    #[arg(long, value_enum, default_value_t, global = true)]
    pub format: TableOutputFormat,
    /// How many commits of each table to show, newest first.
    #[arg(long, default_value_t = 5, value_name = "COMMITS")]
    pub history: usize,
    /// Read the lineage of every row, and check that no row is lost and no row is stored twice. The exit code is 1 if
    /// the check fails or cannot be done.
    #[arg(long)]
    pub verify: bool,
    /// With --verify: read and decode all columns of every file, to find damaged data too.
    #[arg(long, requires = "verify")]
    pub deep: bool,
    /// First repair the logs: move a torn newest commit and unreadable checkpoints to `_damaged`, if the rest of the log
    /// is intact. Then replace missing data files by the files that were compacted into them, if those still exist. Only
    /// while no pinflow is writing.
    #[arg(long)]
    pub repair: bool,
}

/// Minimum retention of a vacuum while pinflow may be writing, in hours.
const MIN_KEEP_HOURS: u32 = 24;

/// The subcommands of `pinflow table`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::Subcommand)]
pub enum TableAction {
    /// Compact small files into large ones. Rows, positions and older versions are kept
    Optimize,
    /// Remove files that no version of the last hours needs
    Vacuum {
        /// How many hours of older versions stay readable. Less than 24 requires --nothing-writes
        #[arg(long, default_value_t = 168, value_name = "HOURS")]
        keep: u32,
        /// Confirm that nothing writes to these tables: no pinflow runs or waits for a full disk. Files that it has
        /// written and not yet committed would be removed, and their rows would be lost
        #[arg(long)]
        nothing_writes: bool,
    },
    /// Record that missing rows were deleted on purpose, for example a person's data by another engine. Until then
    /// --verify and runs report them as lost. Only while no pinflow is writing
    AcceptDeletion,
    /// Look for problems: lost or repeated rows, many small files, old checkpoints, files that no version needs
    Doctor,
}

/// Output format.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum TableOutputFormat {
    /// Tables to read
    #[default]
    Table,
    /// One JSON object
    Json,
}

/// Why `pinflow table` failed.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// The tables cannot be reached.
    #[error(transparent)]
    Location(#[from] TableLocationError),
    /// A table could not be read.
    #[error(transparent)]
    Delta(#[from] DeltaError),
    /// Deletions could not be accepted.
    #[error(transparent)]
    Accept(#[from] AcceptError),
    /// Printing failed. The caller handles a closed pipe.
    #[error("print")]
    Print(#[from] io::Error),
    /// The retention is so short that files could be removed before their commit.
    #[error(
        "--keep {keep} could remove what a running pinflow has written and not committed; keep 24 hours or more, or stop \
         whatever writes to these tables and add --nothing-writes"
    )]
    Unsafe {
        /// The retention, hours.
        keep: u32,
    },
}

impl UserError for TableError {
    fn exit_code(&self) -> ExitStatus {
        match self {
            TableError::Location(error) => error.exit_code(),
            TableError::Delta(error) | TableError::Accept(AcceptError::Delta(error)) => error.exit_code(),
            TableError::Unsafe { .. } => ExitStatus::BadUsage,
            TableError::Accept(AcceptError::OtherFaults(_)) | TableError::Print(_) => ExitStatus::Failed,
        }
    }
}

#[derive(Serialize)]
struct TableReport<'a> {
    tables: &'a [TableContents],
    #[serde(skip_serializing_if = "Option::is_none")]
    verify: Option<&'a VerifyReport>,
    #[serde(skip_serializing_if = "Option::is_none")]
    repaired: Option<&'a [RepairedFile]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    missing_files: Option<&'a [MissingFile]>,
}

/// Runs `pinflow table`. Returns `false` if a check found a problem.
///
/// # Errors
/// If a table cannot be read or written, or printing fails.
pub async fn run(args: TableArgs, out: &mut (dyn Write + Send)) -> Result<bool, TableError> {
    let location = connect_existing(&args).await?;
    match args.action {
        None => {}
        Some(TableAction::Optimize) => {
            return print_optimized(&optimize(&location, CompactionPolicy::ALL).await?, args.format, out);
        }
        Some(TableAction::Vacuum { keep, nothing_writes: false }) if keep < MIN_KEEP_HOURS => {
            return Err(TableError::Unsafe { keep });
        }
        Some(TableAction::Vacuum { keep, .. }) => {
            return print_vacuumed(&vacuum(&location, keep).await?, args.format, out);
        }
        Some(TableAction::AcceptDeletion) => {
            return print_accepted(&accept_deletion(&location).await?, args.format, out);
        }
        Some(TableAction::Doctor) => return print_findings(&diagnose(&location).await?, args.format, out),
    }
    let (mut repaired, mut missing) = (None, None);
    if args.repair {
        repaired = Some(repair(&location).await?);
        missing = Some(restore_missing_files(&location).await?);
    }
    let tables = inspect(&location, args.history).await?;
    // Verify after a repair: rejections of a commit that was moved away may not be read again.
    let has_changed = repaired.as_ref().is_some_and(|repaired| !repaired.is_empty())
        || missing.as_ref().is_some_and(|missing| !missing.is_empty());
    let is_lost = missing.iter().flatten().any(MissingFile::is_lost);
    // With lost files the tables cannot be read, so they cannot be verified.
    let verified = if (args.verify || has_changed) && !is_lost {
        let columns = if args.deep { ColumnScope::All } else { ColumnScope::Lineage };
        let mut progress = DeepProgress::default();
        Some(verify(tables.clone(), columns, move |read| progress.report(read)).await?)
    } else {
        None
    };
    match args.format {
        TableOutputFormat::Json => {
            let (verify, repaired, missing_files) = (verified.as_ref(), repaired.as_deref(), missing.as_deref());
            let report = TableReport { tables: &tables, verify, repaired, missing_files };
            serde_json::to_writer_pretty(&mut *out, &report).map_err(io::Error::from)?;
            writeln!(out)?;
        }
        TableOutputFormat::Table => {
            if let (Some(repaired), Some(missing)) = (&repaired, &missing) {
                print_repaired(repaired, missing, out)?;
            }
            print_contents(&tables, out)?;
            print_positions(&tables, out)?;
            print_history(&tables, out)?;
            if let Some(verified) = &verified {
                print_verify_report(verified, out)?;
            }
        }
    }
    Ok(!is_lost && verified.is_none_or(|verified| verified.is_proved()))
}

/// Time between two progress lines.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(2);

/// Prints on stderr how far a deep verification has read.
#[derive(Default)]
struct DeepProgress {
    reported: Option<Instant>,
}

impl DeepProgress {
    fn report(&mut self, read: VerifyProgress) {
        let VerifyProgress { bytes, bytes_total } = read;
        let is_due = self.reported.is_none_or(|reported| reported.elapsed() >= PROGRESS_INTERVAL);
        if is_due || bytes == bytes_total {
            write_error_line(&format!("read {} of {} MiB of data", bytes >> 20, bytes_total >> 20));
            self.reported = Some(Instant::now());
        }
    }
}

/// Connects to the tables, which must exist.
async fn connect_existing(args: &TableArgs) -> Result<Location, TableError> {
    let place = connect_location(&args.path, args.connection.as_deref(), "PATH").await?;
    // Before `doctor`, which would report a wrong path as a problem of the tables.
    place.resolve_existing().map_err(DeltaError::from)?;
    Ok(place)
}

fn print_json(value: &impl Serialize, out: &mut dyn Write) -> Result<(), TableError> {
    serde_json::to_writer_pretty(&mut *out, value).map_err(io::Error::from)?;
    Ok(writeln!(out)?)
}

fn print_optimized(
    done: &[(&'static str, CompactionStats)],
    format: TableOutputFormat,
    out: &mut dyn Write,
) -> Result<bool, TableError> {
    match format {
        TableOutputFormat::Json => print_json(&done.iter().copied().collect::<BTreeMap<_, _>>(), out)?,
        TableOutputFormat::Table => {
            let mut grid = new_grid(&["table", "files", "compacted to", "rows in them"], &[1, 2, 3]);
            for (table, CompactionStats { files_before, files_after, rows }) in done {
                grid.add_row([
                    (*table).to_owned(),
                    files_before.to_string(),
                    files_after.to_string(),
                    rows.to_string(),
                ]);
            }
            print_grid(&mut grid, out)?;
        }
    }
    Ok(true)
}

fn print_vacuumed(
    done: &[(&'static str, Vec<String>)],
    format: TableOutputFormat,
    out: &mut dyn Write,
) -> Result<bool, TableError> {
    match format {
        TableOutputFormat::Json => print_json(&done.iter().cloned().collect::<BTreeMap<_, _>>(), out)?,
        TableOutputFormat::Table => {
            for (table, files) in done {
                writeln!(out, "{table}: {} files removed", files.len())?;
            }
        }
    }
    Ok(true)
}

fn print_accepted(
    deletions: &[AcceptedDeletion],
    format: TableOutputFormat,
    out: &mut dyn Write,
) -> Result<bool, TableError> {
    match format {
        TableOutputFormat::Json => print_json(&deletions, out)?,
        TableOutputFormat::Table if deletions.is_empty() => writeln!(out, "no row is missing: nothing to accept")?,
        TableOutputFormat::Table => {
            let mut grid = new_grid(&["source", "rows deleted", "accepted before"], &[1, 2]);
            for AcceptedDeletion { source, before, rows } in deletions {
                grid.add_row([sanitize_line(source), rows.to_string(), before.to_string()]);
            }
            print_grid(&mut grid, out)?;
        }
    }
    Ok(true)
}

fn print_findings(
    findings: &[TableFinding],
    format: TableOutputFormat,
    out: &mut dyn Write,
) -> Result<bool, TableError> {
    match format {
        TableOutputFormat::Json => print_json(&findings, out)?,
        TableOutputFormat::Table => {
            let mut grid = new_grid(&["", "table", ""], &[]);
            for TableFinding { table, grade, what } in findings {
                let grade = match grade {
                    FindingGrade::Passed => "well",
                    FindingGrade::Risk => "RISK",
                    FindingGrade::Problem => "FAULT",
                };
                grid.add_row([grade.to_owned(), table.unwrap_or("all").to_owned(), sanitize_line(what)]);
            }
            print_grid(&mut grid, out)?;
        }
    }
    Ok(!TableFinding::has_problem(findings))
}

fn new_grid(header: &[&str], numbers: &[usize]) -> comfy_table::Table {
    let mut grid = comfy_table::Table::new();
    grid.load_style(presets::NOTHING).set_header(header.iter().copied());
    for column in numbers {
        if let Some(column) = grid.column_mut(*column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    grid
}

/// The width of a grid if the output is not a terminal, in characters.
const DEFAULT_WIDTH_COLUMNS: u16 = 80;

/// Prints a grid within the width of the terminal, without trailing spaces.
fn print_grid(grid: &mut comfy_table::Table, out: &mut dyn Write) -> io::Result<()> {
    grid.set_content_arrangement(ContentArrangement::Dynamic);
    if !grid.is_tty() {
        grid.set_width(DEFAULT_WIDTH_COLUMNS);
    }
    grid.lines().try_for_each(|line| writeln!(out, "{}", line.trim_end()))
}

fn print_repaired(repaired: &[RepairedFile], missing: &[MissingFile], out: &mut dyn Write) -> io::Result<()> {
    if repaired.is_empty() && missing.is_empty() {
        return writeln!(out, "nothing to repair\n");
    }
    for RepairedFile { file, moved_to, fault } in repaired {
        writeln!(out, "moved {} to {}: {}", file.display(), moved_to.display(), sanitize_line(fault))?;
    }
    for file in missing {
        print_missing_file(file, out)?;
    }
    writeln!(out)
}

/// Prints whether the rows of a missing data file were restored.
fn print_missing_file(missing: &MissingFile, out: &mut dyn Write) -> io::Result<()> {
    let rows = missing.rows.map_or_else(|| "an unknown number of".to_owned(), |rows| rows.to_string());
    let file = sanitize_line(&missing.file.display().to_string());
    match &missing.outcome {
        MissingFileOutcome::Restored { files, version } => {
            writeln!(
                out,
                "{file} is missing: version {version} has its {rows} rows again, from the files it was made from:"
            )?;
            files.iter().try_for_each(|file| writeln!(out, "  {}", sanitize_line(&file.display().to_string())))
        }
        MissingFileOutcome::Lost { reason } => writeln!(
            out,
            "LOST: {file} with {rows} rows is missing ({}); the table cannot be read until it is restored from a backup",
            sanitize_line(reason)
        ),
    }
}

fn print_contents(tables: &[TableContents], out: &mut dyn Write) -> io::Result<()> {
    let mut grid = new_grid(&["table", "rows", "files", "bytes", "version", "pipeline"], &[1, 2, 3, 4]);
    for table in tables {
        grid.add_row([
            table.table.to_owned(),
            table.rows.to_string(),
            table.files.to_string(),
            table.bytes.to_string(),
            table.version.to_string(),
            sanitize_line(&table.pipeline),
        ]);
    }
    print_grid(&mut grid, out)?;
    writeln!(out)
}

fn print_positions(tables: &[TableContents], out: &mut dyn Write) -> io::Result<()> {
    let mut grid = new_grid(&["source", "table", "next position", "rows read"], &[2, 3]);
    for table in tables {
        for position in &table.positions {
            grid.add_row([
                sanitize_line(&position.source),
                table.table.to_owned(),
                position.next.to_string(),
                position.rows.to_string(),
            ]);
        }
    }
    print_grid(&mut grid, out)?;
    writeln!(out)
}

fn print_history(tables: &[TableContents], out: &mut dyn Write) -> io::Result<()> {
    let mut grid = new_grid(&["table", "version", "time", "operation", "rows", "positions"], &[1, 4, 5]);
    for table in tables {
        for change in &table.history {
            grid.add_row([
                table.table.to_owned(),
                change.version.to_string(),
                change.time.as_deref().map(to_seconds).unwrap_or_default(),
                sanitize_line(&change.operation),
                change.rows.map(|rows| rows.to_string()).unwrap_or_default(),
                change.positions.len().to_string(),
            ]);
        }
    }
    print_grid(&mut grid, out)
}

/// Cuts the fraction of a second from a time.
fn to_seconds(time: &str) -> String {
    time.split_once('.').map_or_else(|| time.to_owned(), |(seconds, _)| format!("{seconds}Z"))
}

fn print_verify_report(verified: &VerifyReport, out: &mut dyn Write) -> io::Result<()> {
    let has_deleted = verified.partitions.iter().any(|partition| partition.deleted > 0);
    let mut header = vec!["source", "next position", "rows read", "rows found", "of them rejected"];
    header.extend(has_deleted.then_some("deleted"));
    let mut grid = new_grid(&header, &[1, 2, 3, 4, 5]);
    for partition in &verified.partitions {
        let mut cells = vec![
            sanitize_line(&partition.source),
            partition.next.to_string(),
            partition.stored.to_string(),
            partition.found.to_string(),
            partition.rejected.to_string(),
        ];
        cells.extend(has_deleted.then(|| partition.deleted.to_string()));
        grid.add_row(cells);
    }
    writeln!(out)?;
    print_grid(&mut grid, out)?;
    writeln!(out)?;
    match verified.columns {
        ColumnScope::Lineage => writeln!(out, "read: the lineage columns; --verify --deep reads all of them")?,
        ColumnScope::All => writeln!(out, "read: all columns")?,
    }
    for violation in &verified.violations {
        writeln!(out, "violation: {}", sanitize_line(violation))?;
    }
    for unproved in &verified.unproved {
        writeln!(out, "not checked: {}", sanitize_line(unproved))?;
    }
    let lacks_rows = |partition: &PartitionReport| partition.found + partition.deleted < partition.stored;
    if verified.unproved.is_empty() && verified.partitions.iter().any(lacks_rows) {
        writeln!(
            out,
            "rows are missing: restore the tables from a backup; or, if they were deleted on purpose, run `pinflow table \
             PATH accept-deletion`"
        )?;
    }
    match (verified.violations.len(), verified.unproved.len()) {
        (0, 0) => writeln!(out, "verified: {} rows, none lost, none twice", verified.rows),
        (0, _) => writeln!(out, "NOT verified: not everything could be checked"),
        (1, _) => writeln!(out, "NOT verified: 1 violation"),
        (violations, _) => writeln!(out, "NOT verified: {violations} violations"),
    }
}
