//! The network between the nodes: one link for each ordered pair, first in first out while it lasts; and, for control,
//! messages that each find their own way.

use std::collections::BTreeSet;

use simpledynamo_chain::{Envelope, Event, Message};
use simpledynamo_topology::NodeId;

use crate::clock::Micros;
use crate::host::Work;
use crate::scenario::Scenario;
use crate::world::{Arrival, Happening, World};

/// A link from a machine to a node, as the sender has it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Link {
    /// Rises with each new connection.
    pub(crate) number: u64,
    pub(crate) is_up: bool,
    /// Something sent over it was lost, so nothing that follows arrives either.
    is_torn: bool,
    /// The machine at the other end.
    pub(crate) to: usize,
    /// When the last message will have arrived.
    last_arrival: Micros,
}

/// All links, and what is cut.
pub(crate) struct Network {
    links: Vec<Vec<Link>>,
    /// Directions in which nothing of the data path arrives.
    pub(crate) cut: BTreeSet<(usize, usize)>,
    /// Directions in which nothing of the control path arrives.
    pub(crate) cut_control: BTreeSet<(usize, usize)>,
}

impl Network {
    pub(crate) fn new(nodes: usize) -> Self {
        Self {
            links: vec![vec![Link::default(); nodes]; nodes],
            cut: BTreeSet::new(),
            cut_control: BTreeSet::new(),
        }
    }

    pub(crate) fn add_host(&mut self) {
        let nodes = self.links[0].len();
        self.links.push(vec![Link::default(); nodes]);
    }

    pub(crate) fn link(&self, from: usize, to: NodeId) -> Link {
        self.links[from][to.index()]
    }

    pub(crate) fn on_death(&mut self, at: usize) {
        for link in &mut self.links[at] {
            *link = Link { number: link.number + 1, ..Link::default() };
        }
    }

    pub(crate) fn heal(&mut self) {
        self.cut.clear();
        self.cut_control.clear();
    }
}

impl World {
    /// Sends a message over its link, if there is one.
    pub(crate) fn transmit(&mut self, from: usize, envelope: Envelope) {
        let to_node = envelope.to.node;
        let link = self.network.links[from][to_node.index()];
        if !link.is_up {
            return;
        }
        let delay = self.random.between(20, self.knobs.delay) + self.late(5, 20 * self.knobs.delay);
        let at = (self.now + delay).max(link.last_arrival);
        self.network.links[from][to_node.index()].last_arrival = at;
        let is_doubled = !self.is_smooth && self.random.chance(self.knobs.doubled);
        if is_doubled {
            if let Message::Write { id, .. } = &envelope.message {
                self.clients.on_doubled(*id);
            }
            let late = *self.random.pick(&[1_000, 100_000, 1_000_000, 4_000_000]);
            let wait = delay + self.random.below(late);
            let envelope = envelope.clone();
            let copy = Arrival { from, to: link.to, link: link.number, is_stray: true, envelope };
            self.after(wait, Happening::Arrive(copy));
        }
        let arrival = Arrival { from, to: link.to, link: link.number, is_stray: false, envelope };
        self.after(at - self.now, Happening::Arrive(arrival));
    }

    pub(crate) fn on_arrival(&mut self, mut arrival: Arrival) {
        let (from, to) = (arrival.from, arrival.to);
        let link = &mut self.network.links[from][self.hosts[to].node.index()];
        let is_present = link.number == arrival.link && link.is_up;
        if self.network.cut.contains(&(from, to)) {
            if is_present && !arrival.is_stray {
                link.is_torn = true;
            }
            return;
        }
        if !arrival.is_stray {
            if is_present && link.is_torn {
                return;
            }
            if !is_present {
                // Of a connection that is gone: mostly lost, sometimes read late.
                if !self.is_smooth && self.random.chance(150) {
                    arrival.is_stray = true;
                    let wait = self.random.below(2_000_000);
                    self.after(wait, Happening::Arrive(arrival));
                }
                return;
            }
        }
        self.give(0, to, Work::Event(Event::Message(arrival.envelope)));
    }

    fn are_connected(&self, from: usize, to: usize) -> bool {
        let cut = &self.network.cut;
        !cut.contains(&(from, to)) && !cut.contains(&(to, from))
    }

    /// Makes a link if the other side can be reached, and tries again later if not.
    pub(crate) fn connect(&mut self, from: usize, to: NodeId) {
        if self.hosts[from].process.is_none() || self.hosts[from].node == to {
            return;
        }
        let host = self.addresses[to.index()];
        let link = self.network.links[from][to.index()];
        if link.is_up {
            return;
        }
        if self.hosts[host].process.is_none() || !self.are_connected(from, host) {
            let wait = self.random.between(20_000, 60_000);
            return self.after(wait, Happening::Connect(from, to));
        }
        self.network.links[from][to.index()] =
            Link { number: link.number + 1, is_up: true, is_torn: false, to: host, last_arrival: self.now };
        let wait = self.random.below(2_000);
        self.give(wait, from, Work::Event(Event::LinkUp(to)));
    }

    /// Breaks a link, if it is still the one that is meant.
    pub(crate) fn break_link(&mut self, from: usize, to: NodeId, number: Option<u64>) {
        let link = &mut self.network.links[from][to.index()];
        if !link.is_up || number.is_some_and(|number| number != link.number) {
            return;
        }
        link.is_up = false;
        if self.hosts[from].process.is_none() {
            return;
        }
        let wait = self.random.below(10_000);
        self.give(wait, from, Work::Event(Event::LinkDown(to)));
        let wait = wait + self.random.between(5_000, 80_000);
        self.after(wait, Happening::Connect(from, to));
    }

    /// Nothing passes from one machine to another on the data path until the cut is healed.
    pub(crate) fn cut(&mut self, from: usize, to: usize) {
        self.network.cut.insert((from, to));
        // Both sides miss what should come back, and give up after a while.
        for (one, other) in [(from, to), (to, from)] {
            let node = self.hosts[other].node;
            let number = self.network.link(one, node).number;
            let wait = self.random.between(20_000, 800_000);
            self.after(wait, Happening::Break(one, node, number));
        }
        self.met(Scenario::S10);
    }

    /// Sends a control message: lost, late or doubled as it comes.
    pub(crate) fn send_control(&mut self, from: usize, to: usize, work: impl Fn() -> Work) {
        if from != to && self.network.cut_control.contains(&(from, to)) {
            return;
        }
        if self.hosts[to].process.is_none() {
            return;
        }
        if self.is_smooth || from == to {
            let wait = self.random.between(10, self.knobs.delay);
            return self.give(wait, to, work());
        }
        if self.random.chance(self.knobs.lost) {
            return;
        }
        if self.random.chance(self.knobs.doubled) {
            let wait = self.random.below(1_500_000);
            self.give(wait, to, work());
        }
        let usual = self.random.between(10, self.knobs.delay);
        let late = self.late(10, 1_000_000);
        self.give(usual + late, to, work());
    }
}
