//! One client: it works through its sequence, and rests a little in between.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use tokio::time::sleep;

use crate::asker::Asker;
use crate::call::{Call, Told};
use crate::listing::Selection;
use crate::servers::Shared;
use crate::workload::{Sequence, Step, Values, What, Workload};

/// How long it rests when it can reach no node at all.
const NOBODY_PAUSE: Duration = Duration::from_millis(20);

/// Works through a sequence until it is over.
pub(crate) async fn work(
    shared: Rc<Shared>,
    workload: Rc<Workload>,
    client: u32,
    mut sequence: Sequence,
    is_over: Rc<Cell<bool>>,
) {
    let mut asker = Asker::new(&shared, client, workload.phase);
    let mut values = Values::new(workload.phase, client);
    let mut home = client as usize % shared.servers.len();
    while !is_over.get() && !shared.log.borrow().is_full() {
        let Step { what, node, second_look, pause_micros } = sequence.next();
        home = node.unwrap_or(home);
        // Whoever can be reached is asked: what is asked, and in which order, follows from the seed alone.
        let mut node = shared.near(home);
        while !asker.reach(node).await {
            if is_over.get() {
                return;
            }
            sleep(NOBODY_PAUSE).await;
            node = shared.near(home);
        }
        match what {
            What::ListNode => drop(asker.list(node, Selection::Node, workload.names()).await),
            What::ListRing => drop(asker.list(node, Selection::Ring, workload.names()).await),
            What::Operation(kind, key) => {
                let (call, name) = (values.call(kind, key), &workload.keys[key].name);
                let told = asker.ask(node, name, call.clone()).await;
                remember(&mut values, key, call, told);
                if let Some(further) = second_look {
                    let other = shared.near((node + further) % shared.servers.len());
                    if asker.reach(other).await {
                        asker.ask(other, name, Call::Get).await;
                    }
                }
            }
        }
        sleep(Duration::from_micros(pause_micros)).await;
    }
}

/// What the key held, as far as this operation tells.
fn remember(values: &mut Values, key: usize, call: Call, told: Option<Told>) {
    match (call, told) {
        (Call::Get, Some(Told::Value(value)))
        | (
            Call::Set(value) | Call::SetNx(value) | Call::SetXx(value) | Call::SetIfeq { value, .. },
            Some(Told::Ok),
        ) => values.saw(key, value),
        _ => {}
    }
}
