//! The data thread of a process: what the driver of a real node does around the core.
//!
//! Events and requests go in one by one; after some of them the driver *settles*: it flushes, looks at the clock,
//! releases what was captured, and carries the effects out. Between any two of these steps the process may be paused.

use simpledynamo_chain::{
    Asked, Change, Envelope, Event, Message, Now, OpId, Outcome, Persist, Query, Reading, Refusal, Replica,
};
use simpledynamo_topology::{Command, Form, PartitionId, Session};

use crate::clients::Request;
use crate::clock::Micros;
use crate::host::{Leaving, Observed, Turn, Work};
use crate::sabotage::Sabotage;
use crate::scenario::Scenario;
use crate::world::{Happening, World};

/// How long a node that stops waits for its writes, and then for the others to take over.
const LEAVE_TIMEOUT: Micros = 2_000_000;

impl World {
    /// Work comes for a process.
    pub(crate) fn on_work(&mut self, at: usize, life: u64, work: Work) {
        let host = &mut self.hosts[at];
        if host.life != life {
            return;
        }
        let Some(process) = &mut host.process else { return };
        if work.is_data() {
            process.data_work.push_back(work);
        } else {
            process.control_work.push_back(work);
        }
        self.drain(at);
    }

    /// Does what work there is, unless the process is paused.
    pub(crate) fn drain(&mut self, at: usize) {
        loop {
            let now = self.now;
            let host = &mut self.hosts[at];
            if host.is_paused(now) {
                return;
            }
            let is_stalled = now < host.stalled_until;
            let Some(process) = &mut host.process else { return };
            if let Some(work) = process.control_work.pop_front() {
                self.on_control_work(at, work);
                continue;
            }
            if is_stalled {
                return;
            }
            process.ran = host.clock.millis(now);
            if process.turn.is_some() {
                if !process.is_turn_due {
                    return;
                }
                process.is_turn_due = false;
                let turn = process.turn.take().expect("it was just looked at");
                self.go_on(at, turn);
                continue;
            }
            let Some(work) = process.data_work.pop_front() else { return };
            self.on_data_work(at, work);
        }
    }

    fn on_data_work(&mut self, at: usize, work: Work) {
        match work {
            Work::Event(event) => {
                if self.is_turn_paused(at) {
                    let host = &mut self.hosts[at];
                    let now = host.clock.now(self.now);
                    let process = host.process.as_mut().expect("it works");
                    process.turn = Some(Turn::Take(now, Box::new(event)));
                    return;
                }
                self.take(at, event);
            }
            Work::Tick => {
                self.take(at, Event::Tick);
                self.finish_leaving(at);
                let wait = self.knobs.tick;
                self.give(wait, at, Work::Tick);
            }
            Work::Request(operation) => self.on_request(at, operation),
            Work::Settle => {
                let process = self.hosts[at].process.as_mut().expect("it works");
                process.is_settle_due = false;
                self.settle(at);
            }
            Work::Leave => {
                let process = self.hosts[at].process.as_mut().expect("it works");
                if process.leaving == Leaving::No {
                    process.leaving = Leaving::Finishing;
                    process.leaving_until = self.now + LEAVE_TIMEOUT;
                }
            }
            _ => unreachable!("the control thread's work goes elsewhere"),
        }
    }

    /// Whether the process is paused right here, in the middle of a turn: then the rest of it is due later.
    fn is_turn_paused(&mut self, at: usize) -> bool {
        if self.is_smooth || self.random.below(10_000) >= self.knobs.turns {
            return false;
        }
        let term = self.knobs.terms.term * 1_000;
        let wait = *self.random.pick(&[500, 5_000, term / 2, term, term + term / 8, 2 * term]);
        let host = &mut self.hosts[at];
        // The whole process stands still, its control thread too.
        host.paused_until = host.paused_until.max(self.now + wait);
        let life = host.life;
        self.after(wait, Happening::TurnDue(at, life));
        self.after(wait, Happening::Resume(at));
        self.met(Scenario::S2);
        true
    }

