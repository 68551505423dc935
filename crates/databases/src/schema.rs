//! What the tables look like: their columns, comments and keys, and how a table that exists is checked and migrated.

use pinflow_dataflows::answer::{AnswerColumn, ColumnType};
use pinflow_dataflows::questions::Question;

use crate::dialect::DatabaseDialect;

/// Most characters of a table's comment. MySQL takes 2,048.
const COMMENT_LENGTH_MAX: usize = 2_000;

/// Which rows a table has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum TableForm {
    /// The current rows of an answer.
    Current,
    /// All rows that were added or removed.
    Changes,
}

/// The key of a row of a table of current rows.
pub(crate) const ROW_KEY: &str = "_row";
/// The key of a row of a table of changes. It grows.
pub(crate) const CHANGE_KEY: &str = "_change";

impl TableForm {
    /// The forms to write.
    pub(crate) fn wanted(changes: bool) -> &'static [TableForm] {
        if changes { &[TableForm::Current, TableForm::Changes] } else { &[TableForm::Current] }
    }

    /// The name of an answer's table.
    pub(crate) fn table_name(self, answer: &str) -> String {
        match self {
            TableForm::Current => answer.to_owned(),
            TableForm::Changes => format!("{answer}_changes"),
        }
    }
}

/// The columns before those of the answer. The first one is the primary key.
pub(crate) fn own_columns(form: TableForm) -> &'static [(&'static str, ColumnType)] {
    match form {
        TableForm::Current => &[(ROW_KEY, ColumnType::Long)],
        TableForm::Changes => &[
            (CHANGE_KEY, ColumnType::Long),
            ("_epoch", ColumnType::Long),
            ("_as_of", ColumnType::Time),
            ("_diff", ColumnType::Long),
        ],
    }
}

/// A table of an answer, as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AnswerTableSpec {
    pub(crate) name: String,
    pub(crate) form: TableForm,
    pub(crate) columns: Vec<AnswerColumn>,
    pub(crate) sql: String,
}

/// What the table `pinflow_tables` says of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RegisteredTable {
    /// The columns of the answer, as [`AnswerTableSpec::encoded_columns`] writes them.
    pub(crate) columns: String,
    pub(crate) sql: String,
}

/// A column of a table that exists, as `information_schema.columns` has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FoundColumn {
    pub(crate) name: String,
    pub(crate) data_type: String,
}

/// What must be done before a table can be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TablePlan {
    Create,
    Ready,
    /// The question has another text and the same columns.
    Describe,
    /// The question has other columns than the table, which has `held`: remove all rows and these columns, and add those.
    Migrate {
        held: Vec<AnswerColumn>,
        removed: Vec<String>,
        added: Vec<AnswerColumn>,
    },
}

impl AnswerTableSpec {
    pub(crate) fn new(question: &Question, form: TableForm) -> AnswerTableSpec {
        AnswerTableSpec {
            name: form.table_name(&question.name),
            form,
            columns: question.columns().to_vec(),
            sql: question.sql.clone(),
        }
    }

    /// The columns of the answer as JSON: a list of names and types.
    pub(crate) fn encoded_columns(&self) -> String {
        let columns: Vec<_> = self.columns.iter().map(|column| (column.name.as_str(), column.kind.name())).collect();
        // A list of texts always has JSON.
        serde_json::to_string(&columns).unwrap_or_default()
    }

    /// The names of all columns: those of pinflow, then those of the answer.
    pub(crate) fn column_names(&self) -> Vec<&str> {
        let own = own_columns(self.form).iter().map(|(name, _)| *name);
        own.chain(self.columns.iter().map(|column| column.name.as_str())).collect()
    }

    /// The types of the answer's columns.
    pub(crate) fn column_kinds(&self) -> Vec<ColumnType> {
        self.columns.iter().map(|column| column.kind).collect()
    }

    /// The comment of the table: what it is, and its SQL.
    fn comment(&self, dialect: DatabaseDialect) -> String {
        let what = match self.form {
            TableForm::Current => "Current rows of an answer of pinflow, as of pinflow_cut. Its SQL:",
            TableForm::Changes => "Changes of an answer of pinflow: _diff rows came (above 0) or went. Its SQL:",
        };
        let text = format!("{what}\n{}", self.sql.trim());
        let text: String = text.chars().take(COMMENT_LENGTH_MAX).collect();
        dialect.quote_text(&text)
    }

