//! `pinflow table`: what the tables hold, how it came there, and whether it is all there.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use comfy_table::{CellAlignment, presets};
use serde::Serialize;

use crate::config::{ConfigError, objects_connection};
use crate::objects::{Connection, ObjectsError, Place, Target};
use crate::sinks::delta::{
    Compacted, Compaction, Contents, DeltaError, Grade, Mended, Symptom, Verdict, diagnose, inspect, optimize, repair,
    vacuum, verify,
};

/// Shows what tables hold.
#[derive(Debug, Clone, clap::Args)]
pub struct TableArgs {
    /// The folder with the tables pin, geo, user and rejected, or one of them; or s3://BUCKET/PREFIX
    pub path: PathBuf,
    /// Reach the bucket as `[objects]` of this configuration says; by default as the environment and the profile do
    #[arg(long, value_name = "FILE.toml", global = true)]
    pub connection: Option<PathBuf>,
    /// What to do with them first; pinflow may be running.
    #[command(subcommand)]
    pub action: Option<Action>,
    /// How to print it.
    #[arg(long, value_enum, default_value_t, global = true)]
    pub format: Format,
    /// Commits of each table to show, newest first.
    #[arg(long, default_value_t = 5, value_name = "COMMITS")]
    pub history: usize,
    /// Read every row's lineage, and check that no row is lost and none is there twice. Exit code 1 if not so.
    #[arg(long)]
    pub verify: bool,
    /// First mend the logs: move a torn newest commit and checkpoints that cannot be read to `_damaged`, if the rest of
    /// the log is whole. While no pinflow is writing.
    #[arg(long)]
    pub repair: bool,
}

/// The least that vacuum keeps while something may be writing, hours.
const KEEP_HOURS_MIN: u32 = 24;

/// What can be done with tables, beside looking at them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::Subcommand)]
pub enum Action {
    /// Join small files to large ones; rows, positions and older versions stay
    Optimize,
    /// Remove files to which no version of the last hours refers
    Vacuum {
        /// Hours. Whoever reads an older version than that finds it gone. Less than 24 take --nothing-writes
        #[arg(long, default_value_t = 168, value_name = "HOURS")]
        keep: u32,
        /// Nothing writes to these tables: no pinflow runs, nor waits for a full disk. What it has written and not
        /// committed would be removed, and its rows with it
        #[arg(long)]
        nothing_writes: bool,
    },
    /// Look for what is wrong or costs time: lost or repeated rows, small files, old checkpoints, files of nobody
    Doctor,
}

/// How to print it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Tables for people.
    #[default]
    Table,
    /// One JSON object.
    Json,
}

/// Why it could not be shown.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// How the bucket is reached could not be read.
    #[error("take --connection")]
    Config(#[from] ConfigError),
    /// There is no such place, or it could not be reached.
    #[error("reach the tables")]
    Place(#[from] ObjectsError),
    /// A table could not be read.
    #[error(transparent)]
    Delta(#[from] DeltaError),
    /// Printing failed; a closed pipe is for the caller to tell apart.
    #[error("print")]
    Print(#[from] io::Error),
    /// Files that are about to be committed could be removed.
    #[error(
        "--keep {keep} could remove what a running pinflow has written and not committed; keep 24 hours or more, or stop \
         whatever writes to these tables and say --nothing-writes"
    )]
    Unsafe {
        /// Hours.
        keep: u32,
    },
    /// The check died.
    #[error("the check ended without a result")]
    Died,
}

#[derive(Serialize)]
struct Report<'a> {
    tables: &'a [Contents],
    #[serde(skip_serializing_if = "Option::is_none")]
    verify: Option<&'a Verdict>,
    #[serde(skip_serializing_if = "Option::is_none")]
    repaired: Option<&'a [Mended]>,
}

