//! `simpledynamo insert KEY VALUE`.

use std::os::unix::ffi::OsStrExt as _;
use std::process::ExitCode;

use simpledynamo_wire::resp::Value;

use crate::arguments::{InsertOptions, PairFormat};
use crate::client::{Client, Effect, unexpected};
use crate::failure::Failure;

/// Stores the pair and says so once it is acknowledged.
pub(crate) fn run(options: &InsertOptions) -> Result<ExitCode, Failure> {
    let mut client = Client::open(&options.connection)?;
    let arguments = [b"SET".as_slice(), options.key.as_bytes(), options.value.as_bytes()];
    match client.call(&arguments, Effect::Write)? {
        Value::Simple(_) => {}
        other => return Err(unexpected("SET", &other)),
    }
    match options.output {
        PairFormat::Table | PairFormat::Tsv => println!("OK"),
        PairFormat::Json => println!("{{\"inserted\":1}}"),
    }
    Ok(ExitCode::SUCCESS)
}
