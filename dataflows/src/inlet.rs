//! The way into the graph: whole rows become narrow ones, a batch at a time.

use timely::container::CapacityContainerBuilder;
use timely::dataflow::operators::core::input::Handle;

use crate::latest::{Delivery, Version};
use crate::posts::{Narrow, Texts};
use crate::record::{Ind, Lineage};
use crate::symbol::Batch;

/// The input of one stream's deliveries.
pub(crate) type Deliveries<R> = Handle<u64, CapacityContainerBuilder<Vec<Delivery<R>>>>;

/// Rows whose texts are looked up together: enough for the waits to overlap, few enough to stay in the nearest cache.
const BATCH: usize = 256;

/// One stream's way in. What was given is in the graph when the epoch advances, or when this is dropped.
pub(crate) struct Inlet<R: Narrow + Clone + 'static> {
    deliveries: Deliveries<R>,
    waiting: Vec<(Ind, Version, R, Texts<()>)>,
    texts: Batch,
}

impl<R: Narrow + Clone + 'static> Inlet<R> {
    pub(crate) fn new(deliveries: Deliveries<R>) -> Inlet<R> {
        Inlet { deliveries, waiting: Vec::with_capacity(BATCH), texts: Batch::default() }
    }

    /// Adds a row at the open epoch.
    pub(crate) fn send(&mut self, ind: Ind, lineage: Lineage, row: &R::Row<'_>) {
        let texts = R::texts(row).map(|text| text.map(|text| self.texts.push(text)));
        self.waiting.push((ind, lineage.into(), R::new(row), texts));
        if self.waiting.len() == BATCH {
            self.flush();
        }
    }

    /// Opens an epoch and closes all below.
    pub(crate) fn advance_to(&mut self, epoch: u64) {
        self.flush();
        self.deliveries.advance_to(epoch);
    }

    fn flush(&mut self) {
        let mut symbols = self.texts.symbols();
        for (ind, version, row, texts) in self.waiting.drain(..) {
            let texts = texts.map(|text| text.and_then(|()| symbols.next()));
            self.deliveries.send((ind, version, row.with(texts)));
        }
    }
}

impl<R: Narrow + Clone + 'static> Drop for Inlet<R> {
    fn drop(&mut self) {
        self.flush();
    }
}