    fn go_on(&mut self, at: usize, turn: Turn) {
        match turn {
            Turn::Take(now, event) => {
                self.step(at, now, *event);
            }
            Turn::Answer(operation, reading) => self.answer(at, operation, reading),
            Turn::Release => self.release(at),
        }
    }

    /// Feeds the core with an event.
    pub(crate) fn take(&mut self, at: usize, event: Event) {
        let now = self.hosts[at].clock.now(self.now);
        self.step(at, now, event);
    }

    fn step(&mut self, at: usize, now: Now, event: Event) {
        if self.sabotage == Some(Sabotage::ReadsDirty) && self.answer_dirty(at, &event) {
            return;
        }
        let event = self.unchecked(at, event);
        if let Event::Message(envelope) = &event {
            self.judge.on_received(&self.hosts[at], envelope, &mut self.scenarios);
        }
        let host = &mut self.hosts[at];
        let process = host.process.as_mut().expect("it works");
        let (core, effects) = (&mut process.core, &mut process.effects);
        let is_fenced = self.judge.fence(core, &event);
        let is_topology = matches!(event, Event::Topology { .. });
        let before = (effects.persist.len(), effects.captured.len(), effects.complete.len());
        let refused = effects.send.len();
        core.step(now, event, &host.disk.data, effects);
        if is_fenced {
            let after = (effects.persist.len(), effects.captured.len(), effects.complete.len());
            assert_eq!(before, after, "I16: a message of another session has had an effect");
        }
        let refuses = |envelope: &Envelope| matches!(envelope.message, Message::ReadRefused { .. });
        let were_refused = is_topology && effects.send[refused..].iter().any(refuses);
        self.scenarios.mark_if(Scenario::S28, were_refused);
        self.observe(at);
        self.want_settle(at);
    }

    /// An answer is about to go out: it may, by what the invariants know.
    fn judge_release(&mut self, at: usize) {
        let term = self.knobs.terms.term * 1_000;
        self.judge.on_release(&self.hosts[at], self.now, &self.group, term);
        let process = self.hosts[at].process.as_ref().expect("it works");
        let newest = self.group.newest();
        let is_behind = |(id, replica): (&PartitionId, &Replica)| {
            let epoch = |form: Option<&Form>| form.map(|form| form.epoch);
            replica.is_serving() && epoch(newest.form(*id)) > epoch(replica.form())
        };
        self.scenarios.mark_if(Scenario::S30, process.core.replicas().iter().any(is_behind));
    }

    /// Sees to it that the effects are carried out soon.
    fn want_settle(&mut self, at: usize) {
        let process = self.hosts[at].process.as_mut().expect("it works");
        if process.is_settle_due || process.turn.is_some() {
            return;
        }
        if self.random.chance(600) {
            self.settle(at);
        } else {
            process.is_settle_due = true;
            let wait = self.random.below(300);
            self.give(wait, at, Work::Settle);
        }
    }

    fn on_request(&mut self, at: usize, operation: usize) {
        let host = &mut self.hosts[at];
        let process = host.process.as_mut().expect("it works");
        if process.leaving != Leaving::No {
            return self.finish(operation, Outcome::Unavailable(Refusal::NotServing));
        }
        let now = host.clock.now(self.now);
        match self.clients.request(operation) {
            Request::Write(key, write) => {
                let request = process.core.write(now, key, write, &mut process.effects);
                process.waiters.insert(request, operation);
                let me = process.core.me();
                let id = OpId { node: me.node, session: me.session, counter: request };
                process.ops.insert(operation, id);
                self.observe(at);
                self.want_settle(at);
            }
            Request::Ask(partition, query) => {
                let (core, effects) = (&mut process.core, &mut process.effects);
                match core.ask(now, partition, query, &host.disk.data, effects) {
                    Asked::Pending(request) => {
                        process.waiters.insert(request, operation);
                        self.want_settle(at);
                    }
                    Asked::Captured(reading) => {
                        let member = core.me();
                        let (_, query) = self.clients.question(operation);
                        self.judge.on_reading(member, &query, &reading);
                        if self.is_turn_paused(at) {
                            let process = self.hosts[at].process.as_mut().expect("it works");
                            process.turn = Some(Turn::Answer(operation, reading));
                        } else {
                            self.answer(at, operation, reading);
                        }
                    }
                }
            }
        }
    }

