//! One run: load, a fault, the node's return.

use std::rc::Rc;
use std::time::{Duration, Instant};

use indicatif::ProgressBar;
use rustix::process::Signal;

use crate::arguments::{FailoverOptions, Fault, Victim};
use crate::failure::Failure;

use super::bulk;
use super::connection::Setup;
use super::health::{self, View};
use super::keys;
use super::load::Load;
use super::ring::TestRing;
use super::tally::{Outcome, Phase, Tally};

/// How long the ring may take to be whole again. Copying is slower than noticing.
const WHOLE_TIMEOUT: Duration = Duration::from_secs(120);
const RECOVERED_TIMEOUT: Duration = Duration::from_secs(900);

/// How often it is made sure meanwhile that no process has ended by itself.
const CHECK: Duration = Duration::from_secs(1);

/// The classic node that the demo proposes to kill too: it owns almost half of the keys.
const PREFERRED_VICTIM: usize = 2;

/// Seeds of the values that are there before, and of those that the node misses.
const PAIRS_SEED: u64 = 1;
const MISSED_SEED: u64 = 2;

/// What a run found.
#[derive(Debug)]
pub(super) struct RunResult {
    /// The node that was hit; none if all were, one after the other.
    pub(super) node: Option<String>,
    /// From the restart until the ring was whole; of several the longest. None if that took too long.
    pub(super) whole_after: Option<Duration>,
    /// Writes that succeeded while the node was away, for a recovery.
    pub(super) missed: Option<u64>,
    pub(super) outcome: Outcome,
}

/// Loads, disturbs and measures the ring once.
pub(super) async fn run(
    options: &FailoverOptions,
    ring: &mut TestRing,
    bar: &ProgressBar,
) -> Result<RunResult, Failure> {
    let victim = match options.fault {
        Fault::Rolling => None,
        _ => Some(choose(&options.node, ring).await?),
    };
    // Clients of the node that is hit would only measure their own broken connection.
    let mut nodes = ring.addresses();
    if let Some(victim) = victim {
        nodes.remove(victim);
    }
    let plans = keys::plan(&ring.cluster().ring(), nodes.len(), options.writers, options.readers);
    let load = Load {
        setup: setup(nodes.clone(), ring),
        pause: Duration::from_millis(options.pause),
        value_size: options.value_size as usize,
    };
    begin_whole(ring).await?;
    load.prepare(&plans).await?;

    let warmup = Duration::from_secs(options.warmup.into());
    let around = Duration::from_secs(options.around.into());
    let start = Instant::now() + warmup;
    let tally = Rc::new(Tally::new(start, plans.iter().map(|plan| plan.kind)));
    let _clients = load.start(&plans, &tally);
    bar.set_message("warming up");
    tokio::time::sleep(warmup).await;
    tally.enter(Phase::Before, start);
    bar.set_message("all nodes run");
    tokio::time::sleep(around).await;

    let mut course = Course { options, ring, bar, tally: &tally };
    let (whole_after, missed) = match victim {
        Some(victim) => course.hit(victim, nodes).await?,
        None => (course.roll().await?, None),
    };
    tally.enter(Phase::After, Instant::now());
    bar.set_message("whole again");
    tokio::time::sleep(around).await;
    let outcome = tally.close(Instant::now());
    ring.check()?;
    Ok(RunResult { node: victim.map(|victim| ring.name(victim).to_owned()), whole_after, missed, outcome })
}

/// Waits until the ring has got over the run before.
async fn begin_whole(ring: &TestRing) -> Result<(), Failure> {
    let nodes = ring.addresses();
    let setup = setup(nodes.clone(), ring);
    // Without failover, any node that answers will do.
    match health::wait_until_whole(&nodes, 0, &setup, WHOLE_TIMEOUT).await {
        Some(_) => Ok(()),
        None => Err(Failure::Unavailable(format!(
            "the ring is not whole (INFO ring), not even after {} s; simpledynamo ring shows which node is missing",
            WHOLE_TIMEOUT.as_secs()
        ))),
    }
}

/// Writes the pairs that a recovery starts from.
pub(super) async fn fill(
    options: &FailoverOptions,
    ring: &TestRing,
    bar: &ProgressBar,
) -> Result<(), Failure> {
    let setup = setup(ring.addresses(), ring);
    let written =
        bulk::write(setup, options.pairs, options.value_size, PAIRS_SEED, "loading pairs", bar).await?;
    if written == options.pairs {
        return Ok(());
    }
    Err(Failure::Unavailable(format!(
        "only {written} of {} pairs could be loaded; are all nodes up?",
        options.pairs
    )))
}

fn setup(nodes: Vec<String>, ring: &TestRing) -> Setup {
    Setup { nodes, password: ring.password() }
}

