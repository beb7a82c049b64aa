//! The rope that encoded bytes wait in until a socket or a file takes them.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::mem;

use bytes::{Buf, Bytes, BytesMut};

use crate::Sink;

/// Shared bytes from this length on are linked rather than copied: below it, copying costs less than one more
/// piece to hand to the operating system.
pub const LINKED_PIECE_MIN: usize = 4 * 1024;

/// Copied bytes gather in pieces of at most this length, so that a burst leaves no larger allocation behind.
pub const COPIED_PIECE_MAX: usize = 64 * 1024;

/// The first allocation for copied bytes: a connection that only ever sees short replies keeps no more.
const COPIED_PIECE_MIN: usize = 1024;

/// Places for pieces that an emptied rope keeps.
const RETAINED_PIECES_MAX: usize = 1024;

/// Encoded bytes on their way out.
///
/// Small pieces are copied into a growing tail, large shared ones are linked. [`OutBuffer::chunks`] gives the
/// pieces for a vectored write, [`OutBuffer::advance`] drops what was written.
///
/// Invariants: no piece is empty; `length` is the sum of the pieces and the tail.
#[derive(Debug, Default)]
pub struct OutBuffer {
    pieces: VecDeque<Piece>,
    /// Copied bytes that come after all pieces.
    tail: BytesMut,
    length: usize,
}

#[derive(Debug)]
enum Piece {
    Copied(BytesMut),
    Linked(Bytes),
}

impl Piece {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Copied(bytes) => bytes,
            Self::Linked(bytes) => bytes,
        }
    }

    fn advance(&mut self, count: usize) {
        match self {
            Self::Copied(bytes) => bytes.advance(count),
            Self::Linked(bytes) => bytes.advance(count),
        }
    }
}

/// Four bytes whose value is known only once what follows them is written.
#[derive(Debug)]
#[must_use = "the place holds no value before it is filled"]
pub(crate) struct Slot {
    /// How many pieces there were: if the tail has become a piece since, it is this one.
    pieces: usize,
    /// Where in the tail the four bytes begin.
    offset: usize,
}

impl OutBuffer {
    /// An empty rope, which allocates nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The number of bytes that wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Adds a copy of the bytes.
    pub fn put_slice(&mut self, bytes: &[u8]) {
        if self.tail.len() + bytes.len() > COPIED_PIECE_MAX {
            self.end_tail();
            if bytes.len() >= COPIED_PIECE_MAX {
                self.link(Bytes::copy_from_slice(bytes));
                return;
            }
        }
        if self.tail.capacity() - self.tail.len() < bytes.len() {
            self.tail.reserve(bytes.len().max(COPIED_PIECE_MIN));
        }
        self.tail.extend_from_slice(bytes);
        self.length += bytes.len();
    }

    /// Adds shared bytes: a link to them if there are [`LINKED_PIECE_MIN`] or more, else a copy.
    pub fn put_bytes(&mut self, bytes: &Bytes) {
        if bytes.len() < LINKED_PIECE_MIN {
            self.put_slice(bytes);
        } else {
            self.cut_tail();
            self.link(bytes.clone());
        }
    }

    /// Adds one byte.
    pub fn put_u8(&mut self, byte: u8) {
        self.put_slice(&[byte]);
    }

    /// Adds a number of two bytes, the least significant one first.
    pub fn put_u16(&mut self, number: u16) {
        self.put_slice(&number.to_le_bytes());
    }

    /// Adds a number of four bytes, the least significant one first.
    pub fn put_u32(&mut self, number: u32) {
        self.put_slice(&number.to_le_bytes());
    }

    /// Adds a number of eight bytes, the least significant one first.
    pub fn put_u64(&mut self, number: u64) {
        self.put_slice(&number.to_le_bytes());
    }

    /// Adds all that another rope holds, and empties that one.
    pub fn append(&mut self, other: &mut Self) {
        while let Some(piece) = other.pieces.pop_front() {
            if piece.bytes().len() < LINKED_PIECE_MIN {
                self.put_slice(piece.bytes());
            } else {
                self.cut_tail();
                self.length += piece.bytes().len();
                self.pieces.push_back(piece);
            }
        }
        if other.tail.len() < LINKED_PIECE_MIN {
            self.put_slice(&other.tail);
        } else {
            self.cut_tail();
            self.length += other.tail.len();
            self.pieces.push_back(Piece::Copied(mem::take(&mut other.tail)));
        }
        other.clear();
    }

