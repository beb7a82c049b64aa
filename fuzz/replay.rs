//! Feeds a check what fuzzing has found before. The tests of the crates include this file.

use std::path::{Path, PathBuf};

/// Feeds the check of a fuzz target all inputs that are kept for it: its corpus, and what once made it fail.
///
/// If one fails, the last name among what the test printed is its own.
pub(crate) fn replay(target: &str, check: impl Fn(&[u8])) {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz");
    let corpus = files(&fuzz.join("corpus").join(target));
    assert!(!corpus.is_empty(), "the corpus of {target} is in the repository");
    for path in corpus.into_iter().chain(files(&fuzz.join("crashes").join(target))) {
        println!("{}", path.display());
        check(&std::fs::read(&path).expect("a file that was listed"));
    }
}

/// The files in a folder, in order; none if there is no such folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut files: Vec<_> = entries.map(|entry| entry.expect("a folder can be listed").path()).collect();
    files.sort();
    files
}
