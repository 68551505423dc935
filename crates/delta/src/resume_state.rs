//! Derives from opened tables where partitions resume, and what the tables should contain.

use std::collections::HashMap;

use pinflow_dataflows::symbol::Symbol;

use super::decide;
use super::error::DeltaError;
use super::law::{LedgerLaw, PartitionRows};
use super::open::OpenedTable;
use super::rows;
use super::schema::Table;
use pinflow_connect::sink::ResumeState;
use pinflow_core::position::Position;
use pinflow_storage::Location;

/// What the tables must contain of each partition.
pub(crate) fn ledger_law(root: &Location, opened: &[OpenedTable]) -> Result<LedgerLaw, DeltaError> {
    let (mut stored, mut rejected) = (Vec::new(), Vec::new());
    let mut deleted: HashMap<String, u64> = HashMap::new();
    for OpenedTable { writer, files } in opened {
        stored.push((writer.table, writer.ledger.stored_positions().map_err(|error| writer.invalid_txn_error(error))?));
        writer.ledger.deleted().iter().for_each(|(key, rows)| *deleted.entry(key.clone()).or_default() += rows);
        if writer.table == Table::Rejected {
            rejected.extend(files.iter().map(|file| file.at.clone()));
        }
    }
    let partitions = decide::resume_points(&stored).into_iter().map(|(key, resumed)| {
        let (next, read) = resumed.at.map_or((Position::START, 0), |at| (at.reached.next, at.reached.rows));
        let deleted = deleted.get(&key).copied().unwrap_or(0);
        (Symbol::new(&resumed.source), PartitionRows { next, read, deleted, found: 0 })
    });
    Ok(LedgerLaw::new(root.name().to_owned(), partitions, rejected))
}

/// Where partitions resume, from tables that only this process can write.
pub(crate) async fn resume_state(opened: &[OpenedTable]) -> Result<ResumeState, DeltaError> {
    let mut stored = Vec::new();
    for OpenedTable { writer, .. } in opened {
        stored.push((writer.table, writer.ledger.stored_positions().map_err(|error| writer.invalid_txn_error(error))?));
    }
    let mut resume = ResumeState::default();
    let mut ahead: HashMap<Table, Vec<(Symbol, Position)>> = HashMap::new();
    for (key, resumed) in decide::resume_points(&stored) {
        let least = resumed.at.as_ref().map_or(Position::START, |at| at.reached.next);
        for table in resumed.ahead {
            ahead.entry(table).or_default().push((Symbol::new(&resumed.source), least));
        }
        if let Some(at) = resumed.at {
            resume.prior.read += at.reached.rows;
            resume.positions.insert(key, at.reached);
        }
    }
    for OpenedTable { writer, files } in opened {
        if writer.table == Table::Rejected {
            // Counted as in the status of the table: files of other tools without statistics are left out.
            resume.prior.rejected = files.iter().filter_map(|file| file.rows).sum();
        } else {
            resume.rows += rows::count_table_rows(files).await?;
        }
        if let Some(sources) = ahead.remove(&writer.table) {
            let files: Vec<_> = files.iter().map(|file| (file.at.clone(), file.stats.clone())).collect();
            let found = tokio::task::spawn_blocking(move || rows::find_rows_from(&files, &sources)).await;
            resume.already.extend(found.map_err(|_| DeltaError::Died { what: "reading lineages" })??);
        }
    }
    Ok(resume)
}
