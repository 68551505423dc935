//! Replays a recorded folder through the library and prints every answer as of the end.
//!
//! ```text
//! cargo run --release --example replay -- examples/recordings
//! ```

#![allow(clippy::print_stdout, reason = "an example shows what it has")]

use std::path::Path;
use std::sync::Arc;

use pinflow::config::Config;
use pinflow::run::run_with;
use pinflow_engine::EngineMetrics;
use pinflow_serving::AnswerView;
use tokio::sync::{mpsc, watch};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let folder = std::env::args().nth(1).unwrap_or_else(|| "examples/recordings".to_owned());
    let config = Config::recording(Path::new(&folder));

    // Each frame is one epoch that has passed the whole graph: apply it, and all answers are as of that epoch.
    let (frames, mut passed) = mpsc::channel(16);
    let (_stop, stopped) = watch::channel(false);
    let running = tokio::spawn(run_with(config, frames, stopped, Arc::new(EngineMetrics::default())));
    let mut view = AnswerView::default();
    while let Some(frame) = passed.recv().await {
        view.apply(&frame);
    }
    let outcome = running.await??;

    for (question, answer) in view.answers() {
        println!("{}", question.name);
        for row in answer.rows() {
            println!("  {}", serde_json::to_string(&row.with_columns(question.columns))?);
        }
    }
    println!("{} rows read, {} rejected, as of epoch {}", outcome.totals.rows, outcome.totals.rejected, view.epoch);
    Ok(())
}
