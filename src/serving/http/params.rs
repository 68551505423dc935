//! What stands behind the question mark. Unknown names are refused: a filter that was misspelt must not show everything.

use pinflow_dataflows::answer::{Cell, Kind, Row};
use pinflow_dataflows::questions::Question;
use url::form_urlencoded;

use super::reply::Fault;
use crate::serving::board::Read;

/// The form of an answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Form {
    #[default]
    Json,
    Ndjson,
    Csv,
}

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
    let mut asked = Asked::default();
    for (name, value) in pairs(query) {
        match name.as_str() {
            "read" => asked.read = read(&value)?,
            "format" => {
                asked.form = match value.as_str() {
                    "json" => Form::Json,
                    "ndjson" => Form::Ndjson,
                    "csv" if question.is_some() => Form::Csv,
                    _ if question.is_some() => return Err(Fault::bad("format is json, ndjson or csv")),
                    _ => return Err(Fault::bad("format is json or ndjson; csv is of one answer")),
                }
            }
            _ => filter(&mut asked.filter, question, &name, value)?,
        }
    }
    Ok(asked)
}

fn filter(filter: &mut Filter, question: Option<&Question>, name: &str, value: String) -> Result<(), Fault> {
    let groups = question.map_or(&[][..], |question| &question.columns[..question.groups()]);
    let Some(column) = groups.iter().position(|column| column.name == name) else {
        let mut known = vec!["read", "format"];
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
