use std::sync::mpsc::channel;

use simpledynamo_chain::{Change, Displaced, OpId, Reply, Version};
use simpledynamo_storage::StoreError;
use simpledynamo_topology::{Epoch, NodeId, Session};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::*;

const HERE: PartitionId = PartitionId(0);

/// What the applier is handed, looked at by the log as well.
type Clean = Arc<Mutex<Receiver<Vec<Apply>>>>;

/// A log that sees to it that nothing is handed on before what was asked for earlier is written.
struct Watching {
    clean: Clean,
    written: Arc<Mutex<Vec<Persist>>>,
    syncs: Arc<Mutex<usize>>,
}

#[derive(Clone)]
struct NoReader;

impl LogReader for NoReader {
    fn read(&self, _: &Fetch) -> Result<Option<Vec<Arc<Entry>>>, StoreError> {
        Ok(None)
    }
}

impl Log for Watching {
    type Reader = NoReader;

    fn append(&mut self, batch: &[Persist]) -> Result<(), StoreError> {
        assert_eq!(next(&self.clean), None, "handed on before the log has what comes before it");
        self.written.lock().expect("no panic").extend(batch.iter().cloned());
        Ok(())
    }

    fn sync(&mut self) -> Result<(), StoreError> {
        *self.syncs.lock().expect("no panic") += 1;
        Ok(())
    }

    fn trim(&mut self, _: &BTreeMap<PartitionId, u64>) -> Result<(), StoreError> {
        Ok(())
    }
}

/// A writer, and all that it leads to.
struct Bench {
    writer: Writer<Watching>,
    clean: Clean,
    written: Arc<Mutex<Vec<Persist>>>,
    syncs: Arc<Mutex<usize>>,
    _done: UnboundedReceiver<Done>,
}

fn bench(durability: Durability) -> Bench {
    let (applier, clean) = channel();
    let (done, kept) = unbounded_channel();
    let (clean, written, syncs) = (Arc::new(Mutex::new(clean)), Arc::default(), Arc::default());
    let log =
        Watching { clean: Arc::clone(&clean), written: Arc::clone(&written), syncs: Arc::clone(&syncs) };
    let writer = Writer {
        log,
        sync: SyncPolicy::of(durability),
        backlog: Arc::default(),
        pulse: Arc::default(),
        done,
        applier,
        dirty: None,
        awaiting_sync: Vec::new(),
    };
    Bench { writer, clean, written, syncs, _done: kept }
}

fn next(clean: &Clean) -> Option<Vec<Apply>> {
    clean.lock().expect("no panic").try_recv().ok()
}

fn page() -> Apply {
    let page = CopyPage { number: 0, after: None, records: Vec::new(), end: None };
    Apply::Page { partition: HERE, attachment: 1, page: Arc::new(page) }
}

#[test]
fn what_changes_the_data_waits_for_the_changes_to_the_log_before_it() {
    for durability in [Durability::Always, Durability::Interval, Durability::None] {
        let Bench { writer, clean, written, .. } = bench(durability);
        let (sender, jobs) = channel();
        let seal = Persist::Seal { partition: HERE, epoch: Epoch(1) };
        let reset = Persist::Reset { partition: HERE };
        // All of it has gathered while the writer was busy.
        for job in [
            WriterJob::Persist(vec![seal.clone()]),
            WriterJob::Persist(vec![reset.clone()]),
            WriterJob::Apply(vec![page()]),
            WriterJob::Close,
        ] {
            sender.send(job).expect("the writer is there");
        }
        writer.run(&jobs);
        assert_eq!(*written.lock().expect("no panic"), [seal, reset]);
        assert_eq!(next(&clean), Some(vec![page()]));
    }
}

#[test]
fn a_page_does_not_wait_for_the_next_interval() {
    for durability in [Durability::Interval, Durability::None] {
        let mut bench = bench(durability);
        let entry = Apply::Entry(HERE, Arc::new(entry()));
        bench.writer.write(vec![Persist::Watermark { partition: HERE, up_to: 1 }]);
        bench.writer.apply(vec![entry.clone()]);
        assert_eq!(next(&bench.clean), None, "what it follows from is not durable");
        bench.writer.apply(vec![page()]);
        assert_eq!(*bench.syncs.lock().expect("no panic"), 1);
        assert_eq!(next(&bench.clean), Some(vec![entry, page()]), "in the order in which it was asked for");
    }
}

fn entry() -> Entry {
    Entry {
        version: Version { epoch: Epoch(1), seq: 1 },
        id: OpId { node: NodeId(0), session: Session(1), counter: 1 },
        floor: 1,
        key: DataKey::of(b"k"),
        change: Change::Keep,
        displaced: Displaced::default(),
        reply: Reply::Done,
    }
}

#[test]
fn a_writer_that_waits_for_the_applier_shows_no_life() {
    let Bench { writer, clean: _clean, _done, .. } = bench(Durability::Always);
    let (pulse, backlog) = (Arc::clone(&writer.pulse), Arc::clone(&writer.backlog));
    let (sender, jobs) = channel();
    let at_work = thread::spawn(move || writer.run(&jobs));
    backlog.grow(BACKLOG_BYTES_MAX + 1);
    let seal = Persist::Seal { partition: HERE, epoch: Epoch(1) };
    sender.send(WriterJob::Persist(vec![seal])).expect("the writer is there");
    let long_after = crate::clock::boot_millis() + 10_000;
    pulse.tick(long_after);
    while pulse.is_alive(long_after, 1_000) {
        thread::yield_now();
    }
    backlog.shrink(BACKLOG_BYTES_MAX + 1);
    drop(sender);
    at_work.join().expect("no panic");
    assert!(pulse.is_alive(long_after, 1_000));
}
