//! The node's core, driven: requests and messages go in, effects are carried out.
//!
//! Everything here runs on one thread. Tasks that read sockets hand in what they read and return; the *pump*
//! runs after them, once per turn of the event loop, and says in one message to each neighbour, and in one
//! batch to the disk, whatever all of them brought about.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use simpledynamo_chain::{
    Asked, Damaged, Effects, Envelope, Event, Ignored, Node, Now, Operation, Outcome, Query, Reading,
};
use simpledynamo_topology::{Epoch, PartitionId};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::{Notify, oneshot};

use crate::clock;
use crate::control::{ControlHandle, ControlStatus};
use crate::core::disk::{Disk, Done};
use crate::core::view::DataView;
use crate::fatal;
use crate::peers::outlets::Outlets;

/// How often deadlines and retries are looked at: finer than any of them needs.
const TICK: Duration = Duration::from_millis(10);

/// Bytes of keys and values that all clients together may have in flight. A client that would exceed it waits
/// until others are answered.
const IN_FLIGHT_BYTES_MAX: usize = 128 << 20;

type Waiter = Box<dyn FnOnce(Outcome)>;

/// A question, answered or on its way.
pub(crate) enum Answer {
    Now(Reading),
    /// Will be given under this number.
    Later(u64),
}

/// A request on its way, for a task that looks at the outcome later.
pub(crate) enum Started {
    Done(Outcome),
    Pending(oneshot::Receiver<Outcome>),
}

impl Started {
    pub(crate) async fn outcome(self) -> Outcome {
        match self {
            Self::Done(outcome) => outcome,
            // The sender is dropped unused only when the node stops.
            Self::Pending(receiver) => receiver.await.unwrap_or(Outcome::Unknown),
        }
    }
}

/// The node's core with its disk, its links and the requests it owes answers to.
pub(crate) struct Engine {
    node: RefCell<Node>,
    effects: RefCell<Effects>,
    records: DataView,
    disk: RefCell<Option<Disk>>,
    control: ControlHandle,
    outlets: Rc<Outlets>,
    waiters: RefCell<BTreeMap<u64, Waiter>>,
    due: Notify,
    /// Whether the pump has been woken and has not run yet.
    is_due: Cell<bool>,
    /// Both clocks, as of the last look at them.
    clock: Cell<Now>,
    in_flight_bytes: Cell<usize>,
    room: Notify,
    ignored: RefCell<BTreeMap<Ignored, u64>>,
}

impl Engine {
    pub(crate) fn new(
        node: Node,
        effects: Effects,
        records: DataView,
        disk: Disk,
        control: ControlHandle,
        outlets: Rc<Outlets>,
    ) -> Rc<Self> {
        let engine = Rc::new(Self {
            node: RefCell::new(node),
            effects: RefCell::new(effects),
            records,
            disk: RefCell::new(Some(disk)),
            control,
            outlets,
            waiters: RefCell::default(),
            due: Notify::new(),
            is_due: Cell::new(false),
            clock: Cell::new(clock::now()),
            in_flight_bytes: Cell::new(0),
            room: Notify::new(),
            ignored: RefCell::default(),
        });
        engine.wake_pump();
        engine
    }

    /// Looks at the core.
    pub(crate) fn look<T>(&self, look: impl FnOnce(&Node) -> T) -> T {
        look(&self.node.borrow())
    }

    /// The node's data.
    pub(crate) fn records(&self) -> &DataView {
        &self.records
    }

    /// What the control thread tells about itself.
    pub(crate) fn control_status(&self) -> ControlStatus {
        self.control.status()
    }

    /// How many messages were dropped, by the name of the reason.
    pub(crate) fn dropped(&self) -> Vec<(&'static str, u64)> {
        self.ignored.borrow().iter().map(|(reason, count)| (reason.name(), *count)).collect()
    }

    /// Bytes that wait to be sent to other nodes.
    pub(crate) fn unsent_bytes(&self) -> usize {
        self.outlets.waiting_bytes()
    }

    /// Looks at the clocks. Whoever takes up new input does so once, rather than for each request of it.
    pub(crate) fn look_at_clock(&self) {
        self.clock.set(clock::now());
    }

    /// Both clocks as of the last look: of this turn for whoever looked in it, else a tick old at most. Good for deadlines
    /// and expiry times, never for whether what was captured may be answered (invariant I7).
    pub(crate) fn now(&self) -> Now {
        self.clock.get()
    }

    /// Takes an event.
    pub(crate) fn take(&self, event: Event) {
        self.look_at_clock();
        self.step(event);
    }

    /// Takes a message, one of several that came together: the caller has looked at the clock.
    pub(crate) fn take_message(&self, envelope: Envelope) {
        self.step(Event::Message(envelope));
    }

    fn wake_pump(&self) {
        if !self.is_due.replace(true) {
            self.due.notify_one();
        }
    }

