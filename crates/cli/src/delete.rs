//! `simpledynamo delete KEY|@|*`.

use std::os::unix::ffi::OsStrExt as _;
use std::process::ExitCode;
use std::time::Duration;

use simpledynamo_wire::resp::Value;

use crate::arguments::{DeleteOptions, PairFormat};
use crate::client::{Client, Effect, unexpected};
use crate::failure::{Failure, NOT_FOUND};

/// How long a node may work on deleting a whole selection: millions of keys, each an ordinary write.
const SELECTION_TIMEOUT: Duration = Duration::from_secs(3600);

/// Deletes and prints how many keys there were.
pub(crate) fn run(options: &DeleteOptions) -> Result<ExitCode, Failure> {
    let selection = options.selection.as_bytes();
    let many = selection == b"@" || selection == b"*";
    let command = if many { "SD.DELETE" } else { "DEL" };
    let mut client = Client::open(&options.connection)?;
    if many {
        client.set_reply_timeout(SELECTION_TIMEOUT);
    }
    let deleted = match client.call(&[command.as_bytes(), selection], Effect::Write)? {
        Value::Integer(deleted) => deleted,
        other => return Err(unexpected(command, &other)),
    };
    match options.output {
        PairFormat::Table | PairFormat::Tsv => println!("{deleted}"),
        PairFormat::Json => println!("{{\"deleted\":{deleted}}}"),
    }
    Ok(if many || deleted > 0 { ExitCode::SUCCESS } else { ExitCode::from(NOT_FOUND) })
}
