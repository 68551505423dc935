//! Whole clusters of machines, simulated: messages are lost, late or doubled, and processes are killed.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use super::{FormedLinks, FormingAction, FormingEvent, FormingMachine, LinkId};
use crate::message::{FormingMessage, Nonce};

/// A small generator of random numbers, so that a failed seed can be run again.
struct FormingRng(u64);

impl FormingRng {
    fn next(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % below
    }

    fn happens(&mut self, percent: u64) -> bool {
        self.next(100) < percent
    }
}

/// One incarnation of a process.
struct SimProcess {
    machine: FormingMachine,
    boot: Nonce,
    /// Dials that were cancelled have another number.
    dial_round: u64,
    formed: Option<FormedLinks>,
}

impl FormedLinks {
    /// The links for rows and for messages.
    fn has_link(&self, link: LinkId) -> bool {
        self.rows.contains(&Some(link)) || self.messages.contains(&Some(link))
    }
}

/// One end of a connection: the process and its incarnation.
type LinkEnd = (usize, Nonce);

enum SimEvent {
    /// A dial reaches the acceptor, if both still exist.
    DialArrives {
        from: LinkEnd,
        round: u64,
        to: usize,
        generation: Option<u128>,
    },
    Deliver {
        to: LinkEnd,
        event: FormingEvent,
    },
    Start {
        index: usize,
    },
}

struct Simulation {
    rng: FormingRng,
    now: u64,
    order: u64,
    queue: BTreeMap<(u64, u64), SimEvent>,
    processes: Vec<Option<SimProcess>>,
    /// The two ends of each connection that is open.
    links: HashMap<LinkId, [LinkEnd; 2]>,
    /// When an end is told of its connection. Whatever comes on it is told later.
    linked_at: HashMap<(LinkId, LinkEnd), u64>,
    last_number: u128,
    /// Messages are lost, late or doubled, and processes die.
    is_rough: bool,
}

impl Simulation {
    fn new(processes: usize, seed: u64) -> Simulation {
        let mut simulation = Simulation {
            rng: FormingRng(seed),
            now: 0,
            order: 0,
            queue: BTreeMap::new(),
            processes: (0..processes).map(|_| None).collect(),
            links: HashMap::new(),
            linked_at: HashMap::new(),
            last_number: 0,
            is_rough: true,
        };
        for index in 0..processes {
            let delay = simulation.rng.next(2_000);
            simulation.schedule(delay, SimEvent::Start { index });
        }
        simulation
    }

    fn schedule(&mut self, delay: u64, event: SimEvent) {
        self.order += 1;
        self.queue.insert((self.now + delay, self.order), event);
    }

    fn draw(&mut self) -> u128 {
        self.last_number += 1;
        self.last_number
    }

    /// Milliseconds that a message takes. Rough networks deliver in any order.
    fn delay(&mut self) -> u64 {
        if self.is_rough && self.rng.happens(10) { 1 + self.rng.next(12_000) } else { 1 + self.rng.next(5) }
    }

    fn start(&mut self, index: usize) {
        if self.processes[index].is_some() {
            return;
        }
        let boot = self.draw();
        let (machine, actions) = FormingMachine::start(index, self.processes.len(), boot);
        self.processes[index] = Some(SimProcess { machine, boot, dial_round: 0, formed: None });
        self.apply(index, actions);
    }

    /// The process ends. Its peers see that on each connection.
    fn kill(&mut self, index: usize) {
        let Some(process) = self.processes[index].take() else { return };
        let ended: Vec<LinkId> = self
            .links
            .iter()
            .filter(|(_, ends)| ends.contains(&(index, process.boot)))
            .map(|(link, _)| *link)
            .collect();
        ended.into_iter().for_each(|link| self.close(link, (index, process.boot)));
        let delay = self.rng.next(300);
        self.schedule(delay, SimEvent::Start { index });
    }

    fn close(&mut self, link: LinkId, by: LinkEnd) {
        let Some(ends) = self.links.remove(&link) else { return };
        let other = if ends[0] == by { ends[1] } else { ends[0] };
        self.schedule_on_link(link, other, FormingEvent::Lost { link });
    }