    /// Fills `slices` with the bytes in front, as many as fit, and returns how many were filled.
    pub fn chunks<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let tail = (!self.tail.is_empty()).then_some(&self.tail[..]);
        let chunks = self.pieces.iter().map(Piece::bytes).chain(tail);
        let mut filled = 0;
        for (slice, chunk) in slices.iter_mut().zip(chunks) {
            *slice = IoSlice::new(chunk);
            filled += 1;
        }
        filled
    }

    /// Drops bytes in front: those that were written.
    ///
    /// # Panics
    /// When fewer bytes wait.
    pub fn advance(&mut self, mut count: usize) {
        assert!(count <= self.length, "only what waits can be dropped");
        self.length -= count;
        while count > 0
            && let Some(piece) = self.pieces.front_mut()
        {
            let length = piece.bytes().len();
            if count < length {
                return piece.advance(count);
            }
            count -= length;
            self.pieces.pop_front();
        }
        self.tail.advance(count);
        if self.length == 0 {
            self.clear();
        }
    }

    /// Drops everything.
    pub fn clear(&mut self) {
        self.length = 0;
        self.pieces.clear();
        self.pieces.shrink_to(RETAINED_PIECES_MAX);
        self.tail.clear();
    }

    /// Leaves room for a number of four bytes.
    pub(crate) fn reserve_u32(&mut self) -> Slot {
        self.put_u32(0);
        Slot { pieces: self.pieces.len(), offset: self.tail.len() - 4 }
    }

    /// Puts the number where room was left for it, the least significant byte first. Nothing may have been
    /// dropped since.
    pub(crate) fn fill_u32(&mut self, slot: Slot, number: u32) {
        let place = match self.pieces.get_mut(slot.pieces) {
            None => &mut self.tail,
            Some(Piece::Copied(bytes)) => bytes,
            Some(Piece::Linked(_)) => unreachable!("a tail with four bytes in it becomes a copied piece"),
        };
        place[slot.offset..slot.offset + 4].copy_from_slice(&number.to_le_bytes());
    }

    fn link(&mut self, bytes: Bytes) {
        self.length += bytes.len();
        self.pieces.push_back(Piece::Linked(bytes));
    }

    /// Makes a piece of the tail, and goes on in what is left of its allocation.
    fn cut_tail(&mut self) {
        if !self.tail.is_empty() {
            self.pieces.push_back(Piece::Copied(self.tail.split()));
        }
    }

    /// Makes a piece of the tail, and lets go of its allocation.
    fn end_tail(&mut self) {
        if !self.tail.is_empty() {
            self.pieces.push_back(Piece::Copied(mem::take(&mut self.tail)));
        }
    }
}

impl Sink for OutBuffer {
    fn put_slice(&mut self, bytes: &[u8]) {
        Self::put_slice(self, bytes);
    }

    fn put_bytes(&mut self, bytes: &Bytes) {
        Self::put_bytes(self, bytes);
    }
}

impl Buf for OutBuffer {
    fn remaining(&self) -> usize {
        self.length
    }

    fn chunk(&self) -> &[u8] {
        self.pieces.front().map_or(&self.tail, Piece::bytes)
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        self.chunks(slices)
    }

