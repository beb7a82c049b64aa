//! What must hold after every step, judged from outside: the nodes' own books are not asked where the messages
//! and the disks can tell.
//!
//! I1 one form per epoch, I2 and I13 committed and acknowledged means durable everywhere, I3 logs are prefixes
//! of those before them, I4 and I6 nothing opens before all have sealed, I11 a version names one entry for ever,
//! I12 an op id takes effect once, I14 and I20 reads see the clean state as the log gives it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use simpledynamo_chain::{
    Change, Completion, Counts, DataKey, Effects, Entry, Envelope, Message, OpId, Outcome, Persist, Query,
    Reading, Record, Refusal, Replica, Reply, Version,
};
use simpledynamo_ring::{Ring, Token};
use simpledynamo_topology::{Epoch, Form, PartitionId, Session};

use super::machine::partition_of;
use super::{Machine, node_id};

/// A log as its changes give it, whole.
#[derive(Clone, Default)]
struct Log(Vec<Arc<Entry>>);

impl Log {
    fn record(&mut self, persist: &Persist) {
        match persist {
            Persist::Open { watermark, entries, .. } => {
                self.0.truncate(usize::try_from(*watermark).expect("short logs"));
                self.0.extend(entries.iter().cloned());
            }
            Persist::Append { entry, .. } => self.0.push(Arc::clone(entry)),
            _ => {}
        }
    }

    fn version(&self, seq: usize) -> Option<Version> {
        self.0.get(seq - 1).map(|entry| entry.version)
    }
}

/// One replica as seen from outside.
#[derive(Clone, Default)]
struct Shadow {
    /// What the node took over, durable or not.
    accepted: Log,
    durable: Log,
    sealed_durable: Epoch,
    open_durable: Epoch,
    /// The highest watermark seen in this session.
    watermark: u64,
    /// The clean pairs, as the log gives them.
    clean: BTreeMap<DataKey, Record>,
    cleaned: u64,
}

impl Shadow {
    fn clean_up(&mut self, entry: &Entry) {
        assert_eq!(entry.version.seq, self.cleaned + 1, "entries become clean in order, none left out");
        self.cleaned += 1;
        let key = DataKey::of(&entry.key);
        match &entry.change {
            Change::Keep => {}
            Change::Put { .. } => {
                self.clean.insert(key, entry.record().expect("a put leaves a record"));
            }
            Change::Remove => {
                self.clean.remove(&key);
            }
        }
    }
}

pub(crate) struct Checks {
    ring: Ring,
    preferences: Vec<Vec<usize>>,
    replicas: BTreeMap<(usize, PartitionId), Shadow>,
    entries: BTreeMap<(PartitionId, Version), Arc<Entry>>,
    forms: BTreeMap<(PartitionId, Epoch), Form>,
    committed: Vec<Log>,
    done: BTreeMap<(PartitionId, OpId), Version>,
    questions: BTreeMap<(usize, u64, u64), Query>,
    /// Writes said not to have happened.
    refused: BTreeSet<OpId>,
    /// Situations that were met: a test that never meets them shows nothing.
    pub(crate) marks: BTreeSet<&'static str>,
    /// Writes that the network doubled: their second copies can still come after a refusal.
    pub(crate) doubled: BTreeSet<OpId>,
}

impl Checks {
    pub(crate) fn new(ring: &Ring) -> Self {
        let preferences: Vec<Vec<usize>> =
            ring.partitions().iter().map(|partition| partition.preference.clone()).collect();
        let mut replicas = BTreeMap::new();
        for (partition, members) in preferences.iter().enumerate() {
            for &member in members {
                replicas.insert((member, PartitionId(partition as u16)), Shadow::default());
            }
        }
        Self {
            ring: ring.clone(),
            committed: vec![Log::default(); preferences.len()],
            preferences,
            replicas,
            entries: BTreeMap::new(),
            forms: BTreeMap::new(),
            done: BTreeMap::new(),
            questions: BTreeMap::new(),
            refused: BTreeSet::new(),
            doubled: BTreeSet::new(),
            marks: BTreeSet::new(),
        }
    }

    /// What is known to be committed in a partition.
    pub(crate) fn committed(&self, partition: PartitionId) -> &[Arc<Entry>] {
        &self.committed[partition.index()].0
    }

    fn of(&mut self, index: usize, partition: PartitionId) -> &mut Shadow {
        self.replicas.get_mut(&(index, partition)).expect("a node has replicas of its partitions only")
    }

