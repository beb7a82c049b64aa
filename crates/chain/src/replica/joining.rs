//! The joiner's side of recovery: ask the tail, and take what it sends.

use std::sync::Arc;

use simpledynamo_topology::Form;

use super::{ASK_AGAIN, Context, Phase, Replica, Versions, envelope};
use crate::{
    Apply, Base, CopyPage, Counts, Effects, Entry, Envelope, Ignored, Message, Millis, Persist, Refusal,
};

/// A node that is to become a member of a form.
pub(super) struct Joining {
    /// The form that it is to join.
    form: Form,
    /// Whether that form is open: only then can its tail attach anybody.
    is_open: bool,
    attachment: Option<Attachment>,
    /// When to ask the tail, for the first time or again.
    ask_at: Millis,
}

/// What the tail has begun to send.
struct Attachment {
    number: u64,
    /// Whether what began it is durable: before that, nothing of it counts as durable.
    is_begun: bool,
    /// All up to here is durable here.
    durable: u64,
    /// What was told of that.
    durable_told: Option<u64>,
    /// All up to here is committed, as the tail says.
    committed: u64,
    /// While the data is copied: how far that has come.
    copying: Option<Copying>,
}

/// How far a full copy has come.
struct Copying {
    /// The next page.
    next: u32,
    /// How many pages are in the data.
    stored: u32,
    /// What was told of that.
    stored_told: u32,
    /// What the log goes on from, once the last page has come.
    base: Option<(Arc<Base>, Counts)>,
}

/// How far a replica has come that lacks what was committed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// All entries of the partition up to here are held.
    pub held: u64,
    /// All up to here are known to be committed; 0 before the tail has said anything.
    pub committed: u64,
    /// While the data is copied as a whole: how many pages have come.
    pub pages: Option<u32>,
}

impl Joining {
    /// The link to a node was made anew: what was told over the old one may be lost.
    pub(super) fn on_link_up(&mut self) {
        self.ask_at = 0;
        if let Some(attachment) = &mut self.attachment {
            attachment.durable_told = None;
            if let Some(copying) = &mut attachment.copying {
                copying.stored_told = 0;
            }
        }
    }

    /// An entry of the log is durable here.
    pub(super) fn on_entry_durable(&mut self, seq: u64) {
        if let Some(attachment) = &mut self.attachment
            && attachment.is_begun
            && seq == attachment.durable + 1
        {
            attachment.durable = seq;
        }
    }
}

impl Attachment {
    /// What the tail has not been told yet.
    fn news(&mut self) -> Option<Message> {
        let attachment = self.number;
        if let Some(copying) = &mut self.copying {
            let is_news = copying.stored_told < copying.stored;
            copying.stored_told = copying.stored;
            return is_news.then(|| Message::PageStored { attachment, number: copying.stored - 1 });
        }
        if !self.is_begun || self.durable_told == Some(self.durable) {
            return None;
        }
        self.durable_told = Some(self.durable);
        Some(Message::Stored { attachment, up_to: self.durable })
    }
}

impl Replica {
    /// How far this replica has come; `None` if it lacks nothing.
    #[must_use]
    pub fn progress(&self) -> Option<Progress> {
        let Phase::Joining(joining) = &self.phase else { return None };
        let held = self.log.watermark;
        let Some(attachment) = &joining.attachment else {
            return Some(Progress { held, ..Progress::default() });
        };
        let pages = attachment.copying.as_ref().map(|copying| copying.next);
        Some(Progress { held, committed: attachment.committed, pages })
    }

    /// The chain has a form that this replica is not in, though it keeps the partition.
    pub(super) fn begin_joining(&mut self, form: &Form, is_open: bool, effects: &mut Effects) {
        match &mut self.phase {
            Phase::Joining(joining) if joining.form == *form => joining.is_open |= is_open,
            _ => {
                self.stop(Refusal::NotServing, effects);
                let form = form.clone();
                self.phase = Phase::Joining(Joining { form, is_open, attachment: None, ask_at: 0 });
            }
        }
    }

    pub(super) fn tick_joining(&mut self, now: Millis, effects: &mut Effects) {
        self.ask(now, effects);
    }

    /// Asks the tail to be attached; again and again, since the tail may have let go without a word. What this replica
    /// says to hold must be durable: the tail counts on it at once.
    fn ask(&mut self, now: Millis, effects: &mut Effects) {
        if self.installing.is_some() {
            return;
        }
        let held = self.log.version_at(self.log.watermark).filter(|_| !self.log.is_incomplete);
        let Phase::Joining(joining) = &mut self.phase else { return };
        if !joining.is_open || now < joining.ask_at {
            return;
        }
        joining.ask_at = now + ASK_AGAIN;
        let attachment = joining.attachment.as_ref().map(|attachment| attachment.number);
        let message = Message::Join { attachment, held };
        effects.send.push(envelope(&joining.form, self.me, joining.form.tail(), message));
    }

    pub(super) fn flush_joining(&mut self, now: Millis, effects: &mut Effects) {
        self.ask(now, effects);
        self.clean_what_is_durable(effects);
        let Phase::Joining(joining) = &mut self.phase else { return };
        let (form, tail) = (&joining.form, joining.form.tail());
        if let Some(message) = joining.attachment.as_mut().and_then(Attachment::news) {
            effects.send.push(envelope(form, self.me, tail, message));
        }
    }

