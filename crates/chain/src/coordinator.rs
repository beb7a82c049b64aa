//! What a node does for the clients that talk to it: find the right member, try again, and say what became
//! of it.
//!
//! A **write** goes to the head. It is sent again when the link to the head was made anew, the chain has a new
//! form, or no answer came for a while; each copy carries the same op id, so that it takes effect at most
//! once. When the deadline passes, the outcome is [`Outcome::Unavailable`] only if every copy was refused by
//! its receiver, and otherwise [`Outcome::Unknown`]. A coordinator without a valid lease sends no write: it may have
//! been cut off from the majority, and whoever is told UNAVAILABLE soon is served better than who waits (invariant
//! I24).
//!
//! A **read** goes to one member; if that one refuses or does not answer within the read timeout, to the next.
//! A member that let a read time out is suspect for a while, and asked last. Suspicion only steers.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use simpledynamo_topology::{Form, Member, NodeId, PartitionId, Session, Topology};

use crate::{
    Completion, Effects, Envelope, Ignored, Links, Message, Millis, OpId, Operation, Query, Reading, Refusal,
    Reply, Version,
};

/// How long a refused request rests before it is tried again: long enough not to burn a core while a chain forms,
/// short enough not to be noticed afterwards.
const RETRY_PAUSE: Millis = 20;

/// How long a member that let a read time out is asked last.
const SUSPICION: Millis = 1_000;

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A write is committed.
    Written {
        /// Its place in the log of its partition.
        version: Version,
        /// What it came to.
        reply: Reply,
    },
    /// A question is answered.
    Read(Reading),
    /// It certainly did not happen.
    Unavailable(Refusal),
    /// A write of which cannot be known whether it happened, or a question that nobody answered in time.
    Unknown,
}

/// Which member answers reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReadFrom {
    /// Any: this node if it is one (CRAQ).
    #[default]
    Any,
    /// The tail, as in textbook chain replication.
    Tail,
}

/// How long a coordinator waits.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// From a request to its answer, whatever it is.
    pub operation: Millis,
    /// From asking one member to asking the next.
    pub read: Millis,
    /// From sending a write to sending it again.
    pub resend: Millis,
    /// How long a lease lasts: a request that met no lease for so long fails.
    pub lease: Millis,
}

pub(crate) struct Coordinator {
    me: Member,
    timing: Timing,
    read_from: ReadFrom,
    /// The last number given to a request; for a write it is the counter of its op id too.
    last: u64,
    writes: BTreeMap<u64, Write>,
    reads: BTreeMap<u64, Read>,
    /// The writes awaited, by partition: the first of each is the floor.
    awaited: Vec<BTreeSet<u64>>,
    suspect_until: Vec<Millis>,
}

struct Write {
    partition: PartitionId,
    key: Bytes,
    operation: Operation,
    began: Millis,
    deadline: Millis,
    /// When to send it again, if no answer comes before.
    due: Millis,
    copies: u32,
    refused: BTreeSet<u32>,
    refusal: Refusal,
}

struct Read {
    partition: PartitionId,
    query: Query,
    began: Millis,
    deadline: Millis,
    due: Millis,
    /// The member being asked.
    asked: Option<NodeId>,
    /// How many were asked before.
    attempts: usize,
    /// The last reason that somebody gave; none if nobody has said anything.
    refusal: Option<Refusal>,
}

/// What a coordinator sees of the ring.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    pub(crate) now: Millis,
    pub(crate) topology: &'a Topology,
    pub(crate) links: &'a Links,
}

impl Coordinator {
    pub(crate) fn new(
        me: Member,
        partitions: usize,
        nodes: usize,
        timing: Timing,
        read_from: ReadFrom,
    ) -> Self {
        Self {
            me,
            timing,
            read_from,
            last: 0,
            writes: BTreeMap::new(),
            reads: BTreeMap::new(),
            awaited: vec![BTreeSet::new(); partitions],
            suspect_until: vec![0; nodes],
        }
    }

    pub(crate) fn timing(&self) -> Timing {
        self.timing
    }

