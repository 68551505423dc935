//! The answers of the current epoch and their changes, for many concurrent readers.
//!
//! Every view is of one complete epoch. A subscription takes the answers and its place in the stream of changes under one
//! lock, so it misses no change and sees none twice.
//!
//! Subscribers share a ring buffer of the last [`MAX_EPOCHS_BEHIND`] changed epochs, so none of them can slow the dataflow
//! or make memory grow. A subscriber that falls further behind is dropped and starts again from a snapshot.
//!
//! There are two feeds. `Live` advances when an epoch is complete, `Durable` when its rows are committed.

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use bytes::Bytes;
use jiff::Timestamp;
use parking_lot::{Mutex, MutexGuard};
use pinflow_dataflows::answer::{AnswerChange, LiveAnswer};
use pinflow_dataflows::questions::{Question, QuestionId, QuestionName, QuestionSet};
use serde::Deserialize;
use tokio::sync::broadcast;

use super::latency::{EpochLatencies, LATENCY_WINDOW, LatencySummary};
use super::{AnswerView, render};
use pinflow_core::duration_histogram::{DurationHistogram, HistogramCounts};
use pinflow_core::position::Epoch;
use pinflow_engine::{EpochFrame, SourceStatus};

/// Changed epochs by which a subscriber may fall behind before it is dropped.
pub(super) const MAX_EPOCHS_BEHIND: usize = 1_024;
/// Most changed epochs that are kept for subscribers that reconnect.
const MAX_RETAINED_EPOCHS: usize = 1_024;
/// Most changed rows that are kept for subscribers that reconnect.
const MAX_RETAINED_ROWS: usize = 65_536;

/// Which epochs a reader sees.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReadConsistency {
    /// All complete epochs.
    #[default]
    Live,
    /// Only epochs whose rows are committed.
    Durable,
}

/// The changes of one epoch.
pub struct EpochChanges {
    /// The epoch.
    pub epoch: Epoch,
    /// When the epoch was closed.
    pub as_of: Timestamp,
    /// The questions at the end of the epoch.
    pub questions: QuestionSet,
    /// Questions that the epoch before did not have. What it has of them is all their rows.
    pub added: Box<[QuestionId]>,
    /// Questions that the epoch before had, with their names.
    pub removed: Box<[(QuestionId, QuestionName)]>,
    durable_epoch: Option<Epoch>,
    first_answers: Arc<[(QuestionId, LiveAnswer)]>,
    changes: Arc<Vec<AnswerChange>>,
    /// Rendered as JSON when the first subscriber needs it, in the order of `questions`.
    json: Box<[OnceLock<Option<Bytes>>]>,
}

impl EpochChanges {
    /// The changes of a frame after an epoch with the questions `before`. `None` if nothing changed.
    fn from_frame(frame: &EpochFrame, before: &QuestionSet) -> Option<EpochChanges> {
        if frame.changes.is_empty() && frame.questions.has_same_ids(before) {
            return None;
        }
        let json = frame.questions.iter().map(|_| OnceLock::new()).collect();
        let (questions, changes) = (frame.questions.clone(), Arc::clone(&frame.changes));
        let first_answers = Arc::clone(&frame.first_answers);
        let added = questions.iter().map(|(id, _)| id).filter(|id| before.get(*id).is_none()).collect();
        let removed = before.iter().filter(|(id, _)| questions.get(*id).is_none());
        let removed = removed.map(|(id, question)| (id, question.name.clone())).collect();
        let EpochFrame { epoch, as_of, durable_epoch, .. } = *frame;
        Some(EpochChanges { epoch, as_of, questions, added, removed, durable_epoch, first_answers, changes, json })
    }

    /// The answer to a question that the epoch before did not have: all its rows, and the last committed epoch.
    pub(super) fn first_answer(&self, id: QuestionId) -> Option<(&Arc<Question>, LiveAnswer, Option<Epoch>)> {
        let question = self.questions.get(id).filter(|_| self.added.contains(&id))?;
        if let Some((_, answer)) = self.first_answers.iter().find(|(answer, _)| *answer == id) {
            return Some((question, answer.clone(), self.durable_epoch));
        }
        let mut table = question.empty_table();
        let changes = self.changes.iter().filter(|change| change.answer == id);
        // The view has applied the same changes to an empty table.
        table.apply(changes.map(|change| (&change.row, change.diff))).ok()?;
        Some((question, table, self.durable_epoch))
    }

    /// The rows that it holds.
    fn row_count(&self) -> usize {
        self.changes.len() + self.first_answers.iter().map(|(_, answer)| answer.counted_rows().len()).sum::<usize>()
    }

