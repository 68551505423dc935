//! Sends to a gateway over HTTP: each line is a record in the body of a request, acknowledged or reported as failed.
//!
//! Each topic or stream has eight queues with one request in flight each. All messages with the same key (by default
//! the `ind`) use the same queue, so they arrive in order. There is no order between keys. A request takes all records
//! that queued up during the one before: single records at the pace of the posting emulator, hundreds at a time at full
//! speed.
//!
//! Delivery is at least once: a request whose response was lost is sent again, and its records may be there twice. If a
//! gateway accepts only some records of a request, the others are retried and arrive later.
//!
//! - `protocol`: what requests look like.
//! - `response`: what responses mean.
//! - `dispatch`: sends and retries requests until each record is settled.

mod dispatch;
mod protocol;
mod response;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use url::Url;

pub use protocol::GatewayProtocol;

use super::Destination;
use super::key::{MessageKey, find_ind};
use crate::acks::DestinationAcks;
use crate::delivery::DeliveryTracker;
use crate::error::EmitError;
use dispatch::{GatewayTarget, send_queued};
use pinflow_core::secret::{Secret, SecretFrom};
use pinflow_core::user_error::UsageError;
use pinflow_http::{check_token_transport, read_ca_certificates};
use protocol::GatewayRecord;

/// Requests in flight for each topic or stream.
const CONCURRENT_REQUESTS: usize = 8;
/// Records that may wait in each queue.
const QUEUE_CAPACITY_RECORDS: usize = 500;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a response may take.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(30);
/// The environment variable of the token, unless `--token` is given.
const TOKEN_VARIABLE: &str = "PINFLOW_TOKEN";

/// Whether `--to` is the URL of a gateway.
pub(crate) fn is_url(to: &str) -> bool {
    to.starts_with("https://") || to.starts_with("http://")
}

/// A gateway, and the topics or streams to write to.
pub(crate) struct GatewayOutput {
    /// Senders are threads: their requests run here.
    runtime: Arc<Runtime>,
    shared: Arc<GatewayOutputState>,
}

/// What all queues share.
struct GatewayOutputState {
    http: reqwest::Client,
    url: Url,
    protocol: GatewayProtocol,
    token: Option<Secret>,
    targets: Vec<GatewayTarget>,
    delivery: Arc<DeliveryTracker>,
    /// A request failed for good, and the next ones would, too.
    broken: AtomicBool,
}

impl GatewayOutput {
    /// Prepares an HTTP client. Nothing is sent.
    ///
    /// # Errors
    /// If the URL is not that of a gateway, or the token or the certificates cannot be read.
    pub(crate) fn new(
        url: &str,
        protocol: GatewayProtocol,
        token: Option<SecretFrom>,
        ca: Option<&Path>,
        targets: Vec<(String, Arc<DestinationAcks>)>,
        delivery: &Arc<DeliveryTracker>,
    ) -> Result<GatewayOutput, EmitError> {
        let url = Url::parse(url).map_err(EmitError::GatewayUrl)?;
        check_url(&url)?;
        let by_default = || std::env::var_os(TOKEN_VARIABLE).map(|_| SecretFrom::Env(TOKEN_VARIABLE.to_owned()));
        let token =
            token.or_else(by_default).map(|from| from.read(Path::new(""))).transpose().map_err(EmitError::Token)?;
        if token.is_some() {
            check_token_transport(&url)?;
        }
        // Redirects are not followed: posts and the token go to this URL only.
        let mut http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none());
        http = http.connect_timeout(CONNECT_TIMEOUT).timeout(RESPONSE_TIMEOUT);
        if let Some(path) = ca {
            http = http.tls_certs_merge(read_ca_certificates(path)?);
        }
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime.worker_threads(2).thread_name("gateway").enable_all().build();
        let shared = GatewayOutputState {
            http: http.build().map_err(EmitError::HttpClient)?,
            url,
            protocol,
            token,
            targets: targets.into_iter().map(|(name, acks)| GatewayTarget::new(name, acks)).collect(),
            delivery: Arc::clone(delivery),
            broken: AtomicBool::new(false),
        };
        let runtime = Arc::new(runtime.map_err(EmitError::io("start threads for the gateway"))?);
        Ok(GatewayOutput { runtime, shared: Arc::new(shared) })
    }

    /// The destination of the topic or stream at this index.
    ///
    /// Kafka records have a key only if `is_key_asked_for`: the requests of the posting emulator have none.
    pub(crate) fn open_destination(
        &self,
        target: usize,
        key: MessageKey,
        is_key_asked_for: bool,
    ) -> Box<dyn Destination> {
        let (queues, tasks) = (0..CONCURRENT_REQUESTS)
            .map(|_| {
                let (queue, inbox) = mpsc::channel(QUEUE_CAPACITY_RECORDS);
                let task = self.runtime.spawn(send_queued(Arc::clone(&self.shared), target, inbox));
                (queue, task)
            })
            .unzip();
        let is_key_sent = is_key_asked_for || self.shared.protocol == GatewayProtocol::Kinesis;
        Box::new(GatewayDestination {
            runtime: Arc::clone(&self.runtime),
            shared: Arc::clone(&self.shared),
            target,
            key,
            is_key_sent,
            queues,
            tasks,
            next_queue: AtomicUsize::new(0),
        })
    }
}

