//! The input of the graph: rows are projected and sent in batches.

use std::cell::RefCell;
use std::rc::Rc;

use timely::container::CapacityContainerBuilder;
use timely::dataflow::operators::core::input::Handle;

use crate::general::{KeptInput, RelationColumns};
use crate::joins::{ProjectedRow, RowTexts};
use crate::record::{Ind, Lineage};
use crate::symbol::SymbolBatch;
use crate::version::{ExtraValues, Version, VersionedRow};

/// A timely input of items.
pub(crate) type ItemInput<T> = Handle<u64, CapacityContainerBuilder<Vec<T>>>;

/// The timely input of one stream.
pub(crate) type InputHandle<R> = ItemInput<VersionedRow<R>>;

/// Where rows are also sent for the questions of the general path, where every delivery counts.
pub(crate) type KeptInputs = Rc<RefCell<ItemInput<KeptInput>>>;

/// Rows whose texts are looked up together: enough for cache misses to overlap, few enough to stay in the L1 cache.
const BATCH_ROWS: usize = 256;

/// The input of one stream. Rows are in the graph once the epoch advances or this is dropped.
pub(crate) struct BatchedInput<R: ProjectedRow + Clone + 'static> {
    deliveries: InputHandle<R>,
    waiting: Vec<WaitingRow<R>>,
    texts: SymbolBatch,
    extra: RelationColumns,
    copies: Option<KeptInputs>,
    /// Whether rows of the open epoch were sent.
    has_sent: bool,
}

/// A row whose texts are not looked up yet.
type WaitingRow<R> = (Ind, Version, R, RowTexts<()>, ExtraValues);

impl<R: ProjectedRow + Clone + 'static> BatchedInput<R> {
    /// An input whose rows carry no extra columns.
    pub(crate) fn new(deliveries: InputHandle<R>) -> BatchedInput<R> {
        let (waiting, texts) = (Vec::with_capacity(BATCH_ROWS), SymbolBatch::default());
        let extra = RelationColumns::default();
        BatchedInput { deliveries, waiting, texts, extra, copies: None, has_sent: false }
    }

    /// Sets the extra columns that rows carry from now on.
    pub(crate) fn set_extra(&mut self, extra: RelationColumns) {
        self.extra = extra;
    }

    /// Sets where rows are also sent from now on. Those that wait are sent as before.
    pub(crate) fn set_copies(&mut self, copies: Option<KeptInputs>) {
        self.flush();
        self.copies = copies;
    }

    /// Whether the open epoch has rows of this worker.
    pub(crate) fn has_rows(&self) -> bool {
        self.has_sent || !self.waiting.is_empty()
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
        self.has_sent = false;
        self.deliveries.advance_to(epoch);
    }

    fn flush(&mut self) {
        self.has_sent |= !self.waiting.is_empty();
        let mut copies = self.copies.as_ref().map(|copies| copies.borrow_mut());
        let mut symbols = self.texts.resolve_all();
        for (ind, version, row, texts, extra) in self.waiting.drain(..) {
            let texts = texts.map(|text| text.and_then(|()| symbols.next()));
            let row = row.with_texts(texts);
            if let Some(copies) = &mut copies {
                copies.send(KeptInput::Row { ind, row: row.into(), extra: extra.clone() });
            }
            self.deliveries.send((ind, version, row, extra));
        }
    }
}

impl<R: ProjectedRow + Clone + 'static> Drop for BatchedInput<R> {
    fn drop(&mut self) {
        self.flush();
    }
}
