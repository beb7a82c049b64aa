//! A store that is known to lack what it acknowledged.

use std::path::{Path, PathBuf};

use super::small;
use crate::StoreError;

/// Notes durably that the store in a folder lacks what it acknowledged: the others may tell a node so while
/// it runs. It must not be started from again, but emptied and filled anew.
///
/// # Errors
/// When the disk refuses.
pub fn mark_damaged(folder: &Path) -> Result<(), StoreError> {
    small::replace(&path(folder), "This store lacks entries that it acknowledged.\n")
}

/// Whether the store in a folder was marked by [`mark_damaged`].
///
/// # Errors
/// When the disk refuses.
pub fn is_marked_damaged(folder: &Path) -> Result<bool, StoreError> {
    small::exists(&path(folder))
}

/// The mark.
pub(crate) fn path(folder: &Path) -> PathBuf {
    folder.join("damaged")
}
