//! Who speaks in the control group.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use simpledynamo_topology::{NodeId, StoreId};

/// A node together with the store that it runs on: who it is to the control group.
///
/// A voter that lost its disk has forgotten its votes, so it must not be taken for the one it was. With a new store
/// it has a new control id, and the group treats it as a new member.
///
/// It is written as `node/store`, the store in hexadecimal: in full on disk and on the wire (and as read by
/// [`FromStr`]), shortened to eight digits by [`fmt::Display`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ControlId {
    /// The node.
    pub node: NodeId,
    /// The store that it runs on.
    pub store: StoreId,
}

impl fmt::Display for ControlId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{:08x}", self.node, self.store.0 >> 96)
    }
}

/// A text is not a control id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a control id has the form node/store, the store in hexadecimal")]
pub struct NoControlId;

impl FromStr for ControlId {
    type Err = NoControlId;

    fn from_str(text: &str) -> Result<Self, NoControlId> {
        let (node, store) = text.split_once('/').ok_or(NoControlId)?;
        let node = node.parse().map_err(|_| NoControlId)?;
        let store = u128::from_str_radix(store, 16).map_err(|_| NoControlId)?;
        Ok(Self { node: NodeId(node), store: StoreId(store) })
    }
}

impl Serialize for ControlId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{}/{}", self.node, self.store))
    }
}

impl<'de> Deserialize<'de> for ControlId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// The suite of openraft numbers its nodes.
#[cfg(test)]
impl From<u64> for ControlId {
    fn from(number: u64) -> Self {
        Self {
            node: NodeId(u16::try_from(number).expect("a small number")),
            store: StoreId(u128::from(number)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_written_in_full_and_shown_short() {
        let id = ControlId { node: NodeId(5), store: StoreId(0x3fa9_0000_0000_0000_0000_0000_0000_0001) };
        assert_eq!(id.to_string(), "5/3fa90000");
        let text = serde_json::to_string(&id).unwrap();
        assert_eq!(text, "\"5/3fa90000000000000000000000000001\"");
        assert_eq!(serde_json::from_str::<ControlId>(&text).unwrap(), id);
        assert!("5".parse::<ControlId>().is_err());
        assert!("5/xyz".parse::<ControlId>().is_err());
    }
}
