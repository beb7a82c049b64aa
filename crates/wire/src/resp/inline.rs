//! Commands that a person types into a bare connection: arguments with spaces between them.

use bytes::Bytes;

use super::ProtocolError;

/// Splits an inline command, without its line end, the way Redis does.
///
/// Inside `"..."`, `\n \r \t \b \a \xHH` are what they are in C and any other escaped byte is itself; inside
/// `'...'`, only `\'` is an escape. A closing quote must be followed by a space or the end.
pub(super) fn split(line: &Bytes) -> Result<Vec<Bytes>, ProtocolError> {
    let mut arguments = Vec::new();
    let mut at = 0;
    loop {
        while line.get(at).is_some_and(|byte| is_space(*byte)) {
            at += 1;
        }
        if at == line.len() {
            return Ok(arguments);
        }
        let plain = line[at..].iter().take_while(|byte| !is_space(**byte) && !is_quote(**byte)).count();
        if line.get(at + plain).is_some_and(|byte| is_quote(*byte)) {
            let mut argument = line[at..at + plain].to_vec();
            at = unquote(line, at + plain, &mut argument)?;
            arguments.push(Bytes::from(argument));
        } else {
            arguments.push(line.slice(at..at + plain));
            at += plain;
        }
    }
}

/// Adds what stands in quotes from `at` on to the argument, and returns where the argument ends.
fn unquote(line: &[u8], at: usize, argument: &mut Vec<u8>) -> Result<usize, ProtocolError> {
    let quote = line[at];
    let mut rest = &line[at + 1..];
    loop {
        let (byte, after) = match (quote, rest) {
            (_, [byte, after @ ..]) if *byte == quote => {
                return match after.first() {
                    Some(next) if !is_space(*next) => Err(ProtocolError::UnbalancedQuotes),
                    _ => Ok(line.len() - after.len()),
                };
            }
            (b'"', [b'\\', b'x', high, low, after @ ..])
                if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() =>
            {
                (hex_digit(*high) << 4 | hex_digit(*low), after)
            }
            (b'"', [b'\\', escaped, after @ ..]) => (unescape(*escaped), after),
            (_, [b'\\', b'\'', after @ ..]) => (b'\'', after),
            (_, [byte, after @ ..]) => (*byte, after),
            (_, []) => return Err(ProtocolError::UnbalancedQuotes),
        };
        argument.push(byte);
        rest = after;
    }
}

fn unescape(byte: u8) -> u8 {
    match byte {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 0x08,
        b'a' => 0x07,
        other => other,
    }
}

fn hex_digit(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20) - b'a' + 10,
    }
}

fn is_quote(byte: u8) -> bool {
    matches!(byte, b'"' | b'\'')
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(line: &'static str) -> Vec<Bytes> {
        split(&Bytes::from_static(line.as_bytes())).expect("it is balanced")
    }

    #[test]
    fn spaces_separate_arguments() {
        assert_eq!(arguments("  SET a\t b  "), ["SET", "a", "b"]);
        assert_eq!(arguments(""), [""; 0]);
        assert_eq!(arguments("   "), [""; 0]);
    }

    #[test]
    fn double_quotes_know_escapes() {
        assert_eq!(arguments(r#""a b" "\n\r\t\b\a""#), ["a b", "\n\r\t\x08\x07"]);
        assert_eq!(arguments(r#""\x41\x6a\x4Bz\q\"\\" """#), ["AjKzq\"\\", ""]);
        assert_eq!(arguments(r#""\xg1 '""#), ["xg1 '"], "not hexadecimal: an escaped x");
    }

    #[test]
    fn single_quotes_know_one_escape() {
        assert_eq!(arguments(r#"'a \' \n "' x"#), [r#"a ' \n ""#, "x"]);
    }

    #[test]
    fn an_argument_may_begin_bare_and_end_quoted() {
        assert_eq!(arguments(r#"foo"bar" b"#), ["foobar", "b"]);
    }

    #[test]
    fn unbalanced_quotes_are_refused() {
        for line in
            [r#"""#, r#""a"#, r#""a"b"#, r#"'a"#, r#"'a'b"#, r#""a\""#, r#"'a\'"#, r#""a\"#, r#""a"'b'"#]
        {
            let result = split(&Bytes::from_static(line.as_bytes()));
            assert_eq!(result, Err(ProtocolError::UnbalancedQuotes), "{line}");
        }
    }

    #[test]
    fn bare_arguments_are_slices_of_the_line() {
        let line = Bytes::from_static(b"GET key");
        assert_eq!(split(&line).expect("it is balanced")[1].as_ptr(), line[4..].as_ptr());
    }
}
