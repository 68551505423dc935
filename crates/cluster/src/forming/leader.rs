//! The leader's side of forming.

use crate::message::{FormingMessage, Nonce};

use super::{FORMED_TIMEOUT, FormedLinks, FormingAction, FormingEvent, LinkId};

/// A linked follower.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct FollowerLink {
    link: LinkId,
    boot: Nonce,
    /// Its link for rows, which it dials once it knows the generation.
    rows: Option<LinkId>,
    has_formed: bool,
}

/// The leader's state. Before it has drawn a generation a lost follower costs only its own link.
#[derive(Debug, Clone)]
pub(crate) struct LeaderForming {
    boot: Nonce,
    /// By the number of the process. The leader's own entry stays empty.
    followers: Vec<Option<FollowerLink>>,
    /// Drawn once all followers were linked.
    generation: Option<u128>,
    is_finished: bool,
    /// The number of the last timer. A timer of an earlier generation has another.
    timer: u64,
}

impl LeaderForming {
    pub(super) fn new(processes: usize, boot: Nonce) -> LeaderForming {
        LeaderForming { boot, followers: vec![None; processes], generation: None, is_finished: false, timer: 0 }
    }

    pub(super) fn missing_peers(&self) -> Vec<usize> {
        let is_missing =
            |peer: &usize| self.followers[*peer].is_none_or(|f| self.generation.is_some() && !f.has_formed);
        (1..self.followers.len()).filter(is_missing).collect()
    }

    pub(super) fn handle(&mut self, event: &FormingEvent, draw: &mut dyn FnMut() -> u128) -> Vec<FormingAction> {
        match *event {
            FormingEvent::Linked { peer, link, boot, generation, is_dialed } => {
                if peer == 0 || peer >= self.followers.len() || is_dialed {
                    return vec![FormingAction::Close { link }];
                }
                match generation {
                    None => self.add_follower(peer, FollowerLink { link, boot, rows: None, has_formed: false }, draw),
                    Some(generation) => self.add_rows_link(peer, link, (boot, generation)),
                }
            }
            FormingEvent::Received { link, message: FormingMessage::Formed { generation } } => {
                self.take_formed(link, generation)
            }
            // No follower sends anything else.
            FormingEvent::Received { link, .. } | FormingEvent::Lost { link } => self.drop_link(link),
            FormingEvent::TimedOut { timer } => {
                let is_current = timer == self.timer && self.generation.is_some() && !self.is_finished;
                if is_current { self.restart() } else { Vec::new() }
            }
        }
    }

    fn add_follower(
        &mut self,
        peer: usize,
        follower: FollowerLink,
        draw: &mut dyn FnMut() -> u128,
    ) -> Vec<FormingAction> {
        let mut actions = if self.generation.is_some() {
            // The follower began again, so the generation cannot be formed.
            self.restart()
        } else {
            let replaced = self.followers[peer];
            replaced.map(|replaced| FormingAction::Close { link: replaced.link }).into_iter().collect()
        };
        self.followers[peer] = Some(follower);
        if self.followers.iter().skip(1).all(Option::is_some) {
            self.send_form(draw(), &mut actions);
        }
        actions
    }

    /// Takes a link for rows, if it belongs to the generation.
    fn add_rows_link(&mut self, peer: usize, link: LinkId, (boot, generation): (Nonce, u128)) -> Vec<FormingAction> {
        let is_current = self.generation == Some(generation) && !self.is_finished;
        let follower = self.followers[peer].as_mut().filter(|follower| is_current && follower.boot == boot);
        let Some(follower) = follower else { return vec![FormingAction::Close { link }] };
        let replaced = follower.rows.replace(link);
        let mut actions: Vec<_> = replaced.map(|link| FormingAction::Close { link }).into_iter().collect();
        actions.extend(self.finish_if_formed(generation));
        actions
    }

    fn send_form(&mut self, generation: u128, actions: &mut Vec<FormingAction>) {
        self.generation = Some(generation);
        self.timer += 1;
        let boots = self.boots();
        for follower in self.followers.iter().flatten() {
            let message = FormingMessage::Form { generation, boots: boots.clone() };
            actions.push(FormingAction::Send { link: follower.link, message });
        }
        actions.push(FormingAction::StartTimer { timer: self.timer, after: FORMED_TIMEOUT });
    }

    fn boots(&self) -> Vec<Nonce> {
        self.followers.iter().map(|follower| follower.map_or(self.boot, |follower| follower.boot)).collect()
    }

    fn take_formed(&mut self, link: LinkId, generation: u128) -> Vec<FormingAction> {
        let Some(follower) = self.followers.iter_mut().flatten().find(|follower| follower.link == link) else {
            return Vec::new();
        };
        if self.generation != Some(generation) {
            return self.drop_link(link);
        }
        follower.has_formed = true;
        self.finish_if_formed(generation)
    }

    /// Says `Go` once every follower has said that it is linked, and its link for rows has come.
    fn finish_if_formed(&mut self, generation: u128) -> Vec<FormingAction> {
        let has_formed = |follower: &FollowerLink| follower.has_formed && follower.rows.is_some();
        if self.is_finished || !self.followers.iter().flatten().all(has_formed) {
            return Vec::new();
        }
        self.is_finished = true;
        let go = |follower: &FollowerLink| FormingAction::Send {
            link: follower.link,
            message: FormingMessage::Go { generation },
        };
        let mut actions: Vec<FormingAction> = self.followers.iter().flatten().map(go).collect();
        let messages = self.followers.iter().map(|follower| follower.map(|follower| follower.link)).collect();
        let rows = self.followers.iter().map(|follower| follower.and_then(|follower| follower.rows)).collect();
        actions.push(FormingAction::Finish(FormedLinks { generation, boots: self.boots(), rows, messages }));
        actions
    }

    fn drop_link(&mut self, link: LinkId) -> Vec<FormingAction> {
        let is_of = |follower: FollowerLink| follower.link == link || follower.rows == Some(link);
        let found = self.followers.iter_mut().find(|slot| slot.is_some_and(is_of));
        match found {
            // The link was dropped already.
            None => Vec::new(),
            Some(_) if self.generation.is_some() => self.restart(),
            Some(slot) => {
                *slot = None;
                vec![FormingAction::Close { link }]
            }
        }
    }

    /// Drops the generation and all links. The followers dial again.
    fn restart(&mut self) -> Vec<FormingAction> {
        self.generation = None;
        self.is_finished = false;
        let dropped = self.followers.iter_mut().filter_map(Option::take);
        let links = dropped.flat_map(|follower| [Some(follower.link), follower.rows]);
        links.flatten().map(|link| FormingAction::Close { link }).collect()
    }
}
