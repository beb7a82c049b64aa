//! Messages about a partition, and the forms of its chain.

use bytes::Bytes;
use simpledynamo_chain::{Envelope, Message, Refusal};
use simpledynamo_topology::{Epoch, Form, Member, NodeId, PartitionId, Session};

use super::operation::{get_operation, put_operation};
use super::query::{get_query, get_reading, put_query, put_reading};
use crate::OutBuffer;
use crate::codec::{
    DecodeError, get_bytes, get_count, get_entries, get_op_id, get_reply, get_u8, get_u16, get_u32, get_u64,
    get_version, put_bytes, put_count, put_entries, put_op_id, put_reply, put_u64, put_version,
};

/// The fewest bytes that a member takes: node, session.
const MEMBER_SIZE_MIN: usize = 2;

/// The byte in front of a message's fields.
mod message_kind {
    pub(super) const SEALED: u8 = 1;
    pub(super) const SEAL_REFUSED: u8 = 2;
    pub(super) const OPEN: u8 = 3;
    pub(super) const APPEND: u8 = 4;
    pub(super) const DURABLE: u8 = 5;
    pub(super) const WATERMARK: u8 = 6;
    pub(super) const WRITE: u8 = 7;
    pub(super) const WRITE_DONE: u8 = 8;
    pub(super) const WRITE_REFUSED: u8 = 9;
    pub(super) const WRITE_FORGOTTEN: u8 = 10;
    pub(super) const READ: u8 = 11;
    pub(super) const READ_DONE: u8 = 12;
    pub(super) const READ_REFUSED: u8 = 13;
}

pub(super) fn put_member(member: Member, out: &mut OutBuffer) {
    put_u64(member.node.0.into(), out);
    put_u64(member.session.0, out);
}

pub(super) fn get_member(input: &mut Bytes) -> Result<Member, DecodeError> {
    Ok(Member { node: NodeId(get_u16(input, "a node's number")?), session: Session(get_u64(input)?) })
}

pub(super) fn put_form(form: &Form, out: &mut OutBuffer) {
    let Form { partition, epoch, members } = form;
    put_u64(partition.0.into(), out);
    put_u64(epoch.0, out);
    put_count(members.len(), out);
    for member in members {
        put_member(*member, out);
    }
}

/// Reads a form, and checks what everybody relies on: it has members, and no node twice.
pub(super) fn get_form(input: &mut Bytes) -> Result<Form, DecodeError> {
    let partition = get_partition(input)?;
    let epoch = Epoch(get_u64(input)?);
    let count = get_count(input, MEMBER_SIZE_MIN)?;
    let mut form = Form { partition, epoch, members: Vec::with_capacity(count) };
    for _ in 0..count {
        let member = get_member(input)?;
        if form.position(member.node).is_some() {
            return Err(DecodeError::Order { what: "the members of a chain" });
        }
        form.members.push(member);
    }
    if form.members.is_empty() {
        return Err(DecodeError::Order { what: "the members of a chain" });
    }
    Ok(form)
}

fn get_partition(input: &mut Bytes) -> Result<PartitionId, DecodeError> {
    get_u16(input, "a partition's number").map(PartitionId)
}

pub(super) fn put_envelope(envelope: &Envelope, out: &mut OutBuffer) {
    let Envelope { partition, epoch, from, to, message } = envelope;
    put_u64(partition.0.into(), out);
    put_u64(epoch.0, out);
    put_member(*from, out);
    put_member(*to, out);
    put_message(message, out);
}

pub(super) fn get_envelope(input: &mut Bytes) -> Result<Envelope, DecodeError> {
    Ok(Envelope {
        partition: get_partition(input)?,
        epoch: Epoch(get_u64(input)?),
        from: get_member(input)?,
        to: get_member(input)?,
        message: get_message(input)?,
    })
}

fn put_message(message: &Message, out: &mut OutBuffer) {
    match message {
        Message::Sealed { watermark, end, open } => {
            out.put_u8(message_kind::SEALED);
            put_u64(*watermark, out);
            put_u64(*end, out);
            put_u64(open.0, out);
        }
        Message::SealRefused { used } => {
            out.put_u8(message_kind::SEAL_REFUSED);
            put_u64(used.0, out);
        }
        Message::Open { watermark, entries, durable } => {
            out.put_u8(message_kind::OPEN);
            put_u64(*watermark, out);
            put_u64(*durable, out);
            put_entries(entries, out);
        }
        Message::Append { entries, durable } => {
            out.put_u8(message_kind::APPEND);
            put_u64(*durable, out);
            put_entries(entries, out);
        }
        Message::Durable { up_to } => {
            out.put_u8(message_kind::DURABLE);
            put_u64(*up_to, out);
        }
        Message::Watermark { up_to } => {
            out.put_u8(message_kind::WATERMARK);
            put_u64(*up_to, out);
        }
        Message::Write { .. }
        | Message::WriteDone { .. }
        | Message::WriteRefused { .. }
        | Message::WriteForgotten { .. } => put_write_message(message, out),
        Message::Read { .. } | Message::ReadDone { .. } | Message::ReadRefused { .. } => {
            put_read_message(message, out);
        }
    }
}

