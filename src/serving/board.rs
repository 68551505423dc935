//! The board: the answers for many readers at once, and the changes that follow what each of them has read.
//!
//! Everything shown is of one epoch. A reader takes the answers and a place in the stream of changes in one step, so
//! nothing lies between the two. Readers share what they read: none of them can slow the graph or make memory grow;
//! one that falls behind by more than [`BEHIND_MAX`] epochs is told so and has to start anew.
//!
//! A board has two faces. `Live` shows an epoch when it has passed the graph, `Durable` when its rows are committed.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use jiff::Timestamp;
use pinflow_dataflows::answer::Change;
use pinflow_dataflows::questions;
use serde::Deserialize;
use tokio::sync::broadcast;

use super::latency::{EpochLatencies, LATENCY_WINDOW, LatencySummary};
use super::{View, render};
use crate::engine::{Frame, SourceStatus};
use crate::position::Epoch;

/// How many epochs with changes a reader may fall behind before it is dropped.
pub(super) const BEHIND_MAX: usize = 1_024;
/// How many epochs are kept for readers that come back.
const KEPT_EPOCHS: usize = 1_024;
/// And how many changed rows.
const KEPT_ROWS: usize = 65_536;

/// Which answers are wanted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Read {
    /// As of the last epoch that passed.
    #[default]
    Live,
    /// As of the last epoch whose rows are committed.
    Durable,
}

/// What changed in one epoch.
pub struct Passed {
    /// The epoch.
    pub epoch: Epoch,
    /// When it was closed.
    pub as_of: Timestamp,
    changes: Arc<Vec<Change>>,
    /// As JSON, by answer; made when the first reader asks.
    json: [OnceLock<Option<Bytes>>; questions::ALL.len()],
}

impl Passed {
    /// An answer's changes as JSON, `None` if there are none. Made once for all readers.
    pub fn json(&self, answer: usize) -> Option<&Bytes> {
        let render = || render::change(self.epoch, Some(self.as_of), &self.changes, answer).map(Bytes::from);
        self.json[answer].get_or_init(render).as_ref()
    }
}

/// The answers, for many readers.
pub struct Board {
    /// Tells this run's epochs from those of another one.
    run: u64,
    inner: Mutex<Inner>,
    latencies: Mutex<EpochLatencies>,
}

struct Inner {
    live: Face,
    durable: Face,
    /// Changes that passed and are not yet durable.
    waiting: VecDeque<Arc<Passed>>,
    /// Ends of windows that passed and are not yet durable.
    cuts: VecDeque<Cut>,
}

/// Where a window ends.
struct Cut {
    epoch: Epoch,
    as_of: Timestamp,
    sources: Arc<[SourceStatus]>,
}

struct Face {
    view: View,
    kept: VecDeque<Arc<Passed>>,
    kept_rows: usize,
    /// The last epoch whose changes are no longer kept.
    forgotten: Epoch,
    follow: broadcast::Sender<Arc<Passed>>,
}

/// A reader's place in the stream of changes.
pub struct Following {
    /// Where it starts: the answers, or what it missed while it was away.
    pub start: Start,
    /// What follows that.
    pub next: broadcast::Receiver<Arc<Passed>>,
}

/// How a reader starts.
pub enum Start {
    /// From all rows, as of the view's epoch; `why` it could not go on where it was, if it asked to.
    Anew {
        /// The answers.
        view: View,
        /// In words.
        why: Option<&'static str>,
    },
    /// From these changes on.
    Resumed(Vec<Arc<Passed>>),
}

impl Default for Board {
    fn default() -> Board {
        let run = uuid::Uuid::new_v4().as_u64_pair().0;
        let face = || Face {
            view: View::default(),
            kept: VecDeque::new(),
            kept_rows: 0,
            forgotten: 0,
            follow: broadcast::Sender::new(BEHIND_MAX),
        };
        let inner = Inner { live: face(), durable: face(), waiting: VecDeque::new(), cuts: VecDeque::new() };
        Board { run, inner: Mutex::new(inner), latencies: Mutex::default() }
    }
}

