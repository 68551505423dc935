//! A follower's side of forming.

use crate::message::{FormingMessage, Nonce};

use super::{FormedLinks, FormingAction, FormingEvent, GO_TIMEOUT, LinkId};

/// A connection for rows, and what the dialer named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct PeerLink {
    link: LinkId,
    boot: Nonce,
    generation: Option<u128>,
}

/// What the leader's `Form` said.
#[derive(Debug, Clone, PartialEq, Eq)]
struct FormedBy {
    generation: u128,
    boots: Vec<Nonce>,
}

/// A follower's state.
#[derive(Debug, Clone)]
pub(crate) struct FollowerForming {
    index: usize,
    boot: Nonce,
    /// The link to the leader and the leader's boot nonce.
    leader: Option<(LinkId, Nonce)>,
    form: Option<FormedBy>,
    /// By the number of the process. Before `Form` these are offers of followers that heard of it earlier.
    peers: Vec<Option<PeerLink>>,
    has_said_formed: bool,
    is_finished: bool,
    timer: u64,
}

impl FollowerForming {
    pub(super) fn start(index: usize, processes: usize, boot: Nonce) -> (FollowerForming, Vec<FormingAction>) {
        let follower = FollowerForming {
            index,
            boot,
            leader: None,
            form: None,
            peers: vec![None; processes],
            has_said_formed: false,
            is_finished: false,
            timer: 0,
        };
        (follower, vec![FormingAction::Dial { peer: 0, generation: None }])
    }

    pub(super) fn missing_peers(&self) -> Vec<usize> {
        if self.form.is_none() || self.has_said_formed {
            return vec![0];
        }
        (0..self.peers.len()).filter(|peer| *peer != self.index && self.peers[*peer].is_none()).collect()
    }

    pub(super) fn handle(&mut self, event: FormingEvent) -> Vec<FormingAction> {
        match event {
            FormingEvent::Linked { peer: 0, link, boot, generation: None, is_dialed: true }
                if self.leader.is_none() =>
            {
                self.leader = Some((link, boot));
                Vec::new()
            }
            FormingEvent::Linked { peer, link, boot, generation, is_dialed } => {
                self.take_peer(peer, PeerLink { link, boot, generation }, is_dialed)
            }
            FormingEvent::Received { link, message } if self.is_leader(link) => self.take_message(message),
            FormingEvent::Received { link, .. } | FormingEvent::Lost { link } => self.drop_link(link),
            FormingEvent::TimedOut { timer } => {
                let is_current = timer == self.timer && self.form.is_some() && !self.is_finished;
                if is_current { self.restart() } else { Vec::new() }
            }
        }
    }

    fn is_leader(&self, link: LinkId) -> bool {
        self.leader.is_some_and(|(leader, _)| leader == link)
    }

    fn take_peer(&mut self, peer: usize, offered: PeerLink, is_dialed: bool) -> Vec<FormingAction> {
        // Each process dials those before it.
        let is_in_order = if is_dialed { peer < self.index } else { peer > self.index };
        let is_peer = peer < self.peers.len() && is_in_order && offered.generation.is_some();
        if !is_peer || self.is_finished || !self.is_wanted(peer, &offered) {
            return vec![FormingAction::Close { link: offered.link }];
        }
        let replaced = self.peers[peer].replace(offered);
        let mut actions: Vec<FormingAction> =
            replaced.map(|replaced| FormingAction::Close { link: replaced.link }).into_iter().collect();
        self.say_formed_if_linked(&mut actions);
        actions
    }

    /// Whether the link belongs to the generation. While that is not known every offer is held.
    fn is_wanted(&self, peer: usize, offered: &PeerLink) -> bool {
        self.form.as_ref().is_none_or(|form| {
            offered.generation == Some(form.generation) && form.boots.get(peer) == Some(&offered.boot)
        })
    }

    fn take_message(&mut self, message: FormingMessage) -> Vec<FormingAction> {
        match message {
            FormingMessage::Form { generation, boots } => self.take_form(FormedBy { generation, boots }),
            FormingMessage::Go { generation } => self.take_go(generation),
            FormingMessage::Formed { .. } => self.restart(),
        }
    }

    fn take_form(&mut self, form: FormedBy) -> Vec<FormingAction> {
        if let Some(known) = &self.form {
            // The leader draws a new generation only for new links.
            return if *known == form { Vec::new() } else { self.restart() };
        }
        let leader_boot = self.leader.map(|(_, boot)| boot);
        let is_ours = form.boots.len() == self.peers.len()
            && form.boots.get(self.index) == Some(&self.boot)
            && form.boots.first() == leader_boot.as_ref();
        if !is_ours {
            return self.restart();
        }
        self.timer += 1;
        let mut actions = vec![FormingAction::StartTimer { timer: self.timer, after: GO_TIMEOUT }];
        let generation = form.generation;
        self.form = Some(form);
        for peer in 0..self.peers.len() {
            if let Some(offered) = self.peers[peer]
                && !self.is_wanted(peer, &offered)
            {
                self.peers[peer] = None;
                actions.push(FormingAction::Close { link: offered.link });
            }
        }
        let dials = (0..self.index).map(|peer| FormingAction::Dial { peer, generation: Some(generation) });
        actions.extend(dials);
        self.say_formed_if_linked(&mut actions);
        actions
    }

    fn say_formed_if_linked(&mut self, actions: &mut Vec<FormingAction>) {
        let (Some(form), Some((link, _))) = (&self.form, self.leader) else { return };
        let is_linked = (0..self.peers.len()).all(|peer| peer == self.index || self.peers[peer].is_some());
        if is_linked && !self.has_said_formed {
            let message = FormingMessage::Formed { generation: form.generation };
            actions.push(FormingAction::Send { link, message });
            self.has_said_formed = true;
        }
    }

    fn take_go(&mut self, generation: u128) -> Vec<FormingAction> {
        let Some(form) = self.form.clone().filter(|form| form.generation == generation && self.has_said_formed) else {
            return self.restart();
        };
        if self.is_finished {
            return Vec::new();
        }
        self.is_finished = true;
        let rows = self.peers.iter().map(|peer| peer.map(|peer| peer.link)).collect();
        let mut messages = vec![None; self.peers.len()];
        messages[0] = self.leader.map(|(link, _)| link);
        vec![FormingAction::Finish(FormedLinks { generation, boots: form.boots, rows, messages })]
    }

    fn drop_link(&mut self, link: LinkId) -> Vec<FormingAction> {
        if self.is_leader(link) {
            return self.restart();
        }
        let found = self.peers.iter_mut().find(|slot| slot.is_some_and(|peer| peer.link == link));
        match found {
            // The link was dropped already.
            None => Vec::new(),
            Some(_) if self.form.is_some() => self.restart(),
            Some(slot) => {
                *slot = None;
                vec![FormingAction::Close { link }]
            }
        }
    }

    /// Drops all links, and dials the leader again.
    fn restart(&mut self) -> Vec<FormingAction> {
        let leader = self.leader.take().map(|(link, _)| link);
        let dropped = leader.into_iter().chain(self.peers.iter_mut().filter_map(Option::take).map(|peer| peer.link));
        let mut actions = vec![FormingAction::CancelDials];
        actions.extend(dropped.map(|link| FormingAction::Close { link }));
        self.form = None;
        self.has_said_formed = false;
        self.is_finished = false;
        actions.push(FormingAction::Dial { peer: 0, generation: None });
        actions
    }
}