    fn apply(&mut self, index: usize, actions: Vec<FormingAction>) {
        for action in actions {
            let Some(process) = &mut self.processes[index] else { return };
            let me = (index, process.boot);
            match action {
                FormingAction::Dial { peer, generation } => {
                    let (round, delay) = (process.dial_round, 20 + self.rng.next(200));
                    self.schedule(delay, SimEvent::DialArrives { from: me, round, to: peer, generation });
                }
                FormingAction::CancelDials => process.dial_round += 1,
                FormingAction::Send { link, message } => self.send(me, link, &message),
                FormingAction::Close { link } => self.close(link, me),
                FormingAction::StartTimer { timer, after } => {
                    let delay = u64::try_from(after.as_millis()).expect("a timer is short");
                    self.schedule(delay, SimEvent::Deliver { to: me, event: FormingEvent::TimedOut { timer } });
                }
                FormingAction::Finish(formed) => {
                    let others =
                        self.links.iter().filter(|(link, ends)| ends.contains(&me) && !formed.has_link(**link));
                    let others: Vec<LinkId> = others.map(|(link, _)| *link).collect();
                    process.formed = Some(formed);
                    others.into_iter().for_each(|link| self.close(link, me));
                    self.check_formed(index);
                }
            }
        }
    }

    fn send(&mut self, from: LinkEnd, link: LinkId, message: &FormingMessage) {
        let Some(ends) = self.links.get(&link) else { return };
        let to = if ends[0] == from { ends[1] } else { ends[0] };
        let copies = match self.is_rough {
            true if self.rng.happens(5) => 0,
            true if self.rng.happens(5) => 2,
            _ => 1,
        };
        for _ in 0..copies {
            let event = FormingEvent::Received { link, message: message.clone() };
            self.schedule_on_link(link, to, event);
        }
    }

    fn schedule_on_link(&mut self, link: LinkId, to: LinkEnd, event: FormingEvent) {
        let earliest = self.linked_at.get(&(link, to)).copied().unwrap_or(0).saturating_sub(self.now);
        let delay = self.delay().max(earliest);
        self.schedule(delay, SimEvent::Deliver { to, event });
    }

    fn dial(&mut self, from: LinkEnd, round: u64, to: usize, generation: Option<u128>) {
        let is_wanted = self.process(from).is_some_and(|dialer| dialer.dial_round == round);
        if !is_wanted {
            return;
        }
        let is_listening = self.processes[to].as_ref().is_some_and(|acceptor| acceptor.formed.is_none());
        let fails = self.is_rough && self.rng.happens(10);
        if !is_listening || fails {
            let delay = 20 + self.rng.next(980);
            return self.schedule(delay, SimEvent::DialArrives { from, round, to, generation });
        }
        let acceptor = (to, self.processes[to].as_ref().map_or(0, |acceptor| acceptor.boot));
        let link = u64::try_from(self.draw()).expect("a simulation is short");
        self.links.insert(link, [from, acceptor]);
        for (end, other, is_dialed) in [(acceptor, from, false), (from, acceptor, true)] {
            let event = FormingEvent::Linked { peer: other.0, link, boot: other.1, generation, is_dialed };
            let delay = self.delay();
            self.linked_at.insert((link, end), self.now + delay);
            self.schedule(delay, SimEvent::Deliver { to: end, event });
        }
    }

    fn process(&self, end: LinkEnd) -> Option<&SimProcess> {
        self.processes[end.0].as_ref().filter(|process| process.boot == end.1)
    }

    fn deliver(&mut self, to: LinkEnd, event: FormingEvent) {
        let Some(process) = self.process(to) else { return };
        if let (Some(formed), FormingEvent::Lost { link }) = (&process.formed, &event) {
            // A formed cluster that loses a peer ends with its processes.
            if formed.has_link(*link) {
                self.kill(to.0);
            }
            return;
        }
        if process.formed.is_some() {
            return;
        }
        // The driver closes a dial that was cancelled meanwhile.
        let mut drawn = self.draw();
        let machine = self.processes[to.0].as_mut().map(|process| &mut process.machine);
        let actions = machine.map(|machine| machine.handle(event, &mut || std::mem::replace(&mut drawn, 0)));
        self.apply(to.0, actions.unwrap_or_default());
    }

