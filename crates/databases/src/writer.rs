//! One write: a transaction that brings all tables to one cut.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pinflow_connect::database_status::{DatabaseState, DatabaseStatus};
use pinflow_core::position::Epoch;
use pinflow_dataflows::answer::ColumnType;
use tokio::sync::watch;

use crate::change_log::prune_interval;
use crate::claim::{ClaimDecision, OwnClaim, WriterRow, decide_claim};
use crate::config::{DatabaseTarget, ResolvedAddress};
use crate::cut::AnswerCut;
use crate::dialect::DatabaseDialect;
use crate::error::{DatabaseError, DatabaseErrorKind};
use crate::failpoints;
use crate::mysql::MySqlSession;
use crate::own_tables::{check_format, own_table_columns, read_catalog, read_columns, register_format, register_table};
use crate::postgres::PostgresSession;
use crate::schema::{AnswerTableSpec, TableForm, TablePlan};
use crate::session::{DatabaseSession, number_of, query_rows, text_of};
use crate::tables::{WriteCounts, WrittenTable, time_literal};

/// How long a table that cannot be written is left alone.
const REFUSED_RETRY_INTERVAL: Duration = Duration::from_secs(15);

/// What a writer needs to know.
pub struct WriterSettings {
    /// The database.
    pub target: DatabaseTarget,
    /// The pipeline that the schema belongs to.
    pub pipeline: String,
    /// The folder that relative paths are relative to.
    pub base: PathBuf,
}

/// Writes all answers of a run to one schema.
pub struct DatabaseWriter {
    pub(crate) settings: WriterSettings,
    /// A random name of this run.
    run: String,
    /// Host and process of this run.
    holder: String,
    session: Option<Box<dyn DatabaseSession>>,
    own: Option<OwnClaim>,
    tables: Vec<WrittenTable>,
    /// The cut that the tables have: its epoch, and whether it is durable.
    written: Option<(Epoch, bool)>,
    has_warned: bool,
    pub(crate) state: watch::Sender<DatabaseState>,
}

/// Why a write failed: at which table, if at one.
struct WriteFailure {
    table: Option<usize>,
    error: DatabaseError,
}

impl From<DatabaseError> for WriteFailure {
    fn from(error: DatabaseError) -> WriteFailure {
        WriteFailure { table: None, error }
    }
}

impl DatabaseWriter {
    /// A writer that is not connected.
    ///
    /// # Errors
    /// If a password or URL that the settings refer to cannot be read.
    pub fn new(settings: WriterSettings) -> Result<DatabaseWriter, DatabaseError> {
        settings.target.resolve_address(&settings.base)?;
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let holder = format!("{}, process {}", host.trim(), std::process::id());
        let state = watch::Sender::new(DatabaseState::new(settings.target.name()));
        let run = uuid::Uuid::new_v4().simple().to_string();
        let (tables, written) = (Vec::new(), None);
        Ok(DatabaseWriter {
            settings,
            run,
            holder,
            session: None,
            own: None,
            tables,
            written,
            has_warned: false,
            state,
        })
    }

    /// Reads the state of the writer.
    #[must_use]
    pub fn status(&self) -> DatabaseStatus {
        self.state.subscribe()
    }

    /// Whether the tables have this cut, as far as the writer knows.
    pub(crate) fn has_written(&self, cut: &dyn AnswerCut) -> bool {
        let waits = |table: &WrittenTable| {
            table.refused.as_ref().is_some_and(|(_, since)| since.elapsed() >= REFUSED_RETRY_INTERVAL)
        };
        self.written == Some((cut.epoch(), cut.is_durable())) && !self.tables.iter().any(waits)
    }

    /// Whether there is a connection that worked.
    pub(crate) fn is_connected(&self) -> bool {
        self.session.is_some()
    }

    /// Closes the connection in order.
    pub(crate) async fn close(&mut self) {
        if let Some(session) = self.session.take() {
            session.close().await;
        }
    }

    /// Brings all tables to a cut. A table that cannot be written is left out and reported.
    ///
    /// # Errors
    /// If nothing was written, or it is not known whether. The next write reads the tables back first.
    pub(crate) async fn write_cut(&mut self, cut: &Arc<dyn AnswerCut>) -> Result<(), DatabaseError> {
        self.adopt_questions(&**cut);
        let mut has_checked = false;
        loop {
            let mut session = match self.session.take() {
                Some(session) => session,
                None => self.connect().await?,
            };
            let Err(WriteFailure { table, error }) = self.write_once(&mut *session, cut).await else {
                self.session = Some(session);
                return Ok(());
            };
            self.tables.iter_mut().for_each(WrittenTable::forget_rows);
            self.written = None;
            match table {
                Some(at) if error.kind == DatabaseErrorKind::Statement => {
                    // The next attempt checks all columns, and says which one is wrong. If that finds nothing, the table is
                    // left out, and the others are written.
                    if std::mem::replace(&mut has_checked, true) {
                        self.refuse_table(at, error.what);
                    }
                    if session.execute("ROLLBACK").await.is_ok() {
                        self.session = Some(session);
                    }
                }
                _ => return Err(error),
            }
        }
    }

