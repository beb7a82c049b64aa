//! The state machine half of the store: the topology, and its snapshots.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use openraft::storage::RaftStateMachine;
use openraft::{EntryPayload, OptionalSend, RaftSnapshotBuilder, StorageIOError};
use serde::{Deserialize, Serialize};
use simpledynamo_ring::Ring;
use simpledynamo_topology::{State, Topology};
use tokio::sync::watch;

use super::record::{self, Head, Scan};
use super::{Store, StoreError, check};
use crate::types::{Applied, Entry, LogId, Membership, Snapshot, SnapshotMeta, StorageError, Types};

/// A snapshot, as it is kept in memory and in its file.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Image {
    head: Head,
    pub(super) meta: SnapshotMeta,
    state: State,
}

impl Image {
    fn as_snapshot(&self) -> Snapshot {
        Snapshot { meta: self.meta.clone(), snapshot: Box::new(self.state.clone()) }
    }
}

/// Reads the snapshot file, if there is one.
pub(super) fn open_snapshot(path: &Path, head: &Head, ring: &Arc<Ring>) -> Result<Option<Image>, StoreError> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(StoreError::Io { path: path.to_owned(), source }),
    };
    let damaged = |offset| StoreError::Damaged { path: path.to_owned(), offset };
    let Scan { mut lines, end } = record::scan::<Image>(&bytes).map_err(damaged)?;
    // The file came to its name whole, so that there is no torn one.
    let image = lines.pop().filter(|_| lines.is_empty() && end == bytes.len());
    let (_, image) = image.ok_or_else(|| damaged(end))?;
    check(path, &image.head, head)?;
    match Topology::restore(Arc::clone(ring), image.state.clone()) {
        Some(_) => Ok(Some(image)),
        None => Err(StoreError::Other {
            path: path.to_owned(),
            found: format!("a ring of {} nodes", image.state.nodes.len()),
            wanted: format!("one of {}", ring.names().len()),
        }),
    }
}

/// The topology as far as the log was applied.
///
/// It lives in memory: it is what the last snapshot says and the log entries since then.
pub(crate) struct Machine {
    store: Arc<Store>,
    ring: Arc<Ring>,
    topology: Topology,
    applied: Option<LogId>,
    membership: Membership,
    snapshot: Arc<Mutex<Option<Image>>>,
    publish: watch::Sender<Arc<Topology>>,
}

impl Machine {
    pub(super) fn new(
        store: Arc<Store>,
        ring: Arc<Ring>,
        snapshot: Option<Image>,
        publish: watch::Sender<Arc<Topology>>,
    ) -> Self {
        let mut machine = Self {
            store,
            topology: Topology::new(Arc::clone(&ring)),
            ring,
            applied: None,
            membership: Membership::default(),
            snapshot: Arc::default(),
            publish,
        };
        if let Some(image) = snapshot {
            assert!(machine.load(&image), "it was checked when it was read");
            *machine.snapshot() = Some(image);
        }
        machine
    }

    fn snapshot(&self) -> std::sync::MutexGuard<'_, Option<Image>> {
        self.snapshot.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts an image in place of what was applied; `false` if it is one of another ring.
    fn load(&mut self, image: &Image) -> bool {
        let Some(topology) = Topology::restore(Arc::clone(&self.ring), image.state.clone()) else {
            return false;
        };
        self.topology = topology;
        self.applied = image.meta.last_log_id;
        self.membership = image.meta.last_membership.clone();
        self.publish();
        true
    }

    /// Shows the topology to whoever waits for it, unless they have seen this one or a later one.
    fn publish(&self) {
        self.publish.send_if_modified(|shown| {
            let is_newer = self.topology.version() > shown.version();
            if is_newer {
                *shown = Arc::new(self.topology.clone());
            }
            is_newer
        });
    }
}

impl RaftStateMachine<Types> for Machine {
    type SnapshotBuilder = Builder;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, Membership), StorageError> {
        Ok((self.applied, self.membership.clone()))
    }

    async fn apply<I>(&mut self, entries: I) -> Result<Vec<Applied>, StorageError>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let mut results = Vec::new();
        for entry in entries {
            self.applied = Some(entry.log_id);
            results.push(match entry.payload {
                EntryPayload::Blank => Applied::Nothing,
                EntryPayload::Normal(command) => match self.topology.apply(entry.log_id.index, &command) {
                    Ok(()) => Applied::Changed(entry.log_id.index),
                    Err(void) => Applied::Void(void),
                },
                EntryPayload::Membership(membership) => {
                    self.membership = Membership::new(Some(entry.log_id), membership);
                    Applied::Nothing
                }
            });
        }
        self.publish();
        Ok(results)
    }

    async fn get_snapshot_builder(&mut self) -> Builder {
        let id = self.applied.map_or_else(|| "empty".to_owned(), |last| format!("{last}"));
        let meta = SnapshotMeta {
            last_log_id: self.applied,
            last_membership: self.membership.clone(),
            snapshot_id: id,
        };
        let head = self.store.head.clone();
        Builder {
            store: Arc::clone(&self.store),
            image: Image { head, meta, state: self.topology.state().clone() },
            snapshot: Arc::clone(&self.snapshot),
        }
    }

    async fn begin_receiving_snapshot(&mut self) -> Result<Box<State>, StorageError> {
        Ok(Box::default())
    }

    async fn install_snapshot(&mut self, meta: &SnapshotMeta, state: Box<State>) -> Result<(), StorageError> {
        let image = Image { head: self.store.head.clone(), meta: meta.clone(), state: *state };
        if !self.load(&image) {
            let error = io::Error::other("the leader sent a snapshot of another ring");
            return Err(StorageIOError::read_snapshot(Some(meta.signature()), &error).into());
        }
        keep(&self.store, &self.snapshot, image).await
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot>, StorageError> {
        Ok(self.snapshot().as_ref().map(Image::as_snapshot))
    }
}

/// Writes a snapshot of one moment while the log is applied further.
pub(crate) struct Builder {
    store: Arc<Store>,
    image: Image,
    snapshot: Arc<Mutex<Option<Image>>>,
}

impl RaftSnapshotBuilder<Types> for Builder {
    async fn build_snapshot(&mut self) -> Result<Snapshot, StorageError> {
        keep(&self.store, &self.snapshot, self.image.clone()).await?;
        Ok(self.image.as_snapshot())
    }
}

/// Makes an image durable, then shows it, unless there is a later one.
async fn keep(store: &Store, shown: &Mutex<Option<Image>>, image: Image) -> Result<(), StorageError> {
    let last = image.meta.last_log_id;
    store
        .writer
        .snapshot(last, record::encode(&image))
        .await
        .map_err(|error| StorageIOError::write_snapshot(Some(image.meta.signature()), &error))?;
    let mut shown = shown.lock().unwrap_or_else(PoisonError::into_inner);
    if shown.as_ref().is_none_or(|shown| shown.meta.last_log_id <= last) {
        *shown = Some(image);
    }
    Ok(())
}
