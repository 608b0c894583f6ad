//! How a thread that has just answered looks for the next command before it sleeps.
//!
//! Whoever sends one message after the other sends the next as soon as the last is answered. To sleep in
//! between is to be woken for it, which takes longer than all that is done with the message: a processor without
//! work rests, and must be fetched back. So the thread looks for a moment; and less and less often where that is in
//! vain.

use std::num::NonZero;
use std::time::{Duration, Instant};

/// Behind a larger entry it does not look: its sync takes far longer than to be woken, and those who fill such
/// entries have use for the processor.
pub(super) const SMALL_BYTES: usize = 64 << 10;

/// How long it looks.
const LOOK: Duration = Duration::from_micros(200);

/// How many times at the most it does not look after it did in vain.
const PASSED_MAX: u32 = 127;

/// Whether to look, as it has turned out of late.
#[derive(Debug)]
pub(super) struct Watch {
    /// With one processor those who bring commands could not run meanwhile.
    has_processor: bool,
    /// How often it does not look from now on, ...
    passes: u32,
    /// ... and how often it did not the last time.
    passed: u32,
}

impl Watch {
    pub(super) fn new() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
        Self { has_processor: processors > 1, passes: 0, passed: 0 }
    }

    /// Whether to look now.
    pub(super) fn is_worth_while(&mut self) -> bool {
        let looks = self.has_processor && self.passes == 0;
        self.passes = self.passes.saturating_sub(1);
        looks
    }

    /// Looks until there is something, or it has been long enough; whether there is.
    pub(super) fn look(&mut self, is_there: impl Fn() -> bool) -> bool {
        let began = Instant::now();
        while !is_there() {
            if began.elapsed() > LOOK {
                self.passed = (2 * self.passed + 1).min(PASSED_MAX);
                self.passes = self.passed;
                return false;
            }
            std::hint::spin_loop();
        }
        self.passed = 0;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_looks_in_vain_looks_less_often_until_it_is_worth_while_again() {
        let mut watch = Watch { has_processor: true, passes: 0, passed: 0 };
        for passes in [1, 3, 7, 15, 31, 63, 127, 127] {
            assert!(watch.is_worth_while());
            assert!(!watch.look(|| false));
            assert!((0..passes).all(|_| !watch.is_worth_while()));
        }
        assert!(watch.is_worth_while());
        assert!(watch.look(|| true));
        assert!(watch.is_worth_while() && watch.is_worth_while());
    }

    #[test]
    fn nobody_looks_where_there_is_one_processor() {
        assert!(!Watch { has_processor: false, passes: 0, passed: 0 }.is_worth_while());
    }
}
