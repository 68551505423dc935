//! `pinflow question`: explains questions in SQL, and answers them once over tables, which needs no running pinflow. Also
//! changes the questions of a running one.

mod args;
mod error;
mod explain;
mod flags;
mod live;
mod measured_memory;
mod memory_estimate;
mod render;
mod try_question;

use std::io::{self, Write};
use std::path::Path;

pub use args::{QuestionArgs, QuestionFormat};
pub use error::QuestionCommandError;
pub(crate) use explain::explain_question;
pub(crate) use flags::{RankingFlags, duplicate_policies};
pub(crate) use render::{answer_json, csv_field};
pub(crate) use try_question::{
    TableReading, answer_question, count_rows_to_read, evaluate_question, inspect_whole_tables, read_relations,
};

use args::QuestionSubcommand;

use crate::config::{QuestionText, compile_text, read_named_question, read_question_text};
use pinflow_dataflows::graph::GraphOptions;
use pinflow_dataflows::questions::{QuestionName, QuestionSet};

/// Runs the command and prints its result.
///
/// # Errors
/// If a question cannot be read or is wrong, tables cannot be read, or the output cannot be written.
pub async fn run(args: QuestionArgs, out: &mut (dyn Write + Send)) -> Result<(), QuestionCommandError> {
    match args.command {
        QuestionSubcommand::Explain(args) => explain_files(&args, out).await,
        QuestionSubcommand::Try(args) => {
            let text = read_question(&args.file)?;
            try_question::run(text, args, out).await
        }
        QuestionSubcommand::Add(args) => live::add_question(&args, false, out).await,
        QuestionSubcommand::Replace(args) => live::add_question(&args, true, out).await,
        QuestionSubcommand::Drop(args) => live::drop_question(&args, out).await,
        QuestionSubcommand::List(args) => live::list_questions(&args, out).await,
        QuestionSubcommand::Builtin(args) => print_built_in(args.name.as_deref(), out),
    }
}

/// Reads the question of an argument; `-` is stdin.
fn read_question(path: &Path) -> Result<QuestionText, QuestionCommandError> {
    if path != Path::new("-") {
        return Ok(read_named_question(path)?);
    }
    let (sql, label) = (read_question_text(io::stdin().lock(), "stdin")?, "stdin".to_owned());
    let name = QuestionName::parse(&label).map_err(|error| QuestionCommandError::Unknown(error.to_string()))?;
    Ok(QuestionText { name, label, sql })
}

/// Explains every question. Problems of all of them are reported together.
async fn explain_files(args: &args::ExplainArgs, out: &mut (dyn Write + Send)) -> Result<(), QuestionCommandError> {
    let options = args.graph_options();
    let (mut compiled, mut wrong) = (Vec::new(), Vec::new());
    for path in &args.files {
        let text = read_question(path)?;
        match compile_text(&text, &options) {
            Ok(question) => compiled.push(question),
            Err(error) => wrong.push(error),
        }
    }
    if !wrong.is_empty() {
        return Err(QuestionCommandError::Wrong(wrong));
    }
    let mut explained: Vec<_> = compiled.iter().map(explain_question).collect();
    for (explanation, question) in explained.iter_mut().zip(&compiled) {
        if let Some(inds) = args.inds {
            explanation.estimate_total(question, inds, args.groups);
        }
        if let Some(tables) = &args.tables {
            let measured = measured_memory::measure_over_tables(question, options, tables, &args.reading).await?;
            explanation.set_measured(measured);
        }
    }
    Ok(render::write_explanations(&explained, args.format, out)?)
}

/// Prints the names of the built-in questions, or the SQL of one.
fn print_built_in(name: Option<&str>, out: &mut dyn Write) -> Result<(), QuestionCommandError> {
    let built_in = QuestionSet::built_in(GraphOptions::default());
    let Some(name) = name else {
        return Ok(built_in.names().try_for_each(|name| writeln!(out, "{name}"))?);
    };
    let Some((_, question)) = built_in.find(name) else {
        let what = format!("no built-in question is named `{name}`; `pinflow question builtin` lists them");
        return Err(QuestionCommandError::Unknown(what));
    };
    Ok(writeln!(out, "{}", question.sql.trim_end())?)
}
