//! Which life of each other node this node has met last.
//!
//! What a node forgets, the others remember: a node that comes back with an empty store, or with an old copy of
//! its store, would begin sessions again that were used before, and with them numbers of writes that mean
//! something else already. Whoever has met the later life turns it away.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use simpledynamo_topology::Session;

use super::folder::{failed, sync_folder};
use crate::StoreError;

/// The file's name in the store's folder.
const FILE: &str = "acquaintances";

/// One life of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Life {
    /// The node's store.
    pub store: [u8; 16],
    /// The session that the life is. Rises from life to life on the same store.
    pub session: Session,
    /// Tells two lives apart that took the same number for their session.
    pub nonce: u64,
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
        "it begins session {begun}, but was in session {known} before: its data folder is an old copy, so give it \
         back the one that it had last"
    )]
    OldCopy {
        /// The session that it begins.
        begun: Session,
        /// The last session that this node knows of.
        known: Session,
    },
    /// This node cannot note whom it meets.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The lives that this node has met, by name of the node; kept in a small file of their own.
#[derive(Debug)]
pub struct Acquaintances {
    path: PathBuf,
    lives: BTreeMap<String, Life>,
}

impl Acquaintances {
    /// Reads the file in a store's folder. A store that has met nobody has none.
    ///
    /// # Errors
    /// When the file cannot be read, or does not hold what was written to it.
    pub fn open(folder: &Path) -> Result<Self, StoreError> {
        let path = folder.join(FILE);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(source) if source.kind() == io::ErrorKind::NotFound => String::new(),
            Err(source) => return Err(failed("cannot read", &path, source)),
        };
        let mut lives = BTreeMap::new();
        for (number, line) in text.lines().enumerate() {
            let (name, life) = parse(line).ok_or_else(|| StoreError::Damaged {
                path: path.clone(),
                offset: 0,
                reason: format!("line {} is not: node, store, session, nonce", number + 1),
            })?;
            lives.insert(name, life);
        }
        Ok(Self { path, lives })
    }

    /// Meets a node: durably noted before this returns, so that no earlier life of it is ever met again.
    ///
    /// # Errors
    /// When the life is an earlier one than the one known, or on another store.
    pub fn meet(&mut self, name: &str, life: Life) -> Result<(), Stranger> {
        if let Some(known) = self.lives.get(name) {
            if known.store != life.store {
                return Err(Stranger::OtherStore);
            }
            if life == *known {
                return Ok(());
            }
            if life.session <= known.session {
                return Err(Stranger::OldCopy { begun: life.session, known: known.session });
            }
        }
        self.lives.insert(name.to_owned(), life);
        Ok(self.write()?)
    }

    fn write(&self) -> Result<(), StoreError> {
        let lines = self.lives.iter().map(|(name, life)| {
            let store = u128::from_be_bytes(life.store);
            format!("{name} {store:032x} {} {:016x}\n", life.session, life.nonce)
        });
        let (text, new) = (lines.collect::<String>(), self.path.with_extension("new"));
        let write = || {
            let mut file = File::create(&new)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            fs::rename(&new, &self.path)
        };
        write().map_err(|source| failed("cannot write", &self.path, source))?;
        sync_folder(self.path.parent().unwrap_or(Path::new(".")))
    }
}

/// A node's name holds no space: the configuration sees to that.
fn parse(line: &str) -> Option<(String, Life)> {
    let mut fields = line.split(' ');
    let (name, store, session, nonce) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
    let life = Life {
        store: u128::from_str_radix(store, 16).ok()?.to_be_bytes(),
        session: Session(session.parse().ok()?),
        nonce: u64::from_str_radix(nonce, 16).ok()?,
    };
    fields.next().is_none().then(|| (name.to_owned(), life))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn life(store: u8, session: u64, nonce: u64) -> Life {
        Life { store: [store; 16], session: Session(session), nonce }
    }

    #[test]
    fn an_earlier_life_is_turned_away_even_after_a_restart() {
        let folder = tempfile::tempdir().expect("a folder");
        let open = || Acquaintances::open(folder.path()).expect("readable");
        open().meet("a", life(1, 4, 7)).expect("nobody was met before");
        open().meet("a", life(1, 4, 7)).expect("the same life, linked again");
        open().meet("a", life(1, 5, 8)).expect("the next life");
        open().meet("b", life(2, 1, 9)).expect("another node");
        for old in [life(1, 4, 7), life(1, 5, 7), life(1, 1, 1)] {
            let refused = open().meet("a", old).expect_err("an earlier life");
            assert!(matches!(refused, Stranger::OldCopy { .. }), "{refused}");
        }
        let refused = open().meet("a", life(3, 6, 1)).expect_err("another store");
        assert!(matches!(refused, Stranger::OtherStore), "{refused}");
        open().meet("a", life(1, 6, 1)).expect("refusals leave no trace");
    }

    #[test]
    fn a_damaged_file_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join(FILE), "a 00 1").expect("written");
        let error = Acquaintances::open(folder.path()).expect_err("damaged").to_string();
        assert!(error.contains("acquaintances") && error.contains("line 1"), "{error}");
    }
}
