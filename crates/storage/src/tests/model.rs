//! Random lives of a store, compared with a model that keeps everything.

use proptest::prelude::*;
use simpledynamo_chain::{Counts, DataKey, Record};

use super::*;
use crate::memory::Unsynced;

/// One thing that happens to a store. Numbers are taken modulo what is possible.
#[derive(Clone, Debug)]
enum Step {
    Append { author: usize, writes: Vec<(u8, u8, Option<UnixMillis>)> },
    Seal { author: usize },
    Open { author: usize, watermark: u64, kept: usize },
    Watermark { author: usize, up_to: u64 },
    Sync,
    Apply { author: usize, up_to: u64, again: u64 },
    SyncDataAndTrim,
    Reopen,
    LosePower { log: usize, data: usize },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let author = 0..3usize;
    let expiry = proptest::option::weighted(0.4, 0..6u64);
    let step = prop_oneof![
        6 => (author.clone(), prop::collection::vec((0..8u8, 0..4u8, expiry), 1..12))
            .prop_map(|(author, writes)| Step::Append { author, writes }),
        1 => author.clone().prop_map(|author| Step::Seal { author }),
        2 => (author.clone(), any::<u64>(), any::<usize>())
            .prop_map(|(author, watermark, kept)| Step::Open { author, watermark, kept }),
        2 => (author.clone(), any::<u64>()).prop_map(|(author, up_to)| Step::Watermark { author, up_to }),
        2 => Just(Step::Sync),
        5 => (author, any::<u64>(), 0..3u64)
            .prop_map(|(author, up_to, again)| Step::Apply { author, up_to, again }),
        2 => Just(Step::SyncDataAndTrim),
        1 => Just(Step::Reopen),
        1 => (0..4usize, 0..4usize).prop_map(|(log, data)| Step::LosePower { log, data }),
    ];
    prop::collection::vec(step, 1..60)
}

/// A partition as the test knows it: its author, and what it was at the start of each batch of the log.
#[derive(Clone)]
struct Model {
    authors: Vec<Author>,
    batches: Vec<Vec<Persist>>,
    /// The authors before each batch: where to go back to when a batch is lost.
    before: Vec<Vec<Author>>,
    /// How many batches must survive.
    synced: usize,
    /// How far each partition was applied, after each batch of the data; the first is nothing.
    applied: Vec<BTreeMap<PartitionId, u64>>,
    /// How many of them must survive, besides the first.
    synced_data: usize,
}

impl Model {
    fn new() -> Self {
        Self {
            authors: [0, 2, 9].map(Author::new).to_vec(),
            batches: Vec::new(),
            before: Vec::new(),
            synced: 0,
            applied: vec![BTreeMap::new()],
            synced_data: 0,
        }
    }

    fn up_to(&self, author: usize) -> u64 {
        let applied = self.applied.last().expect("the first is always there");
        applied.get(&self.authors[author].partition).copied().unwrap_or(0)
    }

    /// The data by its definition: the last change of each key among the applied entries.
    fn records(&self) -> BTreeMap<DataKey, Record> {
        let mut records = BTreeMap::new();
        for author in 0..self.authors.len() {
            records.extend(self.records_of(author));
        }
        records
    }

    fn records_of(&self, author: usize) -> BTreeMap<DataKey, Record> {
        let mut records = BTreeMap::new();
        for (_, entry) in self.authors[author].entries(0, self.up_to(author)) {
            let key = DataKey::of(&entry.key);
            match &entry.change {
                Change::Keep => None,
                Change::Remove => records.remove(&key),
                Change::Put { .. } => records.insert(key, entry.record().expect("a put leaves a record")),
            };
        }
        records
    }

    fn applied(&self) -> BTreeMap<PartitionId, Applied> {
        let mut all = BTreeMap::new();
        for (author, Author { partition, .. }) in self.authors.iter().enumerate() {
            let records = self.records_of(author);
            let expiring = records.values().filter(|record| record.expires_at.is_some()).count() as u64;
            let counts = Counts { keys: records.len() as u64, expiring };
            if self.up_to(author) > 0 {
                all.insert(*partition, Applied { up_to: self.up_to(author), counts });
            }
        }
        all
    }
}

