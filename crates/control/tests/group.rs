//! Groups of five in one process: forming, deciding, losing members and taking them in again.

mod common;

use std::time::Duration;

use common::{Cluster, RING, decide, enter, eventually, id, node, register, up};
use simpledynamo_control::{
    AdmitError, ControlError, InitialiseError, NotConfirmed, Options, ProposeError, Refusal, Role,
};
use simpledynamo_topology::{Session, Void};

#[tokio::test]
async fn forms_whatever_the_start_order_and_never_without_all() {
    for order in [[0, 1, 2, 3, 4], [4, 2, 0, 3, 1], [3, 4, 1, 2, 0]] {
        let cluster = Cluster::new(5);
        let all: Vec<_> = (0..5).map(node).collect();
        for (place, number) in order.into_iter().enumerate() {
            if place == 4 {
                tokio::time::sleep(Duration::from_millis(200)).await;
                assert!(cluster.running().iter().all(|group| !group.is_formed()), "one was never heard");
            }
            let group = cluster.start(node(number)).await;
            let (voters, all) = (all.iter().copied().collect(), all.clone());
            tokio::spawn(async move { enter(&group, voters, &all).await });
        }
        for group in cluster.running() {
            eventually("it knows of the group", || group.members().voters.len() == 5).await;
        }
        let leader = cluster.leader().await;
        assert!(leader.announcement().await.unwrap().is_formed());
    }
}

#[tokio::test]
async fn is_safe_if_all_initialise_alike() {
    let cluster = Cluster::new(5);
    let voters: std::collections::BTreeSet<_> = cluster.ids.values().copied().collect();
    for &node in cluster.ids.keys() {
        cluster.start(node).await;
    }
    for group in cluster.running() {
        let voters = voters.clone();
        tokio::spawn(async move { group.initialise(voters).await });
    }
    assert_eq!(decide(&cluster.leader().await, up(1)).await.map(|_| ()), Ok(()));
    let again = cluster.leader().await.initialise(voters.clone()).await;
    assert_eq!(again, Err(InitialiseError::Formed));
    let others = voters.iter().copied().skip(1).collect();
    assert_eq!(cluster.group(node(0)).initialise(others).await, Err(InitialiseError::Members));
}

#[tokio::test]
async fn decides_what_any_node_proposes_and_all_see_the_same() {
    let cluster = Cluster::new(5);
    cluster.form(5).await;
    let mut last = 0;
    for number in 0..5 {
        let version = decide(&cluster.group(node(number)), register(number)).await.unwrap();
        assert!(version > last, "versions rise");
        last = version;
    }
    cluster.all_reach(last).await;
    let states: Vec<_> =
        cluster.running().iter().map(|group| group.topology().borrow().state().clone()).collect();
    assert!(states.iter().all(|state| *state == states[0]));
    assert!(states[0].nodes.iter().all(|node| node.session == Session(1)));
    // A command whose condition does not hold changes nothing, and says why.
    assert_eq!(decide(&cluster.follower().await, register(3)).await, Err(Void::OtherSession));
}

#[tokio::test]
async fn two_of_five_may_be_lost_but_not_three() {
    let cluster = Cluster::new(5);
    cluster.form(5).await;
    for number in [0, 4] {
        cluster.stop(node(number)).await;
    }
    decide(&cluster.group(node(1)), up(1)).await.unwrap();
    assert!(cluster.leader().await.confirm().await.is_ok());

    let third = cluster.leader().await.me().node;
    let rest: Vec<_> = cluster.running().into_iter().filter(|group| group.me().node != third).collect();
    cluster.stop(third).await;
    for group in &rest {
        let error = group.propose(up(2)).await.unwrap_err();
        assert!(matches!(error, ProposeError::NoLeader | ProposeError::Unknown(_)), "{error}");
        assert!(matches!(group.confirm().await, Err(NotConfirmed::NotLeader | NotConfirmed::NoQuorum)));
    }
    cluster.start(node(0)).await;
    let version = decide(&rest[0], up(3)).await.unwrap();
    cluster.start(node(4)).await;
    cluster.start(third).await;
    cluster.all_reach(version).await;
}

