//! Safeguards taken away on purpose: the simulator must notice (S31).
//!
//! Not here, because nothing is lost without them: a store that opens syncs what it recovered (the seal or the cut that
//! comes before any word about it syncs it too). The topology's number in a grant and the look at the lease before an
//! answer goes out can be told only from the invariants that ask for them, since sessions and seals forbid the same:
//! for these two I7 is what notices.

/// A safeguard that the driver leaves out, or an order of things that it does not keep.
///
/// The core has no switch for any of this: each is brought about from outside, by the driver around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sabotage {
    /// A seal is reported durable before what was accepted earlier is.
    NoSeal,
    /// A lease counts from when the grant came, not from when it was asked for.
    LeaseFromReceipt,
    /// A grant counts whatever topology is known.
    NoTopologyNumber,
    /// A round counts as confirmed without asking anybody.
    NoQuorumRound,
    /// `Down` counts whichever controller said it.
    NoGeneration,
    /// A joiner is proposed as soon as it is attached.
    PromotedEarly,
    /// A member answers from its newest version, committed or not.
    ReadsDirty,
    /// Answers go out without a look at the lease.
    NoRelease,
    /// Changes are reported durable before they are.
    DurableEarly,
    /// A restarted node does not know what became of the writes in its log.
    OpIdsForgotten,
    /// A node that leaves surrenders a lease that it still uses.
    DownAtOnce,
    /// An old copy of a store registers as if it were the store.
    OldBackup,
    /// Another store takes over a node whose session lives, as if it were the same.
    OtherStore,
    /// A restarted node knows what became of writes that are no longer in its log.
    OpIdsKept,
    /// A message counts whichever sessions it is of.
    SessionsUnchecked,
    /// A new controller does not wait for what others may have granted.
    NoWaitAfterUp,
}

impl Sabotage {
    /// Whether I7 is asserted all the same: nothing else notices.
    pub(crate) fn leaves_leases_judged(self) -> bool {
        matches!(self, Self::NoTopologyNumber | Self::NoRelease)
    }

    /// All of them.
    pub const ALL: [Self; 16] = [
        Self::NoSeal,
        Self::LeaseFromReceipt,
        Self::NoTopologyNumber,
        Self::NoQuorumRound,
        Self::NoGeneration,
        Self::PromotedEarly,
        Self::ReadsDirty,
        Self::NoRelease,
        Self::DurableEarly,
        Self::OpIdsForgotten,
        Self::DownAtOnce,
        Self::OldBackup,
        Self::OtherStore,
        Self::OpIdsKept,
        Self::SessionsUnchecked,
        Self::NoWaitAfterUp,
    ];
}
