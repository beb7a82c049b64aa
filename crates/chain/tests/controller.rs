//! The controller's rules, one by one: when it grants, when it declares a session ended, whom it has start.

use std::sync::Arc;

use simpledynamo_chain::control::{
    Controller, Decisions, Grant, Leadership, LeaseTerms, Offer, Renewal, Suspect,
};
use simpledynamo_ring::Ring;
use simpledynamo_topology::{
    Command, Epoch, Generation, Member, NodeId, PartitionId, Session, StoreId, Topology,
};

const TERMS: LeaseTerms = LeaseTerms { term: 750, drift_ppm: 2_000, margin: 10, renew_every: 75 };

/// From a grant to the time at which it has run out for certain.
const OVER: u64 = 762;

const P: PartitionId = PartitionId(0);
const A: NodeId = NodeId(0);
const B: NodeId = NodeId(1);
const C: NodeId = NodeId(2);
const NONCE: u64 = 77;

/// A controller at voter 0, and the log that it leads.
struct Stage {
    controller: Controller,
    topology: Topology,
    now: u64,
    numbers: u64,
}

impl Stage {
    /// Three nodes with a session each, whose chains are open; nobody leads.
    fn new() -> Self {
        let ring = Ring::new(&["5562", "5556", "5554"], 3).expect("the names differ");
        let mut stage = Self {
            controller: Controller::new(A, TERMS),
            topology: Topology::new(Arc::new(ring)),
            now: 10_000,
            numbers: 0,
        };
        for node in [A, B, C] {
            stage.register(node);
        }
        for partition in stage.topology.partitions() {
            stage.open(partition);
        }
        stage
    }

    /// The same with an active controller.
    fn active() -> Self {
        let mut stage = Self::new();
        let mut decisions = Decisions::default();
        stage.controller.on_leadership(stage.now, Leadership::Leader(NONCE), &mut decisions);
        assert_eq!(decisions.propose, [Command::ControllerUp { node: A, nonce: NONCE }]);
        stage.commit(&decisions.propose[0]);
        assert!(stage.controller.generation().is_some());
        stage
    }

    fn commit(&mut self, command: &Command) {
        self.topology.apply(self.topology.version() + 1, command).expect("it is not void");
        self.controller.on_topology(self.now, &self.topology);
    }

    fn register(&mut self, node: NodeId) {
        let (replaces, store) = (self.topology.session(node), StoreId(u128::from(node.0) + 1));
        self.commit(&Command::Register { node, replaces, store, nonce: 5 });
    }

    fn open(&mut self, partition: PartitionId) {
        let form = self.topology.form(partition).expect("it was formed").clone();
        self.commit(&Command::Opened { partition, epoch: form.epoch, head: form.head() });
    }

    fn member(&self, node: NodeId) -> Member {
        Member { node, session: self.topology.session(node) }
    }

    fn down(&self, node: NodeId) -> Command {
        Command::Down { member: self.member(node), generation: self.topology.generation() }
    }

    /// A renewal of this node comes; its number.
    fn renew(&mut self, node: NodeId) -> u64 {
        self.renew_with(node, Vec::new(), Vec::new())
    }

    fn renew_with(&mut self, node: NodeId, offers: Vec<Offer>, suspects: Vec<Suspect>) -> u64 {
        self.numbers += 1;
        let renewal = Renewal { member: self.member(node), number: self.numbers, offers, suspects };
        self.controller.on_renewal(self.now, renewal);
        self.numbers
    }

    fn tick(&mut self) -> Decisions {
        let mut decisions = Decisions::default();
        self.controller.tick(self.now, &self.topology, &mut decisions);
        decisions
    }

    /// The end of a round.
    fn round(&mut self, number: u64, confirmed: Option<u64>) -> Decisions {
        let mut decisions = Decisions::default();
        self.controller.on_round(self.now, number, confirmed, &self.topology, &mut decisions);
        decisions
    }