#[tokio::test]
async fn a_leader_that_is_cut_off_cannot_confirm_and_another_takes_over() {
    let cluster = Cluster::new(5);
    cluster.form(5).await;
    let old = cluster.leader().await;
    let term = old.confirm().await.unwrap();
    let others: Vec<_> = cluster.running().into_iter().filter(|group| group.me() != old.me()).collect();
    for other in &others {
        cluster.net.cut(old.me().node, other.me().node);
    }
    assert_eq!(old.confirm().await, Err(NotConfirmed::NoQuorum));
    assert!(matches!(old.propose(up(1)).await, Err(ProposeError::Unknown(_))));
    decide(&others[0], up(2)).await.unwrap();
    let new = cluster.leader().await;
    assert!(new.me() != old.me() && new.confirm().await.unwrap() >= term);

    cluster.net.heal();
    eventually("the old leader follows", || !old.leadership().borrow().is_me).await;
    let version = decide(&old, up(3)).await.unwrap();
    cluster.all_reach(version).await;
}

#[tokio::test]
async fn a_leader_that_is_heard_but_does_not_hear_is_replaced() {
    let cluster = Cluster::new(5);
    cluster.form(5).await;
    let old = cluster.leader().await;
    let others: Vec<_> = cluster.running().into_iter().filter(|group| group.me() != old.me()).collect();
    for other in &others {
        cluster.net.cut_one_way(other.me().node, old.me().node);
    }
    eventually("another leads", || others.iter().any(|group| group.leadership().borrow().is_me)).await;
    decide(&others[0], up(1)).await.unwrap();
    cluster.net.heal();
    let version = decide(&old, up(2)).await.unwrap();
    cluster.all_reach(version).await;
}

#[tokio::test]
async fn a_leader_that_was_alone_with_the_longest_log_leads_again() {
    let cluster = Cluster::new(3);
    cluster.form(3).await;
    let leader = cluster.leader().await;
    for group in cluster.running() {
        cluster.net.cut(leader.me().node, group.me().node);
        if group.me() != leader.me() {
            cluster.stop(group.me().node).await;
        }
    }
    assert!(matches!(leader.propose(up(1)).await, Err(ProposeError::Unknown(_))));
    // One comes back, and needs the leader's vote or the leader.
    cluster.net.heal();
    let one = cluster.ids.keys().copied().find(|&node| node != leader.me().node).unwrap();
    let one = cluster.start(one).await;
    decide(&one, up(2)).await.unwrap();
}

#[tokio::test]
async fn a_hint_starts_an_election_without_harm_to_a_leader_that_lives() {
    let cluster = Cluster::new(5);
    cluster.form(5).await;
    let leader = cluster.leader().await;
    let term = leader.confirm().await.unwrap();
    for group in cluster.running() {
        group.hint_down(leader.me().node);
    }
    tokio::time::sleep(Duration::from_millis(700)).await;
    // On a machine under load the leader may have been late, so that this is all that can be said for certain.
    let leader = cluster.leader().await;
    assert!(leader.confirm().await.unwrap() >= term);
    cluster.stop(leader.me().node).await;
    for group in cluster.running() {
        group.hint_down(leader.me().node);
    }
    assert_ne!(cluster.leader().await.me(), leader.me());
}

#[tokio::test]
async fn a_restart_from_disk_keeps_everything() {
    let cluster = Cluster::new(3);
    cluster.form(3).await;
    for number in 0..3 {
        decide(&cluster.group(node(0)), register(number)).await.unwrap();
    }
    let version = decide(&cluster.group(node(0)), up(7)).await.unwrap();
    cluster.all_reach(version).await;
    let members = cluster.group(node(0)).members();
    let state = cluster.group(node(0)).topology().borrow().state().clone();
    for number in 0..3 {
        cluster.stop(node(number)).await;
    }
    for number in 0..3 {
        let group = cluster.start(node(number)).await;
        assert!(group.is_formed());
        assert_eq!(group.members(), members);
        assert!(group.topology().borrow().version() <= version);
    }
    cluster.all_reach(version).await;
    assert_eq!(*cluster.group(node(1)).topology().borrow().state(), state);
    assert!(decide(&cluster.group(node(2)), up(8)).await.unwrap() > version);
}

