//! The transition function as named rules, one ring of three nodes and one partition where not said otherwise.

use std::sync::Arc;

use simpledynamo_ring::Ring;
use simpledynamo_topology::{
    Command, Epoch, Form, Generation, Member, NodeId, PartitionId, Session, State, StoreId, Topology, Void,
};

/// Names in ring order, so that the preference list of partition 0 is nodes 0, 1, 2.
const NAMES: [&str; 5] = ["5562", "5556", "5554", "5558", "5560"];
const P: PartitionId = PartitionId(0);
const A: NodeId = NodeId(0);
const B: NodeId = NodeId(1);
const C: NodeId = NodeId(2);

/// A topology and the place of its last command.
struct Log(Topology);

impl Log {
    fn new(nodes: usize) -> Self {
        let ring = Ring::new(&NAMES[..nodes], nodes.min(3)).expect("the names differ");
        Self(Topology::new(Arc::new(ring)))
    }

    /// A controller, all nodes registered on stores of their own, all chains formed and not opened.
    fn formed(nodes: usize) -> Self {
        let mut log = Self::new(nodes);
        log.apply(&Command::ControllerUp { node: A, nonce: 7 }).expect("never void");
        for node in 0..nodes {
            log.register(NodeId::at(node)).expect("its first session");
        }
        log
    }

    /// The same, and the first form of the partition opened.
    fn open(nodes: usize) -> Self {
        let mut log = Self::formed(nodes);
        log.opened().expect("all are live");
        log
    }

    fn apply(&mut self, command: &Command) -> Result<(), Void> {
        self.0.apply(self.0.version() + 1, command)
    }

    /// Registers a node anew, on the store that it had.
    fn register(&mut self, node: NodeId) -> Result<(), Void> {
        self.register_on(node, store(node))
    }

    fn register_on(&mut self, node: NodeId, store: StoreId) -> Result<(), Void> {
        let replaces = self.0.session(node);
        self.apply(&Command::Register { node, replaces, store, nonce: replaces.0 + 100 })
    }

    fn down(&mut self, node: NodeId) -> Result<(), Void> {
        let (member, generation) = (self.member(node), self.0.generation());
        self.apply(&Command::Down { member, generation })
    }

    /// The head of the present form opens it.
    fn opened(&mut self) -> Result<(), Void> {
        let form = self.form();
        self.apply(&Command::Opened { partition: P, epoch: form.epoch, head: form.head() })
    }

    fn synced(&mut self, node: NodeId) -> Result<(), Void> {
        let (epoch, member) = (self.form().epoch, self.member(node));
        self.apply(&Command::Synced { partition: P, epoch, member })
    }

    fn start(&mut self, node: NodeId) -> Result<(), Void> {
        let (epoch, member, generation) = (self.form().epoch, self.member(node), self.0.generation());
        self.apply(&Command::Start { partition: P, epoch, member, generation })
    }

    fn form(&self) -> Form {
        self.0.form(P).expect("the partition was formed").clone()
    }

    fn member(&self, node: NodeId) -> Member {
        Member { node, session: self.0.session(node) }
    }

    /// The form as epoch and nodes.
    fn shape(&self) -> (u64, Vec<u16>) {
        let form = self.form();
        (form.epoch.0, form.members.iter().map(|member| member.node.0).collect())
    }

    fn eligible(&self) -> Vec<u16> {
        self.0.chain(P).eligible.iter().map(|node| node.0).collect()
    }
}

fn store(node: NodeId) -> StoreId {
    StoreId(u128::from(node.0) + 1)
}

#[test]
fn the_first_form_is_the_whole_preference_list_once_all_have_registered() {
    let mut log = Log::new(3);
    log.register(C).expect("its first session");
    log.register(A).expect("its first session");
    assert_eq!(log.0.form(P), None);
    log.register(B).expect("its first session");
    assert_eq!(log.shape(), (1, vec![0, 1, 2]));
    assert_eq!(log.eligible(), [0, 1, 2]);
    assert!(!log.0.chain(P).is_open() && !log.0.is_whole(P));
    log.opened().expect("the head is live");
    assert!(log.0.chain(P).is_open() && log.0.is_whole(P));
}

#[test]
fn a_node_that_dies_before_the_first_form_is_waited_for() {
    let mut log = Log::new(3);
    log.apply(&Command::ControllerUp { node: A, nonce: 7 }).expect("never void");
    log.register(A).expect("its first session");
    log.register(B).expect("its first session");
    log.down(A).expect("it lives");
    log.register(C).expect("its first session");
    assert_eq!(log.0.form(P), None);
    log.register(A).expect("another session");
    assert_eq!(log.shape(), (1, vec![0, 1, 2]));
    assert_eq!(log.form().head().session, Session(2));
}

