//! What each command's arguments come to. The error texts are those of redis-server 7.0.15, byte for byte,
//! wherever that has the command and the option.

mod connection;
mod docs;
mod fault;
mod keys;
mod listing;
mod server;
mod shape;
mod strings;

use bytes::Bytes;
use simpledynamo_chain::Operation;
use simpledynamo_wire::resp::Value;

use super::*;

/// The time of all tests, in milliseconds since 1970.
const NOW: u64 = 1_795_339_600_000;

/// Limits small enough to exceed in a test.
const CONTEXT: Context =
    Context { now: NOW, limits: CommandLimits { max_key: 100, max_value: 1_000 }, fault_injection: true };

/// Arguments from a line: words, `''` for an empty one.
fn arguments(line: &str) -> Vec<Bytes> {
    line.split_whitespace().map(|word| Bytes::copy_from_slice(word.trim_matches('\'').as_bytes())).collect()
}

/// What a line comes to.
fn plan_of(line: &str) -> Plan {
    plan(&arguments(line), &CONTEXT)
}

/// The reply to a line that is answered from its arguments alone.
fn reply_of(line: &str) -> Value {
    match plan_of(line) {
        Plan::Reply(value) => value,
        other => panic!("{line:?} comes to {other:?}"),
    }
}

/// The error of a line.
fn error_of(line: &str) -> String {
    match reply_of(line) {
        Value::Error(text) => text.into_owned(),
        other => panic!("{line:?} is answered by {other:?}"),
    }
}

/// Checks the errors of many lines.
fn assert_errors(expected: &[(&str, &str)]) {
    for (line, error) in expected {
        assert_eq!(error_of(line), *error, "{line:?}");
    }
}

/// The operation and shape of a line that writes the key `k`.
fn write_of(line: &str) -> (Operation, WriteShape) {
    match plan_of(line) {
        Plan::Key(KeyStep::Write { key, operation, shape }) => {
            assert_eq!(key, "k", "{line:?}");
            (operation, shape)
        }
        other => panic!("{line:?} comes to {other:?}"),
    }
}

/// The server command of a line.
fn server_command_of(line: &str) -> ServerCommand {
    match plan_of(line) {
        Plan::Server(command) => command,
        other => panic!("{line:?} comes to {other:?}"),
    }
}

fn bulk(text: &str) -> Value {
    Value::Bulk(Bytes::copy_from_slice(text.as_bytes()))
}

fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

/// For each command a line that it accepts. The test below keeps the list complete.
const GOOD: &[&str] = &[
    "append k v",
    "asking",
    "auth password",
    "client getname",
    "client help",
    "client id",
    "client info",
    "client kill id 7",
    "client list",
    "client no-evict on",
    "client no-touch off",
    "client reply on",
    "client setinfo lib-name redis-py",
    "client setname me",
    "command",
    "command count",
    "command docs get",
    "command getkeys get k",
    "command help",
    "command info get",
    "command list",
    "config get save",
    "config help",
    "config resetstat",
    "config set timeout 0",
    "dbsize",
    "decr k",
    "decrby k 1",
    "del k",
    "delifeq k v",
    "discard",
    "echo hello",
    "exec",
    "exists k",
    "expire k 10",
    "expireat k 10",
    "expiretime k",
    "flushall",
    "flushdb async",
    "get k",
    "getdel k",
    "getex k",
    "getrange k 0 -1",
    "getset k v",
    "hello",
    "incr k",
    "incrby k 1",
    "incrbyfloat k 1.5",
    "info",
    "keys *",
    "lolwut",
    "memory help",
    "memory usage k",
    "mget k",
    "mset k v",
    "multi",
    "object encoding k",
    "object help",
    "object refcount k",
    "persist k",
    "pexpire k 10",
    "pexpireat k 10",
    "pexpiretime k",
    "ping",
    "psetex k 10 v",
    "pttl k",
    "quit",
    "randomkey",
    "readonly",
    "readwrite",
    "reset",
    "role",
    "scan 0",
    "sd.delete *",
    "sd.fault heal",
    "sd.query @",
    "sd.ring",
    "select 0",
    "set k v",
    "setex k 10 v",
    "setnx k v",
    "setrange k 0 v",
    "strlen k",
    "substr k 0 -1",
    "time",
    "touch k",
    "ttl k",
    "type k",
    "unlink k",
    "wait 1 0",
    "waitaof 1 1 0",
];