    /// Writes whose outcome is awaited.
    pub(crate) fn writes_in_flight(&self) -> usize {
        self.writes.len()
    }

    pub(crate) fn write(
        &mut self,
        view: View<'_>,
        has_lease: bool,
        partition: PartitionId,
        key: Bytes,
        operation: Operation,
        effects: &mut Effects,
    ) -> u64 {
        self.last += 1;
        let request = self.last;
        self.awaited[partition.index()].insert(request);
        self.writes.insert(
            request,
            Write {
                partition,
                key,
                operation,
                began: view.now,
                deadline: view.now + self.timing.operation,
                due: 0,
                copies: 0,
                refused: BTreeSet::new(),
                refusal: Refusal::NotServing,
            },
        );
        self.send_write(view, has_lease, request, effects);
        request
    }

    pub(crate) fn read(
        &mut self,
        view: View<'_>,
        partition: PartitionId,
        query: Query,
        effects: &mut Effects,
    ) -> u64 {
        self.last += 1;
        let request = self.last;
        let deadline = view.now + self.timing.operation;
        let read = Read {
            partition,
            query,
            began: view.now,
            deadline,
            due: 0,
            asked: None,
            attempts: 0,
            refusal: None,
        };
        self.reads.insert(request, read);
        self.send_read(view, request, effects);
        request
    }

    /// Whether this node's own replica may answer a read of this form at once.
    pub(crate) fn reads_locally(&self, form: &Form) -> bool {
        match self.read_from {
            ReadFrom::Any => form.member(self.me.node) == Some(self.me),
            ReadFrom::Tail => form.tail() == self.me,
        }
    }

    fn send_write(&mut self, view: View<'_>, has_lease: bool, request: u64, effects: &mut Effects) {
        let write = self.writes.get_mut(&request).expect("the caller has it");
        write.due = view.now + RETRY_PAUSE;
        if !has_lease {
            write.refusal = Refusal::NoLease;
            return;
        }
        let Some(form) = view.topology.form(write.partition) else {
            write.refusal = Refusal::NotServing;
            return;
        };
        if !view.links.reach(form.head()) {
            write.refusal = Refusal::Unreachable;
            return;
        }
        write.due = view.now + self.timing.resend;
        write.copies += 1;
        let floor = *self.awaited[write.partition.index()].first().expect("this write is awaited");
        let message = Message::Write {
            id: OpId { node: self.me.node, session: self.me.session, counter: request },
            copy: write.copies,
            floor,
            key: write.key.clone(),
            operation: write.operation.clone(),
        };
        effects.send.push(self.envelope(form, form.head(), message));
    }

    fn send_read(&mut self, view: View<'_>, request: u64, effects: &mut Effects) {
        let read = self.reads.get_mut(&request).expect("the caller has it");
        read.due = view.now + RETRY_PAUSE;
        read.asked = None;
        if self.me.session == Session(0) {
            read.refusal = Some(Refusal::NoLease);
            return;
        }
        let Some(form) = view.topology.form(read.partition) else {
            read.refusal = Some(Refusal::NotServing);
            return;
        };
        let chosen = self.choose(view, form, request);
        let read = self.reads.get_mut(&request).expect("it was there just now");
        let Some(member) = chosen else {
            read.refusal = Some(Refusal::Unreachable);
            return;
        };
        read.due = view.now + self.timing.read;
        read.asked = Some(member.node);
        read.attempts += 1;
        let message = Message::Read { id: request, query: read.query.clone() };
        effects.send.push(self.envelope(form, member, message));
    }

    /// The next member to ask: each in turn, those that are suspect or out of reach last.
    fn choose(&self, view: View<'_>, form: &Form, request: u64) -> Option<Member> {
        let read = &self.reads[&request];
        let members = &form.members;
        if self.read_from == ReadFrom::Tail {
            return Some(form.tail()).filter(|&tail| view.links.reach(tail));
        }
        // Different requests start at different members, which spreads the load.
        let spread = usize::try_from(request).unwrap_or_default();
        let first = form.position(self.me.node).unwrap_or(spread) + read.attempts;
        let in_turn = (0..members.len()).map(|step| members[(first + step) % members.len()]);
        let reachable = in_turn.filter(|&member| view.links.reach(member));
        reachable.min_by_key(|member| self.suspect_until[member.node.index()] > view.now)
    }

