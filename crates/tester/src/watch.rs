//! What becomes of the chains, as nodes tell it: for the timeline.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use serde::Serialize;
use simpledynamo_node::ring_reply::RingReply;
use simpledynamo_verify::Ticks;
use tokio::time::sleep;

use crate::servers::Shared;
use crate::view;

/// How often a node is asked; each in turn.
const POLL: Duration = Duration::from_millis(25);

/// The most changes that are kept: a run with more tells of the first ones.
const CHANGES_MAX: usize = 20_000;

/// A change of the ring.
#[derive(Clone, Debug, Serialize)]
pub struct Change {
    /// When it was seen, in nanoseconds since the run began.
    pub at: Ticks,
    /// The name of the partition's owner; none if the change is not of a chain.
    pub partition: Option<String>,
    /// What it is.
    pub words: String,
}

/// The changes that were seen so far.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    seen: Vec<Change>,
    version: u64,
    chains: BTreeMap<usize, (u64, bool)>,
    controller: Option<String>,
}

impl Changes {
    /// The changes between two moments.
    pub(crate) fn between(&self, began: Ticks, ended: Ticks) -> Vec<Change> {
        self.seen.iter().filter(|change| (began..=ended).contains(&change.at)).cloned().collect()
    }

    fn push(&mut self, at: Ticks, partition: Option<String>, words: String) {
        if self.seen.len() < CHANGES_MAX {
            self.seen.push(Change { at, partition, words });
        }
    }

    /// What a node says. Nodes that are behind say nothing new.
    fn hear(&mut self, at: Ticks, view: &RingReply) {
        if view.version < self.version {
            return;
        }
        self.version = view.version;
        for chain in &view.chains {
            let now = (chain.epoch, chain.open);
            let before = self.chains.insert(chain.partition, now);
            let Some(before) = before.filter(|before| *before != now) else { continue };
            let owner = view.nodes.get(chain.partition).map(|node| node.name.clone());
            let state = if chain.open { "serves" } else { "forms" };
            if before.0 != chain.epoch || chain.open {
                let words = format!("epoch {}: {} {state}", chain.epoch, chain.members.join(" → "));
                self.push(at, owner, words);
            }
        }
        if let Some(controller) = &view.control.controller
            && self.controller.as_ref() != Some(controller)
        {
            if self.controller.is_some() {
                self.push(at, None, format!("{controller} leads the control group"));
            }
            self.controller = Some(controller.clone());
        }
    }
}

/// Asks the nodes in turn until it is over.
pub(crate) async fn watch(shared: Rc<Shared>, changes: Rc<RefCell<Changes>>, is_over: Rc<Cell<bool>>) {
    for node in (0..shared.servers.len()).cycle() {
        if is_over.get() {
            return;
        }
        if let Some(view) = view::ask(&shared, node).await {
            let now = shared.clock.now();
            changes.borrow_mut().hear(now, &view);
        }
        sleep(POLL).await;
    }
}

#[cfg(test)]
mod tests {
    use simpledynamo_node::ring_reply::{ChainReply, ControlReply, NodeReply};

    use super::*;

    fn view(version: u64, epoch: u64, open: bool, controller: &str) -> RingReply {
        let members = vec!["a".to_owned(), "b".to_owned()];
        RingReply {
            version,
            nodes: vec![NodeReply { name: "a".to_owned(), ..NodeReply::default() }],
            chains: vec![ChainReply { partition: 0, epoch, members, open, ..ChainReply::default() }],
            control: ControlReply { controller: Some(controller.to_owned()), ..ControlReply::default() },
            ..RingReply::default()
        }
    }

    #[test]
    fn changes_are_told_once_and_not_by_who_is_behind() {
        let mut changes = Changes::default();
        changes.hear(1, &view(5, 1, true, "a"));
        assert_eq!(changes.between(0, 9).len(), 0, "what is there at first is no change");
        changes.hear(2, &view(6, 2, false, "a"));
        changes.hear(3, &view(5, 1, true, "a"));
        changes.hear(4, &view(7, 2, true, "b"));
        changes.hear(5, &view(7, 2, true, "b"));
        let seen = changes.between(0, 9);
        let words: Vec<&str> = seen.iter().map(|change| &*change.words).collect();
        assert_eq!(words, ["epoch 2: a → b forms", "epoch 2: a → b serves", "b leads the control group"]);
        assert_eq!(seen[0].partition.as_deref(), Some("a"));
    }
}
