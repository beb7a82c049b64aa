//! What must hold after every step, judged from outside: the nodes' own books are not asked where the messages,
//! the disks and the control log can tell.
//!
//! I1 one form per epoch, I2 and I13 committed and acknowledged means durable everywhere, I3 logs are prefixes
//! of those before them, I4 what is sealed is over, I5 forms shrink and grow by rule, I6 nothing opens before all
//! have sealed or ended, I7 answers need a lease, I8 no session ends that could still read, I11 a version names one
//! entry for ever, I12 an op id takes effect once, I14 and I20 reads see the clean state as the log gives it, I15
//! joiners serve nothing, I18 and I19 what is committed stays and what was left out does not come back.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use simpledynamo_chain::{
    Apply, Captured, Change, Completion, Counts, DataKey, Effects, Entry, Envelope, Message, OpId, Outcome,
    Persist, Query, Reading, Record, Refusal, Replica, Reply, Version,
};
use simpledynamo_ring::{Ring, Token};
use simpledynamo_topology::{Command, Epoch, Form, Member, NodeId, PartitionId, Session, Topology};

use super::{Control, Machine};

/// A log as its changes give it, whole.
#[derive(Clone, Default)]
struct Log(Vec<Arc<Entry>>);

impl Log {
    fn record(&mut self, persist: &Persist, committed: &Self) {
        match persist {
            Persist::Open { watermark, entries, .. } => {
                self.0.truncate(usize::try_from(*watermark).expect("short logs"));
                self.0.extend(entries.iter().cloned());
            }
            Persist::Append { entry, .. } => self.0.push(Arc::clone(entry)),
            Persist::Cut { watermark, .. } => {
                self.0.truncate(usize::try_from(*watermark).expect("short logs"))
            }
            Persist::Reset { .. } => self.0.clear(),
            Persist::Installed { base, .. } => {
                let last = committed.version(base.last.seq as usize);
                assert_eq!(last, Some(base.last), "a copy holds what is committed, and nothing else");
                self.0 = committed.0[..base.last.seq as usize].to_vec();
            }
            Persist::Seal { .. } | Persist::Watermark { .. } => {}
        }
    }

    /// Place 0 is before all, and no log lacks it.
    fn version(&self, seq: usize) -> Option<Version> {
        match seq.checked_sub(1) {
            None => Some(Version::default()),
            Some(at) => self.0.get(at).map(|entry| entry.version),
        }
    }

