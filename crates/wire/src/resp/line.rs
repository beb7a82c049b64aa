//! Finding the end of a line that arrives in pieces.

/// Remembers how much of an unfinished line was searched already.
#[derive(Debug, Default)]
pub(super) struct LineSearch {
    searched: usize,
}

/// What the search came to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// The line's end has not arrived.
    Unfinished,
    /// The line, its end or not, is longer than allowed.
    TooLong,
    /// The line feed stands at this index.
    End(usize),
}

impl LineSearch {
    /// Looks for the first line feed. `max` is the greatest length of the line without it.
    ///
    /// Until the end is found, the next call must pass the same bytes and those that came after them.
    pub(super) fn search(&mut self, bytes: &[u8], max: usize) -> Line {
        let unseen = &bytes[self.searched..];
        match unseen.iter().position(|byte| *byte == b'\n') {
            Some(index) => {
                let end = self.searched + index;
                self.searched = 0;
                if end > max { Line::TooLong } else { Line::End(end) }
            }
            None if bytes.len() > max => Line::TooLong,
            None => {
                self.searched = bytes.len();
                Line::Unfinished
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_search_goes_on_where_it_stopped() {
        let mut search = LineSearch::default();
        assert_eq!(search.search(b"ab", 10), Line::Unfinished);
        // What was searched before is not looked at again: this line feed would be found otherwise.
        assert_eq!(search.search(b"\n\nc", 10), Line::Unfinished);
        assert_eq!(search.search(b"abc\n", 10), Line::End(3));
        assert_eq!(search.search(b"\n", 10), Line::End(0), "the next line is searched from its start");
    }

    #[test]
    fn a_line_of_the_greatest_length_is_taken() {
        assert_eq!(LineSearch::default().search(b"abc\n", 3), Line::End(3));
        assert_eq!(LineSearch::default().search(b"abcd\n", 3), Line::TooLong);
        assert_eq!(LineSearch::default().search(b"abc", 3), Line::Unfinished);
        assert_eq!(LineSearch::default().search(b"abcd", 3), Line::TooLong);
    }
}
