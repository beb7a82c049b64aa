//! How arguments spell numbers: as strictly as Redis reads them.

/// A signed 64-bit integer in canonical form: no `+`, no leading zero, no space.
pub(super) fn parse_integer(bytes: &[u8]) -> Option<i64> {
    let digits = bytes.strip_prefix(b"-").unwrap_or(bytes);
    match digits {
        [b'0'] if bytes.len() == 1 => Some(0),
        [b'1'..=b'9', rest @ ..] if rest.iter().all(u8::is_ascii_digit) => {
            std::str::from_utf8(bytes).ok()?.parse().ok()
        }
        _ => None,
    }
}

/// Whether the bytes spell a number for `INCRBYFLOAT`; infinity is one, whose sum then is refused.
pub(super) fn is_float(bytes: &[u8]) -> bool {
    let number = std::str::from_utf8(bytes).ok().and_then(|text| text.parse::<f64>().ok());
    number.is_some_and(|number| !number.is_nan())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_integer_has_one_spelling() {
        for (text, number) in [("0", 0), ("-1", -1), ("9223372036854775807", i64::MAX)] {
            assert_eq!(parse_integer(text.as_bytes()), Some(number));
        }
        assert_eq!(parse_integer(b"-9223372036854775808"), Some(i64::MIN));
        for bad in ["", "-", "-0", "+1", "01", " 1", "1 ", "1.0", "9223372036854775808", "0x1", "--1"] {
            assert_eq!(parse_integer(bad.as_bytes()), None, "{bad:?}");
        }
    }

    #[test]
    fn a_float_may_be_infinite_but_must_be_a_number() {
        for good in ["3.0", "-5", "3e5", "inf", "-infinity"] {
            assert!(is_float(good.as_bytes()), "{good:?}");
        }
        for bad in ["", " 1", "1 ", "nan", "1,5", "x"] {
            assert!(!is_float(bad.as_bytes()), "{bad:?}");
        }
    }
}
