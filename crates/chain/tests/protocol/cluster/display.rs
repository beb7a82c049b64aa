//! What happened, in words: nodes are letters in ring order, entries show version, key and new value.

use std::fmt::Write as _;
use std::sync::Arc;

use simpledynamo_chain::{
    Apply, Base, Change, CopyPage, CopyStep, Effects, Entry, Envelope, Message, OpId, Operation, Outcome,
    Persist, Query, Reading, Record, Reply,
};
use simpledynamo_topology::{Command, Form, Member, NodeId, PartitionId, Topology, Void};

use super::Cluster;

impl Cluster {
    /// Adds to the trace what a node decided.
    pub(super) fn describe(&mut self, index: usize, effects: &Effects) {
        if self.trace.is_none() {
            return;
        }
        let me = show_node(index);
        for ignored in &effects.ignored {
            self.say(None, || format!("{me} ignores: {}", ignored.name()));
        }
        for (partition, epoch) in &effects.opened {
            self.say(Some(*partition), || format!("{me} opens epoch {epoch}"));
        }
        for damaged in &effects.damaged {
            self.say(Some(damaged.partition), || {
                let (end, watermark) = (damaged.end, damaged.watermark);
                format!("{me} is damaged: its log ends at {end}, committed is {watermark}")
            });
        }
        for persist in &effects.persist {
            self.say(Some(persist.partition()), || format!("{me} persists {}", show_persist(persist)));
        }
        self.describe_data(me, effects);
        for command in &effects.propose {
            let (partition, line) = show_command(command);
            self.say(partition, || format!("{me} proposes: {line}"));
        }
        for envelope in &effects.send {
            let to = show_node(envelope.to.node.index());
            self.say(Some(envelope.partition), || format!("{me} -> {to}: {}", show_message(envelope)));
        }
        for completion in &effects.complete {
            let outcome = show_outcome(&completion.outcome);
            self.say(None, || format!("{me} answers #{}: {outcome}", completion.request));
        }
    }

    fn describe_data(&mut self, me: char, effects: &Effects) {
        let mut clean: Vec<(PartitionId, Vec<u64>)> = Vec::new();
        for apply in &effects.apply {
            match apply {
                Apply::Entry(partition, entry) => match clean.last_mut() {
                    Some((of, seqs)) if of == partition => seqs.push(entry.version.seq),
                    _ => clean.push((*partition, vec![entry.version.seq])),
                },
                Apply::Page { partition, page, .. } => {
                    self.say(Some(*partition), || format!("{me} takes {}", show_page(page)));
                }
            }
        }
        for (partition, seqs) in clean {
            self.say(Some(partition), || format!("{me} holds clean {}", show_seqs(&seqs)));
        }
        for fetch in &effects.fetch {
            let (from, to) = (fetch.from, fetch.to);
            self.say(Some(fetch.partition), || format!("{me} fetches {from}-{to} from its log"));
        }
        for step in &effects.copy {
            let (partition, line) = match step {
                CopyStep::Begin { partition, attachment } => {
                    (partition, format!("begins copy {}", number(*attachment)))
                }
                CopyStep::Next { partition, attachment } => {
                    (partition, format!("goes on with copy {}", number(*attachment)))
                }
                CopyStep::End { partition, attachment } => {
                    (partition, format!("ends copy {}", number(*attachment)))
                }
            };
            self.say(Some(*partition), || format!("{me} {line}"));
        }
    }

    /// Adds to the trace what the control group decided.
    pub(super) fn describe_commit(
        &mut self,
        command: &Command,
        outcome: Result<(), Void>,
        before: &Topology,
    ) {
        if self.trace.is_none() {
            return;
        }
        let (partition, line) = show_command(command);
        let after = self.control.latest().clone();
        let version = after.version();
        match outcome {
            Ok(()) => self.say(partition, || format!("control {version}: {line}")),
            Err(void) => return self.say(partition, || format!("control {version}: {line}: void, {void}")),
        }
        for partition in after.partitions() {
            if let Some(form) = after.form(partition)
                && before.form(partition) != Some(form)
            {
                self.say(Some(partition), || format!("control {version}: {}", show_form(form)));
            }
        }
    }
}

/// An attachment's number within its epoch.
fn number(attachment: u64) -> String {
    format!("{}/{}", attachment >> 32, attachment & 0xffff_ffff)
}

