//! The course of a comparison: cell after cell, each target in turn.

use std::collections::BTreeMap;
use std::path::Path;

use crate::cell::{self, Cell};
use crate::failure::Failure;
use crate::measure::{load, measure};
use crate::options::Options;
use crate::results::{CellResult, Memory};
use crate::servers::{self, Servers, Target};
use crate::table::grouped;
use crate::usage::resident;

/// All that was found.
pub(crate) struct Comparison {
    /// The targets, as documents.
    pub(crate) targets: BTreeMap<&'static str, serde_json::Value>,
    pub(crate) results: Vec<CellResult>,
    pub(crate) memory: Memory,
}

/// Starts all servers in the folder, measures, and ends them.
pub(crate) async fn compare(options: &Options, folder: &Path) -> Result<Comparison, Failure> {
    let cells = chosen(options)?;
    eprintln!("starting the servers in {}", folder.display());
    let mut targets = servers::start(options, folder).await?;
    let fresh = nodes_resident(&targets)?;
    let mut results = Vec::new();
    let mut value_size = None;
    // How many keys each target stores.
    let mut keys = vec![options.keys; targets.len()];
    for (number, cell) in cells.iter().enumerate() {
        if value_size != Some(cell.value_size) {
            write_keys(&mut targets, options.keys, cell.value_size).await?;
            value_size = Some(cell.value_size);
        }
        eprintln!("[{} of {}] {cell}", number + 1, cells.len());
        results.push(measure_cell(*cell, options, &mut targets, &mut keys).await?);
    }
    let full = if options.pairs > 0 {
        write_keys(&mut targets[..1], options.pairs, cell::VALUE_SIZE).await?;
        Some((options.pairs, nodes_resident(&targets)?))
    } else {
        None
    };
    let targets = targets.iter().map(|servers| (servers.target.key(), servers.to_json())).collect();
    Ok(Comparison { targets, results, memory: Memory { fresh, full } })
}

fn chosen(options: &Options) -> Result<Vec<Cell>, Failure> {
    let mut cells = if options.full { cell::all() } else { cell::with_aims() };
    if let Some(pattern) = &options.only {
        cells.retain(|cell| cell.to_string().contains(pattern));
        if cells.is_empty() {
            return Err(Failure::NoCell { pattern: pattern.clone() });
        }
    }
    Ok(cells)
}

pub(crate) async fn write_keys(targets: &mut [Servers], keys: u64, value_size: u32) -> Result<(), Failure> {
    for servers in targets {
        eprintln!("writing {} keys of {value_size} bytes to {}", grouped(keys), servers.name());
        load(servers, keys, value_size).await?;
    }
    Ok(())
}

/// Measures each target in turn, as often as asked for: what else the machine does meets all alike.
pub(crate) async fn measure_cell(
    cell: Cell,
    options: &Options,
    targets: &mut [Servers],
    keys: &mut [u64],
) -> Result<CellResult, Failure> {
    let mut result = CellResult { cell, samples: BTreeMap::new() };
    for run in 1..=options.runs {
        for (servers, keys) in targets.iter_mut().zip(keys.iter_mut()) {
            let sample = measure(servers, &cell, options, keys).await?;
            let errors: u64 = sample.errors.values().sum();
            eprintln!(
                "  run {run}  {:24}{:>12} per second   p50 {:.3} ms   p99 {:.3} ms   CPU {:.1} us/op{}",
                servers.name(),
                grouped(sample.per_second.round() as u64),
                sample.p50_ms,
                sample.p99_ms,
                sample.cpu_us,
                if errors > 0 { format!("   {errors} ERRORS: {:?}", sample.errors) } else { String::new() },
            );
            result.samples.entry(servers.target).or_default().push(sample);
        }
    }
    Ok(result)
}

/// The least and the most that a node of the ring has resident, in MiB.
pub(crate) fn nodes_resident(targets: &[Servers]) -> Result<(f64, f64), Failure> {
    let nodes = targets.iter().filter(|servers| servers.target == Target::Ring).flat_map(Servers::pids);
    let mut range = (f64::INFINITY, 0.0_f64);
    for pid in nodes {
        let mib = resident(pid)? as f64 / f64::from(1 << 20);
        range = (range.0.min(mib), range.1.max(mib));
    }
    Ok(range)
}