    pub(crate) fn on_start(&mut self, index: usize, machine: &Machine) {
        for ((at, partition), shadow) in &mut self.replicas {
            if *at != index {
                continue;
            }
            let applied = machine.data.applied.get(partition).copied().unwrap_or_default();
            *shadow = Shadow { clean: BTreeMap::new(), cleaned: 0, watermark: 0, ..shadow.clone() };
            shadow.accepted = shadow.durable.clone();
            for entry in shadow.accepted.clone().0.iter().take(applied.up_to as usize) {
                shadow.clean_up(entry);
            }
            for (key, record) in &shadow.clean {
                assert_eq!(machine.data.records.get(key), Some(record), "the data holds what was applied");
            }
        }
    }

    pub(crate) fn on_crash(&mut self, index: usize, machines: &[Machine]) {
        assert!(machines[index].node.is_none(), "it has crashed");
        for ((at, _), shadow) in &mut self.replicas {
            if *at == index {
                shadow.accepted = shadow.durable.clone();
            }
        }
    }

    /// A disk was damaged: what it holds now counts. It may have forgotten which forms its node numbered.
    pub(crate) fn on_damage(&mut self, index: usize, machine: &Machine) {
        self.forms.clear();
        for ((at, partition), shadow) in &mut self.replicas {
            if *at == index {
                shadow.durable = Log::default();
                for persist in machine.disk.iter().filter(|persist| partition_of(persist) == Some(*partition))
                {
                    shadow.durable.record(persist);
                }
            }
        }
    }

    pub(crate) fn on_durable(&mut self, index: usize, persist: &Persist) {
        let Some(partition) = partition_of(persist) else { return };
        let shadow = self.of(index, partition);
        shadow.durable.record(persist);
        match persist {
            Persist::Seal { epoch, .. } => shadow.sealed_durable = shadow.sealed_durable.max(*epoch),
            Persist::Open { epoch, .. } => {
                shadow.open_durable = *epoch;
                shadow.sealed_durable = shadow.sealed_durable.max(*epoch);
                let durable = shadow.durable.clone();
                for (at, entry) in self.committed(partition).iter().enumerate() {
                    let held = durable.version(at + 1);
                    assert_eq!(held, Some(entry.version), "I18: an opening keeps what is committed");
                }
            }
            _ => {}
        }
    }

    pub(crate) fn on_question(&mut self, name: (usize, u64, u64), query: Query) {
        self.questions.insert(name, query);
    }

    /// A member answers a question: with its clean state, or one that it had since `cleaned` began.
    pub(crate) fn on_reading(
        &mut self,
        index: usize,
        query: &Query,
        reading: &Reading,
        cleaned: &[Arc<Entry>],
    ) {
        let (Query::Get { key, .. }, Reading::Absent | Reading::Present { .. }) = (query, reading) else {
            return;
        };
        let key = DataKey::of(key);
        let partition = self
            .replicas
            .keys()
            .find(|(at, partition)| *at == index && self.owns(*partition, &key))
            .map(|&(_, partition)| partition)
            .expect("only members answer");
        let touching = cleaned.iter().filter(|entry| DataKey::of(&entry.key) == key);
        let states: Vec<Option<Record>> = std::iter::once(self.of(index, partition).clean.get(&key).cloned())
            .chain(touching.map(|entry| entry.record()))
            .collect();
        let found = match reading {
            Reading::Present { version, expires_at, bytes, .. } => {
                Some(Record { version: *version, expires_at: *expires_at, value: bytes.clone() })
            }
            _ => None,
        };
        assert!(
            states.contains(&found),
            "I14: node {index} answers {found:?}, its clean states are {states:?}"
        );
    }

    fn owns(&self, partition: PartitionId, key: &DataKey) -> bool {
        self.ring.partition_of(Token::of(&key.key())) == partition.index()
    }

    /// What a node decided, before any of it is carried out.
    pub(crate) fn on_effects(&mut self, index: usize, effects: &Effects, machines: &[Machine]) {
        for (_, form) in &effects.forms {
            let known = self.forms.entry((form.partition, form.epoch)).or_insert_with(|| form.clone());
            assert_eq!(known, form, "I1: one form per partition and epoch");
        }
        for persist in &effects.persist {
            self.on_persist(index, persist);
        }
        for envelope in &effects.send {
            self.on_send(index, envelope, effects, machines);
        }
        for (partition, entry) in &effects.apply {
            self.of(index, *partition).clean_up(entry);
        }
        for completion in &effects.complete {
            self.on_complete(index, completion, &machines[index]);
        }
    }

