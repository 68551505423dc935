//! The scheduler's decisions in single situations that its invariants leave open, such as times and workers.

use std::time::Duration;

use super::*;
use crate::CommitPolicy;

/// Blocks are numbers. Epochs and windows are empty.
#[derive(Debug)]
struct NumberedWork;

impl SchedulerPayload for NumberedWork {
    type Work = u32;
    type EpochRows = ();
    type EpochAnswers = ();
    type WindowContents = ();
}

const EPOCH_LENGTH: Duration = Duration::from_millis(10);

struct ScheduledRun {
    scheduler: EpochScheduler<NumberedWork>,
    start: Instant,
    now: Instant,
}

impl ScheduledRun {
    /// Two workers, two epochs in flight, one window in flight. The answers are rebuilt in epoch 1, which has passed.
    fn new(change: impl FnOnce(&mut SchedulerPolicy)) -> ScheduledRun {
        let mut run = ScheduledRun::begin(change);
        run.take(SchedulerEvent::RebuildFinished { can_sweep: true });
        run.pass(1);
        run
    }

    /// The same before the rows of the tables are read back.
    fn begin(change: impl FnOnce(&mut SchedulerPolicy)) -> ScheduledRun {
        let commit =
            CommitPolicy { rows_max: 100, age_max: Duration::from_secs(1), bytes_max: 1_000, windows_in_flight_max: 1 };
        let mut policy = SchedulerPolicy {
            workers: 2,
            local_workers: 2,
            epoch_length: EPOCH_LENGTH,
            epoch_bytes_max: 500,
            epochs_in_flight_max: 2,
            commit,
            has_tables: true,
            backlogs: 1,
            memory_max: None,
            memory_grace: Duration::from_secs(1),
        };
        change(&mut policy);
        let start = Instant::now();
        ScheduledRun { scheduler: EpochScheduler::new(policy, start), start, now: start }
    }

    /// Handles an event and the passing of time, as the driver does. Returns the commands.
    fn take(&mut self, event: SchedulerEvent<u32>) -> Vec<String> {
        let mut decided = Vec::new();
        for event in [event, SchedulerEvent::Tick { can_sweep: true, fills: false }] {
            self.scheduler.handle_event(event, self.now);
            decided.extend(std::iter::from_fn(|| self.scheduler.next_command()).map(|command| format!("{command:?}")));
        }
        decided
    }

    fn tick_at(&mut self, millis: u64) -> Vec<String> {
        self.now = self.start + Duration::from_millis(millis);
        self.take(SchedulerEvent::Tick { can_sweep: true, fills: false })
    }

    fn block(&mut self, work: u32, rows: u64, bytes: usize) -> Vec<String> {
        self.take(SchedulerEvent::BlockTaken { work, rows, bytes, readers: BlockReaders::All })
    }

    /// Both workers have read the epoch, and it has passed the graph.
    fn pass(&mut self, epoch: Epoch) -> Vec<String> {
        self.take(SchedulerEvent::EpochRead { epoch });
        self.take(SchedulerEvent::EpochRead { epoch });
        self.take(SchedulerEvent::FrontierAdvanced { frontier: epoch + 1 })
    }
}

fn closed(epoch: Epoch, ends_window: bool) -> String {
    format!("CloseEpoch {{ epoch: {epoch}, ends_window: {ends_window}, sweep_demanded: false }}")
}

fn given(worker: usize, work: u32) -> String {
    format!("GiveWork {{ worker: {worker}, work: {work} }}")
}

#[test]
fn block_goes_to_the_worker_with_least_bytes_of_the_open_epoch() {
    let mut run = ScheduledRun::new(|_| ());
    assert_eq!(run.block(1, 1, 100), [given(0, 1)]);
    assert_eq!(run.block(2, 1, 30), [given(1, 2)]);
    assert_eq!(run.block(3, 1, 80), [given(1, 3)]);
    assert_eq!(run.block(4, 1, 5), [given(0, 4)]);
    assert_eq!(run.tick_at(10), [closed(2, false)]);
    assert_eq!(run.block(5, 1, 1), [given(0, 5)], "bytes of a closed epoch do not count");
}