#[test]
fn a_registration_must_replace_the_present_session() {
    let mut log = Log::formed(3);
    let register =
        |replaces, nonce| Command::Register { node: B, replaces: Session(replaces), store: store(B), nonce };
    assert_eq!(log.apply(&register(0, 8)), Err(Void::OtherSession));
    assert_eq!(log.apply(&register(2, 8)), Err(Void::OtherSession));
    log.apply(&register(1, 9)).expect("the present session");
    assert_eq!((log.0.session(B), log.0.node(B).nonce), (Session(2), 9));
    // The same again, doubled on its way: somebody else's registration was first, and it was this one's own.
    assert_eq!(log.apply(&register(1, 9)), Err(Void::OtherSession));
    assert_eq!(log.0.session(B), Session(2));
}

#[test]
fn a_registration_from_the_same_store_ends_the_session_before() {
    let mut log = Log::open(3);
    log.register(B).expect("the same store");
    assert_eq!(log.shape(), (2, vec![0, 2]));
    assert_eq!(log.member(B).session, Session(2));
    assert!(!log.0.is_live(Member { node: B, session: Session(1) }));
    assert!(log.0.is_live(log.member(B)));
}

/// S34: nothing proves that the process on the other disk is dead.
#[test]
fn a_registration_from_another_store_waits_for_the_end_of_the_session_before() {
    let mut log = Log::open(3);
    let other = StoreId(99);
    assert_eq!(log.register_on(B, other), Err(Void::OtherStore));
    assert_eq!(log.shape(), (1, vec![0, 1, 2]));
    log.down(B).expect("it lives");
    assert_eq!(log.eligible(), [0, 1, 2]);
    log.register_on(B, other).expect("the session has ended");
    assert_eq!(log.eligible(), [0, 2], "another store has nothing of what was committed");
    assert_eq!(log.shape(), (2, vec![0, 2]), "it is a joiner");
}

/// S34: of two registrations under way only the first counts, whichever that is.
#[test]
fn registrations_out_of_order_begin_one_session_each_at_most() {
    let register =
        |replaces, nonce| Command::Register { node: B, replaces: Session(replaces), store: store(B), nonce };
    let (old, new) = (register(1, 50), register(1, 60));
    for (first, second, nonce) in [(&old, &new, 50), (&new, &old, 60)] {
        let mut log = Log::open(3);
        log.apply(first).expect("it replaces the present session");
        assert_eq!(log.apply(second), Err(Void::OtherSession));
        assert_eq!((log.0.session(B), log.0.node(B).nonce), (Session(2), nonce));
    }
}

#[test]
fn what_the_ring_does_not_have_is_void() {
    let mut log = Log::open(3);
    let (node, partition) = (NodeId(3), PartitionId(3));
    let (stranger, generation) = (Member { node, session: Session(1) }, log.0.generation());
    let (epoch, head) = (Epoch(1), log.member(A));
    let register = Command::Register { node, replaces: Session(0), store: StoreId(9), nonce: 1 };
    assert_eq!(log.apply(&register), Err(Void::NoSuch));
    assert_eq!(log.apply(&Command::Down { member: stranger, generation }), Err(Void::NoSuch));
    assert_eq!(log.apply(&Command::Opened { partition, epoch, head }), Err(Void::NoSuch));
    assert_eq!(log.apply(&Command::Start { partition, epoch, member: head, generation }), Err(Void::NoSuch));
    assert_eq!(log.apply(&Command::Synced { partition, epoch, member: head }), Err(Void::NoSuch));
    // A member that the ring does not have, of a partition that it has.
    assert_eq!(log.apply(&Command::Synced { partition: P, epoch, member: stranger }), Err(Void::NoSuch));
    for node in [A, B, C] {
        log.down(node).expect("it lives");
    }
    let epoch = log.form().epoch;
    assert_eq!(
        log.apply(&Command::Start { partition: P, epoch, member: stranger, generation }),
        Err(Void::NoSuch)
    );
}

