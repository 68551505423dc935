//! How records are exchanged between workers.
//!
//! In one process they are exchanged as timely does it, in a vector that is passed by reference. With several processes
//! they are exchanged in [`WireList`]s, which are packed if they leave the process. Either way operators send and receive
//! vectors, so that only the pact of an edge differs.

use std::collections::VecDeque;
use std::rc::Rc;

use timely::ExchangeData;
use timely::communication::{Pull, Push};
use timely::container::{ContainerBuilder, LengthPreservingContainerBuilder, PushInto};
use timely::dataflow::channels::Message;
use timely::dataflow::channels::pact::{Exchange, LogPuller, LogPusher, ParallelizationContract};
use timely::dataflow::channels::pushers;
use timely::dataflow::channels::pushers::exchange::DrainContainerDistributor;
use timely::logging::TimelyLogger;
use timely::progress::Timestamp;
use timely::worker::Worker;

use super::WireRecord;
use super::wire_list::WireList;

/// Where the workers of a graph run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WorkerPlacement {
    /// All in this process.
    #[default]
    OneProcess,
    /// In several processes, all of which have the same hash seed: see
    /// [`share_process_seed`](crate::hash::share_process_seed).
    SeveralProcesses,
}

/// An exchange of records by a hash. `F` gives the hash in one process, and `G` with several.
pub(crate) enum EdgePact<F, G = F> {
    InProcess(F),
    Wire(WirePact<G>),
}

impl<F> EdgePact<F> {
    /// An exchange by a hash that is the same in all processes.
    pub(crate) fn new(placement: WorkerPlacement, route: F) -> EdgePact<F> {
        match placement {
            WorkerPlacement::OneProcess => EdgePact::InProcess(route),
            WorkerPlacement::SeveralProcesses => EdgePact::Wire(WirePact(route)),
        }
    }
}

impl<F, G> EdgePact<F, G> {
    /// An exchange by one hash in one process, and by another with several.
    pub(crate) fn with_routes(placement: WorkerPlacement, in_process: F, wire: G) -> EdgePact<F, G> {
        match placement {
            WorkerPlacement::OneProcess => EdgePact::InProcess(in_process),
            WorkerPlacement::SeveralProcesses => EdgePact::Wire(WirePact(wire)),
        }
    }
}

/// An exchange of records in messages, by a hash.
pub(crate) struct WirePact<F>(pub(crate) F);

type VecPact<D, F> = Exchange<D, F>;
type VecPusher<T, D, F> = <VecPact<D, F> as ParallelizationContract<T, Vec<D>>>::Pusher;
type VecPuller<T, D, F> = <VecPact<D, F> as ParallelizationContract<T, Vec<D>>>::Puller;

impl<T, D, F, G> ParallelizationContract<T, Vec<D>> for EdgePact<F, G>
where
    T: Timestamp,
    D: ExchangeData + WireRecord,
    F: FnMut(&D) -> u64 + 'static,
    G: FnMut(&D) -> u64 + 'static,
{
    type Pusher = EdgePusher<VecPusher<T, D, F>, WirePusher<T, D, G>>;
    type Puller = EdgePuller<VecPuller<T, D, F>, WirePuller<T, D>>;

    fn connect(
        self,
        worker: &Worker,
        identifier: usize,
        address: Rc<[usize]>,
        logging: Option<TimelyLogger>,
    ) -> (Self::Pusher, Self::Puller) {
        match self {
            EdgePact::InProcess(route) => {
                let (pusher, puller) = VecPact::<D, F>::new(route).connect(worker, identifier, address, logging);
                (EdgePusher::InProcess(pusher), EdgePuller::InProcess(puller))
            }
            EdgePact::Wire(pact) => {
                let (pusher, puller) = pact.connect(worker, identifier, address, logging);
                (EdgePusher::Wire(pusher), EdgePuller::Wire(puller))
            }
        }
    }
}

/// The sending end of an edge.
pub(crate) enum EdgePusher<P, Q> {
    InProcess(P),
    Wire(Q),
}

impl<M, P: Push<M>, Q: Push<M>> Push<M> for EdgePusher<P, Q> {
    #[inline]
    fn push(&mut self, message: &mut Option<M>) {
        match self {
            EdgePusher::InProcess(pusher) => pusher.push(message),
            EdgePusher::Wire(pusher) => pusher.push(message),
        }
    }
}

/// The receiving end of an edge.
pub(crate) enum EdgePuller<P, Q> {
    InProcess(P),
    Wire(Q),
}

impl<M, P: Pull<M>, Q: Pull<M>> Pull<M> for EdgePuller<P, Q> {
    #[inline]
    fn pull(&mut self) -> &mut Option<M> {
        match self {
            EdgePuller::InProcess(puller) => puller.pull(),
            EdgePuller::Wire(puller) => puller.pull(),
        }
    }
}

