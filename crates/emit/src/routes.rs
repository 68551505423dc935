//! Routes: which streams go to which destination.
//!
//! Kafka, Kinesis and gateways have one destination for each topic or stream, folders one for each file. Standard output,
//! and `--topic` without a key per stream, take all streams in one destination.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use pinflow_dataflows::record::Stream;

use super::acks::DestinationAcks;
use super::args::EmitArgs;
use super::delivery::DeliveryTracker;
use super::destinations::gateway::GatewayOutput;
use super::destinations::kafka::{self, KafkaOutput};
use super::destinations::kinesis::{self, KinesisOutput};
use super::destinations::{self, Destination, IfFileExists};
use super::error::{ConnectionFileError, EmitError};
use super::generate::{ComposerConfig, MessageComposer};
use super::senders::DestinationSender;

/// Reads how to connect from a configuration file: the file of `--connection`.
///
/// Passed in by the caller, so that an emit does not depend on the format of configurations.
#[derive(Debug, Clone, Copy)]
pub struct ConnectionReaders {
    /// The connection of the kafka source, and the folder that its relative paths are relative to.
    pub kafka: fn(&Path) -> Result<(pinflow_kafka::KafkaConnection, PathBuf), ConnectionFileError>,
    /// The connection of the kinesis source.
    pub kinesis: fn(&Path) -> Result<pinflow_kinesis::KinesisConnection, ConnectionFileError>,
}

/// A destination, and the streams that go there.
pub(crate) struct DestinationRoute {
    /// What was sent and acknowledged.
    pub(crate) acks: Arc<DestinationAcks>,
    pub(crate) streams: Vec<Stream>,
    pub(crate) destination: Box<dyn Destination>,
}

/// A topic or stream by its name, and the streams of posts that go there.
type NamedTargets = Vec<(String, Vec<Stream>)>;

/// Opens the destinations of the command line.
pub(crate) struct RouteOpener<'a> {
    pub(crate) args: &'a EmitArgs,
    pub(crate) connections: &'a ConnectionReaders,
    pub(crate) delivery: &'a Arc<DeliveryTracker>,
}

