//! The faults that a test plans for a simulated disk, and the operations that each can strike.

use std::io;

use rustix::io::Errno;

/// Something that goes wrong with one operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The machine stops in the middle. The operation has happened, or not, or in part: a write
    /// has put its first sectors in the page cache. It and all later operations fail until
    /// [`SimDisk::crash`](super::SimDisk::crash) or [`SimDisk::kill`](super::SimDisk::kill).
    Crash,
    /// `EIO`; the operation has not happened. What was not synced is still to be synced.
    Io,
    /// As [`Fault::Io`], but waits for a read or a map of a file.
    ReadIo,
    /// `ENOSPC`. A write has put its first sectors in place, a creation nothing.
    Full,
    /// A file's sync fails with `EIO`, and the kernel marks the pages that it could not write as
    /// clean: reads still show them, the disk does not hold them, and the next sync succeeds.
    SyncDropsPages,
}

/// What an operation does, as far as faults care.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Reads or maps a file.
    Read,
    /// Writes to a file.
    Write,
    /// Makes a file durable.
    Sync,
    /// Makes a new name, which may need space.
    Create,
    /// Finds a file, or lists names.
    Look,
    /// Anything else.
    Other,
}

impl Fault {
    fn strikes(self, kind: Kind) -> bool {
        match self {
            Fault::Crash | Fault::Io => true,
            Fault::ReadIo => kind == Kind::Read,
            Fault::Full => matches!(kind, Kind::Write | Kind::Create),
            Fault::SyncDropsPages => kind == Kind::Sync,
        }
    }

    /// Whether it is worth a case of its own: a crash at an operation that changes nothing leaves what one
    /// at the next that does leaves.
    pub(super) fn matters(self, kind: Kind) -> bool {
        let changes_nothing = matches!(kind, Kind::Read | Kind::Look);
        self.strikes(kind) && !(self == Fault::Crash && changes_nothing)
    }

    /// What the operation's caller gets to see.
    pub(super) fn error(self) -> io::Error {
        match self {
            Fault::Crash => stopped(),
            Fault::Full => Errno::NOSPC.into(),
            Fault::Io | Fault::ReadIo | Fault::SyncDropsPages => Errno::IO.into(),
        }
    }
}

/// The answer of a machine that has stopped.
pub(super) fn stopped() -> io::Error {
    io::Error::other("the simulated machine has stopped")
}

/// The faults still to come.
#[derive(Debug, Clone, Default)]
pub(super) struct Plan {
    planned: Vec<(u64, Fault)>,
    struck: Vec<Fault>,
    pub(super) paused: bool,
}

impl Plan {
    pub(super) fn add(&mut self, operation: u64, fault: Fault) {
        self.planned.push((operation, fault));
    }

    pub(super) fn clear(&mut self) {
        self.planned.clear();
    }

    pub(super) fn has_any(&self) -> bool {
        !self.planned.is_empty()
    }

    /// The faults that have struck since the last call.
    pub(super) fn take_struck(&mut self) -> Vec<Fault> {
        std::mem::take(&mut self.struck)
    }

    /// Takes the fault that strikes this operation: the first planned for it or an earlier one.
    pub(super) fn take(&mut self, operation: u64, kind: Kind) -> Option<Fault> {
        if self.paused {
            return None;
        }
        let due = |(planned, fault): &(u64, Fault)| *planned <= operation && fault.strikes(kind);
        let at = self.planned.iter().position(due)?;
        let (_, fault) = self.planned.remove(at);
        self.struck.push(fault);
        Some(fault)
    }
}
