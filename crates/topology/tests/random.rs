//! Random commands, stale and doubled ones among them, against the rules that every transition keeps.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::prelude::*;
use simpledynamo_ring::Ring;
use simpledynamo_topology::{
    Command, Epoch, Form, Generation, Member, NodeId, PartitionId, Session, StoreId, Topology, Void,
};

const NAMES: [&str; 5] = ["5562", "5556", "5554", "5558", "5560"];

/// What to try next, in terms of the topology as it then is: so that most of it is not void.
#[derive(Clone, Debug)]
enum Try {
    Register {
        node: usize,
        is_other_store: bool,
        back: u64,
    },
    ControllerUp {
        node: usize,
    },
    Down {
        node: usize,
        back: u64,
        is_old: bool,
    },
    Opened {
        partition: usize,
        back: u64,
        who: usize,
    },
    Start {
        partition: usize,
        node: usize,
        back: u64,
        is_old: bool,
    },
    Synced {
        partition: usize,
        node: usize,
        back: u64,
    },
    /// An earlier command comes again.
    Again {
        back: usize,
    },
}

fn tries() -> impl Strategy<Value = Try> {
    // Mostly the present session, epoch and head; now and then an older one.
    let back = || prop_oneof![8 => Just(0u64), 1 => 1u64..3];
    let seldom = || prop::bool::weighted(0.1);
    let node = || 0usize..5;
    prop_oneof![
        5 => (node(), seldom(), back())
            .prop_map(|(node, is_other_store, back)| Try::Register { node, is_other_store, back }),
        1 => node().prop_map(|node| Try::ControllerUp { node }),
        4 => (node(), back(), seldom()).prop_map(|(node, back, is_old)| Try::Down { node, back, is_old }),
        8 => (node(), back(), prop_oneof![8 => Just(0usize), 1 => 0usize..3])
            .prop_map(|(partition, back, who)| Try::Opened { partition, back, who }),
        5 => (node(), node(), back(), seldom())
            .prop_map(|(partition, node, back, is_old)| Try::Start { partition, node, back, is_old }),
        6 => (node(), node(), back())
            .prop_map(|(partition, node, back)| Try::Synced { partition, node, back }),
        2 => (0usize..12).prop_map(|back| Try::Again { back }),
    ]
}

/// The model: who may hold what, kept by other means than the code under test.
#[derive(Default)]
struct Model {
    /// Every form there was, and whether it was opened.
    forms: BTreeMap<(PartitionId, Epoch), (Form, bool)>,
    ended: BTreeSet<Member>,
    /// The store of each session.
    stores: BTreeMap<Member, StoreId>,
}

impl Model {
    /// The nodes that hold all that was committed: members of the last opened form and of every later one, as far as
    /// the node still has the store that it had as a member.
    fn eligible(&self, partition: PartitionId, topology: &Topology) -> BTreeSet<NodeId> {
        let forms: Vec<_> = self.forms.range((partition, Epoch(0))..=(partition, Epoch(u64::MAX))).collect();
        let last_opened = forms.iter().rposition(|(_, (_, is_open))| *is_open).unwrap_or(0);
        let members = forms[last_opened..].iter().flat_map(|(_, (form, _))| &form.members);
        members
            .filter(|member| topology.node(member.node).store == self.stores[*member])
            .map(|member| member.node)
            .collect()
    }

    fn check_form(&self, before: Option<&Form>, form: &Form, command: &Command, topology: &Topology) {
        let partition = form.partition;
        assert!(!form.members.is_empty(), "I5: never empty");
        let nodes: BTreeSet<NodeId> = form.members.iter().map(|member| member.node).collect();
        assert_eq!(nodes.len(), form.members.len(), "no node comes twice");
        assert!(form.members.iter().all(|member| topology.keeps(member.node, partition)));
        let Some(before) = before else {
            let members: Vec<NodeId> = form.members.iter().map(|member| member.node).collect();
            assert_eq!((form.epoch, members), (Epoch(1), topology.preference(partition).collect()));
            return;
        };
        assert_eq!(form.epoch, before.epoch.next(), "I1: epochs rise one by one");
        let joined: Vec<Member> =
            form.members.iter().filter(|member| !before.members.contains(member)).copied().collect();
        match *command {
            Command::Synced { member, epoch, .. } => {
                assert!(self.forms[&(partition, epoch)].1, "a joiner joins an open epoch");
                assert_eq!(
                    (&joined[..], form.tail()),
                    (&[member][..], member),
                    "I5: the joiner, as the tail"
                );
            }
            Command::Start { member, .. } => {
                assert_eq!(form.members, [member]);
                assert!(before.members.iter().all(|member| self.ended.contains(member)));
                assert!(self.eligible(partition, topology).contains(&member.node));
            }
            _ => assert!(joined.is_empty(), "I5: nobody joins by {command:?}"),
        }
        // Who stays keeps its place among those that stay, but for the one form that restores ring order.
        let stay = |members: &[Member]| -> Vec<Member> {
            let both = |member: &Member| before.members.contains(member) && form.members.contains(member);
            members.iter().copied().filter(both).collect()
        };
        if let Command::Opened { .. } = command {
            let members: Vec<NodeId> = form.members.iter().map(|member| member.node).collect();
            assert_eq!(members, topology.preference(partition).collect::<Vec<_>>(), "ring order");
        } else {
            assert_eq!(stay(&before.members), stay(&form.members), "members keep their order");
        }
    }

