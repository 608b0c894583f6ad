//! The names on a simulated disk: what a look-up finds, what is durable, and the changes between.
//!
//! - A change is kept whole or lost whole: a rename never loses both names nor leaves both.
//! - A change is never kept without the earlier changes to the same names.
//! - A name below a directory whose own name was lost is lost with it.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::hash::{Hash, Hasher};
use std::io;
use std::ops::Bound;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use super::random::Random;

/// A file's identity, whatever its name.
pub(super) type Inode = u64;

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Entry {
    Dir,
    File(Inode),
}

/// Paths, in the order of their bytes: component by component it would take several times as long, and
/// campaigns do little else.
type Entries = BTreeMap<OsString, Entry>;

/// All names of a disk. The root and the working directory always exist.
#[derive(Debug, Clone, Default)]
pub(super) struct Names {
    cached: Entries,
    durable: Entries,
    pending: Vec<Change>,
}

#[derive(Debug, Clone, Hash)]
enum Change {
    Link { path: PathBuf, entry: Entry },
    Unlink { path: PathBuf },
    Rename { from: PathBuf, to: PathBuf },
}

impl Names {
    pub(super) fn file(&self, path: &Path) -> io::Result<Inode> {
        match self.cached.get(path.as_os_str()) {
            Some(Entry::File(inode)) => Ok(*inode),
            Some(Entry::Dir) => Err(Errno::ISDIR.into()),
            None => {
                self.dir(parent(path))?;
                Err(Errno::NOENT.into())
            }
        }
    }

    /// An error unless the directory exists.
    pub(super) fn dir(&self, path: &Path) -> io::Result<()> {
        match self.cached.get(path.as_os_str()) {
            _ if path.parent().is_none() => Ok(()),
            Some(Entry::Dir) => Ok(()),
            Some(Entry::File(_)) => Err(Errno::NOTDIR.into()),
            None => {
                // Below a file nothing is merely missing.
                self.dir(parent(path))?;
                Err(Errno::NOENT.into())
            }
        }
    }

