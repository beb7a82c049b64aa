//! Signals that end what has started nodes: the nodes are to be stopped first.

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::failure::Failure;

/// The signals that a process with nodes of its own answers to.
#[derive(Debug)]
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
    child: Signal,
}

impl Signals {
    /// From here on the signals no longer end this process.
    pub(crate) fn catch() -> Result<Self, Failure> {
        let catch =
            |kind| signal(kind).map_err(|error| Failure::Other(format!("cannot catch signals: {error}")));
        Ok(Self {
            interrupt: catch(SignalKind::interrupt())?,
            terminate: catch(SignalKind::terminate())?,
            hangup: catch(SignalKind::hangup())?,
            child: catch(SignalKind::child())?,
        })
    }

    /// The next thing that happens.
    pub(super) async fn next(&mut self) -> Event {
        tokio::select! {
            _ = self.interrupt.recv() => Event::End,
            _ = self.terminate.recv() => Event::End,
            _ = self.hangup.recv() => Event::End,
            _ = self.child.recv() => Event::NodeEnded,
        }
    }

    /// Returns when the process is to end.
    pub(crate) async fn end(&mut self) {
        while self.next().await != Event::End {}
    }
}

/// What a signal means to the demo.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// Stop everything.
    End,
    /// Some node may have ended.
    NodeEnded,
}