#[test]
fn a_session_ends_once() {
    let mut log = Log::open(3);
    log.down(B).expect("it lives");
    assert_eq!(log.down(B), Err(Void::Ended));
    assert_eq!(log.shape(), (2, vec![0, 2]));
    let generation = log.0.generation();
    log.register(B).expect("the same store");
    let before = Member { node: B, session: Session(1) };
    assert_eq!(log.apply(&Command::Down { member: before, generation }), Err(Void::Ended));
    assert!(log.0.is_live(log.member(B)), "the end of an older session is no end of this one");
}

/// S7: what a controller said that has been replaced does nothing, whatever it is.
#[test]
fn commands_of_an_older_generation_do_nothing() {
    let mut log = Log::open(3);
    let old = log.0.generation();
    log.apply(&Command::ControllerUp { node: B, nonce: 8 }).expect("never void");
    assert_eq!(log.0.generation(), Generation(log.0.version()), "the place in the log");
    assert_eq!(log.0.state().controller, Some((B, 8)));
    let member = log.member(C);
    assert_eq!(log.apply(&Command::Down { member, generation: old }), Err(Void::OtherGeneration));
    assert_eq!(log.shape(), (1, vec![0, 1, 2]));
    for node in [A, B, C] {
        log.down(node).expect("it lives");
    }
    log.register(C).expect("the same store");
    let (epoch, member) = (log.form().epoch, log.member(C));
    assert_eq!(
        log.apply(&Command::Start { partition: P, epoch, member, generation: old }),
        Err(Void::OtherGeneration)
    );
    log.start(C).expect("it is eligible, and the present controller says so");
}

#[test]
fn an_epoch_is_opened_once_and_by_its_living_head_only() {
    let mut log = Log::formed(3);
    let (epoch, head) = (Epoch(1), log.member(A));
    let opened = |epoch, head| Command::Opened { partition: P, epoch, head };
    assert_eq!(log.apply(&opened(Epoch(0), head)), Err(Void::OtherEpoch));
    assert_eq!(log.apply(&opened(Epoch(2), head)), Err(Void::OtherEpoch));
    let other = log.member(B);
    assert_eq!(log.apply(&opened(epoch, other)), Err(Void::Ended));
    log.apply(&opened(epoch, head)).expect("its head");
    assert_eq!(log.apply(&opened(epoch, head)), Err(Void::Already));
    // The last member stays listed when it dies, but opens nothing any more.
    log.down(C).expect("it lives");
    log.down(B).expect("it lives");
    log.down(A).expect("it lives");
    assert_eq!(log.shape(), (3, vec![0]));
    assert_eq!(log.apply(&opened(Epoch(3), head)), Err(Void::Ended));
}

#[test]
fn a_partition_without_a_form_is_neither_opened_nor_started_nor_joined() {
    let mut log = Log::new(3);
    log.apply(&Command::ControllerUp { node: A, nonce: 7 }).expect("never void");
    log.register(A).expect("its first session");
    let (member, generation) = (log.member(A), log.0.generation());
    for epoch in [Epoch(0), Epoch(1)] {
        assert_eq!(log.apply(&Command::Opened { partition: P, epoch, head: member }), Err(Void::OtherEpoch));
        assert_eq!(
            log.apply(&Command::Start { partition: P, epoch, member, generation }),
            Err(Void::OtherEpoch)
        );
        assert_eq!(log.apply(&Command::Synced { partition: P, epoch, member }), Err(Void::OtherEpoch));
    }
}

#[test]
fn serving_members_keep_their_order_and_a_joiner_becomes_the_tail() {
    let mut log = Log::open(3);
    log.down(A).expect("it lives");
    assert_eq!(log.shape(), (2, vec![1, 2]));
    log.register(A).expect("the same store");
    assert_eq!(log.synced(A), Err(Void::OtherEpoch), "the epoch has not been opened, so nobody attached it");
    log.opened().expect("the head is live");
    log.synced(A).expect("the epoch is open");
    assert_eq!(log.shape(), (3, vec![1, 2, 0]));
    assert_eq!(log.form().tail().session, Session(2));
}

#[test]
fn a_whole_chain_is_put_in_ring_order_when_it_opens() {
    let mut log = Log::open(3);
    log.down(A).expect("it lives");
    log.opened().expect("the head is live");
    log.register(A).expect("the same store");
    log.synced(A).expect("the epoch is open");
    log.opened().expect("the head is live");
    assert_eq!(log.shape(), (4, vec![0, 1, 2]), "in the same step");
    assert_eq!(log.0.chain(P).opened, Epoch(3));
    assert!(!log.0.is_whole(P), "that form is not open yet");
    log.opened().expect("the head is live");
    assert_eq!(log.shape(), (4, vec![0, 1, 2]), "in order already");
    assert!(log.0.is_whole(P));
}

