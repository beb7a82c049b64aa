//! The phases that go step by step: one operation after the other, and what each must come to.

use std::rc::Rc;

use bytes::Bytes;
use fastrand::Rng;

use crate::asker::Asker;
use crate::call::{Call, Told};
use crate::fault::FaultKind;
use crate::injector::Injector;
use crate::listing::Selection;
use crate::servers::{self, Shared};
use crate::workload::Workload;

/// Who works step by step.
const CLIENT: u32 = 0;

/// One client that knows what it expects.
struct Script {
    shared: Rc<Shared>,
    asker: Asker,
}

impl Script {
    fn new(shared: &Rc<Shared>, phase: u8) -> Self {
        Self { shared: Rc::clone(shared), asker: Asker::new(shared, CLIENT, phase) }
    }

    fn nodes(&self) -> usize {
        self.shared.servers.len()
    }

    fn name(&self, node: usize) -> &str {
        &self.shared.servers[node].name
    }

    /// Asks, and expects just that answer.
    async fn expect(&mut self, node: usize, key: &Bytes, call: Call, expected: Told) -> Result<(), String> {
        let asked = format!("{} of {}", call.kind(), String::from_utf8_lossy(key));
        if !self.asker.reach(node).await {
            return Err(format!("{} cannot be reached for {asked}", self.name(node)));
        }
        match self.asker.ask(node, key, call).await {
            Some(told) if told == expected => Ok(()),
            Some(told) => {
                Err(format!("{} answered {asked} with {told:?}, not {expected:?}", self.name(node)))
            }
            None => Err(format!("{} did not answer {asked}", self.name(node))),
        }
    }

    /// Every node tells this value.
    async fn expect_everywhere(&mut self, key: &Bytes, value: Option<&Bytes>) -> Result<(), String> {
        let expected = value.map_or(Told::Nothing, |value| Told::Value(value.clone()));
        for node in 0..self.nodes() {
            self.expect(node, key, Call::Get, expected.clone()).await?;
        }
        Ok(())
    }

    async fn list(&mut self, node: usize, selection: Selection, keys: &[Bytes]) -> Result<(), String> {
        if !self.asker.reach(node).await {
            return Err(format!("{} cannot be reached for a listing", self.name(node)));
        }
        let listed = self.asker.list(node, selection, keys).await;
        listed.map_err(|error| format!("{} did not answer a listing: {error}", self.name(node)))
    }

    /// `*` and `@` of every node.
    async fn list_everywhere(&mut self, keys: &[Bytes]) -> Result<(), String> {
        for node in 0..self.nodes() {
            self.list(node, Selection::Ring, keys).await?;
            self.list(node, Selection::Node, keys).await?;
        }
        Ok(())
    }
}

fn value(phase: u8, number: usize) -> Bytes {
    Bytes::from(format!("{phase}.value.{number}"))
}

/// The first phase: each operation through one node, what it did through all. That a key is in the `@` of exactly its
/// nodes is checked with each listing: a key that is missing counts as a read of nothing, and one that is too many as a
/// problem.
pub(crate) async fn basics(shared: &Rc<Shared>, workload: &Workload) -> Result<(), String> {
    let phase = workload.phase;
    let keys: Vec<Bytes> = workload.names().cloned().collect();
    let mut script = Script::new(shared, phase);
    let nodes = script.nodes();
    for (number, key) in keys.iter().enumerate() {
        script.expect_everywhere(key, None).await?;
        let value = value(phase, number);
        script.expect(number % nodes, key, Call::Set(value.clone()), Told::Ok).await?;
        script.expect_everywhere(key, Some(&value)).await?;
    }
    script.list_everywhere(&keys).await?;
    for (number, key) in keys.iter().enumerate() {
        let (old, new) = (value(phase, number), value(phase, number + keys.len()));
        let node = (number + 1) % nodes;
        script.expect(node, key, Call::SetNx(new.clone()), Told::Nothing).await?;
        let ifeq = Call::SetIfeq { value: new.clone(), expected: old };
        script.expect(node, key, ifeq, Told::Ok).await?;
        script.expect_everywhere(key, Some(&new)).await?;
        script.expect((number + 2) % nodes, key, Call::Del, Told::Integer(1)).await?;
        script.expect((number + 3) % nodes, key, Call::Del, Told::Integer(0)).await?;
        script.expect_everywhere(key, None).await?;
    }
    script.list_everywhere(&keys).await?;
    for (number, key) in keys.iter().enumerate() {
        for sum in 1..=2 {
            script.expect((number + sum) % nodes, key, Call::Incr, Told::Integer(sum as i64)).await?;
        }
        script.expect_everywhere(key, Some(&Bytes::from_static(b"2"))).await?;
    }
    script.list_everywhere(&keys).await
}

