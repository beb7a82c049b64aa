//! The clients: a request, its reply, a pause, the next request.

use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use simpledynamo_wire::OutBuffer;
use simpledynamo_wire::resp::{Value, encode_command};
use tokio::task::JoinSet;

use crate::failure::Failure;

use super::connection::{Connection, Setup, Unanswered};
use super::keys::Plan;
use super::tally::{Kind, Tally};

/// How long a client waits for a reply: longer than a node takes to give an operation up.
const REPLY_TIMEOUT: Duration = Duration::from_secs(20);

/// How long a client waits before it connects again: a dead node must not cost the machine its time.
const RECONNECT_PAUSE: Duration = Duration::from_millis(10);

/// The least pause after a failure, since errors may come without any delay.
const FAILURE_PAUSE: Duration = Duration::from_millis(1);

/// What the clients of a measurement have in common.
#[derive(Debug)]
pub(super) struct Load {
    /// `setup.nodes` are those that take clients.
    pub(super) setup: Setup,
    pub(super) pause: Duration,
    pub(super) value_size: usize,
}

impl Load {
    /// Writes every key once, so that each read has something to find.
    pub(super) async fn prepare(&self, plans: &[Plan]) -> Result<(), Failure> {
        let node = &self.setup.nodes[0];
        let failed = |what: String| {
            Failure::Unavailable(format!(
                "{node} could not write the keys before the measurement: {what}; are all nodes up?"
            ))
        };
        let mut connection =
            Connection::open(node, &self.setup).await.map_err(|error| failed(error.to_string()))?;
        for plan in plans {
            let request = self.set(&plan.key, &plan.key);
            match tokio::time::timeout(REPLY_TIMEOUT, connection.ask(&request)).await {
                Ok(Ok(reply)) => judge_write(&reply).map_err(|wrong| failed(wrong.text))?,
                Ok(Err(_)) => return Err(failed("the connection broke".to_owned())),
                Err(_) => return Err(failed("no answer".to_owned())),
            }
        }
        Ok(())
    }

    /// Starts all clients; they end when the set is dropped.
    pub(super) fn start(self, plans: &[Plan], tally: &Rc<Tally>) -> JoinSet<()> {
        let load = Rc::new(self);
        let mut clients = JoinSet::new();
        for (number, plan) in plans.iter().enumerate() {
            clients.spawn_local(drive(load.clone(), number, plan.clone(), tally.clone()));
        }
        clients
    }

    fn set(&self, key: &str, content: &str) -> Vec<u8> {
        encoded(&[b"SET", key.as_bytes(), &padded(content, self.value_size)])
    }
}

/// One client. It goes back to its own node when a connection has ended, and to the next one if that is not there.
async fn drive(load: Rc<Load>, number: usize, plan: Plan, tally: Rc<Tally>) {
    let nodes = &load.setup.nodes;
    let expected = padded(&plan.key, load.value_size);
    let get = encoded(&[b"GET", plan.key.as_bytes()]);
    let mut written = 0u64;
    let mut attempt = 0;
    loop {
        let node = &nodes[(plan.home + attempt) % nodes.len()];
        let Ok(mut connection) = Connection::open(node, &load.setup).await else {
            // No request was sent: nothing has failed yet, but the key's gap grows.
            attempt += 1;
            tokio::time::sleep(RECONNECT_PAUSE).await;
            continue;
        };
        attempt = 0;
        // A node that stops in order answers what it has taken, and closes: the next request goes elsewhere.
        while !connection.is_closed() {
            let request = match plan.kind {
                Kind::Write => &load.set(&plan.key, &written.to_string()),
                Kind::Read => &get,
            };
            written += 1;
            let sent_at = Instant::now();
            let wrong = match tokio::time::timeout(REPLY_TIMEOUT, connection.ask(request)).await {
                Ok(Ok(reply)) => match plan.kind {
                    Kind::Write => judge_write(&reply),
                    Kind::Read => judge_read(&reply, &expected),
                }
                .err(),
                Ok(Err(Unanswered::NotSent)) => break,
                Ok(Err(Unanswered::Broken(error))) => Some(Wrong::broken(&error)),
                Err(_) => {
                    Some(Wrong::lost("no answer", &format!("no answer in {} s", REPLY_TIMEOUT.as_secs())))
                }
            };
            let Some(wrong) = wrong else {
                tally.success(number, Instant::now());
                pause(load.pause).await;
                continue;
            };
            tally.failure(&wrong.kind, |since| {
                let command = if plan.kind == Kind::Write { "SET" } else { "GET" };
                let (at, took) = (since.as_secs_f64(), sent_at.elapsed().as_secs_f64());
                format!(
                    "{at:.3} s after the signal, after {took:.3} s: {command} {} through {node}: {}",
                    plan.key, wrong.text
                )
            });
            pause(load.pause.max(FAILURE_PAUSE)).await;
            if wrong.connection_lost {
                break;
            }
        }
        // A node may accept connections and close them at once.
        tokio::time::sleep(RECONNECT_PAUSE).await;
    }
}