    fn holds(&self, other: &Self) -> bool {
        other.0.iter().enumerate().all(|(at, entry)| self.version(at + 1) == Some(entry.version))
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
    /// The highest watermark seen since the process began, or since its log was given up for a copy.
    watermark: u64,
    /// The clean pairs, as the log gives them.
    clean: BTreeMap<DataKey, Record>,
    cleaned: u64,
}

impl Shadow {
    fn clean_up(&mut self, entry: &Entry) {
        assert_eq!(entry.version.seq, self.cleaned + 1, "entries become clean in order, none left out");
        self.cleaned += 1;
        let key = entry.key.clone();
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

    /// The clean pairs as the first entries of the log give them.
    fn clean_from(&mut self, up_to: u64) {
        (self.clean, self.cleaned) = (BTreeMap::new(), 0);
        for entry in self.accepted.clone().0.iter().take(up_to as usize) {
            self.clean_up(entry);
        }
    }
}

/// Names a request of a client: the node, the process and the number.
type Request = (usize, u64, u64);

pub(crate) struct Checks {
    ring: Ring,
    replicas: BTreeMap<(usize, PartitionId), Shadow>,
    entries: BTreeMap<(PartitionId, Version), Arc<Entry>>,
    forms: BTreeMap<(PartitionId, Epoch), Form>,
    /// The epochs that were opened.
    opened: BTreeSet<(PartitionId, Epoch)>,
    /// The joiners that were proposed to be members.
    proposed: BTreeSet<(PartitionId, Epoch, Member)>,
    committed: Vec<Log>,
    /// The epoch in which each of these was committed.
    committed_in: Vec<Vec<Epoch>>,
    done: BTreeMap<(PartitionId, OpId), Version>,
    questions: BTreeMap<Request, Query>,
    writes: BTreeMap<Request, OpId>,
    /// Writes said not to have happened.
    refused: BTreeSet<OpId>,
    /// Machines whose disks were damaged: they hold what they hold.
    damaged: BTreeSet<usize>,
    /// Machines that have another disk, of which the control group has not heard.
    wiped: BTreeSet<usize>,
    /// The last session of each node whose disk was lost afterwards.
    lost: BTreeMap<NodeId, Session>,
    /// Situations that were met: a test that never meets them shows nothing.
    pub(crate) marks: BTreeSet<&'static str>,
    /// Writes that the network doubled: their second copies can still come after a refusal.
    pub(crate) doubled: BTreeSet<OpId>,
}

impl Checks {
    pub(crate) fn new(ring: &Ring) -> Self {
        let mut replicas = BTreeMap::new();
        for (partition, arc) in ring.partitions().iter().enumerate() {
            for &member in &arc.preference {
                replicas.insert((member, PartitionId::at(partition)), Shadow::default());
            }
        }
        Self {
            ring: ring.clone(),
            committed: vec![Log::default(); ring.partitions().len()],
            committed_in: vec![Vec::new(); ring.partitions().len()],
            replicas,
            entries: BTreeMap::new(),
            forms: BTreeMap::new(),
            opened: BTreeSet::new(),
            proposed: BTreeSet::new(),
            done: BTreeMap::new(),
            questions: BTreeMap::new(),
            writes: BTreeMap::new(),
            refused: BTreeSet::new(),
            damaged: BTreeSet::new(),
            wiped: BTreeSet::new(),
            lost: BTreeMap::new(),
            doubled: BTreeSet::new(),
            marks: BTreeSet::new(),
        }
    }

    fn of(&mut self, index: usize, partition: PartitionId) -> &mut Shadow {
        self.replicas.get_mut(&(index, partition)).expect("a node has replicas of its partitions only")
    }

    fn seen(&self, node: NodeId, partition: PartitionId) -> &Shadow {
        &self.replicas[&(node.index(), partition)]
    }

    /// Whether the disk that a session had was lost since.
    fn was_lost(&self, member: Member) -> bool {
        self.lost.get(&member.node).is_some_and(|session| member.session <= *session)
    }

    /// Whether a node's disk was damaged or lost, and the control group does not know.
    fn has_lost(&self, node: NodeId) -> bool {
        self.damaged.contains(&node.index()) || self.wiped.contains(&node.index())
    }

