//! A machine, and the process that runs on it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use simpledynamo_chain::control::{Controller, Grant, Leadership, LeaseTerms, Renewal, Renewer};
use simpledynamo_chain::{
    Applied, Apply, CopyStep, DataKey, Effects, Event, Fetch, Node, Now, OpId, Persist, Reading, Record,
    Setup,
};
use simpledynamo_topology::{Member, NodeId, PartitionId, Session, StoreId, Topology};

use crate::clock::{Clock, Micros};
use crate::disk::{Disk, Shadow};
use crate::register::Registrar;

/// A machine: what outlives the processes on it.
pub(crate) struct Host {
    pub(crate) node: NodeId,
    pub(crate) is_voter: bool,
    /// Whether another machine has taken its place for good.
    pub(crate) is_retired: bool,
    pub(crate) clock: Clock,
    pub(crate) disk: Disk,
    /// A copy of the disk as it once was.
    pub(crate) backup: Option<Disk>,
    /// Rises when what the disk held is lost.
    pub(crate) disk_number: u64,
    /// Rises with each process.
    pub(crate) life: u64,
    pub(crate) process: Option<Process>,
    /// Until when the process stands still.
    pub(crate) paused_until: Micros,
    /// Until when its data thread alone stands still.
    pub(crate) stalled_until: Micros,
    /// How long a sync takes at least: a slow or hanging disk.
    pub(crate) sync_until: Micros,
    pub(crate) is_slow: bool,
}

/// A process of a node.
pub(crate) struct Process {
    pub(crate) core: Node,
    pub(crate) effects: Effects,
    pub(crate) observed: Observed,
    /// What the data thread is in the middle of.
    pub(crate) turn: Option<Turn>,
    pub(crate) is_turn_due: bool,
    pub(crate) is_settle_due: bool,
    pub(crate) waiters: BTreeMap<u64, usize>,
    /// The op ids of clients' writes.
    pub(crate) ops: BTreeMap<usize, OpId>,
    /// What the replicas took over, durable or not.
    pub(crate) accepted: BTreeMap<PartitionId, Shadow>,
    pub(crate) jobs: VecDeque<Job>,
    pub(crate) writing: Option<Writing>,
    pub(crate) applies: VecDeque<Apply>,
    pub(crate) is_applying: bool,
    pub(crate) snapshots: BTreeMap<(PartitionId, u64), Snapshot>,
    /// When the data thread last ran, by the machine's clock.
    pub(crate) ran: u64,
    pub(crate) data_work: VecDeque<Work>,
    pub(crate) control_work: VecDeque<Work>,

    pub(crate) renewer: Renewer,
    pub(crate) controller: Option<Controller>,
    /// The number under which it last heard that it leads.
    pub(crate) led: u64,
    pub(crate) seen: usize,
    pub(crate) topology: Arc<Topology>,
    pub(crate) is_catching_up: bool,
    pub(crate) registrar: Registrar,
    pub(crate) leaving: Leaving,
    /// When what it waits for while it leaves has taken too long.
    pub(crate) leaving_until: Micros,
    /// What the invariants know of its leases: until when, for which session, from which topology on.
    pub(crate) leases: Vec<(Session, u64, u64)>,
    /// Renewals sent: session, and when by the machine's clock.
    pub(crate) sent: BTreeMap<u64, (Session, u64)>,
}

/// How many of the gathered effects the invariants have seen.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Observed {
    pub(crate) changes: usize,
    pub(crate) proposals: usize,
    pub(crate) captures: usize,
}

/// How far an orderly stop has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leaving {
    No,
    /// No client is taken any more.
    Finishing,
    /// The lease is given up.
    Surrendered,
}

/// What a data thread can be in the middle of while its process is paused.
pub(crate) enum Turn {
    /// The clock was read, the event not yet taken.
    Take(Now, Box<Event>),
    /// A value was captured for a local client.
    Answer(usize, Reading),
    /// Answers were captured, the lease not yet looked at.
    Release,
}

