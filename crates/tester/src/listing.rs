//! The listings `@` and `*`, page by page (`SD.QUERY`).

use bytes::Bytes;
use simpledynamo_wire::resp::Value;

use crate::call::{encoded, shortened};
use crate::record::Via;
use crate::servers::{Shared, keepers};

/// What is listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Selection {
    /// What one node stores.
    Node,
    /// The whole ring.
    Ring,
}

impl Selection {
    fn name(self) -> &'static [u8] {
        match self {
            Self::Node => b"@",
            Self::Ring => b"*",
        }
    }

    pub(crate) fn via(self) -> Via {
        match self {
            Self::Node => Via::Node,
            Self::Ring => Via::Ring,
        }
    }
}

/// Pairs that a page looks at: what a server allows.
const PAGE_COUNT: &[u8] = b"10000";

/// Asks for the page at that cursor.
pub(crate) fn request(selection: Selection, cursor: &[u8]) -> Vec<u8> {
    encoded(&[b"SD.QUERY", selection.name(), b"CURSOR", cursor, b"COUNT", PAGE_COUNT])
}

/// A page: the next cursor, then keys and values by turns.
pub(crate) fn page(reply: Value) -> Result<(Bytes, Vec<(Bytes, Bytes)>), String> {
    let wrong = |reply: &Value| format!("{} is no page of pairs", shortened(reply));
    let Value::Array(parts) = reply else { return Err(wrong(&reply)) };
    let [Value::Bulk(next), Value::Array(flat)] = &parts[..] else {
        return Err(wrong(&Value::Array(parts)));
    };
    let (pairs, []) = flat.as_chunks::<2>() else { return Err("a page has half a pair".to_owned()) };
    let pair = |pair: &[Value; 2]| match pair {
        [Value::Bulk(key), Value::Bulk(value)] => Ok((key.clone(), value.clone())),
        [other, _] => Err(wrong(other)),
    };
    Ok((next.clone(), pairs.iter().map(pair).collect::<Result<_, _>>()?))
}

/// Whether that node keeps the key, as far as the configuration says.
pub(crate) fn keeps(shared: &Shared, node: &str, key: &[u8]) -> bool {
    shared.ring.as_ref().is_some_and(|ring| keepers(ring, key).any(|keeper| keeper == node))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bulk(text: &'static str) -> Value {
        Value::Bulk(Bytes::from_static(text.as_bytes()))
    }

    #[test]
    fn pages_are_read_and_others_refused() {
        let full = Value::Array(vec![bulk("7"), Value::Array(vec![bulk("k"), bulk("v")])]);
        let pairs = vec![(Bytes::from_static(b"k"), Bytes::from_static(b"v"))];
        assert_eq!(page(full), Ok((Bytes::from_static(b"7"), pairs)));
        let half = Value::Array(vec![bulk("0"), Value::Array(vec![bulk("k")])]);
        let hole = Value::Array(vec![bulk("0"), Value::Array(vec![bulk("k"), Value::Null])]);
        for wrong in [half, hole, bulk("0"), Value::Array(Vec::new())] {
            assert!(page(wrong).is_err());
        }
    }
}
