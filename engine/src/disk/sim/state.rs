//! The simulated machine: its files, its names, its faults, and each operation on them.
//!
//! - Every operation begins in [`State::begin`], which counts it and asks the plan for a fault.
//! - An inode stays while a crash could still give it a name, or a handle is open.
//! - Everything that is iterated is ordered, so that equal seeds give equal runs.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash, Hasher};
use std::io;
use std::path::Path;

use rustix::io::Errno;
use siphasher::sip128::{Hasher128, SipHasher13};

use super::contents::Contents;
use super::fate::{Fate, Way};
use super::fault::{Fault, Kind, Plan, stopped};
use super::image::{SECTOR_BYTES, split};
use super::names::{Entry, Inode, Names, parent};
use super::random::Random;

/// The largest file: one sparse write must not make the simulation run out of memory.
const FILE_BYTES_MAX: u64 = 1 << 32;

/// Everything a simulated disk knows, behind its one mutex.
#[derive(Clone)]
pub(super) struct State {
    pub(super) names: Names,
    pub(super) plan: Plan,
    pub(super) operations: u64,
    /// What each operation was, if that is recorded.
    pub(super) recorded: Option<Vec<Kind>>,
    pub(super) bytes_max: Option<u64>,
    /// Set by [`Fault::Crash`]: nothing works until the machine is started again.
    pub(super) stopped: bool,
    /// The number of the running process. A handle of an earlier one is dead.
    pub(super) process: u64,
    /// Where salts and keys come from; `None`: from the operating system.
    pub(super) salts: Option<Random>,
    files: BTreeMap<Inode, File>,
    inode_next: Inode,
    locks: BTreeSet<Inode>,
    random: Random,
}

#[derive(Clone)]
struct File {
    contents: Contents,
    handles: u64,
    /// Whether it has a name; if not, its space is free as soon as no handle is open.
    named: bool,
}