    /// The changes of one answer as JSON, rendered once for all subscribers. `None` if the answer did not change, or there
    /// is no such question in this epoch.
    pub fn answer_json(&self, id: QuestionId) -> Option<&Bytes> {
        let question = self.questions.get(id)?;
        self.render_once(id, || {
            render::change_json(self.epoch, Some(self.as_of), &self.changes, (id, question)).map(Bytes::from)
        })
    }

    /// What is sent of one answer, rendered once for all subscribers: every caller must render the same.
    pub(super) fn render_once(&self, id: QuestionId, render: impl FnOnce() -> Option<Bytes>) -> Option<&Bytes> {
        self.json[self.questions.index_of(id)?].get_or_init(render).as_ref()
    }
}

/// Holds the live and the durable answers and distributes their changes.
pub struct AnswerHub {
    /// Random id of this run. Epoch numbers of another run mean something else.
    run: u64,
    state: Mutex<HubState>,
    latencies: Mutex<EpochLatencies>,
    epoch_times: DurationHistogram,
}

struct HubState {
    live: AnswerFeed,
    durable: AnswerFeed,
    /// Changes of complete epochs that are not yet durable.
    not_durable: VecDeque<Arc<EpochChanges>>,
    /// Ends of windows that are complete and not yet durable.
    window_ends: VecDeque<WindowEnd>,
}

/// What a durable view is as of: the end of a committed window.
struct WindowEnd {
    epoch: Epoch,
    as_of: Timestamp,
    questions: QuestionSet,
    sources: Arc<[SourceStatus]>,
}

struct AnswerFeed {
    view: AnswerView,
    retained: VecDeque<Arc<EpochChanges>>,
    retained_rows: usize,
    /// The last epoch whose changes were dropped from `retained`.
    trimmed_through: Epoch,
    follow: broadcast::Sender<Arc<EpochChanges>>,
}

/// A subscription: where it starts, and the changes from there on.
pub struct AnswerSubscription {
    /// A snapshot, or the changes that were missed since the last connection.
    pub start: SubscriptionStart,
    /// The changes after `start`.
    pub next: broadcast::Receiver<Arc<EpochChanges>>,
}

/// How a subscription starts.
pub enum SubscriptionStart {
    /// With all rows.
    Snapshot {
        /// The answers.
        view: AnswerView,
        /// Why it could not resume, if the subscriber asked to.
        why: Option<&'static str>,
    },
    /// With the changes since the epoch that the subscriber saw last.
    Resumed(Vec<Arc<EpochChanges>>),
}

impl AnswerHub {
    /// A hub with the answers to these questions before any epoch.
    #[must_use]
    pub fn new(questions: &QuestionSet) -> AnswerHub {
        let run = uuid::Uuid::new_v4().as_u64_pair().0;
        let feed = || AnswerFeed {
            view: AnswerView::new(questions.clone()),
            retained: VecDeque::new(),
            retained_rows: 0,
            trimmed_through: 0,
            follow: broadcast::Sender::new(MAX_EPOCHS_BEHIND),
        };
        let state =
            HubState { live: feed(), durable: feed(), not_durable: VecDeque::new(), window_ends: VecDeque::new() };
        AnswerHub {
            run,
            state: Mutex::new(state),
            latencies: Mutex::default(),
            epoch_times: DurationHistogram::default(),
        }
    }

    /// Advances to the frame's epoch and sends its changes to the subscribers.
    pub fn publish_frame(&self, frame: &EpochFrame) {
        let mut state = self.lock_state();
        let HubState { live, durable, not_durable, window_ends } = &mut *state;
        let epoch_changes = EpochChanges::from_frame(frame, live.view.questions()).map(Arc::new);
        live.view.apply(frame);
        if let Some(epoch_changes) = &epoch_changes {
            live.retain_changes(Arc::clone(epoch_changes));
        }
        if let Some(committed) = frame.durable_epoch {
            not_durable.extend(epoch_changes);
            // An epoch that is durable when it completes was read back from the tables.
            if frame.ends_window || frame.epoch <= committed {
                let EpochFrame { epoch, as_of, .. } = *frame;
                let (questions, sources) = (frame.questions.clone(), Arc::clone(&frame.sources));
                window_ends.push_back(WindowEnd { epoch, as_of, questions, sources });
            }
            while let Some(epoch_changes) = not_durable.pop_front_if(|epoch_changes| epoch_changes.epoch <= committed) {
                durable.view.adopt_questions(&epoch_changes.questions, epoch_changes.epoch);
                durable.view.adopt_answers(epoch_changes.epoch, &epoch_changes.first_answers);
                durable.view.apply_changes(epoch_changes.epoch, epoch_changes.as_of, &epoch_changes.changes);
                durable.retain_changes(epoch_changes);
            }
            let view = &mut durable.view;
            let mut committed_end = None;
            while let Some(window_end) = window_ends.pop_front_if(|window_end| window_end.epoch <= committed) {
                committed_end = Some(window_end);
            }
            // Commits end at window ends, so the last of these covers all changes that were just applied. An earlier one
            // may not have questions that were added since.
            if let Some(WindowEnd { epoch, as_of, questions, sources }) = committed_end {
                view.adopt_questions(&questions, epoch);
                (view.epoch, view.as_of, view.sources) = (epoch, as_of, sources);
            }
            (view.durable_epoch, view.open) = (frame.durable_epoch, frame.open);
        }
        drop(state);
        if let Some(first_record_at) = frame.first_record_at.filter(|_| frame.open) {
            let shown_at = Instant::now();
            self.epoch_times.observe(shown_at.saturating_duration_since(first_record_at));
            self.lock_latencies().record_epoch(first_record_at, shown_at);
        }
    }

