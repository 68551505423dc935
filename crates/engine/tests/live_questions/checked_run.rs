//! An engine whose answers are compared with the batch evaluation at every epoch.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use pinflow_connect::sink::{ResumeState, WindowSink};
use pinflow_connect::source::{BlockRecords, DurableFrontier, Partition, RecordBlock, SourceEvent};
use pinflow_core::position::{PartitionId, ResumeHint};
use pinflow_dataflows::answer::{AnswerCell, LiveAnswer};
use pinflow_dataflows::graph::{DuplicatePolicy, GraphOptions};
use pinflow_dataflows::ingest::{MessageLimits, MessageParser, StreamHint};
use pinflow_dataflows::questions::{Question, QuestionId, QuestionOrigin, QuestionSet};
use pinflow_dataflows::record::Lineage;
use pinflow_dataflows::symbol::Symbol;
use pinflow_engine::{
    CommitPolicy, Engine, EngineError, EngineMetrics, EngineSettings, EpochFrame, QuestionControl, QuestionLimits,
    QuestionPhase, QuestionState, RunOutcome,
};
use pinflow_sql::datum::Row;
use pinflow_sql::eval::FaultCounter;
use pinflow_sql::naive::{evaluate, list_answer};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::memory_sink::{MemoryEncoder, OwnedRow};

const PATIENCE_LIMIT: Duration = Duration::from_secs(20);
const PARTITIONS: u32 = 2;

/// The questions after an epoch, as a client sees them.
#[derive(Debug, Clone, Default)]
pub(crate) struct SeenQuestions {
    pub(crate) live: Vec<String>,
    pub(crate) states: Vec<QuestionState>,
    pub(crate) rows: BTreeMap<String, usize>,
}

impl SeenQuestions {
    pub(crate) fn is_live(&self, name: &str) -> bool {
        self.live.iter().any(|live| live == name)
    }

    /// Why a question was stopped.
    pub(crate) fn stop_reason(&self, name: &str) -> Option<String> {
        self.states.iter().filter(|state| *state.name == *name).find_map(|state| match &state.phase {
            QuestionPhase::Stopped { reason, .. } => Some(reason.to_string()),
            QuestionPhase::Waiting | QuestionPhase::Filling { .. } => None,
        })
    }
}

/// What was compared.
#[derive(Debug, Default)]
pub(crate) struct ComparedFrames {
    /// How many answers at an epoch, by question.
    pub(crate) answers: BTreeMap<String, usize>,
    /// The ids under which each name was shown.
    pub(crate) ids: BTreeMap<String, Vec<QuestionId>>,
    /// The epochs in which a name was shown, in all.
    pub(crate) epochs: BTreeMap<String, Vec<u64>>,
}

/// What a run is to be like.
#[derive(Debug, Clone)]
pub(crate) struct RunOptions {
    pub(crate) workers: usize,
    pub(crate) duplicates: DuplicatePolicy,
    pub(crate) limits: QuestionLimits,
    /// SQL texts of configured questions, by name.
    pub(crate) configured: Vec<(&'static str, &'static str)>,
    /// SQL texts of questions that were added to an earlier run.
    pub(crate) stored: Vec<(&'static str, &'static str)>,
}

impl Default for RunOptions {
    fn default() -> RunOptions {
        RunOptions {
            workers: 2,
            duplicates: DuplicatePolicy::Latest,
            limits: QuestionLimits::default(),
            configured: Vec::new(),
            stored: Vec::new(),
        }
    }
}

/// A running engine.
pub(crate) struct CheckedRun {
    pub(crate) control: QuestionControl,
    pub(crate) metrics: Arc<EngineMetrics>,
    options: GraphOptions,
    events: mpsc::Sender<SourceEvent>,
    sent: Arc<Mutex<Vec<OwnedRow>>>,
    next: [u64; PARTITIONS as usize],
    seen: watch::Receiver<SeenQuestions>,
    checker: JoinHandle<ComparedFrames>,
    engine: JoinHandle<Result<RunOutcome, EngineError>>,
    _stop: watch::Sender<bool>,
}

pub(crate) fn question(name: &str, sql: &str, options: GraphOptions, origin: QuestionOrigin) -> Question {
    let question = Question::compile(name.parse().expect("a name"), sql, options, origin);
    question.unwrap_or_else(|error| panic!("{error}"))
}

