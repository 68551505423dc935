//! How much may come: requests a second from each client, and bytes under way from all of them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::http::{ByteBudget, ByteReservation};

/// Clients that are remembered; those that have not come for longest are forgotten, and begin anew.
const MAX_TRACKED_CLIENTS: usize = 10_000;

/// Lets requests in.
pub(super) struct AdmissionControl {
    rates: Option<RequestRates>,
    budget: Arc<ByteBudget>,
}

impl AdmissionControl {
    pub(super) fn new(requests_per_sec_max: Option<u32>, bytes_under_way_max: usize) -> AdmissionControl {
        AdmissionControl {
            rates: requests_per_sec_max.map(RequestRates::new),
            budget: ByteBudget::new(bytes_under_way_max),
        }
    }

    /// Counts a request of a client.
    ///
    /// # Errors
    /// How long to wait, if it has sent too many.
    pub(super) fn count_request(&self, client: &str, now: Instant) -> Result<(), Duration> {
        self.rates.as_ref().map_or(Ok(()), |rates| rates.take_token(client, now))
    }

    /// A reservation of nothing yet, for a request and its reply.
    pub(super) fn open_reservation(&self) -> ByteReservation {
        self.budget.open_reservation()
    }

    /// Bytes that requests and replies hold now.
    pub(super) fn bytes_under_way(&self) -> usize {
        self.budget.reserved_bytes()
    }
}

/// A bucket of tokens for each client: filled evenly, two seconds' worth at the most.
struct RequestRates {
    per_sec: f64,
    clients: Mutex<HashMap<String, TokenBucket>>,
}

struct TokenBucket {
    tokens: f64,
    filled: Instant,
}

impl RequestRates {
    fn new(per_sec: u32) -> RequestRates {
        RequestRates { per_sec: per_sec.into(), clients: Mutex::default() }
    }

    fn take_token(&self, client: &str, now: Instant) -> Result<(), Duration> {
        let most = 2.0 * self.per_sec;
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if clients.len() >= MAX_TRACKED_CLIENTS && !clients.contains_key(client) {
            // Who has not come for two seconds has a full bucket, and loses nothing. If all came, all begin anew.
            clients.retain(|_, bucket| now.duration_since(bucket.filled) < Duration::from_secs(2));
            if clients.len() >= MAX_TRACKED_CLIENTS {
                clients.clear();
            }
        }
        let bucket = clients.entry(client.to_owned()).or_insert(TokenBucket { tokens: most, filled: now });
        let passed = now.saturating_duration_since(bucket.filled).as_secs_f64();
        bucket.tokens = (bucket.tokens + passed * self.per_sec).min(most);
        bucket.filled = now;
        if bucket.tokens >= 1.0 {
            bucket.tokens -= 1.0;
            Ok(())
        } else {
            Err(Duration::from_secs_f64((1.0 - bucket.tokens) / self.per_sec))
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_client_that_sends_too_much_waits_and_others_do_not() {
        let admission = AdmissionControl::new(Some(10), 1 << 20);
        let start = Instant::now();
        let sent = |client: &str, at: Duration| admission.count_request(client, start + at);
        assert_eq!((0..20).filter(|_| sent("a", Duration::ZERO).is_ok()).count(), 20);
        let wait = sent("a", Duration::ZERO).unwrap_err();
        assert!(wait > Duration::from_millis(90) && wait <= Duration::from_millis(100), "{wait:?}");
        assert!(sent("b", Duration::ZERO).is_ok());
        assert!(sent("a", Duration::from_millis(50)).is_err());
        assert!(sent("a", Duration::from_millis(101)).is_ok());
        // However long it was away, what it may send at once stays bounded.
        let later = Duration::from_secs(3_600);
        assert_eq!((0..100).filter(|_| sent("a", later).is_ok()).count(), 20);
    }

    #[test]
    fn the_number_of_clients_that_are_remembered_is_bounded() {
        let rates = RequestRates::new(1);
        let start = Instant::now();
        for client in 0..MAX_TRACKED_CLIENTS + 10 {
            rates.take_token(&client.to_string(), start).unwrap();
        }
        assert!(rates.clients.lock().unwrap().len() <= MAX_TRACKED_CLIENTS);
    }
}