/// What the fourth phase does while a node is down.
#[derive(Clone, Copy, Debug)]
enum Deed {
    Insert,
    Overwrite,
    InsertIfAbsent,
    Query,
    Delete,
    Count,
    ListNode,
    ListRing,
}

const DEEDS: [Deed; 8] = [
    Deed::Insert,
    Deed::Query,
    Deed::Delete,
    Deed::ListNode,
    Deed::ListRing,
    Deed::Overwrite,
    Deed::InsertIfAbsent,
    Deed::Count,
];

/// The fourth phase: for each operation, one of its key's nodes crashes before it and recovers after it. Each must be
/// answered, and be seen through every node once all are back.
pub(crate) async fn one_by_one(
    injector: &mut Injector<'_>,
    workload: &Workload,
    seed: u64,
) -> Result<(), String> {
    let shared = Rc::clone(injector.shared);
    let keys: Vec<Bytes> = workload.names().cloned().collect();
    let mut rng = Rng::with_seed(seed ^ u64::from(workload.phase));
    let mut script = Script::new(&shared, workload.phase);
    for (number, deed) in DEEDS.into_iter().enumerate() {
        let key = &keys[number % keys.len()];
        let before = value(workload.phase, number);
        let helper = rng.usize(..script.nodes());
        if !matches!(deed, Deed::Insert | Deed::InsertIfAbsent | Deed::Count) {
            script.expect(helper, key, Call::Set(before.clone()), Told::Ok).await?;
        }
        let keepers = keepers(&shared, key);
        let victim = keepers[rng.usize(..keepers.len())];
        let node = (victim + rng.usize(1..script.nodes())) % script.nodes();
        injector.crash(victim, format!("{} is down for {deed:?}", script.name(victim)));
        let after = script.carry_out(deed, node, key, &before, &keys).await?;
        injector.recover(victim).await?;
        script.expect_everywhere(key, after.as_ref()).await?;
        // The next deed finds nothing there.
        script.expect(node, key, Call::Del, Told::Integer(i64::from(after.is_some()))).await?;
    }
    script.list_everywhere(&keys).await
}

impl Script {
    /// Does it, and returns what the key holds then.
    async fn carry_out(
        &mut self,
        deed: Deed,
        node: usize,
        key: &Bytes,
        before: &Bytes,
        keys: &[Bytes],
    ) -> Result<Option<Bytes>, String> {
        let new = Bytes::from(format!("{} again", String::from_utf8_lossy(before)));
        match deed {
            Deed::Insert | Deed::Overwrite => {
                self.expect(node, key, Call::Set(new.clone()), Told::Ok).await?;
                Ok(Some(new))
            }
            Deed::InsertIfAbsent => {
                self.expect(node, key, Call::SetNx(new.clone()), Told::Ok).await?;
                Ok(Some(new))
            }
            Deed::Query => {
                self.expect(node, key, Call::Get, Told::Value(before.clone())).await?;
                Ok(Some(before.clone()))
            }
            Deed::Delete => {
                self.expect(node, key, Call::Del, Told::Integer(1)).await?;
                Ok(None)
            }
            Deed::Count => {
                self.expect(node, key, Call::Incr, Told::Integer(1)).await?;
                Ok(Some(Bytes::from_static(b"1")))
            }
            Deed::ListNode => {
                self.list(node, Selection::Node, keys).await?;
                Ok(Some(before.clone()))
            }
            Deed::ListRing => {
                self.list(node, Selection::Ring, keys).await?;
                Ok(Some(before.clone()))
            }
        }
    }
}

impl Injector<'_> {
    /// A node crashes.
    fn crash(&mut self, node: usize, words: String) {
        self.begin(FaultKind::Kill, words, &[node]);
        self.ring.kill(node);
    }

    /// The node that crashed last is started again, and all is well.
    async fn recover(&mut self, node: usize) -> Result<(), String> {
        self.launch(node)?;
        self.end(self.spans.len() - 1);
        self.ring.whole().await
    }
}

/// The servers that keep a key, by their places.
fn keepers(shared: &Shared, key: &[u8]) -> Vec<usize> {
    let Some(ring) = &shared.ring else { return Vec::new() };
    let place = |name: &str| shared.servers.iter().position(|server| *server.name == *name);
    servers::keepers(ring, key).filter_map(place).collect()
}