    /// What the tail says is committed, and is durable here, goes to the data.
    fn clean_what_is_durable(&mut self, effects: &mut Effects) {
        let Phase::Joining(Joining { attachment: Some(attachment), .. }) = &self.phase else { return };
        let up_to = attachment.committed.min(attachment.durable);
        if attachment.copying.is_none() && up_to > self.log.watermark {
            self.clean(up_to, effects);
            self.persist(Persist::Watermark { partition: self.partition, up_to }, effects);
        }
    }

    /// Takes what the tail of the form says to a joiner.
    pub(super) fn on_joining_message(
        &mut self,
        context: &Context<'_>,
        envelope: Envelope,
        effects: &mut Effects,
    ) {
        let Phase::Joining(joining) = &self.phase else { return effects.ignored.push(Ignored::WrongRole) };
        if envelope.epoch < joining.form.epoch {
            return effects.ignored.push(Ignored::StaleEpoch);
        }
        if envelope.epoch > joining.form.epoch {
            return effects.ignored.push(Ignored::FutureEpoch);
        }
        if envelope.from != joining.form.tail() {
            return effects.ignored.push(Ignored::WrongRole);
        }
        let present = joining.attachment.as_ref().map_or(0, |attachment| attachment.number);
        match envelope.message {
            Message::Attach { attachment, is_copy } if attachment > present => {
                self.begin_attachment(context, attachment, is_copy, effects);
            }
            Message::Ship { attachment, entries, watermark } if attachment == present => {
                self.on_ship(&entries, watermark, effects);
            }
            Message::Page { attachment, page, base } if attachment == present => {
                self.on_page(&page, base, effects);
            }
            _ => effects.ignored.push(Ignored::OtherAttachment),
        }
        self.ask(context.now.millis, effects);
    }

    /// What the log holds above the watermark may never have been committed: it goes, op ids included. With a copy,
    /// all goes.
    fn begin_attachment(&mut self, context: &Context<'_>, number: u64, is_copy: bool, effects: &mut Effects) {
        let (partition, watermark) = (self.partition, self.log.watermark);
        if is_copy {
            context.cache.borrow_mut().clear();
            self.forget_above(self.applied);
            self.persist(Persist::Reset { partition }, effects);
            (self.applied, self.counts) = (0, Counts::default());
            self.installing = None;
        } else {
            self.forget_above(watermark);
            self.persist(Persist::Cut { partition, attachment: number, watermark }, effects);
        }
        let Phase::Joining(joining) = &mut self.phase else { unreachable!("the caller looked") };
        joining.attachment = Some(Attachment {
            number,
            is_begun: false,
            durable: self.log.watermark,
            durable_told: None,
            committed: 0,
            copying: is_copy.then_some(Copying { next: 0, stored: 0, stored_told: 0, base: None }),
        });
    }

    pub(super) fn on_cut_durable(&mut self, number: u64) {
        if let Phase::Joining(Joining { attachment: Some(attachment), .. }) = &mut self.phase
            && attachment.number == number
            && attachment.copying.is_none()
        {
            attachment.is_begun = true;
        }
    }

    fn on_ship(&mut self, entries: &[Arc<Entry>], watermark: u64, effects: &mut Effects) {
        let Phase::Joining(Joining { attachment: Some(attachment), .. }) = &mut self.phase else { return };
        if attachment.copying.is_some() {
            return effects.ignored.push(Ignored::Gap);
        }
        attachment.committed = attachment.committed.max(watermark);
        self.append_next(entries, effects);
    }

    fn on_page(&mut self, page: &Arc<CopyPage>, base: Option<Arc<Base>>, effects: &mut Effects) {
        let Phase::Joining(Joining { attachment: Some(attachment), .. }) = &mut self.phase else { return };
        let Some(copying) = attachment.copying.as_mut().filter(|copying| copying.next == page.number) else {
            return effects.ignored.push(Ignored::Gap);
        };
        copying.next += 1;
        copying.base = base.zip(page.end.map(|end| end.counts));
        let (partition, attachment, page) = (self.partition, attachment.number, Arc::clone(page));
        effects.apply.push(Apply::Page { partition, attachment, page });
    }

    /// A page is in the data. After the last one the replica's log goes on from the end of the copy.
    pub(crate) fn on_page_applied(&mut self, number: u64, page: u32, effects: &mut Effects) {
        let Phase::Joining(joining) = &mut self.phase else { return };
        let Some(attachment) = joining.attachment.as_mut().filter(|attachment| attachment.number == number)
        else {
            return;
        };
        let Some(copying) = attachment.copying.as_mut().filter(|copying| copying.next == page + 1) else {
            return;
        };
        copying.stored = page + 1;
        let Some((base, counts)) = copying.base.clone() else { return };
        attachment.copying = None;
        attachment.durable = base.last.seq;
        (self.versions, self.weight) = (Versions::default(), 0);
        (self.applied, self.counts) = (base.last.seq, counts);
        self.installing = Some(number);
        self.persist(Persist::Installed { partition: self.partition, attachment: number, base }, effects);
    }

    pub(super) fn on_installed_durable(&mut self, number: u64) {
        self.installing.take_if(|installing| *installing == number);
        if let Phase::Joining(Joining { attachment: Some(attachment), .. }) = &mut self.phase
            && attachment.number == number
        {
            attachment.is_begun = true;
        }
    }
}
