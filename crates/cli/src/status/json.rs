//! The state of the ring for programs.

use serde_json::json;

use super::report::{NodeStatus, PartitionStatus, Report};

/// One document. Names of fields only ever come in addition.
pub(super) fn render(report: &Report) -> serde_json::Value {
    let control = &report.control;
    json!({
        "state": report.state,
        "cluster": report.cluster,
        "replicas": report.replicas,
        "version": report.version,
        "told_by": report.told_by,
        "control": {
            "formed": control.formed,
            "missing": control.missing,
            "controller": control.controller,
            "term": control.term,
            "voters": control.voters,
            "voters_up": report.voters_up,
            "majority": report.majority(),
        },
        "nodes": report.nodes.iter().map(node).collect::<Vec<_>>(),
        "partitions": report.partitions.iter().map(partition).collect::<Vec<_>>(),
    })
}

fn node(node: &NodeStatus) -> serde_json::Value {
    json!({
        "name": node.name,
        "client": node.client,
        "state": node.state,
        "session": node.session,
        "lease": node.own.as_ref().map(|own| own.has_lease),
        "keeps": node.keeps,
        "serving": node.own.as_ref().map(|own| &own.serving),
        "syncing": node.own.as_ref().map(|own| &own.syncing),
        "trouble": node.trouble,
    })
}

fn partition(partition: &PartitionStatus) -> serde_json::Value {
    json!({
        "name": partition.name,
        "state": partition.state,
        "preference_list": partition.preference,
        "epoch": partition.chain.as_ref().map(|(epoch, _)| epoch),
        "members": partition.chain.as_ref().map(|(_, members)| members),
        "missing": partition.missing,
    })
}

#[cfg(test)]
mod tests {
    use super::super::report::tests::{answers, one_syncing};
    use super::*;

    #[test]
    fn states_are_words_and_progress_is_numbers() {
        let document = render(&Report::of(&answers(one_syncing)).expect("sensible"));
        assert_eq!(document["state"], "short");
        assert_eq!(document["nodes"][3]["state"], "syncing");
        assert_eq!(document["nodes"][3]["syncing"][0]["committed"], 54321);
        assert_eq!(document["nodes"][3]["syncing"][1]["pages"], 12);
        assert_eq!(document["partitions"][3]["members"], json!(["5560", "5562"]));
        assert_eq!(document["control"]["majority"], 3);
    }
}
