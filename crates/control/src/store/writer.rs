//! The thread that writes and syncs, so that no task of the runtime ever waits for a disk.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use tokio::sync::{oneshot, watch};

use super::record::{Record, encode};
use super::{LOG, SNAPSHOT};
use crate::types::LogId;

/// How long a change that needs no sync of its own waits for one that does.
const LAZY: Duration = Duration::from_millis(100);

/// Called once what it belongs to is on disk, or never will be.
pub(crate) type Done = Box<dyn FnOnce(io::Result<()>) + Send>;

enum Job {
    /// Writes one line to the log and syncs it.
    Append(Vec<Record>, Done),
    /// Writes with the next line.
    Lazy(Record),
    /// Replaces the log by one that says only this.
    Rewrite(Vec<Record>, Done),
    /// Replaces the snapshot, unless that is of a later entry already.
    Snapshot(Option<LogId>, Vec<u8>, Done),
    /// Writes what waits, and ends the thread.
    Close(Done),
}

/// A handle on the thread. Jobs are done in the order in which they were handed over.
#[derive(Clone)]
pub(crate) struct Writer {
    jobs: mpsc::Sender<Job>,
}

impl Writer {
    /// Starts the thread. `folder` holds a whole log file already, and a snapshot that ends with `snapshot`.
    ///
    /// Whatever fails is reported in `fatal`, and everything after it fails too: what a failed sync leaves on disk is
    /// anybody's guess.
    pub(crate) fn start(
        folder: &Path,
        snapshot: Option<LogId>,
        fatal: watch::Sender<Option<String>>,
    ) -> io::Result<Self> {
        let file = OpenOptions::new().append(true).open(folder.join(LOG))?;
        let (jobs, inbox) = mpsc::channel();
        let thread =
            Thread { folder: folder.to_owned(), file, lazy: Vec::new(), snapshot, fatal, failed: None };
        std::thread::Builder::new().name("control-log".to_owned()).spawn(move || thread.run(&inbox))?;
        Ok(Self { jobs })
    }

    pub(crate) fn append(&self, records: Vec<Record>, done: Done) {
        self.submit(Job::Append(records, done));
    }

    pub(crate) fn lazy(&self, record: Record) {
        self.submit(Job::Lazy(record));
    }

    pub(crate) fn rewrite(&self, records: Vec<Record>, done: Done) {
        self.submit(Job::Rewrite(records, done));
    }

    pub(crate) async fn snapshot(&self, last: Option<LogId>, bytes: Vec<u8>) -> io::Result<()> {
        let (done, result) = promise();
        self.submit(Job::Snapshot(last, bytes, done));
        result.await.unwrap_or_else(|_| Err(ended()))
    }

    /// Writes what waits and ends the thread; all that is handed over later fails.
    pub(crate) async fn close(&self) -> io::Result<()> {
        let (done, result) = promise();
        self.submit(Job::Close(done));
        result.await.unwrap_or_else(|_| Err(ended()))
    }

    fn submit(&self, job: Job) {
        if let Err(mpsc::SendError(job)) = self.jobs.send(job) {
            job.done(Err(ended()));
        }
    }
}

fn ended() -> io::Error {
    io::Error::other("the control store is closed")
}

/// A callback, and what it will have been called with.
pub(crate) fn promise() -> (Done, oneshot::Receiver<io::Result<()>>) {
    let (sender, receiver) = oneshot::channel();
    // Whoever asked may have gone away.
    (Box::new(move |result| drop(sender.send(result))), receiver)
}

impl Job {
    fn done(self, result: io::Result<()>) {
        match self {
            Self::Append(_, done)
            | Self::Rewrite(_, done)
            | Self::Snapshot(_, _, done)
            | Self::Close(done) => {
                done(result);
            }
            Self::Lazy(_) => {}
        }
    }
}

struct Thread {
    folder: PathBuf,
    file: File,
    /// Changes that wait for the next line.
    lazy: Vec<Record>,
    /// What the snapshot on disk ends with.
    snapshot: Option<LogId>,
    fatal: watch::Sender<Option<String>>,
    failed: Option<String>,
}

impl Thread {
    fn run(mut self, inbox: &mpsc::Receiver<Job>) {
        loop {
            let job = if self.lazy.is_empty() {
                inbox.recv().map_err(|_| RecvTimeoutError::Disconnected)
            } else {
                inbox.recv_timeout(LAZY)
            };
            match job {
                Ok(Job::Close(done)) => return done(self.attempt(|thread| thread.flush())),
                Ok(Job::Lazy(record)) => self.lazy.push(record),
                Ok(Job::Append(records, done)) => done(self.attempt(|thread| thread.append(records))),
                Ok(Job::Rewrite(records, done)) => done(self.attempt(|thread| thread.rewrite(&records))),
                Ok(Job::Snapshot(last, bytes, done)) => {
                    done(self.attempt(|thread| thread.replace_snapshot(last, &bytes)));
                }
                Err(RecvTimeoutError::Timeout) => drop(self.attempt(Self::flush)),
                Err(RecvTimeoutError::Disconnected) => return drop(self.attempt(Self::flush)),
            }
        }
    }

    fn attempt(&mut self, work: impl FnOnce(&mut Self) -> io::Result<()>) -> io::Result<()> {
        if let Some(reason) = &self.failed {
            return Err(io::Error::other(reason.clone()));
        }
        work(self).inspect_err(|error| {
            let reason = format!("{}: {error}", self.folder.display());
            tracing::error!("the control store failed: {reason}");
            self.lazy.clear();
            self.failed = Some(reason.clone());
            self.fatal.send_replace(Some(reason));
        })
    }

    fn append(&mut self, records: Vec<Record>) -> io::Result<()> {
        let mut line = std::mem::take(&mut self.lazy);
        line.extend(records);
        self.file.write_all(&encode(&line))?;
        self.file.sync_data()
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.lazy.is_empty() { Ok(()) } else { self.append(Vec::new()) }
    }

    fn rewrite(&mut self, records: &[Record]) -> io::Result<()> {
        // What waits is in the records already: they were taken later.
        self.lazy.clear();
        self.file = replace(&self.folder, LOG, &encode(&records))?;
        Ok(())
    }

    fn replace_snapshot(&mut self, last: Option<LogId>, bytes: &[u8]) -> io::Result<()> {
        // One received from the leader may have overtaken one built here, and the log behind it may be gone.
        if last < self.snapshot {
            return Ok(());
        }
        replace(&self.folder, SNAPSHOT, bytes)?;
        self.snapshot = last;
        Ok(())
    }
}

/// Replaces a file as one step that survives a power cut, and returns it open for appending.
pub(crate) fn replace(folder: &Path, name: &str, bytes: &[u8]) -> io::Result<File> {
    let new = folder.join(format!("{name}.new"));
    let mut file = File::create(&new)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&new, folder.join(name))?;
    File::open(folder)?.sync_all()?;
    Ok(file)
}
