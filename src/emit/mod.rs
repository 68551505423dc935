//! `pinflow emit`: makes posts that look like real ones, for recordings and tests of any size, and sends recorded ones
//! again.
//!
//! The rooms, in the order a message walks through them:
//!
//! - `args`, `faults`: what was typed becomes what is meant, or is refused;
//! - `draws`: which row each draw takes;
//! - `posts`, with `people`, `texts`, `vocabulary` and `proportions`: what the messages of a row say;
//! - `malformed`, `wrap`: what happens to them on the way;
//! - `composer`: puts these together for one stream, and counts;
//! - `lanes`, `progress`: one thread a destination, at the wanted rate;
//! - `delivery`, `acks`, `stop`: what was acknowledged, what is retried, and when to stop;
//! - `resend`, with `restore`: recorded messages, or the rows of tables, in the place of made ones;
//! - `emulator`, with `python`: rows drawn from a database in the place of made ones, as the original does;
//! - `destinations`: where messages go.
//!
//! A message is a pure function of the arguments and the number of its draw: `dice` remember nothing. So any part of a
//! recording can be made alone, and two runs agree to the byte.

mod acks;
mod args;
mod composer;
mod delivery;
mod destinations;
mod dice;
mod draws;
mod emulator;
mod faults;
mod json;
mod lanes;
mod malformed;
mod people;
mod posts;
mod progress;
mod proportions;
mod python;
mod resend;
mod restore;
mod stop;
mod tally;
mod texts;
mod vocabulary;
mod wrap;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, anyhow, bail};
use pinflow_dataflows::record::Stream;

pub use args::EmitArgs;
pub use destinations::Compress;
pub use destinations::gateway::Bodies;
pub use draws::Order;
pub use emulator::{Draws, Times};
pub use wrap::Wrap;

use acks::DestinationAcks;
use composer::{Composer, Recipe};
use delivery::Delivery;
use destinations::gateway::Gateway;
use destinations::kafka::{self, Cluster};
use destinations::kinesis::{self, Region};
use lanes::Lane;
use malformed::Menu;
use progress::write_line;
use resend::Outlet;
use tally::Tallies;

use crate::objects::ObjectsError;
use crate::usage::UsageError;

/// Makes what was asked for. Says what it made on standard error.
///
/// # Errors
/// If the arguments contradict one another, a file is there already, writing fails, or a signal came before all that was
/// sent was acknowledged. Nobody reading standard output any more is success.
pub fn run(mut args: EmitArgs) -> anyhow::Result<()> {
    let faults = args.faults();
    if !faults.is_empty() {
        return Err(UsageError::new(faults.join("\n")).into());
    }
    args.resolve_folders().map_err(|fault| ObjectsError::Faulty(vec![fault]))?;
    if let Some(url) = &args.init_mysql {
        return emulator::fill(&args, url);
    }
    let delivery = Arc::new(Delivery::start(args.continuation()).context("listen for signals")?);
    let done = if let Some(url) = args.database() {
        emulator::run(&args, url, &delivery, || outlets(&args, &delivery))
    } else if let Some(from) = &args.from {
        send_again(&args, from, &delivery)
    } else {
        make(&args, &delivery)
    };
    done.map_err(|error| match delivery.continuation() {
        Some(how) if delivery.counts().sent > 0 => anyhow!("{error:#}\n{how}"),
        _ => error,
    })
}

fn send_again(args: &EmitArgs, from: &Path, delivery: &Arc<Delivery>) -> anyhow::Result<()> {
    let started = Instant::now();
    let sent = resend::run(args, from, outlets(args, delivery)?, delivery)?;
    conclude(delivery, || resend::summary(sent, started));
    Ok(())
}

/// Says what was done: all, or what was acknowledged when a signal came.
fn conclude(delivery: &Delivery, summary: impl FnOnce() -> String) {
    match delivery.stop.is_requested() {
        true => write_line(&format!("stopped: {}", delivery.report())),
        false => write_line(&summary()),
    }
}