    /// Time passes in ticks with a confirmed round each, while these nodes renew; what was proposed meanwhile, and who
    /// was granted a lease.
    fn pass(&mut self, millis: u64, renewing: &[NodeId]) -> (Vec<Command>, Vec<NodeId>) {
        let (mut proposed, mut granted) = (Vec::new(), Vec::new());
        for _ in 0..millis / 50 {
            self.now += 50;
            for &node in renewing {
                self.renew(node);
            }
            let mut decisions = self.tick();
            proposed.append(&mut decisions.propose);
            if let Some(round) = decisions.round {
                let ended = self.round(round, Some(NONCE));
                granted.extend(ended.grants.iter().map(|grant| grant.member.node));
            }
        }
        (proposed, granted)
    }

    fn suspect(&self, node: NodeId) -> Vec<Suspect> {
        let epoch = self.topology.form(P).expect("it was formed").epoch;
        vec![Suspect { partition: P, epoch, node }]
    }
}

#[test]
fn a_voter_that_does_not_lead_does_nothing() {
    let mut stage = Stage::new();
    stage.renew(B);
    stage.now += 10_000;
    assert_eq!(stage.tick(), Decisions::default());
    let mut decisions = Decisions::default();
    stage.controller.on_surrender(stage.now, stage.member(B), &mut decisions);
    assert_eq!(decisions, Decisions::default());
}

#[test]
fn controller_up_is_proposed_again_until_it_is_applied() {
    let mut stage = Stage::new();
    let up = Command::ControllerUp { node: A, nonce: NONCE };
    let mut decisions = Decisions::default();
    stage.controller.on_leadership(stage.now, Leadership::Leader(NONCE), &mut decisions);
    stage.controller.on_leadership(stage.now, Leadership::Leader(NONCE), &mut decisions);
    assert_eq!(decisions.propose, std::slice::from_ref(&up), "once at once");
    let mut again = 0;
    for _ in 0..20 {
        stage.now += 50;
        stage.renew(B);
        let decisions = stage.tick();
        assert_eq!((decisions.round, &decisions.grants[..]), (None, &[][..]), "nothing before it is applied");
        again += decisions.propose.iter().filter(|command| **command == up).count();
        assert_eq!(stage.controller.generation(), None);
    }
    assert_eq!(again, 5, "every 200 ms");
    stage.commit(&up);
    assert_eq!(stage.controller.generation(), Some(stage.topology.generation()));
    assert!(stage.tick().round.is_some());
}

#[test]
fn the_activation_of_another_is_not_ones_own() {
    let mut stage = Stage::new();
    let mut decisions = Decisions::default();
    stage.controller.on_leadership(stage.now, Leadership::Leader(NONCE), &mut decisions);
    stage.commit(&Command::ControllerUp { node: B, nonce: NONCE });
    assert_eq!(stage.controller.generation(), None);
    stage.commit(&Command::ControllerUp { node: A, nonce: NONCE - 1 });
    assert_eq!(stage.controller.generation(), None, "that of an earlier life");
    stage.commit(&Command::ControllerUp { node: A, nonce: NONCE });
    assert!(stage.controller.generation().is_some());
}

/// I9: a quorum that was asked before the renewal came proves nothing about the time after it.
#[test]
fn a_lease_is_granted_after_a_round_that_began_after_the_renewal() {
    let mut stage = Stage::active();
    let early = stage.tick().round.expect("a round begins at once");
    let number = stage.renew(B);
    assert_eq!(stage.tick().round, None, "one round at a time");
    assert_eq!(stage.round(early, Some(NONCE)).grants, [], "it began before");
    let round = stage.tick().round.expect("the next");
    let grants = stage.round(round, Some(NONCE)).grants;
    let (member, version) = (stage.member(B), stage.topology.version());
    assert_eq!(grants, [Grant { member, number, version }]);
    let round = stage.tick().round.expect("the next");
    assert_eq!(stage.round(round, Some(NONCE)).grants, [], "a renewal is granted once");
}

#[test]
fn a_renewal_that_comes_during_a_round_waits_for_the_next() {
    let mut stage = Stage::active();
    let first = stage.renew(B);
    let round = stage.tick().round.expect("it covers the first");
    let second = stage.renew(B);
    let numbers = |grants: Vec<Grant>| grants.into_iter().map(|grant| grant.number).collect::<Vec<_>>();
    assert_eq!(numbers(stage.round(round, Some(NONCE)).grants), [first]);
    let round = stage.tick().round.expect("it covers the second");
    assert_eq!(numbers(stage.round(round, Some(NONCE)).grants), [second]);
}

