//! Admission control: requests per second of each client, and bytes in flight of all clients.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use pinflow_http::{ByteBudget, ByteReservation};

/// Capacity of a bucket in seconds of its rate: what a client may send in one burst.
const BUCKET_SECS: u64 = 2;
/// Most clients that are tracked. A client that is dropped starts with a full bucket again.
const MAX_TRACKED_CLIENTS: usize = 10_000;

/// Limits the request rate of each client and the memory of all requests.
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

    /// Takes one token of the client's bucket.
    ///
    /// # Errors
    /// The time until the next token, if the bucket is empty.
    pub(super) fn count_request(&self, client: &str, now: Instant) -> Result<(), Duration> {
        self.rates.as_ref().map_or(Ok(()), |rates| rates.take_token(client, now))
    }

    /// Opens a reservation of 0 bytes for a request and its reply.
    pub(super) fn open_reservation(&self) -> ByteReservation {
        self.budget.open_reservation()
    }

    /// Bytes of requests and replies in memory now.
    pub(super) fn bytes_under_way(&self) -> usize {
        self.budget.reserved_bytes()
    }
}

/// Token buckets by client. A bucket holds at most the tokens of [`BUCKET_SECS`].
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
        let most = BUCKET_SECS as f64 * self.per_sec;
        let mut clients = self.clients.lock();
        if clients.len() >= MAX_TRACKED_CLIENTS && !clients.contains_key(client) {
            // A client without requests for this long has a full bucket and loses nothing. If that frees no room, drop all.
            clients.retain(|_, bucket| now.duration_since(bucket.filled) < Duration::from_secs(BUCKET_SECS));
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
    fn client_over_its_rate_waits_and_others_do_not() {
        let admission = AdmissionControl::new(Some(10), 1 << 20);
        let start = Instant::now();
        let sent = |client: &str, at: Duration| admission.count_request(client, start + at);
        assert_eq!((0..20).filter(|_| sent("a", Duration::ZERO).is_ok()).count(), 20);
        let wait = sent("a", Duration::ZERO).unwrap_err();
        assert!(wait > Duration::from_millis(90) && wait <= Duration::from_millis(100), "{wait:?}");
        assert!(sent("b", Duration::ZERO).is_ok());
        assert!(sent("a", Duration::from_millis(50)).is_err());
        assert!(sent("a", Duration::from_millis(101)).is_ok());
        // However long it was idle, its burst stays bounded.
        let later = Duration::from_secs(3_600);
        assert_eq!((0..100).filter(|_| sent("a", later).is_ok()).count(), 20);
    }

    #[test]
    fn number_of_tracked_clients_is_bounded() {
        let rates = RequestRates::new(1);
        let start = Instant::now();
        for client in 0..MAX_TRACKED_CLIENTS + 10 {
            rates.take_token(&client.to_string(), start).unwrap();
        }
        assert!(rates.clients.lock().len() <= MAX_TRACKED_CLIENTS);
    }
}