#[test]
fn epoch_closes_its_length_after_the_one_before_and_at_once_when_full() {
    let mut run = ScheduledRun::new(|_| ());
    assert_eq!(run.scheduler.next_deadline(), None, "an empty epoch stays open");
    run.tick_at(4);
    run.block(1, 1, 100);
    assert_eq!(run.scheduler.next_deadline(), Some(run.start + EPOCH_LENGTH));
    assert!(run.tick_at(9).is_empty());
    assert_eq!(run.tick_at(10), [closed(2, false)]);
    assert_eq!(run.block(2, 1, 500), [given(0, 2), closed(3, false)]);
}

#[test]
fn record_after_a_quiet_time_closes_its_epoch_at_once() {
    let mut run = ScheduledRun::new(|_| ());
    run.tick_at(500);
    assert_eq!(run.block(1, 1, 1), [given(0, 1), closed(2, false)]);
}

#[test]
fn epochs_follow_sooner_while_the_graph_takes_little_time() {
    let mut run = ScheduledRun::new(|_| ());
    for epoch in 2..40 {
        run.tick_at(epoch * 10);
        run.block(1, 1, 1);
        run.pass(epoch);
    }
    let last = run.now;
    assert!(run.block(2, 1, 1).iter().all(|command| !command.starts_with("CloseEpoch")));
    let wait = run.scheduler.next_deadline().map(|deadline| deadline - last);
    assert_eq!(wait.map(|wait| wait.as_millis()), Some(2));
    assert_eq!(run.tick_at(393), [closed(40, false)]);
    run.block(3, 1, 1);
    assert_eq!(run.scheduler.next_deadline(), Some(run.now + EPOCH_LENGTH), "an epoch is in the graph");
}

#[test]
fn busy_graph_makes_one_large_epoch_instead_of_many() {
    let mut run = ScheduledRun::new(|_| ());
    run.block(1, 1, 1);
    run.tick_at(10);
    run.block(2, 1, 1);
    run.tick_at(20);
    run.block(3, 1, 1);
    assert!(run.tick_at(90).is_empty(), "two epochs are in the graph");
    assert_eq!(run.scheduler.allowed_input(), AllowedInput::SourceEvents, "the next one fills meanwhile");
    assert_eq!(run.scheduler.next_deadline(), Some(run.start + Duration::from_secs(1)), "the window's");
    assert!(run.pass(2).contains(&closed(4, false)));
}

#[test]
fn full_window_is_cut_and_sources_wait_when_the_next_one_is_full_too() {
    let mut run = ScheduledRun::new(|_| ());
    assert_eq!(run.block(1, 100, 1), [given(0, 1), closed(2, true)]);
    let committed = "CommitWindow { last_epoch: 2, is_last: false }".to_owned();
    assert!(run.pass(2).contains(&committed));
    assert_eq!(run.block(2, 100, 1), [given(0, 2)], "one window is on its way to the disk");
    assert_eq!(run.scheduler.allowed_input(), AllowedInput::Nothing);
    let durable = run.take(SchedulerEvent::WindowDurable { epoch: 2 });
    assert!(durable.contains(&closed(3, true)), "{durable:?}");
    assert_eq!(run.scheduler.durable_epoch(), Some(2));
    assert_eq!(run.scheduler.allowed_input(), AllowedInput::SourceEvents);
}

#[test]
fn window_is_cut_at_its_age_though_nothing_follows() {
    let mut run = ScheduledRun::new(|_| ());
    run.block(1, 1, 1);
    assert_eq!(run.tick_at(10), [closed(2, false)]);
    run.pass(2);
    assert!(run.tick_at(999).is_empty());
    assert_eq!(run.tick_at(1_000), [closed(3, true)]);
}

#[test]
fn run_without_tables_cuts_no_window() {
    let mut run = ScheduledRun::new(|policy| policy.has_tables = false);
    assert_eq!(run.block(1, 1_000, 10), [given(0, 1)]);
    assert_eq!(run.tick_at(5_000), [closed(2, false)]);
    assert_eq!(run.scheduler.durable_epoch(), None);
    run.take(SchedulerEvent::SourcesEnded);
    run.pass(2);
    assert_eq!(run.pass(3).last().map(String::as_str), Some("Finish"));
}