impl Board {
    /// Moves on to a frame's epoch.
    pub fn show(&self, frame: &Frame) {
        let mut inner = self.inner();
        let Inner { live, durable, waiting, cuts } = &mut *inner;
        let passed = (!frame.changes.is_empty()).then(|| {
            let json = [const { OnceLock::new() }; questions::ALL.len()];
            Arc::new(Passed { epoch: frame.epoch, as_of: frame.as_of, changes: Arc::clone(&frame.changes), json })
        });
        live.view.apply(frame);
        if let Some(passed) = &passed {
            live.keep(Arc::clone(passed));
        }
        if let Some(committed) = frame.durable_epoch {
            waiting.extend(passed);
            // What is durable when it passes was read back from the tables.
            if frame.cut || frame.epoch <= committed {
                let Frame { epoch, as_of, .. } = *frame;
                cuts.push_back(Cut { epoch, as_of, sources: Arc::clone(&frame.sources) });
            }
            while let Some(passed) = waiting.pop_front_if(|passed| passed.epoch <= committed) {
                durable.view.advance(passed.epoch, passed.as_of, &passed.changes);
                durable.keep(passed);
            }
            let view = &mut durable.view;
            // Commits end with windows, so the last of these is the cut of all that was just taken up.
            while let Some(cut) = cuts.pop_front_if(|cut| cut.epoch <= committed) {
                (view.epoch, view.as_of, view.sources) = (cut.epoch, cut.as_of, cut.sources);
            }
            (view.durable_epoch, view.open) = (frame.durable_epoch, frame.open);
        }
        drop(inner);
        if let Some(first_record_at) = frame.first_record_at.filter(|_| frame.open) {
            self.latencies().record(first_record_at, Instant::now());
        }
    }

    /// The latencies of the epochs that were shown in the last minute.
    pub(super) fn recent_latency(&self) -> LatencySummary {
        self.latency_since(Instant::now().checked_sub(LATENCY_WINDOW))
    }

    /// The latencies of the epochs that were shown since then; `None`: of all that are remembered.
    pub(super) fn latency_since(&self, since: Option<Instant>) -> LatencySummary {
        self.latencies().summary(since)
    }

    fn latencies(&self) -> MutexGuard<'_, EpochLatencies> {
        self.latencies.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All answers as of one epoch; `None` if they are durable ones and this run keeps no tables.
    #[must_use]
    pub fn view(&self, read: Read) -> Option<View> {
        Some(self.inner().face(read)?.view.clone())
    }

    /// What the epochs of this run are told from other runs' by.
    #[must_use]
    pub fn run(&self) -> u64 {
        self.run
    }

    /// Answers and all changes from there on, or all changes since an epoch that a reader has seen in this run.
    #[must_use]
    pub fn follow(&self, read: Read, seen: Option<(u64, Epoch)>) -> Option<Following> {
        let inner = self.inner();
        let face = inner.face(read)?;
        let next = face.follow.subscribe();
        let why = match seen {
            None => None,
            Some((run, _)) if run != self.run => Some("pinflow was started anew since"),
            Some((_, epoch)) if epoch > face.view.epoch => Some("that epoch has not passed"),
            Some((_, epoch)) if epoch < face.forgotten => Some("that was too long ago"),
            Some((_, epoch)) => {
                let missed = face.kept.iter().filter(|passed| passed.epoch > epoch).cloned().collect();
                return Some(Following { start: Start::Resumed(missed), next });
            }
        };
        Some(Following { start: Start::Anew { view: face.view.clone(), why }, next })
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn face(&self, read: Read) -> Option<&Face> {
        match read {
            Read::Live => Some(&self.live),
            Read::Durable => self.live.view.durable_epoch.map(|_| &self.durable),
        }
    }
}

impl Face {
    fn keep(&mut self, passed: Arc<Passed>) {
        self.kept_rows += passed.changes.len();
        self.kept.push_back(Arc::clone(&passed));
        while self.kept.len() > KEPT_EPOCHS || self.kept_rows > KEPT_ROWS {
            let Some(oldest) = self.kept.pop_front() else { break };
            self.kept_rows -= oldest.changes.len();
            self.forgotten = oldest.epoch;
        }
        // Nobody may be following.
        let _ = self.follow.send(passed);
    }
}
