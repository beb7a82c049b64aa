//! The `simpledynamo` binary without one of its safeguards, which the environment names: tests must notice.

use std::process::ExitCode;

fn main() -> ExitCode {
    simpledynamo_cli::run()
}
