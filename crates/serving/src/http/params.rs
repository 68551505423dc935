//! Parses query parameters. Unknown names are errors: a misspelt filter must not return all rows.

use pinflow_dataflows::answer::{AnswerCell, AnswerRow, ColumnType};
use pinflow_dataflows::questions::Question;
use url::form_urlencoded;

use super::reply::ApiError;
use crate::answer_hub::ReadConsistency;

/// The format of a reply.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(super) enum ReplyFormat {
    #[default]
    Json,
    Ndjson,
    /// CSV with this separator.
    Csv(u8),
}

/// Accepted CSV separators. Spreadsheets in languages with a decimal comma split at `;`.
pub(super) const CSV_SEPARATORS: [&str; 4] = [",", ";", "\t", "|"];

/// The query parameters of `/answers` and `/answers/{name}`.
#[derive(Debug, Default)]
pub(super) struct AnswerParams {
    pub(super) read: ReadConsistency,
    pub(super) format: ReplyFormat,
    pub(super) filter: RowFilter,
}

/// Selects rows whose grouping columns have one of the given values.
#[derive(Debug, Default)]
pub(super) struct RowFilter(Vec<(usize, Vec<FilterValue>)>);

#[derive(Debug, PartialEq, Eq)]
enum FilterValue {
    Long(i64),
    Text(String),
}

impl RowFilter {
    /// Whether it selects every row.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether it selects the row.
    pub(super) fn matches_row(&self, row: &AnswerRow) -> bool {
        self.0.iter().all(|(column, wanted)| wanted.iter().any(|wanted| wanted.matches_cell(&row.0[*column])))
    }

    fn add_value(&mut self, column: usize, wanted: FilterValue) {
        match self.0.iter_mut().find(|(of, _)| *of == column) {
            Some((_, values)) => values.push(wanted),
            None => self.0.push((column, vec![wanted])),
        }
    }
}

impl FilterValue {
    fn matches_cell(&self, cell: &AnswerCell) -> bool {
        match (self, cell) {
            (FilterValue::Long(wanted), AnswerCell::Long(value)) => wanted == value,
            (FilterValue::Text(wanted), AnswerCell::Text(value)) => wanted == value.as_str(),
            _ => false,
        }
    }
}

/// The decoded names and values of a query string.
fn query_pairs(query: Option<&str>) -> impl Iterator<Item = (String, String)> {
    form_urlencoded::parse(query.unwrap_or_default().as_bytes()).into_owned()
}

fn parse_consistency(value: &str) -> Result<ReadConsistency, ApiError> {
    match value {
        "live" => Ok(ReadConsistency::Live),
        "durable" => Ok(ReadConsistency::Durable),
        _ => Err(ApiError::bad_request("read must be live or durable")),
    }
}

/// Parses the parameters of all answers, or of one `question` with its filters.
pub(super) fn parse_answer_params(query: Option<&str>, question: Option<&Question>) -> Result<AnswerParams, ApiError> {
    let (mut asked, mut between) = (AnswerParams::default(), None);
    for (name, value) in query_pairs(query) {
        match name.as_str() {
            "read" => asked.read = parse_consistency(&value)?,
            "format" => asked.format = parse_format(&value, question.is_some())?,
            "separator" if question.is_some() => between = Some(parse_separator(&value)?),
            _ => parse_filter(&mut asked.filter, question, &name, value)?,
        }
    }
    // The separator has no effect on other formats.
    if let (Some(between), ReplyFormat::Csv(separator)) = (between, &mut asked.format) {
        *separator = between;
    }
    Ok(asked)
}

fn parse_format(value: &str, of_one_answer: bool) -> Result<ReplyFormat, ApiError> {
    match value {
        "json" => Ok(ReplyFormat::Json),
        "ndjson" => Ok(ReplyFormat::Ndjson),
        "csv" if of_one_answer => Ok(ReplyFormat::Csv(b',')),
        _ if of_one_answer => Err(ApiError::bad_request("format must be json, ndjson or csv")),
        _ => Err(ApiError::bad_request("format must be json or ndjson; csv is available for single answers only")),
    }
}

