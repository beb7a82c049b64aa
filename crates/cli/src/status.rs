//! `simpledynamo status`: is everything up, is each pair on all its nodes, and if not, what is missing.
//!
//! | module | subject |
//! |---|---|
//! | `ask` | asks every node at once, each for a short time |
//! | `report` | what the answers come to |
//! | `screen`, `json` | the same for people and for programs |

mod ask;
mod json;
mod report;
mod screen;

use std::process::ExitCode;

use crate::arguments::{ReportFormat, StatusOptions};
use crate::failure::{Failure, SHORT, UNSERVED};
use crate::terminal::Paint;

use report::{Report, State};

/// Shows the state of the ring, and ends with a code that tells it.
pub(crate) fn run(options: &StatusOptions) -> Result<ExitCode, Failure> {
    let report = Report::of(&ask::all(&options.source)?)?;
    match options.output {
        ReportFormat::Table => print!("{}", screen::render(&report, Paint::stdout())),
        ReportFormat::Json => println!("{:#}", json::render(&report)),
    }
    Ok(match report.state {
        State::Whole => ExitCode::SUCCESS,
        State::Short => ExitCode::from(SHORT),
        State::Unserved => ExitCode::from(UNSERVED),
    })
}