    /// After a command: what changed, and what must hold at any time.
    fn follow(&mut self, before: &Topology, command: &Command, outcome: Result<(), Void>, after: &Topology) {
        if outcome.is_err() {
            let mut same = before.state().clone();
            same.version = after.version();
            assert_eq!(&same, after.state(), "a void command changes nothing");
        }
        for (node, state) in after.nodes() {
            let earlier = before.node(node);
            assert!(state.session >= earlier.session, "sessions rise");
            let was_live = earlier.is_live && !after.is_live(Member { node, session: earlier.session });
            if was_live {
                self.ended.insert(Member { node, session: earlier.session });
            }
            let member = Member { node, session: state.session };
            assert!(!(state.is_live && self.ended.contains(&member)), "a session that ended lives again");
            self.stores.entry(member).or_insert(state.store);
            assert_eq!(self.stores[&member], state.store, "a session has one store");
        }
        if let (Command::Opened { partition, epoch, .. }, Ok(())) = (command, outcome) {
            let (form, is_open) = self.forms.get_mut(&(*partition, *epoch)).expect("it was formed");
            assert!(!std::mem::replace(is_open, true), "an epoch is opened once");
            assert!(
                form.members.iter().all(|member| !self.ended.contains(member)),
                "by members that all live"
            );
        }
        for partition in after.partitions() {
            let Some(form) = after.form(partition) else { continue };
            if before.form(partition) != Some(form) {
                self.check_form(before.form(partition), form, command, after);
                let known = self.forms.insert((partition, form.epoch), (form.clone(), false));
                assert!(known.is_none(), "I1: one form per epoch");
            }
            let live = form.members.iter().filter(|&&member| after.is_live(member)).count();
            assert!(
                form.members.len() == 1 || live == form.members.len(),
                "several members only if all live"
            );
            assert_eq!(after.is_headless(partition), live == 0);
            let chain = after.chain(partition);
            assert_eq!(
                chain.eligible,
                self.eligible(partition, after),
                "who may start partition {partition}"
            );
            let (_, is_open) = &self.forms[&(partition, form.epoch)];
            assert_eq!(chain.is_open(), *is_open);
        }
    }
}

struct Run {
    topology: Topology,
    model: Model,
    log: Vec<Command>,
    generations: Vec<Generation>,
    stores: u128,
}

impl Run {
    fn new() -> Self {
        let ring = Ring::new(&NAMES, 3).expect("the names differ");
        let topology = Topology::new(Arc::new(ring));
        let model = Model::default();
        Self { topology, model, log: Vec::new(), generations: vec![Generation(0)], stores: 100 }
    }

    fn generation(&self, is_old: bool) -> Generation {
        let at = self.generations.len() - 1;
        self.generations[if is_old { at.saturating_sub(1) } else { at }]
    }

    fn session(&self, node: usize, back: u64) -> Session {
        Session(self.topology.session(NodeId::at(node)).0.saturating_sub(back))
    }

    fn epoch(&self, partition: PartitionId, back: u64) -> Epoch {
        Epoch(self.topology.form(partition).map_or(0, |form| form.epoch.0).saturating_sub(back))
    }