    /// A formed process agrees with all others that are formed and still connected to it.
    fn check_formed(&self, index: usize) {
        let Some(mine) = self.processes[index].as_ref().and_then(|process| process.formed.as_ref()) else { return };
        let count = |links: &[Option<LinkId>]| links.iter().filter(|link| link.is_some()).count();
        assert_eq!(count(&mine.rows), self.processes.len() - 1);
        assert_eq!(count(&mine.messages), if index == 0 { self.processes.len() - 1 } else { 1 });
        for (other, link) in mine.rows.iter().chain(&mine.messages).enumerate() {
            let other = other % self.processes.len();
            let Some(ends) = link.and_then(|link| self.links.get(&link)) else { continue };
            assert!(ends.iter().any(|end| end.0 == index) && ends.contains(&(other, mine.boots[other])));
            let peer = self.process((other, mine.boots[other]));
            if let Some(theirs) = peer.and_then(|process| process.formed.as_ref())
                && [theirs.rows[index], theirs.messages[index]].contains(link)
            {
                assert_eq!((theirs.generation, &theirs.boots), (mine.generation, &mine.boots));
            }
        }
    }

    fn run_until(&mut self, end: u64) {
        while let Some(entry) = self.queue.first_entry() {
            if entry.key().0 > end {
                break;
            }
            let ((at, _), event) = entry.remove_entry();
            self.now = at;
            match event {
                SimEvent::Start { index } => self.start(index),
                SimEvent::DialArrives { from, round, to, generation } => self.dial(from, round, to, generation),
                SimEvent::Deliver { to, event } => self.deliver(to, event),
            }
        }
        self.now = end;
    }

    fn is_formed(&self) -> bool {
        let formed = |process: &Option<SimProcess>| process.as_ref().and_then(|process| process.formed.clone());
        let Some(first) = formed(&self.processes[0]) else { return false };
        let is_linked = |link: &Option<LinkId>| {
            link.is_none_or(|link| {
                let ends = self.links.get(&link).map_or(&[][..], |ends| &ends[..]);
                let holds = |end: &LinkEnd| formed(&self.processes[end.0]).is_some_and(|formed| formed.has_link(link));
                ends.len() == 2 && ends.iter().all(holds)
            })
        };
        self.processes.iter().all(|process| {
            formed(process).is_some_and(|state| {
                let is_same = state.generation == first.generation && state.boots == first.boots;
                is_same && state.rows.iter().chain(&state.messages).all(is_linked)
            })
        })
    }
}

fn simulate(processes: usize, seed: u64) {
    let mut simulation = Simulation::new(processes, seed);
    let rough = simulation.rng.next(30_000);
    while simulation.now < rough {
        let step = 1 + simulation.rng.next(1_000);
        simulation.run_until(simulation.now + step);
        if simulation.rng.happens(40) {
            let victim = usize::try_from(simulation.rng.next(processes as u64)).expect("a small number");
            simulation.kill(victim);
        }
    }
    simulation.is_rough = false;
    // Two timeouts of forming, the latest message of the rough time, and waits of dials.
    let deadline = simulation.now + 60_000;
    while !simulation.is_formed() {
        assert!(simulation.now < deadline, "{processes} processes with seed {seed} do not form");
        simulation.run_until(simulation.now + 100);
    }
    let settled = simulation.now + 30_000;
    simulation.run_until(settled);
    assert!(simulation.is_formed(), "{processes} processes with seed {seed} are formed and fall apart");
}

#[test]
fn cluster_forms_once_the_network_is_quiet_after_losses_and_kills() {
    let rounds = std::env::var("PINFLOW_CLUSTER_SIMULATIONS").ok().and_then(|text| text.parse().ok()).unwrap_or(2_000);
    for seed in 0..rounds {
        simulate(2 + usize::try_from(seed % 4).expect("a small number"), seed);
    }
}

#[test]
fn quiet_cluster_forms_at_once() {
    for processes in 2..8 {
        let mut simulation = Simulation::new(processes, 1);
        simulation.is_rough = false;
        simulation.run_until(2_000 + Duration::from_secs(4).as_secs() * 1_000);
        assert!(simulation.is_formed(), "{processes} processes");
    }
}
