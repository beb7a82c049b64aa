//! The threads that touch the disk: one makes the log durable, one applies clean entries to the data, one reads for
//! nodes that missed something.
//!
//! The **writer** takes whatever changes have gathered since its last turn, appends them as one batch, syncs
//! once, and reports: group commit. The **applier** follows behind; now and then it makes the data durable and
//! tells the writer which part of the log can go. When the applier falls behind, the writer waits for it: so
//! the whole chain slows down instead of filling memory. The **reader** reads old parts of the log, and pages of
//! snapshots of the data, which joiners are sent: so a node that recovers never holds up those that serve.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::mem;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use simpledynamo_chain::{Applied, Apply, CopyPage, CopyStep, DataKey, Entry, Fetch, Persist};
use simpledynamo_ring::{Partition, Ring};
use simpledynamo_storage::{Data, Log, LogReader, Snapshot};
use simpledynamo_topology::PartitionId;
use tokio::sync::mpsc::UnboundedSender;

use crate::config::Durability;
use crate::core::held::{Held, Released, join};
use crate::core::pulse::Pulse;
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
pub(super) const APPLY_BATCH_MAX: usize = 1_024;

/// Bytes applied after which the data is made durable, so that the log behind it can be trimmed.
const TRIM_BYTES: usize = 32 << 20;

/// Bytes of records in a page of a copy: large enough to share the cost of a round trip, far below a frame's limit.
const PAGE_BYTES: usize = 1 << 20;

/// What the disk has done.
#[derive(Debug)]
pub(crate) enum Done {
    /// These changes are durable.
    Persisted(Vec<Persist>),
    /// A page of a copy is in the data.
    PageApplied { partition: PartitionId, attachment: u64, number: u32 },
    /// Entries were read for a joiner; `None` if the log no longer has them.
    Fetched { partition: PartitionId, attachment: u64, entries: Option<Vec<Arc<Entry>>> },
    /// A page of a snapshot was read for a joiner.
    PageRead { partition: PartitionId, attachment: u64, page: CopyPage },
}

/// What the reader is asked for.
enum ReaderJob {
    Fetch(Fetch),
    Copy(CopyStep),
}

enum WriterJob {
    Persist(Vec<Persist>),
    Apply(Vec<Apply>),
    Trim(BTreeMap<PartitionId, u64>),
    Close,
}

/// Hands work to the threads.
pub(crate) struct Disk {
    writer: Sender<WriterJob>,
    reader: Sender<ReaderJob>,
    progress: Arc<Progress>,
    held: RefCell<Held>,
    threads: Vec<thread::JoinHandle<()>>,
}

/// How far the data has come. Looked at now and then: nobody waits for it.
#[derive(Default)]
struct Progress(Mutex<BTreeMap<PartitionId, Applied>>);

impl Progress {
    fn note(&self, applied: BTreeMap<PartitionId, Applied>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(applied);
    }