/// Prints what was asked for; `false` if the check found something wrong.
///
/// # Errors
/// If a table cannot be read, or nothing can be printed.
pub async fn run(args: TableArgs, out: &mut (dyn Write + Send)) -> Result<bool, TableError> {
    let place = place(&args).await?;
    match args.action {
        None => {}
        Some(Action::Optimize) => return optimized(&optimize(&place, Compaction::ALL).await?, args.format, out),
        Some(Action::Vacuum { keep, nothing_writes: false }) if keep < KEEP_HOURS_MIN => {
            return Err(TableError::Unsafe { keep });
        }
        Some(Action::Vacuum { keep, .. }) => return swept(&vacuum(&place, keep).await?, args.format, out),
        Some(Action::Doctor) => return diagnosed(&diagnose(&place).await?, args.format, out),
    }
    let repaired = if args.repair { Some(repair(&place).await?) } else { None };
    let tables = inspect(&place, args.history).await?;
    let verdict = if args.verify {
        let tables = tables.clone();
        let checked = tokio::task::spawn_blocking(move || verify(&tables)).await;
        Some(checked.map_err(|_| TableError::Died)??)
    } else {
        None
    };
    match args.format {
        Format::Json => {
            let report = Report { tables: &tables, verify: verdict.as_ref(), repaired: repaired.as_deref() };
            serde_json::to_writer_pretty(&mut *out, &report).map_err(io::Error::from)?;
            writeln!(out)?;
        }
        Format::Table => {
            if let Some(repaired) = &repaired {
                mended(repaired, out)?;
            }
            contents(&tables, out)?;
            positions(&tables, out)?;
            history(&tables, out)?;
            if let Some(verdict) = &verdict {
                verified(verdict, out)?;
            }
        }
    }
    Ok(verdict.is_none_or(|verdict| verdict.violations.is_empty()))
}

/// Where the tables are.
async fn place(args: &TableArgs) -> Result<Place, TableError> {
    let connection = match &args.connection {
        Some(path) => objects_connection(path)?,
        None => Connection::default(),
    };
    // A name that is no text is a folder's.
    let target = match args.path.to_str() {
        Some(text) => Target::parse(text, Path::new(""), "PATH").map_err(|what| ObjectsError::Faulty(vec![what]))?,
        None => Target::Folder(args.path.clone()),
    };
    Ok(Place::reach(&target, &connection).await?)
}

fn json(value: &impl Serialize, out: &mut dyn Write) -> Result<(), TableError> {
    serde_json::to_writer_pretty(&mut *out, value).map_err(io::Error::from)?;
    Ok(writeln!(out)?)
}

