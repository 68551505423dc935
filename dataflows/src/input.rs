//! The input of the graph: rows are projected and sent in batches.

use timely::container::CapacityContainerBuilder;
use timely::dataflow::operators::core::input::Handle;

use crate::general::RelationColumns;
use crate::joins::{ProjectedRow, RowTexts};
use crate::record::{Ind, Lineage};
use crate::symbol::SymbolBatch;
use crate::version::{ExtraValues, Version, VersionedRow};

/// The timely input of one stream.
pub(crate) type InputHandle<R> = Handle<u64, CapacityContainerBuilder<Vec<VersionedRow<R>>>>;

/// Rows whose texts are looked up together: enough for cache misses to overlap, few enough to stay in the L1 cache.
const BATCH_ROWS: usize = 256;

/// The input of one stream. Rows are in the graph once the epoch advances or this is dropped.
pub(crate) struct BatchedInput<R: ProjectedRow + Clone + 'static> {
    deliveries: InputHandle<R>,
    waiting: Vec<WaitingRow<R>>,
    texts: SymbolBatch,
    extra: RelationColumns,
}

/// A row whose texts are not looked up yet.
type WaitingRow<R> = (Ind, Version, R, RowTexts<()>, ExtraValues);

impl<R: ProjectedRow + Clone + 'static> BatchedInput<R> {
    /// An input whose rows also carry these columns.
    pub(crate) fn new(deliveries: InputHandle<R>, extra: RelationColumns) -> BatchedInput<R> {
        let waiting = Vec::with_capacity(BATCH_ROWS);
        BatchedInput { deliveries, waiting, texts: SymbolBatch::default(), extra }
    }

    /// Adds a row in the open epoch.
    pub(crate) fn send(&mut self, ind: Ind, lineage: Lineage, row: &R::Row<'_>) {
        let texts = R::text_columns(row).map(|text| text.map(|text| self.texts.push(text)));
        let extra = self.extra.evaluate(row, &lineage);
        self.waiting.push((ind, lineage.into(), R::without_texts(row), texts, extra));
        if self.waiting.len() == BATCH_ROWS {
            self.flush();
        }
    }

    /// Closes all epochs below `epoch`, and opens it.
    pub(crate) fn advance_to(&mut self, epoch: u64) {
        self.flush();
        self.deliveries.advance_to(epoch);
    }

    fn flush(&mut self) {
        let mut symbols = self.texts.resolve_all();
        for (ind, version, row, texts, extra) in self.waiting.drain(..) {
            let texts = texts.map(|text| text.and_then(|()| symbols.next()));
            self.deliveries.send((ind, version, row.with_texts(texts), extra));
        }
    }
}

impl<R: ProjectedRow + Clone + 'static> Drop for BatchedInput<R> {
    fn drop(&mut self) {
        self.flush();
    }
}
