//! The one table of all commands: what `COMMAND` tells, what the documentation lists, what a name leads to.
//!
//! A subcommand is a row of its own, named `command|subcommand` as Redis names it. The rows are in the order
//! of their names, so that a name is found by bisection, without allocating.

use super::input::{Input, Parsed};
use super::spec::Support::{Full, No, Partial};
use super::spec::{Flag, Group, KeyPositions, Spec};
use super::{client, config, connection, docs, fault, keys, listing, server, strings, transactions};

/// No keys.
const NONE: KeyPositions = KeyPositions { first: 0, last: 0, step: 0 };
/// The first argument.
const ONE: KeyPositions = KeyPositions { first: 1, last: 1, step: 1 };
/// The argument after a subcommand.
const SECOND: KeyPositions = KeyPositions { first: 2, last: 2, step: 1 };
/// All arguments.
const ALL: KeyPositions = KeyPositions { first: 1, last: -1, step: 1 };
/// Every other argument.
const PAIRS: KeyPositions = KeyPositions { first: 1, last: -1, step: 2 };

/// A command's row in [`COMMANDS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CommandId(u16);

impl CommandId {
    /// The row.
    #[must_use]
    pub fn spec(self) -> &'static Spec {
        &COMMANDS[self.index()]
    }

    /// The row's number, for counters per command: less than the length of [`COMMANDS`].
    #[must_use]
    pub fn index(self) -> usize {
        usize::from(self.0)
    }

    /// All rows.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..COMMANDS.len()).map(Self::at)
    }

    fn at(index: usize) -> Self {
        Self(u16::try_from(index).expect("the table has fewer than 65,536 rows"))
    }
}

/// Room for the longest name of the table, `|` and subcommand included; a test keeps it sufficient.
const NAME_MAX: usize = 24;

/// A command by its name, in any case. A subcommand's whole name is not a command.
pub(super) fn find(name: &[u8]) -> Option<CommandId> {
    if name.contains(&b'|') { None } else { find_row(name, b"") }
}

/// A subcommand by its own name, in any case.
pub(super) fn find_subcommand(container: &Spec, name: &[u8]) -> Option<CommandId> {
    if name.is_empty() { None } else { find_row(container.name.as_bytes(), name) }
}

/// A row by its name as `COMMAND INFO` takes it, in any case: a subcommand by its whole name.
pub(super) fn find_any(name: &[u8]) -> Option<CommandId> {
    find_row(name, b"")
}

fn find_row(name: &[u8], subcommand: &[u8]) -> Option<CommandId> {
    let mut lower = [0; NAME_MAX];
    let mut length = name.len();
    lower.get_mut(..length)?.copy_from_slice(name);
    if !subcommand.is_empty() {
        *lower.get_mut(length)? = b'|';
        length += 1 + subcommand.len();
        lower.get_mut(length - subcommand.len()..length)?.copy_from_slice(subcommand);
    }
    lower.make_ascii_lowercase();
    let wanted = &lower[..length];
    COMMANDS.binary_search_by(|spec| spec.name.as_bytes().cmp(wanted)).ok().map(CommandId::at)
}

/// Rows of a table: a list of columns each, since a struct literal per command would hide the table.
macro_rules! commands {
    ($($name:literal $arity:literal $keys:ident $group:ident $since:literal [$($flag:ident)*] $parse:path,
        $syntax:literal, $summary:literal, $support:expr;)*) => {
        &[$(Spec {
            name: $name,
            arity: $arity,
            keys: $keys,
            group: Group::$group,
            since: $since,
            flags: &[$(Flag::$flag),*],
            summary: $summary,
            syntax: $syntax,
            support: $support,
            has_subcommands: has_subcommands($name),
            parse: $parse,
        }),*]
    };
}

/// Commands that are nothing without a subcommand, or, `COMMAND`, have some.
const fn has_subcommands(name: &str) -> bool {
    matches!(name.as_bytes(), b"client" | b"command" | b"config" | b"memory" | b"object")
}

/// Never called for an allowed number of arguments: the subcommand's parser is.
fn needs_subcommand(input: Input<'_>) -> Parsed {
    Err(input.wrong_arguments())
}

const NOT_ATOMIC: &str = "One operation per key, sent in parallel: not atomic across keys.";
const MSET_NOTE: &str = "One operation per key, sent in parallel: not atomic across keys. If a part fails, the \
                         error begins with `PARTIAL` and counts the keys that are set for certain.";
