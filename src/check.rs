//! `pinflow check`: connects to every source and table, writes nothing, and prints every problem.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use nix::unistd::{AccessFlags, access};

use crate::config::Config;
use crate::live_questions::check_stored_questions;
use pinflow_cluster::check_settings;
use pinflow_connect::source::ReadShare;
use pinflow_core::error_text::error_text;
use pinflow_core::finding::Finding;
use pinflow_core::user_error::{ExitStatus, UserError};
use pinflow_databases::{check_database, check_questions};
use pinflow_delta::{self as delta, DeltaError};
use pinflow_gateway as gateway;
use pinflow_storage::{Location, LocationEntries, LocationSpec, StorageError};

/// Why a check could not be completed.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// The url of a folder or bucket is invalid.
    #[error("{0}")]
    Url(String),
    /// Standard output cannot be written.
    #[error("write to stdout")]
    Output(#[from] io::Error),
}

impl UserError for CheckError {
    fn exit_code(&self) -> ExitStatus {
        match self {
            CheckError::Url(_) => ExitStatus::BadUsage,
            CheckError::Output(_) => ExitStatus::Failed,
        }
    }
}

/// A problem of a folder or bucket. It is printed as a fault, and the check continues.
#[derive(Debug, thiserror::Error)]
enum LocationFault {
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error(transparent)]
    Delta(#[from] DeltaError),
    #[error("{place}: {}", missing.join("; "))]
    MissingTables { place: Location, missing: Vec<String> },
    #[error("{}", .0.join("; "))]
    StoredQuestions(Vec<String>),
    #[error(
        "{what} cannot be created at {place}: {} is not writable; choose another url or change its permissions",
        parent.display()
    )]
    NotCreatable { what: String, place: Location, parent: PathBuf },
    #[error("{what} at {place} cannot be written: change the folder's permissions")]
    NotWritable { what: String, place: Location },
    #[error("read {place}")]
    Unreadable {
        place: Location,
        #[source]
        cause: io::Error,
    },
}

/// Checks a configuration, prints one line per finding, and returns the number of problems.
///
/// # Errors
/// Only if the findings cannot be written.
pub async fn run(config: &Config, out: &mut impl Write) -> Result<usize, CheckError> {
    let mut problems = 0;
    writeln!(out, "ok     configuration of pipeline `{}`", config.pipeline)?;
    for question in &config.compiled_questions {
        let columns: Vec<_> = question.bound.columns.iter().map(|column| column.name.as_str()).collect();
        writeln!(out, "ok     question `{}`: {}", question.name, columns.join(", "))?;
    }
    let mut checked = Vec::new();
    for source in &config.sources {
        checked.push(source.check(&config.plan_context(ReadShare::ALL)).await);
    }
    if let Some(gateway) = &config.gateway {
        checked.push(gateway::check_backends(gateway, &config.base).await);
    }
    for findings in checked {
        for finding in findings {
            problems += usize::from(matches!(finding, Finding::Problem(_)));
            match finding {
                Finding::Passed(what) => writeln!(out, "ok     {what}")?,
                Finding::Risk(what) => writeln!(out, "risk   {what}")?,
                Finding::Problem(what) => writeln!(out, "fault  {what}")?,
            }
        }
    }
    let root = |root: Result<LocationSpec, String>| root.map_err(CheckError::Url);
    problems += match &config.tables {
        None => print_facts(Ok(vec!["no [tables]: answers only, nothing is kept".to_owned()]), out)?,
        Some(tables) => print_facts(tables_facts(&root(tables.root(&config.base))?, config).await, out)?,
    };
    if let Some(archive) = &config.archive {
        problems += print_facts(place_facts("the archive", &root(archive.location(&config.base))?, config).await, out)?;
    }
    if let Some(answers) = &config.answers.delta {
        problems += print_facts(place_facts("answers' tables", &root(answers.root(&config.base))?, config).await, out)?;
    }
    for database in config.answers.databases() {
        let checked = check_questions(&database, database.has_changes(), &config.question_set());
        let checked = checked.map_err(|error| error.to_string());
        let found = match checked {
            Ok(()) => check_database(&database, &config.base).await.map_err(|error| error.to_string()),
            Err(error) => Err(error),
        };
        problems += usize::from(found.is_err());
        match found {
            Ok(what) => writeln!(out, "ok     {what}")?,
            Err(what) => writeln!(out, "fault  {what}")?,
        }
    }
    for found in cluster_findings(config).await {
        problems += usize::from(found.is_err());
        match found {
            Ok(what) => writeln!(out, "ok     {what}")?,
            Err(what) => writeln!(out, "fault  {what}")?,
        }
    }
    let settings = config.engine_settings(config.question_set());
    writeln!(out, "ok     {} workers, epochs of {:?}", settings.workers, settings.epoch)?;
    match problems {
        0 => writeln!(out, "nothing is wrong")?,
        1 => writeln!(out, "1 fault")?,
        n => writeln!(out, "{n} faults")?,
    }
    Ok(problems)
}