#[test]
fn a_round_that_is_not_confirmed_grants_nothing() {
    for (shift, confirmed) in [(0, None), (0, Some(NONCE + 1)), (1, Some(NONCE))] {
        let mut stage = Stage::active();
        stage.renew(B);
        let round = stage.tick().round.expect("a round");
        assert_eq!(stage.round(round + shift, confirmed).grants, [], "{shift} {confirmed:?}");
        let next = if shift == 0 { stage.tick().round.expect("the next round") } else { round };
        assert_eq!(stage.round(next, Some(NONCE)).grants.len(), 1, "what was asked is still asked");
    }
}

#[test]
fn a_grant_names_the_topology_that_was_applied() {
    let mut stage = Stage::active();
    stage.renew(B);
    let round = stage.tick().round.expect("a round");
    stage.register(C);
    let grants = stage.round(round, Some(NONCE)).grants;
    assert_eq!(grants[0].version, stage.topology.version());
}

#[test]
fn a_renewal_of_another_session_counts_for_nothing() {
    let mut stage = Stage::active();
    let member = Member { session: Session(9), ..stage.member(B) };
    let renewal = Renewal { member, number: 1, offers: Vec::new(), suspects: Vec::new() };
    stage.controller.on_renewal(stage.now, renewal);
    let round = stage.tick().round.expect("a round");
    assert_eq!(stage.round(round, Some(NONCE)).grants, []);
}

/// I8: not before the last lease that it granted has run out on the slowest clock.
#[test]
fn a_silent_node_is_declared_down_once_its_last_lease_is_over() {
    let mut stage = Stage::active();
    stage.pass(2_000, &[A, B, C]);
    // The last renewal of B is granted late: it counts from the grant.
    stage.renew(B);
    let round = stage.tick().round.expect("a round");
    stage.now += 200;
    assert_eq!(stage.round(round, Some(NONCE)).grants.len(), 1);
    let granted = stage.now;
    let mut downs = Vec::new();
    while downs.is_empty() && stage.now < granted + 3_000 {
        stage.now += 1;
        stage.renew(A);
        stage.renew(C);
        let decisions = stage.tick();
        downs.extend(decisions.propose);
        if let Some(round) = decisions.round {
            stage.round(round, Some(NONCE));
        }
    }
    assert_eq!(downs, [stage.down(B)]);
    assert_eq!(stage.now, granted + OVER);
}

/// Whatever the controller before granted has run out by then.
#[test]
fn a_new_controller_waits_a_term_before_it_declares_anybody_down() {
    let mut stage = Stage::active();
    let since = stage.now;
    let (proposed, _) = stage.pass(OVER - OVER % 50, &[A, C]);
    assert_eq!(proposed, []);
    let (proposed, _) = stage.pass(50, &[A, C]);
    assert_eq!(proposed, [stage.down(B)]);
    assert!(stage.now >= since + OVER);
}

#[test]
fn a_session_that_begins_later_is_given_a_term_too() {
    let mut stage = Stage::active();
    stage.pass(2_000, &[A, B, C]);
    stage.register(C);
    let (proposed, _) = stage.pass(OVER - OVER % 50, &[A, B]);
    assert_eq!(proposed, [], "the process before may have renewed just now");
    let (proposed, _) = stage.pass(50, &[A, B]);
    assert_eq!(proposed, [stage.down(C)]);
}

/// I10: silence is not taken back by a renewal that comes after the decision.
#[test]
fn who_was_revoked_gets_no_grant_any_more() {
    let mut stage = Stage::active();
    stage.pass(2_000, &[A, B, C]);
    // A grant that is under way when the node is revoked keeps it from being declared down for a while.
    stage.pass(OVER - OVER % 50, &[A, C]);
    stage.pass(50, &[A, C]);
    let (proposed, granted) = stage.pass(600, &[A, B, C]);
    assert!(proposed.contains(&stage.down(B)), "again and again, while the topology does not show it");
    assert!(!granted.contains(&B) && granted.contains(&A) && granted.contains(&C));
    stage.commit(&stage.down(B));
    let (proposed, _) = stage.pass(1_000, &[A, C]);
    assert_eq!(proposed, [], "it is done");
    stage.register(B);
    let (_, granted) = stage.pass(100, &[A, B, C]);
    assert!(granted.contains(&B), "another session is another matter");
}

