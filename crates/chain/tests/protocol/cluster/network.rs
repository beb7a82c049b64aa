//! Links between machines: one from each to each other, with a queue that a break empties.

use std::collections::{BTreeMap, VecDeque};

use simpledynamo_chain::Envelope;

/// What arrives at a node.
#[derive(Clone, Debug)]
pub(crate) enum Parcel {
    /// To its sender: the link was made; the number tells links apart.
    Up(u64),
    /// To its sender: the link broke.
    Broken,
    Message(Box<Envelope>),
}

/// The links. A sender may use only the link that it has heard of: as long as it has not noticed that its link
/// broke, what it says is lost.
#[derive(Default)]
pub(crate) struct Network {
    /// What is under way over the link from the first to the second.
    queues: BTreeMap<(usize, usize), VecDeque<Parcel>>,
    /// What the first will hear about its link to the second.
    news: BTreeMap<(usize, usize), VecDeque<Parcel>>,
    up: BTreeMap<(usize, usize), u64>,
    /// The link to the second that the first has heard of.
    heard: BTreeMap<(usize, usize), u64>,
    made: u64,
}

impl Network {
    /// Makes the link from one node to another.
    pub(crate) fn connect(&mut self, from: usize, to: usize) {
        self.cut(from, to);
        self.made += 1;
        self.up.insert((from, to), self.made);
        self.news.entry((from, to)).or_default().push_back(Parcel::Up(self.made));
    }

    /// Breaks the link from one node to another, and loses what is under way.
    pub(crate) fn cut(&mut self, from: usize, to: usize) {
        if self.up.remove(&(from, to)).is_none() {
            return;
        }
        self.queues.remove(&(from, to));
        let news = self.news.entry((from, to)).or_default();
        news.clear();
        if self.heard.contains_key(&(from, to)) {
            news.push_back(Parcel::Broken);
        }
    }

    /// A machine has crashed: it hears nothing any more, not even that its links broke.
    pub(crate) fn forget(&mut self, index: usize) {
        self.queues.retain(|&(_, to), _| to != index);
        self.news.retain(|&(at, _), _| at != index);
        self.heard.retain(|&(at, _), _| at != index);
    }

    pub(crate) fn is_connected(&self, from: usize, to: usize) -> bool {
        self.up.contains_key(&(from, to))
    }

    pub(crate) fn send(&mut self, from: usize, to: usize, parcel: Parcel) {
        let up = self.up.get(&(from, to));
        if up.is_some() && up == self.heard.get(&(from, to)) {
            self.queues.entry((from, to)).or_default().push_back(parcel);
        }
    }

    /// The next parcel over a link.
    pub(crate) fn take(&mut self, from: usize, to: usize) -> Option<Parcel> {
        self.queues.get_mut(&(from, to))?.pop_front()
    }

    /// The next that a node hears about its own link to another.
    pub(crate) fn take_news(&mut self, at: usize, about: usize) -> Option<Parcel> {
        let parcel = self.news.get_mut(&(at, about))?.pop_front()?;
        match parcel {
            Parcel::Up(made) => self.heard.insert((at, about), made),
            _ => self.heard.remove(&(at, about)),
        };
        Some(parcel)
    }

    pub(crate) fn front(&self, from: usize, to: usize) -> Option<&Parcel> {
        self.queues.get(&(from, to))?.front()
    }

    /// Puts another copy of the first parcel behind it.
    pub(crate) fn double(&mut self, from: usize, to: usize) -> bool {
        let Some(parcel) = self.front(from, to).cloned() else { return false };
        self.queues.entry((from, to)).or_default().insert(1, parcel);
        true
    }

    /// The links over which something is under way, in order.
    pub(crate) fn busy(&self) -> Vec<(usize, usize)> {
        self.queues.iter().filter(|(_, queue)| !queue.is_empty()).map(|(&pair, _)| pair).collect()
    }

    /// The links of which their senders will hear something, in order.
    pub(crate) fn newsworthy(&self) -> Vec<(usize, usize)> {
        self.news.iter().filter(|(_, news)| !news.is_empty()).map(|(&pair, _)| pair).collect()
    }
}
