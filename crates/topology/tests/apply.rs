//! The transition function: what every node may rely on, whatever is applied in whichever order.

use proptest::prelude::*;
use simpledynamo_ring::Ring;
use simpledynamo_topology::{Command, Epoch, Form, Member, NodeId, PartitionId, Session, Topology};

const CLASSIC: [&str; 5] = ["5554", "5556", "5558", "5560", "5562"];

fn topology() -> Topology {
    Topology::new(Ring::new(&CLASSIC, 3).expect("the classic ring"))
}

fn member(node: u16, session: u64) -> Member {
    Member { node: NodeId(node), session: Session(session) }
}

/// A form of the whole preference list, all members in this session.
fn form(topology: &Topology, partition: u16, epoch: u64, session: u64) -> Form {
    let partition = PartitionId(partition);
    let members = topology.preference(partition).map(|node| member(node.0, session)).collect();
    Form { partition, epoch: Epoch(epoch), members }
}

#[test]
fn a_preference_list_is_the_owner_and_the_next_two_and_the_owner_numbers_the_forms() {
    let topology = topology();
    let list = |partition| topology.preference(PartitionId(partition)).map(|node| node.0).collect::<Vec<_>>();
    assert_eq!(list(0), [0, 1, 2]);
    assert_eq!(list(4), [4, 0, 1]);
    assert_eq!(topology.former(PartitionId(4)), NodeId(4));
    assert_eq!(topology.partitions().count(), 5);
}

#[test]
fn no_form_before_every_member_was_heard_of() {
    let mut topology = topology();
    topology.apply(Command::Register(member(0, 1)));
    topology.apply(Command::Register(member(1, 1)));
    assert_eq!(topology.apply(Command::Reform(PartitionId(0))), [], "node 2 is missing");
    assert_eq!(topology.form(PartitionId(0)), None);
    topology.apply(Command::Register(member(2, 4)));
    assert_eq!(topology.apply(Command::Reform(PartitionId(0))), [PartitionId(0)]);
    let formed = topology.form(PartitionId(0)).expect("all three are there");
    assert_eq!(formed.members, [member(0, 1), member(1, 1), member(2, 4)]);
    assert_eq!((formed.head(), formed.tail()), (member(0, 1), member(2, 4)));
    assert_eq!(topology.form(PartitionId(3)), None, "its members 3 and 4 were not heard of");
}

#[test]
fn neighbours_in_a_form_are_found_by_node() {
    let form = form(&topology(), 4, 1, 1);
    assert_eq!(form.predecessor(NodeId(4)), None);
    assert_eq!(form.successor(NodeId(4)), Some(member(0, 1)));
    assert_eq!(form.predecessor(NodeId(1)), Some(member(0, 1)));
    assert_eq!(form.successor(NodeId(1)), None);
    assert_eq!((form.position(NodeId(2)), form.member(NodeId(2))), (None, None));
    assert_eq!((form.predecessor(NodeId(2)), form.successor(NodeId(2))), (None, None));
}

#[test]
fn a_raised_number_is_not_given_again() {
    let mut topology = topology();
    (0..5).for_each(|node| drop(topology.apply(Command::Register(member(node, 1)))));
    topology.apply(Command::Raise(PartitionId(0), Epoch(7)));
    topology.apply(Command::Raise(PartitionId(0), Epoch(3)));
    topology.apply(Command::Reform(PartitionId(0)));
    assert_eq!(topology.form(PartitionId(0)).map(|form| form.epoch), Some(Epoch(8)));
    let untouched = topology.form(PartitionId(1)).map_or(Epoch(0), |form| form.epoch);
    assert!(untouched < Epoch(7), "partitions are numbered apart");
}

#[test]
fn a_session_concerns_the_partitions_that_the_node_keeps_once() {
    let mut topology = topology();
    let kept = [PartitionId(0), PartitionId(3), PartitionId(4)];
    assert_eq!(topology.apply(Command::Register(member(0, 2))), kept);
    assert_eq!(topology.apply(Command::Register(member(0, 2))), [], "told again, it changes nothing");
    assert_eq!(topology.apply(Command::Register(member(0, 1))), [], "an older session is void");
}

/// If it did, the node's own news of that session would be no news, and the chains that it has to form anew
/// because of it would stay as they are.
#[test]
fn an_adopted_form_tells_no_sessions() {
    let mut topology = topology();
    let told = form(&topology, 0, 3, 6);
    assert_eq!(topology.apply(Command::Adopt(told.clone())), [PartitionId(0)]);
    assert_eq!(topology.session(NodeId(2)), Session(0));
    assert_eq!(topology.apply(Command::Adopt(told)), [], "told again, it changes nothing");
    let late = form(&topology, 0, 2, 9);
    assert_eq!(topology.apply(Command::Adopt(late)), [], "an older form is void");
    assert!(!topology.apply(Command::Register(member(2, 6))).is_empty(), "this is news still");
}

#[test]
fn a_form_is_admitted_from_the_node_that_numbers_it_if_it_is_whole() {
    let topology = topology();
    let whole = form(&topology, 1, 1, 1);
    assert!(topology.admits(NodeId(1), &whole));
    assert!(!topology.admits(NodeId(2), &whole), "node 2 does not number the forms of partition 1");
    let mut short = whole.clone();
    short.members.pop();
    assert!(!topology.admits(NodeId(1), &short));
    let mut swapped = whole.clone();
    swapped.members.swap(1, 2);
    assert!(!topology.admits(NodeId(1), &swapped));
    assert!(
        !topology.admits(NodeId(1), &Form { partition: PartitionId(5), ..whole }),
        "there is no such one"
    );
}

