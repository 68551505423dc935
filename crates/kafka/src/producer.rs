//! Creates a producer whose owner receives a delivery report for each record.

use std::error::Error;
use std::path::Path;

use rdkafka::ClientContext;
use rdkafka::client::OAuthToken;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use rdkafka::producer::{DeliveryResult, ProducerContext, ThreadedProducer};
use rdkafka::util::IntoOpaque;

use super::client_context::{ClientPurpose, KafkaContext};
use super::connection::KafkaConnection;
use super::connection_error::KafkaConnectionError;

/// Defaults of both producers. The configuration can override them.
const PRODUCER_DEFAULTS: [(&str, &str); 3] = [
    // The default of the Java client: the same key maps to the same partition.
    ("partitioner", "murmur2_random"),
    ("queue.buffering.max.kbytes", "65536"),
    // The topic's own limit (`max.message.bytes`) decides.
    ("message.max.bytes", "104857600"),
];

/// Receives delivery reports.
pub trait DeliveryReports: Send + Sync + 'static {
    /// The value passed along with a record.
    type Opaque: IntoOpaque;

    /// Called once a record is acknowledged or has failed.
    fn on_delivery(&self, result: &DeliveryResult<'_>, of: Self::Opaque);
}

/// The callbacks of a producer: logs, errors and tokens go to `client`, delivery reports to `reports`.
pub struct DeliveryContext<R> {
    /// Handles logs, errors and token requests.
    pub client: KafkaContext,
    /// Receives the delivery reports.
    pub reports: R,
}

/// Creates a producer whose records are acknowledged by all in-sync replicas. The configuration can override
/// `settings`, but not `fixed`.
///
/// # Errors
/// If the connection is invalid.
pub fn create_producer<R: DeliveryReports>(
    connection: &KafkaConnection,
    base: &Path,
    settings: &[(&str, &str)],
    fixed: &[(&str, &str)],
    reports: R,
) -> Result<ThreadedProducer<DeliveryContext<R>>, KafkaConnectionError> {
    let (mut config, client) = connection.client_config(base, ClientPurpose::Producer)?;
    for (name, value) in PRODUCER_DEFAULTS.iter().chain(settings) {
        if config.get(name).is_none() {
            config.set(*name, *value);
        }
    }
    for (name, value) in fixed {
        config.set(*name, *value);
    }
    config.create_with_context(DeliveryContext { client, reports }).map_err(|error| connection.creation_error(&error))
}

impl<R: DeliveryReports> ClientContext for DeliveryContext<R> {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = KafkaContext::ENABLE_REFRESH_OAUTH_TOKEN;

    fn log(&self, level: RDKafkaLogLevel, fac: &str, message: &str) {
        self.client.log(level, fac, message);
    }

    fn stats_raw(&self, statistics: &[u8]) {
        self.client.stats_raw(statistics);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.client.error(error, reason);
    }

    fn generate_oauth_token(&self, config: Option<&str>) -> Result<OAuthToken, Box<dyn Error>> {
        self.client.generate_oauth_token(config)
    }
}

impl<R: DeliveryReports> ProducerContext for DeliveryContext<R> {
    type DeliveryOpaque = R::Opaque;

    fn delivery(&self, result: &DeliveryResult<'_>, of: R::Opaque) {
        self.reports.on_delivery(result, of);
    }
}