    /// Adds tables for new questions. Those of questions that are gone are left as they are.
    fn adopt_questions(&mut self, cut: &dyn AnswerCut) {
        let questions = cut.questions();
        self.tables.retain(|table| questions.get(table.answer).is_some());
        for (answer, question) in questions.iter() {
            if self.tables.iter().any(|table| table.answer == answer) {
                continue;
            }
            for form in TableForm::wanted(self.settings.target.has_changes()) {
                let spec = AnswerTableSpec::new(question, *form);
                let qualified = self.settings.target.qualified_name(&spec.name);
                self.tables.push(WrittenTable::new(answer, spec, qualified));
            }
        }
        for table in &mut self.tables {
            if table.refused.as_ref().is_some_and(|(_, since)| since.elapsed() >= REFUSED_RETRY_INTERVAL) {
                (table.refused, table.is_prepared) = (None, false);
                table.forget_rows();
            }
        }
    }

    fn refuse_table(&mut self, at: usize, what: String) {
        let table = &mut self.tables[at];
        table.is_prepared = false;
        table.forget_rows();
        let named = if what.contains(&format!("`{}`", table.spec.name)) {
            what
        } else {
            format!("table `{}`: {what}", table.spec.name)
        };
        if !self.state.borrow().refused.contains(&named) {
            tracing::error!(reason = named, "the table of an answer cannot be written; the others go on");
        }
        table.refused = Some((named, Instant::now()));
    }

    async fn connect(&mut self) -> Result<Box<dyn DatabaseSession>, DatabaseError> {
        let address = self.settings.target.resolve_address(&self.settings.base)?;
        if address.is_password_in_url() && !std::mem::replace(&mut self.has_warned, true) {
            tracing::warn!(
                database = self.settings.target.name(),
                "the password of the database is in the configuration; use `password`, a variable or a file instead"
            );
        }
        let url = address.redacted_url();
        self.state.send_modify(|state| state.target.clone_from(&url));
        let mut session: Box<dyn DatabaseSession> = match &address {
            ResolvedAddress::Postgres(address) => Box::new(PostgresSession::connect(address).await?),
            ResolvedAddress::MySql(address) => Box::new(MySqlSession::connect(address).await?),
        };
        self.create_own_tables(&mut *session).await?;
        self.tables.iter_mut().for_each(|table| {
            table.is_prepared = false;
            table.forget_rows();
        });
        tracing::info!(database = url, "connected to the database of the answers");
        Ok(session)
    }

    /// Creates the schema and pinflow's own tables where they are missing.
    async fn create_own_tables(&self, session: &mut dyn DatabaseSession) -> Result<(), DatabaseError> {
        let (target, dialect) = (&self.settings.target, session.dialect());
        if let DatabaseTarget::Postgres(config) = target {
            // `IF NOT EXISTS` needs the privilege even if it exists.
            let schema = dialect.quote_text(&config.schema);
            let sql = format!("SELECT count(*) FROM pg_catalog.pg_namespace WHERE nspname = {schema}");
            let found = query_rows(session, &sql, &[ColumnType::Long]).await?;
            if number_of(found.first().and_then(|row| row.first())) == 0 {
                session.execute(&format!("CREATE SCHEMA {}", dialect.quote_name(&config.schema))).await?;
            }
        }
        let found = read_columns(session, target).await?;
        let mut is_new = true;
        for (name, columns) in own_table_columns(dialect) {
            if found.iter().all(|(table, _)| table != name) {
                session.execute(&format!("CREATE TABLE {} ({columns})", target.qualified_name(name))).await?;
            } else {
                is_new = false;
            }
        }
        if is_new { register_format(session, target).await } else { check_format(session, target).await }
    }

