//! Redis's glob patterns, as `KEYS`, `SCAN MATCH` and `CONFIG GET` take them.
//!
//! `*` is any run of bytes, `?` any one byte, `[abc]`, `[a-z]` and `[^a]` one byte of a class, and a backslash
//! takes the next byte literally. Patterns come from clients, so nothing here recurses, and the time is at
//! most the product of both lengths: after a mismatch only the last `*` is tried anew.

/// Whether the whole text matches the pattern.
#[must_use]
pub fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    // Where to go on after a mismatch: behind the last `*`, and one byte further in the text.
    let mut retry: Option<(usize, usize)> = None;
    loop {
        if pattern.get(p) == Some(&b'*') {
            p += 1;
            retry = Some((p, t));
            continue;
        }
        match (p < pattern.len(), text.get(t)) {
            (false, None) => return true,
            (true, Some(&byte)) => {
                let (matched, next) = matches_one(pattern, p, byte);
                if matched {
                    (p, t) = (next, t + 1);
                    continue;
                }
            }
            // A pattern that wants more bytes than are left cannot be helped by trying again.
            (true, None) => return false,
            (false, Some(_)) => {}
        }
        let Some((after_star, from)) = retry else { return false };
        if from >= text.len() {
            return false;
        }
        (p, t) = (after_star, from + 1);
        retry = Some((after_star, from + 1));
    }
}

/// Whether one byte matches the pattern's element at `p`, and where the next element starts.
fn matches_one(pattern: &[u8], p: usize, byte: u8) -> (bool, usize) {
    match pattern[p] {
        b'?' => (true, p + 1),
        b'[' => matches_class(pattern, p + 1, byte),
        b'\\' if p + 1 < pattern.len() => (pattern[p + 1] == byte, p + 2),
        literal => (literal == byte, p + 1),
    }
}

/// As [`matches_one`] for a class whose first byte after `[` is at `p`. A class that is never closed ends with
/// the pattern.
fn matches_class(pattern: &[u8], mut p: usize, byte: u8) -> (bool, usize) {
    let negated = pattern.get(p) == Some(&b'^');
    if negated {
        p += 1;
    }
    let mut found = false;
    while let Some(&element) = pattern.get(p) {
        match element {
            b']' => return (found != negated, p + 1),
            b'\\' if p + 1 < pattern.len() => {
                found |= pattern[p + 1] == byte;
                p += 2;
            }
            low if pattern.get(p + 1) == Some(&b'-') && p + 2 < pattern.len() => {
                let high = pattern[p + 2];
                found |= (low.min(high)..=low.max(high)).contains(&byte);
                p += 3;
            }
            literal => {
                found |= literal == byte;
                p += 1;
            }
        }
    }
    (found != negated, p)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_in_redis() {
        for (pattern, text, expected) in [
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("*", "anything", true),
            ("a", "", false),
            ("a*", "abc", true),
            ("*c", "abc", true),
            ("*b*", "abc", true),
            ("a*c*e", "abcde", true),
            ("a*c*f", "abcde", false),
            ("*aab", "aaaab", true),
            ("**", "x", true),
            ("a**", "a", true),
            ("?", "a", true),
            ("?", "", false),
            ("h?llo", "hello", true),
            ("h[ae]llo", "hallo", true),
            ("h[ae]llo", "hillo", false),
            ("h[^e]llo", "hallo", true),
            ("h[^e]llo", "hello", false),
            ("h[a-c]llo", "hbllo", true),
            ("h[c-a]llo", "hbllo", true),
            ("h[a-c]llo", "hdllo", false),
            ("\\*", "*", true),
            ("\\*", "a", false),
            ("[\\]]", "]", true),
            ("[a", "a", true),
            ("\\", "\\", true),
            ("a[", "a", false),
            ("user:*:name", "user:17:name", true),
        ] {
            assert_eq!(matches(pattern.as_bytes(), text.as_bytes()), expected, "{pattern:?} on {text:?}");
        }
    }

    #[test]
    fn many_stars_do_not_take_exponential_time() {
        let pattern = b"a*".repeat(200);
        let text = b"a".repeat(5_000);
        assert!(matches(&pattern, &text));
        let pattern = [pattern, b"b".to_vec()].concat();
        assert!(!matches(&pattern, &text));
    }
}
