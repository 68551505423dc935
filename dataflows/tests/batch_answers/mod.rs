//! Answers computed in batch, over the rows that count at an epoch. Shared by the tests of questions in SQL.

use std::collections::BTreeMap;

use pinflow_dataflows::answer::AnswerCell;
use pinflow_dataflows::graph::DuplicatePolicy;
use pinflow_dataflows::questions::Question;
use pinflow_dataflows::record::{Ind, Lineage};
use pinflow_sql::catalog::{GEO_RELATION, PIN_RELATION, USER_RELATION};
use pinflow_sql::datum::{Datum, Row};
use pinflow_sql::eval::FaultCounter;
use pinflow_sql::naive::{evaluate, list_answer};

use crate::histories::{RowArrival, StreamPost};

/// The answer over the rows of pin, geo and user, in listing order and without hidden cells.
pub(crate) fn batch_answer(question: &Question, tables: &[Vec<Row>; 3]) -> Vec<Vec<AnswerCell>> {
    let listed = list_answer(&question.bound, evaluate(&question.bound.plan, tables, &FaultCounter::default()));
    listed.into_iter().map(|row| row.into_iter().map(AnswerCell::from).collect()).collect()
}

/// The rows of pin, geo and user that count at the end of an epoch.
pub(crate) fn counting_rows(arrivals: &[RowArrival], duplicates: DuplicatePolicy, epoch: u64) -> [Vec<Row>; 3] {
    let mut tables = [const { Vec::new() }; 3];
    let mut latest = BTreeMap::new();
    for arrival in arrivals.iter().filter(|it| it.epoch <= epoch) {
        let (relation, ind, row) = catalog_row(&arrival.lineage, &arrival.post);
        if duplicates == DuplicatePolicy::Keep {
            tables[relation].push(row);
            continue;
        }
        let version = version_order(&arrival.lineage);
        let held = latest.entry((relation, ind)).or_insert((version.clone(), row.clone()));
        if version > held.0 {
            *held = (version, row);
        }
    }
    for ((relation, _), (_, row)) in latest {
        tables[relation].push(row);
    }
    tables
}

/// Versions by arrival, source, position and number in the message. A delivery without an arrival time is the oldest.
fn version_order(lineage: &Lineage) -> (Option<i64>, String, String, u32) {
    let Lineage { arrived_at, source, position, sub } = lineage;
    (*arrived_at, source.text().to_string(), format!("{position:020}"), *sub)
}

/// A row with all columns of its relation.
fn catalog_row(lineage: &Lineage, post: &StreamPost) -> (usize, Ind, Row) {
    let text = |value: &Option<std::borrow::Cow<'_, str>>| value.as_deref().map_or(Datum::Null, Datum::text);
    let long = |value: Option<i64>| value.map_or(Datum::Null, Datum::Long);
    let time = |value: Option<i64>| value.map_or(Datum::Null, Datum::Time);
    let (relation, ind, values) = match post {
        StreamPost::Pin(pin) => {
            let followers = long(pin.follower_count);
            let first = [text(&pin.unique_id), text(&pin.title), text(&pin.description), followers];
            let more = [&pin.poster_name, &pin.tag_list, &pin.is_image_or_video, &pin.image_src, &pin.save_location];
            let more = more.into_iter().chain([&pin.category]).map(text);
            (PIN_RELATION, pin.ind, first.into_iter().chain(more).collect::<Vec<_>>())
        }
        StreamPost::Geo(geo) => {
            let pair = |pair: [f64; 2]| Datum::List(pair.map(|it| Datum::double(it).expect("finite")).into());
            let values = [text(&geo.country), geo.coordinates.map_or(Datum::Null, pair), time(geo.timestamp)];
            (GEO_RELATION, geo.ind, values.into())
        }
        StreamPost::User(user) => {
            let values = [text(&user.user_name), long(user.age.map(i64::from)), time(user.date_joined)];
            (USER_RELATION, user.ind, values.into())
        }
    };
    let lineage = [Datum::text(&lineage.source.text()), time(lineage.arrived_at)];
    (relation, ind, [Datum::Long(ind.cast_signed())].into_iter().chain(values).chain(lineage).collect())
}
