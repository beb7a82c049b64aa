//! What a serving member answers without changing anything.

use bytes::Bytes;
use simpledynamo_ring::Token;
use simpledynamo_topology::{Epoch, Member};

use super::{Context, Phase, Replica};
use crate::{
    Captured, DataKey, Effects, Envelope, Item, Message, Page, PageRequest, Part, Query, Reading, Record,
    Refusal, glob,
};

/// Reads that may wait on dirty keys of one partition: some for every client that a node takes.
const WAITING_READS_MAX: usize = 65_536;

/// Bytes of keys and values after which a page ends: far below a frame's limit, far above what a page of
/// ordinary pairs has. A single larger pair still makes a page.
const PAGE_BYTES_MAX: usize = 1 << 20;

/// A read that met something dirty.
pub(super) struct Waiting {
    pub(super) from: Member,
    pub(super) id: u64,
    query: Query,
}

impl Replica {
    pub(super) fn on_read(
        &mut self,
        context: &Context<'_>,
        epoch: Epoch,
        from: Member,
        id: u64,
        query: Query,
        effects: &mut Effects,
    ) {
        let message = if self.form().is_none_or(|form| form.epoch != epoch) {
            Message::ReadRefused { id, refusal: Refusal::NotServing }
        } else {
            match self.read(context, &Question::of(&query)) {
                Read::Answer(reading) => {
                    let message = Message::ReadDone { id, reading };
                    return self.capture(epoch, from, message, effects);
                }
                Read::NotServing => Message::ReadRefused { id, refusal: Refusal::NotServing },
                Read::Dirty { .. } if self.waiting_count >= WAITING_READS_MAX => {
                    Message::ReadRefused { id, refusal: Refusal::Overloaded }
                }
                Read::Dirty { until } => {
                    self.waiting_count += 1;
                    self.waiting.entry(until).or_default().push(Waiting { from, id, query });
                    return;
                }
            }
        };
        effects.send.push(Envelope { partition: self.partition, epoch, from: self.me, to: from, message });
    }

    /// Hands over an answer whose value is captured: it goes out after a look at the lease (invariant I7).
    fn capture(&self, epoch: Epoch, to: Member, message: Message, effects: &mut Effects) {
        let answer = Envelope { partition: self.partition, epoch, from: self.me, to, message };
        effects.captured.push(Captured { answer });
    }

    /// Answers a question, or says why not now.
    pub(crate) fn read(&self, context: &Context<'_>, question: &Question<'_>) -> Read {
        let Phase::Serving(service) = &self.phase else { return Read::NotServing };
        let dirty = match question {
            Question::Get(key, _) => self.versions.dirty(key, self.log.watermark),
            Question::Page(request) => {
                let (low, high) = prefixes(request);
                self.versions.dirty_range(low, high, self.log.watermark)
            }
            Question::Count => self.versions.dirty_range(0, u64::MAX, self.log.watermark),
        };
        match dirty {
            // The tail knows that nothing newer is committed, unless an earlier epoch did it.
            Some((oldest, newest)) if service.form.tail() != self.me || oldest <= service.base_end => {
                Read::Dirty { until: newest }
            }
            _ => Read::Answer(self.answer(context, question)),
        }
    }

    /// The answer as the clean entries give it.
    fn answer(&self, context: &Context<'_>, question: &Question<'_>) -> Reading {
        match question {
            Question::Get(key, part) => self.present(context, key, *part),
            Question::Page(request) => Reading::Page(self.page(context, request)),
            Question::Count => Reading::Counts(self.counts),
        }
    }

    pub(super) fn answer_waiting(&mut self, context: &Context<'_>, effects: &mut Effects) {
        let Phase::Serving(service) = &self.phase else { return };
        let epoch = service.form.epoch;
        while let Some(first) = self.waiting.first_entry() {
            if *first.key() > self.log.watermark {
                return;
            }
            for waiting in first.remove() {
                self.waiting_count -= 1;
                // The version that was newest on arrival is clean: the newest clean one is no older.
                let reading = self.answer(context, &Question::of(&waiting.query));
                self.capture(epoch, waiting.from, Message::ReadDone { id: waiting.id, reading }, effects);
            }
        }
    }

    /// The newest clean record of a key.
    fn clean_record(&self, context: &Context<'_>, key: &DataKey) -> Option<Record> {
        match self.versions.newest(key, self.log.watermark).clean {
            Some(seq) => self.log.entry(seq).expect("versions name entries of the log").record(),
            None => context.stored(key),
        }
    }

    fn present(&self, context: &Context<'_>, key: &DataKey, part: Part) -> Reading {
        let Some(record) = self.clean_record(context, key) else { return Reading::Absent };
        Reading::Present {
            version: record.version,
            expires_at: record.expires_at,
            due: record.is_due(context.now.unix),
            length: record.value.len() as u64,
            bytes: match part {
                Part::Value => record.value,
                Part::Range { start, end } => range(&record.value, start, end),
                Part::Meta => Bytes::new(),
            },
        }
    }

