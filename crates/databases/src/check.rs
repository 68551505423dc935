//! Checks that a database can be reached, without changing it.

use std::path::Path;

use pinflow_dataflows::answer::ColumnType;

use crate::config::{DatabaseTarget, ResolvedAddress};
use crate::error::DatabaseError;
use crate::mysql::MySqlSession;
use crate::postgres::PostgresSession;
use crate::session::{DatabaseSession, query_rows, text_of};

/// Connects to a database, and says where it is and which server it is.
///
/// # Errors
/// If it cannot be reached, or a password or certificate cannot be read.
pub async fn check_database(target: &DatabaseTarget, base: &Path) -> Result<String, DatabaseError> {
    let address = target.resolve_address(base)?;
    let mut session: Box<dyn DatabaseSession> = match &address {
        ResolvedAddress::Postgres(address) => Box::new(PostgresSession::connect(address).await?),
        ResolvedAddress::MySql(address) => Box::new(MySqlSession::connect(address).await?),
    };
    let rows = query_rows(&mut *session, "SELECT version()", &[ColumnType::Text]).await?;
    let version = text_of(rows.first().and_then(|row| row.first()));
    session.close().await;
    let version: String = version.chars().take_while(|c| *c != '(').take(60).collect();
    Ok(format!("answers in {}: {}", address.redacted_url(), version.trim()))
}
