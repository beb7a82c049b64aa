//! Carrying out the faults of a phase, and seeing to it that they had the effect that they should have.

use std::rc::Rc;
use std::time::Duration;

use serde::Serialize;
use simpledynamo_verify::Ticks;
use tokio::time::{Instant, sleep};

use crate::fault::{Fault, FaultKind, Link, Round};
use crate::filler::Filler;
use crate::ring::TestRing;
use crate::servers::Shared;
use crate::small_disk::{SmallDisk, copy_content, size_of_folder};

/// Operations that must be answered between two steps of a fault, so that each meets some.
const PROGRESS: u64 = 60;

/// How long that may take.
const PROGRESS_TIMEOUT: Duration = Duration::from_secs(60);

/// How long a node hangs that hangs briefly: less than a lease.
const BRIEFLY: Duration = Duration::from_millis(300);

/// How long a returning node is watched until it is seen catching up.
const SYNCING_TIMEOUT: Duration = Duration::from_secs(5);

/// How often.
const SYNCING_POLL: Duration = Duration::from_millis(5);

/// What a node that is away misses besides: so many writes of so many bytes.
const MISSED_WRITES: usize = 400;
const MISSED_BYTES: usize = 32 << 10;

/// The room on a disk that is to be filled, beyond what lies on it already; and what it is given later.
const DISK_ROOM: u64 = 96 << 20;
const DISK_RELIEF: u64 = 1 << 30;

/// A disk that takes more than so many values of so many bytes is not full.
const FILL_WRITES_MAX: usize = 4_000;
const FILL_BYTES: usize = 100 << 10;

/// The exit code of a node that stopped itself.
const STOPPED_ITSELF: i32 = 70;

/// A fault as it happened.
#[derive(Clone, Debug, Serialize)]
pub struct FaultSpan {
    /// Its kind.
    pub kind: FaultKind,
    /// What was done.
    pub words: String,
    /// To whom.
    pub nodes: Vec<String>,
    /// When it began, in nanoseconds since the run began.
    pub began: Ticks,
    /// When it was over.
    pub ended: Ticks,
}

/// Carries out faults on a ring under load.
pub(crate) struct Injector<'a> {
    pub(crate) ring: &'a mut TestRing,
    pub(crate) shared: &'a Rc<Shared>,
    pub(crate) say: &'a dyn Fn(&str),
    pub(crate) spans: Vec<FaultSpan>,
}