    /// The clean pairs from a position on: what the data holds, overlaid by what the log knows better.
    fn page(&self, context: &Context<'_>, request: &PageRequest) -> Page {
        let (low, high) = prefixes(request);
        let mut stored = context.records.range(low, high).peekable();
        let mut logged = self.versions.clean_range(low, high, self.log.watermark).peekable();
        let mut page = PageBuilder::new(request);
        loop {
            // The next key in order; the log's word counts where both have one.
            let from_log = match (stored.peek(), logged.peek()) {
                (None, None) => return page.finish(None),
                (Some(_), None) => false,
                (None, Some(_)) => true,
                (Some((key, _)), Some((newer, _))) => *newer <= key,
            };
            let (key, record) = if from_log {
                let (key, seq) = logged.next().expect("peeked");
                stored.next_if(|(same, _)| same == key);
                let entry = self.log.entry(seq).expect("versions name entries of the log");
                (key.clone(), entry.record())
            } else {
                let (key, record) = stored.next().expect("peeked");
                (key, Some(record))
            };
            let Some(record) = record.filter(|_| self.owns(&key)) else { continue };
            let position = key.prefix() >> POSITION_SHIFT;
            if page.is_full_before(position) {
                return page.finish(Some(position));
            }
            page.look_at(position, key.key(), record, context.now.unix);
        }
    }

    /// Whether a key found in the range asked for is the partition's: a position that an end of the arc lies
    /// in is shared with the neighbour, and at the ends themselves a prefix alone does not tell.
    fn owns(&self, key: &DataKey) -> bool {
        let (prefix, after, token) = (key.prefix(), self.arc.after.prefix(), self.arc.token.prefix());
        if prefix == after || prefix == token {
            self.arc.contains(Token::of(&key.key()))
        } else if after < token {
            after < prefix && prefix < token
        } else {
            after < prefix || prefix < token
        }
    }
}

/// A query with its key hashed, once for all looks at it.
pub(crate) enum Question<'a> {
    Get(DataKey, Part),
    Page(&'a PageRequest),
    Count,
}

impl<'a> Question<'a> {
    pub(crate) fn of(query: &'a Query) -> Self {
        match query {
            Query::Get { key, part } => Self::Get(DataKey::of(key), *part),
            Query::Page(request) => Self::Page(request),
            Query::Count => Self::Count,
        }
    }
}

/// What a read comes to.
pub(crate) enum Read {
    Answer(Reading),
    /// Wait until this entry is clean.
    Dirty {
        until: u64,
    },
    NotServing,
}

/// A token's first 52 of 64 prefix bits are its position.
const POSITION_SHIFT: u32 = 12;

/// The first and the last prefix of the positions asked for.
fn prefixes(request: &PageRequest) -> (u64, u64) {
    let low = request.from << POSITION_SHIFT;
    (low, (request.to << POSITION_SHIFT) | ((1 << POSITION_SHIFT) - 1))
}

struct PageBuilder<'a> {
    request: &'a PageRequest,
    page: Page,
    looked_at: u32,
    bytes: usize,
    position: Option<u64>,
}

impl<'a> PageBuilder<'a> {
    fn new(request: &'a PageRequest) -> Self {
        Self { request, page: Page::default(), looked_at: 0, bytes: 0, position: None }
    }

    /// A page may end only between positions: all keys of one position come together.
    fn is_full_before(&self, position: u64) -> bool {
        let is_full = self.looked_at >= self.request.count || self.bytes >= PAGE_BYTES_MAX;
        is_full && self.position.is_some_and(|last| last != position)
    }

    fn look_at(&mut self, position: u64, key: Bytes, record: Record, now: u64) {
        self.position = Some(position);
        self.looked_at += 1;
        if self.request.pattern.as_ref().is_some_and(|pattern| !glob::matches(pattern, &key)) {
            return;
        }
        let due = record.is_due(now);
        let value = if self.request.values { record.value } else { Bytes::new() };
        self.bytes += key.len() + value.len();
        let (version, expires_at) = (record.version, record.expires_at);
        self.page.items.push(Item { key, version, expires_at, due, value });
    }

    fn finish(mut self, next: Option<u64>) -> Page {
        self.page.next = next;
        self.page
    }
}

/// The bytes from `start` to `end`, both included, counted from the end where negative (Redis `GETRANGE`).
fn range(value: &Bytes, start: i64, end: i64) -> Bytes {
    let length = i64::try_from(value.len()).expect("a value is shorter than 2^63");
    let from_start = |index: i64| if index < 0 { (length + index).max(0) } else { index };
    if start < 0 && end < 0 && start > end {
        return Bytes::new();
    }
    let (start, end) = (from_start(start), from_start(end).min(length - 1));
    if start > end || length == 0 {
        return Bytes::new();
    }
    let index = |position: i64| usize::try_from(position).expect("a position in the value");
    value.slice(index(start)..=index(end))
}