    pub(crate) fn on_start(&mut self, index: usize, machine: &Machine) {
        for ((at, partition), shadow) in &mut self.replicas {
            if *at != index {
                continue;
            }
            let applied = machine.data.applied.get(partition).copied().unwrap_or_default();
            shadow.watermark = 0;
            shadow.accepted = shadow.durable.clone();
            shadow.clean_from(applied.up_to);
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

    /// A machine has another disk.
    pub(crate) fn on_wipe(&mut self, index: usize, control: &Control) {
        let node = NodeId::at(index);
        self.lost.insert(node, control.latest().session(node));
        self.wiped.insert(index);
        for ((at, _), shadow) in &mut self.replicas {
            if *at == index {
                *shadow = Shadow::default();
            }
        }
    }

    /// A disk was damaged: what it holds now counts.
    pub(crate) fn on_damage(&mut self, index: usize, machine: &Machine) {
        self.damaged.insert(index);
        for ((at, partition), shadow) in &mut self.replicas {
            if *at == index {
                shadow.durable = Log::default();
                for persist in machine.disk.iter().filter(|persist| persist.partition() == *partition) {
                    shadow.durable.record(persist, &self.committed[partition.index()]);
                }
            }
        }
    }

    pub(crate) fn on_durable(&mut self, index: usize, persist: &Persist) {
        let partition = persist.partition();
        let committed = self.committed[partition.index()].clone();
        let committed_in = self.committed_in[partition.index()].clone();
        let shadow = self.of(index, partition);
        shadow.durable.record(persist, &committed);
        match persist {
            Persist::Seal { epoch, .. } => shadow.sealed_durable = shadow.sealed_durable.max(*epoch),
            Persist::Open { epoch, .. } => {
                shadow.open_durable = *epoch;
                shadow.sealed_durable = shadow.sealed_durable.max(*epoch);
                // A member that has been replaced may still open an epoch that is over.
                let earlier = committed_in.partition_point(|committed_in| committed_in < epoch);
                let earlier = Log(committed.0[..earlier].to_vec());
                assert!(shadow.durable.holds(&earlier), "I18: an opening keeps what is committed");
            }
            _ => {}
        }
    }

    /// What the control group is about to decide.
    pub(crate) fn before_commit(
        &mut self,
        command: &Command,
        control: &Control,
        machines: &[Machine],
        now: u64,
    ) {
        let topology = control.latest();
        let ended = match *command {
            Command::Down { member, generation }
                if generation == topology.generation() && topology.is_live(member) =>
            {
                member
            }
            Command::Register { node, replaces, store, .. } => {
                let before = topology.node(node);
                if !before.is_live || before.session != replaces || before.store != store {
                    return;
                }
                // Whoever registers holds the lock of the store: the process of that session has ended.
                let holder = &machines[node.index()];
                assert!(
                    holder.node.is_none() || holder.nonce() != before.nonce,
                    "the stage lets a session be replaced by its own process"
                );
                return;
            }
            _ => return,
        };
        let machine = &machines[ended.node.index()];
        let is_gone = machine.node.is_none() || machine.nonce() != topology.node(ended.node).nonce;
        assert!(is_gone || now >= machine.lease_end(), "I8: the stage declares down who may still read");
    }

    /// What the control group has decided.
    pub(crate) fn on_commit(&mut self, command: &Command, before: &Topology, after: &Topology) {
        if let Command::Opened { partition, epoch, .. } = *command {
            self.opened.insert((partition, epoch));
            let form = before.form(partition).expect("only a form is opened").clone();
            self.check_sealed(&form, before);
        }
        if let Command::Register { node, .. } = command {
            self.wiped.remove(&node.index());
        }
        for partition in after.partitions() {
            if let Some(form) = after.form(partition)
                && before.form(partition) != Some(form)
            {
                self.on_form(form.clone(), command, before.form(partition), after);
            }
            for &node in &after.chain(partition).eligible {
                let holds = self.seen(node, partition).durable.holds(&self.committed[partition.index()]);
                assert!(
                    holds || self.has_lost(node),
                    "node {node} may start partition {partition}, and lacks what was committed"
                );
            }
        }
    }

    fn on_form(&mut self, form: Form, command: &Command, before: Option<&Form>, after: &Topology) {
        let partition = form.partition;
        let known = self.forms.insert((partition, form.epoch), form.clone());
        assert_eq!(known, None, "I1: one form per partition and epoch");
        let Some(before) = before else { return };
        assert!(form.epoch > before.epoch, "I1: epochs rise");
        assert!(!form.members.is_empty(), "I5: a form is never empty");
        self.mark("a member leaves a chain", form.members.len() < before.members.len());
        self.mark("a joiner becomes a member", form.members.len() > before.members.len());
        self.mark(
            "a chain is put in ring order",
            form.members.len() == 3 && matches!(command, Command::Opened { .. }),
        );
        self.mark("a partition is started", matches!(command, Command::Start { .. }));
        for member in &form.members {
            let is_new = !before.members.contains(member);
            let is_named = match command {
                Command::Synced { member: named, .. } | Command::Start { member: named, .. } => {
                    named == member
                }
                _ => false,
            };
            assert!(!is_new || is_named, "I5: {member} joins a chain without having been proposed");
            let holds = self.seen(member.node, partition).durable.holds(&self.committed[partition.index()]);
            assert!(
                holds || self.has_lost(member.node) || !after.is_live(*member),
                "I5: {member} is in a form of partition {partition}, and lacks what was committed"
            );
        }
    }

    /// An epoch is opened once each member of the epochs since the last opened one has sealed or ended.
    fn check_sealed(&self, form: &Form, topology: &Topology) {
        let (partition, epoch) = (form.partition, form.epoch);
        let last = self.opened.range((partition, Epoch(0))..(partition, epoch)).next_back();
        let from = last.map_or(Epoch(0), |(_, epoch)| *epoch);
        for form in self.forms.range((partition, from)..=(partition, epoch)).map(|(_, form)| form) {
            for member in form.members.iter().filter(|&&member| topology.is_live(member)) {
                let sealed = self.seen(member.node, partition).sealed_durable;
                assert!(
                    sealed >= epoch,
                    "I6: epoch {epoch} of partition {partition} opens, and {member} has not sealed"
                );
            }
        }
    }

    pub(crate) fn on_question(&mut self, name: Request, query: Query) {
        self.questions.insert(name, query);
    }

    pub(crate) fn on_write(&mut self, name: Request, session: Session) {
        let (node, _, counter) = name;
        self.writes.insert(name, OpId { node: NodeId::at(node), session, counter });
    }

    /// A member captured an answer: it is its clean state, or one that it had since `cleaned` began.
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
        let partition = PartitionId::at(self.ring.partition_of(Token::of(&key.key())));
        let touching = cleaned.iter().filter(|entry| entry.key == key);
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

    /// A client of this node is answered by the node's own replica.
    pub(crate) fn on_answer(
        &mut self,
        index: usize,
        partition: PartitionId,
        clock: u64,
        machines: &[Machine],
        control: &Control,
    ) {
        let machine = &machines[index];
        let node = machine.node.as_ref().expect("it answers");
        let replica = &node.replicas()[&partition];
        assert!(replica.is_serving(), "I15: only members answer");
        assert!(machine.may_read(clock, node.topology()), "I7: node {index} answers without a lease");
        assert!(control.latest().is_live(node.me()), "I8: {} answers after its end", node.me());
    }

    /// Answers that were captured are about to be released.
    pub(crate) fn on_release(&mut self, index: usize, clock: u64, machines: &[Machine], control: &Control) {
        let machine = &machines[index];
        let node = machine.node.as_ref().expect("it releases");
        let effects = &machine.unflushed;
        for Captured { answer } in &effects.captured {
            let Message::ReadDone { id, reading } = &answer.message else {
                panic!("only readings are captured")
            };
            let partition = answer.partition;
            let here = effects.apply.iter().filter_map(|apply| match apply {
                Apply::Entry(of, entry) if *of == partition => Some(Arc::clone(entry)),
                _ => None,
            });
            let cleaned: Vec<Arc<Entry>> = here.collect();
            self.mark("a read waits until its key is clean", !cleaned.is_empty());
            let (to, asker) = (answer.to.node.index(), &machines[answer.to.node.index()]);
            // Whoever asked in an earlier life had its own numbers.
            if asker.node.as_ref().is_some_and(|node| node.me() == answer.to)
                && let Some(query) = self.questions.get(&(to, asker.life, *id)).cloned()
            {
                self.on_reading(index, &query, reading, &cleaned);
            }
            let sealed = self.of(index, partition).sealed_durable;
            assert!(
                answer.epoch >= sealed,
                "I4: node {index} answers in {}, sealed for {sealed}",
                answer.epoch
            );
            if node.has_lease(clock) {
                assert!(machine.may_read(clock, node.topology()), "I7: node {index} answers without a lease");
                assert!(control.latest().is_live(node.me()), "I8: {} answers after its end", node.me());
            } else {
                self.mark("a lease runs out before an answer is sent", true);
            }
        }
    }

    /// What a node decided, before any of it is carried out.
    pub(crate) fn on_effects(
        &mut self,
        index: usize,
        effects: &Effects,
        machines: &[Machine],
        control: &Control,
    ) {
        for command in &effects.propose {
            self.on_propose(command, machines[index].node.as_ref().expect("it proposes").topology());
        }
        for persist in &effects.persist {
            self.on_persist(index, persist, &machines[index]);
        }
        for envelope in &effects.send {
            self.on_send(index, envelope, machines, control);
        }
        for apply in &effects.apply {
            if let Apply::Entry(partition, entry) = apply {
                self.of(index, *partition).clean_up(entry);
            }
        }
    }

    fn on_propose(&mut self, command: &Command, topology: &Topology) {
        match *command {
            Command::Synced { partition, epoch, member } => {
                let holds =
                    self.seen(member.node, partition).durable.holds(&self.committed[partition.index()]);
                assert!(
                    holds || !topology.is_live(member) || self.was_lost(member),
                    "I5: {member} is proposed, and lacks what was committed"
                );
                self.proposed.insert((partition, epoch, member));
            }
            // Whether it may is checked when it is decided.
            Command::Opened { .. } => {}
            _ => panic!("no node proposes {command:?}"),
        }
    }

    fn on_persist(&mut self, index: usize, persist: &Persist, machine: &Machine) {
        let partition = persist.partition();
        let committed = self.committed[partition.index()].clone();
        match persist {
            Persist::Open { watermark, entries, .. } => {
                let held = &self.of(index, partition).accepted.0[*watermark as usize..];
                let is_replaced = held.iter().zip(entries).any(|(held, entry)| held.version != entry.version);
                let is_shortened = held.len() > entries.len();
                self.mark("an opening replaces an entry by another", is_replaced);
                self.mark("an opening drops an entry", is_shortened);
                self.mark("an epoch begins with dirty entries", !entries.is_empty());
            }
            Persist::Cut { watermark, .. } => {
                let is_shortened = self.of(index, partition).accepted.0.len() as u64 > *watermark;
                self.mark("a joiner cuts its log", is_shortened);
            }
            Persist::Reset { .. } => self.mark("a joiner is copied as a whole", true),
            _ => {}
        }
        self.of(index, partition).accepted.record(persist, &committed);
        let entries = match persist {
            Persist::Append { entry, .. } => std::slice::from_ref(entry),
            Persist::Open { entries, .. } => entries,
            Persist::Reset { .. } => {
                let shadow = self.of(index, partition);
                shadow.watermark = 0;
                shadow.clean_from(0);
                &[]
            }
            Persist::Installed { base, .. } => {
                let ring = self.ring.clone();
                let shadow = self.of(index, partition);
                shadow.clean_from(base.last.seq);
                let held: BTreeMap<DataKey, Record> = machine.data.of(&ring, partition).into_iter().collect();
                assert_eq!(held, shadow.clean, "a full copy leaves what its log says");
                &[]
            }
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

    fn on_send(&mut self, index: usize, envelope: &Envelope, machines: &[Machine], control: &Control) {
        let (partition, epoch) = (envelope.partition, envelope.epoch);
        let replica = machines[index].node.as_ref().and_then(|node| node.replicas().get(&partition));
        let form = replica.and_then(Replica::form);
        let epoch_now = form.map(|form| form.epoch);
        match &envelope.message {
            Message::Write { .. }
            | Message::Read { .. }
            | Message::Join { .. }
            | Message::WriteRefused { .. }
            | Message::ReadRefused { .. } => {}
            _ => {
                let sealed = self.of(index, partition).sealed_durable;
                assert!(epoch >= sealed, "I4: node {index} sends {envelope:?}, sealed for {sealed}");
            }
        }
        match &envelope.message {
            Message::Sealed { .. } => {
                assert!(
                    self.of(index, partition).sealed_durable >= epoch,
                    "I4: a seal is reported once durable"
                );
            }
            Message::Open { .. } => {
                assert_eq!(epoch_now, Some(epoch), "I4: nothing is forwarded of an epoch that is over");
                assert!(self.opened.contains(&(partition, epoch)), "I6: an epoch opens once that is decided");
                let form = self.forms[&(partition, epoch)].clone();
                self.check_sealed(&form, control.latest());
            }
            Message::Append { .. } | Message::Durable { .. } | Message::Watermark { .. } => {
                assert_eq!(epoch_now, Some(epoch), "I4: nothing is forwarded of an epoch that is over");
            }
            Message::Attach { .. } | Message::Ship { .. } | Message::Page { .. } => {
                let tail = self.forms[&(partition, epoch)].tail();
                assert_eq!(tail, envelope.from, "I15: only the tail of an epoch attaches joiners");
                assert!(self.opened.contains(&(partition, epoch)), "only an open epoch is joined");
            }
            Message::WriteDone { .. } => {
                let is_tail = form.is_some_and(|form| form.tail().node.index() == index);
                self.mark("a repeated write is answered from the log", !is_tail);
            }
            Message::WriteForgotten { .. } => self.mark("a write is forgotten", true),
            Message::WriteRefused { refusal: Refusal::ChainBroken, .. } => {
                self.mark("a broken chain refuses a write", true);
            }
            Message::ReadRefused { .. } => self.mark("a read is refused", true),
            Message::ReadDone { .. } => {
                let is_member = replica.is_some_and(Replica::is_serving) || epoch_now != Some(epoch);
                assert!(is_member, "I15: node {index} answers a read, and serves nothing");
            }
            _ => {}
        }
    }

    /// A client is answered, after whatever the node found committed in the same step.
    pub(crate) fn on_complete(
        &mut self,
        index: usize,
        completion: &Completion,
        machine: &Machine,
        control: &Control,
    ) {
        let Some(&id) = self.writes.get(&(index, machine.life, completion.request)) else { return };
        // A write that was never sent in the session in which it was asked for is sent in a later one.
        let session = machine.node.as_ref().map_or(id.session, |node| node.me().session);
        let ids = [id, OpId { session, ..id }];
        match &completion.outcome {
            Outcome::Unavailable(_) => self.mark("a write is unavailable", true),
            Outcome::Unknown => self.mark("a write is unknown", true),
            _ => self.mark("a write is done", true),
        }
        match &completion.outcome {
            Outcome::Written { version, reply } => self.on_acknowledged(ids, *version, reply, control),
            Outcome::Unavailable(_) => {
                for id in ids {
                    self.refused.insert(id);
                    self.check_refused(id);
                }
            }
            Outcome::Unknown | Outcome::Read(_) => {}
        }
    }

    fn on_acknowledged(&mut self, ids: [OpId; 2], version: Version, reply: &Reply, control: &Control) {
        let mut entries = self.entries.iter();
        let found = entries.find(|((_, named), entry)| *named == version && ids.contains(&entry.id));
        let ((partition, _), entry) = found.expect("I13: what is acknowledged is in a log");
        let (partition, entry) = (*partition, Arc::clone(entry));
        assert_eq!(&entry.reply, reply, "I13: the reply is the stored one");
        let committed = self.committed[partition.index()].version(version.seq as usize);
        assert_eq!(committed, Some(version), "I13: {} is acknowledged, but not committed", entry.id);
        self.check_held(partition, version, control, "acknowledged");
    }

    /// Whoever may start the partition holds this durably: so it is never lost.
    fn check_held(&self, partition: PartitionId, version: Version, control: &Control, what: &str) {
        for &node in &control.latest().chain(partition).eligible {
            let held = self.seen(node, partition).durable.version(version.seq as usize);
            assert!(
                held == Some(version) || self.has_lost(node),
                "I13: {version} is {what}, but not durable at node {node}"
            );
        }
    }

    fn check_refused(&self, id: OpId) {
        let happened = self.done.keys().any(|(_, done)| *done == id);
        let excused = self.doubled.contains(&id);
        assert!(!(happened && self.refused.contains(&id)) || excused, "{id} was refused, and took effect");
    }

    /// After a step of this node.
    pub(crate) fn check(&mut self, index: usize, machines: &[Machine], control: &Control) {
        let Some(node) = &machines[index].node else { return };
        for (&partition, replica) in node.replicas() {
            self.check_books(index, partition, replica);
            self.check_commits(index, partition, replica, node.topology(), control);
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
        for seq in log.start.saturating_sub(1)..=log.end {
            let told = log.version_at(seq);
            assert_eq!(
                told,
                shadow.accepted.version(seq as usize),
                "the history tells the epochs of the log"
            );
        }
        assert_eq!(log.watermark, shadow.cleaned, "all up to the watermark was asked to be applied");
        let expiring = shadow.clean.values().filter(|record| record.expires_at.is_some()).count() as u64;
        let counts = Counts { keys: shadow.clean.len() as u64, expiring };
        assert_eq!(replica.counts(), counts, "the counters count the clean pairs");
    }

    fn check_commits(
        &mut self,
        index: usize,
        partition: PartitionId,
        replica: &Replica,
        topology: &Topology,
        control: &Control,
    ) {
        let watermark = replica.log().watermark;
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
            self.committed[partition.index()].0.push(Arc::clone(entry));
            // The node may have stopped since, in the same step.
            let epoch = replica.log().open;
            self.committed_in[partition.index()].push(epoch);
            self.check_committed(index, partition, entry.version, epoch, topology);
            self.check_held(partition, entry.version, control, "committed");
            if entry.id.counter != OpId::NOBODY {
                let before = self.done.insert((partition, entry.id), entry.version);
                assert_eq!(before, None, "I12: {} takes effect once", entry.id);
                self.check_refused(entry.id);
            }
        }
    }

    /// What a tail has just committed is durable at every member, and so is the opening: else a restart could bring
    /// back what the base of the epoch left out. It is durable, too, at every joiner that was proposed.
    fn check_committed(
        &mut self,
        index: usize,
        partition: PartitionId,
        version: Version,
        epoch: Epoch,
        topology: &Topology,
    ) {
        let form = &self.forms[&(partition, epoch)];
        assert_eq!(form.tail().node.index(), index, "I15: node {index} commits {version}, and is no tail");
        for member in form.members.iter().filter(|member| !self.was_lost(**member)) {
            let shadow = self.seen(member.node, partition);
            assert_eq!(
                shadow.durable.version(version.seq as usize),
                Some(version),
                "I2: node {index} commits {version}, {member} does not hold it durably"
            );
            assert!(
                shadow.open_durable >= form.epoch,
                "I19: node {index} commits in {}, {member} has not opened it",
                form.epoch
            );
        }
        let joiners = self.proposed.iter().filter(|(of, epoch, _)| (*of, *epoch) == (partition, form.epoch));
        for (_, _, joiner) in joiners.filter(|(_, _, of)| topology.is_live(*of) && !self.was_lost(*of)) {
            let held = self.seen(joiner.node, partition).durable.version(version.seq as usize);
            assert_eq!(held, Some(version), "I2: {version} is committed without {joiner}, who is proposed");
        }
    }

    fn check_prefixes(&mut self, partition: PartitionId, form: &Form, machines: &[Machine]) {
        for pair in form.members.windows(2) {
            let serves = |at: usize| {
                let node = machines[at].node.as_ref()?;
                let replica = &node.replicas()[&partition];
                // What a driver has not taken over yet is not seen from outside.
                let is_seen = machines[at].unflushed.persist.is_empty();
                (is_seen && replica.is_serving() && replica.form() == Some(form)).then_some(())
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