/// I10: the round that was under way covers the renewal, but the node was revoked since.
#[test]
fn a_round_under_way_grants_nothing_to_who_was_revoked_meanwhile() {
    let mut stage = Stage::active();
    stage.renew(B);
    let round = stage.tick().round.expect("it covers B");
    let mut decisions = Decisions::default();
    stage.controller.on_surrender(stage.now, stage.member(B), &mut decisions);
    assert_eq!(stage.round(round, Some(NONCE)).grants, []);
}

/// S39: a controller that stood still itself has not listened.
#[test]
fn silence_counts_anew_after_a_late_tick() {
    let mut stage = Stage::active();
    stage.pass(2_000, &[A, B, C]);
    stage.now += 5_000;
    let (proposed, granted) = stage.pass(700, &[]);
    assert_eq!((proposed, granted), (vec![], vec![]), "nobody could renew, and nobody is blamed");
    let (proposed, granted) = stage.pass(2_000, &[A, B, C]);
    assert_eq!(proposed, []);
    assert!(granted.contains(&A) && granted.contains(&B) && granted.contains(&C));
}

/// S39: without a majority it could not have granted anything, so nobody had a reason to answer.
#[test]
fn silence_counts_anew_while_rounds_fail_or_do_not_end() {
    for is_answered in [true, false] {
        let mut stage = Stage::active();
        stage.pass(2_000, &[A, B, C]);
        let mut open = None;
        for _ in 0..100 {
            stage.now += 50;
            let decisions = stage.tick();
            assert_eq!(decisions.propose, [], "at {}", stage.now);
            open = decisions.round.or(open);
            if let Some(round) = open.take_if(|_| is_answered) {
                stage.round(round, None);
            }
        }
        // The majority is back.
        if let Some(round) = open {
            stage.round(round, Some(NONCE));
        }
        let (proposed, _) = stage.pass(700, &[]);
        assert_eq!(proposed, []);
        let (proposed, _) = stage.pass(500, &[A, B]);
        assert!(!proposed.contains(&stage.down(A)) || !is_answered, "who renews again in time lives");
        assert!(proposed.contains(&stage.down(C)), "who stays silent does not");
    }
}

#[test]
fn who_surrenders_is_down_at_once_and_only_by_its_own_word() {
    let mut stage = Stage::active();
    stage.pass(100, &[A, B, C]);
    let mut decisions = Decisions::default();
    let stranger = Member { session: Session(9), ..stage.member(B) };
    stage.controller.on_surrender(stage.now, stranger, &mut decisions);
    assert_eq!(decisions, Decisions::default());
    stage.controller.on_surrender(stage.now, stage.member(B), &mut decisions);
    assert_eq!(decisions.propose, [stage.down(B)]);
    let (proposed, granted) = stage.pass(250, &[A, B, C]);
    assert_eq!(proposed, [stage.down(B)], "again, should the first be lost");
    assert!(!granted.contains(&B));
}

/// S7: whoever was replaced says nothing more, whether or not the group told it.
#[test]
fn a_controller_stops_when_another_is_activated() {
    let mut stage = Stage::active();
    stage.renew(B);
    let round = stage.tick().round.expect("a round");
    stage.commit(&Command::ControllerUp { node: B, nonce: 5 });
    assert_eq!(stage.controller.generation(), None);
    assert_eq!(stage.round(round, Some(NONCE)).grants, []);
    stage.now += 10_000;
    assert_eq!(stage.tick(), Decisions::default());
}

#[test]
fn a_controller_stops_when_it_does_not_lead_any_more_and_rises_again_under_a_new_number() {
    let mut stage = Stage::active();
    stage.renew(B);
    let round = stage.tick().round.expect("a round");
    let mut decisions = Decisions::default();
    stage.controller.on_leadership(stage.now, Leadership::Follower, &mut decisions);
    assert_eq!(stage.round(round, Some(NONCE)).grants, []);
    assert_eq!((decisions, stage.tick()), (Decisions::default(), Decisions::default()));
    let mut decisions = Decisions::default();
    stage.controller.on_leadership(stage.now, Leadership::Leader(NONCE + 1), &mut decisions);
    assert_eq!(decisions.propose, [Command::ControllerUp { node: A, nonce: NONCE + 1 }]);
    let before = stage.topology.generation();
    stage.commit(&decisions.propose[0]);
    assert!(stage.controller.generation().is_some_and(|generation| generation > before));
    // The round of its former time ends late.
    assert_eq!(stage.round(round, Some(NONCE)).grants, []);
}