    fn step(&self, event: Event) {
        let mut effects = self.effects.borrow_mut();
        #[cfg(feature = "sabotage")]
        let Some(event) = crate::sabotage::unanswered(event, &self.node.borrow(), &mut effects) else {
            return self.wake_pump();
        };
        self.node.borrow_mut().step(self.now(), event, &self.records, &mut effects);
        self.wake_pump();
    }

    /// Starts a write; the waiter is called with its outcome.
    pub(crate) fn write(
        self: &Rc<Self>,
        key: Bytes,
        operation: Operation,
        waiter: impl FnOnce(Outcome) + 'static,
    ) {
        #[cfg(feature = "sabotage")]
        let waiter = crate::sabotage::again_if_late(self, &key, &operation, waiter);
        let bytes = key.len() + operation.weight();
        self.in_flight_bytes.set(self.in_flight_bytes.get() + bytes);
        let request =
            self.node.borrow_mut().write(self.now(), key, operation, &mut self.effects.borrow_mut());
        let engine = Rc::clone(self);
        let finish = move |outcome| {
            engine.in_flight_bytes.set(engine.in_flight_bytes.get() - bytes);
            engine.room.notify_waiters();
            waiter(outcome);
        };
        self.waiters.borrow_mut().insert(request, Box::new(finish));
        self.wake_pump();
    }

    /// Reads a key: answered at once, or [`Engine::on_answer`] takes who waits for it.
    pub(crate) fn read(&self, query: Query) -> Answer {
        let Query::Get { key, .. } = &query else { unreachable!("other questions name their partition") };
        let partition = || self.look(|node| node.partition_of(key));
        #[cfg(feature = "sabotage")]
        if let Some(reading) = self.look(|node| crate::sabotage::dirty(node, partition(), &query)) {
            return Answer::Now(reading);
        }
        let mut effects = self.effects.borrow_mut();
        let asked = self.node.borrow_mut().read(self.now(), query.clone(), &self.records, &mut effects);
        drop(effects);
        self.release(asked).unwrap_or_else(|| self.forward(partition(), query.clone()))
    }

    /// Asks a member of a partition, as [`Engine::read`].
    fn ask(&self, partition: PartitionId, query: Query) -> Answer {
        #[cfg(feature = "sabotage")]
        if let Some(reading) = self.look(|node| crate::sabotage::dirty(node, partition, &query)) {
            return Answer::Now(reading);
        }
        let mut effects = self.effects.borrow_mut();
        let asked =
            self.node.borrow_mut().ask(self.now(), partition, query.clone(), &self.records, &mut effects);
        drop(effects);
        self.release(asked).unwrap_or_else(|| self.forward(partition, query))
    }

    /// What was captured may be answered if the lease is still valid by a look at the clock after the capture (I7).
    fn release(&self, asked: Asked) -> Option<Answer> {
        match asked {
            Asked::Captured(reading) => {
                self.look(|node| node.has_lease(clock::boot_millis())).then_some(Answer::Now(reading))
            }
            Asked::Pending(request) => Some(Answer::Later(request)),
        }
    }

    fn forward(&self, partition: PartitionId, query: Query) -> Answer {
        let mut effects = self.effects.borrow_mut();
        Answer::Later(self.node.borrow_mut().forward(self.now(), partition, query, &mut effects))
    }

    /// The waiter is called when the request is answered. To be called before the task yields.
    pub(crate) fn on_answer(&self, request: u64, waiter: impl FnOnce(Outcome) + 'static) {
        self.waiters.borrow_mut().insert(request, Box::new(waiter));
        self.wake_pump();
    }

    fn start(&self, answer: Answer) -> Started {
        match answer {
            Answer::Now(reading) => Started::Done(Outcome::Read(reading)),
            Answer::Later(request) => {
                let (sender, receiver) = oneshot::channel();
                self.on_answer(request, |outcome| drop(sender.send(outcome)));
                Started::Pending(receiver)
            }
        }
    }

    /// As [`Engine::read`], for a task that looks at the outcome later.
    pub(crate) fn start_read(&self, query: Query) -> Started {
        self.start(self.read(query))
    }

    /// As [`Engine::write`], for a task that looks at the outcome later.
    pub(crate) fn start_write(self: &Rc<Self>, key: Bytes, operation: Operation) -> Started {
        let (sender, receiver) = oneshot::channel();
        self.write(key, operation, |outcome| drop(sender.send(outcome)));
        Started::Pending(receiver)
    }

    /// As [`Engine::write`], for a task that waits.
    pub(crate) async fn write_and_wait(self: &Rc<Self>, key: Bytes, operation: Operation) -> Outcome {
        self.start_write(key, operation).outcome().await
    }

    /// Asks a member of a partition and waits for the answer.
    pub(crate) async fn ask_and_wait(&self, partition: PartitionId, query: Query) -> Outcome {
        self.start(self.ask(partition, query)).outcome().await
    }