const PAGE_NOTE: &str = "Pages follow the ring; any node can continue a cursor. `COUNT` is at most 10,000.";
const FLUSH_NOTE: &str = "Empties the whole ring, key by key, and answers when that is done, `ASYNC` or not.";
const FAULT_NOTE: &str = "For tests: only with `fault_injection` ([configuration.md](configuration.md#fault-injection)), \
                          else an unknown command.";
const WAIT_NOTE: &str = "Answers at once how many other replicas serve: all have every acknowledged write.";

/// All commands, in the order of their names.
pub static COMMANDS: &[Spec] = commands! {
    "append" 3 ONE String "2.0.0" [Write Fast] strings::append,
        "key value", "Adds bytes at the end of a value.", Full("");
    "asking" 1 NONE Cluster "3.0.0" [Fast] connection::always_ok,
        "", "Says that the next command may be answered by any node, which always holds.", Full("");
    "auth" -2 NONE Connection "1.0.0" [Fast NoAuth] connection::auth,
        "[username] password", "Proves who the client is.", Partial("There is one user, `default`.");
    "client" -2 NONE Connection "2.4.0" [] needs_subcommand,
        "", "Container of commands about client connections.", Partial("The subcommands listed here.");
    "client|getname" 2 NONE Connection "2.6.9" [] client::getname,
        "", "Returns the connection's name.", Full("");
    "client|help" 2 NONE Connection "5.0.0" [] client::help,
        "", "Returns help on the subcommands.", Full("");
    "client|id" 2 NONE Connection "5.0.0" [] client::id,
        "", "Returns the connection's id, unique on this node.", Full("");
    "client|info" 2 NONE Connection "6.2.0" [] client::info,
        "", "Returns what is known of the connection.", Full("");
    "client|kill" -3 NONE Connection "2.4.0" [Admin Dangerous] client::kill,
        "old-format | [ID client-id] [ADDR addr] [LADDR laddr] [TYPE type] [USER username] [SKIPME yes-no] \
         [MAXAGE maxage]",
        "Closes connections of this node.", Full("");
    "client|list" -2 NONE Connection "2.4.0" [Admin Dangerous] client::list,
        "[TYPE type | ID client-id ...]", "Lists the connections of this node.", Full("");
    "client|no-evict" 3 NONE Connection "7.0.0" [Admin Dangerous] client::no_evict,
        "ON | OFF", "Protects the connection from eviction.", Full("Noted only: none is ever evicted.");
    "client|no-touch" 3 NONE Connection "7.2.0" [] client::no_touch,
        "ON | OFF", "Keeps reads from touching access times.", Full("Noted only: there are none.");
    "client|reply" 3 NONE Connection "3.2.0" [] client::reply,
        "ON | OFF | SKIP", "Chooses which commands are answered.", Full("");
    "client|setinfo" 4 NONE Connection "7.2.0" [] client::setinfo,
        "LIB-NAME libname | LIB-VER libver", "Notes the name or version of the client library.", Full("");
    "client|setname" 3 NONE Connection "2.6.9" [] client::setname,
        "connection-name", "Names the connection.", Full("At most 256 bytes.");
    "cluster" -2 NONE Cluster "3.0.0" [] server::cluster,
        "", "Redis Cluster.", No("Not needed: any node answers for any key. Use a plain client, not a cluster one.");
    "command" -1 NONE Server "2.8.13" [] docs::command,
        "", "Returns the commands of this table that are supported.", Full("");
    "command|count" 2 NONE Server "2.8.13" [] docs::count,
        "", "Returns how many commands there are.", Full("");
    "command|docs" -2 NONE Server "7.0.0" [] docs::docs,
        "[command-name ...]", "Returns the documentation of commands.", Full("");
    "command|getkeys" -3 NONE Server "2.8.13" [] docs::getkeys,
        "command [arg ...]", "Returns the keys among a command's arguments.", Full("");
    "command|help" 2 NONE Server "5.0.0" [] docs::help,
        "", "Returns help on the subcommands.", Full("");
    "command|info" -2 NONE Server "2.8.13" [] docs::info,
        "[command-name ...]", "Returns what clients need to know of commands.", Full("");
    "command|list" -2 NONE Server "7.0.0" [] docs::list,
        "[FILTERBY (MODULE module-name | ACLCAT category | PATTERN pattern)]",
        "Returns the names of commands.", Full("");
    "config" -2 NONE Server "2.0.0" [] needs_subcommand,
        "", "Container of commands about settings.", Partial("The subcommands listed here.");
    "config|get" -3 NONE Server "2.0.0" [Admin Dangerous] config::get,
        "parameter ...", "Returns settings of this node.", Partial("The settings that exist.");
    "config|help" 2 NONE Server "5.0.0" [] config::help,
        "", "Returns help on the subcommands.", Full("");
    "config|resetstat" 2 NONE Server "2.0.0" [Admin Dangerous] config::resetstat,
        "", "Sets this node's counters to 0.", Full("");
    "config|rewrite" 2 NONE Server "2.8.0" [Admin Dangerous] config::rewrite,
        "", "Writes settings to the configuration file.", No("Edit the node's configuration file instead.");
    "config|set" -4 NONE Server "2.0.0" [Admin Dangerous] config::set,
        "(parameter value) ...", "Changes settings of this node until it restarts.",
        Partial("`timeout` and `maxclients`; anything else only to the value that it has.");
    "dbsize" 1 NONE Server "1.0.0" [ReadOnly Fast] listing::dbsize,
        "", "Returns how many keys the ring holds.",
        Full("From counters; a key whose time has come counts until it is deleted.");
    "decr" 2 ONE String "1.0.0" [Write Fast] strings::decr,
        "key", "Subtracts 1 from an integer.", Full("");
    "decrby" 3 ONE String "1.0.0" [Write Fast] strings::decrby,
        "key decrement", "Subtracts from an integer.", Full("");
    "del" -2 ALL Generic "1.0.0" [Write] keys::del,
        "key ...", "Deletes keys and returns how many there were.", Partial(NOT_ATOMIC);
    "delifeq" 3 ONE String "9.0.0" [Write Fast] strings::delifeq,
        "key value", "Deletes a key if it has this value.", Full("As in Valkey 9: releases a lock.");
    "discard" 1 NONE Transactions "2.0.0" [Fast] transactions::discard,
        "", "Ends a refused block.", No("Ends what a refused `MULTI` began.");
    "echo" 2 NONE Connection "1.0.0" [Fast] connection::echo_message,
        "message", "Returns the message.", Full("");
    "exec" 1 NONE Transactions "1.2.0" [] transactions::exec,
        "", "Ends a refused block.", No("Answers `EXECABORT` after a refused `MULTI`.");
    "exists" -2 ALL Generic "1.0.0" [ReadOnly Fast] keys::exists,
        "key ...", "Returns how many of the keys exist.", Partial(NOT_ATOMIC);
    "expire" -3 ONE Generic "1.0.0" [Write Fast] keys::expire,
        "key seconds [NX | XX | GT | LT]", "Has a key expire after some seconds.", Full("");
    "expireat" -3 ONE Generic "1.2.0" [Write Fast] keys::expireat,
        "key unix-time-seconds [NX | XX | GT | LT]", "Has a key expire at a time.", Full("");
    "expiretime" 2 ONE Generic "7.0.0" [ReadOnly Fast] keys::expiretime,
        "key", "Returns when a key expires, in seconds since 1970.", Full("");
    "flushall" -1 NONE Server "1.0.0" [Write Dangerous] listing::flush,
        "[ASYNC | SYNC]", "Deletes all keys.", Full(FLUSH_NOTE);
    "flushdb" -1 NONE Server "1.0.0" [Write Dangerous] listing::flush,
        "[ASYNC | SYNC]", "Deletes all keys.", Full(FLUSH_NOTE);
    "get" 2 ONE String "1.0.0" [ReadOnly Fast] strings::get,
        "key", "Returns the value of a key.", Full("");
    "getdel" 2 ONE String "6.2.0" [Write Fast] strings::getdel,
        "key", "Returns the value of a key and deletes it.", Full("");
    "getex" -2 ONE String "6.2.0" [Write Fast] strings::getex,
        "key [EX seconds | PX milliseconds | EXAT unix-time-seconds | PXAT unix-time-milliseconds | PERSIST]",
        "Returns the value of a key and changes when it expires.", Full("");
    "getrange" 4 ONE String "2.4.0" [ReadOnly] strings::getrange,
        "key start end", "Returns a part of a value.", Full("");
    "getset" 3 ONE String "1.0.0" [Write Fast] strings::getset,
        "key value", "Gives a key a value and returns the one before.", Full("");
    "hello" -1 NONE Connection "6.0.0" [Fast NoAuth] connection::hello,
        "[protover [AUTH username password] [SETNAME clientname]]",
        "Greets the server and chooses the protocol.",
        Full("`server` is `redis` and `version` the one of Redis that clients should expect.");
    "incr" 2 ONE String "1.0.0" [Write Fast] strings::incr,
        "key", "Adds 1 to an integer.", Full("");
    "incrby" 3 ONE String "1.0.0" [Write Fast] strings::incrby,
        "key increment", "Adds to an integer.", Full("");
    "incrbyfloat" 3 ONE String "2.6.0" [Write Fast] strings::incrbyfloat,
        "key increment", "Adds to a number.",
        Partial("Calculates with 64-bit floating point, Redis with 80-bit where it can.");
    "info" -1 NONE Server "1.0.0" [Dangerous] server::info,
        "[section ...]", "Returns figures of this node, and of the ring in `keyspace`.",
        Partial("The fields that exist; sections `simpledynamo` and `ring` besides.");
    "keys" 2 NONE Generic "1.0.0" [ReadOnly Dangerous] listing::keys,
        "pattern", "Returns all keys that match.",
        Partial("Of the whole ring. Beyond a limit of keys it fails and names `SCAN`.");
    "lolwut" -1 NONE Server "5.0.0" [ReadOnly Fast] server::lolwut,
        "[VERSION version]", "Returns an ornament.", Full("");
    "memory" -2 NONE Server "4.0.0" [] needs_subcommand,
        "", "Container of commands about memory.", Partial("The subcommands listed here.");
    "memory|help" 2 NONE Server "4.0.0" [] keys::memory_help,
        "", "Returns help on the subcommands.", Full("");
    "memory|usage" -3 SECOND Server "4.0.0" [ReadOnly] keys::memory_usage,
        "key [SAMPLES count]", "Returns about how many bytes a pair takes.",
        Partial("On one replica: key, value and a fixed overhead.");
    "mget" -2 ALL String "1.0.0" [ReadOnly Fast] strings::mget,
        "key ...", "Returns the values of keys.", Partial(NOT_ATOMIC);
    "mset" -3 PAIRS String "1.0.1" [Write] strings::mset,
        "(key value) ...", "Gives keys values.", Partial(MSET_NOTE);
    "multi" 1 NONE Transactions "1.2.0" [Fast] transactions::multi,
        "", "Begins a transaction.",
        No("Refused with everything up to `EXEC` or `DISCARD`. In redis-py use `pipeline(transaction=False)`.");
    "object" -2 NONE Generic "2.2.3" [] needs_subcommand,
        "", "Container of commands about how values are kept.", Partial("The subcommands listed here.");
    "object|encoding" 3 SECOND Generic "2.2.3" [ReadOnly] keys::object_encoding,
        "key", "Returns how Redis would store a value.", Full("");
    "object|freq" 3 SECOND Generic "4.0.0" [ReadOnly] keys::object_freq,
        "key", "Returns how often a key is read.", No("Not counted.");
    "object|help" 2 NONE Generic "6.2.0" [] keys::object_help,
        "", "Returns help on the subcommands.", Full("");
    "object|idletime" 3 SECOND Generic "2.2.3" [ReadOnly] keys::object_idletime,
        "key", "Returns the time since a key was last used.", No("Not kept.");
    "object|refcount" 3 SECOND Generic "2.2.3" [ReadOnly] keys::object_refcount,
        "key", "Returns how often a value is shared.", Full("Always 1.");
    "persist" 2 ONE Generic "2.2.0" [Write Fast] keys::persist,
        "key", "Has a key never expire.", Full("");
    "pexpire" -3 ONE Generic "2.6.0" [Write Fast] keys::pexpire,
        "key milliseconds [NX | XX | GT | LT]", "Has a key expire after some milliseconds.",
        Full("");
    "pexpireat" -3 ONE Generic "2.6.0" [Write Fast] keys::pexpireat,
        "key unix-time-milliseconds [NX | XX | GT | LT]", "Has a key expire at a time.", Full("");
    "pexpiretime" 2 ONE Generic "7.0.0" [ReadOnly Fast] keys::pexpiretime,
        "key", "Returns when a key expires, in milliseconds since 1970.", Full("");
    "ping" -1 NONE Connection "1.0.0" [Fast] connection::ping,
        "[message]", "Returns `PONG`, or the message.", Full("");
    "psetex" 4 ONE String "2.6.0" [Write] strings::psetex,
        "key milliseconds value", "Gives a key a value that expires.", Full("");
    "pttl" 2 ONE Generic "2.6.0" [ReadOnly Fast] keys::pttl,
        "key", "Returns after how many milliseconds a key expires.", Full("");
    "quit" -1 NONE Connection "1.0.0" [Fast NoAuth] connection::quit,
        "", "Closes the connection.", Full("");
    "randomkey" 1 NONE Generic "1.0.0" [ReadOnly] listing::randomkey,
        "", "Returns some key of the ring.", Full("");
    "readonly" 1 NONE Cluster "3.0.0" [Fast] connection::always_ok,
        "", "Says that a replica may answer reads, which always holds.", Full("");
    "readwrite" 1 NONE Cluster "3.0.0" [Fast] connection::always_ok,
        "", "Takes `READONLY` back.", Full("Reads are never stale, with or without it.");
    "reset" 1 NONE Connection "6.2.0" [Fast NoAuth] connection::reset,
        "", "Makes the connection as good as new.", Full("");
    "role" 1 NONE Server "2.8.12" [Fast] server::role,
        "", "Returns the node's role.", Full("Always a master: to clients all nodes are alike.");
    "scan" -2 NONE Generic "2.8.0" [ReadOnly] listing::scan,
        "cursor [MATCH pattern] [COUNT count] [TYPE type]", "Returns the ring's keys in pages.",
        Full(PAGE_NOTE);
    "sd.delete" -2 NONE SimpleDynamo "0.1.0" [Write Dangerous] listing::delete,
        "(@ | * | [KEY] key)", "Deletes what this node stores, everything, or a key; returns how many there were.",
        Full("Deletes from all replicas, `@` too. `KEY` names a key that is itself `@` or `*`.");
    "sd.fault" -2 NONE SimpleDynamo "0.2.0" [Admin Dangerous Test] fault::fault,
        "(CUT (TO | FROM) node) | HEAL | (CLOCK ppm [milliseconds])",
        "Cuts this node off from another, ends all such cuts, or puts this node's clocks wrong.", Full(FAULT_NOTE);
    "sd.query" -2 NONE SimpleDynamo "0.1.0" [ReadOnly Dangerous] listing::query,
        "(@ | * | [KEY] key) [CURSOR cursor] [COUNT count]",
        "Returns, in pages, the pairs that this node stores (replicas included), all pairs, or one.",
        Full(PAGE_NOTE);
    "sd.ring" 1 NONE SimpleDynamo "0.1.0" [ReadOnly Fast] listing::ring,
        "", "Returns nodes, chains and control group as this node knows them, and what it does, as JSON.", Full("");
    "select" 2 NONE Connection "1.0.0" [Fast] connection::select,
        "index", "Chooses the database.", Partial("There is database 0 only.");
    "set" -3 ONE String "1.0.0" [Write] strings::set,
        "key value [NX | XX | IFEQ comparison-value] [GET] [EX seconds | PX milliseconds | \
         EXAT unix-time-seconds | PXAT unix-time-milliseconds | KEEPTTL]",
        "Gives a key a value.", Full("`IFEQ` as in Valkey 8.1.");
    "setex" 4 ONE String "2.0.0" [Write] strings::setex,
        "key seconds value", "Gives a key a value that expires.", Full("");
    "setnx" 3 ONE String "1.0.0" [Write Fast] strings::setnx,
        "key value", "Gives a key a value if it has none.", Full("");
    "setrange" 4 ONE String "2.2.0" [Write] strings::setrange,
        "key offset value", "Overwrites a part of a value.", Full("");
    "strlen" 2 ONE String "2.2.0" [ReadOnly Fast] strings::strlen,
        "key", "Returns the length of a value.", Full("");
    "substr" 4 ONE String "1.0.0" [ReadOnly] strings::getrange,
        "key start end", "Returns a part of a value; the old name of `GETRANGE`.", Full("");
    "time" 1 NONE Server "2.6.0" [Fast] server::time,
        "", "Returns the node's clock.", Full("Exact to the millisecond.");
    "touch" -2 ALL Generic "3.2.1" [ReadOnly Fast] keys::exists,
        "key ...", "Returns how many of the keys exist.", Partial("There are no access times to change.");
    "ttl" 2 ONE Generic "1.0.0" [ReadOnly Fast] keys::ttl,
        "key", "Returns after how many seconds a key expires.", Full("");
    "type" 2 ONE Generic "1.0.0" [ReadOnly Fast] keys::key_type,
        "key", "Returns the type of a value.", Full("`string` or `none`.");
    "unlink" -2 ALL Generic "4.0.0" [Write Fast] keys::del,
        "key ...", "Deletes keys and returns how many there were.", Partial("The same as `DEL`.");
    "unwatch" 1 NONE Transactions "2.2.0" [Fast] transactions::unwatch,
        "", "Forgets watched keys.", No("There are no transactions.");
    "wait" 3 NONE Generic "3.0.0" [] server::wait,
        "numreplicas timeout", "Returns how many other replicas have the connection's writes.", Full(WAIT_NOTE);
    "waitaof" 4 NONE Generic "7.2.0" [] server::waitaof,
        "numlocal numreplicas timeout", "As `WAIT`, for writes on disk.",
        Full("Counts none unless `durability` is `always`.");
    "watch" -2 ALL Transactions "2.2.0" [Fast] transactions::watch,
        "key ...", "Makes a transaction depend on keys.", No("There are no transactions; see `SET` with `IFEQ`.");
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_in_strict_order_so_that_bisection_finds_each() {
        assert!(COMMANDS.windows(2).all(|pair| pair[0].name.as_bytes() < pair[1].name.as_bytes()));
        for id in CommandId::all() {
            let name = id.spec().name;
            assert_eq!(find_any(name.as_bytes()), Some(id), "{name}");
            assert_eq!(find_any(name.to_ascii_uppercase().as_bytes()), Some(id), "{name}");
        }
    }

    #[test]
    fn a_name_is_found_whole_and_in_any_case_or_not_at_all() {
        assert_eq!(find(b"gEt").map(|id| id.spec().name), Some("get"));
        for bad in [&b""[..], b"ge", b"gett", b"client|id", b"get\0", &[b'a'; 200]] {
            assert_eq!(find(bad), None, "{bad:?}");
        }
        let client = find(b"client").expect("in the table").spec();
        assert_eq!(find_subcommand(client, b"Id").map(|id| id.spec().name), Some("client|id"));
        for bad in [&b""[..], b"i", b"idd", &[b'a'; 200]] {
            assert_eq!(find_subcommand(client, bad), None, "{bad:?}");
        }
    }

    #[test]
    fn names_fit_the_buffer_and_are_lower_case() {
        for spec in COMMANDS {
            assert!(spec.name.len() <= NAME_MAX, "{}", spec.name);
            assert_eq!(spec.name, spec.name.to_ascii_lowercase());
        }
    }

    #[test]
    fn subcommands_have_a_container_and_containers_have_subcommands() {
        for spec in COMMANDS {
            if let Some((container, _)) = spec.name.split_once('|') {
                let container = find(container.as_bytes()).expect("a container").spec();
                assert!(container.has_subcommands, "{}", spec.name);
            }
            if spec.has_subcommands {
                let prefix = format!("{}|", spec.name);
                assert!(COMMANDS.iter().any(|other| other.name.starts_with(&prefix)), "{}", spec.name);
            }
        }
    }

    #[test]
    fn arity_leaves_room_for_the_name_and_the_keys() {
        for spec in COMMANDS {
            let words = if spec.is_subcommand() { 2 } else { 1 };
            let least = spec.arity.abs();
            assert!(least >= words, "{}", spec.name);
            assert!(least > spec.keys.first, "{}: its first key must always be there", spec.name);
            assert!(least > spec.keys.last, "{}: its last key must always be there", spec.name);
            assert_eq!(spec.keys.first == 0, spec.keys.step == 0, "{}", spec.name);
        }
    }

    #[test]
    fn a_command_that_takes_no_arguments_has_no_syntax() {
        for spec in COMMANDS.iter().filter(|spec| !spec.has_subcommands && spec.name != "quit") {
            let words = if spec.is_subcommand() { 2 } else { 1 };
            if !matches!(spec.support, No(_)) {
                assert_eq!(spec.arity == words, spec.syntax.is_empty(), "{}", spec.name);
            }
        }
    }
}
