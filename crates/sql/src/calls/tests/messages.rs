//! The messages for calls that no function accepts.

use super::super::test_sql::parse_constant;
use super::*;
use crate::datum::SqlType;
use crate::expr::ScalarExpr;

fn message_of(sql: &str) -> String {
    parse_constant(sql).expect_err(sql).to_string()
}

#[test]
fn a_wrong_type_is_told_with_the_name_of_the_argument() {
    let followers = ScalarExpr::column(4, SqlType::Long);
    let error = build_call("LOWER", vec![followers.clone()]).expect_err("no text");
    assert_eq!(error.argument, Some(0));
    assert_eq!(
        error.message("follower_count"),
        "lower takes a text, and follower_count is bigint; cast(follower_count AS text) converts it"
    );
    let title = ScalarExpr::column(2, SqlType::Text);
    let error = build_call("sqrt", vec![title.clone()]).expect_err("no number");
    assert_eq!(error.message("title"), "sqrt takes a number, and title is text; cast(title AS double) converts it");
    let error = build_call("date_trunc", vec![title, followers]).expect_err("no constant");
    assert_eq!(
        error.message("title"),
        "date_trunc takes a constant unit such as 'month' as 1st argument, and title is text"
    );
}

#[test]
fn wrong_calls_are_told_what_would_work() {
    let cases = [
        ("lowr('a')", "there is no function `lowr`; did you mean `lower`?"),
        ("colesce(1)", "there is no function `colesce`; did you mean `coalesce`?"),
        ("frobnicate('a')", "there is no function `frobnicate`"),
        ("left('a')", "left does not take 1 argument: it is left(text, bigint)"),
        ("nullif(1)", "nullif does not take 1 argument: it is nullif(any, any)"),
        (
            "lpad('a', 'b')",
            "lpad takes a whole number as 2nd argument, and its 2nd argument is text; cast(its 2nd argument AS bigint) converts it",
        ),
        (
            "concat_ws(1, 'a')",
            "concat_ws takes a text as 1st argument, and its 1st argument is bigint; cast(its 1st argument AS text) converts it",
        ),
        (
            "greatest(1, 'a')",
            "greatest takes any value as 2nd argument, and its 2nd argument is text: all must have one type",
        ),
        (
            "if(1, 2, 3)",
            "if takes a condition as 1st argument, and its 1st argument is bigint; compare it, as in its 1st argument = 1",
        ),
        (
            "coalesce(1, 'a')",
            "coalesce takes values of one type, and its 2nd argument is text where another is bigint; cast one of them",
        ),
        ("year('x')", "'x' is no timestamp such as '2024-03-10 14:30:00'"),
        (
            "date_trunc('moon', '2024-03-10')",
            "there is no unit 'moon'; units are microsecond, millisecond, second, minute, hour, day, week, month, quarter, year, decade",
        ),
        (
            "date_part('moon', '2024-03-10')",
            "there is no field `moon`; fields are year, quarter, month, week, day, hour, minute, second, millisecond, microsecond, decade, dayofweek, isodow, dayofyear, isoyear, yearweek, weekday, epoch",
        ),
        ("strftime('2024-03-10', '%Q')", "a format has no code %Q"),
        ("strftime('2024-03-10', 'a%')", "a format ends with %; write %% for a percent sign"),
        (
            "date_format('2024-03-10', 'YYYY')",
            "a format has no letters `YYYY`; quote what is to stand as it is, as in 'at'",
        ),
        (
            "date_format('2024-03-10', '%Y')",
            "this takes pattern letters, as in 'yyyy-MM-dd'; strftime takes percent codes",
        ),
        ("date_format('2024-03-10', '''yyyy')", "a format has a quote that does not end"),
        ("regexp_matches('a', '(')", "'(' is no regular expression: unclosed group"),
        ("rlike('a', 'b', 'ix')", "a regular expression has no flag `x`; there are c, g, i, l, m and s"),
        ("length(1)", "its 1st argument is bigint, and the function is length(text) or length(list)"),
        (
            "list_sum(['a'])",
            "list_sum takes a list of doubles, and its 1st argument is list of text; cast(its 1st argument AS double[]) converts it",
        ),
        ("list_contains('a', 'b')", "list_contains takes a list as 1st argument, and its 1st argument is text"),
    ];
    for (call, expected) in cases {
        assert_eq!(message_of(call), expected, "{call}");
    }
}

