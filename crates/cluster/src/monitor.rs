//! Which peer was lost.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use tokio::sync::watch;

/// How often peers that left are looked at.
const DEPARTURE_CHECK_INTERVAL: Duration = Duration::from_millis(200);

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
}

impl fmt::Display for LossCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LossCause::Closed => f.write_str("it closed its connection"),
            LossCause::Failed(error) => write!(f, "its connection failed: {error}"),
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
        }
    }
}

/// The record of one peer, which the threads of its socket write.
struct PeerRecord {
    index: usize,
    address: String,
    /// When it left in order, in milliseconds from the monitor's start. `STILL_HERE` before.
    left_at: AtomicU64,
}

struct MonitorState {
    peers: Vec<PeerRecord>,
    started: Instant,
    lost: watch::Sender<Option<LostPeer>>,
    is_ending: AtomicBool,
}

/// Tells which peer was lost. Clones share what they know.
#[derive(Clone)]
pub struct PeerMonitor {
    state: Arc<MonitorState>,
}

impl PeerMonitor {
    /// A monitor of these peers, each with its number and address.
    pub(crate) fn new(peers: impl IntoIterator<Item = (usize, String)>) -> PeerMonitor {
        let record = |(index, address)| PeerRecord { index, address, left_at: AtomicU64::new(STILL_HERE) };
        let state = MonitorState {
            peers: peers.into_iter().map(record).collect(),
            started: Instant::now(),
            lost: watch::Sender::new(None),
            is_ending: AtomicBool::new(false),
        };
        PeerMonitor { state: Arc::new(state) }
    }

    /// Starts the thread that finds peers that left too early. It ends with the last clone of the monitor, or when the end
    /// begins.
    pub(crate) fn watch_departures(&self) -> std::io::Result<()> {
        let state = Arc::downgrade(&self.state);
        let watcher = std::thread::Builder::new().name("pinflow:departures".to_owned());
        watcher.spawn(move || find_early_departures(&state)).map(drop)
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

fn find_early_departures(state: &Weak<MonitorState>) {
    loop {
        std::thread::sleep(DEPARTURE_CHECK_INTERVAL);
        let Some(state) = state.upgrade().filter(|state| !state.is_ending.load(Ordering::SeqCst)) else { return };
        let now = state.millis();
        for (place, peer) in state.peers.iter().enumerate() {
            let left_at = peer.left_at.load(Ordering::SeqCst);
            if left_at != STILL_HERE && now.saturating_sub(left_at) >= END_WAIT_MAX.as_millis() as u64 {
                state.report_loss(place, LossCause::Closed);
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
        monitor.watch_departures().unwrap();
        monitor.note_departure(1);
        assert_eq!(monitor.lost().await.cause, LossCause::Closed);
    }
}