impl State {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            names: Names::default(),
            plan: Plan::default(),
            operations: 0,
            recorded: None,
            bytes_max: None,
            stopped: false,
            process: 1,
            salts: None,
            files: BTreeMap::new(),
            inode_next: 1,
            locks: BTreeSet::new(),
            random: Random::new(seed),
        }
    }

    /// Counts an operation and returns the fault that its caller must act out.
    fn begin(&mut self, kind: Kind) -> io::Result<Option<Fault>> {
        if self.stopped {
            return Err(stopped());
        }
        let fault = self.plan.take(self.operations, kind);
        self.operations += 1;
        if let Some(recorded) = &mut self.recorded {
            recorded.push(kind);
        }
        match fault {
            Some(Fault::Io | Fault::ReadIo) => Err(Errno::IO.into()),
            Some(Fault::Crash) => {
                self.stopped = true;
                Ok(fault)
            }
            _ => Ok(fault),
        }
    }

    /// Runs an operation that happens whole or not at all.
    pub(super) fn run<T>(
        &mut self,
        kind: Kind,
        operation: impl FnOnce(&mut Self) -> io::Result<T>,
    ) -> io::Result<T> {
        match self.begin(kind)? {
            None => operation(self),
            Some(fault) => {
                if fault == Fault::Crash && self.random.coin() {
                    // It happened, but nobody will know how it ended.
                    drop(operation(self));
                }
                Err(fault.error())
            }
        }
    }

    /// The steps are the real disk's: the lowest existing directory's name is synced, then each
    /// missing directory is made and its name synced. A crash stops between any two.
    pub(super) fn create_dir(&mut self, path: &Path) -> io::Result<()> {
        let fault = self.begin(Kind::Create)?;
        let mut missing = Vec::new();
        for dir in path.ancestors() {
            match self.names.dir(dir) {
                Ok(()) => break,
                Err(error) if error.kind() == io::ErrorKind::NotFound => missing.push(dir),
                Err(error) => return Err(error),
            }
        }
        let mut steps_left = match fault {
            None => usize::MAX,
            Some(Fault::Crash) => self.random.below(2 * missing.len() + 2),
            Some(_) => 0,
        };
        let mut may_step = || {
            let step = steps_left.checked_sub(1);
            steps_left = step.unwrap_or(0);
            step.is_some()
        };
        let existing = missing.last().map_or(path, |dir| parent(dir));
        if may_step() {
            self.names.sync_dir(parent(existing))?;
        }
        for dir in missing.into_iter().rev() {
            if may_step() {
                self.names.link(dir, Entry::Dir)?;
            }
            if may_step() {
                self.names.sync_dir(parent(dir))?;
            }
        }
        fault.map_or(Ok(()), |fault| Err(fault.error()))
    }

    /// Creates an empty file, without a handle.
    pub(super) fn create(&mut self, path: &Path) -> io::Result<Inode> {
        let inode = self.inode_next;
        self.names.link(path, Entry::File(inode))?;
        self.inode_next += 1;
        self.files.insert(inode, File { contents: Contents::new(), handles: 0, named: true });
        Ok(inode)
    }

    /// Counts a new handle.
    pub(super) fn hold(&mut self, inode: Inode) -> io::Result<Inode> {
        self.file(inode)?.handles += 1;
        Ok(inode)
    }

    /// The opposite of [`State::hold`].
    pub(super) fn release(&mut self, inode: Inode) {
        if let Some(file) = self.files.get_mut(&inode) {
            file.handles = file.handles.saturating_sub(1);
        }
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        if let Some(replaced) = self.names.rename(from, to)? {
            self.file(replaced)?.named = false;
        }
        Ok(())
    }

    pub(super) fn remove(&mut self, path: &Path) -> io::Result<()> {
        let inode = self.names.unlink(path)?;
        self.file(inode)?.named = false;
        Ok(())
    }

    pub(super) fn sync_dir(&mut self, dir: &Path) -> io::Result<()> {
        self.names.sync_dir(dir)?;
        self.forget_nameless();
        Ok(())
    }

    /// Takes the lock of a file, creating it if needed.
    pub(super) fn lock(&mut self, path: &Path) -> io::Result<Inode> {
        let inode = match self.names.file(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.create(path)?,
            found => found?,
        };
        if !self.locks.insert(inode) {
            let text = format!("held by process {}", self.process);
            return Err(io::Error::new(io::ErrorKind::WouldBlock, text));
        }
        Ok(inode)
    }

    pub(super) fn unlock(&mut self, inode: Inode) {
        self.locks.remove(&inode);
    }

    pub(super) fn write(&mut self, inode: Inode, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let fault = self.begin(Kind::Write)?;
        let end = offset.checked_add(bytes.len() as u64);
        if end.is_none_or(|end| end > FILE_BYTES_MAX) {
            return Err(Errno::FBIG.into());
        }
        let bytes_free = self.bytes_max.map(|max| max.saturating_sub(self.bytes_used()));
        let mut written = match bytes_free {
            Some(free) => self.file(inode)?.contents.cache().fitting(offset, bytes.len(), free),
            None => bytes.len(),
        };
        let mut result = if written < bytes.len() { Err(Fault::Full.error()) } else { Ok(()) };
        if let Some(fault) = fault {
            written = written.min(some_sectors(&mut self.random, offset, bytes.len()));
            result = Err(fault.error());
        }
        self.file(inode)?.contents.write(offset, &bytes[..written]);
        result
    }

    pub(super) fn set_size(&mut self, inode: Inode, bytes: u64) -> io::Result<()> {
        if bytes > FILE_BYTES_MAX {
            return Err(Errno::FBIG.into());
        }
        self.file(inode)?.contents.set_size(bytes);
        Ok(())
    }

    pub(super) fn sync(&mut self, inode: Inode) -> io::Result<()> {
        let fault = self.begin(Kind::Sync)?;
        // A crash here leaves the file as unsynced as it was, or all synced and unanswered; what
        // lies between is for the power cut to choose.
        let happens = match fault {
            None => true,
            Some(Fault::Crash) => self.random.coin(),
            Some(_) => false,
        };
        let contents = &mut self.file(inode)?.contents;
        if happens {
            contents.sync();
        } else if fault == Some(Fault::SyncDropsPages) {
            contents.drop_pages();
        }
        fault.map_or(Ok(()), |fault| Err(fault.error()))
    }

    pub(super) fn contents(&mut self, inode: Inode) -> io::Result<&mut Contents> {
        Ok(&mut self.file(inode)?.contents)
    }

    fn file(&mut self, inode: Inode) -> io::Result<&mut File> {
        // ESTALE: as from a file server that has forgotten the file behind a handle.
        self.files.get_mut(&inode).ok_or_else(|| Errno::STALE.into())
    }

    pub(super) fn plant(&mut self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let inode = match self.names.file(path) {
            Ok(inode) => inode,
            Err(_) => self.inode_next,
        };
        self.names.plant(path, inode)?;
        self.inode_next = self.inode_next.max(inode + 1);
        let contents = Contents::planted(bytes);
        match self.files.get_mut(&inode) {
            Some(file) => file.contents = contents,
            None => {
                self.files.insert(inode, File { contents, handles: 0, named: true });
            }
        }
        Ok(())
    }

    /// What all files occupy: those that have a name, and those still open.
    pub(super) fn bytes_used(&self) -> u64 {
        let occupying = self.files.values().filter(|file| file.named || file.handles > 0);
        occupying.map(|file| file.contents.cache().bytes_allocated()).sum()
    }

    pub(super) fn crash(&mut self, seed: u64) {
        let mut random = Random::new(seed);
        let names_kept = self.names.draw_fate(&mut random);
        self.crash_names(names_kept);
        for file in self.files.values_mut() {
            let fate = file.contents.draw_fate(&mut random);
            file.contents.crash(&fate);
        }
    }

    /// How many ways a power cut has.
    pub(super) fn ways(&self) -> u64 {
        let names = 1_u64.checked_shl(self.names.unsynced() as u32).unwrap_or(u64::MAX);
        let files = self.files.values().map(|file| file.contents.choices().ways());
        files.fold(names, u64::saturating_mul)
    }

    pub(super) fn crash_way(&mut self, way: u64) {
        let mut way = Way(way);
        let names_kept = (0..self.names.unsynced()).map(|_| way.choose(2) == 1).collect();
        let fates: BTreeMap<Inode, Fate> = self
            .files
            .iter()
            .map(|(inode, file)| (*inode, Fate::of_way(&mut way, &file.contents.choices())))
            .collect();
        self.crash_names(names_kept);
        for (inode, file) in &mut self.files {
            file.contents.crash(&fates[inode]);
        }
    }

    /// The names of a power cut, and what has one.
    fn crash_names(&mut self, kept: Vec<bool>) {
        self.names.crash(kept);
        self.forget_handles();
        self.forget_nameless();
        self.files.values_mut().for_each(|file| file.named = true);
    }

    /// A hash of all names, and of what a read would show of their files.
    pub(super) fn fingerprint(&self) -> u128 {
        let mut hasher = SipHasher13::new();
        for (path, inode) in self.names.files() {
            path.as_os_str().hash(&mut hasher);
            if let Some(file) = self.files.get(&inode) {
                file.contents.cache().hash_into(&mut hasher);
            }
        }
        hasher.finish128().as_u128()
    }

    /// A hash of all names and files, of what is durable of them, and of what is unsynced.
    pub(super) fn fingerprint_unsynced(&self) -> u128 {
        let mut hasher = SipHasher13::new();
        self.names.hash_into(&mut hasher);
        for inode in self.names.inodes().into_iter().collect::<BTreeSet<_>>() {
            if let Some(file) = self.files.get(&inode) {
                hasher.write_u64(inode);
                file.contents.hash_into(&mut hasher);
            }
        }
        hasher.finish128().as_u128()
    }

    pub(super) fn forget_handles(&mut self) {
        self.stopped = false;
        self.process += 1;
        self.locks.clear();
        for file in self.files.values_mut() {
            file.handles = 0;
        }
    }

    fn forget_nameless(&mut self) {
        let named = self.names.inodes();
        self.files.retain(|inode, file| file.handles > 0 || named.contains(inode));
    }
}

/// Where an interrupted write of `length` bytes stops: after any of its sectors, or before them.
fn some_sectors(random: &mut Random, offset: u64, length: usize) -> usize {
    let (_, start) = split(offset);
    let sectors = (start + length).div_ceil(SECTOR_BYTES);
    (random.below(sectors + 1) * SECTOR_BYTES).saturating_sub(start).min(length)
}
