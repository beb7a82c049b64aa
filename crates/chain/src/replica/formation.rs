//! How an epoch begins: seal, gather, open.

use std::collections::BTreeMap;
use std::sync::Arc;

use simpledynamo_topology::{Command, Epoch, Form, Member, NodeId};

use super::{ASK_AGAIN, Context, Phase, Replica, Service, envelope};
use crate::control::Suspect;
use crate::{Damaged, Effects, Entry, Ignored, Message, Millis, Persist, Refusal};

/// A chain being formed, as one member sees it.
pub(super) struct Formation {
    pub(super) form: Form,
    /// When this member heard of the form.
    began: Millis,
    /// Whether this member's own seal is durable.
    is_sealed: bool,
    /// At the head: what each member that has sealed holds.
    reports: BTreeMap<NodeId, Report>,
    /// At the head: when to ask for what is missing again.
    ask_at: Millis,
}

/// What a member holds that has sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Report {
    /// All up to here is known to be committed.
    pub(super) watermark: u64,
    /// The last entry of its log.
    pub(super) end: u64,
}

impl Replica {
    /// The chain has a new form: stop what went before, durably, then report to the new head.
    pub(super) fn begin_forming(&mut self, form: Form, now: Millis, effects: &mut Effects) {
        assert!(form.epoch > self.log.open, "I1: an epoch is opened once");
        self.stop(Refusal::NotServing, effects);
        let epoch = form.epoch;
        self.phase = Phase::Forming(Formation {
            form,
            began: now,
            is_sealed: false,
            reports: BTreeMap::new(),
            ask_at: now + ASK_AGAIN,
        });
        self.persist(Persist::Seal { partition: self.partition, epoch }, effects);
        self.gather(effects);
    }

    /// At the head: asks the members that have not reported. Those that sealed before the head heard of the form have
    /// told it in vain.
    fn gather(&self, effects: &mut Effects) {
        let Phase::Forming(formation) = &self.phase else { return };
        let form = &formation.form;
        if form.head() != self.me {
            return;
        }
        for &member in form.members.iter().filter(|member| !formation.reports.contains_key(&member.node)) {
            if member != self.me {
                effects.send.push(envelope(form, self.me, member, Message::Gather));
            }
        }
    }

    pub(super) fn on_gather(&mut self, from: Member, effects: &mut Effects) {
        match &self.phase {
            Phase::Forming(formation) if formation.form.head() == from => self.report_seal(effects),
            _ => effects.ignored.push(Ignored::Duplicate),
        }
    }

    pub(super) fn on_seal_durable(&mut self, sealed: Epoch, effects: &mut Effects) {
        match &mut self.phase {
            Phase::Forming(formation) if formation.form.epoch == sealed => {
                formation.is_sealed = true;
                self.report_seal(effects);
            }
            Phase::Offering { epoch, is_durable } if *epoch == sealed => *is_durable = true,
            _ => {}
        }
    }

    /// Tells the new head what we hold, once our seal is durable.
    pub(super) fn report_seal(&mut self, effects: &mut Effects) {
        let Phase::Forming(formation) = &self.phase else { return };
        if !formation.is_sealed {
            return;
        }
        let report = Report { watermark: self.log.watermark, end: self.log.end };
        let head = formation.form.head();
        if head == self.me {
            self.on_sealed(self.me, report, effects);
        } else {
            let message = Message::Sealed { watermark: report.watermark, end: report.end };
            effects.send.push(envelope(&formation.form, self.me, head, message));
        }
    }

    /// At the head: a member has sealed. When all have, the control group is asked to open the epoch.
    pub(super) fn on_sealed(&mut self, from: Member, report: Report, effects: &mut Effects) {
        let Phase::Forming(formation) = &mut self.phase else {
            return effects.ignored.push(Ignored::Duplicate);
        };
        if formation.form.head() != self.me || !formation.form.members.contains(&from) {
            return effects.ignored.push(Ignored::WrongRole);
        }
        formation.reports.insert(from.node, report);
        self.suspect.take_if(|suspect| suspect.node == from.node);
        self.propose_open(effects);
    }

    /// At the head: what every member holds, once all have sealed (invariant I6). Members of earlier forms whose
    /// session lives are members of this one; all other sessions have ended.
    fn gathered(&self) -> Option<(&Formation, u64)> {
        let Phase::Forming(formation) = &self.phase else { return None };
        let (form, reports) = (&formation.form, &formation.reports);
        if form.head() != self.me || reports.len() < form.members.len() {
            return None;
        }
        let watermark = reports.values().map(|report| report.watermark).max().expect("a chain has members");
        Some((formation, watermark))
    }

    fn propose_open(&self, effects: &mut Effects) {
        let Some((formation, watermark)) = self.gathered() else { return };
        let form = &formation.form;
        // Committed entries are durable on every member: whoever lacks some has lost them, and must not serve.
        let is_short = |member: &&Member| formation.reports[&member.node].end < watermark;
        if let Some(&member) = form.members.iter().find(is_short) {
            let message = Message::Lacking { watermark };
            return effects.send.push(envelope(form, self.me, member, message));
        }
        let (partition, epoch, head) = (self.partition, form.epoch, self.me);
        effects.propose.push(Command::Opened { partition, epoch, head });
    }

    /// The head of the form has found that this log lacks what was committed.
    pub(super) fn on_lacking(&self, from: Member, watermark: u64, effects: &mut Effects) {
        if self.form().map(Form::head) != Some(from) {
            return effects.ignored.push(Ignored::WrongRole);
        }
        effects.damaged.push(Damaged { partition: self.partition, end: self.log.end, watermark });
    }

    /// At the head: the control group has decided that the epoch is opened.
    pub(super) fn try_open(&mut self, effects: &mut Effects) {
        let Some((formation, watermark)) = self.gathered() else { return };
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
            Phase::Forming(formation) if formation.is_sealed => {
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
        let epoch = form.epoch;
        self.clean(watermark, effects);
        self.forget_above(watermark);
        for entry in entries {
            self.versions.push(entry);
            self.weight += entry.weight();
        }
        let entries = entries.to_vec();
        self.persist(Persist::Open { partition: self.partition, epoch, watermark, entries }, effects);
        self.phase = Phase::Serving(Service::new(form, self.me.node, watermark, self.log.end));
        effects.opened.push((self.partition, epoch));
        // Requests that came early are taken as if they came now.
        effects.send.append(&mut self.parked);
    }

    pub(super) fn tick_forming(&mut self, context: &Context<'_>, effects: &mut Effects) {
        let Phase::Forming(formation) = &mut self.phase else { return };
        let now = context.now.millis;
        if formation.form.head() != self.me {
            return;
        }
        // Said at every tick: a renewal may be sent after any of them.
        let is_missing = |member: &&Member| !formation.reports.contains_key(&member.node);
        let missing = formation.form.members.iter().rev().find(is_missing);
        if let Some(member) = missing.filter(|member| **member != self.me)
            && now >= formation.began + 2 * context.timing.lease
        {
            let (partition, epoch, node) = (self.partition, formation.form.epoch, member.node);
            self.suspect = Some(Suspect { partition, epoch, node });
        }
        if now < formation.ask_at {
            return;
        }
        formation.ask_at = now + ASK_AGAIN;
        self.gather(effects);
        self.propose_open(effects);
    }
}
