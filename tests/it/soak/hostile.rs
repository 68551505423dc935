//! Hostile senders and readers, each at a bounded rate and from its own loopback address.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use serde_json::{Value, json};

use super::keys::colliding_keys;
use super::senders::produce_request;
use super::{READ_TOKEN, SoakPhase, SoakSite, WRITE_TOKEN};
use pinflow_testkit::gateway::JSON_CONTENT_TYPE;

const IO_TIMEOUT: Duration = Duration::from_secs(5);
/// Maximum number of open connections of an attack.
const MAX_HELD_CONNECTIONS: usize = 40;
/// Number of distinct groups that an attack creates.
const GROUP_COUNT: u64 = 5_000;
const COLLIDING_KEY_COUNT: usize = 5_000;
/// Keys of the attacks. Ordinary senders use smaller ones.
const TEXTS_IND: u64 = 5_000_000;
const GROUPS_IND: u64 = 6_000_000;

/// An attack: its name, the time between two steps, and a step. A step returns the status of the reply, or 0 if
/// it does not wait for one.
type AttackKind = (&'static str, Duration, fn(&mut HostileSender) -> io::Result<u16>);

const ATTACKS: [AttackKind; 10] = [
    ("texts of one ind", Duration::from_millis(250), send_texts_of_one_ind),
    ("distinct groups", Duration::from_millis(250), send_distinct_groups),
    ("colliding inds", Duration::from_millis(250), send_colliding_inds),
    ("malformed records", Duration::from_millis(500), send_malformed_records),
    ("announced bodies", Duration::from_millis(500), announce_body),
    ("unread replies", Duration::from_secs(2), leave_replies_unread),
    ("unread answers", Duration::from_secs(1), leave_answers_unread),
    ("unread changes", Duration::from_secs(1), leave_changes_unread),
    ("unknown tokens", Duration::from_millis(200), try_tokens),
    ("malformed requests", Duration::from_millis(200), send_malformed_request),
];
/// Attacks whose records are well-formed requests, and so are acknowledged.
const ACKNOWLEDGED_ATTACKS: [&str; 4] = ["texts of one ind", "distinct groups", "colliding inds", "malformed records"];

/// The outcome of an attack: how often a step ended with each status or error.
#[derive(Debug)]
pub(super) struct AttackOutcome {
    pub(super) name: &'static str,
    pub(super) outcomes: BTreeMap<String, u64>,
}

/// The sender of an attack.
struct HostileSender {
    site: Arc<SoakSite>,
    runtime: tokio::runtime::Runtime,
    address: IpAddr,
    keys: Vec<u64>,
    /// Steps so far.
    step: u64,
    held: VecDeque<TcpStream>,
}

pub(super) fn start(site: &Arc<SoakSite>) -> Vec<JoinHandle<AttackOutcome>> {
    let keys = colliding_keys(COLLIDING_KEY_COUNT);
    let attack = |(number, attack): (u8, AttackKind)| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let address = Ipv4Addr::new(127, 0, 1, number).into();
        let (site, keys) = (Arc::clone(site), keys.clone());
        let attacker = HostileSender { site, runtime, address, keys, step: 0, held: VecDeque::new() };
        thread::spawn(move || attacker.run(attack))
    };
    (1..).zip(ATTACKS).map(attack).collect()
}

pub(super) fn join(attacks: Vec<JoinHandle<AttackOutcome>>) -> Vec<AttackOutcome> {
    attacks.into_iter().map(|attack| attack.join().unwrap()).collect()
}

/// Asserts that each attack took place, and was rejected or accepted as expected.
pub(super) fn assert_outcomes(attacks: &[AttackOutcome]) {
    for AttackOutcome { name, outcomes } in attacks {
        let of = |status: &str| outcomes.get(status).copied().unwrap_or(0);
        let all: u64 = outcomes.values().sum();
        assert!(all > 0, "{name} took place");
        match *name {
            name if ACKNOWLEDGED_ATTACKS.contains(&name) => assert!(of("200") > 0, "{name}: {outcomes:?}"),
            "unknown tokens" => assert_eq!(of("401") + of("429"), all, "{name}: {outcomes:?}"),
            "malformed requests" => assert!(of("200") == 0 && of("400") > 0, "{name}: {outcomes:?}"),
            _ => assert!(of("0") > 0, "{name}: {outcomes:?}"),
        }
    }
}

