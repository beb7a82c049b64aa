//! Commands about the server.

use bytes::Bytes;
use simpledynamo_wire::resp::Value;

use super::errors::CommandError;
use super::info::Sections;
use super::input::{Input, Parsed, is};
use super::plan::{Plan, RingPlan, ServerCommand};
use simpledynamo_chain::number::parse_integer;

/// `INFO [section [section ...]]`.
pub(super) fn info(input: Input<'_>) -> Parsed {
    Ok(Plan::Ring(RingPlan::Info(Sections::named(input.rest(1)))))
}

/// `TIME`: seconds and microseconds, the latter exact to the millisecond.
pub(super) fn time(input: Input<'_>) -> Parsed {
    let now = input.context.now;
    let text = |number: u64| Value::Bulk(Bytes::from(number.to_string()));
    Ok(Plan::Reply(Value::Array(vec![text(now / 1_000), text(now % 1_000 * 1_000)])))
}

/// `ROLE`: a master without replicas of its own, since to a client all nodes are alike.
pub(super) fn role(_: Input<'_>) -> Parsed {
    let master = Value::Bulk(Bytes::from_static(b"master"));
    Ok(Plan::Reply(Value::Array(vec![master, Value::Integer(0), Value::Array(Vec::new())])))
}

/// `CLUSTER ...`: whatever it asks, clients are to treat the node as one server.
pub(super) fn cluster(_: Input<'_>) -> Parsed {
    Err(CommandError::Cluster)
}

/// `WAIT numreplicas timeout`: all serving replicas have every acknowledged write, so there is nothing to
/// wait for.
pub(super) fn wait(input: Input<'_>) -> Parsed {
    input.integer(1)?;
    check_timeout(&input.all[2])?;
    Ok(Plan::Server(ServerCommand::Wait))
}

/// `WAITAOF numlocal numreplicas timeout`.
pub(super) fn waitaof(input: Input<'_>) -> Parsed {
    if !(0..=1).contains(&input.integer(1)?) {
        return Err(CommandError::LocalCount);
    }
    if input.integer(2)? < 0 {
        return Err(CommandError::NotPositive);
    }
    check_timeout(&input.all[3])?;
    Ok(Plan::Server(ServerCommand::WaitDurable))
}

fn check_timeout(text: &[u8]) -> Result<(), CommandError> {
    match parse_integer(text) {
        None => Err(CommandError::TimeoutNumber),
        Some(..0) => Err(CommandError::TimeoutNegative),
        Some(0..) => Ok(()),
    }
}

/// `LOLWUT [VERSION version]`: the ring, as an ornament.
pub(super) fn lolwut(input: Input<'_>) -> Parsed {
    if let [option, version, ..] = input.rest(1)
        && is(option, "version")
        && parse_integer(version).is_none()
    {
        return Err(CommandError::NotAnInteger);
    }
    let ring = concat!(
        "        .  o  .        \n",
        "     o           o     \n",
        "    .             .    \n",
        "     o           o     \n",
        "        .  .  .        \n",
        "SimpleDynamo ver. ",
        env!("CARGO_PKG_VERSION"),
        "\n"
    );
    Ok(Plan::Reply(Value::Verbatim(Bytes::from_static(ring.as_bytes()))))
}
