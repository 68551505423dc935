//! `pinflow check`: reaches every source and table, writes nothing, and names every fault.

use std::io::Write;

use crate::config::{Config, SourceConfig};
use crate::sinks::delta;
use crate::sources::recording;

/// Checks a configuration and prints a line for each thing that was looked at; returns the number of faults.
///
/// # Errors
/// Only if the findings cannot be written.
pub async fn run(config: &Config, out: &mut impl Write) -> anyhow::Result<usize> {
    let mut faults = 0;
    writeln!(out, "ok     configuration of pipeline `{}`", config.pipeline)?;
    for source in &config.sources {
        let SourceConfig::Recording(recording) = source;
        match recording::plan(recording, &config.base) {
            Ok(planned) => {
                for line in planned.check() {
                    writeln!(out, "ok     {line}")?;
                }
            }
            Err(error) => {
                faults += 1;
                writeln!(out, "fault  {:#}", anyhow::Error::new(error))?;
            }
        }
    }
    match &config.tables {
        None => writeln!(out, "ok     no [tables]: answers only, nothing is kept")?,
        Some(tables) => {
            let root = tables.root(&config.base).map_err(anyhow::Error::msg)?;
            let settings = delta::Settings::new(root, &config.pipeline, tables.compression);
            for finding in delta::check(&settings).await {
                match finding {
                    Ok(line) => writeln!(out, "ok     {line}")?,
                    Err(error) => {
                        faults += 1;
                        writeln!(out, "fault  {:#}", anyhow::Error::new(error))?;
                    }
                }
            }
        }
    }
    let settings = config.engine_settings();
    writeln!(out, "ok     {} workers, epochs of {:?}", settings.workers, settings.epoch)?;
    match faults {
        0 => writeln!(out, "nothing is wrong")?,
        1 => writeln!(out, "1 fault")?,
        n => writeln!(out, "{n} faults")?,
    }
    Ok(faults)
}