/// A store that lives, and its model.
struct Life<B: Bench> {
    bench: B,
    opened: Option<Opened<B::Log, B::Data>>,
    model: Model,
}

impl<B: Bench> Life<B> {
    fn begin() -> Self {
        let bench = B::new();
        let opened = Some(bench.open());
        Self { bench, opened, model: Model::new() }
    }

    fn opened(&mut self) -> &mut Opened<B::Log, B::Data> {
        self.opened.as_mut().expect("it is open between steps")
    }

    fn append(&mut self, before: Vec<Author>, batch: Vec<Persist>) {
        self.opened().log.append(&batch).expect("the disk works");
        self.model.batches.push(batch);
        self.model.before.push(before);
    }

    fn step(&mut self, step: &Step) {
        let before = self.model.authors.clone();
        match step {
            Step::Append { author, writes } => {
                let author = &mut self.model.authors[*author];
                let keys = writes.iter().map(|(key, kind, expires_at)| {
                    // Keys of different partitions differ, as they do in a ring.
                    let key = format!("{}/{key}", author.partition);
                    match kind {
                        0 => author.remove(&key),
                        1 => author.keep(&key),
                        _ => author.put(&key, &"v".repeat(30 * usize::from(*kind)), *expires_at),
                    }
                });
                let batch = keys.collect();
                self.append(before, batch);
            }
            Step::Seal { author } => {
                let Author { partition, epoch, .. } = self.model.authors[*author];
                self.append(before, vec![Persist::Seal { partition, epoch: epoch.next() }]);
            }
            Step::Open { author, watermark, kept } => {
                // What is applied is clean, and stays.
                let applied = self.model.up_to(*author);
                let end = self.model.authors[*author].log.len() as u64;
                let watermark = applied + watermark % (end - applied + 1);
                let kept = kept % ((end - watermark) as usize + 1);
                let open = self.model.authors[*author].open(watermark, kept);
                self.append(before, vec![open]);
            }
            Step::Watermark { author, up_to } => {
                let author = &self.model.authors[*author];
                let watermark = author.watermark(up_to % (author.log.len() as u64 + 1));
                self.append(before, vec![watermark]);
            }
            Step::Sync => {
                self.opened().log.sync().expect("the disk works");
                self.model.synced = self.model.batches.len();
            }
            Step::Apply { author, up_to, again } => self.apply(*author, *up_to, *again),
            Step::SyncDataAndTrim => {
                let applied = self.opened().data.sync().expect("the disk works");
                assert_eq!(Some(&applied), self.model.applied.last());
                self.model.synced_data = self.model.applied.len() - 1;
                self.opened().log.trim(&applied).expect("the disk works");
            }
            Step::Reopen | Step::LosePower { .. } => self.reopen(),
        }
    }

    fn apply(&mut self, author: usize, up_to: u64, again: u64) {
        let applied = self.model.up_to(author);
        let Author { partition, ref log, .. } = self.model.authors[author];
        let up_to = applied + up_to % (log.len() as u64 - applied + 1);
        let entries = self.model.authors[author].entries(applied.saturating_sub(again), up_to);
        let touched = self.opened().data.apply(&entries).expect("the disk works");
        if up_to > applied {
            let mut after = self.model.applied.last().cloned().expect("the first is always there");
            after.insert(partition, up_to);
            self.model.applied.push(after);
        }
        let expected = self.model.applied().remove(&partition);
        assert_eq!(touched.get(&partition), expected.as_ref().filter(|_| !entries.is_empty()));
    }

    fn reopen(&mut self) {
        self.opened = None;
        let opened = self.bench.open();
        self.model.synced = self.model.batches.len();
        self.model.synced_data = self.model.applied.len() - 1;
        assert_eq!(opened.recovered.applied, self.model.applied());
        assert_eq!(
            opened.recovered.replicas,
            expected_replicas(&self.model.batches, &opened.recovered.applied)
        );
        self.opened = Some(opened);
    }