/// Writes what coordinators and members say about writes.
fn put_write_message(message: &Message, out: &mut OutBuffer) {
    match message {
        Message::Write { id, copy, floor, key, operation } => {
            out.put_u8(message_kind::WRITE);
            put_op_id(*id, out);
            put_u64((*copy).into(), out);
            put_u64(*floor, out);
            put_bytes(key, out);
            put_operation(operation, out);
        }
        Message::WriteDone { id, version, reply } => {
            out.put_u8(message_kind::WRITE_DONE);
            put_op_id(*id, out);
            put_version(*version, out);
            put_reply(reply, out);
        }
        Message::WriteRefused { id, copy, refusal } => {
            out.put_u8(message_kind::WRITE_REFUSED);
            put_op_id(*id, out);
            put_u64((*copy).into(), out);
            put_refusal(*refusal, out);
        }
        Message::WriteForgotten { id } => {
            out.put_u8(message_kind::WRITE_FORGOTTEN);
            put_op_id(*id, out);
        }
        other => unreachable!("{other:?} is not about a write"),
    }
}

/// Writes what coordinators and members say about reads.
fn put_read_message(message: &Message, out: &mut OutBuffer) {
    match message {
        Message::Read { id, query } => {
            out.put_u8(message_kind::READ);
            put_u64(*id, out);
            put_query(query, out);
        }
        Message::ReadDone { id, reading } => {
            out.put_u8(message_kind::READ_DONE);
            put_u64(*id, out);
            put_reading(reading, out);
        }
        Message::ReadRefused { id, refusal } => {
            out.put_u8(message_kind::READ_REFUSED);
            put_u64(*id, out);
            put_refusal(*refusal, out);
        }
        other => unreachable!("{other:?} is not about a read"),
    }
}

fn get_message(input: &mut Bytes) -> Result<Message, DecodeError> {
    Ok(match get_u8(input)? {
        message_kind::SEALED => {
            Message::Sealed { watermark: get_u64(input)?, end: get_u64(input)?, open: Epoch(get_u64(input)?) }
        }
        message_kind::SEAL_REFUSED => Message::SealRefused { used: Epoch(get_u64(input)?) },
        message_kind::OPEN => Message::Open {
            watermark: get_u64(input)?,
            durable: get_u64(input)?,
            entries: get_entries(input)?,
        },
        message_kind::APPEND => Message::Append { durable: get_u64(input)?, entries: get_entries(input)? },
        message_kind::DURABLE => Message::Durable { up_to: get_u64(input)? },
        message_kind::WATERMARK => Message::Watermark { up_to: get_u64(input)? },
        message_kind::WRITE => Message::Write {
            id: get_op_id(input)?,
            copy: get_copy(input)?,
            floor: get_u64(input)?,
            key: get_bytes(input)?,
            operation: get_operation(input)?,
        },
        message_kind::WRITE_DONE => Message::WriteDone {
            id: get_op_id(input)?,
            version: get_version(input)?,
            reply: get_reply(input)?,
        },
        message_kind::WRITE_REFUSED => Message::WriteRefused {
            id: get_op_id(input)?,
            copy: get_copy(input)?,
            refusal: get_refusal(input)?,
        },
        message_kind::WRITE_FORGOTTEN => Message::WriteForgotten { id: get_op_id(input)? },
        message_kind::READ => Message::Read { id: get_u64(input)?, query: get_query(input)? },
        message_kind::READ_DONE => Message::ReadDone { id: get_u64(input)?, reading: get_reading(input)? },
        message_kind::READ_REFUSED => {
            Message::ReadRefused { id: get_u64(input)?, refusal: get_refusal(input)? }
        }
        tag => return Err(DecodeError::Kind { what: "a message", tag }),
    })
}

fn get_copy(input: &mut Bytes) -> Result<u32, DecodeError> {
    get_u32(input, "the number of a write's copy")
}

fn put_refusal(refusal: Refusal, out: &mut OutBuffer) {
    out.put_u8(match refusal {
        Refusal::NotServing => 0,
        Refusal::ChainBroken => 1,
        Refusal::Overloaded => 2,
        Refusal::Unreachable => 3,
    });
}

fn get_refusal(input: &mut Bytes) -> Result<Refusal, DecodeError> {
    Ok(match get_u8(input)? {
        0 => Refusal::NotServing,
        1 => Refusal::ChainBroken,
        2 => Refusal::Overloaded,
        3 => Refusal::Unreachable,
        tag => return Err(DecodeError::Kind { what: "a refusal", tag }),
    })
}