    /// Reads a key and waits for the answer.
    pub(crate) async fn read_and_wait(&self, query: Query) -> Outcome {
        self.start_read(query).outcome().await
    }

    /// Whether clients have so much in flight that a further request has to wait.
    pub(crate) fn is_full(&self) -> bool {
        self.in_flight_bytes.get() > IN_FLIGHT_BYTES_MAX
    }

    /// Returns once some request was answered.
    pub(crate) async fn room(&self) {
        self.room.notified().await;
    }

    /// Whether requests of local clients are unanswered.
    pub(crate) fn is_busy(&self) -> bool {
        !self.waiters.borrow().is_empty()
    }

    /// Carries out effects for as long as the node runs.
    pub(crate) async fn pump(self: Rc<Self>) {
        loop {
            self.due.notified().await;
            self.is_due.set(false);
            self.settle();
        }
    }

    /// Feeds the core with what the disk has done and with the passing of time.
    pub(crate) async fn drive(self: Rc<Self>, mut done: UnboundedReceiver<Done>) {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                work = done.recv() => match work {
                    Some(Done::Persisted(changes)) => self.take(Event::Persisted(changes)),
                    Some(Done::PageApplied { partition, attachment, number }) => {
                        // What was applied before the page is told before it.
                        self.hear_applied();
                        self.take(Event::PageApplied { partition, attachment, number });
                    }
                    Some(Done::Fetched { partition, attachment, entries }) => {
                        self.take(Event::Fetched { partition, attachment, entries });
                    }
                    Some(Done::PageRead { partition, attachment, page }) => {
                        self.take(Event::PageRead { partition, attachment, page });
                    }
                    None => return,
                },
                _ = tick.tick() => {
                    self.hear_applied();
                    self.take(Event::Tick);
                    if let Some(disk) = &*self.disk.borrow() {
                        disk.flush();
                    }
                    let node = self.node.borrow();
                    self.control.tell(node.offers(), node.suspects());
                }
            }
        }
    }

    /// Tells the core how far the data has come.
    fn hear_applied(&self) {
        let applied = self.disk.borrow().as_ref().map(Disk::take_applied).unwrap_or_default();
        if !applied.is_empty() {
            self.take(Event::Applied(applied));
        }
    }

    /// Carries out all effects that have gathered.
    fn settle(&self) {
        let effects = {
            let mut effects = self.effects.borrow_mut();
            let mut node = self.node.borrow_mut();
            loop {
                node.flush(clock::now(), &self.records, &mut effects);
                // After the values were captured, before they leave (I7).
                if !node.release(clock::boot_millis(), &mut effects) {
                    break;
                }
            }
            #[cfg(feature = "sabotage")]
            crate::sabotage::forget(&node, &mut effects.apply);
            std::mem::take(&mut *effects)
        };
        #[cfg(feature = "sabotage")]
        crate::sabotage::report_early(self, &effects.persist);
        for envelope in effects.send {
            self.outlets.send(envelope);
        }
        self.outlets.wake();
        if let Some(disk) = &*self.disk.borrow() {
            if !effects.persist.is_empty() || !effects.apply.is_empty() {
                disk.write(effects.persist, effects.apply);
            }
            effects.fetch.into_iter().for_each(|fetch| disk.fetch(fetch));
            effects.copy.into_iter().for_each(|step| disk.copy(step));
        }
        for command in effects.propose {
            self.control.propose(command);
        }
        self.report(&effects.opened, &effects.damaged, &effects.ignored);
        for completion in effects.complete {
            let waiter = self.waiters.borrow_mut().remove(&completion.request);
            let waiter = waiter.expect("every request has one waiter until it completes once");
            waiter(completion.outcome);
        }
    }

    fn report(&self, opened: &[(PartitionId, Epoch)], damaged: &[Damaged], ignored: &[Ignored]) {
        let node = self.node.borrow();
        let names = node.topology().ring().names();
        for (partition, epoch) in opened {
            tracing::info!("serving partition {} in epoch {epoch}", names[partition.index()]);
        }
        if let Some(Damaged { partition, end, watermark }) = damaged.first() {
            self.control.mark_damaged();
            fatal::stop(&format_args!(
                "the log of partition {} ends at {end}, but all up to {watermark} was acknowledged: this node's \
                 disk has lost something. Check the disk; when the node starts again it begins with an empty store, \
                 which the others fill",
                names[partition.index()],
            ));
        }
        for &reason in ignored {
            *self.ignored.borrow_mut().entry(reason).or_default() += 1;
            tracing::debug!("dropped a message: {}", reason.name());
        }
    }

    /// Makes all that was asked for durable, and takes nothing more.
    pub(crate) fn close(&self) {
        self.settle();
        if let Some(disk) = self.disk.borrow_mut().take() {
            disk.close();
        }
    }
}
