//! The `simpledynamo` binary.

use std::process::ExitCode;

#[cfg(feature = "sabotage")]
compile_error!(
    "this program has all its safeguards: with the feature `sabotage` build only simpledynamo-sabotaged"
);

fn main() -> ExitCode {
    simpledynamo_cli::run()
}
