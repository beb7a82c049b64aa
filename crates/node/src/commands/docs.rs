//! `COMMAND`, answered from the table. Only what is supported is told: clients act on it.

use bytes::Bytes;
use simpledynamo_chain::glob;
use simpledynamo_wire::resp::Value;

use super::Context;
use super::errors::CommandError;
use super::input::{Input, Parsed, is};
use super::plan::Plan;
use super::shape::lines;
use super::spec::{Flag, Group, Spec, Support};
use super::syntax;
use super::table::{COMMANDS, CommandId, find_any};

/// Supported commands, in the order of their names, subcommands included.
fn all_supported(context: &Context) -> impl Iterator<Item = &'static Spec> {
    CommandId::all().filter(|id| context.has(*id)).map(CommandId::spec).filter(|spec| is_supported(spec))
}

/// Supported commands, in the order of their names, without subcommands.
fn supported(context: &Context) -> impl Iterator<Item = &'static Spec> {
    all_supported(context).filter(|spec| !spec.is_subcommand())
}

fn is_supported(spec: &Spec) -> bool {
    !matches!(spec.support, Support::No(_))
}

fn supported_by_name(name: &[u8], context: &Context) -> Option<&'static Spec> {
    find_any(name).filter(|id| context.has(*id)).map(CommandId::spec).filter(|spec| is_supported(spec))
}

fn subcommands(container: &'static Spec) -> impl Iterator<Item = &'static Spec> {
    let is_part =
        move |spec: &&Spec| spec.name.split_once('|').is_some_and(|(name, _)| name == container.name);
    COMMANDS.iter().filter(|spec| is_supported(spec)).filter(is_part)
}

fn text(text: &'static str) -> Value {
    Value::Bulk(Bytes::from_static(text.as_bytes()))
}

fn reply(value: Value) -> Parsed {
    Ok(Plan::Reply(value))
}

/// `COMMAND`.
pub(super) fn command(input: Input<'_>) -> Parsed {
    reply(Value::Array(supported(input.context).map(describe).collect()))
}

/// `COMMAND COUNT`.
pub(super) fn count(input: Input<'_>) -> Parsed {
    reply(Value::Integer(i64::try_from(supported(input.context).count()).unwrap_or(i64::MAX)))
}

/// `COMMAND LIST [FILTERBY MODULE name | ACLCAT category | PATTERN pattern]`, subcommands included.
pub(super) fn list(input: Input<'_>) -> Parsed {
    let all = all_supported(input.context);
    let names = |specs: Vec<&'static Spec>| {
        reply(Value::Array(specs.into_iter().map(|spec| text(spec.name)).collect()))
    };
    match input.rest(2) {
        [] => names(all.collect()),
        [word, kind, value] if is(word, "filterby") => match () {
            () if is(kind, "module") => names(Vec::new()),
            () if is(kind, "aclcat") => {
                names(all.filter(|spec| categories(spec).iter().any(|name| is(value, &name[1..]))).collect())
            }
            () if is(kind, "pattern") => {
                let pattern = value.to_ascii_lowercase();
                names(all.filter(|spec| glob::matches(&pattern, spec.name.as_bytes())).collect())
            }
            () => Err(CommandError::Syntax),
        },
        _ => Err(CommandError::Syntax),
    }
}

/// `COMMAND INFO [name ...]`.
pub(super) fn info(input: Input<'_>) -> Parsed {
    let names = input.rest(2);
    if names.is_empty() {
        return command(input);
    }
    let one = |name: &Bytes| supported_by_name(name, input.context).map_or(Value::Null, describe);
    reply(Value::Array(names.iter().map(one).collect()))
}

/// `COMMAND DOCS [name ...]`; names that do not exist are left out, as in Redis.
pub(super) fn docs(input: Input<'_>) -> Parsed {
    let names = input.rest(2);
    let wanted: Vec<&'static Spec> = if names.is_empty() {
        supported(input.context).collect()
    } else {
        names.iter().filter_map(|name| supported_by_name(name, input.context)).collect()
    };
    reply(Value::Map(wanted.into_iter().map(document).collect()))
}

/// `COMMAND GETKEYS command [arg ...]`.
pub(super) fn getkeys(input: Input<'_>) -> Parsed {
    let asked = input.rest(2);
    let spec = super::resolve(asked, input.context).map_err(|error| match error {
        CommandError::Arguments(_) => CommandError::GetKeysArguments,
        _ => CommandError::GetKeysCommand,
    })?;
    let keys = key_arguments(spec.spec(), asked);
    if keys.is_empty() {
        return Err(CommandError::GetKeysNone);
    }
    reply(Value::Array(keys.into_iter().map(Value::Bulk).collect()))
}

