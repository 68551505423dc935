//! What stands behind the question mark. Unknown names are refused: a filter that was misspelt must not show everything.

use pinflow_dataflows::answer::{Cell, Kind, Row};
use pinflow_dataflows::questions::Question;
use url::form_urlencoded;

use super::reply::Fault;
use crate::serving::board::Read;

/// The form of an answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(super) enum Form {
    #[default]
    Json,
    Ndjson,
    /// With this byte between cells.
    Csv(u8),
}

/// What may stand between the cells of CSV: many spreadsheets split at `;` where a comma marks decimals.
pub(super) const CSV_SEPARATORS: [&str; 4] = [",", ";", "\t", "|"];

/// How answers are asked for.
#[derive(Debug, Default)]
pub(super) struct Asked {
    pub(super) read: Read,
    pub(super) form: Form,
    pub(super) filter: Filter,
}

/// Rows whose grouping columns have one of these values.
#[derive(Debug, Default)]
pub(super) struct Filter(Vec<(usize, Vec<Wanted>)>);

#[derive(Debug, PartialEq, Eq)]
enum Wanted {
    Long(i64),
    Text(String),
}

impl Filter {
    /// Whether every row is wanted.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a row is wanted.
    pub(super) fn takes(&self, row: &Row) -> bool {
        self.0.iter().all(|(column, wanted)| wanted.iter().any(|wanted| wanted.is(&row.0[*column])))
    }

    fn add(&mut self, column: usize, wanted: Wanted) {
        match self.0.iter_mut().find(|(of, _)| *of == column) {
            Some((_, values)) => values.push(wanted),
            None => self.0.push((column, vec![wanted])),
        }
    }
}

impl Wanted {
    fn is(&self, cell: &Cell) -> bool {
        match (self, cell) {
            (Wanted::Long(wanted), Cell::Long(value)) => wanted == value,
            (Wanted::Text(wanted), Cell::Text(value)) => wanted == value.as_str(),
            _ => false,
        }
    }
}

/// Each name and value of a query.
fn pairs(query: Option<&str>) -> impl Iterator<Item = (String, String)> {
    form_urlencoded::parse(query.unwrap_or_default().as_bytes()).into_owned()
}

fn read(value: &str) -> Result<Read, Fault> {
    match value {
        "live" => Ok(Read::Live),
        "durable" => Ok(Read::Durable),
        _ => Err(Fault::bad("read is live or durable")),
    }
}

/// How answers are asked for; of one question, with its filters.
pub(super) fn asked(query: Option<&str>, question: Option<&Question>) -> Result<Asked, Fault> {
    let (mut asked, mut between) = (Asked::default(), None);
    for (name, value) in pairs(query) {
        match name.as_str() {
            "read" => asked.read = read(&value)?,
            "format" => asked.form = form(&value, question.is_some())?,
            "separator" if question.is_some() => between = Some(separator(&value)?),
            _ => filter(&mut asked.filter, question, &name, value)?,
        }
    }
    // Of no other form it changes anything.
    if let (Some(between), Form::Csv(separator)) = (between, &mut asked.form) {
        *separator = between;
    }
    Ok(asked)
}

fn form(value: &str, of_one_answer: bool) -> Result<Form, Fault> {
    match value {
        "json" => Ok(Form::Json),
        "ndjson" => Ok(Form::Ndjson),
        "csv" if of_one_answer => Ok(Form::Csv(b',')),
        _ if of_one_answer => Err(Fault::bad("format is json, ndjson or csv")),
        _ => Err(Fault::bad("format is json or ndjson; csv is of one answer")),
    }
}

fn separator(value: &str) -> Result<u8, Fault> {
    let known = CSV_SEPARATORS.contains(&value);
    let byte = value.as_bytes().first().filter(|_| known);
    byte.copied().ok_or_else(|| Fault::bad("separator is one of , ; | or a tab (%09)"))
}

fn filter(filter: &mut Filter, question: Option<&Question>, name: &str, value: String) -> Result<(), Fault> {
    let groups = question.map_or(&[][..], |question| &question.columns[..question.groups()]);
    let Some(column) = groups.iter().position(|column| column.name == name) else {
        let mut known = vec!["read", "format"];
        known.extend(question.map(|_| "separator"));
        known.extend(groups.iter().map(|column| column.name));
        return Err(Fault::bad(format!("there is no parameter of that name; known are {}", known.join(", "))));
    };
    let wanted = match groups[column].kind {
        Kind::Text => Wanted::Text(value),
        Kind::Long | Kind::Double => {
            Wanted::Long(value.parse().map_err(|_| Fault::bad(format!("{} is a whole number", groups[column].name)))?)
        }
    };
    filter.add(column, wanted);
    Ok(())
}

/// Which face of the board changes are followed on.
pub(super) fn followed(query: Option<&str>) -> Result<Read, Fault> {
    let mut of = Read::default();
    for (name, value) in pairs(query) {
        match name.as_str() {
            "read" => of = read(&value)?,
            _ => return Err(Fault::bad("there is no parameter of that name; known is read")),
        }
    }
    Ok(of)
}

/// How many are asked for.
pub(super) fn limit(query: Option<&str>, default: usize, most: usize) -> Result<usize, Fault> {
    Ok(number(query, "limit", most)?.unwrap_or(default))
}

/// The only parameter that a route knows: a number from 1 to `most`.
pub(super) fn number(query: Option<&str>, known: &str, most: usize) -> Result<Option<usize>, Fault> {
    let mut found = None;
    for (name, value) in pairs(query) {
        if name != known {
            return Err(Fault::bad(format!("there is no parameter of that name; known is {known}")));
        }
        let number = value.parse().ok().filter(|number| (1..=most).contains(number));
        found = Some(number.ok_or_else(|| Fault::bad(format!("{known} is 1 to {most}")))?);
    }
    Ok(found)
}

/// Refuses parameters where there are none.
pub(super) fn none(query: Option<&str>) -> Result<(), Fault> {
    if pairs(query).next().is_none() { Ok(()) } else { Err(Fault::bad("there are no parameters here")) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use pinflow_dataflows::questions;

    use super::*;

    #[test]
    fn separator_is_one_of_four_and_known_to_single_answers_only() {
        let question = Some(&questions::ALL[0]);
        let form = |query: &str, question| asked(Some(query), question).map(|asked| asked.form).ok();
        assert_eq!(form("format=csv", question), Some(Form::Csv(b',')));
        assert_eq!(form("format=csv&separator=;", question), Some(Form::Csv(b';')));
        assert_eq!(form("separator=%3B&format=csv", question), Some(Form::Csv(b';')));
        assert_eq!(form("format=csv&separator=%09", question), Some(Form::Csv(b'\t')));
        assert_eq!(form("separator=;", question), Some(Form::Json));
        for refused in ["format=csv&separator=", "format=csv&separator=;;", "format=csv&separator=\""] {
            assert_eq!(form(refused, question), None, "{refused}");
        }
        assert_eq!(form("format=ndjson&separator=;", None), None);
    }
}
