//! The rules of forming, without I/O and without a clock.
//!
//! The leader waits until all followers are linked, then draws a generation and sends `Form` with the boot nonces of all
//! processes. Each process then links to all before it a second time, for rows, with the generation. Followers say
//! `Formed` over their first link. When all have, the leader says `Go`. Any fault in between drops all links, and the
//! process begins again. The first links stay for the messages between the leader and its followers.

mod follower;
mod leader;
#[cfg(test)]
mod simulation;

use std::time::Duration;

use crate::message::{FormingMessage, Nonce};

use self::follower::FollowerForming;
use self::leader::LeaderForming;

/// The time from the leader's `Form` until all have said `Formed`.
const FORMED_TIMEOUT: Duration = Duration::from_secs(5);

/// The time from a follower's `Form` until the leader's `Go`. It is longer than the leader's, who knows better.
const GO_TIMEOUT: Duration = Duration::from_secs(10);

/// An authenticated connection, numbered by the driver of the machine. No number is used twice.
pub(crate) type LinkId = u64;

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum FormingEvent {
    /// A connection to a peer is authenticated.
    Linked {
        peer: usize,
        link: LinkId,
        /// The peer's boot nonce.
        boot: Nonce,
        /// The generation that the dialer named.
        generation: Option<u128>,
        /// Whether this process dialed.
        is_dialed: bool,
    },
    /// A message came.
    Received { link: LinkId, message: FormingMessage },
    /// A connection ended.
    Lost { link: LinkId },
    /// The time of a timer has passed.
    TimedOut { timer: u64 },
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum FormingAction {
    /// Dial a peer, again and again, until it is linked or `CancelDials` comes.
    Dial { peer: usize, generation: Option<u128> },
    /// Stop dialing.
    CancelDials,
    /// Send a message.
    Send { link: LinkId, message: FormingMessage },
    /// Close a connection.
    Close { link: LinkId },
    /// Report `TimedOut` with this number after this time.
    StartTimer { timer: u64, after: Duration },
    /// The cluster is formed. A loss of one of the links before they are handed over is still a fault.
    Finish(FormedLinks),
}

/// A formed cluster: by the number of the process, the links over which rows go, and those between the leader and its
/// followers, over which messages go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FormedLinks {
    pub(crate) generation: u128,
    pub(crate) boots: Vec<Nonce>,
    pub(crate) rows: Vec<Option<LinkId>>,
    pub(crate) messages: Vec<Option<LinkId>>,
}

/// The state of one process that forms a cluster.
#[derive(Debug, Clone)]
pub(crate) enum FormingMachine {
    Leader(LeaderForming),
    Follower(FollowerForming),
}

impl FormingMachine {
    /// The machine of a process, and what it does first.
    pub(crate) fn start(index: usize, processes: usize, boot: Nonce) -> (FormingMachine, Vec<FormingAction>) {
        if index == 0 {
            (FormingMachine::Leader(LeaderForming::new(processes, boot)), Vec::new())
        } else {
            let (follower, actions) = FollowerForming::start(index, processes, boot);
            (FormingMachine::Follower(follower), actions)
        }
    }

    /// Takes an event, and returns what to do, in order. `draw` draws a generation.
    pub(crate) fn handle(&mut self, event: FormingEvent, draw: &mut dyn FnMut() -> u128) -> Vec<FormingAction> {
        match self {
            FormingMachine::Leader(leader) => leader.handle(&event, draw),
            FormingMachine::Follower(follower) => follower.handle(event),
        }
    }

    /// The processes that this one waits for.
    pub(crate) fn missing_peers(&self) -> Vec<usize> {
        match self {
            FormingMachine::Leader(leader) => leader.missing_peers(),
            FormingMachine::Follower(follower) => follower.missing_peers(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEADER_BOOT: Nonce = 100;
    const OWN_BOOT: Nonce = 101;

    fn linked(peer: usize, link: LinkId, boot: Nonce, generation: Option<u128>, is_dialed: bool) -> FormingEvent {
        FormingEvent::Linked { peer, link, boot, generation, is_dialed }
    }

    fn handle(machine: &mut FormingMachine, event: FormingEvent) -> Vec<FormingAction> {
        machine.handle(event, &mut || 7)
    }

    /// Process 1 of 3 after it was linked to the leader.
    fn follower() -> FormingMachine {
        let (mut machine, actions) = FormingMachine::start(1, 3, OWN_BOOT);
        assert_eq!(actions, [FormingAction::Dial { peer: 0, generation: None }]);
        assert!(handle(&mut machine, linked(0, 1, LEADER_BOOT, None, true)).is_empty());
        machine
    }

    fn form(boots: &[Nonce]) -> FormingEvent {
        FormingEvent::Received { link: 1, message: FormingMessage::Form { generation: 7, boots: boots.to_vec() } }
    }

    fn closes(actions: &[FormingAction], link: LinkId) -> bool {
        actions.contains(&FormingAction::Close { link })
    }

    #[test]
    fn offers_are_held_until_form_and_those_of_another_generation_or_boot_are_closed() {
        for (boot, generation, is_kept) in [(102, 7, true), (102, 6, false), (999, 7, false)] {
            let mut machine = follower();
            assert!(handle(&mut machine, linked(2, 2, boot, Some(generation), false)).is_empty());
            let actions = handle(&mut machine, form(&[LEADER_BOOT, OWN_BOOT, 102]));
            assert_eq!(closes(&actions, 2), !is_kept, "{boot} {generation}");
            // The link to the leader for rows comes last.
            assert!(actions.contains(&FormingAction::Dial { peer: 0, generation: Some(7) }), "{boot} {generation}");
            let actions = handle(&mut machine, linked(0, 3, LEADER_BOOT, Some(7), true));
            let formed = FormingAction::Send { link: 1, message: FormingMessage::Formed { generation: 7 } };
            assert_eq!(actions.contains(&formed), is_kept, "{boot} {generation}");
        }
    }

    #[test]
    fn form_for_another_boot_of_leader_or_follower_is_a_fault() {
        for boots in [[LEADER_BOOT, 999, 102], [999, OWN_BOOT, 102]] {
            assert!(closes(&handle(&mut follower(), form(&boots)), 1));
        }
        assert!(closes(&handle(&mut follower(), form(&[LEADER_BOOT, OWN_BOOT])), 1));
    }

    #[test]
    fn follower_that_begins_again_makes_the_leader_drop_the_generation() {
        let (mut leader, _) = FormingMachine::start(0, 3, LEADER_BOOT);
        handle(&mut leader, linked(1, 1, OWN_BOOT, None, false));
        let sent = handle(&mut leader, linked(2, 2, 102, None, false));
        assert!(sent.iter().any(|action| matches!(action, FormingAction::Send { link: 2, .. })));
        let actions = handle(&mut leader, linked(2, 3, 103, None, false));
        assert!(closes(&actions, 1) && closes(&actions, 2) && !closes(&actions, 3));
        assert_eq!(leader.missing_peers(), [1]);
    }

    #[test]
    fn peer_that_dials_in_the_wrong_order_is_closed() {
        let mut machine = follower();
        assert!(closes(&handle(&mut machine, linked(0, 5, LEADER_BOOT, Some(7), false)), 5));
        assert!(closes(&handle(&mut machine, linked(9, 6, 102, Some(7), false)), 6));
        assert!(closes(&handle(&mut machine, linked(2, 7, 102, None, false)), 7));
    }
}
