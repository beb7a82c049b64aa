//! Commands that people know from Redis and that do not exist here, with the reason.
//!
//! A reason is given where it shows a way out. Everything else (lists, hashes, sets, streams and their like)
//! is answered as Redis answers a command that it does not know, which client libraries understand.

use super::errors::CommandError;

/// A well-known command that is refused with a reason.
pub(super) struct Refused {
    /// In lower case.
    pub(super) name: &'static str,
    /// Why, and what to do instead: one clause without a full stop.
    pub(super) reason: &'static str,
}

/// Commands that answer as unknown, by what they are about: for the documentation.
pub(super) const UNKNOWN: &[(&str, &str)] = &[
    ("Lists", "LPUSH, RPUSH, LPOP, LRANGE and all others: values are strings"),
    ("Hashes", "HSET, HGET, HGETALL and all others: values are strings"),
    ("Sets and sorted sets", "SADD, SMEMBERS, ZADD, ZRANGE and all others: values are strings"),
    ("Streams, geo, HyperLogLog", "XADD, GEOADD, PFADD and all others: values are strings"),
    ("Bits", "GETBIT, SETBIT, BITCOUNT, BITOP and BITFIELD"),
    ("Access lists", "ACL: there is one user, `default`, with one password"),
    ("Diagnosis", "MONITOR, SLOWLOG, LATENCY, DEBUG, MODULE"),
];

const EVAL: &str = "there are no scripts; use SET with NX, XX or IFEQ, DELIFEQ, or the INCR family, each of \
                    which is one atomic step";
const PUBSUB: &str = "there is no publish and subscribe";
const TWO_KEYS: &str = "its keys live on different nodes, and no command changes two keys in one step";
const SAVED: &str = "nothing needs to be saved: an acknowledged write is on every serving replica already";

/// In the order of their names.
pub(super) const REFUSED: &[Refused] = &[
    Refused { name: "bgrewriteaof", reason: SAVED },
    Refused { name: "bgsave", reason: SAVED },
    Refused { name: "copy", reason: TWO_KEYS },
    Refused { name: "eval", reason: EVAL },
    Refused { name: "evalsha", reason: EVAL },
    Refused { name: "fcall", reason: EVAL },
    Refused { name: "function", reason: EVAL },
    Refused { name: "lastsave", reason: SAVED },
    Refused { name: "migrate", reason: "copy pairs with SD.QUERY, or SCAN and GET" },
    Refused { name: "move", reason: "there is one database" },
    Refused { name: "msetnx", reason: TWO_KEYS },
    Refused { name: "psubscribe", reason: PUBSUB },
    Refused { name: "publish", reason: PUBSUB },
    Refused { name: "punsubscribe", reason: PUBSUB },
    Refused { name: "rename", reason: TWO_KEYS },
    Refused { name: "renamenx", reason: TWO_KEYS },
    Refused { name: "replicaof", reason: "every pair is replicated by the ring" },
    Refused { name: "save", reason: SAVED },
    Refused { name: "script", reason: EVAL },
    Refused { name: "shutdown", reason: "stop a node by a signal to its process (SIGTERM)" },
    Refused { name: "slaveof", reason: "every pair is replicated by the ring" },
    Refused { name: "spublish", reason: PUBSUB },
    Refused { name: "ssubscribe", reason: PUBSUB },
    Refused { name: "subscribe", reason: PUBSUB },
    Refused { name: "swapdb", reason: "there is one database" },
    Refused { name: "unsubscribe", reason: PUBSUB },
];

/// The reason why a well-known command is refused.
pub(super) fn reason(name: &[u8]) -> Option<CommandError> {
    let refused = REFUSED.iter().find(|refused| name.eq_ignore_ascii_case(refused.name.as_bytes()))?;
    Some(CommandError::Unsupported { name: refused.name, reason: refused.reason })
}
