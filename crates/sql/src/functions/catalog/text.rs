//! Functions of texts.

use crate::datum::SqlType;
use crate::functions::FunctionSpec as Spec;
use crate::functions::ParameterType::{AnyAsText, Exactly, Regex, RegexFlags};
use crate::functions::ResultType::Always;
use crate::functions::signature::{ParameterType, ResultType};
use crate::functions::{patterns, text};

const TEXT: ParameterType = Exactly(SqlType::Text);
const LONG: ParameterType = Exactly(SqlType::Long);
const IS_TEXT: ResultType = Always(SqlType::Text);
const IS_LONG: ResultType = Always(SqlType::Long);
const IS_BOOL: ResultType = Always(SqlType::Bool);
const IS_TEXTS: ResultType = Always(SqlType::Texts);

pub(super) static FUNCTIONS: &[Spec] = &[
    Spec::new("lower", &[TEXT], IS_TEXT, text::lower)
        .aliases(&["lcase"])
        .doc("All letters in lower case.", "lower('ÄB')", "äb"),
    Spec::new("upper", &[TEXT], IS_TEXT, text::upper)
        .aliases(&["ucase"])
        .doc("All letters in upper case.", "upper('äb')", "ÄB"),
    Spec::new("initcap", &[TEXT], IS_TEXT, text::initcap).doc(
        "The first letter of each word in upper case, the others in lower case.",
        "initcap('travel AND food')",
        "Travel And Food",
    ),
    Spec::new("length", &[TEXT], IS_LONG, text::length)
        .aliases(&["len", "char_length", "character_length"])
        .doc("The number of characters.", "length('äb')", "2"),
    Spec::new("octet_length", &[TEXT], IS_LONG, text::octet_length)
        .aliases(&["strlen", "byte_length"])
        .doc("The number of bytes in UTF-8.", "octet_length('äb')", "3"),
    Spec::new("bit_length", &[TEXT], IS_LONG, text::bit_length).doc(
        "The number of bits in UTF-8.",
        "bit_length('ab')",
        "16",
    ),
    Spec::new("trim", &[TEXT, TEXT], IS_TEXT, text::trim)
        .aliases(&["btrim"])
        .optional(1)
        .doc("Without spaces, or without the given characters, at both ends.", "trim('xxaxbx', 'x')", "axb"),
    Spec::new("ltrim", &[TEXT, TEXT], IS_TEXT, text::trim_start).optional(1).doc(
        "Without spaces, or without the given characters, at the start.",
        "ltrim('  ab ')",
        "ab ",
    ),
    Spec::new("rtrim", &[TEXT, TEXT], IS_TEXT, text::trim_end).optional(1).doc(
        "Without spaces, or without the given characters, at the end.",
        "rtrim('a1b12', '12')",
        "a1b",
    ),
    Spec::new("substring", &[TEXT, LONG, LONG], IS_TEXT, text::substring)
        .aliases(&["substr", "mid"])
        .optional(1)
        .doc(
            "The part from a position, at most so many characters long. Positions are from 1; a negative one counts from the end.",
            "substring('travel', 2, 3)",
            "rav",
        ),
    Spec::new("left", &[TEXT, LONG], IS_TEXT, text::left).doc(
        "The first characters; for a negative number all but so many at the end.",
        "left('travel', 2)",
        "tr",
    ),
    Spec::new("right", &[TEXT, LONG], IS_TEXT, text::right).doc(
        "The last characters; for a negative number all but so many at the start.",
        "right('travel', 2)",
        "el",
    ),
    Spec::new("||", &[AnyAsText, AnyAsText], IS_TEXT, text::concat).doc(
        "Both values as one text; null if one is null. Written between them.",
        "'ab' || 'c'",
        "abc",
    ),
    Spec::new("concat", &[AnyAsText], IS_TEXT, text::concat).repeated().with_nulls().doc(
        "All values as one text. A null counts as an empty text, as in DuckDB and Postgres; in Spark it makes the result null.",
        "concat('a', NULL, 1)",
        "a1",
    ),
    Spec::new("concat_ws", &[TEXT, AnyAsText], IS_TEXT, text::concat_ws).repeated().with_nulls().doc(
        "All values but nulls as one text, with the first argument between them.",
        "concat_ws('-', 'a', NULL, 'b')",
        "a-b",
    ),
    Spec::new("replace", &[TEXT, TEXT, TEXT], IS_TEXT, text::replace).doc(
        "With all places of the second text replaced by the third one.",
        "replace('travel', 've', 'x')",
        "traxl",
    ),
    Spec::new("translate", &[TEXT, TEXT, TEXT], IS_TEXT, text::translate).doc(
        "With each character of the second text replaced by the one at the same position of the third text, or removed.",
        "translate('12.5k', '.k', ',')",
        "12,5",
    ),
    Spec::new("reverse", &[TEXT], IS_TEXT, text::reverse).doc("The characters backwards.", "reverse('abc')", "cba"),
    Spec::new("repeat", &[TEXT, LONG], IS_TEXT, text::repeat).doc(
        "The text so many times.",
        "repeat('ab', 3)",
        "ababab",
    ),
    Spec::new("space", &[LONG], IS_TEXT, text::space).doc("So many spaces.", "'a' || space(2) || 'b'", "a  b"),
    Spec::new("lpad", &[TEXT, LONG, TEXT], IS_TEXT, text::pad_left).optional(1).doc(
        "Cut or filled at the start, with spaces or the given text, to a number of characters.",
        "lpad('7', 3, '0')",
        "007",
    ),
    Spec::new("rpad", &[TEXT, LONG, TEXT], IS_TEXT, text::pad_right).optional(1).doc(
        "Cut or filled at the end, with spaces or the given text, to a number of characters.",
        "rpad('ab', 4, '.')",
        "ab..",
    ),
    Spec::new("starts_with", &[TEXT, TEXT], IS_BOOL, text::starts_with)
        .aliases(&["startswith", "prefix"])
        .doc("Whether the text starts with the other one.", "starts_with('travel', 'tr')", "true"),
    Spec::new("ends_with", &[TEXT, TEXT], IS_BOOL, text::ends_with)
        .aliases(&["endswith", "suffix"])
        .doc("Whether the text ends with the other one.", "ends_with('travel', 'el')", "true"),
    Spec::new("contains", &[TEXT, TEXT], IS_BOOL, text::contains).doc(
        "Whether the text contains the other one.",
        "contains('travel', 'rave')",
        "true",
    ),
    Spec::new("instr", &[TEXT, TEXT], IS_LONG, text::instr)
        .aliases(&["strpos"])
        .doc("The position of the first place of the second text in the first one, or 0.", "instr('travel', 'a')", "3"),
    Spec::new("position", &[TEXT, TEXT, LONG], IS_LONG, text::locate)
        .aliases(&["locate", "charindex"])
        .optional(1)
        .doc(
            "The position of the first place of the first text in the second one, from a position on, or 0. Also `position(x IN y)`.",
            "position('a', 'travel')",
            "3",
        ),
    Spec::new("string_split", &[TEXT, TEXT], IS_TEXTS, text::split)
        .aliases(&["split", "str_split", "string_to_array"])
        .doc(
            "The parts between the separator, which is a text. (Spark's `split` takes a regular expression: see `regexp_split_to_array`.)",
            "string_split('a,b,,c', ',')",
            "[a, b, , c]",
        ),
    Spec::new("split_part", &[TEXT, TEXT, LONG], IS_TEXT, text::split_part).doc(
        "A part between the separator by its number, from 1 or from the end by a negative number; else an empty text.",
        "split_part('a,b,c', ',', 2)",
        "b",
    ),
    Spec::new("substring_index", &[TEXT, TEXT, LONG], IS_TEXT, text::substring_index).doc(
        "What is before the n-th separator; for a negative n what is after the n-th one from the end.",
        "substring_index('www.example.org', '.', 2)",
        "www.example",
    ),
    Spec::new("ascii", &[TEXT], IS_LONG, text::code_of_first)
        .aliases(&["unicode", "ord"])
        .doc("The Unicode number of the first character; 0 if there is none.", "ascii('A')", "65"),
    Spec::new("chr", &[LONG], IS_TEXT, text::char_of_code)
        .aliases(&["char"])
        .doc("The character of this Unicode number.", "chr(65)", "A"),
    Spec::new("regexp_matches", &[TEXT, Regex, RegexFlags], IS_BOOL, patterns::matches_anywhere)
        .aliases(&["regexp_like", "rlike", "regexp"])
        .optional(1)
        .doc(
            "Whether a part of the text matches a regular expression. Flags: i ignores case, s lets `.` match a line end, m lets ^ and $ match at lines.",
            "regexp_matches('Travel', '^t', 'i')",
            "true",
        ),
    Spec::new("regexp_full_match", &[TEXT, Regex, RegexFlags], IS_BOOL, patterns::matches_whole).optional(1).doc(
        "Whether the whole text matches a regular expression.",
        "regexp_full_match('123k', '[0-9]+')",
        "false",
    ),
    Spec::new("regexp_extract", &[TEXT, Regex, LONG], IS_TEXT, patterns::extract_first)
        .aliases(&["regexp_substr"])
        .optional(1)
        .doc(
            "The first match, or a group of it; an empty text if there is none. Without a number the whole match, as in DuckDB; in Spark the first group.",
            "regexp_extract('id=42;', 'id=([0-9]+)', 1)",
            "42",
        ),
    Spec::new("regexp_extract_all", &[TEXT, Regex, LONG], IS_TEXTS, patterns::extract_all).optional(1).doc(
        "All matches, or a group of each.",
        "regexp_extract_all('a1b22', '[0-9]+')",
        "[1, 22]",
    ),
    Spec::new("regexp_replace", &[TEXT, Regex, TEXT, RegexFlags], IS_TEXT, patterns::replace_matches).optional(1).doc(
        "With the first match replaced, or all with the flag g, as in DuckDB and Postgres. (Spark replaces all: see `regexp_replace_all`.) Groups are \\1 or $1.",
        "regexp_replace('a1b22', '[0-9]+', '#', 'g')",
        "a#b#",
    ),
    Spec::new("regexp_replace_all", &[TEXT, Regex, TEXT], IS_TEXT, patterns::replace_all_matches).doc(
        "With all matches replaced. Groups are \\1 or $1.",
        "regexp_replace_all('a1b22', '[0-9]+', '#')",
        "a#b#",
    ),
    Spec::new("regexp_count", &[TEXT, Regex], IS_LONG, patterns::count_matches).doc(
        "The number of matches.",
        "regexp_count('a1b22', '[0-9]+')",
        "2",
    ),
    Spec::new("regexp_split_to_array", &[TEXT, Regex], IS_TEXTS, patterns::split_by_regex)
        .aliases(&["string_split_regex", "str_split_regex"])
        .doc("The parts between matches.", "regexp_split_to_array('a, b;c', '[,;] *')", "[a, b, c]"),
];
