//! Counts which messages of an emit were acknowledged by their destination. Queued messages do not count.
//!
//! Acknowledgements may arrive out of order. The draw to continue with is that of the first message without one.

use std::collections::VecDeque;

use parking_lot::{Mutex, MutexGuard};

/// A message to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PendingMessage {
    /// The posts in it.
    pub(crate) posts: u32,
    /// The draw to continue with once this message and all before it are settled.
    pub(crate) resume_draw: u64,
}

/// Counts of one destination, or of all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct AckCounts {
    /// Messages handed to the destination.
    pub(crate) sent: u64,
    pub(crate) acknowledged: u64,
    /// Posts in the acknowledged messages.
    pub(crate) posts: u64,
    /// Messages that the destination will never accept.
    pub(crate) refused: u64,
}

impl AckCounts {
    /// Messages sent and neither acknowledged nor refused.
    pub(crate) fn unsettled(self) -> u64 {
        self.sent.saturating_sub(self.acknowledged + self.refused)
    }

    pub(crate) fn add_counts(&mut self, other: AckCounts) {
        self.sent += other.sent;
        self.acknowledged += other.acknowledged;
        self.posts += other.posts;
        self.refused += other.refused;
    }
}

/// The messages of one destination between sending and acknowledgement. Shared by the thread that sends and those that
/// receive acknowledgements.
#[derive(Debug)]
pub(crate) struct DestinationAcks {
    /// The destination's name in messages, such as `topic 12ab.pin`.
    pub(crate) name: String,
    /// The draw after the last one. `None` if the emit has no end.
    pub(crate) end_draw: Option<u64>,
    window: Mutex<AckWindow>,
}

impl DestinationAcks {
    /// Starts with no messages. `first_draw` is the draw of the first one.
    pub(crate) fn new(name: String, first_draw: u64, end_draw: Option<u64>) -> DestinationAcks {
        let window = AckWindow { resume_draw: first_draw, ..AckWindow::default() };
        DestinationAcks { name, end_draw, window: Mutex::new(window) }
    }

    fn lock_window(&self) -> MutexGuard<'_, AckWindow> {
        self.window.lock()
    }

    /// Registers messages before they are sent. They are numbered from 0 in order of registration.
    pub(crate) fn register(&self, messages: impl IntoIterator<Item = PendingMessage>) {
        self.lock_window().messages.extend(messages.into_iter().map(|message| (message, false)));
    }

    /// Marks all draws before `resume_draw` as registered, including those without a message.
    pub(crate) fn end_draws(&self, resume_draw: u64) {
        let mut window = self.lock_window();
        match window.messages.back_mut() {
            Some((message, _)) => message.resume_draw = message.resume_draw.max(resume_draw),
            None => window.resume_draw = window.resume_draw.max(resume_draw),
        }
    }

    /// Counts the next message as sent, and returns its number.
    pub(crate) fn count_sent(&self) -> u64 {
        let mut window = self.lock_window();
        window.counts.sent += 1;
        window.counts.sent - 1
    }

    /// Takes back the last [`DestinationAcks::count_sent`].
    pub(crate) fn uncount_sent(&self) {
        self.lock_window().counts.sent -= 1;
    }

    /// Marks a message as acknowledged. Repetitions are ignored.
    pub(crate) fn acknowledge(&self, number: u64) {
        self.lock_window().settle_message(number, true);
    }

    /// Marks a message as refused for good.
    pub(crate) fn refuse(&self, number: u64) {
        self.lock_window().settle_message(number, false);
    }

    /// Marks all registered messages as sent and acknowledged.
    pub(crate) fn acknowledge_all(&self) {
        let mut window = self.lock_window();
        window.counts.sent = window.first + window.messages.len() as u64;
        let (first, end) = (window.first, window.counts.sent);
        (first..end).for_each(|number| window.settle_message(number, true));
    }

    pub(crate) fn counts(&self) -> AckCounts {
        self.lock_window().counts
    }

    /// The draw to continue with: all messages of earlier draws are acknowledged, or refused for good.
    pub(crate) fn resume_draw(&self) -> u64 {
        self.lock_window().resume_draw
    }
}

/// The state of [`DestinationAcks`], without a lock.
#[derive(Debug, Default)]
struct AckWindow {
    /// The number of the first message in `messages`.
    first: u64,
    /// Messages from the first unsettled one on, each with whether it is settled.
    messages: VecDeque<(PendingMessage, bool)>,
    resume_draw: u64,
    counts: AckCounts,
}

impl AckWindow {
    fn settle_message(&mut self, number: u64, is_acknowledged: bool) {
        let Some(at) = number.checked_sub(self.first) else { return };
        let Some((message, is_settled)) = self.messages.get_mut(at as usize) else { return };
        if std::mem::replace(is_settled, true) {
            return;
        }
        if is_acknowledged {
            self.counts.acknowledged += 1;
            self.counts.posts += u64::from(message.posts);
        } else {
            self.counts.refused += 1;
        }
        while let Some((message, true)) = self.messages.front() {
            self.resume_draw = self.resume_draw.max(message.resume_draw);
            self.messages.pop_front();
            self.first += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn acks(draws: &[u64]) -> DestinationAcks {
        let acks = DestinationAcks::new("topic a".to_owned(), 5, None);
        acks.register(draws.iter().map(|draw| PendingMessage { posts: 1, resume_draw: *draw }));
        for _ in draws {
            acks.count_sent();
        }
        acks
    }

    #[test]
    fn acknowledgement_out_of_order_does_not_move_resume_draw_past_a_gap() {
        let acks = acks(&[6, 7, 8]);
        acks.acknowledge(2);
        acks.acknowledge(0);
        assert_eq!((acks.resume_draw(), acks.counts().acknowledged, acks.counts().unsettled()), (6, 2, 1));
        acks.acknowledge(1);
        assert_eq!((acks.resume_draw(), acks.counts().unsettled()), (8, 0));
    }

    #[test]
    fn acknowledgement_repeated_counts_once() {
        let acks = acks(&[6, 7]);
        (0..3).for_each(|_| acks.acknowledge(1));
        assert_eq!(acks.counts().acknowledged, 1);
        (0..3).for_each(|_| acks.acknowledge(0));
        acks.acknowledge(9);
        assert_eq!((acks.counts().acknowledged, acks.counts().posts), (2, 2));
    }

    #[test]
    fn refused_message_is_settled_but_not_acknowledged() {
        let acks = acks(&[6, 7]);
        acks.refuse(0);
        acks.acknowledge(1);
        let counts = acks.counts();
        assert_eq!((counts.acknowledged, counts.refused, counts.unsettled(), acks.resume_draw()), (1, 1, 0, 7));
    }

    #[test]
    fn draws_without_messages_move_resume_draw() {
        let acks = acks(&[5]);
        acks.end_draws(9);
        assert_eq!(acks.resume_draw(), 5);
        acks.acknowledge(0);
        assert_eq!(acks.resume_draw(), 9);
        acks.end_draws(12);
        assert_eq!(acks.resume_draw(), 12);
    }

    #[test]
    fn acknowledge_all_settles_what_is_registered() {
        let acks = DestinationAcks::new("a.jsonl".to_owned(), 0, Some(4));
        acks.register((1..=4).map(|draw| PendingMessage { posts: 2, resume_draw: draw }));
        acks.acknowledge_all();
        assert_eq!(acks.counts(), AckCounts { sent: 4, acknowledged: 4, posts: 8, refused: 0 });
        assert_eq!(acks.resume_draw(), 4);
    }
}