    fn on_persist(&mut self, index: usize, persist: &Persist) {
        let Some(partition) = partition_of(persist) else { return };
        if let Persist::Open { watermark, entries, .. } = persist {
            let held = &self.of(index, partition).accepted.0[*watermark as usize..];
            let is_replaced = held.iter().zip(entries).any(|(held, entry)| held.version != entry.version);
            let is_shortened = held.len() > entries.len();
            self.mark("an opening replaces an entry by another", is_replaced);
            self.mark("an opening drops an entry", is_shortened);
            self.mark("an epoch begins with dirty entries", !entries.is_empty());
        }
        self.of(index, partition).accepted.record(persist);
        let entries = match persist {
            Persist::Append { entry, .. } => std::slice::from_ref(entry),
            Persist::Open { entries, .. } => entries,
            _ => &[],
        };
        for entry in entries {
            let name = (partition, entry.version);
            let known = self.entries.entry(name).or_insert_with(|| Arc::clone(entry));
            assert_eq!(known, entry, "I11: a version names one entry for ever");
        }
    }

    pub(crate) fn mark(&mut self, name: &'static str, is_met: bool) {
        if is_met {
            self.marks.insert(name);
        }
    }

    fn on_send(&mut self, index: usize, envelope: &Envelope, effects: &Effects, machines: &[Machine]) {
        let (partition, epoch) = (envelope.partition, envelope.epoch);
        let form = machines[index].node.as_ref().and_then(|node| node.replicas().get(&partition)?.form());
        let epoch_now = form.map(|form| form.epoch);
        match &envelope.message {
            Message::Sealed { .. } => {
                assert!(
                    self.of(index, partition).sealed_durable >= epoch,
                    "I4: a seal is reported once durable"
                );
            }
            Message::Open { .. } => {
                assert_eq!(epoch_now, Some(epoch), "I4: nothing is forwarded of an epoch that is over");
                for member in self.preferences[partition.index()].clone() {
                    let sealed = self.of(member, partition).sealed_durable;
                    assert!(
                        sealed >= epoch,
                        "I6: an epoch opens after all have sealed, node {member} has not"
                    );
                }
            }
            Message::Append { .. } | Message::Durable { .. } | Message::Watermark { .. } => {
                assert_eq!(epoch_now, Some(epoch), "I4: nothing is forwarded of an epoch that is over");
            }
            Message::WriteDone { .. } => {
                let is_tail = form.is_some_and(|form| form.tail().node.index() == index);
                self.mark("a repeated write is answered from the log", !is_tail);
            }
            Message::WriteForgotten { .. } => self.mark("a write is forgotten", true),
            Message::WriteRefused { refusal: Refusal::ChainBroken, .. } => {
                self.mark("a broken chain refuses a write", true);
            }
            Message::SealRefused { .. } => self.mark("a seal is refused", true),
            Message::ReadRefused { .. } => self.mark("a read is refused", true),
            Message::ReadDone { id, reading } => {
                self.mark("a read waits until its key is clean", !effects.apply.is_empty());
                let to = envelope.to;
                if let Some(query) = self.questions.get(&(to.node.index(), to.session.0, *id)).cloned() {
                    let here = effects.apply.iter().filter(|(of, _)| *of == partition);
                    let cleaned: Vec<Arc<Entry>> = here.map(|(_, entry)| Arc::clone(entry)).collect();
                    self.on_reading(index, &query, reading, &cleaned);
                }
            }
            _ => {}
        }
    }

    fn on_complete(&mut self, index: usize, completion: &Completion, machine: &Machine) {
        let name = (index, machine.session, completion.request);
        if self.questions.contains_key(&name) {
            return;
        }
        let (node, session) = (node_id(index), Session(machine.session));
        let id = OpId { node, session, counter: completion.request };
        match &completion.outcome {
            Outcome::Unavailable(_) => self.mark("a write is unavailable", true),
            Outcome::Unknown => self.mark("a write is unknown", true),
            _ => self.mark("a write is done", true),
        }
        match &completion.outcome {
            Outcome::Written { version, reply } => self.on_acknowledged(id, *version, reply),
            Outcome::Unavailable(_) => {
                self.refused.insert(id);
                self.check_refused(id);
            }
            Outcome::Unknown | Outcome::Read(_) => {}
        }
    }

    fn on_acknowledged(&mut self, id: OpId, version: Version, reply: &Reply) {
        let found = self.entries.iter().find(|((_, named), entry)| *named == version && entry.id == id);
        let ((partition, _), entry) = found.expect("I13: what is acknowledged is in a log");
        let (partition, entry) = (*partition, Arc::clone(entry));
        assert_eq!(&entry.reply, reply, "I13: the reply is the stored one");
        for member in self.preferences[partition.index()].clone() {
            let held = self.of(member, partition).durable.version(version.seq as usize);
            assert_eq!(held, Some(version), "I13: {id} is acknowledged, but not durable at node {member}");
        }
    }

