//! Integers as text, without allocating.

/// The digits of 2^64 - 1, or a minus sign and those of 2^63.
const DIGITS_MAX: usize = 20;

/// An integer's text.
pub(super) struct Decimal {
    bytes: [u8; DIGITS_MAX],
    start: usize,
}

impl Decimal {
    pub(super) fn of_unsigned(mut number: u64) -> Self {
        let mut text = Self { bytes: [0; DIGITS_MAX], start: DIGITS_MAX };
        loop {
            text.push_front(b'0' + (number % 10) as u8);
            number /= 10;
            if number == 0 {
                return text;
            }
        }
    }

    pub(super) fn of(number: i64) -> Self {
        let mut text = Self::of_unsigned(number.unsigned_abs());
        if number < 0 {
            text.push_front(b'-');
        }
        text
    }

    fn push_front(&mut self, byte: u8) {
        self.start -= 1;
        self.bytes[self.start] = byte;
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.bytes[self.start..]
    }
}

/// Reads an integer in canonical form: as Redis reads lengths, no `+`, no leading zero, no space.
pub(super) fn parse_canonical(text: &[u8]) -> Option<i64> {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    match digits {
        [b'0'] => (digits.len() == text.len()).then_some(0),
        [b'1'..=b'9', ..] => parse(text),
        _ => None,
    }
}

/// Reads an integer, with leading zeros or a `+` if it has them.
pub(super) fn parse(text: &[u8]) -> Option<i64> {
    let (digits, is_negative) = match text {
        [b'-', digits @ ..] => (digits, true),
        [b'+', digits @ ..] => (digits, false),
        digits => (digits, false),
    };
    if digits.is_empty() {
        return None;
    }
    // Counting downwards, because there is one negative number more.
    let mut number = 0_i64;
    for digit in digits {
        let digit = digit.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        number = number.checked_mul(10)?.checked_sub(digit.into())?;
    }
    if is_negative { Some(number) } else { number.checked_neg() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EDGES: [i64; 9] = [0, 1, -1, 9, 10, -10, 1_234_567_890, i64::MAX, i64::MIN];

    #[test]
    fn integers_are_written_as_std_writes_them() {
        for number in EDGES {
            assert_eq!(Decimal::of(number).as_bytes(), number.to_string().as_bytes());
        }
        assert_eq!(Decimal::of_unsigned(u64::MAX).as_bytes(), u64::MAX.to_string().as_bytes());
    }

    #[test]
    fn integers_are_read_back() {
        for number in EDGES {
            assert_eq!(parse_canonical(number.to_string().as_bytes()), Some(number));
        }
        assert_eq!(parse(b"+007"), Some(7));
    }

    #[test]
    fn what_is_no_integer_is_refused() {
        for text in ["", "-", "+", "1x", "0x1", " 1", "1 ", "9223372036854775808", "-9223372036854775809"] {
            assert_eq!(parse(text.as_bytes()), None, "{text:?}");
        }
        for text in ["-0", "00", "01", "-01", "+1"] {
            assert_eq!(parse_canonical(text.as_bytes()), None, "{text:?}");
        }
    }
}
