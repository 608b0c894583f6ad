//! The numbers that decide what a simulated disk does, and what is done on it: SplitMix64, equal for
//! equal seeds on every machine (Steele, Lea and Flood, "Fast splittable pseudorandom number
//! generators", 2014).

/// A stream of pseudorandom numbers, for simulations: it keeps no secret.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// The stream of this seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A choice that depends on nothing but its arguments, whatever was drawn before.
    pub(super) fn coin_of(seed: u64, first: u64, second: u64) -> bool {
        let mut of_first = Self(seed ^ first.wrapping_mul(0xd6e8_feb8_6659_fd93));
        Self(of_first.draw() ^ second).coin()
    }

    /// The next number.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    /// A number below `end`; 0 if there is none.
    pub fn below(&mut self, end: usize) -> usize {
        // The bias of the remainder is far below what any test could see.
        (self.draw() % (end.max(1) as u64)) as usize
    }

    /// Heads or tails.
    pub fn coin(&mut self) -> bool {
        self.draw() >> 63 == 1
    }

    /// Fills the buffer.
    pub(super) fn fill(&mut self, buffer: &mut [u8]) {
        for piece in buffer.chunks_mut(8) {
            piece.copy_from_slice(&self.draw().to_le_bytes()[..piece.len()]);
        }
    }
}
