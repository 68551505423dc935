//! Random rows: values come from small domains with nulls, so that ties, empty groups and missing partners are frequent.

use pinflow_sql::catalog::{GEO_RELATION, PIN_RELATION, POSTS, USER_RELATION};
use pinflow_sql::datum::{Datum, Row};

use super::RandomChoices;

/// The greatest `ind` of random tables.
pub const MAX_IND: i64 = 9;

const CATEGORIES: [&str; 4] = ["art", "christmas", "travel", "Art"];
const NAMES: [&str; 4] = ["ann", "Bob", "bob", "art"];
const COUNTRIES: [&str; 3] = ["Peru", "bob", "Åland"];
const TITLES: [&str; 5] = ["tree", "100% Wool_Hat", "", "art", "x'y"];
const TAG_LISTS: [&str; 4] = ["a,b", "b, b,c", "", "tree"];
const MEDIA: [&str; 2] = ["image", "art"];

/// Microseconds of moments around the ends of years and days.
pub const MOMENTS: [i64; 6] = [
    1_546_300_800_000_000, // 2019-01-01 00:00:00
    1_577_836_799_000_000, // 2019-12-31 23:59:59
    1_577_836_800_000_000, // 2020-01-01 00:00:00
    1_582_934_400_000_000, // 2020-02-29 00:00:00
    1_582_977_845_000_000, // 2020-02-29 12:04:05
    -86_400_000_000,       // 1969-12-31 00:00:00
];

/// Random rows of pin, geo and user, in the order of the catalog. Mostly there is at most one row of each `ind` in a
/// table; now and then rows repeat.
pub fn random_tables(choices: &mut RandomChoices) -> [Vec<Row>; 3] {
    let mut tables = [const { Vec::new() }; 3];
    let repeats = choices.chance(15);
    for (relation, rows) in tables.iter_mut().enumerate() {
        for ind in 0..=MAX_IND {
            let count = if repeats { choices.below(3) } else { usize::from(choices.chance(65)) };
            rows.extend((0..count).map(|_| random_row(relation, ind, choices)));
        }
    }
    tables
}

/// A random row of a relation.
pub fn random_row(relation: usize, ind: i64, choices: &mut RandomChoices) -> Row {
    let mut row = vec![Datum::Long(ind)];
    match relation {
        PIN_RELATION => {
            row.push(Datum::text(&format!("id-{ind}")));
            row.push(text_or_null(&TITLES, choices));
            row.push(text_or_null(&TITLES, choices));
            row.push(long_or_null(&[0, 1, 2, 3, 500], choices));
            row.push(text_or_null(&NAMES, choices));
            row.push(text_or_null(&TAG_LISTS, choices));
            row.push(text_or_null(&MEDIA, choices));
            row.push(text_or_null(&TITLES, choices));
            row.push(text_or_null(&TITLES, choices));
            row.push(text_or_null(&CATEGORIES, choices));
        }
        GEO_RELATION => {
            row.push(text_or_null(&COUNTRIES, choices));
            row.push(coordinates_or_null(choices));
            row.push(moment_or_null(choices));
        }
        USER_RELATION => {
            row.push(text_or_null(&NAMES, choices));
            row.push(long_or_null(&[1, 2, 3, 24, 60], choices));
            row.push(moment_or_null(choices));
        }
        _ => {}
    }
    row.extend([Datum::text("kafka/0"), Datum::Time(ind)]);
    assert_eq!(row.len(), POSTS.relations[relation].columns.len(), "the catalog has other columns");
    row.into_boxed_slice()
}

fn is_null(choices: &mut RandomChoices) -> bool {
    choices.chance(25)
}

fn text_or_null(domain: &[&str], choices: &mut RandomChoices) -> Datum {
    if is_null(choices) { Datum::Null } else { Datum::text(choices.pick::<&str>(domain)) }
}

fn long_or_null(domain: &[i64], choices: &mut RandomChoices) -> Datum {
    if is_null(choices) { Datum::Null } else { Datum::Long(*choices.pick(domain)) }
}

fn moment_or_null(choices: &mut RandomChoices) -> Datum {
    if is_null(choices) { Datum::Null } else { Datum::Time(*choices.pick(&MOMENTS)) }
}

fn coordinates_or_null(choices: &mut RandomChoices) -> Datum {
    if is_null(choices) {
        return Datum::Null;
    }
    let coordinate = |choices: &mut RandomChoices| *choices.pick(&[0.5, -12.25, 48.0]);
    Datum::List([coordinate(choices), coordinate(choices)].map(Datum::Double).into())
}
