//! After a phase: what is left, asked of every node.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use bytes::Bytes;
use simpledynamo_ring::Ring;
use tokio::task::JoinSet;

use crate::asker::Asker;
use crate::call::Call;
use crate::judge::FIRST_READER;
use crate::listing::Selection;
use crate::servers::{Shared, keepers};

/// Reads every key through every server, all servers at the same time.
pub(crate) async fn read_everywhere(shared: &Rc<Shared>, phase: u8, keys: &[Bytes]) {
    let keys: Rc<[Bytes]> = keys.into();
    let mut readers = JoinSet::new();
    for node in 0..shared.servers.len() {
        let (shared, keys) = (Rc::clone(shared), Rc::clone(&keys));
        readers.spawn_local(async move {
            let mut asker = reader(&shared, node, phase);
            for key in &*keys {
                if !asker.reach(node).await || asker.ask(node, key, Call::Get).await.is_none() {
                    let name = &shared.servers[node].name;
                    let key = String::from_utf8_lossy(key);
                    let problem = format!("{name} did not tell what is left of {key}");
                    shared.log.borrow_mut().problem(problem);
                }
            }
        });
    }
    while readers.join_next().await.is_some() {}
}

/// Lists everything through every node, and what each node stores, and writes down what that says of these keys.
pub(crate) async fn list_everywhere(shared: &Rc<Shared>, keys: &[Bytes]) {
    for node in 0..shared.servers.len() {
        let mut asker = reader(shared, node, 0);
        for selection in [Selection::Ring, Selection::Node] {
            let listed = match asker.reach(node).await {
                true => asker.list(node, selection, keys).await,
                false => Err("it cannot be reached".to_owned()),
            };
            if let Err(error) = listed {
                let name = &shared.servers[node].name;
                shared.log.borrow_mut().problem(format!("{name} did not list what is left: {error}"));
            }
        }
    }
}

/// Compares the replicas: each pair is stored by exactly the nodes that should, and they agree on it. The differences,
/// in words.
pub(crate) async fn compare_replicas(shared: &Rc<Shared>, ring: &Ring) -> Vec<String> {
    let mut stored = BTreeMap::new();
    let mut problems = Vec::new();
    for (node, server) in shared.servers.iter().enumerate() {
        let mut asker = reader(shared, node, 0);
        let listed = match asker.reach(node).await {
            true => asker.pairs(node, Selection::Node).await,
            false => Err("it cannot be reached".to_owned()),
        };
        match listed {
            Ok(pairs) => drop(stored.insert(server.name.to_string(), pairs)),
            Err(error) => problems.push(format!("{} did not list what it stores: {error}", server.name)),
        }
    }
    if problems.is_empty() {
        problems = differences(&stored, ring);
    }
    problems
}

fn reader(shared: &Rc<Shared>, node: usize, phase: u8) -> Asker {
    let number = u32::try_from(node).expect("few nodes");
    Asker::new(shared, FIRST_READER + number, phase)
}

/// What the pairs that nodes store have wrong.
fn differences(stored: &BTreeMap<String, BTreeMap<Bytes, Bytes>>, ring: &Ring) -> Vec<String> {
    let keys: BTreeSet<&Bytes> = stored.values().flat_map(BTreeMap::keys).collect();
    let mut problems = Vec::new();
    for key in keys {
        let keepers: BTreeSet<&str> = keepers(ring, key).collect();
        let holders: BTreeMap<&str, &Bytes> =
            stored.iter().filter_map(|(name, pairs)| Some((&**name, pairs.get(key)?))).collect();
        let names: BTreeSet<&str> = holders.keys().copied().collect();
        let shown = String::from_utf8_lossy(key);
        if names != keepers {
            problems.push(format!("{shown} is stored by {names:?} and should be by {keepers:?}"));
        } else if holders.values().collect::<BTreeSet<_>>().len() > 1 {
            problems.push(format!("replicas differ: {shown} is {holders:?}"));
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_surplus_and_differing_replicas_are_found() {
        let names = ["5554", "5556", "5558", "5560", "5562"];
        let ring = Ring::new(&names, 3).expect("a ring");
        let key = Bytes::from_static(b"k");
        let keepers: Vec<&str> = keepers(&ring, &key).collect();
        let other = names.into_iter().find(|name| !keepers.contains(name)).expect("five nodes");
        let stored = |holders: &[(&str, &'static str)]| {
            let mut stored: BTreeMap<String, BTreeMap<Bytes, Bytes>> = BTreeMap::new();
            for (name, value) in holders {
                stored.entry((*name).to_owned()).or_default().insert(key.clone(), Bytes::from(*value));
            }
            differences(&stored, &ring)
        };
        let [a, b, c] = keepers[..] else { panic!("three replicas") };
        assert_eq!(stored(&[(a, "v"), (b, "v"), (c, "v")]), Vec::<String>::new());
        assert!(stored(&[(a, "v"), (b, "v")])[0].contains("is stored by"), "one is missing");
        assert!(stored(&[(a, "v"), (b, "v"), (c, "v"), (other, "v")])[0].contains("is stored by"));
        assert!(stored(&[(a, "v"), (b, "w"), (c, "v")])[0].contains("replicas differ"));
    }
}
