//! Which life of each other node this node has met last.
//!
//! A node tells its last lives when it introduces itself. If one of them is the life that the other knows, or all
//! are later, it is the node that it says it is. What a node forgets, the others remember: a node that comes back with
//! an empty store, or with an old copy of its store, would begin sessions again that were used before, and with them numbers of writes that mean
//! something else already. Whoever has met the later life turns it away.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use simpledynamo_topology::Session;
use simpledynamo_wire::peer::{LINEAGE_MAX, Life};

use super::folder::{failed, sync_folder};
use crate::StoreError;

/// The file's name in the store's folder.
const FILE: &str = "acquaintances";

/// The file of this store's own lives.
const LIVES: &str = "lives";

/// The life of a node that was met last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Met {
    store: [u8; 16],
    session: Session,
    nonce: u64,
}

/// Why a node is not the one that this node knows.
#[derive(Debug, thiserror::Error)]
pub enum Stranger {
    /// Its store is another one.
    #[error(
        "its data folder is not the one that it had: this version cannot fill an empty or foreign one again, so \
         give it back the folder that it had"
    )]
    OtherStore,
    /// Its session, or a later one, was used before.
    #[error(
        "it begins session {begun} without having been in session {known} as it was known before: its data folder \
         is an old copy, so give it back the one that it had last"
    )]
    OldCopy {
        /// The session that it begins.
        begun: Session,
        /// The last session that this node knows of.
        known: Session,
    },
    /// It tells no life at all.
    #[error("it tells no session of its own")]
    Nobody,
    /// This node cannot note whom it meets.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Which life of each other node was met last, by name of the node; kept in a small file of their own.
#[derive(Debug)]
pub struct Acquaintances {
    path: PathBuf,
    met: BTreeMap<String, Met>,
}

impl Acquaintances {
    /// Reads the file in a store's folder. A store that has met nobody has none.
    ///
    /// # Errors
    /// When the file cannot be read, or does not hold what was written to it.
    pub fn open(folder: &Path) -> Result<Self, StoreError> {
        let path = folder.join(FILE);
        let text = read(&path)?;
        let mut met = BTreeMap::new();
        for (number, line) in text.lines().enumerate() {
            let (name, life) =
                parse(line).ok_or_else(|| damaged(&path, number, "node, store, session, nonce"))?;
            met.insert(name, life);
        }
        Ok(Self { path, met })
    }

    /// Meets a node: durably noted before this returns, so that no earlier life of it is ever met again.
    ///
    /// # Errors
    /// When the life does not follow from the one known, or is on another store.
    pub fn meet(&mut self, name: &str, life: &Life) -> Result<(), Stranger> {
        let Some(&(session, nonce)) = life.lineage.last() else { return Err(Stranger::Nobody) };
        if let Some(known) = self.met.get(name) {
            if known.store != life.store {
                return Err(Stranger::OtherStore);
            }
            let same = life.lineage.iter().find(|(session, _)| *session >= known.session);
            let follows = match same {
                Some((session, nonce)) => *session > known.session || *nonce == known.nonce,
                None => false,
            };
            if !follows {
                return Err(Stranger::OldCopy { begun: session, known: known.session });
            }
            if (session, nonce) == (known.session, known.nonce) {
                return Ok(());
            }
        }
        self.met.insert(name.to_owned(), Met { store: life.store, session, nonce });
        Ok(self.write()?)
    }

    fn write(&self) -> Result<(), StoreError> {
        let lines = self.met.iter().map(|(name, met)| {
            let store = u128::from_be_bytes(met.store);
            format!("{name} {store:032x} {} {:016x}\n", met.session, met.nonce)
        });
        replace(&self.path, &lines.collect::<String>())
    }
}

/// Begins a session on a store: adds it to the store's last lives, durably, and returns them.
///
/// # Errors
/// When the file of lives cannot be read or written, or does not hold what was written to it.
pub fn begin_life(folder: &Path, store: [u8; 16], session: Session, nonce: u64) -> Result<Life, StoreError> {
    let path = folder.join(LIVES);
    let mut lineage = Vec::new();
    for (number, line) in read(&path)?.lines().enumerate() {
        let parsed = line.split_once(' ').and_then(|(session, nonce)| {
            Some((Session(session.parse().ok()?), u64::from_str_radix(nonce, 16).ok()?))
        });
        lineage.push(parsed.ok_or_else(|| damaged(&path, number, "session, nonce"))?);
    }
    lineage.push((session, nonce));
    lineage.drain(..lineage.len().saturating_sub(LINEAGE_MAX));
    let lines = lineage.iter().map(|(session, nonce)| format!("{session} {nonce:016x}\n"));
    replace(&path, &lines.collect::<String>())?;
    Ok(Life { store, lineage })
}

