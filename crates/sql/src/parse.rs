//! The text of a question, parsed: exactly one SELECT, of bounded length and depth.

use sqlparser::ast::{Query, Statement};
use sqlparser::keywords::Keyword;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Location, Span, Token, TokenWithSpan, Tokenizer};

use crate::diagnostics::{QuestionProblem, TextSpan};
use crate::dialect::QuestionDialect;

/// The greatest length of a question's text, bytes.
pub(crate) const MAX_TEXT_BYTES: usize = 64 * 1024;
/// How deep parentheses, CASE and the like can be nested.
const MAX_NESTING: usize = 24;
/// How deep brackets and braces can be nested. The parser tries them as types first, and takes twice as long for each.
const MAX_BRACKET_NESTING: usize = 3;
/// How deep a tree the operators of a text can make. A chain `a + b + …` makes a tree as deep as it is long.
const MAX_OPERATOR_DEPTH: usize = 150;
/// The same for chains of AND and OR, which are flattened before anything else walks over them.
const MAX_CONDITION_DEPTH: usize = 1500;

/// The lines of a text, to turn the parser's places into ours.
#[derive(Debug)]
pub(crate) struct TextLines {
    /// The number of characters of each line.
    widths: Vec<usize>,
}

impl TextLines {
    pub(crate) fn new(text: &str) -> TextLines {
        TextLines { widths: text.lines().map(|line| line.chars().count()).collect() }
    }

    /// The place of a node. `None` if the parser did not keep it.
    pub(crate) fn text_span(&self, span: Span) -> Option<TextSpan> {
        let (line, column) = line_and_column(span.start)?;
        let line_end = self.widths.get(line - 1).map_or(column + 1, |width| width + 1);
        let end = match line_and_column(span.end) {
            Some((last, end)) if last == line => end.min(line_end),
            _ => line_end,
        };
        Some(TextSpan { line, column, width: end.saturating_sub(column).max(1) })
    }

    fn at_location(&self, location: Location) -> Option<TextSpan> {
        self.text_span(Span { start: location, end: location })
    }
}

fn line_and_column(location: Location) -> Option<(usize, usize)> {
    let line = usize::try_from(location.line).ok().filter(|line| *line > 0)?;
    let column = usize::try_from(location.column).ok().filter(|column| *column > 0)?;
    Some((line, column))
}

/// Parses the text of a question.
///
/// # Errors
///
/// One problem: the first that the parser stumbles over.
pub(crate) fn parse_question(text: &str, lines: &TextLines) -> Result<Query, QuestionProblem> {
    if text.len() > MAX_TEXT_BYTES {
        return Err(whole(format!(
            "a question has at most {MAX_TEXT_BYTES} bytes of text; this one has {}",
            text.len()
        )));
    }
    let tokens = tokenize(text, lines)?;
    check_depth(&tokens, lines)?;
    let dialect = QuestionDialect::default();
    let parser = Parser::new(&dialect).with_recursion_limit(2 * MAX_NESTING + 2);
    let mut parser = parser.with_tokens_with_locations(tokens.clone());
    let statements = parser.parse_statements().map_err(|error| syntax_problem(&error, &tokens, lines))?;
    single_query(statements, &tokens, lines)
}

fn whole(message: impl Into<String>) -> QuestionProblem {
    QuestionProblem { span: None, message: message.into() }
}

fn tokenize(text: &str, lines: &TextLines) -> Result<Vec<TokenWithSpan>, QuestionProblem> {
    let tokens = Tokenizer::new(&QuestionDialect::default(), text).tokenize_with_location();
    let mut tokens = tokens.map_err(|error| QuestionProblem {
        span: lines.at_location(error.location),
        message: tokenizer_message(&error.message),
    })?;
    tokens.retain(|token| !matches!(token.token, Token::Whitespace(_)));
    // `user` is a table here, and not the name of who is logged in.
    for token in &mut tokens {
        if let Token::Word(word) = &mut token.token
            && word.keyword == Keyword::USER
        {
            word.keyword = Keyword::NoKeyword;
        }
    }
    Ok(tokens)
}

fn tokenizer_message(message: &str) -> String {
    if message.starts_with("Unterminated string") {
        return "this text has no closing quote".to_owned();
    }
    if message.contains("delimited identifier") {
        return "this name has no closing quote".to_owned();
    }
    lower_first(message)
}