    /// The statements that create the table. `table` is its name in quotes, with its schema.
    pub(crate) fn create_statements(&self, dialect: DatabaseDialect, table: &str) -> Vec<String> {
        let own = own_columns(self.form);
        let column = |name: &str, kind: ColumnType| format!("{} {}", dialect.quote_name(name), dialect.type_name(kind));
        let mut columns: Vec<String> = own.iter().map(|(name, kind)| column(name, *kind) + " NOT NULL").collect();
        columns.extend(self.columns.iter().map(|one| column(&one.name, one.kind)));
        columns.push(format!("PRIMARY KEY ({})", dialect.quote_name(own[0].0)));
        let create = format!("CREATE TABLE {table} ({})", columns.join(", "));
        match dialect {
            DatabaseDialect::Postgres => vec![create, self.describe_statement(dialect, table)],
            DatabaseDialect::MySql => {
                vec![format!("{create} ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COMMENT={}", self.comment(dialect))]
            }
        }
    }

    /// The statement that sets the comment of the table.
    pub(crate) fn describe_statement(&self, dialect: DatabaseDialect, table: &str) -> String {
        let comment = self.comment(dialect);
        match dialect {
            DatabaseDialect::Postgres => format!("COMMENT ON TABLE {table} IS {comment}"),
            DatabaseDialect::MySql => format!("ALTER TABLE {table} COMMENT={comment}"),
        }
    }

    /// The statement that turns the columns of a table without rows into those of the answer.
    pub(crate) fn migrate_statement(
        dialect: DatabaseDialect,
        table: &str,
        removed: &[String],
        added: &[AnswerColumn],
    ) -> String {
        let removed = removed.iter().map(|name| format!("DROP COLUMN {}", dialect.quote_name(name)));
        let added = added.iter().map(|column| {
            format!("ADD COLUMN {} {}", dialect.quote_name(&column.name), dialect.type_name(column.kind))
        });
        let parts: Vec<String> = removed.chain(added).collect();
        format!("ALTER TABLE {table} {}", parts.join(", "))
    }

    /// What must be done before the table can be written. `found` are the columns of the table that exists; empty if there
    /// is none.
    ///
    /// # Errors
    /// Why the table cannot be written, and what to do.
    pub(crate) fn plan_table(
        &self,
        dialect: DatabaseDialect,
        registered: Option<&RegisteredTable>,
        found: &[FoundColumn],
    ) -> Result<TablePlan, String> {
        let name = &self.name;
        if found.is_empty() {
            return Ok(TablePlan::Create);
        }
        let Some(registered) = registered else {
            return Err(format!(
                "table `{name}` exists and was not made by pinflow; rename it, or name the question or the schema otherwise"
            ));
        };
        let held = decode_columns(&registered.columns)
            .ok_or_else(|| format!("the row of `{name}` in pinflow_tables was changed; drop the table and that row"))?;
        self.check_columns(dialect, &held, found)?;
        if registered.columns == self.encoded_columns() {
            return Ok(if registered.sql == self.sql { TablePlan::Ready } else { TablePlan::Describe });
        }
        let is_in = |list: &[(String, ColumnType)], name: &str, kind| {
            list.iter().any(|one| (one.0.as_str(), one.1) == (name, kind))
        };
        let wanted: Vec<_> = self.columns.iter().map(|column| (column.name.clone(), column.kind)).collect();
        let removed = held.iter().filter(|(name, kind)| !is_in(&wanted, name, *kind)).map(|(name, _)| name.clone());
        let added = self.columns.iter().filter(|column| !is_in(&held, &column.name, column.kind)).cloned();
        let (removed, added): (Vec<_>, Vec<_>) = (removed.collect(), added.collect());
        if removed.is_empty() && added.is_empty() {
            return Ok(TablePlan::Describe);
        }
        if !dialect.has_transactional_ddl() {
            return Err(format!(
                "table `{name}` has the columns of an earlier question of this name; drop or rename it, or name the \
                 question otherwise"
            ));
        }
        let held = held.iter().map(|(name, kind)| AnswerColumn::new(name, *kind).or_null()).collect();
        Ok(TablePlan::Migrate { held, removed, added })
    }

    /// Checks that a table has the columns that it was made with. Further columns are left alone.
    fn check_columns(
        &self,
        dialect: DatabaseDialect,
        held: &[(String, ColumnType)],
        found: &[FoundColumn],
    ) -> Result<(), String> {
        let own = own_columns(self.form).iter().map(|(name, kind)| (*name, *kind));
        for (column, kind) in own.chain(held.iter().map(|(name, kind)| (name.as_str(), *kind))) {
            let (table, wanted) = (&self.name, dialect.catalog_type(kind));
            let remedy = format!("restore it, or drop the table `{table}`: it is made again with all rows");
            match found.iter().find(|one| one.name == column) {
                None => return Err(format!("table `{table}`: the column `{column}` ({wanted}) is missing; {remedy}")),
                Some(one) if !one.data_type.eq_ignore_ascii_case(wanted) => {
                    let is = &one.data_type;
                    return Err(format!(
                        "table `{table}`: the column `{column}` is {is} and was made as {wanted}; {remedy}"
                    ));
                }
                Some(_) => {}
            }
        }
        Ok(())
    }
}

