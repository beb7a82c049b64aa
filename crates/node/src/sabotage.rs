//! Safeguards taken away on purpose, so that whoever looks for wrong answers can be seen to find them.
//!
//! This is in no ordinary build: only the feature `sabotage` compiles it, for the binary `simpledynamo-sabotaged`. Even
//! there a node behaves unless the environment variable [`VARIABLE`] names what it is to leave out. The core has no
//! switch for any of this: each is brought about from outside, by the driver around it.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use simpledynamo_chain::{
    Apply, Change, Effects, Entry, Envelope, Event, Message, Millis, Node, Operation, Outcome, Part, Persist,
    Query, Reading,
};
use simpledynamo_topology::{PartitionId, Session};
use tokio::task::spawn_local;
use tokio::time::sleep;

use crate::control::FromControl;
use crate::core::engine::Engine;

/// Names the safeguard that is left out.
const VARIABLE: &str = "SIMPLEDYNAMO_SABOTAGE";

/// How long a node denies that its session has ended: time enough to be asked something.
const DENIAL: Duration = Duration::from_secs(2);

/// How late changes are written that were reported long before: time enough to kill a whole ring.
const WRITE_DELAY: Duration = Duration::from_millis(50);

/// Dirty reads: one in so many times, a member takes entries late, while those above it show them already.
const HESITATES_ONCE_IN: u64 = 16;

/// How late: time enough for clients to read above and then below.
const HESITATION: Duration = Duration::from_millis(20);

/// When the answer to a write counts as late: on a healthy ring none is.
const LATE: Duration = Duration::from_millis(300);

/// A safeguard that is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sabotage {
    /// Reads are answered without a lease, and the node denies that its session has ended.
    StaleReads,
    /// A member answers from its newest version, committed or not.
    DirtyReads,
    /// Entries are reported durable long before they are written.
    EarlyDurability,
    /// A write whose answer is late is sent again under another op id.
    DoubleWrites,
    /// The data of a joiner does not receive what the joiner missed.
    ForgetfulRecovery,
}

const ALL: [(&str, Sabotage); 5] = [
    ("stale-reads", Sabotage::StaleReads),
    ("dirty-reads", Sabotage::DirtyReads),
    ("early-durability", Sabotage::EarlyDurability),
    ("double-writes", Sabotage::DoubleWrites),
    ("forgetful-recovery", Sabotage::ForgetfulRecovery),
];

static CHOSEN: OnceLock<Sabotage> = OnceLock::new();

fn is(sabotage: Sabotage) -> bool {
    CHOSEN.get() == Some(&sabotage)
}

/// Finds out what is to be left out.
///
/// # Errors
/// When that is nothing known.
pub(crate) fn choose() -> Result<(), String> {
    let Some(value) = std::env::var_os(VARIABLE) else { return Ok(()) };
    let Some(&(name, sabotage)) = ALL.iter().find(|(name, _)| value == *name) else {
        let known = ALL.map(|(name, _)| name).join(", ");
        return Err(format!("{VARIABLE} is {}: give one of {known}", value.display()));
    };
    CHOSEN.get_or_init(|| sabotage);
    tracing::warn!("{VARIABLE} is {name}: this node gives wrong answers, and may lose what it acknowledged");
    Ok(())
}

/// Stale reads: a lease never ends, and a topology without this process's session is taken late.
pub(crate) async fn hear(heard: FromControl, engine: &Engine) -> FromControl {
    match heard {
        FromControl::Lease { version, .. } if is(Sabotage::StaleReads) => {
            FromControl::Lease { until: Millis::MAX, version }
        }
        FromControl::Topology { session, .. } if is(Sabotage::StaleReads) => {
            let believed = engine.look(|node| node.me().session);
            if believed != Session(0) && believed != session {
                sleep(DENIAL).await;
            }
            heard
        }
        heard => heard,
    }
}

