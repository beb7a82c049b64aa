//! One client: its place among the others, the replies that it is owed, and the keys that it works on.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;

use bytes::Bytes;
use simpledynamo_wire::OutBuffer;
use simpledynamo_wire::resp::Value;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::clients::state::ClientState;

/// Bytes of replies that all clients together may leave unread. Each client's requests rest long before, but
/// those under way then may all bring large values. Beyond half of it, reads that bring more are put off.
const HELD_REPLIES_BYTES_MAX: usize = 256 << 20;

/// What is told instead of a reply beyond that.
const REPLY_DROPPED: &str = "ERR the command was carried out, but its reply was dropped: clients leave too many \
                             replies of this node unread";

/// Requests of one connection that may be unanswered: far more than a client gains by pipelining, few enough
/// that their bookkeeping stays small.
const WINDOW_MAX: usize = 1_024;

/// As many as that before the first replies have shown how large they are.
const WINDOW_AT_FIRST: usize = 8;

/// Bytes of replies that one connection's unanswered requests should bring.
const WINDOW_BYTES: usize = 16 << 20;

/// One client, as the rest of the server sees it.
pub(crate) struct Client {
    pub(crate) state: RefCell<ClientState>,
    replies: RefCell<Replies>,
    /// Keys that unanswered requests work on, and how.
    busy_keys: RefCell<HashMap<Bytes, Use>>,
    /// Whether a command that takes several steps is unanswered.
    is_walking: Cell<bool>,
    wake: Notify,
    is_killed: Cell<bool>,
    /// Whether the connection has ended: nobody takes replies any more.
    is_gone: Cell<bool>,
    /// How many requests may be unanswered at once.
    window: Cell<usize>,
    /// Bytes of replies that this client has not taken, and those that all clients have not taken.
    held: Cell<usize>,
    held_by_all: Rc<Cell<usize>>,
    /// Since when replies wait that the client does not take.
    unread_since: Cell<Option<Instant>>,
    /// Since when a request is half sent.
    partial_since: Cell<Option<Instant>>,
}

/// How unanswered requests use a key.
#[derive(Clone, Copy, Debug)]
enum Use {
    Reads(usize),
    Write,
}

/// Replies in the order of their requests. Those that are ready go out as soon as all before them have.
#[derive(Default)]
struct Replies {
    /// The number of the first slot.
    first: u64,
    slots: VecDeque<Slot>,
    out: OutBuffer,
}

/// The place of a reply that is not there yet, or waits for those before it.
struct Slot {
    reply: Option<Value>,
    /// The client asked for no reply.
    is_silent: bool,
}

impl Drop for Client {
    fn drop(&mut self) {
        self.release(self.held.get());
    }
}

impl Client {
    pub(crate) fn new(state: ClientState, held_by_all: Rc<Cell<usize>>) -> Rc<Self> {
        Rc::new(Self {
            state: RefCell::new(state),
            replies: RefCell::default(),
            busy_keys: RefCell::default(),
            is_walking: Cell::new(false),
            wake: Notify::new(),
            is_killed: Cell::new(false),
            is_gone: Cell::new(false),
            window: Cell::new(WINDOW_AT_FIRST),
            held: Cell::new(0),
            held_by_all,
            unread_since: Cell::new(None),
            partial_since: Cell::new(None),
        })
    }

    /// Ends the connection; replies that were not written yet are lost.
    pub(crate) fn kill(&self) {
        self.is_killed.set(true);
        self.wake.notify_one();
    }

    /// Lets the connection notice that something about it has changed.
    pub(crate) fn nudge(&self) {
        self.wake.notify_one();
    }

    /// Since when replies wait that the client does not take.
    pub(crate) fn unread_since(&self) -> Option<Instant> {
        self.unread_since.get()
    }

    /// Since when a request is half sent.
    pub(crate) fn partial_since(&self) -> Option<Instant> {
        self.partial_since.get()
    }

    /// Whether every request is answered.
    pub(crate) fn is_idle(&self) -> bool {
        self.replies.borrow().slots.is_empty()
    }

    /// A command that takes several steps begins or ends.
    pub(crate) fn set_walking(&self, is_walking: bool) {
        self.is_walking.set(is_walking);
    }

    /// Keeps a place among the replies.
    pub(crate) fn reserve(&self, is_silent: bool) -> u64 {
        let mut replies = self.replies.borrow_mut();
        replies.slots.push_back(Slot { reply: None, is_silent });
        replies.first + replies.slots.len() as u64 - 1
    }

    /// The connection has ended.
    pub(crate) fn leave(&self) {
        self.is_gone.set(true);
    }

    /// Whether the connection has ended.
    pub(crate) fn is_gone(&self) -> bool {
        self.is_gone.get()
    }

    /// Whether this is the next reply that the client is owed.
    pub(crate) fn is_next(&self, slot: u64) -> bool {
        self.replies.borrow().first == slot
    }

    /// Whether a reply of so many bytes finds room now: the next one always does, those after it only while
    /// clients do not leave too much unread.
    pub(crate) fn takes(&self, slot: u64, bytes: usize) -> bool {
        self.is_next(slot) || self.held_by_all.get() + bytes <= HELD_REPLIES_BYTES_MAX / 2
    }

