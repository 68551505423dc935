//! Who is heard, and who was lost.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use tokio::sync::watch;

/// How often silence is looked for, at most.
const SILENCE_CHECK_INTERVAL_MAX: Duration = Duration::from_secs(1);

/// How often silence is looked for, at least.
const SILENCE_CHECK_INTERVAL_MIN: Duration = Duration::from_millis(20);

/// A peer that left in order is no loss if the end begins here within this time. The word of the end may still be on its
/// way through the dataflow.
const END_WAIT_MAX: Duration = Duration::from_secs(5);

/// The time at which a peer left that has not.
const STILL_HERE: u64 = u64::MAX;

/// Why a peer counts as lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LossCause {
    /// It closed the connection: its process ended.
    Closed,
    /// The connection failed, with the text of the I/O error.
    Failed(String),
    /// Nothing was heard from it for this long.
    Silent(Duration),
}

impl fmt::Display for LossCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LossCause::Closed => f.write_str("it closed its connection"),
            LossCause::Failed(error) => write!(f, "its connection failed: {error}"),
            LossCause::Silent(time) => write!(f, "it has been silent for {} s", Secs(*time)),
        }
    }
}

/// A process that was lost, and why. Its text is the line to log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LostPeer {
    /// The number of the process.
    pub index: usize,
    /// Its address, as configured.
    pub address: String,
    /// Why it counts as lost.
    pub cause: LossCause,
}

impl fmt::Display for LostPeer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let LostPeer { index, address, cause } = self;
        match cause {
            LossCause::Closed => write!(f, "process {index} ({address}) closed its connection"),
            LossCause::Failed(error) => write!(f, "the connection to process {index} ({address}) failed: {error}"),
            LossCause::Silent(time) => write!(f, "process {index} ({address}) has been silent for {} s", Secs(*time)),
        }
    }
}

/// Whole seconds without a fraction, others with one digit.
struct Secs(Duration);

impl fmt::Display for Secs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = usize::from(self.0.subsec_millis() >= 50);
        write!(f, "{:.digits$}", self.0.as_secs_f64())
    }
}

/// What is known about a peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerState {
    /// The number of the process.
    pub index: usize,
    /// Its address, as configured.
    pub address: String,
    /// How long ago bytes came from it.
    pub last_heard: Duration,
    /// Bytes sent to it, before encryption.
    pub bytes_sent: u64,
    /// Bytes received from it, after decryption.
    pub bytes_received: u64,
}

/// The record of one peer, which the threads of its socket write.
struct PeerRecord {
    index: usize,
    address: String,
    sent: AtomicU64,
    received: AtomicU64,
    /// Milliseconds from the monitor's start.
    heard_at: AtomicU64,
    /// When it left in order, in milliseconds from the monitor's start. `STILL_HERE` before.
    left_at: AtomicU64,
}

struct MonitorState {
    peers: Vec<PeerRecord>,
    started: Instant,
    lost: watch::Sender<Option<LostPeer>>,
    is_ending: AtomicBool,
}

/// Tells who is heard and who was lost. Clones share what they know.
#[derive(Clone)]
pub struct PeerMonitor {
    state: Arc<MonitorState>,
}

impl PeerMonitor {
    /// A monitor of these peers, each with its number and address.
    pub(crate) fn new(peers: impl IntoIterator<Item = (usize, String)>) -> PeerMonitor {
        let record = |(index, address)| PeerRecord {
            index,
            address,
            sent: AtomicU64::new(0),
            received: AtomicU64::new(0),
            heard_at: AtomicU64::new(0),
            left_at: AtomicU64::new(STILL_HERE),
        };
        let state = MonitorState {
            peers: peers.into_iter().map(record).collect(),
            started: Instant::now(),
            lost: watch::Sender::new(None),
            is_ending: AtomicBool::new(false),
        };
        PeerMonitor { state: Arc::new(state) }
    }

