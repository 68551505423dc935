//! Prints the result of a verification.

use std::io::{self, Write};

use serde_json::{Value, json};

use super::args::VerificationFormat;
use super::compare::{AnswerVerdict, RowComparison, VerifiedAnswer};
use super::error::VerificationError;
use pinflow_core::position::Epoch;
use pinflow_core::user_error::ExitStatus;
use pinflow_terminal::sanitize_line;

/// The result of a verification.
#[derive(Debug)]
pub(super) struct VerificationReport {
    /// When the run started, in its own words.
    pub(super) started_at: String,
    /// The epoch of the durable answers.
    pub(super) epoch: Epoch,
    /// When it was closed.
    pub(super) as_of: String,
    /// Where the tables are.
    pub(super) tables: String,
    /// The version of each table.
    pub(super) versions: Vec<(&'static str, u64)>,
    /// The number of rows that count in the tables.
    pub(super) rows_read: usize,
    /// How long it took.
    pub(super) seconds: f64,
    /// What was found, by name.
    pub(super) answers: Vec<VerifiedAnswer>,
}

/// How many answers there are of each verdict.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct VerdictCounts {
    equal: usize,
    different: usize,
    skipped: usize,
}

impl VerificationReport {
    /// The exit code of the command.
    ///
    /// # Errors
    /// If no answer was compared.
    pub(super) fn exit_status(&self) -> Result<ExitStatus, VerificationError> {
        match self.count_verdicts() {
            VerdictCounts { different: 1.., .. } => Ok(ExitStatus::Failed),
            VerdictCounts { equal: 0, .. } => Err(VerificationError::AllSkipped),
            VerdictCounts { .. } => Ok(ExitStatus::Success),
        }
    }

    fn count_verdicts(&self) -> VerdictCounts {
        let mut counts = VerdictCounts::default();
        for of in &self.answers {
            match &of.verdict {
                AnswerVerdict::Skipped { .. } => counts.skipped += 1,
                AnswerVerdict::Compared(compared) if compared.is_equal() => counts.equal += 1,
                AnswerVerdict::Compared(_) => counts.different += 1,
            }
        }
        counts
    }

    /// Prints the result.
    pub(super) fn write(&self, format: VerificationFormat, out: &mut dyn Write) -> io::Result<()> {
        match format {
            VerificationFormat::Json => {
                serde_json::to_writer_pretty(&mut *out, &self.to_json())?;
                writeln!(out)
            }
            VerificationFormat::Text => self.write_text(out),
        }
    }

    fn to_json(&self) -> Value {
        let VerdictCounts { equal, different, skipped } = self.count_verdicts();
        let versions = self.versions.iter().map(|(table, version)| json!({ "table": table, "version": version }));
        json!({
            "epoch": self.epoch,
            "as_of": self.as_of,
            "tables_url": self.tables,
            "tables": versions.collect::<Vec<_>>(),
            "rows_read": self.rows_read,
            "seconds": self.seconds,
            "equal": equal,
            "different": different,
            "skipped": skipped,
            "answers": self.answers.iter().map(answer_json).collect::<Vec<_>>(),
        })
    }

    /// What the run is told.
    pub(super) fn to_result_json(&self) -> Value {
        let verdict = |of: &VerifiedAnswer| json!({ "answer": of.answer, "result": result_name(&of.verdict) });
        json!({
            "started_at": self.started_at,
            "epoch": self.epoch,
            "as_of": self.as_of,
            "rows_read": self.rows_read,
            "seconds": self.seconds,
            "answers": self.answers.iter().map(verdict).collect::<Vec<_>>(),
        })
    }

    fn write_text(&self, out: &mut dyn Write) -> io::Result<()> {
        let width = self.answers.iter().map(|of| of.answer.chars().count()).max().unwrap_or_default();
        for VerifiedAnswer { answer, verdict } in &self.answers {
            let name = sanitize_line(answer);
            match verdict {
                AnswerVerdict::Skipped { reason } => {
                    writeln!(out, "{name:width$}  skipped    {}", sanitize_line(reason))?;
                }
                AnswerVerdict::Compared(compared) if compared.is_equal() => {
                    writeln!(out, "{name:width$}  equal      {}", count_rows(compared.rows))?;
                }
                AnswerVerdict::Compared(compared) => {
                    let (shown, computed) = (count_rows(compared.rows), count_rows(compared.rows_computed));
                    writeln!(out, "{name:width$}  DIFFERENT  the run shows {shown}, the tables give {computed}")?;
                    write_differences(compared, out)?;
                }
            }
        }
        let VerdictCounts { equal, different, skipped } = self.count_verdicts();
        let versions: Vec<_> = self.versions.iter().map(|(table, version)| format!("{table} {version}")).collect();
        writeln!(out, "\n{equal} equal, {different} different, {skipped} skipped")?;
        writeln!(
            out,
            "epoch {}, as of {}; {} in {} at versions {}; {:.1} s",
            self.epoch,
            self.as_of,
            count_rows(self.rows_read),
            sanitize_line(&self.tables),
            versions.join(", "),
            self.seconds
        )
    }
}

fn count_rows(rows: usize) -> String {
    if rows == 1 { "1 row".to_owned() } else { format!("{rows} rows") }
}

fn write_differences(compared: &RowComparison, out: &mut dyn Write) -> io::Result<()> {
    if compared.is_reordered {
        return writeln!(out, "  the same rows in another order");
    }
    let sides = [
        ("only from the tables", compared.missing, &compared.first_missing),
        ("only in the answer", compared.extra, &compared.first_extra),
    ];
    for (side, count, first) in sides {
        for row in first {
            writeln!(out, "  {side:20}  {}", sanitize_line(row))?;
        }
        if count > first.len() {
            writeln!(out, "  {side:20}  and {} more", count_rows(count - first.len()))?;
        }
    }
    Ok(())
}

fn result_name(verdict: &AnswerVerdict) -> &'static str {
    match verdict {
        AnswerVerdict::Skipped { .. } => "skipped",
        AnswerVerdict::Compared(compared) if compared.is_equal() => "equal",
        AnswerVerdict::Compared(_) => "different",
    }
}

fn answer_json(of: &VerifiedAnswer) -> Value {
    let (answer, result) = (&of.answer, result_name(&of.verdict));
    match &of.verdict {
        AnswerVerdict::Skipped { reason } => json!({ "answer": answer, "result": result, "reason": reason }),
        AnswerVerdict::Compared(compared) => json!({
            "answer": answer,
            "result": result,
            "rows": compared.rows,
            "rows_computed": compared.rows_computed,
            "missing": compared.missing,
            "extra": compared.extra,
            "reordered": compared.is_reordered,
            "first_missing": rows_json(&compared.first_missing),
            "first_extra": rows_json(&compared.first_extra),
        }),
    }
}

/// Rows that are JSON text already.
fn rows_json(rows: &[String]) -> Value {
    rows.iter().map(|row| serde_json::from_str::<Value>(row).unwrap_or_else(|_| row.clone().into())).collect()
}