/// Dirty reads: what this node's replica answers, if it serves and has anything that is not in its data yet.
pub(crate) fn dirty(node: &Node, partition: PartitionId, query: &Query) -> Option<Reading> {
    let Query::Get { key, part: part @ (Part::Value | Part::Meta) } = query else { return None };
    if !is(Sabotage::DirtyReads) {
        return None;
    }
    let replica = node.replicas().get(&partition).filter(|replica| replica.is_serving())?;
    let mut newest_first = replica.log().entries.iter().rev();
    let newest = newest_first.find(|entry| entry.key.key() == *key && entry.change != Change::Keep)?;
    Some(newest.record().map_or(Reading::Absent, |record| Reading::Present {
        version: record.version,
        expires_at: record.expires_at,
        due: false,
        length: record.value.len() as u64,
        bytes: if *part == Part::Value { record.value } else { Bytes::new() },
    }))
}

/// Dirty reads: answers another node's question in the same way. Any other event is returned, to be taken.
pub(crate) fn unanswered(event: Event, node: &Node, effects: &mut Effects) -> Option<Event> {
    hesitate(&event);
    if let Event::Message(envelope @ Envelope { partition, message: Message::Read { id, query }, .. }) =
        &event
        && envelope.to == node.me()
        && let Some(reading) = dirty(node, *partition, query)
    {
        effects.send.push(envelope.answer(Message::ReadDone { id: *id, reading }));
        return None;
    }
    Some(event)
}

/// Dirty reads: makes sure that they can be noticed. Chains of a healthy ring on one machine pass an entry on so fast that
/// whoever reads above and then below rarely finds the members apart.
fn hesitate(event: &Event) {
    static TAKEN: AtomicU64 = AtomicU64::new(0);
    if is(Sabotage::DirtyReads)
        && let Event::Message(Envelope { message: Message::Append { .. }, .. }) = event
        && TAKEN.fetch_add(1, Ordering::Relaxed).is_multiple_of(HESITATES_ONCE_IN)
    {
        std::thread::sleep(HESITATION);
    }
}

/// Early durability: entries that are about to be handed to the disk count as durable.
pub(crate) fn report_early(engine: &Engine, changes: &[Persist]) {
    let is_entry = |change: &&Persist| matches!(change, Persist::Append { .. });
    let entries: Vec<Persist> = changes.iter().filter(is_entry).cloned().collect();
    if is(Sabotage::EarlyDurability) && !entries.is_empty() {
        engine.take(Event::Persisted(entries));
    }
}

/// Early durability: the log's thread takes its time.
pub(crate) fn delay_writing() {
    if is(Sabotage::EarlyDurability) {
        std::thread::sleep(WRITE_DELAY);
    }
}

/// Double writes: starts the same write again whenever its answer has been late.
pub(crate) fn again_if_late(
    engine: &Rc<Engine>,
    key: &Bytes,
    operation: &Operation,
    waiter: impl FnOnce(Outcome) + 'static,
) -> impl FnOnce(Outcome) + 'static {
    let is_answered = Rc::new(Cell::new(false));
    if is(Sabotage::DoubleWrites) {
        let (engine, key, operation) = (Rc::clone(engine), key.clone(), operation.clone());
        let is_answered = Rc::clone(&is_answered);
        spawn_local(async move {
            sleep(LATE).await;
            if !is_answered.get() {
                engine.write(key, operation, drop);
            }
        });
    }
    move |outcome| {
        is_answered.set(true);
        waiter(outcome);
    }
}

/// Forgetful recovery: what a joiner was sent changes nothing in its data, though its log says that it did.
pub(crate) fn forget(node: &Node, changes: &mut [Apply]) {
    if !is(Sabotage::ForgetfulRecovery) {
        return;
    }
    for change in changes {
        if let Apply::Entry(partition, entry) = change
            && node.replicas()[partition].progress().is_some()
        {
            *entry = Arc::new(Entry { change: Change::Keep, ..Entry::clone(entry) });
        }
    }
}
