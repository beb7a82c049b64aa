//! The folder of a store: who has it open, and whose it is.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::segment;
use super::small;
use crate::{Identity, StoreError};

/// The version of everything in the folder. A later one is not read by an earlier program.
const FORMAT: &str = "2";

/// A folder that this process has locked.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    /// The lock goes with the open file, even if the process is killed.
    _lock: File,
}

impl Folder {
    /// Creates the folder if need be and locks it.
    pub(crate) fn lock(path: &Path) -> Result<Self, StoreError> {
        create_folder(path)?;
        let lock = path.join("lock");
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&lock)
            .map_err(|source| failed("cannot open", &lock, source))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), _lock: file }),
            Err(TryLockError::WouldBlock) => Err(StoreError::InUse { path: path.to_owned() }),
            Err(TryLockError::Error(source)) => Err(failed("cannot lock", &lock, source)),
        }
    }

    /// The store's folder.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Where the segments of the log are.
    pub(crate) fn log(&self) -> PathBuf {
        self.path.join("log")
    }

    /// Where the engine keeps the records.
    pub(crate) fn data(&self) -> PathBuf {
        self.path.join("data")
    }

    fn identity(&self) -> PathBuf {
        self.path.join("identity")
    }

    /// The number drawn for this store, or `None` if it must be created: then log and data are not there.
    ///
    /// # Errors
    /// When the store belongs to somebody else, or lost its identity.
    pub(crate) fn identify(&self, expected: &Identity) -> Result<Option<[u8; 16]>, StoreError> {
        let path = self.identity();
        match fs::read_to_string(&path) {
            Ok(text) => self.compare(&text, expected).map(Some),
            Err(source) if source.kind() == io::ErrorKind::NotFound => {
                self.start_over()?;
                Ok(None)
            }
            Err(source) => Err(small::unreadable(&path, source)),
        }
    }

    fn compare(&self, text: &str, expected: &Identity) -> Result<[u8; 16], StoreError> {
        let field = |name: &str| {
            let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(" = "));
            value.ok_or_else(|| self.unreadable(format!("it has no line that begins with \"{name} =\"")))
        };
        let foreign = |found: String, expected: String| {
            Err(StoreError::Foreign { path: self.path.clone(), found, expected })
        };
        let format = field("format")?;
        if format != FORMAT {
            return foreign(
                format!("a program that writes format {format}"),
                format!("one that writes format {FORMAT}, as this one does"),
            );
        }
        let found = (field("cluster")?, field("node")?);
        let wanted = (escaped(&expected.cluster), escaped(&expected.node));
        if found != (wanted.0.as_str(), wanted.1.as_str()) {
            let name = |(cluster, node): (&str, &str)| format!("node {node} of cluster {cluster}");
            return foreign(name(found), name((&wanted.0, &wanted.1)));
        }
        let uuid = u128::from_str_radix(field("uuid")?, 16)
            .map_err(|_| self.unreadable("its uuid is not a hexadecimal number".to_owned()))?;
        Ok(uuid.to_be_bytes())
    }

    fn unreadable(&self, reason: String) -> StoreError {
        StoreError::Damaged { path: self.identity(), offset: 0, reason }
    }

    /// Makes the store this node's, for good. Everything else must be there already.
    pub(crate) fn write_identity(&self, identity: &Identity, uuid: [u8; 16]) -> Result<(), StoreError> {
        let text = format!(
            "format = {FORMAT}\ncluster = {}\nnode = {}\nuuid = {:032x}\n",
            escaped(&identity.cluster),
            escaped(&identity.node),
            u128::from_be_bytes(uuid),
        );
        small::replace(&self.identity(), &text)
    }

    /// Removes what an interrupted creation left, so that creating the store can start over.
    fn start_over(&self) -> Result<(), StoreError> {
        if !segment::is_unused(&self.log())? {
            return Err(StoreError::Inconsistent {
                path: self.path.clone(),
                reason: "it has a log, but no file that says whose it is".to_owned(),
            });
        }
        remove_folder(&self.log())?;
        remove_folder(&self.data())
    }

    /// Takes away all that makes the folder a store, whoever wrote it, and keeps it in `set-aside` for people to look at,
    /// in place of what was set aside before. Should this be interrupted, [`Folder::finish_emptying`] goes on: a part of
    /// a store must never be taken for a whole one.
    pub(crate) fn empty(&self) -> Result<(), StoreError> {
        remove_folder(&self.set_aside())?;
        small::replace(&self.emptying(), "")?;
        self.finish_emptying()
    }

    /// Ends what an interrupted [`Folder::empty`] began.
    pub(crate) fn finish_emptying(&self) -> Result<(), StoreError> {
        if !small::exists(&self.emptying())? {
            return Ok(());
        }
        create_folder(&self.set_aside())?;
        // Without its identity the rest is no store any more.
        self.put_aside(&self.identity())?;
        let list_failed = |source| failed("cannot list", &self.path, source);
        for entry in fs::read_dir(&self.path).map_err(list_failed)? {
            let path = entry.map_err(list_failed)?.path();
            if ![self.path.join("lock"), self.emptying(), self.set_aside(), self.identity()].contains(&path) {
                self.put_aside(&path)?;
            }
        }
        small::remove(&self.emptying())
    }

    fn put_aside(&self, path: &Path) -> Result<(), StoreError> {
        let name = path.file_name().unwrap_or_default();
        match fs::rename(path, self.set_aside().join(name)) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                return Err(failed("cannot set aside", path, source));
            }
            _ => {}
        }
        sync_folder(&self.path)
    }

    fn set_aside(&self) -> PathBuf {
        self.path.join("set-aside")
    }

    fn emptying(&self) -> PathBuf {
        self.path.join("emptying")
    }
}

/// Removes a folder with all that is in it, if it is there.
fn remove_folder(path: &Path) -> Result<(), StoreError> {
    match fs::remove_dir_all(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            return Err(failed("cannot remove", path, source));
        }
        _ => {}
    }
    sync_folder(path.parent().unwrap_or(Path::new(".")))
}

/// A name on one line, whatever it consists of.
fn escaped(name: &str) -> String {
    name.escape_debug().to_string()
}

/// A number that no other store has.
pub(crate) fn draw_uuid() -> Result<[u8; 16], StoreError> {
    let path = Path::new("/dev/urandom");
    let mut uuid = [0; 16];
    File::open(path)
        .and_then(|mut file| file.read_exact(&mut uuid))
        .map_err(|source| failed("cannot read", path, source))?;
    Ok(uuid)
}

/// Creates a folder, its parents included, and makes its name durable.
pub(crate) fn create_folder(path: &Path) -> Result<(), StoreError> {
    fs::create_dir_all(path).map_err(|source| failed("cannot create", path, source))?;
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => sync_folder(parent),
        _ => sync_folder(Path::new(".")),
    }
}

/// Makes durable which files a folder holds: a new, renamed or removed file is certain only then.
pub(crate) fn sync_folder(path: &Path) -> Result<(), StoreError> {
    File::open(path)
        .and_then(|folder| folder.sync_all())
        .map_err(|source| failed("cannot sync", path, source))
}

/// Says what was being done where when the system refused.
pub(crate) fn failed(doing: &'static str, path: &Path, source: io::Error) -> StoreError {
    StoreError::Io { doing, path: path.to_owned(), source }
}
