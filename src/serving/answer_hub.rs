//! The board: the answers for many readers at once, and the changes that follow what each of them has read.
//!
//! Everything shown is of one epoch. A reader takes the answers and a place in the stream of changes in one step, so
//! nothing lies between the two. Readers share what they read: none of them can slow the graph or make memory grow;
//! one that falls behind by more than [`MAX_EPOCHS_BEHIND`] epochs is told so and has to start anew.
//!
//! A board has two faces. `Live` shows an epoch when it has passed the graph, `Durable` when its rows are committed.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use jiff::Timestamp;
use pinflow_dataflows::answer::AnswerChange;
use pinflow_dataflows::questions;
use serde::Deserialize;
use tokio::sync::broadcast;

use super::latency::{EpochLatencies, LATENCY_WINDOW, LatencySummary};
use super::{AnswerView, render};
use crate::engine::{EpochFrame, SourceStatus};
use crate::position::Epoch;

/// How many epochs with changes a reader may fall behind before it is dropped.
pub(super) const MAX_EPOCHS_BEHIND: usize = 1_024;
/// How many epochs are kept for readers that come back.
const MAX_RETAINED_EPOCHS: usize = 1_024;
/// And how many changed rows.
const MAX_RETAINED_ROWS: usize = 65_536;

/// Which answers are wanted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReadConsistency {
    /// As of the last epoch that passed.
    #[default]
    Live,
    /// As of the last epoch whose rows are committed.
    Durable,
}

/// What changed in one epoch.
pub struct EpochChanges {
    /// The epoch.
    pub epoch: Epoch,
    /// When it was closed.
    pub as_of: Timestamp,
    changes: Arc<Vec<AnswerChange>>,
    /// As JSON, by answer; made when the first reader asks.
    json: [OnceLock<Option<Bytes>>; questions::ALL.len()],
}

impl EpochChanges {
    /// An answer's changes as JSON, `None` if there are none. Made once for all readers.
    pub fn answer_json(&self, answer: usize) -> Option<&Bytes> {
        let render = || render::change_json(self.epoch, Some(self.as_of), &self.changes, answer).map(Bytes::from);
        self.json[answer].get_or_init(render).as_ref()
    }
}

/// The answers, for many readers.
pub struct AnswerHub {
    /// Tells this run's epochs from those of another one.
    run: u64,
    state: Mutex<HubState>,
    latencies: Mutex<EpochLatencies>,
}

struct HubState {
    live: AnswerFeed,
    durable: AnswerFeed,
    /// Changes that passed and are not yet durable.
    not_durable: VecDeque<Arc<EpochChanges>>,
    /// Ends of windows that passed and are not yet durable.
    window_ends: VecDeque<WindowEnd>,
}

/// Where a window ends.
struct WindowEnd {
    epoch: Epoch,
    as_of: Timestamp,
    sources: Arc<[SourceStatus]>,
}

struct AnswerFeed {
    view: AnswerView,
    retained: VecDeque<Arc<EpochChanges>>,
    retained_rows: usize,
    /// The last epoch whose changes are no longer kept.
    trimmed_through: Epoch,
    follow: broadcast::Sender<Arc<EpochChanges>>,
}

/// A reader's place in the stream of changes.
pub struct AnswerSubscription {
    /// Where it starts: the answers, or what it missed while it was away.
    pub start: SubscriptionStart,
    /// What follows that.
    pub next: broadcast::Receiver<Arc<EpochChanges>>,
}

/// How a reader starts.
pub enum SubscriptionStart {
    /// From all rows, as of the view's epoch; `why` it could not go on where it was, if it asked to.
    Snapshot {
        /// The answers.
        view: AnswerView,
        /// In words.
        why: Option<&'static str>,
    },
    /// From these changes on.
    Resumed(Vec<Arc<EpochChanges>>),
}

impl Default for AnswerHub {
    fn default() -> AnswerHub {
        let run = uuid::Uuid::new_v4().as_u64_pair().0;
        let feed = || AnswerFeed {
            view: AnswerView::default(),
            retained: VecDeque::new(),
            retained_rows: 0,
            trimmed_through: 0,
            follow: broadcast::Sender::new(MAX_EPOCHS_BEHIND),
        };
        let state =
            HubState { live: feed(), durable: feed(), not_durable: VecDeque::new(), window_ends: VecDeque::new() };
        AnswerHub { run, state: Mutex::new(state), latencies: Mutex::default() }
    }
}

