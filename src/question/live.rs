//! `pinflow question add`, `replace`, `drop` and `list`: the questions of a running pinflow, over HTTP.

use std::io::{self, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use comfy_table::{Cell, CellAlignment, Table, presets};
use serde_json::Value;

use super::args::{AddArgs, DropArgs, ListArgs, QuestionFormat};
use super::error::QuestionCommandError;
use super::render::csv_field;
use crate::config::{read_named_question, read_question_file, read_question_text};
use crate::query::{QueryClient, QueryError};
use pinflow_dataflows::questions::QuestionName;
use pinflow_terminal::{sanitize_line, write_error_line};

/// Interval between two looks at a question that fills.
const POLL_INTERVAL: Duration = Duration::from_millis(40);
/// The least time between two lines that say how far it is.
const REPORT_INTERVAL: Duration = Duration::from_millis(200);

/// Adds or replaces a question, and waits until it is answered.
pub(super) async fn add_question(
    args: &AddArgs,
    replaces: bool,
    out: &mut dyn Write,
) -> Result<(), QuestionCommandError> {
    let (name, sql) = read_text(args)?;
    let client = QueryClient::new(&args.address)?;
    let mut params = vec![("name".to_owned(), name.clone())];
    params.extend(replaces.then(|| ("replace".to_owned(), "true".to_owned())));
    let accepted = client.post_text("/questions", &params, sql).await.map_err(refused)?;
    if accepted["stored"] == false {
        write_error_line("the run has no [tables], so the question ends with the run");
    }
    if args.no_wait {
        let state = accepted["state"].as_str().unwrap_or("accepted");
        return Ok(writeln!(out, "question `{name}` is accepted: {state}")?);
    }
    let live = wait_until_live(&client, &name).await?;
    let rows = live["rows"].as_u64().unwrap_or_default();
    let since = live["since_epoch"].as_u64().map(|epoch| format!(" since epoch {epoch}")).unwrap_or_default();
    Ok(writeln!(out, "question `{name}` is answered{since}: {rows} rows")?)
}

/// Drops a question.
pub(super) async fn drop_question(args: &DropArgs, out: &mut dyn Write) -> Result<(), QuestionCommandError> {
    // Anything else could be another path of the API.
    let name = QuestionName::parse(&args.name).map_err(|error| QuestionCommandError::Unknown(error.to_string()))?;
    let client = QueryClient::new(&args.address)?;
    client.delete(&format!("/questions/{name}")).await?;
    Ok(writeln!(out, "question `{name}` is dropped")?)
}

/// Lists the questions.
pub(super) async fn list_questions(args: &ListArgs, out: &mut dyn Write) -> Result<(), QuestionCommandError> {
    let listed = QueryClient::new(&args.address)?.get_json("/questions", &[]).await?;
    let questions = listed["questions"].as_array().map(Vec::as_slice).unwrap_or_default();
    match args.output_format() {
        QuestionFormat::Json => writeln!(out, "{listed}")?,
        QuestionFormat::Csv => write_csv(questions, out)?,
        QuestionFormat::Table => write_table(questions, out)?,
    }
    Ok(())
}

/// The name and the text of the question to add.
fn read_text(args: &AddArgs) -> Result<(String, String), QuestionCommandError> {
    let is_stdin = args.file == Path::new("-");
    match &args.name {
        None if is_stdin => {
            let what = "a question from stdin has no name; give it with --name";
            Err(QuestionCommandError::Unknown(what.to_owned()))
        }
        None => {
            let text = read_named_question(&args.file)?;
            Ok((text.name.to_string(), text.sql))
        }
        Some(name) if is_stdin => Ok((name.clone(), read_question_text(io::stdin().lock(), "stdin")?)),
        Some(name) => Ok((name.clone(), read_question_file(&args.file)?)),
    }
}

/// An error of the text as the other commands print it, without the address.
fn refused(error: QueryError) -> QuestionCommandError {
    match error {
        QueryError::Rejected { name, message, .. } if name == "invalid_question" => {
            QuestionCommandError::Refused(message)
        }
        other => other.into(),
    }
}

/// Waits until the question of a name is answered and no other one fills under its name. Reports the progress on stderr.
async fn wait_until_live(client: &QueryClient, name: &str) -> Result<Value, QuestionCommandError> {
    let mut reported = None;
    loop {
        let listed = client.get_json("/questions", &[]).await?;
        let named: Vec<&Value> =
            listed["questions"].as_array().into_iter().flatten().filter(|of| of["name"] == name).collect();
        let in_state = |state: &str| named.iter().find(|of| of["state"] == state);
        if let Some(stopped) = in_state("stopped") {
            let reason = stopped["reason"].as_str().unwrap_or("no reason given").to_owned();
            return Err(QuestionCommandError::Stopped { name: name.to_owned(), reason });
        }
        let Some(pending) = in_state("filling").or_else(|| in_state("waiting")) else {
            let live = in_state("live").ok_or_else(|| QuestionCommandError::Dropped(name.to_owned()))?;
            return Ok((*live).clone());
        };
        let progress = describe_progress(pending);
        let is_news = |(said, at): &(String, Instant)| *said != progress && at.elapsed() >= REPORT_INTERVAL;
        if reported.as_ref().is_none_or(is_news) {
            write_error_line(&format!("question `{name}`: {progress}"));
            reported = Some((progress, Instant::now()));
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

fn describe_progress(question: &Value) -> String {
    match question["progress"].as_f64() {
        Some(part) => format!("filling {:.0} %", part * 100.0),
        None => question["state"].as_str().unwrap_or("waiting").to_owned(),
    }
}

/// The columns of the list.
const LIST_COLUMNS: [&str; 9] = ["name", "origin", "state", "rows", "groups", "bytes", "texts", "ns_per_ind", "faults"];

fn list_cell(question: &Value, column: &str) -> String {
    match &question[column] {
        Value::String(text) if column == "state" && question["progress"].is_number() => {
            format!("{text} {:.0} %", question["progress"].as_f64().unwrap_or_default() * 100.0)
        }
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        Value::Number(number) if column == "ns_per_ind" => format!("{:.0}", number.as_f64().unwrap_or_default()),
        other => other.to_string(),
    }
}

fn write_table(questions: &[Value], out: &mut dyn Write) -> io::Result<()> {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(LIST_COLUMNS);
    for question in questions {
        table.add_row(LIST_COLUMNS.map(|column| {
            let alignment = if question[column].is_number() { CellAlignment::Right } else { CellAlignment::Left };
            Cell::new(sanitize_line(&list_cell(question, column))).set_alignment(alignment)
        }));
    }
    table.lines().try_for_each(|line| writeln!(out, "{}", line.trim_end()))?;
    // A reason is too long for a cell.
    questions.iter().filter(|of| of["reason"].is_string()).try_for_each(|of| {
        let [name, state, reason] = ["name", "state", "reason"].map(|key| of[key].as_str().unwrap_or_default());
        writeln!(out, "{name} is {state}: {}", sanitize_line(reason))
    })
}

fn write_csv(questions: &[Value], out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "{}", LIST_COLUMNS.join(","))?;
    questions.iter().try_for_each(|question| {
        let cells = LIST_COLUMNS.map(|column| match &question[column] {
            Value::String(text) => csv_field(text),
            Value::Null => String::new(),
            other => other.to_string(),
        });
        writeln!(out, "{}", cells.join(","))
    })
}
