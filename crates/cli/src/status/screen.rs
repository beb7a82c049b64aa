//! The state of the ring for people: the answer first, then who and what is behind it.

use simpledynamo_node::ring_reply::SyncReply;

use crate::terminal::{Paint, grouped, table};

use super::report::{NodeState, NodeStatus, PartitionState, PartitionStatus, Report, State};

/// More partitions than this are shown only if something is wrong with them.
const PARTITIONS_MAX: usize = 20;

/// The page.
pub(super) fn render(report: &Report, paint: Paint) -> String {
    let verdict = verdict(report);
    let verdict = match report.state {
        State::Whole => paint.good(&verdict),
        State::Short => paint.warning(&verdict),
        State::Unserved => paint.bad(&verdict),
    };
    let mut text = format!("{verdict}\n\n{}", nodes(report, paint));
    if let Some(partitions) = partitions(report, paint) {
        text.push_str(&format!("\n{partitions}"));
    }
    text.push_str(&format!("\n{}\n", paint.faint(&control(report))));
    text
}

/// The answer in a line.
fn verdict(report: &Report) -> String {
    let nodes = report.nodes.len();
    let what = match report.state {
        State::Whole => {
            return format!(
                "Whole: all {nodes} nodes are up, and each pair is on {}.",
                count(report.replicas, "node")
            );
        }
        State::Unserved if !report.control.formed && !report.control.missing.is_empty() => {
            return format!(
                "Nothing is served yet: the ring is new, and forms once every voter has been seen. Missing: {}.",
                report.control.missing.join(", ")
            );
        }
        State::Unserved if !report.has_leases() => format!(
            "Nothing is served: {} of {} must reach each other, and {} here.",
            report.majority(),
            count(report.control.voters.len(), "voter"),
            if report.voters_up == 1 {
                "1 answers".to_owned()
            } else {
                format!("{} answer", report.voters_up)
            },
        ),
        State::Unserved => format!("Not all is served: {}.", lacking(report)),
        State::Short if report.partitions_in(PartitionState::Short) == 0 => {
            "Not whole: each pair is on all its nodes, but not all of them are well.".to_owned()
        }
        // Until a node that does not answer is given up, writes to its partitions wait.
        State::Short if !report.nodes_in(NodeState::Unreachable).is_empty() => {
            format!("Not whole: {}.", lacking(report))
        }
        State::Short => format!("Not whole, but all is served: {}.", lacking(report)),
    };
    let mut text = what;
    for (state, title) in [
        (NodeState::Down, "Down"),
        (NodeState::Unreachable, "No answer"),
        (NodeState::Waiting, "Waiting"),
        (NodeState::Leaseless, "Without a lease"),
        (NodeState::Syncing, "Syncing"),
    ] {
        let names = report.nodes_in(state);
        if !names.is_empty() {
            text.push_str(&format!(" {title}: {}.", names.join(", ")));
        }
    }
    text
}

/// How many partitions are not as they should be.
fn lacking(report: &Report) -> String {
    let short = format!("on fewer than {}", count(report.replicas, "node"));
    let kinds = [
        (PartitionState::Unserved, "not served"),
        (PartitionState::Opening, "changing (requests wait)"),
        (PartitionState::Short, short.as_str()),
    ];
    let mut parts: Vec<String> = kinds
        .iter()
        .map(|(state, what)| (report.partitions_in(*state), what))
        .filter(|(number, _)| *number > 0)
        .map(|(number, what)| format!("{number} {what}"))
        .collect();
    // The first number says of how many.
    if let Some((number, what)) = parts.first().and_then(|first| first.split_once(' ')) {
        parts[0] = format!("{number} of {} {what}", count(report.partitions.len(), "partition"));
    }
    parts.join(", ")
}