impl CheckedRun {
    pub(crate) async fn start<S: WindowSink>(sink: S, options: RunOptions) -> CheckedRun {
        let graph_options = GraphOptions { duplicates: options.duplicates, ..GraphOptions::default() };
        let mut questions = QuestionSet::default();
        let configured = options.configured.iter().map(|text| (text, QuestionOrigin::Configured));
        for ((name, sql), origin) in configured.chain(options.stored.iter().map(|text| (text, QuestionOrigin::Added))) {
            let added = question(name, sql, graph_options, origin);
            (questions, _) = questions.with_question(added).expect("another name");
        }
        let (control, question_requests) = QuestionControl::channel();
        let (events, source_events) = mpsc::channel(4);
        let (frame_sender, frames) = mpsc::channel(4);
        let (stop_sender, stop) = watch::channel(false);
        let metrics = Arc::new(EngineMetrics::default());
        let engine = Engine {
            settings: engine_settings(&options, graph_options, questions),
            cluster: None,
            sink,
            archive: None,
            resume: ResumeState::default(),
            events: source_events,
            backlogs: 0,
            starts: 0,
            durable_frontier: DurableFrontier::default(),
            question_requests,
            stop,
            frames: frame_sender,
            metrics: Arc::clone(&metrics),
        };
        let sent = Arc::default();
        let (seen_sender, seen) = watch::channel(SeenQuestions::default());
        let checker = FrameChecker::new(Arc::clone(&sent), options.duplicates);
        let checker = tokio::spawn(checker.check_frames(frames, seen_sender));
        let run = CheckedRun {
            control,
            metrics,
            options: graph_options,
            events,
            sent,
            next: [0; PARTITIONS as usize],
            seen,
            checker,
            engine: tokio::spawn(engine.run()),
            _stop: stop_sender,
        };
        for partition in 0..PARTITIONS {
            let opened = Partition {
                id: PartitionId(partition),
                name: partition_name(partition),
                key: partition_name(partition),
                stream_hint: StreamHint::Auto,
                resumed: None,
            };
            run.events.send(SourceEvent::Opened(opened)).await.expect("the engine runs");
        }
        run
    }

    pub(crate) fn added(&self, name: &str, sql: &str) -> Question {
        question(name, sql, self.options, QuestionOrigin::Added)
    }

    /// Sends records, one a line, as a block of a partition.
    pub(crate) async fn send_lines(&mut self, partition: u32, text: String) {
        let first = self.next[partition as usize];
        let records = BlockRecords::Lines { first, text: text.into() };
        self.next[partition as usize] += records.count();
        let mut parsed = MemoryEncoder::default();
        let mut parser = MessageParser::new(MessageLimits::default());
        records.for_each(|record| {
            let source = Symbol::new(&partition_name(partition));
            let lineage = Lineage { arrived_at: None, source, position: record.position, sub: 0 };
            parser.parse_message(StreamHint::Auto, record.payload, lineage, &mut parsed);
        });
        self.sent.lock().extend(parsed.0);
        let block = RecordBlock {
            partition: PartitionId(partition),
            records,
            next: self.next[partition as usize].into(),
            fingerprint: 1,
            hint: ResumeHint::None,
            lag: None,
            lag_ms: None,
            remaining_bytes: None,
        };
        let sent = timeout(PATIENCE_LIMIT, self.events.send(SourceEvent::Block(block))).await;
        sent.expect("the engine takes blocks").expect("the engine runs");
    }

    /// Waits until a frame shows this.
    pub(crate) async fn wait_until(&mut self, what: &str, is_so: impl FnMut(&SeenQuestions) -> bool) -> SeenQuestions {
        let seen = timeout(PATIENCE_LIMIT, self.seen.wait_for(is_so)).await;
        let seen = seen.map(|seen| seen.map(|seen| seen.clone()));
        match seen {
            Ok(Ok(seen)) => seen,
            Ok(Err(_)) => panic!("{what}: the run has ended"),
            Err(_) => panic!("{what}: not within {PATIENCE_LIMIT:?}; {:?}", self.seen.borrow()),
        }
    }

    pub(crate) async fn wait_until_live(&mut self, name: &str) -> SeenQuestions {
        self.wait_until(name, |seen| seen.is_live(name)).await
    }

    /// Ends the sources, and waits for the end of the run.
    pub(crate) async fn finish(self) -> ComparedFrames {
        let CheckedRun { events, engine, checker, .. } = self;
        drop(events);
        let outcome = timeout(PATIENCE_LIMIT, engine).await.expect("the run ends").expect("no panic");
        outcome.unwrap_or_else(|error| panic!("{}", pinflow_core::error_text::error_text(&error)));
        checker.await.expect("the answers are those of the batch evaluation")
    }
}

fn partition_name(partition: u32) -> String {
    format!("recording/part{partition}")
}

fn engine_settings(options: &RunOptions, graph_options: GraphOptions, questions: QuestionSet) -> EngineSettings {
    EngineSettings {
        workers: options.workers,
        epoch: Duration::from_millis(2),
        epoch_bytes_max: 1 << 20,
        epochs_in_flight_max: 3,
        commit: CommitPolicy {
            rows_max: 200,
            age_max: Duration::from_millis(50),
            bytes_max: 1 << 20,
            windows_in_flight_max: 2,
        },
        questions,
        question_limits: options.limits,
        graph_options,
        limits: MessageLimits::default(),
        memory_max: None,
    }
}