/// S6: it leads again in the same term, but the table of what it granted is gone.
#[test]
fn a_controller_that_restarted_waits_a_term_like_any_new_one() {
    let mut stage = Stage::active();
    stage.pass(2_000, &[A, B, C]);
    stage.controller = Controller::new(A, TERMS);
    let mut decisions = Decisions::default();
    stage.controller.on_leadership(stage.now, Leadership::Leader(NONCE + 5), &mut decisions);
    stage.controller.on_topology(stage.now, &stage.topology);
    assert_eq!(stage.controller.generation(), None, "the activation that is in force is of another life");
    stage.commit(&decisions.propose[0]);
    let since = stage.now;
    loop {
        stage.now += 50;
        stage.renew(A);
        let decisions = stage.tick();
        if let Some(round) = decisions.round {
            stage.round(round, Some(NONCE + 5));
        }
        if !decisions.propose.is_empty() {
            break;
        }
    }
    assert!(stage.now >= since + OVER);
}

/// Ends all three sessions, and lets these nodes return.
fn headless(returning: &[NodeId]) -> Stage {
    let mut stage = Stage::active();
    for node in [A, B, C] {
        stage.commit(&stage.down(node));
    }
    for &node in returning {
        stage.register(node);
    }
    stage
}

fn offer(stage: &Stage, open: u64, end: u64) -> Vec<Offer> {
    let offers = stage.topology.partitions().filter(|&partition| stage.topology.is_headless(partition));
    let epoch = |partition| stage.topology.form(partition).expect("it was formed").epoch;
    offers.map(|partition| Offer { partition, epoch: epoch(partition), open: Epoch(open), end }).collect()
}

/// Ticks until something is proposed; the starts of the first partition, and how long that took.
fn starts(stage: &mut Stage, renewing: &[(NodeId, u64, u64)]) -> (Vec<Member>, u64) {
    let began = stage.now;
    for _ in 0..100 {
        for &(node, open, end) in renewing {
            let offers = offer(stage, open, end);
            stage.renew_with(node, offers, Vec::new());
        }
        let decisions = stage.tick();
        if let Some(round) = decisions.round {
            stage.round(round, Some(NONCE));
        }
        let chosen: Vec<Member> = decisions
            .propose
            .iter()
            .filter_map(|command| match command {
                Command::Start { partition, member, .. } if *partition == P => Some(*member),
                _ => None,
            })
            .collect();
        if !chosen.is_empty() {
            return (chosen, stage.now - began);
        }
        stage.now += 50;
    }
    (Vec::new(), stage.now - began)
}

#[test]
fn a_partition_is_started_at_once_when_all_who_could_are_back() {
    let mut stage = headless(&[A, B, C]);
    let (chosen, after) = starts(&mut stage, &[(A, 1, 5), (B, 1, 9), (C, 1, 7)]);
    assert_eq!((chosen, after), (vec![stage.member(B)], 0), "by who has the longest log");
}

#[test]
fn others_who_could_start_a_partition_are_waited_for() {
    let mut stage = headless(&[A, C]);
    let (chosen, after) = starts(&mut stage, &[(A, 1, 5), (C, 1, 7)]);
    assert_eq!((chosen, after), (vec![stage.member(C)], 1_000));
}

#[test]
fn a_later_epoch_counts_more_than_a_longer_log() {
    let mut stage = headless(&[A, B, C]);
    let (chosen, _) = starts(&mut stage, &[(A, 2, 5), (B, 1, 9), (C, 1, 7)]);
    assert_eq!(chosen, [stage.member(A)]);
}

