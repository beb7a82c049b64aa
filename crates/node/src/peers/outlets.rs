//! What waits to be sent to other nodes.

use std::cell::RefCell;
use std::rc::Rc;

use simpledynamo_chain::{Envelope, Message, Refusal};
use simpledynamo_wire::OutBuffer;
use simpledynamo_wire::peer::{PeerFrame, encode};
use tokio::sync::Notify;

/// Bytes that may wait for a node before answers to its reads are refused: a few of the longest values.
const READS_WAITING_BYTES_MAX: usize = 32 << 20;

/// What waits to be sent, by receiver.
pub(crate) struct Outlets(Vec<Rc<Outlet>>);

/// What waits for one node.
#[derive(Default)]
pub(super) struct Outlet {
    state: RefCell<OutletState>,
    ready: Notify,
}

#[derive(Default)]
struct OutletState {
    is_up: bool,
    waiting: OutBuffer,
}

impl Outlets {
    pub(crate) fn new(nodes: usize) -> Self {
        Self((0..nodes).map(|_| Rc::default()).collect())
    }

    /// Sends a message, or drops it if there is no link: the core sends it again once there is.
    ///
    /// Where much waits already, an answer to a read is replaced by a refusal: the node that asked tries again,
    /// and what others wait for is not held up behind many large values.
    pub(crate) fn send(&self, mut envelope: Envelope) {
        let Some(outlet) = self.0.get(envelope.to.node.index()) else { return };
        if let Message::ReadDone { id, .. } = envelope.message
            && outlet.waiting_bytes() > READS_WAITING_BYTES_MAX
        {
            envelope.message = Message::ReadRefused { id, refusal: Refusal::Overloaded };
        }
        outlet.put(&PeerFrame::Message(envelope));
    }

    /// Each node's outlet, by its place in the ring.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Rc<Outlet>> {
        self.0.iter()
    }

    /// Lets the links write what has gathered.
    pub(crate) fn wake(&self) {
        for outlet in &self.0 {
            if outlet.waiting_bytes() > 0 {
                outlet.ready.notify_one();
            }
        }
    }

    /// Bytes that wait, for all nodes together.
    pub(crate) fn waiting_bytes(&self) -> usize {
        self.0.iter().map(|outlet| outlet.waiting_bytes()).sum()
    }
}

impl Outlet {
    fn put(&self, frame: &PeerFrame) {
        let mut state = self.state.borrow_mut();
        if state.is_up {
            encode(frame, &mut state.waiting);
        }
    }

    /// The link is made anew or lost: what waited for it counts no more.
    pub(super) fn set_up(&self, is_up: bool) {
        let mut state = self.state.borrow_mut();
        state.is_up = is_up;
        state.waiting.clear();
    }

    /// Moves what waits to the end of `sending`.
    pub(super) fn take(&self, sending: &mut OutBuffer) {
        sending.append(&mut self.state.borrow_mut().waiting);
    }

    /// Bytes that wait.
    pub(super) fn waiting_bytes(&self) -> usize {
        self.state.borrow().waiting.len()
    }

    /// Returns when something waits.
    pub(super) async fn ready(&self) {
        self.ready.notified().await;
    }
}