    fn take(&self) -> BTreeMap<PartitionId, Applied> {
        mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
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
    /// Starts the threads. What they have done comes out of `done`.
    pub(crate) fn start<D: Data>(
        log: impl Log + 'static,
        data: D,
        log_reader: impl LogReader,
        ring: &Arc<Ring>,
        durability: Durability,
        pulse: Arc<Pulse>,
        done: UnboundedSender<Done>,
    ) -> Self {
        let (writer, jobs) = mpsc::channel();
        let (applier, clean) = mpsc::channel();
        let (reader, wanted) = mpsc::channel();
        let backlog = Arc::new(Backlog::default());
        let progress = Arc::new(Progress::default());
        let log_writer = Writer {
            log,
            sync: SyncPolicy::of(durability),
            backlog: Arc::clone(&backlog),
            pulse,
            done: done.clone(),
            applier,
            dirty: None,
            awaiting_sync: Vec::new(),
        };
        let data_applier = Applier {
            data: data.clone(),
            ring: Arc::clone(ring),
            backlog: Arc::clone(&backlog),
            progress: Arc::clone(&progress),
            done: done.clone(),
            writer: writer.clone(),
            unsynced: 0,
        };
        let joiners_reader =
            Reader { log: log_reader, data, ring: Arc::clone(ring), done, snapshots: BTreeMap::new() };
        let threads = vec![
            spawn("log", move || log_writer.run(&jobs)),
            spawn("data", move || data_applier.run(&clean)),
        ];
        // Nobody waits for its end: it only reads.
        spawn("recovery", move || joiners_reader.run(&wanted));
        Self { writer, reader, progress, held: RefCell::default(), threads }
    }

    /// Asks for entries to be read from the log.
    pub(crate) fn fetch(&self, fetch: Fetch) {
        let _ = self.reader.send(ReaderJob::Fetch(fetch));
    }

    /// Asks for a step of a copy of the data.
    pub(crate) fn copy(&self, step: CopyStep) {
        let _ = self.reader.send(ReaderJob::Copy(step));
    }

    /// Asks for changes to be made durable, and for changes to the data behind those to the log. What nobody waits for
    /// is held back.
    pub(crate) fn write(&self, persist: Vec<Persist>, apply: Vec<Apply>) {
        let released = self.held.borrow_mut().take(persist, apply);
        self.hand_over(released);
    }

    /// Hands over what was held back.
    pub(crate) fn flush(&self) {
        let released = self.held.borrow_mut().release();
        self.hand_over(released);
    }

    fn hand_over(&self, released: Released) {
        // The writer ends only with the process or after `close`.
        if !released.persist.is_empty() {
            let _ = self.writer.send(WriterJob::Persist(released.persist));
        }
        if !released.apply.is_empty() {
            let _ = self.writer.send(WriterJob::Apply(released.apply));
        }
    }

    /// How far the data has come since this was asked last.
    pub(crate) fn take_applied(&self) -> BTreeMap<PartitionId, Applied> {
        self.progress.take()
    }

    /// Finishes what was asked for, makes all of it durable, and ends the threads that write.
    pub(crate) fn close(self) {
        self.flush();
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
    pulse: Arc<Pulse>,
    done: UnboundedSender<Done>,
    applier: Sender<Vec<Apply>>,
    /// Since when something appended has not been synced.
    dirty: Option<Instant>,
    /// Changes to the data that may be made once the log is synced.
    awaiting_sync: Vec<Apply>,
}

impl<L: Log> Writer<L> {
    fn run(mut self, jobs: &Receiver<WriterJob>) {
        loop {
            let next = self.next(jobs);
            // Whatever the writer does from here on, it may have to wait for the disk, or for an applier that does.
            let pulse = Arc::clone(&self.pulse);
            let _working = pulse.begin_work();
            let first = match next {
                Ok(job) => job,
                Err(RecvTimeoutError::Timeout) => {
                    self.sync();
                    continue;
                }
                Err(RecvTimeoutError::Disconnected) => return self.sync(),
            };
            let (mut changes, mut clean) = (Vec::new(), Vec::new());
            for job in std::iter::once(first).chain(jobs.try_iter()) {
                match job {
                    WriterJob::Persist(more) => join(&mut changes, more),
                    WriterJob::Apply(more) => join(&mut clean, more),
                    WriterJob::Trim(applied) => {
                        self.log.trim(&applied).unwrap_or_else(|error| fatal::stop_for(&error));
                    }
                    WriterJob::Close => {
                        self.write(changes);
                        self.apply(clean);
                        return self.sync();
                    }
                }
            }
            self.write(changes);
            // Behind all that was asked for before: a page must not reach the data before the log says that it may.
            self.apply(clean);
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
        #[cfg(feature = "sabotage")]
        crate::sabotage::delay_writing();
        self.backlog.wait_for_room();
        self.log.append(&changes).unwrap_or_else(|error| fatal::stop_for(&error));
        let dirty_since = *self.dirty.get_or_insert_with(Instant::now);
        let is_awaited = changes.iter().any(Persist::is_awaited);
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

    /// Has changes made to the data: at once if what they follow from is durable, else after the next sync.
    fn apply(&mut self, changes: Vec<Apply>) {
        if changes.is_empty() {
            return;
        }
        match self.sync {
            // What is clean has been reported durable, so it is.
            SyncPolicy::Always => self.hand_on(changes),
            SyncPolicy::Every(_) => {
                let has_page = changes.iter().any(|change| matches!(change, Apply::Page { .. }));
                self.awaiting_sync.extend(changes);
                // Without anything to sync there would be no next time.
                self.dirty.get_or_insert_with(Instant::now);
                if has_page {
                    // The next page is sent once this one is in the data: a copy would get on by one per interval.
                    self.sync();
                }
            }
        }
    }

    fn sync(&mut self) {
        if self.dirty.take().is_some() {
            self.log.sync().unwrap_or_else(|error| fatal::stop_for(&error));
        }
        if !self.awaiting_sync.is_empty() {
            let changes = mem::take(&mut self.awaiting_sync);
            self.hand_on(changes);
        }
    }

    fn hand_on(&self, changes: Vec<Apply>) {
        self.backlog.grow(changes.iter().map(weight).sum());
        // The applier ends after this thread.
        let _ = self.applier.send(changes);
    }
}

/// Bytes that a change to the data holds, roughly.
pub(super) fn weight(change: &Apply) -> usize {
    match change {
        Apply::Entry(_, entry) => entry.weight(),
        Apply::Page { page, .. } => {
            page.records.iter().map(|(key, record)| key.as_bytes().len() + record.value.len()).sum()
        }
    }
}

struct Applier<D> {
    data: D,
    ring: Arc<Ring>,
    backlog: Arc<Backlog>,
    progress: Arc<Progress>,
    done: UnboundedSender<Done>,
    writer: Sender<WriterJob>,
    /// Bytes applied since the data was last made durable.
    unsynced: usize,
}

impl<D: Data> Applier<D> {
    fn run(mut self, jobs: &Receiver<Vec<Apply>>) {
        while let Ok(mut changes) = jobs.recv() {
            while changes.len() < APPLY_BATCH_MAX {
                let Ok(more) = jobs.try_recv() else { break };
                changes.extend(more);
            }
            let mut entries = Vec::new();
            for change in changes {
                match change {
                    Apply::Entry(partition, entry) => {
                        entries.push((partition, entry));
                        if entries.len() == APPLY_BATCH_MAX {
                            self.apply(&mem::take(&mut entries));
                        }
                    }
                    Apply::Page { partition, attachment, page } => {
                        self.apply(&mem::take(&mut entries));
                        self.install(partition, attachment, &page);
                    }
                }
            }
            self.apply(&entries);
            if self.unsynced >= TRIM_BYTES {
                self.sync_and_trim();
            }
        }
        self.data.sync().unwrap_or_else(|error| fatal::stop_for(&error));
    }

    fn apply(&mut self, batch: &[(PartitionId, Arc<Entry>)]) {
        if batch.is_empty() {
            return;
        }
        let applied = self.data.apply(batch).unwrap_or_else(|error| fatal::stop_for(&error));
        self.count(batch.iter().map(|(_, entry)| entry.weight()).sum());
        self.progress.note(applied);
    }

    fn install(&mut self, partition: PartitionId, attachment: u64, page: &Arc<CopyPage>) {
        let arc = &self.ring.partitions()[partition.index()];
        self.data.install(partition, arc, page).unwrap_or_else(|error| fatal::stop_for(&error));
        self.count(weight(&Apply::Page { partition, attachment, page: Arc::clone(page) }));
        let _ = self.done.send(Done::PageApplied { partition, attachment, number: page.number });
    }

    fn count(&mut self, bytes: usize) {
        self.backlog.shrink(bytes);
        self.unsynced += bytes;
    }

    fn sync_and_trim(&mut self) {
        let held = self.data.sync().unwrap_or_else(|error| fatal::stop_for(&error));
        self.unsynced = 0;
        let _ = self.writer.send(WriterJob::Trim(held));
    }
}

/// Reads what joiners are sent.
struct Reader<L, D: Data> {
    log: L,
    data: D,
    ring: Arc<Ring>,
    done: UnboundedSender<Done>,
    /// The snapshots being copied, by partition and attachment.
    snapshots: BTreeMap<(PartitionId, u64), Copying<D::Snapshot>>,
}

/// A snapshot that is being copied.
struct Copying<S> {
    snapshot: S,
    /// The number of the next page.
    number: u32,
    /// The last key of the page before.
    after: Option<DataKey>,
}

impl<L: LogReader, D: Data> Reader<L, D> {
    fn run(mut self, jobs: &Receiver<ReaderJob>) {
        while let Ok(job) = jobs.recv() {
            match job {
                ReaderJob::Fetch(fetch) => self.fetch(&fetch),
                ReaderJob::Copy(CopyStep::Begin { partition, attachment }) => {
                    let snapshot = self.data.snapshot().unwrap_or_else(|error| fatal::stop_for(&error));
                    let copying = Copying { snapshot, number: 0, after: None };
                    self.snapshots.insert((partition, attachment), copying);
                    self.read_page(partition, attachment);
                }
                ReaderJob::Copy(CopyStep::Next { partition, attachment }) => {
                    self.read_page(partition, attachment);
                }
                ReaderJob::Copy(CopyStep::End { partition, attachment }) => {
                    self.snapshots.remove(&(partition, attachment));
                }
            }
        }
    }

    fn fetch(&mut self, fetch: &Fetch) {
        let entries = self.log.read(fetch).unwrap_or_else(|error| fatal::stop_for(&error));
        let (partition, attachment) = (fetch.partition, fetch.attachment);
        let _ = self.done.send(Done::Fetched { partition, attachment, entries });
    }

    fn read_page(&mut self, partition: PartitionId, attachment: u64) {
        let Some(copying) = self.snapshots.get_mut(&(partition, attachment)) else { return };
        let arc: &Partition = &self.ring.partitions()[partition.index()];
        let page = copying.snapshot.page(partition, arc, copying.number, copying.after.take(), PAGE_BYTES);
        let page = page.unwrap_or_else(|error| fatal::stop_for(&error));
        copying.number += 1;
        copying.after = page.records.last().map(|(key, _)| key.clone());
        if page.end.is_some() {
            self.snapshots.remove(&(partition, attachment));
        }
        let _ = self.done.send(Done::PageRead { partition, attachment, page });
    }
}

#[cfg(test)]
mod tests;
