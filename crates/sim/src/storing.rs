//! The threads of a process that touch the disk: one writes and syncs the log, one applies to the data behind it,
//! others read.

use std::collections::BTreeMap;

use simpledynamo_chain::{Applied, Apply, CopyPage, CopyStep, Event, Fetch, Persist};
use simpledynamo_topology::PartitionId;

use crate::clock::Micros;
use crate::host::{DiskWork, Job, Snapshot, Work, Writing};
use crate::scenario::Scenario;
use crate::world::{Happening, World};

impl World {
    fn after_disk(&mut self, wait: Micros, at: usize, work: DiskWork) {
        let life = self.hosts[at].life;
        self.after(wait, Happening::Disk(at, life, work));
    }

    /// Hands changes to the log's thread.
    pub(crate) fn write(&mut self, at: usize, persist: Vec<Persist>, apply: Vec<Apply>) {
        let process = self.hosts[at].process.as_mut().expect("it works");
        process.jobs.push_back(Job { persist, apply });
        self.begin_write(at);
    }

    /// The log's thread takes all that has gathered, and writes it as one batch.
    fn begin_write(&mut self, at: usize) {
        let host = &mut self.hosts[at];
        let process = host.process.as_mut().expect("it works");
        if process.writing.is_some() || process.jobs.is_empty() {
            return;
        }
        let (mut persist, mut apply) = (Vec::new(), Vec::new());
        for job in process.jobs.drain(..) {
            persist.extend(job.persist);
            apply.extend(job.apply);
        }
        let is_written = self.random.chance(500);
        if is_written && !persist.is_empty() {
            host.disk.append(persist.clone());
        }
        process.writing = Some(Writing { persist, apply, is_written, began: host.clock.millis(self.now) });
        let usual = self.random.between(50, self.knobs.sync);
        let slow = if host.is_slow { self.random.below(200_000) } else { 0 };
        let wait = (usual + slow).max(host.sync_until.saturating_sub(self.now));
        self.after_disk(wait, at, DiskWork::Synced);
    }

    pub(crate) fn on_disk(&mut self, at: usize, work: DiskWork) {
        match work {
            DiskWork::Synced => self.on_synced(at),
            DiskWork::Applied(count) => self.on_applied(at, count),
            DiskWork::Fetched(fetch) => {
                let entries = self.hosts[at].disk.fetch(&fetch);
                let (partition, attachment) = (fetch.partition, fetch.attachment);
                self.tell(at, Event::Fetched { partition, attachment, entries });
            }
            DiskWork::Copy(step) => self.on_copy(at, step),
        }
    }

    /// Tells the core. What each thread says keeps its order.
    fn tell(&mut self, at: usize, event: Event) {
        self.give(100, at, Work::Event(event));
    }

    fn on_synced(&mut self, at: usize) {
        let host = &mut self.hosts[at];
        if self.now < host.sync_until {
            // It began to hang meanwhile.
            let wait = host.sync_until - self.now;
            return self.after_disk(wait, at, DiskWork::Synced);
        }
        if host.disk.is_failing {
            self.trace.say(self.now, || format!("machine {at} cannot write: its process stops"));
            self.met(Scenario::S24);
            return self.kill(at);
        }
        let process = host.process.as_mut().expect("it works");
        let writing = process.writing.take().expect("it was writing");
        if !writing.is_written && !writing.persist.is_empty() {
            host.disk.append(writing.persist.clone());
        }
        // A watermark alone is awaited by nobody.
        let is_awaited = writing.persist.iter().any(|change| !matches!(change, Persist::Watermark { .. }));
        if is_awaited {
            host.disk.sync();
        }
        process.applies.extend(writing.apply);
        if is_awaited {
            self.judge.on_durable(at, &writing.persist, &mut self.scenarios);
            self.tell(at, Event::Persisted(writing.persist));
        }
        self.begin_write(at);
        self.begin_apply(at);
    }

    fn begin_apply(&mut self, at: usize) {
        let process = self.hosts[at].process.as_mut().expect("it works");
        if process.is_applying || process.applies.is_empty() {
            return;
        }
        process.is_applying = true;
        let count = process.applies.len();
        let usual = self.random.between(20, self.knobs.sync);
        let slow = if self.hosts[at].is_slow { self.random.below(300_000) } else { 0 };
        self.after_disk(usual + slow, at, DiskWork::Applied(count));
    }

    fn on_applied(&mut self, at: usize, count: usize) {
        let host = &mut self.hosts[at];
        let process = host.process.as_mut().expect("it works");
        process.is_applying = false;
        let mut applied: BTreeMap<PartitionId, Applied> = BTreeMap::new();
        let mut pages = Vec::new();
        for apply in process.applies.drain(..count) {
            match &apply {
                Apply::Entry(partition, _) => {
                    applied.insert(*partition, Applied::default());
                }
                Apply::Page { partition, attachment, page } => {
                    pages.push((*partition, *attachment, page.number, page.end.is_some()));
                }
            }
            host.disk.apply(apply);
        }
        for (partition, applied) in &mut applied {
            *applied = host.disk.data.applied.get(partition).copied().unwrap_or_default();
        }
        let is_last = pages.iter().any(|(.., is_last)| *is_last);
        if is_last || self.random.chance(100) {
            host.disk.sync_data();
            host.disk.trim(self.knobs.keep);
        }
        if !applied.is_empty() {
            self.tell(at, Event::Applied(applied));
        }
        for (partition, attachment, number, _) in pages {
            self.tell(at, Event::PageApplied { partition, attachment, number });
        }
        self.begin_apply(at);
    }

    pub(crate) fn fetch(&mut self, at: usize, fetch: Fetch) {
        let wait = self.random.below(self.knobs.sync);
        self.after_disk(wait, at, DiskWork::Fetched(fetch));
    }

    pub(crate) fn copy(&mut self, at: usize, step: CopyStep) {
        if let CopyStep::End { partition, attachment } = step {
            let process = self.hosts[at].process.as_mut().expect("it works");
            process.snapshots.remove(&(partition, attachment));
            return;
        }
        let wait = self.random.below(self.knobs.sync);
        self.after_disk(wait, at, DiskWork::Copy(step));
    }

    /// Takes a snapshot, or reads on in one. A few records make a page, so that there are several.
    fn on_copy(&mut self, at: usize, step: CopyStep) {
        let host = &mut self.hosts[at];
        let process = host.process.as_mut().expect("it works");
        let (partition, attachment) = match step {
            CopyStep::Begin { partition, attachment } => {
                let (records, end) = host.disk.data.snapshot(partition);
                let snapshot = Snapshot { records: records.into(), end, page: 0, after: None };
                process.snapshots.insert((partition, attachment), snapshot);
                (partition, attachment)
            }
            CopyStep::Next { partition, attachment } | CopyStep::End { partition, attachment } => {
                (partition, attachment)
            }
        };
        let Some(snapshot) = process.snapshots.get_mut(&(partition, attachment)) else { return };
        let count = snapshot.records.len().min(self.random.index(3));
        let records: Vec<_> = snapshot.records.drain(..count).collect();
        let is_last = snapshot.records.is_empty();
        let after = snapshot.after.clone();
        if let Some((key, _)) = records.last() {
            snapshot.after = Some(key.clone());
        }
        let page = CopyPage { number: snapshot.page, after, records, end: is_last.then_some(snapshot.end) };
        snapshot.page += 1;
        if is_last {
            process.snapshots.remove(&(partition, attachment));
        }
        self.tell(at, Event::PageRead { partition, attachment, page });
    }
}
