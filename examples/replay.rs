//! Replays a recorded folder, or runs a configuration, and prints every answer as of the end.
//!
//! ```text
//! cargo run --release --example replay -- examples/recordings
//! ```

use std::io::{self, Write};
use std::path::Path;

use pinflow::Pipeline;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let source = std::env::args().nth(1).unwrap_or_else(|| "examples/recordings".to_owned());
    replay(Path::new(&source), &mut io::stdout().lock())
}

/// Runs a folder or a configuration to its end, and writes all answers as of the last epoch.
pub(crate) fn replay(source: &Path, out: &mut impl Write) -> Result<(), Box<dyn std::error::Error>> {
    let is_config = source.extension().is_some_and(|extension| extension == "toml");
    let pipeline = if is_config { Pipeline::from_config(source)? } else { Pipeline::from_folder(source) };
    let mut running = pipeline.until_caught_up().start()?;

    // After each epoch every answer is as of that epoch. This program only counts what changed.
    let (mut epochs, mut changes) = (0, 0);
    while let Some(epoch) = running.next_epoch()? {
        epochs += 1;
        changes += epoch.changes.len();
    }

    for name in pinflow::answer_names() {
        writeln!(out, "{name}")?;
        for row in running.answer(&name)? {
            writeln!(out, "  {row}")?;
        }
    }
    let read = running.stop()?;
    writeln!(out, "{} rows read, {} rejected, {changes} changes in {epochs} epochs", read.rows, read.rejected)?;
    Ok(())
}