/// Waits; a pause of no length still lets other clients have their turn.
async fn pause(length: Duration) {
    if length.is_zero() {
        tokio::task::yield_now().await;
    } else {
        tokio::time::sleep(length).await;
    }
}

/// A reply that is not a success, or none.
#[derive(Debug)]
struct Wrong {
    /// The first word of an error, or what became of the connection.
    kind: String,
    text: String,
    connection_lost: bool,
}

impl Wrong {
    fn reply(text: &str) -> Self {
        let kind = text.split(' ').next().unwrap_or("error").to_owned();
        Self { kind, text: text.to_owned(), connection_lost: false }
    }

    fn lost(kind: &str, text: &str) -> Self {
        Self { kind: kind.to_owned(), text: text.to_owned(), connection_lost: true }
    }

    fn broken(error: &io::Error) -> Self {
        Self::lost("connection broke", &format!("the connection broke before the reply: {error}"))
    }
}

fn judge_write(reply: &Value) -> Result<(), Wrong> {
    match reply {
        Value::Error(text) => Err(Wrong::reply(text)),
        Value::Simple(text) if text == "OK" => Ok(()),
        other => Err(Wrong::reply(&format!("UNEXPECTED {}", shortened(other)))),
    }
}

fn judge_read(reply: &Value, expected: &[u8]) -> Result<(), Wrong> {
    match reply {
        Value::Error(text) => Err(Wrong::reply(text)),
        Value::Bulk(value) if value == expected => Ok(()),
        other => Err(Wrong::reply(&format!("WRONG value of a key that nobody writes: {}", shortened(other)))),
    }
}

fn shortened(reply: &Value) -> String {
    format!("{reply:?}").chars().take(80).collect()
}

fn encoded(arguments: &[&[u8]]) -> Vec<u8> {
    use bytes::Buf as _;
    let mut request = OutBuffer::new();
    encode_command(arguments, &mut request);
    request.copy_to_bytes(request.remaining()).to_vec()
}

/// A value of that length which begins with `content`, as far as it fits.
fn padded(content: &str, length: usize) -> Vec<u8> {
    let mut value = content.as_bytes().to_vec();
    value.resize(length, b'.');
    value
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn replies_are_judged() {
        let value = |text: &'static str| Value::Bulk(Bytes::from_static(text.as_bytes()));
        assert!(judge_write(&Value::Simple("OK".into())).is_ok());
        assert!(judge_read(&value("x.."), &padded("x", 3)).is_ok());
        let error = Value::Error("UNAVAILABLE no node".into());
        assert_eq!(judge_write(&error).expect_err("an error").kind, "UNAVAILABLE");
        assert_eq!(judge_read(&error, b"").expect_err("an error").kind, "UNAVAILABLE");
        assert_eq!(judge_read(&value("y"), b"x").expect_err("another value").kind, "WRONG");
        assert_eq!(judge_read(&Value::Null, b"x").expect_err("a lost value").kind, "WRONG");
        assert_eq!(judge_write(&value("y")).expect_err("no OK").kind, "UNEXPECTED");
    }

    #[test]
    fn values_have_the_length_asked_for() {
        assert_eq!(padded("abc", 5), b"abc..");
        assert_eq!(padded("abc", 2), b"ab");
    }
}
