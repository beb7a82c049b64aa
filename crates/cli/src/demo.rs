//! `simpledynamo demo`: the classic ring on this machine, each node a process of its own.
//!
//! The demo prepares folders and configurations, checks every port, starts `simpledynamo serve` five times,
//! waits until every partition is served, and then watches. It ends on Ctrl-C, SIGTERM or a closed terminal,
//! and takes its nodes with it; the kernel ends them too if the demo itself is killed, since each node has
//! asked for that (see `serve`).
//!
//! That request is tied to the *thread* that started the node. So everything here runs on the main thread,
//! which lives as long as the demo.

mod lock;
pub(crate) mod ready;
mod screen;
mod signals;
mod watch;

use std::process::ExitCode;
use std::time::Duration;

use simpledynamo_launch::{End, NodeFolder, NodeProcess, check_ports};
use simpledynamo_node::config::Cluster;

use crate::arguments::DemoOptions;
use crate::failure::Failure;

use lock::DemoLock;
use screen::say;
use signals::Event;
use watch::Watch;

pub(crate) use signals::Signals;

/// How long the nodes may take to stop: an operation's whole timeout and some more.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// How often a stopping node is looked at, should its signal have been missed.
const STOP_POLL: Duration = Duration::from_millis(50);

/// Runs the ring until it is told to stop.
pub(crate) fn run(options: &DemoOptions) -> Result<ExitCode, Failure> {
    let mut cluster = Cluster::classic(options.host, options.base_port).ok_or_else(|| {
        Failure::Other(format!("--base-port {} leaves no room for all ports", options.base_port))
    })?;
    cluster.durability = options.durability.into();
    let _lock = DemoLock::hold(options)?;
    let folders = NodeFolder::prepare(&options.dir, &cluster, say)?;
    check_ports(&cluster)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::Other(format!("cannot watch over nodes: {error}")))?;
    runtime.block_on(async {
        // Signals are caught before there is anything that they would leave running.
        let mut signals = Signals::catch()?;
        let mut nodes = Vec::new();
        let outcome = host(options, &cluster, &folders, &mut nodes, &mut signals).await;
        stop(&mut nodes, &mut signals).await;
        screen::name_strangers(&nodes);
        outcome.map(|()| ExitCode::SUCCESS)
    })
}

/// Starts all nodes, and watches them until the demo is to end.
async fn host(
    options: &DemoOptions,
    cluster: &Cluster,
    folders: &[NodeFolder],
    nodes: &mut Vec<NodeProcess>,
    signals: &mut Signals,
) -> Result<(), Failure> {
    for folder in folders {
        nodes.push(NodeProcess::start(folder, End::WithParent)?);
    }
    tokio::select! {
        served = ready::wait(cluster, nodes, say) => served?,
        () = signals.end() => return Ok(()),
    }
    screen::welcome(options, cluster, nodes);
    let password = nodes.iter().find_map(|node| node.folder().config.node.password.clone());
    let mut watch = Watch::default();
    loop {
        tokio::select! {
            event = signals.next() => {
                if event == Event::End {
                    return Ok(());
                }
                for node in nodes.iter_mut() {
                    if let Some(ended) = node.newly_ended() {
                        screen::report_death(node, &ended);
                        watch.died(node.name());
                    }
                }
            }
            news = watch.look(cluster, password.clone()), if !watch.is_calm() => {
                news.iter().for_each(|news| screen::report(news, cluster, nodes));
            }
        }
    }
}

/// Ends all nodes: gently, then for certain. A second Ctrl-C cuts the waiting short.
async fn stop(nodes: &mut [NodeProcess], signals: &mut Signals) {
    if nodes.iter_mut().all(|node| !node.is_running()) {
        return;
    }
    say("Stopping the nodes ...");
    nodes.iter().for_each(NodeProcess::ask_to_stop);
    let stopped = async {
        while nodes.iter_mut().any(NodeProcess::is_running) {
            tokio::time::sleep(STOP_POLL).await;
        }
    };
    tokio::select! {
        () = stopped => {}
        () = tokio::time::sleep(STOP_TIMEOUT) => {}
        () = signals.end() => {}
    }
    for node in nodes.iter_mut().filter_map(|node| node.is_running().then_some(node)) {
        node.kill();
        say(&format!("node {} did not stop in time and was killed", node.name()));
    }
    say("All nodes of this demo have stopped; their data stays.");
}
