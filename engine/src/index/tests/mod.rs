//! Tests of the index: its file, byte by byte, and the whole against a plain map.

#![allow(clippy::unwrap_used, reason = "a test")]

mod crashes;
mod damage;
mod format;
mod large;
mod model;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use uuid::Uuid;

use super::{HeapIndex, IndexIdentity, Indexed, MappedIndex, Slot, write};
use crate::checksum::Salt;
use crate::disk::{Disk, SimDisk};
use crate::ids::{Position, QueueId, Seq, StoreId};
use crate::location::Segment;
use crate::time::LogTime;

/// Everything that is in an index.
type Messages = BTreeMap<(QueueId, Seq), Slot>;

const PATH: &str = "log/0000000000000001.idx";

/// A disk with a directory for indexes.
fn disk() -> SimDisk {
    let disk = SimDisk::new(1);
    disk.create_dir(Path::new("log")).unwrap();
    disk
}

fn identity() -> IndexIdentity {
    IndexIdentity {
        store: StoreId(Uuid::from_u128(0x0011_2233_4455_6677_8899_aabb_ccdd_eeff)),
        first: Position(1),
        salt: Salt(0x0123_4567_89ab_cdef),
        generation: 2,
        created: LogTime(1_700_000_000_000),
        last: Position(900),
        sealed_bytes: 1 << 20,
    }
}

/// A slot that no other message has.
fn slot(queue: u32, seq: u64) -> Slot {
    let offset = 4096 + queue * 100_000 + seq as u32 * 8;
    Slot { offset, bytes: 100 + seq as u32 % 50, sent_ms: seq as i32 * 3, group: queue % 2 }
}

/// A message that was sent to its queue.
fn sent(queue: QueueId, seq: Seq, slot: Slot) -> Indexed {
    Indexed { queue, seq, slot, is_moved: false }
}

/// The messages of these numbers.
fn messages(seqs: &[(u32, &[u64])]) -> Messages {
    let of_queue = |(queue, seqs): &(u32, &[u64])| {
        let queue = *queue;
        seqs.iter().map(move |seq| ((QueueId(queue), Seq(*seq)), slot(queue, *seq))).collect()
    };
    seqs.iter().flat_map(of_queue as fn(&(u32, &[u64])) -> Vec<_>).collect()
}

fn heap(messages: &Messages) -> HeapIndex {
    let mut heap = HeapIndex::default();
    for ((queue, seq), slot) in messages {
        heap.add(sent(*queue, *seq, *slot));
    }
    heap.add_control(77);
    heap
}

/// Writes an index and maps it.
fn mapped(disk: &dyn Disk, messages: &Messages) -> MappedIndex {
    let bytes = write(disk, Path::new(PATH), &identity(), &heap(messages)).unwrap();
    let mapped = MappedIndex::open(disk, Path::new(PATH), &identity()).unwrap();
    assert_eq!(mapped.mapped_bytes(), bytes);
    mapped
}

/// A segment without a byte in it.
fn segment(disk: &dyn Disk, first: u64, generation: u32, salt: u64) -> Arc<Segment> {
    let path = PathBuf::from(format!("log/{first:016x}-{generation:08x}.log"));
    let file = disk.create(&path).unwrap();
    let created = LogTime(1000 * first);
    Arc::new(Segment { first: Position(first), generation, salt: Salt(salt), created, path, file })
}