fn nodes(report: &Report, paint: Paint) -> String {
    let mut rows = table(&["Node", "State", "Session", "Lease", "Serves", "Clients", "Remark"]);
    for node in &report.nodes {
        let own = |show: &dyn Fn(&super::report::Own) -> String| {
            node.own.as_ref().map_or_else(|| "-".to_owned(), show)
        };
        rows.add_row(vec![
            node.name.clone(),
            node.state.word().to_owned(),
            if node.session == 0 { "-".to_owned() } else { node.session.to_string() },
            own(&|own| if own.has_lease { "yes" } else { "no" }.to_owned()),
            own(&|own| format!("{} of {}", own.serving.len(), node.keeps)),
            node.client.clone(),
            remark(node),
        ]);
    }
    let colours = report.nodes.iter().map(|node| match node.state {
        NodeState::Up => None,
        NodeState::Syncing | NodeState::Waiting | NodeState::Leaseless => Some(State::Short),
        NodeState::Unreachable | NodeState::Down => Some(State::Unserved),
    });
    painted(&rows.trim_fmt(), colours, paint)
}

fn remark(node: &NodeStatus) -> String {
    if let Some(trouble) = &node.trouble {
        return trouble.clone();
    }
    let syncing = node.own.iter().flat_map(|own| &own.syncing).map(progress).collect::<Vec<_>>().join("; ");
    match node.state {
        NodeState::Waiting if node.session == 0 => "not in the ring yet".to_owned(),
        NodeState::Waiting => "its session has ended, and it has no new one yet".to_owned(),
        _ => syncing,
    }
}

/// How far a node has come with a partition.
fn progress(sync: &SyncReply) -> String {
    let how_far = match sync.pages {
        Some(pages) => format!("copying all, {} so far", count(pages as usize, "page")),
        None if sync.committed == 0 => "not attached yet".to_owned(),
        None => format!("{} of {} entries", grouped(sync.held), grouped(sync.committed)),
    };
    format!("{}: {how_far}", sync.partition)
}

fn partitions(report: &Report, paint: Paint) -> Option<String> {
    let is_shown = |partition: &&PartitionStatus| {
        report.partitions.len() <= PARTITIONS_MAX || partition.state != PartitionState::Whole
    };
    let shown: Vec<&PartitionStatus> = report.partitions.iter().filter(is_shown).collect();
    if shown.is_empty() {
        return None;
    }
    let mut rows = table(&["Partition", "Chain, head to tail", "Epoch", "State"]);
    for partition in &shown {
        let (epoch, members) = partition.chain.as_ref().map_or_else(
            || ("-".to_owned(), "-".to_owned()),
            |(epoch, members)| (epoch.to_string(), members.join(" → ")),
        );
        rows.add_row(vec![partition.name.clone(), members, epoch, how(partition)]);
    }
    let colours = shown.iter().map(|partition| match partition.state {
        PartitionState::Whole => None,
        PartitionState::Short | PartitionState::Opening => Some(State::Short),
        PartitionState::Unserved => Some(State::Unserved),
    });
    let mut text = painted(&rows.trim_fmt(), colours, paint);
    let others = report.partitions.len() - shown.len();
    if others > 0 {
        text.push_str(&format!(" ({others} others are whole)\n"));
    }
    Some(text)
}

fn how(partition: &PartitionStatus) -> String {
    let missing = partition.missing.join(", ");
    match partition.state {
        PartitionState::Whole => "whole".to_owned(),
        PartitionState::Short => format!("short: without {missing}"),
        PartitionState::Opening => "changing (requests wait)".to_owned(),
        PartitionState::Unserved if partition.chain.is_none() => "not served: never formed".to_owned(),
        PartitionState::Unserved => "not served".to_owned(),
    }
}

/// Who decides.
fn control(report: &Report) -> String {
    let control = &report.control;
    let mut text = format!("Cluster {:?}", report.cluster);
    if control.formed {
        let controller = control.controller.as_deref().unwrap_or("none at this moment");
        text.push_str(&format!(
            "; controller: {controller} (term {}); voters: {}, of which {} must be up.",
            control.term,
            control.voters.join(", "),
            report.majority()
        ));
    } else {
        text.push_str("; its control group has not formed yet.");
    }
    text.push_str(&format!("\nChains as of version {}, told by {}.", report.version, report.told_by));
    text
}

