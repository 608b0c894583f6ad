//! The bare server's file: groups of frames, each written with one write and one sync.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use super::connection::Durable;
use crate::BenchError;
use crate::workload::Durability;

/// Frames that become durable together.
#[derive(Default)]
pub(super) struct Group {
    bytes: Vec<u8>,
    waiting: Vec<Durable>,
}

impl Group {
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
    offset: u64,
    busy: bool,
    groups: SyncSender<(Group, u64)>,
    synced: Receiver<std::io::Result<Group>>,
    wake: Arc<OwnedFd>,
    /// Buffers of a group that was synced, for the next.
    spare: Group,
}

struct Log {
    file: File,
    bytes: u64,
    durability: Durability,
}

impl Log {
    fn append(&self, group: &Group, offset: u64) -> std::io::Result<()> {
        self.file.write_all_at(&group.bytes, offset)?;
        match self.durability {
            Durability::Sync => Ok(rustix::fs::fdatasync(&self.file)?),
            Durability::Written => Ok(()),
        }
    }
}

impl Writer {
    /// A writer that tells through `wake` when a group is synced.
    pub(super) fn start(
        file: File,
        bytes: u64,
        durability: Durability,
        wake: OwnedFd,
    ) -> Result<Self, BenchError> {
        let (log, wake) = (Arc::new(Log { file, bytes, durability }), Arc::new(wake));
        let (groups, groups_out) = sync_channel::<(Group, u64)>(1);
        let (synced, synced_out) = sync_channel(1);
        let (shared, waker) = (log.clone(), wake.clone());
        std::thread::Builder::new().name("bare-writer".to_owned()).spawn(move || {
            for (group, offset) in groups_out {
                let result = shared.append(&group, offset).map(|()| group);
                let told = synced.send(result).is_ok();
                if !told || rustix::io::write(&waker, &1_u64.to_ne_bytes()).is_err() {
                    return;
                }
            }
        })?;
        let spare = Group::default();
        Ok(Self { log, offset: 0, busy: false, groups, synced: synced_out, wake, spare })
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
        let mut full = std::mem::take(&mut self.spare);
        std::mem::swap(&mut full, group);
        let bytes = full.bytes.len() as u64;
        if self.offset + bytes > self.log.bytes {
            self.offset = 0;
        }
        let offset = self.offset;
        self.offset += bytes;
        if connections == 1 {
            self.log.append(&full, offset)?;
            return Ok(Some(self.reuse(full)));
        }
        self.busy = true;
        let sent = self.groups.send((full, offset));
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
        group.bytes.clear();
        let waiting = std::mem::take(&mut group.waiting);
        self.spare = group;
        waiting
    }
}