    fn envelope(&self, form: &Form, to: Member, message: Message) -> Envelope {
        Envelope { partition: form.partition, epoch: form.epoch, from: self.me, to, message }
    }

    pub(crate) fn on_message(&mut self, view: View<'_>, envelope: Envelope, effects: &mut Effects) {
        match envelope.message {
            Message::WriteDone { id, version, reply } => {
                self.finish_write(id, Outcome::Written { version, reply }, effects);
            }
            Message::WriteForgotten { id } => self.finish_write(id, Outcome::Unknown, effects),
            Message::WriteRefused { id, copy, refusal } => match self.writes.get_mut(&id.counter) {
                Some(write) if self.me.node == id.node && self.me.session == id.session => {
                    write.refused.insert(copy);
                    write.refusal = refusal;
                    write.due = view.now + RETRY_PAUSE;
                }
                _ => effects.ignored.push(Ignored::NotAwaited),
            },
            Message::ReadDone { id, reading } => {
                if self.reads.remove(&id).is_some() {
                    effects.complete.push(Completion { request: id, outcome: Outcome::Read(reading) });
                } else {
                    effects.ignored.push(Ignored::NotAwaited);
                }
            }
            Message::ReadRefused { id, refusal } => match self.reads.get_mut(&id) {
                Some(read) if read.asked == Some(envelope.from.node) => {
                    read.refusal = Some(refusal);
                    let members = view.topology.form(read.partition).map_or(1, |form| form.members.len());
                    // Once all have refused, the next round can wait a little.
                    if read.attempts.is_multiple_of(members) {
                        read.asked = None;
                        read.due = view.now + RETRY_PAUSE;
                    } else {
                        self.send_read(view, id, effects);
                    }
                }
                _ => effects.ignored.push(Ignored::NotAwaited),
            },
            _ => effects.ignored.push(Ignored::WrongRole),
        }
    }

    fn finish_write(&mut self, id: OpId, outcome: Outcome, effects: &mut Effects) {
        if id.node != self.me.node || id.session != self.me.session {
            return effects.ignored.push(Ignored::NotAwaited);
        }
        self.end_write(id.counter, outcome, effects);
    }

    fn end_write(&mut self, request: u64, outcome: Outcome, effects: &mut Effects) {
        let Some(write) = self.writes.remove(&request) else {
            return effects.ignored.push(Ignored::NotAwaited);
        };
        self.awaited[write.partition.index()].remove(&request);
        effects.complete.push(Completion { request, outcome });
    }

    /// The chain has a new form, or its form has been opened: what was sent before may be lost.
    pub(crate) fn on_chain(
        &mut self,
        view: View<'_>,
        has_lease: bool,
        partition: PartitionId,
        effects: &mut Effects,
    ) {
        self.try_again(view, has_lease, effects, |_, write| write == partition);
    }

    /// A link was made anew: what was sent over the old one may be lost.
    pub(crate) fn on_link_up(
        &mut self,
        view: View<'_>,
        has_lease: bool,
        node: NodeId,
        effects: &mut Effects,
    ) {
        self.try_again(view, has_lease, effects, |topology, partition| {
            topology.form(partition).is_some_and(|form| form.head().node == node)
        });
    }

    /// There is a valid lease: what was held back for want of one can go.
    pub(crate) fn on_lease(&mut self, view: View<'_>, effects: &mut Effects) {
        let held = self.writes.iter().filter(|(_, write)| write.copies == 0);
        for request in held.map(|(&request, _)| request).collect::<Vec<_>>() {
            self.send_write(view, true, request, effects);
        }
    }

