//! `pinflow emit`: generates posts that look like real ones, replays recorded ones, or draws rows from a database, and
//! sends them to files, Kafka, Kinesis or a gateway.
//!
//! Delivery is at least once where the destination acknowledges messages (Kafka, Kinesis, a gateway). An emit that is
//! stopped reports how many messages were acknowledged, and the flags that continue it.
//!
//! A *draw* takes one row (`ind`) of the three tables: it is one message on each stream. The modules, in the order in which
//! a message passes through them:
//!
//! - `args`, `validate`: the command line, and every contradiction in it.
//! - `generate`: posts as a pure function of the configuration and the number of the draw (`rng`, `json`).
//! - `replay`, with `from_delta`: recorded messages, or rows of Delta tables, instead of generated ones.
//! - `emulator`, with `python_random`: rows drawn from a MySQL database, as the posting emulator draws them.
//! - `feed`: an endless recording of generated posts, for a pipeline in the same process.
//! - `senders`, `progress`: one thread for each destination, at the requested rate.
//! - `routes`: which streams go to which destination.
//! - `destinations`: files, Kafka, Kinesis and gateways.
//! - `delivery`, `acks`, `stop`: what was acknowledged, what is retried, and whether to stop.

mod acks;
mod args;
mod delivery;
mod destinations;
mod emulator;
mod error;
mod feed;
mod from_delta;
mod generate;
mod json;
mod progress;
mod python_random;
mod replay;
mod rng;
mod routes;
mod senders;
mod stop;
mod validate;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

pub use args::{EmitArgs, parse_number, parse_rate};
pub use destinations::OutputCompression;
pub use destinations::gateway::GatewayProtocol;
pub use emulator::{DrawMethod, TimeFormat};
pub use error::{ConnectionFileError, EmitError};
pub use feed::{FeedSettings, PostFeed};
pub use generate::{DrawOrder, WrapMode};
pub use routes::ConnectionReaders;

use delivery::DeliveryTracker;
use generate::{ComposerConfig, MalformedOptions, StatsByStream};
use progress::write_line;
use routes::RouteOpener;

use pinflow_core::user_error::UsageError;
use pinflow_storage::StorageError;

/// Runs `pinflow emit`, and reports on standard error what was sent.
///
/// `connections` reads the file of `--connection`.
///
/// # Errors
/// If the arguments contradict one another, a file exists, the destination fails, or a signal came before all that was sent
/// was acknowledged. A closed standard output is success.
pub fn run(mut args: EmitArgs, connections: &ConnectionReaders) -> Result<(), EmitError> {
    let problems = args.validate();
    if !problems.is_empty() {
        return Err(UsageError::new(problems.join("\n")).into());
    }
    args.resolve_folders().map_err(|problem| StorageError::Invalid(vec![problem]))?;
    if let Some(url) = &args.init_mysql {
        return emulator::fill_tables(&args, url);
    }
    let delivery = Arc::new(DeliveryTracker::start(args.resume_mode()).map_err(EmitError::io("listen for signals"))?);
    let opener = RouteOpener { args: &args, connections, delivery: &delivery };
    let done = if let Some(url) = args.database_url() {
        emulator::run_emulator(&args, url, &delivery, || opener.open_routes())
    } else if let Some(from) = &args.from {
        replay_posts(&opener, from)
    } else {
        generate_posts(&opener)
    };
    done.map_err(|error| match delivery.continue_hint() {
        Some(resume) if delivery.counts().sent > 0 => EmitError::Unfinished { cause: Box::new(error), resume },
        _ => error,
    })
}

fn replay_posts(opener: &RouteOpener<'_>, from: &Path) -> Result<(), EmitError> {
    let started = Instant::now();
    let sent = replay::replay_posts(opener.args, from, opener.open_routes()?, opener.delivery)?;
    report_result(opener.delivery, || replay::summary(sent, started));
    Ok(())
}

fn generate_posts(opener: &RouteOpener<'_>) -> Result<(), EmitError> {
    let RouteOpener { args, delivery, .. } = opener;
    let options =
        MalformedOptions { auto: args.is_mixed(), too_large: args.too_large, too_many_rows: args.too_many_rows };
    let config = ComposerConfig::new(args.rng_seed(), args.inds, args.order, args.wrap, args.malformed, options);
    let senders = opener.open_senders(&config)?;
    let started = Instant::now();
    let generated = generate::sum_by_stream(senders::run_senders(senders, args.rate, delivery)?);
    report_result(delivery, || summary(&generated, started.elapsed().as_secs_f64()));
    if let Some(path) = &args.manifest {
        write_manifest(path, args, &generated).map_err(EmitError::io(format!("write {}", path.display())))?;
    }
    Ok(())
}

/// Reports what was sent: everything, or what was acknowledged before a signal stopped it.
fn report_result(delivery: &DeliveryTracker, summary: impl FnOnce() -> String) {
    match delivery.stop.is_requested() {
        true => write_line(&format!("stopped: {}", delivery.report_acks())),
        false => write_line(&summary()),
    }
}

fn summary(generated: &StatsByStream, secs: f64) -> String {
    let messages: u64 = generated.values().map(|stats| stats.messages).sum();
    let bytes: u64 = generated.values().map(|stats| stats.bytes).sum();
    let rate = messages as f64 / secs.max(1e-9);
    let mut lines =
        vec![format!("{messages} messages, {:.1} MB, in {secs:.2} s: {rate:.0} a second", bytes as f64 / 1e6)];
    for (stream, stats) in generated {
        let malformed = [("rejected", &stats.rejected), ("field faults", &stats.field_faults)];
        let malformed = malformed.iter().filter(|(_, counts)| !counts.is_empty()).map(|(what, counts)| {
            let counts: Vec<String> = counts.iter().map(|(name, count)| format!("{name} {count}")).collect();
            format!("; {what}: {}", counts.join(", "))
        });
        let malformed: String = malformed.collect();
        lines.push(format!("{stream}: {} messages, {} rows{malformed}", stats.messages, stats.rows));
    }
    lines.join("\n")
}

fn write_manifest(path: &Path, args: &EmitArgs, generated: &StatsByStream) -> io::Result<()> {
    let manifest = serde_json::json!({
        "seed": args.rng_seed(),
        "inds": args.inds,
        "order": args.order,
        "skip": args.skipped_draws(),
        "draws": args.draw_count(),
        "malformed": args.malformed,
        "wrap": args.wrap,
        "streams": generated,
    });
    let mut text = serde_json::to_string_pretty(&manifest)?;
    text.push('\n');
    std::fs::write(path, text)
}
