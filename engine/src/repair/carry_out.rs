//! Doing what a repair has told.
//!
//! What if the power fails here? The order is: the originals are copied; the new segments are written, synced and
//! named; the manifest is replaced; what is not listed any more is removed. Before the manifest: files that nobody
//! lists, in the place of segments that are listed, which the next opening removes. Behind it: the old
//! ones, which it removes as well.

use std::path::{Path, PathBuf};

use super::left::{Left, read_left};
use super::lists::entry_header;
use super::{Part, Repair};
use crate::compactor::{Output, OutputIdentity, Reserve};
use crate::disk::{Access, Disk, DiskError, remove_if_there};
use crate::entry::EntryBuilder;
use crate::error::OpenError;
use crate::log::{ListedSegment, Sealed, names};
use crate::options::SEGMENT_BYTES_MIN;
use crate::snapshot;

/// Copied at once.
const COPY_BYTES: usize = 1 << 20;

impl Repair {
    /// Does it. Where the files as they were are kept.
    pub fn carry_out(mut self) -> Result<PathBuf, OpenError> {
        if self.lock.is_none() {
            let source = std::io::ErrorKind::ReadOnlyFilesystem.into();
            let (operation, path) = ("lock", names::lock(&self.data));
            return Err(DiskError { operation, path, source }.into());
        }
        let kept = self.keep_originals()?;
        let mut parts = std::mem::take(&mut self.parts);
        let (mut listed, mut removed) = (Vec::new(), std::mem::take(&mut self.strays));
        let mut first_damaged = true;
        let last_damaged = parts.iter().rposition(|part| part.is_damaged);
        for (number, part) in parts.iter_mut().enumerate() {
            if !part.is_damaged {
                let sealed = Some(Sealed { bytes: part.bytes, last: part.last });
                listed.push(ListedSegment { sealed, ..part.listed });
                continue;
            }
            let is_first = std::mem::take(&mut first_damaged);
            listed.push(self.write_left(part, is_first, Some(number) == last_damaged)?);
            removed.push(part.path.clone());
            removed.push(names::index(&part.path));
        }
        self.manifest.segments = listed;
        // No snapshot of before is used: it may have messages whose bytes are lost.
        let last = parts.last().map_or(self.manifest.compacted_through, |part| part.last.next());
        self.manifest.compacted_through = self.manifest.compacted_through.max(last);
        self.manifest.write(&*self.disk, &self.data)?;
        for path in &removed {
            remove_if_there(&*self.disk, path)?;
        }
        self.disk.sync_dir(&names::log_dir(&self.data))?;
        for position in snapshot::list(&*self.disk, &self.data)? {
            snapshot::remove(&*self.disk, &self.data, position)?;
        }
        Ok(kept)
    }

    /// Copies what will be replaced or put aside to a directory of its own.
    fn keep_originals(&self) -> Result<PathBuf, DiskError> {
        let disk = &*self.disk;
        let taken = disk.list(&self.data)?;
        let mut names = (1..).map(|number| format!("before-repair-{number}"));
        let name = names.find(|name| !taken.contains(name)).expect("there is always another");
        let dir = self.data.join(name);
        disk.create_dir(&dir)?;
        let damaged = self.parts.iter().filter(|part| part.is_damaged).map(|part| &part.path);
        let manifest = names::manifest(&self.data);
        for path in damaged.chain(&self.strays).chain([&manifest]) {
            copy(disk, path, &dir)?;
        }
        disk.sync_dir(&dir)?;
        Ok(dir)
    }

    /// Writes what is left of a segment into a new one.
    fn write_left(
        &self,
        part: &Part,
        is_first: bool,
        is_last: bool,
    ) -> Result<ListedSegment, DiskError> {
        let (disk, data) = (&*self.disk, &*self.data);
        let ListedSegment { first, generation, .. } = part.listed;
        let identity = OutputIdentity {
            store: self.store,
            first,
            last: part.last,
            generation: generation + 1,
            created: part.created,
        };
        let reserve =
            Reserve::make(disk, data, SEGMENT_BYTES_MIN, self.manifest.bytes_with_one_more())?;
        let mut output = Output::new(disk, reserve, identity)?;
        let mut created = EntryBuilder::new();
        if is_first {
            self.losses.created.iter().for_each(|one| drop(created.append(|out| one.write(out))));
        }
        let mut log_time = part.created;
        read_left(part, &mut |left| {
            match left {
                Left::Entry { header, body } => {
                    log_time = header.log_time;
                    let mut copied = std::mem::take(&mut created);
                    copied.append(|out| out.copied(body));
                    output.add(header, copied)?;
                }
                Left::Damaged(stretch) => {
                    log_time = stretch.log_time;
                    let mut kept = stretch.kept;
                    if !created.is_empty() {
                        let before = kept.remove(&stretch.first);
                        let mut first = std::mem::take(&mut created);
                        before.iter().for_each(|before| first.extend(before));
                        kept.insert(stretch.first, first);
                    }
                    for (position, kept) in kept {
                        output.add(&entry_header(position, log_time), kept)?;
                    }
                }
            }
            Ok(())
        })?;
        let mut rest = created;
        if is_last {
            rest.append(|out| self.losses.said_again.write(out));
        }
        let (segment, bytes) = output.finish(disk, data, log_time, rest)?;
        let sealed = Some(Sealed { bytes, last: part.last });
        Ok(ListedSegment { first, generation: segment.generation, salt: segment.salt, sealed })
    }
}

/// Copies a file, if it is there, and syncs the copy.
fn copy(disk: &dyn Disk, path: &Path, dir: &Path) -> Result<(), DiskError> {
    let from = match disk.open(path, Access::Read) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        from => from?,
    };
    let to = disk.create(&dir.join(path.file_name().unwrap_or_default()))?;
    let (mut offset, mut buffer) = (0, vec![0; COPY_BYTES]);
    loop {
        let read = from.read_at(offset, &mut buffer)?;
        if read == 0 {
            return to.sync();
        }
        to.write_all_at(offset, &buffer[..read])?;
        offset += read as u64;
    }
}
