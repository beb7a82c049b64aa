//! Starting the control thread.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use simpledynamo_chain::control::LeaseTerms;
use simpledynamo_control::{
    ControlError, ControlGroup, ControlId, Options, StoreError, Transport, TransportError,
};
use simpledynamo_ring::Ring;
use simpledynamo_storage::disk::Lives;
use simpledynamo_topology::NodeId;
use simpledynamo_wire::peer::LinkKind;
use tokio::net::TcpListener;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::accept::{Guest, Host, accept};
use super::driver::{self, Inputs, Parts};
use super::handle::{ControlHandle, FromControl, News, Shared, ToControl};
use super::links::{self, CallError, ControlLinks};
use super::membership;
use super::message::{Body, Message, group_body, known_body};
use super::old_copy;
use super::status::ControlStatus;
use crate::core::pulse::Pulse;
use crate::fatal;
use crate::peers::handshake::Identity;

/// Messages that may wait for the driver: a renewal or two of every node of a large ring. More are dropped; their
/// senders try again.
const MESSAGES_MAX: usize = 4_096;

/// What the control thread is started with.
pub(crate) struct Setup {
    pub(crate) identity: Arc<Identity>,
    pub(crate) ring: Arc<Ring>,
    pub(crate) voters: BTreeSet<NodeId>,
    pub(crate) terms: LeaseTerms,
    /// From one heartbeat of the control group's leader to the next.
    pub(crate) heartbeat: Duration,
    /// Between these times without a heartbeat a voter stands for election.
    pub(crate) election: (Duration, Duration),
    /// The folder of the store.
    pub(crate) folder: PathBuf,
    pub(crate) lives: Lives,
    pub(crate) pulse: Arc<Pulse>,
    /// Where other nodes connect.
    pub(crate) listener: std::net::TcpListener,
}

/// Starts the thread.
///
/// # Errors
/// When the system gives no thread.
pub(crate) fn start(setup: Setup) -> io::Result<(ControlHandle, UnboundedReceiver<FromControl>)> {
    let (to_data, from_control) = unbounded_channel();
    let (sender, from_data) = unbounded_channel();
    let shared = Arc::new(Shared {
        pulse: Arc::clone(&setup.pulse),
        news: Mutex::new(News::default()),
        status: Mutex::new(ControlStatus::default()),
        folder: setup.folder.clone(),
    });
    let handle = ControlHandle { shared: Arc::clone(&shared), sender };
    thread::Builder::new().name("control".to_owned()).spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.unwrap_or_else(|error| {
            fatal::stop(&format_args!("cannot start the event loop of the control thread: {error}"))
        });
        runtime.block_on(run(setup, shared, to_data, from_data));
    })?;
    Ok((handle, from_control))
}

async fn run(
    setup: Setup,
    shared: Arc<Shared>,
    to_data: UnboundedSender<FromControl>,
    from_data: UnboundedReceiver<ToControl>,
) {
    let identity = setup.identity;
    let me = ControlId { node: identity.me, store: identity.store };
    let (on_refused, refused) = mpsc::channel(MESSAGES_MAX);
    let control_links = ControlLinks::start(&identity, on_refused);
    let (messages_sender, messages) = mpsc::channel(MESSAGES_MAX);
    let opened = Arc::new(OnceLock::new());
    let host = Door { group: Arc::clone(&opened), messages: messages_sender, to_data: to_data.clone() };
    let listener = TcpListener::from_std(setup.listener)
        .unwrap_or_else(|error| fatal::stop(&format_args!("cannot listen for other nodes: {error}")));
    tokio::spawn(accept(listener, Arc::clone(&identity), Arc::new(host)));
    // An old copy of a store is an old copy of this voter's votes too: it must not say a word in the group.
    if old_copy::is_known(&control_links, &identity, &setup.lives).await {
        old_copy::begin_anew(&setup.folder);
    }
    let options = Options {
        heartbeat: setup.heartbeat,
        election_min: setup.election.0,
        election_max: setup.election.1,
        ..Options::new(setup.folder.join("control"), me, identity.cluster.clone())
    };
    let group = ControlGroup::open(options, setup.ring, Road(control_links.clone())).await;
    let group = group.unwrap_or_else(|error| stop_for(&setup.folder, &error));
    let _ = opened.set(group.clone());
    let names = identity.names.clone();
    tokio::spawn(membership::seek(
        group.clone(),
        names.len(),
        setup.voters.clone(),
        names.clone(),
        Arc::clone(&shared),
    ));
    let parts = Parts {
        me: identity.me,
        voters: setup.voters,
        names,
        terms: setup.terms,
        group,
        links: control_links,
        lives: setup.lives,
        shared,
        to_data,
    };
    driver::run(parts, Inputs { from_data, messages, refused }).await;
}

/// The control group's files cannot be used. If they are damaged, this voter may have forgotten what it voted for: it
/// must not return as who it was, so its whole store is emptied at the next start.
fn stop_for(folder: &Path, error: &ControlError) -> ! {
    if matches!(error, ControlError::Store(StoreError::Damaged { .. })) {
        fatal::note_damage(folder);
    }
    fatal::stop(error)
}

/// The control group's road to other nodes.
struct Road(ControlLinks);

impl Transport for Road {
    async fn call(&self, to: NodeId, request: Vec<u8>, limit: Duration) -> Result<Vec<u8>, TransportError> {
        match self.0.call(to, group_body(&request), limit).await {
            Ok(reply) => Ok(reply.into()),
            Err(error @ CallError::Unreachable) => Err(TransportError::NotReached(error.to_string())),
            Err(error @ CallError::NoReply) => Err(TransportError::NoReply(error.to_string())),
        }
    }
}

/// Where guests come in.
struct Door {
    /// Empty until this node's part in the group is open.
    group: Arc<OnceLock<ControlGroup>>,
    messages: mpsc::Sender<(NodeId, Message)>,
    to_data: UnboundedSender<FromControl>,
}

impl Host for Door {
    async fn receive(&self, guest: Guest, link: LinkKind) -> io::Result<()> {
        let Guest { node, stream, buffer, gate } = guest;
        match link {
            LinkKind::Data => {
                let stream = stream.into_std()?;
                let _ = self.to_data.send(FromControl::Link { from: node, stream, buffer, gate });
                Ok(())
            }
            LinkKind::Control => {
                links::serve(stream, buffer, &gate, |body: Bytes| {
                    let (group, messages) = (self.group.get().cloned(), self.messages.clone());
                    async move {
                        match Body::read(&body) {
                            Some(Body::Group(frame)) => Some(group?.handle(frame).await),
                            Some(Body::WhoAmI) => {
                                let known = group.map(|group| *group.topology().borrow().node(node));
                                Some(known_body(known))
                            }
                            Some(Body::Message(message)) => {
                                let _ = messages.try_send((node, message));
                                None
                            }
                            None => {
                                tracing::debug!(
                                    "node {node} said something on a control link that is nothing"
                                );
                                None
                            }
                        }
                    }
                })
                .await
            }
        }
    }
}