/// Applies frames as serving does, and compares all answers.
struct FrameChecker {
    sent: Arc<Mutex<Vec<OwnedRow>>>,
    duplicates: DuplicatePolicy,
    questions: QuestionSet,
    answers: BTreeMap<QuestionId, LiveAnswer>,
    compared: ComparedFrames,
}

impl FrameChecker {
    fn new(sent: Arc<Mutex<Vec<OwnedRow>>>, duplicates: DuplicatePolicy) -> FrameChecker {
        let (questions, answers) = (QuestionSet::default(), BTreeMap::new());
        FrameChecker { sent, duplicates, questions, answers, compared: ComparedFrames::default() }
    }

    async fn check_frames(
        mut self,
        mut frames: mpsc::Receiver<EpochFrame>,
        seen: watch::Sender<SeenQuestions>,
    ) -> ComparedFrames {
        while let Some(frame) = frames.recv().await {
            self.apply_frame(&frame);
            if frame.open {
                self.compare_answers(&frame);
            }
            seen.send_replace(SeenQuestions {
                live: frame.questions.names().map(ToString::to_string).collect(),
                states: frame.question_states.to_vec(),
                rows: self.row_counts(),
            });
        }
        self.compared
    }

    fn row_counts(&self) -> BTreeMap<String, usize> {
        let counted = |(id, question): (QuestionId, &Arc<Question>)| {
            (question.name.to_string(), self.answers.get(&id).map_or(0, LiveAnswer::row_count))
        };
        self.questions.iter().map(counted).collect()
    }

    fn apply_frame(&mut self, frame: &EpochFrame) {
        self.questions = frame.questions.clone();
        self.answers.retain(|id, _| frame.questions.get(*id).is_some());
        for (id, question) in frame.questions.iter() {
            self.answers.entry(id).or_insert_with(|| question.empty_table());
        }
        let mut changes: BTreeMap<QuestionId, Vec<_>> = BTreeMap::new();
        let all_changes = frame.all_changes();
        for change in all_changes.iter() {
            changes.entry(change.answer).or_default().push((&change.row, change.diff));
        }
        for (id, changes) in changes {
            let answer = self.answers.get_mut(&id).expect("changes are of questions of the frame");
            answer.apply(changes).unwrap_or_else(|error| panic!("epoch {}: {error}", frame.epoch));
        }
    }

    fn compare_answers(&mut self, frame: &EpochFrame) {
        let tables = self.counting_rows(frame);
        for (id, question) in frame.questions.iter() {
            let rows = evaluate(&question.bound.plan, &tables, &FaultCounter::default());
            let listed = list_answer(&question.bound, rows).into_iter();
            let expected: Vec<Vec<_>> = listed.map(|row| row.into_iter().map(AnswerCell::from).collect()).collect();
            let shown: Vec<_> = self.answers[&id].rows().map(|row| row.visible(question.columns()).to_vec()).collect();
            let (name, epoch) = (question.name.to_string(), frame.epoch);
            assert_eq!(shown, expected, "{name} at epoch {epoch}, in the engine and in batch: {}", question.sql);
            *self.compared.answers.entry(name.clone()).or_default() += 1;
            let ids = self.compared.ids.entry(name.clone()).or_default();
            if ids.last() != Some(&id) {
                ids.push(id);
            }
            self.compared.epochs.entry(name).or_default().push(epoch);
        }
    }

    /// The rows of each relation that count at the end of the frame's epoch.
    fn counting_rows(&self, frame: &EpochFrame) -> [Vec<Row>; 3] {
        let next: BTreeMap<&str, u64> =
            frame.sources.iter().map(|it| (it.source.as_str(), it.position.parse().expect("a number"))).collect();
        let sent = self.sent.lock();
        let is_inside = |row: &&OwnedRow| {
            let source = row.lineage.source.text();
            row.lineage.position.narrow().expect("a small position") < next.get(&*source).copied().unwrap_or(0)
        };
        let mut tables = [const { Vec::new() }; 3];
        let mut latest: BTreeMap<(usize, u64), &OwnedRow> = BTreeMap::new();
        for row in sent.iter().filter(is_inside) {
            let (relation, ind, values) = row.catalog_row();
            if self.duplicates == DuplicatePolicy::Keep {
                tables[relation].push(values);
                continue;
            }
            let newest = latest.entry((relation, ind)).or_insert(row);
            if version_of(row) > version_of(newest) {
                *newest = row;
            }
        }
        for ((relation, _), row) in latest {
            tables[relation].push(row.catalog_row().2);
        }
        tables
    }
}

/// Deliveries without an arrival time are ordered by source and position.
fn version_of(row: &OwnedRow) -> (String, u64) {
    (row.lineage.source.text().to_string(), row.lineage.position.narrow().unwrap_or(0))
}
