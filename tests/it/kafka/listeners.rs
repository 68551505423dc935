//! Security: which connections stand, and which are refused.

use pinflow::kafka::{Client, Connection};
use rdkafka::consumer::{BaseConsumer, Consumer};
use std::path::Path;
use std::time::{Duration, Instant};

use super::broker::{Broker, Listener};
use super::skipped;

/// What is configured for a listener of the shared broker.
fn connection(listener: Listener, more: &str) -> Connection {
    let broker = Broker::shared();
    let ca = broker.certificates().authority();
    let text = format!("brokers = '{}'\ntls = {{ ca = '{}' }}\n{more}", broker.at(listener), ca.display());
    toml::from_str(&text).unwrap()
}

/// Asks for the cluster's metadata; what stood in the way if there is none within a short time.
fn reach(connection: &Connection) -> Result<usize, Vec<String>> {
    let observer: BaseConsumer<Client> = connection.observer(Path::new("")).unwrap();
    let asked = Instant::now();
    match observer.fetch_metadata(None, Duration::from_secs(5)) {
        Ok(metadata) => Ok(metadata.brokers().len()),
        Err(_) => {
            while asked.elapsed() < Duration::from_secs(7) && observer.client().context().troubles().is_empty() {
                let _ = observer.poll(Duration::from_millis(50));
            }
            Err(observer.client().context().troubles())
        }
    }
}

#[test]
fn a_good_certificate_is_accepted() {
    if skipped() {
        return;
    }
    assert_eq!(reach(&connection(Listener::Tls, "")), Ok(1));
}

#[test]
fn certificates_that_prove_nothing_are_refused() {
    if skipped() {
        return;
    }
    for listener in [Listener::WrongHost, Listener::Expired, Listener::SelfSigned] {
        let troubles = reach(&connection(listener, "")).unwrap_err();
        assert!(troubles.iter().any(|what| what.contains("SSL handshake failed")), "{listener:?}: {troubles:?}");
    }
}
