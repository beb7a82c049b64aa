//! `CONFIG`: the node's settings under the names that Redis's tools read.

use bytes::Bytes;
use simpledynamo_chain::glob;
use simpledynamo_wire::resp::Value;

use super::errors::{CommandError, echo};
use super::input::{Input, Parsed};
use super::plan::{Plan, ServerCommand};
use super::shape::lines;
use simpledynamo_chain::number::parse_integer;

/// A parsed `CONFIG` command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigCommand {
    /// The settings whose names match one of the patterns.
    Get(Vec<Bytes>),
    /// New values, by name.
    Set(Vec<(Bytes, Bytes)>),
    /// Counters start at 0 again.
    ResetStatistics,
}

/// What a running node lets be changed. The change lasts until it restarts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setting {
    /// Seconds without a command after which a client is cut off; 0 for never.
    IdleTimeout(u32),
    /// How many clients may be connected at once.
    MaxClients(u32),
}

/// The settings in force, as `CONFIG GET` shows them.
#[derive(Clone, Debug)]
pub struct ConfigValues {
    /// The address that clients connect to, without the port.
    pub bind: String,
    /// The clients' port.
    pub port: u16,
    /// The folder of data.
    pub dir: String,
    /// `always`, `interval` or `none`.
    pub durability: &'static str,
    /// Where reads go: `any` or `tail`.
    pub read_from: &'static str,
    /// How many nodes keep each pair.
    pub replicas: usize,
    /// How many clients may be connected at once.
    pub max_clients: u32,
    /// Seconds without a command after which a client is cut off; 0 for never.
    pub idle_timeout: u32,
    /// The longest key, in bytes.
    pub max_key: usize,
    /// The longest value, in bytes.
    pub max_value: usize,
}

impl ConfigValues {
    /// Every setting, in the order of its name. A password is never among them.
    fn items(&self) -> [(&'static str, String); 19] {
        let appendfsync = match self.durability {
            "always" => "always",
            "interval" => "everysec",
            _ => "no",
        };
        let text = str::to_owned;
        [
            ("appendfsync", text(appendfsync)),
            ("appendonly", text("yes")),
            ("bind", self.bind.clone()),
            ("cluster-enabled", text("no")),
            ("databases", text("1")),
            ("dir", self.dir.clone()),
            ("maxclients", self.max_clients.to_string()),
            ("maxmemory", text("0")),
            ("maxmemory-policy", text("noeviction")),
            ("port", self.port.to_string()),
            ("proto-max-bulk-len", self.max_value.to_string()),
            ("replica-read-only", text("no")),
            ("save", String::new()),
            ("sd-durability", text(self.durability)),
            ("sd-max-key", self.max_key.to_string()),
            ("sd-max-value", self.max_value.to_string()),
            ("sd-read-from", text(self.read_from)),
            ("sd-replicas", self.replicas.to_string()),
            ("timeout", self.idle_timeout.to_string()),
        ]
    }

    /// The answer to `CONFIG GET`.
    #[must_use]
    pub fn get(&self, patterns: &[Bytes]) -> Value {
        let patterns: Vec<Vec<u8>> = patterns.iter().map(|pattern| pattern.to_ascii_lowercase()).collect();
        let wanted = |name: &str| patterns.iter().any(|pattern| glob::matches(pattern, name.as_bytes()));
        let items = self.items().into_iter().filter(|(name, _)| wanted(name));
        let bulk = |(name, value): (&'static str, String)| {
            (Value::Bulk(Bytes::from_static(name.as_bytes())), Value::Bulk(Bytes::from(value)))
        };
        Value::Map(items.map(bulk).collect())
    }

    /// What `CONFIG SET` changes: all of it, or nothing and an error.
    ///
    /// A setting that cannot be changed may be set to what it is already: tools do that.
    ///
    /// # Errors
    /// When a name is unknown or comes twice, or a value is not allowed.
    pub fn set(&self, assignments: &[(Bytes, Bytes)]) -> Result<Vec<Setting>, CommandError> {
        let items = self.items();
        let mut named = Vec::with_capacity(assignments.len());
        for (name, value) in assignments {
            let item = items.iter().find(|(known, _)| name.eq_ignore_ascii_case(known.as_bytes()));
            let (name, current) = item.ok_or_else(|| CommandError::ConfigUnknown(echo(name)))?;
            if named.iter().any(|(other, _, _)| other == name) {
                return Err(failed(name, "duplicate parameter"));
            }
            named.push((*name, current.as_str(), value));
        }
        let settings = named.into_iter().map(|(name, current, value)| setting(name, current, value));
        settings.filter_map(Result::transpose).collect()
    }
}

/// The change that one assignment means; none if it changes nothing.
fn setting(name: &'static str, current: &str, value: &[u8]) -> Result<Option<Setting>, CommandError> {
    match name {
        // Redis's bounds, the upper one of `maxclients` apart: more clients than that have no ports.
        "timeout" => number(name, value, 0, i64::from(i32::MAX)).map(|it| Some(Setting::IdleTimeout(it))),
        "maxclients" => number(name, value, 1, 1_000_000).map(|it| Some(Setting::MaxClients(it))),
        _ if current.as_bytes().eq_ignore_ascii_case(value) => Ok(None),
        _ => Err(failed(name, "can't set immutable config")),
    }
}

fn number(name: &'static str, value: &[u8], min: i64, max: i64) -> Result<u32, CommandError> {
    let Some(number) = parse_integer(value) else {
        return Err(failed(name, "argument couldn't be parsed into an integer"));
    };
    match u32::try_from(number) {
        Ok(small) if (min..=max).contains(&number) => Ok(small),
        _ => Err(failed(name, &format!("argument must be between {min} and {max} inclusive"))),
    }
}

fn failed(name: &'static str, reason: &str) -> CommandError {
    CommandError::ConfigSet { name, reason: reason.to_owned() }
}

fn config(command: ConfigCommand) -> Parsed {
    Ok(Plan::Server(ServerCommand::Config(command)))
}

/// `CONFIG GET pattern [pattern ...]`.
pub(super) fn get(input: Input<'_>) -> Parsed {
    config(ConfigCommand::Get(input.rest(2).to_vec()))
}

/// `CONFIG SET parameter value [parameter value ...]`.
pub(super) fn set(input: Input<'_>) -> Parsed {
    let (pairs, []) = input.rest(2).as_chunks::<2>() else { return Err(CommandError::Syntax) };
    config(ConfigCommand::Set(pairs.iter().map(|[name, value]| (name.clone(), value.clone())).collect()))
}

/// `CONFIG RESETSTAT`.
pub(super) fn resetstat(_: Input<'_>) -> Parsed {
    config(ConfigCommand::ResetStatistics)
}

/// `CONFIG REWRITE`.
pub(super) fn rewrite(_: Input<'_>) -> Parsed {
    Err(CommandError::ConfigRewrite)
}

/// `CONFIG HELP`.
pub(super) fn help(_: Input<'_>) -> Parsed {
    Ok(Plan::Reply(lines(&[
        "CONFIG <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
        "GET <pattern> [<pattern> ...]",
        "    Return settings of this node that match a glob-like <pattern>, and their values.",
        "SET <directive> <value> [<directive> <value> ...]",
        "    Change timeout or maxclients of this node until it restarts.",
        "RESETSTAT",
        "    Reset statistics reported by the INFO command.",
        "HELP",
        "    Print this help.",
    ])))
}