fn show_command(command: &Command) -> (Option<PartitionId>, String) {
    let member = |member: &Member| show_member(member.node, member.session.0);
    match command {
        Command::Register { node, replaces, store, .. } => {
            let node = show_node(node.index());
            let is_new = if store.0 > 100 { " with another store" } else { "" };
            (None, format!("{node} registers after session {replaces}{is_new}"))
        }
        Command::ControllerUp { node, .. } => {
            (None, format!("{} is the controller", show_node(node.index())))
        }
        Command::Down { member: ended, .. } => (None, format!("{} is down", member(ended))),
        Command::Opened { partition, epoch, head } => {
            (Some(*partition), format!("{} opened {epoch}", member(head)))
        }
        Command::Start { partition, epoch, member: chosen, .. } => {
            (Some(*partition), format!("{} starts after {epoch}", member(chosen)))
        }
        Command::Synced { partition, epoch, member: joiner } => {
            (Some(*partition), format!("{} is synced in {epoch}", member(joiner)))
        }
    }
}

fn show_page(page: &CopyPage) -> String {
    let records: Vec<String> =
        page.records.iter().map(|(key, record)| show_record(&key.key(), record)).collect();
    let end = page.end.map_or_else(String::new, |end| format!(" end at {}", end.up_to));
    format!("page {} [{}]{end}", page.number, records.join(" "))
}

fn show_record(key: &[u8], record: &Record) -> String {
    format!("{}={}@{}", text(key), text(&record.value), record.version)
}

fn show_base(base: &Base) -> String {
    let writers = base.writers.0.values().map(|writer| writer.done.len()).sum::<usize>();
    format!("{} with {writers} op ids", base.last)
}

/// A node's letter.
pub(crate) fn show_node(index: usize) -> char {
    char::from(b'a' + u8::try_from(index).expect("a small ring"))
}

/// Places in a log, `4-7` for runs.
fn show_seqs(seqs: &[u64]) -> String {
    match seqs {
        [] => "nothing".into(),
        [one] => one.to_string(),
        [first, .., last] => format!("{first}-{last}"),
    }
}

fn show_form(form: &Form) -> String {
    let members: Vec<String> =
        form.members.iter().map(|member| show_member(member.node, member.session.0)).collect();
    format!("form epoch {} {}", form.epoch, members.join(" "))
}

fn show_member(node: NodeId, session: u64) -> String {
    format!("{}{session}", show_node(node.index()))
}

fn show_id(id: OpId) -> String {
    if id.counter == OpId::NOBODY {
        return "nobody".into();
    }
    format!("{}#{}", show_member(id.node, id.session.0), id.counter)
}

fn text(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}

fn show_entry(entry: &Entry) -> String {
    let key = text(&entry.key.key());
    let change = match &entry.change {
        Change::Keep => format!("{key} kept"),
        Change::Put { value, expires_at: None } => format!("{key}={}", text(value)),
        Change::Put { value, expires_at: Some(at) } => format!("{key}={} until {at}", text(value)),
        Change::Remove => format!("{key} removed"),
    };
    format!("{} {change}", entry.version)
}

fn show_entries(entries: &[Arc<Entry>]) -> String {
    let shown: Vec<String> = entries.iter().map(|entry| show_entry(entry)).collect();
    format!("[{}]", shown.join(", "))
}

fn show_persist(persist: &Persist) -> String {
    match persist {
        Persist::Seal { epoch, .. } => format!("seal {epoch}"),
        Persist::Open { epoch, watermark, entries, .. } => {
            format!("open {epoch} above {watermark} {}", show_entries(entries))
        }
        Persist::Append { entry, .. } => format!("{} by {}", show_entry(entry), show_id(entry.id)),
        Persist::Watermark { up_to, .. } => format!("watermark {up_to}"),
        Persist::Cut { attachment, watermark, .. } => {
            format!("cut {} above {watermark}", number(*attachment))
        }
        Persist::Reset { .. } => "reset".into(),
        Persist::Installed { attachment, base, .. } => {
            format!("installed {} {}", number(*attachment), show_base(base))
        }
    }
}