#[test]
fn backlog_is_complete_in_the_epoch_that_holds_its_end() {
    let mut run = ScheduledRun::new(|_| ());
    run.block(1, 1, 1);
    run.take(SchedulerEvent::BacklogRead);
    assert_eq!(run.tick_at(10), [closed(2, false)]);
    assert!(run.scheduler.is_rebuilt() && !run.scheduler.is_caught_up());
    run.pass(2);
    assert!(run.scheduler.is_caught_up());
}

#[test]
fn epochs_without_rows_are_durable_as_soon_as_they_are_shown() {
    let mut run = ScheduledRun::new(|_| ());
    run.take(SchedulerEvent::StatusChanged);
    run.tick_at(10);
    run.pass(2);
    assert_eq!(run.scheduler.durable_epoch(), Some(2));
    run.block(1, 1, 1);
    run.tick_at(20);
    run.pass(3);
    assert_eq!(run.scheduler.durable_epoch(), Some(2), "the rows of epoch 3 wait for their commit");
}

#[test]
fn stop_that_follows_the_end_of_the_sources_does_not_count_as_one() {
    let mut run = ScheduledRun::new(|_| ());
    assert_eq!(run.take(SchedulerEvent::SourcesEnded), [closed(2, true)]);
    assert!(run.take(SchedulerEvent::StopRequested).is_empty());
    let passed = run.pass(2);
    assert!(passed.contains(&"CommitWindow { last_epoch: 2, is_last: true }".to_owned()), "{passed:?}");
    let durable = run.take(SchedulerEvent::WindowDurable { epoch: 2 });
    assert_eq!(durable.last().map(String::as_str), Some("Finish"));
    assert!(!run.scheduler.is_stopped());
}

#[test]
fn durable_epoch_of_a_rebuild_does_not_fall_when_an_earlier_window_becomes_durable() {
    let mut run = ScheduledRun::new(|policy| policy.memory_max = Some(100));
    // As above, while the rows are still being read back.
    run.scheduler =
        EpochScheduler::new(SchedulerPolicy { memory_max: Some(100), ..run.scheduler.policy.clone() }, run.now);
    run.take(SchedulerEvent::StoredRowsTaken { work: 1, bytes: 1, process: 0 });
    run.now += EPOCH_LENGTH;
    assert_eq!(run.take(SchedulerEvent::MemoryMeasured { resident: 101 }).len(), 2);
    run.take(SchedulerEvent::RebuildFinished { can_sweep: true });
    run.pass(1);
    run.pass(2);
    assert_eq!(run.scheduler.durable_epoch(), Some(2));
    run.take(SchedulerEvent::WindowDurable { epoch: 1 });
    assert_eq!(run.scheduler.durable_epoch(), Some(2));
}

#[test]
fn sweep_after_a_rebuild_waits_until_one_can_begin() {
    let mut run = ScheduledRun::new(|_| ());
    run.scheduler = EpochScheduler::new(run.scheduler.policy.clone(), run.now);
    assert_eq!(run.take(SchedulerEvent::StoredRowsTaken { work: 1, bytes: 1, process: 0 }).len(), 1);
    let (event, waits) = (SchedulerEvent::RebuildFinished { can_sweep: false }, "sweep_demanded: false");
    run.scheduler.handle_event(event, run.now);
    run.scheduler.handle_event(SchedulerEvent::Tick { can_sweep: false, fills: false }, run.now);
    let commands = std::iter::from_fn(|| run.scheduler.next_command().map(|command| format!("{command:?}")));
    let decided: Vec<String> = commands.collect();
    assert!(matches!(&decided[..], [close] if close.contains("epoch: 1,") && close.contains(waits)), "{decided:?}");
    let decided = run.tick_at(0);
    let begins = "CloseEpoch { epoch: 2, ends_window: false, sweep_demanded: true }";
    assert_eq!(decided, [begins], "no record has to arrive first");
    assert!(run.tick_at(0).is_empty(), "one sweep is enough");
}