/// Makes posts and sends them.
fn make(args: &EmitArgs, delivery: &Arc<Delivery>) -> anyhow::Result<()> {
    let menu = Menu { auto: args.mixed(), too_large: args.too_large, too_many_rows: args.too_many_rows };
    let recipe = Recipe::new(args.seed(), args.inds, args.order, args.wrap, args.malformed, menu);
    let to_files = args.to_kafka().is_none() && args.to_kinesis().is_none() && args.to_gateway().is_none();
    let lanes = match to_files && !args.to_stdout() {
        true => file_lanes(args, &recipe, delivery)?,
        false => outlet_lanes(args, &recipe, delivery)?,
    };
    let started = Instant::now();
    let made = tally::by_stream(lanes::run(lanes, args.rate, delivery)?);
    conclude(delivery, || summary(&made, started.elapsed().as_secs_f64()));
    if let Some(path) = &args.manifest {
        write_manifest(path, args, &made).with_context(|| format!("write {}", path.display()))?;
    }
    Ok(())
}

/// A lane for each topic or stream, or for standard output.
fn outlet_lanes<'r>(args: &EmitArgs, recipe: &'r Recipe, delivery: &Arc<Delivery>) -> anyhow::Result<Vec<Lane<'r>>> {
    let lane = |outlet: Outlet| {
        let draws = args.skip()..args.skip() + args.draws();
        let composer = |stream| Composer::new(recipe, stream, draws.clone());
        let composers = outlet.streams.into_iter().map(composer).collect();
        Lane { acks: outlet.acks, destination: outlet.destination, composers }
    };
    Ok(outlets(args, delivery)?.into_iter().map(lane).collect())
}

/// The counters of a topic, stream or file that takes all draws of the emit.
fn acks_of(args: &EmitArgs, name: String, delivery: &Delivery) -> Arc<DestinationAcks> {
    // Recorded messages and rows of tables are not drawn.
    let is_drawn = args.from.is_none() || args.database().is_some();
    let is_endless = args.database().is_some() && args.count.is_none();
    let end_draw = (is_drawn && !is_endless).then(|| args.skip() + args.draws());
    delivery.destination(name, args.skip(), end_draw)
}

fn kafka_outlets(args: &EmitArgs, delivery: &Arc<Delivery>) -> anyhow::Result<Vec<Outlet>> {
    let (brokers, prefix) = args.to_kafka().unwrap_or_default();
    let (connection, base) = kafka::connection(brokers, args.connection.as_deref())?;
    let topics = args.topics(prefix);
    let with_acks = |(name, _): &(String, _)| (name.clone(), acks_of(args, format!("topic {name}"), delivery));
    let named: Vec<_> = topics.iter().map(with_acks).collect();
    let cluster = Cluster::connect(&connection, &base, args.compress, &named, &delivery.stop)?;
    let outlet = |(place, (_, streams)): (usize, (String, Vec<Stream>))| Outlet {
        acks: Arc::clone(&named[place].1),
        destination: cluster.destination(place, args.key(&streams)),
        streams,
    };
    Ok(topics.into_iter().enumerate().map(outlet).collect())
}

fn kinesis_outlets(args: &EmitArgs, prefix: &str, delivery: &Arc<Delivery>) -> anyhow::Result<Vec<Outlet>> {
    let connection = kinesis::connection(args.connection.as_deref(), args.region.as_ref(), args.endpoint.as_ref())?;
    let streams = args.kinesis_streams(prefix);
    let with_acks = |(name, _): &(String, _)| (name.clone(), acks_of(args, format!("stream {name}"), delivery));
    let named: Vec<_> = streams.iter().map(with_acks).collect();
    let region = Region::connect(connection, named.clone(), delivery)?;
    let outlet = |(place, (_, streams)): (usize, (String, Vec<Stream>))| Outlet {
        acks: Arc::clone(&named[place].1),
        destination: region.destination(place, args.key(&streams)),
        streams,
    };
    Ok(streams.into_iter().enumerate().map(outlet).collect())
}

fn gateway_outlets(args: &EmitArgs, url: &str, delivery: &Arc<Delivery>) -> anyhow::Result<Vec<Outlet>> {
    let places = args.gateway_places();
    let name = |name: &str| format!("{} {name} at {url}", args.gateway.place());
    let with_acks = |(place, _): &(String, _)| (place.clone(), acks_of(args, name(place), delivery));
    let named: Vec<_> = places.iter().map(with_acks).collect();
    let token = args.token.clone();
    let gateway = Gateway::new(url, args.gateway, token, args.ca.as_deref(), named.clone(), delivery)?;
    let outlet = |(place, (_, streams)): (usize, (String, Vec<Stream>))| Outlet {
        acks: Arc::clone(&named[place].1),
        destination: gateway.destination(place, args.key(&streams), args.key.is_some()),
        streams,
    };
    Ok(places.into_iter().enumerate().map(outlet).collect())
}

