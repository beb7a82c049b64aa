//! Reading replies without keeping them.
//!
//! A load generator wants to know how many replies have come and whether they are errors or nothing. So the bytes of a
//! value are passed over, not gathered, and the buffer need not hold a reply as a whole.
//!
//! Left out: aggregates and RESP3's own types, which answer neither `GET` nor `SET` on a connection that has not asked
//! for them.

use std::io;

use crate::client::Answer;

/// The longest line of a reply, in bytes: a status, an error, a number or a length.
pub(crate) const LINE_MAX: usize = 16 * 1024;

/// Passes over the replies of a server, one after the other.
#[derive(Debug, Default)]
pub(crate) struct Skim {
    /// Bytes of a value, its line end included, that have not come yet.
    value_left: usize,
}

/// What was found at the front of some bytes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Skimmed<'a> {
    /// The end of a reply.
    Reply(Answer<'a>),
    /// More must be read first.
    Unfinished,
}

impl Skim {
    /// Passes over the next reply, and returns how many bytes it took of these. What it did not take must be at the
    /// front of the bytes next time.
    ///
    /// # Errors
    /// When it is no reply to `GET` or `SET`. The connection cannot be read any further.
    pub(crate) fn next<'a>(&mut self, bytes: &'a [u8]) -> io::Result<(usize, Skimmed<'a>)> {
        if self.value_left > 0 {
            return self.pass_value(bytes, 0);
        }
        let Some(end) = line_end(bytes) else {
            return if bytes.len() > LINE_MAX {
                Err(invalid("a line is too long"))
            } else {
                Ok((0, Skimmed::Unfinished))
            };
        };
        let [kind, text @ .., b'\r'] = &bytes[..end] else {
            return Err(invalid("a line does not end with a carriage return and a line feed"));
        };
        let answer = match kind {
            b'$' if text == b"-1" => Answer::Missing,
            b'$' => {
                self.value_left = length(text).ok_or_else(|| invalid("a length is not one"))?;
                return self.pass_value(bytes, end + 1);
            }
            b'+' | b':' => Answer::Done,
            b'-' => Answer::Error(text),
            _ => return Err(invalid("it answers neither GET nor SET")),
        };
        Ok((end + 1, Skimmed::Reply(answer)))
    }

    /// Passes over what has come of a value, from `from` on.
    fn pass_value<'a>(&mut self, bytes: &[u8], from: usize) -> io::Result<(usize, Skimmed<'a>)> {
        let present = self.value_left.min(bytes.len() - from);
        self.value_left -= present;
        let taken = from + present;
        if self.value_left > 0 {
            return Ok((taken, Skimmed::Unfinished));
        }
        // Of the line end, the carriage return may have come before.
        if bytes[taken - 1] != b'\n' {
            return Err(invalid("a value is longer than announced"));
        }
        Ok((taken, Skimmed::Reply(Answer::Done)))
    }
}

/// The place of the first line feed. Lines of replies are short, so a plain search is as fast as any.
fn line_end(bytes: &[u8]) -> Option<usize> {
    bytes.iter().position(|byte| *byte == b'\n')
}

/// The bytes that a value of this length takes with its line end.
fn length(text: &[u8]) -> Option<usize> {
    if text.is_empty() {
        return None;
    }
    let digits = text.iter().try_fold(0usize, |number, digit| {
        let digit = digit.is_ascii_digit().then(|| usize::from(digit - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })?;
    digits.checked_add(2)
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the server's reply is invalid: {what}"))
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use simpledynamo_wire::resp::{ReplyDecoder, Value};

    use super::*;

    /// An answer without its bytes.
    #[derive(Debug, PartialEq)]
    enum Owned {
        Done,
        Missing,
        Error(Vec<u8>),
    }

    /// Feeds the bytes in pieces of at most `piece`, as they might arrive.
    fn skimmed(stream: &[u8], piece: usize) -> io::Result<Vec<Owned>> {
        let mut skim = Skim::default();
        let (mut buffer, mut answers) = (Vec::new(), Vec::new());
        for bytes in stream.chunks(piece) {
            buffer.extend_from_slice(bytes);
            loop {
                let (taken, found) = skim.next(&buffer)?;
                let answer = match found {
                    Skimmed::Reply(Answer::Done) => Some(Owned::Done),
                    Skimmed::Reply(Answer::Missing) => Some(Owned::Missing),
                    Skimmed::Reply(Answer::Error(text)) => Some(Owned::Error(text.to_vec())),
                    Skimmed::Unfinished => None,
                };
                buffer.drain(..taken);
                let Some(answer) = answer else { break };
                answers.push(answer);
            }
        }
        assert!(buffer.is_empty(), "nothing is left over");
        Ok(answers)
    }

    fn decoded(stream: &[u8]) -> Vec<Owned> {
        let (mut buffer, mut decoder) = (BytesMut::from(stream), ReplyDecoder::new(1, 1 << 20));
        std::iter::from_fn(|| decoder.decode(&mut buffer).expect("well formed"))
            .map(|value| match value {
                Value::Null => Owned::Missing,
                Value::Error(text) => Owned::Error(text.as_bytes().to_vec()),
                _ => Owned::Done,
            })
            .collect()
    }

    #[test]
    fn sees_what_the_decoder_sees_however_the_stream_is_cut() {
        let long = "x".repeat(1000);
        let stream = format!(
            "+OK\r\n$5\r\nhello\r\n$-1\r\n-UNAVAILABLE no lease\r\n$0\r\n\r\n:17\r\n$1000\r\n{long}\r\n\
             $8\r\n\r\n+OK\r\n\r\r\n$-1\r\n-ERR\r\n+\r\n"
        );
        let expected = decoded(stream.as_bytes());
        assert_eq!(expected.len(), 11);
        for piece in [1, 2, 3, 5, 7, 64, 999, 1000, 1001, stream.len()] {
            assert_eq!(
                skimmed(stream.as_bytes(), piece).expect("well formed"),
                expected,
                "pieces of {piece}"
            );
        }
    }

    #[test]
    fn what_is_no_reply_is_refused() {
        for stream in [
            "*0\r\n",
            "OK\r\n",
            "\r\n",
            "+OK\n",
            "$\r\n",
            "$-2\r\n",
            "$1x\r\n",
            "$2\r\nabcd\r\n",
            "$99999999999999999999999\r\n",
            "$18446744073709551615\r\n",
        ] {
            let error = skimmed(stream.as_bytes(), stream.len()).expect_err(stream);
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{stream:?}");
        }
        let endless = vec![b'+'; LINE_MAX + 1];
        assert!(skimmed(&endless, endless.len()).is_err());
    }
}
