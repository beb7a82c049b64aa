//! Rings are started, filled and measured.

use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use simpledynamo_launch::TemporaryFolder;

use crate::cell::{Operations, VALUE_SIZE};
use crate::course::{measure_cell, nodes_resident, write_keys};
use crate::failure::Failure;
use crate::options::Options;
use crate::servers::{Servers, ring};
use crate::table::grouped;
use crate::usage::processor_time;

use super::Measured;
use super::point::{Point, points};

/// Nodes that take less than this share of a processor each are at rest; heartbeats alone take some hundredths.
const REST: f64 = 0.1;
/// How often that is looked at, and for how long at most.
const REST_POLL: Duration = Duration::from_secs(1);
const REST_TIMEOUT: Duration = Duration::from_secs(60);

/// How often keys are written until none is refused.
const LOADING_ATTEMPTS: u32 = 3;

/// Open files of this process besides its connections.
const DESCRIPTORS_RESERVED: u64 = 64;

/// A ring that runs and stores its keys. It ends before its folder is removed: fields are dropped in this order.
struct Ring {
    servers: [Servers; 1],
    /// Of which point it is the ring.
    point: Point,
    resident: (f64, f64),
    _folder: TemporaryFolder,
}

/// Measures all points, one after the other.
pub(crate) async fn grow(options: &Options) -> Result<Vec<Measured>, Failure> {
    let points = points(options.keys, options.large);
    raise_descriptors(points.iter().map(|point| point.connections).max().unwrap_or_default());
    let mut ring: Option<Ring> = None;
    let mut found = Vec::new();
    for (number, point) in points.iter().enumerate() {
        eprintln!(
            "[{} of {}] {} connections, {} nodes, {} keys",
            number + 1,
            points.len(),
            point.connections,
            point.nodes,
            grouped(point.keys)
        );
        let mut current = match ring.take() {
            Some(ring) if ring.point.shares_ring_with(point) => ring,
            former => {
                // Two rings at once would take each other's processor time.
                drop(former);
                match Ring::start(*point, options).await {
                    Ok(ring) => ring,
                    // A long measurement keeps what it has found.
                    Err(failure @ Failure::Loading { .. }) => {
                        eprintln!("left out: {failure}");
                        continue;
                    }
                    Err(failure) => return Err(failure),
                }
            }
        };
        found.push(current.measure(*point, options).await?);
        ring = Some(current);
    }
    Ok(found)
}

impl Ring {
    /// Starts the point's ring and stores its keys.
    async fn start(point: Point, options: &Options) -> Result<Self, Failure> {
        let folder = TemporaryFolder::create("growth", false)?;
        let mut servers = [ring::start(&options.binary, folder.path(), point.nodes).await?];
        store_keys(&mut servers, point.keys).await?;
        rest(&servers[0]).await?;
        let resident = nodes_resident(&servers)?;
        Ok(Self { servers, point, resident, _folder: folder })
    }

    async fn measure(&mut self, point: Point, options: &Options) -> Result<Measured, Failure> {
        let mut keys = [point.keys];
        // Reads first, of what was stored and has come to rest: what writes leave behind is put in order later.
        let mut found = Vec::new();
        for operations in [Operations::Reads, Operations::Writes] {
            let cell = point.cell(operations);
            eprintln!("  {cell}");
            found.push(measure_cell(cell, options, &mut self.servers, &mut keys).await?);
        }
        let [reads, writes] = found.try_into().expect("two were measured");
        rest(&self.servers[0]).await?;
        Ok(Measured { point, resident: self.resident, reads, writes })
    }
}

/// Writes the keys, all of them again if some were refused: on a busy machine a node may lose its lease for a moment.
async fn store_keys(servers: &mut [Servers], keys: u64) -> Result<(), Failure> {
    for _ in 1..LOADING_ATTEMPTS {
        match write_keys(servers, keys, VALUE_SIZE).await {
            Err(failure @ Failure::Loading { .. }) => eprintln!("once more: {failure}"),
            done => return done,
        }
    }
    write_keys(servers, keys, VALUE_SIZE).await
}

/// Waits until the nodes have put in order what they store, which is no cost of the operations that come next. On a
/// ring that does not come to rest, what follows is measured all the same.
async fn rest(servers: &Servers) -> Result<(), Failure> {
    let pids = servers.pids();
    let started = Instant::now();
    while started.elapsed() < REST_TIMEOUT {
        let (before, since) = (processor_time(&pids)?, Instant::now());
        tokio::time::sleep(REST_POLL).await;
        let used = processor_time(&pids)?.saturating_sub(before);
        if is_rest(used, since.elapsed(), pids.len()) {
            return Ok(());
        }
    }
    eprintln!("the nodes do not come to rest within {} s", REST_TIMEOUT.as_secs());
    Ok(())
}

fn is_rest(used: Duration, within: Duration, nodes: usize) -> bool {
    used.as_secs_f64() < REST * nodes as f64 * within.as_secs_f64()
}

/// Raises the limit of open files as far as that many connections need. If that is refused, those beyond it are counted
/// as errors.
fn raise_descriptors(connections: u32) {
    let wanted = u64::from(connections) + DESCRIPTORS_RESERVED;
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_some_and(|current| current < wanted) {
        let raised = limit.maximum.map_or(wanted, |maximum| maximum.min(wanted));
        // A limit up to the maximum is never refused.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(raised), maximum: limit.maximum });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rest_is_a_share_for_each_node() {
        let second = Duration::from_secs(1);
        assert!(is_rest(Duration::from_millis(499), second, 5));
        assert!(!is_rest(Duration::from_millis(501), second, 5));
        assert!(is_rest(Duration::from_millis(501), second, 9));
        assert!(is_rest(Duration::from_millis(501), 2 * second, 5));
    }

    #[test]
    fn limit_of_open_files_is_never_lowered() {
        let before = getrlimit(Resource::Nofile).current;
        raise_descriptors(1);
        assert_eq!(getrlimit(Resource::Nofile).current, before);
    }
}
