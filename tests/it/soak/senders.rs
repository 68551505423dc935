//! Ordinary senders at a constant rate, and a reader of an answer's changes.
//!
//! Latency is measured from the time at which a record was due, so it includes the time that a sender waited.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{READ_TOKEN, SoakPhase, SoakSite, WRITE_TOKEN};
use pinflow_testkit::gateway::JSON_CONTENT_TYPE;
use pinflow_testkit::http_client::{KeptConnection, SseEvent};

pub(super) const STREAMS: [&str; 3] = ["pin", "geo", "user"];
const SENDER_COUNT: u64 = 8;
/// Time between two requests of a sender.
const SEND_INTERVAL: Duration = Duration::from_millis(100);
/// Time before a retry after 503.
const RETRY_INTERVAL: Duration = Duration::from_millis(100);
/// Posts that ordinary senders replace repeatedly.
const INDS: u64 = 20_000;
/// The post whose replacements change an answer, and its country.
const PROBE_IND: u64 = 9_000_000;
const PROBE_COUNTRY: &str = "Probeland";
const PROBE_PATH: &str = "/answers/most_followed_poster_by_country/changes";
/// The poster of the last probe.
const LAST_POSTER: &str = "last";

/// Latencies by phase.
#[derive(Debug, Default, Clone)]
pub(super) struct LatencySamples {
    by_phase: BTreeMap<SoakPhase, Vec<Duration>>,
}

/// Percentiles of some latencies.
pub(super) struct LatencyPercentiles {
    count: usize,
    p50: Duration,
    p99: Duration,
    max: Duration,
}

impl fmt::Display for LatencyPercentiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let LatencyPercentiles { count, p50, p99, max } = self;
        write!(f, "n = {count}, p50 {p50:.2?}, p99 {p99:.2?}, max {max:.2?}")
    }
}

impl LatencySamples {
    fn add(&mut self, phase: SoakPhase, latency: Duration) {
        self.by_phase.entry(phase).or_default().push(latency);
    }

    fn merge(&mut self, other: LatencySamples) {
        for (phase, latencies) in other.by_phase {
            self.by_phase.entry(phase).or_default().extend(latencies);
        }
    }

    pub(super) fn calm_percentiles(&self) -> LatencyPercentiles {
        self.percentiles(SoakPhase::Calm)
    }

    pub(super) fn hostile_percentiles(&self) -> LatencyPercentiles {
        self.percentiles(SoakPhase::Hostile)
    }

    pub(super) fn p99_ratio(&self) -> f64 {
        self.hostile_percentiles().p99.as_secs_f64() / self.calm_percentiles().p99.as_secs_f64()
    }

    fn percentiles(&self, phase: SoakPhase) -> LatencyPercentiles {
        let mut sorted = self.by_phase.get(&phase).cloned().unwrap_or_default();
        assert!(!sorted.is_empty(), "something was measured in phase {phase:?}");
        sorted.sort_unstable();
        let at = |percent: usize| sorted[(sorted.len() * percent / 100).min(sorted.len() - 1)];
        LatencyPercentiles { count: sorted.len(), p50: at(50), p99: at(99), max: at(100) }
    }
}

/// The records of ordinary senders.
#[derive(Debug, Default)]
pub(super) struct SentRecord {
    pub(super) latencies: LatencySamples,
    /// Requests that were sent again after 503.
    pub(super) retries: u64,
    /// Acknowledged values by stream and offset.
    acknowledged: BTreeMap<&'static str, BTreeMap<u64, String>>,
}

impl SentRecord {
    pub(super) fn records(&self) -> usize {
        self.acknowledged.values().map(BTreeMap::len).sum()
    }

    fn merge(&mut self, other: SentRecord) {
        self.latencies.merge(other.latencies);
        self.retries += other.retries;
        for (stream, values) in other.acknowledged {
            let of_stream = self.acknowledged.entry(stream).or_default();
            for (offset, value) in values {
                let before = of_stream.insert(offset, value);
                assert_eq!(before, None, "offset {offset} of {stream} is acknowledged once");
            }
        }
    }

