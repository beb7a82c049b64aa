//! What clients see while nodes fail is linearizable: a real ring, real processes, real faults, and a checker.
//!
//! Clients work on a few hot keys through all nodes and write down what they asked, when, and what they were told.
//! Meanwhile each node is killed, hung and restarted in turn. Each run draws from a seed that it prints;
//! `HISTORIES_SEED` repeats its choices, and `HISTORIES_ROUNDS` makes it longer.

mod client;
mod ring;

use std::env;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use simpledynamo_verify::{History, Limits, Outcome, check};

use client::{Client, Dice};
use ring::{NODES, Ring};

const CLIENTS: u32 = 8;

/// Operations that must be answered between two steps of a fault, so that each meets some.
const PROGRESS: usize = 60;

#[derive(Clone, Copy, Debug)]
enum Fault {
    Kill,
    Hang,
    Stop,
}

/// What went on among the clients while the nodes failed.
#[derive(Debug, Default)]
struct Shared {
    is_over: AtomicBool,
    answered: AtomicUsize,
}

fn from_environment(name: &str, default: u64) -> u64 {
    env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

#[test]
fn histories_under_failover_are_linearizable() {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis();
    let seed = from_environment("HISTORIES_SEED", u64::try_from(now).expect("fits"));
    let rounds = from_environment("HISTORIES_ROUNDS", 1);
    println!("HISTORIES_SEED={seed} HISTORIES_ROUNDS={rounds}");
    let mut ring = Ring::start();
    let began = Instant::now();
    let shared = Shared::default();
    let before = ring.sessions();

    let histories = thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|number| {
                let (ring_addresses, shared) = (ring.addresses(), &shared);
                scope.spawn(move || {
                    let mut client =
                        Client::new(number, ring_addresses, Dice::new(seed, number.into()), began);
                    client.run(&shared.is_over, &shared.answered);
                    client.into_events()
                })
            })
            .collect();
        let mut dice = Dice::new(seed, u64::MAX);
        for round in 0..rounds {
            fail_each(&mut ring, round, &mut dice, &shared);
        }
        shared.is_over.store(true, Ordering::Relaxed);
        clients.into_iter().flat_map(|client| client.join().expect("a client ends")).collect::<Vec<_>>()
    });

    // Each node's session has ended at least once: the faults were real, and were noticed.
    for ((name, before), after) in NODES.iter().zip(before).zip(ring.sessions()) {
        assert!(after > before, "node {name} went through no failover: session {before}, then {after}");
    }
    let mut history = History::new();
    let (mut known, mut failed, mut unknown) = (0, 0, 0);
    for asked in &histories {
        let event = asked.event(&mut history);
        match event.outcome {
            Outcome::Known { .. } => known += 1,
            Outcome::Failed { .. } => failed += 1,
            Outcome::Unknown => unknown += 1,
        }
        history.push(&asked.key, event).expect("one clock");
    }
    println!("{known} operations answered, {failed} failed, {unknown} unknown, {:?}", began.elapsed());
    let kinds =
        client::KINDS.map(|kind| (kind, histories.iter().filter(|asked| asked.was_done(kind)).count()));
    println!("done: {kinds:?}");
    assert!(kinds.iter().all(|(_, count)| *count > 0), "every kind of operation took effect: {kinds:?}");
    // A killed node takes with it what it was doing for its clients.
    assert!(unknown > 0, "no client ever lost its node");

    let findings = check(&history, Limits::default());
    for (key, window) in &findings.violations {
        println!("{}:\n{}", String::from_utf8_lossy(key), window.render(history.values(), TimeUnit::TICKS));
    }
    for (key, reason) in &findings.gave_up {
        println!("{}: {reason}", String::from_utf8_lossy(key));
    }
    if !findings.is_linearizable() || !findings.gave_up.is_empty() {
        println!("{}", ring.logs());
        panic!("HISTORIES_SEED={seed} is not linearizable, or could not be checked");
    }
}

/// Fails each node once, in an order and in ways that are drawn.
fn fail_each(ring: &mut Ring, round: u64, dice: &mut Dice, shared: &Shared) {
    let mut order: Vec<usize> = (0..NODES.len()).collect();
    dice.shuffle(&mut order);
    for (turn, node) in order.into_iter().enumerate() {
        // Each kind comes at least once in a round.
        let fault =
            [Fault::Kill, Fault::Hang, Fault::Stop][(turn + usize::try_from(round).expect("few")) % 3];
        println!("{fault:?} node {}", NODES[node]);
        progress(ring, shared);
        match fault {
            Fault::Kill => ring.kill(node),
            Fault::Hang => ring.hang(node),
            Fault::Stop => ring.stop(node),
        }
        ring.wait_without(node);
        progress(ring, shared);
        thread::sleep(Duration::from_millis(dice.below(300)));
        match fault {
            Fault::Hang => ring.wake(node),
            Fault::Kill | Fault::Stop => ring.launch(node),
        }
        // Sometimes the next one fails as soon as the ring is whole, sometimes a while later.
        ring.wait();
        thread::sleep(Duration::from_millis(dice.below(200)));
    }
    progress(ring, shared);
}

/// Waits until clients were answered some more.
fn progress(ring: &Ring, shared: &Shared) {
    let goal = shared.answered.load(Ordering::Relaxed) + PROGRESS;
    ring.eventually("clients are answered", || shared.answered.load(Ordering::Relaxed) >= goal);
}
