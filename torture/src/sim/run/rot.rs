//! Damage to files at rest, on copies, so that the run itself goes on.

use forebay_engine::LogFailure;

use super::Run;
use super::recovery::End;
use crate::sim::rot::damage_copies;

impl Run {
    /// Ends the store, damages copies of its files, and opens it again. Not while a fault is planned: nothing
    /// of the store may be in doubt. That is so when it was closed in order, and when its process was killed
    /// behind a watermark.
    pub(super) fn rot(&mut self, seed: u64) -> Result<(), LogFailure> {
        if self.faulty {
            return Ok(());
        }
        self.settle()?;
        let is_closed = seed.is_multiple_of(2);
        if is_closed {
            let store = self.store.take().expect("the store is open between steps");
            store.close()?;
        } else {
            self.clock.advance(self.profile.options().watermark_ms);
            self.store().tick();
            self.settle()?;
            self.store = None;
            self.disk.kill();
        }
        self.collect();
        let model = self.present().clone();
        let machine = (&self.disk, &self.clock);
        damage_copies(machine, self.profile, &model, (seed, is_closed), &mut self.tally);
        self.end = if is_closed { End::Closed } else { End::Killed };
        self.recover();
        Ok(())
    }
}
