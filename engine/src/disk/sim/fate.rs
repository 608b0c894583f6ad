//! What a power cut leaves of the changes to one file that were not synced.
//!
//! The kernel may have written any sector back at any time since it was changed, in any order, so
//! every choice below is one that a real machine could make. They are drawn with weights that
//! favour what recovery gets wrong: torn ends, holes before data, sizes without their data. Or they
//! are counted: a [`Way`] is one of all there are.

use std::collections::BTreeSet;

use super::random::Random;

/// The choice for one file.
#[derive(Debug)]
pub(super) struct Fate {
    data: Data,
    /// How many of the changes have their size kept. Sizes go through the file system's journal:
    /// a later one is never kept without the earlier ones.
    pub(super) sizes_kept: usize,
}

/// Which sectors of which changes reached the disk.
#[derive(Debug)]
enum Data {
    None,
    All,
    /// The first changes, and the first sectors of the one after them.
    Prefix {
        changes: usize,
        sectors: usize,
    },
    /// All but one sector of one change.
    AllButSector {
        change: usize,
        sector: usize,
    },
    /// All but one change.
    AllBut {
        change: usize,
    },
    /// Each change by itself.
    SomeChanges {
        seed: u64,
    },
    /// Each sector of each change by itself.
    SomeSectors {
        seed: u64,
    },
    /// These sectors of these changes.
    Counted {
        kept: BTreeSet<(usize, usize)>,
    },
}

/// What a power cut may choose of one file.
#[derive(Debug, Default)]
pub(super) struct Choices {
    /// How many changes have their size kept: those numbers that make a difference.
    pub(super) sizes: Vec<usize>,
    /// For each sector the changes that made something else of it, each with the sector's place in it.
    pub(super) sectors: Vec<Vec<(usize, usize)>>,
}

/// One of all the ways that a power cut has: a number whose digits are the choices, each with as many
/// values as it has outcomes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Way(pub(super) u64);

impl Way {
    /// The next choice: a number below `outcomes`.
    pub(super) fn choose(&mut self, outcomes: usize) -> usize {
        let outcomes = outcomes.max(1) as u64;
        let chosen = self.0 % outcomes;
        self.0 /= outcomes;
        chosen as usize
    }
}

impl Choices {
    /// How many ways there are.
    pub(super) fn ways(&self) -> u64 {
        let sectors = self.sectors.iter().map(|versions| versions.len() + 1);
        let outcomes = std::iter::once(self.sizes.len().max(1)).chain(sectors);
        outcomes.fold(1, |ways, outcomes| ways.saturating_mul(outcomes as u64))
    }
}

impl Fate {
    /// Draws a fate; `sectors_of` is the number of sectors of each change, oldest first.
    pub(super) fn draw(random: &mut Random, sectors_of: &[usize]) -> Self {
        let changes = sectors_of.len();
        let change = random.below(changes);
        let last = changes.saturating_sub(1);
        let sectors_in = |change: usize| sectors_of.get(change).copied().unwrap_or(0);
        let (data, sizes_kept) = match random.below(16) {
            0 | 1 => (Data::None, 0),
            2 => (Data::None, changes),
            3 | 4 => (Data::All, changes),
            5 => (Data::All, random.below(changes + 1)),
            6..=8 => {
                let sectors = random.below(sectors_in(change) + 1);
                (Data::Prefix { changes: change, sectors }, change + random.below(2))
            }
            // The end of the last write is missing, its size is not.
            9 | 10 => {
                let sectors = random.below(sectors_in(last));
                (Data::Prefix { changes: last, sectors }, changes)
            }
            11 => {
                let sector = random.below(sectors_in(change));
                (Data::AllButSector { change, sector }, changes)
            }
            12 => (Data::AllBut { change }, changes),
            13 => (Data::SomeChanges { seed: random.draw() }, changes),
            14 => (Data::SomeSectors { seed: random.draw() }, changes),
            _ => (Data::SomeSectors { seed: random.draw() }, random.below(changes + 1)),
        };
        Self { data, sizes_kept: sizes_kept.min(changes) }
    }

    /// The fate that a way leads to. 0 loses all that can be lost.
    pub(super) fn of_way(way: &mut Way, choices: &Choices) -> Self {
        let size = way.choose(choices.sizes.len());
        let sizes_kept = choices.sizes.get(size).copied().unwrap_or(0);
        let versions = choices.sectors.iter();
        let kept = versions.filter_map(|versions| {
            let version = way.choose(versions.len() + 1).checked_sub(1)?;
            Some(versions[version])
        });
        Self { data: Data::Counted { kept: kept.collect() }, sizes_kept }
    }

    /// Whether this sector, counted from the first that the change touched, reached the disk.
    pub(super) fn keeps(&self, change: usize, sector: usize) -> bool {
        match &self.data {
            Data::None => false,
            Data::All => true,
            Data::Prefix { changes, sectors } => {
                change < *changes || (change == *changes && sector < *sectors)
            }
            Data::AllButSector { change: hole, sector: lost } => (change, sector) != (*hole, *lost),
            Data::AllBut { change: hole } => change != *hole,
            Data::SomeChanges { seed } => Random::coin_of(*seed, change as u64, 0),
            Data::SomeSectors { seed } => Random::coin_of(*seed, change as u64, sector as u64),
            Data::Counted { kept } => kept.contains(&(change, sector)),
        }
    }
}
