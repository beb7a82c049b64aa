//! `simpledynamo ring`: the circle for people, its numbers for programs.

mod picture;

use std::process::ExitCode;

use serde_json::json;

use crate::arguments::{ReportFormat, RingOptions};
use crate::failure::Failure;
use crate::placement::Placement;
use crate::terminal::{Paint, table};

/// Shows the ring.
pub(crate) fn run(options: &RingOptions) -> Result<ExitCode, Failure> {
    let placement = Placement::find(&options.source, true)?;
    match options.output {
        ReportFormat::Table => print!("{}", for_people(&placement, Paint::stdout())),
        ReportFormat::Json => println!("{:#}", for_programs(&placement)),
    }
    Ok(ExitCode::SUCCESS)
}

fn for_people(placement: &Placement, paint: Paint) -> String {
    let mut text = String::from("\n");
    if let Some(drawing) = picture::draw(placement, paint) {
        text.push_str(&drawing);
        text.push('\n');
    }
    let chains_known = placement.chains.iter().any(Option::is_some);
    let mut header = vec!["Node", "Id", "Position", "Owns", "Kept by, head to tail", "Clients", "Peers"];
    if chains_known {
        header.insert(5, "Chain now");
    }
    let mut rows = table(&header);
    for (position, partition) in placement.ring.partitions().iter().enumerate() {
        let (client, peer) = placement.addresses[position].clone();
        let mut row = vec![
            placement.ring.names()[position].clone(),
            short(&partition.token.to_string()),
            percent(partition.token.fraction()),
            percent(partition.share()),
            placement.preference(position).join(" → "),
            client,
            peer,
        ];
        if chains_known {
            row.insert(5, chain_text(placement, position));
        }
        rows.add_row(row);
    }
    text.push_str(&format!("{}\n", rows.trim_fmt()));
    text.push_str(&paint.faint(&format!(
        "Cluster {:?}, {} copies of each pair; {}. A node owns the arc that ends at it.",
        placement.cluster, placement.replicas, placement.origin
    )));
    text.push('\n');
    text
}

/// The present chain of a partition, and who is missing in it; or that it is not known.
pub(crate) fn chain_text(placement: &Placement, partition: usize) -> String {
    let Some(chain) = &placement.chains[partition] else { return "unknown".to_owned() };
    let preference = placement.preference(partition);
    let mut notes = vec![format!("epoch {}", chain.epoch)];
    if chain.is_headless {
        notes.push(format!("{} had it last", chain.members.join(", ")));
        return format!("nobody ({})", notes.join("; "));
    }
    let missing = chain.missing(&preference);
    if !missing.is_empty() {
        notes.push(format!("without {}", missing.join(", ")));
    }
    if !chain.is_open {
        notes.push("not begun yet".to_owned());
    }
    format!("{} ({})", chain.members.join(" → "), notes.join("; "))
}

/// The present chain of a partition as JSON; null if it is not known.
pub(crate) fn chain_json(placement: &Placement, partition: usize) -> serde_json::Value {
    let Some(chain) = &placement.chains[partition] else { return serde_json::Value::Null };
    json!({
        "epoch": chain.epoch,
        "members": chain.members,
        "open": chain.is_open,
        "missing": chain.missing(&placement.preference(partition)),
    })
}

/// A fraction as a percentage of four characters or more.
pub(crate) fn percent(fraction: f64) -> String {
    format!("{:.1} %", fraction * 100.0)
}

/// The first digits of a token, which tell nodes apart.
pub(crate) fn short(token: &str) -> String {
    format!("{}…", &token[..8])
}

fn for_programs(placement: &Placement) -> serde_json::Value {
    let nodes: Vec<serde_json::Value> = placement
        .ring
        .partitions()
        .iter()
        .enumerate()
        .map(|(position, partition)| {
            json!({
                "name": placement.ring.names()[position],
                "id": partition.token.to_string(),
                "position": partition.token.fraction(),
                "client": placement.addresses[position].0,
                "peer": placement.addresses[position].1,
                "partition": {
                    "after": partition.after.to_string(),
                    "to": partition.token.to_string(),
                    "share": partition.share(),
                    "preference_list": placement.preference(position),
                    "chain": chain_json(placement, position),
                },
            })
        })
        .collect();
    json!({ "cluster": placement.cluster, "replicas": placement.replicas, "nodes": nodes })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::placement::Chain;

    #[test]
    fn json_names_ids_shares_and_lists() {
        let ring = for_programs(&Placement::classic());
        assert_eq!(ring["replicas"], 3);
        let names: Vec<&str> = ring["nodes"]
            .as_array()
            .expect("nodes")
            .iter()
            .filter_map(|node| node["name"].as_str())
            .collect();
        assert_eq!(names, ["5562", "5556", "5554", "5558", "5560"]);
        let first = &ring["nodes"][0];
        assert_eq!(first["id"], "177ccecaec32c54b82d5aaafc18a2dadb753e3b1");
        assert_eq!(first["client"], "127.0.0.1:11124");
        assert_eq!(first["partition"]["preference_list"], json!(["5562", "5556", "5554"]));
        assert_eq!(first["partition"]["chain"], serde_json::Value::Null);
        let shares: f64 = ring["nodes"]
            .as_array()
            .expect("nodes")
            .iter()
            .filter_map(|node| node["partition"]["share"].as_f64())
            .sum();
        assert!((shares - 1.0).abs() < 1e-9, "the arcs make the whole circle: {shares}");
    }

    #[test]
    fn chain_says_who_is_missing() {
        let mut placement = Placement::classic();
        let chain = Chain { epoch: 4, members: vec!["5560".into(), "5562".into()], ..Chain::default() };
        placement.chains[3] = Some(Chain { is_open: true, ..chain.clone() });
        assert_eq!(chain_text(&placement, 3), "5560 → 5562 (epoch 4; without 5558)");
        assert_eq!(chain_json(&placement, 3)["missing"], json!(["5558"]));
        placement.chains[3] = Some(chain.clone());
        assert_eq!(chain_text(&placement, 3), "5560 → 5562 (epoch 4; without 5558; not begun yet)");
        placement.chains[3] = Some(Chain { members: vec!["5562".into()], is_headless: true, ..chain });
        assert_eq!(chain_text(&placement, 3), "nobody (epoch 4; 5562 had it last)");
        assert_eq!(chain_json(&placement, 3)["missing"], json!(["5558", "5560", "5562"]));
    }

    #[test]
    fn text_for_a_pipe_has_no_colour() {
        let text = for_people(&Placement::classic(), Paint::plain());
        assert!(!text.contains('\x1b'));
        assert!(text.contains("5562 → 5556 → 5554"));
    }
}
