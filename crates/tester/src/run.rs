//! A run: phase after phase on a ring of its own, and the verdict.

use std::cell::{Cell, RefCell};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use simpledynamo_launch::{TemporaryFolder, free_cluster};
use simpledynamo_node::config::Cluster;
use simpledynamo_verify::Limits;
use tokio::task::{JoinSet, spawn_local};
use tokio::time::{sleep, timeout};

use crate::asker::PATIENCE;
use crate::availability::measure;
use crate::client::work;
use crate::error::TesterError;
use crate::fault::FaultKind;
use crate::injector::Injector;
use crate::judge::{Findings, judge};
use crate::log::Log;
use crate::namespaces::Namespaces;
use crate::phase::{Course, Phase};
use crate::record::Record;
use crate::report;
use crate::result::{Facts, Finally, PhaseReport, RunReport};
use crate::ring::TestRing;
use crate::scripts;
use crate::servers::{Server, Shared};
use crate::settle;
use crate::small_disk;
use crate::watch::{Changes, watch};
use crate::workload::{Sequence, Workload};

/// How a run goes.
#[derive(Clone, Debug)]
pub struct Options {
    /// The phases, in order.
    pub phases: Vec<&'static Phase>,
    /// Kinds of faults that may be injected: phases that need others are left out.
    pub faults: Vec<FaultKind>,
    /// About how long a phase lasts; at least one.
    pub seconds: u32,
    /// The same number, the same faults and operations.
    pub seed: u64,
    /// Clients at the same time; at least one.
    pub clients: u32,
    /// Keys of a phase; at least one of each class.
    pub keys: usize,
    /// Give each node a network namespace of its own, and cut links there.
    pub namespaces: bool,
    /// Leave the nodes' folders as they are in the end.
    pub keep: bool,
    /// Where the history and the report go: a folder that is there.
    pub out: PathBuf,
}

