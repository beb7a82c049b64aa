//! The `simpledynamo` program: starts nodes, asks them, shows the ring, measures it and checks it.
//!
//! Each subcommand has a file of its own and returns an exit code or a `failure::Failure`, which ends as one line
//! on standard error. What programs read goes to standard output, everything else to standard error.

mod arguments;
mod bench;
mod client;
mod delete;
mod demo;
mod failure;
mod format;
mod insert;
mod locate;
mod placement;
mod query;
mod reply;
mod ring;
mod serve;
mod status;
mod terminal;
mod verify;

use std::process::ExitCode;

use clap::Parser as _;

use arguments::{Arguments, Command};
use mimalloc::MiMalloc;

/// A node under load allocates and frees on three threads, what one makes another often lets go of: with glibc's
/// allocator that takes a quarter more processor time per write (docs/performance.md).
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Does what the arguments of this process say.
#[must_use]
pub fn run() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Serve(options) => serve::run(&options),
        Command::Demo(options) => demo::run(&options),
        Command::Insert(options) => insert::run(&options),
        Command::Query(options) => query::run(&options),
        Command::Delete(options) => delete::run(&options),
        Command::Status(options) => status::run(&options),
        Command::Ring(options) => ring::run(&options),
        Command::Locate(options) => locate::run(&options),
        Command::Bench(options) => bench::run(&options),
        Command::Verify(options) => verify::run(&options),
    };
    done.unwrap_or_else(|failure| {
        eprintln!("simpledynamo: {failure}");
        failure.exit_code()
    })
}
