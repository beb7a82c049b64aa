//! Random lives of a store, compared with a model that keeps everything.

use proptest::prelude::*;
use simpledynamo_chain::{DataKey, Record};

use super::*;
use crate::LogReader;
use crate::memory::Unsynced;

/// One thing that happens to a store. Numbers are taken modulo what is possible.
#[derive(Clone, Debug)]
enum Step {
    Append {
        author: usize,
        writes: Vec<(u8, u8, Option<UnixMillis>)>,
    },
    Seal {
        author: usize,
    },
    Cut {
        author: usize,
        watermark: u64,
    },
    /// A copy begins, and ends after so many steps if there are as many.
    Copy {
        author: usize,
        up_to: u64,
        records_max: usize,
        steps: usize,
    },
    Fetch {
        author: usize,
        from: u64,
        bytes: usize,
    },
    Open {
        author: usize,
        watermark: u64,
        kept: usize,
    },
    Watermark {
        author: usize,
        up_to: u64,
    },
    Sync,
    Apply {
        author: usize,
        up_to: u64,
        again: u64,
    },
    SyncDataAndTrim,
    Reopen,
    LosePower {
        log: usize,
        data: usize,
    },
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
        1 => (author.clone(), any::<u64>()).prop_map(|(author, watermark)| Step::Cut { author, watermark }),
        2 => (author.clone(), any::<u64>(), 1..5usize, 0..8usize).prop_map(
            |(author, up_to, records_max, steps)| Step::Copy { author, up_to, records_max, steps }
        ),
        3 => (author.clone(), any::<u64>(), 0..2000usize)
            .prop_map(|(author, from, bytes)| Step::Fetch { author, from, bytes }),
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
    /// Up to where each partition's entries may be gone from the log.
    trimmed: BTreeMap<PartitionId, u64>,
}

impl Model {
    fn new() -> Self {
        Self {
            authors: [0, 2, 4].map(Author::new).to_vec(),
            batches: Vec::new(),
            before: Vec::new(),
            synced: 0,
            applied: vec![BTreeMap::new()],
            synced_data: 0,
            trimmed: BTreeMap::new(),
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
            if !self.authors[author].is_incomplete {
                records.extend(self.records_of(author));
            }
        }
        records
    }

    fn records_of(&self, author: usize) -> BTreeMap<DataKey, Record> {
        self.authors[author].records(self.up_to(author))
    }

    /// How far the partitions have come that do not count as empty.
    fn applied(&self) -> BTreeMap<PartitionId, Applied> {
        let applied = self.applied.last().expect("the first is always there");
        let whole = self.authors.iter().filter(|author| !author.is_incomplete);
        let applied = whole.filter_map(|author| {
            let up_to = *applied.get(&author.partition)?;
            Some((author.partition, author.applied(up_to)))
        });
        applied.collect()
    }
}

/// A store that lives, and its model.
struct Life<B: Bench> {
    bench: B,
    opened: Option<Opened<B::Log, B::Data>>,
    model: Model,
}

