//! Which expressions take the place of columns.

use std::collections::BTreeMap;

use super::derive_columns;
use crate::bind::bind_question;
use crate::catalog::{PIN_RELATION, POSTS};
use crate::datum::SqlType;
use crate::plan::QueryPlan;
use crate::prune::prune_columns;

/// The types of what is read of the relation `pin`, in the order of the scans, without held columns.
fn pin_types(text: &str) -> Vec<SqlType> {
    let bound = bind_question("question", text, &POSTS, &BTreeMap::new()).unwrap_or_else(|error| panic!("{error}"));
    let derived = prune_columns(derive_columns(bound.plan.clone(), &POSTS));
    assert_eq!(derived.types(), bound.plan.types(), "{text}");
    let mut types = Vec::new();
    collect_types(&derived, &mut types);
    types
}

fn collect_types(plan: &QueryPlan, types: &mut Vec<SqlType>) {
    if let QueryPlan::Scan { relation: PIN_RELATION, columns } = plan {
        let reads_held = |column: &&crate::expr::ScalarExpr| match column.kind {
            crate::expr::ExprKind::Column(index) => !POSTS.relations[PIN_RELATION].columns[index].held,
            _ => true,
        };
        types.extend(columns.iter().filter(reads_held).map(|column| column.ty));
    }
    plan.inputs().into_iter().for_each(|input| collect_types(input, types));
}

#[test]
fn text_that_is_only_read_in_expressions_is_replaced_by_their_values() {
    use SqlType::{Bool, Long, Text, Texts};
    let cases: &[(&str, &[SqlType])] = &[
        ("SELECT count(*) FILTER (WHERE title IS NULL) FROM pin", &[Bool]),
        ("SELECT category, sum(length(description)) FROM pin GROUP BY category", &[Long]),
        ("SELECT count(*) FROM pin JOIN geo USING (ind) WHERE title LIKE 'a%' AND description IS NOT NULL", &[Bool]),
        (
            "SELECT tag, count(*) FROM (SELECT unnest(string_split(tag_list, ',')) AS tag FROM pin) GROUP BY tag",
            &[Texts],
        ),
        ("SELECT length(t) FROM (SELECT title AS t FROM pin) WHERE t IS NOT NULL", &[Bool, Long]),
        ("SELECT ind, title FROM pin WHERE title IS NOT NULL", &[Text]),
        ("SELECT DISTINCT title FROM pin WHERE length(title) > 3", &[Text]),
        ("SELECT max(title), sum(length(title)), sum(length(description)) FROM pin", &[Text, Long]),
        ("SELECT ind, length(title) FROM pin ORDER BY ind LIMIT 3", &[Long]),
    ];
    for (text, expected) in cases {
        let mut types = pin_types(text);
        types.sort_by_key(|ty| ty.name());
        let mut expected = expected.to_vec();
        expected.sort_by_key(|ty| ty.name());
        assert_eq!(types, expected, "{text}");
    }
}

#[test]
fn value_in_a_row_without_partner_is_kept() {
    use SqlType::{Bool, Long, Text};
    let join = "FROM geo LEFT JOIN pin USING (ind)";
    assert_eq!(pin_types(&format!("SELECT length(title) {join}")), [Long], "null of null");
    assert_eq!(pin_types(&format!("SELECT title IS NULL {join}")), [Bool], "true of null, and never null by itself");
    assert_eq!(pin_types(&format!("SELECT coalesce(title, 'a') {join}")), [Text], "another value of null");
}