    /// The latencies of the epochs published in the last minute.
    pub(super) fn recent_latency(&self) -> LatencySummary {
        self.latency_since(Instant::now().checked_sub(LATENCY_WINDOW))
    }

    /// The latencies of the epochs published after `since`, or of all that are kept.
    pub(super) fn latency_since(&self, since: Option<Instant>) -> LatencySummary {
        self.lock_latencies().summarize_since(since)
    }

    /// How long the epochs of this run took from their first record to their answers.
    pub(super) fn epoch_times(&self) -> HistogramCounts {
        self.epoch_times.counts()
    }

    fn lock_latencies(&self) -> MutexGuard<'_, EpochLatencies> {
        self.latencies.lock()
    }

    /// All answers as of one epoch. `None` for durable answers of a run without tables.
    #[must_use]
    pub fn current_view(&self, read: ReadConsistency) -> Option<AnswerView> {
        Some(self.lock_state().feed_for(read)?.view.clone())
    }

    /// Whether the answers can be read: they are not being rebuilt from the tables.
    pub(super) fn is_open(&self) -> bool {
        self.lock_state().live.view.open
    }

    /// Random id of this run, part of event ids.
    #[must_use]
    pub fn run_id(&self) -> u64 {
        self.run
    }

    /// Subscribes to all changes from now on.
    ///
    /// `seen` is the run and epoch that the subscriber saw last: if possible it gets only the changes since then.
    /// `None` for durable answers of a run without tables.
    #[must_use]
    pub fn subscribe_from(&self, read: ReadConsistency, seen: Option<(u64, Epoch)>) -> Option<AnswerSubscription> {
        let state = self.lock_state();
        let feed = state.feed_for(read)?;
        let next = feed.follow.subscribe();
        let why = match seen {
            None => None,
            Some((run, _)) if run != self.run => Some("pinflow was restarted since"),
            Some((_, epoch)) if epoch > feed.view.epoch => Some("that epoch is not complete yet"),
            Some((_, epoch)) if epoch < feed.trimmed_through => Some("changes since that epoch are no longer kept"),
            Some((_, epoch)) => {
                let missed =
                    feed.retained.iter().filter(|epoch_changes| epoch_changes.epoch > epoch).cloned().collect();
                return Some(AnswerSubscription { start: SubscriptionStart::Resumed(missed), next });
            }
        };
        Some(AnswerSubscription { start: SubscriptionStart::Snapshot { view: feed.view.clone(), why }, next })
    }

    fn lock_state(&self) -> MutexGuard<'_, HubState> {
        self.state.lock()
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
    fn retain_changes(&mut self, epoch_changes: Arc<EpochChanges>) {
        self.retained_rows += epoch_changes.row_count();
        self.retained.push_back(Arc::clone(&epoch_changes));
        while self.retained.len() > MAX_RETAINED_EPOCHS || self.retained_rows > MAX_RETAINED_ROWS {
            let Some(oldest) = self.retained.pop_front() else { break };
            self.retained_rows -= oldest.row_count();
            self.trimmed_through = oldest.epoch;
        }
        // Fails only if there are no subscribers.
        let _ = self.follow.send(epoch_changes);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use pinflow_dataflows::answer::{AnswerCell, AnswerRow};

    use pinflow_dataflows::graph::GraphOptions;

    use super::*;

    fn frame(questions: &QuestionSet, epoch: Epoch, durable: Epoch, changes: Vec<AnswerChange>) -> EpochFrame {
        EpochFrame {
            epoch,
            as_of: Timestamp::UNIX_EPOCH,
            durable_epoch: Some(durable),
            ends_window: true,
            questions: questions.clone(),
            question_states: Arc::new([]),
            first_answers: Arc::new([]),
            changes: Arc::new(changes),
            first_record_at: None,
            sources: Arc::new([]),
            open: true,
            complete: true,
            last: false,
        }
    }

    #[test]
    fn answers_can_be_read_once_the_first_frame_after_a_rebuild_is_published() {
        let questions = QuestionSet::built_in(GraphOptions::default());
        let hub = AnswerHub::new(&questions);
        assert!(!hub.is_open());
        hub.publish_frame(&EpochFrame { open: false, ..frame(&questions, 1, 1, Vec::new()) });
        assert!(!hub.is_open());
        hub.publish_frame(&frame(&questions, 2, 1, Vec::new()));
        assert!(hub.is_open());
        for read in [ReadConsistency::Live, ReadConsistency::Durable] {
            assert!(hub.current_view(read).unwrap().open, "{read:?}");
        }
    }

    #[test]
    fn durable_view_keeps_a_question_that_was_added_between_two_windows_that_are_committed_at_once() {
        let built_in = QuestionSet::built_in(GraphOptions::default());
        let (_, question) = built_in.iter().next().unwrap();
        let copy = Question { name: "mine".parse().unwrap(), ..Question::clone(question) };
        let (more, mine) = built_in.with_question(copy).unwrap();
        let change = |count, diff| AnswerChange {
            answer: mine,
            row: AnswerRow::new([AnswerCell::text("fr"), AnswerCell::Long(count)]),
            diff,
        };
        let hub = AnswerHub::new(&built_in);
        hub.publish_frame(&frame(&built_in, 1, 0, Vec::new()));
        hub.publish_frame(&frame(&more, 2, 0, vec![change(7, 1)]));
        hub.publish_frame(&frame(&more, 2, 2, Vec::new()));
        hub.publish_frame(&frame(&more, 3, 2, vec![change(7, -1), change(8, 1)]));
        hub.publish_frame(&frame(&more, 3, 3, Vec::new()));
        let view = hub.current_view(ReadConsistency::Durable).unwrap();
        assert_eq!((view.epoch, view.as_changes()), (3, vec![change(8, 1)]));
    }

    #[test]
    fn durable_view_gets_and_loses_questions_only_once_their_epoch_is_committed() {
        let built_in = QuestionSet::built_in(GraphOptions::default());
        let (_, question) = built_in.iter().next().unwrap();
        let copy = Question { name: "mine".parse().unwrap(), ..Question::clone(question) };
        let (more, mine) = built_in.with_question(copy).unwrap();
        let row = AnswerRow::new([AnswerCell::text("fr"), AnswerCell::Long(7)]);
        let hub = AnswerHub::new(&built_in);
        let rows = |read| hub.current_view(read).unwrap().answer(mine).map(|(_, table)| table.row_count());

        hub.publish_frame(&frame(&built_in, 1, 0, Vec::new()));
        let mut following = hub.subscribe_from(ReadConsistency::Live, None).unwrap().next;
        hub.publish_frame(&frame(&more, 2, 1, vec![AnswerChange { answer: mine, row, diff: 1 }]));
        assert_eq!((rows(ReadConsistency::Live), rows(ReadConsistency::Durable)), (Some(1), None));
        let changes = following.try_recv().unwrap();
        let json = std::str::from_utf8(changes.answer_json(mine).unwrap()).unwrap();
        assert!(json.starts_with(r#"{"answer":"mine","epoch":2"#), "{json}");
        hub.publish_frame(&frame(&more, 2, 2, Vec::new()));
        assert_eq!(rows(ReadConsistency::Durable), Some(1));

        assert_eq!((&*changes.added, changes.first_answer(mine).unwrap().1.row_count()), (&[mine][..], 1));

        let without = more.without_question(mine);
        hub.publish_frame(&frame(&without, 3, 2, Vec::new()));
        let gone = following.try_recv().unwrap();
        assert_eq!((&*gone.removed, gone.added.len()), (&[(mine, "mine".parse().unwrap())][..], 0));
        assert_eq!((rows(ReadConsistency::Live), rows(ReadConsistency::Durable)), (None, Some(1)));
        hub.publish_frame(&frame(&without, 3, 3, Vec::new()));
        assert_eq!(rows(ReadConsistency::Durable), None);
        assert_eq!(hub.current_view(ReadConsistency::Durable).unwrap().answers().len(), built_in.len());
    }
}
