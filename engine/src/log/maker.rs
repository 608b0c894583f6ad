//! Makes the segments that the log rolls to: the standby segment, and then the next one.

use std::path::PathBuf;
use std::sync::Arc;

use super::filling::Filling;
use super::listing::Listing;
use super::names;
use super::segment::PreparedSegment;
use super::standby::Standby;
use super::tail::NextSegment;
use crate::counters::Counters;
use crate::disk::{Disk, DiskError};
use crate::options::Options;

/// Why no segment is made although there may be space for one.
const RESERVE_FIRST: &str = "the disk is full: what is free goes to the compactor's reserve first, without which it could reclaim nothing";

/// Makes them, one step at a time.
#[derive(Debug)]
pub(crate) struct SegmentMaker {
    disk: Arc<dyn Disk>,
    data: PathBuf,
    segment_bytes: u64,
    standby_bytes: u64,
    listing: Listing,
    counters: Arc<Counters>,
    standby: Option<Standby>,
    /// How often the log had rolled to a standby segment when this one was made.
    rolls: u64,
}

impl SegmentMaker {
    pub(super) fn new(
        disk: Arc<dyn Disk>,
        listing: Listing,
        data: PathBuf,
        options: &Options,
        counters: Arc<Counters>,
    ) -> Self {
        Self {
            disk,
            data,
            segment_bytes: options.segment_bytes,
            standby_bytes: options.standby_bytes(),
            listing,
            counters,
            standby: None,
            rolls: 0,
        }
    }

    /// The next segment, if there is space for it beside what is kept for the compactor and in the standby
    /// segment. Nobody may have one that was made before.
    pub(crate) fn make(&mut self) -> NextSegment {
        // The manifest's first: without it nothing is rolled to, however large.
        let kept = self.listing.keep_reserve().map_err(|error| error.to_string());
        match kept.and_then(|()| self.keep_standby()).and_then(|()| self.make_next()) {
            Ok(prepared) => NextSegment::Ready(prepared),
            Err(cause) => NextSegment::Full {
                detail: format!("the next segment cannot be prepared: {cause}"),
                standby: self.prepared_standby().map(Box::new),
            },
        }
    }

    /// What may be filled with zeros of the standby segment.
    pub(crate) fn standby_filling(&self) -> Option<Filling> {
        self.standby.as_ref().map(Standby::filling)
    }

    /// Makes the standby segment, or makes it whole.
    fn keep_standby(&mut self) -> Result<(), String> {
        let says = |error: DiskError| error.to_string();
        let (rolls, wanted) = (self.counters.standby_rolls.get(), self.standby_bytes);
        if self.rolls != rolls {
            // It has become a segment: its name was another's before that was counted.
            (self.standby, self.rolls) = (None, rolls);
        }
        if self.standby.is_none() {
            self.standby = Standby::open(&*self.disk, &self.data).map_err(says)?;
            self.standby.as_mut().map_or(Ok(()), |found| found.cut(wanted)).map_err(says)?;
        }
        if !self.counters.signals.has_reserve.get() {
            return Err(RESERVE_FIRST.to_owned());
        }
        match &mut self.standby {
            Some(standby) => standby.grow(wanted).map_err(says)?,
            None => {
                let made = Standby::make(&*self.disk, &self.data, wanted).map_err(says)?;
                self.standby = Some(made);
            }
        }
        let bytes = self.standby.as_ref().map_or(0, Standby::bytes);
        if self.counters.standby_rolls.get() != rolls {
            return Err(
                "the log has rolled to the standby segment while it was made larger".to_owned()
            );
        }
        self.counters.signals.has_standby.set(bytes >= wanted);
        if bytes >= wanted {
            return Ok(());
        }
        Err(format!(
            "{} has {bytes} bytes, expected {wanted}: those that are kept for receives and deletes come first",
            names::standby(&self.data).display()
        ))
    }

    fn make_next(&self) -> Result<PreparedSegment, String> {
        let keep_manifest = || self.listing.keep_reserve();
        PreparedSegment::prepare(&*self.disk, &self.data, self.segment_bytes, keep_manifest)
            .map_err(|error| error.to_string())
    }

    fn prepared_standby(&self) -> Option<PreparedSegment> {
        let standby = self.standby.as_ref()?;
        let prepared =
            self.listing.keep_reserve().and_then(|()| standby.prepared(&*self.disk, &self.data));
        prepared.unwrap_or_else(|error| {
            tracing::warn!("the standby segment is of no use now: {error}");
            None
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::SimDisk;
    use crate::ids::{Epoch, Position, StoreId};
    use crate::log::manifest::Manifest;

    /// The standby segment took what the manifest needed, and then nothing could be rolled to: receives and
    /// deletes were refused beside the space that was kept for them.
    #[test]
    fn on_a_disk_that_is_short_the_manifest_has_its_space_before_the_standby_segment() {
        let data = PathBuf::from("data");
        for kib in [24, 40, 100] {
            let sim = SimDisk::new(1);
            sim.create_dir(&names::log_dir(&data)).unwrap();
            sim.set_capacity(Some(sim.used() + (kib << 10)));
            let store = StoreId(uuid::Uuid::nil());
            let (epoch, compacted_through, segments) = (Epoch(1), Position(0), Vec::new());
            let manifest = Manifest { store, epoch, compacted_through, segments };
            let disk: Arc<dyn Disk> = Arc::new(sim);
            let listing = Listing::new(disk.clone(), data.clone(), manifest);
            let options = Options { segment_bytes: 1 << 20, ..Options::default() };
            let counters = Arc::new(Counters::default());
            counters.signals.has_reserve.set(true);
            let mut maker = SegmentMaker::new(disk, listing, data.clone(), &options, counters);
            let made = maker.make();
            let NextSegment::Full { standby: Some(standby), .. } = made else {
                panic!("{kib} KiB: {made:?}")
            };
            assert!(standby.capacity() >= 16 << 10, "{kib} KiB: {standby:?}");
        }
    }
}