impl HostileSender {
    fn run(mut self, (name, interval, step): AttackKind) -> AttackOutcome {
        let mut outcomes = BTreeMap::new();
        while !self.site.has_ended() {
            if self.site.phase() == SoakPhase::Hostile {
                let outcome = step(&mut self);
                let outcome = outcome.map_or_else(|error| format!("{:?}", error.kind()), |status| status.to_string());
                *outcomes.entry(outcome).or_default() += 1;
                self.step += 1;
                thread::sleep(interval);
            } else {
                self.held.clear();
                thread::sleep(Duration::from_millis(20));
            }
        }
        AttackOutcome { name, outcomes }
    }

    fn connect(&self, to: SocketAddr) -> io::Result<TcpStream> {
        let socket = tokio::net::TcpSocket::new_v4()?;
        socket.bind(SocketAddr::new(self.address, 0))?;
        let connected = async { tokio::time::timeout(IO_TIMEOUT, socket.connect(to)).await? };
        let stream = self.runtime.block_on(connected)?.into_std()?;
        stream.set_nonblocking(false)?;
        stream.set_read_timeout(Some(IO_TIMEOUT))?;
        stream.set_write_timeout(Some(IO_TIMEOUT))?;
        Ok(stream)
    }

    fn gateway(&self) -> SocketAddr {
        self.site.gateway.address
    }

    fn run_server(&self) -> SocketAddr {
        self.site.run.address
    }

    /// Sends a request, and reads the status of the reply.
    fn exchange(&self, to: SocketAddr, request: &[u8]) -> io::Result<u16> {
        let mut stream = self.connect(to)?;
        stream.write_all(request)?;
        let mut head = [0; 12];
        stream.read_exact(&mut head)?;
        let status = std::str::from_utf8(&head[9..]).ok().and_then(|text| text.parse().ok());
        status.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))
    }

    fn produce(&self, stream: &str, values: &[Value]) -> io::Result<u16> {
        self.exchange(self.gateway(), &produce_request(stream, values))
    }

    /// Sends a request whose reply is never read.
    fn hold(&mut self, to: SocketAddr, request: &[u8]) -> io::Result<u16> {
        let mut stream = self.connect(to)?;
        let sent = stream.write_all(request);
        self.held.push_back(stream);
        if self.held.len() > MAX_HELD_CONNECTIONS {
            self.held.pop_front();
        }
        sent.map(|()| 0)
    }
}

fn send_texts_of_one_ind(attacker: &mut HostileSender) -> io::Result<u16> {
    let step = attacker.step;
    let pin = |category: String, description: String| {
        json!({ "index": TEXTS_IND, "unique_id": "u", "category": category, "poster_name": category,
            "description": description, "follower_count": "7" })
    };
    let pins: Vec<Value> = match step % 20 {
        // The longest allowed message.
        0 => vec![pin("long".to_owned(), "d".repeat(500 << 10))],
        // Longer than an allowed text.
        10 => vec![pin(format!("{step:060000}"), String::new())],
        _ => (0..10).map(|at| pin(format!("{:01000}", step * 10 + at), String::new())).collect(),
    };
    attacker.produce("pin", &pins)
}

fn send_distinct_groups(attacker: &mut HostileSender) -> io::Result<u16> {
    let first = attacker.step / 2 * 10;
    let inds = (first..first + 10).map(|number| number % GROUP_COUNT);
    let (stream, values): (_, Vec<_>) = if attacker.step.is_multiple_of(2) {
        let geo = |group| {
            json!({ "ind": GROUPS_IND + group, "timestamp": "2019-08-28T03:52:47", "latitude": 1,
            "longitude": 2, "country": format!("a made-up country with the number {group}") })
        };
        ("geo", inds.map(geo).collect())
    } else {
        let pin = |group| {
            json!({ "index": GROUPS_IND + group, "unique_id": "u",
            "category": format!("a made-up category with the number {}", group * 7 + first % 3),
            "poster_name": format!("a made-up poster with the number {group}"), "follower_count": format!("{first}") })
        };
        ("pin", inds.map(pin).collect())
    };
    attacker.produce(stream, &values)
}