/// Colours the lines of a table, of which two are the header's. (Cells must not hold colours: they would count as
/// characters.)
fn painted(rows: &str, colours: impl Iterator<Item = Option<State>>, paint: Paint) -> String {
    let colours = [None, None].into_iter().chain(colours);
    let lines = rows.lines().zip(colours.chain(std::iter::repeat(None)));
    let lines = lines.map(|(line, colour)| match colour {
        None | Some(State::Whole) => format!("{line}\n"),
        Some(State::Short) => format!("{}\n", paint.warning(line)),
        Some(State::Unserved) => format!("{}\n", paint.bad(line)),
    });
    lines.collect()
}

/// A number of things.
fn count(number: usize, thing: &str) -> String {
    format!("{} {thing}{}", grouped(number as u64), if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::report::tests::{answers, one_down, one_syncing};
    use super::*;

    fn page(change: impl Fn(&str, &mut Value)) -> String {
        render(&Report::of(&answers(change)).expect("sensible"), Paint::plain())
    }

    fn line<'a>(page: &'a str, start: &str) -> &'a str {
        page.lines().find(|line| line.trim_start().starts_with(start)).expect("there is such a line")
    }

    #[test]
    fn whole_ring_says_so_first() {
        let page = page(|_, _| {});
        assert!(page.starts_with("Whole: all 5 nodes are up, and each pair is on 3 nodes.\n"), "{page}");
        assert!(page.contains("5562 → 5556 → 5554"), "{page}");
        assert!(line(&page, "Cluster").contains("controller: 5562 (term 4)"), "{page}");
        assert!(!page.contains('\x1b'), "no colour in a pipe");
    }

    #[test]
    fn node_that_is_down_is_named_with_what_it_leaves_short() {
        let page = page(one_down);
        let first = page.lines().next().expect("a line");
        assert_eq!(
            first,
            "Not whole, but all is served: 3 of 5 partitions on fewer than 3 nodes. Down: 5558."
        );
        assert!(
            line(&page, "5558").contains("down") && line(&page, "5558").ends_with("it is gone"),
            "{page}"
        );
        assert!(page.contains("5560 → 5562") && page.contains("short: without 5558"), "{page}");
    }

    #[test]
    fn progress_is_in_entries_or_pages() {
        let page = page(one_syncing);
        assert!(page.lines().next().expect("a line").ends_with("Syncing: 5558."), "{page}");
        let line = line(&page, "5558");
        assert!(line.contains("1 of 3"), "{page}");
        assert!(
            line.ends_with("5554: 1,200 of 54,321 entries; 5558: copying all, 12 pages so far"),
            "{page}"
        );
    }

    #[test]
    fn new_ring_names_who_is_missing() {
        let page = page(|name, reply| {
            if name == "5560" {
                *reply = Value::Null;
                return;
            }
            reply["version"] = json!(0);
            reply["chains"] = json!([]);
            for node in reply["nodes"].as_array_mut().expect("nodes") {
                node["session"] = json!(0);
                node["live"] = json!(false);
            }
            reply["control"] = json!({"formed": false, "missing": ["5560"]});
            reply["here"] = json!({"node": name});
        });
        let first = page.lines().next().expect("a line");
        assert!(first.starts_with("Nothing is served yet") && first.ends_with("Missing: 5560."), "{page}");
        assert!(line(&page, "5556").ends_with("not in the ring yet"), "{page}");
    }

    #[test]
    fn loss_of_the_majority_is_named() {
        let page = page(|name, reply| match name {
            "5554" | "5558" | "5560" => *reply = Value::Null,
            _ => reply["here"]["lease"] = json!(false),
        });
        let first = page.lines().next().expect("a line");
        assert!(
            first.starts_with("Nothing is served: 3 of 5 voters must reach each other, and 2 answer here."),
            "{page}"
        );
    }

    #[test]
    fn colours_leave_columns_in_place() {
        let report = Report::of(&answers(one_down)).expect("sensible");
        let coloured = render(&report, Paint::coloured());
        let plain: String = coloured
            .split('\x1b')
            .enumerate()
            .map(|(at, part)| match part.split_once('m') {
                Some((_, rest)) if at > 0 => rest,
                _ => part,
            })
            .collect();
        assert_ne!(coloured, plain);
        assert_eq!(plain, render(&report, Paint::plain()));
    }
}