    /// Starts the thread that finds peers that left too early, and silent ones. It ends with the last clone of the monitor,
    /// or when the end begins.
    pub(crate) fn watch_peers(&self, silent_max: Option<Duration>) -> std::io::Result<()> {
        let silent_max = silent_max.unwrap_or(Duration::MAX);
        let state = Arc::downgrade(&self.state);
        let watcher = std::thread::Builder::new().name("pinflow:silence".to_owned());
        watcher.spawn(move || find_silent_peers(&state, silent_max)).map(drop)
    }

    /// Waits until a peer is lost, and says which. Later losses follow from the first and are not reported.
    pub async fn lost(&self) -> LostPeer {
        let mut receiver = self.state.lost.subscribe();
        loop {
            if let Some(lost) = receiver.borrow_and_update().clone() {
                return lost;
            }
            if receiver.changed().await.is_err() {
                // The sender lives as long as `self`.
                std::future::pending::<()>().await;
            }
        }
    }

    /// Says that the cluster ends in order: from now on peers may leave, and none is lost.
    pub fn begin_end(&self) {
        self.state.is_ending.store(true, Ordering::SeqCst);
    }

    /// What is known about each peer, in order.
    #[must_use]
    pub fn states(&self) -> Vec<PeerState> {
        let now = self.state.millis();
        let state_of = |peer: &PeerRecord| PeerState {
            index: peer.index,
            address: peer.address.clone(),
            last_heard: Duration::from_millis(now.saturating_sub(peer.heard_at.load(Ordering::Relaxed))),
            bytes_sent: peer.sent.load(Ordering::Relaxed),
            bytes_received: peer.received.load(Ordering::Relaxed),
        };
        self.state.peers.iter().map(state_of).collect()
    }

    /// Counts bytes that were sent to the peer at a place of the list.
    pub(crate) fn count_sent(&self, place: usize, bytes: usize) {
        self.state.peers[place].sent.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Counts bytes that came from the peer at a place of the list.
    pub(crate) fn count_received(&self, place: usize, bytes: usize) {
        let peer = &self.state.peers[place];
        peer.received.fetch_add(bytes as u64, Ordering::Relaxed);
        peer.heard_at.store(self.state.millis(), Ordering::Relaxed);
    }

    /// Notes that the peer at a place of the list has left in order. It is lost if the end does not begin here soon.
    pub(crate) fn note_departure(&self, place: usize) {
        let now = self.state.millis();
        self.state.peers[place].left_at.fetch_min(now, Ordering::SeqCst);
    }

    /// Reports that the peer at a place of the list is lost, unless the end has begun.
    pub(crate) fn report_loss(&self, place: usize, cause: LossCause) {
        self.state.report_loss(place, cause);
    }
}

impl MonitorState {
    fn millis(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn report_loss(&self, place: usize, cause: LossCause) {
        if self.is_ending.load(Ordering::SeqCst) {
            return;
        }
        let peer = &self.peers[place];
        self.lost.send_if_modified(|lost| {
            let is_first = lost.is_none();
            if is_first {
                *lost = Some(LostPeer { index: peer.index, address: peer.address.clone(), cause });
            }
            is_first
        });
    }
}

/// How long each peer has been silent while this process was running.
///
/// A process that was stopped itself must not blame its peers: what they sent meanwhile still waits in its sockets. So
/// each check counts two intervals at most, however long ago the one before it was.
struct SilenceCheck {
    interval: Duration,
    /// Of each peer: the bytes received at the last check, and its silence.
    peers: Vec<(u64, Duration)>,
}

impl SilenceCheck {
    fn new(peers: usize, silent_max: Duration) -> SilenceCheck {
        let interval = (silent_max / 20).clamp(SILENCE_CHECK_INTERVAL_MIN, SILENCE_CHECK_INTERVAL_MAX);
        SilenceCheck { interval, peers: vec![(0, Duration::ZERO); peers] }
    }

