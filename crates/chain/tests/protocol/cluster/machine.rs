//! One machine: a node, and a disk that keeps what was made durable.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use simpledynamo_chain::{
    Applied, Apply, Change, CopyPage, CopyStep, DataKey, Durable, Effects, Entry, Event, Fetch, Limits, Node,
    Persist, ReadFrom, Record, Records, Setup, Timing,
};
use simpledynamo_ring::{Ring, Token};
use simpledynamo_topology::{NodeId, PartitionId, StoreId, Topology};

/// Records of one page of a copy, entries of one fetch: few, so that short scripts see more than one.
const PAGE_RECORDS: usize = 2;

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
        let key = entry.key.clone();
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

    /// Replaces what the data holds of a partition in the page's range.
    fn apply_page(&mut self, ring: &Ring, partition: PartitionId, page: &CopyPage) {
        let last = page.records.last().map(|(key, _)| key).filter(|_| page.end.is_none());
        self.records.retain(|key, _| {
            let is_after = page.after.as_ref().is_none_or(|after| key > after);
            let is_up_to = last.is_none_or(|last| key <= last) && (last.is_some() || page.end.is_some());
            !(is_after && is_up_to && owns(ring, partition, key))
        });
        self.records.extend(page.records.iter().cloned());
        match page.end {
            Some(end) => self.applied.insert(partition, end),
            None => self.applied.remove(&partition),
        };
    }

    /// The pairs of one partition, in order.
    pub(crate) fn of(&self, ring: &Ring, partition: PartitionId) -> Vec<(DataKey, Record)> {
        let own = self.records.iter().filter(|(key, _)| owns(ring, partition, key));
        own.map(|(key, record)| (key.clone(), record.clone())).collect()
    }
}

fn owns(ring: &Ring, partition: PartitionId, key: &DataKey) -> bool {
    ring.partition_of(Token::of(&key.key())) == partition.index()
}

/// What a node wants to be read from its disk.
enum DiskRead {
    Fetch(Fetch),
    Copy(CopyStep),
}

/// What a copy reads from.
struct Snapshot {
    records: Vec<(DataKey, Record)>,
    applied: Applied,
    read: usize,
    page: u32,
}

pub(crate) struct Machine {
    id: NodeId,
    pub(crate) node: Option<Node>,
    /// Counts the processes that ran here; each draws its number as the nonce of its registration.
    pub(crate) life: u64,
    /// Counts the registrations of the process.
    pub(crate) registrations: u64,
    pub(crate) store: StoreId,
    /// Changes that are not durable yet.
    pub(crate) pending: VecDeque<Persist>,
    /// The durable log.
    pub(crate) disk: Vec<Persist>,
    /// The first entry of each partition's log that the disk still has.
    pub(crate) retained: BTreeMap<PartitionId, u64>,
    /// How many changes the node has asked for, and how many are durable.
    asked: u64,
    synced: u64,
    /// What the data does not hold yet; each waits until so many changes are durable.
    unapplied: VecDeque<(Apply, u64)>,
    reads: VecDeque<DiskRead>,
    snapshots: BTreeMap<(PartitionId, u64), Snapshot>,
    pub(crate) data: Data,
    /// The data as it was when it was last flushed: what a loss of power leaves at least.
    flushed: Data,
    /// What the node has decided and its driver not carried out yet.
    pub(crate) unflushed: Effects,
    /// How far the wall clock is ahead, in milliseconds.
    pub(crate) skew: u64,
    /// How long the node stands still after its next capture.
    pub(crate) stall: u64,
    /// Whether the node's renewals are granted.
    pub(crate) is_granted: bool,
    /// The leases of the process: until when, and from which topology on.
    pub(crate) leases: Vec<(u64, u64)>,
}

impl Machine {
    pub(crate) fn new(id: NodeId) -> Self {
        Self {
            id,
            node: None,
            life: 0,
            registrations: 0,
            store: StoreId(u128::from(id.0) + 1),
            pending: VecDeque::new(),
            disk: Vec::new(),
            retained: BTreeMap::new(),
            asked: 0,
            synced: 0,
            unapplied: VecDeque::new(),
            reads: VecDeque::new(),
            snapshots: BTreeMap::new(),
            data: Data::default(),
            flushed: Data::default(),
            unflushed: Effects::default(),
            skew: 0,
            stall: 0,
            is_granted: true,
            leases: Vec::new(),
        }
    }