#[test]
fn a_partition_is_not_started_while_nobody_offers() {
    let mut stage = headless(&[A, B, C]);
    let (chosen, _) = starts(&mut stage, &[]);
    assert_eq!(chosen, []);
    // An offer to replace another form is none.
    let mut offers = offer(&stage, 1, 5);
    offers.iter_mut().for_each(|offer| offer.epoch = Epoch(1));
    stage.renew_with(A, offers, Vec::new());
    let starts = stage.tick().propose;
    assert!(!starts.iter().any(|command| matches!(command, Command::Start { .. })), "{starts:?}");
}

#[test]
fn a_start_is_proposed_again_until_the_partition_has_a_form() {
    let mut stage = headless(&[A, B, C]);
    let offers = [(A, 1, 5), (B, 1, 9), (C, 1, 7)];
    let (first, _) = starts(&mut stage, &offers);
    stage.now += 1;
    let (second, after) = starts(&mut stage, &offers);
    assert_eq!(first, second);
    assert!((150..=250).contains(&after), "{after}");
    let epoch = stage.topology.form(P).expect("it was formed").epoch;
    let generation = stage.topology.generation();
    stage.commit(&Command::Start { partition: P, epoch, member: first[0], generation });
    assert_eq!(starts(&mut stage, &offers).0, []);
}

/// The nodes that are proposed to be down in the next second, while all renew and these name others.
fn stuck(stage: &mut Stage, naming: &[(NodeId, NodeId)]) -> Vec<NodeId> {
    let mut downs = Vec::new();
    for _ in 0..40 {
        stage.now += 50;
        for node in [A, B, C] {
            let named = naming.iter().filter(|(by, _)| *by == node);
            let suspects = named.flat_map(|(_, suspect)| stage.suspect(*suspect)).collect();
            stage.renew_with(node, Vec::new(), suspects);
        }
        let decisions = stage.tick();
        if let Some(round) = decisions.round {
            stage.round(round, Some(NONCE));
        }
        for command in decisions.propose {
            if let Command::Down { member, .. } = command
                && !downs.contains(&member.node)
            {
                downs.push(member.node);
            }
        }
    }
    downs
}

#[test]
fn who_is_named_by_most_is_taken_out_of_a_chain_that_stands_still() {
    let mut stage = Stage::active();
    assert_eq!(stuck(&mut stage, &[(A, B), (C, B), (B, C)]), [B], "and nobody else");
}

/// S37: two neighbours accuse each other, and both renew.
#[test]
fn of_two_that_name_each_other_the_later_in_the_chain_is_taken_out() {
    for (naming, chosen) in [([(A, B), (B, A)], B), ([(B, C), (C, B)], C)] {
        let mut stage = Stage::active();
        assert_eq!(stuck(&mut stage, &naming), [chosen]);
    }
}

#[test]
fn one_member_of_a_chain_is_taken_out_at_a_time() {
    let mut stage = Stage::active();
    let naming = [(A, B), (B, C), (C, B)];
    assert_eq!(stuck(&mut stage, &naming), [B], "while it is on its way out");
    stage.commit(&stage.down(B));
    stage.open(P);
    assert_eq!(stuck(&mut stage, &[(A, C)]), [C], "then the next, if that does not help");
}

#[test]
fn the_last_member_of_a_chain_is_never_taken_out_for_standing_still() {
    let mut stage = Stage::active();
    stage.commit(&stage.down(A));
    stage.commit(&stage.down(B));
    stage.open(P);
    stage.register(A);
    stage.register(B);
    assert_eq!(stuck(&mut stage, &[(A, C), (B, C)]), []);
    assert_eq!(stuck(&mut stage, &[(C, A)]), [A], "a joiner is");
}

#[test]
fn who_is_named_for_a_form_that_is_over_is_left_alone() {
    let mut stage = Stage::active();
    let old = stage.suspect(B);
    stage.register(C);
    for _ in 0..40 {
        stage.now += 50;
        for node in [A, B, C] {
            stage.renew_with(node, Vec::new(), old.clone());
        }
        let decisions = stage.tick();
        assert_eq!(decisions.propose, []);
        if let Some(round) = decisions.round {
            stage.round(round, Some(NONCE));
        }
    }
}

#[test]
fn generations_are_the_places_of_activations() {
    let stage = Stage::active();
    assert_eq!(stage.controller.generation(), Some(Generation(stage.topology.version())));
}
