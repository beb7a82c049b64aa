//! `simpledynamo locate KEY...`: where keys live.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt as _;
use std::process::ExitCode;

use serde_json::json;
use simpledynamo_ring::Token;

use crate::arguments::{LocateOptions, ReportFormat};
use crate::failure::Failure;
use crate::format;
use crate::placement::Placement;
use crate::ring::{chain_json, chain_text};
use crate::terminal::{Paint, table};

/// Shows hash, partition, preference list and chain of each key.
pub(crate) fn run(options: &LocateOptions) -> Result<ExitCode, Failure> {
    let placement = Placement::find(&options.source, true)?;
    match options.output {
        ReportFormat::Table => {
            let mut rows = table(&["Key", "SHA-1", "Partition", "Kept by, head to tail", "Chain now"]);
            for key in &options.keys {
                rows.add_row(row(&placement, key));
            }
            println!("{}", rows.trim_fmt());
            println!(
                "{}",
                Paint::stdout().faint(&format!("Cluster {:?}; {}.", placement.cluster, placement.origin))
            );
        }
        ReportFormat::Json => {
            let places: Vec<serde_json::Value> =
                options.keys.iter().map(|key| object(&placement, key)).collect();
            println!("{:#}", serde_json::Value::from(places));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn row(placement: &Placement, key: &OsString) -> Vec<String> {
    let token = Token::of(key.as_bytes());
    let partition = placement.ring.partition_of(token);
    vec![
        format::escaped(key.as_bytes()),
        token.to_string(),
        placement.ring.names()[partition].clone(),
        placement.preference(partition).join(" → "),
        chain_text(placement, partition),
    ]
}

fn object(placement: &Placement, key: &OsString) -> serde_json::Value {
    let token = Token::of(key.as_bytes());
    let partition = placement.ring.partition_of(token);
    json!({
        "key": format::json(key.as_bytes()),
        "sha1": token.to_string(),
        "position": token.fraction(),
        "partition": placement.ring.names()[partition],
        "preference_list": placement.preference(partition),
        "chain": chain_json(placement, partition),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_those_of_the_hash() {
        let placement = Placement::classic();
        // SHA-1("hello") = aaf4c61d..., below 5558's abf0fd8d... and above 5554's 33d6357c...
        let place = object(&placement, &OsString::from("hello"));
        assert_eq!(place["sha1"], "aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d");
        assert_eq!(place["partition"], "5558");
        assert_eq!(place["preference_list"], json!(["5558", "5560", "5562"]));
        // A node's own name hashes to the end of its arc, which is part of it.
        assert_eq!(row(&placement, &OsString::from("5562"))[2], "5562");
    }
}
