//! The value and its one transition function.

use simpledynamo_ring::Ring;

use crate::{Epoch, Form, Member, NodeId, PartitionId, Session};

/// Something that happened to the ring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// A node begins a session, and with it every older session of that node ends.
    Register(Member),
    /// Forms of this partition up to this epoch may have been used: later ones get higher numbers.
    Raise(PartitionId, Epoch),
    /// The node that numbers the partition's forms forms the chain anew, of its whole preference list; void
    /// until every member has a session.
    Reform(PartitionId),
    /// The first node of the partition's preference list has formed the chain anew.
    Adopt(Form),
}

/// Nodes, their sessions, and the form of every chain.
///
/// Invariants: the epoch of a partition only rises, the session of a node only rises, and a form names its
/// partition's whole preference list in ring order.
#[derive(Clone, Debug)]
pub struct Topology {
    ring: Ring,
    sessions: Vec<Session>,
    forms: Vec<Option<Form>>,
    epochs: Vec<Epoch>,
}

impl Topology {
    /// The topology of a ring in which no node has begun a session yet.
    #[must_use]
    pub fn new(ring: Ring) -> Self {
        let nodes = ring.names().len();
        Self {
            ring,
            sessions: vec![Session(0); nodes],
            forms: vec![None; nodes],
            epochs: vec![Epoch(0); nodes],
        }
    }

    /// The ring that places keys.
    #[must_use]
    pub fn ring(&self) -> &Ring {
        &self.ring
    }

    /// The newest session known of a node.
    #[must_use]
    pub fn session(&self, node: NodeId) -> Session {
        self.sessions[node.index()]
    }

    /// The present form of a partition's chain, once every member has been heard of.
    #[must_use]
    pub fn form(&self, partition: PartitionId) -> Option<&Form> {
        self.forms[partition.index()].as_ref()
    }

    /// All partitions, in ring order.
    pub fn partitions(&self) -> impl Iterator<Item = PartitionId> + use<> {
        (0..self.forms.len())
            .map(|index| PartitionId(u16::try_from(index).expect("at most 65,535 partitions")))
    }

    /// The nodes that keep a partition, in ring order.
    pub fn preference(&self, partition: PartitionId) -> impl Iterator<Item = NodeId> + '_ {
        let nodes = &self.ring.partitions()[partition.index()].preference;
        nodes.iter().map(|&index| NodeId(u16::try_from(index).expect("at most 65,535 nodes")))
    }

    /// The node that numbers the forms of a partition.
    #[must_use]
    pub fn former(&self, partition: PartitionId) -> NodeId {
        self.preference(partition).next().expect("a preference list is never empty")
    }

    /// Whether a form told by a node may be adopted: it comes from the node that numbers the partition's forms
    /// and names the whole preference list in ring order.
    #[must_use]
    pub fn admits(&self, teller: NodeId, form: &Form) -> bool {
        form.partition.index() < self.forms.len()
            && self.former(form.partition) == teller
            && form.members.iter().map(|member| member.node).eq(self.preference(form.partition))
    }

    /// Applies a command and returns the partitions that it concerns: for `Register` those that the node keeps,
    /// for `Reform` and `Adopt` the one that has a new form.
    ///
    /// Old news changes nothing: a session or an epoch that is not newer than the known one is void.
    ///
    /// # Panics
    /// When a command names a node or partition that the ring does not have, or adopts a form that is not the
    /// partition's preference list: whoever decodes commands checks them first.
    pub fn apply(&mut self, command: Command) -> Vec<PartitionId> {
        match command {
            Command::Register(member) => self.register(member),
            Command::Raise(partition, epoch) => {
                let known = &mut self.epochs[partition.index()];
                *known = epoch.max(*known);
                Vec::new()
            }
            Command::Reform(partition) => self.reform(partition),
            Command::Adopt(form) => self.adopt(form),
        }
    }

    fn register(&mut self, member: Member) -> Vec<PartitionId> {
        if member.session <= self.session(member.node) {
            return Vec::new();
        }
        self.sessions[member.node.index()] = member.session;
        self.partitions()
            .filter(|&partition| self.preference(partition).any(|node| node == member.node))
            .collect()
    }

    fn reform(&mut self, partition: PartitionId) -> Vec<PartitionId> {
        let members: Vec<Member> =
            self.preference(partition).map(|node| Member { node, session: self.session(node) }).collect();
        if members.iter().any(|member| member.session == Session(0)) {
            return Vec::new();
        }
        let epoch = self.epochs[partition.index()].next();
        self.epochs[partition.index()] = epoch;
        self.forms[partition.index()] = Some(Form { partition, epoch, members });
        vec![partition]
    }

    fn adopt(&mut self, form: Form) -> Vec<PartitionId> {
        let partition = form.partition;
        assert!(
            form.members.iter().map(|member| member.node).eq(self.preference(partition)),
            "a form names its whole preference list in ring order"
        );
        let known = self.forms[partition.index()].as_ref().map(|known| known.epoch);
        if known.is_some_and(|known| form.epoch <= known) {
            return Vec::new();
        }
        // The members' sessions are not taken from here: a session that counts as known already would not be
        // registered, and the chains that this node has to form anew because of it would not be.
        let epoch = &mut self.epochs[partition.index()];
        *epoch = form.epoch.max(*epoch);
        self.forms[partition.index()] = Some(form);
        vec![partition]
    }
}
