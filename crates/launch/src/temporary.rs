//! A folder for as long as it is needed.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::error::LaunchError;

/// A folder that is removed with all that is in it.
#[derive(Debug)]
pub struct TemporaryFolder {
    path: PathBuf,
    keep: bool,
}

impl TemporaryFolder {
    /// Makes a folder below the system's folder for such, for `purpose`; one that is to be kept is not removed.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn create(purpose: &str, keep: bool) -> Result<Self, LaunchError> {
        let parent = std::env::temp_dir();
        for number in 0.. {
            let path = parent.join(format!("simpledynamo-{purpose}-{}-{number}", std::process::id()));
            match fs::create_dir(&path) {
                Ok(()) => return Ok(Self { path, keep }),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(source) => return Err(LaunchError::Temporary { path, source }),
            }
        }
        unreachable!("the numbers do not end")
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for TemporaryFolder {
    fn drop(&mut self) {
        if self.keep {
            eprintln!("simpledynamo: configurations, data and logs are in {}", self.path.display());
        } else if let Err(error) = fs::remove_dir_all(&self.path) {
            eprintln!("simpledynamo: cannot remove {}: {error}", self.path.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folder_goes_unless_it_is_kept() {
        let gone = TemporaryFolder::create("test", false).expect("made");
        let kept = TemporaryFolder::create("test", true).expect("made");
        let (gone_path, kept_path) = (gone.path().to_owned(), kept.path().to_owned());
        assert_ne!(gone_path, kept_path);
        fs::write(gone_path.join("x"), "x").expect("written");
        drop((gone, kept));
        assert!(!gone_path.exists() && kept_path.exists());
        fs::remove_dir(kept_path).expect("empty");
    }
}
