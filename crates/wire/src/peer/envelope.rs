//! Messages about a partition.

use std::sync::Arc;

use bytes::Bytes;
use simpledynamo_chain::{Envelope, Message, Refusal};
use simpledynamo_topology::{Epoch, Member, NodeId, PartitionId, Session};

use super::operation::{get_operation, put_operation};
use super::query::{get_query, get_reading, put_query, put_reading};
use crate::OutBuffer;
use crate::codec::{
    DecodeError, get_base, get_bool, get_bytes, get_copy_page, get_entries, get_op_id, get_option, get_reply,
    get_u8, get_u16, get_u32, get_u64, get_version, put_base, put_bool, put_bytes, put_copy_page,
    put_entries, put_op_id, put_option, put_reply, put_u64, put_version,
};

/// The byte in front of a message's fields.
mod message_kind {
    pub(super) const GATHER: u8 = 1;
    pub(super) const SEALED: u8 = 2;
    pub(super) const LACKING: u8 = 3;
    pub(super) const OPEN: u8 = 4;
    pub(super) const APPEND: u8 = 5;
    pub(super) const DURABLE: u8 = 6;
    pub(super) const WATERMARK: u8 = 7;
    pub(super) const JOIN: u8 = 8;
    pub(super) const ATTACH: u8 = 9;
    pub(super) const SHIP: u8 = 10;
    pub(super) const STORED: u8 = 11;
    pub(super) const PAGE: u8 = 12;
    pub(super) const PAGE_STORED: u8 = 13;
    pub(super) const WRITE: u8 = 14;
    pub(super) const WRITE_DONE: u8 = 15;
    pub(super) const WRITE_REFUSED: u8 = 16;
    pub(super) const WRITE_FORGOTTEN: u8 = 17;
    pub(super) const READ: u8 = 18;
    pub(super) const READ_DONE: u8 = 19;
    pub(super) const READ_REFUSED: u8 = 20;
}

fn put_member(member: Member, out: &mut OutBuffer) {
    put_u64(member.node.0.into(), out);
    put_u64(member.session.0, out);
}

fn get_member(input: &mut Bytes) -> Result<Member, DecodeError> {
    Ok(Member { node: NodeId(get_u16(input, "a node's number")?), session: Session(get_u64(input)?) })
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
        Message::Gather => out.put_u8(message_kind::GATHER),
        Message::Sealed { watermark, end } => {
            out.put_u8(message_kind::SEALED);
            put_u64(*watermark, out);
            put_u64(*end, out);
        }
        Message::Lacking { watermark } => {
            out.put_u8(message_kind::LACKING);
            put_u64(*watermark, out);
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
        Message::Join { .. }
        | Message::Attach { .. }
        | Message::Ship { .. }
        | Message::Stored { .. }
        | Message::Page { .. }
        | Message::PageStored { .. } => put_recovery_message(message, out),
        Message::Write { .. }
        | Message::WriteDone { .. }
        | Message::WriteRefused { .. }
        | Message::WriteForgotten { .. } => put_write_message(message, out),
        Message::Read { .. } | Message::ReadDone { .. } | Message::ReadRefused { .. } => {
            put_read_message(message, out);
        }
    }
}

/// Writes what tails and joiners say.
fn put_recovery_message(message: &Message, out: &mut OutBuffer) {
    match message {
        Message::Join { attachment, held } => {
            out.put_u8(message_kind::JOIN);
            put_option(attachment.as_ref(), out, |attachment, out| put_u64(*attachment, out));
            put_option(held.as_ref(), out, |held, out| put_version(*held, out));
        }
        Message::Attach { attachment, is_copy } => {
            out.put_u8(message_kind::ATTACH);
            put_u64(*attachment, out);
            put_bool(*is_copy, out);
        }
        Message::Ship { attachment, entries, watermark } => {
            out.put_u8(message_kind::SHIP);
            put_u64(*attachment, out);
            put_u64(*watermark, out);
            put_entries(entries, out);
        }
        Message::Stored { attachment, up_to } => {
            out.put_u8(message_kind::STORED);
            put_u64(*attachment, out);
            put_u64(*up_to, out);
        }
        Message::Page { attachment, page, base } => {
            out.put_u8(message_kind::PAGE);
            put_u64(*attachment, out);
            put_copy_page(page, out);
            put_option(base.as_deref(), out, put_base);
        }
        Message::PageStored { attachment, number } => {
            out.put_u8(message_kind::PAGE_STORED);
            put_u64(*attachment, out);
            put_u64((*number).into(), out);
        }
        other => unreachable!("{other:?} is not about recovery"),
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
        message_kind::GATHER => Message::Gather,
        message_kind::SEALED => Message::Sealed { watermark: get_u64(input)?, end: get_u64(input)? },
        message_kind::LACKING => Message::Lacking { watermark: get_u64(input)? },
        message_kind::OPEN => Message::Open {
            watermark: get_u64(input)?,
            durable: get_u64(input)?,
            entries: get_entries(input)?,
        },
        message_kind::APPEND => Message::Append { durable: get_u64(input)?, entries: get_entries(input)? },
        message_kind::DURABLE => Message::Durable { up_to: get_u64(input)? },
        message_kind::WATERMARK => Message::Watermark { up_to: get_u64(input)? },
        kind @ message_kind::JOIN..=message_kind::PAGE_STORED => get_recovery_message(kind, input)?,
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

fn get_recovery_message(kind: u8, input: &mut Bytes) -> Result<Message, DecodeError> {
    Ok(match kind {
        message_kind::JOIN => Message::Join {
            attachment: get_option(input, "the attachment of a joiner", get_u64)?,
            held: get_option(input, "what a joiner holds", get_version)?,
        },
        message_kind::ATTACH => Message::Attach {
            attachment: get_u64(input)?,
            is_copy: get_bool(input, "whether the data is copied")?,
        },
        message_kind::SHIP => Message::Ship {
            attachment: get_u64(input)?,
            watermark: get_u64(input)?,
            entries: get_entries(input)?,
        },
        message_kind::STORED => Message::Stored { attachment: get_u64(input)?, up_to: get_u64(input)? },
        message_kind::PAGE => Message::Page {
            attachment: get_u64(input)?,
            page: Arc::new(get_copy_page(input)?),
            base: get_option(input, "what a log had come to", get_base)?.map(Arc::new),
        },
        message_kind::PAGE_STORED => Message::PageStored {
            attachment: get_u64(input)?,
            number: get_u32(input, "the number of a page")?,
        },
        tag => return Err(DecodeError::Kind { what: "a message about recovery", tag }),
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
        Refusal::NoLease => 4,
    });
}

fn get_refusal(input: &mut Bytes) -> Result<Refusal, DecodeError> {
    Ok(match get_u8(input)? {
        0 => Refusal::NotServing,
        1 => Refusal::ChainBroken,
        2 => Refusal::Overloaded,
        3 => Refusal::Unreachable,
        4 => Refusal::NoLease,
        tag => return Err(DecodeError::Kind { what: "a refusal", tag }),
    })
}
