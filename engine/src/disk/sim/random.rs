//! The numbers that decide what a simulated disk does: SplitMix64, equal for equal seeds on every
//! machine (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014).

/// A stream of pseudorandom numbers.
#[derive(Debug, Clone)]
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A choice that depends on nothing but its arguments, whatever was drawn before.
    pub(super) fn coin_of(seed: u64, first: u64, second: u64) -> bool {
        let mut of_first = Self(seed ^ first.wrapping_mul(0xd6e8_feb8_6659_fd93));
        Self(of_first.next() ^ second).coin()
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    /// A number below `end`; 0 if there is none.
    pub(super) fn below(&mut self, end: usize) -> usize {
        // The bias of the remainder is far below what any test could see.
        (self.next() % (end.max(1) as u64)) as usize
    }

    pub(super) fn coin(&mut self) -> bool {
        self.next() >> 63 == 1
    }
}