#[tokio::test]
async fn snapshots_bring_a_member_up_that_missed_the_log() {
    let cluster = Cluster::new(3);
    cluster.form(3).await;
    let away = cluster.follower().await.me().node;
    cluster.stop(away).await;
    let leader = cluster.leader().await;
    let mut version = 0;
    for round in 0..50 {
        let proposals = (0..50).map(|number| {
            let leader = leader.clone();
            tokio::spawn(async move { decide(&leader, up(round * 50 + number)).await.unwrap() })
        });
        for proposal in proposals.collect::<Vec<_>>() {
            version = version.max(proposal.await.unwrap());
        }
    }
    let group = cluster.start(away).await;
    cluster.all_reach(version).await;
    cluster.stop(away).await;
    let again = cluster.start(away).await;
    assert!(again.topology().borrow().version() >= 2_000, "its own store has a snapshot");
    assert!(group.fatal().borrow().is_none());
    cluster.all_reach(version).await;
}

#[tokio::test]
async fn a_voter_that_lost_its_disk_comes_back_as_another_and_the_old_one_is_removed() {
    let mut cluster = Cluster::new(5);
    cluster.form(5).await;
    let version = decide(&cluster.group(node(0)), register(0)).await.unwrap();
    let lost = cluster.follower().await.me();
    cluster.stop(lost.node).await;
    cluster.wipe(lost.node);
    let new = cluster.start(lost.node).await;
    assert!(new.me() != lost && !new.is_formed());

    // It asks the others, and does not form a group of its own.
    let all: Vec<_> = (0..5).map(node).collect();
    enter(&new, all.iter().copied().collect(), &all).await;
    assert!(!new.is_formed(), "to join is all there is to do");
    // It may propose before it is taken in.
    decide(&new, up(1)).await.unwrap();

    let mut admitted = new.admit(new.me(), Role::Voter).await;
    while let Err(AdmitError::NoLeader | AdmitError::Unknown(_)) = admitted {
        tokio::time::sleep(Duration::from_millis(100)).await;
        admitted = new.admit(new.me(), Role::Voter).await;
    }
    admitted.unwrap();
    for group in cluster.running() {
        eventually("all know the new members", || {
            let members = group.members();
            members.voters.len() == 5 && members.contains(new.me()) && !members.contains(lost)
        })
        .await;
    }
    cluster.all_reach(version).await;
    // Once more changes nothing.
    assert_eq!(new.admit(new.me(), Role::Voter).await, Ok(()));

    // Its vote counts: with it, two others may be lost.
    let others = cluster.running().into_iter().map(|group| group.me().node).filter(|&node| node != lost.node);
    for other in others.take(2).collect::<Vec<_>>() {
        cluster.stop(other).await;
    }
    decide(&new, up(2)).await.unwrap();
}

#[tokio::test]
async fn learners_follow_and_nobody_takes_the_place_of_one_that_runs() {
    let cluster = Cluster::new(4);
    cluster.form(3).await;
    let learner = cluster.group(node(3));
    let leader = cluster.leader().await;
    leader.admit(learner.me(), Role::Learner).await.unwrap();
    let version = decide(&learner, up(1)).await.unwrap();
    cluster.all_reach(version).await;
    assert!(learner.members().learners.contains(&learner.me()));

    let twin = id(3, 99);
    assert!(matches!(leader.admit(twin, Role::Voter).await, Err(AdmitError::Rejected(_))));
    let own = id(leader.me().node.0, 99);
    assert!(matches!(leader.admit(own, Role::Voter).await, Err(AdmitError::Rejected(_))));
}