    fn advance(&mut self, count: usize) {
        Self::advance(self, count);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn contents(out: &OutBuffer) -> Vec<u8> {
        let mut slices = vec![IoSlice::new(&[]); out.pieces.len() + 1];
        let filled = out.chunks(&mut slices);
        slices[..filled].iter().flat_map(|slice| slice.iter().copied()).collect()
    }

    fn large(byte: u8) -> Bytes {
        Bytes::from(vec![byte; LINKED_PIECE_MIN])
    }

    #[derive(Clone, Debug)]
    enum Step {
        Copy(usize),
        Link(usize),
        Append(Vec<(bool, usize)>),
        Advance(usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        let size = || prop_oneof![0..50_usize, 3_000..6_000_usize, 60_000..140_000_usize];
        prop_oneof![
            size().prop_map(Step::Copy),
            size().prop_map(Step::Link),
            proptest::collection::vec((any::<bool>(), size()), 0..4).prop_map(Step::Append),
            any::<usize>().prop_map(Step::Advance),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Whatever is done to it, a rope holds what a plain queue of bytes would hold.
        #[test]
        fn a_rope_is_a_queue_of_bytes(steps in proptest::collection::vec(step(), 0..20)) {
            let mut out = OutBuffer::new();
            let mut plain = Vec::new();
            let mut next = 0_u8;
            let mut bytes = |size: usize| {
                next = next.wrapping_add(1);
                (0..size).map(|index| next.wrapping_add(index as u8)).collect::<Vec<_>>()
            };
            let put = |bytes: Vec<u8>, link: bool, out: &mut OutBuffer, plain: &mut Vec<u8>| {
                plain.extend_from_slice(&bytes);
                if link { out.put_bytes(&Bytes::from(bytes)) } else { out.put_slice(&bytes) }
            };
            for step in steps {
                match step {
                    Step::Copy(size) => put(bytes(size), false, &mut out, &mut plain),
                    Step::Link(size) => put(bytes(size), true, &mut out, &mut plain),
                    Step::Append(pieces) => {
                        let mut other = OutBuffer::new();
                        for (link, size) in pieces {
                            put(bytes(size), link, &mut other, &mut plain);
                        }
                        out.append(&mut other);
                        prop_assert!(other.is_empty() && contents(&other).is_empty());
                    }
                    Step::Advance(count) => {
                        let count = count % (plain.len() + 1);
                        out.advance(count);
                        plain.drain(..count);
                    }
                }
                prop_assert_eq!(out.len(), plain.len());
                prop_assert_eq!(out.is_empty(), plain.is_empty());
                prop_assert!(contents(&out) == plain);
                prop_assert!(out.pieces.iter().all(|piece| !piece.bytes().is_empty()));
            }
        }
    }

    #[test]
    fn large_bytes_are_linked_and_small_ones_copied() {
        let mut out = OutBuffer::new();
        let (small, large) = (Bytes::from(vec![1; LINKED_PIECE_MIN - 1]), large(2));
        out.put_bytes(&small);
        out.put_bytes(&large);
        out.put_slice(b"end");
        let mut slices = [IoSlice::new(&[]); 4];
        assert_eq!(out.chunks(&mut slices), 3);
        assert_ne!(slices[0].as_ptr(), small.as_ptr());
        assert_eq!(slices[1].as_ptr(), large.as_ptr());
        assert_eq!(&*slices[2], b"end");
    }

    #[test]
    fn no_more_slices_are_filled_than_there_are() {
        let mut out = OutBuffer::new();
        (0..5).for_each(|byte| out.put_bytes(&large(byte)));
        let mut slices = [IoSlice::new(&[]); 3];
        assert_eq!(out.chunks(&mut slices), 3);
        assert_eq!(out.chunks(&mut []), 0);
        assert_eq!(Buf::chunk(&out), &large(0));
    }

    #[test]
    fn numbers_are_little_endian() {
        let mut out = OutBuffer::new();
        out.put_u8(1);
        out.put_u16(0x0203);
        out.put_u32(0x0405_0607);
        out.put_u64(0x0809_0a0b_0c0d_0e0f);
        assert_eq!(contents(&out), b"\x01\x03\x02\x07\x06\x05\x04\x0f\x0e\x0d\x0c\x0b\x0a\x09\x08");
    }

    #[test]
    fn a_number_is_filled_in_wherever_its_place_went() {
        for (before, linked) in
            [(0, 0), (10, 0), (0, 1), (10, 2), (COPIED_PIECE_MAX - 2, 1), (COPIED_PIECE_MAX, 0)]
        {
            let mut out = OutBuffer::new();
            out.put_slice(&vec![9; before]);
            let slot = out.reserve_u32();
            (0..linked).for_each(|_| out.put_bytes(&large(7)));
            out.put_slice(b"end");
            out.fill_u32(slot, 0x0102_0304);
            assert_eq!(contents(&out)[before..before + 4], [4, 3, 2, 1], "{before} {linked}");
        }
    }

    /// A slow reader's burst must not cost memory for the rest of the connection.
    #[test]
    fn a_burst_leaves_little_behind() {
        let mut out = OutBuffer::new();
        for _ in 0..100_000 {
            out.put_slice(&[1; 100]);
            out.put_bytes(&large(2));
        }
        out.put_slice(&vec![3; 10_000_000]);
        out.advance(out.len());
        assert!(out.tail.capacity() <= 2 * COPIED_PIECE_MAX, "{}", out.tail.capacity());
        assert!(out.pieces.capacity() <= 2 * RETAINED_PIECES_MAX, "{}", out.pieces.capacity());
    }

    #[test]
    fn short_replies_reuse_one_small_allocation() {
        let mut out = OutBuffer::new();
        for _ in 0..10_000 {
            out.put_slice(&[1; 200]);
            out.advance(150);
            out.put_slice(&[2; 100]);
            out.advance(150);
        }
        assert!(out.tail.capacity() <= 2 * COPIED_PIECE_MIN, "{}", out.tail.capacity());
    }

    #[test]
    #[should_panic(expected = "only what waits can be dropped")]
    fn more_than_waits_cannot_be_dropped() {
        OutBuffer::new().advance(1);
    }
}
