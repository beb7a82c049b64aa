//! The two threads that touch the disk: one makes the log durable, one applies clean entries to the data.
//!
//! The **writer** takes whatever changes have gathered since its last turn, appends them as one batch, syncs
//! once, and reports: group commit. The **applier** follows behind; now and then it makes the data durable and
//! tells the writer which part of the log can go. When the applier falls behind, the writer waits for it: so
//! the whole chain slows down instead of filling memory.

use std::collections::BTreeMap;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use simpledynamo_chain::{Applied, Entry, Persist};
use simpledynamo_storage::{Data, Log};
use simpledynamo_topology::PartitionId;
use tokio::sync::mpsc::UnboundedSender;

use crate::config::Durability;
use crate::fatal;

/// How often the log is synced with `durability = "interval"`.
const SYNC_INTERVAL: Duration = Duration::from_millis(100);

/// How often it is synced with `durability = "none"`: nobody waits for that, but only what the log holds
/// durably may be applied to the data.
const LAZY_SYNC_INTERVAL: Duration = Duration::from_secs(1);

/// Bytes of clean entries that may wait to be applied before the writer waits for the applier. Enough for a
/// pause of the engine's compaction, little enough to be no burden on memory.
const BACKLOG_BYTES_MAX: usize = 64 << 20;

/// Entries applied in one batch: large enough to share the cost of a batch, small enough that the data is
/// never long in coming.
const APPLY_BATCH_MAX: usize = 1_024;

/// Bytes applied after which the data is made durable, so that the log behind it can be trimmed.
const TRIM_BYTES: usize = 32 << 20;

/// What the disk has done.
#[derive(Debug)]
pub(crate) enum Done {
    /// These changes are durable.
    Persisted(Vec<Persist>),
    /// The data has come this far.
    Applied(BTreeMap<PartitionId, Applied>),
}

enum WriterJob {
    Persist(Vec<Persist>),
    Apply(Vec<(PartitionId, Arc<Entry>)>),
    Trim(BTreeMap<PartitionId, u64>),
    Close,
}

/// Hands work to the two threads.
pub(crate) struct Disk {
    writer: Sender<WriterJob>,
    threads: Vec<thread::JoinHandle<()>>,
}

/// Bytes of entries handed to the applier that it has not applied yet.
#[derive(Default)]
struct Backlog {
    bytes: Mutex<usize>,
    shrunk: Condvar,
}

impl Backlog {
    fn grow(&self, bytes: usize) {
        *self.bytes.lock().unwrap_or_else(PoisonError::into_inner) += bytes;
    }

    fn shrink(&self, bytes: usize) {
        *self.bytes.lock().unwrap_or_else(PoisonError::into_inner) -= bytes;
        self.shrunk.notify_all();
    }

    fn wait_for_room(&self) {
        let bytes = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        let has_room = self.shrunk.wait_while(bytes, |bytes| *bytes > BACKLOG_BYTES_MAX);
        drop(has_room);
    }
}

impl Disk {
    /// Starts both threads. What they have done comes out of `done`.
    pub(crate) fn start(
        log: impl Log + 'static,
        data: impl Data,
        durability: Durability,
        done: UnboundedSender<Done>,
    ) -> Self {
        let (writer, jobs) = mpsc::channel();
        let (applier, clean) = mpsc::channel();
        let backlog = Arc::new(Backlog::default());
        let log_writer = Writer {
            log,
            sync: SyncPolicy::of(durability),
            backlog: Arc::clone(&backlog),
            done: done.clone(),
            applier,
            dirty: None,
            held: Vec::new(),
        };
        let data_applier =
            Applier { data, backlog: Arc::clone(&backlog), done, writer: writer.clone(), unsynced: 0 };
        let threads = vec![
            spawn("log", move || log_writer.run(&jobs)),
            spawn("data", move || data_applier.run(&clean)),
        ];
        Self { writer, threads }
    }

    /// Asks for changes to be made durable.
    pub(crate) fn persist(&self, changes: Vec<Persist>) {
        // The writer ends only with the process or after `close`.
        let _ = self.writer.send(WriterJob::Persist(changes));
    }

    /// Asks for clean entries to be applied.
    pub(crate) fn apply(&self, entries: Vec<(PartitionId, Arc<Entry>)>) {
        let _ = self.writer.send(WriterJob::Apply(entries));
    }