fn optimized(done: &[(&'static str, Compacted)], format: Format, out: &mut dyn Write) -> Result<bool, TableError> {
    match format {
        Format::Json => json(&done.iter().copied().collect::<BTreeMap<_, _>>(), out)?,
        Format::Table => {
            let mut grid = grid(&["table", "files", "joined to", "rows in them"], &[1, 2, 3]);
            for (table, Compacted { files_before, files_after, rows }) in done {
                grid.add_row([
                    (*table).to_owned(),
                    files_before.to_string(),
                    files_after.to_string(),
                    rows.to_string(),
                ]);
            }
            writeln!(out, "{grid}")?;
        }
    }
    Ok(true)
}

fn swept(done: &[(&'static str, Vec<String>)], format: Format, out: &mut dyn Write) -> Result<bool, TableError> {
    match format {
        Format::Json => json(&done.iter().cloned().collect::<BTreeMap<_, _>>(), out)?,
        Format::Table => {
            for (table, files) in done {
                writeln!(out, "{table}: {} files removed", files.len())?;
            }
        }
    }
    Ok(true)
}

fn diagnosed(symptoms: &[Symptom], format: Format, out: &mut dyn Write) -> Result<bool, TableError> {
    match format {
        Format::Json => json(&symptoms, out)?,
        Format::Table => {
            let mut grid = grid(&["", "table", ""], &[]);
            for Symptom { table, grade, what } in symptoms {
                let grade = match grade {
                    Grade::Well => "well",
                    Grade::Risk => "RISK",
                    Grade::Fault => "FAULT",
                };
                grid.add_row([grade.to_owned(), table.unwrap_or("all").to_owned(), shown(what)]);
            }
            writeln!(out, "{grid}")?;
        }
    }
    Ok(!Symptom::any_fault(symptoms))
}

fn grid(header: &[&str], numbers: &[usize]) -> comfy_table::Table {
    let mut grid = comfy_table::Table::new();
    grid.load_style(presets::NOTHING).set_header(header.iter().copied());
    for column in numbers {
        if let Some(column) = grid.column_mut(*column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    grid
}

fn mended(repaired: &[Mended], out: &mut dyn Write) -> io::Result<()> {
    if repaired.is_empty() {
        return writeln!(out, "nothing to mend\n");
    }
    for Mended { file, moved_to, fault } in repaired {
        writeln!(out, "moved {} to {}: {}", file.display(), moved_to.display(), shown(fault))?;
    }
    writeln!(out)
}

fn contents(tables: &[Contents], out: &mut dyn Write) -> io::Result<()> {
    let mut grid = grid(&["table", "rows", "files", "bytes", "version", "pipeline"], &[1, 2, 3, 4]);
    for table in tables {
        grid.add_row([
            table.table.to_owned(),
            table.rows.to_string(),
            table.files.to_string(),
            table.bytes.to_string(),
            table.version.to_string(),
            shown(&table.pipeline),
        ]);
    }
    writeln!(out, "{grid}\n")
}

fn positions(tables: &[Contents], out: &mut dyn Write) -> io::Result<()> {
    let mut grid = grid(&["source", "table", "next position", "rows read"], &[2, 3]);
    for table in tables {
        for position in &table.positions {
            grid.add_row([
                shown(&position.source),
                table.table.to_owned(),
                position.next.to_string(),
                position.rows.to_string(),
            ]);
        }
    }
    writeln!(out, "{grid}\n")
}

fn history(tables: &[Contents], out: &mut dyn Write) -> io::Result<()> {
    let mut grid = grid(&["table", "version", "time", "operation", "rows", "positions"], &[1, 4]);
    for table in tables {
        for change in &table.history {
            let moved: Vec<String> =
                change.positions.iter().map(|(source, next)| format!("{} {next}", shown(source))).collect();
            grid.add_row([
                table.table.to_owned(),
                change.version.to_string(),
                change.time.clone().unwrap_or_default(),
                shown(&change.operation),
                change.rows.map(|rows| rows.to_string()).unwrap_or_default(),
                moved.join(", "),
            ]);
        }
    }
    writeln!(out, "{grid}")
}

fn verified(verdict: &Verdict, out: &mut dyn Write) -> io::Result<()> {
    let mut grid = grid(&["source", "next position", "rows read", "rows found", "of them rejected"], &[1, 2, 3, 4]);
    for partition in &verdict.partitions {
        grid.add_row([
            shown(&partition.source),
            partition.next.to_string(),
            partition.stored.to_string(),
            partition.found.to_string(),
            partition.rejected.to_string(),
        ]);
    }
    writeln!(out, "\n{grid}\n")?;
    for note in &verdict.notes {
        writeln!(out, "note: {}", shown(note))?;
    }
    for violation in &verdict.violations {
        writeln!(out, "violation: {}", shown(violation))?;
    }
    if verdict.violations.is_empty() {
        writeln!(out, "verified: {} rows, none lost, none twice", verdict.rows)
    } else {
        writeln!(out, "NOT verified: {} violations", verdict.violations.len())
    }
}

/// A name from outside, with what would steer a terminal escaped.
fn shown(text: &str) -> String {
    let shown = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    text.chars().map(shown).collect()
}