#[test]
fn epochs_close_without_records_while_a_question_fills_and_the_graph_has_none() {
    let mut run = ScheduledRun::new(|_| ());
    let fill = |run: &mut ScheduledRun| {
        run.scheduler.handle_event(SchedulerEvent::Tick { can_sweep: true, fills: true }, run.now);
        std::iter::from_fn(|| run.scheduler.next_command()).map(|command| format!("{command:?}")).collect::<Vec<_>>()
    };
    assert_eq!(fill(&mut run), [closed(2, false)]);
    assert!(fill(&mut run).is_empty(), "an epoch is in the graph");
    run.block(1, 1, 1);
    run.now += EPOCH_LENGTH;
    assert_eq!(fill(&mut run), [closed(3, false)], "a record waits no longer than without the question");
    run.pass(2);
    assert!(fill(&mut run).is_empty(), "an epoch is in the graph");
    run.pass(3);
    assert_eq!(fill(&mut run), [closed(4, false)]);
    assert_eq!(run.scheduler.durable_epoch(), Some(2), "there is nothing to commit in the first");
}

#[test]
fn memory_above_its_limit_pauses_the_filling_of_a_question() {
    let mut run = ScheduledRun::new(|policy| policy.memory_max = Some(100));
    run.now += EPOCH_LENGTH;
    run.take(SchedulerEvent::MemoryMeasured { resident: 101 });
    run.pass(2);
    run.scheduler.handle_event(SchedulerEvent::Tick { can_sweep: true, fills: true }, run.now);
    assert!(run.scheduler.next_command().is_none());
    assert!(!run.scheduler.may_take_fill_rows());
    assert_eq!(run.scheduler.memory_over_for(run.now + EPOCH_LENGTH), Some(EPOCH_LENGTH));
}

#[test]
fn epoch_takes_a_step_of_rows_that_fill_a_question_for_each_worker_and_then_closes() {
    let mut run = ScheduledRun::new(|_| ());
    let rows = u64::from(run.scheduler.fill_step());
    assert_eq!(run.take(SchedulerEvent::FillRowsTaken { work: 1, rows, bytes: 9 }), [given(0, 1)]);
    assert!(run.scheduler.may_take_fill_rows());
    run.scheduler.handle_event(SchedulerEvent::FillRowsTaken { work: 2, rows, bytes: 9 }, run.now);
    assert!(!run.scheduler.may_take_fill_rows(), "records have their turn");
    assert_eq!(run.scheduler.allowed_input(), AllowedInput::SourceEvents);
    assert_eq!(run.take(SchedulerEvent::Tick { can_sweep: true, fills: false }), [given(1, 2), closed(2, false)]);
    run.scheduler.handle_event(SchedulerEvent::FillRowsTaken { work: 3, rows: 9 * rows, bytes: 9 }, run.now);
    assert_eq!(run.take(SchedulerEvent::Tick { can_sweep: true, fills: false }).len(), 1, "an epoch is in the graph");
    assert!(run.pass(2).contains(&closed(3, false)));
    run.pass(3);
    assert_eq!(run.scheduler.durable_epoch(), Some(3), "the rows are durable already");
}

#[test]
fn epoch_with_part_of_a_step_of_rows_does_not_begin_the_pace_of_the_fill_again() {
    let mut run = ScheduledRun::new(|_| ());
    let first = run.scheduler.fill_step();
    let pass_quickly = |run: &mut ScheduledRun, epoch| {
        run.now += EPOCH_LENGTH / 100;
        run.pass(epoch);
    };
    for epoch in 2..10 {
        let rows = 2 * u64::from(run.scheduler.fill_step());
        let decided = run.take(SchedulerEvent::FillRowsTaken { work: 1, rows, bytes: 9 });
        assert!(decided.contains(&closed(epoch, false)));
        pass_quickly(&mut run, epoch);
    }
    let before = run.scheduler.fill_step();
    assert!(before > 4 * first, "{before} rows after epochs that took next to no time");
    run.take(SchedulerEvent::FillRowsTaken { work: 1, rows: before.into(), bytes: 9 });
    run.now += EPOCH_LENGTH;
    assert_eq!(run.take(SchedulerEvent::Tick { can_sweep: true, fills: false }), [closed(10, false)]);
    pass_quickly(&mut run, 10);
    assert!(run.scheduler.fill_step() > 4 * first, "{} rows, and {before} before", run.scheduler.fill_step());
}

