//! What is accepted, durable, committed and acknowledged.

use std::ops::Bound;
use std::sync::Arc;

use simpledynamo_chain::{Change, Durable, Entry, Envelope, Message, OpId, Persist, Reply, Version};
use simpledynamo_topology::{Command, Epoch, Form, Member, PartitionId};

use super::Judge;
use crate::host::{Host, Observed};
use crate::scenario::{Scenario, Scenarios};
use crate::world::World;

impl World {
    /// Looks at what a step has decided, before any of it is carried out.
    pub(crate) fn observe(&mut self, at: usize) {
        let process = self.hosts[at].process.as_mut().expect("it works");
        let (effects, seen) = (&process.effects, process.observed);
        let changes = effects.persist[seen.changes..].to_vec();
        let proposals = effects.propose[seen.proposals..].to_vec();
        let captures: Vec<_> =
            effects.captured[seen.captures..].iter().map(|captured| captured.answer.clone()).collect();
        process.observed = Observed {
            changes: effects.persist.len(),
            proposals: effects.propose.len(),
            captures: effects.captured.len(),
        };
        for change in &changes {
            self.on_accepted(at, change);
        }
        captures.iter().for_each(|answer| self.on_capture(answer));
        for proposal in proposals {
            if let Command::Synced { partition, epoch, member } = proposal {
                self.judge.synced.entry((partition, epoch)).or_default().insert(member);
            }
        }
    }

    /// A member captures the answer to a question.
    fn on_capture(&mut self, answer: &Envelope) {
        let Message::ReadDone { id, reading } = &answer.message else { return };
        let asked = self.process_at(answer.to).and_then(|process| process.waiters.get(id));
        if let Some(&operation) = asked {
            let (_, query) = self.clients.question(operation);
            self.judge.on_reading(answer.from, &query, reading);
        }
    }

    /// A replica takes a change over.
    fn on_accepted(&mut self, at: usize, change: &Persist) {
        let partition = change.partition();
        let process = self.hosts[at].process.as_mut().expect("it works");
        let me = process.core.me();
        let form = process.core.replicas()[&partition].form().cloned();
        let shadow = process.accepted.entry(partition).or_default();
        if matches!(change, Persist::Reset { .. }) && shadow.end() > 0 {
            self.scenarios.mark(Scenario::S36);
        }
        shadow.record(change);
        match change {
            Persist::Append { entry, .. } => {
                self.note_accepted(partition, entry);
                if let Some(form) = &form {
                    self.check_prefix(at, form, entry);
                }
            }
            Persist::Open { epoch, watermark, entries, .. } => {
                entries.iter().for_each(|entry| self.judge.check_name(partition, entry));
                self.check_base(at, partition, *epoch);
                self.check_known(partition, *watermark);
                if form.is_some_and(|form| form.head() == me) {
                    let versions = entries.iter().map(|entry| entry.version).collect();
                    let base = self.judge.bases.insert((partition, *epoch), (*watermark, versions));
                    assert!(base.is_none(), "I1: epoch {epoch} of {partition} is opened twice by its head");
                }
            }
            Persist::Watermark { up_to, .. } => {
                if let Some(form) = form.filter(|form| form.tail() == me) {
                    self.commit_entries(at, &form, *up_to);
                }
                self.check_known(partition, *up_to);
            }
            Persist::Installed { base, .. } => {
                let seq = base.last.seq;
                self.check_known(partition, seq);
                let known = seq.checked_sub(1).map(|index| &self.judge.committed(partition)[index as usize]);
                let is_right = known.is_none_or(|entry| entry.version == base.last);
                assert!(is_right, "I18: a copy of {partition} ends with {:?}", base.last);
            }
            _ => {}
        }
    }

    fn note_accepted(&mut self, partition: PartitionId, entry: &Arc<Entry>) {
        self.judge.check_name(partition, entry);
        if entry.id.counter == OpId::NOBODY {
            return;
        }
        let before = self.judge.accepted_ids.insert((partition, entry.id), entry.version);
        self.scenarios.mark_if(Scenario::S14, before.is_some_and(|before| before < entry.version));
    }

    fn check_known(&self, partition: PartitionId, watermark: u64) {
        let committed = self.judge.committed(partition).len() as u64;
        assert!(watermark <= committed, "I2: {watermark} of {partition} counts as committed, {committed} is");
    }

    /// Within an epoch a member's log is a prefix of its predecessor's.
    fn check_prefix(&self, at: usize, form: &Form, entry: &Entry) {
        let me = self.hosts[at].process.as_ref().expect("it works").core.me();
        let Some(above) = form.predecessor(me.node) else { return };
        let Some(process) = self.process_at(above) else { return };
        let replica = &process.core.replicas()[&form.partition];
        if replica.form() != Some(form) || !replica.is_serving() {
            return;
        }
        let holds = process.accepted.get(&form.partition).is_some_and(|shadow| shadow.holds(entry.version));
        assert!(holds, "I3: {me} accepts {} of {}, which {above} has not", entry.version, form.partition);
    }

