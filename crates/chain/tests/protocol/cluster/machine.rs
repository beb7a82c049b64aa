//! One machine: a node, and a disk that keeps what was made durable.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use simpledynamo_chain::{
    Applied, Change, DataKey, Durable, Effects, Entry, Limits, Node, Persist, ReadFrom, Record, Records,
    Setup, Timing,
};
use simpledynamo_ring::Ring;
use simpledynamo_topology::{Member, NodeId, PartitionId, Session, Topology};

/// The applied pairs of a machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Data {
    pub(crate) records: BTreeMap<DataKey, Record>,
    pub(crate) applied: BTreeMap<PartitionId, Applied>,
}

impl Records for Data {
    fn get(&self, key: &DataKey) -> Option<Record> {
        self.records.get(key).cloned()
    }

    fn range(&self, low: u64, high: u64) -> Box<dyn Iterator<Item = (DataKey, Record)> + '_> {
        let from = DataKey::first_at(low);
        let range = self.records.range(from..).take_while(move |(key, _)| key.prefix() <= high);
        Box::new(range.map(|(key, record)| (key.clone(), record.clone())))
    }
}

impl Data {
    fn apply(&mut self, partition: PartitionId, entry: &Entry) {
        let applied = self.applied.entry(partition).or_default();
        if entry.version.seq <= applied.up_to {
            return;
        }
        assert_eq!(entry.version.seq, applied.up_to + 1, "clean entries are applied in order, none left out");
        *applied = Applied { up_to: entry.version.seq, counts: applied.counts.after(entry) };
        let key = DataKey::of(&entry.key);
        match &entry.change {
            Change::Keep => {}
            Change::Put { .. } => {
                self.records.insert(key, entry.record().expect("a put leaves a record"));
            }
            Change::Remove => {
                self.records.remove(&key);
            }
        }
    }
}

pub(crate) struct Machine {
    id: NodeId,
    pub(crate) node: Option<Node>,
    pub(crate) session: u64,
    /// Changes that are not durable yet.
    pub(crate) pending: VecDeque<Persist>,
    /// The durable log.
    pub(crate) disk: Vec<Persist>,
    /// Clean entries that the data does not hold yet.
    pub(crate) unapplied: VecDeque<(PartitionId, Arc<Entry>)>,
    pub(crate) data: Data,
    /// The data as it was when it was last flushed: what a loss of power leaves at least.
    flushed: Data,
    /// What the node has decided and its driver not carried out yet.
    pub(crate) unflushed: Effects,
    /// How far the wall clock is ahead, in milliseconds.
    pub(crate) skew: u64,
}

impl Machine {
    pub(crate) fn new(id: NodeId) -> Self {
        Self {
            id,
            node: None,
            session: 0,
            pending: VecDeque::new(),
            disk: Vec::new(),
            unapplied: VecDeque::new(),
            data: Data::default(),
            flushed: Data::default(),
            unflushed: Effects::default(),
            skew: 0,
        }
    }

    pub(crate) fn member(&self) -> Member {
        Member { node: self.id, session: Session(self.session) }
    }

    /// Begins the next session from what the disk holds.
    pub(crate) fn recover(
        &mut self,
        ring: &Ring,
        limits: Limits,
        timing: Timing,
        read_from: ReadFrom,
    ) -> Setup {
        assert!(self.node.is_none(), "a machine is started once at a time");
        self.session += 1;
        let mut replicas: BTreeMap<PartitionId, Durable> = BTreeMap::new();
        for persist in &self.disk {
            if let Some(partition) = partition_of(persist) {
                let log = replicas.entry(partition).or_default();
                log.record(persist).expect("the durable log has no gap");
            }
        }
        for (partition, applied) in &self.data.applied {
            let log = replicas.get_mut(partition).expect("what is applied was in the log");
            log.forget_up_to(applied.up_to);
            // As a store does: what was applied was clean, whether or not the log had time to learn it.
            log.watermark = log.watermark.max(applied.up_to);
        }
        Setup {
            topology: Topology::new(ring.clone()),
            me: self.member(),
            limits,
            timing,
            read_from,
            replicas,
            applied: self.data.applied.clone(),
        }
    }

    /// Switches off and returns the changes that became durable in the last moment.
    pub(crate) fn crash(&mut self, kept: usize, data_lost: bool) -> Vec<Persist> {
        assert!(self.node.take().is_some(), "only what runs can crash");
        let kept: Vec<Persist> = self.pending.drain(..kept.min(self.pending.len())).collect();
        self.disk.extend(kept.iter().cloned());
        self.pending.clear();
        self.unapplied.clear();
        self.unflushed = Effects::default();
        if data_lost {
            self.data = self.flushed.clone();
        }
        kept
    }

    pub(crate) fn sync(&mut self, count: usize) -> Vec<Persist> {
        let persists: Vec<Persist> = self.pending.drain(..count.min(self.pending.len())).collect();
        self.disk.extend(persists.iter().cloned());
        persists
    }

    pub(crate) fn apply(&mut self, count: usize) -> BTreeMap<PartitionId, Applied> {
        let mut touched = BTreeMap::new();
        for (partition, entry) in self.unapplied.drain(..count.min(self.unapplied.len())) {
            self.data.apply(partition, &entry);
            touched.insert(partition, self.data.applied[&partition]);
        }
        touched
    }

    /// Makes the data durable.
    pub(crate) fn flush_data(&mut self) {
        self.flushed = self.data.clone();
    }

    /// Damages the disk: the last changes are gone although they had been durable.
    pub(crate) fn lose_log_end(&mut self, count: usize) {
        let left = self.disk.len().saturating_sub(count);
        self.disk.truncate(left);
    }
}

pub(crate) fn partition_of(persist: &Persist) -> Option<PartitionId> {
    match persist {
        Persist::Session(_) => None,
        Persist::Seal { partition, .. }
        | Persist::Open { partition, .. }
        | Persist::Append { partition, .. }
        | Persist::Watermark { partition, .. } => Some(*partition),
    }
}
