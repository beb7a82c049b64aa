//! The table of commands as a page of documentation.

use std::fmt::Write as _;

use super::refused::{REFUSED, UNKNOWN};
use super::spec::{Group, Spec, Support};
use super::table::COMMANDS;

/// `docs/commands.md`: every command and how much of it is supported. A test keeps the file the same.
#[must_use]
pub fn render_markdown() -> String {
    let mut page = String::from(HEAD);
    let groups = [
        (Group::String, "Strings"),
        (Group::Generic, "Keys"),
        (Group::SimpleDynamo, "Selections: `@` and `*`"),
        (Group::Connection, "Connection"),
        (Group::Server, "Server"),
        (Group::Cluster, "Cluster"),
        (Group::Transactions, "Transactions"),
    ];
    for (group, title) in groups {
        let _ =
            write!(page, "\n## {title}\n\n| Command | What it does | Support | Note |\n|---|---|---|---|\n");
        for spec in COMMANDS.iter().filter(|spec| spec.group == group && !spec.has_subcommands_only()) {
            let (support, note) = match spec.support {
                Support::Full(note) => ("full", note),
                Support::Partial(note) => ("partial", note),
                Support::No(note) => ("not supported", note),
            };
            let _ = writeln!(page, "| {} | {} | {support} | {note} |", usage(spec), spec.summary);
        }
    }
    page.push_str(REFUSED_HEAD);
    for refused in REFUSED {
        let _ = writeln!(page, "| `{}` | {} |", refused.name.to_ascii_uppercase(), refused.reason);
    }
    page.push_str(UNKNOWN_HEAD);
    for (title, what) in UNKNOWN {
        let _ = writeln!(page, "- {title}: {what}.");
    }
    page.push_str(ERRORS);
    page
}

impl Spec {
    /// Whether the row only holds its subcommands together.
    fn has_subcommands_only(&self) -> bool {
        self.has_subcommands && self.arity != -1
    }
}

/// The command with its arguments, as code inside a table.
fn usage(spec: &Spec) -> String {
    let name = spec.name.replace('|', " ").to_ascii_uppercase();
    let syntax = spec.syntax.replace('|', "\\|");
    if syntax.is_empty() { format!("`{name}`") } else { format!("`{name} {syntax}`") }
}

const HEAD: &str = "\
# Commands

Every node answers these commands for any key, in RESP2 and RESP3. This page is generated from the table of
commands in `crates/node/src/commands/table.rs`; a test fails if it is out of date.

*Full* behaves as in Redis 7, *partial* differs as the note says, *not supported* is refused and changes
nothing. `SELECT 0` is the only database, and all values are strings.
";

const REFUSED_HEAD: &str = "
## Refused with a reason

These begin with `ERR unsupported command`.

| Command | Reason |
|---|---|
";

const UNKNOWN_HEAD: &str = "
## Unknown

These are answered as Redis answers an unknown command: `ERR unknown command 'LPUSH', with args beginning with: ...`.

";

const ERRORS: &str = "
## Errors of a replicated store

Besides the errors of Redis there are these. What a client may conclude from each:

| Error begins with | Meaning |
|---|---|
| `UNAVAILABLE` | It certainly did not happen; it may be tried again. |
| `UNKNOWN` | It may have happened, may still happen, or may never happen: its outcome did not arrive in time. |
| `PARTIAL` | Of a command on several keys a part happened; the text counts the keys. |

After `UNAVAILABLE` stands what was missing for all of `operation_timeout_ms`, or for `lease_ms` where it is the lease:

| `UNAVAILABLE ...` | What was missing |
|---|---|
| `this node has no lease: it stood still, or cannot reach a majority of the voters` | The right of this node to serve: ask another one. |
| `the chain of this key is not formed yet` | A chain: it is changing, or no node that holds the key's last writes is there. |
| `no node that could answer for this key can be reached` | A connection to the head of the chain, or to any member. |
| `a member of this key's chain cannot be reached` | A connection from the head to its successor. |
| `the members of this key's chain are overloaded` | Room for more unfinished work. |
| `the read was not answered in time` | An answer of any member. |

[operations.md](operations.md#troubleshooting) says what to do.
";