    /// Asserts that each acknowledged record is the line that the acknowledgement names.
    pub(super) fn assert_stored(&self, posts: &Path) {
        for (stream, values) in &self.acknowledged {
            let lines = stored_lines(posts, stream);
            for (offset, value) in values {
                let line = lines.get(usize::try_from(*offset).unwrap()).map(String::as_str);
                assert_eq!(line, Some(value.as_str()), "line {offset} of {stream} was acknowledged");
            }
        }
    }
}

pub(super) fn stored_lines(posts: &Path, stream: &str) -> Vec<String> {
    let text = std::fs::read_to_string(posts.join(format!("{stream}.jsonl"))).unwrap();
    text.lines().map(str::to_owned).collect()
}

/// The connection of a sender, and its results.
struct OrdinarySender {
    site: Arc<SoakSite>,
    connection: KeptConnection,
    due: Instant,
    sent: SentRecord,
}

impl OrdinarySender {
    fn new(site: &Arc<SoakSite>) -> OrdinarySender {
        let connection = site.gateway.open_keep_alive();
        OrdinarySender { site: Arc::clone(site), connection, due: Instant::now(), sent: SentRecord::default() }
    }

    /// Waits until the next request is due.
    fn wait(&mut self) {
        self.due += SEND_INTERVAL;
        thread::sleep(self.due.saturating_duration_since(Instant::now()));
    }

    /// Sends a record until it is acknowledged. Every request must be answered, with 200 or 503.
    fn send(&mut self, stream: &'static str, value: &Value) {
        let (phase, request) = (self.site.phase(), produce_request(stream, std::slice::from_ref(value)));
        let offset = loop {
            let reply = self.connection.raw(&request);
            match reply.status {
                200 => break reply.json()["offsets"][0]["offset"].as_u64().unwrap(),
                503 => self.sent.retries += 1,
                _ => panic!("an ordinary sender was refused: {reply:?}"),
            }
            thread::sleep(RETRY_INTERVAL);
        };
        self.sent.latencies.add(phase, self.due.elapsed());
        self.sent.acknowledged.entry(stream).or_default().insert(offset, value.to_string());
    }
}