/// Refuses URLs with a part that would not be sent.
fn check_url(url: &Url) -> Result<(), UsageError> {
    if !url.username().is_empty() || url.password().is_some() {
        return Err(UsageError::new(format!(
            "--to holds a user or a password; a gateway takes a token, from --token or {TOKEN_VARIABLE}"
        )));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(UsageError::new("--to ends with the path of the stage; the part after ? or # is not sent"));
    }
    let is_inside = url.path_segments().is_some_and(|mut path| path.any(|part| part == "topics" || part == "streams"));
    if is_inside {
        return Err(UsageError::new(
            "--to ends before /topics or /streams, as https://HOST/STAGE; name topics or streams with --prefix or --topic",
        ));
    }
    Ok(())
}

/// The destination of one topic or stream.
struct GatewayDestination {
    runtime: Arc<Runtime>,
    shared: Arc<GatewayOutputState>,
    target: usize,
    key: MessageKey,
    is_key_sent: bool,
    queues: Vec<mpsc::Sender<GatewayRecord>>,
    tasks: Vec<JoinHandle<()>>,
    /// The queue of the next message without a key.
    next_queue: AtomicUsize,
}

impl GatewayDestination {
    fn target(&self) -> &GatewayTarget {
        &self.shared.targets[self.target]
    }

    /// Puts a message into its queue. Waits while that is full.
    fn enqueue(&self, message: &[u8]) -> io::Result<()> {
        let target = self.target();
        let number = target.acks.count_sent();
        if serde_json::from_slice::<&serde_json::value::RawValue>(message).is_err() {
            target.refuse("it is not JSON, which is all that a gateway takes", number);
            return Ok(());
        }
        let key = match &self.key {
            MessageKey::Ind => find_ind(message).map(<[u8]>::to_vec),
            MessageKey::None => None,
            MessageKey::Fixed(key) => Some(key.clone()),
        };
        let queue = match &key {
            Some(key) => key.iter().fold(0_usize, |sum, byte| sum.wrapping_mul(31).wrapping_add(usize::from(*byte))),
            None => self.next_queue.fetch_add(1, Ordering::Relaxed),
        };
        // Kinesis requires a key. A random one spreads records over all shards.
        let key = match (key, self.shared.protocol) {
            (None, GatewayProtocol::Kinesis) => Some(uuid::Uuid::new_v4().simple().to_string().into_bytes()),
            (key, _) => key,
        };
        let record = GatewayRecord { key: key.filter(|_| self.is_key_sent), value: message.to_vec(), number };
        let ended = |_| io::Error::other("a request ended in the middle");
        self.queues[queue % CONCURRENT_REQUESTS].blocking_send(record).map_err(ended)
    }

    /// Closes the queues, and waits until their records are settled.
    fn drain_queues(&mut self) {
        self.queues.clear();
        for task in std::mem::take(&mut self.tasks) {
            if let Err(error) = self.runtime.block_on(task)
                && error.is_panic()
            {
                std::panic::resume_unwind(error.into_panic());
            }
        }
    }
}

impl Destination for GatewayDestination {
    fn send(&mut self, messages: &[u8]) -> io::Result<()> {
        let mut start = 0;
        for end in memchr::memchr_iter(b'\n', messages) {
            if self.shared.delivery.stop.is_requested() {
                return Ok(());
            }
            if self.shared.is_broken() {
                self.drain_queues();
                return Err(io::Error::other(self.shared.failure_text("; no more were sent")));
            }
            self.enqueue(&messages[start..end])?;
            start = end + 1;
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        // Records wait only for the request before them.
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> io::Result<()> {
        self.drain_queues();
        self.target().log_retries(self.shared.protocol);
        if self.target().is_fully_acknowledged() { Ok(()) } else { Err(io::Error::other(self.shared.failure_text(""))) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn url_with_parts_that_are_not_sent_is_refused() {
        assert!(is_url("https://a") && is_url("http://a") && !is_url("kafka://a") && !is_url("recordings"));
        let problem = |url: &str| check_url(&Url::parse(url).expect("a URL")).err();
        for (url, fault) in [
            ("https://me:canary@a/test", "--token"),
            ("https://a/test?x=1", "after ?"),
            ("https://a/test/topics/12e.pin", "ends before /topics"),
        ] {
            let problem = problem(url).map(|error| error.to_string()).unwrap_or_default();
            assert!(problem.contains(fault) && !problem.contains("canary"), "{url}: {problem}");
        }
        assert!(problem("https://a.example/test").is_none() && problem("http://localhost:8082/").is_none());
    }
}
