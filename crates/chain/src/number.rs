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

/// The most digits after the point that are added exactly: as many as Redis prints.
const FRACTION_DIGITS_MAX: usize = 17;

/// The most digits in all: their sum fits 128 bits, whatever the place of the point.
const DIGITS_MAX: usize = 20;

/// The exact sum of two plain decimals such as `-12.5`, in shortest form. `None` for those with an exponent or
/// with more than 20 digits: those are added as floating-point numbers.
///
/// Redis adds in a wider type than `f64` and prints 17 digits, so that 0.1 and 0.2 make 0.3. Adding the decimals
/// themselves gives that, too.
#[must_use]
pub fn add_decimals(left: &[u8], right: &[u8]) -> Option<String> {
    let ((left, left_places), (right, right_places)) = (parse_decimal(left)?, parse_decimal(right)?);
    let places = left_places.max(right_places);
    let scaled = |number: i128, from: usize| {
        number.checked_mul(10_i128.checked_pow(u32::try_from(places - from).ok()?)?)
    };
    let sum = scaled(left, left_places)?.checked_add(scaled(right, right_places)?)?;
    let digits = format!("{:0width$}", sum.unsigned_abs(), width = places + 1);
    let (whole, fraction) = digits.split_at(digits.len() - places);
    let fraction = fraction.trim_end_matches('0');
    let sign = if sum < 0 { "-" } else { "" };
    let point = if fraction.is_empty() { "" } else { "." };
    Some(format!("{sign}{whole}{point}{fraction}"))
}

/// A plain decimal as an integer and the number of its digits that stand after the point.
fn parse_decimal(bytes: &[u8]) -> Option<(i128, usize)> {
    let text = std::str::from_utf8(bytes).ok()?;
    let (sign, digits) = text.strip_prefix('-').map_or((1, text), |digits| (-1, digits));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let is_plain = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    let is_short = whole.len() + fraction.len() <= DIGITS_MAX && fraction.len() <= FRACTION_DIGITS_MAX;
    if whole.is_empty() || !is_plain(whole) || !is_plain(fraction) || !is_short {
        return None;
    }
    let number: i128 = format!("{whole}{fraction}").parse().ok()?;
    Some((sign * number, fraction.len()))
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
    fn decimals_are_added_exactly() {
        for (left, right, sum) in [
            ("0.1", "0.2", "0.3"),
            ("10.50", "0.1", "10.6"),
            ("-0.5", "0.5", "0"),
            ("1", "-1.25", "-0.25"),
            ("0", "0", "0"),
            ("99999999999999999999", "0.00000000000000001", "99999999999999999999.00000000000000001"),
        ] {
            assert_eq!(
                add_decimals(left.as_bytes(), right.as_bytes()).as_deref(),
                Some(sum),
                "{left} {right}"
            );
        }
        for other in ["", "-", ".5", "1e3", "inf", "1.2.3", " 1", "123456789012345678901"] {
            assert_eq!(add_decimals(other.as_bytes(), b"1"), None, "{other:?}");
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