    async fn write_once(
        &mut self,
        session: &mut dyn DatabaseSession,
        cut: &Arc<dyn AnswerCut>,
    ) -> Result<(), WriteFailure> {
        session.execute("START TRANSACTION").await?;
        let mut claim = self.claim_schema(session).await?;
        if self.needs_preparation() && session.dialect().has_transactional_ddl() {
            self.prepare_tables(session, &**cut).await?;
        } else if self.needs_preparation() {
            // Statements that change tables end a transaction.
            session.execute("COMMIT").await?;
            self.own = Some(claim);
            self.prepare_tables(session, &**cut).await?;
            session.execute("START TRANSACTION").await?;
            claim = self.claim_schema(session).await?;
        }
        failpoints::hit("databases::after_claim")?;
        let mut counts = WriteCounts::default();
        for at in 0..self.tables.len() {
            if self.tables[at].refused.is_some() {
                continue;
            }
            let written = self.tables[at].write_rows(session, cut).await;
            let written = written.map_err(|error| WriteFailure { table: Some(at), error })?;
            counts.inserted += written.inserted;
            counts.deleted += written.deleted;
            counts.replaced += written.replaced;
            let pruned = self.prune_changes(session, at, cut.as_of()).await;
            pruned.map_err(|error| WriteFailure { table: Some(at), error })?;
        }
        self.write_cut_row(session, &**cut).await?;
        failpoints::hit("databases::before_commit")?;
        session.execute("COMMIT").await?;
        failpoints::hit("databases::after_commit")?;
        self.own = Some(claim);
        self.written = Some((cut.epoch(), cut.is_durable()));
        self.report_write(cut.epoch(), counts);
        Ok(())
    }

    /// Replaces old changes of a table by their sum, if it is time to.
    async fn prune_changes(
        &mut self,
        session: &mut dyn DatabaseSession,
        at: usize,
        as_of: jiff::Timestamp,
    ) -> Result<(), DatabaseError> {
        let table = &mut self.tables[at];
        let Some(keep) = self.settings.target.changes_keep().filter(|_| table.spec.form == TableForm::Changes) else {
            return Ok(());
        };
        if table.pruned_at.is_some_and(|last| last.elapsed() < prune_interval(keep)) {
            return Ok(());
        }
        let keep = i64::try_from(keep.as_micros()).unwrap_or(i64::MAX);
        table.prune_changes(session, as_of.as_microsecond().saturating_sub(keep)).await?;
        table.pruned_at = Some(Instant::now());
        Ok(())
    }

    fn report_write(&self, epoch: Epoch, counts: WriteCounts) {
        let refused: Vec<String> =
            self.tables.iter().filter_map(|table| table.refused.as_ref()).map(|(what, _)| what.clone()).collect();
        self.state.send_modify(|state| {
            state.epoch = Some(epoch);
            state.writes += 1;
            state.rows_inserted += counts.inserted;
            state.rows_deleted += counts.deleted;
            state.values_replaced += counts.replaced;
            if refused.is_empty() && !state.refused.is_empty() {
                tracing::info!("all tables of answers are written again");
            }
            state.refused = refused;
        });
    }

    /// Locks the writer's row, and takes over or continues.
    async fn claim_schema(&mut self, session: &mut dyn DatabaseSession) -> Result<OwnClaim, DatabaseError> {
        let (dialect, settings) = (session.dialect(), &self.settings);
        let table = settings.target.qualified_name("pinflow_writer");
        let names = dialect.quote_names(["pipeline", "generation", "run", "holder", "writes"]);
        let sql = format!("SELECT {names} FROM {table} WHERE {} = 1 FOR UPDATE", dialect.quote_name("id"));
        let (text, long) = (ColumnType::Text, ColumnType::Long);
        let found = query_rows(session, &sql, &[text, long, text, text, long]).await?;
        let found = found.first().map(|row| WriterRow {
            pipeline: text_of(row.first()),
            generation: number_of(row.get(1)),
            run: text_of(row.get(2)),
            holder: text_of(row.get(3)),
            writes: number_of(row.get(4)),
        });
        if let Some(row) = found.as_ref().filter(|row| row.pipeline != settings.pipeline) {
            let what = format!(
                "the tables belong to pipeline `{}`, not to `{}`; use another schema or database",
                row.pipeline, settings.pipeline
            );
            return Err(DatabaseError::settings(what));
        }
        let claim = match decide_claim(found.as_ref(), self.own, &self.run) {
            ClaimDecision::Continue(claim) => claim,
            ClaimDecision::Take(claim) => {
                self.tables.iter_mut().for_each(WrittenTable::forget_rows);
                claim
            }
            ClaimDecision::Fenced => {
                let holder = found.map(|row| row.holder).unwrap_or_default();
                let what = format!(
                    "another pinflow ({holder}) has taken over the answers' tables in the {} database; only one may \
                     write them",
                    self.settings.target.name()
                );
                return Err(DatabaseError::new(DatabaseErrorKind::Fenced, what));
            }
        };
        session.execute(&self.claim_statement(dialect, &table, claim, found.is_some())).await?;
        Ok(claim)
    }