fn send_colliding_inds(attacker: &mut HostileSender) -> io::Result<u16> {
    let first = attacker.step as usize * 10;
    let user = |at: usize| {
        json!({ "ind": attacker.keys[at % COLLIDING_KEY_COUNT], "first_name": "C", "last_name": "D", "age": 30,
            "date_joined": "2017-10-24T11:23:51" })
    };
    attacker.produce("user", &(first..first + 10).map(user).collect::<Vec<_>>())
}

fn send_malformed_records(attacker: &mut HostileSender) -> io::Result<u16> {
    let deep = (0..100).fold(json!(1), |value, _| json!({ "a": value }));
    let records = [
        json!(1),
        json!({}),
        json!({ "ind": -1 }),
        json!({ "ind": "12abc" }),
        json!({ "ind": 7, "country": { "a": 1 } }),
        deep,
        json!("not an object"),
    ];
    attacker.produce("geo", &records)
}

fn announce_body(attacker: &mut HostileSender) -> io::Result<u16> {
    let head = format!(
        "POST /topics/geo HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {WRITE_TOKEN}\r\n\
         content-type: {JSON_CONTENT_TYPE}\r\ncontent-length: {}\r\n\r\n{}",
        10 << 20,
        " ".repeat(100)
    );
    attacker.hold(attacker.gateway(), head.as_bytes())
}

/// Requests without any storable record. Each reply has an error per record.
fn leave_replies_unread(attacker: &mut HostileSender) -> io::Result<u16> {
    let body = format!("{{\"records\":[{}]}}", vec!["1"; 2_000].join(","));
    let request = format!(
        "POST /topics/geo HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {WRITE_TOKEN}\r\n\
         content-type: {JSON_CONTENT_TYPE}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    attacker.hold(attacker.gateway(), request.repeat(20).as_bytes())
}

fn leave_answers_unread(attacker: &mut HostileSender) -> io::Result<u16> {
    leave_unread(attacker, "/answers", 20)
}

fn leave_changes_unread(attacker: &mut HostileSender) -> io::Result<u16> {
    leave_unread(attacker, "/changes", 1)
}

fn leave_unread(attacker: &mut HostileSender, path: &str, requests: usize) -> io::Result<u16> {
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {READ_TOKEN}\r\n\r\n");
    attacker.hold(attacker.run_server(), request.repeat(requests).as_bytes())
}

fn try_tokens(attacker: &mut HostileSender) -> io::Result<u16> {
    let step = attacker.step;
    let token = format!("host: localhost\r\nauthorization: Bearer guess-{step}");
    if step.is_multiple_of(2) {
        let request = format!("GET /answers HTTP/1.1\r\n{token}\r\n\r\n");
        attacker.exchange(attacker.run_server(), request.as_bytes())
    } else {
        let request = format!(
            "POST /topics/geo HTTP/1.1\r\n{token}\r\ncontent-type: {JSON_CONTENT_TYPE}\r\ncontent-length: 0\r\n\r\n"
        );
        attacker.exchange(attacker.gateway(), request.as_bytes())
    }
}

fn send_malformed_request(attacker: &mut HostileSender) -> io::Result<u16> {
    let post = format!(
        "POST /topics/geo HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {WRITE_TOKEN}\r\ncontent-type: {JSON_CONTENT_TYPE}\r\n"
    );
    let requests = [
        "rubbish\r\n\r\n".to_owned(),
        format!("GET / HTTP/1.1\r\nhost: localhost\r\nx: {}\r\n\r\n", "x".repeat(20 << 10)),
        "GET /topics HTTP/1.1\r\n\r\n".to_owned(),
        format!("{post}content-length: 7\r\n\r\n{{\"recor"),
        format!("{post}content-length: 30\r\n\r\n{}", "[".repeat(30)),
        format!("{post}content-length: nonsense\r\n\r\n"),
        format!("{post}transfer-encoding: gzip\r\n\r\nxx"),
        format!("{post}transfer-encoding: chunked\r\n\r\nzz\r\n"),
    ];
    let request = &requests[attacker.step as usize % requests.len()];
    attacker.exchange(attacker.gateway(), request.as_bytes())
}
