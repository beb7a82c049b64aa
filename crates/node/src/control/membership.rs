//! How this node gets into the control group: forms it with the others, or is taken in.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use simpledynamo_control::{ControlGroup, ControlId, Formation, Members, Role, Step};
use simpledynamo_topology::NodeId;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::handle::Shared;

/// From asking the others who they are to asking again.
const ASK_PAUSE: Duration = Duration::from_millis(100);

/// From one look whether this node is still a member to the next: only a node whose store was replaced meanwhile by
/// another is not.
const LOOK_PAUSE: Duration = Duration::from_secs(1);

/// Gets this node into the group, whatever it takes, for as long as it runs.
pub(super) async fn seek(
    group: ControlGroup,
    nodes: usize,
    voters: BTreeSet<NodeId>,
    names: Vec<String>,
    shared: Arc<Shared>,
) {
    let role = if voters.contains(&group.me().node) { Role::Voter } else { Role::Learner };
    let mut formation = Formation::new(group.me(), voters);
    let mut told = BTreeSet::new();
    loop {
        let place = Place::of(group.me(), role, &group.members());
        if place != Place::Outside {
            shared.status().missing.clear();
        }
        if place == Place::Inside {
            sleep(LOOK_PAUSE).await;
            continue;
        }
        if place == Place::Halfway {
            admit(&group, role).await;
            sleep(ASK_PAUSE).await;
            continue;
        }
        ask(&group, nodes, &mut formation).await;
        match formation.step() {
            Step::WaitFor(missing) => {
                shared.status().missing = missing.iter().copied().collect();
                if told != missing {
                    let missing: Vec<&str> =
                        missing.iter().map(|node| names[node.index()].as_str()).collect();
                    tracing::info!(
                        "the ring is new and forms once every voter was seen: waiting for {missing:?}"
                    );
                }
                told = missing;
            }
            Step::Initialise(members) => {
                shared.status().missing.clear();
                match group.initialise(members).await {
                    Ok(()) => tracing::info!("formed the control group"),
                    Err(error) => tracing::warn!("cannot form the control group: {error}"),
                }
            }
            Step::Join => {
                shared.status().missing.clear();
                admit(&group, role).await;
            }
            Step::Await(_) => shared.status().missing.clear(),
        }
        sleep(ASK_PAUSE).await;
    }
}

/// How far a node has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// The group does not know it.
    Outside,
    /// It receives the log, but is to vote and does not: whoever led was lost while it took this node in. The voter
    /// that this one replaces still counts, and is gone.
    Halfway,
    /// It is what it is to be.
    Inside,
}

impl Place {
    fn of(me: ControlId, role: Role, members: &Members) -> Self {
        let is_inside = match role {
            Role::Voter => members.voters.contains(&me),
            Role::Learner => members.contains(me),
        };
        match (is_inside, members.contains(me)) {
            (true, _) => Self::Inside,
            (false, true) => Self::Halfway,
            (false, false) => Self::Outside,
        }
    }
}

async fn admit(group: &ControlGroup, role: Role) {
    match group.admit(group.me(), role).await {
        Ok(()) => tracing::info!("the control group has taken this node in"),
        Err(error) => tracing::debug!("not taken into the control group yet: {error}"),
    }
}

/// Asks every other node who it is and what it knows.
async fn ask(group: &ControlGroup, nodes: usize, formation: &mut Formation) {
    let mut answers = JoinSet::new();
    for node in (0..nodes).map(NodeId::at).filter(|&node| node != group.me().node) {
        let group = group.clone();
        answers.spawn(async move { group.ask_announcement(node).await });
    }
    if let Ok(mine) = group.announcement().await {
        formation.hear(mine);
    }
    while let Some(answer) = answers.join_next().await {
        if let Ok(Ok(announcement)) = answer {
            formation.hear(announcement);
        }
    }
}

#[cfg(test)]
mod tests {
    use simpledynamo_topology::StoreId;

    use super::*;

    #[test]
    fn a_voter_that_only_receives_the_log_is_not_inside_yet() {
        let id = |store| ControlId { node: NodeId(1), store: StoreId(store) };
        let (lost, me) = (id(1), id(2));
        let with_learner = Members { voters: [lost].into(), learners: [me].into() };
        assert_eq!(Place::of(me, Role::Voter, &Members::default()), Place::Outside);
        assert_eq!(Place::of(me, Role::Voter, &with_learner), Place::Halfway);
        assert_eq!(Place::of(me, Role::Learner, &with_learner), Place::Inside);
        let replaced = Members { voters: [me].into(), learners: [].into() };
        assert_eq!(Place::of(me, Role::Voter, &replaced), Place::Inside);
        assert_eq!(Place::of(lost, Role::Voter, &replaced), Place::Outside);
    }
}
