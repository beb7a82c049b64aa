//! What happened, in words: nodes are letters in ring order, entries show version, key and new value.

use std::fmt::Write as _;
use std::sync::Arc;

use simpledynamo_chain::{
    Change, Effects, Entry, Envelope, Message, OpId, Operation, Outcome, Persist, Query, Reading, Reply,
};
use simpledynamo_topology::{Form, NodeId};

use super::Cluster;
use super::machine::partition_of;

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
        for (partition, node, end, watermark) in &effects.damaged {
            let node = show_node(node.index());
            self.say(Some(*partition), || {
                format!("{me} finds {node} damaged: it ends at {end}, committed is {watermark}")
            });
        }
        for persist in &effects.persist {
            self.say(partition_of(persist), || format!("{me} persists {}", show_persist(persist)));
        }
        if let Some((partition, _)) = effects.apply.first() {
            let seqs: Vec<u64> = effects.apply.iter().map(|(_, entry)| entry.version.seq).collect();
            self.say(Some(*partition), || format!("{me} holds clean {}", show_seqs(&seqs)));
        }
        for (to, form) in &effects.forms {
            let to = show_node(to.index());
            self.say(Some(form.partition), || format!("{me} -> {to}: {}", show_form(form)));
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
    let key = text(&entry.key);
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
        Persist::Session(session) => format!("session {session}"),
        Persist::Seal { epoch, .. } => format!("seal {epoch}"),
        Persist::Open { epoch, watermark, entries, .. } => {
            format!("open {epoch} above {watermark} {}", show_entries(entries))
        }
        Persist::Append { entry, .. } => format!("{} by {}", show_entry(entry), show_id(entry.id)),
        Persist::Watermark { up_to, .. } => format!("watermark {up_to}"),
    }
}

fn show_message(envelope: &Envelope) -> String {
    let epoch = envelope.epoch;
    let mut line = format!("e{epoch} ");
    let written = match &envelope.message {
        Message::Sealed { watermark, end, open } => {
            write!(line, "Sealed watermark {watermark} end {end} open {open}")
        }
        Message::SealRefused { used } => write!(line, "SealRefused used {used}"),
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
