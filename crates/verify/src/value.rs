//! Values, interned: comparing two states is comparing two numbers.

use std::collections::BTreeMap;

use bytes::Bytes;

/// A value that a key can have.
///
/// Equal values of one [`Values`] are equal bytes; values of different ones must not be mixed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Value {
    /// Bytes that no increment can start from, by their number in the [`Values`] that interned them.
    Text(u32),
    /// Bytes that spell a signed 64-bit integer in canonical form, which is how increments read a value.
    Number(i64),
}

/// What a key holds: a value, or none.
pub type State = Option<Value>;

/// Stands for all texts that no operation of a history looks for: they cannot be told apart.
pub(crate) const ANY_OTHER: Value = Value::Text(u32::MAX);

/// The bytes behind the values of a history.
#[derive(Clone, Debug, Default)]
pub struct Values {
    texts: Vec<Bytes>,
    numbers: BTreeMap<Bytes, u32>,
}

impl Values {
    /// The value that these bytes are.
    ///
    /// # Panics
    /// After 2^32 - 1 different texts: by then memory has long run out.
    pub fn intern(&mut self, bytes: &[u8]) -> Value {
        if let Some(number) = canonical_integer(bytes) {
            return Value::Number(number);
        }
        if let Some(number) = self.numbers.get(bytes) {
            return Value::Text(*number);
        }
        let number = u32::try_from(self.texts.len()).expect("fewer than 2^32 texts fit in memory");
        assert!(Value::Text(number) != ANY_OTHER, "the last number is reserved");
        let bytes = Bytes::copy_from_slice(bytes);
        self.texts.push(bytes.clone());
        self.numbers.insert(bytes, number);
        Value::Text(number)
    }

    /// The bytes of a value, or `None` if another `Values` interned it.
    #[must_use]
    pub fn bytes(&self, value: Value) -> Option<Bytes> {
        match value {
            Value::Text(number) => self.texts.get(number as usize).cloned(),
            Value::Number(number) => Some(Bytes::from(number.to_string())),
        }
    }
}

/// The integer that the bytes spell, if they spell it in the one way that Redis accepts (`string2ll`).
fn canonical_integer(bytes: &[u8]) -> Option<i64> {
    let number: i64 = std::str::from_utf8(bytes).ok()?.parse().ok()?;
    (number.to_string().as_bytes() == bytes).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_bytes_are_one_value() {
        let mut values = Values::default();
        let a = values.intern(b"a");
        assert_ne!(values.intern(b"b"), a);
        assert_eq!(values.intern(b"a"), a);
        assert_eq!(values.bytes(a).as_deref(), Some(&b"a"[..]));
        assert_eq!(values.bytes(Value::Text(7)), None);
    }

    #[test]
    fn only_canonical_integers_are_numbers() {
        let mut values = Values::default();
        for number in [0, -1, 42, i64::MAX, i64::MIN] {
            let value = values.intern(number.to_string().as_bytes());
            assert_eq!(value, Value::Number(number));
            assert_eq!(values.bytes(value), Some(Bytes::from(number.to_string())));
        }
        for text in ["", "+1", "01", "-0", " 1", "1.0", "9223372036854775808"] {
            assert!(matches!(values.intern(text.as_bytes()), Value::Text(_)), "{text:?}");
        }
    }
}