impl AnswerHub {
    /// Moves on to a frame's epoch.
    pub fn publish_frame(&self, frame: &EpochFrame) {
        let mut state = self.lock_state();
        let HubState { live, durable, not_durable, window_ends } = &mut *state;
        let passed = (!frame.changes.is_empty()).then(|| {
            let json = [const { OnceLock::new() }; questions::ALL.len()];
            Arc::new(EpochChanges { epoch: frame.epoch, as_of: frame.as_of, changes: Arc::clone(&frame.changes), json })
        });
        live.view.apply(frame);
        if let Some(passed) = &passed {
            live.retain_changes(Arc::clone(passed));
        }
        if let Some(committed) = frame.durable_epoch {
            not_durable.extend(passed);
            // What is durable when it passes was read back from the tables.
            if frame.ends_window || frame.epoch <= committed {
                let EpochFrame { epoch, as_of, .. } = *frame;
                window_ends.push_back(WindowEnd { epoch, as_of, sources: Arc::clone(&frame.sources) });
            }
            while let Some(passed) = not_durable.pop_front_if(|passed| passed.epoch <= committed) {
                durable.view.apply_changes(passed.epoch, passed.as_of, &passed.changes);
                durable.retain_changes(passed);
            }
            let view = &mut durable.view;
            // Commits end with windows, so the last of these is the cut of all that was just taken up.
            while let Some(cut) = window_ends.pop_front_if(|cut| cut.epoch <= committed) {
                (view.epoch, view.as_of, view.sources) = (cut.epoch, cut.as_of, cut.sources);
            }
            (view.durable_epoch, view.open) = (frame.durable_epoch, frame.open);
        }
        drop(state);
        if let Some(first_record_at) = frame.first_record_at.filter(|_| frame.open) {
            self.lock_latencies().record_epoch(first_record_at, Instant::now());
        }
    }

    /// The latencies of the epochs that were shown in the last minute.
    pub(super) fn recent_latency(&self) -> LatencySummary {
        self.latency_since(Instant::now().checked_sub(LATENCY_WINDOW))
    }

    /// The latencies of the epochs that were shown since then; `None`: of all that are remembered.
    pub(super) fn latency_since(&self, since: Option<Instant>) -> LatencySummary {
        self.lock_latencies().summarize_since(since)
    }

    fn lock_latencies(&self) -> MutexGuard<'_, EpochLatencies> {
        self.latencies.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All answers as of one epoch; `None` if they are durable ones and this run keeps no tables.
    #[must_use]
    pub fn current_view(&self, read: ReadConsistency) -> Option<AnswerView> {
        Some(self.lock_state().feed_for(read)?.view.clone())
    }

    /// What the epochs of this run are told from other runs' by.
    #[must_use]
    pub fn run_id(&self) -> u64 {
        self.run
    }

    /// Answers and all changes from there on, or all changes since an epoch that a reader has seen in this run.
    #[must_use]
    pub fn subscribe_from(&self, read: ReadConsistency, seen: Option<(u64, Epoch)>) -> Option<AnswerSubscription> {
        let state = self.lock_state();
        let feed = state.feed_for(read)?;
        let next = feed.follow.subscribe();
        let why = match seen {
            None => None,
            Some((run, _)) if run != self.run => Some("pinflow was started anew since"),
            Some((_, epoch)) if epoch > feed.view.epoch => Some("that epoch has not passed"),
            Some((_, epoch)) if epoch < feed.trimmed_through => Some("that was too long ago"),
            Some((_, epoch)) => {
                let missed = feed.retained.iter().filter(|passed| passed.epoch > epoch).cloned().collect();
                return Some(AnswerSubscription { start: SubscriptionStart::Resumed(missed), next });
            }
        };
        Some(AnswerSubscription { start: SubscriptionStart::Snapshot { view: feed.view.clone(), why }, next })
    }

    fn lock_state(&self) -> MutexGuard<'_, HubState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl HubState {
    fn feed_for(&self, read: ReadConsistency) -> Option<&AnswerFeed> {
        match read {
            ReadConsistency::Live => Some(&self.live),
            ReadConsistency::Durable => self.live.view.durable_epoch.map(|_| &self.durable),
        }
    }
}

impl AnswerFeed {
    fn retain_changes(&mut self, passed: Arc<EpochChanges>) {
        self.retained_rows += passed.changes.len();
        self.retained.push_back(Arc::clone(&passed));
        while self.retained.len() > MAX_RETAINED_EPOCHS || self.retained_rows > MAX_RETAINED_ROWS {
            let Some(oldest) = self.retained.pop_front() else { break };
            self.retained_rows -= oldest.changes.len();
            self.trimmed_through = oldest.epoch;
        }
        // Nobody may be following.
        let _ = self.follow.send(passed);
    }
}
