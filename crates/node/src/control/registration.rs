//! When this process registers a session of its node, and whether it holds one.

use simpledynamo_chain::Millis;
use simpledynamo_topology::{Command, NodeId, NodeState, Session, StoreId};

/// From proposing a registration to proposing it again.
const PROPOSE_AGAIN: Millis = 200;

/// A node whose session is ended again and again is let back after a delay that doubles from this.
const DELAY_MIN: Millis = 250;

/// The longest such delay.
const DELAY_MAX: Millis = 10_000;

/// A session that lasted so long starts the delays over.
const STEADY: Millis = 60_000;

/// When this process registers a session of its node, and whether it holds one. Pure: the driver has the clock, the
/// store's record of lives, and the control group.
#[derive(Debug)]
pub(super) struct Registration {
    me: NodeId,
    store: StoreId,
    /// The registration that this process proposed last: what it replaces, and its nonce.
    proposed: Option<(Session, u64)>,
    propose_at: Millis,
    /// Since when the present session has been seen; none if there is none.
    held_since: Option<Millis>,
    delay: Millis,
    not_before: Millis,
}

/// What is to be done next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// This process holds this session.
    Held(Session),
    /// Wait for the topology to change.
    Wait,
    /// Record a session that replaces this one, durably, and tell [`Registration::begin`] its nonce.
    Begin(Session),
    /// Propose this.
    Propose(Command),
    /// The store is an old copy: somebody has been in a session with it that it does not know.
    OldCopy,
}

impl Registration {
    pub(super) fn new(me: NodeId, store: StoreId) -> Self {
        Self { me, store, proposed: None, propose_at: 0, held_since: None, delay: 0, not_before: 0 }
    }

    /// What is to be done, given what the topology says of the node. `knows` tells whether the store has recorded a
    /// session with its nonce.
    pub(super) fn step(
        &mut self,
        now: Millis,
        node: &NodeState,
        knows: impl FnOnce(Session, u64) -> bool,
    ) -> Step {
        if self.is_ours(node) {
            if node.is_live {
                self.held_since.get_or_insert(now);
                return Step::Held(node.session);
            }
            self.on_ended(now);
        } else if self.held_since.take().is_some() {
            // Another process registered: it has the lock on another copy of this store.
            self.proposed = None;
        }
        if node.session != Session(0) && node.store == self.store && !knows(node.session, node.nonce) {
            return Step::OldCopy;
        }
        let other_store_lives = node.is_live && node.store != self.store;
        if other_store_lives || now < self.not_before {
            return Step::Wait;
        }
        match self.proposed {
            Some((replaces, nonce)) if replaces == node.session => {
                if now < self.propose_at {
                    return Step::Wait;
                }
                self.propose_at = now + PROPOSE_AGAIN;
                Step::Propose(Command::Register { node: self.me, replaces, store: self.store, nonce })
            }
            _ => Step::Begin(node.session),
        }
    }

    /// The store has recorded the session that replaces this one, under this nonce.
    pub(super) fn begin(&mut self, replaces: Session, nonce: u64) {
        self.proposed = Some((replaces, nonce));
        self.propose_at = 0;
    }

    fn is_ours(&self, node: &NodeState) -> bool {
        self.proposed.is_some_and(|(replaces, nonce)| {
            node.session.0 == replaces.0 + 1 && node.nonce == nonce && node.store == self.store
        })
    }

    fn on_ended(&mut self, now: Millis) {
        self.proposed = None;
        let Some(since) = self.held_since.take() else { return };
        let was_steady = now >= since + STEADY;
        self.not_before = if was_steady { now } else { now + self.delay };
        self.delay = if was_steady { DELAY_MIN } else { (2 * self.delay).clamp(DELAY_MIN, DELAY_MAX) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ME: NodeId = NodeId(2);
    const STORE: StoreId = StoreId(7);

    fn state(session: u64, nonce: u64, store: StoreId, is_live: bool) -> NodeState {
        NodeState { session: Session(session), nonce, store, is_live }
    }

    #[test]
    fn a_session_is_recorded_proposed_until_it_shows_and_then_held() {
        let mut registration = Registration::new(ME, STORE);
        let mut step = |now, node: &NodeState| registration.step(now, node, |_, _| true);
        let fresh = NodeState::default();
        assert_eq!(step(0, &fresh), Step::Begin(Session(0)));
        registration.begin(Session(0), 99);
        let mut step = |now, node: &NodeState| registration.step(now, node, |_, _| true);
        let register = Command::Register { node: ME, replaces: Session(0), store: STORE, nonce: 99 };
        assert_eq!(step(1, &fresh), Step::Propose(register.clone()));
        assert_eq!(step(2, &fresh), Step::Wait);
        assert_eq!(step(201, &fresh), Step::Propose(register));
        assert_eq!(step(202, &state(1, 99, STORE, true)), Step::Held(Session(1)));
    }

    #[test]
    fn a_store_that_does_not_know_the_session_on_it_is_an_old_copy() {
        let mut registration = Registration::new(ME, STORE);
        let node = state(4, 44, STORE, false);
        assert_eq!(registration.step(0, &node, |_, _| false), Step::OldCopy);
        assert_eq!(registration.step(0, &node, |_, _| true), Step::Begin(Session(4)));
        let other = state(4, 44, StoreId(8), false);
        assert_eq!(
            registration.step(0, &other, |_, _| false),
            Step::Begin(Session(4)),
            "that was another store"
        );
    }

    #[test]
    fn the_end_of_a_session_on_another_store_is_waited_for() {
        let mut registration = Registration::new(ME, STORE);
        assert_eq!(registration.step(0, &state(4, 44, StoreId(8), true), |_, _| false), Step::Wait);
        assert_eq!(
            registration.step(0, &state(4, 44, StoreId(8), false), |_, _| false),
            Step::Begin(Session(4))
        );
    }

    #[test]
    fn a_node_that_flaps_is_let_back_with_growing_delay() {
        let mut registration = Registration::new(ME, STORE);
        let mut now = 0;
        let mut delays = Vec::new();
        for session in 0..5 {
            registration.begin(Session(session), 10 + session);
            let live = state(session + 1, 10 + session, STORE, true);
            assert_eq!(registration.step(now, &live, |_, _| true), Step::Held(Session(session + 1)));
            let down = NodeState { is_live: false, ..live };
            let ended = now + 10;
            now = ended;
            while registration.step(now, &down, |_, _| true) == Step::Wait {
                now += 1;
            }
            delays.push(now - ended);
        }
        assert_eq!(delays, [0, 250, 500, 1_000, 2_000]);
    }
}
