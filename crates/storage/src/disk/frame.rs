//! Frames: the units in which a log is there or is not.
//!
//! ```text
//! u32  length of the body; 0 is no frame
//! u32  CRC-32 of everything else in the frame, begun with the segment's seed
//! u64  number; rises by one through all segments
//! u64  number of the last frame that was durable when this one was written
//! ...  body
//! ```
//!
//! Numbers have the least significant byte first. The seed comes from the store's uuid and the segment's
//! number, so that neither a frame of another file nor a value that looks like one is taken for a frame.
//!
//! The last number tells a torn end from damage. Frames that were written but not yet durable when power
//! failed may be missing in any combination. But a later frame that names a missing one as durable proves
//! that it was on the disk, and is no more.

use bytes::Bytes;

/// Bytes before the body.
pub(crate) const HEAD: usize = 24;

/// The longest body, in bytes: more than the largest batch that a writer gathers, and small enough that a
/// damaged length is mostly noticed at once.
pub(crate) const BODY_MAX: usize = 1 << 30;

/// A frame that was read.
#[derive(Debug)]
pub(crate) struct Frame {
    /// The number of the frame.
    pub(crate) number: u64,
    /// The number of the last frame that was durable when this one was written.
    pub(crate) durable: u64,
    /// What it holds.
    pub(crate) body: Bytes,
}

/// What the checksums of a segment begin with.
pub(crate) fn seed(uuid: [u8; 16], segment: u64) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&uuid);
    hasher.update(&segment.to_le_bytes());
    hasher.finalize()
}

/// Fills in the first bytes of a frame, whose body follows them.
///
/// # Panics
/// When the body is empty or longer than [`BODY_MAX`].
pub(crate) fn seal(frame: &mut [u8], seed: u32, number: u64, durable: u64) {
    let length = frame.len() - HEAD;
    assert!(0 < length && length <= BODY_MAX, "a frame holds something, and a writer's batches are bounded");
    let length = u32::try_from(length).expect("it is at most 2^30");
    frame[..4].copy_from_slice(&length.to_le_bytes());
    frame[8..16].copy_from_slice(&number.to_le_bytes());
    frame[16..HEAD].copy_from_slice(&durable.to_le_bytes());
    let sum = checksum(frame, seed);
    frame[4..8].copy_from_slice(&sum.to_le_bytes());
}

/// The length on disk that the head of a frame announces, if the bytes begin with one.
pub(crate) fn length(bytes: &[u8]) -> Option<usize> {
    let head = bytes.get(..HEAD)?;
    let length = usize::try_from(u32_at(head, 0)).ok()?;
    (0 < length && length <= BODY_MAX).then_some(HEAD + length)
}

/// Reads the frame at the start of the bytes, if there is one whose number lies in the given range. Returns
/// it with its length on disk.
pub(crate) fn read(
    bytes: &[u8],
    seed: u32,
    numbers: std::ops::RangeInclusive<u64>,
) -> Option<(Frame, usize)> {
    let length = length(bytes)?;
    let (number, durable) = (u64_at(bytes, 8), u64_at(bytes, 16));
    if !numbers.contains(&number) || durable >= number {
        return None;
    }
    let frame = bytes.get(..length)?;
    if checksum(frame, seed) != u32_at(bytes, 4) {
        return None;
    }
    // A copy, so that an entry that is kept does not keep the whole segment in memory.
    let body = Bytes::copy_from_slice(&frame[HEAD..]);
    Some((Frame { number, durable, body }, frame.len()))
}

fn checksum(frame: &[u8], seed: u32) -> u32 {
    let mut hasher = crc32fast::Hasher::new_with_initial(seed);
    hasher.update(&frame[..4]);
    hasher.update(&frame[8..]);
    hasher.finalize()
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}