#[tokio::test]
async fn frames_for_another_are_refused_and_counted() {
    let cluster = Cluster::new(3);
    cluster.form(3).await;
    let group = cluster.group(node(1));
    let (me, other, old) = (id(1, 1), id(0, 1), id(1, 77));
    let text = |id: simpledynamo_control::ControlId| serde_json::to_string(&id).unwrap();
    let frame = |ring: &str, from: String, to: String, candidate: String| {
        let vote = format!(r#"{{"leader_id":{{"term":99,"node_id":{candidate}}},"committed":false}}"#);
        let body = format!(r#"{{"Vote":{{"vote":{vote},"last_log_id":null}}}}"#);
        format!(r#"{{"ring":"{ring}","from":{from},"to":{to},"body":{body}}}"#).into_bytes()
    };
    let cases = [
        (b"{}".to_vec(), Refusal::Malformed),
        (frame("another ring", text(other), text(me), text(other)), Refusal::OtherRing),
        (frame(RING, text(other), text(old), text(other)), Refusal::OtherReceiver),
        (frame(RING, text(other), "null".to_owned(), text(other)), Refusal::OtherReceiver),
        (frame(RING, text(other), text(me), text(id(2, 1))), Refusal::OtherSender),
        (frame(RING, text(old), text(me), text(old)), Refusal::OtherSender),
    ];
    for (bytes, reason) in cases {
        let before = group.refused(reason);
        let reply = String::from_utf8(group.handle(&bytes).await).unwrap();
        assert!(reply.contains(&format!(r#""Refused":"{reason:?}""#)), "{reply}");
        assert_eq!(group.refused(reason), before + 1);
    }
    assert!(group.leadership().borrow().term < 99, "none of it had an effect");
    let good = group.handle(&frame(RING, text(other), text(me), text(other))).await;
    assert!(String::from_utf8(good).unwrap().contains(r#""Vote":"#));
}

#[tokio::test]
async fn options_that_do_not_fit_together_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let cluster = Cluster::new(3);
    let mut options = Options::new(folder.path().to_owned(), id(0, 1), RING.to_owned());
    options.election_min = Duration::from_millis(60);
    let group =
        simpledynamo_control::ControlGroup::open(options, cluster.ring.clone(), cluster.link(node(0))).await;
    assert!(matches!(group, Err(ControlError::Options)));
}

#[tokio::test]
async fn one_that_has_ended_says_so() {
    let cluster = Cluster::new(3);
    cluster.form(3).await;
    let group = cluster.group(node(0));
    cluster.stop(node(0)).await;
    assert!(group.announcement().await.is_err());
    assert!(group.propose(up(1)).await.is_err());
    assert!(group.fatal().borrow().is_none(), "it did not fail");
}

#[tokio::test]
async fn a_member_whose_store_fails_says_why_and_takes_no_part() {
    let cluster = Cluster::new(3);
    cluster.form(3).await;
    let failing = cluster.follower().await;
    // A folder in its place keeps the snapshot from coming to its name.
    std::fs::create_dir_all(cluster.folder(failing.me()).join("control.snapshot/in the way")).unwrap();
    let leader = cluster.leader().await;
    let mut nonce = 0;
    while failing.fatal().borrow().is_none() {
        let proposals = (0..100).map(|_| {
            nonce += 1;
            let leader = leader.clone();
            tokio::spawn(async move { decide(&leader, up(nonce)).await })
        });
        for proposal in proposals.collect::<Vec<_>>() {
            // Decided once more after a lost reply, it says nothing new.
            assert!(matches!(proposal.await.unwrap(), Ok(_) | Err(Void::Already)));
        }
        assert!(nonce < 10_000, "a snapshot is due every thousand entries");
    }
    let reason = failing.fatal().borrow().clone().unwrap();
    assert!(reason.contains(&cluster.folder(failing.me()).display().to_string()), "{reason}");
    while failing.announcement().await.is_ok() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    decide(&leader, up(0)).await.unwrap();
}