/// The keys among a command's arguments, whose number is right.
fn key_arguments(spec: &Spec, arguments: &[Bytes]) -> Vec<Bytes> {
    let positions = spec.keys;
    let first = usize::try_from(positions.first).unwrap_or(0);
    let step = usize::try_from(positions.step).unwrap_or(0);
    if step == 0 {
        return Vec::new();
    }
    let last = usize::try_from(positions.last)
        .unwrap_or_else(|_| arguments.len() - positions.last.unsigned_abs() as usize);
    (first..=last).step_by(step).filter_map(|index| arguments.get(index).cloned()).collect()
}

/// `COMMAND HELP`.
pub(super) fn help(_: Input<'_>) -> Parsed {
    reply(lines(&[
        "COMMAND <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
        "(no subcommand)",
        "    Return details about all supported commands.",
        "COUNT",
        "    Return how many supported commands there are.",
        "DOCS [<command-name> ...]",
        "    Return the documentation of these, or of all commands.",
        "GETKEYS <full-command>",
        "    Return the keys from a full command.",
        "INFO [<command-name> ...]",
        "    Return details about these, or about all commands.",
        "LIST [FILTERBY (MODULE <name>|ACLCAT <category>|PATTERN <pattern>)]",
        "    Return the names of supported commands.",
        "HELP",
        "    Print this help.",
    ]))
}

/// The ten elements that Redis 7 tells of a command.
fn describe(spec: &'static Spec) -> Value {
    let statuses = |names: Vec<&'static str>| {
        Value::Set(names.into_iter().map(|name| Value::Simple(name.into())).collect())
    };
    let mut flags: Vec<&'static str> = spec.flags.iter().filter_map(|flag| flag.name()).collect();
    if spec.group == Group::Connection {
        flags.push("noscript");
    }
    Value::Array(vec![
        text(spec.name),
        Value::Integer(spec.arity.into()),
        statuses(flags),
        Value::Integer(spec.keys.first.into()),
        Value::Integer(spec.keys.last.into()),
        Value::Integer(spec.keys.step.into()),
        statuses(categories(spec)),
        Value::Array(Vec::new()),
        Value::Array(key_specification(spec).into_iter().collect()),
        Value::Array(subcommands(spec).map(describe).collect()),
    ])
}

/// The categories of access lists that the command would belong to in Redis, each with its `@`.
fn categories(spec: &Spec) -> Vec<&'static str> {
    let mut categories = Vec::new();
    let mut add = |condition: bool, name| {
        if condition {
            categories.push(name)
        }
    };
    add(spec.is(Flag::Write), "@write");
    add(spec.is(Flag::ReadOnly), "@read");
    add(spec.group == Group::String, "@string");
    add(spec.group == Group::Generic && !spec.flags.is_empty(), "@keyspace");
    add(spec.group == Group::Connection, "@connection");
    add(spec.group == Group::Transactions, "@transaction");
    add(spec.is(Flag::Admin), "@admin");
    add(spec.is(Flag::Dangerous), "@dangerous");
    add(spec.is(Flag::Fast), "@fast");
    add(!spec.is(Flag::Fast), "@slow");
    categories
}

/// Where the keys are, in the words of Redis 7's key specifications.
fn key_specification(spec: &Spec) -> Option<Value> {
    let positions = spec.keys;
    if positions.step == 0 {
        return None;
    }
    let access = if spec.is(Flag::Write) { "RW" } else { "RO" };
    let last = if positions.last < 0 { positions.last } else { positions.last - positions.first };
    let pair = |name, value: i32| (text(name), Value::Integer(value.into()));
    let search =
        |kind, detail| Value::Map(vec![(text("type"), text(kind)), (text("spec"), Value::Map(detail))]);
    Some(Value::Map(vec![
        (text("flags"), Value::Set(vec![Value::Simple(access.into())])),
        (text("begin_search"), search("index", vec![pair("index", positions.first)])),
        (
            text("find_keys"),
            search("range", vec![pair("lastkey", last), pair("keystep", positions.step), pair("limit", 0)]),
        ),
    ]))
}

/// A command's name and its documentation.
fn document(spec: &'static Spec) -> (Value, Value) {
    let mut fields = vec![
        (text("summary"), text(spec.summary)),
        (text("since"), text(spec.since)),
        (text("group"), text(spec.group.name())),
    ];
    let arguments = syntax::arguments(spec.syntax);
    if !arguments.is_empty() {
        fields.push((text("arguments"), Value::Array(arguments)));
    }
    let parts: Vec<_> = subcommands(spec).map(document).collect();
    if !parts.is_empty() {
        fields.push((text("subcommands"), Value::Map(parts)));
    }
    (text(spec.name), Value::Map(fields))
}