    /// An epoch begins with all that was committed in those before it. Members open in their turn, when more may have
    /// been committed in it; and one that was removed may open it when a later one has long committed.
    fn check_base(&self, at: usize, partition: PartitionId, epoch: Epoch) {
        let process = self.hosts[at].process.as_ref().expect("it works");
        let shadow = &process.accepted[&partition];
        let committed_in = &self.judge.committed_in[partition.index()];
        for (entry, &committed_in) in self.judge.committed(partition).iter().zip(committed_in) {
            let version = entry.version;
            if committed_in < epoch {
                assert!(shadow.holds(version), "I18: epoch {epoch} of {partition} opens without {version}");
            }
        }
    }

    /// The tail commits.
    fn commit_entries(&mut self, at: usize, form: &Form, up_to: u64) {
        let partition = form.partition;
        let known = self.judge.committed(partition).len() as u64;
        for seq in known + 1..=up_to {
            let process = self.hosts[at].process.as_ref().expect("it works");
            let entry = process.accepted[&partition].entry(seq).expect("a tail has what it commits");
            let entry = Arc::clone(entry);
            self.check_durable(form, entry.version);
            self.judge.on_committed(partition, form.epoch, &entry);
        }
    }

    /// What is committed is durable on every member, and on whoever may be one by now.
    fn check_durable(&self, form: &Form, version: Version) {
        let partition = form.partition;
        let form = self.judge.forms.get(&(partition, form.epoch)).expect("a form was committed");
        let newest = self.group.newest();
        let joiners = self.judge.synced.get(&(partition, form.epoch)).into_iter().flatten();
        let joiners = joiners.filter(|joiner| newest.is_live(**joiner));
        for member in form.members.iter().chain(joiners) {
            if let Some(host) = self.machine_of(*member) {
                let shadow = host.disk.shadows.get(&partition);
                let holds = shadow.is_some_and(|shadow| shadow.holds(version));
                assert!(holds, "I2: {version} of {partition} is committed, but not durable at {member}");
            }
        }
    }

    /// The machine that a session runs or ran on, unless it has lost its disk since.
    pub(crate) fn machine_of(&self, member: Member) -> Option<&Host> {
        let (at, number) = *self.judge.machines.get(&member)?;
        Some(&self.hosts[at]).filter(|host| host.disk_number == number)
    }
}

impl Judge {
    fn on_committed(&mut self, partition: PartitionId, epoch: Epoch, entry: &Arc<Entry>) {
        let version = entry.version;
        self.fertile.insert((partition, epoch));
        let later = (Bound::Excluded((partition, version.epoch)), Bound::Included((partition, epoch)));
        for (&(_, opened), (watermark, versions)) in self.bases.range(later) {
            let is_fertile = self.fertile.contains(&(partition, opened));
            let is_kept = !is_fertile || version.seq <= *watermark || versions.contains(&version);
            assert!(is_kept, "I19: {version} of {partition} is back, though epoch {opened} left it out");
        }
        if entry.id.counter != OpId::NOBODY
            && let Some(before) = self.done.insert((partition, entry.id), version)
        {
            panic!("I12: {} takes effect as {before} and as {version}", entry.id);
        }
        if entry.change != Change::Keep {
            let state = matches!(entry.change, Change::Put { .. }).then_some(version);
            let timeline = self.timelines.entry(entry.key.key()).or_insert_with(|| vec![(0, None)]);
            timeline.push((version.seq, state));
        }
        self.committed[partition.index()].push(Arc::clone(entry));
        self.committed_in[partition.index()].push(epoch);
    }

    /// A write is acknowledged.
    pub(super) fn check_done(&self, partition: PartitionId, id: OpId, version: Version, reply: &Reply) {
        self.on_answered(partition, version, reply);
        let entry = &self.committed(partition)[version.seq as usize - 1];
        assert_eq!(entry.id, id, "I13: the answer to one write is given to another");
    }

    pub(crate) fn on_answered(&self, partition: PartitionId, version: Version, reply: &Reply) {
        let entry = self.committed(partition).get(version.seq as usize - 1);
        let entry =
            entry.unwrap_or_else(|| panic!("I13: {version} of {partition} is acknowledged, not committed"));
        assert_eq!(entry.version, version, "I13: something else was committed there");
        assert_eq!(&entry.reply, reply, "I13: the reply is the stored one");
    }

    /// A store was opened: its op ids and its entries belong together.
    pub(crate) fn recovered(&self, partition: PartitionId, durable: &Durable) {
        for (node, writer) in &durable.writers.0 {
            for (counter, (version, _)) in &writer.done {
                let is_there = durable.version_at(version.seq).is_none_or(|known| known == *version);
                assert!(
                    is_there,
                    "I12: {node}/{counter} of {partition} is known as {version}, which is gone"
                );
            }
        }
    }

    pub(crate) fn on_durable(&self, _: usize, changes: &[Persist], scenarios: &mut Scenarios) {
        let is_open = |change: &Persist| matches!(change, Persist::Open { entries, .. } if entries.len() > 1);
        scenarios.mark_if(Scenario::S13, changes.iter().any(is_open));
    }
}