    /// Answers a local client what was captured, if the lease is still valid.
    fn answer(&mut self, at: usize, operation: usize, reading: Reading) {
        let host = &mut self.hosts[at];
        let process = host.process.as_mut().expect("it works");
        let clock = host.clock.millis(self.now);
        let is_good = self.sabotage == Some(Sabotage::NoRelease) || process.core.has_lease(clock);
        if is_good {
            if self.sabotage.is_none_or(Sabotage::leaves_leases_judged) {
                self.judge_release(at);
            }
            return self.finish(operation, Outcome::Read(reading));
        }
        self.met(Scenario::S4);
        let (partition, query) = self.clients.question(operation);
        let host = &mut self.hosts[at];
        let process = host.process.as_mut().expect("it works");
        let now = host.clock.now(self.now);
        let request = process.core.forward(now, partition, query, &mut process.effects);
        process.waiters.insert(request, operation);
        self.want_settle(at);
    }

    /// Says what is to be said, then carries out all effects.
    fn settle(&mut self, at: usize) {
        self.flush(at);
        let process = self.hosts[at].process.as_mut().expect("it works");
        if !process.effects.captured.is_empty() && self.is_turn_paused(at) {
            let process = self.hosts[at].process.as_mut().expect("it works");
            process.turn = Some(Turn::Release);
            return;
        }
        self.release(at);
    }

    fn flush(&mut self, at: usize) {
        let host = &mut self.hosts[at];
        let process = host.process.as_mut().expect("it works");
        let now = host.clock.now(self.now);
        process.core.flush(now, &host.disk.data, &mut process.effects);
        self.observe(at);
    }

    fn release(&mut self, at: usize) {
        loop {
            let host = &mut self.hosts[at];
            let process = host.process.as_mut().expect("it works");
            let clock = host.clock.millis(self.now);
            let is_good = process.core.has_lease(clock) || self.sabotage == Some(Sabotage::NoRelease);
            if !process.effects.captured.is_empty() {
                if is_good && self.sabotage.is_none_or(Sabotage::leaves_leases_judged) {
                    self.judge_release(at);
                } else if !is_good {
                    self.met(Scenario::S4);
                }
            }
            let process = self.hosts[at].process.as_mut().expect("it works");
            let clock = if self.sabotage == Some(Sabotage::NoRelease) { 0 } else { clock };
            if !process.core.release(clock, &mut process.effects) {
                break;
            }
            process.observed.captures = 0;
            self.flush(at);
        }
        self.carry_out(at);
    }

    fn carry_out(&mut self, at: usize) {
        let process = self.hosts[at].process.as_mut().expect("it works");
        let mut effects = std::mem::take(&mut process.effects);
        process.observed = Observed::default();
        assert!(effects.damaged.is_empty(), "I2: a log lacks what was committed: {:?}", effects.damaged);
        for envelope in &effects.send {
            self.judge.on_sent(&self.hosts[at], envelope, &mut self.scenarios);
        }
        for envelope in std::mem::take(&mut effects.send) {
            if self.sabotage == Some(Sabotage::PromotedEarly)
                && let Message::Attach { .. } = envelope.message
            {
                let Envelope { partition, epoch, to: member, .. } = envelope;
                self.propose(at, Command::Synced { partition, epoch, member });
            }
            self.transmit(at, envelope);
        }
        for command in std::mem::take(&mut effects.propose) {
            self.propose(at, command);
        }
        if !effects.persist.is_empty() || !effects.apply.is_empty() {
            self.tell_early(at, &effects.persist);
            self.write(at, effects.persist, effects.apply);
        }
        for fetch in effects.fetch {
            self.fetch(at, fetch);
        }
        for step in effects.copy {
            self.copy(at, step);
        }
        for completion in effects.complete {
            let process = self.hosts[at].process.as_mut().expect("it works");
            let operation = process.waiters.remove(&completion.request);
            let operation = operation.expect("every request has one waiter until it completes once");
            self.finish(operation, completion.outcome);
        }
    }

