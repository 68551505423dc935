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
//! The rooms: `bodies`, what requests look like; `judge`, what answers mean; `ways`, requests until each record is settled.

mod bodies;
mod judge;
mod ways;

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

pub use bodies::Bodies;

use super::Destination;
use super::key::{Key, ind_of};
use crate::emit::acks::DestinationAcks;
use crate::emit::delivery::Delivery;
use crate::secret::{Secret, SecretFrom};
use crate::usage::UsageError;
use bodies::Record;
use ways::{Place, carry};

/// Requests under way for each topic or stream.
const WAYS: usize = 8;
/// Records that wait for their request on each way.
const WAITING: usize = 500;
/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(10);
/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(30);
/// Where a token comes from by default.
const TOKEN: &str = "PINFLOW_TOKEN";

/// Whether a place is a gateway.
pub(crate) fn is_url(to: &str) -> bool {
    to.starts_with("https://") || to.starts_with("http://")
}

/// A gateway, and the topics or streams that are written.
pub(crate) struct Gateway {
    /// Lanes are threads; their requests are made here.
    runtime: Arc<Runtime>,
    shared: Arc<Shared>,
}

/// What all ways share.
struct Shared {
    http: reqwest::Client,
    url: Url,
    bodies: Bodies,
    token: Option<Secret>,
    places: Vec<Place>,
    delivery: Arc<Delivery>,
    /// A request was refused, and the next ones would be.
    broken: AtomicBool,
}

impl Gateway {
    /// Prepares requests; none is made.
    ///
    /// # Errors
    /// If the URL is none, or the token or the certificates cannot be read.
    pub(crate) fn new(
        url: &str,
        bodies: Bodies,
        token: Option<SecretFrom>,
        ca: Option<&Path>,
        places: Vec<(String, Arc<DestinationAcks>)>,
        delivery: &Arc<Delivery>,
    ) -> anyhow::Result<Gateway> {
        let url = Url::parse(url).context("read --to")?;
        refuse(&url).map_err(|fault| UsageError::new(fault.to_string()))?;
        let by_default = || std::env::var_os(TOKEN).map(|_| SecretFrom::Env(TOKEN.to_owned()));
        let token = token.or_else(by_default).map(|from| from.read(Path::new(""))).transpose().context("--token")?;
        if token.is_some() && url.scheme() != "https" && !is_this_machine(&url) {
            bail!("the token would go to {url} unencrypted; use https");
        }
        // A token, and posts, go to this URL and to no other that it points to.
        let mut http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none());
        http = http.connect_timeout(CONNECT).timeout(ANSWER);
        if let Some(path) = ca {
            let pem = std::fs::read(path).with_context(|| format!("read --ca {}", path.display()))?;
            let trusted =
                Certificate::from_pem_bundle(&pem).with_context(|| format!("read --ca {}", path.display()))?;
            http = http.tls_certs_merge(trusted);
        }
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime.worker_threads(2).thread_name("gateway").enable_all().build();
        let shared = Shared {
            http: http.build().context("prepare requests")?,
            url,
            bodies,
            token,
            places: places.into_iter().map(|(name, acks)| Place::new(name, acks)).collect(),
            delivery: Arc::clone(delivery),
            broken: AtomicBool::new(false),
        };
        let runtime = Arc::new(runtime.context("start threads for the gateway")?);
        Ok(Gateway { runtime, shared: Arc::new(shared) })
    }

    /// The destination of the topic or stream at a place in the list. Kafka's records get their key only where one was
    /// asked for: the original's have none.
    pub(crate) fn destination(&self, place: usize, key: Key, is_key_asked_for: bool) -> Box<dyn Destination> {
        let (ways, tasks) = (0..WAYS)
            .map(|_| {
                let (way, inbox) = mpsc::channel(WAITING);
                let task = self.runtime.spawn(carry(Arc::clone(&self.shared), place, inbox));
                (way, task)
            })
            .unzip();
        let is_key_sent = is_key_asked_for || self.shared.bodies == Bodies::Kinesis;
        Box::new(Topic {
            runtime: Arc::clone(&self.runtime),
            shared: Arc::clone(&self.shared),
            place,
            key,
            is_key_sent,
            ways,
            tasks,
            turn: AtomicUsize::new(0),
        })
    }
}

/// What a gateway's URL must not be.
fn refuse(url: &Url) -> anyhow::Result<()> {
    if !url.username().is_empty() || url.password().is_some() {
        bail!("--to holds a user or a password; a gateway takes a token, from --token or {TOKEN}");
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

fn is_this_machine(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// One topic or stream, as a destination.
struct Topic {
    runtime: Arc<Runtime>,
    shared: Arc<Shared>,
    place: usize,
    key: Key,
    is_key_sent: bool,
    ways: Vec<mpsc::Sender<Record>>,
    tasks: Vec<JoinHandle<()>>,
    /// The way of the next message without a key.
    turn: AtomicUsize,
}

impl Topic {
    fn place(&self) -> &Place {
        &self.shared.places[self.place]
    }

    /// Hands a message to its way; waits while that is full.
    fn message(&self, message: &[u8]) -> io::Result<()> {
        let place = self.place();
        let number = place.acks.count_sent();
        if serde_json::from_slice::<&serde_json::value::RawValue>(message).is_err() {
            place.refuse("it is not JSON, which is all that a gateway takes", number);
            return Ok(());
        }
        let key = match &self.key {
            Key::Ind => ind_of(message).map(<[u8]>::to_vec),
            Key::None => None,
            Key::Fixed(key) => Some(key.clone()),
        };
        let way = match &key {
            Some(key) => key.iter().fold(0_usize, |sum, byte| sum.wrapping_mul(31).wrapping_add(usize::from(*byte))),
            None => self.turn.fetch_add(1, Ordering::Relaxed),
        };
        // Kinesis must have one; one that repeats nowhere spreads records over all shards.
        let key = match (key, self.shared.bodies) {
            (None, Bodies::Kinesis) => Some(uuid::Uuid::new_v4().simple().to_string().into_bytes()),
            (key, _) => key,
        };
        let record = Record { key: key.filter(|_| self.is_key_sent), value: message.to_vec(), number };
        let ended = |_| io::Error::other("a request ended in the middle");
        self.ways[way % WAYS].blocking_send(record).map_err(ended)
    }

    /// Lets the ways end, and waits for what is on them.
    fn settle(&mut self) {
        self.ways.clear();
        for task in std::mem::take(&mut self.tasks) {
            if let Err(error) = self.runtime.block_on(task)
                && error.is_panic()
            {
                std::panic::resume_unwind(error.into_panic());
            }
        }
    }
}

impl Destination for Topic {
    fn send(&mut self, messages: &[u8]) -> io::Result<()> {
        let mut start = 0;
        for end in memchr::memchr_iter(b'\n', messages) {
            if self.shared.delivery.stop.is_requested() {
                return Ok(());
            }
            if self.shared.is_broken() {
                self.settle();
                return Err(io::Error::other(self.shared.failures("; no more were sent")));
            }
            self.message(&messages[start..end])?;
            start = end + 1;
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        // Nothing waits but for the answer before it.
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> io::Result<()> {
        self.settle();
        self.place().say_tries(self.shared.bodies);
        if self.place().is_whole() { Ok(()) } else { Err(io::Error::other(self.shared.failures(""))) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gateway_is_a_url_without_what_is_not_sent() {
        assert!(is_url("https://a") && is_url("http://a") && !is_url("kafka://a") && !is_url("recordings"));
        let said = |url: &str| Url::parse(url).map_err(anyhow::Error::from).and_then(|url| refuse(&url)).err();
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