fn parse_separator(value: &str) -> Result<u8, ApiError> {
    let known = CSV_SEPARATORS.contains(&value);
    let byte = value.as_bytes().first().filter(|_| known);
    byte.copied().ok_or_else(|| ApiError::bad_request("separator must be one of , ; | or a tab (%09)"))
}

fn parse_filter(
    filter: &mut RowFilter,
    question: Option<&Question>,
    name: &str,
    value: String,
) -> Result<(), ApiError> {
    let groups = question.map_or(&[][..], |question| &question.columns[..question.group_columns()]);
    let Some(column) = groups.iter().position(|column| column.name == name) else {
        let mut known = vec!["read", "format"];
        known.extend(question.map(|_| "separator"));
        known.extend(groups.iter().map(|column| column.name));
        return Err(ApiError::bad_request(format!("unknown parameter; the parameters are {}", known.join(", "))));
    };
    let wanted = match groups[column].kind {
        ColumnType::Text => FilterValue::Text(value),
        ColumnType::Long | ColumnType::Double => FilterValue::Long(
            value
                .parse()
                .map_err(|_| ApiError::bad_request(format!("{} must be a whole number", groups[column].name)))?,
        ),
    };
    filter.add_value(column, wanted);
    Ok(())
}

/// Parses the parameters of `/changes`: which feed to subscribe to.
pub(super) fn parse_change_params(query: Option<&str>) -> Result<ReadConsistency, ApiError> {
    let mut of = ReadConsistency::default();
    for (name, value) in query_pairs(query) {
        match name.as_str() {
            "read" => of = parse_consistency(&value)?,
            _ => return Err(ApiError::bad_request("unknown parameter; the only parameter is read")),
        }
    }
    Ok(of)
}

/// Parses `limit`, 1 to `most`.
pub(super) fn parse_limit(query: Option<&str>, default: usize, most: usize) -> Result<usize, ApiError> {
    Ok(parse_number(query, "limit", most)?.unwrap_or(default))
}

/// Parses the only parameter of a route: a number from 1 to `most`.
pub(super) fn parse_number(query: Option<&str>, known: &str, most: usize) -> Result<Option<usize>, ApiError> {
    let mut found = None;
    for (name, value) in query_pairs(query) {
        if name != known {
            return Err(ApiError::bad_request(format!("unknown parameter; the only parameter is {known}")));
        }
        let number = value.parse().ok().filter(|number| (1..=most).contains(number));
        found = Some(number.ok_or_else(|| ApiError::bad_request(format!("{known} must be 1 to {most}")))?);
    }
    Ok(found)
}

/// Rejects any parameter.
pub(super) fn require_no_params(query: Option<&str>) -> Result<(), ApiError> {
    if query_pairs(query).next().is_none() {
        Ok(())
    } else {
        Err(ApiError::bad_request("this route has no parameters"))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use pinflow_dataflows::questions;

    use super::*;

    #[test]
    fn separator_is_one_of_four_and_for_single_answers_only() {
        let question = Some(&questions::ALL[0]);
        let format = |query: &str, question| parse_answer_params(Some(query), question).map(|asked| asked.format).ok();
        assert_eq!(format("format=csv", question), Some(ReplyFormat::Csv(b',')));
        assert_eq!(format("format=csv&separator=;", question), Some(ReplyFormat::Csv(b';')));
        assert_eq!(format("separator=%3B&format=csv", question), Some(ReplyFormat::Csv(b';')));
        assert_eq!(format("format=csv&separator=%09", question), Some(ReplyFormat::Csv(b'\t')));
        assert_eq!(format("separator=;", question), Some(ReplyFormat::Json));
        for refused in ["format=csv&separator=", "format=csv&separator=;;", "format=csv&separator=\""] {
            assert_eq!(format(refused, question), None, "{refused}");
        }
        assert_eq!(format("format=ndjson&separator=;", None), None);
    }
}
