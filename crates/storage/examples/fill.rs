//! Fills a store with a million pairs and prints what that costs.
//!
//! `cargo run --release -p simpledynamo-storage --example fill [pairs] [bytes per value]`

use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use std::{env, fs};

use bytes::Bytes;
use simpledynamo_chain::{Change, DataKey, Displaced, Entry, OpId, Persist, Reply, Version};
use simpledynamo_storage::disk::{self, DiskOptions};
use simpledynamo_storage::{Data, Identity, Log};
use simpledynamo_topology::{Epoch, NodeId, PartitionId, Session};

const BATCH: u64 = 1000;

/// How often the data is made durable and the log trimmed, in batches.
const SYNC_EVERY: u64 = 50;

fn main() -> Result<(), Box<dyn Error>> {
    let number = |index, default| env::args().nth(index).map_or(Ok(default), |text| text.parse::<u64>());
    let (pairs, value_length) = (number(1, 1_000_000)?, number(2, 100)?);
    let folder = tempfile::tempdir()?;
    let identity = Identity { cluster: "fill".to_owned(), node: "5554".to_owned() };
    let options = DiskOptions::default();

    let start = Instant::now();
    let mut opened = disk::open(folder.path(), &identity, &options)?;
    report("created", start, folder.path())?;

    let start = Instant::now();
    let mut spent = Spent::default();
    for batch in 0..pairs.div_ceil(BATCH) {
        let entries = entries(batch * BATCH, pairs.min((batch + 1) * BATCH), value_length);
        let persists: Vec<_> = entries
            .iter()
            .map(|(partition, entry)| Persist::Append { partition: *partition, entry: Arc::clone(entry) })
            .collect();
        timed(&mut spent.appending, || opened.log.append(&persists))?;
        timed(&mut spent.syncing, || opened.log.sync())?;
        timed(&mut spent.applying, || opened.data.apply(&entries))?;
        if batch % SYNC_EVERY == 0 {
            let applied = timed(&mut spent.syncing_data, || opened.data.sync())?;
            opened.log.trim(&applied)?;
        }
    }
    report("filled", start, folder.path())?;
    println!("         {spent:?}");
    probe(&opened.data, pairs)?;
    drop(opened);

    let start = Instant::now();
    let opened = disk::open(folder.path(), &identity, &options)?;
    report("reopened", start, folder.path())?;
    println!("         {:?}", opened.recovered.applied);

    let start = Instant::now();
    let mut records = 0;
    for item in opened.data.range(0, u64::MAX) {
        item?;
        records += 1;
    }
    report("scanned", start, folder.path())?;
    assert_eq!(records, pairs, "every pair is there");
    probe(&opened.data, pairs)?;
    one_by_one(opened.log, &opened.recovered.replicas)?;
    report("done", start, folder.path())
}

/// Where the time went.
#[derive(Debug, Default)]
struct Spent {
    appending: Duration,
    syncing: Duration,
    applying: Duration,
    syncing_data: Duration,
}

fn timed<T>(spent: &mut Duration, action: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let done = action();
    *spent += start.elapsed();
    done
}

fn key(number: u64) -> Bytes {
    Bytes::from(format!("user:{number:09}"))
}

fn entries(from: u64, to: u64, value_length: u64) -> Vec<(PartitionId, Arc<Entry>)> {
    (from..to).map(|number| (PartitionId(1), Arc::new(entry(number, value_length)))).collect()
}

fn entry(number: u64, value_length: u64) -> Entry {
    // Not compressible, so that the figures are those of the worst case.
    let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let value = (0..value_length).map(|_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 56) as u8
    });
    Entry {
        version: Version { epoch: Epoch(1), seq: number + 1 },
        id: OpId { node: NodeId(0), session: Session(1), counter: number },
        floor: number,
        key: DataKey::of(&key(number)),
        change: Change::Put { value: value.collect(), expires_at: None },
        displaced: Displaced::default(),
        reply: Reply::Done,
    }
}

/// Reads pairs here and there.
fn probe(data: &impl Data, pairs: u64) -> Result<(), Box<dyn Error>> {
    let mut times: Vec<Duration> = Vec::new();
    for step in 0..20_000 {
        let key = DataKey::of(&key(step * 7919 % pairs));
        let start = Instant::now();
        data.get(&key)?.ok_or("a pair is missing")?;
        times.push(start.elapsed());
    }
    println!("         get: {}", quantiles(times));
    Ok(())
}

/// Appends and syncs single entries, as an idle node does.
fn one_by_one(
    mut log: impl Log,
    replicas: &BTreeMap<PartitionId, simpledynamo_chain::Durable>,
) -> Result<(), Box<dyn Error>> {
    let end = replicas.get(&PartitionId(1)).map_or(0, |replica| replica.end);
    let mut times = Vec::new();
    for number in end..end + 5000 {
        let batch = [Persist::Append { partition: PartitionId(1), entry: Arc::new(entry(number, 100)) }];
        let start = Instant::now();
        log.append(&batch)?;
        log.sync()?;
        times.push(start.elapsed());
    }
    println!("         append and sync of one entry: {}", quantiles(times));
    Ok(())
}

fn quantiles(mut times: Vec<Duration>) -> String {
    times.sort();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
    format!("p50 {:?}, p99 {:?}, p99.9 {:?}, max {:?}", at(0.5), at(0.99), at(0.999), at(1.0))
}

fn report(what: &str, start: Instant, folder: &Path) -> Result<(), Box<dyn Error>> {
    let status = fs::read_to_string("/proc/self/status")?;
    let kilobytes = |name: &str| -> u64 {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).unwrap_or_default()
    };
    println!(
        "{what:8} in {:.2?}; resident {} MiB, at most {} MiB; on disk {} MiB",
        start.elapsed(),
        kilobytes("VmRSS") / 1024,
        kilobytes("VmHWM") / 1024,
        used(folder)? / 1024 / 1024,
    );
    Ok(())
}

/// Bytes of disk that a folder takes; what files reserve and do not use does not count.
fn used(folder: &Path) -> Result<u64, Box<dyn Error>> {
    use std::os::unix::fs::MetadataExt;
    let mut sum = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        sum +=
            if entry.file_type()?.is_dir() { used(&entry.path())? } else { entry.metadata()?.blocks() * 512 };
    }
    Ok(sum)
}
