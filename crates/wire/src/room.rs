//! Room in a read buffer for something large whose length is known.
//!
//! The length was announced by the other side, so it earns an allocation only step by step: a first one of
//! fixed size, then as much again as has really arrived. Each byte is copied twice at most on the way, and a
//! header alone costs next to nothing.

use bytes::BytesMut;

/// The most that is reserved for an announcement of which nothing has arrived. Also the size from which a
/// received piece is worth an allocation of its own.
pub(crate) const ROOM_FIRST: usize = 256 * 1024;

/// As long as there is so much room, the next read makes progress without more.
const ROOM_MIN: usize = 4 * 1024;

/// Makes room for some of the missing bytes.
pub(crate) fn make_room(buffer: &mut BytesMut, missing: usize) {
    let spare = buffer.capacity() - buffer.len();
    if spare < missing.min(ROOM_MIN) {
        buffer.reserve(missing.min(buffer.len().max(ROOM_FIRST)));
    }
}

/// To be called when a piece was cut off the buffer: the buffer lets go of the allocation of a large one, so
/// that it does not keep as much memory as the largest piece ever took.
pub(crate) fn let_go_after(cut: usize, buffer: &mut BytesMut) {
    if cut >= ROOM_FIRST && buffer.len() < ROOM_FIRST {
        *buffer = BytesMut::from(&buffer[..]);
    }
}
