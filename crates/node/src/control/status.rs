//! What the control thread tells about itself, for INFO and the status command.

use simpledynamo_topology::NodeId;

/// What the control thread tells about itself.
#[derive(Clone, Debug, Default)]
pub(crate) struct ControlStatus {
    /// The voter that leads the control group, as far as this node knows.
    pub(crate) controller: Option<NodeId>,
    /// The group's term.
    pub(crate) term: u64,
    /// Whether the group has been formed.
    pub(crate) is_formed: bool,
    /// The voters, as the group's log has them.
    pub(crate) voters: Vec<NodeId>,
    /// The voters that are missing before the ring can form.
    pub(crate) missing: Vec<NodeId>,
}
