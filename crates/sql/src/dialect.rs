//! The syntax that questions are written in: what Spark, DuckDB and Postgres have in common, and their own forms where
//! these do not contradict each other.

use std::any::TypeId;
use std::cell::Cell;

use sqlparser::ast::{BinaryOperator, Expr};
use sqlparser::dialect::{Dialect, GenericDialect};
use sqlparser::keywords::Keyword;
use sqlparser::parser::{Parser, ParserError};

/// How often the parser may begin to parse an expression. It tries several readings of what it does not understand,
/// each within the others, so that some wrong texts would take it years.
const MAX_ATTEMPTS: u32 = 50_000;

/// The parser's settings, for one text. It counts as the parser's generic dialect, with more of what other dialects
/// allow.
#[derive(Debug, Default)]
pub(crate) struct QuestionDialect {
    attempts: Cell<u32>,
}

/// Implements methods of [`Dialect`] that say yes.
macro_rules! allow {
    ($($method:ident),+ $(,)?) => {
        $(fn $method(&self) -> bool {
            true
        })+
    };
}

impl Dialect for QuestionDialect {
    fn dialect(&self) -> TypeId {
        TypeId::of::<GenericDialect>()
    }

    fn is_delimited_identifier_start(&self, first: char) -> bool {
        first == '"' || first == '`'
    }

    fn is_identifier_start(&self, first: char) -> bool {
        first.is_alphabetic() || first == '_'
    }

    fn is_identifier_part(&self, part: char) -> bool {
        part.is_alphanumeric() || part == '_'
    }

    fn parse_prefix(&self, _parser: &mut Parser<'_>) -> Option<Result<Expr, ParserError>> {
        self.attempts.set(self.attempts.get() + 1);
        // The only error that the parser does not take as a reason to try something else.
        (self.attempts.get() > MAX_ATTEMPTS).then_some(Err(ParserError::RecursionLimitExceeded))
    }

    fn parse_infix(&self, parser: &mut Parser<'_>, left: &Expr, precedence: u8) -> Option<Result<Expr, ParserError>> {
        // The parser itself takes all that follows, `a IS DISTINCT FROM b OR c`, as the right operand.
        if parser.parse_keywords(&[Keyword::IS, Keyword::DISTINCT, Keyword::FROM]) {
            let right = parser.parse_subexpr(precedence);
            return Some(right.map(|right| Expr::IsDistinctFrom(Box::new(left.clone()), Box::new(right))));
        }
        if parser.parse_keywords(&[Keyword::IS, Keyword::NOT, Keyword::DISTINCT, Keyword::FROM]) {
            let right = parser.parse_subexpr(precedence);
            return Some(right.map(|right| Expr::IsNotDistinctFrom(Box::new(left.clone()), Box::new(right))));
        }
        if parser.parse_keyword(Keyword::DIV) {
            let op = BinaryOperator::MyIntegerDivide;
            let right = parser.parse_subexpr(precedence);
            return Some(right.map(|right| Expr::BinaryOp {
                left: Box::new(left.clone()),
                op,
                right: Box::new(right),
            }));
        }
        None
    }

    allow!(
        allow_extract_custom,
        allow_extract_single_quotes,
        support_map_literal_syntax,
        supports_bang_not_operator,
        supports_bitwise_shift_operators,
        supports_comma_separated_trim,
        supports_cte_without_as,
        supports_dictionary_syntax,
        supports_extract_comma_syntax,
        supports_filter_during_aggregation,
        supports_from_first_select,
        supports_group_by_expr,
        supports_group_by_with_modifier,
        supports_in_empty_list,
        supports_interval_options,
        supports_lambda_functions,
        supports_left_associative_joins_without_parens,
        supports_limit_comma,
        supports_named_fn_args_with_assignment_operator,
        supports_nested_comments,
        supports_notnull_operator,
        supports_numeric_literal_underscores,
        supports_order_by_all,
        supports_parens_around_table_factor,
        supports_projection_trailing_commas,
        supports_select_item_multi_column_alias,
        supports_select_wildcard_except,
        supports_select_wildcard_exclude,
        supports_select_wildcard_rename,
        supports_select_wildcard_replace,
        supports_string_escape_constant,
        supports_struct_literal,
        supports_values_as_table_factor,
        supports_window_clause_named_window_reference,
        supports_window_function_null_treatment_arg,
    );
}
