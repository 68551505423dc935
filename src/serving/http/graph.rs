//! What runs on the workers: `/graph`.

use axum::extract::{RawQuery, State};
use axum::response::Response;
use pinflow_dataflows::graph::Sizes;
use pinflow_dataflows::operators::Operators;
use serde::Serialize;

use super::reply::{self, Fault};
use super::{Shared, answers, params};
use crate::engine::Gauges;
use crate::position::Epoch;
use crate::serving::board::Read;

#[derive(Serialize)]
struct Graph {
    epoch: Epoch,
    #[serde(flatten)]
    operators: Operators,
}

/// `GET /graph`: the dataflow, with the records that went along it in this run.
pub(super) async fn graph(State(shared): State<Shared>, RawQuery(query): RawQuery) -> Result<Response, Fault> {
    params::none(query.as_deref())?;
    let view = answers::view(&shared.board, Read::Live)?;
    Ok(reply::json(&Graph { epoch: view.epoch, operators: Operators::of(&shared.gauges.watched()) }))
}

/// What all workers hold together.
pub(super) fn held(gauges: &Gauges) -> Sizes {
    let mut held = Sizes::default();
    gauges.watched().iter().for_each(|worker| held += worker.sizes());
    held
}
