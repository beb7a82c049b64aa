//! The log half of the store, as openraft wants it.

use std::fmt::Debug;
use std::io;
use std::ops::RangeBounds;
use std::sync::Arc;

use openraft::storage::{LogFlushed, RaftLogStorage};
use openraft::{LogState, OptionalSend, RaftLogReader, StorageIOError};

use super::record::{Record, encode};
use super::writer::{Done, promise};
use super::{REWRITE_AFTER, Store};
use crate::types::{Entry, LogId, StorageError, Types, Vote};

/// A handle on the store.
#[derive(Clone)]
pub(crate) struct Log(pub(super) Arc<Store>);

impl Log {
    /// Takes records in memory and has them written. The order in memory is the order on disk: both are taken under
    /// one lock.
    fn submit(&self, records: Vec<Record>, done: Done) {
        let mut mirror = self.0.mirror();
        let size = encode(&records).len();
        for record in &records {
            assert!(mirror.take(record.clone()), "openraft appends without a gap");
        }
        mirror.grown += size;
        if mirror.grown < REWRITE_AFTER.max(mirror.rewritten) {
            self.0.writer.append(records, done);
        } else {
            let all = mirror.records(&self.0.head);
            mirror.rewritten = encode(&all).len();
            mirror.grown = 0;
            self.0.writer.rewrite(all, done);
        }
    }

    /// The same for what a crash may undo.
    fn submit_lazily(&self, record: Record) {
        let mut mirror = self.0.mirror();
        mirror.grown += encode(&record).len();
        assert!(mirror.take(record.clone()), "not an entry");
        self.0.writer.lazy(record);
    }

    async fn write(&self, record: Record) -> io::Result<()> {
        let (done, result) = promise();
        self.submit(vec![record], done);
        result.await.unwrap_or_else(|_| Err(io::Error::other("the control store ended")))
    }
}

impl RaftLogReader<Types> for Log {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> Result<Vec<Entry>, StorageError> {
        Ok(self.0.mirror().entries.range(range).map(|(_, entry)| entry.clone()).collect())
    }
}

impl RaftLogStorage<Types> for Log {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<Types>, StorageError> {
        let mirror = self.0.mirror();
        let last = mirror.entries.last_key_value().map(|(_, entry)| entry.log_id);
        Ok(LogState { last_purged_log_id: mirror.purged, last_log_id: last.or(mirror.purged) })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), StorageError> {
        self.write(Record::Vote(*vote)).await.map_err(|error| StorageIOError::write_vote(&error).into())
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, StorageError> {
        Ok(self.0.mirror().vote)
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> Result<(), StorageError> {
        if let Some(upto) = committed {
            self.submit_lazily(Record::Committed(upto));
        }
        Ok(())
    }

    async fn read_committed(&mut self) -> Result<Option<LogId>, StorageError> {
        Ok(self.0.mirror().committed)
    }

    async fn append<I>(&mut self, entries: I, callback: LogFlushed<Types>) -> Result<(), StorageError>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let records = entries.into_iter().map(Record::Entry).collect();
        self.submit(records, Box::new(|result| callback.log_io_completed(result)));
        Ok(())
    }

    async fn truncate(&mut self, since: LogId) -> Result<(), StorageError> {
        self.write(Record::Truncate(since.index))
            .await
            .map_err(|error| StorageIOError::write_logs(&error).into())
    }

    async fn purge(&mut self, upto: LogId) -> Result<(), StorageError> {
        self.submit_lazily(Record::Purge(upto));
        Ok(())
    }
}
