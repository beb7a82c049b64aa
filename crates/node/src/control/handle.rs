//! How the data thread and the control thread talk to each other.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use simpledynamo_chain::Millis;
use simpledynamo_chain::control::{Offer, Suspect};
use simpledynamo_storage::disk;
use simpledynamo_topology::{Command, NodeId, Session, Topology};
use tokio::sync::mpsc::UnboundedSender;

use super::status::ControlStatus;
use crate::core::pulse::Pulse;
use crate::peers::switch::Gate;
use crate::{clock, fatal};

/// What the control thread tells the data thread.
pub(crate) enum FromControl {
    /// The ring has changed, or this process's session.
    Topology { topology: Arc<Topology>, session: Session },
    /// A lease was granted: good until then for who knows this topology.
    Lease { until: Millis, version: u64 },
    /// A node has made a data link to this one.
    Link { from: NodeId, stream: std::net::TcpStream, buffer: bytes::BytesMut, gate: Gate },
    /// This node has left: its session has ended, and the chains that it was in serve without it.
    Left,
}

/// What the data thread tells the control thread.
pub(super) enum ToControl {
    /// Have this decided.
    Propose(Command),
    /// The node uses its lease no more, and is about to leave.
    Surrender,
}

/// What the next renewal says besides asking.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct News {
    pub(super) offers: Vec<Offer>,
    pub(super) suspects: Vec<Suspect>,
}

/// What both threads look at.
pub(super) struct Shared {
    pub(super) pulse: Arc<Pulse>,
    pub(super) news: Mutex<News>,
    pub(super) status: Mutex<ControlStatus>,
    /// The folder of the store.
    pub(super) folder: PathBuf,
}

impl Shared {
    pub(super) fn news(&self) -> MutexGuard<'_, News> {
        self.news.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn status(&self) -> MutexGuard<'_, ControlStatus> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The data thread's way to the control thread. Clones lead to the same thread.
#[derive(Clone)]
pub(crate) struct ControlHandle {
    pub(super) shared: Arc<Shared>,
    pub(super) sender: UnboundedSender<ToControl>,
}

impl ControlHandle {
    /// The data thread is alive, and this is what the controller should hear.
    pub(crate) fn tell(&self, offers: Vec<Offer>, suspects: Vec<Suspect>) {
        self.shared.pulse.tick(clock::boot_millis());
        *self.shared.news() = News { offers, suspects };
    }

    /// Has a command decided, some time. It is asked for again by the core until the topology shows it.
    pub(crate) fn propose(&self, command: Command) {
        // The control thread ends only with the process.
        let _ = self.sender.send(ToControl::Propose(command));
    }

    /// The node answers no read any more: it leaves.
    pub(crate) fn surrender(&self) {
        let _ = self.sender.send(ToControl::Surrender);
    }

    /// What the control thread tells about itself.
    pub(crate) fn status(&self) -> ControlStatus {
        self.shared.status().clone()
    }

    /// Notes that the store has lost something: it is emptied before it is opened again.
    pub(crate) fn mark_damaged(&self) {
        if let Err(error) = disk::mark_damaged(&self.shared.folder) {
            fatal::stop(&error);
        }
    }
}