#[test]
fn rows_that_are_read_back_say_nothing_about_what_epochs_of_messages_take() {
    let mut run = ScheduledRun::begin(|_| ());
    for epoch in 1..60 {
        let stored = SchedulerEvent::StoredRowsTaken { work: 1, bytes: 500, process: 0 };
        assert!(run.take(stored).contains(&closed(epoch, false)));
        run.now += 10 * EPOCH_LENGTH;
        run.pass(epoch);
    }
    run.take(SchedulerEvent::RebuildFinished { can_sweep: true });
    run.pass(60);
    let before = run.scheduler.fill_step();
    for epoch in 61..65 {
        run.scheduler.handle_event(SchedulerEvent::Tick { can_sweep: true, fills: true }, run.now);
        run.now += 3 * EPOCH_LENGTH;
        run.pass(epoch);
    }
    assert!(run.scheduler.fill_step() < before / 2, "each took six times as long as it may");
}

#[test]
fn fill_is_slower_after_epochs_that_took_long() {
    let mut run = ScheduledRun::new(|_| ());
    let (before, walks) = (run.scheduler.fill_step(), SchedulerEvent::Tick { can_sweep: true, fills: true });
    run.take(walks);
    run.now += 10 * EPOCH_LENGTH;
    run.pass(2);
    assert!(run.scheduler.fill_step() < before, "it took ten times as long as it may");
}

#[test]
fn window_ends_on_demand_even_if_it_is_empty_once_another_may_be_cut() {
    let mut run = ScheduledRun::new(|_| ());
    assert_eq!(run.take(SchedulerEvent::WindowEndDemanded), [closed(2, true)]);
    assert!(run.pass(2).contains(&"CommitWindow { last_epoch: 2, is_last: false }".to_owned()));
    assert!(run.take(SchedulerEvent::WindowEndDemanded).is_empty(), "one window is on its way to the disk");
    assert!(run.take(SchedulerEvent::WindowDurable { epoch: 2 }).contains(&closed(3, true)));
    assert!(run.tick_at(5_000).is_empty(), "it was demanded twice");
}

/// Takes a block of ten bytes, and returns the worker that gets it.
fn reader_of_block(run: &mut ScheduledRun, work: u32, readers: BlockReaders) -> usize {
    let given = run.take(SchedulerEvent::BlockTaken { work, rows: 1, bytes: 10, readers });
    let worker = given.iter().find_map(|command| command.strip_prefix("GiveWork { worker: "));
    worker.and_then(|text| text.split(',').next()?.parse().ok()).unwrap_or_else(|| panic!("{given:?}"))
}

#[test]
fn block_is_read_by_the_process_that_holds_it() {
    let mut run = ScheduledRun::new(|policy| policy.local_workers = 1);
    for work in 0..3 {
        assert_eq!(reader_of_block(&mut run, work, BlockReaders::OfProcess(1)), 1);
    }
    assert_eq!(reader_of_block(&mut run, 3, BlockReaders::OfProcess(0)), 0);
}

#[test]
fn blocks_stay_in_this_process_while_others_read_their_own() {
    let mut alone = ScheduledRun::new(|policy| policy.local_workers = 1);
    let readers: Vec<_> = (0..4).map(|work| reader_of_block(&mut alone, work, BlockReaders::All)).collect();
    assert_eq!(readers, [0, 1, 0, 1], "only this process reads the sources");
    let mut shared = ScheduledRun::new(|policy| policy.local_workers = 1);
    reader_of_block(&mut shared, 0, BlockReaders::OfProcess(1));
    let readers: Vec<_> = (1..8).map(|work| reader_of_block(&mut shared, work, BlockReaders::All)).collect();
    assert_eq!(readers, [0, 0, 0, 0, 0, 0, 1], "the other process has far less to do");
}