#[test]
fn known_functions_without_a_lasting_value_are_refused_with_a_reason() {
    for (call, part) in [
        ("now()", "now has another value at every moment"),
        ("random()", "random has another value at every call"),
        ("uuid()", "uuid has another value at every call"),
        ("md5('a')", "md5 is not supported: group by the text itself"),
        ("to_char('a')", "strftime(t, '%Y-%m-%d')"),
    ] {
        assert!(message_of(call).contains(part), "{call}: {}", message_of(call));
        assert!(is_function(call.split('(').next().expect("a name")));
    }
    assert!(is_function("NVL") && is_function("Lower") && !is_function("frobnicate"));
}

#[test]
fn types_resolve_to_casts_and_a_result() {
    let call = resolve("Round", &[SqlType::Long, SqlType::Long]).expect("a function");
    assert_eq!((call.arguments, call.ty), (vec![SqlType::Long, SqlType::Long], SqlType::Long));
    let call = resolve("pow", &[SqlType::Long, SqlType::Double]).expect("a function");
    assert_eq!((call.arguments, call.ty), (vec![SqlType::Double, SqlType::Double], SqlType::Double));
    let call = resolve("list_extract", &[SqlType::Doubles, SqlType::Long]).expect("a function");
    assert_eq!(call.ty, SqlType::Double);
    let call = resolve("concat", &[SqlType::Time, SqlType::Null]).expect("a function");
    assert_eq!(call.arguments, vec![SqlType::Text, SqlType::Text]);
    assert_eq!(resolve("||", &[SqlType::Texts, SqlType::Texts]).map(|call| call.ty), Ok(SqlType::Texts));
}

#[test]
fn names_of_functions_are_not_ambiguous() {
    let mut signatures = std::collections::BTreeMap::new();
    for spec in all_functions() {
        for name in std::iter::once(&spec.name).chain(spec.aliases) {
            assert_eq!(*name, name.to_lowercase());
            assert!(special_forms().iter().all(|form| !form.names.contains(name)), "{name} is a special form");
            let before = signatures.insert(spec.signature_as(name), spec.name);
            assert_eq!(before, None, "two entries for {}", spec.signature_as(name));
        }
    }
    assert!(signatures.len() > 240, "{}", signatures.len());
}

#[test]
fn intervals_are_added_by_months_and_by_length() {
    let time = |text: &str| parse_constant(&format!("to_timestamp('{text}')")).expect("a moment");
    let text_of = |expr: ScalarExpr| match expr.fold() {
        ScalarExpr { kind: crate::expr::ExprKind::Literal(value), .. } => {
            cast_value(&value, SqlType::Text).expect("a text")
        }
        other => panic!("{other:?} is not constant"),
    };
    let interval = |text| parse_interval(text, None).expect("an interval");
    let later = |from, text| text_of(add_interval(time(from), interval(text)));
    assert_eq!(later("2024-01-31 10:00:00", "1 month 2 hours"), Datum::text("2024-02-29 12:00:00"));
    assert_eq!(later("2024-03-01", "-1 day"), Datum::text("2024-02-29 00:00:00"));
    let bucket = |from, text| text_of(time_bucket(time(from), interval(text)).expect("a bucket"));
    assert_eq!(bucket("2024-03-10 14:37:00", "15 minutes"), Datum::text("2024-03-10 14:30:00"));
    assert_eq!(bucket("2024-03-10", "1 week"), Datum::text("2024-03-04 00:00:00"));
    assert_eq!(bucket("1999-12-31", "1 quarter"), Datum::text("1999-10-01 00:00:00"));
    assert!(time_bucket(time("2024-03-10"), interval("1 month 1 day")).is_none());
    assert!(time_bucket(time("2024-03-10"), interval("0 days")).is_none());
}