/// Where messages go.
fn outlets(args: &EmitArgs, delivery: &Arc<Delivery>) -> anyhow::Result<Vec<Outlet>> {
    if args.to_kafka().is_some() {
        return kafka_outlets(args, delivery);
    }
    if let Some(prefix) = args.to_kinesis() {
        return kinesis_outlets(args, prefix, delivery);
    }
    if let Some(url) = args.to_gateway() {
        return gateway_outlets(args, url, delivery);
    }
    if args.to_stdout() {
        let acks = acks_of(args, "standard output".to_owned(), delivery);
        let destination = destinations::stdout(args.compress, Arc::clone(&acks)).context("open standard output")?;
        return Ok(vec![Outlet { acks, streams: args.chosen(), destination }]);
    }
    std::fs::create_dir_all(args.to()).with_context(|| format!("make folder {}", args.to().display()))?;
    let open = |stream| {
        let path = destinations::path_of(args.to(), stream, args.compress);
        let acks = acks_of(args, path.display().to_string(), delivery);
        let opened = destinations::file(&path, args.exists(), args.compress, Arc::clone(&acks));
        let destination = opened.with_context(|| format!("open {}", acks.name))?;
        Ok(Outlet { acks, destination, streams: vec![stream] })
    };
    args.chosen().into_iter().map(open).collect()
}

/// One lane a file. All files are looked at before the first is opened, so that a refusal leaves nothing behind.
fn file_lanes<'r>(args: &EmitArgs, recipe: &'r Recipe, delivery: &Delivery) -> anyhow::Result<Vec<Lane<'r>>> {
    std::fs::create_dir_all(args.to()).with_context(|| format!("make folder {}", args.to().display()))?;
    let mut found = Vec::new();
    for stream in args.chosen() {
        let path = destinations::path_of(args.to(), stream, args.compress);
        if path.exists() && args.exists() == destinations::Exists::Refuse {
            bail!("{} is there already: --force overwrites it, --append continues it", path.display());
        }
        let recorded = if args.append { destinations::recorded(&path, args.compress) } else { Ok(0) };
        let recorded = recorded.with_context(|| format!("find where to continue {}", path.display()))?;
        found.push((stream, path, recorded));
    }
    let lane = |(stream, path, recorded): (Stream, std::path::PathBuf, u64)| {
        let first = args.skip() + recorded;
        let end = first + args.draws();
        let acks = delivery.destination(path.display().to_string(), first, Some(end));
        let opened = destinations::file(&path, args.exists(), args.compress, Arc::clone(&acks));
        let destination = opened.with_context(|| format!("open {}", acks.name))?;
        Ok(Lane { acks, destination, composers: vec![Composer::new(recipe, stream, first..end)] })
    };
    found.into_iter().map(lane).collect()
}

fn summary(made: &Tallies, secs: f64) -> String {
    let messages: u64 = made.values().map(|tally| tally.messages).sum();
    let bytes: u64 = made.values().map(|tally| tally.bytes).sum();
    let rate = messages as f64 / secs.max(1e-9);
    let mut lines =
        vec![format!("{messages} messages, {:.1} MB, in {secs:.2} s: {rate:.0} a second", bytes as f64 / 1e6)];
    for (stream, tally) in made {
        let spoiled = [("rejected", &tally.rejected), ("field faults", &tally.field_faults)];
        let spoiled = spoiled.iter().filter(|(_, counts)| !counts.is_empty()).map(|(what, counts)| {
            let counts: Vec<String> = counts.iter().map(|(name, count)| format!("{name} {count}")).collect();
            format!("; {what}: {}", counts.join(", "))
        });
        let spoiled: String = spoiled.collect();
        lines.push(format!("{stream}: {} messages, {} rows{spoiled}", tally.messages, tally.rows));
    }
    lines.join("\n")
}

fn write_manifest(path: &Path, args: &EmitArgs, made: &Tallies) -> anyhow::Result<()> {
    let manifest = serde_json::json!({
        "seed": args.seed(),
        "inds": args.inds,
        "order": args.order,
        "skip": args.skip(),
        "draws": args.draws(),
        "malformed": args.malformed,
        "wrap": args.wrap,
        "streams": made,
    });
    let mut text = serde_json::to_string_pretty(&manifest)?;
    text.push('\n');
    std::fs::write(path, text)?;
    Ok(())
}
