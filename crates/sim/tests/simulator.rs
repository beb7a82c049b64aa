//! The simulator: that it repeats itself, that fresh seeds hold, that a sweep meets every scenario, and that no
//! safeguard can be taken away unnoticed.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use simpledynamo_sim::{Options, Report, Sabotage, Scenarios, run};

/// Seeds that a sweep for scenarios may take.
const SEEDS_FOR_SCENARIOS: u64 = 1_500;

fn try_run(seed: u64, options: Options) -> Result<Report, String> {
    catch_unwind(AssertUnwindSafe(|| run(seed, options))).map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string)).unwrap_or_default()
    })
}

fn run_or_fail(seed: u64) -> Report {
    try_run(seed, Options::default()).unwrap_or_else(|reason| {
        panic!("{reason}\nreplay: cargo run --release -p simpledynamo-sim -- --seed {seed} --trace")
    })
}

#[test]
fn the_same_seed_gives_the_same_run() {
    for seed in 1..=20 {
        let (first, second) = (run_or_fail(seed), run_or_fail(seed));
        assert_eq!(first.hash, second.hash, "seed {seed}");
        assert_eq!(first.tally, second.tally, "seed {seed}");
    }
    assert_ne!(run_or_fail(1).hash, run_or_fail(2).hash);
}

/// `SIM_SECONDS` says for how long, `SIM_SEED` where to begin instead of at a seed of this moment.
#[test]
#[expect(clippy::disallowed_methods, reason = "a test of fresh seeds needs a fresh one, and a limit in time")]
fn fresh_seeds_hold() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is set").as_millis();
    let first = number("SIM_SEED").unwrap_or(u64::try_from(now).expect("fits for ages") << 16);
    let time = Duration::from_secs(number("SIM_SECONDS").unwrap_or(10));
    let began = Instant::now();
    let mut seeds = 0;
    let mut tally: BTreeMap<&str, usize> = BTreeMap::new();
    println!("seeds from {first}");
    while began.elapsed() < time {
        let report = run_or_fail(first + seeds);
        seeds += 1;
        report.tally.into_iter().for_each(|(outcome, count)| *tally.entry(outcome).or_default() += count);
    }
    println!("seeds {first} to {}: {tally:?}", first + seeds - 1);
    assert!(tally["written"] > 0 && tally["read"] > 0, "clients are served: {tally:?}");
}

#[test]
fn every_scenario_is_met() {
    let mut scenarios = Scenarios::default();
    for seed in 1..=SEEDS_FOR_SCENARIOS {
        scenarios.add(&run_or_fail(seed).scenarios);
        if seed % 100 == 0 && scenarios.missing().is_empty() {
            return;
        }
    }
    assert_eq!(scenarios.missing(), [], "not met in {SEEDS_FOR_SCENARIOS} seeds");
}

/// How many seeds may pass before a missing safeguard is noticed: some ten times what it takes.
fn seeds_for(sabotage: Sabotage) -> u64 {
    match sabotage {
        Sabotage::OldBackup | Sabotage::OpIdsKept | Sabotage::OtherStore | Sabotage::SessionsUnchecked => {
            6_000
        }
        Sabotage::NoGeneration | Sabotage::OpIdsForgotten => 1_500,
        _ => 150,
    }
}

#[test]
fn no_safeguard_can_be_taken_away_unnoticed() {
    for sabotage in Sabotage::ALL {
        let options = Options { sabotage: Some(sabotage), ..Options::default() };
        let seeds = seeds_for(sabotage);
        let noticed = (1..=seeds).find_map(|seed| Some((seed, try_run(seed, options).err()?)));
        let Some((seed, reason)) = noticed else { panic!("{sabotage:?} passes {seeds} seeds") };
        println!("{sabotage:?}: seed {seed}: {}", reason.lines().next().unwrap_or_default());
    }
}
