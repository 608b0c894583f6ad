//! What two threads do to one log, in the order in which it once went wrong.

use std::path::Path;
use std::sync::Arc;

use super::replay::Replay;
use super::*;
use crate::disk::SimDisk;
use crate::entry::{EntryBuilder, EntryHeader};
use crate::error::Damage;
use crate::time::SimClock;

/// Of a new store nothing is told.
struct Nobody;

impl Replay for Nobody {
    fn entry(&mut self, _: &SegmentHeader, _: u64, _: &EntryHeader, _: &[u8]) {}

    fn damage(&mut self, damage: Damage) -> Result<(), Damage> {
        Err(damage)
    }
}

fn append(log: &mut Log, roll: Option<PreparedSegment>) {
    let position = log.durable.next();
    let mut entry = EntryBuilder::new();
    entry.append(|out| out.opened(Epoch(1)));
    let (segment, offset) = match &roll {
        Some(prepared) => (prepared.segment(position, LogTime(1)), SEGMENT_HEADER_BYTES),
        None => (log.active.clone(), log.end),
    };
    let place = Place { position, segment, offset, roll };
    let log_time = LogTime(1);
    let entry = ClosedEntry { place, log_time, records: entry, tells_written: false };
    log.append(entry, || {}).unwrap();
}

/// On a full disk the log may roll to the standby segment while the preparer makes the next one. The file for a
/// manifest that there was when that was made is the manifest by then, and was written to as it stood.
#[test]
fn a_segment_that_was_made_before_another_roll_does_not_write_into_the_manifest() {
    let (disk, data) = (SimDisk::new(1), Path::new("data"));
    let (clock, options) =
        (Arc::new(SimClock::new(1)), Options { segment_bytes: 64 << 10, ..Options::default() });
    let counters = Arc::new(Counters::default());
    let found = find(Arc::new(disk.clone()), &*clock, data).unwrap();
    let opened = found.open(clock, &options, counters.clone(), Known::default(), &mut Nobody);
    let OpenedLog { mut log, .. } = opened.unwrap();
    let mut maker = log.maker(&options);
    counters.signals.has_reserve.set(true);
    append(&mut log, None);

    assert!(matches!(maker.make(), NextSegment::Ready(_)), "and a standby segment");
    PreparedSegment::discard(&disk, data).unwrap();
    disk.set_capacity(Some(disk.used()));
    let NextSegment::Full { standby, .. } = maker.make() else { panic!("there is no space") };
    disk.set_capacity(None);
    let NextSegment::Ready(next) = maker.make() else { panic!("there is space") };
    append(&mut log, Some(*standby.unwrap()));
    let before = disk.image("data/MANIFEST").unwrap();
    append(&mut log, Some(next));

    let listed = Manifest::read(&disk, data, log.store).unwrap().unwrap();
    assert_eq!(listed.segments.len(), 3);
    assert_ne!(disk.image("data/MANIFEST").unwrap(), before);
    assert!(Manifest::decode(&before).is_ok());
}