#[test]
fn a_chain_that_is_not_whole_is_not_reordered() {
    let mut log = Log::open(3);
    log.down(A).expect("it lives");
    log.down(B).expect("it lives");
    log.opened().expect("the head is live");
    log.register(A).expect("the same store");
    log.synced(A).expect("the epoch is open");
    log.opened().expect("the head is live");
    assert_eq!(log.shape(), (4, vec![2, 0]));
}

#[test]
fn only_who_keeps_a_partition_and_is_no_member_can_join_it() {
    let mut log = Log::open(5);
    assert_eq!(log.synced(B), Err(Void::Already));
    assert_eq!(log.synced(NodeId(3)), Err(Void::NoSuch));
    assert_eq!(log.shape(), (1, vec![0, 1, 2]));
}

/// S33: the joiner restarts, and what its tail had proposed before is decided late.
#[test]
fn synced_of_a_session_that_has_ended_is_void() {
    let mut log = Log::open(3);
    log.register(C).expect("the same store");
    log.opened().expect("the head is live");
    let (epoch, member) = (log.form().epoch, log.member(C));
    log.register(C).expect("the same store");
    assert_eq!(log.apply(&Command::Synced { partition: P, epoch, member }), Err(Void::Ended));
    assert_eq!(log.shape(), (2, vec![0, 1]));
}

/// S33: the chain has changed since, so another tail would have had to say so.
#[test]
fn synced_of_an_epoch_that_is_over_is_void() {
    let mut log = Log::open(3);
    log.register(C).expect("the same store");
    log.opened().expect("the head is live");
    let (epoch, member) = (log.form().epoch, log.member(C));
    log.down(B).expect("it lives");
    log.opened().expect("the head is live");
    assert_eq!(log.apply(&Command::Synced { partition: P, epoch, member }), Err(Void::OtherEpoch));
    assert_eq!(log.shape(), (3, vec![0]));
}

#[test]
fn a_joiner_that_was_proposed_replaces_a_last_member_that_died_since() {
    let mut log = Log::open(3);
    log.register(C).expect("the same store");
    log.down(B).expect("it lives");
    log.opened().expect("the head is live");
    let (epoch, member) = (log.form().epoch, log.member(C));
    log.down(A).expect("it lives");
    assert!(log.0.is_headless(P));
    log.apply(&Command::Synced { partition: P, epoch, member }).expect("it holds all that was committed");
    assert_eq!(log.shape(), (4, vec![2]));
    assert!(!log.0.is_headless(P));
}

#[test]
fn the_last_member_stays_listed_and_blocks_no_start() {
    let mut log = Log::open(3);
    log.down(A).expect("it lives");
    log.down(B).expect("it lives");
    assert_eq!(log.start(C), Err(Void::Alive));
    log.down(C).expect("it lives");
    assert_eq!(log.shape(), (3, vec![2]));
    assert!(log.0.is_headless(P));
    assert_eq!(log.start(C), Err(Void::Ended), "only a session that lives can start it");
    log.register(C).expect("the same store");
    assert!(log.0.is_headless(P), "the form lists the session before");
    log.start(C).expect("it is eligible");
    assert_eq!(log.shape(), (4, vec![2]));
    assert_eq!(log.form().head().session, Session(2));
}

#[test]
fn a_start_of_another_form_is_void() {
    let mut log = Log::open(3);
    for node in [A, B, C] {
        log.down(node).expect("it lives");
    }
    log.register(A).expect("the same store");
    let (member, generation) = (log.member(A), log.0.generation());
    let start = |epoch| Command::Start { partition: P, epoch, member, generation };
    assert_eq!(log.apply(&start(Epoch(2))), Err(Void::OtherEpoch));
    log.apply(&start(Epoch(3))).expect("the present form");
    assert_eq!(log.apply(&start(Epoch(3))), Err(Void::OtherEpoch), "doubled on its way");
}

/// S22: what B and C committed, and then C alone, A and B may lack.
#[test]
fn who_was_removed_before_the_last_opening_never_starts_the_partition() {
    let mut log = Log::open(3);
    log.down(A).expect("it lives");
    log.opened().expect("B is live");
    log.down(B).expect("it lives");
    log.opened().expect("C is live");
    assert_eq!(log.eligible(), [2]);
    log.down(C).expect("it lives");
    log.register(A).expect("the same store");
    log.register(B).expect("the same store");
    assert_eq!(log.start(A), Err(Void::NotEligible));
    assert_eq!(log.start(B), Err(Void::NotEligible));
    log.register(C).expect("the same store");
    log.start(C).expect("it has all that was committed");
    assert_eq!(log.shape(), (4, vec![2]));
}

