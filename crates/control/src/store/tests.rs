use openraft::testing::{StoreBuilder, Suite};
use openraft::{EntryPayload, RaftLogReader, RaftSnapshotBuilder, storage::RaftLogStorage};
use openraft::{storage::RaftLogStorageExt, storage::RaftStateMachine};
use simpledynamo_topology::{Command, NodeId};
use tempfile::TempDir;

use super::*;

fn ring() -> Arc<Ring> {
    Arc::new(Ring::new(&["a", "b", "c"], 3).unwrap())
}

struct Opened {
    store: Arc<Store>,
    log: Log,
    machine: Machine,
    fatal: watch::Receiver<Option<String>>,
    topology: watch::Receiver<Arc<Topology>>,
}

fn open_as(folder: &Path, ring_id: &str, owner: ControlId) -> Result<Opened, StoreError> {
    let (fatal_sender, fatal) = watch::channel(None);
    let (publish, topology) = watch::channel(Arc::new(Topology::new(ring())));
    let (store, log, machine) = Store::open(folder, ring_id, owner, ring(), fatal_sender, publish)?;
    Ok(Opened { store, log, machine, fatal, topology })
}

fn open(folder: &Path) -> Result<Opened, StoreError> {
    open_as(folder, "ring", ControlId::from(1))
}

fn id(term: u64, index: u64) -> LogId {
    openraft::testing::log_id(term, ControlId::from(1), index)
}

fn entry(term: u64, index: u64) -> Entry {
    let command = Command::ControllerUp { node: NodeId(1), nonce: index };
    Entry { log_id: id(term, index), payload: EntryPayload::Normal(command) }
}

async fn indexes(log: &mut Log) -> Vec<u64> {
    log.try_get_log_entries(..).await.unwrap().iter().map(|entry| entry.log_id.index).collect()
}

struct Builder;

impl StoreBuilder<Types, Log, Machine, TempDir> for Builder {
    async fn build(&self) -> Result<(TempDir, Log, Machine), crate::types::StorageError> {
        let folder = tempfile::tempdir().unwrap();
        let opened = open(folder.path()).unwrap();
        Ok((folder, opened.log, opened.machine))
    }
}

use crate::types::Types;

#[test]
fn passes_the_suite_of_openraft() {
    Suite::test_all(Builder).unwrap();
}

#[tokio::test]
async fn keeps_what_it_reported() {
    let folder = tempfile::tempdir().unwrap();
    let mut first = open(folder.path()).unwrap();
    first.log.save_vote(&Vote::new(3, ControlId::from(2))).await.unwrap();
    first.log.blocking_append((0..10).map(|index| entry(1, index))).await.unwrap();
    first.log.truncate(id(1, 8)).await.unwrap();
    first.log.blocking_append([entry(2, 8)]).await.unwrap();
    first.log.save_committed(Some(id(1, 7))).await.unwrap();
    first.log.purge(id(1, 4)).await.unwrap();
    first.store.close().await;
    assert!(first.log.save_vote(&Vote::new(4, ControlId::from(2))).await.is_err(), "it is closed");

    let mut second = open(folder.path()).unwrap();
    assert_eq!(second.log.read_vote().await.unwrap(), Some(Vote::new(3, ControlId::from(2))));
    assert_eq!(second.log.read_committed().await.unwrap(), Some(id(1, 7)));
    assert_eq!(indexes(&mut second.log).await, [5, 6, 7, 8]);
    let state = second.log.get_log_state().await.unwrap();
    assert_eq!((state.last_purged_log_id, state.last_log_id), (Some(id(1, 4)), Some(id(2, 8))));
}

#[tokio::test]
async fn a_torn_end_is_cut_off_and_what_was_synced_before_it_stays() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(LOG);
    let mut first = open(folder.path()).unwrap();
    first.log.blocking_append([entry(1, 0)]).await.unwrap();
    let synced = std::fs::read(&path).unwrap().len();
    first.log.blocking_append([entry(1, 1)]).await.unwrap();
    first.store.close().await;
    let whole = std::fs::read(&path).unwrap();
    for length in [synced + 1, whole.len() - 1] {
        std::fs::write(&path, &whole[..length]).unwrap();
        let mut second = open(folder.path()).unwrap();
        assert_eq!(indexes(&mut second.log).await, [0]);
        second.log.blocking_append([entry(2, 1)]).await.unwrap();
        second.store.close().await;
        let mut third = open(folder.path()).unwrap();
        assert_eq!(third.log.get_log_state().await.unwrap().last_log_id, Some(id(2, 1)));
        assert_eq!(indexes(&mut third.log).await, [0, 1]);
    }
}

