//! Deletes pairs when their time has come.
//!
//! Each node looks after the partitions of which it is the head: only the head's clock decides, and the
//! deletion is a write like any other.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use simpledynamo_chain::{DataKey, Operation, Outcome, Records, Replica, Reply};
use simpledynamo_ring::Token;
use simpledynamo_storage::Data;
use simpledynamo_topology::PartitionId;
use tokio::time::sleep;

use crate::clients::server::Server;
use crate::clock;
use crate::core::engine::Engine;
use crate::fatal;

/// How often expired pairs are looked for. Reads never show one: this only bounds how long it takes up room.
const SWEEP_INTERVAL: Duration = Duration::from_millis(100);

/// Pairs looked at in one sweep, those included that another node's head has to delete.
const SWEEP_MAX: usize = 1_024;

/// Deletions in flight at once: expiring pairs must not crowd out clients.
const LAPSES_MAX: usize = 64;

/// Deletes what has expired, for as long as the node runs.
pub(crate) async fn sweep(server: Rc<Server>) {
    let engine = &server.engine;
    loop {
        sleep(SWEEP_INTERVAL).await;
        let heads = engine.look(|node| {
            let mine = |(id, replica): (&PartitionId, &Replica)| {
                let form = replica.form().filter(|_| replica.is_serving())?;
                (form.head() == node.me()).then_some(*id)
            };
            node.replicas().iter().filter_map(mine).collect::<BTreeSet<PartitionId>>()
        });
        if heads.is_empty() {
            continue;
        }
        let due = engine.records().0.due(clock::unix_millis(), SWEEP_MAX);
        let due = due.unwrap_or_else(|error| fatal::stop_for(&error));
        let mine: Vec<DataKey> =
            due.into_iter().filter(|key| heads.contains(&partition_of(engine, key))).collect();
        for batch in mine.chunks(LAPSES_MAX) {
            server.counters.expired.add(delete(engine, batch).await);
        }
    }
}

fn partition_of(engine: &Engine, key: &DataKey) -> PartitionId {
    let index = engine.look(|node| node.topology().ring().partition_of(Token::of(&key.key())));
    PartitionId(u16::try_from(index).expect("at most 65,535 partitions"))
}

/// Deletes those that the head's clock finds expired, and returns how many that were.
async fn delete(engine: &Rc<Engine>, keys: &[DataKey]) -> usize {
    let started = keys.iter().filter_map(|key| {
        let record = engine.records().get(key)?;
        Some(engine.start_write(key.key(), Operation::Lapse { version: record.version }))
    });
    let mut deleted = 0;
    for lapse in started.collect::<Vec<_>>() {
        // One that failed is met again by the next sweep, or by a reader.
        let outcome = lapse.outcome().await;
        deleted += usize::from(matches!(outcome, Outcome::Written { reply: Reply::Done, .. }));
    }
    deleted
}