    /// Finishes what was asked for, makes all of it durable, and ends both threads.
    pub(crate) fn close(self) {
        let _ = self.writer.send(WriterJob::Close);
        for thread in self.threads {
            // A thread that panicked has ended the process already.
            let _ = thread.join();
        }
    }
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> thread::JoinHandle<()> {
    match thread::Builder::new().name(name.to_owned()).spawn(run) {
        Ok(handle) => handle,
        Err(error) => fatal::stop(&format_args!("cannot start the {name} thread: {error}")),
    }
}

/// When the log is synced.
#[derive(Clone, Copy)]
enum SyncPolicy {
    /// Before anything that somebody awaits is reported.
    Always,
    /// After this long, whoever awaits what.
    Every(Duration),
}

impl SyncPolicy {
    fn of(durability: Durability) -> Self {
        match durability {
            Durability::Always => Self::Always,
            Durability::Interval => Self::Every(SYNC_INTERVAL),
            Durability::None => Self::Every(LAZY_SYNC_INTERVAL),
        }
    }
}

struct Writer<L> {
    log: L,
    sync: SyncPolicy,
    backlog: Arc<Backlog>,
    done: UnboundedSender<Done>,
    applier: Sender<Vec<(PartitionId, Arc<Entry>)>>,
    /// Since when something appended has not been synced.
    dirty: Option<Instant>,
    /// Clean entries that may be applied once the log is synced.
    held: Vec<(PartitionId, Arc<Entry>)>,
}

impl<L: Log> Writer<L> {
    fn run(mut self, jobs: &Receiver<WriterJob>) {
        loop {
            let first = match self.next(jobs) {
                Ok(job) => job,
                Err(RecvTimeoutError::Timeout) => {
                    self.sync();
                    continue;
                }
                Err(RecvTimeoutError::Disconnected) => return self.sync(),
            };
            let mut changes = Vec::new();
            for job in std::iter::once(first).chain(jobs.try_iter()) {
                match job {
                    WriterJob::Persist(more) if changes.is_empty() => changes = more,
                    WriterJob::Persist(more) => changes.extend(more),
                    WriterJob::Apply(entries) => self.apply(entries),
                    WriterJob::Trim(applied) => {
                        self.log.trim(&applied).unwrap_or_else(|error| fatal::stop(&error));
                    }
                    WriterJob::Close => {
                        self.write(changes);
                        return self.sync();
                    }
                }
            }
            self.write(changes);
        }
    }

    fn next(&self, jobs: &Receiver<WriterJob>) -> Result<WriterJob, RecvTimeoutError> {
        match (self.sync, self.dirty) {
            (SyncPolicy::Every(interval), Some(since)) => {
                jobs.recv_timeout(interval.saturating_sub(since.elapsed()))
            }
            _ => jobs.recv().map_err(|_| RecvTimeoutError::Disconnected),
        }
    }

    fn write(&mut self, changes: Vec<Persist>) {
        if changes.is_empty() {
            return;
        }
        self.backlog.wait_for_room();
        self.log.append(&changes).unwrap_or_else(|error| fatal::stop(&error));
        let dirty_since = *self.dirty.get_or_insert_with(Instant::now);
        let is_awaited = changes.iter().any(|change| !matches!(change, Persist::Watermark { .. }));
        let must_sync = match self.sync {
            // A watermark alone is awaited by nobody: the next sync takes it along.
            SyncPolicy::Always => is_awaited,
            SyncPolicy::Every(interval) => dirty_since.elapsed() >= interval,
        };
        if must_sync || changes.iter().any(Persist::is_vital) {
            self.sync();
        }
        if is_awaited {
            // Nobody listens once the node is stopping.
            let _ = self.done.send(Done::Persisted(changes));
        }
    }

    /// Has clean entries applied: at once if they are durable, else after the next sync.
    fn apply(&mut self, entries: Vec<(PartitionId, Arc<Entry>)>) {
        match self.sync {
            // What is clean has been reported durable, so it is.
            SyncPolicy::Always => self.hand_on(entries),
            SyncPolicy::Every(_) => {
                self.held.extend(entries);
                // Without anything to sync there would be no next time.
                self.dirty.get_or_insert_with(Instant::now);
            }
        }
    }

    fn sync(&mut self) {
        if self.dirty.take().is_some() {
            self.log.sync().unwrap_or_else(|error| fatal::stop(&error));
        }
        if !self.held.is_empty() {
            let held = std::mem::take(&mut self.held);
            self.hand_on(held);
        }
    }

    fn hand_on(&self, entries: Vec<(PartitionId, Arc<Entry>)>) {
        self.backlog.grow(entries.iter().map(|(_, entry)| entry.weight()).sum());
        // The applier ends after this thread.
        let _ = self.applier.send(entries);
    }
}

struct Applier<D> {
    data: D,
    backlog: Arc<Backlog>,
    done: UnboundedSender<Done>,
    writer: Sender<WriterJob>,
    /// Bytes applied since the data was last made durable.
    unsynced: usize,
}

impl<D: Data> Applier<D> {
    fn run(mut self, jobs: &Receiver<Vec<(PartitionId, Arc<Entry>)>>) {
        while let Ok(mut entries) = jobs.recv() {
            while entries.len() < APPLY_BATCH_MAX {
                let Ok(more) = jobs.try_recv() else { break };
                entries.extend(more);
            }
            for batch in entries.chunks(APPLY_BATCH_MAX) {
                self.apply(batch);
            }
            if self.unsynced >= TRIM_BYTES {
                self.sync_and_trim();
            }
        }
        self.data.sync().unwrap_or_else(|error| fatal::stop(&error));
    }

    fn apply(&mut self, batch: &[(PartitionId, Arc<Entry>)]) {
        let applied = self.data.apply(batch).unwrap_or_else(|error| fatal::stop(&error));
        let bytes: usize = batch.iter().map(|(_, entry)| entry.weight()).sum();
        self.backlog.shrink(bytes);
        self.unsynced += bytes;
        let _ = self.done.send(Done::Applied(applied));
    }

    fn sync_and_trim(&mut self) {
        let held = self.data.sync().unwrap_or_else(|error| fatal::stop(&error));
        self.unsynced = 0;
        let _ = self.writer.send(WriterJob::Trim(held));
    }
}