    /// Holds a reply until the client takes it, or an error in its place if all clients together leave too much.
    fn hold(&self, value: Value) -> Value {
        let weight = value.weight();
        let value = if self.held_by_all.get() + weight > HELD_REPLIES_BYTES_MAX {
            Value::Error(REPLY_DROPPED.into())
        } else {
            value
        };
        let weight = value.weight();
        self.held.set(self.held.get() + weight);
        self.held_by_all.set(self.held_by_all.get() + weight);
        value
    }

    /// Whether as many requests are unanswered as may be.
    pub(crate) fn has_many_unanswered(&self) -> bool {
        self.unanswered() >= self.window.get()
    }

    /// Learns from a reply how many requests may be unanswered: many if replies are small, few if each is large.
    fn adjust_window(&self, reply_bytes: usize) {
        self.window.set(if reply_bytes > WINDOW_BYTES / WINDOW_MAX {
            (WINDOW_BYTES / reply_bytes).max(1)
        } else {
            (self.window.get() + 1).min(WINDOW_MAX)
        });
    }

    fn release(&self, bytes: usize) {
        let bytes = bytes.min(self.held.get());
        self.held.set(self.held.get() - bytes);
        self.held_by_all.set(self.held_by_all.get() - bytes);
    }

    /// Fills a place among the replies.
    pub(crate) fn answer(&self, slot: u64, value: Value) {
        self.adjust_window(value.weight());
        let value = self.hold(value);
        let mut replies = self.replies.borrow_mut();
        let index = usize::try_from(slot - replies.first).expect("slots fit in memory");
        replies.slots[index].reply = Some(value);
        let protocol = self.state.borrow().protocol();
        while let Some(Slot { reply: Some(_), .. }) = replies.slots.front() {
            let ready = replies.slots.pop_front().expect("looked at just now");
            replies.first += 1;
            if let (Some(value), false) = (ready.reply, ready.is_silent) {
                value.encode(protocol, &mut replies.out);
            }
        }
        self.wake.notify_one();
    }

    /// Adds a reply after all others.
    pub(crate) fn reply(&self, value: Value, is_silent: bool) {
        let value = self.hold(value);
        let mut replies = self.replies.borrow_mut();
        if !replies.slots.is_empty() {
            replies.slots.push_back(Slot { reply: Some(value), is_silent });
        } else if !is_silent {
            value.encode(self.state.borrow().protocol(), &mut replies.out);
        }
    }

    /// Whether a request on this key has to wait for an earlier one.
    pub(crate) fn is_busy(&self, key: &Bytes, writes: bool) -> bool {
        match self.busy_keys.borrow().get(key) {
            None => false,
            Some(Use::Reads(_)) => writes,
            Some(Use::Write) => true,
        }
    }

    pub(crate) fn begin(&self, key: &Bytes, writes: bool) {
        let mut keys = self.busy_keys.borrow_mut();
        if writes {
            keys.insert(key.clone(), Use::Write);
        } else if let Use::Reads(count) = keys.entry(key.clone()).or_insert(Use::Reads(0)) {
            *count += 1;
        }
    }

    pub(crate) fn end(&self, key: &Bytes) {
        let mut keys = self.busy_keys.borrow_mut();
        match keys.get_mut(key) {
            Some(Use::Reads(count)) if *count > 1 => *count -= 1,
            _ => drop(keys.remove(key)),
        }
    }

    /// Whether a command that takes several steps is unanswered.
    pub(crate) fn is_walking(&self) -> bool {
        self.is_walking.get()
    }

    /// How many requests have a place among the replies.
    fn unanswered(&self) -> usize {
        self.replies.borrow().slots.len()
    }

    /// Bytes of replies that are ready.
    pub(crate) fn ready_bytes(&self) -> usize {
        self.replies.borrow().out.len()
    }

    /// Moves the replies that are ready to the end of `out`.
    pub(crate) fn take_ready(&self, out: &mut OutBuffer) {
        out.append(&mut self.replies.borrow_mut().out);
    }

    /// Returns when a reply is ready or something about the connection has changed; false if it is to end.
    pub(crate) async fn woken(&self) -> bool {
        self.wake.notified().await;
        !self.is_killed.get()
    }

    /// Notes whether replies are left over after the client has taken some bytes of them.
    pub(crate) fn note_output(&self, taken: usize, is_left: bool) {
        if taken > 0 {
            // The client reads, if slowly: its time begins anew.
            self.unread_since.set(None);
        }
        note(&self.unread_since, is_left);
        // What is held is known roughly, so it is set right whenever nothing is left.
        self.release(if is_left || !self.is_idle() { taken } else { self.held.get() });
    }

    /// Notes whether a request is half sent.
    pub(crate) fn note_partial(&self, is_partial: bool) {
        note(&self.partial_since, is_partial);
    }
}

fn note(since: &Cell<Option<Instant>>, is_so: bool) {
    if is_so != since.get().is_some() {
        since.set(is_so.then(Instant::now));
    }
}
