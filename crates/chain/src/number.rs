//! How Redis reads numbers: strictly, so that a value means a number only if it spells it in one way.

/// A signed 64-bit integer in canonical form: no sign `+`, no leading zero, no space (Redis `string2ll`).
#[must_use]
pub fn parse_integer(bytes: &[u8]) -> Option<i64> {
    let digits = bytes.strip_prefix(b"-").unwrap_or(bytes);
    match digits {
        [b'0'] if bytes.len() == 1 => Some(0),
        [b'1'..=b'9', rest @ ..] if rest.iter().all(u8::is_ascii_digit) => {
            std::str::from_utf8(bytes).ok()?.parse().ok()
        }
        _ => None,
    }
}

/// A number as Redis's `INCRBYFLOAT` takes it: decimal, with or without exponent; no space, no NaN.
#[must_use]
pub fn parse_float(bytes: &[u8]) -> Option<f64> {
    let number: f64 = std::str::from_utf8(bytes).ok()?.parse().ok()?;
    (!number.is_nan()).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_read_in_canonical_form_only() {
        assert_eq!(parse_integer(b"0"), Some(0));
        assert_eq!(parse_integer(b"-1"), Some(-1));
        assert_eq!(parse_integer(b"9223372036854775807"), Some(i64::MAX));
        assert_eq!(parse_integer(b"-9223372036854775808"), Some(i64::MIN));
        for bad in ["", "-", "-0", "00", "01", "+1", " 1", "1 ", "1.0", "9223372036854775808", "x"] {
            assert_eq!(parse_integer(bad.as_bytes()), None, "{bad:?}");
        }
    }

    #[test]
    fn floats_are_read_without_spaces_or_nan() {
        assert_eq!(parse_float(b"3.0e3"), Some(3000.0));
        assert_eq!(parse_float(b"-5"), Some(-5.0));
        for bad in ["", " 1", "1 ", "nan", "1,5", "x"] {
            assert_eq!(parse_float(bad.as_bytes()), None, "{bad:?}");
        }
    }
}
