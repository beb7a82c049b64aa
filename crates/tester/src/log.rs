//! What all clients of a run write down, in memory and in the history file.

use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::Path;

use crate::history::write_line;
use crate::record::Record;

/// The most operations of a run: each takes about 200 bytes of memory until the end.
pub(crate) const OPERATIONS_MAX: usize = 10_000_000;

/// The most different problems that are told of a phase: more say no more.
const PROBLEMS_MAX: usize = 20;

/// The records of a run so far, and what went wrong beside them.
#[derive(Debug)]
pub(crate) struct Log {
    records: Vec<Record>,
    file: BufWriter<File>,
    written: io::Result<()>,
    problems: Vec<String>,
}

impl Log {
    /// Begins a history file.
    pub(crate) fn create(path: &Path) -> io::Result<Self> {
        let file = BufWriter::new(File::create(path)?);
        Ok(Self { records: Vec::new(), file, written: Ok(()), problems: Vec::new() })
    }

    /// Adds an operation.
    pub(crate) fn push(&mut self, record: Record) {
        if self.written.is_ok() {
            self.written = write_line(&record, &mut self.file);
        }
        self.records.push(record);
    }

    /// All operations so far, in the order in which they ended.
    pub(crate) fn records(&self) -> &[Record] {
        &self.records
    }

    /// Whether no more operations fit.
    pub(crate) fn is_full(&self) -> bool {
        self.records.len() >= OPERATIONS_MAX
    }

    /// Notes something that must not be.
    pub(crate) fn problem(&mut self, problem: String) {
        if self.problems.len() < PROBLEMS_MAX && !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }

    /// The problems since they were taken last.
    pub(crate) fn take_problems(&mut self) -> Vec<String> {
        std::mem::take(&mut self.problems)
    }

    /// Sees to it that the file has everything.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        std::mem::replace(&mut self.written, Ok(()))?;
        self.file.flush()
    }
}
