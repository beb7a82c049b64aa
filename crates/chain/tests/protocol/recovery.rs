//! Crashes at every step of a write and returns in every order, one after the other instead of at random; the
//! invariants are asserted by the stage.

use simpledynamo_chain::{Applied, Durable, Operation, Persist, Reading, Replica};
use simpledynamo_ring::Ring;
use simpledynamo_topology::{Epoch, Member, NodeId, PartitionId, Session};

use crate::cluster::Cluster;

fn ring(nodes: usize) -> Cluster {
    let mut cluster = Cluster::new(nodes);
    (0..nodes).for_each(|node| cluster.start(node));
    connect(&mut cluster);
    cluster.settle();
    cluster
}

/// Makes the links that are missing.
fn connect(cluster: &mut Cluster) {
    for (from, to) in cluster.pairs() {
        if !cluster.network.is_connected(from, to) {
            cluster.connect(from, to);
        }
    }
}

fn orders(items: &[usize]) -> Vec<Vec<usize>> {
    if items.len() <= 1 {
        return vec![items.to_vec()];
    }
    let mut all = Vec::new();
    for (at, &first) in items.iter().enumerate() {
        let mut others = items.to_vec();
        others.remove(at);
        for mut order in orders(&others) {
            order.insert(0, first);
            all.push(order);
        }
    }
    all
}

fn integer(reading: Result<Reading, u64>) -> i64 {
    match reading {
        Ok(Reading::Absent) => 0,
        Ok(Reading::Present { bytes, .. }) => std::str::from_utf8(&bytes).unwrap().parse().unwrap(),
        other => panic!("a ring at rest answers at once, not {other:?}"),
    }
}

/// The steps of two increments through node b, one action each.
const STEPS: [fn(&mut Cluster) -> bool; 12] = [
    |cluster| cluster.deliver(1, 0),
    |cluster| cluster.deliver(0, 1),
    |cluster| cluster.sync(1, 1),
    |cluster| cluster.deliver(1, 2),
    |cluster| cluster.sync(2, 1),
    |cluster| cluster.sync(0, 1),
    |cluster| cluster.deliver(0, 1),
    |cluster| cluster.deliver(1, 2),
    |cluster| cluster.deliver(2, 1),
    |cluster| cluster.sync(2, 1),
    |cluster| cluster.apply(2, 1),
    |cluster| cluster.deliver(2, 1),
];

/// Runs `steps` steps of a write, `faults`, and demands that the value agrees with what was acknowledged.
fn interrupted(steps: usize, faults: impl Fn(&mut Cluster)) {
    let mut cluster = ring(3);
    cluster.write(0, "n", Operation::Increment(1));
    cluster.settle();
    cluster.answers.clear();
    cluster.write(1, "n", Operation::Increment(1));
    for step in &STEPS[..steps] {
        step(&mut cluster);
    }
    faults(&mut cluster);
    connect(&mut cluster);
    cluster.rest();
    let acknowledged = cluster.answers.iter().filter(|answer| answer.node == 1).count() as i64;
    let values: Vec<i64> = (0..3).map(|node| integer(cluster.read(node, "n"))).collect();
    assert!(values.iter().all(|&value| value == values[0]), "all members tell the same: {values:?}");
    assert!((1 + acknowledged..=2).contains(&values[0]), "{acknowledged} acknowledged, value {}", values[0]);
}

#[test]
fn one_member_may_crash_at_any_step_of_a_write() {
    for steps in 0..=STEPS.len() {
        for node in 0..3 {
            for kept in 0..3 {
                for data_lost in [false, true] {
                    interrupted(steps, |cluster| {
                        cluster.crash(node, kept, data_lost);
                        cluster.start(node);
                    });
                }
            }
        }
    }
}

#[test]
fn all_three_may_crash_at_any_step_and_return_in_any_order() {
    for steps in 0..=STEPS.len() {
        for order in orders(&[0, 1, 2]) {
            for kept in 0..2 {
                interrupted(steps, |cluster| {
                    (0..3).for_each(|node| cluster.crash(node, kept, node == 1));
                    for &node in &order {
                        cluster.start(node);
                        connect(cluster);
                        cluster.settle();
                    }
                });
            }
        }
    }
}

#[test]
fn a_second_member_may_crash_while_the_chain_is_formed() {
    for first in 0..3 {
        for second in 0..3 {
            for steps in 0..24 {
                interrupted(9, |cluster| {
                    cluster.crash(first, 0, true);
                    cluster.start(first);
                    connect(cluster);
                    // Some of what forms the chain happens, in rounds of one thing each.
                    let _ = (0..steps).all(|_| form_a_little(cluster));
                    cluster.crash(second, 1, false);
                    cluster.start(second);
                });
            }
        }
    }
}

fn form_a_little(cluster: &mut Cluster) -> bool {
    if let Some(&(at, about)) = cluster.network.newsworthy().first() {
        return cluster.hear(at, about);
    }
    if let Some(&(from, to)) = cluster.network.busy().first() {
        return cluster.deliver(from, to);
    }
    (0..cluster.machines.len()).any(|node| cluster.sync(node, 1))
}

#[test]
fn five_nodes_form_all_chains_from_any_start_order() {
    for order in orders(&[0, 1, 2, 3, 4]) {
        for settled in [false, true] {
            let mut cluster = Cluster::new(5);
            for &node in &order {
                cluster.start(node);
                connect(&mut cluster);
                if settled {
                    cluster.settle();
                }
            }
            cluster.rest();
            for node in 0..5 {
                let replicas = cluster.machines[node].node.as_ref().expect("it runs").replicas();
                assert_eq!(replicas.len(), 3, "a node keeps three partitions");
                for (partition, replica) in replicas {
                    assert!(replica.is_serving(), "{order:?}: node {node} serves partition {partition}");
                }
            }
        }
    }
}

#[test]
#[should_panic(expected = "the log holds every entry above what the data holds")]
fn a_log_that_begins_after_the_data_is_refused() {
    let ring = Ring::new(&["a"], 1).expect("one node");
    let me = Member { node: NodeId(0), session: Session(1) };
    let partition = PartitionId(0);
    let mut log = Durable::default();
    log.record(&Persist::Open { partition, epoch: Epoch(1), watermark: 0, entries: vec![] }).expect("no gap");
    log.end = 3;
    log.watermark = 3;
    let _ = Replica::new(partition, ring.partitions()[0].clone(), me, log, Applied::default());
}
