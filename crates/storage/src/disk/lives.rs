//! The last sessions that began on a store.
//!
//! A store that lacks the session that its node is known to be in is an old copy: what it would begin again has
//! begun before. So a session is noted here before anybody is told of it.

use std::path::{Path, PathBuf};

use simpledynamo_topology::Session;

use super::small;
use crate::StoreError;

/// The most sessions that are kept. One is looked for that is the last or was proposed shortly before, so
/// that a few would do; more show what a node has been through.
pub const LIVES_MAX: usize = 128;

/// The last sessions that began on a store, in a small file of their own.
#[derive(Debug)]
pub struct Lives {
    path: PathBuf,
    /// Sessions, each with the nonce that tells it from one of the same number on a copy of the store.
    lives: Vec<(Session, u64)>,
}

impl Lives {
    /// Reads the file in a store's folder. A store on which no session has begun has none.
    ///
    /// # Errors
    /// When the file cannot be read, or does not hold what was written to it.
    pub fn open(folder: &Path) -> Result<Self, StoreError> {
        let path = path(folder);
        let mut lives = Vec::new();
        for (number, line) in small::read(&path)?.lines().enumerate() {
            lives.push(parse(line).ok_or_else(|| StoreError::Damaged {
                path: path.clone(),
                offset: 0,
                reason: format!("line {} is not: session, nonce", number + 1),
            })?);
        }
        Ok(Self { path, lives })
    }

    /// Whether no session has begun on the store.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lives.is_empty()
    }

    /// Whether this session began on the store, or was about to.
    #[must_use]
    pub fn contains(&self, session: Session, nonce: u64) -> bool {
        self.lives.contains(&(session, nonce))
    }

    /// A session is about to begin on the store: noted durably when this returns. At most [`LIVES_MAX`] are
    /// kept.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn begin(&mut self, session: Session, nonce: u64) -> Result<(), StoreError> {
        if self.contains(session, nonce) {
            return Ok(());
        }
        let mut lives = self.lives.clone();
        lives.push((session, nonce));
        if lives.len() > LIVES_MAX {
            // A node that is started again and again without a majority records one attempt at the same session after
            // another: they must not push out the last session that is known to have begun.
            let earlier_attempt =
                lives[..lives.len() - 1].iter().position(|(attempt, _)| *attempt == session);
            lives.remove(earlier_attempt.unwrap_or(0));
        }
        let lines = lives.iter().map(|(session, nonce)| format!("{session} {nonce:016x}\n"));
        small::replace(&self.path, &lines.collect::<String>())?;
        self.lives = lives;
        Ok(())
    }
}

/// The file in a store's folder.
pub(crate) fn path(folder: &Path) -> PathBuf {
    folder.join("lives")
}

fn parse(line: &str) -> Option<(Session, u64)> {
    let (session, nonce) = line.split_once(' ')?;
    Some((Session(session.parse().ok()?), u64::from_str_radix(nonce, 16).ok()?))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn sessions_are_known_again_after_a_restart() {
        let folder = tempfile::tempdir().expect("a folder");
        let open = || Lives::open(folder.path()).expect("readable");
        assert!(!open().contains(Session(1), 10));
        open().begin(Session(1), 10).expect("writable");
        open().begin(Session(2), u64::MAX).expect("writable");
        assert!(open().contains(Session(1), 10) && open().contains(Session(2), u64::MAX));
        assert!(!open().contains(Session(2), 10), "one of the same number on a copy of the store");
        let mut lives = open();
        lives.begin(Session(2), u64::MAX).expect("writable");
        assert_eq!(lives.lives.len(), 2, "it has begun already");
    }

    #[test]
    fn the_last_ones_are_kept() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut lives = Lives::open(folder.path()).expect("readable");
        for session in 0..=LIVES_MAX as u64 {
            lives.begin(Session(session), session * 10).expect("writable");
        }
        let lives = Lives::open(folder.path()).expect("readable");
        assert_eq!(lives.lives.len(), LIVES_MAX);
        assert!(!lives.contains(Session(0), 0) && lives.contains(Session(1), 10));
    }

    #[test]
    fn attempts_at_one_session_do_not_push_out_the_last_that_began() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut lives = Lives::open(folder.path()).expect("readable");
        lives.begin(Session(7), 70).expect("writable");
        let attempts = 3 * LIVES_MAX as u64;
        for nonce in 0..attempts {
            lives.begin(Session(8), nonce).expect("writable");
        }
        assert_eq!(lives.lives.len(), LIVES_MAX);
        assert!(lives.contains(Session(7), 70) && lives.contains(Session(8), attempts - 1));
    }

    #[test]
    fn a_damaged_file_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(path(folder.path()), "1 00\n2").expect("written");
        let error = Lives::open(folder.path()).expect_err("damaged");
        assert!(error.is_damage());
        let error = error.to_string();
        assert!(error.contains("lives") && error.contains("line 2"), "{error}");
    }
}