fn lower_first(message: &str) -> String {
    let mut letters = message.chars();
    letters.next().map(|first| first.to_lowercase().chain(letters).collect()).unwrap_or_default()
}

fn single_query(
    mut statements: Vec<Statement>,
    tokens: &[TokenWithSpan],
    lines: &TextLines,
) -> Result<Query, QuestionProblem> {
    let place = |token: Option<&TokenWithSpan>| token.and_then(|token| lines.text_span(token.span));
    if statements.len() > 1 {
        let mut rest = tokens.iter().skip_while(|token| token.token != Token::SemiColon);
        let message = "a question is one SELECT; remove the second statement, or make it a question of its own";
        let span = place(rest.find(|token| token.token != Token::SemiColon));
        return Err(QuestionProblem { span, message: message.to_owned() });
    }
    match statements.pop() {
        Some(Statement::Query(query)) => Ok(*query),
        Some(_) => {
            let verb = tokens.first().map(|token| token.token.to_string().to_uppercase()).unwrap_or_default();
            let message = format!("a question is one SELECT that reads pin, geo and user; {verb} is not possible");
            Err(QuestionProblem { span: place(tokens.first()), message })
        }
        None => Err(whole("the question is empty; write one SELECT")),
    }
}

fn syntax_problem(error: &ParserError, tokens: &[TokenWithSpan], lines: &TextLines) -> QuestionProblem {
    let text = match error {
        ParserError::RecursionLimitExceeded => return whole(too_deep()),
        ParserError::TokenizerError(text) | ParserError::ParserError(text) => text,
    };
    let (message, location) = split_location(text);
    let token = location.and_then(|location| tokens.iter().find(|token| token.span.start == location));
    let span = match token {
        Some(token) => lines.text_span(token.span),
        None => location.and_then(|location| lines.at_location(location)),
    };
    let span = span.or_else(|| tokens.last().and_then(|last| lines.text_span(last.span)));
    QuestionProblem { span, message: syntax_message(message) }
}

/// Splits the place off that the parser writes at the end of its messages.
fn split_location(text: &str) -> (&str, Option<Location>) {
    let Some((message, place)) = text.rsplit_once(" at Line: ") else { return (text, None) };
    let Some((line, column)) = place.split_once(", Column: ") else { return (text, None) };
    match (line.parse(), column.parse()) {
        (Ok(line), Ok(column)) => (message, Some(Location { line, column })),
        _ => (text, None),
    }
}

/// What to write instead of a statement that is no SELECT.
fn other_statement(keyword: &str) -> Option<&'static str> {
    match keyword.to_ascii_uppercase().as_str() {
        "PIVOT" => Some(
            "PIVOT is not possible; write one aggregate with FILTER for each column, such as \
             count(*) FILTER (WHERE category = 'art') AS art",
        ),
        "UNPIVOT" => Some("UNPIVOT is not possible; write one SELECT for each column, with UNION ALL"),
        "SUMMARIZE" => Some("SUMMARIZE is not possible; select min(x), max(x), avg(x) and count(DISTINCT x)"),
        _ => None,
    }
}

fn syntax_message(message: &str) -> String {
    let Some(rest) = message.strip_prefix("Expected: ") else { return lower_first(message) };
    let Some((expected, found)) = rest.split_once(", found: ") else { return lower_first(message) };
    let expected = match expected {
        "end of statement" => "the end of the question, an operator or a comma",
        "an SQL statement" => "SELECT or WITH",
        "SELECT, VALUES, or a subquery in the query body" => "SELECT",
        "identifier" => "a name",
        expected => expected,
    };
    if expected == "SELECT or WITH"
        && let Some(hint) = other_statement(found)
    {
        return hint.to_owned();
    }
    match found {
        "EOF" => format!("the question ends where {expected} is expected"),
        found => format!("{expected} is expected here, not `{found}`"),
    }
}

fn too_deep() -> String {
    format!(
        "this is nested too deeply: at most {MAX_NESTING} levels of parentheses and {MAX_OPERATOR_DEPTH} operators \
         in a row; give parts a name with WITH"
    )
}