impl RouteOpener<'_> {
    /// Opens all destinations.
    ///
    /// # Errors
    /// If one of them cannot be reached, does not exist, or must not be overwritten.
    pub(crate) fn open_routes(&self) -> Result<Vec<DestinationRoute>, EmitError> {
        let args = self.args;
        if let Some((brokers, prefix)) = args.kafka_target() {
            return self.open_kafka(brokers, prefix);
        }
        if let Some(prefix) = args.kinesis_prefix() {
            return self.open_kinesis(prefix);
        }
        if let Some(url) = args.gateway_url() {
            return self.open_gateway(url);
        }
        if args.is_stdout() {
            let acks = self.add_acks("standard output".to_owned());
            let opened = destinations::open_stdout(args.compress, Arc::clone(&acks));
            let destination = opened.map_err(EmitError::io("open standard output"))?;
            return Ok(vec![DestinationRoute { acks, streams: args.selected_streams(), destination }]);
        }
        self.create_folder()?;
        let open = |stream| {
            let path = destinations::recording_path(args.target_path(), stream, args.compress);
            let acks = self.add_acks(path.display().to_string());
            let destination = self.open_recording(&path, &acks)?;
            Ok(DestinationRoute { acks, destination, streams: vec![stream] })
        };
        args.selected_streams().into_iter().map(open).collect()
    }

    /// Opens all destinations for generated posts, with a composer for each stream.
    ///
    /// # Errors
    /// As [`RouteOpener::open_routes`].
    pub(crate) fn open_senders<'c>(&self, config: &'c ComposerConfig) -> Result<Vec<DestinationSender<'c>>, EmitError> {
        let args = self.args;
        if args.is_folder() {
            return self.open_file_senders(config);
        }
        let draws = args.skipped_draws()..args.skipped_draws() + args.draw_count();
        let sender = |route: DestinationRoute| {
            let composer = |stream| MessageComposer::new(config, stream, draws.clone());
            let composers = route.streams.into_iter().map(composer).collect();
            DestinationSender { acks: route.acks, destination: route.destination, composers }
        };
        Ok(self.open_routes()?.into_iter().map(sender).collect())
    }

    /// Checks all files before it opens the first, so that a refusal leaves nothing behind.
    fn open_file_senders<'c>(&self, config: &'c ComposerConfig) -> Result<Vec<DestinationSender<'c>>, EmitError> {
        let args = self.args;
        self.create_folder()?;
        let mut found = Vec::new();
        for stream in args.selected_streams() {
            let path = destinations::recording_path(args.target_path(), stream, args.compress);
            if path.exists() && args.if_file_exists() == IfFileExists::Refuse {
                return Err(EmitError::FileExists(path));
            }
            let recorded = if args.append { destinations::count_recorded(&path, args.compress) } else { Ok(0) };
            let recorded = recorded.map_err(EmitError::io(format!("find where to continue {}", path.display())))?;
            found.push((stream, path, recorded));
        }
        let sender = |(stream, path, recorded): (Stream, PathBuf, u64)| {
            let first = args.skipped_draws() + recorded;
            let end = first + args.draw_count();
            let acks = self.delivery.add_destination(path.display().to_string(), first, Some(end));
            let destination = self.open_recording(&path, &acks)?;
            let composers = vec![MessageComposer::new(config, stream, first..end)];
            Ok(DestinationSender { acks, destination, composers })
        };
        found.into_iter().map(sender).collect()
    }

    fn create_folder(&self) -> Result<(), EmitError> {
        let folder = self.args.target_path();
        std::fs::create_dir_all(folder).map_err(EmitError::io(format!("make folder {}", folder.display())))
    }

    fn open_recording(&self, path: &Path, acks: &Arc<DestinationAcks>) -> Result<Box<dyn Destination>, EmitError> {
        let args = self.args;
        let opened = destinations::open_file(path, args.if_file_exists(), args.compress, Arc::clone(acks));
        opened.map_err(EmitError::io(format!("open {}", acks.name)))
    }

    fn open_kafka(&self, brokers: &str, prefix: &str) -> Result<Vec<DestinationRoute>, EmitError> {
        let args = self.args;
        let (connection, base) = match &args.connection {
            Some(path) => (self.connections.kafka)(path).map_err(EmitError::ConnectionFile)?,
            None => (kafka::plaintext_connection(brokers)?, PathBuf::new()),
        };
        let topics = args.kafka_topics(prefix);
        let named = self.add_named_acks(&topics, |name| format!("topic {name}"));
        let output = KafkaOutput::connect(&connection, &base, args.compress, &named, &self.delivery.stop)?;
        Ok(build_routes(topics, &named, |topic, streams| output.open_destination(topic, args.message_key(streams))))
    }

    fn open_kinesis(&self, prefix: &str) -> Result<Vec<DestinationRoute>, EmitError> {
        let args = self.args;
        let connection = match &args.connection {
            Some(path) => (self.connections.kinesis)(path).map_err(EmitError::ConnectionFile)?,
            None => kinesis::region_connection(args.region.as_ref(), args.endpoint.as_ref())?,
        };
        let targets = args.kinesis_streams(prefix);
        let named = self.add_named_acks(&targets, |name| format!("stream {name}"));
        let output = KinesisOutput::connect(connection, named.clone(), self.delivery)?;
        Ok(build_routes(targets, &named, |stream, streams| output.open_destination(stream, args.message_key(streams))))
    }

    fn open_gateway(&self, url: &str) -> Result<Vec<DestinationRoute>, EmitError> {
        let args = self.args;
        let targets = args.gateway_targets();
        let named = self.add_named_acks(&targets, |name| format!("{} {name} at {url}", args.gateway.target_noun()));
        let (token, ca) = (args.token.clone(), args.ca.as_deref());
        let output = GatewayOutput::new(url, args.gateway, token, ca, named.clone(), self.delivery)?;
        let has_key = args.key.is_some();
        Ok(build_routes(targets, &named, |target, streams| {
            output.open_destination(target, args.message_key(streams), has_key)
        }))
    }

    fn add_named_acks(
        &self,
        targets: &NamedTargets,
        display: impl Fn(&str) -> String,
    ) -> Vec<(String, Arc<DestinationAcks>)> {
        targets.iter().map(|(name, _)| (name.clone(), self.add_acks(display(name)))).collect()
    }

    /// The counters of a destination that takes all draws of the emit.
    fn add_acks(&self, name: String) -> Arc<DestinationAcks> {
        let args = self.args;
        // Recorded messages and rows of Delta tables are not drawn.
        let is_drawn = args.from.is_none() || args.database_url().is_some();
        let is_endless = args.database_url().is_some() && args.count.is_none();
        let end_draw = (is_drawn && !is_endless).then(|| args.skipped_draws() + args.draw_count());
        self.delivery.add_destination(name, args.skipped_draws(), end_draw)
    }
}

/// One route for each target. `open` gets the target's index and its streams.
fn build_routes(
    targets: NamedTargets,
    named: &[(String, Arc<DestinationAcks>)],
    open: impl Fn(usize, &[Stream]) -> Box<dyn Destination>,
) -> Vec<DestinationRoute> {
    let route = |(index, (_, streams)): (usize, (String, Vec<Stream>))| DestinationRoute {
        acks: Arc::clone(&named[index].1),
        destination: open(index, &streams),
        streams,
    };
    targets.into_iter().enumerate().map(route).collect()
}
