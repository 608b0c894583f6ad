//! Repair: what is left of a damaged store becomes a new one, beside it.
//!
//! [`examine`] reads a store and says what a repair would lose; it changes nothing. [`Repair::write`]
//! lays down what is left in another directory, reads it again, and only then makes it a store. The
//! original is never written to.
//!
//! Two promises cannot both be kept for a message that a lost record may have deleted: that it is
//! delivered, and that a delete is final. Such messages are *in doubt*, and whoever repairs says which of
//! the two gives ([`InDoubt`]).
//!
//! What if the power fails here? The new directory has its `store.toml`, without which nothing opens it,
//! when everything else is durable. Until then it is neither empty nor a store, and is removed by hand.

mod check;
mod doubt;
mod facts;
mod laying;
mod losses;
mod numbers;
mod reading;
mod roots;
mod salvage;
mod times;

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

pub use losses::{Losses, LostExtent, QueueLosses, SeqSet};

use self::laying::{Laying, Place};
use self::reading::Reading;
use self::roots::Roots;
use self::salvage::{Messages, Salvage};
use self::times::Times;
use crate::disk::{Disk, DiskError};
use crate::error::OpenError;
use crate::ids::Position;
use crate::log::replay::{log_files, replay};
use crate::log::{self, Manifest, names};
use crate::recovery::Base;
use crate::snapshot;
use crate::state::State;
use crate::time::LogTime;

/// What becomes of the messages that may have been deleted by what is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InDoubt {
    /// They stay: some may come although they were deleted.
    Deliver,
    /// They are deleted: some may be lost although they were not.
    Delete,
}

/// A damaged store that was examined.
pub struct Repair<'d> {
    disk: &'d dyn Disk,
    data: PathBuf,
    roots: Roots,
    /// What is known to have been synced, by a snapshot.
    durable: Position,
    state: State,
    in_doubt: Messages,
    times: Times,
    losses: Losses,
}

/// Why a store was not repaired. The original is as it was.
#[derive(Debug, thiserror::Error)]
pub enum RepairError {
    /// Nobody has said what becomes of the messages in doubt.
    #[error("{messages} messages may have been deleted, and nobody says what becomes of them")]
    InDoubt {
        /// How many there are.
        messages: u64,
    },
    /// The new store's directory has something in it.
    #[error("{} is not empty: it holds \"{found}\"", path.display())]
    NotEmpty {
        /// The directory.
        path: PathBuf,
        /// The first name in it.
        found: String,
    },
    /// The new store's directory is in the damaged one.
    #[error("{} lies in the store that is repaired", path.display())]
    Inside {
        /// The directory.
        path: PathBuf,
    },
    /// A disk operation failed. What there is of the new store is no store.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The damaged store cannot be read any more.
    #[error(transparent)]
    Unreadable(#[from] OpenError),
    /// What was written is not what was to be written: that is a mistake of this program, or of the disk.
    #[error("{} is not what was to be written: {detail}", path.display())]
    NotAsTold {
        /// The new directory, which is no store.
        path: PathBuf,
        /// What differs.
        detail: String,
    },
}

/// Reads the store in `data` and says what a repair of it would lose. Changes nothing; takes the store's
/// lock where it may. `progress` is told how many bytes of the log were read.
pub fn examine<'d>(
    disk: &'d dyn Disk,
    data: &Path,
    progress: &mut dyn FnMut(u64),
) -> Result<Repair<'d>, OpenError> {
    let mut roots = Roots::find(disk, data)?;
    let manifest = &roots.manifest;
    let mut positions = snapshot::list(disk, data)?;
    positions.retain(|position| *position >= manifest.compacted_through);
    let mut notes = std::mem::take(&mut roots.notes);
    let base = Base::newest(disk, data, manifest.store, &mut positions, &mut notes)?;
    let Base { state, known, log_time } = base.unwrap_or_default();
    let durable = known.through;
    let times = Times::since(log_time.max(LogTime(roots.identity.created_ms)));
    let mut salvage = Salvage::new(disk, data, manifest.store, state, known, times);
    salvage.damages = std::mem::take(&mut roots.damages);
    let mut reading = Reading::new(&mut salvage, &roots.strays, progress);
    log_files(disk, data, manifest, &mut reading)?;
    replay(disk, data, manifest, durable, &mut reading)?;
    if roots.is_end_lost {
        reading.tell_end_lost(manifest)?;
    }
    reading.finish()?;
    let salvaged = salvage.finish();
    let epoch = salvage.epoch.max(manifest.epoch);
    if salvage.are_numbers_lost {
        roots.identity = roots.identity.with_other_key(disk)?;
        notes.push(
            "numbers of messages that are lost may be given again: so the store gets a new key of \
             receipts, and those given before are not valid any more"
                .to_owned(),
        );
    }
    let losses = losses(&salvage, salvaged, notes);
    let (state, in_doubt, times) = (salvage.state, salvage.in_doubt, salvage.times);
    roots.manifest.epoch = epoch;
    let data = data.to_path_buf();
    Ok(Repair { disk, data, roots, durable, state, in_doubt, times, losses })
}