    /// The session so far has ended. Whether what it sent happened is not known any more, unless all copies were refused:
    /// under a new op id it might happen twice. What was never sent has had no op id yet, and waits on.
    pub(crate) fn begin_session(&mut self, session: Session, effects: &mut Effects) {
        self.me.session = session;
        let sent = self.writes.iter().filter(|(_, write)| write.copies > 0);
        for request in sent.map(|(&request, _)| request).collect::<Vec<_>>() {
            let write = &self.writes[&request];
            let outcome = write.outcome_unanswered();
            self.end_write(request, outcome, effects);
        }
        for read in self.reads.values_mut() {
            read.asked = None;
            read.due = 0;
        }
    }

    fn try_again(
        &mut self,
        view: View<'_>,
        has_lease: bool,
        effects: &mut Effects,
        concerns: impl Fn(&Topology, PartitionId) -> bool,
    ) {
        let writes: Vec<u64> = self.awaited.iter().flatten().copied().collect();
        for request in writes {
            if concerns(view.topology, self.writes[&request].partition) {
                self.send_write(view, has_lease, request, effects);
            }
        }
        let unasked: Vec<u64> =
            self.reads.iter().filter(|(_, read)| read.asked.is_none()).map(|(&request, _)| request).collect();
        for request in unasked {
            self.send_read(view, request, effects);
        }
    }

    /// A link broke: questions sent over it go to somebody else.
    pub(crate) fn on_link_down(&mut self, view: View<'_>, node: NodeId, effects: &mut Effects) {
        let lost: Vec<u64> = self
            .reads
            .iter()
            .filter(|(_, read)| read.asked == Some(node))
            .map(|(&request, _)| request)
            .collect();
        for request in lost {
            self.send_read(view, request, effects);
        }
    }

    /// Time has passed: try again what is due, give up what is over its deadline.
    ///
    /// `has_lost_lease` tells that the node had a lease and has none: without one for a whole term, a request is not
    /// going to be served soon. A node that has only just started is merely late.
    pub(crate) fn on_tick(
        &mut self,
        view: View<'_>,
        has_lease: bool,
        has_lost_lease: bool,
        effects: &mut Effects,
    ) {
        let timing = self.timing;
        let is_hopeless = |began: Millis| has_lost_lease && view.now >= began + timing.lease;
        let writes = self.writes.iter().filter(|(_, write)| {
            write.due <= view.now || write.deadline <= view.now || is_hopeless(write.began)
        });
        for request in writes.map(|(&request, _)| request).collect::<Vec<_>>() {
            let write = &self.writes[&request];
            let outcome = write.outcome_unanswered();
            let has_failed = matches!(outcome, Outcome::Unavailable(_)) && is_hopeless(write.began);
            if view.now >= write.deadline || has_failed {
                self.end_write(request, outcome, effects);
            } else if write.due <= view.now {
                self.send_write(view, has_lease, request, effects);
            }
        }
        let reads = self
            .reads
            .iter()
            .filter(|(_, read)| read.due <= view.now || read.deadline <= view.now || is_hopeless(read.began));
        for request in reads.map(|(&request, _)| request).collect::<Vec<_>>() {
            let read = &self.reads[&request];
            let was_refused = read.asked.is_none() && read.refusal == Some(Refusal::NoLease);
            if view.now >= read.deadline || (was_refused && is_hopeless(read.began)) {
                let outcome = read.refusal.map_or(Outcome::Unknown, Outcome::Unavailable);
                self.reads.remove(&request);
                effects.complete.push(Completion { request, outcome });
                continue;
            }
            if read.due > view.now {
                continue;
            }
            if let Some(silent) = read.asked {
                self.suspect_until[silent.index()] = view.now + SUSPICION;
            }
            self.send_read(view, request, effects);
        }
    }
}

impl Write {
    /// What can be said of it when no answer is awaited any more.
    fn outcome_unanswered(&self) -> Outcome {
        if u32::try_from(self.refused.len()) == Ok(self.copies) {
            Outcome::Unavailable(self.refusal)
        } else {
            Outcome::Unknown
        }
    }
}
