//! Damage to files at rest, on copies, so that the run itself goes on.

use forebay_engine::LogFailure;

use super::Run;
use crate::sim::rot::damage_copies;

impl Run {
    /// Closes the store, damages copies of its files, and opens it again. Not while a fault is planned:
    /// only of a store that was closed in order it is known that nothing of it is in doubt.
    pub(super) fn rot(&mut self, seed: u64) -> Result<(), LogFailure> {
        if self.faulty {
            return Ok(());
        }
        self.settle()?;
        let store = self.store.take().expect("the store is open between steps");
        store.close()?;
        self.collect();
        let model = self.present().clone();
        let machine = (&self.disk, &self.clock);
        damage_copies(machine, self.profile, &model, seed, &mut self.tally);
        self.power = None;
        self.recover();
        Ok(())
    }
}
