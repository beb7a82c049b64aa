//! Whether this node's store is an old copy of itself.
//!
//! A copy that was put back has forgotten what came after it: acknowledged writes, and what this voter has voted for.
//! The others know the node's last session, and the store has recorded its own. What a store does not know of itself
//! makes it an old copy, and that counts as empty.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use simpledynamo_storage::disk::{Lives, mark_damaged};
use simpledynamo_topology::NodeId;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::links::{CallError, ControlLinks};
use super::message::{read_known, who_am_i_body};
use crate::fatal;
use crate::peers::handshake::Identity;

/// How long a node that starts waits for what the others know of it. Where all start together nobody knows anything,
/// and all answer so at once.
const ASK_FOR: Duration = Duration::from_millis(500);

/// From one attempt to ask a node to the next: links are made while this node starts.
const ASK_AGAIN: Duration = Duration::from_millis(20);

/// Whether another node knows of a session on this store that the store does not know of. Whoever cannot be reached
/// is not waited for: then the topology tells later, once this node takes part in the control group.
pub(super) async fn is_known(links: &ControlLinks, identity: &Arc<Identity>, lives: &Lives) -> bool {
    if lives.is_empty() {
        return false;
    }
    let mut answers = JoinSet::new();
    for node in (0..identity.names.len()).map(NodeId::at).filter(|&node| node != identity.me) {
        let links = links.clone();
        answers.spawn(async move { ask(&links, node).await });
    }
    while let Some(answer) = answers.join_next().await {
        if let Ok(Some(body)) = answer
            && let Some(known) = read_known(&body)
            && known.store == identity.store
            && known.session.0 > 0
            && !lives.contains(known.session, known.nonce)
        {
            return true;
        }
    }
    false
}

async fn ask(links: &ControlLinks, node: NodeId) -> Option<bytes::Bytes> {
    let give_up = Instant::now() + ASK_FOR;
    loop {
        match links.call(node, who_am_i_body(), ASK_FOR).await {
            Ok(answer) => return Some(answer),
            Err(CallError::Unreachable) if Instant::now() < give_up => sleep(ASK_AGAIN).await,
            Err(_) => return None,
        }
    }
}

/// The store is an old copy: the process begins anew with an empty one.
pub(super) fn begin_anew(folder: &Path) -> ! {
    tracing::error!(
        "the data folder is an old copy: this node was in a later session than it knows of; it is set aside, and \
         the others fill a new one"
    );
    if let Err(error) = mark_damaged(folder) {
        fatal::stop(&error);
    }
    fatal::begin_anew();
}
