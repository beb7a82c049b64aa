//! Carrying out `SD.FAULT`.

use simpledynamo_chain::Node;
use simpledynamo_topology::NodeId;

use crate::clock;
use crate::commands::{CommandError, FaultCommand};
use crate::peers::switch::Switch;

/// Brings a fault about, or ends it.
///
/// # Errors
/// When it names no other node.
pub(super) fn inject(fault: &FaultCommand, node: &Node, switch: &Switch) -> Result<(), CommandError> {
    match fault {
        FaultCommand::CutTo(name) => switch.cut_to(other(node, name)?),
        FaultCommand::CutFrom(name) => switch.cut_from(other(node, name)?),
        FaultCommand::Heal => switch.heal(),
        FaultCommand::Clock { ppm, offset } => clock::put_wrong(*ppm, *offset),
    }
    tracing::warn!("fault injected: {fault:?}");
    Ok(())
}

/// Another node by its name.
fn other(node: &Node, name: &[u8]) -> Result<NodeId, CommandError> {
    let names = node.topology().ring().names();
    let found = names.iter().position(|other| other.as_bytes() == name).map(NodeId::at);
    found.filter(|found| *found != node.me().node).ok_or_else(|| CommandError::no_other_node(name))
}
