//! Reading a snapshot: any bytes give the state that was written, or an error.

use std::path::Path;

use super::header::{HEADER_BYTES, HeaderError, SnapshotHeader};
use super::part::{self, PART_HEADER_BYTES};
use super::source::{Body, PartError, Source};
use super::{SnapshotError, names};
use crate::disk::Disk;
use crate::error::Damage;
use crate::ids::{Position, QueueId, StoreId};
use crate::state::frozen::FrozenQueue;

/// Reads the snapshot of that position, and gives each queue as soon as its part was checked. If
/// it fails, what was given before must be thrown away: the rest is missing.
pub(crate) fn read(
    disk: &dyn Disk,
    data: &Path,
    store: StoreId,
    position: Position,
    each: &mut dyn FnMut(FrozenQueue),
) -> Result<SnapshotHeader, SnapshotError> {
    let path = names::snapshot(data, position);
    let mut file = Source::open(disk, &path)?;
    let header = read_header(&mut file, store, position)?;
    let mut last = QueueId(0);
    for number in 0..header.parts {
        let offset = file.offset();
        let damaged = |bytes: u64, detail| {
            let detail = format!("part {number} of {}: {detail}", header.parts);
            Damage { path: path.clone(), offset, bytes, position: None, detail }
        };
        let whole = |left: u64| format!("{left} bytes are left of the file");
        let left = file.left();
        if left < PART_HEADER_BYTES as u64 {
            return Err(damaged(left, whole(left)).into());
        }
        let Some((body_bytes, crc)) = part::decode_header(&file.array()?) else {
            return Err(damaged(PART_HEADER_BYTES as u64, "its header".to_owned()).into());
        };
        if body_bytes > file.left() {
            let detail = format!("a body of {body_bytes} bytes, {}", whole(file.left()));
            return Err(damaged(left, detail).into());
        }
        let hasher = part::hasher(position, number);
        let mut body = Body::new(&mut file, body_bytes, hasher, crc);
        let decoded = part::decode(&mut body, header.version).and_then(|queue| {
            check_place(&header, last, &queue).map_err(PartError::Wrong)?;
            Ok(queue)
        });
        match decoded {
            Ok(queue) => {
                last = queue.id;
                each(queue);
            }
            Err(PartError::Disk(error)) => return Err(error.into()),
            Err(PartError::Wrong(detail)) => {
                // Wrong bytes have any wrong meaning: that they are wrong is the better news.
                let detail = match body.check_rest() {
                    Err(PartError::Disk(error)) => return Err(error.into()),
                    Err(PartError::Wrong(checksum)) => checksum,
                    Ok(()) => detail,
                };
                return Err(damaged(PART_HEADER_BYTES as u64 + body_bytes, detail).into());
            }
        }
    }
    match file.left() {
        0 => Ok(header),
        bytes => {
            let detail = format!("{bytes} bytes behind the last part");
            Err(Damage { path, offset: file.offset(), bytes, position: None, detail }.into())
        }
    }
}

fn read_header(
    file: &mut Source,
    store: StoreId,
    position: Position,
) -> Result<SnapshotHeader, SnapshotError> {
    let path = file.path().to_path_buf();
    let bytes = file.left().min(HEADER_BYTES as u64);
    let damaged = |detail| Damage { path: path.clone(), offset: 0, bytes, position: None, detail };
    if bytes < HEADER_BYTES as u64 {
        return Err(damaged(format!("{bytes} bytes are too short for a snapshot")).into());
    }
    let header = match SnapshotHeader::decode(&file.array()?) {
        Ok(header) => header,
        Err(HeaderError::Wrong(detail)) => return Err(damaged(detail).into()),
        Err(HeaderError::TooNew { found, supported }) => {
            return Err(SnapshotError::TooNew { path, found, supported });
        }
    };
    let detail = if header.store != store {
        format!("belongs to store {}, expected {store}", header.store)
    } else if header.position != position {
        format!("is of position {}, expected {position}", header.position)
    } else if header.through < position {
        format!("is of position {position}, and of none behind {}", header.through)
    } else if header.through > Position::MAX {
        format!("is of entries up to {}, expected at most {}", header.through, Position::MAX)
    } else {
        return Ok(header);
    };
    Err(damaged(detail).into())
}

/// Whether a part may stand in the snapshot, behind that of the queue `last`.
fn check_place(header: &SnapshotHeader, last: QueueId, part: &FrozenQueue) -> Result<(), String> {
    if part.id <= last || part.id > header.last_queue {
        return Err(format!(
            "queue {} behind {last}, the last being {}",
            part.id, header.last_queue
        ));
    }
    let (from, through) = (header.position, header.through);
    match (from..=through).contains(&part.position) {
        true => Ok(()),
        false => Err(format!("is of position {}, expected {from} to {through}", part.position)),
    }
}