    pub(super) fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.dir(dir)?;
        let from = (Bound::Included(dir.as_os_str()), Bound::Unbounded);
        let prefix = dir.as_os_str().as_encoded_bytes();
        let below = self
            .cached
            .range::<OsStr, _>(from)
            .map(|(path, _)| path)
            .take_while(|path| path.as_encoded_bytes().starts_with(prefix));
        let inside = below.map(Path::new).filter(|path| path.parent() == Some(dir));
        let mut names: Vec<String> = inside
            .filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned()))
            .collect();
        names.sort_unstable();
        Ok(names)
    }

    pub(super) fn files(&self) -> impl Iterator<Item = (&Path, Inode)> {
        self.cached.iter().filter_map(|(path, entry)| match entry {
            Entry::File(inode) => Some((Path::new(path), *inode)),
            Entry::Dir => None,
        })
    }

    /// Tells a hasher the names, what is durable of them, and the changes between.
    pub(super) fn hash_into(&self, hasher: &mut impl Hasher) {
        self.cached.hash(hasher);
        self.durable.hash(hasher);
        self.pending.hash(hasher);
    }

    pub(super) fn link(&mut self, path: &Path, entry: Entry) -> io::Result<()> {
        self.dir(parent(path))?;
        if self.cached.contains_key(path.as_os_str()) || path.parent().is_none() {
            return Err(Errno::EXIST.into());
        }
        self.change(Change::Link { path: path.to_path_buf(), entry });
        Ok(())
    }

    /// Returns the file that had the name.
    pub(super) fn unlink(&mut self, path: &Path) -> io::Result<Inode> {
        let inode = self.file(path)?;
        self.change(Change::Unlink { path: path.to_path_buf() });
        Ok(inode)
    }

    /// Returns the file that had the new name, if there was one.
    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> io::Result<Option<Inode>> {
        // The kernel looks for both directories before it looks for the file.
        self.dir(parent(from))?;
        self.dir(parent(to))?;
        self.file(from)?;
        if from != to && from.starts_with(to) {
            return Err(Errno::NOTEMPTY.into());
        }
        let replaced = match self.file(to) {
            Ok(inode) => Some(inode),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        if from == to {
            return Ok(None);
        }
        self.change(Change::Rename { from: from.to_path_buf(), to: to.to_path_buf() });
        Ok(replaced)
    }

    fn change(&mut self, change: Change) {
        change.apply(&mut self.cached);
        self.pending.push(change);
    }

    pub(super) fn sync_dir(&mut self, dir: &Path) -> io::Result<()> {
        self.dir(dir)?;
        let in_dir = |change: &Change| change.paths().iter().any(|path| parent(path) == dir);
        self.settle(self.pending.iter().map(in_dir).collect());
        Ok(())
    }

    /// How many changes were not synced.
    pub(super) fn unsynced(&self) -> usize {
        self.pending.len()
    }

    /// Which changes a power cut keeps.
    pub(super) fn draw_fate(&self, random: &mut Random) -> Vec<bool> {
        let prefix = match random.below(6) {
            0 | 1 => Some(0),
            2 | 3 => Some(self.pending.len()),
            4 => Some(random.below(self.pending.len() + 1)),
            _ => None,
        };
        (0..self.pending.len())
            .map(|number| prefix.map_or_else(|| random.coin(), |prefix| number < prefix))
            .collect()
    }

    /// A power cut: some changes that were not synced are kept, the others never happened.
    pub(super) fn crash(&mut self, keeps: Vec<bool>) {
        self.settle(keeps);
        self.pending.clear();
        // In this order a directory is judged before what lies in it.
        self.cached.clear();
        for (path, entry) in std::mem::take(&mut self.durable) {
            if self.dir(parent(Path::new(&path))).is_ok() {
                self.cached.insert(path, entry);
            }
        }
        self.durable = self.cached.clone();
    }

    /// Makes a file's name, and the directories above it, something that was always there.
    pub(super) fn plant(&mut self, path: &Path, inode: Inode) -> io::Result<()> {
        if path.parent().is_none() || self.cached.get(path.as_os_str()) == Some(&Entry::Dir) {
            return Err(Errno::ISDIR.into());
        }
        let dirs = path.ancestors().skip(1).filter(|dir| dir.parent().is_some());
        if dirs.clone().any(|dir| matches!(self.cached.get(dir.as_os_str()), Some(Entry::File(_))))
        {
            return Err(Errno::NOTDIR.into());
        }
        let above =
            |change: &Change| change.paths().iter().any(|changed| path.starts_with(changed));
        self.settle(self.pending.iter().map(above).collect());
        for names in [&mut self.cached, &mut self.durable] {
            names.extend(dirs.clone().map(|dir| (dir.into(), Entry::Dir)));
            names.insert(path.into(), Entry::File(inode));
        }
        Ok(())
    }

    /// The files that have a name now, or may have one after a crash.
    pub(super) fn inodes(&self) -> Vec<Inode> {
        let linked = self.pending.iter().filter_map(|change| match change {
            Change::Link { entry, .. } => Some(entry),
            Change::Unlink { .. } | Change::Rename { .. } => None,
        });
        let entries = self.cached.values().chain(self.durable.values()).chain(linked);
        entries
            .filter_map(|entry| match entry {
                Entry::File(inode) => Some(*inode),
                Entry::Dir => None,
            })
            .collect()
    }

    /// Makes the chosen changes durable, and the earlier ones that they build on.
    fn settle(&mut self, mut chosen: Vec<bool>) {
        let mut built_on = BTreeSet::new();
        for (change, chosen) in self.pending.iter().zip(&mut chosen).rev() {
            let paths = change.paths();
            *chosen |= paths.iter().any(|path| built_on.contains(path));
            if *chosen {
                built_on.extend(paths);
            }
        }
        let mut chosen = chosen.into_iter();
        let durable = &mut self.durable;
        self.pending.retain(|change| {
            let settles = chosen.next().unwrap_or(false);
            if settles {
                change.apply(durable);
            }
            !settles
        });
    }
}

impl Change {
    /// The names that it changes; one is given twice.
    fn paths(&self) -> [&Path; 2] {
        match self {
            Change::Link { path, .. } | Change::Unlink { path } => [path, path],
            Change::Rename { from, to } => [from, to],
        }
    }

    fn apply(&self, names: &mut Entries) {
        match self {
            Change::Link { path, entry } => {
                names.insert(path.into(), *entry);
            }
            Change::Unlink { path } => {
                names.remove(path.as_os_str());
            }
            Change::Rename { from, to } => {
                if let Some(entry) = names.remove(from.as_os_str()) {
                    names.insert(to.into(), entry);
                }
            }
        }
    }
}

/// The directory that holds a name; the empty path is the working directory.
pub(super) fn parent(path: &Path) -> &Path {
    path.parent().unwrap_or(path)
}
