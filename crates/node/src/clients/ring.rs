//! What a node tells about the ring: its view of nodes and chains, and what it does in it (`INFO ring`, `SD.RING`).

use bytes::Bytes;
use simpledynamo_topology::{Form, NodeId, PartitionId};
use simpledynamo_wire::resp::Value;

use crate::clock;
use crate::commands::RingFigures;
use crate::core::engine::Engine;
use crate::ring_reply::{ChainReply, ControlReply, HereReply, NodeReply, RingReply, SyncReply};

/// A node as the configuration has it.
pub(super) struct Place {
    pub(super) name: String,
    pub(super) client: String,
    pub(super) peer: String,
}

/// The fields of `INFO ring`.
pub(super) fn figures(engine: &Engine, places: &[Place]) -> RingFigures {
    let status = engine.control_status();
    let name = |node: NodeId| places[node.index()].name.clone();
    let names = |nodes: &[NodeId]| nodes.iter().map(|&node| name(node)).collect::<Vec<_>>();
    engine.look(|node| {
        let topology = node.topology();
        let partition = |id: PartitionId| name(NodeId(id.0));
        let syncing = node.replicas().iter().filter_map(|(&id, replica)| {
            let progress = replica.progress()?;
            Some((partition(id), progress.held, progress.committed, progress.pages))
        });
        RingFigures {
            is_whole: node.is_whole(),
            is_formed: status.is_formed,
            missing: names(&status.missing),
            controller: status.controller.map(name).unwrap_or_default(),
            term: status.term,
            voters: names(&status.voters),
            version: topology.version(),
            session: node.me().session.0,
            has_lease: node.has_lease(clock::boot_millis()),
            down: topology.nodes().filter(|(_, node)| !node.is_live).map(|(id, _)| name(id)).collect(),
            serving: node.replicas().values().filter(|replica| replica.is_serving()).count(),
            syncing: syncing.collect(),
            short: topology.partitions().filter(|&id| !topology.is_whole(id)).count(),
            unserved: topology
                .partitions()
                .filter(|&id| topology.form(id).is_none() || topology.is_headless(id))
                .count(),
        }
    })
}

/// The reply to `SD.RING`.
pub(super) fn describe(engine: &Engine, cluster: &str, replicas: usize, places: &[Place]) -> Value {
    let figures = figures(engine, places);
    let name = |node: NodeId| places[node.index()].name.clone();
    let ring = engine.look(|node| {
        let topology = node.topology();
        let nodes = places.iter().zip(topology.ring().partitions()).zip(topology.nodes());
        let nodes = nodes.map(|((place, partition), (_, state))| NodeReply {
            name: place.name.clone(),
            id: partition.token.to_string(),
            client: place.client.clone(),
            peer: place.peer.clone(),
            session: state.session.0,
            live: state.is_live,
        });
        let chain = |form: &Form| ChainReply {
            partition: NodeId(form.partition.0).index(),
            epoch: form.epoch.0,
            members: form.members.iter().map(|member| name(member.node)).collect(),
            open: topology.chain(form.partition).is_open(),
            whole: topology.is_whole(form.partition),
            headless: topology.is_headless(form.partition),
        };
        let serving = node.replicas().iter().filter(|(_, replica)| replica.is_serving());
        RingReply {
            cluster: cluster.to_owned(),
            replicas,
            version: figures.version,
            nodes: nodes.collect(),
            chains: topology.partitions().filter_map(|id| topology.form(id)).map(chain).collect(),
            control: control(&figures),
            here: HereReply {
                node: name(node.me().node),
                session: figures.session,
                lease: figures.has_lease,
                whole: figures.is_whole,
                serving: serving.map(|(id, _)| name(NodeId(id.0))).collect(),
                syncing: syncing(&figures),
            },
        }
    });
    let text = serde_json::to_string(&ring).expect("texts and numbers can be written");
    Value::Bulk(Bytes::from(text))
}

fn control(figures: &RingFigures) -> ControlReply {
    ControlReply {
        formed: figures.is_formed,
        missing: figures.missing.clone(),
        controller: Some(figures.controller.clone()).filter(|controller| !controller.is_empty()),
        term: figures.term,
        voters: figures.voters.clone(),
    }
}

fn syncing(figures: &RingFigures) -> Vec<SyncReply> {
    let syncing = figures.syncing.iter().cloned();
    syncing
        .map(|(partition, held, committed, pages)| SyncReply { partition, held, committed, pages })
        .collect()
}