/// The node that is hit, as a position in the configuration.
async fn choose(wanted: &Victim, ring: &TestRing) -> Result<usize, Failure> {
    let position = |name: &str| {
        ring.names().iter().position(|known| *known == name).ok_or_else(|| {
            Failure::Other(format!("the ring has no node {name:?}, but {}", ring.names().join(", ")))
        })
    };
    if let Victim::Named(name) = wanted {
        return position(name);
    }
    match (controller(ring).await, wanted) {
        (Some(name), Victim::Controller) => position(&name),
        (None, Victim::Controller) => Err(Failure::Other(
            "no node names a controller (INFO ring, field controller): this version has none, or it is being \
             elected; choose a node by --node NAME"
                .to_owned(),
        )),
        (controller, _) => {
            let controller = controller.as_deref().map(position).transpose()?;
            let count = ring.names().len();
            let mut candidates = (0..count).map(|step| (PREFERRED_VICTIM + step) % count);
            candidates
                .find(|candidate| Some(*candidate) != controller)
                .ok_or_else(|| Failure::Other("the ring has no node but its controller".to_owned()))
        }
    }
}

async fn controller(ring: &TestRing) -> Option<String> {
    let setup = setup(ring.addresses(), ring);
    for node in &setup.nodes {
        if let Some(View { controller: Some(name), .. }) = health::ask(node, &setup).await {
            return Some(name);
        }
    }
    None
}

/// What happens to the ring under load.
struct Course<'a> {
    options: &'a FailoverOptions,
    ring: &'a mut TestRing,
    bar: &'a ProgressBar,
    tally: &'a Tally,
}

impl Course<'_> {
    /// One node goes and returns. Says how long it took until the ring was whole, and what the node missed.
    async fn hit(
        &mut self,
        victim: usize,
        survivors: Vec<String>,
    ) -> Result<(Option<Duration>, Option<u64>), Failure> {
        let name = self.ring.name(victim).to_owned();
        let signal = match self.options.fault {
            Fault::Stop => Signal::STOP,
            Fault::Term | Fault::Rolling => Signal::TERM,
            Fault::Kill | Fault::Recovery => Signal::KILL,
        };
        let signalled_at = Instant::now();
        self.tally.enter(Phase::Away, signalled_at);
        self.tally.signal(signalled_at);
        self.ring.signal(victim, signal)?;
        self.bar.set_message(format!("node {name} is away"));
        if signal != Signal::STOP {
            self.ring.ended(victim).await?;
        }
        let missed = match self.options.fault {
            Fault::Recovery => {
                let setup = setup(survivors, self.ring);
                let (count, size) = (self.options.missed, self.options.value_size);
                let what = "writing while the node is away";
                Some(bulk::write(setup, count, size, MISSED_SEED, what, self.bar).await?)
            }
            _ => {
                let away = Duration::from_secs(self.options.seconds.into());
                tokio::time::sleep_until((signalled_at + away).into()).await;
                None
            }
        };
        self.ring.check()?;
        let restarted_at = Instant::now();
        self.tally.enter(Phase::Returning, restarted_at);
        self.tally.restart(restarted_at);
        self.ring.restore(victim)?;
        let patience = if missed.is_some() { RECOVERED_TIMEOUT } else { WHOLE_TIMEOUT };
        let whole_at = self.wait_until_whole(victim, patience).await?;
        Ok((whole_at.map(|at| at - restarted_at), missed))
    }

    /// Every node stops in order and is started again at once, each after the one before is back.
    async fn roll(&mut self) -> Result<Option<Duration>, Failure> {
        let started_at = Instant::now();
        self.tally.enter(Phase::Away, started_at);
        self.tally.signal(started_at);
        let mut longest = Some(Duration::ZERO);
        for node in 0..self.ring.names().len() {
            self.bar.set_message(format!("node {} restarts", self.ring.name(node)));
            self.ring.signal(node, Signal::TERM)?;
            self.ring.ended(node).await?;
            let restarted_at = Instant::now();
            self.ring.restore(node)?;
            let whole_at = self.wait_until_whole(node, WHOLE_TIMEOUT).await?;
            longest = longest.zip(whole_at).map(|(longest, at)| longest.max(at - restarted_at));
        }
        Ok(longest)
    }

    async fn wait_until_whole(
        &mut self,
        returning: usize,
        patience: Duration,
    ) -> Result<Option<Instant>, Failure> {
        self.bar.set_message(format!("node {} returns", self.ring.name(returning)));
        let nodes = self.ring.addresses();
        let setup = setup(nodes.clone(), self.ring);
        let give_up = Instant::now() + patience;
        while Instant::now() < give_up {
            if let Some(at) = health::wait_until_whole(&nodes, returning, &setup, CHECK).await {
                return Ok(Some(at));
            }
            self.ring.check()?;
        }
        eprintln!("simpledynamo: the ring was not whole within {} s", patience.as_secs());
        Ok(None)
    }
}
