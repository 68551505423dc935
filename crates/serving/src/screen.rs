//! Lays out the answers for a terminal of a given size. Does no I/O.
//!
//! Each answer gets up to six rows, fewer on a small terminal, down to one line per answer. Answers that still do not fit
//! are counted in the last line.

use comfy_table::{CellAlignment, presets};
use pinflow_dataflows::answer::{AnswerCell, AnswerRow, LiveAnswer};
use pinflow_dataflows::questions::Question;

use super::AnswerView;
use pinflow_terminal::{fit_width, sanitize_line};

/// Most rows of an answer on a screen.
const MAX_ROWS_PER_ANSWER: usize = 6;

/// Size of a terminal in character cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ScreenSize {
    pub(super) rows: usize,
    pub(super) columns: usize,
}

/// How much is shown of each answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum DetailLevel {
    /// A title, the column names, up to this many rows, and an empty line.
    Rows(usize),
    /// A title and the first row.
    FirstRow,
    /// Title and first row on one line.
    Line,
}

impl DetailLevel {
    /// Lines that an answer with this many rows needs.
    fn lines_for(self, rows: usize) -> usize {
        match self {
            DetailLevel::Rows(_) | DetailLevel::FirstRow if rows == 0 => 1,
            DetailLevel::Rows(most) => 3 + rows.min(most),
            DetailLevel::FirstRow => 2,
            DetailLevel::Line => 1,
        }
    }
}

/// The most detail with which all answers fit into this many lines.
fn choose_detail(answer_rows: &[usize], room: usize) -> DetailLevel {
    let details = (1..=MAX_ROWS_PER_ANSWER).rev().map(DetailLevel::Rows).chain([DetailLevel::FirstRow]);
    let fits = |detail: &DetailLevel| answer_rows.iter().map(|rows| detail.lines_for(*rows)).sum::<usize>() <= room;
    details.into_iter().find(fits).unwrap_or(DetailLevel::Line)
}

/// The lines of a screen: the answers, then `footer`. The result never exceeds `size`.
pub(super) fn layout_screen(view: &AnswerView, footer: &[String], size: ScreenSize) -> Vec<String> {
    let footer: Vec<_> = footer.iter().rev().take(size.rows).rev().collect();
    let room = size.rows - footer.len();
    let answers: Vec<_> = view.answers().collect();
    let rows: Vec<usize> = answers.iter().map(|(_, table)| table.row_count()).collect();
    let detail = choose_detail(&rows, room);
    let mut lines = Vec::new();
    for (at, (question, table)) in answers.iter().enumerate() {
        let left = answers.len() - at;
        if lines.len() + 1 >= room && left > 1 && detail == DetailLevel::Line {
            lines.push(format!("… and {left} more answers; a larger terminal shows them"));
            break;
        }
        lines.extend(answer_lines(question, table, detail));
    }
    // If the footer fills the screen.
    lines.truncate(room);
    let all = lines.iter().chain(footer);
    all.map(|line| fit_width(line.trim_end(), size.columns).into_owned()).collect()
}

fn answer_lines(question: &Question, table: &LiveAnswer, detail: DetailLevel) -> Vec<String> {
    let rows = table.row_count();
    if rows == 0 {
        return vec![format!("{}: no rows yet", question.name)];
    }
    match detail {
        DetailLevel::Rows(most) => {
            let title = answer_title(&question.name, rows, most);
            let grid = answer_grid(table, most).to_string();
            let body = grid.lines().map(str::to_owned).collect::<Vec<_>>();
            [vec![title], body, vec![String::new()]].concat()
        }
        DetailLevel::FirstRow => vec![answer_title(&question.name, rows, 1), format!("  {}", first_row(table))],
        DetailLevel::Line => vec![format!("{}  {}", answer_title(&question.name, rows, 1), first_row(table))],
    }
}

fn answer_title(name: &str, rows: usize, shown: usize) -> String {
    if rows > shown { format!("{name}: {shown} of {rows} rows") } else { name.to_owned() }
}

fn first_row(table: &LiveAnswer) -> String {
    let cells = |row: &AnswerRow| {
        row.visible(table.columns()).iter().map(|cell| cell_text(cell).0).collect::<Vec<_>>().join("  ")
    };
    table.rows().next().map(cells).unwrap_or_default()
}

/// A cell's text, without control characters, and its alignment.
fn cell_text(cell: &AnswerCell) -> (String, CellAlignment) {
    match cell {
        AnswerCell::Long(_) | AnswerCell::Double(_) => (cell.to_string(), CellAlignment::Right),
        AnswerCell::Text(value) => (sanitize_line(value), CellAlignment::Left),
        AnswerCell::Bool(_) | AnswerCell::Time(_) => (cell.to_string(), CellAlignment::Left),
        // Not `null`, which a text can be, too.
        AnswerCell::Null => ("∅".to_owned(), CellAlignment::Left),
    }
}

/// The first rows of an answer as a text table.
pub(super) fn answer_grid(answer: &LiveAnswer, rows_max: usize) -> comfy_table::Table {
    let mut table = comfy_table::Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(answer.columns().iter().map(|column| sanitize_line(&column.name)));
    for row in answer.rows().take(rows_max) {
        table.add_row(row.visible(answer.columns()).iter().map(|cell| {
            let (text, alignment) = cell_text(cell);
            comfy_table::Cell::new(text).set_alignment(alignment)
        }));
    }
    table
}

#[cfg(test)]
mod tests {
    use pinflow_dataflows::graph::GraphOptions;
    use pinflow_dataflows::questions::QuestionSet;

    use super::*;

    #[test]
    fn detail_is_the_most_that_fits() {
        let rows = [243, 6, 1];
        assert_eq!(choose_detail(&rows, 22), DetailLevel::Rows(6));
        assert_eq!(choose_detail(&rows, 21), DetailLevel::Rows(5));
        assert_eq!(choose_detail(&rows, 12), DetailLevel::Rows(1));
        assert_eq!(choose_detail(&rows, 11), DetailLevel::FirstRow);
        assert_eq!(choose_detail(&rows, 5), DetailLevel::Line);
        assert_eq!(choose_detail(&[0, 0], 2), DetailLevel::Rows(6));
    }

    #[test]
    fn layout_never_exceeds_the_screen() {
        let view = AnswerView::new(QuestionSet::built_in(GraphOptions::default()));
        let footer = ["a log line".to_owned(), "東京".repeat(50)];
        for rows in 0..40 {
            for columns in [0, 1, 7, 40, 200] {
                let lines = layout_screen(&view, &footer, ScreenSize { rows, columns });
                assert!(lines.len() <= rows, "{} lines on {rows}", lines.len());
                let width = |line: &String| unicode_width::UnicodeWidthStr::width(line.as_str());
                assert!(lines.iter().all(|line| width(line) <= columns), "{columns}: {lines:?}");
            }
        }
        let few = layout_screen(&view, &footer, ScreenSize { rows: 6, columns: 80 });
        assert!(few.iter().any(|line| line.contains("more answers")), "{few:?}");
    }
}
