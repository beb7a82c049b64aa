//! Asks every node of a ring at once.

use std::thread;
use std::time::Duration;

use simpledynamo_node::config::Password;
use simpledynamo_node::ring_reply::RingReply;

use crate::arguments::RingSource;
use crate::client::{Client, load_password};
use crate::failure::Failure;
use crate::placement::Placement;
use crate::reply;

/// How long a node may take to be there, and then to answer: one that is well takes a millisecond, and somebody waits.
const PATIENCE: Duration = Duration::from_secs(1);

/// Nodes that are asked at the same time: each by a thread.
const AT_ONCE: usize = 100;

/// What a node answered, or why it did not.
pub(super) struct Answer {
    pub(super) address: String,
    pub(super) told: Result<RingReply, Failure>,
}

/// Asks the node that the command line names, or those of the configuration or of the classic ring; then those that
/// their answers name besides. Some node answers, or this fails.
pub(super) fn all(source: &RingSource) -> Result<Vec<Answer>, Failure> {
    let password = source.connection.password_file.as_deref().map(load_password).transpose()?;
    let known = match &source.connection.node {
        Some(node) => vec![node.clone()],
        None => Placement::find(source, false)?.addresses.into_iter().map(|(client, _)| client).collect(),
    };
    let mut answers = ask(known, password.as_ref());
    if answers.iter().all(|answer| answer.told.is_err()) {
        return Err(nobody(answers));
    }
    let named: Vec<String> = answers
        .iter()
        .flat_map(|answer| answer.told.iter().flat_map(|reply| &reply.nodes))
        .map(|node| node.client.clone())
        .collect();
    let mut others = Vec::new();
    for address in named {
        let is_asked = |asked: &Answer| {
            asked.address == address || asked.told.as_ref().is_ok_and(|reply| own_address(reply) == address)
        };
        if !others.contains(&address) && !answers.iter().any(is_asked) {
            others.push(address);
        }
    }
    answers.extend(ask(others, password.as_ref()));
    Ok(answers)
}

/// The client address of the node that answers, as its ring has it. It may have been asked under another name.
pub(super) fn own_address(reply: &RingReply) -> &str {
    reply.nodes.iter().find(|node| node.name == reply.here.node).map_or("", |node| &node.client)
}

fn ask(addresses: Vec<String>, password: Option<&Password>) -> Vec<Answer> {
    let mut answers = Vec::with_capacity(addresses.len());
    for some in addresses.chunks(AT_ONCE) {
        thread::scope(|scope| {
            let threads: Vec<_> =
                some.iter().map(|address| scope.spawn(move || ask_one(address, password))).collect();
            for (address, thread) in some.iter().zip(threads) {
                let told = thread.join().expect("asking does not panic");
                answers.push(Answer { address: address.clone(), told });
            }
        });
    }
    answers
}

fn ask_one(address: &str, password: Option<&Password>) -> Result<RingReply, Failure> {
    let mut client = Client::connect(address, password, PATIENCE)?;
    client.set_reply_timeout(PATIENCE);
    reply::ask(&mut client, address)
}

/// Nobody answers: why, of one node or of all of them.
fn nobody(mut answers: Vec<Answer>) -> Failure {
    let asked: Vec<String> = answers.iter().map(|answer| answer.address.clone()).collect();
    let first = answers.swap_remove(0).told.expect_err("no node has answered");
    match first {
        Failure::Unavailable(reason) if asked.len() > 1 => {
            Failure::Unavailable(format!("none of {} answers: {reason}", asked.join(", ")))
        }
        first => first,
    }
}