/// Whether what is left of the store in `data` may be written to `new`, which [`Repair::write`] asks too. Names are
/// compared as they are: of two names of one directory nothing is known here.
pub fn check_new(disk: &dyn Disk, data: &Path, new: &Path) -> Result<(), RepairError> {
    let path = new.to_path_buf();
    if new.starts_with(data) {
        return Err(RepairError::Inside { path });
    }
    match disk.list(new) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        names => match names?.into_iter().next() {
            None => Ok(()),
            Some(found) => Err(RepairError::NotEmpty { path, found }),
        },
    }
}

fn losses(salvage: &Salvage<'_>, salvaged: salvage::Lost, mut notes: Vec<String>) -> Losses {
    let salvage::Lost { mut messages, homeless } = salvaged;
    let extents = salvage.holes.iter().map(|hole| LostExtent {
        path: hole.path.clone().or_else(|| hole.listed.map(|listed| salvage.path_of(&listed))),
        offset: hole.bytes.start,
        bytes: hole.bytes.end - hole.bytes.start,
        first: hole.first,
        last: (!hole.is_open()).then_some(hole.last),
        records_kept: hole.records,
    });
    let queues = salvage.state.queues().map(|queue| {
        let lost = messages.remove(&queue.id).unwrap_or_default();
        let doubted = salvage.doubted.get(&queue.id);
        QueueLosses {
            queue: queue.id,
            name: queue.name.clone(),
            messages: queue.messages.len(),
            in_doubt: SeqSet(salvage.in_doubt.get(&queue.id).cloned().unwrap_or_default()),
            lost_in_doubt: doubted.map_or(0, |doubted| doubted.intersection_len(&lost)),
            lost: SeqSet(lost),
            may_lack: salvage.may_lack(queue.id),
        }
    });
    let queues = queues.collect();
    if salvage.contradictions > 0 {
        notes.push(match salvage.contradictions {
            1 => "1 record contradicts others, and is left out".to_owned(),
            count => format!("{count} records contradict others, and are left out"),
        });
    }
    Losses {
        damages: salvage.damages.clone(),
        extents: extents.collect(),
        queues,
        homeless: homeless.into_iter().map(|(queue, messages)| (queue, SeqSet(messages))).collect(),
        control_bytes: salvage.is_bound_known.then_some(salvage.control_bytes_lost),
        notes,
    }
}

impl Repair<'_> {
    /// What the repair loses.
    pub fn losses(&self) -> &Losses {
        &self.losses
    }

    /// Writes what is left to `new`, which must be empty or missing, in segments of at most
    /// `segment_bytes`. When this returns `Ok`, it is a whole store, durably; before, it is none.
    /// `progress` is told how many bytes of the old log were read.
    pub fn write(
        mut self,
        new: &Path,
        in_doubt: Option<InDoubt>,
        segment_bytes: u64,
        progress: &mut dyn FnMut(u64),
    ) -> Result<(), RepairError> {
        match in_doubt {
            Some(InDoubt::Deliver) => {}
            Some(InDoubt::Delete) => self.delete_in_doubt(),
            None if self.losses.in_doubt() == 0 => {}
            None => return Err(RepairError::InDoubt { messages: self.losses.in_doubt() }),
        }
        check_new(self.disk, &self.data, new)?;
        let disk = self.disk;
        disk.create_dir(&names::log_dir(new))?;
        let _lock = log::lock_new(disk, new)?;
        let manifest = self.lay(new, segment_bytes, progress)?;
        manifest.write(disk, new)?;
        let found = check::read(disk, new, &manifest)?;
        if let Some(detail) = check::difference(&self.state, &found) {
            let path = new.to_path_buf();
            return Err(RepairError::NotAsTold { path, detail });
        }
        // From here on it is a store.
        self.roots.identity.write(disk, new)?;
        Ok(())
    }

    fn delete_in_doubt(&mut self) {
        for (queue, messages) in &self.in_doubt {
            if let Some(queue) = self.state.by_id(*queue) {
                queue.messages.take_out(messages);
            }
        }
    }

    /// Writes the log.
    fn lay(
        &self,
        new: &Path,
        segment_bytes: u64,
        progress: &mut dyn FnMut(u64),
    ) -> Result<Manifest, RepairError> {
        let Roots { manifest, strays, .. } = &self.roots;
        let (disk, store) = (self.disk, manifest.store);
        let place = Place { disk, data: new, store, segment_bytes };
        let mut laying = Laying::begin(place, &self.state, &self.times)?;
        let mut reading = Reading::new(&mut laying, strays, progress);
        replay(disk, &self.data, manifest, self.durable, &mut reading)?;
        reading.finish()?;
        let segments = laying.finish()?;
        let last = segments.last().and_then(|listed| listed.sealed).map(|sealed| sealed.last);
        let (epoch, compacted_through) = (manifest.epoch, last.unwrap_or_default());
        Ok(Manifest { store, epoch, compacted_through, segments })
    }
}