fn show_message(envelope: &Envelope) -> String {
    let epoch = envelope.epoch;
    let mut line = format!("e{epoch} ");
    let written = match &envelope.message {
        Message::Gather => write!(line, "Gather"),
        Message::Sealed { watermark, end } => write!(line, "Sealed watermark {watermark} end {end}"),
        Message::Lacking { watermark } => write!(line, "Lacking watermark {watermark}"),
        Message::Join { attachment, held } => {
            let attachment =
                attachment.map_or_else(String::new, |given| format!(" attached {}", number(given)));
            let held = held.map_or_else(|| "nothing".into(), |held| held.to_string());
            write!(line, "Join{attachment} held {held}")
        }
        Message::Attach { attachment, is_copy } => {
            write!(line, "Attach {}{}", number(*attachment), if *is_copy { " copy" } else { "" })
        }
        Message::Ship { attachment, entries, watermark } => {
            write!(line, "Ship {} {} watermark {watermark}", number(*attachment), show_entries(entries))
        }
        Message::Stored { attachment, up_to } => write!(line, "Stored {} {up_to}", number(*attachment)),
        Message::Page { attachment, page, base } => {
            let base = base.as_ref().map_or_else(String::new, |base| format!(" base {}", show_base(base)));
            write!(line, "Page {} {}{base}", number(*attachment), show_page(page))
        }
        Message::PageStored { attachment, number: page } => {
            write!(line, "PageStored {} {page}", number(*attachment))
        }
        Message::Open { watermark, entries, durable } => {
            write!(line, "Open above {watermark} {} durable {durable}", show_entries(entries))
        }
        Message::Append { entries, durable } => {
            write!(line, "Append {} durable {durable}", show_entries(entries))
        }
        Message::Durable { up_to } => write!(line, "Durable {up_to}"),
        Message::Watermark { up_to } => write!(line, "Watermark {up_to}"),
        Message::Write { id, copy, floor, key, operation } => {
            let operation = show_operation(operation);
            write!(line, "Write {} copy {copy} floor {floor} {} {operation}", show_id(*id), text(key))
        }
        Message::WriteDone { id, version, reply } => {
            write!(line, "WriteDone {} {version} {}", show_id(*id), show_reply(reply))
        }
        Message::WriteRefused { id, copy, refusal } => {
            write!(line, "WriteRefused {} copy {copy}: {refusal}", show_id(*id))
        }
        Message::WriteForgotten { id } => write!(line, "WriteForgotten {}", show_id(*id)),
        Message::Read { id, query: Query::Get { key, .. } } => write!(line, "Read #{id} {}", text(key)),
        Message::Read { id, query } => write!(line, "Read #{id} {query:?}"),
        Message::ReadDone { id, reading } => write!(line, "ReadDone #{id} {}", show_reading(reading)),
        Message::ReadRefused { id, refusal } => write!(line, "ReadRefused #{id}: {refusal}"),
    };
    written.expect("text takes all");
    line
}

fn show_operation(operation: &Operation) -> String {
    match operation {
        Operation::Set { value, .. } => format!("set {}", text(value)),
        Operation::Delete { .. } => "delete".into(),
        Operation::Increment(by) => format!("increment {by}"),
        Operation::Lapse { version } => format!("lapse {version}"),
        other => format!("{other:?}"),
    }
}

fn show_reply(reply: &Reply) -> String {
    match reply {
        Reply::Done => "done".into(),
        Reply::Refused => "refused".into(),
        Reply::Integer(number) => number.to_string(),
        Reply::Superseded => "superseded".into(),
        other => format!("{other:?}"),
    }
}

fn show_outcome(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Written { version, reply } => format!("written {version} {}", show_reply(reply)),
        Outcome::Read(reading) => show_reading(reading),
        Outcome::Unavailable(refusal) => format!("unavailable, {refusal}"),
        Outcome::Unknown => "unknown".into(),
    }
}

pub(crate) fn show_reading(reading: &Reading) -> String {
    match reading {
        Reading::Absent => "absent".into(),
        Reading::Present { version, bytes, due, .. } => {
            format!("{} at {version}{}", text(bytes), if *due { ", due" } else { "" })
        }
        Reading::Page(page) => {
            let items: Vec<String> =
                page.items.iter().map(|item| format!("{}={}", text(&item.key), text(&item.value))).collect();
            let next = page.next.map_or_else(|| "end".into(), |next| format!("next {next}"));
            format!("[{}] {next}", items.join(", "))
        }
        Reading::Counts(counts) => format!("{} keys, {} expiring", counts.keys, counts.expiring),
    }
}
