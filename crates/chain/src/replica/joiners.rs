//! The tail's side of recovery: attach a node that lacks what was committed, send it that, and have it made a
//! member.
//!
//! A joiner is sent the log from its own watermark on, in order: from memory, from the disk where memory does not reach
//! back, and after a copy of the data where the log does not either. Once it has been sent everything, it is
//! *required*: nothing is committed that it does not hold durably. From then on it cannot fall behind, and when it has
//! caught up with the watermark the tail proposes that it be a member. Until that is proposed, the tail may let go of
//! a joiner that is slow; afterwards only the topology decides.

use std::collections::VecDeque;
use std::sync::Arc;

use simpledynamo_topology::{Command, Member, NodeId, Topology};

use super::{ASK_AGAIN, Context, Phase, Replica, envelope};
use crate::{CopyPage, CopyStep, Effects, Entry, Fetch, Ignored, Message, Millis, Version};

/// Bytes of entries that may be under way to a joiner: enough to keep its disk busy, little enough that a joiner is
/// waited for only briefly once it is required.
const SHIP_WINDOW: usize = 4 << 20;

/// Bytes of entries that are read from the log at a time.
const FETCH_BYTES: usize = 1 << 20;

/// How long a required joiner may hold up the chain before the tail lets go of it.
const JOINER_PATIENCE: Millis = 500;

/// A node that is being made a member.
pub(super) struct Joiner {
    member: Member,
    attachment: u64,
    stage: Stage,
    /// All up to here is durable at the joiner.
    pub(super) stored: u64,
    /// Whether it has said so in this attachment. What it said when it asked may be from before another attachment,
    /// which took that away.
    is_confirmed: bool,
    /// Whether nothing may be committed without it.
    pub(super) is_required: bool,
    /// When `Synced` was proposed last.
    proposed: Option<Millis>,
    /// When the joiner last got further.
    moved_at: Millis,
}

enum Stage {
    /// The data is being copied; the joiner has not confirmed this page.
    Copying { page: u32 },
    /// The log is being sent.
    Shipping(Shipping),
}

/// How far the log has been sent.
struct Shipping {
    sent: u64,
    watermark_told: u64,
    /// Last entry and bytes of each message that is not acknowledged.
    under_way: VecDeque<(u64, usize)>,
    /// Whether entries are being read from the disk.
    is_fetching: bool,
}

impl Shipping {
    fn from(stored: u64) -> Self {
        Self { sent: stored, watermark_told: 0, under_way: VecDeque::new(), is_fetching: false }
    }

    fn bytes_under_way(&self) -> usize {
        self.under_way.iter().map(|(_, bytes)| bytes).sum()
    }
}

impl Joiner {
    pub(super) fn node(&self) -> NodeId {
        self.member.node
    }

    /// The link to the joiner was made anew: what was under way may be lost.
    pub(super) fn on_link_up(&mut self) {
        if let Stage::Shipping(shipping) = &mut self.stage {
            *shipping = Shipping { is_fetching: shipping.is_fetching, ..Shipping::from(self.stored) };
        }
    }
}

impl Replica {
    /// A node that lacks what was committed asks to be attached.
    pub(super) fn on_join(
        &mut self,
        context: &Context<'_>,
        from: Member,
        attachment: Option<u64>,
        held: Option<Version>,
        effects: &mut Effects,
    ) {
        let Phase::Serving(service) = &mut self.phase else {
            return effects.ignored.push(Ignored::FutureEpoch);
        };
        let is_member = service.form.member(from.node) == Some(from);
        if service.form.tail() != self.me || is_member || !context.topology.keeps(from.node, self.partition) {
            return effects.ignored.push(Ignored::WrongRole);
        }
        if let Some(known) = service.joiners.get(&from.node)
            && known.member == from
            && (Some(known.attachment) == attachment
                || known.proposed.is_some()
                || context.now.millis < known.moved_at + JOINER_PATIENCE)
        {
            // It may have asked before it heard of its attachment: each new one would have it begin anew.
            return;
        }
        self.attach(context.now.millis, from, held.filter(|&held| self.knows(held)), effects);
    }

    /// Whether the log goes on from what a joiner holds.
    fn knows(&self, held: Version) -> bool {
        held.seq + 1 >= self.log.start && self.log.version_at(held.seq) == Some(held)
    }

    /// Begins an attachment: from an entry on, or with a copy of the data.
    fn attach(&mut self, now: Millis, member: Member, from: Option<Version>, effects: &mut Effects) {
        let partition = self.partition;
        let Phase::Serving(service) = &mut self.phase else { unreachable!("only a serving tail attaches") };
        service.attached += 1;
        let attachment = service.attached;
        let (stage, stored) = match from {
            Some(held) => (Stage::Shipping(Shipping::from(held.seq)), held.seq),
            None => (Stage::Copying { page: 0 }, 0),
        };
        let is_copy = from.is_none();
        let joiner = Joiner {
            member,
            attachment,
            stage,
            stored,
            is_confirmed: false,
            is_required: false,
            proposed: None,
            moved_at: now,
        };
        if let Some(before) = service.joiners.insert(member.node, joiner) {
            effects.copy.push(CopyStep::End { partition, attachment: before.attachment });
        }
        if is_copy {
            effects.copy.push(CopyStep::Begin { partition, attachment });
        }
        let message = Message::Attach { attachment, is_copy };
        effects.send.push(envelope(&service.form, self.me, member, message));
    }

