//! A run against servers that run already: load, and no faults but those that somebody else brings.

use std::cell::{Cell, RefCell};
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use simpledynamo_node::config::Password;
use simpledynamo_wire::resp::Value;
use tokio::task::spawn_local;

use crate::asker::PATIENCE;
use crate::availability::measure;
use crate::call::{Answer, Call, Kind, encoded};
use crate::connection::Connection;
use crate::error::TesterError;
use crate::phase::Phase;
use crate::report;
use crate::result::{Facts, Finally, PhaseReport, RunReport};
use crate::run::{Load, News, check, create_log};
use crate::servers::{Server, Shared};
use crate::settle;
use crate::view;
use crate::watch::{Changes, watch};
use crate::workload::Workload;

/// How a run against running servers goes.
#[derive(Clone, Debug)]
pub struct Attached {
    /// The servers: hosts and ports.
    pub addresses: Vec<String>,
    /// What they want to be told first.
    pub password: Option<Password>,
    /// The same number, the same operations.
    pub seed: u64,
    /// Clients at the same time; at least one.
    pub clients: u32,
    /// Keys; at least one of each class.
    pub keys: usize,
    /// Where the history and the report go: a folder that is there.
    pub out: PathBuf,
}

/// Keys begin with this and a number that is drawn from the clock, so that they are nobody else's.
const PREFIX: &str = "simpledynamo-verify";

/// Puts a load on the servers until something else is done, checks what clients were told, and removes its keys.
///
/// It has to run on a [`tokio::task::LocalSet`].
///
/// # Errors
/// When the run could not be carried out; what it found wrong is in the report.
pub async fn attach(
    options: &Attached,
    until: impl Future<Output = ()>,
    tell: &dyn Fn(News<'_>),
) -> Result<RunReport, TesterError> {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let prefix = format!("{PREFIX}:{:x}:", since_epoch.as_nanos());
    let shared = Rc::new(share(options)?);
    let workload = Rc::new(workload(options, &shared, &prefix).await?);
    let keys: Vec<Bytes> = workload.names().cloned().collect();

    let phase = Phase::find("together").expect("there is such a phase");
    tell(News::Began(phase));
    let changes: Rc<RefCell<Changes>> = Rc::default();
    let is_over = Rc::new(Cell::new(false));
    let watching = view::ask(&shared, 0)
        .await
        .map(|_| spawn_local(watch(Rc::clone(&shared), Rc::clone(&changes), Rc::clone(&is_over))));
    let began = shared.clock.now();
    let load = Load::begin(&shared, &workload, options.seed, options.clients);
    load.run_while(until, tell).await;
    let ended = shared.clock.now();
    is_over.set(true);
    watching.inspect(|watching| watching.abort());

    tell(News::Does("reading what is left"));
    let availability = measure(shared.log.borrow().records(), shared.ring.as_ref(), began, ended);
    settle::read_everywhere(&shared, phase.number, &keys).await;
    tell(News::Does("checking the history"));
    let records = shared.log.borrow().records().to_vec();
    let findings = check(records).await?;
    let mut problems = shared.log.borrow_mut().take_problems();
    problems.extend(remove(&shared, &keys).await);
    if availability.reads.answered + availability.writes.answered == 0 {
        problems.push("no operation was answered: nothing was tested".to_owned());
    }
    let report = PhaseReport {
        number: phase.number,
        name: "attached".to_owned(),
        title: "concurrent clients on the same keys of running servers".to_owned(),
        skipped: None,
        began,
        ended,
        faults: Vec::new(),
        changes: changes.borrow().between(began, ended),
        availability,
        findings: findings.clone(),
        problems,
    };
    tell(News::Ended(&report));
    let facts = Facts {
        subject: format!("the servers {}", options.addresses.join(", ")),
        seed: options.seed,
        clients: options.clients,
        keys: options.keys,
        began: since_epoch.as_secs(),
        took: shared.clock.now(),
        servers: options.addresses.clone(),
    };
    let report = RunReport::new(facts, vec![report], Finally { findings, problems: Vec::new() });
    report::write(&report, &mut shared.log.borrow_mut(), &options.out)?;
    Ok(report)
}

fn share(options: &Attached) -> Result<Shared, TesterError> {
    let servers = options.addresses.iter();
    let servers = servers.map(|address| Server { name: address.as_str().into(), address: address.clone() });
    Ok(Shared::new(servers.collect(), options.password.clone(), None, create_log(&options.out)?))
}

/// The work that the servers can do: what all of them know, as far as they take writes.
async fn workload(options: &Attached, shared: &Shared, prefix: &str) -> Result<Workload, TesterError> {
    let probe = Bytes::from(format!("{prefix}probe"));
    let mut known = None;
    let mut refusal = None;
    for server in &shared.servers {
        let unreachable =
            |reason: String| TesterError::Unreachable { address: server.address.clone(), reason };
        let mut connection = Connection::open(&server.address, shared.password.as_ref())
            .await
            .map_err(|error| unreachable(error.to_string()))?;
        match known_kinds(&mut connection, &probe).await {
            Ok(kinds) => known = Some(kinds),
            // A replica takes no writes; another server may.
            Err(reason) => refusal = Some(unreachable(reason)),
        }
    }
    match (known, refusal) {
        (Some(known), _) => Ok(Workload::new(1, prefix, options.keys).limited_to(known).pressing()),
        (None, Some(refusal)) => Err(refusal),
        (None, None) => {
            Err(TesterError::Unreachable { address: String::new(), reason: "no server was named".to_owned() })
        }
    }
}

/// Removes the keys. Says which could not be removed.
async fn remove(shared: &Shared, keys: &[Bytes]) -> Option<String> {
    let mut left: Vec<&Bytes> = keys.iter().collect();
    for server in &shared.servers {
        let Ok(mut connection) = Connection::open(&server.address, shared.password.as_ref()).await else {
            continue;
        };
        let mut refused = Vec::new();
        for key in left {
            let reply = connection.ask(&encoded(&[b"DEL", key]), PATIENCE).await;
            if !matches!(reply, Ok(Value::Integer(_))) {
                refused.push(key);
            }
        }
        left = refused;
        if left.is_empty() {
            return None;
        }
    }
    let first = left.first().map(|key| String::from_utf8_lossy(key).into_owned()).unwrap_or_default();
    Some(format!("{} keys could not be removed, {first} among them", left.len()))
}

/// Which of the commands that this program uses a server knows, judged by asking it about a key that is not there.
async fn known_kinds(connection: &mut Connection, key: &Bytes) -> Result<Vec<Kind>, String> {
    let mut known = Vec::new();
    let nothing = || Bytes::from_static(b"nothing");
    let calls = [
        Call::Get,
        Call::Set(nothing()),
        Call::Del,
        Call::SetXx(nothing()),
        Call::SetIfeq { value: nothing(), expected: nothing() },
        Call::SetNx(nothing()),
        Call::Delifeq(nothing()),
        Call::Getdel,
        Call::Incr,
    ];
    for call in calls {
        match call.understand(connection.ask(&call.request(key), PATIENCE).await?) {
            Answer::Told(_) => known.push(call.kind()),
            Answer::Failed(error) | Answer::Unknown(error) => return Err(error),
            Answer::Nonsense(error) if error.starts_with("ERR") => {}
            Answer::Nonsense(error) => return Err(error),
        }
    }
    connection.ask(&Call::Del.request(key), PATIENCE).await?;
    Ok(known)
}
