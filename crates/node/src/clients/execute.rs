//! Carries out plans that concern more than one key.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::rc::Rc;

use bytes::Bytes;
use simpledynamo_chain::{Condition, Item, Operation, Outcome, Part, Query, Reading, Reply};
use simpledynamo_topology::PartitionId;
use simpledynamo_wire::resp::Value;

use crate::clients::counters::Counters;
use crate::clients::walk::{self, POSITIONS, Stretch, Wanted};
use crate::clock;
use crate::commands::{
    Gather, KeyStep, RingPlan, Selection, Tally, gather, keys_reply, query_reply, scan_reply, unavailable,
    unknown, unread,
};
use crate::core::engine::{Engine, Started};

/// Writes of one command that are worked on at once: enough to fill a batch on each disk, few enough that one
/// client's long list does not crowd out the others.
const STEPS_AT_ONCE: usize = 256;

/// Reads of one command that are worked on at once: each may bring the longest value.
const READS_AT_ONCE: usize = 16;

/// Bytes of values that one reply may gather.
const REPLY_BYTES_MAX: usize = 64 << 20;

/// Keys that `KEYS` returns at most; beyond, `SCAN` is the command to use.
const KEYS_MAX: usize = 100_000;

/// Pairs looked at per page when a command walks the whole ring by itself.
const WALK_PAGE: u32 = 512;

/// Does several steps and makes one reply of them. Steps on the same key keep their order.
pub(crate) async fn steps(
    engine: &Rc<Engine>,
    counters: &Counters,
    steps: Vec<KeyStep>,
    how: Gather,
) -> Value {
    let mut outcomes = Vec::with_capacity(steps.len());
    let mut bytes = 0;
    let mut rest = &steps[..];
    while !rest.is_empty() {
        let (batch, after) = rest.split_at(distinct(rest));
        rest = after;
        let started: Vec<Started> = batch.iter().map(|step| start(engine, step)).collect();
        for (step, started) in batch.iter().zip(started) {
            let outcome = finish(engine, step, started).await;
            counters.read(&outcome);
            if let Outcome::Read(Reading::Present { bytes: value, .. }) = &outcome {
                bytes += value.len();
            }
            outcomes.push(outcome);
        }
        if bytes > REPLY_BYTES_MAX {
            let limit = REPLY_BYTES_MAX >> 20;
            return Value::Error(
                format!("ERR the reply would exceed {limit} MiB: ask for fewer keys").into(),
            );
        }
    }
    gather(how, &steps, outcomes, clock::unix_millis())
}

/// How many of the next steps can be under way together: no two writes on one key.
fn distinct(steps: &[KeyStep]) -> usize {
    if matches!(steps.first(), Some(KeyStep::Read { .. })) {
        return steps.len().min(READS_AT_ONCE);
    }
    let mut keys = HashSet::new();
    steps.iter().take(STEPS_AT_ONCE).take_while(|step| keys.insert(step.key())).count()
}

fn start(engine: &Rc<Engine>, step: &KeyStep) -> Started {
    match step {
        KeyStep::Write { key, operation, .. } => engine.start_write(key.clone(), operation.clone()),
        KeyStep::Read { key, part, .. } => engine.start_read(Query::Get { key: key.clone(), part: *part }),
    }
}

async fn finish(engine: &Rc<Engine>, step: &KeyStep, started: Started) -> Outcome {
    let outcome = started.outcome().await;
    match step {
        KeyStep::Write { .. } => outcome,
        KeyStep::Read { key, part, .. } => {
            let settled = walk::settle_reading(engine, key.clone(), *part, outcome).await;
            settled.map_or_else(|failed| failed, Outcome::Read)
        }
    }
}

/// Does what concerns many keys of the ring.
pub(crate) async fn ring(engine: &Rc<Engine>, plan: RingPlan) -> Value {
    let done = match plan {
        RingPlan::Scan { cursor, count, pattern, any_type } => {
            scan(engine, cursor, Wanted { count, values: false, pattern }, any_type).await
        }
        RingPlan::Keys(pattern) => keys(engine, pattern).await,
        RingPlan::Count => {
            walk::count(engine).await.map(|counts| integer(counts.keys)).map_err(|failed| unread(&failed))
        }
        RingPlan::Random => random(engine).await,
        RingPlan::Flush => delete_all(engine, &Selection::Ring).await.map(|_| Value::Simple("OK".into())),
        RingPlan::Query { selection, cursor, count } => query(engine, selection, cursor, count).await,
        RingPlan::Delete(Selection::Key(key)) => delete_one(engine, key).await,
        RingPlan::Delete(selection) => delete_all(engine, &selection).await.map(integer),
        RingPlan::Info(_) | RingPlan::Describe => unreachable!("the server tells about itself"),
    };
    done.unwrap_or_else(|error| error)
}

fn integer(number: u64) -> Value {
    Value::Integer(i64::try_from(number).unwrap_or(i64::MAX))
}