    fn joiner(&mut self, attachment: u64) -> Option<&mut Joiner> {
        let Phase::Serving(service) = &mut self.phase else { return None };
        service.joiners.values_mut().find(|joiner| joiner.attachment == attachment)
    }

    /// A joiner has made entries durable.
    pub(super) fn on_stored(
        &mut self,
        context: &Context<'_>,
        from: Member,
        attachment: u64,
        up_to: u64,
        effects: &mut Effects,
    ) {
        let (end, now) = (self.log.end, context.now.millis);
        let Some(joiner) = self.joiner(attachment).filter(|joiner| joiner.member == from && up_to <= end)
        else {
            return effects.ignored.push(Ignored::OtherAttachment);
        };
        if !joiner.is_confirmed && up_to < joiner.stored {
            // It holds less than when it asked: it will ask again.
            return self.drop_unproposed_joiner(from.node, effects);
        }
        joiner.is_confirmed = true;
        if matches!(joiner.stage, Stage::Copying { .. }) {
            // The copy is whole: the log goes on behind it.
            joiner.stage = Stage::Shipping(Shipping::from(up_to));
        }
        if up_to > joiner.stored {
            (joiner.stored, joiner.moved_at) = (up_to, now);
        }
        if let Stage::Shipping(shipping) = &mut joiner.stage {
            while shipping.under_way.front().is_some_and(|(last, _)| *last <= up_to) {
                shipping.under_way.pop_front();
            }
        }
        self.commit(context, effects);
    }

    /// Sends joiners what they have not been sent, and proposes those that have caught up.
    pub(super) fn flush_joiners(&mut self, now: Millis, effects: &mut Effects) {
        let Phase::Serving(service) = &self.phase else { return };
        if service.form.tail() != self.me {
            return;
        }
        for node in service.joiners.keys().copied().collect::<Vec<_>>() {
            self.ship(node, effects);
            self.propose_joiner(node, now, effects);
        }
    }

    fn ship(&mut self, node: NodeId, effects: &mut Effects) {
        let Phase::Serving(service) = &mut self.phase else { return };
        let (form, log) = (&service.form, &self.log);
        let joiner = service.joiners.get_mut(&node).expect("the caller has it");
        let Stage::Shipping(shipping) = &mut joiner.stage else { return };
        let in_memory = log.entries.front().map_or(log.end + 1, |entry| entry.version.seq);
        while shipping.sent < log.end && shipping.bytes_under_way() < SHIP_WINDOW {
            if shipping.sent + 1 < in_memory {
                if !shipping.is_fetching {
                    shipping.is_fetching = true;
                    effects.fetch.push(Fetch {
                        partition: self.partition,
                        attachment: joiner.attachment,
                        from: shipping.sent + 1,
                        to: in_memory - 1,
                        bytes: FETCH_BYTES,
                        history: log.history.clone(),
                    });
                }
                return;
            }
            let room = SHIP_WINDOW - shipping.bytes_under_way();
            let mut bytes = 0;
            let entries: Vec<Arc<Entry>> = log
                .entries_above(shipping.sent)
                .take_while(|entry| {
                    let fits = bytes < room;
                    bytes += entry.weight();
                    fits
                })
                .cloned()
                .collect();
            let message = shipping.message(joiner.attachment, entries, log.watermark);
            effects.send.push(envelope(form, self.me, joiner.member, message));
        }
        if shipping.sent == log.end {
            joiner.is_required = true;
            if shipping.watermark_told < log.watermark {
                let message = shipping.message(joiner.attachment, Vec::new(), log.watermark);
                effects.send.push(envelope(form, self.me, joiner.member, message));
            }
        }
    }

    /// Entries were read from the log for a joiner; `None` if the log no longer has them.
    pub(crate) fn on_fetched(
        &mut self,
        context: &Context<'_>,
        attachment: u64,
        entries: Option<Vec<Arc<Entry>>>,
        effects: &mut Effects,
    ) {
        let (watermark, me) = (self.log.watermark, self.me);
        let Some(joiner) = self.joiner(attachment) else {
            return effects.ignored.push(Ignored::OtherAttachment);
        };
        let member = joiner.member;
        let Stage::Shipping(shipping) = &mut joiner.stage else { return };
        shipping.is_fetching = false;
        let Some(entries) = entries else {
            return self.attach(context.now.millis, member, None, effects);
        };
        if entries.first().is_some_and(|entry| entry.version.seq == shipping.sent + 1) {
            let message = shipping.message(attachment, entries, watermark);
            let Phase::Serving(service) = &self.phase else { unreachable!("it has a joiner") };
            effects.send.push(envelope(&service.form, me, member, message));
        }
    }

