//! The control group's own durable store: its log and votes, and a snapshot of its state machine.
//!
//! Two files in a folder: `control.log` and `control.snapshot`, text that humans can read (see [`record`]). The log
//! only grows, until it is rewritten without what was dropped. Both are replaced as one step: written anew under
//! another name, synced, renamed, and the folder synced. What is read is kept in memory too, since the log is small:
//! snapshots keep it to some hundreds of entries.
//!
//! One thread writes ([`writer`]). A vote, an appended entry and a truncation are reported once they are synced. That
//! something is committed, or dropped because a snapshot holds it, may be forgotten in a crash, so it waits for the
//! next line.

#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod log;
mod machine;
mod record;
mod writer;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use simpledynamo_ring::Ring;
use simpledynamo_topology::Topology;
use tokio::sync::watch;

pub(crate) use log::Log;
pub(crate) use machine::Machine;

use self::record::{FORMAT, Head, Record, Scan};
use self::writer::Writer;
use crate::ControlId;
use crate::types::{Entry, LogId, Vote};

const LOG: &str = "control.log";
const SNAPSHOT: &str = "control.snapshot";

/// The log is written anew when it has grown by this many bytes and by its size when it was last written anew.
const REWRITE_AFTER: usize = 1 << 20;

/// A store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Reading or writing failed.
    #[error("{path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A file is damaged: what it says at the offset is not what was written.
    #[error("{path} is damaged at byte {offset}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where the damaged line begins.
        offset: usize,
    },
    /// A file belongs to another ring, another node or another store.
    #[error("{path} belongs to {found}, not to {wanted}")]
    Other {
        /// The file.
        path: PathBuf,
        /// Whose it is.
        found: String,
        /// Whose it should be.
        wanted: String,
    },
    /// A file was written by another version of the program.
    #[error("{path} has format {found}, and this program knows only format {FORMAT}")]
    Format {
        /// The file.
        path: PathBuf,
        /// The format it has.
        found: u32,
    },
}

/// What the log file says, in memory.
#[derive(Default)]
struct Mirror {
    vote: Option<Vote>,
    committed: Option<LogId>,
    purged: Option<LogId>,
    entries: BTreeMap<u64, Entry>,
    /// Bytes of the log file when it was last written anew, and since then.
    rewritten: usize,
    grown: usize,
}

impl Mirror {
    /// Does what a record says; `false` if it cannot follow what went before.
    fn take(&mut self, record: Record) -> bool {
        match record {
            Record::Head(_) => return false,
            Record::Vote(vote) => self.vote = Some(vote),
            Record::Entry(entry) => {
                let index = entry.log_id.index;
                if self.entries.last_key_value().is_some_and(|(last, _)| last.checked_add(1) != Some(index)) {
                    return false;
                }
                self.entries.insert(index, entry);
            }
            Record::Truncate(since) => drop(self.entries.split_off(&since)),
            Record::Purge(upto) => {
                self.entries.retain(|&index, _| index > upto.index);
                self.purged = Some(upto);
            }
            Record::Committed(upto) => self.committed = Some(upto),
        }
        true
    }

    /// The records that say all this.
    fn records(&self, head: &Head) -> Vec<Record> {
        let mut records = vec![Record::Head(head.clone())];
        records.extend(self.vote.map(Record::Vote));
        records.extend(self.purged.map(Record::Purge));
        records.extend(self.entries.values().cloned().map(Record::Entry));
        records.extend(self.committed.map(Record::Committed));
        records
    }
}

/// The open store.
pub(crate) struct Store {
    head: Head,
    mirror: Mutex<Mirror>,
    writer: Writer,
}

impl Store {
    /// Opens the store in a folder, which is made if need be, and gives its two halves as openraft wants them.
    ///
    /// `fatal` learns why the store failed, if it does: what the process still holds in memory must not be trusted
    /// then.
    pub(crate) fn open(
        folder: &Path,
        ring_id: &str,
        owner: ControlId,
        ring: Arc<Ring>,
        fatal: watch::Sender<Option<String>>,
        publish: watch::Sender<Arc<Topology>>,
    ) -> Result<(Arc<Self>, Log, Machine), StoreError> {
        let head = Head { format: FORMAT, ring: ring_id.to_owned(), owner };
        std::fs::create_dir_all(folder)
            .map_err(|source| StoreError::Io { path: folder.to_owned(), source })?;
        let mirror = open_log(&folder.join(LOG), folder, &head)?;
        let snapshot = machine::open_snapshot(&folder.join(SNAPSHOT), &head, &ring)?;
        let last = snapshot.as_ref().and_then(|snapshot| snapshot.meta.last_log_id);
        let writer = Writer::start(folder, last, fatal)
            .map_err(|source| StoreError::Io { path: folder.join(LOG), source })?;
        let store = Arc::new(Self { head, mirror: Mutex::new(mirror), writer });
        let machine = Machine::new(Arc::clone(&store), ring, snapshot, publish);
        Ok((Arc::clone(&store), Log(Arc::clone(&store)), machine))
    }

    /// Writes what still waits and lets no more be written.
    pub(crate) async fn close(&self) {
        // A failure was reported as fatal already; there is nothing left to do about it here.
        drop(self.writer.close().await);
    }

    fn mirror(&self) -> MutexGuard<'_, Mirror> {
        // Nothing panics while it holds the lock, and what is in it is changed in single steps.
        self.mirror.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn open_log(path: &Path, folder: &Path, head: &Head) -> Result<Mirror, StoreError> {
    let failed = |source| StoreError::Io { path: path.to_owned(), source };
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let line = record::encode(&[Record::Head(head.clone())]);
            writer::replace(folder, LOG, &line).map_err(failed)?;
            return Ok(Mirror { rewritten: line.len(), ..Mirror::default() });
        }
        Err(error) => return Err(failed(error)),
    };
    let damaged = |offset| StoreError::Damaged { path: path.to_owned(), offset };
    let Scan { lines, end } = record::scan::<Vec<Record>>(&bytes).map_err(damaged)?;
    let mut mirror = Mirror { rewritten: end, ..Mirror::default() };
    let mut has_head = false;
    for (offset, records) in lines {
        for record in records {
            match record {
                Record::Head(found) if !has_head => {
                    check(path, &found, head)?;
                    has_head = true;
                }
                record if has_head && mirror.take(record.clone()) => {}
                _ => return Err(damaged(offset)),
            }
        }
    }
    if !has_head {
        return Err(damaged(0));
    }
    if end < bytes.len() {
        tracing::warn!("{}: cutting off a torn line at byte {end}", path.display());
        let file = std::fs::OpenOptions::new().write(true).open(path).map_err(failed)?;
        file.set_len(end as u64).and_then(|()| file.sync_all()).map_err(failed)?;
    }
    Ok(mirror)
}

fn check(path: &Path, found: &Head, wanted: &Head) -> Result<(), StoreError> {
    if found.format != wanted.format {
        return Err(StoreError::Format { path: path.to_owned(), found: found.format });
    }
    if found != wanted {
        let name = |head: &Head| format!("{} of ring {}", head.owner, head.ring);
        return Err(StoreError::Other { path: path.to_owned(), found: name(found), wanted: name(wanted) });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