/// A small file's text; empty if there is none.
fn read(path: &Path) -> Result<String, StoreError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(text),
        Err(source) if source.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        Err(source) => Err(failed("cannot read", path, source)),
    }
}

/// Replaces a small file as a whole, durably.
fn replace(path: &Path, text: &str) -> Result<(), StoreError> {
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

fn damaged(path: &Path, number: usize, expected: &str) -> StoreError {
    let reason = format!("line {} is not: {expected}", number + 1);
    StoreError::Damaged { path: path.to_owned(), offset: 0, reason }
}

/// A node's name holds no space: the configuration sees to that.
fn parse(line: &str) -> Option<(String, Met)> {
    let mut fields = line.split(' ');
    let (name, store, session, nonce) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
    let life = Met {
        store: u128::from_str_radix(store, 16).ok()?.to_be_bytes(),
        session: Session(session.parse().ok()?),
        nonce: u64::from_str_radix(nonce, 16).ok()?,
    };
    fields.next().is_none().then(|| (name.to_owned(), life))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn life(store: u8, lineage: &[(u64, u64)]) -> Life {
        let lineage = lineage.iter().map(|&(session, nonce)| (Session(session), nonce)).collect();
        Life { store: [store; 16], lineage }
    }

    #[test]
    fn a_life_that_does_not_follow_is_turned_away_even_after_restarts() {
        let folder = tempfile::tempdir().expect("a folder");
        let open = || Acquaintances::open(folder.path()).expect("readable");
        open().meet("a", &life(1, &[(4, 40)])).expect("nobody was met before");
        open().meet("a", &life(1, &[(4, 40)])).expect("the same life, linked again");
        open()
            .meet("a", &life(1, &[(4, 40), (5, 50), (6, 60)]))
            .expect("a later life, one missed in between");
        open().meet("b", &life(2, &[(1, 9)])).expect("another node");
        // Copies of the store as it was in session 4 or 5, started once or several times.
        for old in
            [&[(4, 40)][..], &[(4, 40), (5, 51)], &[(5, 50), (6, 61)], &[(4, 40), (5, 51), (6, 61), (7, 71)]]
        {
            let refused = open().meet("a", &life(1, old)).expect_err("an old copy");
            assert!(matches!(refused, Stranger::OldCopy { .. }), "{refused}");
        }
        let refused = open().meet("a", &life(3, &[(7, 70)])).expect_err("another store");
        assert!(matches!(refused, Stranger::OtherStore), "{refused}");
        assert!(matches!(open().meet("a", &life(1, &[])), Err(Stranger::Nobody)));
        open().meet("a", &life(1, &[(6, 60), (7, 70)])).expect("refusals leave no trace");
        open().meet("a", &life(1, &[(200, 1), (201, 2)])).expect("more lives missed than are told");
    }

    #[test]
    fn the_last_lives_of_a_store_are_kept() {
        let folder = tempfile::tempdir().expect("a folder");
        let begin =
            |session| begin_life(folder.path(), [1; 16], Session(session), session * 10).expect("writable");
        assert_eq!(begin(1), life(1, &[(1, 10)]));
        assert_eq!(begin(2), life(1, &[(1, 10), (2, 20)]));
        let lives: Vec<Life> = (3..=200).map(begin).collect();
        let last = lives.last().expect("some");
        assert_eq!(last.lineage.len(), LINEAGE_MAX);
        assert_eq!(last.lineage.last(), Some(&(Session(200), 2000)));
    }

    #[test]
    fn a_damaged_file_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join(FILE), "a 00 1").expect("written");
        let error = Acquaintances::open(folder.path()).expect_err("damaged").to_string();
        assert!(error.contains("acquaintances") && error.contains("line 1"), "{error}");
    }
}
