//! How long the group is without a leader. Run with `--ignored --nocapture`.

mod common;

use std::time::{Duration, Instant};

use common::{Cluster, decide, node, up};
use simpledynamo_control::ControlGroup;

const ROUNDS: usize = 12;

#[tokio::test]
#[ignore = "a measurement"]
async fn time_to_a_new_leader() {
    for hinted in [false, true] {
        let (mut elected, mut decided) = (Vec::new(), Vec::new());
        let cluster = Cluster::new(5);
        cluster.form(5).await;
        for round in 0..ROUNDS {
            decide(&cluster.group(node(0)), up(round as u64)).await.unwrap();
            tokio::time::sleep(Duration::from_millis(500 + 37 * round as u64)).await;
            let leader = cluster.leader().await;
            let from = Instant::now();
            cluster.net.remove(leader.me().node);
            let rest = cluster.running();
            if hinted {
                rest.iter().for_each(|group| group.hint_down(leader.me().node));
            }
            let new = next_leader(&rest, &leader).await;
            elected.push(from.elapsed());
            decide(&new, up(round as u64)).await.unwrap();
            decided.push(from.elapsed());
            leader.shutdown().await;
            cluster.net.heal();
            cluster.start(leader.me().node).await;
        }
        println!("hinted: {hinted}");
        for (name, mut times) in [("elected", elected), ("first decision", decided)] {
            times.sort();
            let median = times[times.len() / 2];
            println!("  {name}: median {median:?}, from {:?} to {:?}", times[0], times[times.len() - 1]);
        }
    }
}

async fn next_leader(rest: &[ControlGroup], old: &ControlGroup) -> ControlGroup {
    loop {
        let is_new = |group: &&ControlGroup| group.leadership().borrow().is_me && group.me() != old.me();
        if let Some(group) = rest.iter().find(is_new) {
            return group.clone();
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}
