//! The value and its one transition function.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use simpledynamo_ring::Ring;

use crate::{Command, Epoch, Form, Generation, Member, NodeId, PartitionId, Session, StoreId};

/// What the ring knows of a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeState {
    /// Its latest session; 0 if it never registered.
    pub session: Session,
    /// What the process that registered it drew.
    pub nonce: u64,
    /// The store that the session runs on.
    pub store: StoreId,
    /// Whether the session has not ended.
    pub is_live: bool,
}

/// One partition's chain.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chain {
    /// The present form; none before every node of the preference list has registered once.
    pub form: Option<Form>,
    /// The last epoch that was opened.
    pub opened: Epoch,
    /// The nodes whose store holds all that was committed: members of the last opened form or a later one. One of
    /// them may start the partition when no session of its form lives.
    pub eligible: BTreeSet<NodeId>,
}

impl Chain {
    fn epoch(&self) -> Epoch {
        self.form.as_ref().map_or(Epoch(0), |form| form.epoch)
    }

    /// Whether the present form was opened.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.form.is_some() && self.opened == self.epoch()
    }

    fn reform(&mut self, partition: PartitionId, members: Vec<Member>) {
        assert!(!members.is_empty(), "I5: a form is never empty");
        self.eligible.extend(members.iter().map(|member| member.node));
        self.form = Some(Form { partition, epoch: self.epoch().next(), members });
    }
}

/// What the commands add up to: all of a topology but the ring, which the configuration gives.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// The place of the last command in the control log.
    pub version: u64,
    /// The present controller's activation.
    pub generation: Generation,
    /// Who the present controller is, and what it drew.
    pub controller: Option<(NodeId, u64)>,
    /// The nodes, in ring order.
    pub nodes: Vec<NodeState>,
    /// The chains, in ring order.
    pub chains: Vec<Chain>,
}

/// Why a command changed nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Void {
    /// It names a node or partition that the ring does not have.
    #[error("it names what the ring does not have")]
    NoSuch,
    /// It replaces a session that is not the node's present one.
    #[error("the node's session is another one by now")]
    OtherSession,
    /// It comes from another store while the session before may still hold a lease.
    #[error("the session on the node's other store has not ended yet")]
    OtherStore,
    /// It comes from a controller that has been replaced.
    #[error("the controller that said so has been replaced")]
    OtherGeneration,
    /// It speaks of a form that has been replaced.
    #[error("the chain has another form by now")]
    OtherEpoch,
    /// The session that it speaks of has ended.
    #[error("the session has ended")]
    Ended,
    /// It says what is so already.
    #[error("it is so already")]
    Already,
    /// The node may lack something that was committed.
    #[error("the node may lack what was committed")]
    NotEligible,
    /// A member of the form lives.
    #[error("a member of the chain lives")]
    Alive,
}

/// Nodes, their sessions, and the form of every chain. Clones share the ring.
///
/// Invariants: the epoch of a partition only rises, the session of a node only rises; the live members of a form keep
/// their order; a form has more than one member only if all of them live.
#[derive(Clone, Debug)]
pub struct Topology {
    ring: Arc<Ring>,
    state: State,
}

impl Topology {
    /// The topology of a ring in which no node has begun a session yet.
    #[must_use]
    pub fn new(ring: Arc<Ring>) -> Self {
        let nodes = ring.names().len();
        let state = State {
            nodes: vec![NodeState::default(); nodes],
            chains: vec![Chain::default(); nodes],
            ..State::default()
        };
        Self { ring, state }
    }

    /// The topology that a snapshot describes; `None` if it is one of another ring.
    #[must_use]
    pub fn restore(ring: Arc<Ring>, state: State) -> Option<Self> {
        let nodes = ring.names().len();
        (state.nodes.len() == nodes && state.chains.len() == nodes).then_some(Self { ring, state })
    }

    /// All but the ring.
    #[must_use]
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The ring that places keys.
    #[must_use]
    pub fn ring(&self) -> &Ring {
        &self.ring
    }

