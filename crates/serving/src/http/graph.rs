//! `GET /graph`: the dataflow graph with its record counts.

use axum::extract::{RawQuery, State};
use axum::response::Response;
use pinflow_dataflows::graph::StateSizes;
use pinflow_dataflows::introspection::OperatorGraph;
use serde::Serialize;

use super::reply::{self, ApiError};
use super::{SharedServingState, answers, params};
use crate::answer_hub::ReadConsistency;
use pinflow_core::position::Epoch;
use pinflow_engine::EngineMetrics;

#[derive(Serialize)]
struct GraphBody {
    epoch: Epoch,
    #[serde(flatten)]
    operators: OperatorGraph,
}

/// `GET /graph`: operators and channels, with the records that each sent in this run.
pub(super) async fn get_graph(
    State(shared): State<SharedServingState>,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    params::require_no_params(query.as_deref())?;
    let view = answers::readable_view(&shared.answer_hub, ReadConsistency::Live)?;
    Ok(reply::json_response(&GraphBody {
        epoch: view.epoch,
        operators: OperatorGraph::from_logs(&shared.engine_metrics.worker_logs()),
    }))
}

/// State sizes summed over all workers.
pub(super) fn total_state_sizes(engine_metrics: &EngineMetrics) -> StateSizes {
    let mut held = StateSizes::default();
    engine_metrics.worker_logs().iter().for_each(|worker| held += worker.sizes());
    held
}