    /// Proposes a joiner that holds all that is committed, and again while the topology does not show it.
    fn propose_joiner(&mut self, node: NodeId, now: Millis, effects: &mut Effects) {
        let (partition, watermark) = (self.partition, self.log.watermark);
        let Phase::Serving(service) = &mut self.phase else { return };
        let epoch = service.form.epoch;
        // What the epoch began with may have been committed before it, though the watermark does not show it yet.
        let maybe_committed = watermark.max(service.base_end);
        let joiner = service.joiners.get_mut(&node).expect("the caller has it");
        let is_due = joiner.proposed.is_none_or(|proposed| now >= proposed + ASK_AGAIN);
        if joiner.is_confirmed && joiner.is_required && joiner.stored >= maybe_committed && is_due {
            joiner.proposed = Some(now);
            effects.propose.push(Command::Synced { partition, epoch, member: joiner.member });
        }
    }

    /// Time has passed: lets go of a joiner that holds up the chain, and asks again for those that are proposed.
    pub(super) fn tick_joiners(&mut self, context: &Context<'_>, effects: &mut Effects) {
        let Phase::Serving(service) = &self.phase else { return };
        let (end, now) = (self.log.end, context.now.millis);
        let is_slow = |joiner: &&Joiner| {
            let holds_up = joiner.is_required && joiner.proposed.is_none() && joiner.stored < end;
            holds_up && now >= joiner.moved_at + JOINER_PATIENCE
        };
        for node in
            service.joiners.values().filter(is_slow).map(|joiner| joiner.member.node).collect::<Vec<_>>()
        {
            self.drop_unproposed_joiner(node, effects);
        }
        self.commit(context, effects);
    }

    /// Lets go of a joiner, unless it is proposed: then it may be a member already.
    pub(super) fn drop_unproposed_joiner(&mut self, node: NodeId, effects: &mut Effects) {
        let partition = self.partition;
        let Phase::Serving(service) = &mut self.phase else { return };
        if service.joiners.get(&node).is_some_and(|joiner| joiner.proposed.is_none()) {
            let joiner = service.joiners.remove(&node).expect("it was there just now");
            effects.copy.push(CopyStep::End { partition, attachment: joiner.attachment });
        }
    }

    /// Lets go of joiners whose session has ended.
    pub(super) fn forget_joiners(&mut self, topology: &Topology, effects: &mut Effects) {
        let partition = self.partition;
        let Phase::Serving(service) = &mut self.phase else { return };
        for joiner in service.joiners.extract_if(.., |_, joiner| !topology.is_live(joiner.member)) {
            effects.copy.push(CopyStep::End { partition, attachment: joiner.1.attachment });
        }
    }

    /// Lets go of all snapshots: the epoch ends.
    pub(super) fn end_copies(&mut self, effects: &mut Effects) {
        let partition = self.partition;
        let Phase::Serving(service) = &self.phase else { return };
        let ends =
            service.joiners.values().map(|joiner| CopyStep::End { partition, attachment: joiner.attachment });
        effects.copy.extend(ends);
    }

    /// A page of the snapshot for a joiner was read.
    pub(crate) fn on_page_read(&mut self, attachment: u64, page: CopyPage, effects: &mut Effects) {
        let (partition, me) = (self.partition, self.me);
        let Some(member) = self.joiner(attachment).map(|joiner| joiner.member) else {
            effects.copy.push(CopyStep::End { partition, attachment });
            return effects.ignored.push(Ignored::OtherAttachment);
        };
        // Only now: without the joiner this may be the log of who was emptied since, and holds nothing of the page.
        let base = page.end.map(|end| Arc::new(self.log.base_at(end.up_to)));
        let Phase::Serving(service) = &self.phase else { unreachable!("it has a joiner") };
        let message = Message::Page { attachment, page: Arc::new(page), base };
        effects.send.push(envelope(&service.form, me, member, message));
    }

    /// A joiner's data holds a page: it can take the next.
    pub(super) fn on_page_stored(
        &mut self,
        context: &Context<'_>,
        from: Member,
        attachment: u64,
        number: u32,
        effects: &mut Effects,
    ) {
        let (partition, now) = (self.partition, context.now.millis);
        let Some(joiner) = self.joiner(attachment).filter(|joiner| joiner.member == from) else {
            return effects.ignored.push(Ignored::OtherAttachment);
        };
        joiner.moved_at = now;
        match &mut joiner.stage {
            Stage::Copying { page } if *page == number => {
                *page += 1;
                effects.copy.push(CopyStep::Next { partition, attachment });
            }
            _ => effects.ignored.push(Ignored::Duplicate),
        }
    }
}

impl Shipping {
    /// The message that takes these entries to the joiner.
    fn message(&mut self, attachment: u64, entries: Vec<Arc<Entry>>, watermark: u64) -> Message {
        if let Some(last) = entries.last() {
            let bytes = entries.iter().map(|entry| entry.weight()).sum();
            self.sent = last.version.seq;
            self.under_way.push_back((self.sent, bytes));
        }
        self.watermark_told = watermark;
        Message::Ship { attachment, entries, watermark }
    }
}