    /// The place of the last command in the control log.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.state.version
    }

    /// The present controller's activation.
    #[must_use]
    pub fn generation(&self) -> Generation {
        self.state.generation
    }

    /// The nodes, in ring order.
    pub fn nodes(&self) -> impl Iterator<Item = (NodeId, &NodeState)> {
        self.state.nodes.iter().enumerate().map(|(index, node)| (NodeId::at(index), node))
    }

    /// What is known of a node.
    #[must_use]
    pub fn node(&self, node: NodeId) -> &NodeState {
        &self.state.nodes[node.index()]
    }

    /// The latest session of a node, ended or not.
    #[must_use]
    pub fn session(&self, node: NodeId) -> Session {
        self.node(node).session
    }

    /// Whether this session has begun and not ended.
    #[must_use]
    pub fn is_live(&self, member: Member) -> bool {
        let node = self.node(member.node);
        node.is_live && node.session == member.session
    }

    /// The live session of a node.
    #[must_use]
    pub fn live(&self, node: NodeId) -> Option<Member> {
        let state = self.node(node);
        state.is_live.then_some(Member { node, session: state.session })
    }

    /// The chain of a partition.
    #[must_use]
    pub fn chain(&self, partition: PartitionId) -> &Chain {
        &self.state.chains[partition.index()]
    }

    /// The present form of a partition's chain, once there is one.
    #[must_use]
    pub fn form(&self, partition: PartitionId) -> Option<&Form> {
        self.chain(partition).form.as_ref()
    }

    /// All partitions, in ring order.
    pub fn partitions(&self) -> impl Iterator<Item = PartitionId> + use<> {
        (0..self.state.chains.len()).map(PartitionId::at)
    }

    /// The nodes that keep a partition, in ring order.
    pub fn preference(&self, partition: PartitionId) -> impl Iterator<Item = NodeId> + '_ {
        self.ring.partitions()[partition.index()].preference.iter().map(|&index| NodeId::at(index))
    }

    /// Whether a node keeps a partition.
    #[must_use]
    pub fn keeps(&self, node: NodeId, partition: PartitionId) -> bool {
        self.preference(partition).any(|kept_by| kept_by == node)
    }

    /// Whether all nodes of the preference list serve the partition, in ring order, in an open epoch.
    #[must_use]
    pub fn is_whole(&self, partition: PartitionId) -> bool {
        let chain = self.chain(partition);
        chain.is_open() && chain.form.as_ref().is_some_and(|form| self.is_in_ring_order(form))
    }

    /// Whether no session of the partition's form lives, so that somebody has to start it.
    #[must_use]
    pub fn is_headless(&self, partition: PartitionId) -> bool {
        self.form(partition).is_some_and(|form| form.members.iter().all(|&member| !self.is_live(member)))
    }

    fn is_in_ring_order(&self, form: &Form) -> bool {
        form.members.iter().map(|member| member.node).eq(self.preference(form.partition))
    }

    /// Applies the command at a place of the control log.
    ///
    /// # Errors
    /// When the command changes nothing, and why: every node finds the same.
    ///
    /// # Panics
    /// When the place is not after the last one.
    pub fn apply(&mut self, version: u64, command: &Command) -> Result<(), Void> {
        assert!(version > self.state.version, "the control log is applied in its order");
        self.state.version = version;
        match *command {
            Command::Register { node, replaces, store, nonce } => self.register(node, replaces, store, nonce),
            Command::ControllerUp { node, nonce } => self.controller_up(version, node, nonce),
            Command::Down { member, generation } => self.down(member, generation),
            Command::Opened { partition, epoch, head } => self.opened(partition, epoch, head),
            Command::Start { partition, epoch, member, generation } => {
                self.start(partition, epoch, member, generation)
            }
            Command::Synced { partition, epoch, member } => self.synced(partition, epoch, member),
        }
    }

    /// A node that a command names; a command that names another must not stop whoever applies it.
    fn known(&self, node: NodeId) -> Result<&NodeState, Void> {
        self.state.nodes.get(node.index()).ok_or(Void::NoSuch)
    }

    fn register(&mut self, node: NodeId, replaces: Session, store: StoreId, nonce: u64) -> Result<(), Void> {
        let before = *self.known(node)?;
        if before.session != replaces {
            return Err(Void::OtherSession);
        }
        if before.is_live {
            // The same store is locked by the process that registers: the one before is dead. Another store proves
            // nothing, so the lease of the session before has to run out first.
            if before.store != store {
                return Err(Void::OtherStore);
            }
            self.end(Member { node, session: before.session });
        }
        if before.store != store {
            for chain in &mut self.state.chains {
                chain.eligible.remove(&node);
            }
        }
        let session = Session(before.session.0 + 1);
        self.state.nodes[node.index()] = NodeState { session, nonce, store, is_live: true };
        for partition in self.partitions() {
            if self.form(partition).is_none() && self.keeps(node, partition) {
                self.form_first(partition);
            }
        }
        Ok(())
    }

    /// The first form of a chain is its whole preference list.
    fn form_first(&mut self, partition: PartitionId) {
        let members: Option<Vec<Member>> = self.preference(partition).map(|node| self.live(node)).collect();
        if let Some(members) = members {
            self.state.chains[partition.index()].reform(partition, members);
        }
    }

    /// Ends a session: it leaves every chain that has other members.
    fn end(&mut self, ended: Member) {
        self.state.nodes[ended.node.index()].is_live = false;
        for partition in self.partitions() {
            let Some(form) = self.form(partition).filter(|form| form.members.contains(&ended)) else {
                continue;
            };
            let others: Vec<Member> = form.members.iter().copied().filter(|&other| other != ended).collect();
            if !others.is_empty() {
                self.state.chains[partition.index()].reform(partition, others);
            }
        }
    }

    /// An activation that is proposed twice counts once: the controller goes by the first generation that it sees.
    fn controller_up(&mut self, version: u64, node: NodeId, nonce: u64) -> Result<(), Void> {
        if self.state.controller == Some((node, nonce)) {
            return Err(Void::Already);
        }
        self.state.generation = Generation(version);
        self.state.controller = Some((node, nonce));
        Ok(())
    }

    fn down(&mut self, member: Member, generation: Generation) -> Result<(), Void> {
        self.known(member.node)?;
        if generation != self.state.generation {
            return Err(Void::OtherGeneration);
        }
        if !self.is_live(member) {
            return Err(Void::Ended);
        }
        self.end(member);
        Ok(())
    }

    fn opened(&mut self, partition: PartitionId, epoch: Epoch, head: Member) -> Result<(), Void> {
        let chain = self.state.chains.get(partition.index()).ok_or(Void::NoSuch)?;
        let form = chain.form.as_ref().filter(|form| form.epoch == epoch).ok_or(Void::OtherEpoch)?;
        if chain.opened == epoch {
            return Err(Void::Already);
        }
        if form.head() != head || !self.is_live(head) {
            return Err(Void::Ended);
        }
        let members = form.members.clone();
        let in_ring_order = self.in_ring_order(partition, &members);
        let chain = &mut self.state.chains[partition.index()];
        chain.opened = epoch;
        chain.eligible = members.iter().map(|member| member.node).collect();
        if let Some(ordered) = in_ring_order.filter(|ordered| *ordered != members) {
            chain.reform(partition, ordered);
        }
        Ok(())
    }

    /// The members in ring order, if they are the whole preference list.
    fn in_ring_order(&self, partition: PartitionId, members: &[Member]) -> Option<Vec<Member>> {
        let member = |node| members.iter().copied().find(|member| member.node == node);
        self.preference(partition).map(member).collect()
    }

    fn start(
        &mut self,
        partition: PartitionId,
        epoch: Epoch,
        member: Member,
        generation: Generation,
    ) -> Result<(), Void> {
        let chain = self.state.chains.get(partition.index()).ok_or(Void::NoSuch)?;
        self.known(member.node)?;
        if generation != self.state.generation {
            return Err(Void::OtherGeneration);
        }
        if chain.form.is_none() || chain.epoch() != epoch {
            return Err(Void::OtherEpoch);
        }
        if !self.is_live(member) {
            return Err(Void::Ended);
        }
        if !self.is_headless(partition) {
            return Err(Void::Alive);
        }
        if !chain.eligible.contains(&member.node) {
            return Err(Void::NotEligible);
        }
        self.state.chains[partition.index()].reform(partition, vec![member]);
        Ok(())
    }

    fn synced(&mut self, partition: PartitionId, epoch: Epoch, member: Member) -> Result<(), Void> {
        let chain = self.state.chains.get(partition.index()).ok_or(Void::NoSuch)?;
        self.known(member.node)?;
        let form = chain.form.as_ref().filter(|form| form.epoch == epoch).ok_or(Void::OtherEpoch)?;
        if chain.opened != epoch {
            return Err(Void::OtherEpoch);
        }
        if !self.is_live(member) {
            return Err(Void::Ended);
        }
        if form.position(member.node).is_some_and(|position| form.members[position] == member) {
            return Err(Void::Already);
        }
        if !self.keeps(member.node, partition) {
            return Err(Void::NoSuch);
        }
        // A last member that has died stays listed, but has no place beside one that lives.
        let live = form.members.iter().copied().filter(|&other| self.is_live(other));
        let members = live.chain([member]).collect();
        self.state.chains[partition.index()].reform(partition, members);
        Ok(())
    }
}