fn stretches(engine: &Engine, selection: &Selection) -> Vec<Stretch> {
    engine.look(|node| {
        let is_wanted = |partition: PartitionId| match selection {
            Selection::Node => node.replicas().contains_key(&partition),
            Selection::Ring | Selection::Key(_) => true,
        };
        walk::stretches(node.topology().ring(), is_wanted)
    })
}

async fn page(
    engine: &Rc<Engine>,
    selection: &Selection,
    cursor: u64,
    wanted: &Wanted,
) -> Result<(Vec<Item>, Option<u64>), Value> {
    walk::page(engine, &stretches(engine, selection), cursor, wanted).await.map_err(|failed| unread(&failed))
}

async fn scan(engine: &Rc<Engine>, cursor: u64, wanted: Wanted, any_type: bool) -> Result<Value, Value> {
    let (items, next) = page(engine, &Selection::Ring, cursor, &wanted).await?;
    // Every pair is a string: asked for another type, the walk goes on but finds nothing.
    let keys = items.into_iter().filter(|_| any_type).map(|item| item.key).collect();
    Ok(scan_reply(next.unwrap_or(0), keys))
}

async fn keys(engine: &Rc<Engine>, pattern: Bytes) -> Result<Value, Value> {
    let wanted = Wanted { count: WALK_PAGE, values: false, pattern: Some(pattern) };
    let (mut keys, mut bytes, mut cursor) = (Vec::new(), 0, 0);
    loop {
        let (items, next) = page(engine, &Selection::Ring, cursor, &wanted).await?;
        bytes += items.iter().map(|item| item.key.len()).sum::<usize>();
        keys.extend(items.into_iter().map(|item| item.key));
        if keys.len() > KEYS_MAX || bytes > REPLY_BYTES_MAX {
            let text = format!("ERR more than {KEYS_MAX} keys match: use SCAN with MATCH instead of KEYS");
            return Err(Value::Error(text.into()));
        }
        match next {
            Some(next) => cursor = next,
            None => return Ok(keys_reply(keys)),
        }
    }
}

/// The first key after a random point of the circle: quick, and uneven as the gaps between keys are.
async fn random(engine: &Rc<Engine>) -> Result<Value, Value> {
    let wanted = Wanted { count: 1, values: false, pattern: None };
    let start = RandomState::new().hash_one(()) % POSITIONS;
    let mut found = page(engine, &Selection::Ring, start, &wanted).await?.0;
    if found.is_empty() {
        found = page(engine, &Selection::Ring, 0, &wanted).await?.0;
    }
    Ok(found.into_iter().next().map_or(Value::Null, |item| Value::Bulk(item.key)))
}

async fn query(engine: &Rc<Engine>, selection: Selection, cursor: u64, count: u32) -> Result<Value, Value> {
    if let Selection::Key(key) = selection {
        let reading = walk::read(engine, key.clone(), Part::Value).await.map_err(|failed| unread(&failed))?;
        let pairs = match reading {
            Reading::Present { bytes, .. } => vec![(key, bytes)],
            _ => Vec::new(),
        };
        return Ok(query_reply(0, pairs));
    }
    let wanted = Wanted { count, values: true, pattern: None };
    let (items, next) = page(engine, &selection, cursor, &wanted).await?;
    Ok(query_reply(next.unwrap_or(0), items.into_iter().map(|item| (item.key, item.value)).collect()))
}

fn deletion() -> Operation {
    Operation::Delete { condition: Condition::Always, want_old: false }
}

async fn delete_one(engine: &Rc<Engine>, key: Bytes) -> Result<Value, Value> {
    match engine.write_and_wait(key, deletion()).await {
        Outcome::Written { reply, .. } => Ok(integer(u64::from(reply == Reply::Done))),
        Outcome::Unavailable(refusal) => Err(unavailable(refusal)),
        _ => Err(unknown()),
    }
}

/// Deletes every pair of a selection, one by one, and returns how many there were.
async fn delete_all(engine: &Rc<Engine>, selection: &Selection) -> Result<u64, Value> {
    let wanted = Wanted { count: WALK_PAGE, values: false, pattern: None };
    let (mut tally, mut deleted, mut cursor) = (Tally::default(), 0, 0);
    loop {
        let (items, next) = match page(engine, selection, cursor, &wanted).await {
            Ok(page) => page,
            Err(error) if deleted == 0 => return Err(error),
            Err(_) => {
                let text = format!(
                    "PARTIAL {deleted} keys are deleted; the rest of the ring did not answer in time"
                );
                return Err(Value::Error(text.into()));
            }
        };
        for batch in items.chunks(STEPS_AT_ONCE) {
            let started: Vec<Started> =
                batch.iter().map(|item| engine.start_write(item.key.clone(), deletion())).collect();
            for deletion in started {
                let outcome = deletion.outcome().await;
                tally.count(&outcome);
                deleted += u64::from(matches!(outcome, Outcome::Written { reply: Reply::Done, .. }));
            }
        }
        // Keys that were not there any more are done, too; so the tally, not the count, tells what is certain.
        if let Some(error) = tally.error("deleted") {
            return Err(error);
        }
        match next {
            Some(next) => cursor = next,
            None => return Ok(deleted),
        }
    }
}
