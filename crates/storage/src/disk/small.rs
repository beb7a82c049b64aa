//! Small files that are replaced as a whole.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use super::folder::{failed, sync_folder};
use crate::StoreError;

/// A small file's text; empty if there is none.
pub(crate) fn read(path: &Path) -> Result<String, StoreError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(text),
        Err(source) if source.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        Err(source) => Err(unreadable(path, source)),
    }
}

/// Why a file that is there could not be read as text: what was written to it was text.
pub(crate) fn unreadable(path: &Path, source: io::Error) -> StoreError {
    if source.kind() == io::ErrorKind::InvalidData {
        return StoreError::Damaged { path: path.to_owned(), offset: 0, reason: "it is no text".to_owned() };
    }
    failed("cannot read", path, source)
}

/// Whether a file is there.
pub(crate) fn exists(path: &Path) -> Result<bool, StoreError> {
    fs::exists(path).map_err(|source| failed("cannot look for", path, source))
}

/// Replaces a small file as a whole, durably.
pub(crate) fn replace(path: &Path, text: &str) -> Result<(), StoreError> {
    let new = path.with_extension("new");
    let write = || {
        let mut file = File::create(&new)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, path)
    };
    write().map_err(|source| failed("cannot write", path, source))?;
    sync_folder(path.parent().unwrap_or(Path::new(".")))
}

/// Removes a file if it is there, durably.
pub(crate) fn remove(path: &Path) -> Result<(), StoreError> {
    match fs::remove_file(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(failed("cannot remove", path, source)),
        _ => sync_folder(path.parent().unwrap_or(Path::new("."))),
    }
}