#[test]
fn every_supported_command_accepts_an_example_in_any_case() {
    let mut seen = std::collections::BTreeSet::new();
    for line in GOOD {
        for line in [(*line).to_owned(), line.to_ascii_uppercase()] {
            let command =
                resolve(&arguments(&line), &CONTEXT).unwrap_or_else(|error| panic!("{line:?}: {error}"));
            seen.insert(command);
            let plan = plan_of(&line);
            assert!(!matches!(plan, Plan::Reply(Value::Error(_))), "{line:?} comes to {plan:?}");
        }
    }
    for id in CommandId::all() {
        let spec = id.spec();
        let needs_example =
            !matches!(spec.support, Support::No(_)) && (!spec.has_subcommands || spec.arity == -1);
        assert!(!needs_example || seen.contains(&id), "{} has no example", spec.name);
    }
}

#[test]
fn too_few_and_too_many_arguments_are_refused_before_anything_is_read() {
    for id in CommandId::all() {
        let spec = id.spec();
        let name: Vec<Bytes> = spec.name.split('|').map(bytes).collect();
        let least = spec.arity.unsigned_abs() as usize;
        let padded = |length: usize| {
            let mut arguments = name.clone();
            arguments.resize(length, bytes("x"));
            plan(&arguments, &CONTEXT)
        };
        let error = |plan| {
            matches!(plan, Plan::Reply(Value::Error(text)) if text == format!(
            "ERR wrong number of arguments for '{}' command", spec.name))
        };
        if least > name.len() {
            assert!(error(padded(least - 1)), "{} with too few", spec.name);
        }
        if spec.arity > 0 {
            assert!(error(padded(least + 1)), "{} with too many", spec.name);
        }
    }
}

#[test]
fn no_arguments_at_all_is_an_unknown_command() {
    assert_eq!(
        plan(&[], &CONTEXT),
        Plan::Reply(Value::Error("ERR unknown command '', with args beginning with: ".into()))
    );
}

#[test]
fn commands_that_do_not_exist_are_told_as_redis_does_or_with_a_reason() {
    assert_errors(&[
        ("lpush k v", "ERR unknown command 'lpush', with args beginning with: 'k' 'v' "),
        ("MONITOR", "ERR unknown command 'MONITOR', with args beginning with: "),
        ("client|id", "ERR unknown command 'client|id', with args beginning with: "),
        ("client foo", "ERR unknown subcommand 'foo'. Try CLIENT HELP."),
        ("client ''", "ERR unknown subcommand ''. Try CLIENT HELP."),
        ("client TRACKING on", "ERR unknown subcommand 'TRACKING'. Try CLIENT HELP."),
        ("object foo", "ERR unknown subcommand 'foo'. Try OBJECT HELP."),
        ("memory doctor", "ERR unknown subcommand 'doctor'. Try MEMORY HELP."),
        ("config foo", "ERR unknown subcommand 'foo'. Try CONFIG HELP."),
        ("command foo", "ERR unknown subcommand 'foo'. Try COMMAND HELP."),
        ("cluster info", "ERR This instance has cluster support disabled"),
        ("cluster", "ERR wrong number of arguments for 'cluster' command"),
        (
            "MSETNX a b",
            "ERR unsupported command 'msetnx': its keys live on different nodes, and no command changes two \
             keys in one step",
        ),
        ("subscribe c", "ERR unsupported command 'subscribe': there is no publish and subscribe"),
    ]);
}

#[test]
fn keys_and_values_beyond_the_limits_are_refused() {
    let (long_key, long_value) = ("k".repeat(101), "v".repeat(1_001));
    for line in ["get KEY", "set KEY v", "del a KEY", "del KEY", "mget a KEY", "mset KEY v", "expire KEY 1"] {
        let error = error_of(&line.replace("KEY", &long_key));
        assert_eq!(error, "ERR key is too long: 101 bytes, at most 100 are allowed", "{line:?}");
    }
    for line in ["object encoding KEY", "memory usage KEY", "sd.query KEY", "sd.delete key KEY"] {
        let error = error_of(&line.replace("KEY", &long_key));
        assert_eq!(error, "ERR key is too long: 101 bytes, at most 100 are allowed", "{line:?}");
    }
    for line in [
        "set k VALUE",
        "setnx k VALUE",
        "setex k 1 VALUE",
        "append k VALUE",
        "getset k VALUE",
        "mset a b k VALUE",
        "setrange k 0 VALUE",
    ] {
        let error = error_of(&line.replace("VALUE", &long_value));
        assert_eq!(error, "ERR string exceeds maximum allowed size (proto-max-bulk-len)", "{line:?}");
    }
    assert!(matches!(plan_of(&format!("set {} {}", &long_key[1..], &long_value[1..])), Plan::Key(_)));
}