/// What a run tells while it goes on.
#[derive(Debug)]
pub enum News<'a> {
    /// A phase begins.
    Began(&'static Phase),
    /// Something is done.
    Does(&'a str),
    /// Clients have been answered so often since the run began.
    Answered(u64),
    /// A phase is over.
    Ended(&'a PhaseReport),
}

/// After so long replicas that differ are compared once more.
const SECOND_COMPARISON: Duration = Duration::from_secs(1);

/// How often it is told how many operations were answered.
const TICK: Duration = Duration::from_millis(200);

/// How long clients may take to finish what they are at.
const FINISH_TIMEOUT: Duration = PATIENCE.saturating_mul(3);

/// Runs the phases on a ring that is started for it and ended with it, and writes history and report.
///
/// It has to run on a [`tokio::task::LocalSet`], on the main thread: nodes end with the thread that has started them.
///
/// # Errors
/// When the run could not be carried out; what it found wrong is in the report.
pub async fn run(options: &Options, tell: &dyn Fn(News<'_>)) -> Result<RunReport, TesterError> {
    let folder = TemporaryFolder::create("verify", options.keep)?;
    let mut cluster = free_cluster()?;
    let network = match options.namespaces {
        true => Some(Namespaces::make(cluster.nodes.len()).map_err(TesterError::Namespaces)?),
        false => None,
    };
    if network.is_some() {
        for (node, place) in cluster.nodes.iter_mut().enumerate() {
            place.client.set_ip(Namespaces::host(node));
            place.peer.set_ip(Namespaces::host(node));
        }
    }
    let shared = Rc::new(share(&cluster, options)?);
    let mut ring = TestRing::prepare(folder.path(), &cluster, network, &shared)?;
    tell(News::Does("starting a ring"));
    ring.start().await?;

    let began = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let mut run = Run {
        options,
        tell,
        shared,
        ring,
        changes: Rc::default(),
        folder: folder.path().to_owned(),
        keys: Vec::new(),
        is_lost: false,
    };
    let is_over = Rc::new(Cell::new(false));
    let watching = spawn_local(watch(run.shared.clone(), run.changes.clone(), is_over.clone()));
    let phases = run.phases().await?;
    let finally = run.finally().await?;
    is_over.set(true);
    watching.abort();

    let facts = Facts {
        subject: format!("a ring of {} nodes on this machine, started for this run", cluster.nodes.len()),
        seed: options.seed,
        clients: options.clients,
        keys: options.keys,
        began,
        took: run.shared.clock.now(),
        servers: run.shared.servers.iter().map(|server| server.name.to_string()).collect(),
    };
    let report = RunReport::new(facts, phases, finally);
    if !report.holds {
        run.ring.keep_logs(&options.out.join("logs"))?;
    }
    report::write(&report, &mut run.shared.log.borrow_mut(), &options.out)?;
    Ok(report)
}

fn share(cluster: &Cluster, options: &Options) -> Result<Shared, TesterError> {
    let servers = cluster.nodes.iter();
    let servers =
        servers.map(|node| Server { name: node.name.as_str().into(), address: node.client.to_string() });
    Ok(Shared::new(servers.collect(), None, Some(cluster.ring()), create_log(&options.out)?))
}

/// Begins the history file.
pub(crate) fn create_log(out: &Path) -> Result<Log, TesterError> {
    let path = out.join(report::HISTORY);
    Log::create(&path).map_err(|source| TesterError::File { path, source })
}

/// A run on a ring of its own.
struct Run<'a> {
    options: &'a Options,
    tell: &'a dyn Fn(News<'_>),
    shared: Rc<Shared>,
    ring: TestRing,
    changes: Rc<RefCell<Changes>>,
    /// Where the nodes' folders are.
    folder: PathBuf,
    /// The keys of all phases so far.
    keys: Vec<Bytes>,
    /// The ring did not come back after a phase: there is nothing to go on with.
    is_lost: bool,
}

impl Run<'_> {
    async fn phases(&mut self) -> Result<Vec<PhaseReport>, TesterError> {
        let mut reports = Vec::new();
        for phase in self.options.phases.clone() {
            let report = match self.why_not(phase) {
                Some(reason) => skipped(phase, reason),
                None => {
                    (self.tell)(News::Began(phase));
                    self.phase(phase).await?
                }
            };
            (self.tell)(News::Ended(&report));
            reports.push(report);
        }
        Ok(reports)
    }

    /// Why a phase is left out.
    fn why_not(&self, phase: &Phase) -> Option<String> {
        if self.is_lost {
            return Some("the ring did not come back after the phase before".to_owned());
        }
        if !phase.is_possible_with(&self.options.faults) {
            return Some("its faults were not asked for".to_owned());
        }
        if phase.faults().contains(&FaultKind::Disk)
            && let Err(reason) = small_disk::try_out(&self.folder.join("disk"))
        {
            return Some(format!("no small disk can be mounted to be filled: {reason}"));
        }
        None
    }

    async fn phase(&mut self, phase: &'static Phase) -> Result<PhaseReport, TesterError> {
        let workload = Rc::new(self.workload(phase));
        let first = self.shared.log.borrow().records().len();
        let began = self.shared.clock.now();
        let mut injector = Injector {
            ring: &mut self.ring,
            shared: &self.shared,
            say: &|words| (self.tell)(News::Does(words)),
            spans: Vec::new(),
        };
        let gone = carry_out(phase, self.options, self.tell, &mut injector, &workload).await;
        let ended = injector.shared.clock.now();
        if let Err(problem) = gone {
            injector.shared.log.borrow_mut().problem(problem);
            if let Err(problem) = injector.restore().await {
                injector.shared.log.borrow_mut().problem(problem);
                self.is_lost = true;
            }
        }
        let faults = std::mem::take(&mut injector.spans);

        let keys: Vec<Bytes> = workload.names().cloned().collect();
        let mut problems = self.settle(|shared| settle::read_everywhere(shared, phase.number, &keys)).await;
        (self.tell)(News::Does("checking the history"));
        let records = self.shared.log.borrow().records()[first..].to_vec();
        let at_work: Vec<Record> = records.iter().filter(|record| record.ended() <= ended).cloned().collect();
        let availability = measure(&at_work, self.shared.ring.as_ref(), began, ended);
        let findings = check(records).await?;
        problems.extend(self.shared.log.borrow_mut().take_problems());
        problems.extend(nothing_happened(phase, at_work.len(), faults.len()));
        self.keys.extend(keys);
        Ok(PhaseReport {
            number: phase.number,
            name: phase.name.to_owned(),
            title: phase.title.to_owned(),
            skipped: None,
            began,
            ended,
            faults,
            changes: self.changes.borrow().between(began, ended),
            availability,
            findings,
            problems,
        })
    }

    fn workload(&self, phase: &Phase) -> Workload {
        let (number, count) = (phase.number, self.options.keys);
        let prefix = format!("{}:", phase.name);
        match phase.course {
            Course::Apart => Workload::apart(number, &prefix, count, self.options.clients).pressing(),
            Course::Together => Workload::new(number, &prefix, count).pressing(),
            _ => Workload::new(number, &prefix, count),
        }
    }

    /// Reads what is left and compares what the nodes store. The differences, in words.
    async fn settle<'b, F: Future<Output = ()>>(
        &'b self,
        read: impl FnOnce(&'b Rc<Shared>) -> F,
    ) -> Vec<String> {
        if self.is_lost {
            return Vec::new();
        }
        (self.tell)(News::Does("reading what is left"));
        read(&self.shared).await;
        let Some(ring) = &self.shared.ring else { return Vec::new() };
        if settle::compare_replicas(&self.shared, ring).await.is_empty() {
            return Vec::new();
        }
        // What a client has given up may still be under way: nodes were asked one after the other.
        sleep(SECOND_COMPARISON).await;
        settle::compare_replicas(&self.shared, ring).await
    }

    /// After all phases: what is left of all of them, and every operation of the run checked together.
    async fn finally(&mut self) -> Result<Finally, TesterError> {
        let mut problems = self.settle(|shared| settle::list_everywhere(shared, &self.keys)).await;
        (self.tell)(News::Does("checking all histories together"));
        let records = self.shared.log.borrow().records().to_vec();
        let findings = check(records).await?;
        problems.extend(self.shared.log.borrow_mut().take_problems());
        if self.shared.log.borrow().is_full() {
            problems
                .push(format!("more than {} operations: choose fewer seconds", crate::log::OPERATIONS_MAX));
        }
        Ok(Finally { findings, problems })
    }
}