/// How deep the syntax tree of one level of parentheses, or of one CASE, can become.
#[derive(Debug, Default)]
struct DepthBound {
    /// Whether it is a CASE.
    case: bool,
    /// Whether it is in brackets or braces.
    bracket: bool,
    /// Operators since the last comma, AND, OR or clause.
    run: usize,
    /// The longest run so far.
    longest_run: usize,
    /// ANDs and ORs.
    conditions: usize,
    /// The depths of the deepest level inside this one.
    inner_run: usize,
    inner_conditions: usize,
}

impl DepthBound {
    fn count_token(&mut self, token: &Token) {
        match token {
            Token::Comma | Token::SemiColon => self.run = 0,
            Token::Word(word) => self.count_keyword(word.keyword),
            Token::Number(..) | Token::SingleQuotedString(_) | Token::Placeholder(_) | Token::Period => {}
            _ => self.run += 1,
        }
        self.longest_run = self.longest_run.max(self.run);
    }

    fn count_keyword(&mut self, keyword: Keyword) {
        match keyword {
            Keyword::AND | Keyword::OR => {
                self.conditions += 1;
                self.run = 0;
            }
            Keyword::WHEN | Keyword::THEN | Keyword::ELSE => self.run = 0,
            Keyword::SELECT | Keyword::FROM | Keyword::WHERE | Keyword::ON | Keyword::GROUP | Keyword::HAVING => {
                self.run = 0;
                self.conditions = 0;
            }
            // What SELECT resets above is not what makes a chain of these deep.
            Keyword::UNION | Keyword::EXCEPT | Keyword::INTERSECT | Keyword::MINUS => self.longest_run += 1,
            Keyword::NOT | Keyword::COLLATE | Keyword::AT | Keyword::XOR | Keyword::DIV | Keyword::IS => self.run += 1,
            _ => {}
        }
    }

    fn depth(&self) -> usize {
        self.longest_run + self.inner_run
    }

    fn condition_depth(&self) -> usize {
        self.conditions + self.inner_conditions
    }
}

/// Refuses a text whose syntax tree could be too deep to be walked over, before there is one.
fn check_depth(tokens: &[TokenWithSpan], lines: &TextLines) -> Result<(), QuestionProblem> {
    let mut levels = vec![DepthBound::default()];
    // The parser does not count these itself.
    let is_interval =
        |token: &TokenWithSpan| matches!(&token.token, Token::Word(word) if word.keyword == Keyword::INTERVAL);
    if let Some(pair) = tokens.windows(2).find(|pair| pair.iter().all(is_interval)) {
        let message = "an INTERVAL needs a number and a unit: INTERVAL '7' DAY".to_owned();
        return Err(QuestionProblem { span: lines.text_span(pair[1].span), message });
    }
    for token in tokens {
        match &token.token {
            Token::LParen => levels.push(DepthBound::default()),
            Token::LBracket | Token::LBrace => levels.push(DepthBound { bracket: true, ..DepthBound::default() }),
            Token::RParen | Token::RBracket | Token::RBrace => close_level(&mut levels, false),
            Token::Word(word) if word.keyword == Keyword::CASE => {
                levels.push(DepthBound { case: true, ..DepthBound::default() });
            }
            Token::Word(word) if word.keyword == Keyword::END => close_level(&mut levels, true),
            other => count_in_last(&mut levels, other),
        }
        let operators: usize = levels.iter().map(DepthBound::depth).sum();
        let conditions: usize = levels.iter().map(DepthBound::condition_depth).sum();
        let brackets = levels.iter().filter(|level| level.bracket).count();
        if brackets > MAX_BRACKET_NESTING
            || levels.len() > MAX_NESTING
            || operators > MAX_OPERATOR_DEPTH
            || conditions > MAX_CONDITION_DEPTH
        {
            return Err(QuestionProblem { span: lines.text_span(token.span), message: too_deep() });
        }
    }
    Ok(())
}

fn count_in_last(levels: &mut [DepthBound], token: &Token) {
    if let Some(last) = levels.last_mut() {
        last.count_token(token);
    }
}

fn close_level(levels: &mut Vec<DepthBound>, case: bool) {
    if levels.len() < 2 || levels.last().is_none_or(|last| last.case != case) {
        return;
    }
    let Some(closed) = levels.pop() else { return };
    if let Some(level) = levels.last_mut() {
        level.inner_run = level.inner_run.max(closed.depth() + 1);
        level.inner_conditions = level.inner_conditions.max(closed.condition_depth());
    }
}
