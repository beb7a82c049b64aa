//! The lines of the store's files.
//!
//! A line is `checksum length text`: the CRC-32 of the text in eight hexadecimal digits, its length in bytes, and the
//! text, which is JSON and so holds no line break. A line is synced before the next one is written. So only the last
//! one can be torn, and a bad line with a good one after it is damage.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::ControlId;
use crate::types::{Entry, LogId, Vote};

/// The format that this code reads and writes.
pub(crate) const FORMAT: u32 = 1;

/// What a file belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Head {
    /// The format of what follows.
    pub(crate) format: u32,
    /// The ring.
    pub(crate) ring: String,
    /// The voter or learner whose file it is.
    pub(crate) owner: ControlId,
}

/// One change of the log or the vote. A line of the log file carries a list of them, which take effect together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Record {
    /// Begins the file.
    Head(Head),
    /// The vote is this one now.
    Vote(Vote),
    /// An entry is appended.
    Entry(Entry),
    /// The entries from this index on are dropped.
    Truncate(u64),
    /// The entries up to this one are dropped: a snapshot holds what they did.
    Purge(LogId),
    /// All up to this one is committed.
    Committed(LogId),
}

/// Encodes one line.
pub(crate) fn encode(value: &impl Serialize) -> Vec<u8> {
    let text = serde_json::to_vec(value)
        .expect("a record has no map keys but texts, and writing to memory succeeds");
    line_of(&text)
}

/// The line that carries a text.
pub(crate) fn line_of(text: &[u8]) -> Vec<u8> {
    let mut line = format!("{:08x} {} ", crc32fast::hash(text), text.len()).into_bytes();
    line.extend_from_slice(text);
    line.push(b'\n');
    line
}

/// The text of a line that is whole.
fn text_of(line: &[u8]) -> Option<&[u8]> {
    let (checksum, rest) = line.strip_suffix(b"\n")?.split_at_checked(8)?;
    let rest = rest.strip_prefix(b" ")?;
    let space = rest.iter().take(20).position(|&byte| byte == b' ')?;
    let (length, text) = (&rest[..space], &rest[space + 1..]);
    let number = |digits| std::str::from_utf8(digits).ok();
    let has_length = number(length)?.parse() == Ok(text.len());
    let is_whole = has_length && u32::from_str_radix(number(checksum)?, 16) == Ok(crc32fast::hash(text));
    is_whole.then_some(text)
}

/// Whether a whole line ends where this one does: then this one begins with one that lost its end.
fn swallows_another(line: &[u8]) -> bool {
    (1..line.len()).any(|start| text_of(&line[start..]).is_some())
}

/// What a file's bytes say.
#[derive(Debug)]
pub(crate) struct Scan<T> {
    /// The values of its good lines, each with the offset of its line.
    pub(crate) lines: Vec<(usize, T)>,
    /// Where the good lines end; what follows is a torn line.
    pub(crate) end: usize,
}

/// Decodes the lines of a file.
///
/// # Errors
/// With the offset of a line that is damaged: good ones follow, or it is whole but says nothing we know.
pub(crate) fn scan<T: DeserializeOwned>(bytes: &[u8]) -> Result<Scan<T>, usize> {
    let mut lines = Vec::new();
    let mut end = 0;
    let mut rest = bytes.split_inclusive(|&byte| byte == b'\n');
    while let Some(line) = rest.next() {
        let Some(text) = text_of(line) else {
            if swallows_another(line) || rest.any(|line| text_of(line).is_some()) {
                return Err(end);
            }
            break;
        };
        lines.push((end, serde_json::from_slice(text).map_err(|_| end)?));
        end += line.len();
    }
    Ok(Scan { lines, end })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> Vec<u8> {
        [encode(&1), encode(&2), encode(&3)].concat()
    }

    #[test]
    fn reads_what_was_written() {
        let scan = scan::<u32>(&file()).unwrap();
        assert_eq!(scan.lines.iter().map(|(_, value)| *value).collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!(scan.end, file().len());
    }

    #[test]
    fn any_torn_end_is_cut_off() {
        let whole = file();
        let last = encode(&3).len();
        for length in whole.len() - last..whole.len() {
            let scan = scan::<u32>(&whole[..length]).unwrap();
            assert_eq!((scan.lines.len(), scan.end), (2, whole.len() - last), "length {length}");
        }
    }

    #[test]
    fn a_bad_last_line_is_cut_off_and_an_earlier_one_is_damage() {
        let last = file().len() - encode(&3).len();
        for at in 0..file().len() {
            let mut bytes = file();
            bytes[at] ^= 0x10;
            match scan::<u32>(&bytes) {
                Ok(scan) => assert!(at >= last && scan.end == last, "byte {at}"),
                Err(offset) => assert!(at < last && offset <= at, "byte {at}, offset {offset}"),
            }
        }
    }

    #[test]
    fn a_whole_line_that_says_nothing_known_is_damage() {
        let bytes = [encode(&1), encode(&"x")].concat();
        assert_eq!(scan::<u32>(&bytes).unwrap_err(), encode(&1).len());
    }
}
