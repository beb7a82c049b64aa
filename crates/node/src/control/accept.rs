//! The peers' port: whoever connects introduces itself, and is handed on by what it came for.
//!
//! The control thread listens, so that a node with much to do still welcomes the others at once.

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::BytesMut;
use simpledynamo_topology::NodeId;
use simpledynamo_wire::peer::LinkKind;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::peers::handshake::{Identity, welcome};
use crate::peers::switch::Gate;
use crate::socket;

/// Connections that may introduce themselves at the same time: all nodes of a large ring at once, and no more
/// than a scanner of ports can do harm with.
const HANDSHAKES_MAX: usize = 1_024;

/// How often the same complaint about the same stranger is logged.
const COMPLAINT_INTERVAL: Duration = Duration::from_secs(60);

/// Different complaints about strangers that are remembered, and so logged, within that time.
const COMPLAINTS_MAX: usize = 100;

/// A node that has introduced itself.
pub(crate) struct Guest {
    pub(crate) node: NodeId,
    pub(crate) stream: TcpStream,
    /// What it has said beyond its introduction.
    pub(crate) buffer: BytesMut,
    /// What the link passes through.
    pub(crate) gate: Gate,
}

/// What to do with a guest, by what it came for; `Err` is logged.
pub(super) trait Host: Send + Sync + 'static {
    fn receive(&self, guest: Guest, link: LinkKind) -> impl Future<Output = io::Result<()>> + Send;
}

/// Accepts links from other nodes, for as long as this node runs.
pub(super) async fn accept(listener: TcpListener, identity: Arc<Identity>, host: Arc<impl Host>) {
    let handshakes = Arc::new(Semaphore::new(HANDSHAKES_MAX));
    let complaints = Arc::new(Mutex::new(Complaints::default()));
    loop {
        let (mut stream, from) = socket::accept(&listener).await;
        let Ok(permit) = Arc::clone(&handshakes).try_acquire_owned() else {
            tracing::warn!("turned away a connection from {from}: too many are introducing themselves");
            continue;
        };
        let (identity, host, complaints) =
            (Arc::clone(&identity), Arc::clone(&host), Arc::clone(&complaints));
        tokio::spawn(async move {
            let ended = match welcome(&identity, &mut stream).await {
                Ok((node, link, buffer)) => {
                    drop(permit);
                    host.receive(Guest { node, stream, buffer, gate: identity.switch.gate(node) }, link).await
                }
                Err(error) => Err(error),
            };
            if let Err(error) = ended {
                let reason = error.to_string();
                if complaints.lock().unwrap_or_else(PoisonError::into_inner).is_news(from.ip(), &reason) {
                    tracing::warn!("a link from {from} ended: {reason}");
                }
            }
        });
    }
}

/// What has been complained of lately, so that a node that tries again and again does not fill the log.
#[derive(Default)]
struct Complaints(BTreeMap<(IpAddr, String), Instant>);

impl Complaints {
    /// Whether this was not said within the last [`COMPLAINT_INTERVAL`].
    fn is_news(&mut self, from: IpAddr, reason: &str) -> bool {
        self.0.retain(|_, said| said.elapsed() < COMPLAINT_INTERVAL);
        if self.0.len() >= COMPLAINTS_MAX {
            return false;
        }
        self.0.insert((from, reason.to_owned()), Instant::now()).is_none()
    }
}
