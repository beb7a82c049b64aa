//! `simpledynamo-sim --seeds N [--from SEED]`, or `--seed SEED [--trace]` for one of them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use simpledynamo_sim::{Options, Sabotage, Scenario, Scenarios, run};

/// The seed that runs.
static SEED: AtomicU64 = AtomicU64::new(0);

fn main() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        usual(panic);
        let seed = SEED.load(Ordering::Relaxed);
        eprintln!("replay: cargo run --release -p simpledynamo-sim -- --seed {seed} --trace");
    }));
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let value = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        Some(arguments.get(at + 1).unwrap_or_else(|| fail(&format!("{name} needs a value"))).as_str())
    };
    let number = |name| value(name).map(|text| text.parse().unwrap_or_else(|_| fail("seeds are numbers")));
    let sabotage = value("--sabotage").map(|name| {
        let found = Sabotage::ALL.into_iter().find(|sabotage| format!("{sabotage:?}") == name);
        found.unwrap_or_else(|| fail(&format!("one of {:?}", Sabotage::ALL)))
    });
    let is_shown = arguments.iter().any(|argument| argument == "--trace");
    let options = Options { sabotage, is_shown };
    if let Some(seed) = number("--seed") {
        SEED.store(seed, Ordering::Relaxed);
        println!("{:#?}", run(seed, options));
        return;
    }
    sweep(number("--from").unwrap_or(1), number("--seeds").unwrap_or(100), options);
}

#[expect(clippy::disallowed_methods, reason = "how long a sweep takes is no part of any run")]
fn sweep(first: u64, count: u64, options: Options) {
    let began = Instant::now();
    let mut scenarios = Scenarios::default();
    let mut failed = Vec::new();
    for seed in first..first.saturating_add(count) {
        SEED.store(seed, Ordering::Relaxed);
        // A release build ends with the first failure; others go on and list all.
        match std::panic::catch_unwind(|| run(seed, options)) {
            Ok(report) => scenarios.add(&report.scenarios),
            Err(_) => failed.push(seed),
        }
    }
    for scenario in Scenario::ALL {
        let count = scenarios.0.get(scenario).copied().unwrap_or_default();
        println!("{count:>9} {:?}: {}", scenario, scenario.what());
    }
    let each = began.elapsed().as_secs_f64() * 1e3 / count.max(1) as f64;
    println!("{count} seeds from {first}, {each:.1} ms each; failed: {failed:?}");
    if !failed.is_empty() {
        std::process::exit(1);
    }
}

#[expect(clippy::disallowed_methods, reason = "the end of a command")]
fn fail(reason: &str) -> ! {
    eprintln!("{reason}");
    std::process::exit(2);
}