#[tokio::test]
async fn damage_is_told_with_file_and_offset() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(LOG);
    let mut first = open(folder.path()).unwrap();
    let head = std::fs::read(&path).unwrap().len();
    first.log.blocking_append([entry(1, 0)]).await.unwrap();
    first.log.blocking_append([entry(1, 1)]).await.unwrap();
    let mut builder = first.machine.get_snapshot_builder().await;
    builder.build_snapshot().await.unwrap();
    first.store.close().await;

    let whole = std::fs::read(&path).unwrap();
    let mut bad = whole.clone();
    bad[head + 30] ^= 1;
    std::fs::write(&path, bad).unwrap();
    let error = open(folder.path()).err().unwrap();
    assert_eq!(error.to_string(), format!("{} is damaged at byte {head}", path.display()));

    // An entry that cannot follow the one before.
    std::fs::write(&path, [whole.clone(), record::encode(&[Record::Entry(entry(1, 5))])].concat()).unwrap();
    assert!(matches!(open(folder.path()), Err(StoreError::Damaged { offset, .. }) if offset == whole.len()));

    std::fs::write(&path, &whole).unwrap();
    let snapshot = folder.path().join(SNAPSHOT);
    let mut bytes = std::fs::read(&snapshot).unwrap();
    bytes.pop();
    std::fs::write(&snapshot, bytes).unwrap();
    assert!(matches!(open(folder.path()), Err(StoreError::Damaged { path, .. }) if path == snapshot));
}

#[test]
fn indexes_do_not_begin_anew_after_the_last_number() {
    let mut mirror = Mirror::default();
    assert!(mirror.take(Record::Entry(entry(1, u64::MAX))));
    assert!(!mirror.take(Record::Entry(entry(1, 0))), "nothing can follow");
    assert!(mirror.take(Record::Purge(id(1, u64::MAX))));
    assert!(mirror.entries.is_empty());
}

#[tokio::test]
async fn the_store_of_another_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    open(folder.path()).unwrap().store.close().await;
    assert!(matches!(open_as(folder.path(), "ring", ControlId::from(2)), Err(StoreError::Other { .. })));
    assert!(matches!(open_as(folder.path(), "other", ControlId::from(1)), Err(StoreError::Other { .. })));
}

#[tokio::test]
async fn is_written_anew_when_it_has_grown() {
    let folder = tempfile::tempdir().unwrap();
    let mut first = open(folder.path()).unwrap();
    let mut index = 0;
    for _ in 0..40 {
        first.log.blocking_append((index..index + 500).map(|index| entry(1, index))).await.unwrap();
        index += 500;
        first.log.purge(id(1, index - 100)).await.unwrap();
    }
    first.store.close().await;
    let size = std::fs::metadata(folder.path().join(LOG)).unwrap().len();
    assert!(size < 2 * REWRITE_AFTER as u64, "{size} bytes");
    let mut second = open(folder.path()).unwrap();
    assert_eq!(indexes(&mut second.log).await, (index - 99..index).collect::<Vec<_>>());
}

#[tokio::test]
async fn topology_comes_from_the_snapshot_and_an_older_one_never_replaces_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut first = open(folder.path()).unwrap();
    first.machine.apply([entry(1, 1)]).await.unwrap();
    let mut older = first.machine.get_snapshot_builder().await;
    first.machine.apply([entry(1, 2), entry(1, 3)]).await.unwrap();
    assert_eq!(first.topology.borrow_and_update().version(), 3);
    let mut newer = first.machine.get_snapshot_builder().await;
    newer.build_snapshot().await.unwrap();
    older.build_snapshot().await.unwrap();
    let shown = first.machine.get_current_snapshot().await.unwrap().unwrap();
    assert_eq!(shown.meta.last_log_id, Some(id(1, 3)));
    first.store.close().await;

    let mut second = open(folder.path()).unwrap();
    assert_eq!(second.topology.borrow().version(), 3);
    assert_eq!(second.machine.applied_state().await.unwrap().0, Some(id(1, 3)));
}

#[tokio::test]
async fn a_failed_write_is_fatal_and_nothing_is_written_after_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut opened = open(folder.path()).unwrap();
    // A folder in its place keeps the new snapshot from coming to its name.
    std::fs::create_dir_all(folder.path().join(SNAPSHOT).join("in the way")).unwrap();
    let mut builder = opened.machine.get_snapshot_builder().await;
    assert!(builder.build_snapshot().await.is_err());
    assert!(opened.fatal.borrow().is_some());
    let before = std::fs::read(folder.path().join(LOG)).unwrap();
    assert!(opened.log.save_vote(&Vote::new(1, ControlId::from(1))).await.is_err());
    assert_eq!(std::fs::read(folder.path().join(LOG)).unwrap(), before);
}