type WirePusher<T, D, F> = pushers::Exchange<T, ListPusher<T, D>, DrainContainerDistributor<MessageBuilder<D>, F>>;

impl<T, D, F> ParallelizationContract<T, Vec<D>> for WirePact<F>
where
    T: Timestamp,
    D: WireRecord + Send + 'static,
    F: FnMut(&D) -> u64 + 'static,
{
    type Pusher = WirePusher<T, D, F>;
    type Puller = WirePuller<T, D>;

    fn connect(
        self,
        worker: &Worker,
        identifier: usize,
        address: Rc<[usize]>,
        logging: Option<TimelyLogger>,
    ) -> (Self::Pusher, Self::Puller) {
        let (senders, receiver) = worker.allocate::<Message<T, WireList<D>>>(identifier, address);
        let index = worker.index();
        let senders = senders.into_iter().enumerate();
        let senders =
            senders.map(|(to, sender)| ListPusher(LogPusher::new(sender, index, to, identifier, logging.clone())));
        let distributor = DrainContainerDistributor::new(self.0, worker.peers());
        let pusher = pushers::Exchange::new(senders.collect(), distributor);
        let receiver = LogPuller::new(receiver, index, identifier, logging);
        (pusher, WirePuller { receiver, current: None })
    }
}

/// Sends vectors as lists that can be packed.
pub(crate) struct ListPusher<T, D>(LogPusher<Box<dyn Push<Message<T, WireList<D>>>>>);

impl<T, D> Push<Message<T, Vec<D>>> for ListPusher<T, D> {
    fn push(&mut self, message: &mut Option<Message<T, Vec<D>>>) {
        let mut list = message.take().map(|Message { stamp, data, .. }| Message::new(stamp, WireList::new(data)));
        self.0.push(&mut list);
        // What was packed is given back.
        *message = list.map(|Message { stamp, data, .. }| Message::new(stamp, data.records));
    }
}

/// Receives lists as vectors.
pub(crate) struct WirePuller<T, D> {
    receiver: LogPuller<Box<dyn Pull<Message<T, WireList<D>>>>>,
    current: Option<Message<T, Vec<D>>>,
}

impl<T, D> Pull<Message<T, Vec<D>>> for WirePuller<T, D> {
    fn pull(&mut self) -> &mut Option<Message<T, Vec<D>>> {
        let received = self.receiver.pull().take();
        self.current =
            received.map(|Message { stamp, data, from, seq }| Message { stamp, data: data.records, from, seq });
        &mut self.current
    }
}

/// The most records of a message. The more, the more often a text is already there.
const MESSAGE_RECORDS_MAX: usize = 1_024;
/// A message ends after a record with which those of it hold more than this many bytes on the heap.
const MESSAGE_HEAP_BYTES: usize = 1 << 18;

/// Collects the records of a message.
pub(crate) struct MessageBuilder<D> {
    records: Vec<D>,
    heap_bytes: usize,
    ready: VecDeque<Vec<D>>,
    /// A vector that was sent, for reuse.
    sent: Option<Vec<D>>,
}

impl<D> Default for MessageBuilder<D> {
    fn default() -> MessageBuilder<D> {
        MessageBuilder { records: Vec::new(), heap_bytes: 0, ready: VecDeque::new(), sent: None }
    }
}

impl<D: WireRecord> PushInto<D> for MessageBuilder<D> {
    #[inline]
    fn push_into(&mut self, record: D) {
        if self.records.capacity() == 0 {
            self.records = self.sent.take().unwrap_or_default();
            self.records.clear();
            self.records.reserve(MESSAGE_RECORDS_MAX);
        }
        self.heap_bytes += record.heap_bytes();
        self.records.push(record);
        if self.records.len() >= MESSAGE_RECORDS_MAX || self.heap_bytes > MESSAGE_HEAP_BYTES {
            self.end_message();
        }
    }
}

impl<D> MessageBuilder<D> {
    fn end_message(&mut self) {
        self.heap_bytes = 0;
        self.ready.push_back(std::mem::take(&mut self.records));
    }
}

impl<D: 'static> ContainerBuilder for MessageBuilder<D> {
    type Container = Vec<D>;

    #[inline]
    fn extract(&mut self) -> Option<&mut Vec<D>> {
        let ready = self.ready.pop_front()?;
        Some(self.sent.insert(ready))
    }

    fn finish(&mut self) -> Option<&mut Vec<D>> {
        if !self.records.is_empty() {
            self.end_message();
        }
        self.sent = self.ready.pop_front();
        self.sent.as_mut()
    }
}

impl<D: 'static> LengthPreservingContainerBuilder for MessageBuilder<D> {}