    /// Takes the bytes received from the peer at a place, and returns its silence.
    fn update(&mut self, place: usize, received: u64, passed: Duration) -> Duration {
        let (before, silence) = &mut self.peers[place];
        if *before == received {
            *silence += passed.min(self.interval * 2);
        } else {
            *before = received;
            *silence = Duration::ZERO;
        }
        *silence
    }
}

fn find_silent_peers(state: &Weak<MonitorState>, silent_max: Duration) {
    let Some(peers) = state.upgrade().map(|state| state.peers.len()) else { return };
    let mut check = SilenceCheck::new(peers, silent_max);
    let mut last = Instant::now();
    loop {
        std::thread::sleep(check.interval);
        let Some(state) = state.upgrade() else { return };
        if state.is_ending.load(Ordering::SeqCst) {
            return;
        }
        let passed = last.elapsed();
        last = Instant::now();
        let now = state.millis();
        for place in 0..peers {
            let left_at = state.peers[place].left_at.load(Ordering::SeqCst);
            if left_at != STILL_HERE {
                // Nothing more comes from it.
                if now.saturating_sub(left_at) >= END_WAIT_MAX.as_millis() as u64 {
                    state.report_loss(place, LossCause::Closed);
                }
                continue;
            }
            let received = state.peers[place].received.load(Ordering::Relaxed);
            if check.update(place, received, passed) >= silent_max {
                state.report_loss(place, LossCause::Silent(silent_max));
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn monitor() -> PeerMonitor {
        PeerMonitor::new([(0, "pinflow-0:7462".to_owned()), (2, "pinflow-2:7462".to_owned())])
    }

    #[test]
    fn lost_peer_text_names_process_address_and_cause() {
        let text = |cause| LostPeer { index: 2, address: "pinflow-2:7462".to_owned(), cause }.to_string();
        assert_eq!(
            text(LossCause::Silent(Duration::from_secs(30))),
            "process 2 (pinflow-2:7462) has been silent for 30 s"
        );
        assert_eq!(
            text(LossCause::Silent(Duration::from_millis(1500))),
            "process 2 (pinflow-2:7462) has been silent for 1.5 s"
        );
        assert_eq!(text(LossCause::Closed), "process 2 (pinflow-2:7462) closed its connection");
    }

    #[tokio::test]
    async fn first_loss_is_reported_to_all_clones_and_later_ones_are_not() {
        let monitor = monitor();
        monitor.report_loss(1, LossCause::Closed);
        monitor.report_loss(0, LossCause::Failed("reset".to_owned()));
        for clone in [monitor.clone(), monitor] {
            let lost = clone.lost().await;
            assert_eq!((lost.index, lost.cause), (2, LossCause::Closed));
        }
    }

    #[test]
    fn loss_after_the_end_began_is_not_reported() {
        let monitor = monitor();
        monitor.begin_end();
        monitor.report_loss(0, LossCause::Closed);
        assert!(monitor.state.lost.borrow().is_none());
    }

    #[tokio::test]
    async fn peer_that_left_in_order_is_lost_if_the_end_does_not_begin() {
        let monitor = monitor();
        monitor.watch_peers(None).unwrap();
        monitor.note_departure(1);
        assert_eq!(monitor.lost().await.cause, LossCause::Closed);
    }

    #[test]
    fn states_count_bytes_of_each_peer() {
        let monitor = monitor();
        monitor.count_sent(0, 3);
        monitor.count_received(1, 5);
        let counted: Vec<_> = monitor.states().iter().map(|s| (s.index, s.bytes_sent, s.bytes_received)).collect();
        assert_eq!(counted, [(0, 3, 0), (2, 0, 5)]);
    }

    #[test]
    fn silence_adds_up_until_bytes_come() {
        let mut check = SilenceCheck::new(1, Duration::from_secs(2));
        let interval = check.interval;
        assert_eq!(check.update(0, 0, interval), interval);
        assert_eq!(check.update(0, 0, interval), interval * 2);
        assert_eq!(check.update(0, 9, interval), Duration::ZERO);
        assert_eq!(check.update(0, 9, interval), interval);
    }

    #[test]
    fn own_stop_is_not_counted_as_silence_of_peers() {
        let mut check = SilenceCheck::new(1, Duration::from_secs(2));
        assert_eq!(check.update(0, 0, Duration::from_secs(3600)), check.interval * 2);
    }
}
