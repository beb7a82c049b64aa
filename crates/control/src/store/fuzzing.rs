//! What is asserted of the store's files whatever they hold, for the fuzz target in `fuzz/`.
//!
//! It is here, and not beside the target, because it looks at what nobody else may see, and so that an ordinary test can
//! feed it what fuzzing found before. Only tests and fuzzers are built with it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use openraft::EntryPayload;
use simpledynamo_ring::Ring;
use simpledynamo_topology::{NodeId, StoreId, Topology};

use super::machine::open_snapshot;
use super::record::{self, FORMAT, Head, Record};
use super::{LOG, SNAPSHOT, StoreError, open_log};
use crate::ControlId;

/// Reads the input as a log, or as a snapshot, as its first byte says. A line that begins with `=` is one that was
/// written: the rest of it is its text, whose length and checksum are filled in. All else is as it stands.
///
/// Nothing panics, and what is not opened is said to be damaged, or another's. If a log is opened, then
///
/// - not one of the lines that were written is missing, whatever stood between them;
/// - it says the same when it is opened again, and after it was written anew;
/// - its commands can be applied, whatever they say.
///
/// If a snapshot is, it says the same after it was written anew.
pub fn control_log(input: &[u8]) {
    let [kind, text @ ..] = input else { return };
    let (bytes, lines) = file(text);
    let scratch = Scratch::new();
    let head = Head {
        format: FORMAT,
        ring: "ring".to_owned(),
        owner: ControlId { node: NodeId(1), store: StoreId(1) },
    };
    let checked = if kind % 2 == 0 {
        check_log(&scratch.0, &bytes, lines, &head)
    } else {
        check_snapshot(&scratch.0, &bytes, &head)
    };
    if let Err(error) = checked {
        assert!(!matches!(error, StoreError::Io { .. }), "no disk refused: {error}");
    }
}

/// The file that an input stands for, and how many lines in it were written.
fn file(text: &[u8]) -> (Vec<u8>, usize) {
    let (mut bytes, mut written) = (Vec::new(), 0);
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        match line.strip_prefix(b"=") {
            Some(text) => {
                bytes.extend(record::line_of(text.strip_suffix(b"\n").unwrap_or(text)));
                written += 1;
            }
            None => bytes.extend_from_slice(line),
        }
    }
    (bytes, written)
}

fn check_log(folder: &Path, bytes: &[u8], lines: usize, head: &Head) -> Result<(), StoreError> {
    let path = folder.join(LOG);
    let open = |bytes: &[u8]| {
        fs::write(&path, bytes).expect("there is room for it");
        open_log(&path, folder, head).map(|mirror| mirror.records(head))
    };
    let records = open(bytes)?;
    let kept = fs::read(&path).expect("it was just opened");
    assert!(bytes.starts_with(&kept), "only the end may be cut off");
    let scan = record::scan::<Vec<Record>>(&kept).expect("it was just opened");
    assert!(scan.lines.len() >= lines, "no line that was written is missing");

    assert_eq!(open(&kept)?, records, "opened again");
    assert_eq!(open(&record::encode(&records))?, records, "written anew");

    let mut topology = Topology::new(ring());
    for (record, place) in records.iter().zip(1..) {
        if let Record::Entry(entry) = record
            && let EntryPayload::Normal(command) = &entry.payload
        {
            // Void or not, it is the same to everybody.
            let _ = topology.apply(place, command);
        }
    }
    Ok(())
}

fn check_snapshot(folder: &Path, bytes: &[u8], head: &Head) -> Result<(), StoreError> {
    let path = folder.join(SNAPSHOT);
    let open = |bytes: &[u8]| {
        fs::write(&path, bytes).expect("there is room for it");
        let image = open_snapshot(&path, head, &ring())?;
        Ok(record::encode(&image.expect("the file is there")))
    };
    let image = open(bytes)?;
    assert_eq!(open(&image)?, image, "written anew");
    Ok(())
}

fn ring() -> Arc<Ring> {
    static RING: LazyLock<Arc<Ring>> =
        LazyLock::new(|| Arc::new(Ring::new(&["a", "b", "c"], 3).expect("the names differ")));
    Arc::clone(&RING)
}

/// A folder in memory where there is such a place, and gone afterwards.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        let memory = PathBuf::from("/dev/shm");
        let parent = if memory.is_dir() { memory } else { std::env::temp_dir() };
        let path = parent.join(format!("simpledynamo-control-fuzzing-{}", std::process::id()));
        fs::create_dir_all(&path).expect("there is room for it");
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What is left behind is small, and in a place that does not last.
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
#[path = "../../../../fuzz/replay.rs"]
mod replay;

#[cfg(test)]
mod tests {
    #[test]
    fn kept_inputs_pass() {
        super::replay::replay("control_log", super::control_log);
    }
}
