//! How an epoch begins: seal, gather, open.

use std::collections::BTreeMap;
use std::sync::Arc;

use simpledynamo_topology::{Epoch, Form, Member, NodeId};

use super::{Context, Phase, Replica, Service, envelope};
use crate::{Effects, Entry, Envelope, Ignored, Message, Persist, Refusal};

/// A chain being formed, as one member sees it.
pub(super) struct Formation {
    pub(super) form: Form,
    /// Whether this member's own seal is durable.
    sealed: bool,
    /// At the head: what each member that has sealed holds.
    reports: BTreeMap<NodeId, Report>,
}

/// What a member holds that has sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Report {
    /// All up to here is known to be committed.
    pub(super) watermark: u64,
    /// The last entry of its log.
    pub(super) end: u64,
    /// The epoch that it last opened.
    pub(super) open: Epoch,
}

impl Replica {
    /// The chain has a new form: stop what went before, durably, then report to the new head.
    pub(crate) fn on_form(&mut self, form: Form, effects: &mut Effects) {
        if self.form() == Some(&form) {
            // Told again, because our answer may have been lost.
            return self.report_seal(effects);
        }
        if form.member(self.me.node) != Some(self.me) {
            return effects.ignored.push(Ignored::ReceiverSession);
        }
        let used = self.log.sealed.max(self.log.open);
        if form.epoch <= used {
            let head = form.head();
            return effects.send.push(envelope(&form, self.me, head, Message::SealRefused { used }));
        }
        self.refuse_waiting(Refusal::NotServing, effects);
        let epoch = form.epoch;
        self.phase = Phase::Forming(Formation { form, sealed: false, reports: BTreeMap::new() });
        self.persist(Persist::Seal { partition: self.partition, epoch }, effects);
    }

    pub(super) fn on_seal_durable(&mut self, epoch: Epoch, effects: &mut Effects) {
        if let Phase::Forming(formation) = &mut self.phase
            && formation.form.epoch == epoch
        {
            formation.sealed = true;
            self.report_seal(effects);
        }
    }

    /// Tells the new head what we hold, once our seal is durable.
    pub(super) fn report_seal(&mut self, effects: &mut Effects) {
        let Phase::Forming(formation) = &self.phase else { return };
        if !formation.sealed {
            return;
        }
        let report = Report { watermark: self.log.watermark, end: self.log.end, open: self.log.open };
        let head = formation.form.head();
        if head == self.me {
            self.on_sealed(self.me, report, effects);
        } else {
            let message = Message::Sealed { watermark: report.watermark, end: report.end, open: report.open };
            effects.send.push(envelope(&formation.form, self.me, head, message));
        }
    }

    /// At the head: a member has sealed. When all have, the epoch opens.
    pub(super) fn on_sealed(&mut self, from: Member, report: Report, effects: &mut Effects) {
        let Phase::Forming(formation) = &mut self.phase else {
            return effects.ignored.push(Ignored::Duplicate);
        };
        if formation.form.head() != self.me || !formation.form.members.contains(&from) {
            return effects.ignored.push(Ignored::WrongRole);
        }
        formation.reports.insert(from.node, report);
        let reports = &formation.reports;
        if reports.len() < formation.form.members.len() {
            return;
        }
        let watermark = reports.values().map(|report| report.watermark).max().expect("a chain has members");
        if let Some((&node, short)) = reports.iter().find(|(_, report)| report.end < watermark) {
            // Committed entries are durable on every member: this one lost some. It must not serve.
            effects.damaged.push((self.partition, node, short.end, watermark));
            return;
        }
        let form = formation.form.clone();
        let entries: Vec<Arc<Entry>> = self.log.entries_above(watermark).cloned().collect();
        self.open(form, watermark, &entries, effects);
    }

    /// Down the chain: the epoch begins, or the link was made anew and this is what it may have missed.
    pub(super) fn on_open(
        &mut self,
        context: &Context<'_>,
        from: Member,
        watermark: u64,
        entries: &[Arc<Entry>],
        durable: u64,
        effects: &mut Effects,
    ) {
        if self.form().and_then(|form| form.predecessor(self.me.node)) != Some(from) {
            return effects.ignored.push(Ignored::WrongRole);
        }
        if watermark > self.log.end {
            return effects.ignored.push(Ignored::Gap);
        }
        match &self.phase {
            Phase::Forming(formation) if formation.sealed => {
                let form = formation.form.clone();
                self.open(form, watermark, entries, effects);
                self.on_append(context, from, &[], durable, effects);
            }
            Phase::Serving(_) => self.on_append(context, from, entries, durable, effects),
            _ => return effects.ignored.push(Ignored::FutureEpoch),
        }
        self.advance(context, watermark.min(self.log.end), effects);
    }

    /// Opens an epoch: all up to the watermark is clean, and `entries` is all there is above it.
    fn open(&mut self, form: Form, watermark: u64, entries: &[Arc<Entry>], effects: &mut Effects) {
        let (epoch, before) = (form.epoch, self.log.watermark);
        for entry in self.log.entries_above(watermark) {
            self.versions.remove(entry);
            self.weight -= entry.weight();
        }
        for entry in entries {
            self.versions.push(entry);
            self.weight += entry.weight();
        }
        let entries = entries.to_vec();
        self.persist(Persist::Open { partition: self.partition, epoch, watermark, entries }, effects);
        for seq in before + 1..=watermark {
            self.count(seq);
            let entry = self.log.entry(seq).expect("what was not clean is in the log");
            effects.apply.push((self.partition, Arc::clone(entry)));
        }
        self.phase = Phase::Serving(Service::new(form, self.me.node, watermark, self.log.end));
        effects.opened.push((self.partition, epoch));
    }

    /// Answers every waiting read that somebody else must be asked.
    fn refuse_waiting(&mut self, refusal: Refusal, effects: &mut Effects) {
        let Phase::Serving(service) = &self.phase else { return };
        self.waiting_count = 0;
        for waiting in std::mem::take(&mut self.waiting).into_values().flatten() {
            let message = Message::ReadRefused { id: waiting.id, refusal };
            effects.send.push(Envelope {
                partition: self.partition,
                epoch: service.form.epoch,
                from: self.me,
                to: waiting.from,
                message,
            });
        }
    }
}