/// The columns in the words of [`AnswerTableSpec::encoded_columns`]. `None` if they are not.
fn decode_columns(encoded: &str) -> Option<Vec<(String, ColumnType)>> {
    let columns: Vec<(String, String)> = serde_json::from_str(encoded).ok()?;
    let kinds = [ColumnType::Long, ColumnType::Text, ColumnType::Double, ColumnType::Bool, ColumnType::Time];
    let kind = |name: &str| kinds.into_iter().find(|kind| kind.name() == name);
    columns.into_iter().map(|(name, of)| Some((name, kind(&of)?))).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use pinflow_dataflows::answer::{long_column, text_column, time_column};

    use super::*;

    fn spec(form: TableForm, columns: Vec<AnswerColumn>) -> AnswerTableSpec {
        AnswerTableSpec { name: "mine".to_owned(), form, columns, sql: "SELECT 1".to_owned() }
    }

    fn catalog(spec: &AnswerTableSpec, dialect: DatabaseDialect) -> Vec<FoundColumn> {
        let own = own_columns(spec.form).iter().map(|(name, kind)| (*name, *kind));
        let all = own.chain(spec.columns.iter().map(|column| (column.name.as_str(), column.kind)));
        let found = |(name, kind): (&str, ColumnType)| FoundColumn {
            name: name.to_owned(),
            data_type: dialect.catalog_type(kind).to_owned(),
        };
        all.map(found).collect()
    }

    fn registered(spec: &AnswerTableSpec) -> RegisteredTable {
        RegisteredTable { columns: spec.encoded_columns(), sql: spec.sql.clone() }
    }

    #[test]
    fn table_that_was_changed_by_others_is_refused_by_its_column() {
        for (dialect, form) in
            [(DatabaseDialect::Postgres, TableForm::Current), (DatabaseDialect::MySql, TableForm::Changes)]
        {
            let spec = spec(form, vec![long_column("n"), text_column("it's"), time_column("first")]);
            let (known, found) = (registered(&spec), catalog(&spec, dialect));
            assert_eq!(spec.plan_table(dialect, Some(&known), &found), Ok(TablePlan::Ready));
            assert_eq!(spec.plan_table(dialect, Some(&known), &[]), Ok(TablePlan::Create));
            let foreign = spec.plan_table(dialect, None, &found).unwrap_err();
            assert!(foreign.contains("`mine`") && foreign.contains("not made by pinflow"), "{foreign}");
            for at in 0..found.len() {
                let (mut missing, mut other) = (found.clone(), found.clone());
                missing.remove(at);
                other[at].data_type = "json".to_owned();
                for tampered in [missing, other] {
                    let refused = spec.plan_table(dialect, Some(&known), &tampered).unwrap_err();
                    assert!(
                        refused.contains(&format!("`{}`", found[at].name)) && refused.contains("drop"),
                        "{refused}"
                    );
                }
            }
            let described = AnswerTableSpec { sql: "SELECT 2".to_owned(), ..spec.clone() };
            assert_eq!(described.plan_table(dialect, Some(&known), &found), Ok(TablePlan::Describe));
        }
    }

    #[test]
    fn table_of_a_question_with_other_columns_is_migrated_or_refused() {
        let before = spec(TableForm::Current, vec![long_column("n"), text_column("a"), text_column("b")]);
        let after = spec(TableForm::Current, vec![text_column("a"), text_column("n"), time_column("c")]);
        let known = registered(&before);
        let plan =
            after.plan_table(DatabaseDialect::Postgres, Some(&known), &catalog(&before, DatabaseDialect::Postgres));
        let (removed, added) = (vec!["n".to_owned(), "b".to_owned()], vec![text_column("n"), time_column("c")]);
        let held = before.columns.iter().cloned().map(AnswerColumn::or_null).collect();
        assert_eq!(plan, Ok(TablePlan::Migrate { held, removed: removed.clone(), added: added.clone() }));
        let reordered = AnswerTableSpec { columns: before.columns.iter().rev().cloned().collect(), ..before.clone() };
        let plan =
            reordered.plan_table(DatabaseDialect::Postgres, Some(&known), &catalog(&before, DatabaseDialect::Postgres));
        assert_eq!(plan, Ok(TablePlan::Describe), "the order of columns does not matter");
        assert_eq!(
            AnswerTableSpec::migrate_statement(DatabaseDialect::Postgres, "t", &removed, &added),
            "ALTER TABLE t DROP COLUMN \"n\", DROP COLUMN \"b\", ADD COLUMN \"n\" text, ADD COLUMN \"c\" timestamptz(6)"
        );
        let refused = after.plan_table(DatabaseDialect::MySql, Some(&known), &catalog(&before, DatabaseDialect::MySql));
        assert!(refused.unwrap_err().contains("earlier question"));
    }
}
