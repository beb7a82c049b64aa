//! Forms, sessions, leases.

use simpledynamo_chain::control::{Grant, Renewal};
use simpledynamo_topology::{Command, Generation, Member, NodeId, PartitionId, Session, StoreId, Topology};

use super::Judge;
use crate::scenario::Scenario;
use crate::world::World;

/// A round of a controller.
#[derive(Clone, Copy, Debug)]
pub(super) struct Round {
    began: u64,
    is_confirmed: bool,
}

impl World {
    /// A command was committed.
    pub(crate) fn judge_command(&mut self, before: &Topology, after: &Topology, command: &Command) {
        for (node, state) in before.nodes() {
            let ended = Member { node, session: state.session };
            if state.is_live && !after.is_live(ended) {
                self.check_lease_over(ended, command);
            }
        }
        if let Command::Register { node, store, .. } = command
            && after.session(*node) != before.session(*node)
        {
            self.note_machine(*node, after.session(*node), *store);
        }
        for partition in after.partitions() {
            if before.form(partition) != after.form(partition) {
                self.check_form(partition, before, after, command);
            }
        }
        if let Command::Opened { partition, epoch, .. } = *command
            && before.chain(partition).opened != after.chain(partition).opened
        {
            assert_eq!(after.chain(partition).opened, epoch, "I6: the epoch that was proposed is opened");
            self.check_sealed(partition, before, after);
        }
    }

    fn note_machine(&mut self, node: NodeId, session: Session, store: StoreId) {
        let at = self.hosts.iter().position(|host| host.disk.store == store);
        if let Some(at) = at {
            let number = self.hosts[at].disk_number;
            self.judge.machines.insert(Member { node, session }, (at, number));
        }
    }

    /// The lease of a session that ends is over, in true time.
    fn check_lease_over(&mut self, ended: Member, command: &Command) {
        for host in &self.hosts {
            let Some(process) = host.process.as_ref().filter(|process| process.core.me() == ended) else {
                continue;
            };
            let has_lease = process.core.has_lease(host.clock.millis(self.now));
            assert!(!has_lease, "I8: {ended} still holds a lease when {command:?} is applied");
            self.scenarios.mark_if(Scenario::S40, process.core.writes_in_flight() > 0);
        }
    }

    fn check_form(&mut self, partition: PartitionId, before: &Topology, after: &Topology, command: &Command) {
        let form = after.form(partition).expect("forms do not vanish");
        let old = before.form(partition);
        let expected = old.map_or(1, |old| old.epoch.0 + 1);
        assert_eq!(form.epoch.0, expected, "I1: epochs rise by one");
        assert!(!form.members.is_empty(), "I5: a chain is never empty");
        let is_whole = |member: Member| {
            let shadow = self.machine_of(member).and_then(|host| host.disk.shadows.get(&partition));
            let committed = self.judge.committed(partition);
            committed.iter().all(|entry| shadow.is_some_and(|shadow| shadow.holds(entry.version)))
        };
        for &member in form.members.iter().filter(|_| old.is_some()) {
            let was_there = old.is_some_and(|old| old.members.contains(&member));
            if !was_there {
                let is_named = match command {
                    Command::Synced { member: named, .. } | Command::Start { member: named, .. } => {
                        *named == member
                    }
                    _ => false,
                };
                assert!(is_named, "I5: {member} is in {form:?} without having been synced");
                assert!(
                    is_whole(member),
                    "I5: {member} becomes a member of {partition}, but lacks something"
                );
            }
        }
        if matches!(command, Command::Opened { .. }) {
            let old = old.expect("an opened epoch had a form");
            let head = self.process_at(form.head());
            let is_dirty = head.is_some_and(|process| {
                let end = process.accepted.get(&partition).map_or(0, |shadow| shadow.end());
                end > self.judge.committed(partition).len() as u64
            });
            self.scenarios.mark_if(Scenario::S15, is_dirty);
            self.scenarios.mark_if(Scenario::S32, old.tail() == form.head() && form.members.len() > 1);
        }
        if let Command::Start { member, .. } = command {
            let others = after.preference(partition).filter(|&node| node != member.node);
            let chain = before.chain(partition);
            let barred =
                others.into_iter().any(|node| after.live(node).is_some() && !chain.eligible.contains(&node));
            self.scenarios.mark_if(Scenario::S22, barred);
        }
        let form = form.clone();
        let known = self.judge.forms.insert((partition, form.epoch), form);
        assert_eq!(known, None, "I1: one form per partition and epoch");
    }

    pub(super) fn process_at(&self, member: Member) -> Option<&crate::host::Process> {
        let processes = self.hosts.iter().filter_map(|host| host.process.as_ref());
        processes.into_iter().find(|process| process.core.me() == member)
    }

    /// Whoever served since the last opened epoch has durably stopped, or its session has ended.
    fn check_sealed(&self, partition: PartitionId, before: &Topology, after: &Topology) {
        let (last, opened) = (before.chain(partition).opened, after.chain(partition).opened);
        let forms = self.judge.forms.range((partition, last)..(partition, opened.next()));
        for member in forms.flat_map(|(_, form)| &form.members) {
            let Some(host) = self.machine_of(*member) else { continue };
            let sealed = host.disk.shadows.get(&partition).map(|shadow| shadow.sealed);
            let has_sealed = sealed.is_some_and(|sealed| sealed >= opened);
            assert!(
                has_sealed || !after.is_live(*member),
                "I6: epoch {opened} of {partition} opens, {member} has sealed {sealed:?}"
            );
        }
    }
}

impl Judge {
    fn next(&mut self) -> u64 {
        self.order += 1;
        self.order
    }

    pub(crate) fn on_renewal(&mut self, at: usize, life: u64, renewal: &Renewal) {
        let order = self.next();
        self.renewals.entry((at, life, renewal.member, renewal.number)).or_insert(order);
    }

    pub(crate) fn on_round_begun(&mut self, at: usize, life: u64, number: u64) {
        let began = self.next();
        self.rounds.insert((at, life, number), Round { began, is_confirmed: false });
    }

    pub(crate) fn on_confirmed(&mut self, at: usize, life: u64, number: u64) {
        if let Some(round) = self.rounds.get_mut(&(at, life, number)) {
            round.is_confirmed = true;
        }
    }

    pub(crate) fn on_down_proposed(&mut self, generation: Generation, member: Member) {
        self.revoked.insert((generation, member));
    }

    /// A controller grants leases after a round.
    pub(crate) fn on_grants(
        &mut self,
        at: usize,
        life: u64,
        number: u64,
        generation: Option<Generation>,
        grants: &[Grant],
    ) {
        let Some(round) = self.rounds.remove(&(at, life, number)) else {
            assert!(grants.is_empty(), "I9: no round was begun");
            return;
        };
        for grant in grants {
            let generation = generation.expect("I9: only an activated controller grants");
            let asked = self.renewals.get(&(at, life, grant.member, grant.number));
            assert!(round.is_confirmed, "I9: {} is granted a lease without a majority", grant.member);
            let is_after = asked.is_some_and(|&asked| asked < round.began);
            assert!(is_after, "I9: the round began before the renewal of {} came", grant.member);
            let is_revoked = self.revoked.contains(&(generation, grant.member));
            assert!(!is_revoked, "I10: {} is granted a lease while it is being revoked", grant.member);
        }
    }
}