    fn command(&mut self, wanted: &Try) -> Option<Command> {
        Some(match *wanted {
            Try::Register { node, is_other_store, back } => {
                let before = *self.topology.node(NodeId::at(node));
                self.stores += 1;
                let is_new = is_other_store || before.session == Session(0);
                let store = if is_new { StoreId(self.stores) } else { before.store };
                let (replaces, nonce) = (self.session(node, back), self.topology.version());
                Command::Register { node: NodeId::at(node), replaces, store, nonce }
            }
            Try::ControllerUp { node } => Command::ControllerUp { node: NodeId::at(node), nonce: 1 },
            Try::Down { node, back, is_old } => {
                let member = Member { node: NodeId::at(node), session: self.session(node, back) };
                Command::Down { member, generation: self.generation(is_old) }
            }
            Try::Opened { partition, back, who } => {
                let partition = PartitionId::at(partition);
                let form = self.topology.form(partition)?;
                let head = *form.members.get(who).unwrap_or(&form.members[0]);
                Command::Opened { partition, epoch: self.epoch(partition, back), head }
            }
            Try::Start { partition, node, back, is_old } => {
                let partition = PartitionId::at(partition);
                let member = Member { node: NodeId::at(node), session: self.session(node, 0) };
                let (epoch, generation) = (self.epoch(partition, back), self.generation(is_old));
                Command::Start { partition, epoch, member, generation }
            }
            Try::Synced { partition, node, back } => {
                let partition = PartitionId::at(partition);
                let member = Member { node: NodeId::at(node), session: self.session(node, 0) };
                Command::Synced { partition, epoch: self.epoch(partition, back), member }
            }
            Try::Again { back } => self.log.iter().rev().nth(back)?.clone(),
        })
    }

    fn apply(&mut self, wanted: &Try) {
        let Some(command) = self.command(wanted) else { return };
        let before = self.topology.clone();
        let version = before.version() + 1;
        let outcome = self.topology.apply(version, &command);
        if let Command::ControllerUp { .. } = command {
            self.generations.push(Generation(version));
        }
        self.model.follow(&before, &command, outcome, &self.topology);
        self.log.push(command);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn every_transition_keeps_the_rules(tries in prop::collection::vec(tries(), 0..160)) {
        let mut run = Run::new();
        for wanted in &tries {
            run.apply(wanted);
        }
    }

    /// The same log gives the same topology, with a snapshot in between or without.
    #[test]
    fn a_snapshot_in_between_changes_nothing(tries in prop::collection::vec(tries(), 1..80), at in any::<prop::sample::Index>()) {
        let mut run = Run::new();
        for wanted in &tries {
            run.apply(wanted);
        }
        let ring = Arc::new(run.topology.ring().clone());
        let mut topology = Topology::new(Arc::clone(&ring));
        for (place, command) in run.log.iter().enumerate() {
            if place == at.index(tries.len()) {
                let text = serde_json::to_string(topology.state()).expect("plain data");
                let state = serde_json::from_str(&text).expect("as it was written");
                topology = Topology::restore(Arc::clone(&ring), state).expect("of the same ring");
            }
            topology.apply(place as u64 + 1, command).ok();
        }
        prop_assert_eq!(topology.state(), run.topology.state());
    }
}

/// What the random runs meet, so that they cannot pass by meeting nothing.
#[test]
fn random_runs_meet_every_kind_of_change() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    let mut runner = TestRunner::deterministic();
    let mut met: BTreeSet<String> = BTreeSet::new();
    for _ in 0..300 {
        let tries = prop::collection::vec(tries(), 160).new_tree(&mut runner).expect("a value").current();
        let mut run = Run::new();
        for wanted in &tries {
            let Some(command) = run.command(wanted) else { continue };
            let outcome = run.topology.clone().apply(run.topology.version() + 1, &command);
            let name = format!("{command:?}").split_whitespace().next().expect("a name").to_owned();
            let kind = outcome.map_or_else(|void| format!("{void:?}"), |()| "done".to_owned());
            met.insert(format!("{name} {kind}"));
            let epochs = |topology: &Topology| -> Vec<u64> {
                topology.partitions().map(|id| topology.form(id).map_or(0, |form| form.epoch.0)).collect()
            };
            let before = epochs(&run.topology);
            run.apply(wanted);
            if name == "Opened" && before != epochs(&run.topology) {
                met.insert("reordered".into());
            }
        }
    }
    for wanted in [
        "Down Ended",
        "Down OtherGeneration",
        "Down done",
        "Opened Already",
        "Opened Ended",
        "Opened OtherEpoch",
        "Opened done",
        "Register OtherSession",
        "Register OtherStore",
        "Register done",
        "Start Alive",
        "Start Ended",
        "Start NotEligible",
        "Start OtherEpoch",
        "Start OtherGeneration",
        "Start done",
        "Synced Already",
        "Synced Ended",
        "Synced NoSuch",
        "Synced OtherEpoch",
        "Synced done",
        "reordered",
    ] {
        assert!(met.contains(wanted), "no run met {wanted}: {met:?}");
    }
}
