//! Parses query parameters. Unknown names are errors: a misspelt filter must not return all rows.

use jiff::Timestamp;
use pinflow_dataflows::answer::{AnswerCell, AnswerColumn, AnswerRow, ColumnType};
use pinflow_dataflows::questions::{Question, QuestionName};
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

/// Selects rows whose columns have one of the given values.
#[derive(Debug, Default)]
pub(super) struct RowFilter(Vec<(usize, Vec<AnswerCell>)>);

impl RowFilter {
    /// Whether it selects every row.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether it selects the row.
    pub(super) fn matches_row(&self, row: &AnswerRow) -> bool {
        self.0.iter().all(|(column, wanted)| row.0.get(*column).is_some_and(|cell| wanted.contains(cell)))
    }

    fn add_value(&mut self, column: usize, wanted: AnswerCell) {
        match self.0.iter_mut().find(|(of, _)| *of == column) {
            Some((_, values)) => values.push(wanted),
            None => self.0.push((column, vec![wanted])),
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

/// Parses only the parameter `read`.
pub(super) fn parse_read(query: Option<&str>) -> Result<ReadConsistency, ApiError> {
    let given = query_pairs(query).filter(|(name, _)| name == "read").last();
    given.map_or(Ok(ReadConsistency::default()), |(_, value)| parse_consistency(&value))
}

/// Parses the parameters of all answers, or of one `question` with its filters.
pub(super) fn parse_answer_params(query: Option<&str>, question: Option<&Question>) -> Result<AnswerParams, ApiError> {
    let (mut asked, mut between) = (AnswerParams::default(), None);
    for (name, value) in query_pairs(query) {
        match name.as_str() {
            "read" => asked.read = parse_consistency(&value)?,
            "format" => asked.format = parse_format(&value, question.is_some())?,
            "separator" if question.is_some() => between = Some(parse_separator(&value)?),
            _ => parse_filter(&mut asked.filter, question, &name, &value)?,
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

fn parse_filter(filter: &mut RowFilter, question: Option<&Question>, name: &str, value: &str) -> Result<(), ApiError> {
    let columns = question.map_or(&[][..], |question| question.columns());
    let unknown = || unknown_parameter(columns, question.is_some());
    if name == "null" && question.is_some() {
        let column = find_column(columns, value).ok_or_else(unknown)?;
        filter.add_value(column, AnswerCell::Null);
        return Ok(());
    }
    let column = find_column(columns, name).ok_or_else(unknown)?;
    filter.add_value(column, parse_cell(&columns[column], value)?);
    Ok(())
}

/// The prefix with which a filter can name any column, also one that has the name of another parameter.
const FILTER_PREFIX: &str = "filter.";

/// The parameters of one answer that are not its columns.
const ANSWER_PARAMS: [&str; 4] = ["read", "format", "separator", "null"];

/// The name of the parameter that filters by this column.
pub(super) fn filter_name(column: &str) -> String {
    let needs_prefix = ANSWER_PARAMS.contains(&column) || column.starts_with(FILTER_PREFIX);
    if needs_prefix { format!("{FILTER_PREFIX}{column}") } else { column.to_owned() }
}

/// The index of the column that a parameter names.
fn find_column(columns: &[AnswerColumn], name: &str) -> Option<usize> {
    let find = |name: &str| columns.iter().position(|column| column.name == name);
    name.strip_prefix(FILTER_PREFIX).and_then(find).or_else(|| find(name))
}

fn unknown_parameter(columns: &[AnswerColumn], of_one_answer: bool) -> ApiError {
    let params = if of_one_answer { &ANSWER_PARAMS[..] } else { &ANSWER_PARAMS[..2] };
    let mut known: Vec<String> = params.iter().map(|name| (*name).to_owned()).collect();
    known.extend(columns.iter().map(|column| filter_name(&column.name)));
    ApiError::bad_request(format!("unknown parameter; the parameters are {}", known.join(", ")))
}

/// Parses a value of this column.
fn parse_cell(column: &AnswerColumn, value: &str) -> Result<AnswerCell, ApiError> {
    let (cell, wanted) = match column.kind {
        ColumnType::Text => (Some(AnswerCell::text(value)), "text"),
        ColumnType::Long => (value.parse().ok().map(AnswerCell::Long), "a whole number"),
        ColumnType::Double => (parse_double(value).map(AnswerCell::Double), "a number"),
        ColumnType::Bool => (value.parse().ok().map(AnswerCell::Bool), "true or false"),
        ColumnType::Time => {
            let micros = value.parse::<Timestamp>().ok().map(Timestamp::as_microsecond);
            (micros.map(AnswerCell::time), "a time, as in 2020-01-31T08:00:00Z")
        }
    };
    cell.ok_or_else(|| ApiError::bad_request(format!("{} must be {wanted}", column.name)))
}

fn parse_double(value: &str) -> Option<f64> {
    // Adding zero turns a negative zero into a positive one, as in answers.
    value.parse::<f64>().ok().filter(|number| number.is_finite()).map(|number| number + 0.0)
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

/// What `POST /questions` does with its question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EditAction {
    Add,
    Replace,
    /// Explains it.
    DryRun,
    /// Answers it once over the tables.
    Try {
        /// The most rows to return.
        limit: Option<usize>,
    },
}

/// The parameters of `POST /questions`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct EditParams {
    pub(super) name: QuestionName,
    pub(super) action: EditAction,
}

/// The name of a question that is only tried or explained and has none.
const UNNAMED_QUESTION: &str = "question";

/// Parses the parameters of `POST /questions`.
pub(super) fn parse_edit_params(query: Option<&str>) -> Result<EditParams, ApiError> {
    let (mut name, mut limit, [mut replaces, mut is_dry_run, mut is_tried]) = (None, None, [false; 3]);
    for (key, value) in query_pairs(query) {
        match key.as_str() {
            "name" => {
                name = Some(QuestionName::parse(&value).map_err(|error| ApiError::bad_request(error.to_string()))?);
            }
            "replace" => replaces = parse_flag(&key, &value)?,
            "dry_run" => is_dry_run = parse_flag(&key, &value)?,
            "try" => is_tried = parse_flag(&key, &value)?,
            "limit" => limit = Some(parse_row_limit(&value)?),
            _ => {
                let message = "unknown parameter; the parameters are name, replace, dry_run, try, limit";
                return Err(ApiError::bad_request(message));
            }
        }
    }
    if limit.is_some() && !is_tried {
        return Err(ApiError::bad_request("limit needs try=true"));
    }
    let action = match [replaces, is_dry_run, is_tried] {
        [false, false, false] => EditAction::Add,
        [true, false, false] => EditAction::Replace,
        [_, true, false] => EditAction::DryRun,
        [_, false, true] => EditAction::Try { limit },
        [_, true, true] => return Err(ApiError::bad_request("give either dry_run=true or try=true")),
    };
    let is_changing = matches!(action, EditAction::Add | EditAction::Replace);
    if name.is_none() && is_changing {
        return Err(ApiError::bad_request("the parameter name is missing; add ?name=pins_by_category"));
    }
    let unnamed = || QuestionName::parse(UNNAMED_QUESTION).map_err(|error| ApiError::bad_request(error.to_string()));
    Ok(EditParams { name: name.map_or_else(unnamed, Ok)?, action })
}

fn parse_flag(key: &str, value: &str) -> Result<bool, ApiError> {
    value.parse().map_err(|_| ApiError::bad_request(format!("{key} must be true or false")))
}

fn parse_row_limit(value: &str) -> Result<usize, ApiError> {
    value.parse().map_err(|_| ApiError::bad_request("limit must be a whole number from 0"))
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
    use std::sync::Arc;

    use pinflow_dataflows::answer::{AnswerSchema, bool_column, double_column, long_column, text_column, time_column};
    use pinflow_dataflows::graph::GraphOptions;
    use pinflow_dataflows::questions::QuestionSet;

    use super::*;

    fn question(columns: &[AnswerColumn]) -> Question {
        let built_in = QuestionSet::built_in(GraphOptions::default());
        let (_, other) = built_in.iter().next().unwrap();
        let schema = Arc::new(AnswerSchema::new(columns.to_vec(), 0, Vec::new()).unwrap());
        Question { schema, ..Question::clone(other) }
    }

    #[test]
    fn separator_is_one_of_four_and_for_single_answers_only() {
        let question = question(&[text_column("category")]);
        let question = Some(&question);
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

    #[test]
    fn question_is_added_only_with_a_name_and_one_action() {
        let action = |query: &str| parse_edit_params(Some(query)).map(|params| params.action).ok();
        assert_eq!(action("name=mine"), Some(EditAction::Add));
        assert_eq!(action("name=mine&replace=true"), Some(EditAction::Replace));
        assert_eq!(action("name=mine&replace=false"), Some(EditAction::Add));
        assert_eq!(action("dry_run=true"), Some(EditAction::DryRun));
        assert_eq!(action("try=true&limit=3"), Some(EditAction::Try { limit: Some(3) }));
        for refused in [
            "",
            "replace=true",
            "name=a-b",
            "name=mine&replace=yes",
            "name=mine&limit=3",
            "dry_run=true&try=true",
            "try=true&limit=-1",
            "name=mine&sql=x",
        ] {
            assert_eq!(action(refused), None, "{refused}");
        }
    }

    #[test]
    fn filter_selects_rows_by_columns_of_every_type_and_by_null() {
        let columns = [
            bool_column("is_video").or_null(),
            time_column("first").or_null(),
            double_column("y"),
            long_column("n"),
            text_column("a & b"),
        ];
        let row = AnswerRow::new([
            AnswerCell::Bool(true),
            AnswerCell::time(1_580_457_600_500_000),
            AnswerCell::Double(0.0),
            AnswerCell::Long(-3),
            AnswerCell::text("="),
        ]);
        let empty = AnswerRow::new([
            AnswerCell::Null,
            AnswerCell::Null,
            AnswerCell::Double(1.5),
            AnswerCell::Long(0),
            AnswerCell::text(""),
        ]);
        let question = question(&columns);
        let selected = |query: &str| {
            let filter = parse_answer_params(Some(query), Some(&question)).unwrap().filter;
            (filter.matches_row(&row), filter.matches_row(&empty))
        };
        let cases = [
            ("is_video=true", (true, false)),
            ("is_video=false", (false, false)),
            ("null=is_video", (false, true)),
            ("null=is_video&is_video=true", (true, true)),
            ("null=is_video&n=-3", (false, false)),
            ("first=2020-01-31T08:00:00.5Z", (true, false)),
            ("first=2020-01-31T09:00:00.500%2B01:00", (true, false)),
            ("y=-0.0", (true, false)),
            ("y=1.50", (false, true)),
            ("n=-3", (true, false)),
            ("a+%26+b=%3D", (true, false)),
            ("a+%26+b=", (false, true)),
            ("filter.n=0", (false, true)),
        ];
        for (query, expected) in cases {
            assert_eq!(selected(query), expected, "{query}");
        }
        for query in ["is_video=1", "first=2020-01-31", "first=yesterday", "y=NaN", "n=1.5", "null=m", "null=", "m=1"] {
            assert_eq!(parse_answer_params(Some(query), Some(&question)).unwrap_err().status, 400, "{query}");
        }
    }

    #[test]
    fn column_named_as_a_parameter_is_filtered_with_a_prefix() {
        let columns = [text_column("read"), text_column("filter.read"), text_column("null"), text_column("x")];
        let question = question(&columns);
        let filter = |query: &str| parse_answer_params(Some(query), Some(&question)).unwrap().filter.0;
        for (at, column) in columns.iter().enumerate() {
            let name = filter_name(&column.name);
            assert_eq!(filter(&format!("{name}=v")), [(at, vec![AnswerCell::text("v")])], "{name}");
        }
        assert_eq!(filter("null=x"), [(3, vec![AnswerCell::Null])]);
    }
}