/// A request that produces values on a persistent connection.
pub(super) fn produce_request(stream: &str, values: &[Value]) -> Vec<u8> {
    let records: Vec<_> = values.iter().map(|value| json!({ "value": value })).collect();
    let body = json!({ "records": records }).to_string();
    let head = format!(
        "POST /topics/{stream} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {WRITE_TOKEN}\r\n\
         content-type: {JSON_CONTENT_TYPE}\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    format!("{head}{body}").into_bytes()
}

/// The ordinary senders, the prober, and the reader of changes.
pub(super) struct OrdinarySenders {
    senders: Vec<JoinHandle<SentRecord>>,
    reader: JoinHandle<LatencySamples>,
}

pub(super) fn start(site: &Arc<SoakSite>) -> OrdinarySenders {
    let probes = Arc::new(Mutex::new(Vec::new()));
    let reader = {
        let (site, probes) = (Arc::clone(site), Arc::clone(&probes));
        thread::spawn(move || read_changes(&site, &probes))
    };
    let mut senders: Vec<_> = (0..SENDER_COUNT)
        .map(|number| {
            let site = Arc::clone(site);
            thread::spawn(move || send_posts(&site, number))
        })
        .collect();
    let site = Arc::clone(site);
    senders.push(thread::spawn(move || send_probes(&site, &probes)));
    OrdinarySenders { senders, reader }
}

impl OrdinarySenders {
    /// Waits for all senders. Returns the sent records, and the time from each probe to its changed answer.
    pub(super) fn join(self) -> (SentRecord, LatencySamples) {
        let mut sent = SentRecord::default();
        for sender in self.senders {
            sent.merge(sender.join().unwrap());
        }
        (sent, self.reader.join().unwrap())
    }
}

fn send_posts(site: &Arc<SoakSite>, number: u64) -> SentRecord {
    let mut sender = OrdinarySender::new(site);
    for post in 0.. {
        if site.has_ended() {
            break;
        }
        sender.wait();
        let (stream, value) = ordinary_post(number, post);
        sender.send(stream, &value);
    }
    sender.sent
}

fn ordinary_post(sender: u64, post: u64) -> (&'static str, Value) {
    // Spreads over all posts, and repeats them.
    let ind = (post / 3 * SENDER_COUNT + sender).wrapping_mul(7_919) % INDS;
    let mark = format!("{sender}-{post}");
    match post % 3 {
        0 => {
            let category = ["art", "travel", "finance", "quotes"][(ind % 4) as usize];
            let value = json!({ "index": ind, "unique_id": mark, "title": "A title", "category": category,
                "poster_name": format!("poster {}", ind % 500), "follower_count": format!("{}k", post % 90) });
            ("pin", value)
        }
        1 => {
            let country = ["Chad", "Peru", "Fiji", "Mali", "Oman"][(ind % 5) as usize];
            let value = json!({ "ind": ind, "timestamp": "2020-08-28T03:52:47", "latitude": 1.5, "longitude": 2.5,
                "country": country, "mark": mark });
            ("geo", value)
        }
        _ => {
            let value = json!({ "ind": ind, "first_name": "Ada", "last_name": format!("L{}", ind % 1_000),
                "age": 20 + ind % 50, "date_joined": "2016-10-24T11:23:51", "mark": mark });
            ("user", value)
        }
    }
}

/// When each probe was due, and in which phase.
type LatencyProbes = Mutex<Vec<(SoakPhase, Instant)>>;

/// Replaces one pin repeatedly. Each version has more followers, so it changes the answer of its country.
fn send_probes(site: &Arc<SoakSite>, probes: &LatencyProbes) -> SentRecord {
    let mut sender = OrdinarySender::new(site);
    let geo = json!({ "ind": PROBE_IND, "timestamp": "2020-08-28T03:52:47", "latitude": 1.5, "longitude": 2.5,
        "country": PROBE_COUNTRY });
    sender.send("geo", &geo);
    loop {
        sender.wait();
        let is_last = site.has_ended();
        let number = {
            let mut probes = probes.lock().unwrap();
            probes.push((site.phase(), sender.due));
            probes.len()
        };
        let poster = if is_last { LAST_POSTER.to_owned() } else { format!("probe {number}") };
        let pin = json!({ "index": PROBE_IND, "unique_id": "probe", "category": "probe", "poster_name": poster,
            "follower_count": number.to_string() });
        sender.send("pin", &pin);
        if is_last {
            return sender.sent;
        }
    }
}

/// Follows the answer that the probes change until the last one has.
fn read_changes(site: &SoakSite, probes: &LatencyProbes) -> LatencySamples {
    let events = site.run.events(PROBE_PATH, &[("authorization", &format!("Bearer {READ_TOKEN}"))]);
    let (mut latencies, mut seen) = (LatencySamples::default(), 0);
    for event in events {
        assert_ne!(event.kind, "dropped", "an ordinary reader is not dropped: {event:?}");
        let Some((number, poster)) = probe_of(&event) else { continue };
        let probes = probes.lock().unwrap();
        // Several probes in one epoch cause one change. They count with the last of them.
        for (phase, due) in &probes[seen..number] {
            latencies.add(*phase, due.elapsed());
        }
        seen = number;
        if poster == LAST_POSTER {
            return latencies;
        }
    }
    panic!("the stream of changes ended before the last probe");
}

/// The number of the probe in an event.
fn probe_of(event: &SseEvent) -> Option<(usize, String)> {
    let rows = event.data.get("insert").or_else(|| event.data.get("rows"))?.as_array()?;
    let row = rows.iter().find(|row| row["country"] == PROBE_COUNTRY)?;
    Some((usize::try_from(row["follower_count"].as_u64()?).ok()?, row["poster_name"].as_str()?.to_owned()))
}
