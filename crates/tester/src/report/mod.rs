//! A run's files: the history in two formats, and the report for programs and for people.

mod html;
mod intervals;
mod timeline;

use std::fs::{self, File};
use std::io::{self, BufWriter, Write as _};
use std::path::Path;

use crate::error::TesterError;
use crate::history::write_edn;
use crate::log::Log;
use crate::result::RunReport;

/// The files of a run.
pub(crate) const HISTORY: &str = "history.jsonl";
const HISTORY_EDN: &str = "history.edn";
const REPORT_JSON: &str = "report.json";
const REPORT_HTML: &str = "report.html";

/// Writes what a run leaves, besides the history that was written as it went on.
pub(crate) fn write(report: &RunReport, log: &mut Log, out: &Path) -> Result<(), TesterError> {
    let failed = |name: &str| {
        let path = out.join(name);
        |source| TesterError::File { path, source }
    };
    log.flush().map_err(failed(HISTORY))?;
    write_history_edn(log, &out.join(HISTORY_EDN)).map_err(failed(HISTORY_EDN))?;
    let json = serde_json::to_string_pretty(report).map_err(io::Error::other);
    json.and_then(|json| fs::write(out.join(REPORT_JSON), json)).map_err(failed(REPORT_JSON))?;
    fs::write(out.join(REPORT_HTML), html::page(report)).map_err(failed(REPORT_HTML))
}

fn write_history_edn(log: &Log, path: &Path) -> io::Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    write_edn(log.records(), &mut file)?;
    file.flush()
}