impl<B: Bench> Life<B> {
    fn begin(is_retaining: bool) -> Self {
        let bench = if is_retaining { B::retaining() } else { B::new() };
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
        let is_incomplete = |author: &usize| before[*author].is_incomplete;
        match step {
            // A replica that counts as empty takes part in nothing but another copy.
            Step::Append { author, .. }
            | Step::Open { author, .. }
            | Step::Watermark { author, .. }
            | Step::Cut { author, .. }
            | Step::Apply { author, .. }
            | Step::Fetch { author, .. }
                if is_incomplete(author) => {}
            Step::Append { author, writes } => {
                let author = &mut self.model.authors[*author];
                let keys = writes.iter().map(|(key, kind, expires_at)| {
                    let key = key_in(author.partition, usize::from(*key));
                    match kind {
                        0 => author.remove(key),
                        1 => author.keep(key),
                        _ => author.put(key, &"v".repeat(30 * usize::from(*kind)), *expires_at),
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
            Step::Cut { author, watermark } => {
                // A joiner's watermark is never below what it applied.
                let applied = self.model.up_to(*author);
                let end = self.model.authors[*author].log.len() as u64;
                let cut = self.model.authors[*author].cut(applied + watermark % (end - applied + 1));
                self.append(before, vec![cut]);
            }
            Step::Copy { author, up_to, records_max, steps } => {
                self.copy(before, *author, *up_to, *records_max, *steps);
            }
            Step::Fetch { author, from, bytes } => self.fetch(*author, *from, *bytes),
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
                self.model.trimmed = applied;
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

    fn copy(&mut self, before: Vec<Author>, author: usize, up_to: u64, records_max: usize, steps: usize) {
        let copied = self.model.authors[author].clone();
        let (partition, up_to) = (copied.partition, up_to % (copied.log.len() as u64 + 1));
        let reset = self.model.authors[author].reset();
        self.append(before, vec![reset]);
        let pages = copied.pages(up_to, records_max);
        for page in pages.iter().take(steps) {
            self.opened().data.install(partition, arc(partition), page).expect("the disk works");
            // It is durable now that the replica counts as empty.
            self.model.synced = self.model.batches.len();
            let mut after = self.model.applied.last().cloned().expect("the first is always there");
            match page.end {
                Some(end) => after.insert(partition, end.up_to),
                None => after.remove(&partition),
            };
            self.model.applied.push(after);
        }
        if steps >= pages.len() {
            self.model.synced_data = self.model.applied.len() - 1;
        }
        if steps > pages.len() {
            let before = self.model.authors.clone();
            let installed = self.model.authors[author].installed(up_to);
            self.append(before, vec![installed]);
        }
    }

    /// Reads the log from an entry to its end, and compares.
    fn fetch(&mut self, author: usize, from: u64, bytes: usize) {
        let author = self.model.authors[author].clone();
        let (start, end) = (author.start, author.log.len() as u64);
        if start > end {
            return;
        }
        let mut from = start + from % (end - start + 1);
        let trimmed = self.model.trimmed.get(&author.partition).copied().unwrap_or(0);
        while from <= end {
            let read =
                self.opened().reader.read(&author.fetch(from, end, bytes)).expect("nothing is damaged");
            let Some(entries) = read else {
                assert!(from <= trimmed, "entry {from} is gone, though {trimmed} was the last to go");
                return;
            };
            assert!(!entries.is_empty(), "at least one");
            let after = from as usize - 1;
            assert_eq!(entries, author.log[after..after + entries.len()]);
            let weight: usize = entries[1..].iter().map(|entry| entry.weight()).sum();
            assert!(entries.len() == 1 || weight < bytes + entries[0].weight() + 1024, "{weight} of {bytes}");
            from += entries.len() as u64;
        }
    }

    fn reopen(&mut self) {
        self.opened = None;
        let opened = self.bench.open();
        self.model.synced = self.model.batches.len();
        self.model.synced_data = self.model.applied.len() - 1;
        let applied = self.model.applied();
        let known = self.model.applied.last_mut().expect("the first is always there");
        known.retain(|partition, _| applied.contains_key(partition));
        self.model.trimmed.clone_from(known);
        assert_eq!(opened.recovered.applied, applied);
        assert_eq!(
            opened.recovered.replicas,
            expected_replicas(&self.model.batches, &opened.recovered.applied)
        );
        self.opened = Some(opened);
    }

    fn compare_data(&mut self) {
        let expected = self.model.records();
        // What is there of a replica that counts as empty does not matter.
        let authors = self.model.authors.iter().filter(|author| !author.is_incomplete);
        let whole: Vec<PartitionId> = authors.map(|author| author.partition).collect();
        let counts = |key: &DataKey| {
            let partition = ring().partition_of(Token::of(&key.key()));
            whole.iter().any(|whole| usize::from(whole.0) == partition)
        };
        let data = &self.opened().data;
        let mut found = records(data);
        found.retain(|key, _| counts(key));
        assert_eq!(found, expected);
        let expiring = expected.iter().filter_map(|(key, record)| Some((record.expires_at?, key.clone())));
        let mut expiring: Vec<_> = expiring.collect();
        expiring.sort();
        let expiring: Vec<_> = expiring.into_iter().map(|(_, key)| key).collect();
        let mut due = data.due(u64::MAX, usize::MAX).expect("nothing is damaged");
        due.retain(counts);
        assert_eq!(due, expiring);
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
    fn a_store_in_memory_is_what_was_written_to_it(steps in steps(), is_retaining in any::<bool>()) {
        let mut life = Life::<MemoryBench>::begin(is_retaining);
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
    fn a_store_on_disk_is_what_was_written_to_it(steps in steps(), is_retaining in any::<bool>()) {
        let mut life = Life::<DiskBench>::begin(is_retaining);
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
