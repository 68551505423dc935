//! Hands over what an epoch changes in the answers.
//!
//! In one process each worker hands over the changes of its own groups. With several processes all changes are sent to the
//! first worker of all, which hands over those of an epoch at once.

use std::collections::BTreeMap;

use compact_str::CompactString;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::StreamVec;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::{Operator, OutputBuilderSession};

use crate::answer::{AnswerCell, AnswerChange, AnswerRow, FillProgress, QuestionId};
use crate::epoch::message_epoch;
use crate::wire::{MalformedMessage, MessageReader, MessageWriter, WirePact, WireRecord, read_values, write_values};

/// Receives the answer changes of an epoch.
pub(crate) type ChangesReceiver = Box<dyn FnMut(u64, Vec<AnswerChange>)>;

/// Receives how far a question is filled: the epoch, the index of the worker, and how far it is there.
pub(crate) type FillsReceiver = Box<dyn FnMut(u64, usize, FillProgress)>;

/// Who is told what an epoch changes.
pub(crate) struct AnswerReceivers {
    pub(crate) changes: ChangesReceiver,
    pub(crate) fills: FillsReceiver,
}

impl AnswerReceivers {
    /// Hands over all that an epoch changes, if it changes something.
    pub(super) fn receive_epoch(&mut self, epoch: u64, answers: EpochReports) {
        for (worker, progress) in answers.fills {
            (self.fills)(epoch, worker, progress);
        }
        if !answers.changes.is_empty() {
            (self.changes)(epoch, answers.changes);
        }
    }
}

/// What an epoch changes in the answers.
#[derive(Debug, Default)]
pub(super) struct EpochReports {
    pub(super) changes: Vec<AnswerChange>,
    /// How far questions are filled, each on a worker, by index.
    pub(super) fills: Vec<(usize, FillProgress)>,
}

impl EpochReports {
    fn add(&mut self, report: AnswerReport) {
        match report {
            AnswerReport::Change(change) => self.changes.push(change),
            AnswerReport::Fill(worker, progress) => self.fills.push((worker, progress)),
        }
    }

    /// All of it, as it is sent to the first worker.
    pub(super) fn into_reports(self) -> impl Iterator<Item = AnswerReport> {
        let fills = self.fills.into_iter().map(|(worker, progress)| AnswerReport::Fill(worker, progress));
        fills.chain(self.changes.into_iter().map(AnswerReport::Change))
    }
}

/// What a worker reports to the first worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum AnswerReport {
    /// An answer changes.
    Change(AnswerChange),
    /// How far a question is filled on a worker, by index.
    Fill(usize, FillProgress),
}

/// Sends all reports to the first worker. There `receivers` gets them, once for each epoch with reports, and in the order
/// of the epochs.
///
/// The output stream carries no data. Once its frontier has passed an epoch, `receivers` on the first worker has all
/// reports of that epoch.
pub(crate) fn report_to_first_worker<'s>(
    reports: StreamVec<'s, u64, AnswerReport>,
    mut receivers: AnswerReceivers,
) -> StreamVec<'s, u64, ()> {
    reports.unary_frontier(WirePact(|_: &AnswerReport| 0), "Answers", move |_, _| {
        let mut pending: BTreeMap<u64, (Capability<u64>, EpochReports)> = BTreeMap::new();
        move |(input, frontier), _output: &mut OutputBuilderSession<'_, u64, CapacityContainerBuilder<Vec<()>>>| {
            input.for_each(|time, data| {
                let epoch = message_epoch(&time);
                let (_, answers) =
                    pending.entry(epoch).or_insert_with(|| (time.delayed(&epoch, 0), EpochReports::default()));
                data.drain(..).for_each(|report| answers.add(report));
            });
            while let Some(entry) = pending.first_entry() {
                let epoch = *entry.key();
                if frontier.less_equal(&epoch) {
                    break;
                }
                // Drop the capability only after the call: the probe must not pass the epoch earlier.
                let (_capability, answers) = entry.remove();
                receivers.receive_epoch(epoch, answers);
            }
        }
    })
}

impl WireRecord for AnswerReport {
    fn write(&self, to: &mut MessageWriter) {
        match self {
            AnswerReport::Change(AnswerChange { answer, row, diff }) => {
                to.write_byte(0);
                to.write_number(answer.number().into());
                to.write_signed(*diff);
                write_values(&row.0, to);
            }
            AnswerReport::Fill(worker, FillProgress { question, done, total }) => {
                to.write_byte(1);
                to.write_number(*worker as u64);
                to.write_number(question.number().into());
                to.write_number(*done);
                to.write_number(*total);
            }
        }
    }

    fn read(from: &mut MessageReader<'_>) -> Result<AnswerReport, MalformedMessage> {
        match from.read_byte()? {
            0 => {
                let answer = QuestionId::new(from.read_small()?);
                let diff = from.read_signed()?;
                Ok(AnswerReport::Change(AnswerChange { answer, row: AnswerRow(read_values(from)?), diff }))
            }
            1 => {
                let (worker, question) = (from.read_small()?, QuestionId::new(from.read_small()?));
                let (done, total) = (from.read_number()?, from.read_number()?);
                Ok(AnswerReport::Fill(worker, FillProgress { question, done, total }))
            }
            _ => Err(from.malformed("a report of no kind")),
        }
    }

    fn heap_bytes(&self) -> usize {
        match self {
            AnswerReport::Change(change) => change.row.0.iter().map(AnswerCell::held_bytes).sum(),
            AnswerReport::Fill(..) => 0,
        }
    }
}

/// The exact value: what [`AnswerCell`] serialises as, for replies, does not tell a time from a text.
impl WireRecord for AnswerCell {
    fn write(&self, to: &mut MessageWriter) {
        match self {
            AnswerCell::Null => to.write_byte(0),
            AnswerCell::Bool(value) => to.write_byte(1 + u8::from(*value)),
            AnswerCell::Long(value) => {
                to.write_byte(3);
                to.write_signed(*value);
            }
            AnswerCell::Double(value) => {
                to.write_byte(4);
                to.write_bits(value.to_bits());
            }
            AnswerCell::Text(text) => {
                to.write_byte(5);
                to.write_text(text);
            }
            AnswerCell::Time(micros) => {
                to.write_byte(6);
                to.write_signed(*micros);
            }
        }
    }

    fn read(from: &mut MessageReader<'_>) -> Result<AnswerCell, MalformedMessage> {
        Ok(match from.read_byte()? {
            0 => AnswerCell::Null,
            kind @ (1 | 2) => AnswerCell::Bool(kind == 2),
            3 => AnswerCell::Long(from.read_signed()?),
            4 => AnswerCell::Double(f64::from_bits(from.read_bits()?)),
            5 => AnswerCell::Text(CompactString::new(from.read_text()?)),
            6 => AnswerCell::Time(from.read_signed()?),
            _ => return Err(from.malformed("a cell of no type")),
        })
    }
}
