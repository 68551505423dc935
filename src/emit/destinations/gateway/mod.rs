//! A gateway: every line is a record in the body of a request, and every record is acknowledged or reported as not.
//!
//! Several requests are under way at once, eight for each topic or stream. All messages of a key (an ind, where no other
//! is asked for) go the same way, one request after the other, so they arrive in their order, as they do from the
//! original, which waits for every answer; between keys there is no order. What has gathered while an answer was waited
//! for leaves together: single records at the original's pace, hundreds at a time in a flood.
//!
//! A request whose answer was lost is made again, and its records may then be there twice. Where a gateway takes some
//! records of a request and wants others later, those come later, as with every producer of Kinesis.
//!
//! The rooms: `protocol`, what requests look like; `judge`, what answers mean; `queues`, requests until each record is settled.

mod dispatch;
mod protocol;
mod response;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, bail};
use reqwest::Certificate;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use url::Url;

pub use protocol::GatewayProtocol;

use super::Destination;
use super::key::{MessageKey, find_ind};
use crate::emit::acks::DestinationAcks;
use crate::emit::delivery::DeliveryTracker;
use crate::secret::{Secret, SecretFrom};
use crate::usage::UsageError;
use dispatch::{GatewayTarget, send_queued};
use protocol::GatewayRecord;

/// Requests under way for each topic or stream.
const CONCURRENT_REQUESTS: usize = 8;
/// Records that wait for their request on each way.
const QUEUE_CAPACITY_RECORDS: usize = 500;
/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long an answer may take.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(30);
/// Where a token comes from by default.
const TOKEN_VARIABLE: &str = "PINFLOW_TOKEN";

/// Whether a place is a gateway.
pub(crate) fn is_url(to: &str) -> bool {
    to.starts_with("https://") || to.starts_with("http://")
}

/// A gateway, and the topics or streams that are written.
pub(crate) struct GatewayOutput {
    /// Lanes are threads; their requests are made here.
    runtime: Arc<Runtime>,
    shared: Arc<GatewayOutputState>,
}

/// What all ways share.
struct GatewayOutputState {
    http: reqwest::Client,
    url: Url,
    protocol: GatewayProtocol,
    token: Option<Secret>,
    targets: Vec<GatewayTarget>,
    delivery: Arc<DeliveryTracker>,
    /// A request was refused, and the next ones would be.
    broken: AtomicBool,
}

impl GatewayOutput {
    /// Prepares requests; none is made.
    ///
    /// # Errors
    /// If the URL is none, or the token or the certificates cannot be read.
    pub(crate) fn new(
        url: &str,
        protocol: GatewayProtocol,
        token: Option<SecretFrom>,
        ca: Option<&Path>,
        targets: Vec<(String, Arc<DestinationAcks>)>,
        delivery: &Arc<DeliveryTracker>,
    ) -> anyhow::Result<GatewayOutput> {
        let url = Url::parse(url).context("read --to")?;
        check_url(&url).map_err(|fault| UsageError::new(fault.to_string()))?;
        let by_default = || std::env::var_os(TOKEN_VARIABLE).map(|_| SecretFrom::Env(TOKEN_VARIABLE.to_owned()));
        let token = token.or_else(by_default).map(|from| from.read(Path::new(""))).transpose().context("--token")?;
        if token.is_some() && url.scheme() != "https" && !is_loopback(&url) {
            bail!("the token would go to {url} unencrypted; use https");
        }
        // A token, and posts, go to this URL and to no other that it points to.
        let mut http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none());
        http = http.connect_timeout(CONNECT_TIMEOUT).timeout(RESPONSE_TIMEOUT);
        if let Some(path) = ca {
            let pem = std::fs::read(path).with_context(|| format!("read --ca {}", path.display()))?;
            let trusted =
                Certificate::from_pem_bundle(&pem).with_context(|| format!("read --ca {}", path.display()))?;
            http = http.tls_certs_merge(trusted);
        }
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime.worker_threads(2).thread_name("gateway").enable_all().build();
        let shared = GatewayOutputState {
            http: http.build().context("prepare requests")?,
            url,
            protocol,
            token,
            targets: targets.into_iter().map(|(name, acks)| GatewayTarget::new(name, acks)).collect(),
            delivery: Arc::clone(delivery),
            broken: AtomicBool::new(false),
        };
        let runtime = Arc::new(runtime.context("start threads for the gateway")?);
        Ok(GatewayOutput { runtime, shared: Arc::new(shared) })
    }

    /// The destination of the topic or stream at a place in the list. Kafka's records get their key only where one was
    /// asked for: the original's have none.
    pub(crate) fn destination(&self, target: usize, key: MessageKey, is_key_asked_for: bool) -> Box<dyn Destination> {
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

/// What a gateway's URL must not be.
fn check_url(url: &Url) -> anyhow::Result<()> {
    if !url.username().is_empty() || url.password().is_some() {
        bail!("--to holds a user or a password; a gateway takes a token, from --token or {TOKEN_VARIABLE}");
    }
    if url.query().is_some() || url.fragment().is_some() {
        bail!("--to ends with the path of the stage; what stands behind ? or # is not sent");
    }
    let is_inside = url.path_segments().is_some_and(|mut path| path.any(|part| part == "topics" || part == "streams"));
    if is_inside {
        bail!("--to ends before /topics or /streams, as https://HOST/STAGE; --prefix or --topic says which");
    }
    Ok(())
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// One topic or stream, as a destination.
struct GatewayDestination {
    runtime: Arc<Runtime>,
    shared: Arc<GatewayOutputState>,
    target: usize,
    key: MessageKey,
    is_key_sent: bool,
    queues: Vec<mpsc::Sender<GatewayRecord>>,
    tasks: Vec<JoinHandle<()>>,
    /// The way of the next message without a key.
    next_queue: AtomicUsize,
}

impl GatewayDestination {
    fn target(&self) -> &GatewayTarget {
        &self.shared.targets[self.target]
    }

    /// Hands a message to its way; waits while that is full.
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
        // Kinesis must have one; one that repeats nowhere spreads records over all shards.
        let key = match (key, self.shared.protocol) {
            (None, GatewayProtocol::Kinesis) => Some(uuid::Uuid::new_v4().simple().to_string().into_bytes()),
            (key, _) => key,
        };
        let record = GatewayRecord { key: key.filter(|_| self.is_key_sent), value: message.to_vec(), number };
        let ended = |_| io::Error::other("a request ended in the middle");
        self.queues[queue % CONCURRENT_REQUESTS].blocking_send(record).map_err(ended)
    }

    /// Lets the ways end, and waits for what is on them.
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
        // Nothing waits but for the answer before it.
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
    fn a_gateway_is_a_url_without_what_is_not_sent() {
        assert!(is_url("https://a") && is_url("http://a") && !is_url("kafka://a") && !is_url("recordings"));
        let said = |url: &str| Url::parse(url).map_err(anyhow::Error::from).and_then(|url| check_url(&url)).err();
        for (url, fault) in [
            ("https://me:canary@a/test", "--token"),
            ("https://a/test?x=1", "behind ?"),
            ("https://a/test/topics/12e.pin", "ends before /topics"),
        ] {
            let said = said(url).map(|error| error.to_string()).unwrap_or_default();
            assert!(said.contains(fault) && !said.contains("canary"), "{url}: {said}");
        }
        assert!(said("https://a.example/test").is_none() && said("http://localhost:8082/").is_none());
    }
}
