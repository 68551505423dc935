//! Limits how often an address may send an unknown token, so that tokens cannot be guessed.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Failures are counted for this long from the first one.
const FAILURE_WINDOW: Duration = Duration::from_secs(60);
/// Most addresses that are tracked.
const MAX_TRACKED_ADDRESSES: usize = 10_000;

/// Counts unknown tokens by client address.
#[derive(Debug)]
pub struct TokenFailures {
    per_window_max: u32,
    addresses: Mutex<HashMap<IpAddr, FailureCount>>,
}

#[derive(Debug)]
struct FailureCount {
    since: Instant,
    failures: u32,
}

impl FailureCount {
    fn remaining_window(&self, now: Instant) -> Option<Duration> {
        FAILURE_WINDOW.checked_sub(now.saturating_duration_since(self.since)).filter(|left| !left.is_zero())
    }
}

impl TokenFailures {
    /// Allows this many failures per minute and address. 0 means no limit.
    pub fn new(per_window_max: u32) -> TokenFailures {
        TokenFailures { per_window_max, addresses: Mutex::default() }
    }

    /// How long the address is still blocked. `None` if it is not.
    pub fn wait_time(&self, from: IpAddr, now: Instant) -> Option<Duration> {
        let addresses = self.addresses.lock();
        let count = addresses.get(&client_network(from))?;
        count.remaining_window(now).filter(|_| self.per_window_max > 0 && count.failures >= self.per_window_max)
    }

    /// Counts an unknown token.
    pub fn record_failure(&self, from: IpAddr, now: Instant) {
        let mut addresses = self.addresses.lock();
        let from = client_network(from);
        if addresses.len() >= MAX_TRACKED_ADDRESSES && !addresses.contains_key(&from) {
            self.evict_addresses(&mut addresses, now);
        }
        let count = addresses.entry(from).or_insert(FailureCount { since: now, failures: 0 });
        if count.remaining_window(now).is_none() {
            *count = FailureCount { since: now, failures: 0 };
        }
        count.failures = count.failures.saturating_add(1);
    }

    /// Drops expired counts, then addresses that are not blocked. If all are blocked, drops all.
    fn evict_addresses(&self, addresses: &mut HashMap<IpAddr, FailureCount>, now: Instant) {
        addresses.retain(|_, count| count.remaining_window(now).is_some());
        if addresses.len() >= MAX_TRACKED_ADDRESSES {
            addresses.retain(|_, count| count.failures >= self.per_window_max);
        }
        if addresses.len() >= MAX_TRACKED_ADDRESSES {
            addresses.clear();
        }
    }
}

/// The network that one client controls: an IPv4 address, or the /64 network of an IPv6 address.
fn client_network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        address => address,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn address(number: u32) -> IpAddr {
        IpAddr::V4(number.into())
    }

    #[test]
    fn address_with_too_many_failures_is_blocked_for_a_minute_and_others_are_not() {
        let failures = TokenFailures::new(3);
        let start = Instant::now();
        for second in 0..3 {
            assert_eq!(failures.wait_time(address(1), start), None);
            failures.record_failure(address(1), start + Duration::from_secs(second));
        }
        let wait = |from, second| failures.wait_time(from, start + Duration::from_secs(second));
        assert_eq!(wait(address(1), 20), Some(Duration::from_secs(40)));
        assert_eq!(wait(address(2), 20), None);
        assert_eq!(wait(address(1), 60), None);
        failures.record_failure(address(1), start + Duration::from_secs(61));
        assert_eq!(wait(address(1), 61), None);
    }

    #[test]
    fn addresses_of_one_ipv6_network_count_together() {
        let failures = TokenFailures::new(1);
        let now = Instant::now();
        failures.record_failure("2001:db8:1:2::1".parse().unwrap(), now);
        assert!(failures.wait_time("2001:db8:1:2:ffff::9".parse().unwrap(), now).is_some());
        assert!(failures.wait_time("2001:db8:1:3::1".parse().unwrap(), now).is_none());
        failures.record_failure("::ffff:10.0.0.1".parse().unwrap(), now);
        assert!(failures.wait_time("10.0.0.1".parse().unwrap(), now).is_some());
    }

    #[test]
    fn tracked_addresses_are_bounded_and_blocked_ones_are_kept() {
        let failures = TokenFailures::new(2);
        let now = Instant::now();
        for _ in 0..2 {
            failures.record_failure(address(0), now);
        }
        for number in 1..u32::try_from(2 * MAX_TRACKED_ADDRESSES).unwrap() {
            failures.record_failure(address(number), now);
        }
        assert!(failures.addresses.lock().len() <= MAX_TRACKED_ADDRESSES);
        assert!(failures.wait_time(address(0), now).is_some());
    }

    #[test]
    fn limit_of_zero_blocks_no_address() {
        let failures = TokenFailures::new(0);
        let now = Instant::now();
        (0..1_000).for_each(|_| failures.record_failure(address(1), now));
        assert_eq!(failures.wait_time(address(1), now), None);
    }
}
