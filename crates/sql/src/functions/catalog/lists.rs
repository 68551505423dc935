//! Functions of lists.

use crate::datum::SqlType;
use crate::functions::FunctionSpec as Spec;
use crate::functions::ParameterType::{AnyAlike, AnyList, Element, Exactly};
use crate::functions::ResultType::{Always, ElementOfFirst, LikeArgument, ListOfFirst};
use crate::functions::signature::{ParameterType, ResultType};
use crate::functions::{lists, text};

const TEXT: ParameterType = Exactly(SqlType::Text);
const LONG: ParameterType = Exactly(SqlType::Long);
const DOUBLES: ParameterType = Exactly(SqlType::Doubles);
const IS_TEXT: ResultType = Always(SqlType::Text);
const IS_LONG: ResultType = Always(SqlType::Long);
const IS_BOOL: ResultType = Always(SqlType::Bool);
const IS_DOUBLE: ResultType = Always(SqlType::Double);

pub(super) static FUNCTIONS: &[Spec] = &[
    Spec::new("list_value", &[AnyAlike], ListOfFirst, lists::make_list)
        .aliases(&["array", "list_pack", "make_array"])
        .repeated()
        .with_nulls()
        .doc("A list of these texts or numbers. Also `['a', 'b']`. Numbers become doubles.", "list_value('a', 'b')", "[a, b]"),
    Spec::new("list_extract", &[AnyList, LONG], ElementOfFirst, lists::element)
        .aliases(&["list_element", "array_extract", "element_at"])
        .doc(
            "The element at a position, from 1 or from the end by a negative number; null if there is none. Also `list[1]`. (In Spark `list[0]` is the first element, and `element_at(list, 1)`.)",
            "list_extract(['a', 'b'], 1)",
            "a",
        ),
    Spec::new("get", &[AnyList, LONG], ElementOfFirst, lists::element_from_zero).doc(
        "The element at a position from 0, as in Spark; null if there is none.",
        "get(['a', 'b'], 0)",
        "a",
    ),
    Spec::new("list_first", &[AnyList], ElementOfFirst, lists::first)
        .aliases(&["array_first"])
        .doc("The first element.", "list_first(['a', 'b'])", "a"),
    Spec::new("list_last", &[AnyList], ElementOfFirst, lists::last)
        .aliases(&["array_last"])
        .doc("The last element.", "list_last(['a', 'b'])", "b"),
    Spec::new("length", &[AnyList], IS_LONG, lists::length)
        .aliases(&["len", "size", "cardinality", "array_length", "array_size", "list_length"])
        .doc("The number of elements.", "length(['a', 'b'])", "2"),
    Spec::new("list_contains", &[AnyList, Element], IS_BOOL, lists::contains)
        .aliases(&["array_contains", "contains", "list_has", "array_has"])
        .doc("Whether an element is equal to the value.", "list_contains(['a', 'b'], 'b')", "true"),
    Spec::new("list_position", &[AnyList, Element], IS_LONG, lists::position)
        .aliases(&["array_position", "list_indexof", "array_indexof"])
        .doc("The position of the first element that is equal to the value, or 0.", "list_position(['a', 'b'], 'b')", "2"),
    Spec::new("array_to_string", &[AnyList, TEXT, TEXT], IS_TEXT, text::join_list)
        .aliases(&["array_join", "list_to_string"])
        .optional(1)
        .doc(
            "The elements as one text, with the second argument between them and the third one in place of nulls, which are left out otherwise.",
            "array_to_string(['a', 'b'], '-')",
            "a-b",
        ),
    Spec::new("list_distinct", &[AnyList], LikeArgument(0), lists::distinct)
        .aliases(&["array_distinct"])
        .doc("Each element once, without nulls, in the order of the list. (DuckDB: in any order.)", "list_distinct(['b', 'a', 'b'])", "[b, a]"),
    Spec::new("list_unique", &[AnyList], IS_LONG, lists::distinct_count)
        .aliases(&["array_unique"])
        .doc("The number of distinct elements that are not null.", "list_unique(['b', 'a', 'b'])", "2"),
    Spec::new("list_sort", &[AnyList], LikeArgument(0), lists::sort)
        .aliases(&["array_sort", "sort_array"])
        .doc("Ordered, nulls last.", "list_sort(['b', 'a'])", "[a, b]"),
    Spec::new("list_reverse_sort", &[AnyList], LikeArgument(0), lists::sort_descending)
        .aliases(&["array_reverse_sort"])
        .doc("Ordered from the greatest element on, nulls last.", "list_reverse_sort(['a', 'b'])", "[b, a]"),
    Spec::new("list_reverse", &[AnyList], LikeArgument(0), lists::reverse)
        .aliases(&["array_reverse", "reverse"])
        .doc("The elements backwards.", "list_reverse(['a', 'b'])", "[b, a]"),
    Spec::new("list_concat", &[AnyList], LikeArgument(0), lists::concat)
        .aliases(&["array_concat", "list_cat", "array_cat", "concat", "||"])
        .repeated()
        .doc("The elements of all lists.", "list_concat(['a'], ['b', 'c'])", "[a, b, c]"),
    Spec::new("list_slice", &[AnyList, LONG, LONG], LikeArgument(0), lists::slice)
        .aliases(&["array_slice"])
        .doc("The elements from one position to another, both included. Also `list[2:3]`.", "list_slice(['a', 'b', 'c'], 2, 3)", "[b, c]"),
    Spec::new("list_has_any", &[AnyList, AnyList], IS_BOOL, lists::has_any)
        .aliases(&["array_has_any", "arrays_overlap", "&&"])
        .doc("Whether the lists have an element in common.", "list_has_any(['a', 'b'], ['b'])", "true"),
    Spec::new("list_has_all", &[AnyList, AnyList], IS_BOOL, lists::has_all)
        .aliases(&["array_has_all"])
        .doc("Whether all elements of the second list are in the first one.", "list_has_all(['a', 'b'], ['b'])", "true"),
    Spec::new("list_intersect", &[AnyList, AnyList], LikeArgument(0), lists::intersect)
        .aliases(&["array_intersect"])
        .doc("The distinct elements that are in both lists.", "list_intersect(['a', 'b'], ['b', 'c'])", "[b]"),
    Spec::new("array_except", &[AnyList, AnyList], LikeArgument(0), lists::except)
        .aliases(&["list_except"])
        .doc("The distinct elements of the first list that are not in the second one.", "array_except(['a', 'b'], ['b'])", "[a]"),
    Spec::new("array_remove", &[AnyList, Element], LikeArgument(0), lists::remove)
        .aliases(&["list_remove"])
        .doc("Without the elements that are equal to the value.", "array_remove(['a', 'b'], 'a')", "[b]"),
    Spec::new("list_min", &[AnyList], ElementOfFirst, lists::least)
        .aliases(&["array_min"])
        .doc("The least element.", "list_min(['b', 'a'])", "a"),
    Spec::new("list_max", &[AnyList], ElementOfFirst, lists::greatest)
        .aliases(&["array_max"])
        .doc("The greatest element.", "list_max(['b', 'a'])", "b"),
    Spec::new("list_sum", &[DOUBLES], IS_DOUBLE, lists::sum).doc("The sum of the numbers.", "list_sum([1, 2.5])", "3.5"),
    Spec::new("list_avg", &[DOUBLES], IS_DOUBLE, lists::average).doc("The mean of the numbers.", "list_avg([1, 2])", "1.5"),
];