/// Checks what this process needs to join its cluster: settings, addresses, and its own port. Empty without a cluster.
async fn cluster_findings(config: &Config) -> Vec<Result<String, String>> {
    let settings = match config.cluster_settings() {
        Ok(None) => return Vec::new(),
        Ok(Some(settings)) => settings,
        Err(error) => return vec![Err(error_text(&error))],
    };
    if let Err(faults) = check_settings(&settings) {
        return faults.into_iter().map(Err).collect();
    }
    let count = settings.processes.len();
    let mut findings = Vec::new();
    for (index, address) in settings.processes.iter().enumerate() {
        let found = tokio::net::lookup_host((address.host.as_str(), address.port)).await;
        findings.push(match found.map(|mut addresses| addresses.next()) {
            Ok(Some(found)) => Ok(format!("process {index} of {count}: {address} is {found}")),
            Ok(None) => {
                Err(format!("process {index} of the cluster: {address} has no address; correct [cluster] processes"))
            }
            Err(error) => Err(format!(
                "process {index} of the cluster: {address}: {error}; correct [cluster] processes, or the name service"
            )),
        });
    }
    let own = settings.listen.as_ref().unwrap_or(&settings.processes[settings.index]);
    let role = if settings.index == 0 { "leads" } else { "follows" };
    findings.push(match tokio::net::TcpListener::bind((own.host.as_str(), own.port)).await {
        Ok(_) => Ok(format!("process {} of the cluster {role}, and can listen on {own}", settings.index)),
        Err(error) => Err(format!(
            "process {} of the cluster cannot listen on {own}: {error}; set [cluster] listen, or --process",
            settings.index
        )),
    });
    findings
}

/// Prints facts about a location, or the problem that prevented reading it. Returns the number of problems.
fn print_facts(facts: Result<Vec<String>, LocationFault>, out: &mut impl Write) -> io::Result<usize> {
    match facts {
        Ok(facts) => facts.iter().try_for_each(|line| writeln!(out, "ok     {line}")).map(|()| 0),
        Err(error) => writeln!(out, "fault  {}", error_text(&error)).map(|()| 1),
    }
}

/// Reads facts about the tables without changing them.
async fn tables_facts(target: &LocationSpec, config: &Config) -> Result<Vec<String>, LocationFault> {
    let place = Location::connect(target, &config.objects).await?;
    if let Some(fact) = yet_to_be_made("tables", &place).await? {
        return Ok(vec![fact]);
    }
    let held = delta::inspect(&place, 0).await?;
    let missing = delta::missing_tables(&held);
    if !missing.is_empty() {
        return Err(LocationFault::MissingTables { place, missing });
    }
    let [questions, unanswered] = check_stored_questions(config, place).await?;
    let tables = held.iter();
    let tables = tables.map(|of| format!("table {}: {} rows, version {}", of.path.display(), of.rows, of.version));
    if unanswered.is_empty() {
        return Ok(tables.chain(questions).collect());
    }
    Err(LocationFault::StoredQuestions(unanswered))
}

/// Reads facts about a location without changing it.
async fn place_facts(what: &str, target: &LocationSpec, config: &Config) -> Result<Vec<String>, LocationFault> {
    let place = Location::connect(target, &config.objects).await?;
    Ok(vec![yet_to_be_made(what, &place).await?.unwrap_or_else(|| format!("{what} at {place}"))])
}

/// Describes where `what` will be created, if the location is still empty. `None` if it is not empty.
async fn yet_to_be_made(what: &str, place: &Location) -> Result<Option<String>, LocationFault> {
    let Some(root) = place.local_folder() else {
        let is_empty = place.list_entries().await? == LocationEntries::default();
        let later = "a run tests its conditional writes when it opens them";
        return Ok(is_empty.then(|| format!("{what} will be created at {place}, which can be read; {later}")));
    };
    place.check_mounted()?;
    if !root.exists() {
        let parent = root.ancestors().find(|folder| folder.is_dir()).unwrap_or(Path::new("."));
        if access(parent, AccessFlags::W_OK).is_err() {
            let (what, parent) = (what.to_owned(), parent.to_owned());
            return Err(LocationFault::NotCreatable { what, place: place.clone(), parent });
        }
        return Ok(Some(format!("{what} will be created at {place}")));
    }
    if access(root, AccessFlags::W_OK).is_err() {
        return Err(LocationFault::NotWritable { what: what.to_owned(), place: place.clone() });
    }
    let entries = std::fs::read_dir(root);
    let mut entries = entries.map_err(|cause| LocationFault::Unreadable { place: place.clone(), cause })?;
    let is_empty = entries.next().is_none();
    Ok(is_empty.then(|| format!("{what} will be created in the empty folder {place}")))
}
