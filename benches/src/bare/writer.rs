//! The bare server's file: groups of frames, each written with one write and one sync.

use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::BytesMut;
use forebay_engine::disk::PageWriter;

use super::connection::Durable;
use crate::BenchError;
use crate::plain_file::PlainFile;
use crate::workload::Durability;

/// Frames that become durable together.
#[derive(Default)]
pub(super) struct Group {
    bytes: BytesMut,
    /// Where they begin in their memory.
    start: usize,
    waiting: Vec<Durable>,
}

impl Group {
    /// An empty one in used memory, which will be written at `offset`.
    fn begun(used: Self, offset: u64) -> Self {
        let Self { mut bytes, waiting, .. } = used;
        bytes.clear();
        let start = PageWriter::start_in(&bytes, offset);
        bytes.resize(start, 0);
        Self { bytes, start, waiting }
    }

    pub(super) fn add(&mut self, frame: &[u8], durable: Durable) {
        self.bytes.extend_from_slice(frame);
        self.waiting.push(durable);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

/// The file's owner, on this thread or on its own.
pub(super) struct Writer {
    log: Arc<Log>,
    busy: bool,
    groups: SyncSender<Group>,
    synced: Receiver<Result<Group, BenchError>>,
    wake: Arc<OwnedFd>,
    /// Buffers of a group that was synced, for the next.
    spare: Group,
}

struct Log {
    /// Who writes holds it.
    file: Mutex<PlainFile>,
    durability: Durability,
}

impl Log {
    fn append(&self, group: &mut Group) -> Result<(), BenchError> {
        let mut file = self.file();
        file.append(&mut group.bytes, group.start)?;
        match self.durability {
            Durability::Sync => file.sync(),
            Durability::Written => Ok(()),
        }
    }

    fn file(&self) -> MutexGuard<'_, PlainFile> {
        self.file.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Writer {
    /// A writer that tells through `wake` when a group is synced.
    pub(super) fn start(
        file: PlainFile,
        durability: Durability,
        wake: OwnedFd,
    ) -> Result<Self, BenchError> {
        let log = Arc::new(Log { file: Mutex::new(file), durability });
        let wake = Arc::new(wake);
        let (groups, groups_out) = sync_channel::<Group>(1);
        let (tell, synced) = sync_channel(1);
        let (shared, waker) = (log.clone(), wake.clone());
        std::thread::Builder::new().name("bare-writer".to_owned()).spawn(move || {
            for mut group in groups_out {
                // Nobody else would tell those who wait for an answer.
                let appended = catch_unwind(AssertUnwindSafe(|| shared.append(&mut group)));
                let panicked = |_| Err(BenchError::new("the writer of the bare server panicked"));
                let result = appended.unwrap_or_else(panicked).map(|()| group);
                let told = tell.send(result).is_ok();
                if !told || rustix::io::write(&waker, &1_u64.to_ne_bytes()).is_err() {
                    return;
                }
            }
        })?;
        let spare = Group::default();
        Ok(Self { log, busy: false, groups, synced, wake, spare })
    }

    pub(super) fn is_idle(&self) -> bool {
        !self.busy
    }

    /// Makes a group durable: here and now if nobody else is connected, and returns whom to
    /// answer; else on the other thread, which lets the next group gather.
    pub(super) fn commit(
        &mut self,
        group: &mut Group,
        connections: usize,
    ) -> Result<Option<Vec<Durable>>, BenchError> {
        let bytes = (group.bytes.len() - group.start) as u64;
        // Nothing is being written: who asks for this has seen that the writer is idle.
        let end = self.log.file().end_after(bytes);
        let next = Group::begun(std::mem::take(&mut self.spare), end);
        let mut full = std::mem::replace(group, next);
        if connections == 1 {
            self.log.append(&mut full)?;
            return Ok(Some(self.reuse(full)));
        }
        self.busy = true;
        let sent = self.groups.send(full);
        sent.map_err(|_| BenchError::new("the writer is gone"))?;
        Ok(None)
    }

    /// The group that was synced, when there is one.
    pub(super) fn finished(&mut self) -> Result<Option<Vec<Durable>>, BenchError> {
        // Emptied first: what is synced after this wakes again.
        let mut count = [0; 8];
        let _ = rustix::io::read(&self.wake, &mut count);
        let Ok(result) = self.synced.try_recv() else { return Ok(None) };
        self.busy = false;
        let group = result?;
        Ok(Some(self.reuse(group)))
    }

    fn reuse(&mut self, mut group: Group) -> Vec<Durable> {
        let waiting = std::mem::take(&mut group.waiting);
        self.spare = group;
        waiting
    }
}