#[test]
#[should_panic(expected = "whole preference list")]
fn a_form_of_other_members_is_no_form() {
    let mut topology = topology();
    let mut told = form(&topology, 0, 1, 1);
    told.members.swap(0, 1);
    topology.apply(Command::Adopt(told));
}

/// Only the node that numbers a partition's forms may number one. If hearing of a session did, two nodes that
/// hear of different sessions would know two forms of one epoch (I1), and a node that heard of more sessions
/// than the former would take the former's forms for old.
#[test]
fn hearing_of_sessions_numbers_no_form() {
    let (mut former, mut other) = (topology(), topology());
    let first = form(&former, 0, 1, 1);
    for topology in [&mut former, &mut other] {
        topology.apply(Command::Adopt(first.clone()));
    }
    // The other hears of both restarts of node 2, the former of the last alone.
    other.apply(Command::Register(member(2, 2)));
    other.apply(Command::Register(member(2, 3)));
    former.apply(Command::Register(member(2, 3)));
    former.apply(Command::Reform(PartitionId(0)));
    let told = former.form(PartitionId(0)).expect("it was formed just now").clone();
    other.apply(Command::Adopt(told.clone()));
    assert_eq!(other.form(PartitionId(0)), Some(&told));
}

#[derive(Clone, Debug)]
enum Step {
    Register(u16, u64),
    Raise(u16, u64),
    Adopt(u16, u64, u64),
    Form(u16),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        (0u16..5, 0u64..6).prop_map(|(node, session)| Step::Register(node, session)),
        (0u16..5, 0u64..12).prop_map(|(partition, epoch)| Step::Raise(partition, epoch)),
        (0u16..5, 1u64..12, 1u64..6)
            .prop_map(|(partition, epoch, session)| Step::Adopt(partition, epoch, session)),
        (0u16..5).prop_map(Step::Form),
    ];
    prop::collection::vec(step, 0..40)
}

fn take(topology: &mut Topology, step: &Step) -> Vec<PartitionId> {
    match *step {
        Step::Register(node, session) => topology.apply(Command::Register(member(node, session))),
        Step::Raise(partition, epoch) => topology.apply(Command::Raise(PartitionId(partition), Epoch(epoch))),
        Step::Adopt(partition, epoch, session) => {
            let form = form(topology, partition, epoch, session);
            topology.apply(Command::Adopt(form))
        }
        Step::Form(partition) => topology.apply(Command::Reform(PartitionId(partition))),
    }
}

fn forms(topology: &Topology) -> Vec<Option<Form>> {
    topology.partitions().map(|partition| topology.form(partition).cloned()).collect()
}

fn sessions(topology: &Topology) -> Vec<Session> {
    (0..5).map(|node| topology.session(NodeId(node))).collect()
}

proptest! {
    #[test]
    fn numbers_only_rise_and_forms_are_whole(steps in steps()) {
        let mut topology = topology();
        for step in &steps {
            let (sessions_before, forms_before) = (sessions(&topology), forms(&topology));
            let changed = take(&mut topology, step);
            for (before, after) in sessions_before.iter().zip(sessions(&topology)) {
                prop_assert!(after >= *before, "sessions only rise");
            }
            for (partition, (before, after)) in forms_before.iter().zip(forms(&topology)).enumerate() {
                let partition = PartitionId(partition as u16);
                let is_listed = changed.contains(&partition) && !matches!(step, Step::Register(..));
                prop_assert_eq!(is_listed, *before != after, "what is returned is what changed");
                let Some(after) = after else {
                    prop_assert!(before.is_none(), "a form is never taken back");
                    continue;
                };
                if is_listed {
                    let epoch_before = before.as_ref().map_or(Epoch(0), |form| form.epoch);
                    prop_assert!(after.epoch > epoch_before, "epochs only rise");
                }
                let nodes: Vec<NodeId> = after.members.iter().map(|member| member.node).collect();
                prop_assert_eq!(nodes, topology.preference(partition).collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn the_same_commands_give_the_same_topology(steps in steps()) {
        let (mut one, mut other) = (topology(), topology());
        for step in &steps {
            prop_assert_eq!(take(&mut one, step), take(&mut other, step));
        }
        prop_assert_eq!(forms(&one), forms(&other));
        prop_assert_eq!(sessions(&one), sessions(&other));
    }

    /// Old news is void in any order: sessions and raised numbers can be told twice, late and mixed up.
    #[test]
    fn the_order_of_sessions_does_not_matter(heard in prop::collection::vec((0u16..5, 1u64..6), 1..20)) {
        let (mut forwards, mut backwards) = (topology(), topology());
        for &(node, session) in &heard {
            forwards.apply(Command::Register(member(node, session)));
        }
        for &(node, session) in heard.iter().rev().chain(&heard) {
            backwards.apply(Command::Register(member(node, session)));
        }
        prop_assert_eq!(sessions(&forwards), sessions(&backwards));
    }
}