    fn claim_statement(&self, dialect: DatabaseDialect, table: &str, claim: OwnClaim, exists: bool) -> String {
        let (run, holder) = (dialect.quote_text(&self.run), dialect.quote_text(&self.holder));
        let now = time_literal(dialect, jiff::Timestamp::now().as_microsecond());
        let (generation, writes) = (claim.generation.to_string(), claim.writes.to_string());
        let pipeline = dialect.quote_text(&self.settings.pipeline);
        let values =
            [("generation", generation), ("run", run), ("holder", holder), ("writes", writes), ("written_at", now)];
        if exists {
            let sets: Vec<_> =
                values.iter().map(|(name, value)| format!("{} = {value}", dialect.quote_name(name))).collect();
            return format!("UPDATE {table} SET {} WHERE {} = 1", sets.join(", "), dialect.quote_name("id"));
        }
        let values: Vec<_> = [("id", "1".to_owned()), ("pipeline", pipeline)].into_iter().chain(values).collect();
        let names = dialect.quote_names(values.iter().map(|(name, _)| *name));
        let values: Vec<_> = values.into_iter().map(|(_, value)| value).collect();
        format!("INSERT INTO {table} ({names}) VALUES ({})", values.join(", "))
    }

    fn needs_preparation(&self) -> bool {
        self.tables.iter().any(|table| !table.is_prepared && table.refused.is_none())
    }

    /// Creates, checks and migrates the tables that are not known to be right.
    async fn prepare_tables(
        &mut self,
        session: &mut dyn DatabaseSession,
        cut: &dyn AnswerCut,
    ) -> Result<(), WriteFailure> {
        let contents = read_catalog(session, &self.settings.target).await?;
        for at in 0..self.tables.len() {
            if self.tables[at].is_prepared || self.tables[at].refused.is_some() {
                continue;
            }
            let name = self.tables[at].spec.name.clone();
            let found: Vec<_> =
                contents.columns.iter().filter(|(table, _)| *table == name).map(|(_, column)| column.clone()).collect();
            let registered = contents.registered.iter().find(|(table, _)| *table == name).map(|(_, table)| table);
            match self.tables[at].spec.plan_table(session.dialect(), registered, &found) {
                Ok(plan) => {
                    let prepared = self.prepare_table(session, at, plan, cut).await;
                    prepared.map_err(|error| WriteFailure { table: Some(at), error })?;
                }
                Err(what) => self.refuse_table(at, what),
            }
        }
        Ok(())
    }

    async fn prepare_table(
        &mut self,
        session: &mut dyn DatabaseSession,
        at: usize,
        plan: TablePlan,
        cut: &dyn AnswerCut,
    ) -> Result<(), DatabaseError> {
        let dialect = session.dialect();
        let table = &mut self.tables[at];
        let statements = match &plan {
            TablePlan::Ready => Vec::new(),
            TablePlan::Create => table.spec.create_statements(dialect, &table.qualified),
            TablePlan::Describe => vec![table.spec.describe_statement(dialect, &table.qualified)],
            TablePlan::Migrate { held, removed, added } => {
                let before = AnswerTableSpec { columns: held.clone(), ..table.spec.clone() };
                table.retract_rows(session, &before, (cut.epoch(), cut.as_of())).await?;
                let migrate = AnswerTableSpec::migrate_statement(dialect, &table.qualified, removed, added);
                tracing::info!(table = table.spec.name, "the question has other columns now; its table is migrated");
                vec![migrate, table.spec.describe_statement(dialect, &table.qualified)]
            }
        };
        // Registered first: a crash after a `CREATE TABLE` that commits must not leave a table that looks like a stranger's.
        if plan != TablePlan::Ready {
            register_table(session, &self.settings.target, &table.spec).await?;
            failpoints::hit("databases::after_register")?;
        }
        for sql in statements {
            session.execute(&sql).await?;
        }
        table.is_prepared = true;
        Ok(())
    }

    /// Says which cut the tables have.
    async fn write_cut_row(&self, session: &mut dyn DatabaseSession, cut: &dyn AnswerCut) -> Result<(), DatabaseError> {
        let dialect = session.dialect();
        let table = self.settings.target.qualified_name("pinflow_cut");
        let names = dialect.quote_names(["epoch", "as_of", "durable"]);
        let as_of = time_literal(dialect, cut.as_of().as_microsecond());
        let (epoch, durable) = (cut.epoch(), cut.is_durable());
        session.execute(&format!("DELETE FROM {table}")).await?;
        session.execute(&format!("INSERT INTO {table} ({names}) VALUES ({epoch}, {as_of}, {durable})")).await?;
        if dialect == DatabaseDialect::Postgres {
            // Delivered with the commit.
            session.execute(&format!("NOTIFY pinflow_cut, '{epoch}'")).await?;
        }
        Ok(())
    }
}