    fn compare_data(&mut self) {
        let expected = self.model.records();
        let data = &self.opened().data;
        let found: BTreeMap<_, _> =
            data.range(0, u64::MAX).map(|item| item.expect("nothing is damaged")).collect();
        assert_eq!(found, expected);
        let expiring = expected.iter().filter_map(|(key, record)| Some((record.expires_at?, key.clone())));
        let mut expiring: Vec<_> = expiring.collect();
        expiring.sort();
        let expiring: Vec<_> = expiring.into_iter().map(|(_, key)| key).collect();
        assert_eq!(data.due(u64::MAX, usize::MAX).expect("nothing is damaged"), expiring);
        for (key, record) in expected {
            assert_eq!(data.get(&key).expect("nothing is damaged"), Some(record));
        }
    }
}

impl Life<MemoryBench> {
    /// Power fails; some of what is not durable survives.
    fn lose_power(&mut self, log: usize, data: usize) {
        let disk = &self.bench.0;
        let unsynced = disk.unsynced();
        let durable = Unsynced {
            log: self.model.batches.len() - unsynced.log,
            data: self.model.applied.len() - 1 - unsynced.data,
        };
        assert!(durable.log >= self.model.synced, "what was synced counts as durable");
        assert!(durable.data >= self.model.synced_data, "what was synced counts as durable");
        disk.lose_power(Unsynced { log, data });

        let kept = (durable.log + log).min(self.model.batches.len());
        if let Some(before) = self.model.before.get(kept) {
            self.model.authors = before.clone();
        }
        self.model.batches.truncate(kept);
        self.model.before.truncate(kept);
        self.model.applied.truncate(1 + durable.data + data);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn a_store_in_memory_is_what_was_written_to_it(steps in steps()) {
        let mut life = Life::<MemoryBench>::begin();
        for step in &steps {
            if let Step::LosePower { log, data } = *step {
                life.lose_power(log, data);
            }
            life.step(step);
        }
        life.compare_data();
        life.reopen();
        life.compare_data();
    }
}

proptest! {
    // Each case creates a database and syncs many a file.
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn a_store_on_disk_is_what_was_written_to_it(steps in steps()) {
        let mut life = Life::<DiskBench>::begin();
        for step in &steps {
            life.step(step);
        }
        life.compare_data();
        life.reopen();
        life.compare_data();
    }
}

#[test]
fn a_failing_disk_poisons_the_store_until_it_is_opened_again() {
    let disk = MemoryDisk::new([7; 16]);
    let mut author = Author::new(2);
    let mut opened = disk.open(&identity("5554")).expect("nothing is wrong with the store");
    disk.set_failing(true);
    let appended = opened.log.append(&[author.put("key", "1", None)]);
    assert!(matches!(appended, Err(StoreError::Io { .. })), "{appended:?}");
    disk.set_failing(false);
    let synced = opened.log.sync();
    assert!(matches!(synced, Err(StoreError::Poisoned { .. })), "{synced:?}");
    assert_eq!(disk.unsynced(), Unsynced { log: 1, data: 0 }, "the batch may have reached the disk");

    disk.lose_power(Unsynced::default());
    let opened = disk.open(&identity("5554")).expect("nothing is wrong with the store");
    assert!(opened.recovered.replicas.is_empty());
}

#[test]
fn a_process_that_was_killed_does_nothing_more() {
    let disk = MemoryDisk::new([7; 16]);
    let mut author = Author::new(2);
    let mut dead = disk.open(&identity("5554")).expect("nothing is wrong with the store");
    dead.log.append(&[author.put("key", "1", None)]).expect("the disk works");
    disk.kill();
    let alive = disk.open(&identity("5554")).expect("nobody has it open");
    assert_eq!(alive.recovered.replicas[&PartitionId(2)].end, 1, "what was written is there");
    assert!(dead.log.append(&[author.put("key", "2", None)]).is_err());
    assert!(dead.data.get(&DataKey::of(b"key")).is_err());
    drop(dead);
    assert!(matches!(disk.open(&identity("5554")), Err(StoreError::InUse { .. })), "its end was long ago");
}
