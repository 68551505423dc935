//! The brokers that a client contacts first.

use serde::Deserialize;

use pinflow_core::key_problem::KeyProblem;

/// Brokers as `host:port`: a list, or a text with commas. The default port is 9092.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "OneOrMany")]
pub struct BrokerList(Vec<String>);

#[derive(Deserialize)]
#[serde(untagged, expecting = "brokers are written as \"host:port\", \"host:port,host:port\" or a list of these")]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl From<OneOrMany> for BrokerList {
    fn from(written: OneOrMany) -> BrokerList {
        match written {
            OneOrMany::One(text) => BrokerList::new(&text),
            OneOrMany::Many(list) => BrokerList::new(&list.join(",")),
        }
    }
}

impl BrokerList {
    /// Parses brokers from a text with commas.
    #[must_use]
    pub fn new(text: &str) -> BrokerList {
        BrokerList(text.split(',').map(|broker| broker.trim().to_owned()).collect())
    }

    pub(super) fn validate(&self) -> Vec<KeyProblem> {
        let wrong = |broker: &&String| host_and_port(broker).is_none();
        let problem = |broker: &String| {
            KeyProblem::new("brokers", format!("{broker:?} is not HOST:PORT; write one like localhost:9092"))
        };
        self.0.iter().filter(wrong).map(problem).collect()
    }

    pub(super) fn hosts(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|broker| host_and_port(broker)).map(|(host, _)| host)
    }
}

impl std::fmt::Display for BrokerList {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.join(","))
    }
}

fn host_and_port(broker: &str) -> Option<(&str, u16)> {
    let (host, port) = match broker.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, "")) => (host, "9092"),
        Some((host, rest)) => (host, rest.strip_prefix(':')?),
        None => broker.split_once(':').unwrap_or((broker, "9092")),
    };
    let plain = |letter: char| letter.is_alphanumeric() || ['-', '_', '.', ':', '%'].contains(&letter);
    let port = port.parse().ok().filter(|port| *port > 0)?;
    (!host.is_empty() && host.chars().all(plain)).then_some((host, port))
}

pub(super) fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}