    /// What the process draws for its present registration.
    pub(crate) fn nonce(&self) -> u64 {
        self.life * 1_000 + self.registrations
    }

    /// Begins a process from what the disk holds.
    pub(crate) fn recover(
        &mut self,
        ring: &Ring,
        limits: Limits,
        timing: Timing,
        read_from: ReadFrom,
    ) -> Setup {
        assert!(self.node.is_none(), "a machine is started once at a time");
        self.life += 1;
        self.registrations = 0;
        self.leases.clear();
        let mut replicas: BTreeMap<PartitionId, Durable> = BTreeMap::new();
        for persist in &self.disk {
            let log = replicas.entry(persist.partition()).or_default();
            log.record(persist).expect("the durable log has no gap");
        }
        // A copy that was not finished is no state at all.
        self.data
            .applied
            .retain(|partition, _| replicas.get(partition).is_some_and(|log| !log.is_incomplete));
        for (partition, applied) in &self.data.applied {
            let log = replicas.get_mut(partition).expect("what is applied was in the log");
            log.forget_up_to(applied.up_to);
            // As a store does: what was applied was clean, whether or not the log had time to learn it.
            log.watermark = log.watermark.max(applied.up_to);
        }
        Setup {
            ring: Arc::new(ring.clone()),
            node: self.id,
            limits,
            cache_bytes: 1 << 20,
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
        self.reads.clear();
        self.snapshots.clear();
        self.unflushed = Effects::default();
        self.stall = 0;
        (self.asked, self.synced) = (0, 0);
        if data_lost {
            self.data = self.flushed.clone();
        }
        kept
    }

    /// Another disk, with nothing on it.
    pub(crate) fn wipe(&mut self) {
        assert!(self.node.is_none(), "disks are changed while their machines are off");
        self.store = StoreId(self.store.0 + 100);
        self.disk.clear();
        self.retained.clear();
        self.data = Data::default();
        self.flushed = Data::default();
    }

    /// Takes over what the node wants done at this machine.
    pub(crate) fn absorb(&mut self, effects: &mut Effects) {
        self.asked += effects.persist.len() as u64;
        self.pending.extend(effects.persist.drain(..));
        for apply in effects.apply.drain(..) {
            let after = if matches!(apply, Apply::Page { .. }) { self.asked } else { 0 };
            self.unapplied.push_back((apply, after));
        }
        self.reads.extend(effects.fetch.drain(..).map(DiskRead::Fetch));
        self.reads.extend(effects.copy.drain(..).map(DiskRead::Copy));
    }

    pub(crate) fn sync(&mut self, count: usize) -> Vec<Persist> {
        let persists: Vec<Persist> = self.pending.drain(..count.min(self.pending.len())).collect();
        self.synced += persists.len() as u64;
        self.disk.extend(persists.iter().cloned());
        persists
    }

    /// Applies what comes next to the data, and returns what the node is told of it.
    pub(crate) fn apply(&mut self, ring: &Ring, count: usize) -> Vec<Event> {
        let mut events = Vec::new();
        let mut touched = BTreeMap::new();
        for _ in 0..count {
            if self.unapplied.front().is_none_or(|(_, after)| *after > self.synced) {
                break;
            }
            let (apply, _) = self.unapplied.pop_front().expect("there is a first");
            match apply {
                Apply::Entry(partition, entry) => {
                    self.data.apply(partition, &entry);
                    touched.insert(partition, self.data.applied[&partition]);
                }
                Apply::Page { partition, attachment, page } => {
                    if !touched.is_empty() {
                        events.push(Event::Applied(std::mem::take(&mut touched)));
                    }
                    self.data.apply_page(ring, partition, &page);
                    if page.end.is_some() {
                        self.flush_data();
                    }
                    events.push(Event::PageApplied { partition, attachment, number: page.number });
                }
            }
        }
        if !touched.is_empty() {
            events.push(Event::Applied(touched));
        }
        events
    }

    /// Does what comes next of what the node wants to be read; `None` if there is nothing.
    pub(crate) fn read(&mut self, ring: &Ring) -> Option<Option<Event>> {
        let event = match self.reads.pop_front()? {
            DiskRead::Fetch(fetch) => Some(self.fetch(&fetch)),
            DiskRead::Copy(CopyStep::Begin { partition, attachment }) => {
                let records = self.data.of(ring, partition);
                let applied = self.data.applied.get(&partition).copied().unwrap_or_default();
                let snapshot = Snapshot { records, applied, read: 0, page: 0 };
                self.snapshots.insert((partition, attachment), snapshot);
                self.next_page(partition, attachment)
            }
            DiskRead::Copy(CopyStep::Next { partition, attachment }) => self.next_page(partition, attachment),
            DiskRead::Copy(CopyStep::End { partition, attachment }) => {
                self.snapshots.remove(&(partition, attachment));
                None
            }
        };
        Some(event)
    }

    pub(crate) fn reads_pending(&self) -> usize {
        self.reads.len()
    }

    fn next_page(&mut self, partition: PartitionId, attachment: u64) -> Option<Event> {
        let snapshot = self.snapshots.get_mut(&(partition, attachment))?;
        let rest = &snapshot.records[snapshot.read..];
        let records: Vec<_> = rest.iter().take(PAGE_RECORDS).cloned().collect();
        let after = snapshot.read.checked_sub(1).map(|at| snapshot.records[at].0.clone());
        snapshot.read += records.len();
        let end = (snapshot.read == snapshot.records.len()).then_some(snapshot.applied);
        let number = snapshot.page;
        snapshot.page += 1;
        let page = CopyPage { number, after, records, end };
        Some(Event::PageRead { partition, attachment, page })
    }

    fn fetch(&self, fetch: &Fetch) -> Event {
        let Fetch { partition, attachment, from, to, .. } = *fetch;
        let mut entries: BTreeMap<u64, Arc<Entry>> = BTreeMap::new();
        for persist in self.disk.iter().filter(|persist| persist.partition() == partition) {
            match persist {
                Persist::Append { entry, .. } => {
                    entries.insert(entry.version.seq, Arc::clone(entry));
                }
                Persist::Open { watermark, entries: above, .. } => {
                    entries.retain(|seq, _| seq <= watermark);
                    entries.extend(above.iter().map(|entry| (entry.version.seq, Arc::clone(entry))));
                }
                Persist::Cut { watermark, .. } => entries.retain(|seq, _| seq <= watermark),
                Persist::Reset { .. } => entries.clear(),
                _ => {}
            }
        }
        let retained = self.retained.get(&partition).copied().unwrap_or(1);
        let kept = entries.range(from..=to).skip_while(|(seq, _)| **seq < retained);
        let found: Vec<Arc<Entry>> = kept.take(PAGE_RECORDS).map(|(_, entry)| Arc::clone(entry)).collect();
        for entry in &found {
            let epoch = fetch.history.epoch_at(entry.version.seq);
            assert_eq!(epoch, Some(entry.version.epoch), "the history tells which entries were replaced");
        }
        let entries = found.first().is_some_and(|entry| entry.version.seq == from).then_some(found);
        Event::Fetched { partition, attachment, entries }
    }

    /// Removes the oldest entries of a partition's log from the disk, as far as the data durably holds them.
    pub(crate) fn trim(&mut self, partition: PartitionId, up_to: u64) {
        self.flush_data();
        let applied = self.data.applied.get(&partition).copied().unwrap_or_default().up_to;
        let first = self.retained.entry(partition).or_insert(1);
        *first = (*first).max(up_to.min(applied) + 1);
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

    /// Until when the latest lease of the process can be used.
    pub(crate) fn lease_end(&self) -> u64 {
        self.leases.iter().map(|(until, _)| *until).max().unwrap_or(0)
    }

    /// Whether some lease may be used at this moment by who knows this topology.
    pub(crate) fn may_read(&self, clock: u64, topology: &Topology) -> bool {
        self.leases.iter().any(|&(until, version)| clock < until && version <= topology.version())
    }
}
