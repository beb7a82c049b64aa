//! How a member of the group is set up.

use std::path::PathBuf;
use std::time::Duration;

use openraft::SnapshotPolicy;

use crate::{ControlError, ControlId};

/// At most this many vote: more would only make every decision slower.
pub const VOTERS_MAX: usize = 7;

/// A snapshot is taken after this many entries of the log.
const SNAPSHOT_EVERY: u64 = 1_000;

/// This many of the entries that a snapshot holds are kept, for members that lag a little.
const KEEP: u64 = 200;

/// How long a snapshot may take to be sent and installed.
const SNAPSHOT_LIMIT: Duration = Duration::from_secs(5);

/// How a member of the group is set up.
#[derive(Clone, Debug)]
pub struct Options {
    /// The folder of its store, which is made if need be. No other process may use it: the node's own lock sees to
    /// that.
    pub folder: PathBuf,
    /// Who it is.
    pub me: ControlId,
    /// The name of the ring. Frames of another are refused.
    pub ring_id: String,
    /// What heartbeats and their replies are allotted, at least 10 ms. A heartbeat is sent every one and a half of
    /// this, and in the same rhythm a member looks whether to start an election.
    pub heartbeat: Duration,
    /// The least time without a leader before an election is started, at least three heartbeats. It starts to run only
    /// when up to [`Self::election_max`] has passed since the leader was last heard: before that no voter lets go of
    /// it.
    pub election_min: Duration,
    /// The most; at least [`VOTERS_MAX`] milliseconds above the least. Between the two, each voter has a range of its
    /// own.
    pub election_max: Duration,
    /// How long a proposal may take: to find a leader, and to be committed.
    pub proposal_limit: Duration,
}

impl Options {
    /// The usual options: a heartbeat of 50 ms, elections after 150 to 250 ms, proposals within 2 s.
    #[must_use]
    pub fn new(folder: PathBuf, me: ControlId, ring_id: String) -> Self {
        Self {
            folder,
            me,
            ring_id,
            heartbeat: Duration::from_millis(50),
            election_min: Duration::from_millis(150),
            election_max: Duration::from_millis(250),
            proposal_limit: Duration::from_secs(2),
        }
    }

    /// Where this voter stands among those that might start an election at the same time.
    pub(crate) fn slot(&self) -> u32 {
        u32::from(self.me.node.0) % VOTERS_MAX as u32
    }

    /// What openraft is told.
    ///
    /// It draws the time to an election once, when it starts. Two voters that draw alike would collide in every
    /// election, so each draws from its own part of the range.
    pub(crate) fn to_config(&self) -> Result<openraft::Config, ControlError> {
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let (min, max) = (millis(self.election_min), millis(self.election_max));
        let slots = VOTERS_MAX as u64;
        let heartbeat = millis(self.heartbeat);
        if heartbeat < 10 || min < 3 * heartbeat || max < min + slots {
            return Err(ControlError::Options);
        }
        let width = (max - min) / slots;
        let election_min = min + u64::from(self.slot()) * width;
        let config = openraft::Config {
            cluster_name: self.ring_id.clone(),
            heartbeat_interval: heartbeat,
            election_timeout_min: election_min,
            election_timeout_max: election_min + width,
            install_snapshot_timeout: millis(SNAPSHOT_LIMIT),
            snapshot_policy: SnapshotPolicy::LogsSinceLast(SNAPSHOT_EVERY),
            max_in_snapshot_log_to_keep: KEEP,
            purge_batch_size: KEEP,
            ..openraft::Config::default()
        };
        config.validate().map_err(|_| ControlError::Options)
    }
}