#[test]
fn members_of_forms_that_were_never_opened_stay_eligible() {
    let mut log = Log::open(3);
    for node in [A, B, C] {
        log.down(node).expect("it lives");
    }
    assert_eq!(log.eligible(), [0, 1, 2], "nothing was committed since all three served");
    log.register(A).expect("the same store");
    log.start(A).expect("it was a member of the last opened form");
    assert_eq!(log.eligible(), [0, 1, 2]);
    log.opened().expect("A is live");
    assert_eq!(log.eligible(), [0], "from now on A may commit alone");
}

#[test]
fn a_joiner_is_eligible_as_soon_as_it_is_a_member() {
    let mut log = Log::open(3);
    log.register(C).expect("the same store");
    log.opened().expect("the head is live");
    assert_eq!(log.eligible(), [0, 1]);
    log.synced(C).expect("the epoch is open");
    assert_eq!(log.eligible(), [0, 1, 2]);
}

#[test]
fn a_partition_whose_only_holder_lost_its_store_is_never_started() {
    let mut log = Log::open(3);
    for node in [A, B] {
        log.down(node).expect("it lives");
        log.opened().expect("the head is live");
    }
    log.down(C).expect("it lives");
    log.register_on(C, StoreId(99)).expect("the session has ended");
    log.register(A).expect("the same store");
    assert_eq!(log.eligible(), [0; 0]);
    assert_eq!(log.start(C), Err(Void::NotEligible));
    assert_eq!(log.start(A), Err(Void::NotEligible));
}

#[test]
fn a_session_leaves_every_chain_that_it_serves() {
    let mut log = Log::formed(5);
    log.down(C).expect("it lives");
    for partition in log.0.partitions() {
        let form = log.0.form(partition).expect("all registered");
        assert_eq!(form.position(C), None, "partition {partition}");
        assert_eq!(form.epoch.0, if log.0.keeps(C, partition) { 2 } else { 1 }, "partition {partition}");
    }
}

#[test]
#[should_panic(expected = "the control log is applied in its order")]
fn the_log_is_applied_in_its_order() {
    let mut log = Log::formed(3);
    let version = log.0.version();
    log.0.apply(version, &Command::ControllerUp { node: A, nonce: 1 }).ok();
}

#[test]
fn void_commands_move_the_version_and_nothing_else() {
    let mut log = Log::open(3);
    let before = log.0.state().clone();
    assert_eq!(log.synced(B), Err(Void::Already));
    assert_eq!(*log.0.state(), State { version: before.version + 1, ..before });
}

#[test]
fn a_topology_survives_a_snapshot() {
    let mut log = Log::open(5);
    log.down(A).expect("it lives");
    log.opened().expect("B is live");
    log.register(A).expect("the same store");
    let text = serde_json::to_string(log.0.state()).expect("it is plain data");
    let state: State = serde_json::from_str(&text).expect("as it was written");
    assert_eq!(state, *log.0.state());
    let ring = Arc::new(log.0.ring().clone());
    let mut restored = Log(Topology::restore(Arc::clone(&ring), state.clone()).expect("of the same ring"));
    restored.synced(A).expect("the epoch is open");
    log.synced(A).expect("the epoch is open");
    assert_eq!(restored.0.state(), log.0.state(), "it goes on as the other does");
    let smaller = Arc::new(Ring::new(&NAMES[..3], 3).expect("the names differ"));
    assert!(Topology::restore(smaller, state).is_none());
}

#[test]
fn every_command_survives_the_log() {
    let member = Member { node: B, session: Session(4) };
    for command in [
        Command::Register { node: B, replaces: Session(3), store: StoreId(u128::MAX - 5), nonce: u64::MAX },
        Command::ControllerUp { node: A, nonce: 2 },
        Command::Down { member, generation: Generation(9) },
        Command::Opened { partition: P, epoch: Epoch(2), head: member },
        Command::Start { partition: P, epoch: Epoch(2), member, generation: Generation(9) },
        Command::Synced { partition: P, epoch: Epoch(2), member },
    ] {
        let text = serde_json::to_string(&command).expect("it is plain data");
        assert_eq!(serde_json::from_str::<Command>(&text).expect("as it was written"), command);
    }
}