/// Changes handed to the disk.
pub(crate) struct Job {
    pub(crate) persist: Vec<Persist>,
    pub(crate) apply: Vec<Apply>,
}

/// What the log's thread is writing.
pub(crate) struct Writing {
    pub(crate) persist: Vec<Persist>,
    pub(crate) apply: Vec<Apply>,
    pub(crate) is_written: bool,
    /// When it began, by the machine's clock.
    pub(crate) began: u64,
}

/// A snapshot that is being copied.
pub(crate) struct Snapshot {
    pub(crate) records: VecDeque<(DataKey, Record)>,
    pub(crate) end: Applied,
    pub(crate) page: u32,
    pub(crate) after: Option<DataKey>,
}

/// Work for a process.
#[derive(Debug)]
pub(crate) enum Work {
    /// For the data thread.
    Event(Event),
    /// An operation of a client.
    Request(usize),
    Settle,
    Tick,
    Leave,

    /// For the control thread.
    ControlTick,
    Renewal(Renewal),
    Grant(Grant),
    Surrender(Member),
    Round(u64, Option<u64>),
    Leadership(Leadership),
    CatchUp,
}

impl Work {
    pub(crate) fn is_data(&self) -> bool {
        matches!(self, Self::Event(_) | Self::Request(_) | Self::Settle | Self::Tick | Self::Leave)
    }
}

/// What a machine's disk does, whatever becomes of the process's threads.
#[derive(Debug)]
pub(crate) enum DiskWork {
    /// The batch being written is durable.
    Synced,
    Applied(usize),
    Fetched(Fetch),
    Copy(CopyStep),
}

impl Host {
    pub(crate) fn is_paused(&self, now: Micros) -> bool {
        now < self.paused_until
    }

    /// Whether a process runs, and is not paused.
    pub(crate) fn is_awake(&self, now: Micros) -> bool {
        self.process.is_some() && !self.is_paused(now)
    }
}

impl Process {
    /// The node in its session, as this process knows it from the control log.
    pub(crate) fn member(&self, node: NodeId) -> Member {
        Member { node, session: self.registrar.session(node, &self.topology) }
    }
}

impl Host {
    pub(crate) fn new(node: NodeId, is_voter: bool, clock: Clock, store: StoreId) -> Self {
        Self {
            node,
            is_voter,
            is_retired: false,
            clock,
            disk: Disk::new(store),
            backup: None,
            disk_number: 0,
            life: 0,
            process: None,
            paused_until: 0,
            stalled_until: 0,
            sync_until: 0,
            is_slow: false,
        }
    }

    /// A process begins to run here.
    pub(crate) fn begin(&mut self, setup: Setup, terms: LeaseTerms, now: Micros, known: Arc<Topology>) {
        let mut effects = Effects::default();
        let core = Node::new(setup, &mut effects);
        self.process = Some(Process {
            core,
            effects,
            observed: Observed::default(),
            turn: None,
            is_turn_due: false,
            is_settle_due: true,
            waiters: BTreeMap::new(),
            ops: BTreeMap::new(),
            accepted: self.disk.written(),
            jobs: VecDeque::new(),
            writing: None,
            applies: VecDeque::new(),
            is_applying: false,
            snapshots: BTreeMap::new(),
            ran: self.clock.millis(now),
            data_work: VecDeque::new(),
            control_work: VecDeque::new(),
            renewer: Renewer::new(terms),
            controller: self.is_voter.then(|| Controller::new(self.node, terms)),
            led: 0,
            seen: self.disk.control,
            topology: known,
            is_catching_up: true,
            registrar: Registrar::new(self.disk.store),
            leaving: Leaving::No,
            leaving_until: 0,
            leases: Vec::new(),
            sent: BTreeMap::new(),
        });
    }
}