    fn check_refused(&self, id: OpId) {
        let happened = self.done.keys().any(|(_, done)| *done == id);
        let excused = self.doubled.contains(&id);
        assert!(!(happened && self.refused.contains(&id)) || excused, "{id} was refused, and took effect");
    }

    /// After a step of this node.
    pub(crate) fn check(&mut self, index: usize, machines: &[Machine]) {
        let Some(node) = &machines[index].node else { return };
        for (&partition, replica) in node.replicas() {
            self.check_books(index, partition, replica);
            self.check_commits(index, partition, replica.log().watermark, replica.log().open);
            if replica.is_serving() {
                self.check_prefixes(partition, replica.form().expect("it serves one"), machines);
            }
        }
    }

    /// The node's own books agree with what it asked for.
    fn check_books(&mut self, index: usize, partition: PartitionId, replica: &Replica) {
        let shadow = self.of(index, partition);
        let log = replica.log();
        assert_eq!(log.end, shadow.accepted.0.len() as u64, "the log ends where its changes say");
        for entry in &log.entries {
            let accepted = shadow.accepted.version(entry.version.seq as usize);
            assert_eq!(accepted, Some(entry.version), "the log holds what its changes say");
        }
        assert_eq!(log.watermark, shadow.cleaned, "all up to the watermark was asked to be applied");
        let expiring = shadow.clean.values().filter(|record| record.expires_at.is_some()).count() as u64;
        let counts = Counts { keys: shadow.clean.len() as u64, expiring };
        assert_eq!(replica.counts(), counts, "the counters count the clean pairs");
    }

    fn check_commits(&mut self, index: usize, partition: PartitionId, watermark: u64, open: Epoch) {
        let shadow = self.of(index, partition);
        assert!(watermark >= shadow.watermark, "I14: the watermark of a session does not go back");
        let seen = shadow.watermark;
        shadow.watermark = watermark;
        let accepted = shadow.accepted.clone();
        for seq in seen as usize + 1..=watermark as usize {
            let entry = &accepted.0[seq - 1];
            if let Some(known) = self.committed[partition.index()].0.get(seq - 1) {
                assert_eq!(known.version, entry.version, "I11: committed at {seq} of partition {partition}");
                continue;
            }
            for member in self.preferences[partition.index()].clone() {
                self.check_committed(index, (member, partition), entry.version, open);
            }
            self.committed[partition.index()].0.push(Arc::clone(entry));
            if entry.id.counter != OpId::NOBODY {
                let before = self.done.insert((partition, entry.id), entry.version);
                assert_eq!(before, None, "I12: {} takes effect once", entry.id);
                self.check_refused(entry.id);
            }
        }
    }

    /// What a node has just found committed in an open epoch is durable at this member, and so is the opening:
    /// else a restart could bring back what the base of the epoch left out.
    fn check_committed(&mut self, index: usize, at: (usize, PartitionId), version: Version, open: Epoch) {
        let (member, partition) = at;
        let shadow = self.of(member, partition);
        assert_eq!(
            shadow.durable.version(version.seq as usize),
            Some(version),
            "I2: node {index} takes {version} for committed, node {member} does not hold it durably"
        );
        assert!(
            shadow.open_durable >= open,
            "I19: node {index} commits in {open}, node {member} has not opened it"
        );
    }

    fn check_prefixes(&mut self, partition: PartitionId, form: &Form, machines: &[Machine]) {
        for pair in form.members.windows(2) {
            let serves = |at: usize| {
                let node = machines[at].node.as_ref()?;
                let replica = &node.replicas()[&partition];
                (replica.is_serving() && replica.form() == Some(form)).then_some(())
            };
            let (above, below) = (pair[0].node.index(), pair[1].node.index());
            if serves(above).is_none() || serves(below).is_none() {
                continue;
            }
            let log_below = self.of(below, partition).accepted.clone();
            let log_above = &self.of(above, partition).accepted;
            assert!(log_below.0.len() <= log_above.0.len(), "I3: node {below} is not ahead of node {above}");
            for (at, entry) in log_below.0.iter().enumerate() {
                let version = entry.version;
                assert_eq!(log_above.version(at + 1), Some(version), "I3: node {below} and node {above}");
            }
        }
    }
}