    /// Sabotage: reports changes durable that are not.
    fn tell_early(&mut self, at: usize, changes: &[Persist]) {
        let early: Vec<Persist> = match self.sabotage {
            Some(Sabotage::DurableEarly) => changes.to_vec(),
            Some(Sabotage::NoSeal) => {
                changes.iter().filter(|change| matches!(change, Persist::Seal { .. })).cloned().collect()
            }
            _ => return,
        };
        if !early.is_empty() {
            self.give(0, at, Work::Event(Event::Persisted(early)));
        }
    }

    /// An orderly stop: first the writes under way, then the lease, then, once others serve, the process. Each waits
    /// for a bounded time.
    fn finish_leaving(&mut self, at: usize) {
        let process = self.hosts[at].process.as_mut().expect("it works");
        let has_waited = self.now >= process.leaving_until;
        match process.leaving {
            Leaving::No => {}
            Leaving::Finishing => {
                if process.core.writes_in_flight() == 0 || has_waited || self.random.chance(20) {
                    self.take(at, Event::Surrender);
                    let process = self.hosts[at].process.as_mut().expect("it works");
                    process.leaving = Leaving::Surrendered;
                    process.leaving_until = self.now + LEAVE_TIMEOUT;
                }
            }
            Leaving::Surrendered => {
                let (topology, core) = (&process.topology, &process.core);
                let is_over = core.me().session == Session(0) && process.jobs.is_empty();
                let are_open = core.replicas().keys().all(|&id| topology.chain(id).is_open());
                let is_finished = is_over && (are_open || self.random.chance(5)) && process.writing.is_none();
                if is_finished || has_waited {
                    self.kill(at);
                    let wait: Micros = self.random.between(0, 1_500_000);
                    self.after(wait, Happening::Start(at));
                }
            }
        }
    }

    /// Sabotage: answers a question from the newest entry, committed or not.
    fn answer_dirty(&mut self, at: usize, event: &Event) -> bool {
        let Event::Message(envelope) = event else { return false };
        let Message::Read { id, query: Query::Get { key, .. } } = &envelope.message else {
            return false;
        };
        let process = self.hosts[at].process.as_mut().expect("it works");
        let shadow = process.accepted.get(&envelope.partition);
        let is_serving = process.core.replicas().get(&envelope.partition).is_some_and(|r| r.is_serving());
        let mut entries = shadow.iter().flat_map(|shadow| shadow.entries.iter().rev());
        let Some(entry) = entries.find(|entry| entry.key.key() == *key && entry.change != Change::Keep)
        else {
            return false;
        };
        if !is_serving {
            return false;
        }
        let reading = entry.record().map_or(Reading::Absent, |record| Reading::Present {
            version: record.version,
            expires_at: None,
            due: false,
            length: record.value.len() as u64,
            bytes: record.value,
        });
        let answer = envelope.answer(Message::ReadDone { id: *id, reading });
        process.effects.send.push(answer);
        self.want_settle(at);
        true
    }

    /// Sabotage: whatever session a message is of, it is taken.
    fn unchecked(&self, at: usize, event: Event) -> Event {
        match event {
            Event::Message(mut envelope) if self.sabotage == Some(Sabotage::SessionsUnchecked) => {
                let core = &self.hosts[at].process.as_ref().expect("it works").core;
                envelope.to = core.me();
                envelope.from.session = core.topology().session(envelope.from.node);
                Event::Message(envelope)
            }
            event => event,
        }
    }
}