/// Does what the phase is for. An error is what went wrong; the ring may not be whole then.
async fn carry_out(
    phase: &Phase,
    options: &Options,
    tell: &dyn Fn(News<'_>),
    injector: &mut Injector<'_>,
    workload: &Rc<Workload>,
) -> Result<(), String> {
    let quiet = Phase::quiet_time(options.seconds);
    match phase.course {
        Course::Basics => scripts::basics(injector.shared, workload).await,
        Course::OneByOne => scripts::one_by_one(injector, workload, options.seed).await,
        Course::Apart | Course::Together => {
            let shared = Rc::clone(injector.shared);
            let load = Load::start(&shared, workload, options);
            load.run_while(sleep(quiet), tell).await;
            Ok(())
        }
        Course::Amid(_) => {
            let rounds = phase.rounds(options.seed, injector.ring.len(), options.seconds, &options.faults);
            let shared = Rc::clone(injector.shared);
            let load = Load::start(&shared, workload, options);
            let faults = async {
                for round in &rounds {
                    injector.round(round).await?;
                }
                Ok(())
            };
            load.run_while(faults, tell).await
        }
    }
}

/// Clients at work.
pub(crate) struct Load {
    shared: Rc<Shared>,
    clients: JoinSet<()>,
    is_over: Rc<Cell<bool>>,
}

impl Load {
    fn start(shared: &Rc<Shared>, workload: &Rc<Workload>, options: &Options) -> Self {
        Self::begin(shared, workload, options.seed, options.clients)
    }

    /// Starts so many clients.
    pub(crate) fn begin(shared: &Rc<Shared>, workload: &Rc<Workload>, seed: u64, count: u32) -> Self {
        let is_over = Rc::new(Cell::new(false));
        let mut clients = JoinSet::new();
        for client in 0..count {
            let sequence = Sequence::new(workload, seed, client, count, shared.servers.len());
            clients.spawn_local(work(
                Rc::clone(shared),
                Rc::clone(workload),
                client,
                sequence,
                Rc::clone(&is_over),
            ));
        }
        Self { shared: Rc::clone(shared), clients, is_over }
    }

    /// Lets clients work until something else is done, and then finish.
    pub(crate) async fn run_while<T>(mut self, what: impl Future<Output = T>, tell: &dyn Fn(News<'_>)) -> T {
        let told = async {
            loop {
                tell(News::Answered(self.shared.answered.get()));
                sleep(TICK).await;
            }
        };
        let done = tokio::select! {
            done = what => done,
            never = told => never,
        };
        self.is_over.set(true);
        let finished = async { while self.clients.join_next().await.is_some() {} };
        if timeout(FINISH_TIMEOUT, finished).await.is_err() {
            self.shared.log.borrow_mut().problem("clients did not finish".to_owned());
        }
        done
    }
}

/// Checks a history on another thread, so that signals are heard meanwhile.
pub(crate) async fn check(records: Vec<Record>) -> Result<Findings, TesterError> {
    let checked = tokio::task::spawn_blocking(move || judge(&records, Limits::default())).await;
    Ok(checked.unwrap_or_else(|panicked| std::panic::resume_unwind(panicked.into_panic()))?)
}

fn skipped(phase: &Phase, reason: String) -> PhaseReport {
    PhaseReport {
        number: phase.number,
        name: phase.name.to_owned(),
        title: phase.title.to_owned(),
        skipped: Some(reason),
        ..PhaseReport::default()
    }
}

/// A phase in which nothing happened has shown nothing.
fn nothing_happened(phase: &Phase, operations: usize, faults: usize) -> Vec<String> {
    let mut problems = Vec::new();
    if operations == 0 {
        problems.push("no operation was answered: nothing was tested".to_owned());
    }
    if faults == 0 && !phase.faults().is_empty() {
        problems.push("no fault was injected: nothing was tested".to_owned());
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phase_that_tested_nothing_does_not_hold() {
        let problems = |name: &str, operations, faults| {
            let phase = Phase::find(name).expect("a phase");
            let problems = nothing_happened(phase, operations, faults);
            PhaseReport { problems, ..PhaseReport::default() }.holds()
        };
        assert!(problems("together", 10, 0), "it has no faults");
        assert!(!problems("together", 0, 0));
        assert!(problems("hang", 10, 1));
        assert!(!problems("hang", 10, 0));
        assert!(!problems("hang", 0, 1));
    }
}