impl Injector<'_> {
    /// One round: clients work, the fault, its end, and all is well again.
    pub(crate) async fn round(&mut self, round: &Round) -> Result<(), String> {
        self.progress().await?;
        sleep(round.rest).await;
        self.fault(round).await?;
        self.ring.whole().await?;
        (self.say)("all nodes run");
        self.progress().await
    }

    async fn fault(&mut self, round: &Round) -> Result<(), String> {
        let hold = round.hold;
        match &round.fault {
            Fault::Kill { node, at_once } => self.kill(*node, *at_once, hold).await,
            Fault::KillController => {
                let leader = self.ring.controller().await?;
                self.kill(leader, false, hold).await
            }
            Fault::Stop { node, briefly } => self.hang(*node, *briefly, hold).await,
            Fault::Term { node } => self.terminate(*node, hold).await,
            Fault::KillTwo { first, second, at_once } => self.kill_two(*first, *second, *at_once, hold).await,
            Fault::KillAll { order, pauses } => self.kill_all(order, pauses, hold).await,
            Fault::KillAmidRecovery { node, victim, after } => {
                self.kill_amid_recovery(*node, *victim, *after).await
            }
            Fault::CutPair { one, other } => {
                let words = format!("{} and {} are cut from each other", self.name(*one), self.name(*other));
                self.cut(words, &[*one, *other], &[(*one, *other), (*other, *one)], hold).await
            }
            Fault::CutOneWay { from, to } => {
                let words = format!("nothing passes from {} to {}", self.name(*from), self.name(*to));
                self.cut(words, &[*from, *to], &[(*from, *to)], hold).await
            }
            Fault::CutOff { node } => self.cut_off(*node, hold).await,
            Fault::Skew { ppm, node } => self.skew(ppm, *node, hold).await,
            Fault::FillDisk { node } => self.fill_disk(*node).await,
        }
    }

    fn name(&self, node: usize) -> String {
        self.ring.name(node).to_owned()
    }

    /// A fault begins.
    pub(crate) fn begin(&mut self, kind: FaultKind, words: String, nodes: &[usize]) -> usize {
        (self.say)(&words);
        let nodes = nodes.iter().map(|&node| self.name(node)).collect();
        let now = self.shared.clock.now();
        self.spans.push(FaultSpan { kind, words, nodes, began: now, ended: now });
        self.spans.len() - 1
    }

    /// It is over.
    pub(crate) fn end(&mut self, span: usize) {
        self.spans[span].ended = self.shared.clock.now();
    }

    pub(crate) fn launch(&mut self, node: usize) -> Result<(), String> {
        self.ring.launch(node).map_err(|error| error.to_string())
    }

    /// Waits until clients were answered some more.
    async fn progress(&mut self) -> Result<(), String> {
        let goal = self.shared.answered.get() + PROGRESS;
        let give_up = Instant::now() + PROGRESS_TIMEOUT;
        while self.shared.answered.get() < goal {
            if Instant::now() > give_up {
                return Err(format!("clients were not answered for {} s", PROGRESS_TIMEOUT.as_secs()));
            }
            sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }

    /// Checks that a node is in another session than before: that the ring took notice.
    async fn has_new_session(&mut self, node: usize, before: Option<u64>) -> Result<(), String> {
        self.ring.whole().await?;
        let now = self.ring.session(node).await;
        match now > before {
            true => Ok(()),
            false => Err(format!(
                "node {} is in session {now:?} as before: the fault had no effect, so nothing was tested",
                self.name(node)
            )),
        }
    }

    async fn kill(&mut self, node: usize, at_once: bool, hold: Duration) -> Result<(), String> {
        let before = self.ring.session(node).await;
        let words = if at_once { " is killed and started at once" } else { " is killed" };
        let span = self.begin(FaultKind::Kill, format!("{}{words}", self.name(node)), &[node]);
        self.ring.kill(node);
        if !at_once {
            self.ring.without(&[node]).await?;
            self.progress().await?;
            sleep(hold).await;
        }
        self.launch(node)?;
        self.end(span);
        self.has_new_session(node, before).await
    }

    async fn hang(&mut self, node: usize, briefly: bool, hold: Duration) -> Result<(), String> {
        let before = self.ring.session(node).await;
        let words = if briefly { " hangs briefly" } else { " hangs" };
        let span = self.begin(FaultKind::Stop, format!("{}{words}", self.name(node)), &[node]);
        self.ring.hang(node);
        if briefly {
            sleep(BRIEFLY).await;
        } else {
            self.ring.without(&[node]).await?;
            self.progress().await?;
            sleep(hold).await;
        }
        self.ring.wake(node);
        self.end(span);
        if briefly { Ok(()) } else { self.has_new_session(node, before).await }
    }

    async fn terminate(&mut self, node: usize, hold: Duration) -> Result<(), String> {
        let before = self.ring.session(node).await;
        let span = self.begin(FaultKind::Term, format!("{} is stopped in order", self.name(node)), &[node]);
        self.ring.terminate(node).await?;
        sleep(hold).await;
        self.launch(node)?;
        self.end(span);
        self.has_new_session(node, before).await
    }

    async fn kill_two(
        &mut self,
        first: usize,
        second: usize,
        at_once: bool,
        hold: Duration,
    ) -> Result<(), String> {
        let span = self.begin(FaultKind::Kill, format!("{} is killed", self.name(first)), &[first]);
        self.ring.kill(first);
        if !at_once {
            self.ring.without(&[first]).await?;
            self.progress().await?;
        }
        let words = format!("{} is killed while {} is down", self.name(second), self.name(first));
        let second_span = self.begin(FaultKind::Kill, words, &[second]);
        self.ring.kill(second);
        self.ring.without(&[first, second]).await?;
        self.progress().await?;
        sleep(hold).await;
        self.launch(second)?;
        self.end(second_span);
        sleep(hold).await;
        self.launch(first)?;
        self.end(span);
        Ok(())
    }

    async fn kill_all(&mut self, order: &[usize], pauses: &[Duration], hold: Duration) -> Result<(), String> {
        let span = self.begin(FaultKind::Kill, "all nodes are killed at once".to_owned(), order);
        self.ring.kill_all();
        sleep(hold).await;
        for (&node, &pause) in order.iter().zip(pauses) {
            self.launch(node)?;
            sleep(pause).await;
        }
        self.end(span);
        Ok(())
    }

    async fn kill_amid_recovery(
        &mut self,
        node: usize,
        victim: usize,
        after: Duration,
    ) -> Result<(), String> {
        let span =
            self.begin(FaultKind::Kill, format!("{} is killed and misses much", self.name(node)), &[node]);
        self.ring.kill(node);
        self.ring.without(&[node]).await?;
        self.write_much(node).await;
        self.launch(node)?;
        self.end(span);
        let is_syncing = self.sees_syncing(node).await;
        sleep(after).await;
        let state = if is_syncing { "while" } else { "after" };
        let words = format!("{} is killed {state} {} catches up", self.name(victim), self.name(node));
        let span = self.begin(FaultKind::Kill, words, &[victim]);
        self.ring.kill(victim);
        self.progress().await?;
        self.launch(victim)?;
        self.end(span);
        Ok(())
    }

    /// Whether the node is seen to lack something.
    async fn sees_syncing(&mut self, node: usize) -> bool {
        let give_up = Instant::now() + SYNCING_TIMEOUT;
        while Instant::now() < give_up {
            match self.ring.view(node).await {
                Some(view) if !view.here.syncing.is_empty() => return true,
                Some(view) if view.here.whole => return false,
                _ => {}
            }
            sleep(SYNCING_POLL).await;
        }
        false
    }

    /// Writes much to a few keys of this node, through the others.
    async fn write_much(&mut self, node: usize) {
        let mut filler = Filler::new(self.shared, node, MISSED_BYTES);
        for number in 0..MISSED_WRITES {
            filler.write(number).await;
        }
    }

    async fn cut(
        &mut self,
        words: String,
        nodes: &[usize],
        links: &[Link],
        hold: Duration,
    ) -> Result<(), String> {
        let span = self.begin(FaultKind::Cut, words, nodes);
        self.ring.cut(links).await?;
        sleep(hold).await;
        self.ring.heal().await?;
        self.end(span);
        Ok(())
    }

    async fn cut_off(&mut self, node: usize, hold: Duration) -> Result<(), String> {
        let before = self.ring.session(node).await;
        let others = (0..self.ring.len()).filter(|&other| other != node);
        let links: Vec<Link> = others.flat_map(|other| [(node, other), (other, node)]).collect();
        let words = format!("{} is cut off from all others", self.name(node));
        let span = self.begin(FaultKind::Cut, words, &[node]);
        self.ring.cut(&links).await?;
        self.ring.without(&[node]).await?;
        self.progress().await?;
        sleep(hold).await;
        self.ring.heal().await?;
        self.end(span);
        self.has_new_session(node, before).await
    }

    async fn skew(&mut self, ppm: &[i32], hung: usize, hold: Duration) -> Result<(), String> {
        let words = format!("clocks run fast and slow, by {ppm:?} parts per million");
        let all: Vec<usize> = (0..self.ring.len()).collect();
        let span = self.begin(FaultKind::Clock, words, &all);
        for (node, &ppm) in ppm.iter().enumerate() {
            self.ring.skew(node, ppm, ppm).await?;
        }
        self.hang(hung, false, hold).await?;
        self.progress().await?;
        for node in 0..self.ring.len() {
            self.ring.skew(node, 0, 0).await?;
        }
        self.end(span);
        Ok(())
    }

    /// The node's data moves to a small disk, which is filled until the node stops itself; later there is room, and in
    /// the end the data moves back.
    async fn fill_disk(&mut self, node: usize) -> Result<(), String> {
        let data = self.ring.data(node).to_owned();
        let aside = data.with_extension("aside");
        let failed = |error: std::io::Error| format!("{}: {error}", data.display());
        self.ring.terminate(node).await?;
        std::fs::rename(&data, &aside).and_then(|()| std::fs::create_dir(&data)).map_err(failed)?;
        let used = size_of_folder(&aside).map_err(failed)?;
        let disk = SmallDisk::mount(&data, used + DISK_ROOM)?;
        copy_content(&aside, &data)?;
        self.launch(node)?;
        self.ring.whole().await?;
        self.progress().await?;

        let span = self.begin(FaultKind::Disk, format!("the disk of {} fills up", self.name(node)), &[node]);
        let ended = self.fill_until_it_ends(node).await?;
        if ended != Some(STOPPED_ITSELF) {
            return Err(format!(
                "node {} ended with {ended:?} on a full disk, not {STOPPED_ITSELF}",
                self.name(node)
            ));
        }
        self.ring.kill(node);
        self.ring.without(&[node]).await?;
        self.progress().await?;
        disk.resize(used + DISK_RELIEF)?;
        self.launch(node)?;
        self.end(span);
        self.ring.whole().await?;
        self.progress().await?;

        self.ring.terminate(node).await?;
        std::fs::remove_dir_all(&aside).and_then(|()| std::fs::create_dir(&aside)).map_err(failed)?;
        copy_content(&data, &aside)?;
        drop(disk);
        std::fs::remove_dir(&data).and_then(|()| std::fs::rename(&aside, &data)).map_err(failed)?;
        self.launch(node)
    }

    async fn fill_until_it_ends(&mut self, node: usize) -> Result<Option<i32>, String> {
        let mut filler = Filler::new(self.shared, node, FILL_BYTES);
        for number in 0..FILL_WRITES_MAX {
            filler.write(number).await;
            if let Some(ended) = self.ring.newly_ended(node) {
                return Ok(ended.status.code());
            }
        }
        Err(format!("the disk of node {} took all that there was and is not full", self.name(node)))
    }

    /// Undoes what was done, as far as it can be, after a round went wrong.
    pub(crate) async fn restore(&mut self) -> Result<(), String> {
        // Nodes that do not run cannot be healed, and need not.
        let _ = self.ring.heal().await;
        for node in 0..self.ring.len() {
            self.ring.wake(node);
            if self.ring.view(node).await.is_none() {
                self.ring.kill(node);
                self.launch(node)?;
            }
        }
        self.ring.whole().await
    }
}
